/* The timer heap beside a plain list as its reference, under a random script whose seed is printed;
 * and timers on a running loop, plain and precise: never early, in order, safe to set and to free inside
 * on_fire.
 */
#include "base/clock.h"
#include "base/random.h"
#include "net/timer_heap.h"
#include "support.h"

#include <stdlib.h>

#define TIMERS 300
#define STEPS  40000

/* The reference: the earliest deadline of those that are set. */
static bp_usec earliest(const struct bpi_timer *timers, size_t count, size_t *ret_set_count)
{
    bp_usec least_us = UINT64_MAX;
    *ret_set_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (timers[i].position != 0) {
            *ret_set_count += 1;
            least_us = timers[i].deadline_us < least_us ? timers[i].deadline_us : least_us;
        }
    }
    return least_us;
}

static void heap_agrees_with_the_reference(void **state)
{
    (void)state;
    uint64_t seed = bpi_clock_now_us();
    const char *given = getenv("BOLTPOOL_TEST_SEED");
    if (given != NULL) {
        seed = strtoull(given, NULL, 10);
    }
    print_message("BOLTPOOL_TEST_SEED=%llu\n", (unsigned long long)seed);
    struct bpi_random random;
    bpi_random_init(&random, seed);
    static struct bpi_timer timers[TIMERS];
    memset(timers, 0, sizeof(timers));
    struct bpi_timer_heap heap = {0};
    assert_int_equal(bpi_timer_heap_reserve(&heap, TIMERS), 0);
    for (int step = 0; step < STEPS; step++) {
        struct bpi_timer *timer = &timers[bpi_random_below(&random, TIMERS)];
        size_t set_count;
        switch (bpi_random_below(&random, 4)) {
        case 0:
            bpi_timer_heap_clear(&heap, timer);
            break;
        case 1: {
            struct bpi_timer *first = bpi_timer_heap_peek(&heap);
            if (first != NULL) {
                assert_int_equal(first->deadline_us, earliest(timers, TIMERS, &set_count));
                bpi_timer_heap_clear(&heap, first);
                assert_int_equal(first->position, 0);
            }
            break;
        }
        default:
            bpi_timer_heap_set(&heap, timer, bpi_random_below(&random, 1000));
            break;
        }
        assert_true(bpi_timer_heap_check(&heap));
        bp_usec least_us = earliest(timers, TIMERS, &set_count);
        assert_int_equal(set_count, heap.count);
        struct bpi_timer *first = bpi_timer_heap_peek(&heap);
        assert_true(set_count == 0 ? first == NULL : first->deadline_us == least_us);
    }
    bpi_timer_heap_done(&heap);
    for (size_t i = 0; i < TIMERS; i++) {
        assert_int_equal(timers[i].position, 0);
    }
}

static void room_follows_reservations(void **state)
{
    (void)state;
    struct bpi_timer_heap heap = {0};
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(bpi_timer_heap_reserve(&heap, 3), 0);
        assert_int_equal(bpi_timer_heap_reserve(&heap, -2), 0);
    }
    assert_int_equal(heap.reserved, 1000);
    assert_true(heap.capacity >= 1002);
    assert_int_equal(bpi_timer_heap_reserve(&heap, -1000), 0);
    bpi_timer_heap_done(&heap);
}

/* On a loop. */

struct clockwork {
    struct bpi_timer timer;
    struct bpi_loop *loop;
    bp_usec asked_us;
    bp_usec fired_us;
    int fires_left;
    int *order; /* shared: how many have fired */
    int place;
    sem_t *done;
};

static void on_fire_note(struct bpi_timer *timer)
{
    struct clockwork *work = CONTAINER(timer, struct clockwork, timer);
    assert_int_equal(timer->position, 0);
    work->fired_us = bpi_clock_now_us();
    work->place = (*work->order)++;
    sem_post(work->done);
}

static void on_fire_again(struct bpi_timer *timer)
{
    struct clockwork *work = CONTAINER(timer, struct clockwork, timer);
    if (--work->fires_left > 0) {
        /* In the past: due at once, and the loop must still turn. */
        bpi_timer_set(work->loop, timer, 1);
    } else {
        sem_post(work->done);
    }
}

static void on_fire_free(struct bpi_timer *timer)
{
    struct clockwork *work = CONTAINER(timer, struct clockwork, timer);
    assert_int_equal(bpi_timer_reserve(work->loop, -1), 0);
    sem_t *done = work->done;
    free(work);
    sem_post(done);
}

/* With a state the test runs on a precise loop. */
static struct bpi_loop *timers_loop_started(void **state)
{
    struct bpi_loop *loop;
    assert_int_equal(bpi_loop_new(0, &loop), 0);
    if (*state != NULL) {
        assert_int_equal(bpi_loop_precise(loop), 0);
    }
    assert_int_equal(bpi_loop_start(loop), 0);
    return loop;
}

struct set_many {
    struct bpi_loop *loop;
    struct clockwork *works;
    int count;
};

