/* The report's part about streams: their counts and waits, and the same in spans of time. A span holds what
 * was due in it, whenever it ended, so that a queue shows where it made somebody wait.
 */
#include "cli/bench_report.h"

#include <boltpool/error.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include <jansson.h>

/* More are cut off: a day in tenths of a second. */
#define SPANS_MAX ((uint64_t)1000000)

static double quantile_ms(const struct bpi_histogram *histogram, double quantile)
{
    return (double)bpi_histogram_quantile(histogram, quantile) / 1e3;
}

static double service_mean_ms(const struct bpi_load_stream_results *stream)
{
    return stream->services == 0 ? 0
                                 : (double)stream->service_us_sum / (double)stream->services / 1e3;
}

void bpi_bench_streams_table(FILE *out, const struct bpi_load_results *results)
{
    fprintf(out, "\n  %-20s %8s %8s %6s %8s %7s %7s %8s %8s %8s %8s %9s\n", "streams", "offered",
            "good", "late", "refused", "broken", "unbegun", "no conn", "wait p50", "wait p99",
            "p99.9 ms", "refused in");
    for (size_t i = 0; i < results->entry_count; i++) {
        const struct bpi_load_entry_results *entry = &results->entries[i];
        const struct bpi_load_stream_results *stream = entry->stream;
        if (stream == NULL) {
            continue;
        }
        fprintf(out,
                "  %-20.20s %8" PRIu64 " %8" PRIu64 " %6" PRIu64 " %8" PRIu64 " %7" PRIu64
                " %7" PRIu64 " %8" PRIu64 " %8.2f %8.2f %8.2f %6.2f ms\n",
                entry->name, stream->offered, stream->good, stream->late, stream->refused,
                stream->broken, stream->timed_out + stream->backlog, stream->no_client,
                quantile_ms(&stream->wait, 0.5), quantile_ms(&stream->wait, 0.99),
                quantile_ms(&stream->wait, 0.999), quantile_ms(&stream->refusal, 0.5));
    }
}

int bpi_bench_samples_write(const char *path, const struct bpi_load_results *results)
{
    static const char *const fates[] = {
        [BPI_LOAD_GOOD] = "good",           [BPI_LOAD_LATE] = "late",
        [BPI_LOAD_REFUSED] = "refused",     [BPI_LOAD_BROKEN] = "broken",
        [BPI_LOAD_TIMED_OUT] = "timed_out",
    };
    FILE *file = fopen(path, "we");
    if (file == NULL) {
        return -errno;
    }
    for (size_t i = 0; i < results->entry_count; i++) {
        const struct bpi_load_entry_results *entry = &results->entries[i];
        for (size_t k = 0; entry->stream != NULL && k < entry->stream->sample_count; k++) {
            const struct bpi_load_sample *sample = &entry->stream->samples[k];
            int64_t wait_us = sample->wait_us == BPI_LOAD_NO_WAIT ? -1 : (int64_t)sample->wait_us;
            fprintf(file, "%s\t%" PRIu64 "\t%" PRIu32 "\t%" PRId64 "\t%s\n", entry->name,
                    sample->due_us, sample->latency_us, wait_us, fates[sample->fate]);
        }
    }
    return fclose(file) == 0 ? 0 : -errno;
}

static int sample_order(const void *a, const void *b)
{
    const struct bpi_load_sample *left = a;
    const struct bpi_load_sample *right = b;
    return left->due_us < right->due_us ? -1 : left->due_us > right->due_us;
}

static int wait_order(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a;
    uint32_t right = *(const uint32_t *)b;
    return left < right ? -1 : left > right;
}

/* The value below which the share of a sorted list lies, in ms; null for an empty one. */
static json_t *rank_json(const uint32_t *sorted, size_t count, double quantile)
{
    if (count == 0) {
        return json_null();
    }
    size_t rank = (size_t)(quantile * (double)count);
    return json_real((double)sorted[rank < count ? rank : count - 1] / 1e3);
}

