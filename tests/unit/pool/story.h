/* What the small stories of the pool's tests share: a pool on a virtual clock, events by name, and bpi_pool_check()
 * after each of them.
 *
 * Where the header leaves the pool free when to open a link (grow.c), expect_open() and serve() let time pass as
 * bpi_pool_next_us() says; everything else is asked of the pool at the moment at which it is told.
 */
#ifndef BPI_TESTS_POOL_STORY_H
#define BPI_TESTS_POOL_STORY_H

#include "pool/pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include <cmocka.h>

#define PLACES_MAX  64
#define WAITERS_MAX 2048
#define STORY_SEED  7
/* By then a link is opened for somebody who waits, where nothing forbids it. */
#define PATIENCE_US BP_USEC_PER_SECOND

/* Two versions: NEW has LOGOFF and LOGON, OLD has not. */
enum { OLD = 0x0404, NEW = 0x0506 };
enum { OLD_BIT = 1, NEW_BIT = 2 };
enum { ANN = 1, BOB = 2, CAT = 3 };

static struct bpi_pool pool;
static struct bpi_pool_limits limits;
static struct bpi_pool_link places[PLACES_MAX];
static struct bpi_pool_waiter waiters[WAITERS_MAX];
static unsigned waiters_count;
static bp_usec now_us;

static inline void check_pool(void)
{
    assert_true(bpi_pool_check(&pool));
}

/* A pool of `count` places and some endpoints that are up; `limits` holds what the test has set. */
static inline void start_on(unsigned count, unsigned endpoints)
{
    assert_true(count <= PLACES_MAX);
    memset(places, 0, sizeof(places));
    memset(waiters, 0, sizeof(waiters));
    waiters_count = 0;
    now_us = 1000000;
    limits.links_max = count;
    bpi_pool_init(&pool, &limits, endpoints, STORY_SEED);
    for (unsigned i = 0; i < endpoints; i++) {
        pool.endpoints[i].protocols = OLD_BIT | NEW_BIT;
        bpi_pool_endpoint_up(&pool, i);
    }
    for (unsigned i = 0; i < count; i++) {
        bpi_pool_add_place(&pool, &places[i]);
    }
    check_pool();
}

static inline void start(unsigned count)
{
    start_on(count, 1);
}

static inline int setup(void **state)
{
    (void)state;
    memset(&limits, 0, sizeof(limits));
    for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
        limits.classes[i].share = 1;
    }
    return 0;
}

static inline struct bpi_pool_waiter *make(unsigned version, unsigned identity)
{
    assert_true(waiters_count < WAITERS_MAX);
    struct bpi_pool_waiter *waiter = &waiters[waiters_count++];
    memset(waiter, 0, sizeof(*waiter));
    waiter->key.protocol = version;
    waiter->key.identity[0] = (uint8_t)identity;
    waiter->protocol_bit = version == NEW ? NEW_BIT : OLD_BIT;
    waiter->relogin = version == NEW;
    waiter->class_ = BPI_CLASS_READ_WRITE;
    waiter->priority = BPI_PRIORITY_NORMAL;
    waiter->user_key = identity;
    return waiter;
}

/* One of ANN's in this class. */
static inline struct bpi_pool_waiter *make_in(enum bpi_class class_)
{
    struct bpi_pool_waiter *waiter = make(NEW, ANN);
    waiter->class_ = class_;
    return waiter;
}

static inline struct bpi_pool_waiter *queue(struct bpi_pool_waiter *waiter)
{
    assert_int_equal(bpi_pool_wait(&pool, waiter, now_us), BPI_POOL_ADMITTED);
    assert_int_equal(waiter->state, BPI_POOL_WAITER_QUEUED);
    check_pool();
    return waiter;
}

static inline struct bpi_pool_waiter *arrive(unsigned version, unsigned identity)
{
    return queue(make(version, identity));
}

static inline struct bpi_pool_waiter *arrive_in(enum bpi_class class_)
{
    return queue(make_in(class_));
}

