/* Shows that waits between tries grow, are capped, spread, and begin anew after a success. */
#include "base/random.h"
#include "pool/backoff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define MIN_US ((bp_usec)50000)
#define MAX_US BP_USEC_PER_SECOND

static void waits_double_up_to_the_cap(void **state)
{
    (void)state;
    struct bpi_backoff backoff = {0};
    bp_usec whole_us = MIN_US;
    for (int i = 0; i < 200; i++) {
        struct bpi_backoff same = backoff;
        assert_int_equal(bpi_backoff_next(&same, MIN_US, MAX_US, 0), whole_us / 2);
        bp_usec longest_us = bpi_backoff_next(&backoff, MIN_US, MAX_US, 0.999999);
        assert_true(longest_us <= whole_us && longest_us > whole_us - whole_us / 100);
        whole_us = whole_us * 2 > MAX_US ? MAX_US : whole_us * 2;
    }
    bpi_backoff_reset(&backoff);
    assert_int_equal(bpi_backoff_next(&backoff, MIN_US, MAX_US, 0), MIN_US / 2);
}

static void those_that_failed_together_come_back_apart(void **state)
{
    (void)state;
    struct bpi_random random;
    unsigned tenths[10] = {0};
    bpi_random_init(&random, 7);
    for (int i = 0; i < 10000; i++) {
        struct bpi_backoff backoff = {.failures = 20};
        bp_usec wait_us = bpi_backoff_next(&backoff, MIN_US, MAX_US, bpi_random_unit(&random));
        assert_true(wait_us >= MAX_US / 2 && wait_us <= MAX_US);
        tenths[(wait_us - MAX_US / 2) * 10 / (MAX_US / 2 + 1)]++;
    }
    for (int i = 0; i < 10; i++) {
        assert_true(tenths[i] > 800 && tenths[i] < 1200);
    }
}

static void a_cap_below_the_first_wait_holds(void **state)
{
    (void)state;
    struct bpi_backoff backoff = {0};
    for (int i = 0; i < 5; i++) {
        assert_true(bpi_backoff_next(&backoff, MIN_US, 10, 0.5) <= 10);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waits_double_up_to_the_cap),
        cmocka_unit_test(those_that_failed_together_come_back_apart),
        cmocka_unit_test(a_cap_below_the_first_wait_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
