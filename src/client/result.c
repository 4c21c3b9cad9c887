/* See client.h: a result from RUN to its last row. */
#include "client/client.h"
#include "client/quarantine.h"

#include <boltpool/error.h>

#include <stdlib.h>
#include <string.h>

/* The last results that were freed are remembered, so that one that is freed twice is told from one that isn't. */
static struct bpi_quarantine freed;

static const struct bp_tx_options defaults = BP_TX_OPTIONS_INIT;

/* ---- life ---- */

static struct bp_result *result_new(struct bpi_client *client, const struct bp_tx_options *options)
{
    struct bp_result *result = calloc(1, sizeof(*result));
    if (result == NULL) {
        return NULL;
    }
    atomic_init(&result->is_live, 1);
    result->client = client;
    result->client_lease =
        atomic_load_explicit(&client->word, memory_order_relaxed) & ~BPI_CLIENT_USE;
    result->in_tx = client->tx != BPI_TX_NONE;
    result->qid = -1;
    result->fetch_size =
        options->fetch_size != 0 ? options->fetch_size : client->settings->fetch_size;
    result->next = client->results;
    if (result->next != NULL) {
        result->next->prev = result;
    }
    client->results = result;
    return result;
}

static void unlink_result(struct bpi_client *client, struct bp_result *result)
{
    bpi_wire_forget(client, result);
    if (client->open == result) {
        client->open = NULL;
    }
    if (result->prev != NULL) {
        result->prev->next = result->next;
    } else {
        client->results = result->next;
    }
    if (result->next != NULL) {
        result->next->prev = result->prev;
    }
    result->prev = result->next = NULL;
    result->client = NULL;
}

static void result_done(struct bp_result *result)
{
    atomic_store_explicit(&result->is_live, 0, memory_order_relaxed);
    free(result->values);
    result->values = NULL;
    result->columns = NULL;
    result->columns_count = 0;
    bpi_buffer_done(&result->rows);
    bpi_buffer_done(&result->run_meta);
    bpi_buffer_done(&result->meta);
    bpi_quarantine_put(&freed, result);
}

/* In, by the connection that made it, in the lease that it was made in. */
static int enter(struct bp_result *result, struct bpi_client **ret_client)
{
    if (result == NULL || atomic_load_explicit(&result->is_live, memory_order_relaxed) == 0 ||
        result->client == NULL) {
        return BP_E_USAGE;
    }
    return bpi_client_enter_lease(result->client, result->client_lease, ret_client);
}

/* ---- answers ---- */

int bpi_result_keep_row(struct bp_result *result, struct bpi_bolt_span record)
{
    uint32_t size = (uint32_t)record.size;
    int error = bpi_buffer_reserve(&result->rows, sizeof(size) + record.size);
    if (error != 0) {
        return error;
    }
    memcpy(result->rows.data + result->rows.end, &size, sizeof(size));
    memcpy(result->rows.data + result->rows.end + sizeof(size), record.data, record.size);
    result->rows.end += sizeof(size) + record.size;
    return 0;
}

/* The names of the columns, and room for a row's values. */
static int set_columns(struct bp_result *result, struct bpi_bolt_span meta)
{
    const uint8_t *value;
    size_t size;
    struct bpi_pack_reader reader;
    uint32_t count;
    int error = bpi_pack_map_find(meta.data, meta.size, "fields", &value, &size);
    if (error != 1) {
        return error < 0 ? error : BP_E_FIELDS;
    }
    bpi_pack_reader_init(&reader, value, size);
    error = bpi_pack_next_list(&reader, &count);
    if (error != 0) {
        return error;
    }
    /* Each name is a byte at least, so a hostile count is bounded by the message. */
    result->values =
        malloc(count == 0 ? 1 : count * (sizeof(struct bp_value) + sizeof(struct bp_text)));
    if (result->values == NULL) {
        return BP_E_NO_MEMORY;
    }
    result->columns = (struct bp_text *)(void *)(result->values + count);
    for (uint32_t i = 0; i < count; i++) {
        error = bpi_pack_next_string(&reader, &result->columns[i].data, &result->columns[i].size);
        if (error != 0) {
            return error;
        }
    }
    result->columns_count = count;
    return 0;
}

