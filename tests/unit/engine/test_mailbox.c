/* Shows the asynchronous form: answers come through the mailbox and nowhere else, across threads by its descriptor, within
 * one thread without it; requests can be cancelled in every state.
 */
#include "connector.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <pthread.h>

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

struct answer {
    unsigned count;
    int error;
    struct bp_lease *lease;
    char text[BP_REFUSAL_TEXT];
    struct bp_request request;
};

static void
on_answer(void *user, int error, struct bp_lease *lease, const struct bp_refusal *refusal)
{
    struct answer *answer = user;
    answer->count++;
    answer->error = error;
    answer->lease = lease;
    if (refusal != NULL) {
        memcpy(answer->text, refusal->text, sizeof(answer->text));
    }
}

static void
ask(struct bp_pool *pool, struct bp_mailbox *mailbox, bp_usec timeout_us, struct answer *answer)
{
    memset(answer, 0, sizeof(*answer));
    assert_int_equal(
        bp_pool_acquire_async(pool, mailbox, NULL, timeout_us, on_answer, answer, &answer->request),
        0);
    assert_int_equal(answer->count, 0);
}

static bool is_readable(const struct bp_mailbox *mailbox, int timeout_ms)
{
    struct pollfd poll_fd = {.fd = bp_mailbox_fd(mailbox), .events = POLLIN};
    return poll(&poll_fd, 1, timeout_ms) == 1;
}

static void end(struct bp_pool *pool, struct bp_mailbox *mailbox, struct test_connector *connector)
{
    assert_int_equal(bp_mailbox_free(mailbox), 0);
    assert_int_equal(bp_pool_stop(pool, 10 * BP_USEC_PER_SECOND), 0);
    bp_pool_free(pool);
    assert_int_equal(atomic_load(&connector->opened), atomic_load(&connector->closed));
    assert_int_equal(atomic_load(&connector->wrong), 0);
}

static void an_idle_connection_is_granted_by_the_next_dispatch(void **state)
{
    (void)state;
    struct test_connector connector = {0};
    struct bp_pool *pool = test_pool(&connector, 1);
    struct bp_mailbox *mailbox;
    assert_int_equal(bp_mailbox_new(pool, &mailbox), 0);
    assert_int_equal(bp_mailbox_dispatch(mailbox), 0);
    struct answer answer;
    ask(pool, mailbox, BP_WAIT_DEFAULT, &answer);
    /* Its own thread needs no signal. */
    assert_false(is_readable(mailbox, 0));
    assert_int_equal(bp_mailbox_dispatch(mailbox), 1);
    assert_int_equal(answer.count, 1);
    assert_int_equal(answer.error, 0);
    assert_true(test_use(answer.lease, 0));
    assert_int_equal(bp_pool_release(answer.lease, BP_OUTCOME_OK), 0);
    end(pool, mailbox, &connector);
}

static void a_release_on_the_same_thread_reaches_its_mailbox_without_a_signal(void **state)
{
    (void)state;
    struct test_connector connector = {0};
    struct bp_pool *pool = test_pool(&connector, 1);
    struct bp_mailbox *mailbox;
    assert_int_equal(bp_mailbox_new(pool, &mailbox), 0);
    struct answer answers[10];
    for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
        ask(pool, mailbox, BP_WAIT_DEFAULT, &answers[i]);
    }
    for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
        assert_int_equal(bp_mailbox_dispatch(mailbox), 1);
        assert_int_equal(answers[i].count, 1); /* in the order in which they asked */
        assert_false(is_readable(mailbox, 0));
        assert_int_equal(bp_pool_release(answers[i].lease, BP_OUTCOME_OK), 0);
    }
    end(pool, mailbox, &connector);
}

static void *release_later(void *argument)
{
    test_sleep_us(20000);
    (void)bp_pool_release(argument, BP_OUTCOME_OK);
    return NULL;
}

