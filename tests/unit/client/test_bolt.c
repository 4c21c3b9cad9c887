/* One connection of the client against a simulated server: what is asked comes back, failures leave it usable or say that
 * it isn't, and a caller's mistakes cost an error.
 */
#include "support.h"

#include <sys/wait.h>

static void a_query_comes_back(void **state)
{
    (void)state;
    struct stage stage = stage_up((struct bpi_sim_options){0});
    struct bp_bolt *bolt = stage_open(&stage);
    struct bp_result *result = run(bolt, "RETURN 1 AS one, 'a' AS letter");
    assert_int_equal(bp_result_columns(result), 2);
    assert_int_equal(bp_result_column_index(result, "letter"), 1);
    assert_int_equal(bp_result_column_index(result, "none"), -1);
    struct bp_text name = bp_result_column(result, 0);
    assert_int_equal(name.size, 3);
    assert_memory_equal(name.data, "one", 3);
    const struct bp_value *row;
    assert_int_equal(bp_result_next(result, &row), 1);
    assert_int_equal(row[0].as.integer, 1);
    assert_int_equal(row[1].type, BP_TYPE_STRING);
    assert_memory_equal(row[1].as.text.data, "a", 1);
    assert_int_equal(bp_result_next(result, &row), 0);
    assert_int_equal(bp_result_next(result, &row), 0);
    struct bp_summary summary;
    assert_int_equal(bp_result_summary(result, &summary), 0);
    assert_string_equal(summary.query_type, "r");
    assert_memory_equal(summary.database.data, "neo4j", 5);
    assert_int_equal(summary.meta.type, BP_TYPE_MAP);
    assert_int_equal(bp_result_free(result), 0);
    assert_string_equal(bp_bolt_server(bolt), "Neo4j/5.26.30");
    assert_int_equal(bp_bolt_get_state(bolt), BP_BOLT_READY);
    bp_bolt_close(bolt);
    stage_down(&stage);
}

static void every_version_is_spoken(void **state)
{
    (void)state;
    bpi_bolt_versions all = bpi_bolt_versions_all();
    for (bpi_bolt_versions left = all; left != 0;) {
        bpi_bolt_version version = bpi_bolt_versions_newest(left);
        left &= ~bpi_bolt_versions_of(version);
        struct bpi_sim_user user = {"ann", "secret12"};
        struct stage stage = stage_up((struct bpi_sim_options){
            .versions = bpi_bolt_versions_of(version), .users = &user, .user_count = 1});
        struct bp_bolt_config config = stage_config(&stage);
        config.user = "ann";
        config.password = "secret12";
        struct bp_bolt *bolt = open_bolt(&config);
        char text[8];
        assert_string_equal(bp_bolt_version(bolt),
                            bpi_bolt_version_format(version, text, sizeof(text)));
        assert_int_equal(one_int(bolt, "RETURN 7"), 7);
        assert_int_equal(bp_bolt_begin(bolt, NULL), 0);
        assert_int_equal(one_int(bolt, "RETURN 8"), 8);
        assert_int_equal(bp_bolt_commit(bolt), 0);
        struct bp_result *result;
        assert_int_equal(
            bp_bolt_run(bolt, "RETURN 1 /* sim: fail=Neo.ClientError.Statement.SyntaxError */",
                        NULL, NULL, &result),
            BP_E_SERVER_FAILURE);
        assert_string_equal(bp_bolt_failure(bolt)->code, "Neo.ClientError.Statement.SyntaxError");
        assert_int_equal(one_int(bolt, "RETURN 9"), 9);
        bp_bolt_close(bolt);
        stage_down(&stage);
    }
}

static void a_wrong_password_says_so(void **state)
{
    (void)state;
    struct bpi_sim_user user = {"ann", "secret12"};
    struct stage stage = stage_up((struct bpi_sim_options){.users = &user, .user_count = 1});
    struct bp_bolt_config config = stage_config(&stage);
    config.user = "ann";
    config.password = "not it";
    struct bp_bolt *bolt;
    struct bp_failure failure;
    assert_int_equal(bp_bolt_open(&config, &bolt, &failure), BP_E_SERVER_FAILURE);
    assert_string_equal(failure.code, "Neo.ClientError.Security.Unauthorized");
    assert_int_equal(failure.retryable, 0);
    assert_int_equal(bp_bolt_open(&config, &bolt, NULL), BP_E_SERVER_FAILURE);
    config.password = "secret12";
    bp_bolt_close(open_bolt(&config));
    stage_down(&stage);
}

