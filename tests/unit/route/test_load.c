/* Shows what the cost of an endpoint follows: how long its work takes, how much it has, what it refuses, and how long
 * it is back. Each on a clock that the test moves. */
#include "base/random.h"
#include "route/load.h"

#include <math.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define MS    BP_USEC_PER_MS
#define START (1000 * BP_USEC_PER_SECOND)
#define PRIOR 10000.0
#define LIMIT 8

static double cost(const struct bpi_route_load *load, bp_usec now_us)
{
    return bpi_route_load_cost_us(load, PRIOR, now_us);
}

/* Works for so long, one transaction after the other. */
static bp_usec work(struct bpi_route_load *load, bp_usec took_us, unsigned count, bp_usec now_us)
{
    for (unsigned i = 0; i < count; i++) {
        bpi_route_load_started(load, now_us);
        now_us += took_us;
        bpi_route_load_done(load, took_us, now_us);
    }
    return now_us;
}

static void service_time_is_found_whatever_the_load(void **state)
{
    (void)state;
    for (unsigned busy = 1; busy <= LIMIT; busy *= 2) {
        struct bpi_route_load load;
        bpi_route_load_init(&load, LIMIT, START);
        bp_usec now_us = START;
        for (unsigned i = 0; i < busy; i++)
            bpi_route_load_started(&load, now_us);
        for (unsigned i = 0; i < 4000; i++) {
            now_us += 30 * MS / busy;
            bpi_route_load_done(&load, 30 * MS, now_us);
            bpi_route_load_started(&load, now_us);
        }
        double service_us = bpi_route_load_service_us(&load, PRIOR, now_us);
        /* So many are remembered, beside what is believed before any is known. */
        double done = (double)BPI_ROUTE_LOAD_FADE_US * busy / (30.0 * MS);
        double want_us = (done * 30 * MS + BPI_ROUTE_LOAD_PRIOR_WEIGHT * PRIOR) /
                         (done + BPI_ROUTE_LOAD_PRIOR_WEIGHT);
        assert_true(fabs(service_us / want_us - 1) < 0.03);
        assert_true(fabs(load.latency_us - 30000) < 1);
    }
}

static void work_beyond_the_limit_waits_and_is_not_taken_for_slowness(void **state)
{
    (void)state;
    struct bpi_route_load load;
    bpi_route_load_init(&load, LIMIT, START);
    bp_usec now_us = START;
    for (unsigned i = 0; i < 4 * LIMIT; i++)
        bpi_route_load_started(&load, now_us);
    for (unsigned i = 0; i < 4000; i++) {
        now_us += 10 * MS / LIMIT;
        bpi_route_load_done(&load, 40 * MS, now_us);
        bpi_route_load_started(&load, now_us);
    }
    double service_us = bpi_route_load_service_us(&load, PRIOR, now_us);
    assert_true(service_us > 9500 && service_us < 10500);
}

static void an_endpoint_that_hangs_grows_dear_before_anything_times_out(void **state)
{
    (void)state;
    struct bpi_route_load hung;
    struct bpi_route_load well;
    bpi_route_load_init(&hung, LIMIT, START);
    bpi_route_load_init(&well, LIMIT, START);
    bp_usec now_us = work(&hung, 10 * MS, 300, START);
    work(&well, 10 * MS, 300, START);
    for (unsigned i = 0; i < 4; i++)
        bpi_route_load_started(&hung, now_us);
    double before = cost(&hung, now_us);
    double last = before;
    for (unsigned i = 0; i < 10; i++) {
        now_us += 100 * MS;
        work(&well, 10 * MS, 10, now_us - 100 * MS);
        assert_true(cost(&hung, now_us) > last);
        last = cost(&hung, now_us);
    }
    assert_true(last > 3 * before);
    assert_true(cost(&well, now_us) < 1.1 * before);
}

