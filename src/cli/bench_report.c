/* See bench_report.h. Latencies are printed in milliseconds. */
#include "cli/bench_report.h"

#include <boltpool/error.h>

#include <inttypes.h>
#include <string.h>

#include <jansson.h>

static double rate_of(uint64_t count, double seconds)
{
    return seconds > 0 ? (double)count / seconds : 0;
}

static double quantile_ms(const struct bpi_histogram *histogram, double quantile)
{
    return (double)bpi_histogram_quantile(histogram, quantile) / 1e3;
}

void bpi_bench_report_progress(FILE *out,
                               const struct bpi_load_results *before,
                               const struct bpi_load_results *now)
{
    double seconds = now->elapsed_s - before->elapsed_s;
    if (!(now->elapsed_s > 0)) {
        fprintf(out, "\rwarming up, %" PRIu32 " connections   ", now->connections_now);
    } else {
        fprintf(out,
                "\r%5.0f s %9.0f tx/s  p50 %.2f  p99 %.2f ms  failed %" PRIu64 "  retries %" PRIu64
                "  connections %" PRIu32 "   ",
                now->elapsed_s, rate_of(now->committed - before->committed, seconds),
                quantile_ms(&now->latency, 0.5), quantile_ms(&now->latency, 0.99),
                now->failed + now->unknown, now->retries, now->connections_now);
    }
    fflush(out);
}

static void latency_row(FILE *out,
                        const char *name,
                        uint64_t committed,
                        uint64_t failed,
                        uint64_t retries,
                        const struct bpi_histogram *latency)
{
    fprintf(out,
            "  %-28.28s %9" PRIu64 " %7" PRIu64 " %7" PRIu64
            " %9.2f %9.2f %9.2f %9.2f %9.2f %9.2f\n",
            name, committed, failed, retries, bpi_histogram_mean_us(latency) / 1e3,
            quantile_ms(latency, 0.5), quantile_ms(latency, 0.9), quantile_ms(latency, 0.99),
            quantile_ms(latency, 0.999), (double)latency->max_us / 1e3);
}

void bpi_bench_report_table(FILE *out,
                            const struct bpi_load_options *options,
                            const struct bpi_load_results *results)
{
    fprintf(out, "%" PRIu32 " clients on %" PRIu32 " threads, %.1f s, ", options->client_count,
            options->thread_count, results->elapsed_s);
    if (results->entries[0].stream != NULL) {
        fprintf(out, "%zu streams\n", results->entry_count);
    } else if (options->rate > 0) {
        fprintf(out, "%.0f transactions due each second\n", options->rate);
    } else {
        fprintf(out, "each begins when its last transaction ended\n");
    }
    fprintf(out,
            "\n%.1f transactions each second; %" PRIu64 " committed, %" PRIu64 " failed, %" PRIu64
            " unknown, %" PRIu64 " retries\n",
            rate_of(results->committed, results->elapsed_s), results->committed, results->failed,
            results->unknown, results->retries);
    fprintf(out,
            "%" PRIu64 " records; %" PRIu64 " connections opened in %.2f ms (p50), %.2f ms (p99), "
            "%" PRIu64 " attempts failed\n",
            results->records, results->connects, quantile_ms(&results->connect, 0.5),
            quantile_ms(&results->connect, 0.99), results->connects_failed);
    if (results->backlog > 0) {
        fprintf(out,
                "%" PRIu64 " transactions were due and never begun: the load is above what was "
                "served\n",
                results->backlog);
    }
    fprintf(out, "\n  %-28s %9s %7s %7s %9s %9s %9s %9s %9s %9s\n", "latency in ms", "committed",
            "failed", "retries", "mean", "p50", "p90", "p99", "p99.9", "max");
    for (size_t i = 0; i < results->entry_count; i++) {
        const struct bpi_load_entry_results *entry = &results->entries[i];
        latency_row(out, entry->name, entry->committed, entry->failed, entry->retries,
                    &entry->latency);
    }
    if (results->entry_count > 1) {
        latency_row(out, "all", results->committed, results->failed + results->unknown,
                    results->retries, &results->latency);
    }
    if (results->entries[0].stream != NULL) {
        bpi_bench_streams_table(out, results);
    }
    for (size_t i = 0; i < results->error_count; i++) {
        fprintf(out, "%s  %9" PRIu64 "  %s\n", i == 0 ? "\n  errors, retried ones too\n" : "",
                results->errors[i].count, results->errors[i].code);
    }
}

json_t *bpi_bench_latency_json(const struct bpi_histogram *histogram)
{
    return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f}", "mean",
                     bpi_histogram_mean_us(histogram) / 1e3, "p50", quantile_ms(histogram, 0.5),
                     "p90", quantile_ms(histogram, 0.9), "p99", quantile_ms(histogram, 0.99),
                     "p99.9", quantile_ms(histogram, 0.999), "max",
                     (double)histogram->max_us / 1e3);
}

static json_t *entries_json(const struct bpi_load_results *results)
{
    json_t *list = json_array();
    for (size_t i = 0; i < results->entry_count; i++) {
        const struct bpi_load_entry_results *entry = &results->entries[i];
        /* A query that isn't UTF-8 has no name in JSON. */
        json_t *name = json_string(entry->name);
        json_t *object =
            json_pack("{s:o, s:I, s:I, s:I, s:f, s:o}", "name", name != NULL ? name : json_null(),
                      "committed", (json_int_t)entry->committed, "failed",
                      (json_int_t)entry->failed, "retries", (json_int_t)entry->retries, "tps",
                      rate_of(entry->committed, results->elapsed_s), "latency_ms",
                      bpi_bench_latency_json(&entry->latency));
        if (json_array_append_new(list, object) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *errors_json(const struct bpi_load_results *results)
{
    json_t *object = json_object();
    for (size_t i = 0; i < results->error_count; i++) {
        json_t *count = json_integer((json_int_t)results->errors[i].count);
        if (json_object_set_new(object, results->errors[i].code, count) != 0) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

int bpi_bench_report_json(FILE *out,
                          const struct bpi_load_options *options,
                          const struct bpi_load_results *results,
                          bp_usec series_us)
{
    json_t *root = json_pack(
        "{s:I, s:I, s:f, s:f, s:I, s:I, s:I, s:I, s:f, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o, "
        "s:o}",
        "clients", (json_int_t)options->client_count, "threads", (json_int_t)options->thread_count,
        "rate", options->rate, "elapsed_s", results->elapsed_s, "committed",
        (json_int_t)results->committed, "failed", (json_int_t)results->failed, "unknown",
        (json_int_t)results->unknown, "retries", (json_int_t)results->retries, "tps",
        rate_of(results->committed, results->elapsed_s), "records", (json_int_t)results->records,
        "backlog", (json_int_t)results->backlog, "connects", (json_int_t)results->connects,
        "connects_failed", (json_int_t)results->connects_failed, "connect_ms",
        bpi_bench_latency_json(&results->connect), "latency_ms",
        bpi_bench_latency_json(&results->latency), "entries", entries_json(results), "streams",
        bpi_bench_streams_json(options, results, series_us), "errors", errors_json(results));
    if (root == NULL) {
        return BP_E_NO_MEMORY;
    }
    int failed = json_dumpf(root, out, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    json_decref(root);
    return failed != 0 || fputc('\n', out) == EOF ? BP_E_NO_MEMORY : 0;
}