static void set_many_call(void *argument)
{
    struct set_many *set = argument;
    bp_usec now_us = bpi_clock_now_us();
    for (int i = 0; i < set->count; i++) {
        struct clockwork *work = &set->works[i];
        assert_int_equal(bpi_timer_reserve(set->loop, 1), 0);
        /* Farthest first, 2 ms apart, so that each one becomes the earliest. */
        work->asked_us = now_us + (bp_usec)(set->count - i) * 2 * BP_USEC_PER_MS;
        bpi_timer_set(set->loop, &work->timer, work->asked_us);
    }
}

static void timers_fire_in_order_and_never_early(void **state)
{
    struct bpi_loop *loop = timers_loop_started(state);
    struct clockwork works[20] = {0};
    int order = 0;
    sem_t done;
    sem_init(&done, 0, 0);
    for (int i = 0; i < 20; i++) {
        works[i].timer.on_fire = on_fire_note;
        works[i].order = &order;
        works[i].done = &done;
    }
    struct set_many set = {.loop = loop, .works = works, .count = 20};
    call_on(loop, set_many_call, &set);
    for (int i = 0; i < 20; i++) {
        wait_for(&done);
    }
    bp_usec late_us = 0;
    for (int i = 0; i < 20; i++) {
        assert_true(works[i].fired_us >= works[i].asked_us);
        assert_int_equal(works[i].place, 19 - i);
        bp_usec this_us = works[i].fired_us - works[i].asked_us;
        late_us = this_us > late_us ? this_us : late_us;
    }
    print_message("latest timer: %llu us after its deadline\n", (unsigned long long)late_us);
    loop_ended(loop);
}

static void set_one_call(void *argument)
{
    struct clockwork *work = argument;
    assert_int_equal(bpi_timer_reserve(work->loop, 1), 0);
    bpi_timer_set(work->loop, &work->timer, bpi_loop_now_us(work->loop) + 1000);
}

static void timer_may_be_set_again_inside_on_fire(void **state)
{
    struct bpi_loop *loop = timers_loop_started(state);
    sem_t done;
    sem_init(&done, 0, 0);
    struct clockwork two[2] = {0};
    for (int i = 0; i < 2; i++) {
        two[i] = (struct clockwork){
            .timer.on_fire = on_fire_again, .loop = loop, .fires_left = 1000, .done = &done};
        call_on(loop, set_one_call, &two[i]);
    }
    /* The loop serves its mailbox between them. */
    call_on(loop, nothing_call, NULL);
    wait_for(&done);
    wait_for(&done);
    loop_ended(loop);
}

static void timer_may_be_freed_inside_on_fire(void **state)
{
    struct bpi_loop *loop = timers_loop_started(state);
    sem_t done;
    sem_init(&done, 0, 0);
    for (int i = 0; i < 2; i++) {
        struct clockwork *work = calloc(1, sizeof(*work));
        assert_non_null(work);
        work->timer.on_fire = on_fire_free;
        work->loop = loop;
        work->done = &done;
        call_on(loop, set_one_call, work);
    }
    wait_for(&done);
    wait_for(&done);
    loop_ended(loop);
}

static void clear_call(void *argument)
{
    struct clockwork *work = argument;
    set_one_call(work);
    bpi_timer_clear(work->loop, &work->timer);
    bpi_timer_clear(work->loop, &work->timer);
}

static void cleared_timer_does_not_fire(void **state)
{
    struct bpi_loop *loop = timers_loop_started(state);
    sem_t done;
    sem_init(&done, 0, 0);
    struct clockwork work = {
        .timer.on_fire = on_fire_again, .loop = loop, .fires_left = 1, .done = &done};
    call_on(loop, clear_call, &work);
    sleep_ms(20);
    call_on(loop, nothing_call, NULL);
    assert_int_equal(work.fires_left, 1);
    loop_ended(loop);
}

static void precise_loop_that_never_ran_can_be_freed(void **state)
{
    (void)state;
    struct bpi_loop *loop;
    assert_int_equal(bpi_loop_new(0, &loop), 0);
    assert_int_equal(bpi_loop_precise(loop), 0);
    bpi_loop_free(loop);
}

static bool precise = true;
#define PRECISE_TEST(test)                                                                         \
    cmocka_unit_test_prestate_setup_teardown(test, watchdog_setup, NULL, &precise)

int main(void)
{
    const struct CMUnitTest tests[] = {
        NET_TEST(heap_agrees_with_the_reference),
        NET_TEST(room_follows_reservations),
        NET_TEST(timers_fire_in_order_and_never_early),
        PRECISE_TEST(timers_fire_in_order_and_never_early),
        NET_TEST(timer_may_be_set_again_inside_on_fire),
        PRECISE_TEST(timer_may_be_set_again_inside_on_fire),
        NET_TEST(timer_may_be_freed_inside_on_fire),
        PRECISE_TEST(timer_may_be_freed_inside_on_fire),
        NET_TEST(cleared_timer_does_not_fire),
        PRECISE_TEST(cleared_timer_does_not_fire),
        NET_TEST(precise_loop_that_never_ran_can_be_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
