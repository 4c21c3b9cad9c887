/* Throws random events at the pool and holds each of its decisions against a model that keeps its own books
 * and answers every question by looking at everything.
 *
 * A world has up to 8 places, 3 endpoints, 4 loops and 24 persons who wish for links. Loops ask as the
 * engine does: after an event of theirs, after a KICK, and at bpi_pool_next_us(), one decision at a time,
 * so that decisions of several loops and events mix. A loop's clock stands still while it asks. Openings
 * and closings take time and may fail, grants may turn out dead, log-ins may be refused.
 *
 * A run is disturbed for a number of steps and then left alone: then everybody must be served within a
 * bounded time, and where nothing is due any more while somebody waits, a wake-up was lost. In every
 * fourth run nothing is disturbed, whoever was served comes again, and no wait may exceed the bound.
 *
 * A failed run prints its seed and the shortest prefix of steps that still fails; BP_SEED=SEED repeats it
 * and prints each step, BP_STEPS=N cuts it.
 */
#include "base/random.h"
#include "pool/pool.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define PLACES_MAX    8
#define PERSONS_MAX   24
#define LOOPS_MAX     4
#define ENDPOINTS_MAX 3
#define VERSIONS      3 /* the first has no LOGOFF */
#define RUNS          3000
#define STEPS         300
#define NEVER         UINT64_MAX
#define NOBODY        (-1)

/* Everybody's turn comes within this, when nobody disturbs: 24 persons one after the other (a cap of 1),
 * each of whom waits for a closing, an opening and a lease of at most 5 ms, and 5 ms of patience. */
#define WAIT_US_MAX ((bp_usec)PERSONS_MAX * 20000)

enum person_state { OUT, WAITING, HOLDING, CHECKING };

/* What the model knows of a person; `waiter` is the pool's. */
struct person {
    struct bpi_pool_waiter waiter;
    enum person_state state;
    unsigned order; /* of arrival */
    bp_usec since_us;
    bp_usec back_us; /* when it comes again */
};

/* What the model knows of a place; `link` is the pool's. */
struct place {
    struct bpi_pool_link link;
    enum bpi_pool_link_state state;
    unsigned version, identity, endpoint, loop;
    bool is_doomed;
    int person; /* OPENING: for whom; LEASED: whose */
    bool is_check;
    unsigned class_, user, database;
    bp_usec login_us, idle_us, opened_us;
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
    bool is_endless;  /* served persons come again, and nothing is disturbed */
    bool is_peaceful; /* nothing fails any more */
    bp_usec wait_us_max;
    struct place places[PLACES_MAX];
    struct person persons[PERSONS_MAX];
    struct loop loops[LOOPS_MAX];
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

/* ---- the model's questions, answered by brute force ---- */

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

static bool has_free_place(void)
{
    return count_state(BPI_POOL_CLOSED) > 0 && open_count() < world.pool.limits.links_max;
}

static bool is_queued(const struct person *person)
{
    return person->state == WAITING;
}

static bool is_check(const struct person *person)
{
    return person->waiter.is_check;
}

/* Leases that count for the person's class, user and database; with `ways`, openings for others too. */
static bool is_capped(const struct person *person, bool ways)
{
    const struct bpi_pool_limits *limits = &world.pool.limits;
    const struct bpi_pool_waiter *waiter = &person->waiter;
    unsigned class_ = 0, user = 0, database = 0;
    for (unsigned i = 0; i < world.places_count; i++) {
        const struct place *place = &world.places[i];
        if (place->state == BPI_POOL_LEASED) {
            class_ += place->class_ == waiter->class_;
            user += place->user == waiter->user_key;
            database += place->database == waiter->database_key;
        } else if (ways && place->state == BPI_POOL_OPENING && !place->is_check &&
                   place->person != NOBODY) {
            const struct bpi_pool_waiter *other = &world.persons[place->person].waiter;
            class_ += other->class_ == waiter->class_;
            user += other->user_key == waiter->user_key;
            database += other->database_key == waiter->database_key;
        }
    }
    unsigned class_max = limits->class_links_max[waiter->class_];
    return (class_max != 0 && class_ >= class_max) ||
           (limits->user_links_max != 0 && user >= limits->user_links_max) ||
           (limits->database_links_max != 0 && database >= limits->database_links_max);
}

static bool has_any_cap(void)
{
    const struct bpi_pool_limits *limits = &world.pool.limits;
    unsigned sum = limits->user_links_max + limits->database_links_max;
    for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
        sum += limits->class_links_max[i];
    }
    return sum > 0;
}

