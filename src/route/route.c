/* See route.h: settings, events and the rules of ejection. allow.c says who may be picked, pick.c who is. */
#include "route/route.h"

#include "base/assert.h"
#include "route/allow.h"
#include "route/outlier.h"
#include "route/pick.h"

#include <math.h>
#include <string.h>

/* The prior moves by this much to the mean of all at each tick. */
#define PRIOR_PART 0.25

static uint64_t bit(unsigned endpoint)
{
    return UINT64_C(1) << endpoint;
}

static unsigned count_of(uint64_t set)
{
    return (unsigned)__builtin_popcountll(set);
}

static unsigned lowest(uint64_t set)
{
    return (unsigned)__builtin_ctzll(set);
}

static bool is_present(const struct bpi_route *route, unsigned endpoint)
{
    return endpoint < BPI_ROUTE_ENDPOINTS_MAX && (route->present & bit(endpoint)) != 0;
}

static void set_bit(uint64_t *set, unsigned endpoint, bool is_in)
{
    *set = is_in ? *set | bit(endpoint) : *set & ~bit(endpoint);
}

static void push(struct bpi_route *route,
                 enum bpi_route_event_kind kind,
                 enum bpi_route_reason reason,
                 unsigned endpoint,
                 double figure,
                 double against,
                 bp_usec now_us)
{
    struct bpi_route_event event = {.kind = kind,
                                    .reason = reason,
                                    .endpoint = endpoint,
                                    .at_us = now_us,
                                    .figure = figure,
                                    .against = against};
    if (kind == BPI_ROUTE_EVENT_EJECTED) {
        event.until_us = route->endpoints[endpoint].eject.until_us;
    }
    bpi_route_events_push(&route->events, &event);
}

/* ---- states ---- */

/* The sets follow the state. */
static void state_changed(struct bpi_route *route, unsigned endpoint)
{
    enum bpi_route_state state = route->endpoints[endpoint].eject.state;
    set_bit(&route->fit, endpoint, state == BPI_ROUTE_FIT);
    set_bit(&route->probing, endpoint, state == BPI_ROUTE_PROBING);
}

static void eject(struct bpi_route *route,
                  unsigned endpoint,
                  enum bpi_route_reason reason,
                  enum bpi_route_reason told,
                  double figure,
                  double against,
                  bp_usec now_us)
{
    bpi_route_eject_begin(&route->endpoints[endpoint].eject, reason,
                          bpi_random_unit(&route->random), now_us);
    state_changed(route, endpoint);
    push(route, BPI_ROUTE_EVENT_EJECTED, told, endpoint, figure, against, now_us);
}

/* Makes one FIT by a rule of the whole set. */
static void put_back(struct bpi_route *route,
                     unsigned endpoint,
                     enum bpi_route_reason reason,
                     double figure,
                     double against,
                     bp_usec now_us)
{
    bpi_route_eject_end(&route->endpoints[endpoint].eject, now_us);
    state_changed(route, endpoint);
    push(route, BPI_ROUTE_EVENT_RETURNED, reason, endpoint, figure, against, now_us);
}

/* The endpoints without which a database, or the LIST, has no writer. */
static uint64_t only_writers(const struct bpi_route *route)
{
    uint64_t only = 0;
    if (route->kind == BPI_ROUTE_LIST) {
        only = route->writers & route->ready;
        return count_of(only) == 1 ? only : 0;
    }
    for (unsigned i = 0; route->kind == BPI_ROUTE_CLUSTER && i < BPI_ROUTE_TABLES; i++) {
        uint64_t writers = route->tables.tables[i].writers & route->ready;
        only |= count_of(writers) == 1 ? writers : 0;
    }
    return only;
}

/* In service, and not FIT or with signs of sickness. */
static uint64_t sick_ones(const struct bpi_route *route)
{
    uint64_t sick = route->ready & ~route->fit;
    for (uint64_t left = route->ready & route->fit; left != 0; left &= left - 1) {
        unsigned endpoint = lowest(left);
        set_bit(&sick, endpoint, route->endpoints[endpoint].eject.sick != BPI_ROUTE_REASON_NONE);
    }
    return sick;
}

