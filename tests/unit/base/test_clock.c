/* Shows that the clock by the time-stamp counter stays with CLOCK_MONOTONIC and never goes back, whatever the counter
 * does: it is fed with a made-up counter and a made-up kernel; then the process's own clock is held against the kernel's.
 */
#include "base/clock.h"
#include "base/clock_tsc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>

#define TICKS_PER_US 3000

/* The made-up machine. */
static uint64_t machine_ticks;
static uint64_t machine_ns;
static unsigned samples_count;

static void machine_sample(uint64_t *ret_ticks, uint64_t *ret_ns)
{
    samples_count++;
    *ret_ticks = machine_ticks;
    *ret_ns = machine_ns;
}

/* `ppm`: how much faster the kernel's time goes than the counter says. */
static void machine_pass(uint64_t us, int64_t ppm)
{
    machine_ticks += us * TICKS_PER_US;
    machine_ns += us * 1000 + (uint64_t)((int64_t)us * ppm / 1000);
}

static bp_usec machine_now(struct bpi_tsc *tsc)
{
    bp_usec now_us;
    return bpi_tsc_read(tsc, machine_ticks, &now_us) ? now_us : bpi_tsc_sync(tsc);
}

static void machine_start(struct bpi_tsc *tsc)
{
    machine_ticks = 123456789012345;
    machine_ns = UINT64_C(86400) * 1000000000 * 100;
    samples_count = 0;
    *tsc = (struct bpi_tsc){.writing = ATOMIC_FLAG_INIT};
    bpi_tsc_init(tsc, machine_sample, TICKS_PER_US);
}

static uint64_t apart(bp_usec now_us)
{
    uint64_t true_us = machine_ns / 1000;
    return now_us > true_us ? now_us - true_us : true_us - now_us;
}

static void it_follows_a_kernel_that_slews(void **state)
{
    (void)state;
    for (int64_t ppm = -500; ppm <= 500; ppm += 250) {
        struct bpi_tsc tsc;
        machine_start(&tsc);
        bp_usec last_us = 0;
        for (int i = 0; i < 200000; i++) {
            machine_pass(37, ppm);
            bp_usec now_us = machine_now(&tsc);
            assert_true(now_us >= last_us);
            assert_in_range(apart(now_us), 0, 12);
            last_us = now_us;
        }
        assert_false(atomic_load(&tsc.off));
    }
}

static void a_slewing_that_changes_direction_makes_no_step_back(void **state)
{
    (void)state;
    struct bpi_tsc tsc;
    machine_start(&tsc);
    bp_usec last_us = 0;
    for (int i = 0; i < 200000; i++) {
        machine_pass(53, i / 1000 % 2 == 0 ? 500 : -500);
        bp_usec now_us = machine_now(&tsc);
        assert_true(now_us >= last_us);
        assert_in_range(apart(now_us), 0, 24);
        last_us = now_us;
    }
}

static void looks_that_follow_each_other_need_no_kernel(void **state)
{
    (void)state;
    struct bpi_tsc tsc;
    machine_start(&tsc);
    for (int i = 0; i < 1000000; i++) {
        machine_pass(1, 0);
        (void)machine_now(&tsc);
    }
    /* A second, in spans of 10 ms. */
    assert_in_range(samples_count, 90, 110);
}

static void a_long_rest_is_looked_up(void **state)
{
    (void)state;
    struct bpi_tsc tsc;
    machine_start(&tsc);
    machine_pass(UINT64_C(3600) * 1000000, 400);
    assert_in_range(apart(machine_now(&tsc)), 0, 1);
}

static void a_suspend_that_stops_or_resets_the_counter_is_survived(void **state)
{
    (void)state;
    struct bpi_tsc tsc;
    machine_start(&tsc);
    machine_pass(100, 0);
    bp_usec last_us = machine_now(&tsc);
    /* The counter begins anew; the kernel's clock goes on. */
    machine_ticks = 5000;
    machine_ns += 3000000;
    bp_usec now_us = machine_now(&tsc);
    assert_true(now_us >= last_us);
    /* What may have been told before (10 ms) is made up for at half the speed. */
    for (int i = 0; i < 5000; i++) {
        machine_pass(20, 0);
        now_us = machine_now(&tsc);
        assert_true(now_us >= last_us);
        last_us = now_us;
    }
    assert_in_range(apart(now_us), 0, 12);
    assert_false(atomic_load(&tsc.off));
}

