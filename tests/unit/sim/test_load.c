/* Shows that the load generator counts what really happened, against simulated servers that fail, freeze
 * and die: every commit that it was told of is in the server's ledger once, none is there that it calls
 * failed, and its numbers add up. Real sockets; each test starts its own servers.
 */
#include "../net/certificate.h"
#include "base/clock.h"
#include "cli/bench_workload.h"
#include "cli/load.h"
#include "sim/server.h"

#include <boltpool/error.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const struct bpi_sim_user users[] = {{"neo4j", "secret12"}};
static const struct bpi_load_param id_param[] = {{.name = "id", .kind = BPI_LOAD_UNIQUE}};

static const struct bpi_load_entry read_entry = {.query = "RETURN 1 /* sim: rows=7 */",
                                                 .mode_read = true};
static const struct bpi_load_entry write_entry = {
    .query = "CREATE (:T {id: $id})", .params = id_param, .param_count = 1, .is_explicit = true};
static const struct bpi_load_entry auto_write_entry = {
    .query = "CREATE (:T {id: $id})", .params = id_param, .param_count = 1};

static struct bpi_sim *sim_started(struct bpi_sim_options options)
{
    struct bpi_sim *sim = NULL;
    char why[256] = "";
    options.users = users;
    options.user_count = 1;
    if (bpi_sim_start(&options, &sim, why, sizeof(why)) != 0) {
        fail_msg("can't start: %s", why);
    }
    return sim;
}

static struct bpi_url url_of(struct bpi_sim *sim)
{
    struct bpi_url url;
    char text[128];
    char why[256];
    snprintf(text, sizeof(text), "bolt://neo4j:secret12@127.0.0.1:%u", (unsigned)bpi_sim_port(sim));
    assert_int_equal(bpi_url_parse(text, &url, why, sizeof(why)), 0);
    return url;
}

static struct bpi_load *load_started(const struct bpi_load_options *options)
{
    struct bpi_load *load = NULL;
    char why[256] = "";
    if (bpi_load_start(options, &load, why, sizeof(why)) != 0) {
        fail_msg("can't start: %s", why);
    }
    return load;
}

/* Waits for the end and takes the results. */
static void load_finish(struct bpi_load *load, struct bpi_load_results *ret_results)
{
    assert_true(bpi_load_wait(load, 60 * BP_USEC_PER_SECOND));
    assert_true(bpi_load_is_done(load));
    assert_int_equal(bpi_load_snapshot(load, ret_results), 0);
    assert_true(ret_results->done);
    bpi_load_free(load);
}

static uint64_t errors_of(const struct bpi_load_results *results, const char *code)
{
    for (size_t i = 0; i < results->error_count; i++) {
        if (strcmp(results->errors[i].code, code) == 0) {
            return results->errors[i].count;
        }
    }
    return 0;
}

/* What became of each unique id. */
#define OUTCOMES_MAX 20000
struct outcomes {
    atomic_uchar ends[OUTCOMES_MAX]; /* 1 + enum bpi_load_end */
    atomic_uint twice;
};

static void on_end(void *user, const struct bpi_load_outcome *outcome)
{
    struct outcomes *outcomes = user;
    assert_true(outcome->unique < OUTCOMES_MAX);
    if (atomic_exchange(&outcomes->ends[outcome->unique], (unsigned char)(outcome->end + 1)) != 0) {
        atomic_fetch_add(&outcomes->twice, 1);
    }
}

