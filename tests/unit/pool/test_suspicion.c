/* Shows, on a virtual clock, when a silent server is asked and when it counts as dead: after about twice the time
 * where it is stopped, and never while it says anything, however long its queries take.
 */
#include "base/random.h"
#include "pool/suspicion.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define SECOND BP_USEC_PER_SECOND
#define DEAD   (10 * SECOND)
#define START  (1000 * SECOND)

static const struct bpi_suspicion_limits limits = {.dead_after_us = DEAD, .patience_us = SECOND};

static enum bpi_suspicion_step
next(struct bpi_suspicion *suspicion, bp_usec due_us, bp_usec heard_us, bp_usec now_us)
{
    return bpi_suspicion_next(suspicion, &limits, due_us, heard_us, now_us);
}

static void a_stopped_server_is_dead_after_twice_the_time(void **state)
{
    (void)state;
    struct bpi_suspicion suspicion = {0};
    bp_usec now_us = START;
    while (now_us < START + DEAD) {
        assert_int_equal(next(&suspicion, START, START, now_us), BPI_SUSPICION_NOTHING);
        now_us += SECOND;
    }
    assert_int_equal(next(&suspicion, START, START, now_us), BPI_SUSPICION_ASK_LINK);
    bpi_suspicion_asked(&suspicion, now_us);
    bp_usec asked_us = now_us;
    while (now_us < asked_us + DEAD) {
        assert_int_equal(next(&suspicion, START, START, now_us), BPI_SUSPICION_NOTHING);
        now_us += SECOND;
    }
    assert_int_equal(now_us, START + 2 * DEAD);
    assert_int_equal(next(&suspicion, START, START, now_us), BPI_SUSPICION_BURY);
    /* Said once; again only for answers that became due since and don't come either. */
    assert_int_equal(next(&suspicion, 0, START, now_us + SECOND), BPI_SUSPICION_NOTHING);
    bp_usec due_us = now_us + SECOND;
    assert_int_equal(next(&suspicion, due_us, START, due_us + SECOND), BPI_SUSPICION_NOTHING);
    assert_int_equal(next(&suspicion, due_us, START, due_us + DEAD), BPI_SUSPICION_BURY);
    /* Back again. */
    assert_int_equal(next(&suspicion, due_us, due_us + DEAD, due_us + DEAD), BPI_SUSPICION_NOTHING);
    assert_int_equal(suspicion.state, BPI_SUSPICION_CALM);
}

static void a_silent_idle_link_is_not_enough(void **state)
{
    (void)state;
    struct bpi_suspicion suspicion = {0};
    bp_usec now_us = START + DEAD;
    assert_int_equal(next(&suspicion, START, START, now_us), BPI_SUSPICION_ASK_LINK);
    assert_int_equal(next(&suspicion, START, START, now_us + SECOND / 2), BPI_SUSPICION_NOTHING);
    assert_int_equal(next(&suspicion, START, START, now_us + SECOND), BPI_SUSPICION_ASK_SERVER);
    /* The new connection is answered: the server lives, and so do its queries. */
    assert_int_equal(next(&suspicion, START, now_us + SECOND + 1000, now_us + 2 * SECOND),
                     BPI_SUSPICION_NOTHING);
    assert_int_equal(suspicion.state, BPI_SUSPICION_CALM);
}

static void a_server_that_answers_questions_may_take_hours_for_a_query(void **state)
{
    (void)state;
    struct bpi_suspicion suspicion = {0};
    bp_usec heard_us = START;
    unsigned asked = 0;
    for (bp_usec now_us = START; now_us < START + 7200 * SECOND; now_us += SECOND) {
        enum bpi_suspicion_step step = next(&suspicion, START, heard_us, now_us);
        assert_int_not_equal(step, BPI_SUSPICION_BURY);
        if (step != BPI_SUSPICION_NOTHING) {
            asked++;
            heard_us = now_us + 1000;
        }
    }
    /* Asked about every ten seconds, not each second. */
    assert_in_range(asked, 600, 720);
}

static void nobody_is_asked_while_other_links_are_answered_or_nothing_is_due(void **state)
{
    (void)state;
    struct bpi_suspicion suspicion = {0};
    for (bp_usec now_us = START; now_us < START + 100 * SECOND; now_us += SECOND) {
        assert_int_equal(next(&suspicion, START, now_us, now_us), BPI_SUSPICION_NOTHING);
        assert_int_equal(next(&suspicion, 0, START, now_us), BPI_SUSPICION_NOTHING);
    }
    struct bpi_suspicion_limits never = {.patience_us = SECOND};
    assert_int_equal(bpi_suspicion_next(&suspicion, &never, START, START, START + 1000 * SECOND),
                     BPI_SUSPICION_NOTHING);
}

/* Random silences: dead is only who said nothing since the question for as long as that. */
static void nobody_is_buried_who_spoke(void **state)
{
    (void)state;
    struct bpi_random random;
    bpi_random_init(&random, 4711);
    for (int round = 0; round < 2000; round++) {
        struct bpi_suspicion suspicion = {0};
        bp_usec heard_us = START;
        bp_usec asked_us = 0;
        for (bp_usec now_us = START; now_us < START + 100 * SECOND;
             now_us += 1 + bpi_random_below(&random, 2 * SECOND)) {
            if (bpi_random_below(&random, 12) == 0) {
                heard_us = now_us;
            }
            switch (next(&suspicion, START, heard_us, now_us)) {
            case BPI_SUSPICION_ASK_LINK:
                if (bpi_random_below(&random, 2) == 0) {
                    bpi_suspicion_asked(&suspicion, now_us);
                }
                asked_us = now_us;
                break;
            case BPI_SUSPICION_ASK_SERVER:
            case BPI_SUSPICION_NOTHING:
                break;
            case BPI_SUSPICION_BURY:
                assert_true(asked_us != 0 && heard_us < asked_us);
                assert_true(now_us - asked_us >= DEAD && now_us - heard_us >= 2 * DEAD);
                break;
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stopped_server_is_dead_after_twice_the_time),
        cmocka_unit_test(a_silent_idle_link_is_not_enough),
        cmocka_unit_test(a_server_that_answers_questions_may_take_hours_for_a_query),
        cmocka_unit_test(nobody_is_asked_while_other_links_are_answered_or_nothing_is_due),
        cmocka_unit_test(nobody_is_buried_who_spoke),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
