/* The client's driver against a simulated server: connections come back fit for the next one whatever was left on them,
 * work is retried where that helps and nowhere else, and a handle that was given back is worth nothing.
 */
#include "support.h"

#include <boltpool/driver.h>

#include <poll.h>
#include <stdatomic.h>
#include <sys/wait.h>

static struct bp_driver_config driver_config(const struct stage *stage)
{
    struct bp_driver_config config;
    bp_driver_config_init(&config);
    config.bolt.url = stage->url;
    config.pool.links_max = 2;
    config.pool.idle_min = 0;
    config.pool.queue_timeout_us = 5 * BP_USEC_PER_SECOND;
    config.retry_time_us = 5 * BP_USEC_PER_SECOND;
    return config;
}

static struct bp_driver *open_driver(const struct bp_driver_config *config)
{
    struct bp_driver *driver;
    assert_int_equal(bp_driver_new(config, &driver), 0);
    return driver;
}

static struct bp_driver *stage_driver(const struct stage *stage)
{
    struct bp_driver_config config = driver_config(stage);
    return open_driver(&config);
}

static struct bp_bolt *borrow(struct bp_driver *driver, struct bp_lease **ret_lease)
{
    struct bp_bolt *bolt;
    assert_int_equal(bp_driver_acquire(driver, NULL, BP_WAIT_DEFAULT, ret_lease, &bolt), 0);
    assert_int_equal(bp_bolt_get_state(bolt), BP_BOLT_READY);
    return bolt;
}

static struct bp_pool_stats stats_of(struct bp_driver *driver)
{
    struct bp_pool_stats stats = {.struct_size = sizeof(stats)};
    assert_int_equal(bp_pool_get_stats(bp_driver_pool(driver), &stats), 0);
    return stats;
}

static void end_driver(struct bp_driver *driver)
{
    assert_int_equal(bp_driver_free(driver, 5 * BP_USEC_PER_SECOND), 0);
}

static void a_lease_holds_a_connection(void **state)
{
    (void)state;
    struct stage stage = stage_up((struct bpi_sim_options){0});
    struct bp_driver *driver = stage_driver(&stage);
    for (int i = 0; i < 10; i++) {
        struct bp_lease *lease;
        struct bp_bolt *bolt = borrow(driver, &lease);
        assert_ptr_equal(bp_lease_bolt(lease), bolt);
        assert_int_equal(one_int(bolt, "RETURN 1"), 1);
        bp_bolt_close(bolt); /* not its owner: nothing happens */
        assert_int_equal(one_int(bolt, "RETURN 2"), 2);
        assert_int_equal(bp_driver_release(lease), 0);
        assert_int_equal(bp_driver_release(lease), BP_E_USAGE);
        assert_null(bp_lease_bolt(lease));
        /* The handle is worth nothing any more, though the connection lives. */
        struct bp_result *result;
        assert_int_equal(bp_bolt_run(bolt, "RETURN 1", NULL, NULL, &result), BP_E_USAGE);
        bp_bolt_cancel(bolt);
    }
    struct bp_pool_stats stats = stats_of(driver);
    assert_int_equal(stats.created, 1);
    assert_int_equal(stats.acquired, 10);
    assert_int_equal(stats.returned, 10);
    assert_int_equal(stats.closed_unhealthy, 0);
    end_driver(driver);
    stage_down(&stage);
}

/* What may be left on a connection when it is given back. */
static void leave_nothing(struct bp_bolt *bolt)
{
    assert_int_equal(one_int(bolt, "RETURN 1"), 1);
}

/* Results stay the caller's, to be freed. */
static struct bp_result *left[32];
static unsigned left_count;

static void leave_rows(struct bp_bolt *bolt)
{
    struct bp_result *result = run(bolt, "UNWIND range(1, 100000) AS x RETURN x");
    const struct bp_value *row;
    assert_int_equal(bp_result_next(result, &row), 1);
    left[left_count++] = result;
}

static void leave_transaction(struct bp_bolt *bolt)
{
    assert_int_equal(bp_bolt_begin(bolt, NULL), 0);
    struct bp_result *result = run(bolt, "CREATE (:T {id: 'left'})");
    assert_int_equal(bp_result_free(result), 0);
}

