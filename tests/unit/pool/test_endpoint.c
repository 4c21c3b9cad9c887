/* Where links are taken from and opened to when a router says who may go where, and at what cost. */
#include "story.h"

#include "base/random.h"

#include <stdlib.h>

#define ENDPOINTS 4
#define BIT(i)    (UINT64_C(1) << (i))

/* A router of the test's: where each waiter may go, and what an endpoint costs. */
static uint64_t fits[WAITERS_MAX];
static double costs[ENDPOINTS];

static uint64_t test_fit(void *user, const struct bpi_pool_waiter *waiter, bp_usec at_us)
{
    (void)user;
    (void)at_us;
    return fits[waiter - waiters];
}

static double
test_cost(void *user, const struct bpi_pool_waiter *waiter, unsigned endpoint, bp_usec at_us)
{
    (void)user;
    (void)waiter;
    (void)at_us;
    return costs[endpoint];
}

static void start_routed(unsigned count, unsigned endpoints)
{
    static const struct bpi_pool_router router = {NULL, test_fit, test_cost};
    start_on(count, endpoints);
    bpi_pool_set_router(&pool, &router);
    for (unsigned i = 0; i < WAITERS_MAX; i++) {
        fits[i] = UINT64_MAX;
    }
    for (unsigned i = 0; i < ENDPOINTS; i++) {
        costs[i] = 1;
    }
}

static struct bpi_pool_waiter *make_for(uint64_t endpoints)
{
    struct bpi_pool_waiter *waiter = make(NEW, ANN);
    fits[waiter - waiters] = endpoints;
    return waiter;
}

static struct bpi_pool_link *leased_at(unsigned endpoint)
{
    struct bpi_pool_link *link = serve(queue(make_for(BIT(endpoint))));
    assert_int_equal(link->endpoint, endpoint);
    return link;
}

static void a_waiter_goes_where_it_may(void **state)
{
    (void)state;
    start_routed(4, 2);
    struct bpi_pool_link *here = leased_at(0);
    struct bpi_pool_link *there = leased_at(1);
    released(here);
    assert_null(take(make_for(BIT(1))));
    struct bpi_pool_waiter *waiter = queue(make_for(BIT(1)));
    expect_open(waiter);
    released(there);
    assert_ptr_equal(expect_grant(waiter, false), there);
    assert_ptr_equal(take(make_for(BIT(0))), here);
}

static void the_cheapest_of_the_idle_links_is_taken(void **state)
{
    (void)state;
    start_routed(3, 3);
    struct bpi_pool_link *links[3];
    for (unsigned i = 0; i < 3; i++) {
        links[i] = leased_at(i);
    }
    for (unsigned i = 0; i < 3; i++) {
        released(links[i]);
    }
    costs[0] = 3;
    costs[1] = 1;
    costs[2] = 2;
    assert_ptr_equal(take(make_for(UINT64_MAX)), links[1]);
    assert_ptr_equal(take(make_for(UINT64_MAX)), links[2]);
    assert_ptr_equal(take(make_for(UINT64_MAX)), links[0]);
    for (unsigned i = 0; i < 3; i++) {
        released(links[i]);
    }
    /* The same through the queue. */
    costs[1] = 9;
    struct bpi_pool_waiter *waiter = queue(make_for(BIT(1) | BIT(2)));
    assert_ptr_equal(expect_grant(waiter, false), links[2]);
}

static void costs_that_are_near_are_equal_and_equals_take_turns(void **state)
{
    (void)state;
    start_routed(2, 2);
    struct bpi_pool_link *links[2] = {leased_at(0), leased_at(1)};
    released(links[1]);
    released(links[0]);
    costs[0] = 1.00;
    costs[1] = 1.03;
    for (int i = 0; i < 6; i++) {
        assert_ptr_equal(take(make_for(UINT64_MAX)), links[i % 2]);
        released(links[i % 2]);
    }
    costs[1] = 1.20;
    for (int i = 0; i < 3; i++) {
        assert_ptr_equal(take(make_for(UINT64_MAX)), links[0]);
        released(links[0]);
    }
}

static void of_one_endpoint_a_link_of_the_own_loop_is_better(void **state)
{
    (void)state;
    start_routed(3, 2);
    struct bpi_pool_link *far = leased_at(0);
    struct bpi_pool_link *near = leased_at(0);
    far->loop = 1;
    released(near);
    released(far);
    assert_ptr_equal(take(make_for(BIT(0))), near);
}

static void a_link_is_opened_to_the_cheapest(void **state)
{
    (void)state;
    start_routed(4, 3);
    costs[0] = 2;
    costs[1] = 1;
    costs[2] = 0.5;
    bpi_pool_endpoint_down(&pool, 2, 0, now_us);
    struct bpi_pool_waiter *waiter = queue(make_for(UINT64_MAX));
    assert_int_equal(expect_open(waiter)->endpoint, 1);
}