int bpi_result_ran(struct bp_result *result, const struct bpi_bolt_answer *answer)
{
    int error = bpi_buffer_append(&result->run_meta, answer->meta.data, answer->meta.size);
    if (error != 0) {
        return error;
    }
    struct bpi_bolt_span meta = {bpi_buffer_head(&result->run_meta),
                                 bpi_buffer_size(&result->run_meta)};
    error = set_columns(result, meta);
    if (error != 0) {
        return error;
    }
    struct bpi_bolt_span qid = {0};
    if (result->in_tx) {
        qid = bpi_bolt_map_get(meta, "qid");
    }
    if (qid.data != NULL) {
        struct bpi_pack_reader reader;
        bpi_pack_reader_init(&reader, qid.data, qid.size);
        error = bpi_pack_next_int(&reader, &result->qid);
        if (error != 0) {
            return error;
        }
    }
    result->phase = BPI_RESULT_STREAMING; /* PULL went out with it */
    return 0;
}

static void take_bookmark(struct bp_result *result)
{
    if (result->bookmarks == NULL || result->in_tx) {
        return;
    }
    struct bpi_bolt_span meta = {bpi_buffer_head(&result->meta), bpi_buffer_size(&result->meta)};
    struct bpi_bolt_text bookmark = bpi_bolt_map_text(meta, "bookmark");
    if (bookmark.data != NULL) {
        bpi_bookmarks_replace(result->bookmarks, result->bookmarks_serial, bookmark);
    }
}

/* Nothing more comes. */
static void ended(struct bp_result *result)
{
    struct bpi_client *client = result->client;
    if (client != NULL && client->open == result) {
        client->open = NULL;
        client->deadline_us = 0;
    }
}

int bpi_result_fetched(struct bp_result *result, const struct bpi_bolt_answer *answer)
{
    if (answer->has_more) {
        result->phase = BPI_RESULT_PAUSED;
        return 0;
    }
    int error = bpi_buffer_append(&result->meta, answer->meta.data, answer->meta.size);
    if (error != 0) {
        return error;
    }
    result->phase = BPI_RESULT_DONE;
    take_bookmark(result);
    ended(result);
    return 0;
}

void bpi_result_failed(struct bp_result *result, int error)
{
    if (result->phase != BPI_RESULT_DONE && result->phase != BPI_RESULT_FAILED) {
        result->phase = BPI_RESULT_FAILED;
        result->error = error;
        ended(result);
    }
}

/* Cuts it off from its connection. The caller's handle lives on, if the caller still has it. */
static void detach(struct bpi_client *client, struct bp_result *result)
{
    unlink_result(client, result);
    if (result->is_orphan) {
        result_done(result);
    }
}

void bpi_results_detach(struct bpi_client *client)
{
    while (client->results != NULL) {
        struct bp_result *result = client->results;
        bpi_result_failed(result, BP_E_USAGE);
        detach(client, result);
    }
}

static void drop_orphans(struct bpi_client *client)
{
    struct bp_result *next;
    for (struct bp_result *result = client->results; result != NULL; result = next) {
        next = result->next;
        if (result->is_orphan) {
            detach(client, result);
        }
    }
}

void bpi_results_end(struct bpi_client *client)
{
    for (struct bp_result *result = client->results; result != NULL; result = result->next) {
        if (result->in_tx) {
            bpi_wire_forget(client, result);
            bpi_result_failed(result, BP_E_USAGE);
            bpi_buffer_done(&result->rows);
        }
    }
    drop_orphans(client);
}

/* ---- asking ---- */

/* Nothing is out for it, and there is more: asks for that, or has it thrown away. */
static int ask(struct bpi_client *client, struct bp_result *result)
{
    int error =
        result->discards
            ? bpi_wire_put_fetch(client, BPI_BOLT_DISCARD, -1, result->qid, result)
            : bpi_wire_put_fetch(client, BPI_BOLT_PULL, result->fetch_size, result->qid, result);
    if (error != 0) {
        return bpi_failure_lose(client, error, NULL);
    }
    result->phase = BPI_RESULT_STREAMING;
    return bpi_wire_flush(client);
}

static bool is_over(const struct bp_result *result)
{
    return result->phase == BPI_RESULT_DONE || result->phase == BPI_RESULT_FAILED;
}

/* Reads on to its end; what comes is kept unless it discards. */
static int finish(struct bpi_client *client, struct bp_result *result)
{
    struct bpi_bolt_span record;
    while (!is_over(result)) {
        int error = result->phase == BPI_RESULT_PAUSED ? ask(client, result)
                                                       : bpi_wire_step(client, NULL, &record);
        if (error < 0) {
            return error;
        }
    }
    return 0;
}

int bpi_result_absorb(struct bpi_client *client)
{
    return client->open == NULL ? 0 : finish(client, client->open);
}