static void another_user_logs_on(void **state)
{
    (void)state;
    struct bpi_sim_user users[] = {{"ann", "secret12"}, {"bob", "secret34"}};
    struct stage stage = stage_up((struct bpi_sim_options){.users = users, .user_count = 2});
    struct bp_bolt_config config = stage_config(&stage);
    char url[128];
    snprintf(url, sizeof(url), "bolt://ann:secret12@%s", stage.url + strlen("bolt://"));
    config.url = url;
    struct bp_bolt *bolt = open_bolt(&config);
    for (int i = 0; i < 3; i++) {
        const struct bpi_sim_user *user = &users[i % 2];
        struct bp_login login = {.user = user->name, .credentials = user->password};
        assert_int_equal(bp_bolt_logon(bolt, &login), 0);
        struct bp_result *result = run(bolt, "SHOW CURRENT USER");
        const struct bp_value *row;
        assert_int_equal(bp_result_next(result, &row), 1);
        assert_int_equal(row[0].as.text.size, 3);
        assert_memory_equal(row[0].as.text.data, user->name, 3);
        /* Not in the middle of a result. */
        assert_int_equal(bp_bolt_logon(bolt, &login), BP_E_USAGE);
        assert_int_equal(bp_result_free(result), 0);
    }
    struct bp_login wrong = {.user = "bob", .credentials = "no"};
    assert_int_equal(bp_bolt_logon(bolt, &wrong), BP_E_SERVER_FAILURE);
    assert_string_equal(bp_bolt_failure(bolt)->code, "Neo.ClientError.Security.Unauthorized");
    assert_int_equal(bp_bolt_get_state(bolt), BP_BOLT_LOST);
    struct bp_result *result;
    assert_int_equal(bp_bolt_run(bolt, "RETURN 1", NULL, NULL, &result), BP_E_SERVER_LOST);
    bp_bolt_close(bolt);
    stage_down(&stage);
}

/* A batch that doesn't fit evenly, and one that does. */
static void many_rows_come_in_batches(void **state)
{
    (void)state;
    struct stage stage = stage_up((struct bpi_sim_options){0});
    static const int64_t sizes[] = {1, 7, 100, 1000, -1};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct bp_bolt_config config = stage_config(&stage);
        config.fetch_size = sizes[i];
        struct bp_bolt *bolt = open_bolt(&config);
        int64_t rows, sum;
        struct bp_result *result = run(bolt, "UNWIND range(1, 1400) AS x RETURN x");
        assert_int_equal(bp_bolt_get_state(bolt), BP_BOLT_STREAMING);
        assert_int_equal(drain(result, &rows, &sum), 0);
        assert_int_equal(rows, 1400);
        assert_int_equal(sum, 1400 * 1401 / 2);
        assert_int_equal(bp_bolt_get_state(bolt), BP_BOLT_READY);
        assert_int_equal(bp_result_free(result), 0);
        bp_bolt_close(bolt);
    }
    stage_down(&stage);
}

static void rows_of_any_size_are_read(void **state)
{
    (void)state;
    struct stage stage = stage_up((struct bpi_sim_options){0});
    struct bp_bolt *bolt = stage_open(&stage);
    static const unsigned sizes[] = {0, 65000, 65520, 65530, 65535, 65536, 200000, 3000000};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char query[128];
        snprintf(query, sizeof(query), "MATCH (n) RETURN n /* sim: rows=3 bytes=%u */", sizes[i]);
        struct bp_result *result = run(bolt, query);
        const struct bp_value *row;
        int rows = 0;
        int got;
        while ((got = bp_result_next(result, &row)) == 1) {
            rows++;
            size_t columns = bp_result_columns(result);
            if (sizes[i] > 0) {
                const struct bp_value *last = &row[columns - 1];
                assert_true(last->type == BP_TYPE_STRING || last->type == BP_TYPE_BYTES);
                assert_int_equal(last->as.text.size, sizes[i]);
            }
        }
        assert_int_equal(got, 0);
        assert_int_equal(rows, 3);
        assert_int_equal(bp_result_free(result), 0);
    }
    bp_bolt_close(bolt);
    stage_down(&stage);
}