static void leave_failure(struct bp_bolt *bolt)
{
    struct bp_result *result;
    assert_int_equal(
        bp_bolt_run(bolt, "RETURN 1 /* sim: fail=Neo.ClientError.A.B */", NULL, NULL, &result),
        BP_E_SERVER_FAILURE);
}

static void leave_failed_transaction(struct bp_bolt *bolt)
{
    assert_int_equal(bp_bolt_begin(bolt, NULL), 0);
    leave_failure(bolt);
}

static void whatever_is_left_is_cleaned(void **state)
{
    (void)state;
    struct stage stage = stage_up((struct bpi_sim_options){0});
    struct bp_driver_config config = driver_config(&stage);
    config.pool.links_max = 1;
    struct bp_driver *driver = open_driver(&config);
    static void (*const leave[])(struct bp_bolt * bolt) = {
        leave_nothing, leave_rows, leave_transaction, leave_failure, leave_failed_transaction,
    };
    struct bp_result *kept = NULL;
    left_count = 0;
    for (size_t i = 0; i < 20; i++) {
        struct bp_lease *lease;
        struct bp_bolt *bolt = borrow(driver, &lease);
        assert_int_equal(one_int(bolt, "RETURN 5"), 5);
        leave[i % 5](bolt);
        if (i == 1) {
            kept = run(bolt, "UNWIND range(1, 9) AS x RETURN x");
        }
        assert_true(left_count < 32);
        assert_int_equal(bp_driver_release(lease), 0);
    }
    const struct bp_value *row;
    assert_int_equal(bp_result_next(kept, &row), BP_E_USAGE);
    assert_int_equal(bp_result_free(kept), 0);
    for (unsigned i = 0; i < left_count; i++) {
        assert_int_equal(bp_result_free(left[i]), 0);
    }
    struct bp_pool_stats stats = stats_of(driver);
    assert_int_equal(stats.created, 1);
    assert_int_equal(stats.closed_unhealthy, 0);
    end_driver(driver);
    assert_int_equal(bpi_sim_committed(stage.sim, "left"), 0);
    struct bpi_sim_stats server;
    bpi_sim_stats(stage.sim, &server);
    assert_int_equal(server.closed_illegal, 0);
    stage_down(&stage);
}

static void a_dead_idle_connection_is_not_handed_out(void **state)
{
    (void)state;
    struct stage stage = stage_up((struct bpi_sim_options){0});
    struct bp_driver *driver = stage_driver(&stage);
    struct bp_lease *leases[2];
    for (int i = 0; i < 2; i++) {
        borrow(driver, &leases[i]);
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(bp_driver_release(leases[i]), 0);
    }
    assert_int_equal(bpi_sim_fault(stage.sim, "down"), 0);
    assert_int_equal(bpi_sim_fault(stage.sim, "up"), 0);
    usleep(100000);
    struct bp_lease *lease;
    struct bp_bolt *bolt = borrow(driver, &lease);
    assert_int_equal(one_int(bolt, "RETURN 6"), 6);
    assert_int_equal(bp_driver_release(lease), 0);
    end_driver(driver);
    stage_down(&stage);
}

static void a_lost_connection_is_closed(void **state)
{
    (void)state;
    struct stage stage = stage_up((struct bpi_sim_options){0});
    struct bp_driver *driver = stage_driver(&stage);
    struct bp_lease *lease;
    struct bp_bolt *bolt = borrow(driver, &lease);
    struct bp_result *result;
    assert_int_equal(bp_bolt_run(bolt, "RETURN 1 /* sim: close=1 */", NULL, NULL, &result),
                     BP_E_SERVER_LOST);
    /* Whether it was committed isn't known: nothing that retries by itself should. */
    assert_int_equal(bp_bolt_failure(bolt)->retryable, 0);
    assert_int_equal(bp_driver_release(lease), 0);
    bolt = borrow(driver, &lease);
    assert_int_equal(one_int(bolt, "RETURN 7"), 7);
    assert_int_equal(bp_driver_release(lease), 0);
    assert_int_equal(stats_of(driver).closed_unhealthy, 1);
    end_driver(driver);
    stage_down(&stage);
}

