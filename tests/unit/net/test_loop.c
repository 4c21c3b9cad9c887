/* The loop's mailbox, its deferred list, its end, and work on helper threads. Real threads; what must
 * hold for every interleaving is counted, and ThreadSanitizer looks on.
 */
#include "base/clock.h"
#include "net/executor.h"
#include "support.h"

#include <pthread.h>
#include <stdlib.h>

#define SENDERS          4
#define MAILS_PER_SENDER 100000

struct letter {
    struct bpi_mail mail;
    struct counter *counter;
    int sender;
    int number;
};

struct counter {
    struct bpi_loop *loop;
    int next[SENDERS]; /* the number that each sender's next letter must have */
    int wrong;
    int total;
    sem_t all;
};

static void on_letter(struct bpi_mail *mail)
{
    struct letter *letter = CONTAINER(mail, struct letter, mail);
    struct counter *counter = letter->counter;
    if (bpi_loop_current() != counter->loop || letter->number != counter->next[letter->sender]) {
        counter->wrong++;
    }
    counter->next[letter->sender] = letter->number + 1;
    if (++counter->total == SENDERS * MAILS_PER_SENDER) {
        sem_post(&counter->all);
    }
}

static void *send_letters(void *argument)
{
    struct letter *letters = argument;
    for (int i = 0; i < MAILS_PER_SENDER; i++) {
        bpi_loop_post(letters[i].counter->loop, &letters[i].mail);
    }
    return NULL;
}

static void each_sender_is_served_once_and_in_order(void **state)
{
    (void)state;
    struct counter counter = {.loop = loop_started(0)};
    sem_init(&counter.all, 0, 0);
    struct letter *letters = calloc(SENDERS * MAILS_PER_SENDER, sizeof(*letters));
    assert_non_null(letters);
    for (int i = 0; i < SENDERS * MAILS_PER_SENDER; i++) {
        letters[i].mail.deliver = on_letter;
        letters[i].counter = &counter;
        letters[i].sender = i / MAILS_PER_SENDER;
        letters[i].number = i % MAILS_PER_SENDER;
    }
    pthread_t threads[SENDERS];
    for (int i = 0; i < SENDERS; i++) {
        assert_int_equal(
            pthread_create(&threads[i], NULL, send_letters, letters + i * MAILS_PER_SENDER), 0);
    }
    wait_for(&counter.all);
    for (int i = 0; i < SENDERS; i++) {
        pthread_join(threads[i], NULL);
    }
    loop_ended(counter.loop);
    assert_int_equal(counter.wrong, 0);
    assert_int_equal(counter.total, SENDERS * MAILS_PER_SENDER);
    free(letters);
}

static void stop_delivers_what_was_posted_before(void **state)
{
    (void)state;
    for (int round = 0; round < 200; round++) {
        struct counter counter = {.loop = loop_started(0)};
        sem_init(&counter.all, 0, 0);
        struct letter letters[50] = {0};
        for (int i = 0; i < 50; i++) {
            letters[i].mail.deliver = on_letter;
            letters[i].counter = &counter;
            letters[i].number = i;
            bpi_loop_post(counter.loop, &letters[i].mail);
        }
        loop_ended(counter.loop);
        assert_int_equal(counter.total, 50);
        assert_int_equal(counter.wrong, 0);
    }
}

/* Deferred mail. */

struct deferrer {
    struct bpi_mail mail;
    struct bpi_loop *loop;
    int rounds_left;
    int depth; /* of deliveries inside one another */
    int depth_max;
    bool *in_call;
    sem_t *done;
};

static void on_deferred(struct bpi_mail *mail)
{
    struct deferrer *deferrer = CONTAINER(mail, struct deferrer, mail);
    assert_false(*deferrer->in_call);
    deferrer->depth++;
    deferrer->depth_max =
        deferrer->depth > deferrer->depth_max ? deferrer->depth : deferrer->depth_max;
    if (--deferrer->rounds_left > 0) {
        bpi_loop_defer(deferrer->loop, mail);
    } else {
        sem_post(deferrer->done);
    }
    deferrer->depth--;
}

static void defer_call(void *argument)
{
    struct deferrer *deferrers = argument;
    *deferrers[0].in_call = true;
    bpi_loop_defer(deferrers[0].loop, &deferrers[0].mail);
    bpi_loop_defer(deferrers[1].loop, &deferrers[1].mail);
    *deferrers[0].in_call = false;
}

static void deferred_mail_comes_after_its_turn(void **state)
{
    (void)state;
    struct bpi_loop *loop = loop_started(0);
    bool in_call = false;
    sem_t done;
    sem_init(&done, 0, 0);
    struct deferrer two[2] = {0};
    for (int i = 0; i < 2; i++) {
        two[i] = (struct deferrer){.mail.deliver = on_deferred,
                                   .loop = loop,
                                   .rounds_left = 10000,
                                   .in_call = &in_call,
                                   .done = &done};
    }
    call_on(loop, defer_call, two);
    wait_for(&done);
    wait_for(&done);
    call_on(loop, nothing_call, NULL);
    assert_int_equal(two[0].depth_max, 1);
    assert_int_equal(two[1].depth_max, 1);
    loop_ended(loop);
}

