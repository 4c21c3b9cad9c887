/* The world of test_pool_model.c: what it knows by its own books, and what it answers by looking at everything.
 *
 * `person`s wish for links and `place`s hold them; each has the pool's object in it as its first field, so that an
 * action leads back to the books. Times are those that the pool was told.
 */
#ifndef BPI_TESTS_POOL_MODEL_H
#define BPI_TESTS_POOL_MODEL_H

#include "base/random.h"
#include "pool/pool.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define PLACES_MAX    8
#define PERSONS_MAX   24
#define LOOPS_MAX     4
#define ENDPOINTS_MAX 3
#define VERSIONS      3 /* the first has no LOGOFF */
#define TENANTS       4
#define NEVER         UINT64_MAX
#define NOBODY        (-1)
/* Holds that the pool may still remember when it judges a class (share.c halves at 200). */
#define HOLDS_KNOWN 800
/* Whoever has to be answered is, when the next loop asks. */
#define LATE_US_MAX ((bp_usec)2000)

enum person_state { OUT, WAITING, HOLDING, CHECKING };

/* What the model knows of a person; `waiter` is the pool's. */
struct person {
    struct bpi_pool_waiter waiter;
    enum person_state state;
    unsigned order; /* of arrival */
    bp_usec since_us;
    bp_usec ends_us;   /* when it has to be answered; NEVER */
    bp_usec queued_us; /* since when it is in the queue, or back in it */
    bp_usec order_us;
    bp_usec back_us; /* when it comes again */
    bp_usec come_us; /* called: when it asks */
};

/* What the model knows of a place; `link` is the pool's. */
struct place {
    struct bpi_pool_link link;
    enum bpi_pool_link_state state;
    unsigned version, identity, endpoint, loop;
    bool is_doomed;
    bool is_check;
    int person; /* OPENING: for whom; LEASED: whose */
    unsigned class_, user, database, tenant, errors;
    bp_usec login_us, idle_us, heard_us, opened_us, leased_us, checking_us;
    bp_usec due_us; /* when what goes on ends */
};

struct loop {
    bp_usec ask_us; /* when it asks (again) */
    bp_usec timer_us;
    bp_usec turn_us; /* its clock */
    bool is_asking;
};

static struct world {
    struct bpi_random random;
    uint64_t seed;
    unsigned steps;
    bool is_traced;
    const char *failure; /* the first one */
    int failure_line;
    unsigned step;

    struct bpi_pool pool;
    bp_usec now_us;
    unsigned orders;
    unsigned places_count, persons_count, loops_count, endpoints_count;
    unsigned pace;    /* what goes on takes so many times as long */
    bool is_endless;  /* served persons come again, and nothing is disturbed */
    bool is_peaceful; /* nothing fails any more */
    bool is_jumpy;    /* the clock jumps */
    bool has_ranks;   /* persons differ in priority */
    bool has_deadlines;
    bool is_paused;
    bp_usec wait_us_max;
    bool draining[ENDPOINTS_MAX];
    bp_usec down_us[ENDPOINTS_MAX];
    bool has_warm_key;
    struct bpi_pool_key warm_key;
    struct place places[PLACES_MAX];
    struct person persons[PERSONS_MAX];
    struct loop loops[LOOPS_MAX];
    bp_usec served_us[BPI_CLASS_COUNT][BPI_PRIORITY_COUNT];
    unsigned holds[BPI_CLASS_COUNT]; /* that ended, as far as HOLDS_KNOWN */
    unsigned short_holds[BPI_CLASS_COUNT];
} world;

#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition) && world.failure == NULL) {                                               \
            world.failure = #condition;                                                            \
            world.failure_line = __LINE__;                                                         \
        }                                                                                          \
    } while (0)

static void trace(const char *format, ...) BP_PRINTF(1, 2);

static void trace(const char *format, ...)
{
    if (world.is_traced) {
        va_list arguments;
        va_start(arguments, format);
        printf("%8llu ", (unsigned long long)world.now_us);
        vprintf(format, arguments);
        printf("\n");
        va_end(arguments);
    }
}