static inline struct bpi_pool_waiter *arrive_check(unsigned version, unsigned identity)
{
    struct bpi_pool_waiter *check = make(version, identity);
    check->is_check = true;
    check->class_ = BPI_CLASS_HIGH_PRIORITY;
    return queue(check);
}

static inline struct bpi_pool_action decide_on(unsigned loop)
{
    struct bpi_pool_action action = bpi_pool_decide(&pool, loop, now_us);
    check_pool();
    if (action.kind == BPI_POOL_NOTHING) {
        bp_usec next_us = bpi_pool_next_us(&pool, now_us);
        assert_true(next_us == 0 || next_us > now_us);
    }
    return action;
}

static inline struct bpi_pool_action decide(void)
{
    return decide_on(0);
}

/* The next thing to do by `until_us`, letting time pass as next_us() says: NOTHING then. */
static inline struct bpi_pool_action decide_until(bp_usec until_us)
{
    for (int turns = 0;; turns++) {
        assert_true(turns <
                    10000); /* it wants to be asked again and again, and has nothing to say */
        struct bpi_pool_action action = decide();
        if (action.kind != BPI_POOL_NOTHING) {
            return action;
        }
        bp_usec next_us = bpi_pool_next_us(&pool, now_us);
        if (next_us == 0 || next_us > until_us) {
            now_us = until_us;
            return decide();
        }
        now_us = next_us;
    }
}

static inline void expect_nothing(void)
{
    assert_int_equal(decide().kind, BPI_POOL_NOTHING);
}

static inline struct bpi_pool_link *expect_open(struct bpi_pool_waiter *waiter)
{
    struct bpi_pool_action action = decide_until(now_us + PATIENCE_US);
    assert_int_equal(action.kind, BPI_POOL_OPEN);
    assert_ptr_equal(action.waiter, waiter);
    assert_int_equal(action.link->state, BPI_POOL_OPENING);
    assert_memory_equal(&action.link->key, &waiter->key, sizeof(waiter->key));
    return action.link;
}

static inline struct bpi_pool_link *expect_grant(struct bpi_pool_waiter *waiter, bool login)
{
    struct bpi_pool_action action = decide();
    assert_int_equal(action.kind, BPI_POOL_GRANT);
    assert_ptr_equal(action.waiter, waiter);
    assert_int_equal(action.login, login);
    assert_int_equal(action.link->state, BPI_POOL_LEASED);
    action.link->loop = waiter->loop; /* the caller takes it there */
    assert_int_equal(waiter->state, BPI_POOL_WAITER_GRANTED);
    assert_memory_equal(&action.link->key, &waiter->key, sizeof(waiter->key));
    return action.link;
}

static inline void expect_close(struct bpi_pool_link *link)
{
    struct bpi_pool_action action = decide();
    assert_int_equal(action.kind, BPI_POOL_CLOSE);
    assert_ptr_equal(action.link, link);
    assert_int_equal(link->state, BPI_POOL_CLOSING);
}

static inline void expect_probe(struct bpi_pool_link *link)
{
    struct bpi_pool_action action = decide();
    assert_int_equal(action.kind, BPI_POOL_CHECK);
    assert_ptr_equal(action.link, link);
    assert_int_equal(link->state, BPI_POOL_CHECKING);
}

static inline void expect_refuse(struct bpi_pool_waiter *waiter, enum bpi_pool_refusal refusal)
{
    struct bpi_pool_action action = decide();
    assert_int_equal(action.kind, BPI_POOL_REFUSE);
    assert_ptr_equal(action.waiter, waiter);
    assert_int_equal(action.refusal, refusal);
    assert_int_not_equal(waiter->state, BPI_POOL_WAITER_QUEUED);
}

static inline void expect_call(struct bpi_pool_waiter *waiter)
{
    struct bpi_pool_action action = decide();
    assert_int_equal(action.kind, BPI_POOL_CALL);
    assert_ptr_equal(action.waiter, waiter);
    assert_int_equal(waiter->state, BPI_POOL_WAITER_QUEUED);
    assert_true(waiter->called);
}