static void panic_update(struct bpi_route *route, uint64_t sick, bp_usec now_us)
{
    unsigned serving = count_of(route->ready);
    bool is_panic = serving >= 2 && 2 * count_of(sick) > serving;
    if (is_panic != route->is_panic) {
        route->is_panic = is_panic;
        push(route, is_panic ? BPI_ROUTE_EVENT_PANIC : BPI_ROUTE_EVENT_PANIC_OVER,
             BPI_ROUTE_REASON_PANIC, 0, count_of(sick), serving, now_us);
    }
    for (uint64_t left = is_panic ? route->ready & ~route->fit : 0; left != 0; left &= left - 1)
        put_back(route, lowest(left), BPI_ROUTE_REASON_PANIC, count_of(sick), serving, now_us);
}

/* Puts back what a change of roles or services doesn't allow to be out. */
static void put_back_too_many(struct bpi_route *route, uint64_t writers, bp_usec now_us)
{
    for (uint64_t left = writers & ~route->fit; left != 0; left &= left - 1)
        put_back(route, lowest(left), BPI_ROUTE_REASON_WRITER, 0, 0, now_us);
    unsigned serving = count_of(route->ready);
    while (count_of(route->ready & ~route->fit) > serving / 2) {
        uint64_t out = route->ready & ~route->fit;
        unsigned first = lowest(out);
        for (uint64_t left = out; left != 0; left &= left - 1) {
            /* One that is probing is nearer to well than one whose time-out runs. */
            const struct bpi_route_eject *one = &route->endpoints[lowest(left)].eject;
            const struct bpi_route_eject *best = &route->endpoints[first].eject;
            bool is_nearer = one->state != best->state ? one->state == BPI_ROUTE_PROBING
                                                       : one->until_us < best->until_us;
            first = is_nearer ? lowest(left) : first;
        }
        put_back(route, first, BPI_ROUTE_REASON_HALF, count_of(out), serving, now_us);
    }
}

static void eject_sick(struct bpi_route *route, uint64_t sick, uint64_t writers, bp_usec now_us)
{
    unsigned serving = count_of(route->ready);
    for (uint64_t left = sick & route->fit & ~writers; left != 0; left &= left - 1) {
        if (count_of(route->ready & ~route->fit) + 1 > serving / 2) {
            return;
        }
        unsigned endpoint = lowest(left);
        const struct bpi_route_eject *one = &route->endpoints[endpoint].eject;
        eject(route, endpoint, one->sick, one->sick, one->sick_figure, one->sick_against, now_us);
    }
}

/* After anything that may change who is sick, in service or needed. */
static void apply_rules(struct bpi_route *route, bp_usec now_us)
{
    uint64_t sick = sick_ones(route);
    route->spared = 0;
    if (sick == 0 && !route->is_panic) {
        return;
    }
    uint64_t writers = only_writers(route);
    panic_update(route, sick, now_us);
    if (!route->is_panic) {
        put_back_too_many(route, writers, now_us);
        eject_sick(route, sick, writers, now_us);
        route->spared = sick_ones(route) & route->fit;
    }
}

static void step_taken(struct bpi_route *route,
                       unsigned endpoint,
                       enum bpi_route_eject_step step,
                       bp_usec now_us)
{
    struct bpi_route_endpoint *one = &route->endpoints[endpoint];
    state_changed(route, endpoint);
    switch (step) {
    case BPI_ROUTE_EJECT_NOTHING:
        break;
    case BPI_ROUTE_EJECT_PROBING:
        push(route, BPI_ROUTE_EVENT_PROBING, BPI_ROUTE_REASON_ANSWERED, endpoint, 0, 0, now_us);
        break;
    case BPI_ROUTE_EJECT_RETURNED:
        bpi_route_load_slow_start(&one->load, now_us);
        push(route, BPI_ROUTE_EVENT_RETURNED, BPI_ROUTE_REASON_PASSED, endpoint, BPI_ROUTE_PROBES,
             0, now_us);
        break;
    case BPI_ROUTE_EJECT_FAILED:
        eject(route, endpoint,
              one->eject.sick == BPI_ROUTE_REASON_CONNECTION ? one->eject.sick : one->eject.reason,
              BPI_ROUTE_REASON_PROBE, one->eject.times, 0, now_us);
        break;
    }
    apply_rules(route, now_us);
}

