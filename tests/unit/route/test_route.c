/* Shows who is ejected and why, who never is, how one comes back, and that each change is an event: stories on a clock
 * that the test moves. */
#include "base/random.h"
#include "routes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define MS     BP_USEC_PER_MS
#define SECOND BP_USEC_PER_SECOND

static struct bpi_route_ticket started_on(unsigned endpoint)
{
    struct bpi_route_wish wish = {.database = 1};
    struct bpi_route_ticket ticket;
    bpi_route_ticket(&route, endpoint, &wish, &ticket);
    bpi_route_started(&route, &ticket, now_us);
    return ticket;
}

static void does(unsigned endpoint, enum bpi_route_outcome outcome, bp_usec took_us)
{
    struct bpi_route_ticket ticket = started_on(endpoint);
    bpi_route_finished(&route, &ticket, outcome, now_us + took_us);
}

/* A second in which each endpoint works, ten milliseconds each, but for what is said of the last one. */
static void a_second(unsigned count, enum bpi_route_outcome last_outcome, bp_usec last_took_us)
{
    for (unsigned i = 0; i < 10; i++) {
        now_us += 100 * MS;
        for (unsigned j = 0; j < count; j++) {
            bool is_last = j == count - 1;
            does(j, is_last ? last_outcome : BPI_ROUTE_OK, is_last ? last_took_us : 10 * MS);
        }
    }
    bpi_route_tick(&route, now_us);
    bpi_route_check(&route);
}

static void quiet_second(void)
{
    now_us += SECOND;
    bpi_route_tick(&route, now_us);
    bpi_route_check(&route);
}

static enum bpi_route_state state_of(unsigned endpoint)
{
    return route.endpoints[endpoint].eject.state;
}

/* The next event but those of circuits, which are another story. */
static bool next_event(struct bpi_route_event *ret_event)
{
    bool is_one;
    do {
        is_one = bpi_route_next_event(&route, ret_event);
    } while (is_one && ret_event->kind >= BPI_ROUTE_EVENT_CIRCUIT_OPEN);
    return is_one;
}

static struct bpi_route_event expect(enum bpi_route_event_kind kind, enum bpi_route_reason reason)
{
    struct bpi_route_event event;
    assert_true(next_event(&event));
    assert_string_equal(bpi_route_event_name(event.kind), bpi_route_event_name(kind));
    assert_string_equal(bpi_route_reason_name(event.reason), bpi_route_reason_name(reason));
    assert_true(event.at_us <= now_us + SECOND);
    return event;
}

static void expect_none(void)
{
    struct bpi_route_event event;
    if (next_event(&event)) {
        fail_msg("%s %s", bpi_route_event_name(event.kind), bpi_route_reason_name(event.reason));
    }
}

static void drop_circuits(void)
{
    route.breaker = (struct bpi_route_breaker){0};
}

static struct bpi_route_ticket pick(void)
{
    struct bpi_route_wish wish = {.database = 1};
    struct bpi_route_ticket ticket;
    assert_int_equal(bpi_route_pick(&route, ALL, &wish, now_us, &ticket), 0);
    bpi_route_started(&route, &ticket, now_us);
    return ticket;
}

static void who_cannot_be_reached_is_ejected_at_once(void **state)
{
    (void)state;
    start(BPI_ROUTE_EQUAL, 3);
    bpi_route_unreached(&route, 1, now_us);
    assert_int_equal(state_of(1), BPI_ROUTE_EJECTED);
    struct bpi_route_event event = expect(BPI_ROUTE_EVENT_EJECTED, BPI_ROUTE_REASON_CONNECTION);
    assert_int_equal(event.endpoint, 1);
    assert_int_equal((int)event.figure, 1);
    assert_true(event.until_us >= now_us + BPI_ROUTE_EJECT_US / 2 &&
                event.until_us <= now_us + BPI_ROUTE_EJECT_US);
    for (unsigned i = 0; i < 100; i++)
        assert_int_not_equal(pick().endpoint, 1);
    expect_none();
}