/* No acknowledged commit is lost, no failed one was done, nothing was done twice. */
static void outcomes_check(struct outcomes *outcomes,
                           struct bpi_sim *sim,
                           const struct bpi_load_results *results)
{
    uint64_t counts[3] = {0};
    uint64_t doubled;
    assert_int_equal(atomic_load(&outcomes->twice), 0);
    for (size_t i = 0; i < OUTCOMES_MAX; i++) {
        unsigned char end = atomic_load(&outcomes->ends[i]);
        char id[32];
        if (end == 0) {
            continue;
        }
        counts[end - 1]++;
        snprintf(id, sizeof(id), "%zu", i);
        uint64_t committed = bpi_sim_committed(sim, id);
        if (end == BPI_LOAD_COMMITTED + 1) {
            assert_int_equal(committed, 1);
        } else if (end == BPI_LOAD_FAILED + 1) {
            assert_int_equal(committed, 0);
        }
    }
    bpi_sim_committed_count(sim, &doubled);
    assert_int_equal(doubled, 0);
    assert_int_equal(counts[BPI_LOAD_COMMITTED], results->committed);
    assert_int_equal(counts[BPI_LOAD_FAILED], results->failed);
    assert_int_equal(counts[BPI_LOAD_UNKNOWN], results->unknown);
}

static void a_number_of_transactions_is_met_exactly(void **state)
{
    (void)state;
    static const bpi_bolt_version versions[] = {BPI_BOLT(4, 2), BPI_BOLT(4, 4), BPI_BOLT(5, 4),
                                                BPI_BOLT(5, 8), BPI_BOLT(6, 1)};
    for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
        struct bpi_sim *sim = sim_started(
            (struct bpi_sim_options){.versions = bpi_bolt_versions_range(0, versions[i])});
        struct bpi_url url = url_of(sim);
        struct bpi_load_results results;
        const struct bpi_load_entry entries[] = {read_entry, write_entry, auto_write_entry};
        struct bpi_load_options options = {
            .urls = &url,
            .url_count = 1,
            .entries = entries,
            .entry_count = 3,
            .client_count = 7,
            .thread_count = 3,
            .transactions = 700,
            .fetch_size = 3,
            .seed = i,
        };
        load_finish(load_started(&options), &results);
        struct bpi_sim_stats stats;
        bpi_sim_stats(sim, &stats);
        assert_int_equal(results.committed, 700);
        assert_int_equal(results.failed + results.unknown + results.retries, 0);
        /* On a busy machine the first clients may do it all before the last thread has begun. */
        assert_in_range(results.connects, 1, 7);
        assert_int_equal(results.latency.count, 700);
        assert_int_equal(results.connect.count, results.connects);
        assert_int_equal(stats.transactions_committed, 700);
        assert_int_equal(stats.connections_total, results.connects);
        assert_int_equal(results.records, 7 * results.entries[0].committed);
        assert_int_equal(bpi_sim_committed_count(sim, NULL),
                         results.entries[1].committed + results.entries[2].committed);
        for (size_t k = 0; k < 3; k++) {
            assert_in_range(results.entries[k].committed, 150, 320);
        }
        bpi_load_results_done(&results);
        bpi_sim_stop(sim);
    }
}

static void a_new_connection_for_each_transaction(void **state)
{
    (void)state;
    struct bpi_sim *sim = sim_started((struct bpi_sim_options){0});
    struct bpi_url url = url_of(sim);
    struct bpi_load_results results;
    struct bpi_load_options options = {
        .urls = &url,
        .url_count = 1,
        .entries = &read_entry,
        .entry_count = 1,
        .client_count = 2,
        .transactions = 50,
        .reconnect = true,
    };
    load_finish(load_started(&options), &results);
    struct bpi_sim_stats stats;
    bpi_sim_stats(sim, &stats);
    assert_int_equal(results.committed, 50);
    assert_int_equal(results.connects, 50);
    assert_int_equal(stats.logons, 50);
    bpi_load_results_done(&results);
    bpi_sim_stop(sim);
}

