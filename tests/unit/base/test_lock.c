/* Shows that the lock lets one thread in at a time, wakes those that sleep, and may be freed by the next one. */
#include "base/lock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include <pthread.h>

#define THREADS 8
#define TURNS   20000

static struct bpi_lock lock;
static unsigned inside;
static uint64_t turns;

static void *take_turns(void *argument)
{
    (void)argument;
    for (int i = 0; i < TURNS; i++) {
        bpi_lock_lock(&lock);
        inside++;
        assert_int_equal(inside, 1);
        turns++;
        if (i % 1000 == 0) {
            struct timespec rest = {0, 100000}; /* long enough for the others to fall asleep */
            nanosleep(&rest, NULL);
        }
        inside--;
        bpi_lock_unlock(&lock);
    }
    return NULL;
}

static void one_thread_is_inside_at_a_time(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, take_turns, NULL), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_true(turns == (uint64_t)THREADS * TURNS);
    assert_int_equal(atomic_load(&lock.state), 0);
}

static void a_taken_lock_is_not_taken_again(void **state)
{
    (void)state;
    struct bpi_lock own = {0};
    assert_true(bpi_lock_try(&own));
    assert_false(bpi_lock_try(&own));
    bpi_lock_unlock(&own);
    assert_true(bpi_lock_try(&own));
    bpi_lock_unlock(&own);
}

/* The sanitizers see a use of the freed lock. */
struct shared {
    struct bpi_lock lock;
    unsigned users;
};

static void *leave_shared(void *argument)
{
    struct shared *shared = argument;
    bpi_lock_lock(&shared->lock);
    unsigned left = --shared->users;
    bpi_lock_unlock(&shared->lock);
    if (left == 0) {
        free(shared);
    }
    return NULL;
}

static void whoever_comes_last_may_free_it(void **state)
{
    (void)state;
    for (int i = 0; i < 300; i++) {
        struct shared *shared = calloc(1, sizeof(*shared));
        assert_non_null(shared);
        shared->users = 2;
        pthread_t threads[2];
        for (size_t j = 0; j < 2; j++) {
            assert_int_equal(pthread_create(&threads[j], NULL, leave_shared, shared), 0);
        }
        for (size_t j = 0; j < 2; j++) {
            pthread_join(threads[j], NULL);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_thread_is_inside_at_a_time),
        cmocka_unit_test(a_taken_lock_is_not_taken_again),
        cmocka_unit_test(whoever_comes_last_may_free_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