static void a_row_above_the_limit_ends_the_connection(void **state)
{
    (void)state;
    struct stage stage = stage_up((struct bpi_sim_options){0});
    struct bp_bolt_config config = stage_config(&stage);
    config.message_max = 100000;
    struct bp_bolt *bolt = open_bolt(&config);
    struct bp_result *result = run(bolt, "MATCH (n) RETURN n /* sim: rows=1 bytes=200000 */");
    const struct bp_value *row;
    assert_int_equal(bp_result_next(result, &row), BP_E_SIZE);
    assert_int_equal(bp_result_next(result, &row), BP_E_SIZE);
    assert_int_equal(bp_bolt_get_state(bolt), BP_BOLT_LOST);
    assert_int_equal(bp_result_free(result), BP_E_SIZE);
    bp_bolt_close(bolt);
    stage_down(&stage);
}

static void an_unread_result_is_kept_for_later(void **state)
{
    (void)state;
    struct stage stage = stage_up((struct bpi_sim_options){0});
    struct bp_bolt_config config = stage_config(&stage);
    config.fetch_size = 10;
    struct bp_bolt *bolt = open_bolt(&config);
    struct bp_result *first = run(bolt, "UNWIND range(1, 55) AS x RETURN x");
    const struct bp_value *row;
    assert_int_equal(bp_result_next(first, &row), 1);
    assert_int_equal(one_int(bolt, "RETURN 2"), 2);
    int64_t rows, sum;
    assert_int_equal(drain(first, &rows, &sum), 0);
    assert_int_equal(rows, 54);
    assert_int_equal(sum, 55 * 56 / 2 - 1);
    struct bp_summary summary;
    assert_int_equal(bp_result_summary(first, &summary), 0);
    assert_int_equal(bp_result_free(first), 0);
    bp_bolt_close(bolt);
    stage_down(&stage);
}

static void two_results_of_a_transaction_are_read_in_turns(void **state)
{
    (void)state;
    struct stage stage = stage_up((struct bpi_sim_options){0});
    struct bp_bolt_config config = stage_config(&stage);
    config.fetch_size = 5;
    struct bp_bolt *bolt = open_bolt(&config);
    assert_int_equal(bp_bolt_begin(bolt, NULL), 0);
    struct bp_result *a = run(bolt, "UNWIND range(1, 40) AS x RETURN x");
    struct bp_result *b = run(bolt, "UNWIND range(101, 130) AS x RETURN x");
    const struct bp_value *row;
    for (int64_t i = 0; i < 40; i++) {
        assert_int_equal(bp_result_next(a, &row), 1);
        assert_int_equal(row[0].as.integer, 1 + i);
        assert_int_equal(bp_result_next(b, &row), i < 30 ? 1 : 0);
        if (i < 30) {
            assert_int_equal(row[0].as.integer, 101 + i);
        }
    }
    assert_int_equal(bp_result_next(a, &row), 0);
    assert_int_equal(bp_bolt_get_state(bolt), BP_BOLT_TRANSACTION);
    assert_int_equal(bp_bolt_commit(bolt), 0);
    assert_int_equal(bp_result_next(a, &row), 0);
    assert_int_equal(bp_result_free(a), 0);
    assert_int_equal(bp_result_free(b), 0);
    bp_bolt_close(bolt);
    stage_down(&stage);
}

/* A server runs a query as its rows are asked for, so what wasn't read must run on before a commit. */
static void what_is_unread_runs_to_its_end_before_a_commit(void **state)
{
    (void)state;
    struct stage stage = stage_up((struct bpi_sim_options){0});
    struct bp_bolt_config config = stage_config(&stage);
    config.fetch_size = 100;
    struct bp_bolt *bolt = open_bolt(&config);
    const struct bp_value *row;
    struct bp_summary summary;
    const char *query = "UNWIND range(1, 5000) AS x RETURN x";
    assert_int_equal(bp_bolt_begin(bolt, NULL), 0);
    struct bp_result *kept = run(bolt, query);
    assert_int_equal(bp_result_next(kept, &row), 1);
    assert_int_equal(bp_result_free(run(bolt, query)), 0);
    assert_int_equal(bp_bolt_commit(bolt), 0);
    assert_int_equal(bp_result_next(kept, &row), 0);
    assert_int_equal(bp_result_summary(kept, &summary), 0);
    assert_string_equal(summary.query_type, "r"); /* told at its very end only */
    assert_int_equal(bp_result_free(kept), 0);
    /* One that fails there fails the commit. */
    query =
        "UNWIND range(1, 5000) AS x RETURN x /* sim: fail_at_row=2000 fail=Neo.ClientError.A.B */";
    for (int is_freed = 0; is_freed < 2; is_freed++) {
        assert_int_equal(bp_bolt_begin(bolt, NULL), 0);
        struct bp_result *result = run(bolt, query);
        if (is_freed) {
            assert_int_equal(bp_result_free(result), 0);
            assert_int_equal(bp_result_free(result), BP_E_USAGE);
        }
        assert_int_equal(bp_bolt_commit(bolt), BP_E_SERVER_FAILURE);
        assert_string_equal(bp_bolt_failure(bolt)->code, "Neo.ClientError.A.B");
        assert_int_equal(bp_bolt_rollback(bolt), 0);
        if (!is_freed) {
            assert_int_equal(bp_result_free(result), BP_E_SERVER_FAILURE);
        }
    }
    assert_int_equal(one_int(bolt, "RETURN 3"), 3);
    bp_bolt_close(bolt);
    stage_down(&stage);
}

