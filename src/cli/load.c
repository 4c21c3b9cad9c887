/* See load.h: workers, their clocks, and the results of all put together.
 *
 * A worker is done when its last client is; the load is done when its last worker is. Letters to a worker
 * (start, stop, abort) are embedded in it, each posted at most once, and it lives until bpi_load_free().
 */
#include "cli/load.h"

#include <boltpool/error.h>

#include "base/clock.h"
#include "base/container.h"
#include "cli/load_types.h"
#include "net/tls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CLIENTS_MAX 100000 /* more sockets than one address has ports */
#define THREADS_MAX 256
/* Of a stream that names no number: at 1,000/s and 10 ms a tenth of them are in use. */
#define STREAM_CLIENTS 100

/* Counting */

void bpi_load_count_error(struct bpi_load_worker *worker, const char *code)
{
    struct bpi_load_results *results = &worker->results;
    if (bpi_clock_now_us() < worker->load->measure_us) {
        return;
    }
    pthread_mutex_lock(&worker->mutex);
    size_t i = 0;
    while (i < results->error_count && strcmp(results->errors[i].code, code) != 0) {
        i++;
    }
    if (i == results->error_count && i < BPI_LOAD_ERRORS_MAX) {
        const char *name = i == BPI_LOAD_ERRORS_MAX - 1 ? "other" : code;
        snprintf(results->errors[i].code, BPI_LOAD_CODE_SIZE, "%s", name);
        results->error_count++;
    }
    results->errors[i < BPI_LOAD_ERRORS_MAX ? i : BPI_LOAD_ERRORS_MAX - 1].count++;
    pthread_mutex_unlock(&worker->mutex);
}

bp_usec bpi_load_arrival_take(struct bpi_load_client *client)
{
    struct bpi_load_worker *worker = client->worker;
    return bpi_load_arrivals_take(&worker->arrivals[worker->load->streams ? client->entry : 0]);
}

static uint64_t backlog_of(struct bpi_load_arrivals *arrivals, bp_usec end_us)
{
    uint64_t backlog = 0;
    while (bpi_load_arrivals_take(arrivals) < end_us) {
        backlog++;
    }
    return backlog;
}

/* What was due before the end and nobody was free for. */
static void backlog_count(struct bpi_load_worker *worker)
{
    struct bpi_load *load = worker->load;
    bp_usec now_us = bpi_clock_now_us();
    bp_usec end_us = load->end_us != 0 && load->end_us < now_us ? load->end_us : now_us;
    if (!worker->open_loop || load->options.transactions > 0) {
        return;
    }
    pthread_mutex_lock(&worker->mutex);
    for (size_t i = 0; i < (load->streams ? load->options.entry_count : 1); i++) {
        uint64_t backlog = backlog_of(&worker->arrivals[i], end_us);
        struct bpi_load_stream_results *stream = worker->results.entries[i].stream;
        worker->results.backlog += backlog;
        if (stream != NULL) {
            stream->backlog += backlog;
            stream->offered += backlog;
        }
    }
    pthread_mutex_unlock(&worker->mutex);
}

void bpi_load_client_ended(struct bpi_load_worker *worker)
{
    struct bpi_load *load = worker->load;
    if (--worker->clients_active > 0) {
        return;
    }
    bpi_timer_clear(worker->loop, &worker->end_timer);
    bpi_timer_clear(worker->loop, &worker->grace_timer);
    backlog_count(worker);
    pthread_mutex_lock(&load->mutex);
    if (--load->workers_active == 0) {
        load->ended_us = bpi_clock_now_us();
        pthread_cond_broadcast(&load->ended);
    }
    pthread_mutex_unlock(&load->mutex);
}

/* On the worker's loop */

static void clients_abort(struct bpi_load_worker *worker)
{
    worker->ending = true;
    for (uint32_t i = 0; i < worker->client_count && worker->clients_active > 0; i++) {
        if (worker->clients[i].state != BPI_LOAD_STATE_DONE) {
            bpi_load_client_abort(&worker->clients[i]);
        }
    }
}