static unsigned below(unsigned bound)
{
    return (unsigned)bpi_random_below(&world.random, bound);
}

static bool one_in(unsigned count)
{
    return below(count) == 0;
}

/* So long something takes. */
static bp_usec span(unsigned bound_us)
{
    return (bp_usec)below(bound_us) * world.pace;
}

static bp_usec since(bp_usec now_us, bp_usec then_us)
{
    return now_us > then_us ? now_us - then_us : 0;
}

/* ---- the model's questions, answered by brute force ---- */

static const struct bpi_pool_limits *limits(void)
{
    return &world.pool.limits;
}

static unsigned count_state(enum bpi_pool_link_state state)
{
    unsigned count = 0;
    for (unsigned i = 0; i < world.places_count; i++) {
        count += world.places[i].state == state;
    }
    return count;
}

static unsigned open_count(void)
{
    return world.places_count - count_state(BPI_POOL_CLOSED);
}

static unsigned live_count(void)
{
    return open_count() - count_state(BPI_POOL_CLOSING);
}

static bool has_free_place(void)
{
    return count_state(BPI_POOL_CLOSED) > 0 && open_count() < limits()->links_max;
}

static bool is_queued(const struct person *person)
{
    return person->state == WAITING;
}

static bool is_check(const struct person *person)
{
    return person->waiter.is_check;
}

/* Leases of a class; with `ways`, openings for its waiters too. */
static unsigned class_count(unsigned class_, bool ways)
{
    unsigned count = 0;
    for (unsigned i = 0; i < world.places_count; i++) {
        const struct place *place = &world.places[i];
        count += place->state == BPI_POOL_LEASED && place->class_ == class_;
        if (ways && place->state == BPI_POOL_OPENING && !place->is_check &&
            place->person != NOBODY) {
            count += (unsigned)world.persons[place->person].waiter.class_ == class_;
        }
    }
    return count;
}

static unsigned tenant_count(unsigned tenant, unsigned class_)
{
    unsigned count = 0;
    for (unsigned i = 0; i < world.places_count; i++) {
        const struct place *place = &world.places[i];
        count +=
            place->state == BPI_POOL_LEASED && place->class_ == class_ && place->tenant == tenant;
    }
    return count;
}

static unsigned endpoint_count(unsigned endpoint, enum bpi_pool_link_state state)
{
    unsigned count = 0;
    for (unsigned i = 0; i < world.places_count; i++) {
        const struct place *place = &world.places[i];
        count += place->endpoint == endpoint &&
                 (state == BPI_POOL_STATE_COUNT ? place->state != BPI_POOL_CLOSED
                                                : place->state == state);
    }
    return count;
}

/* Whether its class, user or database has as many leases as it may; with `ways`, openings for others count too. */
static bool is_capped(const struct person *person, bool ways)
{
    const struct bpi_pool_waiter *waiter = &person->waiter;
    unsigned user = 0, database = 0;
    for (unsigned i = 0; i < world.places_count; i++) {
        const struct place *place = &world.places[i];
        if (place->state == BPI_POOL_LEASED) {
            user += place->user == waiter->user_key;
            database += place->database == waiter->database_key;
        } else if (ways && place->state == BPI_POOL_OPENING && !place->is_check &&
                   place->person != NOBODY) {
            const struct bpi_pool_waiter *other = &world.persons[place->person].waiter;
            user += other->user_key == waiter->user_key;
            database += other->database_key == waiter->database_key;
        }
    }
    unsigned class_max = limits()->classes[waiter->class_].max;
    return (class_max != 0 && class_count(waiter->class_, ways) >= class_max) ||
           (limits()->user_links_max != 0 && waiter->user_key != 0 &&
            user >= limits()->user_links_max) ||
           (limits()->database_links_max != 0 && waiter->database_key != 0 &&
            database >= limits()->database_links_max);
}

