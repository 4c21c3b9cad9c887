/* Throws random events at the pool and holds each of its decisions against a model (model.h) that keeps its own books
 * and answers every question by looking at everything.
 *
 * A world has up to 8 places, 3 endpoints, 4 loops and 24 persons who wish for links, in five classes. Loops ask as
 * the engine does: after an event of theirs, after a KICK, and at bpi_pool_next_us(), one decision at a time, so that
 * decisions of several loops and events mix. A loop's clock stands still while it asks. Openings, closings and checks
 * take time and may fail, grants may turn out dead, log-ins may be refused; in some worlds persons are threads
 * (barging), in some the clock jumps.
 *
 * A run is disturbed for a number of steps and then left alone: then everybody must be served or refused within a
 * bounded time, and where nothing is due any more while somebody waits, a wake-up was lost. In every
 * fourth run nothing is disturbed, whoever was served comes again, and no wait may exceed the bound.
 *
 * A failed run prints its seed and the shortest prefix of steps that still fails; BP_SEED=SEED repeats it
 * and prints each step, BP_STEPS=N cuts it.
 */
#include "model.h"

#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define RUNS  1100
#define STEPS 300

/* Everybody's turn comes within this, when nobody disturbs and all are of one class: 24 persons one after the other
 * (a cap of 1), each of whom waits for a closing, an opening and a lease of at most 5 ms, and 5 ms of patience. */
#define WAIT_US_MAX ((bp_usec)PERSONS_MAX * 20000)
/* A level of priority is served once in so many steps of ageing at least. */
#define RANK_US_MAX ((bp_usec)PERSONS_MAX * BPI_PRIORITY_COUNT * BPI_POOL_AGE_STEP_US)
/* What takes its time when nobody disturbs any more: a slow check, and an opening that pays at last. */
#define CALM_US_MAX (5 * BP_USEC_PER_SECOND)
#define JUMP_US_MAX (200 * BP_USEC_PER_SECOND)

static bp_usec wait_us_bound(void)
{
    /* A class has one in so many grants, where all want links. */
    unsigned sum = 0;
    unsigned least = UINT_MAX;
    for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
        unsigned share = limits()->classes[i].share;
        sum += share;
        least = share < least ? share : least;
    }
    unsigned part = (sum + least - 1) / least;
    return WAIT_US_MAX * part * world.pace + (world.has_ranks ? RANK_US_MAX : 0);
}

/* ---- decisions ---- */

/* Nobody who goes first and whom the link fits is passed over, but for the reasons that pool.h names. */
static void expect_turn(const struct place *place, unsigned index, bool login, bp_usec now_us)
{
    const struct person *person = &world.persons[index];
    for (unsigned i = 0; i < world.persons_count; i++) {
        const struct person *other = &world.persons[i];
        if (i == index || !is_queued(other) || is_check(other) || is_capped(other, false) ||
            limits()->barging) {
            continue;
        }
        bool same_class = other->waiter.class_ == person->waiter.class_;
        bool goes_first = same_class ? goes_before(other, person, now_us)
                                     : is_below_minimum(other->waiter.class_) &&
                                           !is_below_minimum(person->waiter.class_);
        if (!goes_first) {
            continue;
        }
        bool is_local = same_class && other->waiter.priority == person->waiter.priority &&
                        place->loop == person->waiter.loop && place->loop != other->waiter.loop &&
                        !is_passed_over(other, now_us);
        EXPECT(!is_ready_for(place, other, now_us) || is_local);
        bool could_swap = is_idle_of(place, other, now_us) && other->waiter.relogin &&
                          endpoint_has_slot(place->endpoint);
        bool gets_another = has_free_place() && may_be_opened_for(other, false, now_us);
        EXPECT(!could_swap || is_silent(place, now_us) || !is_impatient(other, now_us) ||
               gets_another || is_local || !login);
    }
}