static void worker_end(struct bpi_load_worker *worker)
{
    if (worker->ending || worker->clients_active == 0) {
        return;
    }
    worker->ending = true;
    bpi_timer_set(worker->loop, &worker->grace_timer,
                  bpi_loop_now_us(worker->loop) + worker->load->options.grace_us);
    for (uint32_t i = 0; i < worker->client_count && worker->clients_active > 0; i++) {
        bpi_load_client_end(&worker->clients[i]);
    }
}

static void on_end_time(struct bpi_timer *timer)
{
    worker_end(BPI_CONTAINER(timer, struct bpi_load_worker, end_timer));
}

static void on_grace_time(struct bpi_timer *timer)
{
    clients_abort(BPI_CONTAINER(timer, struct bpi_load_worker, grace_timer));
}

static void stop_deliver(struct bpi_mail *mail)
{
    worker_end(BPI_CONTAINER(mail, struct bpi_load_worker, stop_mail));
}

static void abort_deliver(struct bpi_mail *mail)
{
    clients_abort(BPI_CONTAINER(mail, struct bpi_load_worker, abort_mail));
}

static void on_client_time(struct bpi_timer *timer)
{
    bpi_load_client_fire((
        struct bpi_load_client *)(void *)((char *)timer - offsetof(struct bpi_load_client, timer)));
}

static void end_timer_set(struct bpi_load_worker *worker)
{
    if (worker->load->end_us != 0) {
        bpi_timer_set(worker->loop, &worker->end_timer, worker->load->end_us);
    }
}

static void go_deliver(struct bpi_mail *mail)
{
    struct bpi_load_worker *worker = BPI_CONTAINER(mail, struct bpi_load_worker, go_mail);
    if (worker->ending || worker->clients_active == 0) {
        return;
    }
    end_timer_set(worker);
    for (uint32_t i = 0; i < worker->client_count; i++) {
        bpi_load_client_go(&worker->clients[i]);
    }
}

static void start_deliver(struct bpi_mail *mail)
{
    struct bpi_load_worker *worker = BPI_CONTAINER(mail, struct bpi_load_worker, start_mail);
    end_timer_set(worker);
    for (uint32_t i = 0; i < worker->client_count; i++) {
        bpi_load_client_start(&worker->clients[i]);
    }
}

/* Start */

/* Clocks of all workers begin at the same moment. */
static void clocks_start(struct bpi_load *load)
{
    bp_usec now_us = bpi_clock_now_us();
    bp_usec measure_us = now_us + (bp_usec)(load->options.warmup_seconds * 1e6);
    if (load->options.seconds > 0) {
        load->end_us = measure_us + (bp_usec)(load->options.seconds * 1e6);
    }
    load->measure_us = measure_us;
    for (uint32_t i = 0; i < load->worker_count; i++) {
        struct bpi_load_worker *worker = &load->workers[i];
        for (size_t k = 0; k < (load->streams ? load->options.entry_count : 1); k++) {
            bpi_load_arrivals_start(&worker->arrivals[k], now_us, measure_us);
        }
    }
}

void bpi_load_gathered(struct bpi_load *load)
{
    if (atomic_fetch_sub(&load->gathering, 1) > 1) {
        return;
    }
    /* All other loops wait: their arrivals are this one's until they get their letter. */
    clocks_start(load);
    for (uint32_t i = 0; i < load->worker_count; i++) {
        bpi_loop_post(load->workers[i].loop, &load->workers[i].go_mail);
    }
}

static int refuse(char *reterr_text, size_t size, const char *why)
{
    snprintf(reterr_text, size, "%s", why);
    return BP_E_CONFIG;
}