/* What may be leased at one time. */
static unsigned slots(void)
{
    unsigned max = limits()->endpoint_transactions_max;
    unsigned transactions = 0;
    for (unsigned i = 0; i < world.endpoints_count; i++) {
        transactions += world.draining[i] ? 0 : max;
    }
    return max == 0 || transactions > limits()->links_max ? limits()->links_max : transactions;
}

/* What other classes hold below their minima. */
static unsigned unused_minima(unsigned but_class)
{
    unsigned unused = 0;
    for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
        unsigned min = limits()->classes[i].min;
        unsigned held = class_count(i, false);
        unused += i != but_class && held < min ? min - held : 0;
    }
    return unused;
}

static bool is_below_minimum(unsigned class_)
{
    return class_count(class_, false) < limits()->classes[class_].min;
}

/* By what was seen of it, however it is remembered: no class with too few holds, or with long ones only. */
static bool can_be_quick(unsigned class_)
{
    return limits()->lend_max_hold_us != 0 && world.holds[class_] >= BPI_POOL_QUICK_MIN &&
           world.short_holds[class_] > 0;
}

/* Whether the class may have one more whatever is lent to it: below its minimum, or from what nobody else needs. */
static bool may_surely_take(unsigned class_)
{
    unsigned leased = count_state(BPI_POOL_LEASED);
    unsigned left = slots() > leased ? slots() - leased : 0;
    return is_below_minimum(class_) || left > unused_minima(class_);
}

static bool endpoint_is_open(unsigned endpoint, bp_usec now_us)
{
    const struct bpi_pool_endpoint *seen = &world.pool.endpoints[endpoint];
    return seen->up && !world.draining[endpoint] && seen->open_after_us <= now_us;
}

static bool endpoint_has_slot(unsigned endpoint)
{
    unsigned max = limits()->endpoint_transactions_max;
    return max == 0 || endpoint_count(endpoint, BPI_POOL_LEASED) < max;
}

/* Where all transactions are in use, a log-in would take a worker thread more. */
static bool endpoint_has_room(unsigned endpoint)
{
    return endpoint_has_slot(endpoint) &&
           (limits()->endpoint_links_max == 0 ||
            endpoint_count(endpoint, BPI_POOL_STATE_COUNT) < limits()->endpoint_links_max) &&
           (limits()->endpoint_connects_max == 0 ||
            endpoint_count(endpoint, BPI_POOL_OPENING) < limits()->endpoint_connects_max);
}

/* With `room`, one that is not full. */
static bool may_be_opened_for(const struct person *person, bool room, bp_usec now_us)
{
    for (unsigned i = 0; i < world.endpoints_count; i++) {
        if (endpoint_is_open(i, now_us) && (!room || endpoint_has_room(i)) &&
            (world.pool.endpoints[i].protocols & person->waiter.protocol_bit) != 0) {
            return true;
        }
    }
    return false;
}

static bool is_opened_for(unsigned person)
{
    for (unsigned i = 0; i < world.places_count; i++) {
        if (world.places[i].state == BPI_POOL_OPENING && !world.places[i].is_check &&
            world.places[i].person == (int)person) {
            return true;
        }
    }
    return false;
}

static bool has_lived(const struct place *place, bp_usec now_us)
{
    return place->link.life_until_us != 0 && now_us >= place->link.life_until_us;
}

static bool is_idle_of(const struct place *place, const struct person *person, bp_usec now_us)
{
    return place->state == BPI_POOL_IDLE && !place->is_doomed && !has_lived(place, now_us) &&
           place->version == person->waiter.key.protocol;
}

static bool is_stale(const struct place *place, bp_usec now_us)
{
    bp_usec ttl_us = limits()->auth_ttl_us;
    return ttl_us != 0 && since(now_us, place->login_us) >= ttl_us;
}