static void a_wrong_password_is_told_at_once(void **state)
{
    (void)state;
    struct bpi_sim_user user = {"ann", "secret12"};
    struct stage stage = stage_up((struct bpi_sim_options){.users = &user, .user_count = 1});
    struct bp_driver_config config = driver_config(&stage);
    struct bp_login login = {.user = "ann", .credentials = "not it"};
    config.bolt.login = &login;
    struct bp_driver *driver = open_driver(&config);
    struct bp_failure failure;
    bp_usec begin_us = bpi_clock_now_us();
    assert_int_equal(bp_driver_verify(driver, 4 * BP_USEC_PER_SECOND, &failure),
                     BP_E_SERVER_FAILURE);
    assert_true(bpi_clock_now_us() - begin_us < 3 * BP_USEC_PER_SECOND);
    assert_string_equal(failure.code, "Neo.ClientError.Security.Unauthorized");
    login.credentials = "secret12";
    assert_int_equal(bp_driver_set_login(driver, &login), 0);
    assert_int_equal(bp_driver_verify(driver, 4 * BP_USEC_PER_SECOND, &failure), 0);
    end_driver(driver);
    stage_down(&stage);
}

/* ---- managed work ---- */

struct work {
    int tries;
    int fails_first; /* tries that return `error` */
    int error;
    const char *query; /* NULL: none */
    int64_t sum;
};

static int do_work(void *user, struct bp_bolt *bolt)
{
    struct work *work = user;
    work->tries++;
    struct bp_result *result;
    const struct bp_value *row;
    if (work->query != NULL) {
        int error = bp_bolt_run(bolt, work->query, NULL, NULL, &result);
        if (error != 0) {
            return error;
        }
        int got;
        while ((got = bp_result_next(result, &row)) == 1) {
            work->sum += row[0].as.integer;
        }
        int freed = bp_result_free(result);
        if (got != 0 || freed != 0) {
            return got != 0 ? got : freed;
        }
    }
    return work->tries <= work->fails_first ? work->error : 0;
}

static void work_is_committed(void **state)
{
    (void)state;
    struct stage stage = stage_up((struct bpi_sim_options){0});
    struct bp_driver *driver = stage_driver(&stage);
    struct work work = {.query = "CREATE (:T {id: 'one'})"};
    struct bp_failure failure;
    assert_int_equal(bp_driver_execute(driver, NULL, NULL, do_work, &work, &failure), 0);
    assert_int_equal(work.tries, 1);
    assert_int_equal(bpi_sim_committed(stage.sim, "one"), 1);
    /* Work that does nothing is a transaction, too. */
    struct work idle = {0};
    assert_int_equal(bp_driver_execute(driver, NULL, NULL, do_work, &idle, NULL), 0);
    end_driver(driver);
    stage_down(&stage);
}

static void work_that_gives_up_is_rolled_back(void **state)
{
    (void)state;
    struct stage stage = stage_up((struct bpi_sim_options){0});
    struct bp_driver *driver = stage_driver(&stage);
    struct work work = {.query = "CREATE (:T {id: 'two'})", .fails_first = 9, .error = 42};
    struct bp_failure failure;
    assert_int_equal(bp_driver_execute(driver, NULL, NULL, do_work, &work, &failure), 42);
    assert_int_equal(failure.error, 42);
    assert_int_equal(work.tries, 1);
    assert_int_equal(bpi_sim_committed(stage.sim, "two"), 0);
    end_driver(driver);
    stage_down(&stage);
}

static void what_may_pass_is_tried_again(void **state)
{
    (void)state;
    struct stage stage = stage_up((struct bpi_sim_options){0});
    struct bp_driver *driver = stage_driver(&stage);
    struct bp_failure failure;
    /* A deadlock for a second and a half. */
    assert_int_equal(
        bpi_sim_fault(stage.sim, "fail=Neo.TransientError.Transaction.DeadlockDetected"), 0);
    struct work work = {.query = "CREATE (:T {id: 'three'})"};
    struct bp_driver_config config = driver_config(&stage);
    config.retry_time_us = 1;
    struct bp_driver *impatient = open_driver(&config);
    assert_int_equal(bp_driver_execute(impatient, NULL, NULL, do_work, &work, &failure),
                     BP_E_SERVER_FAILURE);
    assert_string_equal(failure.code, "Neo.TransientError.Transaction.DeadlockDetected");
    assert_int_equal(work.tries, 1);
    end_driver(impatient);
    work.tries = 0;
    assert_int_equal(bpi_sim_fault(stage.sim, "fail=no"), 0);
    assert_int_equal(
        bpi_sim_fault(stage.sim, "fail_commit=Neo.TransientError.Transaction.Outdated@0.5"), 0);
    for (int i = 0; i < 3; i++) {
        int error = bp_driver_execute(driver, NULL, NULL, do_work, &work, &failure);
        assert_true(error == 0 ||
                    strcmp(failure.code, "Neo.TransientError.Transaction.Outdated") == 0);
    }
    assert_int_equal(bpi_sim_fault(stage.sim, "none"), 0);
    /* The connection dies under the work: another one does it. */
    work = (struct work){.query = "RETURN 1 /* sim: close=1 */"};
    config.retry_time_us = 1500000;
    impatient = open_driver(&config);
    assert_int_equal(bp_driver_execute(impatient, NULL, NULL, do_work, &work, &failure),
                     BP_E_SERVER_LOST);
    assert_int_equal(work.tries, 2);
    assert_int_equal(failure.retryable, 1);
    end_driver(impatient);
    end_driver(driver);
    stage_down(&stage);
}