static int options_check(const struct bpi_load_options *options, char *reterr_text, size_t size)
{
    if (options->url_count == 0) {
        return refuse(reterr_text, size, "no server was named");
    }
    if (options->entry_count == 0) {
        return refuse(reterr_text, size, "there is no query");
    }
    if (options->client_count > CLIENTS_MAX || options->thread_count > THREADS_MAX) {
        return refuse(reterr_text, size, "more than 100000 clients or 256 threads");
    }
    if (!(options->seconds >= 0) || !(options->warmup_seconds >= 0) || !(options->rate >= 0)) {
        return refuse(reterr_text, size, "a time or the rate is negative");
    }
    if (options->transactions > 0 && options->warmup_seconds > 0) {
        return refuse(reterr_text, size,
                      "a number of transactions and a warm-up exclude each other");
    }
    if (options->fetch_size < -1) {
        return refuse(reterr_text, size, "the fetch size is below -1");
    }
    size_t streams = 0;
    for (size_t i = 0; i < options->entry_count; i++) {
        streams += options->entries[i].rate > 0;
    }
    if (streams > 0 && (streams < options->entry_count || options->rate > 0)) {
        return refuse(reterr_text, size, "streams exclude other queries and a rate of all");
    }
    if (streams > 0 && (options->reconnect || options->transactions > 0)) {
        return refuse(reterr_text, size,
                      "streams exclude a number of transactions and a connection for each");
    }
    if (streams == 0 && (options->queue_timeout_us > 0 || options->samples)) {
        return refuse(reterr_text, size, "a queue timeout and a time series are of streams");
    }
    return 0;
}

static uint32_t stream_clients(const struct bpi_load_entry *entry)
{
    return entry->client_count == 0 ? STREAM_CLIENTS : entry->client_count;
}

static void options_fill(struct bpi_load *load)
{
    struct bpi_load_options *options = &load->options;
    load->streams = options->entries[0].rate > 0;
    if (load->streams) {
        options->client_count = 0;
        for (size_t i = 0; i < options->entry_count; i++) {
            options->client_count += stream_clients(&options->entries[i]);
        }
    }
    options->client_count = options->client_count == 0 ? 1 : options->client_count;
    options->thread_count = options->thread_count == 0 ? 1 : options->thread_count;
    if (options->thread_count > options->client_count) {
        options->thread_count = options->client_count;
    }
    options->fetch_size = options->fetch_size == 0 ? 1000 : options->fetch_size;
    options->versions = options->versions == 0 ? bpi_bolt_versions_all() : options->versions;
    if (options->retry_base_us == 0) {
        options->retry_base_us = BP_USEC_PER_SECOND;
    }
    if (options->retry_time_max_us == 0) {
        options->retry_time_max_us = 30 * BP_USEC_PER_SECOND;
    }
    if (options->open_timeout_us == 0) {
        options->open_timeout_us = 5 * BP_USEC_PER_SECOND;
    }
    options->pause_us = options->pause_us == 0 ? 100 * BP_USEC_PER_MS : options->pause_us;
    options->grace_us = options->grace_us == 0 ? 10 * BP_USEC_PER_SECOND : options->grace_us;
    for (size_t i = 0; i < options->entry_count; i++) {
        load->weight_sum += options->entries[i].weight == 0 ? 1 : options->entries[i].weight;
    }
    atomic_init(&load->tickets, 0);
    atomic_init(&load->measure_us, UINT64_MAX);
    atomic_init(&load->gathering, options->client_count);
    atomic_init(&load->unique, options->unique_first == 0 ? 1 : options->unique_first);
}

static int tls_make(struct bpi_load *load, char *reterr_text, size_t size)
{
    int error = 0;
    for (size_t i = 0; i < load->options.url_count && error == 0; i++) {
        const struct bpi_url *url = &load->options.urls[i];
        struct bpi_tls_context **context = url->tls_verify ? &load->tls_verify : &load->tls_any;
        if (url->tls && *context == NULL) {
            error = bpi_tls_client_new(url->tls_verify, load->options.ca_file, context, reterr_text,
                                       size);
        }
    }
    return error;
}