/* Not heard for long, or not since its server went down. */
static bool is_silent(const struct place *place, bp_usec now_us)
{
    bp_usec after_us = limits()->check_after_us;
    return (after_us != 0 && since(now_us, place->heard_us) > after_us) ||
           (!world.pool.endpoints[place->endpoint].up &&
            place->heard_us <= world.down_us[place->endpoint]);
}

static bool fits_exactly(const struct place *place, const struct person *person, bp_usec now_us)
{
    return is_idle_of(place, person, now_us) && place->identity == person->waiter.key.identity[0] &&
           !is_stale(place, now_us);
}

/* And can be leased as it is. */
static bool is_ready_for(const struct place *place, const struct person *person, bp_usec now_us)
{
    return fits_exactly(place, person, now_us) && !is_silent(place, now_us) &&
           endpoint_has_slot(place->endpoint) && !world.draining[place->endpoint];
}

static bool is_impatient(const struct person *person, bp_usec now_us)
{
    return since(now_us, person->since_us) >= BPI_POOL_FIT_WAIT_US;
}

static bool is_passed_over(const struct person *person, bp_usec now_us)
{
    return since(now_us, person->since_us) >= limits()->pass_over_us;
}

static bool is_over(const struct place *place, bp_usec now_us)
{
    return has_lived(place, now_us) ||
           (limits()->idle_timeout_us != 0 && live_count() > limits()->idle_min &&
            now_us >= place->idle_us + limits()->idle_timeout_us);
}

/* Whose turn it is in a class: levels with their age, tenants, deadlines, arrival. */
static unsigned level_rank(unsigned class_, unsigned level, bp_usec now_us, unsigned *ret_oldest)
{
    const struct person *oldest = NULL;
    for (unsigned i = 0; i < world.persons_count; i++) {
        const struct person *person = &world.persons[i];
        if (is_queued(person) && !is_check(person) && (unsigned)person->waiter.class_ == class_ &&
            (unsigned)person->waiter.priority == level &&
            (oldest == NULL || person->order < oldest->order)) {
            oldest = person;
        }
    }
    if (oldest == NULL) {
        return 0;
    }
    *ret_oldest = oldest->order;
    bp_usec then_us = oldest->since_us;
    if (world.served_us[class_][level] > then_us) {
        then_us = world.served_us[class_][level];
    }
    bp_usec steps = since(now_us, then_us) / BPI_POOL_AGE_STEP_US;
    return level + (steps > BPI_PRIORITY_COUNT ? BPI_PRIORITY_COUNT : (unsigned)steps);
}

/* Whether `a` goes before `b`, of the same class, beyond doubt. */
static bool goes_before(const struct person *a, const struct person *b, bp_usec now_us)
{
    const struct bpi_pool_waiter *left = &a->waiter;
    const struct bpi_pool_waiter *right = &b->waiter;
    unsigned class_ = left->class_;
    if (left->priority != right->priority) {
        unsigned oldest[2] = {0, 0};
        unsigned rank[2] = {level_rank(class_, left->priority, now_us, &oldest[0]),
                            level_rank(class_, right->priority, now_us, &oldest[1])};
        return rank[0] != rank[1] ? rank[0] > rank[1] : oldest[0] < oldest[1];
    }
    if (left->tenant_key != right->tenant_key) {
        return tenant_count((unsigned)left->tenant_key, class_) <
               tenant_count((unsigned)right->tenant_key, class_);
    }
    return a->order_us != b->order_us ? a->order_us < b->order_us : a->order < b->order;
}

/* ---- events ---- */

static void ask(unsigned loop)
{
    struct loop *own = &world.loops[loop];
    bp_usec at_us = world.now_us + below(100);
    if (own->ask_us > at_us) {
        own->ask_us = at_us;
    }
}

static void ask_all(void)
{
    for (unsigned i = 0; i < world.loops_count; i++) {
        ask(i);
    }
}