/* All work would else stay with whoever had a link first, however slow it is. */
static void a_link_is_opened_ahead_where_it_would_have_been_much_better(void **state)
{
    (void)state;
    start_routed(4, 2);
    struct bpi_pool_link *slow = leased_at(0);
    released(slow);
    costs[0] = 3;
    costs[1] = 1;
    assert_ptr_equal(take(make_for(UINT64_MAX)), slow);
    assert_false(bpi_pool_is_calm(&pool));
    struct bpi_pool_action action = decide();
    assert_int_equal(action.kind, BPI_POOL_OPEN);
    assert_null(action.waiter);
    assert_ptr_equal(action.like, slow);
    assert_int_equal(action.link->endpoint, 1);
    opened(action.link);
    expect_nothing();
    released(slow);
    assert_ptr_equal(take(make_for(UINT64_MAX)), action.link);
    /* Little is gained: none. */
    costs[0] = 1.2;
    assert_ptr_equal(take(make_for(UINT64_MAX)), slow);
    expect_nothing();
}

static void equals_share_the_work(void **state)
{
    (void)state;
    start_routed(6, 2);
    struct bpi_pool_link *first = leased_at(0);
    released(first);
    /* One that was never tried is connected to. */
    assert_ptr_equal(take(make_for(UINT64_MAX)), first);
    struct bpi_pool_action action = decide();
    assert_int_equal(action.kind, BPI_POOL_OPEN);
    assert_int_equal(action.link->endpoint, 1);
    struct bpi_pool_link *other = action.link;
    opened(other);
    expect_nothing();
    assert_ptr_equal(take(make_for(UINT64_MAX)), other); /* it has fewer leases */
    /* It has fewer links than the first one works on. */
    leased_at(0);
    struct bpi_pool_link *third = leased_at(0);
    released(third);
    assert_ptr_equal(take(make_for(UINT64_MAX)), third);
    action = decide();
    assert_int_equal(action.kind, BPI_POOL_OPEN);
    assert_int_equal(action.link->endpoint, 1);
    opened(action.link);
    expect_nothing();
}

static void nothing_is_opened_ahead_where_it_can_not_be(void **state)
{
    (void)state;
    start_routed(1, 2);
    struct bpi_pool_link *only = leased_at(0);
    released(only);
    costs[0] = 3;
    assert_ptr_equal(take(make_for(UINT64_MAX)), only);
    expect_nothing(); /* the pool is full */
    start_routed(4, 2);
    only = leased_at(0);
    released(only);
    costs[0] = 3;
    assert_ptr_equal(take(make_for(BIT(0))), only);
    expect_nothing(); /* the waiter may not go there */
    released(only);
    bpi_pool_endpoint_down(&pool, 1, 0, now_us);
    assert_ptr_equal(take(make_for(UINT64_MAX)), only);
    expect_nothing();
    released(only);
    bpi_pool_endpoint_up(&pool, 1);
    assert_ptr_equal(take(make_for(UINT64_MAX)), only);
    closing(only);
    closed(only);
    expect_nothing(); /* nobody is left as whom it could be */
}

static void one_that_can_go_nowhere_holds_up_nobody(void **state)
{
    (void)state;
    start_routed(2, 2);
    bpi_pool_endpoint_down(&pool, 1, 0, now_us);
    struct bpi_pool_link *link = leased_at(0);
    for (int i = 0; i < 200; i++) {
        queue(make_for(i % 2 == 0 ? BIT(1) : 0));
    }
    struct bpi_pool_waiter *waiter = queue(make_for(BIT(0)));
    released(link);
    assert_ptr_equal(expect_grant(waiter, false), link);
    released(link);
    expect_nothing();
}

static void at_the_limit_a_link_elsewhere_makes_room(void **state)
{
    (void)state;
    start_routed(2, 2);
    struct bpi_pool_link *links[2] = {leased_at(0), leased_at(0)};
    released(links[0]);
    released(links[1]);
    struct bpi_pool_waiter *waiter = queue(make_for(BIT(1)));
    struct bpi_pool_link *link = serve(waiter);
    assert_int_equal(link->endpoint, 1);
}

static void who_may_not_go_there_any_more_is_not_sent_there(void **state)
{
    (void)state;
    start_routed(2, 2);
    struct bpi_pool_waiter *waiter = queue(make_for(BIT(0)));
    struct bpi_pool_link *link = expect_open(waiter);
    fits[waiter - waiters] = BIT(1);
    opened(link);
    struct bpi_pool_link *other = expect_open(waiter);
    assert_int_equal(other->endpoint, 1);
    opened(other);
    assert_ptr_equal(expect_grant(waiter, false), other);
}

/* ---- random histories ---- */

/* Nobody is ever granted a link where it may not go, and whoever may go somewhere where links can be had is served once
 * all is quiet. */