static void what_is_unread_is_dropped_by_a_rollback(void **state)
{
    (void)state;
    struct stage stage = stage_up((struct bpi_sim_options){0});
    struct bp_bolt *bolt = stage_open(&stage);
    const struct bp_value *row;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(bp_bolt_begin(bolt, NULL), 0);
        struct bp_result *kept = run(bolt, "UNWIND range(1, 5000) AS x RETURN x");
        assert_int_equal(bp_result_next(kept, &row), 1);
        assert_int_equal(bp_result_free(run(bolt, "UNWIND range(1, 5000) AS x RETURN x")), 0);
        assert_int_equal(i == 0 ? bp_bolt_rollback(bolt) : bp_bolt_reset(bolt, 0), 0);
        assert_int_equal(bp_result_next(kept, &row), BP_E_USAGE);
        bp_result_free(kept);
        assert_int_equal(one_int(bolt, "RETURN 3"), 3);
    }
    bp_bolt_close(bolt);
    struct bpi_sim_stats stats;
    bpi_sim_stats(stage.sim, &stats);
    assert_int_equal(stats.closed_illegal, 0);
    assert_true(stats.records < 5000);
    stage_down(&stage);
}

static void a_failed_transaction_waits_for_its_rollback(void **state)
{
    (void)state;
    struct stage stage = stage_up((struct bpi_sim_options){0});
    struct bp_bolt *bolt = stage_open(&stage);
    struct bp_result *result;
    assert_int_equal(bp_bolt_rollback(bolt), BP_E_USAGE);
    assert_int_equal(bp_bolt_commit(bolt), BP_E_USAGE);
    assert_int_equal(bp_bolt_begin(bolt, NULL), 0);
    assert_int_equal(bp_bolt_begin(bolt, NULL), BP_E_USAGE);
    assert_int_equal(
        bp_bolt_run(bolt,
                    "RETURN 1 /* sim: fail=Neo.TransientError.Transaction.DeadlockDetected */",
                    NULL, NULL, &result),
        BP_E_SERVER_FAILURE);
    assert_int_equal(bp_bolt_failure(bolt)->retryable, 1);
    assert_int_equal(bp_bolt_get_state(bolt), BP_BOLT_FAILED);
    assert_int_equal(bp_bolt_run(bolt, "RETURN 1", NULL, NULL, &result), BP_E_SERVER_FAILURE);
    assert_int_equal(bp_bolt_commit(bolt), BP_E_SERVER_FAILURE);
    assert_string_equal(bp_bolt_failure(bolt)->code,
                        "Neo.TransientError.Transaction.DeadlockDetected");
    assert_int_equal(bp_bolt_rollback(bolt), 0);
    assert_int_equal(one_int(bolt, "RETURN 4"), 4);
    bp_bolt_close(bolt);
    stage_down(&stage);
}

static void a_failure_among_the_rows_comes_behind_them(void **state)
{
    (void)state;
    struct stage stage = stage_up((struct bpi_sim_options){0});
    struct bp_bolt *bolt = stage_open(&stage);
    const char *query = "UNWIND range(1, 9) AS x RETURN x /* sim: fail_at_row=4 "
                        "fail=Neo.ClientError.Statement.ArithmeticError */";
    int64_t rows, sum;
    struct bp_result *result = run(bolt, query);
    assert_int_equal(drain(result, &rows, &sum), BP_E_SERVER_FAILURE);
    assert_int_equal(rows, 4);
    assert_string_equal(bp_bolt_failure(bolt)->code, "Neo.ClientError.Statement.ArithmeticError");
    assert_int_equal(bp_result_free(result), BP_E_SERVER_FAILURE);
    assert_int_equal(one_int(bolt, "RETURN 5"), 5);
    /* The same while it is read for another query's sake. */
    result = run(bolt, query);
    assert_int_equal(one_int(bolt, "RETURN 6"), 6);
    assert_int_equal(drain(result, &rows, &sum), BP_E_SERVER_FAILURE);
    assert_int_equal(rows, 4);
    assert_int_equal(bp_result_free(result), BP_E_SERVER_FAILURE);
    bp_bolt_close(bolt);
    stage_down(&stage);
}

