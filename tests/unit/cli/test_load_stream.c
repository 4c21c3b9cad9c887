/* Shows that each transaction of a stream has one fate and that the server agrees: what is late, refused, broken
 * or never begun is counted as that, and waiting is told apart from service. Real sockets against simulated
 * servers; nothing here depends on how fast the machine is.
 */
#include "cli/bench_report.h"
#include "cli/load.h"
#include "sim/server.h"

#include <boltpool/error.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

#define MS BP_USEC_PER_MS

static struct bpi_sim *sim_started(struct bpi_sim_options options)
{
    struct bpi_sim *sim = NULL;
    char why[256] = "";
    options.service_report = true;
    if (bpi_sim_start(&options, &sim, why, sizeof(why)) != 0) {
        fail_msg("can't start: %s", why);
    }
    return sim;
}

/* Runs the streams to their end. */
static void run(struct bpi_sim *sim, struct bpi_load_options options, struct bpi_load_results *ret)
{
    struct bpi_url url;
    struct bpi_load *load = NULL;
    char text[128];
    char why[256];
    snprintf(text, sizeof(text), "bolt://127.0.0.1:%u", (unsigned)bpi_sim_port(sim));
    assert_int_equal(bpi_url_parse(text, &url, why, sizeof(why)), 0);
    options.urls = &url;
    options.url_count = 1;
    options.seed = 42;
    options.samples = true;
    options.grace_us = 30 * BP_USEC_PER_SECOND;
    options.retry_base_us = 5 * MS;
    if (bpi_load_start(&options, &load, why, sizeof(why)) != 0) {
        fail_msg("can't start: %s", why);
    }
    assert_true(bpi_load_wait(load, 60 * BP_USEC_PER_SECOND));
    assert_int_equal(bpi_load_snapshot(load, ret), 0);
    bpi_load_free(load);
}

/* Each has one fate, and a sample of it. */
static void fates_check(const struct bpi_load_stream_results *stream)
{
    uint64_t fates[BPI_LOAD_TIMED_OUT + 1] = {0};
    assert_int_equal(stream->offered, stream->good + stream->late + stream->refused +
                                          stream->broken + stream->timed_out + stream->backlog);
    assert_int_equal(stream->sample_count, stream->offered - stream->backlog);
    assert_false(stream->samples_lost);
    for (size_t i = 0; i < stream->sample_count; i++) {
        fates[stream->samples[i].fate]++;
    }
    assert_int_equal(fates[BPI_LOAD_GOOD], stream->good);
    assert_int_equal(fates[BPI_LOAD_LATE], stream->late);
    assert_int_equal(fates[BPI_LOAD_REFUSED], stream->refused);
    assert_int_equal(fates[BPI_LOAD_BROKEN], stream->broken);
    assert_int_equal(fates[BPI_LOAD_TIMED_OUT], stream->timed_out);
    assert_int_equal(stream->wait.count, stream->services);
}

static void streams_run_side_by_side_and_the_server_agrees(void **state)
{
    (void)state;
    static const struct bpi_load_entry entries[] = {
        {.name = "a", .query = "RETURN 1 /* sim: ms=2 */", .rate = 500, .mode_read = true},
        {.name = "b", .query = "RETURN 1", .rate = 200, .is_explicit = true, .client_count = 300},
    };
    for (uint32_t threads = 1; threads <= 3; threads++) {
        struct bpi_sim *sim = sim_started((struct bpi_sim_options){0});
        struct bpi_load_results results;
        run(sim,
            (struct bpi_load_options){
                .entries = entries, .entry_count = 2, .seconds = 0.5, .thread_count = threads},
            &results);
        uint64_t good = 0;
        for (size_t i = 0; i < 2; i++) {
            const struct bpi_load_stream_results *stream = results.entries[i].stream;
            fates_check(stream);
            assert_int_equal(stream->good + stream->backlog, stream->offered);
            assert_int_equal(stream->services, stream->good);
            good += stream->good;
        }
        /* Of 250 and 100 at the mean; the seed is fixed. */
        assert_in_range(results.entries[0].stream->offered, 200, 300);
        assert_in_range(results.entries[1].stream->offered, 65, 135);
        assert_true(results.entries[0].stream->service_us_sum >=
                    results.entries[0].stream->good * 2 * MS);
        struct bpi_sim_stats stats;
        bpi_sim_stats(sim, &stats);
        assert_int_equal(stats.transactions_committed, good);
        assert_int_equal(stats.connections_max, 400);
        assert_int_equal(results.committed, good);
        bpi_load_results_done(&results);
        bpi_sim_stop(sim);
    }
}