/* ---- settings ---- */

void bpi_route_init(struct bpi_route *route, enum bpi_route_kind kind, uint64_t seed)
{
    memset(route, 0, sizeof(*route));
    route->kind = kind;
    route->prior_us = BPI_ROUTE_SERVICE_DEFAULT_US;
    bpi_random_init(&route->random, seed);
}

void bpi_route_set_strategy(struct bpi_route *route, enum bpi_route_strategy strategy)
{
    route->strategy = strategy;
}

void bpi_route_set_shared(struct bpi_route *route, bool is_shared)
{
    route->is_shared = is_shared;
}

/* A LIST has another writer already. */
static bool has_other_writer(const struct bpi_route *route, unsigned endpoint)
{
    return route->kind == BPI_ROUTE_LIST && (route->writers & ~bit(endpoint)) != 0;
}

int bpi_route_add(struct bpi_route *route,
                  unsigned endpoint,
                  enum bpi_route_access access,
                  unsigned limit,
                  bp_usec now_us)
{
    if (endpoint >= BPI_ROUTE_ENDPOINTS_MAX) {
        return BP_E_ENDPOINT_UNKNOWN;
    }
    if (is_present(route, endpoint)) {
        return BP_E_USAGE;
    }
    if (access == BPI_ROUTE_READ_WRITE && has_other_writer(route, endpoint)) {
        return BP_E_ENDPOINT_ACCESS;
    }
    struct bpi_route_endpoint *one = &route->endpoints[endpoint];
    *one = (struct bpi_route_endpoint){.generation = one->generation + 1,
                                       .access = access,
                                       .weight = BPI_ROUTE_WEIGHT_DEFAULT,
                                       .weight_part = 1,
                                       .eject = {.since_us = now_us, .window_us = now_us}};
    bpi_route_load_init(&one->load, limit, now_us);
    for (uint64_t left = route->present; left != 0; left &= left - 1) {
        /* Beside others that are at work it begins slowly; where all are new nobody does. */
        if (route->endpoints[lowest(left)].load.latency_us > 0) {
            bpi_route_load_slow_start(&one->load, now_us);
        }
    }
    set_bit(&route->present, endpoint, true);
    set_bit(&route->ready, endpoint, true);
    set_bit(&route->drained, endpoint, false);
    set_bit(&route->writers, endpoint, access == BPI_ROUTE_READ_WRITE);
    state_changed(route, endpoint);
    bpi_route_tables_changed(&route->tables);
    apply_rules(route, now_us);
    return 0;
}

int bpi_route_remove(struct bpi_route *route, unsigned endpoint, bp_usec now_us)
{
    if (!is_present(route, endpoint)) {
        return BP_E_ENDPOINT_UNKNOWN;
    }
    uint64_t *sets[] = {&route->present, &route->ready,   &route->drained,
                        &route->writers, &route->probing, &route->fit};
    for (unsigned i = 0; i < sizeof(sets) / sizeof(sets[0]); i++)
        set_bit(sets[i], endpoint, false);
    route->endpoints[endpoint].generation++;
    bpi_route_breaker_forget(&route->breaker, endpoint);
    bpi_route_tables_remove_endpoint(&route->tables, endpoint);
    apply_rules(route, now_us);
    return 0;
}

int bpi_route_set_access(struct bpi_route *route,
                         unsigned endpoint,
                         enum bpi_route_access access,
                         bp_usec now_us)
{
    if (!is_present(route, endpoint)) {
        return BP_E_ENDPOINT_UNKNOWN;
    }
    if (access == BPI_ROUTE_READ_WRITE && has_other_writer(route, endpoint)) {
        return BP_E_ENDPOINT_ACCESS;
    }
    route->endpoints[endpoint].access = access;
    set_bit(&route->writers, endpoint, access == BPI_ROUTE_READ_WRITE);
    apply_rules(route, now_us);
    return 0;
}