static void it_comes_back_by_being_reached_and_starts_slowly(void **state)
{
    (void)state;
    start(BPI_ROUTE_EQUAL, 3);
    bpi_route_unreached(&route, 1, now_us);
    expect(BPI_ROUTE_EVENT_EJECTED, BPI_ROUTE_REASON_CONNECTION);
    now_us += SECOND;
    bpi_route_reached(&route, 1, now_us);
    expect(BPI_ROUTE_EVENT_PROBING, BPI_ROUTE_REASON_ANSWERED);
    /* Transactions are the other probes: the next pick, and no other meanwhile. */
    struct bpi_route_ticket probe = pick();
    assert_int_equal(probe.endpoint, 1);
    assert_int_not_equal(probe.probe, 0);
    for (unsigned i = 0; i < 50; i++)
        assert_int_not_equal(pick().endpoint, 1);
    bpi_route_finished(&route, &probe, BPI_ROUTE_OK, now_us);
    probe = pick();
    assert_int_equal(probe.endpoint, 1);
    bpi_route_finished(&route, &probe, BPI_ROUTE_OK, now_us);
    struct bpi_route_event event = expect(BPI_ROUTE_EVENT_RETURNED, BPI_ROUTE_REASON_PASSED);
    assert_int_equal(event.endpoint, 1);
    assert_int_equal(state_of(1), BPI_ROUTE_FIT);
    assert_true(bpi_route_cost(&route, 1, now_us) > 5 * BPI_ROUTE_SERVICE_DEFAULT_US);
    now_us += BPI_ROUTE_SLOW_START_US;
    bpi_route_tick(&route, now_us);
    assert_true(bpi_route_cost(&route, 1, now_us) < 1.1 * BPI_ROUTE_SERVICE_DEFAULT_US);
    expect_none();
}

static void nobody_goes_there_when_its_time_is_over_before_the_owner_did(void **state)
{
    (void)state;
    start(BPI_ROUTE_EQUAL, 3);
    bpi_route_unreached(&route, 1, now_us);
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(bpi_route_to_check(&route), state_of(1) == BPI_ROUTE_PROBING ? 2 : 0);
        quiet_second();
    }
    assert_int_equal(state_of(1), BPI_ROUTE_PROBING);
    assert_int_equal(bpi_route_to_check(&route), 2);
    for (unsigned i = 0; i < 50; i++)
        assert_int_not_equal(pick().endpoint, 1);
    expect(BPI_ROUTE_EVENT_EJECTED, BPI_ROUTE_REASON_CONNECTION);
    expect(BPI_ROUTE_EVENT_PROBING, BPI_ROUTE_REASON_TIME);
    /* The owner fails, too: out again, for longer. */
    bpi_route_unreached(&route, 1, now_us);
    struct bpi_route_event event = expect(BPI_ROUTE_EVENT_EJECTED, BPI_ROUTE_REASON_PROBE);
    assert_true(event.until_us >= now_us + BPI_ROUTE_EJECT_US);
    assert_int_equal(bpi_route_to_check(&route), 0);
    expect_none();
}

static void who_fails_while_the_others_do_not_is_ejected_and_tried_again(void **state)
{
    (void)state;
    start(BPI_ROUTE_EQUAL, 3);
    for (unsigned i = 0; i < 3 && state_of(2) == BPI_ROUTE_FIT; i++) {
        a_second(3, BPI_ROUTE_SERVER_FAULT, MS);
    }
    drop_circuits();
    struct bpi_route_event event = expect(BPI_ROUTE_EVENT_EJECTED, BPI_ROUTE_REASON_FAILURES);
    assert_int_equal(event.endpoint, 2);
    assert_true(event.figure < 0.01 && event.against > 0.89);
    while (state_of(2) == BPI_ROUTE_EJECTED)
        quiet_second();
    expect(BPI_ROUTE_EVENT_PROBING, BPI_ROUTE_REASON_TIME);
    struct bpi_route_ticket probe = pick();
    assert_int_equal(probe.endpoint, 2);
    bpi_route_finished(&route, &probe, BPI_ROUTE_SERVER_FAULT, now_us);
    expect(BPI_ROUTE_EVENT_EJECTED, BPI_ROUTE_REASON_PROBE);
    assert_int_equal(state_of(2), BPI_ROUTE_EJECTED);
}

static void where_all_fail_alike_nobody_is_blamed(void **state)
{
    (void)state;
    start(BPI_ROUTE_EQUAL, 3);
    for (unsigned second = 0; second < 20; second++) {
        for (unsigned i = 0; i < 30; i++)
            does(i % 3, (i / 3) % 2 == 0 ? BPI_ROUTE_SERVER_FAULT : BPI_ROUTE_OK, 10 * MS);
        drop_circuits();
        quiet_second();
    }
    expect_none();
}