static void a_commit_in_doubt_is_not_repeated(void **state)
{
    (void)state;
    struct stage stage = stage_up((struct bpi_sim_options){0});
    struct bp_driver *driver = stage_driver(&stage);
    struct bp_failure failure;
    static const char *const scripts[] = {"drop_commit", "lose_commit"};
    for (int i = 0; i < 2; i++) {
        char query[64];
        snprintf(query, sizeof(query), "CREATE (:T {id: '%s'})", scripts[i]);
        struct work work = {.query = query};
        assert_int_equal(bpi_sim_fault(stage.sim, scripts[i]), 0);
        assert_int_equal(bp_driver_execute(driver, NULL, NULL, do_work, &work, &failure),
                         BP_E_SERVER_LOST);
        assert_int_equal(work.tries, 1);
        assert_int_equal(failure.retryable, 0);
        assert_non_null(strstr(failure.text, "isn't known"));
        assert_int_equal(bpi_sim_committed(stage.sim, scripts[i]), i == 0 ? 1 : 0);
    }
    end_driver(driver);
    stage_down(&stage);
}

static void a_database_that_is_none_is_told_though_begin_is_not_waited_for(void **state)
{
    (void)state;
    struct stage stage = stage_up((struct bpi_sim_options){0});
    struct bp_driver *driver = stage_driver(&stage);
    struct bp_tx_options options = BP_TX_OPTIONS_INIT;
    options.database = "nowhere";
    struct bp_failure failure;
    struct work idle = {0};
    assert_int_equal(bp_driver_execute(driver, NULL, &options, do_work, &idle, &failure),
                     BP_E_SERVER_FAILURE);
    assert_string_equal(failure.code, "Neo.ClientError.Database.DatabaseNotFound");
    struct work work = {.query = "RETURN 1"};
    assert_int_equal(bp_driver_execute(driver, NULL, &options, do_work, &work, &failure),
                     BP_E_SERVER_FAILURE);
    assert_string_equal(failure.code, "Neo.ClientError.Database.DatabaseNotFound");
    assert_int_equal(work.tries, 1);
    struct work fine = {.query = "RETURN 1"};
    assert_int_equal(bp_driver_execute(driver, NULL, NULL, do_work, &fine, &failure), 0);
    end_driver(driver);
    stage_down(&stage);
}

struct sum {
    int begins;
    int rows;
    int64_t sum;
    int stop_at;
};

static void begin_sum(void *user)
{
    struct sum *sum = user;
    sum->begins++;
    sum->rows = 0;
    sum->sum = 0;
}

static int add_row(void *user, struct bp_result *result, const struct bp_value *row)
{
    struct sum *sum = user;
    assert_int_equal(bp_result_columns(result), 1);
    sum->rows++;
    sum->sum += row[0].as.integer;
    return sum->rows == sum->stop_at ? 7 : 0;
}

static void one_query_hands_out_its_rows(void **state)
{
    (void)state;
    struct stage stage = stage_up((struct bpi_sim_options){0});
    struct bp_driver *driver = stage_driver(&stage);
    struct sum sum = {0};
    const char *query = "UNWIND range(1, 2500) AS x RETURN x";
    assert_int_equal(
        bp_driver_query(driver, NULL, NULL, query, NULL, begin_sum, add_row, &sum, NULL), 0);
    assert_int_equal(sum.rows, 2500);
    assert_int_equal(sum.sum, 2500 * 2501 / 2);
    assert_int_equal(sum.begins, 1);
    sum.stop_at = 10;
    assert_int_equal(
        bp_driver_query(driver, NULL, NULL, query, NULL, begin_sum, add_row, &sum, NULL), 7);
    assert_int_equal(sum.rows, 10);
    assert_int_equal(bp_driver_query(driver, NULL, NULL, query, NULL, NULL, NULL, NULL, NULL), 0);
    end_driver(driver);
    stage_down(&stage);
}

