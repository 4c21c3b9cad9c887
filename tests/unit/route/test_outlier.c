/* Shows that one of a few numbers is compared with the others, and never blamed alone or among equals. */
#include "base/random.h"
#include "route/outlier.h"

#include <math.h>
#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void one_that_fails_among_five_lies_apart(void **state)
{
    (void)state;
    double shares[] = {0.99, 1, 0.6, 0.98, 1};
    double against = 0;
    assert_true(bpi_route_outlier_low(shares, 5, 2, &against));
    assert_true(against > 0.85 && against < 0.9);
    for (unsigned i = 0; i < 5; i++)
        assert_true(i == 2 || !bpi_route_outlier_low(shares, 5, i, &against));
}

static void of_two_the_worse_one_and_of_equals_none(void **state)
{
    (void)state;
    double two[] = {0.95, 0.5};
    double against = 0;
    assert_true(bpi_route_outlier_low(two, 2, 1, &against));
    assert_false(bpi_route_outlier_low(two, 2, 0, &against));
    assert_false(bpi_route_outlier_low(two, 1, 0, &against));
    double equal[] = {0.5, 0.5, 0.5, 0.45};
    for (unsigned i = 0; i < 4; i++)
        assert_false(bpi_route_outlier_low(equal, 4, i, &against));
    /* The others differ so much that this one is like them: 0.4 and 1. */
    double wide[] = {0.4, 1, 0.3};
    assert_false(bpi_route_outlier_low(wide, 3, 2, &against));
}

static int by_size(const void *one, const void *other)
{
    double a = *(const double *)one;
    double b = *(const double *)other;
    return a < b ? -1 : a > b;
}

static void the_median_is_that_of_the_sorted_others(void **state)
{
    (void)state;
    struct bpi_random random;
    bpi_random_init(&random, 3);
    for (unsigned round = 0; round < 5000; round++) {
        unsigned count = 1 + (unsigned)bpi_random_below(&random, 16);
        double values[16];
        double others[16];
        for (unsigned i = 0; i < count; i++)
            values[i] = (double)bpi_random_below(&random, 10);
        unsigned index = (unsigned)bpi_random_below(&random, count);
        unsigned left = 0;
        for (unsigned i = 0; i < count; i++) {
            if (i != index) {
                others[left++] = values[i];
            }
        }
        qsort(others, left, sizeof(others[0]), by_size);
        double expected = left == 0 ? 0 : others[left / 2];
        assert_true(fabs(bpi_route_outlier_median(values, count, index) - expected) < 1e-12);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_that_fails_among_five_lies_apart),
        cmocka_unit_test(of_two_the_worse_one_and_of_equals_none),
        cmocka_unit_test(the_median_is_that_of_the_sorted_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