static void a_client_s_mistakes_and_overload_are_not_the_endpoint_s_failures(void **state)
{
    (void)state;
    start(BPI_ROUTE_EQUAL, 3);
    for (unsigned i = 0; i < 10; i++)
        a_second(3, i % 2 == 0 ? BPI_ROUTE_CLIENT_FAULT : BPI_ROUTE_OVERLOADED, 10 * MS);
    expect_none();
    assert_true(bpi_route_cost(&route, 2, now_us) > 4 * bpi_route_cost(&route, 0, now_us));
}

static void who_is_much_slower_than_the_others_is_ejected_and_three_times_is_not_much(void **state)
{
    (void)state;
    start(BPI_ROUTE_EQUAL, 3);
    for (unsigned i = 0; i < 20; i++)
        a_second(3, BPI_ROUTE_OK, 30 * MS);
    expect_none();
    unsigned seconds = 0;
    while (state_of(2) == BPI_ROUTE_FIT && seconds++ < 20)
        a_second(3, BPI_ROUTE_OK, 90 * MS);
    struct bpi_route_event event = expect(BPI_ROUTE_EVENT_EJECTED, BPI_ROUTE_REASON_LATENCY);
    assert_int_equal(event.endpoint, 2);
    assert_true(event.figure > 50000 && event.against > 9999 && event.against < 10001);
    assert_in_range(seconds, BPI_ROUTE_SLOW_SWEEPS, 8);
    expect_none();
}

static void slow_moments_that_are_not_in_a_row_eject_nobody(void **state)
{
    (void)state;
    start(BPI_ROUTE_EQUAL, 3);
    for (unsigned round = 0; round < 5; round++) {
        for (unsigned i = 0; i < 4; i++)
            a_second(3, BPI_ROUTE_OK, 10 * MS);
        for (unsigned i = 1; i < BPI_ROUTE_SLOW_SWEEPS; i++)
            a_second(3, BPI_ROUTE_OK, SECOND);
        assert_int_equal(route.endpoints[2].eject.slow, BPI_ROUTE_SLOW_SWEEPS - 1);
        a_second(3, BPI_ROUTE_OK, 10);
        assert_int_equal(route.endpoints[2].eject.slow, 0);
    }
    expect_none();
}

static void one_long_query_among_short_ones_is_no_slowness(void **state)
{
    (void)state;
    start(BPI_ROUTE_EQUAL, 3);
    struct bpi_route_ticket report = started_on(2);
    for (unsigned i = 0; i < 10; i++)
        a_second(3, BPI_ROUTE_OK, 10 * MS);
    bpi_route_finished(&route, &report, BPI_ROUTE_OK, now_us);
    for (unsigned i = 0; i < 10; i++)
        a_second(3, BPI_ROUTE_OK, 10 * MS);
    expect_none();
}

static void who_answers_nothing_while_the_others_work_is_ejected_within_a_second(void **state)
{
    (void)state;
    start(BPI_ROUTE_EQUAL, 3);
    for (unsigned i = 0; i < 5; i++)
        a_second(3, BPI_ROUTE_OK, 10 * MS);
    struct bpi_route_ticket stuck[BPI_ROUTE_STALL_COUNT];
    for (unsigned i = 0; i < BPI_ROUTE_STALL_COUNT; i++)
        stuck[i] = started_on(2);
    bp_usec stopped_us = now_us;
    while (state_of(2) == BPI_ROUTE_FIT && now_us < stopped_us + 5 * SECOND) {
        now_us += 250 * MS;
        for (unsigned i = 0; i < 20; i++)
            does(i % 2, BPI_ROUTE_OK, 10 * MS);
        bpi_route_tick(&route, now_us);
    }
    assert_true(now_us - stopped_us >= BPI_ROUTE_STALL_US && now_us - stopped_us < SECOND);
    struct bpi_route_event event = expect(BPI_ROUTE_EVENT_EJECTED, BPI_ROUTE_REASON_STALLED);
    assert_int_equal(event.endpoint, 2);
    /* It goes on, and answers: no client is needed to find that out. */
    bpi_route_finished(&route, &stuck[0], BPI_ROUTE_OK, now_us);
    expect(BPI_ROUTE_EVENT_PROBING, BPI_ROUTE_REASON_ANSWERED);
    for (unsigned i = 1; i < BPI_ROUTE_STALL_COUNT; i++)
        bpi_route_finished(&route, &stuck[i], BPI_ROUTE_OK, now_us);
    assert_int_equal(state_of(2), BPI_ROUTE_PROBING);
}