int bpi_route_set_limit(struct bpi_route *route, unsigned endpoint, unsigned limit, bp_usec now_us)
{
    if (!is_present(route, endpoint)) {
        return BP_E_ENDPOINT_UNKNOWN;
    }
    bpi_route_load_set_limit(&route->endpoints[endpoint].load, limit, now_us);
    return 0;
}

int bpi_route_set_service(struct bpi_route *route,
                          unsigned endpoint,
                          enum bpi_route_service service,
                          bp_usec now_us)
{
    if (!is_present(route, endpoint)) {
        return BP_E_ENDPOINT_UNKNOWN;
    }
    route->endpoints[endpoint].service = service;
    set_bit(&route->ready, endpoint, service == BPI_ROUTE_READY);
    set_bit(&route->drained, endpoint, service == BPI_ROUTE_DRAIN);
    apply_rules(route, now_us);
    return 0;
}

int bpi_route_set_weights(struct bpi_route *route,
                          const struct bpi_route_weight *weights,
                          unsigned count)
{
    if (count == 0) {
        return BP_E_ENDPOINTS_EMPTY;
    }
    for (unsigned i = 0; i < count; i++) {
        if (!is_present(route, weights[i].endpoint)) {
            return BP_E_ENDPOINT_UNKNOWN;
        }
        if (weights[i].weight == 0 || weights[i].weight > BPI_ROUTE_WEIGHT_MAX) {
            return BP_E_WEIGHT;
        }
    }
    for (unsigned i = 0; i < count; i++) {
        struct bpi_route_endpoint *one = &route->endpoints[weights[i].endpoint];
        one->weight = weights[i].weight;
        one->weight_part = (double)BPI_ROUTE_WEIGHT_DEFAULT / one->weight;
    }
    /* What was owed was in the old proportion. */
    for (uint64_t left = route->present; left != 0; left &= left - 1)
        route->endpoints[lowest(left)].turn = 0;
    return 0;
}

/* ---- events ---- */

void bpi_route_reached(struct bpi_route *route, unsigned endpoint, bp_usec now_us)
{
    if (is_present(route, endpoint)) {
        step_taken(route, endpoint,
                   bpi_route_eject_answered(&route->endpoints[endpoint].eject, now_us), now_us);
    }
}

void bpi_route_unreached(struct bpi_route *route, unsigned endpoint, bp_usec now_us)
{
    if (is_present(route, endpoint)) {
        struct bpi_route_endpoint *one = &route->endpoints[endpoint];
        /* Where it may not be ejected, it gets dear at least. */
        bpi_route_load_overloaded(&one->load, now_us);
        bpi_route_tables_doubt(&route->tables, endpoint);
        step_taken(route, endpoint, bpi_route_eject_unreached(&one->eject), now_us);
    }
}

void bpi_route_restore(struct bpi_route *route, unsigned endpoint, bp_usec now_us)
{
    if (is_present(route, endpoint)) {
        struct bpi_route_eject *one = &route->endpoints[endpoint].eject;
        one->sick = BPI_ROUTE_REASON_NONE;
        one->unreached = one->lost = one->slow = 0;
        if (one->state != BPI_ROUTE_FIT) {
            bpi_route_load_slow_start(&route->endpoints[endpoint].load, now_us);
            put_back(route, endpoint, BPI_ROUTE_REASON_ORDERED, 0, 0, now_us);
        }
        apply_rules(route, now_us);
    }
}

void bpi_route_started(struct bpi_route *route, struct bpi_route_ticket *ticket, bp_usec now_us)
{
    ticket->started_us = now_us;
    ticket->is_started = true;
    struct bpi_route_endpoint *one = &route->endpoints[ticket->endpoint];
    if (!is_present(route, ticket->endpoint) || one->generation != ticket->generation) {
        return;
    }
    one->picked_total++;
    bpi_route_report_used(&one->report);
    bpi_route_load_started(&one->load, now_us);
    bpi_route_eject_started(&one->eject, now_us);
    if (bpi_route_eject_may_probe(&one->eject)) {
        ticket->probe = bpi_route_eject_probe(&one->eject);
    }
    uint32_t circuit =
        bpi_route_breaker_started(&route->breaker, ticket->endpoint, ticket->database, now_us);
    ticket->circuit = circuit;
}