static void on_grant(const struct bpi_pool_action *action, bp_usec now_us)
{
    struct place *place = (struct place *)(void *)action->link;
    struct person *person = (struct person *)(void *)action->waiter;
    unsigned index = (unsigned)(person - world.persons);
    EXPECT(is_queued(person));
    expect_lease(place, person, now_us);
    EXPECT(action->login ? person->waiter.relogin : is_ready_for(place, person, now_us));
    expect_turn(place, index, action->login, now_us);
    world.served_us[person->waiter.class_][person->waiter.priority] = now_us;
    on_lease(place, index, action->login, now_us);
}

static void on_refuse(const struct bpi_pool_action *action, bp_usec now_us)
{
    struct person *person = (struct person *)(void *)action->waiter;
    unsigned index = (unsigned)(person - world.persons);
    const struct bpi_pool_waiter *waiter = &person->waiter;
    bp_usec target_us = limits()->classes[waiter->class_].codel_target_us;
    EXPECT(is_queued(person));
    EXPECT(waiter->state == BPI_POOL_WAITER_GRANTED);
    if (action->refusal == BPI_POOL_SHED) {
        EXPECT(waiter->sheddable && target_us != 0);
        EXPECT(since(now_us, person->since_us) > target_us);
    } else {
        EXPECT(action->refusal == BPI_POOL_EXPIRED && person->ends_us <= now_us);
    }
    forget_ties(index);
    person_leaves(index);
}

static void on_call(const struct bpi_pool_action *action, bp_usec now_us)
{
    struct person *person = (struct person *)(void *)action->waiter;
    bool has_reason = false;
    for (unsigned i = 0; i < world.places_count; i++) {
        has_reason |= is_ready_for(&world.places[i], person, now_us);
    }
    EXPECT(limits()->barging && has_reason && !world.is_paused);
    EXPECT(is_queued(person) && person->come_us == NEVER);
    EXPECT(!is_passed_over(person, now_us) && !is_capped(person, false));
    if (world.is_peaceful || !one_in(10)) {
        person->come_us = world.now_us + below(500);
    }
}

static void on_open(const struct bpi_pool_action *action, unsigned loop, bp_usec now_us)
{
    struct place *place = (struct place *)(void *)action->link;
    struct person *person = (struct person *)(void *)action->waiter;
    unsigned endpoint = action->link->endpoint;
    const struct bpi_pool_key *key = &action->link->key;
    EXPECT(place->state == BPI_POOL_CLOSED && has_free_place() && !world.is_paused);
    EXPECT(endpoint < world.endpoints_count);
    EXPECT(endpoint_is_open(endpoint, now_us) && endpoint_has_room(endpoint));
    place->person = NOBODY;
    place->is_check = false;
    if (person != NULL) {
        unsigned index = (unsigned)(person - world.persons);
        EXPECT(is_queued(person) && person->waiter.loop == loop && action->like == NULL);
        EXPECT((world.pool.endpoints[endpoint].protocols & person->waiter.protocol_bit) != 0);
        EXPECT(memcmp(key, &person->waiter.key, sizeof(*key)) == 0);
        if (!is_check(person)) {
            EXPECT(!is_opened_for(index));
            EXPECT(!is_capped(person, true));
            for (unsigned i = 0; i < world.places_count; i++) {
                EXPECT(!is_ready_for(&world.places[i], person, now_us) || limits()->barging);
            }
        }
        place->person = (int)index;
        place->is_check = is_check(person);
        place->class_ = person->waiter.class_;
        place->user = (unsigned)person->waiter.user_key;
        place->database = (unsigned)person->waiter.database_key;
        place->tenant = (unsigned)person->waiter.tenant_key;
        if (place->is_check) {
            person->state = CHECKING;
        }
    } else if (action->like != NULL) {
        const struct place *old = (struct place *)(void *)action->like;
        EXPECT(old->state == BPI_POOL_IDLE || old->state == BPI_POOL_LEASED);
        EXPECT(!old->is_doomed && old->link.life_until_us != 0);
        EXPECT(memcmp(key, &old->link.key, sizeof(*key)) == 0);
    } else {
        EXPECT(world.has_warm_key && live_count() < limits()->idle_min);
        EXPECT(memcmp(key, &world.warm_key, sizeof(*key)) == 0);
    }
    place->state = BPI_POOL_OPENING;
    place->version = key->protocol;
    place->identity = key->identity[0];
    place->loop = loop;
    EXPECT(action->link->loop == loop);
    place->endpoint = endpoint;
    place->opened_us = now_us;
    place->due_us = world.now_us + (500 + below(4500)) * (bp_usec)world.pace;
}