static void compare(void)
{
    EXPECT(bpi_pool_check(&world.pool));
    EXPECT(bpi_pool_open_count(&world.pool) == open_count());
    for (unsigned i = 0; i < world.places_count; i++) {
        EXPECT(world.places[i].state == world.places[i].link.state);
    }
    unsigned waiting = 0;
    for (unsigned i = 0; i < world.persons_count; i++) {
        const struct person *person = &world.persons[i];
        waiting += is_queued(person);
        EXPECT(is_queued(person) == (person->waiter.state == BPI_POOL_WAITER_QUEUED));
        EXPECT(!is_queued(person) || person->ends_us == NEVER ||
               world.now_us <= person->ends_us + LATE_US_MAX ||
               world.now_us <= person->queued_us + LATE_US_MAX);
    }
    EXPECT(waiting == world.pool.waiters_count);
    for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
        EXPECT(world.pool.classes[i].leased == class_count(i, false));
    }
    for (unsigned i = 0; i < world.endpoints_count; i++) {
        EXPECT(world.pool.endpoints[i].open_count == endpoint_count(i, BPI_POOL_STATE_COUNT));
        EXPECT(world.pool.endpoints[i].leased_count == endpoint_count(i, BPI_POOL_LEASED));
        EXPECT(world.pool.endpoints[i].opening_count == endpoint_count(i, BPI_POOL_OPENING));
    }
}

/* The person waits no more: nothing is opened for it. */
static void forget_ties(unsigned person)
{
    for (unsigned i = 0; i < world.places_count; i++) {
        if (world.places[i].state == BPI_POOL_OPENING && world.places[i].person == (int)person) {
            world.places[i].person = NOBODY;
        }
    }
}

static void person_leaves(unsigned index)
{
    struct person *person = &world.persons[index];
    person->state = OUT;
    person->come_us = NEVER;
    if (world.is_endless) {
        person->back_us = world.now_us + span(300);
    }
    memset(&person->waiter, 0xa5, sizeof(person->waiter)); /* freed */
    person->waiter.state = BPI_POOL_WAITER_NONE;
    person->waiter.is_check = false;
}

/* Back into the queue, or into it. */
static void person_waits(struct person *person)
{
    person->state = WAITING;
    person->queued_us = world.now_us;
    person->come_us = NEVER;
    ask(person->waiter.loop);
}

static void on_lease(struct place *place, unsigned index, bool login, bp_usec now_us)
{
    struct person *person = &world.persons[index];
    const struct bpi_pool_waiter *waiter = &person->waiter;
    bp_usec waited_us = since(world.now_us, person->since_us);
    if (waited_us > world.wait_us_max) {
        world.wait_us_max = waited_us;
    }
    forget_ties(index);
    person->state = HOLDING;
    person->come_us = NEVER;
    place->state = BPI_POOL_LEASED;
    place->person = (int)index;
    place->is_check = false;
    place->class_ = waiter->class_;
    place->user = (unsigned)waiter->user_key;
    place->database = (unsigned)waiter->database_key;
    place->tenant = (unsigned)waiter->tenant_key;
    place->identity = waiter->key.identity[0];
    place->login_us = login ? now_us : place->login_us;
    place->leased_us = now_us;
    place->loop = waiter->loop;
    place->link.loop = waiter->loop;
    place->due_us = world.now_us + span(one_in(8) ? 20000 : 3000);
    if (world.is_endless) {
        place->due_us = world.now_us + span(3000);
    }
}

/* What no lease may do, whoever decided on it; before it is in the books. */
static void expect_lease(const struct place *place, const struct person *person, bp_usec now_us)
{
    unsigned class_ = person->waiter.class_;
    unsigned unused = unused_minima(class_);
    unsigned spare = unused < BPI_POOL_LENT_SPARE ? unused : BPI_POOL_LENT_SPARE;
    EXPECT(place->state == BPI_POOL_IDLE && !place->is_doomed);
    EXPECT(!world.is_paused && !is_check(person));
    EXPECT(place->version == person->waiter.key.protocol);
    EXPECT(!is_capped(person, false));
    EXPECT(endpoint_has_slot(place->endpoint) && !world.draining[place->endpoint]);
    EXPECT(!has_lived(place, now_us));
    /* What others hold below their minima stays free, but for what is lent. */
    if (!is_below_minimum(class_)) {
        unsigned kept = can_be_quick(class_) ? spare : unused;
        EXPECT(count_state(BPI_POOL_LEASED) + 1 + kept <= slots());
    }
}

