/* Shows that service times are read as they are written and drawn with the mean and the spread that they
 * name: 200,000 draws from a fixed seed, so that the result is the same each time.
 */
#include "base/random.h"
#include "sim/service.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#define DRAWS 200000

static void texts_are_read_and_others_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum bpi_sim_spread spread;
        double mean_us;
        double sigma;
    } good[] = {
        {"0", BPI_SIM_FIXED, 0, 0},
        {"5ms", BPI_SIM_FIXED, 5000, 0},
        {"fixed:1.5s", BPI_SIM_FIXED, 1500000, 0},
        {"exp:250us", BPI_SIM_EXPONENTIAL, 250, 0},
        {"lognormal:5ms", BPI_SIM_LOGNORMAL, 5000, 0},
        {"lognormal:5ms:0.5", BPI_SIM_LOGNORMAL, 5000, 0.5},
    };
    static const char *const bad[] = {
        "", "5", "ms", "-1ms", "exp:", "exp:5ms:1", "uniform:5ms", "lognormal:5ms:0", "2h"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct bpi_sim_service service;
        assert_true(bpi_sim_service_parse(good[i].text, &service));
        assert_int_equal(service.spread, good[i].spread);
        assert_true(fabs(service.mean_us - good[i].mean_us) < 1e-6);
        assert_true(fabs(service.sigma - good[i].sigma) < 1e-6);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct bpi_sim_service service = {.mean_us = 7};
        assert_false(bpi_sim_service_parse(bad[i], &service));
        assert_true(service.mean_us > 6); /* untouched */
    }
}

/* The mean, and the coefficient of variation (deviation over mean), of what is drawn. */
static void draws_look(const char *text, double *ret_mean_us, double *ret_variation)
{
    struct bpi_sim_service service;
    struct bpi_random random;
    double sum = 0;
    double squares = 0;
    assert_true(bpi_sim_service_parse(text, &service));
    bpi_random_init(&random, 20240229);
    for (int i = 0; i < DRAWS; i++) {
        double us = (double)bpi_sim_service_draw(&service, &random);
        sum += us;
        squares += us * us;
    }
    *ret_mean_us = sum / DRAWS;
    *ret_variation = sqrt(squares / DRAWS - *ret_mean_us * *ret_mean_us) / *ret_mean_us;
}

static void draws_have_the_mean_and_the_spread_of_their_name(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double mean_us;
        double variation;
    } cases[] = {
        {"10ms", 10000, 0},
        {"exp:10ms", 10000, 1},
        {"lognormal:10ms:0.5", 10000, 0.5329}, /* sqrt(exp(0.25) - 1) */
        {"lognormal:10ms:0.25", 10000, 0.2540},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        double mean_us;
        double variation;
        draws_look(cases[i].text, &mean_us, &variation);
        assert_true(fabs(mean_us / cases[i].mean_us - 1) < 0.01);
        assert_true(fabs(variation - cases[i].variation) < 0.02);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_read_and_others_refused),
        cmocka_unit_test(draws_have_the_mean_and_the_spread_of_their_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