static void on_check(const struct bpi_pool_action *action, bp_usec now_us)
{
    struct place *place = (struct place *)(void *)action->link;
    bool has_reason =
        limits()->keep_alive_us != 0 && now_us >= place->heard_us + limits()->keep_alive_us;
    for (unsigned i = 0; i < world.persons_count; i++) {
        const struct person *person = &world.persons[i];
        has_reason |=
            is_queued(person) && is_silent(place, now_us) && is_idle_of(place, person, now_us);
    }
    EXPECT(place->state == BPI_POOL_IDLE && !place->is_doomed && has_reason);
    place->state = BPI_POOL_CHECKING;
    place->checking_us = now_us;
    place->due_us = world.now_us + (one_in(8) && !world.is_endless ? below(150000) : below(2000));
}

static void on_close(const struct bpi_pool_action *action, bp_usec now_us)
{
    struct place *place = (struct place *)(void *)action->link;
    EXPECT(place->state == BPI_POOL_IDLE);
    bool has_reason =
        place->is_doomed || is_over(place, now_us) || live_count() > limits()->links_max;
    /* Somebody may have it closed: who can't use it, or whose log-in it is and has grown old. A place that
     * is free may be promised to a waiter of another loop, or be no help where the endpoint is full. */
    unsigned openable_elsewhere = 0;
    bool is_wanted = false;
    for (unsigned i = 0; i < world.persons_count; i++) {
        const struct person *person = &world.persons[i];
        if (!is_queued(person) || (!is_check(person) && is_capped(person, false))) {
            continue;
        }
        bool is_openable = may_be_opened_for(person, false, now_us);
        openable_elsewhere += is_openable;
        is_wanted |= is_openable &&
                     (is_check(person) || !is_idle_of(place, person, now_us) ||
                      !person->waiter.relogin || !endpoint_has_slot(place->endpoint)) &&
                     (!has_free_place() || !may_be_opened_for(person, true, now_us));
        has_reason |= is_idle_of(place, person, now_us) && !person->waiter.relogin &&
                      is_stale(place, now_us) && place->identity == person->waiter.key.identity[0];
    }
    has_reason |= is_wanted || openable_elsewhere > 1;
    EXPECT(has_reason);
    place->state = BPI_POOL_CLOSING;
    place->due_us = world.now_us + span(2000);
}

static void on_kick(const struct bpi_pool_action *action, unsigned loop, bp_usec now_us)
{
    bool has_reason = false;
    for (unsigned i = 0; i < world.persons_count; i++) {
        const struct person *person = &world.persons[i];
        has_reason |= is_queued(person) && person->waiter.loop == action->loop &&
                      may_be_opened_for(person, true, now_us);
    }
    for (unsigned i = 0; i < world.places_count; i++) {
        has_reason |= world.places[i].link.life_until_us != 0 &&
                      world.places[i].loop == action->loop; /* to replace it */
    }
    EXPECT(action->loop != loop && has_reason);
    ask(action->loop);
}

/* The time must not be forgotten at which somebody has to be answered or grows impatient with a link there, an
 * endpoint may be tried again, or a link has to go. */