static void failures_are_counted_by_code_and_end_the_transaction(void **state)
{
    (void)state;
    struct bpi_sim *sim = sim_started((struct bpi_sim_options){
        .faults = "fail=Neo.TransientError.Transaction.DeadlockDetected@0.2"});
    struct bpi_url url = url_of(sim);
    struct bpi_load_results results;
    static struct outcomes outcomes;
    memset(&outcomes, 0, sizeof(outcomes));
    struct bpi_load_options options = {
        .urls = &url,
        .url_count = 1,
        .entries = &write_entry,
        .entry_count = 1,
        .client_count = 4,
        .thread_count = 2,
        .transactions = 1000,
        .on_end = on_end,
        .on_end_user = &outcomes,
    };
    load_finish(load_started(&options), &results);
    assert_int_equal(results.committed + results.failed, 1000);
    assert_in_range(results.failed, 140, 260);
    assert_int_equal(errors_of(&results, "Neo.TransientError.Transaction.DeadlockDetected"),
                     results.failed);
    assert_int_equal(results.unknown, 0);
    assert_int_equal(results.connects, 4);
    outcomes_check(&outcomes, sim, &results);
    bpi_load_results_done(&results);
    bpi_sim_stop(sim);
}

static void retries_bring_transient_failures_through(void **state)
{
    (void)state;
    struct bpi_sim *sim = sim_started((struct bpi_sim_options){
        .faults = "fail=Neo.TransientError.Transaction.DeadlockDetected@0.2,"
                  "fail_commit=Neo.TransientError.Transaction.Outdated@0.1"});
    struct bpi_url url = url_of(sim);
    struct bpi_load_results results;
    static struct outcomes outcomes;
    memset(&outcomes, 0, sizeof(outcomes));
    const struct bpi_load_entry entries[] = {write_entry, auto_write_entry};
    struct bpi_load_options options = {
        .urls = &url,
        .url_count = 1,
        .entries = entries,
        .entry_count = 2,
        .client_count = 8,
        .thread_count = 2,
        .transactions = 1000,
        .retry = true,
        .retry_base_us = 500,
        .on_end = on_end,
        .on_end_user = &outcomes,
    };
    load_finish(load_started(&options), &results);
    assert_int_equal(results.committed, 1000);
    assert_int_equal(results.failed + results.unknown, 0);
    assert_in_range(results.retries, 250, 600);
    assert_int_equal(errors_of(&results, "Neo.TransientError.Transaction.DeadlockDetected") +
                         errors_of(&results, "Neo.TransientError.Transaction.Outdated"),
                     results.retries);
    outcomes_check(&outcomes, sim, &results);
    bpi_load_results_done(&results);
    bpi_sim_stop(sim);
}

static void other_failures_are_not_retried(void **state)
{
    (void)state;
    static const struct {
        const char *code;
        bool retried;
    } cases[] = {
        {"Neo.ClientError.Schema.ConstraintValidationFailed", false},
        {"Neo.DatabaseError.General.UnknownError", false},
        {"Neo.TransientError.Transaction.Terminated", false},
        {"Neo.ClientError.Cluster.NotALeader", true},
        {"Neo.TransientError.General.MemoryPoolOutOfMemoryError", true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char script[128];
        snprintf(script, sizeof(script), "fail=%s", cases[i].code);
        struct bpi_sim *sim = sim_started((struct bpi_sim_options){.faults = script});
        struct bpi_url url = url_of(sim);
        struct bpi_load_results results;
        struct bpi_load_options options = {
            .urls = &url,
            .url_count = 1,
            .entries = &write_entry,
            .entry_count = 1,
            .transactions = 1,
            .retry = true,
            .retry_base_us = 1000,
            .retry_time_max_us = 50 * BP_USEC_PER_MS,
        };
        load_finish(load_started(&options), &results);
        assert_int_equal(results.failed, 1);
        assert_int_equal(results.retries > 0, cases[i].retried);
        bpi_load_results_done(&results);
        bpi_sim_stop(sim);
    }
}

/* The server dies and comes back several times while transactions run. */
static void nothing_is_lost_or_doubled_when_the_server_dies(void **state)
{
    (void)state;
    struct bpi_sim *sim = sim_started((struct bpi_sim_options){.query_service = {.mean_us = 500},
                                                               .commit_service = {.mean_us = 500}});
    struct bpi_url url = url_of(sim);
    struct bpi_load_results results;
    static struct outcomes outcomes;
    memset(&outcomes, 0, sizeof(outcomes));
    const struct bpi_load_entry entries[] = {write_entry, auto_write_entry};
    struct bpi_load_options options = {
        .urls = &url,
        .url_count = 1,
        .entries = entries,
        .entry_count = 2,
        .client_count = 12,
        .thread_count = 2,
        .transactions = 3000,
        .retry = true,
        .retry_base_us = 2000,
        .on_end = on_end,
        .on_end_user = &outcomes,
    };
    struct bpi_load *load = load_started(&options);
    static const char *const scripts[] = {"down",   "up",        "drop_commit=3", "lose_commit=3",
                                          "refuse", "refuse=no", "down",          "up"};
    for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
        usleep(20000);
        assert_int_equal(bpi_sim_fault(sim, scripts[i]), 0);
    }
    load_finish(load, &results);
    assert_int_equal(results.committed + results.failed + results.unknown, 3000);
    assert_int_equal(results.failed, 0);
    assert_true(results.unknown >= 1);
    assert_true(results.retries > 0);
    outcomes_check(&outcomes, sim, &results);
    struct bpi_sim_stats stats;
    bpi_sim_stats(sim, &stats);
    assert_int_equal(stats.transactions_begun, stats.transactions_committed +
                                                   stats.transactions_rolled_back +
                                                   stats.transactions_open);
    bpi_load_results_done(&results);
    bpi_sim_stop(sim);
}