static void a_release_on_another_thread_signals(void **state)
{
    (void)state;
    struct test_connector connector = {0};
    struct bp_pool *pool = test_pool(&connector, 1);
    struct bp_mailbox *mailbox;
    assert_int_equal(bp_mailbox_new(pool, &mailbox), 0);
    struct bp_lease *lease;
    assert_int_equal(bp_pool_acquire(pool, NULL, BP_WAIT_DEFAULT, &lease), 0);
    struct answer answer;
    ask(pool, mailbox, BP_WAIT_DEFAULT, &answer);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, release_later, lease), 0);
    assert_true(is_readable(mailbox, 10000));
    assert_int_equal(bp_mailbox_dispatch(mailbox), 1);
    assert_false(is_readable(mailbox, 0));
    pthread_join(thread, NULL);
    assert_int_equal(bp_pool_release(answer.lease, BP_OUTCOME_OK), 0);
    end(pool, mailbox, &connector);
}

static void a_request_that_waits_too_long_is_told_why(void **state)
{
    (void)state;
    struct test_connector connector = {0};
    struct bp_pool *pool = test_pool(&connector, 1);
    struct bp_mailbox *mailbox;
    assert_int_equal(bp_mailbox_new(pool, &mailbox), 0);
    struct bp_lease *lease;
    assert_int_equal(bp_pool_acquire(pool, NULL, BP_WAIT_DEFAULT, &lease), 0);
    struct answer answers[2];
    ask(pool, mailbox, 0, &answers[0]);
    ask(pool, mailbox, 30000, &answers[1]);
    assert_int_equal(bp_mailbox_dispatch(mailbox), 1);
    assert_int_equal(answers[0].error, BP_E_QUEUE_TIMEOUT);
    assert_true(is_readable(mailbox, 10000));
    assert_int_equal(bp_mailbox_dispatch(mailbox), 1);
    assert_int_equal(answers[1].error, BP_E_QUEUE_TIMEOUT);
    assert_null(answers[1].lease);
    assert_non_null(strstr(answers[1].text, "links_max = 1"));
    assert_int_equal(bp_pool_release(lease, BP_OUTCOME_OK), 0);
    end(pool, mailbox, &connector);
}

static void a_request_is_cancelled_in_every_state(void **state)
{
    (void)state;
    struct test_connector connector = {0};
    struct bp_pool *pool = test_pool(&connector, 1);
    struct bp_mailbox *mailbox;
    assert_int_equal(bp_mailbox_new(pool, &mailbox), 0);
    struct answer granted;
    struct answer waiting;
    ask(pool, mailbox, BP_WAIT_DEFAULT, &granted);
    ask(pool, mailbox, BP_WAIT_DEFAULT, &waiting);
    assert_int_equal(bp_request_cancel(&waiting.request), 0);
    assert_int_equal(bp_request_cancel(&waiting.request), BP_E_USAGE);
    ask(pool, mailbox, BP_WAIT_DEFAULT, &waiting);
    /* The connection goes back, and to the one that waits. */
    assert_int_equal(bp_request_cancel(&granted.request), 0);
    assert_int_equal(bp_mailbox_dispatch(mailbox), 1);
    assert_int_equal(granted.count, 0);
    assert_int_equal(waiting.count, 1);
    /* Called, and not come yet. */
    struct answer called;
    ask(pool, mailbox, BP_WAIT_DEFAULT, &called);
    assert_int_equal(bp_pool_release(waiting.lease, BP_OUTCOME_OK), 0);
    assert_int_equal(bp_request_cancel(&called.request), 0);
    assert_int_equal(bp_mailbox_dispatch(mailbox), 0);
    assert_int_equal(called.count, 0);
    struct bp_lease *lease;
    assert_int_equal(bp_pool_acquire(pool, NULL, 0, &lease), 0);
    assert_int_equal(bp_pool_release(lease, BP_OUTCOME_OK), 0);
    end(pool, mailbox, &connector);
}

struct canceller {
    struct answer *victim;
    struct bp_request request;
    struct bp_lease *lease;
};

static void
on_cancelling(void *user, int error, struct bp_lease *lease, const struct bp_refusal *refusal)
{
    struct canceller *canceller = user;
    (void)refusal;
    assert_int_equal(error, 0);
    canceller->lease = lease;
    assert_int_equal(bp_request_cancel(&canceller->victim->request), 0);
}