static void where_nobody_answers_nobody_is_thought_to_have_stopped(void **state)
{
    (void)state;
    start(BPI_ROUTE_EQUAL, 3);
    for (unsigned i = 0; i < 5; i++)
        a_second(3, BPI_ROUTE_OK, 10 * MS);
    for (unsigned i = 0; i < 30; i++)
        started_on(i % 3);
    for (unsigned i = 0; i < 20; i++)
        quiet_second();
    expect_none();
}

static void connections_that_break_in_a_row_eject(void **state)
{
    (void)state;
    start(BPI_ROUTE_EQUAL, 3);
    for (unsigned i = 0; i < BPI_ROUTE_LOST_MAX; i++) {
        assert_int_equal(state_of(0), BPI_ROUTE_FIT);
        does(0, BPI_ROUTE_CONNECTION_LOST, MS);
    }
    struct bpi_route_event event = expect(BPI_ROUTE_EVENT_EJECTED, BPI_ROUTE_REASON_LOST);
    assert_int_equal((int)event.figure, BPI_ROUTE_LOST_MAX);
}

static void never_more_than_half_are_out_and_beyond_that_all_are_in(void **state)
{
    (void)state;
    for (unsigned count = 1; count <= 9; count++) {
        start(BPI_ROUTE_EQUAL, count);
        for (unsigned i = 0; i < count; i++) {
            bpi_route_unreached(&route, i, now_us);
            bpi_route_check(&route);
            unsigned out = (unsigned)__builtin_popcountll(route.ready & ~route.fit);
            assert_int_equal(out, i + 1 <= count / 2 ? i + 1 : 0);
            assert_int_equal(route.is_panic, count > 1 && i + 1 > count / 2);
        }
        /* They are used, the well ones first: nobody is refused. */
        pick();
        for (unsigned i = 0; i < count; i++)
            bpi_route_reached(&route, i, now_us);
        assert_false(route.is_panic);
        bpi_route_check(&route);
    }
}

static void panic_is_an_event_and_ends_when_most_look_well(void **state)
{
    (void)state;
    start(BPI_ROUTE_EQUAL, 3);
    bpi_route_unreached(&route, 0, now_us);
    expect(BPI_ROUTE_EVENT_EJECTED, BPI_ROUTE_REASON_CONNECTION);
    bpi_route_unreached(&route, 1, now_us);
    struct bpi_route_event event = expect(BPI_ROUTE_EVENT_PANIC, BPI_ROUTE_REASON_PANIC);
    assert_int_equal((int)event.figure, 2);
    assert_int_equal((int)event.against, 3);
    event = expect(BPI_ROUTE_EVENT_RETURNED, BPI_ROUTE_REASON_PANIC);
    assert_int_equal(event.endpoint, 0);
    expect_none();
    /* The one that is well is the cheapest all the same. */
    assert_int_equal(pick().endpoint, 2);
    bpi_route_reached(&route, 0, now_us);
    expect(BPI_ROUTE_EVENT_PANIC_OVER, BPI_ROUTE_REASON_PANIC);
    event = expect(BPI_ROUTE_EVENT_EJECTED, BPI_ROUTE_REASON_CONNECTION);
    assert_int_equal(event.endpoint, 1);
    expect_none();
}

static void the_only_writer_of_a_list_is_never_ejected(void **state)
{
    (void)state;
    start(BPI_ROUTE_LIST, 3);
    for (unsigned i = 0; i < 5; i++) {
        bpi_route_unreached(&route, 0, now_us);
        does(0, BPI_ROUTE_CONNECTION_LOST, MS);
        a_second(3, BPI_ROUTE_OK, 10 * MS);
        bpi_route_check(&route);
        assert_int_equal(state_of(0), BPI_ROUTE_FIT);
    }
    expect_none();
}