static void deferred_mail_is_delivered_though_nothing_else_happens(void **state)
{
    (void)state;
    struct bpi_loop *loop = NULL;
    assert_int_equal(bpi_loop_new(0, &loop), 0);
    bool in_call = false;
    sem_t done;
    sem_init(&done, 0, 0);
    /* Before the loop runs, and through its very end. */
    struct deferrer one = {.mail.deliver = on_deferred,
                           .loop = loop,
                           .rounds_left = 5,
                           .in_call = &in_call,
                           .done = &done};
    bpi_loop_defer(loop, &one.mail);
    bpi_loop_stop(loop);
    bpi_loop_run(loop);
    assert_int_equal(one.rounds_left, 0);
    bpi_loop_free(loop);
}

static void loop_that_never_ran_can_be_freed(void **state)
{
    (void)state;
    struct bpi_loop *loops[2] = {NULL, NULL};
    assert_int_equal(bpi_loop_new(0, &loops[0]), 0);
    assert_int_equal(bpi_loop_new(1, &loops[1]), 0);
    assert_int_equal(bpi_loop_index(loops[1]), 1);
    bpi_loop_free(loops[0]);
    bpi_loop_free(loops[1]);
    bpi_loop_free(NULL);
}

/* Two loops and a ball. */

struct ball {
    struct bpi_mail mail;
    struct bpi_loop *loops[2];
    int flights_left;
    sem_t landed;
};

static void on_ball(struct bpi_mail *mail)
{
    struct ball *ball = CONTAINER(mail, struct ball, mail);
    if (--ball->flights_left > 0) {
        struct bpi_loop *here = bpi_loop_current();
        bpi_loop_post(ball->loops[here == ball->loops[0] ? 1 : 0], mail);
    } else {
        sem_post(&ball->landed);
    }
}

static void mail_goes_to_and_fro_between_loops(void **state)
{
    (void)state;
    struct bpi_loop *loops[2] = {loop_started(0), loop_started(1)};
    struct ball balls[2] = {0};
    for (int i = 0; i < 2; i++) {
        balls[i] = (struct ball){
            .mail.deliver = on_ball, .loops = {loops[0], loops[1]}, .flights_left = 10000};
        sem_init(&balls[i].landed, 0, 0);
        bpi_loop_post(loops[i], &balls[i].mail);
    }
    wait_for(&balls[0].landed);
    wait_for(&balls[1].landed);
    bpi_loop_stop(loops[0]);
    bpi_loop_stop(loops[1]);
    bpi_loop_join(loops[0]);
    bpi_loop_join(loops[1]);
    bpi_loop_free(loops[0]);
    bpi_loop_free(loops[1]);
}

/* Helpers. */

struct job {
    struct bpi_work work;
    struct bpi_loop *loop;
    pthread_t ran_on;
    int result;
    bool done_on_loop;
    sem_t done;
};

static void job_run(struct bpi_work *work)
{
    struct job *job = CONTAINER(work, struct job, work);
    job->ran_on = pthread_self();
    assert_null(bpi_loop_current());
    sleep_ms(5);
    job->result = 42;
}

static void job_done(struct bpi_work *work)
{
    struct job *job = CONTAINER(work, struct job, work);
    job->done_on_loop = bpi_loop_current() == job->loop;
    sem_post(&job->done);
}

static void job_call(void *argument)
{
    struct job *job = argument;
    assert_int_equal(bpi_executor_uv.submit(&bpi_executor_uv, job->loop, &job->work), 0);
}

static void work_runs_on_a_helper_and_ends_on_the_loop(void **state)
{
    (void)state;
    struct bpi_loop *loop = loop_started(0);
    struct job jobs[8] = {0};
    for (int i = 0; i < 8; i++) {
        jobs[i] = (struct job){.work = {.run = job_run, .on_done = job_done}, .loop = loop};
        sem_init(&jobs[i].done, 0, 0);
        call_on(loop, job_call, &jobs[i]);
    }
    for (int i = 0; i < 8; i++) {
        wait_for(&jobs[i].done);
        assert_int_equal(jobs[i].result, 42);
        assert_true(jobs[i].done_on_loop);
    }
    loop_ended(loop);
}

static void clock_call(void *argument)
{
    struct bpi_loop *loop = argument;
    bp_usec first_us = bpi_loop_now_us(loop);
    bp_usec wall_us = bpi_clock_now_us();
    assert_true(first_us <= wall_us && wall_us - first_us < 30 * BP_USEC_PER_SECOND);
    sleep_ms(3);
    assert_int_equal(bpi_loop_now_us(loop), first_us);
}

static void clock_stands_still_within_a_turn_and_moves_between(void **state)
{
    (void)state;
    struct bpi_loop *loop = loop_started(0);
    bp_usec before_us = bpi_clock_now_us();
    call_on(loop, clock_call, loop);
    sleep_ms(2);
    call_on(loop, clock_call, loop);
    assert_true(bpi_loop_now_us(loop) > before_us);
    loop_ended(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        NET_TEST(each_sender_is_served_once_and_in_order),
        NET_TEST(stop_delivers_what_was_posted_before),
        NET_TEST(deferred_mail_comes_after_its_turn),
        NET_TEST(deferred_mail_is_delivered_though_nothing_else_happens),
        NET_TEST(loop_that_never_ran_can_be_freed),
        NET_TEST(mail_goes_to_and_fro_between_loops),
        NET_TEST(work_runs_on_a_helper_and_ends_on_the_loop),
        NET_TEST(clock_stands_still_within_a_turn_and_moves_between),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