static void a_lost_commit_is_unknown_and_a_lost_read_is_tried_again(void **state)
{
    (void)state;
    struct bpi_sim *sim = sim_started((struct bpi_sim_options){0});
    struct bpi_url url = url_of(sim);
    struct bpi_load_results results;
    struct bpi_load_options options = {
        .urls = &url,
        .url_count = 1,
        .entries = &write_entry,
        .entry_count = 1,
        .transactions = 5,
        .retry = true,
        .retry_base_us = 1000,
    };
    assert_int_equal(bpi_sim_fault(sim, "drop_commit"), 0);
    load_finish(load_started(&options), &results);
    assert_int_equal(results.committed, 4);
    assert_int_equal(results.unknown, 1);
    assert_int_equal(results.retries, 0);
    assert_int_equal(errors_of(&results, "connection lost"), 1);
    bpi_load_results_done(&results);
    const struct bpi_load_entry drops = {.query = "RETURN 1", .mode_read = true};
    options.entries = &drops;
    assert_int_equal(bpi_sim_fault(sim, "drop_commit"), 0);
    load_finish(load_started(&options), &results);
    assert_int_equal(results.committed, 5);
    assert_int_equal(results.retries, 1);
    bpi_load_results_done(&results);
    bpi_sim_stop(sim);
}

static void without_retries_each_transaction_fails_for_itself(void **state)
{
    (void)state;
    struct bpi_sim *sim = sim_started((struct bpi_sim_options){.faults = "down"});
    struct bpi_url url = url_of(sim);
    struct bpi_load_results results;
    struct bpi_load_options options = {
        .urls = &url,
        .url_count = 1,
        .entries = &read_entry,
        .entry_count = 1,
        .client_count = 2,
        .transactions = 6,
        .pause_us = 1000,
    };
    load_finish(load_started(&options), &results);
    assert_int_equal(results.failed, 6);
    assert_int_equal(results.connects, 0);
    assert_int_equal(results.connects_failed, 6 + 2); /* and the first ones, ahead of any */
    assert_int_equal(errors_of(&results, "connect: ECONNREFUSED"), 8);
    bpi_load_results_done(&results);
    /* With a server beside it that lives, clients go on to that one. */
    struct bpi_sim *second = sim_started((struct bpi_sim_options){0});
    const struct bpi_url urls[] = {url, url_of(second)};
    options.urls = urls;
    options.url_count = 2;
    options.transactions = 20;
    load_finish(load_started(&options), &results);
    assert_int_equal(results.committed, 20);
    bpi_load_results_done(&results);
    bpi_sim_stop(second);
    bpi_sim_stop(sim);
}

