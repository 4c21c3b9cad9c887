/* Shows that what was reported of others' load counts while it is new, and a few times only. */
#include "base/random.h"
#include "route/report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define START (1000 * BP_USEC_PER_SECOND)

static void without_a_report_only_our_own_load_counts(void **state)
{
    (void)state;
    struct bpi_route_report report = {0};
    assert_int_equal(bpi_route_report_running(&report, 5, START), 5);
}

static void others_work_is_added_to_ours_as_ours_changes(void **state)
{
    (void)state;
    struct bpi_route_report report = {0};
    bpi_route_report_set(&report, 20, 5, START);
    assert_int_equal(bpi_route_report_running(&report, 5, START), 20);
    assert_int_equal(bpi_route_report_running(&report, 8, START), 23);
    assert_int_equal(bpi_route_report_running(&report, 0, START), 15);
}

static void never_less_than_our_own(void **state)
{
    (void)state;
    struct bpi_random random;
    bpi_random_init(&random, 5);
    for (unsigned i = 0; i < 10000; i++) {
        unsigned reported = (unsigned)bpi_random_below(&random, 50);
        unsigned then = (unsigned)bpi_random_below(&random, 50);
        unsigned now = (unsigned)bpi_random_below(&random, 50);
        struct bpi_route_report report = {0};
        bpi_route_report_set(&report, reported, then, START);
        int64_t corrected = (int64_t)reported + now - then;
        assert_int_equal(bpi_route_report_running(&report, now, START),
                         corrected > now ? corrected : now);
    }
}

static void a_report_ends_after_its_age_and_after_its_uses(void **state)
{
    (void)state;
    struct bpi_route_report report = {0};
    bpi_route_report_set(&report, 20, 0, START);
    assert_int_equal(bpi_route_report_running(&report, 0, START + BPI_ROUTE_REPORT_AGE_US), 20);
    assert_int_equal(bpi_route_report_running(&report, 0, START + BPI_ROUTE_REPORT_AGE_US + 1), 0);
    for (unsigned i = 0; i < BPI_ROUTE_REPORT_USES; i++) {
        assert_int_equal(bpi_route_report_running(&report, 0, START), 20);
        bpi_route_report_used(&report);
    }
    assert_int_equal(bpi_route_report_running(&report, 0, START), 0);
    bpi_route_report_used(&report);
    assert_int_equal(report.uses, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_report_only_our_own_load_counts),
        cmocka_unit_test(others_work_is_added_to_ours_as_ours_changes),
        cmocka_unit_test(never_less_than_our_own),
        cmocka_unit_test(a_report_ends_after_its_age_and_after_its_uses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
