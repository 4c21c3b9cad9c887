/* Random histories: endpoints come, go, drain, fail, are slow, are reached or not; transactions start and end; tables come.
 * After each step the rules hold (bpi_route_check), and beside that, known to this file alone:
 *
 *   - what is picked is there, in service, of the right role, and not ejected; a refusal means that there is nobody
 *   - one probe at a time is out to an endpoint on its way back
 *   - events, played back, give the states
 *   - who is sick and may not be ejected takes nothing that a well one may
 *   - never below half of those in service; the only writer is always in
 *
 * A failing run prints its seed.
 */
#include "base/random.h"
#include "route/route.h"

#include <stdio.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define ENDPOINTS   8
#define RUNNING_MAX 64
#define STEPS       3000
#define SEEDS       120

static struct bpi_route route;
static struct bpi_random random_;
static bp_usec now_us;

static struct bpi_route_ticket running[RUNNING_MAX];
static unsigned running_count;
/* What the events say. */
static bool out[ENDPOINTS];
static bool probing[ENDPOINTS];
static bool panic;

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fail_msg("seed %u, step %u: %s", seed_now, step_now, #condition);                      \
        }                                                                                          \
    } while (0)

static unsigned seed_now;
static unsigned step_now;

static unsigned below(unsigned bound)
{
    return (unsigned)bpi_random_below(&random_, bound);
}

static void play_events(void)
{
    struct bpi_route_event event;
    while (bpi_route_next_event(&route, &event)) {
        unsigned i = event.endpoint;
        switch (event.kind) {
        case BPI_ROUTE_EVENT_EJECTED:
            CHECK(!out[i] || probing[i]);
            CHECK(!panic || route.endpoints[i].service != BPI_ROUTE_READY);
            CHECK(event.until_us > event.at_us);
            out[i] = true;
            probing[i] = false;
            break;
        case BPI_ROUTE_EVENT_PROBING:
            CHECK(out[i] && !probing[i]);
            probing[i] = true;
            break;
        case BPI_ROUTE_EVENT_RETURNED:
            CHECK(out[i]);
            CHECK(probing[i] || event.reason != BPI_ROUTE_REASON_PASSED);
            out[i] = probing[i] = false;
            break;
        case BPI_ROUTE_EVENT_PANIC:
            CHECK(!panic && 2 * event.figure > event.against);
            panic = true;
            break;
        case BPI_ROUTE_EVENT_PANIC_OVER:
            CHECK(panic);
            panic = false;
            break;
        case BPI_ROUTE_EVENT_CIRCUIT_OPEN:
        case BPI_ROUTE_EVENT_CIRCUIT_CLOSED:
            break;
        }
    }
    CHECK(route.events.lost_total == 0);
}

static void check_all(void)
{
    play_events();
    bpi_route_check(&route);
    unsigned serving = 0;
    unsigned well = 0;
    unsigned writers = 0;
    unsigned writers_out = 0;
    for (unsigned i = 0; i < ENDPOINTS; i++) {
        bool is_there = (route.present >> i & 1) != 0;
        const struct bpi_route_endpoint *one = &route.endpoints[i];
        if (!is_there) {
            continue;
        }
        CHECK(out[i] == (one->eject.state != BPI_ROUTE_FIT));
        CHECK(probing[i] == (one->eject.state == BPI_ROUTE_PROBING));
        bool serves = one->service == BPI_ROUTE_READY;
        serving += serves ? 1 : 0;
        well += serves && !out[i] ? 1 : 0;
        bool writes = serves && route.kind == BPI_ROUTE_LIST && one->access == BPI_ROUTE_READ_WRITE;
        writers += writes ? 1 : 0;
        writers_out += writes && out[i] ? 1 : 0;
        unsigned probes = 0;
        for (unsigned j = 0; j < running_count; j++) {
            const struct bpi_route_ticket *ticket = &running[j];
            probes += ticket->endpoint == i && ticket->generation == one->generation &&
                              ticket->probe != 0 && ticket->probe == one->eject.probe
                          ? 1
                          : 0;
        }
        CHECK(probes <= 1 && (probes == 1) == (one->eject.probe != 0));
    }
    CHECK(panic == route.is_panic);
    CHECK(2 * well >= serving);
    CHECK(writers_out == 0 || writers > 1);
}