static int results_make(struct bpi_load_results *results, const struct bpi_load_options *options)
{
    *results = (struct bpi_load_results){0};
    results->entries = calloc(options->entry_count, sizeof(*results->entries));
    if (results->entries == NULL) {
        return BP_E_NO_MEMORY;
    }
    results->entry_count = options->entry_count;
    for (size_t i = 0; i < options->entry_count; i++) {
        const struct bpi_load_entry *entry = &options->entries[i];
        results->entries[i].name = entry->name != NULL ? entry->name : entry->query;
        if (entry->rate > 0 && bpi_load_stream_results_new(&results->entries[i].stream) != 0) {
            bpi_load_results_done(results);
            return BP_E_NO_MEMORY;
        }
    }
    return 0;
}

/* The stream of the client with this number among all workers' clients. */
static size_t stream_of(const struct bpi_load_options *options, uint32_t number)
{
    size_t entry = 0;
    while (number >= stream_clients(&options->entries[entry])) {
        number -= stream_clients(&options->entries[entry]);
        entry++;
    }
    return entry;
}

/* A worker's share of a rate is its share of the clients. */
static int arrivals_make(struct bpi_load_worker *worker, uint32_t index)
{
    struct bpi_load *load = worker->load;
    const struct bpi_load_options *options = &load->options;
    size_t count = load->streams ? options->entry_count : 1;
    worker->arrivals = calloc(count, sizeof(*worker->arrivals));
    if (worker->arrivals == NULL) {
        return BP_E_NO_MEMORY;
    }
    for (size_t i = 0; i < count; i++) {
        const struct bpi_load_entry *entry = &options->entries[i];
        double rate = options->rate / options->thread_count;
        if (load->streams) {
            uint32_t own = 0;
            for (uint32_t k = 0; k < worker->client_count; k++) {
                own += worker->clients[k].entry == i;
            }
            rate = entry->rate * own / stream_clients(entry);
        }
        uint64_t seed = (options->seed * 1000003 + index) * 1000003 + i + 1;
        bpi_load_arrivals_init(&worker->arrivals[i], seed, rate > 0 ? 1e6 / rate : 0, entry->bursts,
                               load->streams ? entry->burst_count : 0);
    }
    return 0;
}

static int worker_make(struct bpi_load *load, uint32_t index)
{
    const struct bpi_load_options *options = &load->options;
    struct bpi_load_worker *worker = &load->workers[index];
    worker->load = load;
    worker->start_mail.deliver = start_deliver;
    worker->go_mail.deliver = go_deliver;
    worker->open_loop = load->streams || options->rate > 0;
    worker->stop_mail.deliver = stop_deliver;
    worker->abort_mail.deliver = abort_deliver;
    worker->end_timer.on_fire = on_end_time;
    worker->grace_timer.on_fire = on_grace_time;
    pthread_mutex_init(&worker->mutex, NULL);
    bpi_random_init(&worker->random, options->seed * 1000003 + index);
    /* Client i belongs to worker i % count. */
    worker->client_count = (options->client_count - index - 1) / options->thread_count + 1;
    worker->clients_active = worker->client_count;
    worker->clients = calloc(worker->client_count, sizeof(*worker->clients));
    if (worker->clients == NULL) {
        return BP_E_NO_MEMORY;
    }
    for (uint32_t i = 0; i < worker->client_count; i++) {
        struct bpi_load_client *client = &worker->clients[i];
        client->worker = worker;
        client->timer.on_fire = on_client_time;
        uint32_t number = index + i * options->thread_count;
        client->url_index = number % options->url_count;
        client->entry = load->streams ? stream_of(options, number) : 0;
    }
    int error = arrivals_make(worker, index);
    if (error == 0) {
        error = results_make(&worker->results, options);
    }
    if (error == 0) {
        error = bpi_loop_new(index, &worker->loop);
    }
    if (error == 0 && worker->open_loop) {
        error =
            bpi_loop_precise(worker->loop); /* an arrival that is late by 1 ms is a wait of 1 ms */
    }
    if (error == 0) {
        error = bpi_timer_reserve(worker->loop, (int)worker->client_count + 2);
    }
    return error;
}