static void a_result_that_is_closed_early_leaves_the_rest(void **state)
{
    (void)state;
    struct stage stage = stage_up((struct bpi_sim_options){0});
    struct bp_bolt_config config = stage_config(&stage);
    config.fetch_size = 50;
    struct bp_bolt *bolt = open_bolt(&config);
    for (int i = 0; i < 3; i++) {
        struct bp_result *result = run(bolt, "UNWIND range(1, 100000) AS x RETURN x");
        const struct bp_value *row;
        for (int read = 0; read < i * 49; read++) {
            assert_int_equal(bp_result_next(result, &row), 1);
        }
        assert_int_equal(bp_result_free(result), 0);
        assert_int_equal(one_int(bolt, "RETURN 6"), 6);
    }
    struct bpi_sim_stats stats;
    bpi_sim_stats(stage.sim, &stats);
    assert_true(stats.records < 1000);
    bp_bolt_close(bolt);
    stage_down(&stage);
}

static void bookmarks_are_replaced_by_newer_ones(void **state)
{
    (void)state;
    struct stage stage = stage_up((struct bpi_sim_options){0});
    struct bp_bolt *bolt = stage_open(&stage);
    struct bp_bookmarks *bookmarks;
    assert_int_equal(bp_bookmarks_new(&bookmarks), 0);
    struct bp_tx_options options = BP_TX_OPTIONS_INIT;
    options.bookmarks = bookmarks;
    char first[256] = "", second[256] = "";
    assert_int_equal(bp_bolt_begin(bolt, &options), 0);
    assert_int_equal(one_int(bolt, "RETURN 1"), 1);
    assert_int_equal(bp_bolt_commit(bolt), 0);
    assert_int_equal(bp_bookmarks_count(bookmarks), 1);
    assert_true(bp_bookmarks_get(bookmarks, 0, first, sizeof(first)) > 0);
    struct bp_result *result;
    assert_int_equal(bp_bolt_run(bolt, "RETURN 1", NULL, &options, &result), 0);
    assert_int_equal(bp_bookmarks_add(bookmarks, "from elsewhere"), 0);
    assert_int_equal(bp_result_free(result), 0);
    assert_int_equal(bp_bookmarks_count(bookmarks), 2);
    assert_int_equal(bp_bookmarks_get(bookmarks, 2, second, sizeof(second)), BP_E_USAGE);
    assert_true(bp_bookmarks_get(bookmarks, 0, second, sizeof(second)) > 0);
    assert_string_equal(second, "from elsewhere");
    assert_true(bp_bookmarks_get(bookmarks, 1, second, sizeof(second)) > 0);
    assert_string_not_equal(first, second);
    /* One that is cut says how long it is. */
    char cut[4];
    assert_int_equal(bp_bookmarks_get(bookmarks, 0, cut, sizeof(cut)), 14);
    assert_string_equal(cut, "fro");
    bp_bookmarks_free(bookmarks);
    bp_bolt_close(bolt);
    stage_down(&stage);
}

static void a_reset_mends_everything(void **state)
{
    (void)state;
    struct stage stage = stage_up((struct bpi_sim_options){0});
    struct bp_bolt *bolt = stage_open(&stage);
    struct bp_result *result;
    const struct bp_value *row;
    assert_int_equal(bp_bolt_reset(bolt, 0), 0);
    result = run(bolt, "UNWIND range(1, 100000) AS x RETURN x");
    assert_int_equal(bp_bolt_reset(bolt, 0), 0);
    assert_int_equal(bp_result_next(result, &row), BP_E_USAGE);
    assert_int_equal(bp_result_free(result), 0);
    assert_int_equal(bp_bolt_begin(bolt, NULL), 0);
    assert_int_equal(
        bp_bolt_run(bolt, "RETURN 1 /* sim: fail=Neo.ClientError.A.B */", NULL, NULL, &result),
        BP_E_SERVER_FAILURE);
    assert_int_equal(bp_bolt_reset(bolt, 0), 0);
    assert_int_equal(bp_bolt_get_state(bolt), BP_BOLT_READY);
    assert_int_equal(one_int(bolt, "RETURN 7"), 7);
    bp_bolt_close(bolt);
    stage_down(&stage);
}