static bool is_well(unsigned i)
{
    return route.endpoints[i].eject.sick == BPI_ROUTE_REASON_NONE;
}

/* Somebody may take it, by the plain reading of the rules, no circuit being open. */
static bool somebody_may(const struct bpi_route_wish *wish, uint64_t candidates, bool and_well)
{
    for (unsigned i = 0; i < ENDPOINTS; i++) {
        const struct bpi_route_endpoint *one = &route.endpoints[i];
        bool is_role =
            route.kind != BPI_ROUTE_LIST || !wish->is_write || one->access == BPI_ROUTE_READ_WRITE;
        if ((route.present & candidates) >> i & 1 && one->service == BPI_ROUTE_READY && is_role &&
            !out[i] && (is_well(i) || !and_well)) {
            return true;
        }
    }
    return false;
}

static void try_pick(void)
{
    struct bpi_route_wish wish = {.is_write = below(3) == 0, .database = below(3)};
    uint64_t candidates = below(3) == 0 ? below(1 << ENDPOINTS) : UINT64_MAX;
    struct bpi_route_ticket ticket;
    int error = bpi_route_pick(&route, candidates, &wish, now_us, &ticket);
    if (error != 0) {
        if (route.kind == BPI_ROUTE_CLUSTER) {
            CHECK(error != BP_E_ENDPOINTS_EMPTY || candidates == 0 || route.present == 0);
            return;
        }
        CHECK(error == BP_E_CIRCUIT_OPEN || !somebody_may(&wish, candidates, !panic));
        return;
    }
    const struct bpi_route_endpoint *one = &route.endpoints[ticket.endpoint];
    CHECK(ticket.endpoint < ENDPOINTS && (route.present >> ticket.endpoint & 1) != 0);
    CHECK((candidates >> ticket.endpoint & 1) != 0);
    CHECK(one->service == BPI_ROUTE_READY);
    CHECK(one->eject.state != BPI_ROUTE_EJECTED);
    CHECK(!out[ticket.endpoint] || (probing[ticket.endpoint] && one->eject.probe == 0));
    if (route.kind == BPI_ROUTE_LIST && !panic && route.breaker.broken_count == 0 &&
        !is_well(ticket.endpoint)) {
        CHECK(out[ticket.endpoint] || !somebody_may(&wish, candidates, true));
    }
    if (route.kind == BPI_ROUTE_LIST && wish.is_write) {
        CHECK(one->access == BPI_ROUTE_READ_WRITE);
    }
    if (route.kind == BPI_ROUTE_CLUSTER) {
        const struct bpi_route_table *table = bpi_route_tables_get(&route.tables, wish.database);
        uint64_t may = wish.is_write ? table->writers : table->readers | table->writers;
        CHECK((may >> ticket.endpoint & 1) != 0);
    }
    if (running_count < RUNNING_MAX) {
        bpi_route_started(&route, &ticket, now_us);
        running[running_count++] = ticket;
    }
}

static void end_one(void)
{
    unsigned index = below(running_count);
    struct bpi_route_ticket *ticket = &running[index];
    /* Each endpoint has its days: three of eight fail now and then, for some thousand steps. */
    bool is_bad_day = (ticket->endpoint + step_now / 400) % 5 == 0;
    enum bpi_route_outcome outcome = below(is_bad_day ? 2 : 30) == 0
                                         ? (enum bpi_route_outcome)below(BPI_ROUTE_CANCELLED + 1)
                                         : BPI_ROUTE_OK;
    bpi_route_finished(&route, ticket, outcome, now_us);
    running[index] = running[--running_count];
}