/* The file of samples has a line for each, with the fate that was counted. */
static void samples_file_check(const struct bpi_load_results *results)
{
    char path[] = "/tmp/boltpool-samples-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(bpi_bench_samples_write(path, results), 0);
    FILE *file = fdopen(fd, "r");
    assert_non_null(file);
    uint64_t good = 0;
    uint64_t late = 0;
    char name[64];
    char fate[16];
    unsigned long due_us;
    unsigned long latency_us;
    long wait_us;
    while (fscanf(file, "%63[^\t]%lu%lu%ld%15s\n", name, &due_us, &latency_us, &wait_us, fate) ==
           5) {
        assert_true(wait_us >= 0 && (unsigned long)wait_us <= latency_us);
        good += strcmp(fate, "good") == 0;
        late += strcmp(fate, "late") == 0;
    }
    assert_true(feof(file) != 0);
    assert_int_equal(late, results->entries[0].stream->late);
    assert_int_equal(good, results->entries[1].stream->good);
    fclose(file);
    unlink(path);
    assert_int_equal(bpi_bench_samples_write("/nowhere/samples", results), UV_ENOENT);
}

static void a_late_commit_is_not_good(void **state)
{
    (void)state;
    static const struct bpi_load_entry entries[] = {
        {.query = "RETURN 1 /* sim: ms=30 */", .rate = 200, .good_us = 20 * MS},
        {.query = "RETURN 1 /* sim: ms=1 */", .rate = 200, .good_us = 600 * BP_USEC_PER_SECOND},
    };
    struct bpi_sim *sim = sim_started((struct bpi_sim_options){0});
    struct bpi_load_results results;
    run(sim, (struct bpi_load_options){.entries = entries, .entry_count = 2, .seconds = 0.3},
        &results);
    const struct bpi_load_stream_results *stream = results.entries[0].stream;
    fates_check(stream);
    assert_true(stream->late > 0 && stream->good == 0);
    stream = results.entries[1].stream;
    fates_check(stream);
    assert_true(stream->good > 0 && stream->late == 0);
    samples_file_check(&results);
    bpi_load_results_done(&results);
    bpi_sim_stop(sim);
}

/* All are due within half a second and each takes a whole one: the last ones begin long before the first ends. */
static void an_arrival_does_not_wait_for_answers(void **state)
{
    (void)state;
    static const struct bpi_load_entry entry = {
        .query = "RETURN 1 /* sim: ms=1000 */", .rate = 200, .client_count = 200};
    struct bpi_sim *sim = sim_started((struct bpi_sim_options){0});
    struct bpi_load_results results;
    struct bpi_sim_stats stats;
    run(sim, (struct bpi_load_options){.entries = &entry, .entry_count = 1, .seconds = 0.5},
        &results);
    const struct bpi_load_stream_results *stream = results.entries[0].stream;
    fates_check(stream);
    bpi_sim_stats(sim, &stats);
    assert_int_equal(stream->no_client, 0);
    assert_int_equal(stream->good, stream->offered);
    assert_true(stream->offered > 1 && stats.workers_max > 1);
    bpi_load_results_done(&results);
    bpi_sim_stop(sim);
}

static void running_out_of_connections_is_told(void **state)
{
    (void)state;
    static const struct bpi_load_entry entry = {
        .query = "RETURN 1 /* sim: ms=50 */", .rate = 200, .client_count = 2};
    static const bp_usec timeouts_us[] = {0, 60 * MS};
    for (size_t i = 0; i < 2; i++) {
        struct bpi_sim *sim = sim_started((struct bpi_sim_options){0});
        struct bpi_load_results results;
        run(sim,
            (struct bpi_load_options){.entries = &entry,
                                      .entry_count = 1,
                                      .seconds = 0.5,
                                      .queue_timeout_us = timeouts_us[i]},
            &results);
        const struct bpi_load_stream_results *stream = results.entries[0].stream;
        fates_check(stream);
        /* Two connections can do no more than 20 of the 100. */
        assert_true(stream->no_client > 0);
        assert_true(stream->offered > 22 && stream->good <= 22);
        assert_true(i == 0 ? stream->timed_out == 0 : stream->timed_out > 0);
        assert_true(stream->timed_out + stream->backlog >= stream->offered - 22);
        bpi_load_results_done(&results);
        bpi_sim_stop(sim);
    }
}

static void refusals_are_told_apart_from_failures(void **state)
{
    (void)state;
    static const struct bpi_load_entry entries[] = {
        {.name = "refused",
         .query = "RETURN 1 /* sim: fail=Neo.TransientError.Request.NoThreadsAvailable */",
         .rate = 100},
        {.name = "broken",
         .query = "RETURN 1 /* sim: fail=Neo.ClientError.Statement.SyntaxError */",
         .rate = 100},
    };
    struct bpi_sim *sim = sim_started((struct bpi_sim_options){0});
    struct bpi_load_results results;
    run(sim, (struct bpi_load_options){.entries = entries, .entry_count = 2, .seconds = 0.3},
        &results);
    const struct bpi_load_stream_results *stream = results.entries[0].stream;
    fates_check(stream);
    assert_true(stream->refused > 0);
    assert_int_equal(stream->refused, stream->offered);
    assert_int_equal(stream->refusals, stream->refused);
    assert_int_equal(stream->refusal.count, stream->refused);
    stream = results.entries[1].stream;
    fates_check(stream);
    assert_true(stream->broken > 0);
    assert_int_equal(stream->broken, stream->offered);
    assert_int_equal(stream->refusals, 0);
    bpi_load_results_done(&results);
    bpi_sim_stop(sim);
}