static void a_sick_only_writer_takes_only_what_nobody_else_may(void **state)
{
    (void)state;
    for (int strategy = 0; strategy < BPI_ROUTE_STRATEGY_COUNT; strategy++) {
        start(BPI_ROUTE_LIST, 3);
        bpi_route_set_strategy(&route, (enum bpi_route_strategy)strategy);
        bpi_route_unreached(&route, 0, now_us);
        for (unsigned i = 0; i < 100; i++) {
            struct bpi_route_ticket ticket = pick();
            assert_int_not_equal(ticket.endpoint, 0);
            bpi_route_finished(&route, &ticket, BPI_ROUTE_OK, now_us);
        }
        struct bpi_route_wish write = {.is_write = true, .database = 1};
        struct bpi_route_ticket ticket;
        assert_int_equal(bpi_route_pick(&route, ALL, &write, now_us, &ticket), 0);
        assert_int_equal(ticket.endpoint, 0);
        /* The others are busy: that is no reason. */
        struct bpi_route_wish read = {.database = 1};
        assert_int_equal(bpi_route_pick(&route, 1, &read, now_us, &ticket), BP_E_NO_ENDPOINT);
        bpi_route_reached(&route, 0, now_us);
        assert_int_equal(bpi_route_pick(&route, 1, &read, now_us, &ticket), 0);
    }
    expect_none();
}

static void table_of(uint64_t database, uint64_t readers, uint64_t writers)
{
    struct bpi_route_table answer = {.database = database,
                                     .readers = readers,
                                     .writers = writers,
                                     .routers = ALL,
                                     .ttl_us = 300 * SECOND};
    bpi_route_table_came(&route, &answer, now_us);
}

static void a_leader_that_seems_dead_is_asked_about(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        start(BPI_ROUTE_CLUSTER, 3);
        table_of(1, 6, 1);
        table_of(2, 5, 2);
        now_us += SECOND;
        uint64_t database = 0;
        assert_false(bpi_route_tables_fetch(&route.tables, now_us, &database));
        if (i == 0) {
            bpi_route_unreached(&route, 0, now_us);
        } else {
            does(0, BPI_ROUTE_CONNECTION_LOST, MS);
        }
        assert_true(bpi_route_tables_fetch(&route.tables, now_us, &database));
        assert_int_equal(database, 1);
        assert_false(bpi_route_tables_fetch(&route.tables, now_us, &database));
    }
}

static void who_becomes_the_only_writer_is_put_back(void **state)
{
    (void)state;
    start(BPI_ROUTE_CLUSTER, 3);
    table_of(1, 7, 1);
    bpi_route_unreached(&route, 0, now_us);
    assert_int_equal(state_of(0), BPI_ROUTE_FIT);
    bpi_route_reached(&route, 0, now_us);
    bpi_route_unreached(&route, 2, now_us);
    expect(BPI_ROUTE_EVENT_EJECTED, BPI_ROUTE_REASON_CONNECTION);
    /* Another database is led by the one that is out. */
    table_of(2, 7, 4);
    struct bpi_route_event event = expect(BPI_ROUTE_EVENT_RETURNED, BPI_ROUTE_REASON_WRITER);
    assert_int_equal(event.endpoint, 2);
    bpi_route_check(&route);
    /* And when it isn't any more, it goes. */
    table_of(2, 7, 2);
    expect(BPI_ROUTE_EVENT_EJECTED, BPI_ROUTE_REASON_CONNECTION);
    bpi_route_check(&route);
    expect_none();
}

static void who_leaves_the_service_may_bring_another_back(void **state)
{
    (void)state;
    start(BPI_ROUTE_EQUAL, 5);
    for (unsigned i = 0; i < 25; i++)
        does(i % 5, BPI_ROUTE_OK, 10 * MS);
    for (unsigned i = 0; i < BPI_ROUTE_LOST_MAX; i++)
        does(3, BPI_ROUTE_CONNECTION_LOST, 10 * MS);
    for (unsigned i = 0; i < BPI_ROUTE_LOST_MAX; i++)
        does(4, BPI_ROUTE_CONNECTION_LOST, 10 * MS);
    expect(BPI_ROUTE_EVENT_EJECTED, BPI_ROUTE_REASON_LOST);
    expect(BPI_ROUTE_EVENT_EJECTED, BPI_ROUTE_REASON_LOST);
    assert_int_equal(bpi_route_set_service(&route, 0, BPI_ROUTE_DRAIN, now_us), 0);
    bpi_route_check(&route);
    expect_none(); /* 2 of 4 */
    assert_int_equal(bpi_route_remove(&route, 1, now_us), 0);
    bpi_route_check(&route);
    expect(BPI_ROUTE_EVENT_PANIC, BPI_ROUTE_REASON_PANIC); /* 2 of 3 */
    assert_int_equal(bpi_route_set_service(&route, 0, BPI_ROUTE_READY, now_us), 0);
    bpi_route_check(&route);
    assert_false(route.is_panic);
}

