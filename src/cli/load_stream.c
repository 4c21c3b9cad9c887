/* What a stream counts: which transactions were due, what became of each, how long it waited. Those that were
 * due before the end of the warm-up count nowhere, however long they took.
 */
#include <boltpool/error.h>

#include "base/clock.h"
#include "cli/load_types.h"

#include <stdlib.h>
#include <string.h>

/* 24 bytes each; ten minutes at 16,000 a second. */
#define SAMPLES_MAX   ((size_t)10 * 1000 * 1000)
#define SAMPLES_FIRST ((size_t)4096)
#define REFUSED_FIRST (-12999)
#define REFUSED_LAST  (-12000)

int bpi_load_stream_results_new(struct bpi_load_stream_results **ret_results)
{
    *ret_results = calloc(1, sizeof(**ret_results));
    return *ret_results == NULL ? BP_E_NO_MEMORY : 0;
}

void bpi_load_stream_results_free(struct bpi_load_stream_results *results)
{
    if (results != NULL) {
        free(results->samples);
        free(results);
    }
}

static int samples_reserve(struct bpi_load_stream_results *results, size_t count)
{
    size_t capacity = results->sample_capacity == 0 ? SAMPLES_FIRST : results->sample_capacity;
    if (count > SAMPLES_MAX) {
        return BP_E_NO_MEMORY;
    }
    while (capacity < count) {
        capacity *= 2;
    }
    if (capacity > results->sample_capacity) {
        void *grown = realloc(results->samples, capacity * sizeof(*results->samples));
        if (grown == NULL) {
            return BP_E_NO_MEMORY;
        }
        results->samples = grown;
        results->sample_capacity = capacity;
    }
    return 0;
}

int bpi_load_stream_results_merge(struct bpi_load_stream_results *into,
                                  const struct bpi_load_stream_results *from,
                                  bool samples)
{
    into->offered += from->offered;
    into->good += from->good;
    into->late += from->late;
    into->refused += from->refused;
    into->broken += from->broken;
    into->timed_out += from->timed_out;
    into->backlog += from->backlog;
    into->no_client += from->no_client;
    into->refusals += from->refusals;
    into->services += from->services;
    into->service_us_sum += from->service_us_sum;
    into->samples_lost = into->samples_lost || from->samples_lost;
    bpi_histogram_merge(&into->wait, &from->wait);
    bpi_histogram_merge(&into->refusal, &from->refusal);
    if (!samples || from->sample_count == 0) {
        return 0;
    }
    if (samples_reserve(into, into->sample_count + from->sample_count) != 0) {
        return BP_E_NO_MEMORY;
    }
    memcpy(into->samples + into->sample_count, from->samples,
           from->sample_count * sizeof(*from->samples));
    into->sample_count += from->sample_count;
    return 0;
}

bool bpi_load_code_refuses(const char *code)
{
#define CODE_LOOK(name, number, retryable, neo4j_code, text)                                       \
    if ((number) >= REFUSED_FIRST && (number) <= REFUSED_LAST && strcmp(code, neo4j_code) == 0) {  \
        return true;                                                                               \
    }
    BP_ERRORS(CODE_LOOK)
#undef CODE_LOOK
    return false;
}

/* The results of the client's stream where its transaction is one that counts, else NULL. */
static struct bpi_load_stream_results *results_of(struct bpi_load_client *client)
{
    return client->started_us < client->worker->load->measure_us
               ? NULL
               : client->worker->results.entries[client->entry].stream;
}

void bpi_load_stream_attempt_failed(struct bpi_load_client *client, const char *code)
{
    struct bpi_load_stream_results *results = results_of(client);
    if (results == NULL || !bpi_load_code_refuses(code)) {
        return;
    }
    pthread_mutex_lock(&client->worker->mutex);
    results->refusals++;
    bpi_histogram_record(&results->refusal, bpi_clock_now_us() - client->attempt_us);
    pthread_mutex_unlock(&client->worker->mutex);
}

void bpi_load_stream_no_client(struct bpi_load_client *client)
{
    struct bpi_load_stream_results *results = results_of(client);
    if (results != NULL) {
        pthread_mutex_lock(&client->worker->mutex);
        results->no_client++;
        pthread_mutex_unlock(&client->worker->mutex);
    }
}

static enum bpi_load_fate
fate_of(const struct bpi_load_client *client, enum bpi_load_end end, bool began, bp_usec latency_us)
{
    bp_usec good_us = client->worker->load->options.entries[client->entry].good_us;
    if (!began) {
        return BPI_LOAD_TIMED_OUT;
    }
    if (end == BPI_LOAD_COMMITTED) {
        return good_us == 0 || latency_us <= good_us ? BPI_LOAD_GOOD : BPI_LOAD_LATE;
    }
    return bpi_load_code_refuses(client->failure) ? BPI_LOAD_REFUSED : BPI_LOAD_BROKEN;
}

static void fate_count(struct bpi_load_stream_results *results, enum bpi_load_fate fate)
{
    results->offered++;
    switch (fate) {
    case BPI_LOAD_GOOD:
        results->good++;
        break;
    case BPI_LOAD_LATE:
        results->late++;
        break;
    case BPI_LOAD_REFUSED:
        results->refused++;
        break;
    case BPI_LOAD_BROKEN:
        results->broken++;
        break;
    case BPI_LOAD_TIMED_OUT:
        results->timed_out++;
        break;
    }
}

static uint32_t clamp(bp_usec us)
{
    return us < UINT32_MAX ? (uint32_t)us : UINT32_MAX - 1;
}

void bpi_load_stream_ended(struct bpi_load_client *client, enum bpi_load_end end, bool began)
{
    struct bpi_load_worker *worker = client->worker;
    struct bpi_load_stream_results *results = results_of(client);
    if (results == NULL) {
        return;
    }
    bp_usec now_us = bpi_clock_now_us();
    bp_usec latency_us = now_us > client->started_us ? now_us - client->started_us : 0;
    bp_usec service_us = client->service_us;
    enum bpi_load_fate fate = fate_of(client, end, began, latency_us);
    struct bpi_load_sample sample = {
        .due_us = client->started_us - worker->load->measure_us,
        .latency_us = clamp(latency_us),
        .wait_us = BPI_LOAD_NO_WAIT,
        .fate = fate,
    };
    pthread_mutex_lock(&worker->mutex);
    fate_count(results, fate);
    if (began && end == BPI_LOAD_COMMITTED && service_us != UINT64_MAX) {
        bp_usec wait_us = latency_us > service_us ? latency_us - service_us : 0;
        sample.wait_us = clamp(wait_us);
        results->services++;
        results->service_us_sum += service_us;
        bpi_histogram_record(&results->wait, wait_us);
    }
    if (worker->load->options.samples) {
        if (samples_reserve(results, results->sample_count + 1) == 0) {
            results->samples[results->sample_count++] = sample;
        } else {
            results->samples_lost = true;
        }
    }
    pthread_mutex_unlock(&worker->mutex);
}