static bool may_be_opened_for(const struct person *person, bp_usec now_us)
{
    for (unsigned i = 0; i < world.endpoints_count; i++) {
        const struct bpi_pool_endpoint *endpoint = &world.pool.endpoints[i];
        if (endpoint->up && endpoint->open_after_us <= now_us &&
            (endpoint->protocols & person->waiter.protocol_bit) != 0) {
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

static bool is_idle_of(const struct place *place, const struct person *person)
{
    return place->state == BPI_POOL_IDLE && !place->is_doomed &&
           place->version == person->waiter.key.protocol;
}

static bool is_stale(const struct place *place, bp_usec now_us)
{
    bp_usec ttl_us = world.pool.limits.auth_ttl_us;
    return ttl_us != 0 && now_us >= place->login_us + ttl_us;
}

static bool fits_exactly(const struct place *place, const struct person *person, bp_usec now_us)
{
    return is_idle_of(place, person) && place->identity == person->waiter.key.identity[0] &&
           !is_stale(place, now_us);
}

static bool is_impatient(const struct person *person, bp_usec now_us)
{
    return now_us >= person->since_us + BPI_POOL_FIT_WAIT_US;
}

static bool is_over(const struct place *place, bp_usec now_us)
{
    const struct bpi_pool_limits *limits = &world.pool.limits;
    return (limits->idle_timeout_us != 0 && now_us >= place->idle_us + limits->idle_timeout_us) ||
           (limits->lifetime_us != 0 && now_us >= place->opened_us + limits->lifetime_us);
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
    }
    EXPECT(waiting == world.pool.waiters_count);
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
    if (world.is_endless) {
        person->back_us = world.now_us + below(300);
    }
    memset(&person->waiter, 0xa5, sizeof(person->waiter)); /* freed */
    person->waiter.state = BPI_POOL_WAITER_NONE;
    person->waiter.is_check = false;
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
    waiter->user_key = waiter->key.identity[0];
    waiter->database_key = below(2);
    waiter->loop = below(world.loops_count);
    person->state = WAITING;
    person->order = ++world.orders;
    person->since_us = world.now_us;
    person->back_us = NEVER;
    trace("person %u%s arrives: version %u identity %u class %d database %u loop %u", index,
          waiter->is_check ? " (check)" : "", version, waiter->key.identity[0], (int)waiter->class_,
          (unsigned)waiter->database_key, waiter->loop);
    bpi_pool_wait(&world.pool, waiter, world.now_us);
    ask(waiter->loop);
}

static void place_closes(struct place *place)
{
    trace("place %ld is closed", (long)(place - world.places));
    bpi_pool_link_closed(&world.pool, &place->link);
    place->state = BPI_POOL_CLOSED;
    place->person = NOBODY;
    place->is_doomed = false;
    place->due_us = NEVER;
    ask(place->loop);
}

static void place_gets_idle(struct place *place)
{
    bp_usec lifetime_us = world.pool.limits.lifetime_us;
    place->state = BPI_POOL_IDLE;
    place->person = NOBODY;
    place->idle_us = world.now_us;
    place->due_us = NEVER;
    place->is_doomed |= lifetime_us != 0 && world.now_us >= place->opened_us + lifetime_us;
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
        person->state = WAITING;
        ask(person->waiter.loop);
        if (before) {
            place_closes(place);
        }
    } else {
        person_leaves(index); /* and is freed before the link is closed */
        place_closes(place);
    }
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
    bpi_pool_link_opened(&world.pool, &place->link, world.now_us);
    place->login_us = world.now_us;
    if (!place->is_check) {
        place_gets_idle(place);
        return;
    }
    place->state = BPI_POOL_LEASED;
    compare();
    bpi_pool_link_released(&world.pool, &place->link, world.now_us);
    person_leaves((unsigned)place->person);
    place_gets_idle(place);
}

static void lease_ends(struct place *place)
{
    unsigned index = (unsigned)place->person;
    struct person *person = &world.persons[index];
    if (world.is_peaceful || !one_in(6)) {
        trace("place %ld is released by person %u", (long)(place - world.places), index);
        bpi_pool_link_released(&world.pool, &place->link, world.now_us);
        person_leaves(index);
        place_gets_idle(place);
        return;
    }
    if (one_in(2)) {
        trace("place %ld was dead for person %u", (long)(place - world.places), index);
        bpi_pool_wait_again(&world.pool, &person->waiter);
        person->state = WAITING;
    } else {
        person_leaves(index);
    }
    bpi_pool_link_closing(&world.pool, &place->link);
    place->state = BPI_POOL_CLOSING;
    place->person = NOBODY;
    place->due_us = world.now_us + below(1000);
    if (one_in(2)) {
        place_closes(place);
    }
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

/* ---- decisions ---- */

static void on_grant(const struct bpi_pool_action *action, bp_usec now_us)
{
    struct place *place = (struct place *)(void *)action->link;
    struct person *person = (struct person *)(void *)action->waiter;
    unsigned index = (unsigned)(person - world.persons);
    EXPECT(place->state == BPI_POOL_IDLE && !place->is_doomed);
    EXPECT(is_queued(person) && !is_check(person));
    EXPECT(place->version == person->waiter.key.protocol);
    EXPECT(action->login ? person->waiter.relogin : fits_exactly(place, person, now_us));
    EXPECT(!is_capped(person, false));
    for (unsigned i = 0; i < world.persons_count; i++) {
        const struct person *older = &world.persons[i];
        if (!is_queued(older) || is_check(older) || older->order >= person->order ||
            is_capped(older, false)) {
            continue;
        }
        EXPECT(!fits_exactly(place, older, now_us));
        bool could_swap = is_idle_of(place, older) && older->waiter.relogin;
        bool gets_another = has_free_place() && may_be_opened_for(older, now_us);
        EXPECT(!could_swap || !is_impatient(older, now_us) || gets_another);
        /* Passed over only by a better fit, or while something is under way for it. */
        EXPECT(!could_swap || !action->login || gets_another || is_opened_for(i));
    }
    bp_usec waited_us = world.now_us > person->since_us ? world.now_us - person->since_us : 0;
    if (waited_us > world.wait_us_max) {
        world.wait_us_max = waited_us;
    }
    forget_ties(index);
    person->state = HOLDING;
    place->state = BPI_POOL_LEASED;
    place->person = (int)index;
    place->is_check = false;
    place->class_ = person->waiter.class_;
    place->user = (unsigned)person->waiter.user_key;
    place->database = (unsigned)person->waiter.database_key;
    place->identity = person->waiter.key.identity[0];
    place->login_us = action->login ? now_us : place->login_us;
    place->loop = person->waiter.loop;
    action->link->loop = person->waiter.loop;
    place->due_us = world.now_us + below(3000);
}

static void on_open(const struct bpi_pool_action *action, unsigned loop, bp_usec now_us)
{
    struct place *place = (struct place *)(void *)action->link;
    struct person *person = (struct person *)(void *)action->waiter;
    unsigned index = (unsigned)(person - world.persons);
    const struct bpi_pool_endpoint *endpoint = &world.pool.endpoints[action->link->endpoint];
    EXPECT(place->state == BPI_POOL_CLOSED && has_free_place());
    EXPECT(is_queued(person) && person->waiter.loop == loop);
    EXPECT(endpoint->up && endpoint->open_after_us <= now_us);
    EXPECT((endpoint->protocols & person->waiter.protocol_bit) != 0);
    EXPECT(action->link->endpoint < world.endpoints_count);
    if (!is_check(person)) {
        EXPECT(!is_opened_for(index));
        EXPECT(!is_capped(person, true));
        for (unsigned i = 0; i < world.places_count; i++) {
            EXPECT(!fits_exactly(&world.places[i], person, now_us));
            EXPECT(!is_idle_of(&world.places[i], person) ||
                   world.places[i].identity != person->waiter.key.identity[0]);
        }
    }
    place->state = BPI_POOL_OPENING;
    place->version = person->waiter.key.protocol;
    place->identity = person->waiter.key.identity[0];
    place->loop = loop;
    place->endpoint = action->link->endpoint;
    place->person = (int)index;
    place->is_check = is_check(person);
    place->class_ = person->waiter.class_;
    place->user = (unsigned)person->waiter.user_key;
    place->database = (unsigned)person->waiter.database_key;
    place->opened_us = now_us;
    place->due_us = world.now_us + 500 + below(4500);
    if (place->is_check) {
        person->state = CHECKING;
    }
}

static void on_close(const struct bpi_pool_action *action, bp_usec now_us)
{
    struct place *place = (struct place *)(void *)action->link;
    EXPECT(place->state == BPI_POOL_IDLE);
    bool has_reason = place->is_doomed || is_over(place, now_us) ||
                      open_count() - count_state(BPI_POOL_CLOSING) > world.pool.limits.links_max;
    /* Somebody may have it closed: who can't use it, or whose log-in it is and has grown old. A place that
     * is free may be promised to a waiter of another loop. */
    unsigned openable_elsewhere = 0;
    bool is_wanted = false;
    for (unsigned i = 0; i < world.persons_count; i++) {
        const struct person *person = &world.persons[i];
        if (!is_queued(person) || (!is_check(person) && is_capped(person, false))) {
            continue;
        }
        bool is_openable = may_be_opened_for(person, now_us);
        openable_elsewhere += is_openable;
        is_wanted |= is_openable &&
                     (is_check(person) || !is_idle_of(place, person) || !person->waiter.relogin);
        has_reason |= is_idle_of(place, person) && !person->waiter.relogin &&
                      is_stale(place, now_us) && place->identity == person->waiter.key.identity[0];
    }
    has_reason |= is_wanted && (!has_free_place() || openable_elsewhere > 1);
    EXPECT(has_reason);
    place->state = BPI_POOL_CLOSING;
    place->due_us = world.now_us + below(2000);
}

static void on_kick(const struct bpi_pool_action *action, unsigned loop, bp_usec now_us)
{
    bool has_reason = false;
    for (unsigned i = 0; i < world.persons_count; i++) {
        const struct person *person = &world.persons[i];
        has_reason |= is_queued(person) && person->waiter.loop == action->loop &&
                      may_be_opened_for(person, now_us);
    }
    EXPECT(action->loop != loop && has_free_place() && has_reason);
    ask(action->loop);
}

/* The time must not be forgotten at which somebody grows impatient with a link there, an endpoint may be
 * tried again, or the longest idle link has to go. */
static void expect_timers(bp_usec now_us, bp_usec next_us)
{
    bp_usec longest_us = NEVER;
    bool is_any_over = false;
    bool is_idle = count_state(BPI_POOL_IDLE) > 0;
    next_us = next_us == 0 ? NEVER : next_us;
    for (unsigned i = 0; i < world.persons_count; i++) {
        const struct person *person = &world.persons[i];
        if (!is_queued(person)) {
            continue;
        }
        for (unsigned j = 0; j < world.endpoints_count && (is_idle || has_free_place()); j++) {
            const struct bpi_pool_endpoint *endpoint = &world.pool.endpoints[j];
            EXPECT(!endpoint->up || endpoint->open_after_us <= now_us ||
                   next_us <= endpoint->open_after_us);
        }
        for (unsigned j = 0; j < world.places_count && !is_check(person); j++) {
            EXPECT(!is_idle_of(&world.places[j], person) || is_capped(person, false) ||
                   is_impatient(person, now_us) ||
                   next_us <= person->since_us + BPI_POOL_FIT_WAIT_US);
        }
    }
    for (unsigned i = 0; i < world.places_count; i++) {
        const struct place *place = &world.places[i];
        if (place->state == BPI_POOL_IDLE && place->idle_us <= longest_us) {
            is_any_over = is_over(place, now_us) && (is_any_over || place->idle_us < longest_us);
            longest_us = place->idle_us;
        }
    }
    EXPECT(!is_any_over);
}

/* Whether checks take as many places as they may. */
static bool checks_have_enough(void)
{
    unsigned limit = world.pool.limits.links_max / BPI_POOL_CHECKS_PART;
    unsigned busy = 0;
    for (unsigned i = 0; i < world.places_count; i++) {
        const struct bpi_pool_link *link = (const void *)&world.places[i];
        busy += world.places[i].state == BPI_POOL_OPENING && link->is_check;
    }
    for (unsigned i = 0; i < world.persons_count; i++) {
        const struct person *person = &world.persons[i];
        busy += is_queued(person) && is_check(person) && person->waiter.evicted != NULL;
    }
    return busy >= (limit == 0 ? 1 : limit);
}

/* What must not be left undone when a loop has asked to the end. */
static void on_nothing(unsigned loop, bp_usec now_us)
{
    unsigned openable_own = 0;
    unsigned openable_elsewhere = 0;
    for (unsigned i = 0; i < world.places_count; i++) {
        EXPECT(world.places[i].state != BPI_POOL_IDLE || !world.places[i].is_doomed);
    }
    EXPECT(count_state(BPI_POOL_IDLE) == 0 ||
           open_count() - count_state(BPI_POOL_CLOSING) <= world.pool.limits.links_max);
    for (unsigned i = 0; i < world.persons_count; i++) {
        const struct person *person = &world.persons[i];
        if (!is_queued(person)) {
            continue;
        }
        bool is_openable =
            may_be_opened_for(person, now_us) && !is_opened_for(i) &&
            !(is_check(person) && person->waiter.evicted == NULL && checks_have_enough());
        openable_own += is_openable && person->waiter.loop == loop;
        openable_elsewhere += is_openable && person->waiter.loop != loop;
        if (is_check(person) || is_capped(person, false)) {
            continue;
        }
        for (unsigned j = 0; j < world.places_count; j++) {
            const struct place *place = &world.places[j];
            EXPECT(!fits_exactly(place, person, now_us));
            /* Nor one with a log-in of its own that has grown old. */
            EXPECT(!is_idle_of(place, person) || place->identity != person->waiter.key.identity[0]);
            EXPECT(!is_idle_of(place, person) || !person->waiter.relogin ||
                   !is_impatient(person, now_us) || (is_openable && has_free_place()));
        }
    }
    if (!has_any_cap() && has_free_place()) {
        unsigned limit = world.pool.limits.links_max;
        unsigned free_count = count_state(BPI_POOL_CLOSED);
        free_count = free_count < limit - open_count() ? free_count : limit - open_count();
        EXPECT(openable_own == 0 || free_count <= openable_elsewhere);
    }
}

static void loop_asks(unsigned index)
{
    struct loop *loop = &world.loops[index];
    if (!loop->is_asking) {
        loop->is_asking = true;
        loop->turn_us = world.now_us;
    }
    struct bpi_pool_action action = bpi_pool_decide(&world.pool, index, loop->turn_us);
    loop->ask_us = world.now_us + (one_in(4) ? below(300) : below(4));
    switch (action.kind) {
    case BPI_POOL_GRANT:
        trace("loop %u: grant place %ld to person %ld%s", index,
              (long)((struct place *)(void *)action.link - world.places),
              (long)((struct person *)(void *)action.waiter - world.persons),
              action.login ? " with log-in" : "");
        on_grant(&action, loop->turn_us);
        break;
    case BPI_POOL_OPEN:
        trace("loop %u: open place %ld for person %ld to endpoint %u", index,
              (long)((struct place *)(void *)action.link - world.places),
              (long)((struct person *)(void *)action.waiter - world.persons),
              action.link->endpoint);
        on_open(&action, index, loop->turn_us);
        break;
    case BPI_POOL_CLOSE:
        trace("loop %u: close place %ld", index,
              (long)((struct place *)(void *)action.link - world.places));
        on_close(&action, loop->turn_us);
        break;
    case BPI_POOL_KICK:
        trace("loop %u: kick loop %u", index, action.loop);
        on_kick(&action, index, loop->turn_us);
        break;
    case BPI_POOL_NOTHING: {
        bp_usec next_us = bpi_pool_next_us(&world.pool, loop->turn_us);
        trace("loop %u: nothing until %llu", index, (unsigned long long)next_us);
        EXPECT(next_us == 0 || next_us > loop->turn_us);
        on_nothing(index, loop->turn_us);
        expect_timers(loop->turn_us, next_us);
        loop->is_asking = false;
        loop->ask_us = NEVER;
        loop->timer_us = next_us == 0 ? NEVER : next_us;
        break;
    }
    }
}

/* Lets the next thing happen that is due; false where nothing is. */
static bool next_event(void)
{
    bp_usec *due[PLACES_MAX + PERSONS_MAX + 2 * LOOPS_MAX];
    unsigned count = 0;
    for (unsigned i = 0; i < world.places_count; i++) {
        due[count++] = &world.places[i].due_us;
    }
    unsigned persons = count;
    for (unsigned i = 0; i < world.persons_count; i++) {
        due[count++] = &world.persons[i].back_us;
    }
    unsigned asks = count;
    for (unsigned i = 0; i < world.loops_count; i++) {
        due[count++] = &world.loops[i].ask_us;
    }
    unsigned timers = count;
    for (unsigned i = 0; i < world.loops_count; i++) {
        due[count++] = &world.loops[i].timer_us;
    }
    unsigned first = 0;
    for (unsigned i = 1; i < count; i++) {
        if (*due[i] < *due[first] || (*due[i] == *due[first] && *due[i] != NEVER && one_in(2))) {
            first = i;
        }
    }
    if (*due[first] == NEVER) {
        return false;
    }
    if (*due[first] > world.now_us) {
        world.now_us = *due[first];
    }
    if (first < persons) {
        place_ends(&world.places[first]);
    } else if (first < asks) {
        person_arrives(first - persons);
    } else if (first < timers) {
        loop_asks(first - asks);
    } else {
        *due[first] = NEVER;
        ask(first - timers);
    }
    compare();
    return true;
}

/* ---- disturbances ---- */

static void set_caps(void)
{
    struct bpi_pool_limits *limits = &world.pool.limits;
    limits->links_max = 1 + below(world.places_count);
    limits->user_links_max = one_in(3) ? 1 + below(3) : 0;
    limits->database_links_max = one_in(3) ? 1 + below(3) : 0;
    for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
        limits->class_links_max[i] = one_in(4) ? 1 + below(3) : 0;
    }
    trace("limits: %u links, user %u, database %u", limits->links_max, limits->user_links_max,
          limits->database_links_max);
}

static void ask_all(void)
{
    for (unsigned i = 0; i < world.loops_count; i++) {
        ask(i);
    }
}

static void someone_cancels(void)
{
    unsigned index = below(world.persons_count);
    struct person *person = &world.persons[index];
    if (person->state == OUT) {
        return;
    }
    unsigned loop = person->waiter.loop;
    bool cancelled = bpi_pool_cancel(&world.pool, &person->waiter);
    EXPECT(cancelled == is_queued(person));
    if (cancelled) {
        trace("person %u cancels", index);
        forget_ties(index);
        person_leaves(index);
        ask(loop);
    }
}

static void an_idle_link_dies(void)
{
    struct place *place = &world.places[below(world.places_count)];
    if (place->state == BPI_POOL_IDLE) {
        bpi_pool_link_closing(&world.pool, &place->link);
        place_closes(place);
    }
}

static void doom(unsigned identity)
{
    for (unsigned i = 0; i < world.places_count; i++) {
        struct place *place = &world.places[i];
        place->is_doomed |= (identity == 0 || place->identity == identity) &&
                            place->state != BPI_POOL_CLOSED && place->state != BPI_POOL_CLOSING;
    }
}

static void a_login_is_refused(void)
{
    struct bpi_pool_key key = {.identity = {(uint8_t)(1 + below(4))}};
    struct bpi_pool_waiter *waiter;
    trace("identity %u is refused", key.identity[0]);
    doom(key.identity[0]);
    bpi_pool_forget_identity(&world.pool, &key);
    while ((waiter = bpi_pool_take_waiter(&world.pool, &key)) != NULL) {
        struct person *person = (struct person *)(void *)waiter;
        EXPECT(is_queued(person) && !is_check(person));
        EXPECT(waiter->key.identity[0] == key.identity[0]);
        forget_ties((unsigned)(person - world.persons));
        person_leaves((unsigned)(person - world.persons));
    }
    ask(below(world.loops_count));
}

static void an_endpoint_changes(void)
{
    unsigned index = below(world.endpoints_count);
    struct bpi_pool_endpoint *endpoint = &world.pool.endpoints[index];
    switch (below(4)) {
    case 0:
        bpi_pool_endpoint_down(&world.pool, index, 0);
        break;
    case 1:
        endpoint->open_after_us = world.now_us + below(20000);
        break;
    default:
        endpoint->protocols = 1 + below((1 << VERSIONS) - 1);
        bpi_pool_endpoint_up(&world.pool, index);
        break;
    }
    trace("endpoint %u: up %d after %llu protocols %u", index, endpoint->up,
          (unsigned long long)endpoint->open_after_us, endpoint->protocols);
    ask(0);
}

static void disturb(void)
{
    unsigned kind = below(40);
    if (kind < 24) {
        unsigned index = below(world.persons_count);
        if (world.persons[index].state == OUT) {
            person_arrives(index);
        }
    } else if (kind < 30) {
        someone_cancels();
    } else if (kind < 33) {
        an_endpoint_changes();
    } else if (kind < 36) {
        an_idle_link_dies();
    } else if (kind == 36) {
        a_login_is_refused();
    } else if (kind == 37 && one_in(3)) {
        trace("all links are doomed");
        doom(0);
        bpi_pool_doom_all(&world.pool);
        ask(below(world.loops_count));
    } else if (kind == 38 && one_in(2)) {
        set_caps();
        ask_all();
    }
    compare();
}

/* ---- runs ---- */

static void world_init(uint64_t seed, unsigned steps, bool is_traced)
{
    memset(&world, 0, sizeof(world));
    world.seed = seed;
    world.steps = steps;
    world.is_traced = is_traced;
    world.now_us = 1000000;
    bpi_random_init(&world.random, seed);
    world.is_endless = seed % 4 == 0;
    world.is_peaceful = world.is_endless;
    world.places_count = 1 + below(PLACES_MAX);
    world.persons_count = 1 + below(PERSONS_MAX);
    world.loops_count = 1 + below(LOOPS_MAX);
    world.endpoints_count = 1 + below(ENDPOINTS_MAX);
    struct bpi_pool_limits limits = {.links_max = world.places_count};
    if (one_in(3)) {
        limits.auth_ttl_us = 1 + below(20000);
    }
    if (one_in(3)) {
        limits.idle_timeout_us = 1 + below(20000);
    }
    if (one_in(3)) {
        limits.lifetime_us = 5000 + below(50000);
    }
    bpi_pool_init(&world.pool, &limits, world.endpoints_count);
    if (one_in(2)) {
        set_caps();
    }
    for (unsigned i = 0; i < world.endpoints_count; i++) {
        world.pool.endpoints[i].protocols = (1 << VERSIONS) - 1;
        bpi_pool_endpoint_up(&world.pool, i);
    }
    for (unsigned i = 0; i < world.places_count; i++) {
        world.places[i].person = NOBODY;
        world.places[i].due_us = NEVER;
        bpi_pool_add_place(&world.pool, &world.places[i].link);
    }
    for (unsigned i = 0; i < world.persons_count; i++) {
        world.persons[i].back_us = world.is_endless ? world.now_us + below(1000) : NEVER;
    }
    for (unsigned i = 0; i < world.loops_count; i++) {
        world.loops[i].ask_us = NEVER;
        world.loops[i].timer_us = NEVER;
    }
}

/* All are up, nothing fails, nobody new comes: everybody who is there is served. */
static void calm_down(void)
{
    trace("calm");
    world.is_endless = false;
    world.is_peaceful = true;
    for (unsigned i = 0; i < world.endpoints_count; i++) {
        world.pool.endpoints[i].protocols = (1 << VERSIONS) - 1;
        bpi_pool_endpoint_up(&world.pool, i);
    }
    for (unsigned i = 0; i < world.persons_count; i++) {
        world.persons[i].back_us = NEVER;
    }
    ask(0);
    bp_usec end_us = world.now_us + WAIT_US_MAX;
    bool is_anybody_there = true;
    while (is_anybody_there && world.failure == NULL) {
        is_anybody_there = false;
        for (unsigned i = 0; i < world.persons_count; i++) {
            is_anybody_there |= world.persons[i].state != OUT;
        }
        bool is_anything_due = next_event();
        EXPECT(!is_anybody_there || is_anything_due);
        EXPECT(!is_anybody_there || world.now_us < end_us);
        world.step++;
    }
}

/* What on_abort() prints, made ready before: formatting is not allowed there. */
static char abort_text[128];

static void on_abort(int signal_number)
{
    (void)signal_number;
    ssize_t written = write(STDERR_FILENO, abort_text, strlen(abort_text));
    (void)written;
}

static bool run(uint64_t seed, unsigned steps, bool is_traced)
{
    world_init(seed, steps, is_traced);
    snprintf(abort_text, sizeof(abort_text), "aborted: BP_SEED=%llu BP_STEPS=%u repeats it\n",
             (unsigned long long)seed, steps);
    for (; world.step < steps && world.failure == NULL; world.step++) {
        if (world.is_endless) {
            EXPECT(next_event());
            EXPECT(world.wait_us_max < WAIT_US_MAX);
        } else if (!one_in(3) || !next_event()) {
            disturb();
        }
    }
    calm_down();
    return world.failure == NULL;
}

static void run_or_shrink(uint64_t seed, unsigned steps)
{
    if (run(seed, steps, false)) {
        return;
    }
    const char *failure = world.failure;
    int line = world.failure_line;
    unsigned shortest = 0;
    while (shortest < steps && run(seed, shortest, false)) {
        shortest++;
    }
    fail_msg("line %d: not true: %s; BP_SEED=%llu BP_STEPS=%u repeats it, and after %u steps of "
             "disturbance line %d fails: %s",
             line, failure, (unsigned long long)seed, steps, shortest, world.failure_line,
             world.failure == NULL ? "nothing" : world.failure);
}

static void random_worlds_agree_with_the_model(void **state)
{
    (void)state;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
    const char *seed_text = getenv("BP_SEED");
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
    const char *steps_text = getenv("BP_STEPS");
    unsigned steps = steps_text == NULL ? STEPS : (unsigned)strtoul(steps_text, NULL, 10);
    if (seed_text != NULL) {
        uint64_t seed = strtoull(seed_text, NULL, 10);
        if (!run(seed, steps, true)) {
            fail_msg("step %u, line %d: not true: %s", world.step, world.failure_line,
                     world.failure);
        }
        return;
    }
    bp_usec wait_us_max = 0;
    for (uint64_t seed = 1; seed <= RUNS; seed++) {
        run_or_shrink(seed, seed % 4 == 0 ? steps * 4 : steps);
        wait_us_max = world.wait_us_max > wait_us_max ? world.wait_us_max : wait_us_max;
    }
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t seed = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
    print_message("longest wait of any run %.1f ms; now BP_SEED=%llu\n", (double)wait_us_max / 1000,
                  (unsigned long long)seed);
    run_or_shrink(seed, steps * 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_worlds_agree_with_the_model),
    };
    signal(SIGABRT, on_abort);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