static void a_deadline_cuts_the_connection(void **state)
{
    (void)state;
    struct stage stage = stage_up((struct bpi_sim_options){0});
    struct bp_bolt *bolt = stage_open(&stage);
    struct bp_tx_options options = BP_TX_OPTIONS_INIT;
    struct bp_result *result;
    options.deadline_us = 1;
    assert_int_equal(bp_bolt_run(bolt, "RETURN 1", NULL, &options, &result), UV_ETIMEDOUT);
    assert_int_equal(bp_bolt_get_state(bolt), BP_BOLT_READY);
    bp_usec begin_us = bpi_clock_now_us();
    options.deadline_us = begin_us + 100000;
    assert_int_equal(bp_bolt_run(bolt, "RETURN 1 /* sim: hang=1 */", NULL, &options, &result),
                     UV_ETIMEDOUT);
    assert_true(bpi_clock_now_us() - begin_us >= 100000);
    assert_true(bpi_clock_now_us() - begin_us < 1100000);
    assert_int_equal(bp_bolt_failure(bolt)->retryable, 0);
    assert_int_equal(bp_bolt_get_state(bolt), BP_BOLT_LOST);
    bp_bolt_close(bolt);
    stage_down(&stage);
}

static void silence_is_bounded(void **state)
{
    (void)state;
    struct stage stage = stage_up((struct bpi_sim_options){0});
    struct bp_bolt_config config = stage_config(&stage);
    config.answer_timeout_us = 150000;
    struct bp_bolt *bolt = open_bolt(&config);
    struct bp_result *result;
    bp_usec begin_us = bpi_clock_now_us();
    assert_int_equal(bp_bolt_run(bolt, "RETURN 1 /* sim: hang=1 */", NULL, NULL, &result),
                     UV_ETIMEDOUT);
    assert_true(bpi_clock_now_us() - begin_us < 1150000);
    assert_int_equal(bp_bolt_run(bolt, "RETURN 1", NULL, NULL, &result), BP_E_SERVER_LOST);
    bp_bolt_close(bolt);
    assert_int_equal(bpi_sim_fault(stage.sim, "hang"), 0);
    config.connect_timeout_us = 200000;
    struct bp_failure failure;
    assert_int_equal(bp_bolt_open(&config, &bolt, &failure), UV_ETIMEDOUT);
    assert_int_equal(failure.retryable, 0);
    stage_down(&stage);
}

struct canceller {
    struct bp_bolt *bolt;
};

static void *cancel_soon(void *argument)
{
    struct canceller *canceller = argument;
    usleep(100000);
    bp_bolt_cancel(canceller->bolt);
    return NULL;
}

static void another_thread_cuts_a_wait_short(void **state)
{
    (void)state;
    struct stage stage = stage_up((struct bpi_sim_options){0});
    struct bp_bolt *bolt = stage_open(&stage);
    struct canceller canceller = {bolt};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, cancel_soon, &canceller), 0);
    struct bp_result *result;
    assert_int_equal(bp_bolt_run(bolt, "RETURN 1 /* sim: hang=1 */", NULL, NULL, &result),
                     BP_E_SERVER_LOST);
    pthread_join(thread, NULL);
    bp_bolt_close(bolt);
    stage_down(&stage);
}

static void *use_it_too(void *argument)
{
    struct canceller *canceller = argument;
    struct bp_result *result;
    usleep(100000);
    int error = bp_bolt_run(canceller->bolt, "RETURN 1", NULL, NULL, &result);
    bp_bolt_cancel(canceller->bolt);
    return (void *)(intptr_t)error;
}

static void a_second_thread_is_turned_away(void **state)
{
    (void)state;
    struct stage stage = stage_up((struct bpi_sim_options){0});
    struct bp_bolt *bolt = stage_open(&stage);
    struct canceller canceller = {bolt};
    pthread_t thread;
    void *error;
    assert_int_equal(pthread_create(&thread, NULL, use_it_too, &canceller), 0);
    struct bp_result *result;
    assert_int_equal(bp_bolt_run(bolt, "RETURN 1 /* sim: hang=1 */", NULL, NULL, &result),
                     BP_E_SERVER_LOST);
    pthread_join(thread, &error);
    assert_int_equal((intptr_t)error, BP_E_USAGE);
    bp_bolt_close(bolt);
    stage_down(&stage);
}