static void change_endpoint(void)
{
    unsigned i = below(ENDPOINTS);
    bool is_there = (route.present >> i & 1) != 0;
    switch (below(5)) {
    case 0:
        if (bpi_route_remove(&route, i, now_us) == 0) {
            out[i] = probing[i] = false;
        } else {
            CHECK(!is_there);
        }
        break;
    case 1:
    case 2:
        CHECK((bpi_route_add(&route, i, below(2) == 0 ? BPI_ROUTE_READ_WRITE : BPI_ROUTE_READ_ONLY,
                             below(20), now_us) == BP_E_USAGE) == is_there);
        break;
    case 3:
        CHECK((bpi_route_set_service(&route, i, (enum bpi_route_service)below(3), now_us) == 0) ==
              is_there);
        break;
    default:
        if (bpi_route_set_access(&route, i, (enum bpi_route_access)below(2), now_us) != 0) {
            CHECK(!is_there || route.kind == BPI_ROUTE_LIST);
        }
        break;
    }
    if (is_there && below(2) == 0) {
        CHECK(bpi_route_set_service(&route, i, BPI_ROUTE_READY, now_us) == 0 ||
              !(route.present >> i & 1));
    }
}

static void table_comes(void)
{
    struct bpi_route_table answer = {.database = below(3),
                                     .readers = below(1 << ENDPOINTS),
                                     .writers = UINT64_C(1) << below(ENDPOINTS),
                                     .routers = below(1 << ENDPOINTS),
                                     .ttl_us = below(20) * BP_USEC_PER_SECOND};
    bpi_route_table_came(&route, &answer, now_us);
}

static void step(void)
{
    /* Clocks of several loops: now and then a little back. */
    now_us += below(20000);
    bp_usec real_us = now_us;
    now_us -= below(10) == 0 ? below(1000) : 0;
    unsigned what = below(100);
    if (what < 45) {
        try_pick();
    } else if (what < 85) {
        if (running_count > 0) {
            end_one();
        }
    } else if (what < 88) {
        bpi_route_unreached(&route, below(ENDPOINTS), now_us);
    } else if (what < 92) {
        bpi_route_reached(&route, below(ENDPOINTS), now_us);
    } else if (what < 94) {
        change_endpoint();
    } else if (what < 95) {
        bpi_route_set_strategy(&route, (enum bpi_route_strategy)below(BPI_ROUTE_STRATEGY_COUNT));
    } else if (what < 96) {
        table_comes();
    } else if (what < 97) {
        bpi_route_restore(&route, below(ENDPOINTS), now_us);
    } else {
        now_us += below(3) * BP_USEC_PER_SECOND / 2;
        real_us = now_us;
        bpi_route_tick(&route, now_us);
    }
    check_all();
    now_us = real_us;
}

static void any_history(enum bpi_route_kind kind)
{
    unsigned ejected_once = 0;
    for (seed_now = 1; seed_now <= SEEDS; seed_now++) {
        bpi_random_init(&random_, seed_now);
        bpi_route_init(&route, kind, seed_now);
        now_us = 1000 * BP_USEC_PER_SECOND;
        running_count = 0;
        panic = false;
        memset(out, 0, sizeof(out));
        memset(probing, 0, sizeof(probing));
        for (unsigned i = 0; i < ENDPOINTS - 2; i++) {
            int error = bpi_route_add(
                &route, i, i == 0 ? BPI_ROUTE_READ_WRITE : BPI_ROUTE_READ_ONLY, 8, now_us);
            assert_int_equal(error, 0);
        }
        for (step_now = 0; step_now < STEPS; step_now++) {
            step();
            ejected_once += out[1] ? 1 : 0;
        }
    }
    /* The histories are not all of well ones. */
    assert_true(ejected_once > SEEDS * STEPS / 100);
}

static void rules_hold_for_any_history_of_equal_endpoints(void **state)
{
    (void)state;
    any_history(BPI_ROUTE_EQUAL);
}

static void rules_hold_for_any_history_of_a_list(void **state)
{
    (void)state;
    any_history(BPI_ROUTE_LIST);
}

static void rules_hold_for_any_history_of_a_cluster(void **state)
{
    (void)state;
    any_history(BPI_ROUTE_CLUSTER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_hold_for_any_history_of_equal_endpoints),
        cmocka_unit_test(rules_hold_for_any_history_of_a_list),
        cmocka_unit_test(rules_hold_for_any_history_of_a_cluster),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