static void expect_timers(bp_usec now_us, bp_usec next_us)
{
    bool is_idle = count_state(BPI_POOL_IDLE) > 0;
    next_us = next_us == 0 ? NEVER : next_us;
    for (unsigned i = 0; i < world.persons_count; i++) {
        const struct person *person = &world.persons[i];
        if (!is_queued(person)) {
            continue;
        }
        EXPECT(person->ends_us > now_us && next_us <= person->ends_us);
        if (world.is_paused) {
            continue;
        }
        for (unsigned j = 0; j < world.endpoints_count && (is_idle || has_free_place()); j++) {
            const struct bpi_pool_endpoint *endpoint = &world.pool.endpoints[j];
            EXPECT(!endpoint->up || world.draining[j] || endpoint->open_after_us <= now_us ||
                   next_us <= endpoint->open_after_us);
        }
        bool is_waiting_for_grant = !is_check(person) && !is_capped(person, false) &&
                                    may_surely_take(person->waiter.class_);
        for (unsigned j = 0; j < world.places_count; j++) {
            /* Nor the time from which a slow check keeps nobody from trying another link. */
            const struct place *place = &world.places[j];
            bp_usec slow_us = place->checking_us + BPI_POOL_CHECK_SLOW_US;
            EXPECT(place->state != BPI_POOL_CHECKING || slow_us <= now_us || next_us <= slow_us);
            bp_usec over_us = person->since_us + limits()->pass_over_us;
            EXPECT(!limits()->barging || !is_waiting_for_grant || over_us <= now_us ||
                   !is_ready_for(place, person, now_us) || next_us <= over_us);
        }
        for (unsigned j = 0; j < world.places_count && is_waiting_for_grant; j++) {
            EXPECT(!is_idle_of(&world.places[j], person, now_us) || is_impatient(person, now_us) ||
                   next_us <= person->since_us + BPI_POOL_FIT_WAIT_US);
        }
    }
    for (unsigned i = 0; i < world.places_count; i++) {
        const struct place *place = &world.places[i];
        if (place->state == BPI_POOL_IDLE) {
            EXPECT(!has_lived(place, now_us));
            EXPECT(place->link.life_until_us == 0 || next_us <= place->link.life_until_us);
            EXPECT(limits()->keep_alive_us == 0 ||
                   next_us <= place->heard_us + limits()->keep_alive_us || world.is_jumpy);
        }
    }
}

/* What must not be left undone when a loop has asked to the end. */
static void on_nothing(bp_usec now_us)
{
    bool is_any_called = false;
    for (unsigned i = 0; i < world.places_count; i++) {
        EXPECT(world.places[i].state != BPI_POOL_IDLE || !world.places[i].is_doomed);
    }
    EXPECT(count_state(BPI_POOL_IDLE) == 0 || live_count() <= limits()->links_max);
    for (unsigned i = 0; i < world.persons_count; i++) {
        is_any_called |= is_queued(&world.persons[i]) && world.persons[i].waiter.called;
    }
    for (unsigned i = 0; i < world.persons_count && !world.is_paused; i++) {
        const struct person *person = &world.persons[i];
        if (!is_queued(person) || is_check(person) || is_capped(person, false) ||
            !may_surely_take(person->waiter.class_)) {
            continue;
        }
        bool may_sleep = limits()->barging && !is_passed_over(person, now_us) && is_any_called;
        for (unsigned j = 0; j < world.places_count; j++) {
            const struct place *place = &world.places[j];
            EXPECT(!is_ready_for(place, person, now_us) || may_sleep);
            if (!is_idle_of(place, person, now_us) || !endpoint_has_slot(place->endpoint) ||
                is_silent(place, now_us)) {
                continue;
            }
            /* Nor one with a log-in of its own that has grown old, nor, in the end, any other. */
            EXPECT(place->identity != person->waiter.key.identity[0] || may_sleep);
            EXPECT(!person->waiter.relogin || !is_impatient(person, now_us) ||
                   (has_free_place() && may_be_opened_for(person, true, now_us)));
        }
    }
    if (world.has_warm_key && !world.is_paused && live_count() < limits()->idle_min &&
        has_free_place()) {
        for (unsigned i = 0; i < world.endpoints_count; i++) {
            EXPECT(!endpoint_is_open(i, now_us) || !endpoint_has_room(i) ||
                   (world.pool.endpoints[i].protocols & 1u << world.warm_key.protocol) == 0 ||
                   world.pool.ending_count > 0);
        }
    }
}