/* ---- threads, loops, ends ---- */

static void got_it(void *user, int error, struct bp_lease *lease, const struct bp_refusal *refusal)
{
    (void)refusal;
    assert_int_equal(error, 0);
    *(struct bp_lease **)user = lease;
}

static void an_event_loop_borrows_too(void **state)
{
    (void)state;
    struct stage stage = stage_up((struct bpi_sim_options){0});
    struct bp_driver *driver = stage_driver(&stage);
    struct bp_mailbox *mailbox;
    struct bp_request request;
    struct bp_lease *lease = NULL;
    assert_int_equal(bp_mailbox_new(bp_driver_pool(driver), &mailbox), 0);
    assert_int_equal(bp_pool_acquire_async(bp_driver_pool(driver), mailbox, NULL, BP_WAIT_DEFAULT,
                                           got_it, &lease, &request),
                     0);
    while (lease == NULL) {
        struct pollfd entry = {.fd = bp_mailbox_fd(mailbox), .events = POLLIN};
        poll(&entry, 1, 5000);
        assert_true(bp_mailbox_dispatch(mailbox) >= 0);
    }
    assert_int_equal(one_int(bp_lease_bolt(lease), "RETURN 8"), 8);
    assert_int_equal(bp_driver_release(lease), 0);
    assert_int_equal(bp_mailbox_free(mailbox), 0);
    end_driver(driver);
    stage_down(&stage);
}

struct crowd {
    struct bp_driver *driver;
    atomic_int wrong;
    atomic_int number;
};

static void *be_one_of_many(void *argument)
{
    struct crowd *crowd = argument;
    int me = atomic_fetch_add(&crowd->number, 1);
    for (int i = 0; i < 60; i++) {
        char query[64];
        int64_t want = me * 1000 + i;
        snprintf(query, sizeof(query), "UNWIND range(%lld, %lld) AS x RETURN x", (long long)want,
                 (long long)want + 2);
        struct sum sum = {0};
        int error =
            bp_driver_query(crowd->driver, NULL, NULL, query, NULL, NULL, add_row, &sum, NULL);
        crowd->wrong += error != 0 || sum.sum != 3 * want + 3;
        struct bp_lease *lease;
        struct bp_bolt *bolt;
        if (bp_driver_acquire(crowd->driver, NULL, BP_WAIT_DEFAULT, &lease, &bolt) != 0) {
            crowd->wrong++;
            continue;
        }
        struct bp_result *result;
        crowd->wrong += bp_bolt_run(bolt, query, NULL, NULL, &result) != 0;
        /* Half of them leave what they have, where it is. */
        if (i % 2 == 0) {
            bp_result_free(result);
        }
        bp_driver_release(lease);
        if (i % 2 == 1) {
            bp_result_free(result);
        }
    }
    return NULL;
}

static void many_threads_share_few_connections(void **state)
{
    (void)state;
    struct stage stage = stage_up((struct bpi_sim_options){0});
    struct bp_driver_config config = driver_config(&stage);
    config.pool.links_max = 4;
    struct crowd crowd = {.driver = open_driver(&config)};
    pthread_t threads[16];
    for (int i = 0; i < 16; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, be_one_of_many, &crowd), 0);
    }
    for (int i = 0; i < 16; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(crowd.wrong, 0);
    struct bp_pool_stats stats = stats_of(crowd.driver);
    assert_true(stats.created <= 4);
    assert_int_equal(stats.acquired, 16 * 120);
    end_driver(crowd.driver);
    struct bpi_sim_stats server;
    bpi_sim_stats(stage.sim, &server);
    assert_true(server.connections_max <= 4);
    assert_int_equal(server.closed_illegal, 0);
    stage_down(&stage);
}

