/* Shows that strategies are known by their names, and other words by none. */
#include "route/strategy.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void each_name_leads_back_to_its_strategy(void **state)
{
    (void)state;
    for (int i = 0; i < BPI_ROUTE_STRATEGY_COUNT; i++) {
        const char *name = bpi_route_strategy_name((enum bpi_route_strategy)i);
        enum bpi_route_strategy strategy;
        assert_true(bpi_route_strategy_parse(name, strlen(name), &strategy));
        assert_int_equal(strategy, i);
        for (int j = 0; j < i; j++)
            assert_string_not_equal(name, bpi_route_strategy_name((enum bpi_route_strategy)j));
    }
    assert_string_equal(bpi_route_strategy_name((enum bpi_route_strategy)0), "adaptive");
}

static void other_words_are_none(void **state)
{
    (void)state;
    static const char *const words[] = {"", "adaptiv", "adaptive ", "Adaptive", "random"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        enum bpi_route_strategy strategy = BPI_ROUTE_ROUND_ROBIN;
        assert_false(bpi_route_strategy_parse(words[i], strlen(words[i]), &strategy));
        assert_int_equal(strategy, BPI_ROUTE_ROUND_ROBIN);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_name_leads_back_to_its_strategy),
        cmocka_unit_test(other_words_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
