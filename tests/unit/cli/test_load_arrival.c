/* Shows that the arrivals of an open loop are a Poisson process of the rate that was asked for, within bursts and
 * outside, and depend on nothing but their seed. No clock: fixed seeds, so the result is the same each time.
 */
#include "cli/load_arrival.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include <cmocka.h>

#define SECOND  BP_USEC_PER_SECOND
#define ZERO_US (1000 * SECOND)

static size_t count_until(struct bpi_load_arrivals *arrivals, bp_usec until_us)
{
    size_t count = 0;
    while (arrivals->next_us < (double)until_us) {
        assert_true(bpi_load_arrivals_take(arrivals) < until_us);
        count++;
    }
    return count;
}

static bool near(size_t count, double expected)
{
    return fabs((double)count - expected) < 4 * sqrt(expected) + 1;
}

static void a_seed_gives_the_same_times(void **state)
{
    (void)state;
    struct bpi_load_arrivals arrivals[3];
    for (size_t i = 0; i < 3; i++) {
        bpi_load_arrivals_init(&arrivals[i], i < 2 ? 7 : 8, 1000, NULL, 0);
        bpi_load_arrivals_start(&arrivals[i], ZERO_US, ZERO_US);
    }
    size_t different = 0;
    bp_usec before_us = ZERO_US;
    for (int i = 0; i < 10000; i++) {
        bp_usec at_us = bpi_load_arrivals_take(&arrivals[0]);
        assert_int_equal(at_us, bpi_load_arrivals_take(&arrivals[1]));
        different += at_us != bpi_load_arrivals_take(&arrivals[2]);
        assert_true(at_us >= before_us);
        before_us = at_us;
    }
    assert_true(different > 9000);
}

/* Means and deviations of exponential gaps are equal. */
static void gaps_are_exponential(void **state)
{
    (void)state;
    struct bpi_load_arrivals arrivals;
    double sum = 0;
    double squares = 0;
    bp_usec before_us = ZERO_US;
    bpi_load_arrivals_init(&arrivals, 3, 5000, NULL, 0);
    bpi_load_arrivals_start(&arrivals, ZERO_US, ZERO_US);
    for (int i = 0; i < 100000; i++) {
        bp_usec at_us = bpi_load_arrivals_take(&arrivals);
        double gap_us = (double)(at_us - before_us);
        sum += gap_us;
        squares += gap_us * gap_us;
        before_us = at_us;
    }
    double mean_us = sum / 100000;
    assert_true(fabs(mean_us / 5000 - 1) < 0.015);
    assert_true(fabs(sqrt(squares / 100000 - mean_us * mean_us) / mean_us - 1) < 0.02);
}

static void bursts_multiply_the_rate_between_their_moments(void **state)
{
    (void)state;
    static const struct bpi_load_burst bursts[] = {
        {.factor = 4, .from_s = 10, .to_s = 20},
        {.factor = 0, .from_s = 30, .to_s = 40},
        {.factor = 2, .from_s = 15, .to_s = 25}, /* together with the first one 8 */
    };
    struct bpi_load_arrivals arrivals;
    bpi_load_arrivals_init(&arrivals, 11, 1000, bursts, 3);
    bpi_load_arrivals_start(&arrivals, ZERO_US - SECOND, ZERO_US);
    assert_true(near(count_until(&arrivals, ZERO_US), 1000)); /* the warm-up */
    assert_true(near(count_until(&arrivals, ZERO_US + 10 * SECOND), 10000));
    assert_true(near(count_until(&arrivals, ZERO_US + 15 * SECOND), 20000));
    assert_true(near(count_until(&arrivals, ZERO_US + 20 * SECOND), 40000));
    assert_true(near(count_until(&arrivals, ZERO_US + 25 * SECOND), 10000));
    assert_true(near(count_until(&arrivals, ZERO_US + 30 * SECOND), 5000));
    assert_int_equal(count_until(&arrivals, ZERO_US + 40 * SECOND), 0);
    assert_true(near(count_until(&arrivals, ZERO_US + 50 * SECOND), 10000));
}

static void a_gap_ends_soon_in_a_burst(void **state)
{
    (void)state;
    static const struct bpi_load_burst burst = {.factor = 10000, .from_s = 1, .to_s = 2};
    for (uint64_t seed = 0; seed < 1000; seed++) {
        struct bpi_load_arrivals arrivals;
        bpi_load_arrivals_init(&arrivals, seed, 100e6, &burst, 1);
        bpi_load_arrivals_start(&arrivals, ZERO_US, ZERO_US);
        (void)count_until(&arrivals, ZERO_US + SECOND);
        /* 100 a second: none in the first half is less likely than 1e-21. */
        assert_true(bpi_load_arrivals_take(&arrivals) < ZERO_US + SECOND + SECOND / 2);
    }
}

static void endless_silence_has_no_arrival(void **state)
{
    (void)state;
    static const struct bpi_load_burst burst = {.factor = 0, .from_s = 0, .to_s = HUGE_VAL};
    struct bpi_load_arrivals arrivals;
    bpi_load_arrivals_init(&arrivals, 1, 1000, &burst, 1);
    assert_int_equal(bpi_load_arrivals_take(&arrivals), UINT64_MAX); /* not started */
    bpi_load_arrivals_start(&arrivals, ZERO_US, ZERO_US);
    assert_int_equal(bpi_load_arrivals_take(&arrivals), UINT64_MAX);
    bpi_load_arrivals_init(&arrivals, 1, 0, NULL, 0);
    bpi_load_arrivals_start(&arrivals, ZERO_US, ZERO_US);
    assert_int_equal(bpi_load_arrivals_take(&arrivals), UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_seed_gives_the_same_times),
        cmocka_unit_test(gaps_are_exponential),
        cmocka_unit_test(bursts_multiply_the_rate_between_their_moments),
        cmocka_unit_test(a_gap_ends_soon_in_a_burst),
        cmocka_unit_test(endless_silence_has_no_arrival),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