int bpi_result_finish(struct bpi_client *client, struct bp_result *result)
{
    result->discards = true;
    bpi_buffer_done(&result->rows);
    int error = finish(client, result);
    if (error != 0) {
        return error;
    }
    return result->phase == BPI_RESULT_FAILED ? result->error : 0;
}

int bpi_results_finish(struct bpi_client *client)
{
    for (struct bp_result *result = client->results; result != NULL; result = result->next) {
        if (result->in_tx && !is_over(result)) {
            int error = bpi_result_finish(client, result);
            if (error != 0) {
                return error;
            }
        }
    }
    drop_orphans(client);
    return 0;
}

/* ---- running ---- */

static int
run_check(struct bpi_client *client, const char *query, const struct bp_tx_options *options)
{
    if (client->tx == BPI_TX_FAILED) {
        /* The first failure's words stand. */
        return client->failure->error != 0 ? client->failure->error : BP_E_SERVER_FAILURE;
    }
    if (query == NULL) {
        return bpi_failure_set(client, BP_E_USAGE, "no query");
    }
    if (!bpi_utf8_valid((const uint8_t *)query, strlen(query))) {
        return bpi_failure_set(client, BP_E_UTF8, "the query isn't UTF-8");
    }
    return bpi_tx_options_check(client, options);
}

static int put_query(struct bpi_client *client,
                     const char *query,
                     struct bpi_bolt_span params,
                     const struct bp_tx_options *options,
                     struct bp_result *result)
{
    struct bpi_buffer extra = {0};
    struct bpi_bolt_span extra_map = {0};
    int error = 0;
    if (!result->in_tx) {
        error = bpi_tx_extra_write(client, options, &extra, &result->bookmarks_serial);
        extra_map = (struct bpi_bolt_span){bpi_buffer_head(&extra), bpi_buffer_size(&extra)};
    }
    if (error == 0) {
        error = bpi_wire_put_owed(client);
    }
    struct bpi_bolt_text text = {query, strlen(query)};
    if (error == 0) {
        error = bpi_wire_put_run(client, text, params, extra_map, result);
    }
    if (error == 0) {
        error = bpi_wire_put_fetch(client, BPI_BOLT_PULL, result->fetch_size, -1, result);
    }
    bpi_buffer_done(&extra);
    return error == 0 ? 0 : bpi_failure_lose(client, error, NULL);
}

static int wait_until_run(struct bpi_client *client, struct bp_result *result)
{
    struct bpi_bolt_span record;
    int error = bpi_wire_flush(client);
    while (error == 0 && result->phase == BPI_RESULT_ASKED) {
        error = bpi_wire_step(client, NULL, &record);
    }
    if (error == 0 && result->phase == BPI_RESULT_FAILED) {
        /* PULL is ignored. */
        error = bpi_wire_settle(client, 0);
        error = error != 0 ? error : result->error;
    }
    return error;
}

int bpi_client_run(struct bpi_client *client,
                   const char *query,
                   const struct bp_params *params,
                   const struct bp_tx_options *options,
                   struct bp_result **ret_result)
{
    options = options == NULL ? &defaults : options;
    int error = run_check(client, query, options);
    if (error != 0) {
        return error;
    }
    struct bpi_bolt_span map;
    unsigned needs = 0;
    error = bpi_params_content(params, &map, &needs);
    if (error != 0) {
        return bpi_failure_set(client, error, "the parameters: %s", bp_error_text(error));
    }
    error = bpi_client_params_check(client, needs);
    if (error == 0 && client->tx == BPI_TX_NONE) {
        error = bpi_result_absorb(client);
    }
    if (error != 0) {
        return error;
    }
    struct bp_result *result = result_new(client, options);
    if (result == NULL) {
        return bpi_failure_set(client, BP_E_NO_MEMORY, "no memory for a result");
    }
    if (!result->in_tx) {
        client->open = result;
        client->deadline_us = options->deadline_us;
        result->bookmarks = options->bookmarks;
    }
    error = put_query(client, query, map, options, result);
    if (error == 0) {
        error = wait_until_run(client, result);
    }
    if (error != 0) {
        unlink_result(client, result);
        result_done(result);
        return error;
    }
    *ret_result = result;
    return 0;
}

int bp_bolt_run(struct bp_bolt *bolt,
                const char *query,
                const struct bp_params *params,
                const struct bp_tx_options *options,
                struct bp_result **ret_result)
{
    struct bpi_client *client = NULL;
    int error = bpi_client_enter_alive(bolt, &client);
    if (error != 0) {
        return error;
    }
    error = ret_result == NULL
                ? bpi_failure_set(client, BP_E_USAGE, "run without a place for the result")
                : bpi_client_run(client, query, params, options, ret_result);
    bpi_client_leave(client);
    return error;
}