static void random_histories_keep_to_the_router(void **state)
{
    (void)state;
    const char *given = getenv("BP_SEED");
    uint64_t seed = given == NULL ? 20261125 : strtoull(given, NULL, 10);
    struct bpi_random random;
    for (unsigned world = 0; world < 300; world++) {
        bpi_random_init(&random, seed + world);
        unsigned places_count = 1 + (unsigned)bpi_random_below(&random, 8);
        limits.idle_min = (unsigned)bpi_random_below(&random, 3);
        start_routed(places_count, ENDPOINTS);
        struct bpi_pool_link *held[PLACES_MAX];
        unsigned held_count = 0;
        for (unsigned step = 0; step < 300 && waiters_count < WAITERS_MAX - 1; step++) {
            now_us += bpi_random_below(&random, 20000);
            uint64_t what = bpi_random_below(&random, 10);
            if (what < 4) {
                uint64_t fit = bpi_random_below(&random, 1 << ENDPOINTS);
                struct bpi_pool_waiter *waiter = make_for(fit);
                bool gives_up = bpi_random_below(&random, 2) == 0;
                waiter->expires_us = gives_up ? now_us + BP_USEC_PER_SECOND : 0;
                struct bpi_pool_link *link = take(waiter);
                if (link == NULL) {
                    queue(waiter);
                } else {
                    assert_true((fit >> link->endpoint & 1) != 0);
                    held[held_count++] = link;
                }
            } else if (what < 7 && held_count > 0) {
                unsigned i = (unsigned)bpi_random_below(&random, held_count);
                released(held[i]);
                held[i] = held[--held_count];
            } else if (what == 7) {
                costs[bpi_random_below(&random, ENDPOINTS)] = 0.1 + bpi_random_unit(&random);
            } else if (what == 8) {
                unsigned endpoint = (unsigned)bpi_random_below(&random, ENDPOINTS);
                if (bpi_random_below(&random, 2) == 0) {
                    bpi_pool_endpoint_down(&pool, endpoint, 0, now_us);
                } else {
                    bpi_pool_endpoint_up(&pool, endpoint);
                }
            }
            struct bpi_pool_action action;
            while ((action = decide()).kind != BPI_POOL_NOTHING) {
                if (action.kind == BPI_POOL_OPEN) {
                    if (action.waiter != NULL) {
                        assert_true((fits[action.waiter - waiters] >> action.link->endpoint & 1) !=
                                    0);
                    }
                    opened(action.link);
                } else if (action.kind == BPI_POOL_CLOSE) {
                    closed(action.link);
                } else if (action.kind == BPI_POOL_CHECK) {
                    checked(action.link);
                } else if (action.kind == BPI_POOL_GRANT) {
                    assert_true((fits[action.waiter - waiters] >> action.link->endpoint & 1) != 0);
                    held[held_count++] = action.link;
                } else {
                    assert_int_equal(action.kind, BPI_POOL_REFUSE);
                }
            }
        }
        /* All is quiet, and every endpoint is up: whoever waits is served, but for those who may go nowhere. */
        for (unsigned i = 0; i < ENDPOINTS; i++) {
            bpi_pool_endpoint_up(&pool, i);
        }
        while (held_count > 0) {
            released(held[--held_count]);
        }
        for (unsigned i = 0; i < 2000; i++) {
            struct bpi_pool_action action = decide();
            if (action.kind == BPI_POOL_NOTHING) {
                bp_usec next_us = bpi_pool_next_us(&pool, now_us);
                if (next_us == 0 || next_us > now_us + BP_USEC_PER_SECOND) {
                    break;
                }
                now_us = next_us;
            } else if (action.kind == BPI_POOL_OPEN) {
                opened(action.link);
            } else if (action.kind == BPI_POOL_CLOSE) {
                closed(action.link);
            } else if (action.kind == BPI_POOL_CHECK) {
                checked(action.link);
            } else if (action.kind == BPI_POOL_GRANT) {
                released(action.link);
            }
        }
        for (unsigned i = 0; i < waiters_count; i++) {
            if (waiters[i].state == BPI_POOL_WAITER_QUEUED &&
                (fits[i] & (BIT(ENDPOINTS) - 1)) != 0) {
                fail_msg("BP_SEED=%llu: waiter %u is left", (unsigned long long)(seed + world), i);
            }
        }
    }
}

#define STORY(test) cmocka_unit_test_setup(test, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(a_waiter_goes_where_it_may),
        STORY(the_cheapest_of_the_idle_links_is_taken),
        STORY(costs_that_are_near_are_equal_and_equals_take_turns),
        STORY(of_one_endpoint_a_link_of_the_own_loop_is_better),
        STORY(a_link_is_opened_to_the_cheapest),
        STORY(a_link_is_opened_ahead_where_it_would_have_been_much_better),
        STORY(equals_share_the_work),
        STORY(nothing_is_opened_ahead_where_it_can_not_be),
        STORY(one_that_can_go_nowhere_holds_up_nobody),
        STORY(at_the_limit_a_link_elsewhere_makes_room),
        STORY(who_may_not_go_there_any_more_is_not_sent_there),
        STORY(random_histories_keep_to_the_router),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
