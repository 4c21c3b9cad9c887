/* Shows the way of one endpoint out and back: growing, jittered time-outs, one probe at a time, and that a server that
 * seemed dead gets no client's work before it was reached. */
#include "base/random.h"
#include "route/eject.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define START  (1000 * BP_USEC_PER_SECOND)
#define SECOND BP_USEC_PER_SECOND

static enum bpi_route_eject_step
outcome(struct bpi_route_eject *eject, bool is_good, uint32_t probe, bp_usec now_us)
{
    return bpi_route_eject_outcome(eject, is_good, probe, now_us);
}

static struct bpi_route_eject ejected(enum bpi_route_reason reason)
{
    struct bpi_route_eject eject = {.since_us = START};
    if (reason == BPI_ROUTE_REASON_CONNECTION) {
        assert_int_equal(bpi_route_eject_unreached(&eject), BPI_ROUTE_EJECT_NOTHING);
        assert_int_equal(eject.sick, BPI_ROUTE_REASON_CONNECTION);
    }
    bpi_route_eject_begin(&eject, reason, 0.5, START);
    return eject;
}

static void time_outs_double_up_to_the_cap_and_spread(void **state)
{
    (void)state;
    bp_usec whole_us = BPI_ROUTE_EJECT_US;
    struct bpi_route_eject eject = {0};
    bp_usec now_us = START;
    for (unsigned i = 0; i < 20; i++) {
        struct bpi_route_eject shortest = eject;
        bpi_route_eject_begin(&shortest, BPI_ROUTE_REASON_LATENCY, 0, now_us);
        assert_int_equal(shortest.timeout_us, whole_us / 2);
        bpi_route_eject_begin(&eject, BPI_ROUTE_REASON_LATENCY, 0.999999, now_us);
        assert_true(eject.timeout_us <= whole_us && eject.timeout_us > whole_us - whole_us / 100);
        assert_int_equal(eject.until_us, now_us + eject.timeout_us);
        now_us = eject.until_us;
        whole_us = whole_us * 2 < BPI_ROUTE_EJECT_MAX_US ? whole_us * 2 : BPI_ROUTE_EJECT_MAX_US;
    }
}

static void time_outs_begin_anew_after_twice_the_last_one_in_health(void **state)
{
    (void)state;
    struct bpi_route_eject eject = ejected(BPI_ROUTE_REASON_LATENCY);
    bpi_route_eject_begin(&eject, BPI_ROUTE_REASON_LATENCY, 0.5, START + SECOND);
    bp_usec last_us = eject.timeout_us;
    bpi_route_eject_end(&eject, START + SECOND);
    struct bpi_route_eject soon = eject;
    bpi_route_eject_begin(&soon, BPI_ROUTE_REASON_LATENCY, 0.5, START + SECOND + 2 * last_us);
    assert_true(soon.timeout_us > last_us);
    bpi_route_eject_begin(&eject, BPI_ROUTE_REASON_LATENCY, 0.5, START + SECOND + 2 * last_us + 1);
    assert_true(eject.timeout_us < last_us);
}

static void it_is_probed_when_its_time_is_over_and_not_before(void **state)
{
    (void)state;
    struct bpi_route_eject eject = ejected(BPI_ROUTE_REASON_LATENCY);
    assert_false(bpi_route_eject_tick(&eject, eject.until_us - 1));
    assert_false(bpi_route_eject_may_probe(&eject));
    assert_true(bpi_route_eject_tick(&eject, eject.until_us));
    assert_int_equal(eject.state, BPI_ROUTE_PROBING);
    assert_true(bpi_route_eject_may_probe(&eject));
    assert_false(bpi_route_eject_tick(&eject, eject.until_us + SECOND));
}