static void cost_rises_with_each_transaction_and_faster_beyond_the_limit(void **state)
{
    (void)state;
    struct bpi_route_load load;
    bpi_route_load_init(&load, LIMIT, START);
    double last = cost(&load, START);
    for (unsigned i = 1; i < 3 * LIMIT; i++) {
        bpi_route_load_started(&load, START);
        double now = cost(&load, START);
        assert_true(now > last);
        last = now;
    }
    for (unsigned i = 1; i < 3 * LIMIT; i++)
        bpi_route_load_gone(&load, START);
    /* Empty, and full: (1 + 1/4 of 1/64), 1.25. */
    assert_true(fabs(cost(&load, START) - PRIOR * (1 + 0.25 / 64)) < 1);
    for (unsigned i = 1; i < LIMIT; i++)
        bpi_route_load_started(&load, START);
    assert_true(fabs(cost(&load, START) - PRIOR * 1.25) < 1);
    for (unsigned i = 0; i < LIMIT; i++)
        bpi_route_load_started(&load, START);
    assert_true(fabs(cost(&load, START) - PRIOR * 1.25 * 8) < 1);
}

static void a_server_that_refuses_everything_at_once_does_not_look_fast(void **state)
{
    (void)state;
    struct bpi_route_load load;
    bpi_route_load_init(&load, LIMIT, START);
    bp_usec now_us = work(&load, 10 * MS, 300, START);
    double before = cost(&load, now_us);
    for (unsigned i = 0; i < 1000; i++) {
        bpi_route_load_started(&load, now_us);
        now_us += 100;
        bpi_route_load_gone(&load, now_us);
    }
    assert_true(cost(&load, now_us) > 0.9 * before);
}

static void each_overload_failure_doubles_the_cost_and_fades(void **state)
{
    (void)state;
    struct bpi_route_load load;
    bpi_route_load_init(&load, LIMIT, START);
    double plain = cost(&load, START);
    for (unsigned i = 1; i <= 6; i++) {
        bpi_route_load_overloaded(&load, START);
        assert_true(fabs(cost(&load, START) / plain - (double)(1 << i)) < 1e-6);
    }
    for (unsigned i = 0; i < 100; i++)
        bpi_route_load_overloaded(&load, START);
    assert_true(cost(&load, START) / plain <= 1 + BPI_ROUTE_OVERLOAD_MAX);
    bp_usec now_us = START + BPI_ROUTE_OVERLOAD_FADE_US;
    assert_true(fabs(cost(&load, now_us) / plain - (1 + BPI_ROUTE_OVERLOAD_MAX / exp(1))) < 1e-3);
    now_us = START + 10 * BPI_ROUTE_OVERLOAD_FADE_US;
    bpi_route_load_tick(&load, now_us);
    assert_true(load.is_plain);
    assert_true(fabs(cost(&load, now_us) / plain - 1) < 1e-6);
}

static void a_slow_start_ends_after_its_time_and_lowers_the_limit_meanwhile(void **state)
{
    (void)state;
    struct bpi_route_load load;
    bpi_route_load_init(&load, LIMIT, START);
    double plain = cost(&load, START);
    bpi_route_load_overloaded(&load, START);
    bpi_route_load_slow_start(&load, START);
    /* A tenth of the limit is less than one transaction: (1 / 0.8)^3 x 1.25, ten times. */
    assert_true(fabs(cost(&load, START) - PRIOR * 10 * 1.25 * pow(1 / 0.8, 3)) < 1);
    double last = cost(&load, START);
    for (unsigned tenth = 2; tenth <= 10; tenth++) {
        bp_usec now_us = START + tenth * BPI_ROUTE_SLOW_START_US / 10;
        bpi_route_load_tick(&load, now_us);
        assert_true(cost(&load, now_us) < last);
        last = cost(&load, now_us);
        assert_true(load.is_plain == (tenth == 10));
    }
    assert_true(fabs(last - plain) < 1);
}