static inline void opened(struct bpi_pool_link *link)
{
    bpi_pool_link_opened(&pool, link, now_us);
    check_pool();
}

static inline void released(struct bpi_pool_link *link)
{
    bpi_pool_link_released(&pool, link, false, now_us);
    check_pool();
}

static inline void failed(struct bpi_pool_link *link)
{
    bpi_pool_link_released(&pool, link, true, now_us);
    check_pool();
}

static inline void checked(struct bpi_pool_link *link)
{
    bpi_pool_link_checked(&pool, link, now_us);
    check_pool();
}

static inline void closing(struct bpi_pool_link *link)
{
    bpi_pool_link_closing(&pool, link, now_us);
    check_pool();
}

static inline void closed(struct bpi_pool_link *link)
{
    bpi_pool_link_closed(&pool, link, now_us);
    check_pool();
}

static inline bool cancel(struct bpi_pool_waiter *waiter)
{
    bool cancelled = bpi_pool_cancel(&pool, waiter, now_us);
    check_pool();
    return cancelled;
}

static inline struct bpi_pool_link *take(struct bpi_pool_waiter *waiter)
{
    struct bpi_pool_link *link = bpi_pool_take(&pool, waiter, now_us);
    check_pool();
    if (link != NULL) {
        assert_int_equal(link->state, BPI_POOL_LEASED);
        assert_int_equal(waiter->state, BPI_POOL_WAITER_GRANTED);
        link->loop = waiter->loop;
    }
    return link;
}

/* Does what is to be done until the waiter has a link; openings and closings take no time. */
static inline struct bpi_pool_link *serve(struct bpi_pool_waiter *waiter)
{
    while (true) {
        struct bpi_pool_action action = decide_until(now_us + PATIENCE_US);
        if (action.kind == BPI_POOL_OPEN) {
            opened(action.link);
        } else if (action.kind == BPI_POOL_CLOSE) {
            closed(action.link);
        } else if (action.kind == BPI_POOL_CALL) {
            struct bpi_pool_link *link = bpi_pool_come(&pool, action.waiter, now_us);
            check_pool();
            if (link != NULL) {
                assert_ptr_equal(action.waiter, waiter);
                return link;
            }
        } else {
            assert_int_equal(action.kind, BPI_POOL_GRANT);
            assert_ptr_equal(action.waiter, waiter);
            return action.link;
        }
    }
}

/* A link that is leased to a waiter of its own. */
static inline struct bpi_pool_link *leased(unsigned version, unsigned identity)
{
    return serve(arrive(version, identity));
}

static inline struct bpi_pool_link *leased_in(enum bpi_class class_)
{
    return serve(arrive_in(class_));
}

/* Fills the pool with idle links of ANN, whatever the limits of classes say. */
static inline void fill(unsigned count)
{
    struct bpi_pool_link *links[PLACES_MAX];
    struct bpi_pool_limits open_limits = limits;
    for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
        open_limits.classes[i] = (struct bpi_pool_class_limits){.share = limits.classes[i].share};
    }
    open_limits.endpoint_transactions_max = 0;
    bpi_pool_set_limits(&pool, &open_limits);
    for (unsigned i = 0; i < count; i++) {
        links[i] = leased(NEW, ANN);
    }
    for (unsigned i = 0; i < count; i++) {
        released(links[i]);
    }
    bpi_pool_set_limits(&pool, &limits);
    check_pool();
}

static inline struct bpi_pool_class_limits *limits_of(enum bpi_class class_)
{
    return &limits.classes[class_];
}

/* The class holds links for `hold_us`, so often that the pool knows how long its holds are. */
static inline void teach(enum bpi_class class_, bp_usec hold_us)
{
    for (int i = 0; i < 2 * BPI_POOL_QUICK_MIN; i++) {
        struct bpi_pool_link *link = leased_in(class_);
        now_us += hold_us;
        released(link);
    }
}

#endif