static void a_counter_that_runs_away_is_not_believed_any_more(void **state)
{
    (void)state;
    struct bpi_tsc tsc;
    machine_start(&tsc);
    bp_usec last_us = 0;
    for (int i = 0; i < 20000; i++) {
        machine_ticks += UINT64_C(100) * TICKS_PER_US; /* twice as fast as time */
        machine_ns += i < 1000 ? 100000 : 50000;
        bp_usec now_us = machine_now(&tsc);
        assert_true(now_us >= last_us);
        last_us = now_us;
    }
    assert_true(atomic_load(&tsc.off));
    assert_in_range(apart(last_us), 0, 1);
}

static void a_counter_that_jumps_again_and_again_is_not_believed_any_more(void **state)
{
    (void)state;
    struct bpi_tsc tsc;
    machine_start(&tsc);
    bp_usec last_us = 0;
    for (int i = 0; i < 20; i++) {
        machine_pass(50, 0);
        machine_ns += 30000000; /* the counter stood still for 30 ms */
        machine_ticks -= (uint64_t)(i % 2) * 1000000;
        for (int j = 0; j < 400; j++) {
            machine_pass(50, 0);
            bp_usec now_us = machine_now(&tsc);
            assert_true(now_us >= last_us);
            last_us = now_us;
        }
    }
    assert_in_range(apart(last_us), 0, 40000);
    assert_true(atomic_load(&tsc.off));
}

/* ---- the process's own ---- */

static bp_usec kernel_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (bp_usec)now.tv_sec * BP_USEC_PER_SECOND + (bp_usec)now.tv_nsec / 1000;
}

static void the_clock_is_the_kernels(void **state)
{
    (void)state;
    unsigned far = 0;
    for (int i = 0; i < 2000; i++) {
        bp_usec before_us = kernel_us();
        bp_usec now_us = bpi_clock_now_us();
        bp_usec after_us = kernel_us();
        /* A thread that is held up between two looks makes both bounds true, so this never fails by chance. */
        far += now_us + 25 < before_us || now_us > after_us + 25;
        if (i % 100 == 0) {
            struct timespec rest = {0, 2000000};
            nanosleep(&rest, NULL);
        }
    }
    assert_int_equal(far, 0);
}

static _Atomic bp_usec highest_us;
static atomic_uint backwards_count;

static void *look_often(void *argument)
{
    (void)argument;
    bp_usec own_us = 0;
    for (int i = 0; i < 300000; i++) {
        bp_usec seen_us = atomic_load(&highest_us);
        bp_usec now_us = bpi_clock_now_us();
        /* clock.h: threads may see each other's times out of order by less than a microsecond, which is one by rounding. */
        if (now_us < own_us || now_us + 1 < seen_us) {
            atomic_fetch_add(&backwards_count, 1);
        }
        own_us = now_us;
        while (seen_us < now_us && !atomic_compare_exchange_weak(&highest_us, &seen_us, now_us)) {
        }
        if (i % 10000 == 0) {
            sched_yield();
        }
    }
    return NULL;
}

static void no_thread_sees_it_go_back(void **state)
{
    (void)state;
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, look_often, NULL), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(atomic_load(&backwards_count), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_follows_a_kernel_that_slews),
        cmocka_unit_test(a_slewing_that_changes_direction_makes_no_step_back),
        cmocka_unit_test(looks_that_follow_each_other_need_no_kernel),
        cmocka_unit_test(a_long_rest_is_looked_up),
        cmocka_unit_test(a_suspend_that_stops_or_resets_the_counter_is_survived),
        cmocka_unit_test(a_counter_that_runs_away_is_not_believed_any_more),
        cmocka_unit_test(a_counter_that_jumps_again_and_again_is_not_believed_any_more),
        cmocka_unit_test(the_clock_is_the_kernels),
        cmocka_unit_test(no_thread_sees_it_go_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