static void a_wrong_password_is_told(void **state)
{
    (void)state;
    struct bpi_sim *sim = sim_started((struct bpi_sim_options){.login_failures_max = 1000});
    struct bpi_url url = url_of(sim);
    struct bpi_load_results results;
    struct bpi_load_options options = {
        .urls = &url,
        .url_count = 1,
        .user = "neo4j",
        .password = "wrong",
        .entries = &read_entry,
        .entry_count = 1,
        .transactions = 3,
        .retry = true,
        .pause_us = 1000,
    };
    load_finish(load_started(&options), &results);
    assert_int_equal(results.failed, 3);
    assert_int_equal(results.retries, 0);
    assert_int_equal(errors_of(&results, "Neo.ClientError.Security.Unauthorized"), 4);
    bpi_load_results_done(&results);
    bpi_sim_stop(sim);
}

static void a_silent_server_is_given_up_on(void **state)
{
    (void)state;
    struct bpi_sim *sim = sim_started((struct bpi_sim_options){.faults = "hang"});
    struct bpi_url url = url_of(sim);
    struct bpi_load_results results;
    struct bpi_load_options options = {
        .urls = &url,
        .url_count = 1,
        .entries = &write_entry,
        .entry_count = 1,
        .transactions = 1,
        .open_timeout_us = 50 * BP_USEC_PER_MS,
        .answer_timeout_us = 50 * BP_USEC_PER_MS,
        .pause_us = 1000,
    };
    load_finish(load_started(&options), &results);
    assert_int_equal(results.failed, 1);
    assert_int_equal(errors_of(&results, "connect: timeout"), 2);
    bpi_load_results_done(&results);
    assert_int_equal(bpi_sim_fault(sim, "hang=no"), 0);
    const struct bpi_load_entry hangs = {.query = "RETURN 1 /* sim: hang=1 */",
                                         .is_explicit = true};
    options.entries = &hangs;
    load_finish(load_started(&options), &results);
    assert_int_equal(results.failed, 1);
    assert_int_equal(errors_of(&results, "answer timeout"), 1);
    bpi_load_results_done(&results);
    bpi_sim_stop(sim);
}

static void time_ends_the_run_and_grace_what_hangs(void **state)
{
    (void)state;
    struct bpi_sim *sim = sim_started((struct bpi_sim_options){.query_service = {.mean_us = 1000}});
    struct bpi_url url = url_of(sim);
    struct bpi_load_results results;
    struct bpi_load_options options = {
        .urls = &url,
        .url_count = 1,
        .entries = &read_entry,
        .entry_count = 1,
        .client_count = 4,
        .thread_count = 2,
        .seconds = 0.3,
        .warmup_seconds = 0.2,
        .grace_us = 100 * BP_USEC_PER_MS,
    };
    bp_usec before_us = bpi_clock_now_us();
    load_finish(load_started(&options), &results);
    bp_usec span_us = bpi_clock_now_us() - before_us;
    assert_in_range(span_us, 500000, 900000);
    struct bpi_sim_stats stats;
    bpi_sim_stats(sim, &stats);
    assert_true(results.committed > 20 && results.committed < stats.transactions_committed);
    assert_int_equal(results.failed, 0);
    assert_true(results.elapsed_s > 0.29 && results.elapsed_s < 0.7);
    bpi_load_results_done(&results);

    struct bpi_load *load = load_started(&options);
    usleep(300000);
    assert_int_equal(bpi_sim_fault(sim, "freeze"), 0);
    load_finish(load, &results);
    assert_int_equal(results.failed, 4);
    assert_int_equal(errors_of(&results, "unfinished"), 4);
    bpi_load_results_done(&results);
    assert_int_equal(bpi_sim_fault(sim, "none"), 0);

    options.seconds = 0; /* until it is told to stop */
    options.warmup_seconds = 0;
    load = load_started(&options);
    usleep(50000);
    assert_false(bpi_load_is_done(load));
    assert_int_equal(bpi_load_snapshot(load, &results), 0);
    assert_int_equal(results.connections_now, 4);
    assert_false(results.done);
    bpi_load_results_done(&results);
    bpi_load_stop(load);
    bpi_load_stop(load);
    load_finish(load, &results);
    assert_int_equal(results.failed, 0);
    assert_int_equal(results.connections_now, 0);
    bpi_load_results_done(&results);

    load = load_started(&options); /* freed while it runs */
    usleep(20000);
    bpi_load_free(load);
    bpi_sim_stop(sim);
}