static void it_returns_after_enough_good_probes_one_at_a_time(void **state)
{
    (void)state;
    struct bpi_route_eject eject = ejected(BPI_ROUTE_REASON_FAILURES);
    bp_usec now_us = eject.until_us;
    assert_true(bpi_route_eject_tick(&eject, now_us));
    for (unsigned i = 0; i < BPI_ROUTE_PROBES; i++) {
        assert_true(bpi_route_eject_may_probe(&eject));
        uint32_t probe = bpi_route_eject_probe(&eject);
        assert_int_not_equal(probe, 0);
        assert_false(bpi_route_eject_may_probe(&eject));
        /* Work that was sent before says nothing about now. */
        assert_int_equal(outcome(&eject, true, 0, now_us), BPI_ROUTE_EJECT_NOTHING);
        assert_int_equal(outcome(&eject, false, 0, now_us), BPI_ROUTE_EJECT_NOTHING);
        assert_int_equal(outcome(&eject, true, probe + 1, now_us), BPI_ROUTE_EJECT_NOTHING);
        assert_false(bpi_route_eject_may_probe(&eject));
        assert_int_equal(outcome(&eject, true, probe, now_us), i + 1 < BPI_ROUTE_PROBES
                                                                   ? BPI_ROUTE_EJECT_NOTHING
                                                                   : BPI_ROUTE_EJECT_RETURNED);
    }
    assert_int_equal(eject.state, BPI_ROUTE_FIT);
    unsigned good;
    unsigned bad;
    bpi_route_eject_counts(&eject, &good, &bad);
    assert_int_equal(good + bad, 0);
}

static void a_bad_probe_says_so_and_a_void_one_frees_the_place(void **state)
{
    (void)state;
    struct bpi_route_eject eject = ejected(BPI_ROUTE_REASON_FAILURES);
    bp_usec now_us = eject.until_us;
    assert_true(bpi_route_eject_tick(&eject, now_us));
    uint32_t probe = bpi_route_eject_probe(&eject);
    bpi_route_eject_void(&eject, probe + 1);
    assert_false(bpi_route_eject_may_probe(&eject));
    bpi_route_eject_void(&eject, probe);
    assert_true(bpi_route_eject_may_probe(&eject));
    probe = bpi_route_eject_probe(&eject);
    assert_int_equal(outcome(&eject, false, probe, now_us), BPI_ROUTE_EJECT_FAILED);
    probe = bpi_route_eject_probe(&eject);
    assert_int_equal(bpi_route_eject_lost(&eject, probe, now_us), BPI_ROUTE_EJECT_FAILED);
    assert_int_equal(bpi_route_eject_unreached(&eject), BPI_ROUTE_EJECT_FAILED);
}

static void a_probe_of_an_earlier_way_back_is_not_taken_for_this_one(void **state)
{
    (void)state;
    struct bpi_route_eject eject = ejected(BPI_ROUTE_REASON_FAILURES);
    assert_true(bpi_route_eject_tick(&eject, eject.until_us));
    uint32_t old = bpi_route_eject_probe(&eject);
    bpi_route_eject_begin(&eject, BPI_ROUTE_REASON_FAILURES, 0.5, eject.until_us);
    assert_true(bpi_route_eject_tick(&eject, eject.until_us));
    uint32_t probe = bpi_route_eject_probe(&eject);
    assert_int_equal(outcome(&eject, false, old, eject.until_us), BPI_ROUTE_EJECT_NOTHING);
    assert_int_equal(eject.probe, probe);
}

static void no_client_goes_to_one_that_seemed_dead_before_it_was_reached(void **state)
{
    (void)state;
    static const enum bpi_route_reason reasons[] = {
        BPI_ROUTE_REASON_CONNECTION, BPI_ROUTE_REASON_STALLED, BPI_ROUTE_REASON_LOST};
    for (unsigned i = 0; i < 3; i++) {
        struct bpi_route_eject eject = ejected(reasons[i]);
        assert_true(bpi_route_eject_tick(&eject, eject.until_us));
        assert_false(bpi_route_eject_may_probe(&eject));
        assert_int_equal(bpi_route_eject_answered(&eject, eject.until_us), BPI_ROUTE_EJECT_NOTHING);
        assert_true(bpi_route_eject_may_probe(&eject));
        /* Being reached counts as a probe, but not where connections open and break. */
        assert_int_equal(eject.passed, reasons[i] == BPI_ROUTE_REASON_LOST ? 0 : 1);
    }
}