/* How the endpoint comes out of it. */
static enum bpi_route_eject_step judge_endpoint(struct bpi_route_endpoint *one,
                                                const struct bpi_route_ticket *ticket,
                                                enum bpi_route_outcome outcome,
                                                bp_usec now_us)
{
    bp_usec took_us = now_us > ticket->started_us ? now_us - ticket->started_us : 0;
    switch (outcome) {
    case BPI_ROUTE_OK:
    case BPI_ROUTE_CLIENT_FAULT:
        bpi_route_load_done(&one->load, took_us, now_us);
        return bpi_route_eject_outcome(&one->eject, true, ticket->probe, now_us);
    case BPI_ROUTE_SERVER_FAULT:
        bpi_route_load_gone(&one->load, now_us);
        return bpi_route_eject_outcome(&one->eject, false, ticket->probe, now_us);
    case BPI_ROUTE_CONNECTION_LOST:
        bpi_route_load_gone(&one->load, now_us);
        return bpi_route_eject_lost(&one->eject, ticket->probe, now_us);
    case BPI_ROUTE_OVERLOADED:
        bpi_route_load_gone(&one->load, now_us);
        bpi_route_load_overloaded(&one->load, now_us);
        /* It answers, so it isn't sick; but it isn't well enough to come back either. */
        if (ticket->probe != 0) {
            return bpi_route_eject_outcome(&one->eject, false, ticket->probe, now_us);
        }
        break;
    case BPI_ROUTE_NOT_A_LEADER:
    case BPI_ROUTE_CANCELLED:
        bpi_route_load_gone(&one->load, now_us);
        break;
    }
    bpi_route_eject_void(&one->eject, ticket->probe);
    return BPI_ROUTE_EJECT_NOTHING;
}

static void judge_circuit(struct bpi_route *route,
                          const struct bpi_route_ticket *ticket,
                          enum bpi_route_outcome outcome,
                          bp_usec now_us)
{
    bool is_good = outcome == BPI_ROUTE_OK || outcome == BPI_ROUTE_CLIENT_FAULT;
    if (!is_good && outcome != BPI_ROUTE_SERVER_FAULT) {
        bpi_route_breaker_void(&route->breaker, ticket->endpoint, ticket->database,
                               ticket->circuit);
        return;
    }
    if (is_good && route->breaker.used_count == 0) {
        return;
    }
    struct bpi_route_circuit circuit;
    enum bpi_route_breaker_step step = bpi_route_breaker_outcome(
        &route->breaker, ticket->endpoint, ticket->database, is_good, ticket->circuit,
        is_good ? 0 : bpi_random_unit(&route->random), now_us, &circuit);
    if (step != BPI_ROUTE_BREAKER_NOTHING) {
        bool is_open = step == BPI_ROUTE_BREAKER_OPENED;
        struct bpi_route_event event = {
            .kind = is_open ? BPI_ROUTE_EVENT_CIRCUIT_OPEN : BPI_ROUTE_EVENT_CIRCUIT_CLOSED,
            .reason = is_open ? BPI_ROUTE_REASON_FAILURES : BPI_ROUTE_REASON_PASSED,
            .endpoint = ticket->endpoint,
            .database = ticket->database,
            .at_us = now_us,
            .until_us = is_open ? circuit.until_us : 0,
            .figure = is_open ? circuit.row : 1,
            .against = is_open ? BPI_ROUTE_BREAKER_ROW : 0,
        };
        bpi_route_events_push(&route->events, &event);
    }
}

void bpi_route_finished(struct bpi_route *route,
                        struct bpi_route_ticket *ticket,
                        enum bpi_route_outcome outcome,
                        bp_usec now_us)
{
    BP_ASSERT(ticket->is_started);
    ticket->is_started = false;
    struct bpi_route_endpoint *one = &route->endpoints[ticket->endpoint];
    if (!is_present(route, ticket->endpoint) || one->generation != ticket->generation) {
        return;
    }
    if (outcome == BPI_ROUTE_NOT_A_LEADER && route->kind == BPI_ROUTE_CLUSTER) {
        bpi_route_tables_not_a_leader(&route->tables, ticket->database, ticket->endpoint);
    }
    judge_circuit(route, ticket, outcome, now_us);
    if (outcome == BPI_ROUTE_CONNECTION_LOST) {
        bpi_route_tables_doubt(&route->tables, ticket->endpoint);
    }
    enum bpi_route_reason sick = one->eject.sick;
    enum bpi_route_eject_step step = judge_endpoint(one, ticket, outcome, now_us);
    if (step != BPI_ROUTE_EJECT_NOTHING || sick != one->eject.sick) {
        step_taken(route, ticket->endpoint, step, now_us);
    }
}