static void a_callback_may_cancel_the_next_one(void **state)
{
    (void)state;
    struct test_connector connector = {0};
    struct bp_pool *pool = test_pool(&connector, 2);
    struct bp_mailbox *mailbox;
    assert_int_equal(bp_mailbox_new(pool, &mailbox), 0);
    struct answer victim;
    struct canceller canceller = {.victim = &victim};
    assert_int_equal(bp_pool_acquire_async(pool, mailbox, NULL, BP_WAIT_DEFAULT, on_cancelling,
                                           &canceller, &canceller.request),
                     0);
    ask(pool, mailbox, BP_WAIT_DEFAULT, &victim);
    assert_int_equal(bp_mailbox_dispatch(mailbox), 1);
    assert_int_equal(victim.count, 0);
    assert_int_equal(bp_pool_release(canceller.lease, BP_OUTCOME_OK), 0);
    assert_int_equal(test_stats(pool).idle, 2);
    end(pool, mailbox, &connector);
}

static void stopping_answers_all_requests(void **state)
{
    (void)state;
    struct test_connector connector = {0};
    struct bp_pool *pool = test_pool(&connector, 1);
    struct bp_mailbox *mailbox;
    assert_int_equal(bp_mailbox_new(pool, &mailbox), 0);
    static struct answer answers[50];
    for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
        ask(pool, mailbox, BP_WAIT_DEFAULT, &answers[i]);
    }
    assert_int_equal(bp_mailbox_free(mailbox), BP_E_USAGE);
    assert_int_equal(bp_mailbox_dispatch(mailbox), 1);
    (void)bp_pool_stop(pool, 1000);
    assert_int_equal(bp_mailbox_dispatch(mailbox), ARRAY_SIZE(answers) - 1);
    for (size_t i = 1; i < ARRAY_SIZE(answers); i++) {
        assert_int_equal(answers[i].error, BP_E_CLOSED);
    }
    struct answer late;
    assert_int_equal(bp_pool_acquire_async(pool, mailbox, NULL, BP_WAIT_DEFAULT, on_answer, &late,
                                           &late.request),
                     BP_E_CLOSED);
    assert_int_equal(bp_pool_release(answers[0].lease, BP_OUTCOME_OK), 0);
    end(pool, mailbox, &connector);
}

struct stranger {
    struct bp_pool *pool;
    struct bp_mailbox *mailbox;
    struct bp_request *request;
    bool good;
};

static void *meddle(void *argument)
{
    struct stranger *stranger = argument;
    struct answer answer;
    stranger->good = bp_mailbox_dispatch(stranger->mailbox) == BP_E_USAGE &&
                     bp_mailbox_free(stranger->mailbox) == BP_E_USAGE &&
                     bp_request_cancel(stranger->request) == BP_E_USAGE &&
                     bp_pool_acquire_async(stranger->pool, stranger->mailbox, NULL, 0, on_answer,
                                           &answer, &answer.request) == BP_E_USAGE;
    return NULL;
}

static void another_thread_may_not_touch_a_mailbox(void **state)
{
    (void)state;
    struct test_connector connector = {0};
    struct bp_pool *pool = test_pool(&connector, 1);
    struct bp_mailbox *mailbox;
    assert_int_equal(bp_mailbox_new(pool, &mailbox), 0);
    struct answer answer;
    ask(pool, mailbox, BP_WAIT_DEFAULT, &answer);
    struct stranger stranger = {.pool = pool, .mailbox = mailbox, .request = &answer.request};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, meddle, &stranger), 0);
    pthread_join(thread, NULL);
    assert_true(stranger.good);
    assert_int_equal(bp_mailbox_dispatch(mailbox), 1);
    assert_int_equal(bp_pool_release(answer.lease, BP_OUTCOME_OK), 0);
    end(pool, mailbox, &connector);
}

/* ---- several loops and threads on one pool ---- */

#define TASKS 12
#define TURNS 300

struct loop;

struct task {
    struct loop *loop;
    unsigned turns;
    struct bp_request request;
};