/* ---- reading ---- */

static bool is_live(const struct bp_result *result)
{
    return result != NULL && atomic_load_explicit(&result->is_live, memory_order_relaxed) != 0;
}

size_t bp_result_columns(const struct bp_result *result)
{
    return is_live(result) ? result->columns_count : 0;
}

struct bp_text bp_result_column(const struct bp_result *result, size_t index)
{
    if (!is_live(result) || index >= result->columns_count) {
        return (struct bp_text){NULL, 0};
    }
    return result->columns[index];
}

int bp_result_column_index(const struct bp_result *result, const char *name)
{
    if (!is_live(result) || name == NULL) {
        return -1;
    }
    size_t size = strlen(name);
    for (uint32_t i = 0; i < result->columns_count; i++) {
        if (result->columns[i].size == size && memcmp(result->columns[i].data, name, size) == 0) {
            return (int)i;
        }
    }
    return -1;
}

/* A row that was kept. It stays where it is until more is kept. */
static struct bpi_bolt_span take_kept(struct bp_result *result)
{
    uint32_t size;
    const uint8_t *head = bpi_buffer_head(&result->rows);
    memcpy(&size, head, sizeof(size));
    bpi_buffer_consume(&result->rows, sizeof(size) + size);
    return (struct bpi_bolt_span){head + sizeof(size), size};
}

/* 1 and a record, 0 at the end, or an error. */
static int
next_record(struct bpi_client *client, struct bp_result *result, struct bpi_bolt_span *ret_record)
{
    if (bpi_buffer_size(&result->rows) > 0) {
        *ret_record = take_kept(result);
        return 1;
    }
    if (result->discards) {
        return result->phase == BPI_RESULT_FAILED ? result->error : 0;
    }
    for (;;) {
        int got = 0;
        switch (result->phase) {
        case BPI_RESULT_STREAMING:
        case BPI_RESULT_ASKED:
            got = bpi_wire_step(client, result, ret_record);
            break;
        case BPI_RESULT_PAUSED:
            got = ask(client, result);
            break;
        case BPI_RESULT_DONE:
            return 0;
        case BPI_RESULT_FAILED:
            return result->error;
        }
        if (got != 0) {
            return got;
        }
    }
}

int bp_result_next(struct bp_result *result, const struct bp_value **ret_row)
{
    struct bpi_client *client = NULL;
    int error = enter(result, &client);
    if (error != 0) {
        return error;
    }
    struct bpi_bolt_span record = {0};
    int got = next_record(client, result, &record);
    if (got == 1) {
        error =
            bpi_value_read_record(record.data, record.size, result->values, result->columns_count);
        if (error == 0) {
            *ret_row = result->values;
        } else {
            got = bpi_failure_lose(client, error, "a row that can't be read");
        }
    }
    bpi_client_leave(client);
    return got;
}

int bp_result_summary(struct bp_result *result, struct bp_summary *ret_summary)
{
    struct bpi_client *client = NULL;
    int error = enter(result, &client);
    if (error != 0) {
        return error;
    }
    error = bpi_result_finish(client, result);
    if (error == 0) {
        error = bpi_summary_read(result, ret_summary);
    }
    bpi_client_leave(client);
    return error;
}

int bp_result_notification(struct bp_result *result,
                           size_t index,
                           struct bp_notification *ret_notification)
{
    if (!is_live(result) || result->phase != BPI_RESULT_DONE) {
        return BP_E_USAGE;
    }
    return bpi_summary_notification(result, index, ret_notification);
}

int bp_result_free(struct bp_result *result)
{
    if (result == NULL) {
        return 0;
    }
    if (!is_live(result)) {
        return BP_E_USAGE;
    }
    struct bpi_client *client = NULL;
    int error = 0;
    if (result->client != NULL) {
        error = enter(result, &client);
        if (error != 0) {
            return error;
        }
        if (result->in_tx && !is_over(result)) {
            /* What is rolled back needn't run to its end, so that waits until it has to. */
            result->discards = true;
            result->is_orphan = true;
            bpi_buffer_done(&result->rows);
            atomic_store_explicit(&result->is_live, 0, memory_order_relaxed);
            bpi_client_leave(client);
            return 0;
        }
        error = bpi_result_finish(client, result);
        unlink_result(client, result);
        bpi_client_leave(client);
    } else if (result->phase == BPI_RESULT_FAILED && result->error != BP_E_USAGE) {
        error = result->error;
    }
    result_done(result);
    return error;
}