void bpi_route_issued(struct bpi_route *route,
                      const struct bpi_route_ticket *ticket,
                      uint64_t bookmark)
{
    if (route->kind == BPI_ROUTE_LIST && is_present(route, ticket->endpoint) &&
        route->endpoints[ticket->endpoint].generation == ticket->generation) {
        bpi_route_bookmarks_put(&route->bookmarks, bookmark, ticket->endpoint, ticket->generation);
    }
}

void bpi_route_reported(struct bpi_route *route,
                        unsigned endpoint,
                        unsigned running,
                        bp_usec now_us)
{
    if (is_present(route, endpoint)) {
        struct bpi_route_endpoint *one = &route->endpoints[endpoint];
        bpi_route_report_set(&one->report, running, one->load.running, now_us);
    }
}

void bpi_route_table_came(struct bpi_route *route,
                          const struct bpi_route_table *answer,
                          bp_usec now_us)
{
    struct bpi_route_table known = *answer;
    known.readers &= route->present;
    known.writers &= route->present;
    known.routers &= route->present;
    bpi_route_tables_put(&route->tables, &known, now_us);
    apply_rules(route, now_us);
}

/* ---- time ---- */

/* What the others did well in the last one or two seconds of the window. */
static unsigned good_lately(const struct bpi_route *route, unsigned but)
{
    unsigned good = 0;
    for (uint64_t left = route->ready & ~bit(but); left != 0; left &= left - 1) {
        const struct bpi_route_eject *one = &route->endpoints[lowest(left)].eject;
        good += one->window[0].good + one->window[1].good;
    }
    return good;
}

static void look_for_stall(struct bpi_route *route, unsigned endpoint, bp_usec now_us)
{
    struct bpi_route_endpoint *one = &route->endpoints[endpoint];
    struct bpi_route_eject *eject = &one->eject;
    if (eject->sick != BPI_ROUTE_REASON_NONE || eject->state != BPI_ROUTE_FIT ||
        eject->unanswered < BPI_ROUTE_STALL_COUNT || one->load.running < BPI_ROUTE_STALL_COUNT ||
        now_us < eject->unanswered_us) {
        return;
    }
    bp_usec silent_us = now_us - eject->unanswered_us;
    double latency_us = one->load.latency_us > 0 ? one->load.latency_us : route->prior_us;
    if (silent_us >= BPI_ROUTE_STALL_US &&
        (double)silent_us >= BPI_ROUTE_STALL_LATENCY * latency_us &&
        good_lately(route, endpoint) >= BPI_ROUTE_OUTCOMES_MIN) {
        eject->sick = BPI_ROUTE_REASON_STALLED;
        eject->sick_figure = eject->unanswered;
        eject->sick_against = (double)silent_us;
    }
}

/* What a sweep compares: those in service and FIT with enough outcomes. */
struct sample {
    unsigned count;
    unsigned endpoints[BPI_ROUTE_ENDPOINTS_MAX];
    double shares[BPI_ROUTE_ENDPOINTS_MAX];
    double latencies_us[BPI_ROUTE_ENDPOINTS_MAX];
};

static void sample_take(const struct bpi_route *route, struct sample *sample)
{
    sample->count = 0;
    for (uint64_t left = route->ready & route->fit; left != 0; left &= left - 1) {
        unsigned endpoint = lowest(left);
        unsigned good;
        unsigned bad;
        bpi_route_eject_counts(&route->endpoints[endpoint].eject, &good, &bad);
        if (good + bad >= BPI_ROUTE_OUTCOMES_MIN) {
            sample->endpoints[sample->count] = endpoint;
            sample->shares[sample->count] = (double)good / (good + bad);
            sample->latencies_us[sample->count] = route->endpoints[endpoint].load.latency_us;
            sample->count++;
        }
    }
}

