/* Shows that quantiles are at most 1/64 above the truth, over the whole range, and that merging is
 * the same as recording in one place. The truth comes from sorting.
 */
#include "base/histogram.h"

#include "base/random.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void an_empty_histogram_is_all_zero(void **state)
{
    (void)state;
    struct bpi_histogram histogram;
    bpi_histogram_init(&histogram);
    assert_int_equal(bpi_histogram_quantile(&histogram, 0.5), 0);
    assert_true(bpi_histogram_mean_us(&histogram) == 0.0);
}

static void small_values_are_exact(void **state)
{
    (void)state;
    struct bpi_histogram histogram;
    bpi_histogram_init(&histogram);
    for (bp_usec value = 0; value < 64; value++) {
        bpi_histogram_record(&histogram, value);
    }
    for (unsigned i = 1; i <= 64; i++) {
        assert_int_equal(bpi_histogram_quantile(&histogram, i / 64.0), i - 1);
    }
    assert_true(bpi_histogram_mean_us(&histogram) == 31.5);
}

static void one_value_is_reported_within_a_sixty_fourth(void **state)
{
    (void)state;
    for (int bit = 0; bit < 40; bit++) {
        for (int shift = -1; shift <= 1; shift++) {
            bp_usec value = ((bp_usec)1 << bit) + (bp_usec)shift;
            struct bpi_histogram histogram;
            bpi_histogram_init(&histogram);
            bpi_histogram_record(&histogram, value);
            assert_int_equal(bpi_histogram_quantile(&histogram, 0.5), value);
            /* With a larger one beside it the maximum no longer caps the answer. */
            bpi_histogram_record(&histogram, value * 2 + 100);
            bp_usec low = bpi_histogram_quantile(&histogram, 0.5);
            assert_true(low >= value && low <= value + value / 64);
        }
    }
}

static void values_beyond_the_range_keep_the_maximum(void **state)
{
    (void)state;
    struct bpi_histogram histogram;
    bpi_histogram_init(&histogram);
    bpi_histogram_record(&histogram, UINT64_MAX / 2);
    assert_int_equal(histogram.buckets[BPI_HISTOGRAM_BUCKETS - 1], 1);
    assert_int_equal(histogram.max_us, UINT64_MAX / 2);
    assert_true(bpi_histogram_quantile(&histogram, 1.0) >= (bp_usec)1 << 40);
}

#define SAMPLES 20000

static int compare_usec(const void *left, const void *right)
{
    bp_usec a = *(const bp_usec *)left;
    bp_usec b = *(const bp_usec *)right;
    return (a > b) - (a < b);
}

static void random_quantiles_are_near_the_sorted_ones(void **state)
{
    (void)state;
    const uint64_t seed = 20260905;
    print_message("seed %llu\n", (unsigned long long)seed);
    struct bpi_random random;
    bpi_random_init(&random, seed);
    bp_usec *samples = calloc(SAMPLES, sizeof(*samples));
    assert_non_null(samples);
    struct bpi_histogram histogram;
    bpi_histogram_init(&histogram);
    for (size_t i = 0; i < SAMPLES; i++) {
        samples[i] = (bp_usec)bpi_random_exponential(&random, 50000.0);
        bpi_histogram_record(&histogram, samples[i]);
    }
    qsort(samples, SAMPLES, sizeof(*samples), compare_usec);
    static const double quantiles[] = {0.0, 0.01, 0.5, 0.9, 0.99, 0.999, 1.0};
    for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++) {
        size_t rank = (size_t)ceil(quantiles[i] * SAMPLES);
        bp_usec truth = samples[rank == 0 ? 0 : rank - 1];
        bp_usec reported = bpi_histogram_quantile(&histogram, quantiles[i]);
        assert_true(reported >= truth && reported <= truth + truth / 64);
    }
    free(samples);
}

static void merging_equals_recording_in_one(void **state)
{
    (void)state;
    struct bpi_histogram parts[2];
    struct bpi_histogram whole;
    bpi_histogram_init(&parts[0]);
    bpi_histogram_init(&parts[1]);
    bpi_histogram_init(&whole);
    for (bp_usec i = 0; i < 1000; i++) {
        bpi_histogram_record(&parts[i % 2], i * i);
        bpi_histogram_record(&whole, i * i);
    }
    bpi_histogram_merge(&parts[0], &parts[1]);
    assert_memory_equal(&parts[0], &whole, sizeof(whole));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_histogram_is_all_zero),
        cmocka_unit_test(small_values_are_exact),
        cmocka_unit_test(one_value_is_reported_within_a_sixty_fourth),
        cmocka_unit_test(values_beyond_the_range_keep_the_maximum),
        cmocka_unit_test(random_quantiles_are_near_the_sorted_ones),
        cmocka_unit_test(merging_equals_recording_in_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
