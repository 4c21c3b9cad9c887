/* Shows that the generator repeats from its seed and spreads as its functions promise; bounds are
 * wide enough that a right generator never fails from these fixed seeds.
 */
#include "base/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void the_same_seed_gives_the_same_numbers(void **state)
{
    (void)state;
    struct bpi_random first;
    struct bpi_random second;
    struct bpi_random other;
    bpi_random_init(&first, 7);
    bpi_random_init(&second, 7);
    bpi_random_init(&other, 8);
    bool differs = false;
    for (int i = 0; i < 100; i++) {
        uint64_t number = bpi_random_next(&first);
        assert_true(number == bpi_random_next(&second));
        differs = differs || number != bpi_random_next(&other);
    }
    assert_true(differs);
}

static void the_first_numbers_are_those_of_the_published_generator(void **state)
{
    (void)state;
    /* xoshiro256** from the state 1, 2, 3, 4. */
    static const uint64_t expected[] = {11520, 0, 1509978240, 1215971899390074240};
    struct bpi_random random = {.state = {1, 2, 3, 4}};
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        assert_true(bpi_random_next(&random) == expected[i]);
    }
}

static void below_reaches_every_value_and_none_outside(void **state)
{
    (void)state;
    struct bpi_random random;
    bpi_random_init(&random, 1);
    unsigned counts[10] = {0};
    for (int i = 0; i < 10000; i++) {
        uint64_t value = bpi_random_below(&random, 10);
        assert_true(value < 10);
        counts[value]++;
    }
    for (int i = 0; i < 10; i++) {
        assert_in_range(counts[i], 850, 1150);
    }
    assert_true(bpi_random_below(&random, 1) == 0);
}

static void unit_lies_in_the_half_open_interval(void **state)
{
    (void)state;
    struct bpi_random random;
    bpi_random_init(&random, 2);
    double sum = 0;
    for (int i = 0; i < 10000; i++) {
        double value = bpi_random_unit(&random);
        assert_true(value >= 0.0 && value < 1.0);
        sum += value;
    }
    assert_true(sum > 4800 && sum < 5200);
}

static void exponential_has_its_mean(void **state)
{
    (void)state;
    struct bpi_random random;
    bpi_random_init(&random, 3);
    double sum = 0;
    for (int i = 0; i < 20000; i++) {
        double value = bpi_random_exponential(&random, 100.0);
        assert_true(value >= 0.0);
        sum += value;
    }
    assert_true(sum / 20000 > 95.0 && sum / 20000 < 105.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_seed_gives_the_same_numbers),
        cmocka_unit_test(the_first_numbers_are_those_of_the_published_generator),
        cmocka_unit_test(below_reaches_every_value_and_none_outside),
        cmocka_unit_test(unit_lies_in_the_half_open_interval),
        cmocka_unit_test(exponential_has_its_mean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