static void mark(struct bpi_route_eject *eject,
                 enum bpi_route_reason reason,
                 bool is_sick,
                 double figure,
                 double against)
{
    if (is_sick && eject->sick == BPI_ROUTE_REASON_NONE) {
        eject->sick = reason;
        eject->sick_figure = figure;
        eject->sick_against = against;
    } else if (!is_sick && eject->sick == reason) {
        eject->sick = BPI_ROUTE_REASON_NONE;
    }
}

static void look_for_outliers(struct bpi_route *route)
{
    struct sample sample;
    uint64_t idle = route->present;
    sample_take(route, &sample);
    for (unsigned i = 0; i < sample.count; i++)
        set_bit(&idle, sample.endpoints[i], false);
    for (uint64_t left = idle & route->fit; left != 0; left &= left - 1) {
        /* Who did little lately is not blamed for what was before. */
        struct bpi_route_eject *eject = &route->endpoints[lowest(left)].eject;
        eject->slow = 0;
        mark(eject, BPI_ROUTE_REASON_FAILURES, false, 0, 0);
        mark(eject, BPI_ROUTE_REASON_LATENCY, false, 0, 0);
    }
    for (unsigned i = 0; i < sample.count; i++) {
        struct bpi_route_eject *eject = &route->endpoints[sample.endpoints[i]].eject;
        double against = 0;
        bool is_low = sample.shares[i] < BPI_ROUTE_SHARE_MIN &&
                      bpi_route_outlier_low(sample.shares, sample.count, i, &against);
        mark(eject, BPI_ROUTE_REASON_FAILURES, is_low, sample.shares[i], against);
        double median_us = bpi_route_outlier_median(sample.latencies_us, sample.count, i);
        bool is_slow = median_us > 0 && sample.latencies_us[i] > BPI_ROUTE_SLOW_TIMES * median_us;
        eject->slow = is_slow ? eject->slow + 1 : 0;
        mark(eject, BPI_ROUTE_REASON_LATENCY, eject->slow >= BPI_ROUTE_SLOW_SWEEPS,
             sample.latencies_us[i], median_us);
    }
}

/* The mean service time of all, which one without a history is believed to have. */
static void prior_update(struct bpi_route *route, bp_usec now_us)
{
    double busy_us = 0;
    double done = 0;
    for (uint64_t left = route->ready & route->fit; left != 0; left &= left - 1) {
        const struct bpi_route_load *load = &route->endpoints[lowest(left)].load;
        double service_us = bpi_route_load_service_us(load, route->prior_us, now_us);
        busy_us += service_us * load->done;
        done += load->done;
    }
    if (done >= 1) {
        route->prior_us += PRIOR_PART * (busy_us / done - route->prior_us);
    }
}

void bpi_route_tick(struct bpi_route *route, bp_usec now_us)
{
    for (uint64_t left = route->present; left != 0; left &= left - 1) {
        unsigned endpoint = lowest(left);
        struct bpi_route_endpoint *one = &route->endpoints[endpoint];
        bpi_route_load_tick(&one->load, now_us);
        if (bpi_route_eject_tick(&one->eject, now_us)) {
            state_changed(route, endpoint);
            push(route, BPI_ROUTE_EVENT_PROBING, BPI_ROUTE_REASON_TIME, endpoint,
                 (double)one->eject.timeout_us, 0, now_us);
        }
    }
    for (uint64_t left = route->ready; left != 0; left &= left - 1)
        look_for_stall(route, lowest(left), now_us);
    prior_update(route, now_us);
    if (now_us >= route->swept_us && now_us - route->swept_us >= BPI_ROUTE_SWEEP_US) {
        route->swept_us = now_us;
        look_for_outliers(route);
    }
    apply_rules(route, now_us);
}

/* ---- questions ---- */