static void what_was_closed_says_so(void **state)
{
    (void)state;
    struct stage stage = stage_up((struct bpi_sim_options){0});
    struct bp_bolt *bolt = stage_open(&stage);
    struct bp_result *result = run(bolt, "UNWIND range(1, 5000) AS x RETURN x");
    bp_bolt_close(bolt);
    const struct bp_value *row;
    struct bp_result *other;
    assert_int_equal(bp_result_next(result, &row), BP_E_USAGE);
    assert_int_equal(bp_bolt_run(bolt, "RETURN 1", NULL, NULL, &other), BP_E_USAGE);
    assert_int_equal(bp_bolt_reset(bolt, 0), BP_E_USAGE);
    assert_int_equal(bp_bolt_failure(bolt)->error, BP_E_USAGE);
    assert_int_equal(bp_bolt_get_state(bolt), BP_BOLT_LOST);
    assert_string_equal(bp_bolt_version(bolt), "");
    bp_bolt_close(bolt);
    bp_bolt_cancel(bolt);
    assert_int_equal(bp_result_free(result), 0);
    assert_int_equal(bp_result_free(result), BP_E_USAGE);
    assert_int_equal(bp_result_next(result, &row), BP_E_USAGE);
    assert_int_equal(bp_result_columns(result), 0);
    struct bp_summary summary;
    assert_int_equal(bp_result_summary(result, &summary), BP_E_USAGE);
    bp_bolt_close(NULL);
    assert_int_equal(bp_result_free(NULL), 0);
    stage_down(&stage);
}