int bpi_load_start(const struct bpi_load_options *options,
                   struct bpi_load **ret_load,
                   char *reterr_text,
                   size_t reterr_text_size)
{
    int error = options_check(options, reterr_text, reterr_text_size);
    if (error != 0) {
        return error;
    }
    struct bpi_load *load = calloc(1, sizeof(*load));
    if (load == NULL) {
        (void)refuse(reterr_text, reterr_text_size, bp_error_text(BP_E_NO_MEMORY));
        return BP_E_NO_MEMORY;
    }
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&load->mutex, NULL);
    pthread_cond_init(&load->ended, &attributes);
    pthread_condattr_destroy(&attributes);
    load->options = *options;
    options_fill(load);
    error = tls_make(load, reterr_text, reterr_text_size);
    if (error != 0) {
        bpi_load_free(load);
        return error;
    }
    load->workers = calloc(load->options.thread_count, sizeof(*load->workers));
    error = load->workers == NULL ? BP_E_NO_MEMORY : 0;
    for (uint32_t i = 0; error == 0 && i < load->options.thread_count; i++) {
        load->worker_count++;
        error = worker_make(load, i);
    }
    if (error == 0 && !load->streams) {
        clocks_start(load);
    }
    for (uint32_t i = 0; error == 0 && i < load->worker_count; i++) {
        error = bpi_loop_start(load->workers[i].loop);
        if (error == 0) {
            pthread_mutex_lock(&load->mutex);
            load->workers_active++;
            pthread_mutex_unlock(&load->mutex);
            bpi_loop_post(load->workers[i].loop, &load->workers[i].start_mail);
        } else {
            load->workers[i].clients_active = 0;
        }
    }
    if (error != 0) {
        (void)refuse(reterr_text, reterr_text_size, bp_error_text(error));
        bpi_load_free(load);
        return error;
    }
    *ret_load = load;
    return 0;
}

/* From any thread */

void bpi_load_stop(struct bpi_load *load)
{
    pthread_mutex_lock(&load->mutex);
    bool first = !load->stopped;
    load->stopped = true;
    pthread_mutex_unlock(&load->mutex);
    for (uint32_t i = 0; first && i < load->worker_count; i++) {
        bpi_loop_post(load->workers[i].loop, &load->workers[i].stop_mail);
    }
}

bool bpi_load_is_done(struct bpi_load *load)
{
    pthread_mutex_lock(&load->mutex);
    bool done = load->workers_active == 0;
    pthread_mutex_unlock(&load->mutex);
    return done;
}

bool bpi_load_wait(struct bpi_load *load, bp_usec timeout_us)
{
    bp_usec until_us = bpi_clock_now_us() + timeout_us;
    struct timespec until = {
        .tv_sec = (time_t)(until_us / BP_USEC_PER_SECOND),
        .tv_nsec = (long)(until_us % BP_USEC_PER_SECOND) * 1000,
    };
    int error = 0;
    pthread_mutex_lock(&load->mutex);
    while (load->workers_active > 0 && error != ETIMEDOUT) {
        error = timeout_us == 0 ? pthread_cond_wait(&load->ended, &load->mutex)
                                : pthread_cond_timedwait(&load->ended, &load->mutex, &until);
    }
    bool done = load->workers_active == 0;
    pthread_mutex_unlock(&load->mutex);
    return done;
}

static void errors_merge(struct bpi_load_results *into, const struct bpi_load_results *from)
{
    for (size_t i = 0; i < from->error_count; i++) {
        size_t k = 0;
        while (k < into->error_count && strcmp(into->errors[k].code, from->errors[i].code) != 0) {
            k++;
        }
        if (k == BPI_LOAD_ERRORS_MAX) {
            k--;
        } else if (k == into->error_count) {
            into->errors[k] = from->errors[i];
            into->error_count++;
            continue;
        }
        into->errors[k].count += from->errors[i].count;
    }
}

static int error_order(const void *a, const void *b)
{
    const struct bpi_load_error *left = a;
    const struct bpi_load_error *right = b;
    return left->count < right->count ? 1 : left->count > right->count ? -1 : 0;
}