void bpi_route_ticket(struct bpi_route *route,
                      unsigned endpoint,
                      const struct bpi_route_wish *wish,
                      struct bpi_route_ticket *ret_ticket)
{
    BP_ASSERT(is_present(route, endpoint));
    *ret_ticket = (struct bpi_route_ticket){.endpoint = endpoint,
                                            .generation = route->endpoints[endpoint].generation,
                                            .database = wish->database,
                                            .is_write = wish->is_write};
}

int bpi_route_pick(struct bpi_route *route,
                   uint64_t candidates,
                   const struct bpi_route_wish *wish,
                   bp_usec now_us,
                   struct bpi_route_ticket *ret_ticket)
{
    uint64_t among;
    uint64_t probes;
    int error = bpi_route_allow(route, candidates, wish, now_us, &among, &probes);
    if (error != 0) {
        return error;
    }
    bpi_route_ticket(route, bpi_route_choose(route, probes != 0 ? probes : among, now_us), wish,
                     ret_ticket);
    return 0;
}

int bpi_route_fit(struct bpi_route *route,
                  uint64_t candidates,
                  const struct bpi_route_wish *wish,
                  bp_usec now_us,
                  uint64_t *ret_endpoints)
{
    uint64_t probes;
    return bpi_route_allow(route, candidates, wish, now_us, ret_endpoints, &probes);
}

double bpi_route_cost(const struct bpi_route *route, unsigned endpoint, bp_usec now_us)
{
    if (!is_present(route, endpoint) || (route->ready & bit(endpoint)) == 0 ||
        (route->endpoints[endpoint].eject.state != BPI_ROUTE_FIT &&
         !bpi_route_eject_may_probe(&route->endpoints[endpoint].eject))) {
        return (double)INFINITY;
    }
    return bpi_route_choose_cost(route, endpoint, now_us);
}

void bpi_route_costs(const struct bpi_route *route,
                     uint64_t endpoints,
                     bp_usec now_us,
                     double *ret_costs)
{
    uint64_t usable = 0;
    for (uint64_t left = endpoints; left != 0; left &= left - 1) {
        unsigned endpoint = lowest(left);
        ret_costs[endpoint] = (double)INFINITY;
        if (isfinite(bpi_route_cost(route, endpoint, now_us))) {
            usable |= bit(endpoint);
        }
    }
    bpi_route_choose_costs(route, usable, now_us, ret_costs);
}

uint64_t bpi_route_to_check(const struct bpi_route *route)
{
    uint64_t set = 0;
    for (uint64_t left = route->present & ~route->fit; left != 0; left &= left - 1) {
        const struct bpi_route_eject *one = &route->endpoints[lowest(left)].eject;
        if (one->state == BPI_ROUTE_PROBING && !one->is_reached) {
            set |= bit(lowest(left));
        }
    }
    return set;
}

bool bpi_route_next_event(struct bpi_route *route, struct bpi_route_event *ret_event)
{
    return bpi_route_events_pop(&route->events, ret_event);
}

void bpi_route_check(const struct bpi_route *route)
{
    uint64_t sets = route->ready | route->drained | route->writers | route->fit | route->probing;
    BP_ASSERT((sets & ~route->present) == 0);
    BP_ASSERT((route->ready & route->drained) == 0 && (route->fit & route->probing) == 0);
    for (uint64_t left = route->present; left != 0; left &= left - 1) {
        unsigned endpoint = lowest(left);
        const struct bpi_route_endpoint *one = &route->endpoints[endpoint];
        BP_ASSERT(((route->fit & bit(endpoint)) != 0) == (one->eject.state == BPI_ROUTE_FIT));
        BP_ASSERT(((route->probing & bit(endpoint)) != 0) ==
                  (one->eject.state == BPI_ROUTE_PROBING));
        BP_ASSERT(one->eject.probe == 0 || one->eject.state == BPI_ROUTE_PROBING);
        BP_ASSERT((route->ready & bit(endpoint)) != 0 || one->service != BPI_ROUTE_READY);
        BP_ASSERT(one->weight >= 1 && one->load.limit >= 1);
    }
    BP_ASSERT(2 * count_of(route->ready & route->fit) >= count_of(route->ready));
    BP_ASSERT((only_writers(route) & ~route->fit) == 0);
    BP_ASSERT(route->kind != BPI_ROUTE_LIST || count_of(route->writers) <= 1);
}