static void what_was_seldom_asked_is_in_doubt(void **state)
{
    (void)state;
    struct bpi_route_load load;
    bpi_route_load_init(&load, LIMIT, START);
    assert_true(fabs(bpi_route_load_doubt(&load, START) - BPI_ROUTE_LOAD_DOUBT) < 0.01);
    bp_usec now_us = work(&load, 10 * MS, 300, START);
    bpi_route_load_started(&load, now_us);
    assert_true(bpi_route_load_doubt(&load, now_us) < 0.1);
    /* While it works on something it isn't idle. */
    assert_true(bpi_route_load_doubt(&load, now_us + 2 * BPI_ROUTE_LOAD_IDLE_US) < 0.1);
    bpi_route_load_done(&load, 10 * MS, now_us);
    /* Without work for a while it is due, whatever it costs, in its slow start too; not where it has said that it has too
     * much. */
    bp_usec later_us = now_us + BPI_ROUTE_LOAD_IDLE_US + 1;
    assert_true(bpi_route_load_doubt(&load, now_us + BPI_ROUTE_LOAD_IDLE_US / 2) < 0.1);
    assert_true(bpi_route_load_doubt(&load, later_us) > 1e6);
    bpi_route_load_slow_start(&load, now_us);
    assert_true(bpi_route_load_doubt(&load, now_us) <= 0);
    assert_true(bpi_route_load_doubt(&load, later_us) > 1e6);
    bpi_route_load_overloaded(&load, now_us);
    assert_true(bpi_route_load_doubt(&load, later_us) <= 0);
}

static void what_is_idle_is_believed_to_be_like_all(void **state)
{
    (void)state;
    struct bpi_route_load load;
    bpi_route_load_init(&load, LIMIT, START);
    bp_usec now_us = work(&load, 100 * MS, 100, START);
    assert_true(bpi_route_load_service_us(&load, PRIOR, now_us) > 5 * PRIOR);
    now_us += 20 * BP_USEC_PER_SECOND;
    assert_true(fabs(bpi_route_load_service_us(&load, PRIOR, now_us) - PRIOR) < 100);
}

static void a_clock_that_jumps_back_changes_nothing(void **state)
{
    (void)state;
    struct bpi_route_load load;
    bpi_route_load_init(&load, LIMIT, START);
    bp_usec now_us = work(&load, 10 * MS, 100, START);
    bpi_route_load_started(&load, now_us);
    double before = cost(&load, now_us);
    assert_true(fabs(cost(&load, now_us - 5 * BP_USEC_PER_SECOND) - before) < 1e-9);
    bpi_route_load_done(&load, 0, START);
    assert_true(load.at_us == now_us);
}

static void sums_are_the_same_however_time_is_cut(void **state)
{
    (void)state;
    struct bpi_random random;
    bpi_random_init(&random, 11);
    for (unsigned round = 0; round < 200; round++) {
        struct bpi_route_load once;
        bpi_route_load_init(&once, LIMIT, START);
        work(&once, 10 * MS, 10, START);
        bpi_route_load_started(&once, START + 100 * MS);
        struct bpi_route_load often = once;
        bp_usec now_us = START + 100 * MS;
        for (unsigned i = 0; i < 50; i++) {
            now_us += bpi_random_below(&random, 50 * MS);
            bpi_route_load_started(&often, now_us);
            bpi_route_load_gone(&often, now_us);
        }
        double one = bpi_route_load_service_us(&once, PRIOR, now_us);
        double other = bpi_route_load_service_us(&often, PRIOR, now_us);
        assert_true(fabs(one / other - 1) < 1e-3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(service_time_is_found_whatever_the_load),
        cmocka_unit_test(work_beyond_the_limit_waits_and_is_not_taken_for_slowness),
        cmocka_unit_test(an_endpoint_that_hangs_grows_dear_before_anything_times_out),
        cmocka_unit_test(cost_rises_with_each_transaction_and_faster_beyond_the_limit),
        cmocka_unit_test(a_server_that_refuses_everything_at_once_does_not_look_fast),
        cmocka_unit_test(each_overload_failure_doubles_the_cost_and_fades),
        cmocka_unit_test(a_slow_start_ends_after_its_time_and_lowers_the_limit_meanwhile),
        cmocka_unit_test(what_was_seldom_asked_is_in_doubt),
        cmocka_unit_test(what_is_idle_is_believed_to_be_like_all),
        cmocka_unit_test(a_clock_that_jumps_back_changes_nothing),
        cmocka_unit_test(sums_are_the_same_however_time_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