/* The quick way: nobody whose turn it is may be passed. */
static bool person_takes(unsigned index)
{
    struct person *person = &world.persons[index];
    bp_usec now_us = world.now_us;
    struct bpi_pool_link *link = bpi_pool_take(&world.pool, &person->waiter, now_us);
    if (link == NULL) {
        bool must = world.pool.waiters_count == 0 && !world.is_paused && !is_check(person) &&
                    !is_capped(person, false) && may_surely_take(person->waiter.class_);
        for (unsigned i = 0; i < world.places_count; i++) {
            EXPECT(!must || !is_ready_for(&world.places[i], person, now_us));
        }
        return false;
    }
    struct place *place = (struct place *)(void *)link;
    trace("person %u takes place %ld", index, (long)(place - world.places));
    expect_lease(place, person, now_us);
    EXPECT(is_ready_for(place, person, now_us));
    for (unsigned i = 0; i < world.persons_count; i++) {
        const struct person *other = &world.persons[i];
        if (is_queued(other) && !is_check(other) && !is_capped(other, false) &&
            may_surely_take(other->waiter.class_) && is_ready_for(place, other, now_us)) {
            EXPECT(limits()->barging && !is_passed_over(other, now_us));
            EXPECT(other->waiter.class_ == person->waiter.class_);
            EXPECT(other->waiter.priority <= person->waiter.priority);
        }
    }
    on_lease(place, index, false, now_us);
    return true;
}

static void expect_refusal(const struct person *person, enum bpi_pool_refusal refusal)
{
    const struct bpi_pool_waiter *waiter = &person->waiter;
    unsigned waiting = 0;
    for (unsigned i = 0; i < world.persons_count; i++) {
        const struct person *other = &world.persons[i];
        waiting += is_queued(other) && !is_check(other) && other->waiter.class_ == waiter->class_;
    }
    unsigned max = limits()->classes[waiter->class_].waiting_max;
    EXPECT(is_check(person) || (refusal == BPI_POOL_QUEUE_FULL) == (max != 0 && waiting >= max));
    EXPECT(refusal != BPI_POOL_HOPELESS || waiter->deadline_us != 0);
    EXPECT(refusal != BPI_POOL_EXPIRED || person->ends_us <= world.now_us);
    EXPECT(refusal != BPI_POOL_SHED ||
           (waiter->deadline_us > world.now_us &&
            64 * waiter->estimate_us > waiter->deadline_us - world.now_us));
}