static void a_retried_refusal_ends_well_and_is_counted(void **state)
{
    (void)state;
    static const struct bpi_load_entry entry = {
        .query = "RETURN 1", .rate = 200, .is_explicit = true, .retry = true};
    struct bpi_sim *sim = sim_started((struct bpi_sim_options){
        .faults = "fail=Neo.TransientError.Request.NoThreadsAvailable@0.5"});
    struct bpi_load_results results;
    run(sim, (struct bpi_load_options){.entries = &entry, .entry_count = 1, .seconds = 0.5},
        &results);
    const struct bpi_load_stream_results *stream = results.entries[0].stream;
    fates_check(stream);
    assert_true(stream->refusals > 0);
    assert_int_equal(stream->refused, 0);
    assert_int_equal(stream->good + stream->backlog, stream->offered);
    bpi_load_results_done(&results);
    bpi_sim_stop(sim);
}

/* What was due in the warm-up counts nowhere. */
static void the_warm_up_is_not_offered(void **state)
{
    (void)state;
    static const struct bpi_load_burst silence = {.factor = 0, .from_s = 0, .to_s = 100};
    static const struct bpi_load_entry entry = {
        .query = "RETURN 1", .rate = 300, .bursts = &silence, .burst_count = 1};
    struct bpi_sim *sim = sim_started((struct bpi_sim_options){0});
    struct bpi_load_results results;
    struct bpi_sim_stats stats;
    run(sim,
        (struct bpi_load_options){
            .entries = &entry, .entry_count = 1, .seconds = 0.1, .warmup_seconds = 0.2},
        &results);
    bpi_sim_stats(sim, &stats);
    assert_true(stats.transactions_committed > 0);
    assert_int_equal(results.entries[0].stream->offered, 0);
    fates_check(results.entries[0].stream);
    bpi_load_results_done(&results);
    bpi_sim_stop(sim);
}

static void what_excludes_streams_is_refused(void **state)
{
    (void)state;
    static const struct bpi_load_entry entries[] = {{.query = "RETURN 1", .rate = 1},
                                                    {.query = "RETURN 2"}};
    struct bpi_url url = {.host = "127.0.0.1", .port = 1};
    const struct bpi_load_options wrong[] = {
        {.entries = entries, .entry_count = 2},
        {.entries = entries, .entry_count = 1, .rate = 5},
        {.entries = entries, .entry_count = 1, .reconnect = true},
        {.entries = entries, .entry_count = 1, .transactions = 5},
        {.entries = entries + 1, .entry_count = 1, .samples = true},
        {.entries = entries + 1, .entry_count = 1, .queue_timeout_us = 5},
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct bpi_load_options options = wrong[i];
        struct bpi_load *load;
        char why[256];
        options.urls = &url;
        options.url_count = 1;
        assert_int_equal(bpi_load_start(&options, &load, why, sizeof(why)), BP_E_CONFIG);
    }
}

static void streams_whose_server_is_away_end_by_stop(void **state)
{
    (void)state;
    static const struct bpi_load_entry entry = {.query = "RETURN 1", .rate = 100};
    struct bpi_sim *sim = sim_started((struct bpi_sim_options){.faults = "hang"});
    struct bpi_url url;
    struct bpi_load *load = NULL;
    char text[128];
    char why[256];
    snprintf(text, sizeof(text), "bolt://127.0.0.1:%u", (unsigned)bpi_sim_port(sim));
    assert_int_equal(bpi_url_parse(text, &url, why, sizeof(why)), 0);
    struct bpi_load_options options = {
        .urls = &url, .url_count = 1, .entries = &entry, .entry_count = 1, .seconds = 1};
    assert_int_equal(bpi_load_start(&options, &load, why, sizeof(why)), 0);
    assert_false(bpi_load_wait(load, 50 * MS));
    bpi_load_stop(load);
    assert_true(bpi_load_wait(load, 60 * BP_USEC_PER_SECOND));
    bpi_load_free(load);
    bpi_sim_stop(sim);
}

int main(void)
{
    alarm(120);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_run_side_by_side_and_the_server_agrees),
        cmocka_unit_test(a_late_commit_is_not_good),
        cmocka_unit_test(an_arrival_does_not_wait_for_answers),
        cmocka_unit_test(running_out_of_connections_is_told),
        cmocka_unit_test(refusals_are_told_apart_from_failures),
        cmocka_unit_test(a_retried_refusal_ends_well_and_is_counted),
        cmocka_unit_test(the_warm_up_is_not_offered),
        cmocka_unit_test(what_excludes_streams_is_refused),
        cmocka_unit_test(streams_whose_server_is_away_end_by_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