static void somebody_may_say_that_it_is_well(void **state)
{
    (void)state;
    start(BPI_ROUTE_EQUAL, 3);
    bpi_route_unreached(&route, 1, now_us);
    expect(BPI_ROUTE_EVENT_EJECTED, BPI_ROUTE_REASON_CONNECTION);
    bpi_route_restore(&route, 1, now_us);
    expect(BPI_ROUTE_EVENT_RETURNED, BPI_ROUTE_REASON_ORDERED);
    bpi_route_restore(&route, 0, now_us);
    expect_none();
    bpi_route_check(&route);
}

static void a_new_endpoint_starts_slowly_beside_others_at_work_and_not_among_new_ones(void **state)
{
    (void)state;
    start(BPI_ROUTE_EQUAL, 3);
    assert_true(route.endpoints[2].load.is_plain);
    does(0, BPI_ROUTE_OK, 10 * MS);
    assert_int_equal(bpi_route_add(&route, 3, BPI_ROUTE_READ_WRITE, 8, now_us), 0);
    assert_false(route.endpoints[3].load.is_plain);
    assert_true(bpi_route_cost(&route, 3, now_us) > 5 * bpi_route_cost(&route, 1, now_us));
}

static void one_without_history_is_believed_to_be_like_the_others(void **state)
{
    (void)state;
    start(BPI_ROUTE_EQUAL, 3);
    for (unsigned i = 0; i < 20; i++) {
        for (unsigned j = 0; j < 20; j++) {
            struct bpi_route_ticket ticket = started_on(j % 2);
            now_us += 50 * MS;
            bpi_route_finished(&route, &ticket, BPI_ROUTE_OK, now_us);
        }
        bpi_route_tick(&route, now_us);
    }
    double service_us = bpi_route_load_service_us(&route.endpoints[2].load, route.prior_us, now_us);
    assert_true(service_us > 40000 && service_us < 60000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_cannot_be_reached_is_ejected_at_once),
        cmocka_unit_test(it_comes_back_by_being_reached_and_starts_slowly),
        cmocka_unit_test(nobody_goes_there_when_its_time_is_over_before_the_owner_did),
        cmocka_unit_test(who_fails_while_the_others_do_not_is_ejected_and_tried_again),
        cmocka_unit_test(where_all_fail_alike_nobody_is_blamed),
        cmocka_unit_test(a_client_s_mistakes_and_overload_are_not_the_endpoint_s_failures),
        cmocka_unit_test(who_is_much_slower_than_the_others_is_ejected_and_three_times_is_not_much),
        cmocka_unit_test(slow_moments_that_are_not_in_a_row_eject_nobody),
        cmocka_unit_test(one_long_query_among_short_ones_is_no_slowness),
        cmocka_unit_test(who_answers_nothing_while_the_others_work_is_ejected_within_a_second),
        cmocka_unit_test(where_nobody_answers_nobody_is_thought_to_have_stopped),
        cmocka_unit_test(connections_that_break_in_a_row_eject),
        cmocka_unit_test(never_more_than_half_are_out_and_beyond_that_all_are_in),
        cmocka_unit_test(panic_is_an_event_and_ends_when_most_look_well),
        cmocka_unit_test(the_only_writer_of_a_list_is_never_ejected),
        cmocka_unit_test(a_sick_only_writer_takes_only_what_nobody_else_may),
        cmocka_unit_test(a_leader_that_seems_dead_is_asked_about),
        cmocka_unit_test(who_becomes_the_only_writer_is_put_back),
        cmocka_unit_test(who_leaves_the_service_may_bring_another_back),
        cmocka_unit_test(somebody_may_say_that_it_is_well),
        cmocka_unit_test(a_new_endpoint_starts_slowly_beside_others_at_work_and_not_among_new_ones),
        cmocka_unit_test(one_without_history_is_believed_to_be_like_the_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