static long place_of(const struct bpi_pool_action *action)
{
    return (long)((struct place *)(void *)action->link - world.places);
}

static long person_of(const struct bpi_pool_action *action)
{
    return action->waiter == NULL ? NOBODY
                                  : (long)((struct person *)(void *)action->waiter - world.persons);
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
        trace("loop %u: grant place %ld to person %ld%s", index, place_of(&action),
              person_of(&action), action.login ? " with log-in" : "");
        on_grant(&action, loop->turn_us);
        break;
    case BPI_POOL_REFUSE:
        trace("loop %u: refuse person %ld: %d", index, person_of(&action), (int)action.refusal);
        on_refuse(&action, loop->turn_us);
        break;
    case BPI_POOL_CALL:
        trace("loop %u: call person %ld", index, person_of(&action));
        on_call(&action, loop->turn_us);
        break;
    case BPI_POOL_OPEN:
        trace("loop %u: open place %ld for person %ld to endpoint %u", index, place_of(&action),
              person_of(&action), action.link->endpoint);
        on_open(&action, index, loop->turn_us);
        break;
    case BPI_POOL_CHECK:
        trace("loop %u: check place %ld", index, place_of(&action));
        on_check(&action, loop->turn_us);
        break;
    case BPI_POOL_CLOSE:
        trace("loop %u: close place %ld", index, place_of(&action));
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
        on_nothing(loop->turn_us);
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
    bp_usec *due[PLACES_MAX + 2 * PERSONS_MAX + 2 * LOOPS_MAX];
    unsigned count = 0;
    for (unsigned i = 0; i < world.places_count; i++) {
        due[count++] = &world.places[i].due_us;
    }
    unsigned persons = count;
    for (unsigned i = 0; i < world.persons_count; i++) {
        due[count++] = &world.persons[i].back_us;
    }
    unsigned called = count;
    for (unsigned i = 0; i < world.persons_count; i++) {
        due[count++] = &world.persons[i].come_us;
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
    } else if (first < called) {
        person_arrives(first - persons);
    } else if (first < asks) {
        person_comes(first - called);
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

/* As many as somebody who has no minimum can still get a link. */
static void choose_minima(struct bpi_pool_limits *max)
{
    unsigned most = max->links_max;
    if (max->endpoint_transactions_max != 0 && max->endpoint_transactions_max < most) {
        most = max->endpoint_transactions_max; /* of one endpoint: the others may be drained */
    }
    for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
        struct bpi_pool_class_limits *own = &max->classes[i];
        own->min = 0;
        if (most > 1 && one_in(4)) {
            own->min = 1 + below(most - 1 < 3 ? most - 1 : 3);
            most -= own->min;
        }
    }
}

static void choose_limits(struct bpi_pool_limits *max)
{
    max->links_max = 1 + below(world.places_count);
    max->user_links_max = one_in(4) ? 1 + below(3) : 0;
    max->database_links_max = one_in(4) ? 1 + below(3) : 0;
    max->endpoint_links_max = one_in(4) ? 1 + below(4) : 0;
    max->endpoint_transactions_max = one_in(4) ? 1 + below(4) : 0;
    max->endpoint_connects_max = one_in(3) ? 1 + below(3) : 0;
    max->idle_min = one_in(3) ? below(max->links_max + 1) : 0;
    max->errors_max = one_in(2) ? 1 + below(3) : 0;
    /* Some holds are longer than the first, and none longer than the second. */
    bp_usec lend_us = one_in(2) ? 2000 : 25000;
    max->lend_max_hold_us = one_in(3) ? 0 : lend_us * world.pace;
    choose_minima(max);
    for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
        struct bpi_pool_class_limits *own = &max->classes[i];
        own->max = one_in(4) ? 1 + below(3) : 0;
        own->max = own->max != 0 && own->max < own->min ? own->min : own->max;
        own->share = 1 + below(5);
        own->waiting_max = !world.is_endless && one_in(6) ? 1 + below(5) : 0;
        own->codel_target_us = one_in(3) ? 500 + below(5000) : 0;
    }
    trace("limits: %u links, user %u, database %u, endpoint %u links %u transactions %u connects",
          max->links_max, max->user_links_max, max->database_links_max, max->endpoint_links_max,
          max->endpoint_transactions_max, max->endpoint_connects_max);
    for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
        trace("class %u: min %u max %u share %u", i, max->classes[i].min, max->classes[i].max,
              max->classes[i].share);
    }
}