static void a_lease_may_outlive_the_driver(void **state)
{
    (void)state;
    struct stage stage = stage_up((struct bpi_sim_options){0});
    struct bp_driver *driver = stage_driver(&stage);
    struct bp_lease *lease;
    struct bp_bolt *bolt = borrow(driver, &lease);
    assert_int_equal(bp_driver_free(driver, 10000), UV_ETIMEDOUT);
    assert_int_equal(one_int(bolt, "RETURN 9"), 9);
    assert_int_equal(bp_driver_release(lease), 0);
    stage_down(&stage);
}

static void a_server_that_is_away_is_waited_for(void **state)
{
    (void)state;
    struct stage stage = stage_up((struct bpi_sim_options){0});
    assert_int_equal(bpi_sim_fault(stage.sim, "down"), 0);
    struct bp_driver_config config = driver_config(&stage);
    config.pool.queue_timeout_us = 300000;
    struct bp_driver *driver = open_driver(&config);
    struct work work = {.query = "RETURN 1"};
    struct bp_failure failure;
    assert_int_equal(bp_driver_execute(driver, NULL, NULL, do_work, &work, &failure),
                     BP_E_QUEUE_TIMEOUT);
    assert_int_equal(work.tries, 0);
    assert_int_equal(bpi_sim_fault(stage.sim, "up"), 0);
    assert_int_equal(bp_driver_verify(driver, 4 * BP_USEC_PER_SECOND, &failure), 0);
    assert_int_equal(bp_driver_execute(driver, NULL, NULL, do_work, &work, &failure), 0);
    end_driver(driver);
    stage_down(&stage);
}

static void wrong_settings_are_refused(void **state)
{
    (void)state;
    struct stage stage = stage_up((struct bpi_sim_options){0});
    struct bp_driver *driver;
    struct bp_driver_config config = driver_config(&stage);
    config.bolt.url = "nonsense";
    assert_int_equal(bp_driver_new(&config, &driver), BP_E_CONFIG);
    config = driver_config(&stage);
    config.pool.links_max = 0;
    assert_int_equal(bp_driver_new(&config, &driver), BP_E_CONFIG);
    config.struct_size = 1;
    assert_int_equal(bp_driver_new(&config, &driver), BP_E_CONFIG);
    assert_int_equal(bp_driver_new(NULL, &driver), BP_E_USAGE);
    assert_int_equal(bp_driver_free(NULL, 0), 0);
    stage_down(&stage);
}

static void a_forked_child_is_turned_away(void **state)
{
    (void)state;
    struct stage stage = stage_up((struct bpi_sim_options){0});
    struct bp_driver *driver = stage_driver(&stage);
    struct bp_lease *lease;
    struct bp_bolt *bolt = borrow(driver, &lease);
    pid_t child = fork();
    if (child == 0) {
        struct bp_lease *own;
        struct bp_bolt *own_bolt;
        struct bp_result *result;
        bool right = bp_driver_acquire(driver, NULL, 0, &own, &own_bolt) == BP_E_USAGE &&
                     bp_bolt_run(bolt, "RETURN 1", NULL, NULL, &result) == BP_E_USAGE &&
                     bp_driver_release(lease) == BP_E_USAGE && bp_lease_bolt(lease) == NULL;
        _exit(right ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(one_int(bolt, "RETURN 3"), 3);
    assert_int_equal(bp_driver_release(lease), 0);
    end_driver(driver);
    stage_down(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lease_holds_a_connection),
        cmocka_unit_test(whatever_is_left_is_cleaned),
        cmocka_unit_test(a_dead_idle_connection_is_not_handed_out),
        cmocka_unit_test(a_lost_connection_is_closed),
        cmocka_unit_test(a_wrong_password_is_told_at_once),
        cmocka_unit_test(work_is_committed),
        cmocka_unit_test(work_that_gives_up_is_rolled_back),
        cmocka_unit_test(what_may_pass_is_tried_again),
        cmocka_unit_test(a_commit_in_doubt_is_not_repeated),
        cmocka_unit_test(a_database_that_is_none_is_told_though_begin_is_not_waited_for),
        cmocka_unit_test(one_query_hands_out_its_rows),
        cmocka_unit_test(an_event_loop_borrows_too),
        cmocka_unit_test(many_threads_share_few_connections),
        cmocka_unit_test(a_lease_may_outlive_the_driver),
        cmocka_unit_test(a_server_that_is_away_is_waited_for),
        cmocka_unit_test(wrong_settings_are_refused),
        cmocka_unit_test(a_forked_child_is_turned_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