static void person_arrives(unsigned index)
{
    struct person *person = &world.persons[index];
    struct bpi_pool_waiter *waiter = &person->waiter;
    unsigned version = below(VERSIONS);
    memset(waiter, 0, sizeof(*waiter));
    waiter->key.protocol = version;
    waiter->key.identity[0] = (uint8_t)(1 + below(4));
    waiter->protocol_bit = 1u << version;
    waiter->relogin = version > 0;
    waiter->is_check = one_in(10);
    waiter->class_ = below(BPI_CLASS_COUNT);
    waiter->priority = world.has_ranks ? below(BPI_PRIORITY_COUNT) : BPI_PRIORITY_NORMAL;
    waiter->user_key = one_in(8) ? 0 : waiter->key.identity[0];
    waiter->database_key = below(3);
    if (world.seed % 3 == 1) {
        waiter->tenant_key = waiter->user_key; /* each user is a tenant */
    } else if (world.seed % 3 == 2) {
        waiter->tenant_key = 100 + below(TENANTS); /* applications, each with all users */
    }
    waiter->loop = below(world.loops_count);
    if (world.has_deadlines) {
        waiter->expires_us = one_in(3) ? world.now_us + span(50000) : 0;
        waiter->deadline_us = one_in(3) ? world.now_us + span(50000) : 0;
        waiter->sheddable = one_in(2);
    }
    person->order = ++world.orders;
    person->since_us = world.now_us;
    person->back_us = NEVER;
    person->come_us = NEVER;
    person->ends_us = NEVER;
    if (waiter->expires_us != 0) {
        person->ends_us = waiter->expires_us;
    }
    if (waiter->deadline_us != 0 && waiter->deadline_us < person->ends_us) {
        person->ends_us = waiter->deadline_us;
    }
    person->order_us =
        person->ends_us == NEVER ? world.now_us + BPI_POOL_ORDER_US : person->ends_us;
    trace("person %u%s arrives: version %u identity %u class %d priority %d tenant %u database %u "
          "loop %u until %lld",
          index, waiter->is_check ? " (check)" : "", version, waiter->key.identity[0],
          (int)waiter->class_, (int)waiter->priority, (unsigned)waiter->tenant_key,
          (unsigned)waiter->database_key, waiter->loop, (long long)person->ends_us);
    if (one_in(2) && !waiter->is_check && person_takes(index)) {
        return;
    }
    enum bpi_pool_refusal refusal = bpi_pool_wait(&world.pool, waiter, world.now_us);
    expect_refusal(person, refusal);
    if (refusal == BPI_POOL_ADMITTED) {
        person_waits(person);
    } else {
        trace("person %u is refused: %d", index, (int)refusal);
        person_leaves(index);
    }
}

/* A thread that was called runs at last. */
static void person_comes(unsigned index)
{
    struct person *person = &world.persons[index];
    bp_usec now_us = world.now_us;
    struct bpi_pool_link *link = bpi_pool_come(&world.pool, &person->waiter, now_us);
    person->come_us = NEVER;
    ask(person->waiter.loop); /* there may be something for others now */
    if (link == NULL) {
        trace("person %u comes, and waits on", index);
        return;
    }
    struct place *place = (struct place *)(void *)link;
    trace("person %u comes, and takes place %ld", index, (long)(place - world.places));
    expect_lease(place, person, now_us);
    EXPECT(is_ready_for(place, person, now_us));
    world.served_us[person->waiter.class_][person->waiter.priority] = now_us;
    on_lease(place, index, false, now_us);
}

static void place_closes(struct place *place)
{
    trace("place %ld is closed", (long)(place - world.places));
    bpi_pool_link_closed(&world.pool, &place->link, world.now_us);
    place->state = BPI_POOL_CLOSED;
    place->person = NOBODY;
    place->is_doomed = false;
    place->due_us = NEVER;
    ask(place->loop);
}

static void place_starts_closing(struct place *place)
{
    bpi_pool_link_closing(&world.pool, &place->link, world.now_us);
    place->state = BPI_POOL_CLOSING;
    place->person = NOBODY;
    place->due_us = world.now_us + span(1000);
    ask(place->loop);
    if (one_in(2)) {
        place_closes(place);
    }
}

static void place_gets_idle(struct place *place)
{
    if (place->state != BPI_POOL_CHECKING) {
        place->idle_us = world.now_us;
    }
    place->state = BPI_POOL_IDLE;
    place->person = NOBODY;
    place->heard_us = world.now_us;
    place->due_us = NEVER;
    place->is_doomed |= has_lived(place, world.now_us) || world.draining[place->endpoint];
    ask(place->loop);
}

static void check_fails(struct place *place)
{
    unsigned index = (unsigned)place->person;
    struct person *person = &world.persons[index];
    if (one_in(2)) {
        /* The server was lost: the check comes again, before or after the link is closed. */
        bool before = one_in(2);
        if (!before) {
            place_closes(place);
        }
        bpi_pool_wait_again(&world.pool, &person->waiter);
        person_waits(person);
        if (before) {
            place_closes(place);
        }
    } else {
        person_leaves(index); /* and is freed before the link is closed */
        place_closes(place);
    }
}