static void a_forked_child_leaves_the_connection_alone(void **state)
{
    (void)state;
    struct stage stage = stage_up((struct bpi_sim_options){0});
    struct bp_bolt *bolt = stage_open(&stage);
    pid_t child = fork();
    if (child == 0) {
        struct bp_result *result;
        int error = bp_bolt_run(bolt, "RETURN 1", NULL, NULL, &result);
        bp_bolt_close(bolt);
        _exit(error == BP_E_USAGE ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(one_int(bolt, "RETURN 8"), 8);
    bp_bolt_close(bolt);
    stage_down(&stage);
}

static void mistakes_are_told_and_cost_nothing(void **state)
{
    (void)state;
    struct stage stage = stage_up((struct bpi_sim_options){0});
    struct bp_bolt *bolt = stage_open(&stage);
    struct bp_result *result;
    struct bp_params *params;
    assert_int_equal(bp_bolt_run(bolt, NULL, NULL, NULL, &result), BP_E_USAGE);
    assert_int_equal(bp_bolt_run(bolt, "RETURN '\xff'", NULL, NULL, &result), BP_E_UTF8);
    assert_int_equal(bp_bolt_run(bolt, "RETURN 1", NULL, NULL, NULL), BP_E_USAGE);
    assert_int_equal(bp_params_new(&params), 0);
    assert_int_equal(bp_params_list(params, "open"), 0);
    assert_int_equal(bp_bolt_run(bolt, "RETURN 1", params, NULL, &result), BP_E_USAGE);
    bp_params_free(params);
    struct bp_tx_options options = BP_TX_OPTIONS_INIT;
    options.struct_size = 3;
    assert_int_equal(bp_bolt_begin(bolt, &options), BP_E_USAGE);
    static const char *const filters[] = {"HINT", NULL};
    options = (struct bp_tx_options)BP_TX_OPTIONS_INIT;
    options.notifications_disabled = filters;
    options.notifications_disabled_count = 2;
    assert_int_equal(bp_bolt_begin(bolt, &options), BP_E_USAGE);
    options.notifications_disabled = NULL;
    options.notifications_min_severity = "\xff";
    assert_int_equal(bp_bolt_run(bolt, "RETURN 1", NULL, &options, &result), BP_E_USAGE);
    options = (struct bp_tx_options)BP_TX_OPTIONS_INIT;
    options.timeout_ms = -2;
    assert_int_equal(bp_bolt_begin(bolt, &options), BP_E_USAGE);
    assert_int_equal(one_int(bolt, "RETURN 9"), 9);
    bp_bolt_close(bolt);

    struct bp_bolt_config config = stage_config(&stage);
    struct bp_failure failure;
    config.url = "http://127.0.0.1:1";
    assert_int_equal(bp_bolt_open(&config, &bolt, &failure), BP_E_CONFIG);
    config.url = "bolt://127.0.0.1:1";
    assert_int_equal(bp_bolt_open(&config, &bolt, &failure), UV_ECONNREFUSED);
    assert_int_equal(failure.retryable, 1);
    assert_non_null(strstr(failure.text, "127.0.0.1:1"));
    config.url = "bolt://no-such-host.invalid";
    assert_true(bp_bolt_open(&config, &bolt, &failure) < 0);
    config.url = stage.url;
    config.tls_ca_file = "/nonexistent";
    assert_int_equal(bp_bolt_open(&config, &bolt, &failure), BP_E_CONFIG);
    config.tls = BP_TLS_VERIFY;
    assert_int_equal(bp_bolt_open(&config, &bolt, &failure), BP_E_CONFIG);
    assert_non_null(strstr(failure.text, "/nonexistent"));
    config.tls_ca_file = NULL;
    config.tls_ca_pem = "no certificate";
    assert_int_equal(bp_bolt_open(&config, &bolt, &failure), BP_E_CONFIG);
    /* The server doesn't speak TLS. */
    config.tls_ca_pem = NULL;
    config.tls = BP_TLS_ANY;
    assert_int_equal(bp_bolt_open(&config, &bolt, &failure), BP_E_TLS);
    stage_down(&stage);
}

/* The answers of a whole conversation are cut off after each of their bytes. */
static void a_server_that_dies_at_any_byte_is_an_error(void **state)
{
    (void)state;
    struct stage stage = stage_up((struct bpi_sim_options){0});
    struct bp_bolt_config config = stage_config(&stage);
    config.fetch_size = 2;
    bool whole = false;
    unsigned cut = 1;
    for (; !whole; cut++) {
        char script[32];
        snprintf(script, sizeof(script), "drop=%u", cut);
        assert_int_equal(bpi_sim_fault(stage.sim, script), 0);
        struct bp_bolt *bolt;
        int error = bp_bolt_open(&config, &bolt, NULL);
        if (error != 0) {
            assert_true(error == BP_E_SERVER_LOST || error == BP_E_HANDSHAKE);
            continue;
        }
        struct bp_result *result = NULL;
        int64_t rows, sum;
        error = bp_bolt_begin(bolt, NULL);
        if (error == 0) {
            error = bp_bolt_run(bolt, "UNWIND range(1, 5) AS x RETURN x", NULL, NULL, &result);
        }
        if (error == 0) {
            error = drain(result, &rows, &sum);
            assert_true(error != 0 || (rows == 5 && sum == 15));
        }
        int freed = bp_result_free(result);
        assert_true(freed == 0 || freed == error);
        if (error == 0) {
            error = bp_bolt_commit(bolt);
        }
        assert_true(error == 0 || error == BP_E_SERVER_LOST);
        whole = error == 0;
        assert_int_equal(bp_bolt_get_state(bolt), whole ? BP_BOLT_READY : BP_BOLT_LOST);
        bp_bolt_close(bolt);
    }
    assert_true(cut > 100);
    stage_down(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_query_comes_back),
        cmocka_unit_test(every_version_is_spoken),
        cmocka_unit_test(a_wrong_password_says_so),
        cmocka_unit_test(another_user_logs_on),
        cmocka_unit_test(many_rows_come_in_batches),
        cmocka_unit_test(rows_of_any_size_are_read),
        cmocka_unit_test(a_row_above_the_limit_ends_the_connection),
        cmocka_unit_test(an_unread_result_is_kept_for_later),
        cmocka_unit_test(two_results_of_a_transaction_are_read_in_turns),
        cmocka_unit_test(what_is_unread_runs_to_its_end_before_a_commit),
        cmocka_unit_test(what_is_unread_is_dropped_by_a_rollback),
        cmocka_unit_test(a_failed_transaction_waits_for_its_rollback),
        cmocka_unit_test(a_failure_among_the_rows_comes_behind_them),
        cmocka_unit_test(a_result_that_is_closed_early_leaves_the_rest),
        cmocka_unit_test(bookmarks_are_replaced_by_newer_ones),
        cmocka_unit_test(a_reset_mends_everything),
        cmocka_unit_test(a_deadline_cuts_the_connection),
        cmocka_unit_test(silence_is_bounded),
        cmocka_unit_test(another_thread_cuts_a_wait_short),
        cmocka_unit_test(a_second_thread_is_turned_away),
        cmocka_unit_test(what_was_closed_says_so),
        cmocka_unit_test(a_forked_child_leaves_the_connection_alone),
        cmocka_unit_test(mistakes_are_told_and_cost_nothing),
        cmocka_unit_test(a_server_that_dies_at_any_byte_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