static void set_limits(void)
{
    struct bpi_pool_limits max = *limits();
    choose_limits(&max);
    bpi_pool_set_limits(&world.pool, &max);
    ask_all();
}

static void someone_cancels(void)
{
    unsigned index = below(world.persons_count);
    struct person *person = &world.persons[index];
    if (person->state == OUT) {
        return;
    }
    unsigned loop = person->waiter.loop;
    bool cancelled = bpi_pool_cancel(&world.pool, &person->waiter, world.now_us);
    EXPECT(cancelled == is_queued(person));
    if (cancelled) {
        trace("person %u cancels", index);
        forget_ties(index);
        person_leaves(index);
        ask(loop);
    }
}

/* In whatever state it is. */
static void a_link_is_lost(void)
{
    struct place *place = &world.places[below(world.places_count)];
    if (place->state == BPI_POOL_IDLE || place->state == BPI_POOL_CHECKING ||
        (place->state == BPI_POOL_OPENING && !place->is_check)) {
        trace("place %ld is lost", (long)(place - world.places));
        place_starts_closing(place);
    }
}

static void the_server_is_asked(void)
{
    unsigned endpoint = below(world.endpoints_count);
    struct bpi_pool_link *link = bpi_pool_take_for_check(&world.pool, endpoint, world.now_us);
    if (link == NULL) {
        for (unsigned i = 0; i < world.places_count; i++) {
            const struct place *place = &world.places[i];
            EXPECT(place->state != BPI_POOL_IDLE || place->is_doomed ||
                   place->endpoint != endpoint);
        }
        return;
    }
    struct place *place = (struct place *)(void *)link;
    trace("place %ld is taken for a check", (long)(place - world.places));
    EXPECT(place->state == BPI_POOL_IDLE && place->endpoint == endpoint);
    place->state = BPI_POOL_CHECKING;
    place->checking_us = world.now_us;
    place->due_us = world.now_us + below(3000);
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
    world.has_warm_key &= world.warm_key.identity[0] != key.identity[0];
    while ((waiter = bpi_pool_take_waiter(&world.pool, &key, world.now_us)) != NULL) {
        struct person *person = (struct person *)(void *)waiter;
        EXPECT(is_queued(person) && !is_check(person));
        EXPECT(waiter->key.identity[0] == key.identity[0]);
        forget_ties((unsigned)(person - world.persons));
        person_leaves((unsigned)(person - world.persons));
    }
    for (unsigned i = 0; i < world.persons_count; i++) {
        const struct person *person = &world.persons[i];
        EXPECT(!is_queued(person) || is_check(person) ||
               person->waiter.key.identity[0] != key.identity[0]);
    }
    ask(below(world.loops_count));
}

static void drain(unsigned endpoint, bool draining)
{
    world.draining[endpoint] = draining;
    bpi_pool_endpoint_drain(&world.pool, endpoint, draining);
    for (unsigned i = 0; i < world.places_count && draining; i++) {
        struct place *place = &world.places[i];
        place->is_doomed |= place->endpoint == endpoint && place->state != BPI_POOL_CLOSED &&
                            place->state != BPI_POOL_CLOSING;
    }
}