static void lease_is_over(struct place *place, bool is_failed)
{
    bp_usec held_us = since(world.now_us, place->leased_us);
    bp_usec max_us = limits()->lend_max_hold_us;
    if (!place->is_check) {
        world.holds[place->class_] += world.holds[place->class_] < HOLDS_KNOWN;
        world.short_holds[place->class_] =
            held_us <= max_us
                ? HOLDS_KNOWN
                : world.short_holds[place->class_] - (world.short_holds[place->class_] > 0);
    }
    place->errors = is_failed ? place->errors + 1 : 0;
    place->is_doomed |= limits()->errors_max != 0 && place->errors >= limits()->errors_max;
    bpi_pool_link_released(&world.pool, &place->link, is_failed, world.now_us);
}

static void opening_ends(struct place *place)
{
    if (!world.is_peaceful && one_in(5)) {
        trace("place %ld could not be opened", (long)(place - world.places));
        if (place->is_check && place->person != NOBODY) {
            check_fails(place);
        } else {
            place_closes(place);
        }
        return;
    }
    trace("place %ld is opened", (long)(place - world.places));
    bp_usec life_us = limits()->lifetime_us;
    bpi_pool_link_opened(&world.pool, &place->link, world.now_us);
    place->opened_us = world.now_us;
    bp_usec until_us = place->link.life_until_us;
    EXPECT(life_us == 0 ? until_us == 0
                        : until_us >= place->opened_us + life_us - life_us / 10 &&
                              until_us <= place->opened_us + life_us);
    place->login_us = world.now_us;
    place->errors = 0;
    if (!place->is_check) {
        place_gets_idle(place);
        return;
    }
    place->state = BPI_POOL_LEASED;
    place->leased_us = world.now_us;
    compare();
    lease_is_over(place, false);
    person_leaves((unsigned)place->person);
    place_gets_idle(place);
}

static void lease_ends(struct place *place)
{
    unsigned index = (unsigned)place->person;
    struct person *person = &world.persons[index];
    if (world.is_peaceful || !one_in(6)) {
        trace("place %ld is released by person %u", (long)(place - world.places), index);
        lease_is_over(place, !world.is_peaceful && one_in(3));
        person_leaves(index);
        place_gets_idle(place);
        return;
    }
    bp_usec held_us = since(world.now_us, place->leased_us);
    world.holds[place->class_] += world.holds[place->class_] < HOLDS_KNOWN;
    if (held_us <= limits()->lend_max_hold_us) {
        world.short_holds[place->class_] = HOLDS_KNOWN;
    }
    if (one_in(2)) {
        trace("place %ld was dead for person %u", (long)(place - world.places), index);
        bpi_pool_wait_again(&world.pool, &person->waiter);
        person_waits(person);
    } else {
        person_leaves(index);
    }
    place_starts_closing(place);
}

static void checking_ends(struct place *place)
{
    if (!world.is_peaceful && one_in(4)) {
        trace("place %ld fails its check", (long)(place - world.places));
        place_starts_closing(place);
        return;
    }
    trace("place %ld is checked", (long)(place - world.places));
    bpi_pool_link_checked(&world.pool, &place->link, world.now_us);
    place_gets_idle(place);
}

static void place_ends(struct place *place)
{
    switch (place->state) {
    case BPI_POOL_OPENING:
        opening_ends(place);
        break;
    case BPI_POOL_LEASED:
        lease_ends(place);
        break;
    case BPI_POOL_CHECKING:
        checking_ends(place);
        break;
    case BPI_POOL_CLOSING:
        place_closes(place);
        break;
    case BPI_POOL_CLOSED:
    case BPI_POOL_IDLE:
    case BPI_POOL_STATE_COUNT:
        EXPECT(false && "nothing goes on there");
        break;
    }
}

#endif
