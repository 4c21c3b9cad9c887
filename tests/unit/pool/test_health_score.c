/* Shows what the health score says, on a virtual clock: 1 while all is well, less the later, the more faulty and the
 * more silent a server is, well again once it is mended, and never outside 0..1.
 */
#include "base/random.h"
#include "pool/health.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define DEAD_US (10 * BP_USEC_PER_SECOND)
#define START   (1000 * BP_USEC_PER_SECOND)

static double score(const struct bpi_health *health, bp_usec now_us)
{
    return bpi_health_score(health, DEAD_US, now_us);
}

static void expect_near(double value, double wanted)
{
    if (value < wanted - 0.01 || value > wanted + 0.01) {
        fail_msg("%.4f and not %.4f", value, wanted);
    }
}

static void what_is_unknown_or_quick_and_sound_is_well(void **state)
{
    (void)state;
    struct bpi_health health = {0};
    expect_near(score(&health, START), 1);
    for (int i = 0; i < 100; i++) {
        bpi_health_round_trip(&health, i % 2 == 0 ? 400 : 600);
        bpi_health_outcome(&health, false, START);
        expect_near(score(&health, START), 1);
    }
    /* A far server is no ill one. */
    struct bpi_health far = {0};
    for (int i = 0; i < 100; i++) {
        bpi_health_round_trip(&far, 180 * BP_USEC_PER_MS);
    }
    expect_near(score(&far, START), 1);
}

static void a_server_that_grows_slow_scores_less_and_a_new_distance_is_forgiven(void **state)
{
    (void)state;
    struct bpi_health health = {0};
    for (int i = 0; i < 50; i++) {
        bpi_health_round_trip(&health, 500);
    }
    for (int i = 0; i < 40; i++) {
        bpi_health_round_trip(&health, 200 * BP_USEC_PER_MS);
    }
    double slow = score(&health, START);
    assert_true(slow < 0.5);
    for (int i = 0; i < 400; i++) {
        bpi_health_round_trip(&health, 200 * BP_USEC_PER_MS);
    }
    assert_true(score(&health, START) > 0.95);
    /* One late answer among many is none. */
    struct bpi_health blip = {0};
    for (int i = 0; i < 50; i++) {
        bpi_health_round_trip(&blip, 500);
    }
    bpi_health_round_trip(&blip, 100 * BP_USEC_PER_MS);
    assert_true(score(&blip, START) > 0.9);
}

static void faults_lower_it_and_fade_with_success_or_time(void **state)
{
    (void)state;
    struct bpi_health health = {0};
    bpi_health_outcome(&health, true, START);
    expect_near(score(&health, START), 1 - 1.0 / 8);
    for (int i = 0; i < 60; i++) {
        bpi_health_outcome(&health, true, START);
    }
    assert_true(score(&health, START) < 0.01);
    expect_near(score(&health, START + BPI_HEALTH_FADE_US), 0.5);
    for (int i = 0; i < 40; i++) {
        bpi_health_outcome(&health, false, START);
    }
    assert_true(score(&health, START) > 0.99);
    /* A clock that jumps back fades nothing. */
    struct bpi_health early = {0};
    bpi_health_outcome(&early, true, START);
    expect_near(score(&early, START - BP_USEC_PER_SECOND), 1 - 1.0 / 8);
}

static void silence_after_a_question_counts_down_to_dead(void **state)
{
    (void)state;
    struct bpi_health health = {0};
    bpi_health_asked(&health, START);
    bpi_health_asked(&health, START + DEAD_US / 2); /* the first one counts */
    expect_near(score(&health, START), 1);
    expect_near(score(&health, START + DEAD_US / 2), 0.5);
    expect_near(score(&health, START + DEAD_US), 0);
    expect_near(score(&health, START + 5 * DEAD_US), 0);
    expect_near(bpi_health_score(&health, 0, START + 5 * DEAD_US), 1);
    bpi_health_answered(&health);
    expect_near(score(&health, START + DEAD_US), 1);
}

static void each_failure_in_a_row_halves_it_until_one_success(void **state)
{
    (void)state;
    struct bpi_health health = {0};
    bpi_health_failed(&health);
    expect_near(score(&health, START), 0.5);
    bpi_health_failed(&health);
    expect_near(score(&health, START), 0.25);
    for (int i = 0; i < 5000; i++) {
        bpi_health_failed(&health);
    }
    expect_near(score(&health, START), 0);
    bpi_health_answered(&health);
    expect_near(score(&health, START), 1);
}

static void whatever_happens_it_is_between_0_and_1(void **state)
{
    (void)state;
    struct bpi_random random;
    struct bpi_health health = {0};
    uint64_t seed = 20251125;
    bp_usec now_us = START;
    bpi_random_init(&random, seed);
    for (int i = 0; i < 200000; i++) {
        now_us += bpi_random_below(&random, 3 * BP_USEC_PER_SECOND);
        now_us -= bpi_random_below(&random, BP_USEC_PER_SECOND);
        switch (bpi_random_below(&random, 6)) {
        case 0:
            bpi_health_round_trip(&health, bpi_random_below(&random, UINT64_C(1) << 40));
            break;
        case 1:
            bpi_health_outcome(&health, bpi_random_below(&random, 2) == 0, now_us);
            break;
        case 2:
            bpi_health_asked(&health, now_us);
            break;
        case 3:
            bpi_health_failed(&health);
            break;
        case 4:
            bpi_health_answered(&health);
            break;
        default:
            bpi_health_round_trip(&health, bpi_random_below(&random, 1000));
            break;
        }
        double now = score(&health, now_us);
        if (!(now >= 0 && now <= 1)) {
            fail_msg("seed %llu, step %d: %f", (unsigned long long)seed, i, now);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_unknown_or_quick_and_sound_is_well),
        cmocka_unit_test(a_server_that_grows_slow_scores_less_and_a_new_distance_is_forgiven),
        cmocka_unit_test(faults_lower_it_and_fade_with_success_or_time),
        cmocka_unit_test(silence_after_a_question_counts_down_to_dead),
        cmocka_unit_test(each_failure_in_a_row_halves_it_until_one_success),
        cmocka_unit_test(whatever_happens_it_is_between_0_and_1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