struct loop {
    struct bp_pool *pool;
    struct bp_mailbox *mailbox;
    struct task tasks[TASKS];
    unsigned done;
    unsigned trouble;
    pthread_t thread;
};

static void task_ask(struct task *task);

static void on_task(void *user, int error, struct bp_lease *lease, const struct bp_refusal *refusal)
{
    struct task *task = user;
    struct loop *loop = task->loop;
    (void)refusal;
    if (error != 0 || !test_use(lease, 0) || bp_pool_release(lease, BP_OUTCOME_OK) != 0) {
        loop->trouble++;
    }
    if (++task->turns < TURNS) {
        task_ask(task); /* with the storage that is free again */
    } else {
        loop->done++;
    }
}

static void task_ask(struct task *task)
{
    struct bp_operation operation = BP_OPERATION_INIT;
    operation.work = task->turns % 2 == 0 ? BP_WORK_READ_WRITE : BP_WORK_READ_ONLY;
    operation.tenant = task->turns % 5 == 0 ? "tenant" : NULL;
    if (bp_pool_acquire_async(task->loop->pool, task->loop->mailbox, &operation, BP_WAIT_DEFAULT,
                              on_task, task, &task->request) != 0) {
        task->loop->trouble++;
    }
}

static void *run_loop(void *argument)
{
    struct loop *loop = argument;
    if (bp_mailbox_new(loop->pool, &loop->mailbox) != 0) {
        loop->trouble++;
        return NULL;
    }
    for (unsigned i = 0; i < TASKS; i++) {
        loop->tasks[i].loop = loop;
        task_ask(&loop->tasks[i]);
    }
    while (loop->done < TASKS && loop->trouble == 0) {
        if (bp_mailbox_dispatch(loop->mailbox) == 0 && !is_readable(loop->mailbox, 20000)) {
            loop->trouble++; /* nobody woke it for 20 s */
        }
    }
    loop->trouble += bp_mailbox_free(loop->mailbox) != 0;
    return NULL;
}

static void *run_blocking(void *argument)
{
    struct loop *loop = argument;
    for (int i = 0; i < TURNS * 4; i++) {
        struct bp_lease *lease;
        if (bp_pool_acquire(loop->pool, NULL, BP_WAIT_DEFAULT, &lease) != 0 ||
            !test_use(lease, i % 50 == 0 ? 200 : 0) || bp_pool_release(lease, BP_OUTCOME_OK) != 0) {
            loop->trouble++;
        }
    }
    return NULL;
}

static void loops_and_threads_share_a_pool(void **state)
{
    (void)state;
    struct test_connector connector = {0};
    struct bp_pool *pool = test_pool(&connector, 3);
    static struct loop loops[6];
    for (size_t i = 0; i < ARRAY_SIZE(loops); i++) {
        loops[i] = (struct loop){.pool = pool};
        assert_int_equal(
            pthread_create(&loops[i].thread, NULL, i < 4 ? run_loop : run_blocking, &loops[i]), 0);
    }
    for (size_t i = 0; i < ARRAY_SIZE(loops); i++) {
        pthread_join(loops[i].thread, NULL);
        assert_int_equal(loops[i].trouble, 0);
    }
    struct bp_pool_stats stats = test_stats(pool);
    assert_int_equal(stats.acquired, 4 * TASKS * TURNS + 2 * TURNS * 4);
    assert_int_equal(stats.returned, stats.acquired);
    end(pool, NULL, &connector);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_idle_connection_is_granted_by_the_next_dispatch),
        cmocka_unit_test(a_release_on_the_same_thread_reaches_its_mailbox_without_a_signal),
        cmocka_unit_test(a_release_on_another_thread_signals),
        cmocka_unit_test(a_request_that_waits_too_long_is_told_why),
        cmocka_unit_test(a_request_is_cancelled_in_every_state),
        cmocka_unit_test(a_callback_may_cancel_the_next_one),
        cmocka_unit_test(stopping_answers_all_requests),
        cmocka_unit_test(another_thread_may_not_touch_a_mailbox),
        cmocka_unit_test(loops_and_threads_share_a_pool),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