static int worker_merge(struct bpi_load_results *into, struct bpi_load_worker *worker)
{
    int error = 0;
    pthread_mutex_lock(&worker->mutex);
    const struct bpi_load_results *from = &worker->results;
    into->unknown += from->unknown;
    into->records += from->records;
    into->backlog += from->backlog;
    into->connects += from->connects;
    into->connects_failed += from->connects_failed;
    into->connections_now += from->connections_now;
    bpi_histogram_merge(&into->connect, &from->connect);
    for (size_t i = 0; i < from->entry_count; i++) {
        into->entries[i].committed += from->entries[i].committed;
        into->entries[i].failed += from->entries[i].failed;
        into->entries[i].retries += from->entries[i].retries;
        bpi_histogram_merge(&into->entries[i].latency, &from->entries[i].latency);
        if (from->entries[i].stream != NULL && error == 0) {
            error = bpi_load_stream_results_merge(into->entries[i].stream, from->entries[i].stream,
                                                  into->done);
        }
    }
    errors_merge(into, from);
    pthread_mutex_unlock(&worker->mutex);
    return error;
}

int bpi_load_snapshot(struct bpi_load *load, struct bpi_load_results *ret_results)
{
    struct bpi_load_results *results = calloc(1, sizeof(*results));
    int error = results == NULL ? BP_E_NO_MEMORY : results_make(results, &load->options);
    if (error != 0) {
        free(results);
        return error;
    }
    pthread_mutex_lock(&load->mutex);
    bp_usec until_us = load->ended_us != 0 ? load->ended_us : bpi_clock_now_us();
    results->done = load->workers_active == 0;
    pthread_mutex_unlock(&load->mutex);
    bp_usec measure_us = load->measure_us;
    if (until_us > measure_us) {
        results->elapsed_s = (double)(until_us - measure_us) / 1e6;
    }
    for (uint32_t i = 0; i < load->worker_count && error == 0; i++) {
        error = worker_merge(results, &load->workers[i]);
    }
    if (error != 0) {
        bpi_load_results_done(results);
        free(results);
        return error;
    }
    for (size_t i = 0; i < results->entry_count; i++) {
        const struct bpi_load_entry_results *entry = &results->entries[i];
        results->committed += entry->committed;
        results->failed += entry->failed;
        results->retries += entry->retries;
        bpi_histogram_merge(&results->latency, &entry->latency);
    }
    /* An entry's failed ones hold the unknown ones, too. */
    results->failed -= results->unknown;
    qsort(results->errors, results->error_count, sizeof(results->errors[0]), error_order);
    *ret_results = *results;
    free(results);
    return 0;
}

void bpi_load_results_done(struct bpi_load_results *results)
{
    for (size_t i = 0; results->entries != NULL && i < results->entry_count; i++) {
        bpi_load_stream_results_free(results->entries[i].stream);
    }
    free(results->entries);
    results->entries = NULL;
    results->entry_count = 0;
}

void bpi_load_free(struct bpi_load *load)
{
    if (load == NULL) {
        return;
    }
    if (!bpi_load_is_done(load)) {
        for (uint32_t i = 0; i < load->worker_count; i++) {
            if (load->workers[i].loop != NULL) {
                bpi_loop_post(load->workers[i].loop, &load->workers[i].abort_mail);
            }
        }
        (void)bpi_load_wait(load, 0);
    }
    for (uint32_t i = 0; i < load->worker_count; i++) {
        struct bpi_load_worker *worker = &load->workers[i];
        if (worker->loop != NULL) {
            bpi_loop_stop(worker->loop);
            bpi_loop_free(worker->loop);
        }
        free(worker->clients);
        free(worker->arrivals);
        bpi_load_results_done(&worker->results);
        pthread_mutex_destroy(&worker->mutex);
    }
    free(load->workers);
    bpi_tls_context_unref(load->tls_verify);
    bpi_tls_context_unref(load->tls_any);
    pthread_cond_destroy(&load->ended);
    pthread_mutex_destroy(&load->mutex);
    free(load);
}