static void an_open_loop_counts_the_wait_of_a_stalled_server(void **state)
{
    (void)state;
    struct bpi_sim *sim = sim_started((struct bpi_sim_options){0});
    struct bpi_url url = url_of(sim);
    struct bpi_load_results results;
    struct bpi_load_options options = {
        .urls = &url,
        .url_count = 1,
        .entries = &read_entry,
        .entry_count = 1,
        .client_count = 4,
        .thread_count = 2,
        .seconds = 1,
        .rate = 400,
    };
    struct bpi_load *load = load_started(&options);
    usleep(300000);
    assert_int_equal(bpi_sim_fault(sim, "freeze"), 0);
    usleep(400000);
    assert_int_equal(bpi_sim_fault(sim, "freeze=no"), 0);
    load_finish(load, &results);
    assert_in_range(results.committed + results.backlog, 300, 500);
    /* Four tenths of all were due while nothing was answered; a closed loop would have seen four. */
    assert_true(bpi_histogram_quantile(&results.latency, 0.8) > 100000);
    assert_true(bpi_histogram_quantile(&results.latency, 0.2) < 50000);
    bpi_load_results_done(&results);

    options.rate = 1000; /* twice what one client can do */
    options.client_count = 1;
    options.seconds = 0.5;
    const struct bpi_load_entry slow = {.query = "RETURN 1 /* sim: ms=2 */"};
    options.entries = &slow;
    load_finish(load_started(&options), &results);
    assert_true(results.backlog > 100);
    bpi_load_results_done(&results);
    bpi_sim_stop(sim);
}

static void options_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    struct bpi_url url = {.host = "127.0.0.1", .port = 1};
    const struct bpi_load_options cases[] = {
        {.entries = &read_entry, .entry_count = 1},
        {.urls = &url, .url_count = 1},
        {.urls = &url,
         .url_count = 1,
         .entries = &read_entry,
         .entry_count = 1,
         .transactions = 1,
         .warmup_seconds = 1},
        {.urls = &url,
         .url_count = 1,
         .entries = &read_entry,
         .entry_count = 1,
         .client_count = 200000},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bpi_load *load = NULL;
        char why[256] = "";
        assert_int_equal(bpi_load_start(&cases[i], &load, why, sizeof(why)), BP_E_CONFIG);
        assert_true(why[0] != '\0');
        assert_null(load);
    }
    bpi_load_free(NULL);
}