static void being_reached_ends_the_time_out_of_one_that_seemed_dead(void **state)
{
    (void)state;
    struct bpi_route_eject eject = ejected(BPI_ROUTE_REASON_CONNECTION);
    assert_int_equal(bpi_route_eject_answered(&eject, START + 1), BPI_ROUTE_EJECT_PROBING);
    assert_int_equal(bpi_route_eject_answered(&eject, START + 2), BPI_ROUTE_EJECT_NOTHING);
    assert_int_equal(bpi_route_eject_answered(&eject, START + 3), BPI_ROUTE_EJECT_RETURNED);
    /* Answers that were late are a sign of life, too. */
    eject = ejected(BPI_ROUTE_REASON_STALLED);
    assert_int_equal(outcome(&eject, true, 0, START + 1), BPI_ROUTE_EJECT_PROBING);
    /* A slow one is reached all the time. */
    eject = ejected(BPI_ROUTE_REASON_LATENCY);
    assert_int_equal(bpi_route_eject_answered(&eject, START + 1), BPI_ROUTE_EJECT_NOTHING);
    assert_int_equal(outcome(&eject, true, 0, START + 1), BPI_ROUTE_EJECT_NOTHING);
    assert_int_equal(eject.state, BPI_ROUTE_EJECTED);
}

static void connections_have_to_break_in_a_row(void **state)
{
    (void)state;
    struct bpi_route_eject eject = {.window_us = START};
    for (unsigned round = 0; round < 5; round++) {
        for (unsigned i = 1; i < BPI_ROUTE_LOST_MAX; i++)
            assert_int_equal(bpi_route_eject_lost(&eject, 0, START), BPI_ROUTE_EJECT_NOTHING);
        assert_int_equal(eject.sick, BPI_ROUTE_REASON_NONE);
        outcome(&eject, true, 0, START);
    }
    for (unsigned i = 0; i < BPI_ROUTE_LOST_MAX; i++)
        bpi_route_eject_lost(&eject, 0, START);
    assert_int_equal(eject.sick, BPI_ROUTE_REASON_LOST);
    outcome(&eject, true, 0, START);
    assert_int_equal(eject.sick, BPI_ROUTE_REASON_NONE);
}

static void outcomes_count_for_ten_seconds(void **state)
{
    (void)state;
    struct bpi_random random;
    bpi_random_init(&random, 17);
    struct bpi_route_eject eject = {.window_us = START};
    bp_usec at_us[500];
    for (unsigned i = 0; i < 500; i++) {
        at_us[i] = (i == 0 ? START : at_us[i - 1]) + bpi_random_below(&random, SECOND);
        outcome(&eject, i % 3 != 0, 0, at_us[i]);
        unsigned good;
        unsigned bad;
        bpi_route_eject_counts(&eject, &good, &bad);
        unsigned least = 0;
        unsigned most = 0;
        for (unsigned j = 0; j <= i; j++) {
            least += at_us[i] - at_us[j] <= 9 * SECOND ? 1 : 0;
            most += at_us[i] - at_us[j] <= 10 * SECOND ? 1 : 0;
        }
        assert_true(good + bad >= least && good + bad <= most);
    }
    bpi_route_eject_tick(&eject, at_us[499] + 3600 * SECOND);
    unsigned good;
    unsigned bad;
    bpi_route_eject_counts(&eject, &good, &bad);
    assert_int_equal(good + bad, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(time_outs_double_up_to_the_cap_and_spread),
        cmocka_unit_test(time_outs_begin_anew_after_twice_the_last_one_in_health),
        cmocka_unit_test(it_is_probed_when_its_time_is_over_and_not_before),
        cmocka_unit_test(it_returns_after_enough_good_probes_one_at_a_time),
        cmocka_unit_test(a_bad_probe_says_so_and_a_void_one_frees_the_place),
        cmocka_unit_test(a_probe_of_an_earlier_way_back_is_not_taken_for_this_one),
        cmocka_unit_test(no_client_goes_to_one_that_seemed_dead_before_it_was_reached),
        cmocka_unit_test(being_reached_ends_the_time_out_of_one_that_seemed_dead),
        cmocka_unit_test(connections_have_to_break_in_a_row),
        cmocka_unit_test(outcomes_count_for_ten_seconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