/* One span; `waits` has room for all its samples. */
static json_t *
span_json(const struct bpi_load_sample *samples, size_t count, double at_s, uint32_t *waits)
{
    json_int_t fates[BPI_LOAD_TIMED_OUT + 1] = {0};
    size_t wait_count = 0;
    for (size_t i = 0; i < count; i++) {
        fates[samples[i].fate]++;
        if (samples[i].wait_us != BPI_LOAD_NO_WAIT) {
            waits[wait_count++] = samples[i].wait_us;
        }
    }
    qsort(waits, wait_count, sizeof(*waits), wait_order);
    return json_pack(
        "{s:f, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o}", "at_s", at_s, "offered",
        (json_int_t)count, "good", fates[BPI_LOAD_GOOD], "late", fates[BPI_LOAD_LATE], "refused",
        fates[BPI_LOAD_REFUSED], "broken", fates[BPI_LOAD_BROKEN], "timed_out",
        fates[BPI_LOAD_TIMED_OUT], "wait_ms_p50", rank_json(waits, wait_count, 0.5), "wait_ms_p99",
        rank_json(waits, wait_count, 0.99), "wait_ms_max", rank_json(waits, wait_count, 1));
}

static json_t *series_json(const struct bpi_load_stream_results *stream, bp_usec span_us)
{
    json_t *list = json_array();
    uint32_t *waits = malloc((stream->sample_count + 1) * sizeof(*waits));
    size_t first = 0;
    if (list == NULL || waits == NULL) {
        goto fail;
    }
    if (stream->sample_count > 0) {
        qsort(stream->samples, stream->sample_count, sizeof(*stream->samples), sample_order);
    }
    for (uint64_t span = 0; first < stream->sample_count && span < SPANS_MAX; span++) {
        size_t end = first;
        while (end < stream->sample_count && stream->samples[end].due_us < (span + 1) * span_us) {
            end++;
        }
        json_t *object =
            span_json(stream->samples + first, end - first, (double)(span * span_us) / 1e6, waits);
        if (json_array_append_new(list, object) != 0) {
            goto fail;
        }
        first = end;
    }
    free(waits);
    return list;
fail:
    free(waits);
    json_decref(list);
    return NULL;
}

static json_t *stream_json(const struct bpi_load_entry *options,
                           const struct bpi_load_entry_results *entry,
                           bp_usec span_us)
{
    const struct bpi_load_stream_results *stream = entry->stream;
    json_t *object = json_pack(
        "{s:s?, s:f, s:f, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:b, s:o, "
        "s:o, s:o}",
        "name", entry->name, "rate", options->rate, "good_ms", (double)options->good_us / 1e3,
        "offered", (json_int_t)stream->offered, "good", (json_int_t)stream->good, "late",
        (json_int_t)stream->late, "refused", (json_int_t)stream->refused, "broken",
        (json_int_t)stream->broken, "timed_out", (json_int_t)stream->timed_out, "backlog",
        (json_int_t)stream->backlog, "no_client", (json_int_t)stream->no_client, "refusals",
        (json_int_t)stream->refusals, "services", (json_int_t)stream->services, "service_s",
        (double)stream->service_us_sum / 1e6, "service_ms", service_mean_ms(stream), "samples_lost",
        (int)stream->samples_lost, "latency_ms", bpi_bench_latency_json(&entry->latency), "wait_ms",
        bpi_bench_latency_json(&stream->wait), "refusal_ms",
        bpi_bench_latency_json(&stream->refusal));
    if (object != NULL && span_us > 0 &&
        json_object_set_new(object, "series", series_json(stream, span_us)) != 0) {
        json_decref(object);
        return NULL;
    }
    return object;
}

json_t *bpi_bench_streams_json(const struct bpi_load_options *options,
                               const struct bpi_load_results *results,
                               bp_usec span_us)
{
    json_t *list = json_array();
    for (size_t i = 0; list != NULL && i < results->entry_count; i++) {
        if (results->entries[i].stream == NULL) {
            continue;
        }
        json_t *object = stream_json(&options->entries[i], &results->entries[i], span_us);
        if (json_array_append_new(list, object) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}