static void an_endpoint_changes(void)
{
    unsigned index = below(world.endpoints_count);
    struct bpi_pool_endpoint *endpoint = &world.pool.endpoints[index];
    switch (below(6)) {
    case 0:
        bpi_pool_endpoint_down(&world.pool, index, 0, world.now_us);
        world.down_us[index] = world.now_us;
        break;
    case 1:
        endpoint->open_after_us = world.now_us + span(20000);
        break;
    case 2:
        drain(index, !world.draining[index]);
        break;
    default:
        endpoint->protocols = 1 + below((1 << VERSIONS) - 1);
        bpi_pool_endpoint_up(&world.pool, index);
        break;
    }
    trace("endpoint %u: up %d draining %d after %llu protocols %u", index, endpoint->up,
          endpoint->draining, (unsigned long long)endpoint->open_after_us, endpoint->protocols);
    ask(0);
}

static void set_paused(bool paused)
{
    trace(paused ? "pause" : "resume");
    world.is_paused = paused;
    bpi_pool_pause(&world.pool, paused);
    ask_all();
}

/* What goes on goes on as long as it would have; timers are set anew. */
static void shift(bp_usec *due_us, bp_usec from_us)
{
    if (*due_us != NEVER) {
        *due_us = world.now_us + since(*due_us, from_us);
    }
}

static void the_clock_jumps(void)
{
    bp_usec from_us = world.now_us;
    bp_usec by_us = below(one_in(2) ? 10000 : 100000000);
    if (one_in(10)) {
        by_us = UINT64_C(400) * 24 * 3600 * BP_USEC_PER_SECOND;
        world.now_us += by_us;
    } else if (one_in(2)) {
        world.now_us += by_us;
    } else {
        world.now_us -= by_us;
    }
    trace("it was %llu", (unsigned long long)from_us);
    for (unsigned i = 0; i < world.places_count; i++) {
        shift(&world.places[i].due_us, from_us);
    }
    for (unsigned i = 0; i < world.persons_count; i++) {
        struct person *person = &world.persons[i];
        shift(&person->back_us, from_us);
        shift(&person->come_us, from_us);
    }
    for (unsigned i = 0; i < world.loops_count; i++) {
        struct loop *loop = &world.loops[i];
        shift(&loop->ask_us, from_us);
        loop->timer_us = NEVER;
        loop->is_asking = false;
    }
    ask_all();
    for (unsigned i = 0; i < LOOPS_MAX * 64 && world.failure == NULL; i++) {
        /* Whoever's time is up by the new clock is refused now. */
        loop_asks(i % world.loops_count);
    }
}

static void disturb(void)
{
    unsigned kind = below(48);
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
        a_link_is_lost();
    } else if (kind == 36) {
        a_login_is_refused();
    } else if (kind == 37 && one_in(3)) {
        trace("all links are doomed");
        doom(0);
        bpi_pool_doom_all(&world.pool);
        ask(below(world.loops_count));
    } else if (kind == 38 && one_in(2)) {
        set_limits();
    } else if (kind == 39) {
        the_server_is_asked();
    } else if (kind == 40) {
        set_paused(!world.is_paused && one_in(2));
    } else if (kind == 41 && world.is_jumpy) {
        the_clock_jumps();
    }
    compare();
}

/* ---- runs ---- */

static void all_endpoints_up(void)
{
    for (unsigned i = 0; i < world.endpoints_count; i++) {
        world.pool.endpoints[i].protocols = (1 << VERSIONS) - 1;
        bpi_pool_endpoint_up(&world.pool, i);
        if (world.draining[i]) {
            drain(i, false);
        }
    }
}