static void a_workload_file_is_read_by_lines(void **state)
{
    (void)state;
    static struct bpi_bench_workload workload;
    char path[] = "/tmp/boltpool-test-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    dprintf(fd, "# comment\nRETURN 1\n\n3\tr\tMATCH (n) RETURN n\n1\tw\tCREATE (:T {id: $id})\n");
    char why[256] = "";
    assert_int_equal(bpi_bench_workload_read(&workload, path, false, true, why, sizeof(why)), 0);
    assert_int_equal(bpi_bench_workload_param(&workload, "id=unique"), 0);
    assert_int_equal(bpi_bench_workload_param(&workload, "k=random:-3:9"), 0);
    assert_int_equal(bpi_bench_workload_param(&workload, "n=42"), 0);
    assert_int_equal(bpi_bench_workload_param(&workload, "t=4x"), 0);
    assert_int_equal(bpi_bench_workload_param(&workload, "k=random:9:-3"), BP_E_CONFIG);
    assert_int_equal(bpi_bench_workload_param(&workload, "nothing"), BP_E_CONFIG);
    bpi_bench_workload_finish(&workload);
    assert_int_equal(workload.entry_count, 3);
    assert_string_equal(workload.entries[0].query, "RETURN 1");
    assert_false(workload.entries[0].mode_read);
    assert_true(workload.entries[1].mode_read);
    assert_int_equal(workload.entries[1].weight, 3);
    assert_string_equal(workload.entries[2].query, "CREATE (:T {id: $id})");
    assert_true(workload.entries[2].is_explicit);
    assert_int_equal(workload.entries[2].param_count, 4);
    assert_int_equal(workload.params[0].kind, BPI_LOAD_UNIQUE);
    assert_int_equal(workload.params[1].low, -3);
    assert_int_equal(workload.params[2].kind, BPI_LOAD_INT);
    assert_string_equal(workload.params[3].text, "4x");
    bpi_bench_workload_done(&workload);
    dprintf(fd, "0\tr\tRETURN 1\n");
    assert_int_equal(bpi_bench_workload_read(&workload, path, false, true, why, sizeof(why)),
                     BP_E_CONFIG);
    assert_non_null(strstr(why, ":6: the weight"));
    bpi_bench_workload_done(&workload);
    close(fd);
    unlink(path);
    assert_true(bpi_bench_workload_read(&workload, path, false, true, why, sizeof(why)) < 0);
}

static void the_scheme_decides_about_tls(void **state)
{
    (void)state;
    struct certificates certificates;
    certificates_make(&certificates);
    struct bpi_sim *sim = sim_started((struct bpi_sim_options){
        .tls_cert_file = certificates.chain_file, .tls_key_file = certificates.key_file});
    static const struct {
        bool tls, verify;
        bool trusted; /* the authority is known */
        bool works;
    } cases[] = {
        {true, true, true, true},
        {true, true, false, false},
        {true, false, false, true},
        {false, false, false, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bpi_url url = url_of(sim);
        struct bpi_load_results results;
        struct bpi_load_options options = {
            .urls = &url,
            .url_count = 1,
            .ca_file = cases[i].trusted ? certificates.ca_file : NULL,
            .entries = &write_entry,
            .entry_count = 1,
            .client_count = 3,
            .transactions = 12,
            .pause_us = 1000,
        };
        url.tls = cases[i].tls;
        url.tls_verify = cases[i].verify;
        load_finish(load_started(&options), &results);
        assert_int_equal(results.committed, cases[i].works ? 12 : 0);
        assert_int_equal(results.failed, cases[i].works ? 0 : 12);
        bpi_load_results_done(&results);
    }
    bpi_sim_stop(sim);
    certificates_remove(&certificates);
}

int main(void)
{
    alarm(120);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_number_of_transactions_is_met_exactly),
        cmocka_unit_test(a_new_connection_for_each_transaction),
        cmocka_unit_test(failures_are_counted_by_code_and_end_the_transaction),
        cmocka_unit_test(retries_bring_transient_failures_through),
        cmocka_unit_test(other_failures_are_not_retried),
        cmocka_unit_test(nothing_is_lost_or_doubled_when_the_server_dies),
        cmocka_unit_test(a_lost_commit_is_unknown_and_a_lost_read_is_tried_again),
        cmocka_unit_test(without_retries_each_transaction_fails_for_itself),
        cmocka_unit_test(a_wrong_password_is_told),
        cmocka_unit_test(a_silent_server_is_given_up_on),
        cmocka_unit_test(time_ends_the_run_and_grace_what_hangs),
        cmocka_unit_test(an_open_loop_counts_the_wait_of_a_stalled_server),
        cmocka_unit_test(options_that_do_not_fit_are_refused),
        cmocka_unit_test(the_scheme_decides_about_tls),
        cmocka_unit_test(a_workload_file_is_read_by_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