static void world_init(uint64_t seed, unsigned steps, bool is_traced)
{
    memset(&world, 0, sizeof(world));
    world.seed = seed;
    world.steps = steps;
    world.is_traced = is_traced;
    world.now_us = UINT64_C(1000000) * BP_USEC_PER_SECOND;
    bpi_random_init(&world.random, seed);
    world.is_endless = seed % 4 == 0;
    world.is_peaceful = world.is_endless;
    world.is_jumpy = !world.is_endless && one_in(6);
    world.pace = one_in(4) ? 50 : 1;
    world.has_ranks = one_in(2);
    world.has_deadlines = !world.is_endless && one_in(2);
    world.places_count = 1 + below(PLACES_MAX);
    world.persons_count = 1 + below(PERSONS_MAX);
    world.loops_count = 1 + below(LOOPS_MAX);
    world.endpoints_count = 1 + below(ENDPOINTS_MAX);
    struct bpi_pool_limits max = {.links_max = world.places_count};
    bool has_limits = one_in(2);
    if (has_limits) {
        choose_limits(&max);
    }
    for (unsigned i = 0; i < BPI_CLASS_COUNT && !has_limits; i++) {
        max.classes[i].share = 1 + below(5);
    }
    max.barging = one_in(4);
    max.pass_over_us = max.barging || one_in(2) ? 1 + below(4000) : 0;
    max.auth_ttl_us = one_in(3) ? 1 + span(20000) : 0;
    max.idle_timeout_us = one_in(3) ? 1 + span(20000) : 0;
    max.lifetime_us = one_in(3) ? (20000 + below(50000)) * (bp_usec)world.pace : 0;
    max.check_after_us = one_in(4) ? 1 + span(20000) : 0;
    max.keep_alive_us = one_in(4) ? 5000 + span(20000) : 0;
    bpi_pool_init(&world.pool, &max, world.endpoints_count, seed);
    all_endpoints_up();
    if (one_in(3)) {
        unsigned version = below(VERSIONS);
        world.has_warm_key = true;
        world.warm_key =
            (struct bpi_pool_key){.protocol = version, .identity = {(uint8_t)(1 + below(4))}};
        bpi_pool_set_warm_key(&world.pool, &world.warm_key, 1u << version);
    }
    for (unsigned i = 0; i < world.places_count; i++) {
        world.places[i].person = NOBODY;
        world.places[i].due_us = NEVER;
        bpi_pool_add_place(&world.pool, &world.places[i].link);
    }
    for (unsigned i = 0; i < world.persons_count; i++) {
        world.persons[i].back_us = world.is_endless ? world.now_us + below(1000) : NEVER;
        world.persons[i].come_us = NEVER;
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
    all_endpoints_up();
    set_paused(false);
    for (unsigned i = 0; i < world.persons_count; i++) {
        world.persons[i].back_us = NEVER;
    }
    bp_usec end_us = world.now_us + wait_us_bound() + CALM_US_MAX;
    if (world.is_jumpy) {
        end_us += JUMP_US_MAX; /* what lies ahead counts as no time passed until it is there */
    }
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
            EXPECT(world.wait_us_max < wait_us_bound());
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
    bp_usec wait_us_max[2] = {0};
    uint64_t events = 0;
    for (uint64_t seed = 1; seed <= RUNS; seed++) {
        run_or_shrink(seed, seed % 4 == 0 ? steps * 4 : steps);
        events += world.step;
        bp_usec *longest_us = &wait_us_max[world.has_ranks];
        if (seed % 4 == 0 && world.wait_us_max / world.pace > *longest_us) {
            *longest_us = world.wait_us_max / world.pace;
        }
    }
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t seed = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
    print_message("%llu events; longest wait of undisturbed runs %.1f ms, with priorities %.1f ms; "
                  "now BP_SEED=%llu\n",
                  (unsigned long long)events, (double)wait_us_max[0] / 1000,
                  (double)wait_us_max[1] / 1000, (unsigned long long)seed);
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
