/* One client of the load generator: load_types.h draws its states.
 *
 * A transaction is tried until it ends: an attempt that fails notes its code in `failure`, then the
 * connection is made fit again (RESET) or given up, and attempt_ended() decides about another try.
 */
#include <boltpool/error.h>

#include "base/clock.h"
#include "bolt/message.h"
#include "cli/load_types.h"
#include "net/conn.h"
#include "net/tls.h"

#include <stdio.h>
#include <string.h>

/* GOODBYE has this long to reach the server. */
#define CLOSE_US BP_USEC_PER_SECOND
/* Above the largest record that a benchmark asks for. */
#define MESSAGE_BYTES_MAX ((size_t)1 << 30)
/* As drivers: each wait up to a fifth shorter or longer. */
#define RETRY_JITTER 0.2

static void client_next(struct bpi_load_client *client);
static void tx_send(struct bpi_load_client *client);
static void attempt_ended(struct bpi_load_client *client, bool lost);

static const struct bpi_load_options *options_of(const struct bpi_load_client *client)
{
    return &client->worker->load->options;
}

static bp_usec now_of(const struct bpi_load_client *client)
{
    return bpi_loop_now_us(client->worker->loop);
}

static void timer_set(struct bpi_load_client *client, bp_usec at_us)
{
    bpi_timer_set(client->worker->loop, &client->timer, at_us);
}

static void timer_clear(struct bpi_load_client *client)
{
    bpi_timer_clear(client->worker->loop, &client->timer);
}

/* Notes the first failure of an attempt, and counts it. */
static void failure_note(struct bpi_load_client *client, const char *code, size_t size)
{
    if (client->failure[0] == '\0') {
        snprintf(client->failure, sizeof(client->failure), "%.*s", (int)size, code);
        bpi_load_count_error(client->worker, client->failure);
        if (client->worker->load->streams && client->has_tx) {
            bpi_load_stream_attempt_failed(client, client->failure);
        }
    }
}

static void failure_text(struct bpi_load_client *client, const char *text)
{
    failure_note(client, text, strlen(text));
}

/* Connections */

static void connections_count(struct bpi_load_client *client, int change)
{
    struct bpi_load_worker *worker = client->worker;
    pthread_mutex_lock(&worker->mutex);
    worker->results.connections_now += change > 0 ? 1u : -1u;
    pthread_mutex_unlock(&worker->mutex);
}

/* Forgets the connection; the caller has closed it or will. */
static struct bpi_conn *conn_take(struct bpi_load_client *client)
{
    struct bpi_conn *conn = client->conn;
    client->conn = NULL;
    if (client->logged_on) {
        client->logged_on = false;
        connections_count(client, -1);
    }
    bpi_chunk_reader_done(&client->reader);
    bpi_client_state_done(&client->bolt);
    return conn;
}

static void conn_goodbye(struct bpi_load_client *client)
{
    bool polite = client->conn != NULL && client->logged_on &&
                  bpi_bolt_write_simple(bpi_conn_out(client->conn), BPI_BOLT_GOODBYE) == 0;
    struct bpi_conn *conn = conn_take(client);
    if (conn != NULL && polite) {
        bpi_conn_close_flushed(conn, CLOSE_US);
    } else if (conn != NULL) {
        bpi_conn_close(conn);
    }
}

/* The connection is of no use any more: whatever the client was doing with it has failed. */
static void conn_lost(struct bpi_load_client *client, const char *why)
{
    struct bpi_load_worker *worker = client->worker;
    enum bpi_load_state state = client->state;
    struct bpi_conn *conn = conn_take(client);
    if (conn != NULL) {
        bpi_conn_close(conn);
    }
    switch (state) {
    case BPI_LOAD_STATE_CONNECTING:
    case BPI_LOAD_STATE_HANDSHAKE:
    case BPI_LOAD_STATE_LOGIN:
        timer_clear(client);
        pthread_mutex_lock(&worker->mutex);
        worker->results.connects_failed++;
        pthread_mutex_unlock(&worker->mutex);
        client->url_index = (client->url_index + 1) % options_of(client)->url_count;
        failure_text(client, why);
        client->state = BPI_LOAD_STATE_READY;
        if (client->has_tx) {
            attempt_ended(client, false);
        } else {
            /* The first connection is opened ahead of any transaction: the transaction tries again. */
            client->failure[0] = '\0';
            client_next(client);
        }
        break;
    case BPI_LOAD_STATE_RUNNING: {
        bool lost = client->failure[0] == '\0';
        timer_clear(client);
        failure_text(client, why);
        client->state = BPI_LOAD_STATE_READY;
        attempt_ended(client, lost);
        break;
    }
    case BPI_LOAD_STATE_RESETTING:
        timer_clear(client);
        client->state = BPI_LOAD_STATE_READY;
        attempt_ended(client, false);
        break;
    case BPI_LOAD_STATE_READY:
    case BPI_LOAD_STATE_GATHERED:
    case BPI_LOAD_STATE_WAITING:
    case BPI_LOAD_STATE_BACKOFF:
    case BPI_LOAD_STATE_PAUSED:
    case BPI_LOAD_STATE_DONE:
        break; /* an idle connection died: the next attempt opens another one */
    }
}

/* Flushes what was put, or gives the connection up when putting it failed. */
static void requests_flush(struct bpi_load_client *client, int error)
{
    if (error != 0) {
        conn_lost(client, bp_error_name(error));
        return;
    }
    bpi_conn_flush(client->conn);
}

static void login_done(struct bpi_load_client *client)
{
    struct bpi_load_worker *worker = client->worker;
    timer_clear(client);
    client->logged_on = true;
    client->state = BPI_LOAD_STATE_READY;
    pthread_mutex_lock(&worker->mutex);
    worker->results.connects++;
    worker->results.connections_now++;
    bpi_histogram_record(&worker->results.connect, bpi_clock_now_us() - client->connect_started_us);
    pthread_mutex_unlock(&worker->mutex);
    if (client->has_tx) {
        tx_send(client);
    } else {
        client_next(client);
    }
}

static void handshake_read(struct bpi_load_client *client)
{
    struct bpi_handshake_client *handshake = &client->handshake;
    enum bpi_handshake_result result;
    int error = bpi_handshake_client_read(handshake, bpi_conn_in(client->conn), &result);
    if (error == 0 && result == BPI_HANDSHAKE_MORE) {
        return;
    }
    if (error == 0 && result != BPI_HANDSHAKE_DONE) {
        error = result == BPI_HANDSHAKE_REFUSED ? BP_E_VERSION : BP_E_HANDSHAKE;
    }
    if (error == 0) {
        client->version = handshake->version;
        if (handshake->manifest) {
            client->version = bpi_bolt_versions_newest(handshake->wanted & handshake->spoken);
            error = client->version == 0 ? BP_E_VERSION
                                         : bpi_handshake_client_choose(handshake, client->version,
                                                                       bpi_conn_out(client->conn));
        }
    }
    if (error != 0) {
        conn_lost(client, bp_error_name(error));
        return;
    }
    bpi_client_state_init(&client->bolt, client->version);
    client->state = BPI_LOAD_STATE_LOGIN;
    requests_flush(client, bpi_load_put_login(client));
}

/* Transactions */

static void tx_send(struct bpi_load_client *client)
{
    bp_usec timeout_us = options_of(client)->answer_timeout_us;
    client->state = BPI_LOAD_STATE_RUNNING;
    client->commit_sent = false;
    client->attempt_us = bpi_clock_now_us();
    client->service_us = UINT64_MAX;
    if (timeout_us > 0) {
        timer_set(client, now_of(client) + timeout_us);
    }
    requests_flush(client, bpi_load_put_tx(client));
}

/* Records the end of a transaction and goes on. */
static void tx_end(struct bpi_load_client *client, enum bpi_load_end end)
{
    struct bpi_load_worker *worker = client->worker;
    const struct bpi_load_options *options = options_of(client);
    struct bpi_load_entry_results *entry = &worker->results.entries[client->entry];
    struct bpi_load_outcome outcome = {client->entry, end, client->unique};
    bp_usec now_us = bpi_clock_now_us();
    bool no_conn = client->conn == NULL && end == BPI_LOAD_FAILED;
    client->has_tx = false;
    timer_clear(client);
    if (worker->load->streams) {
        bpi_load_stream_ended(client, end, true);
    }
    if (now_us >= worker->load->measure_us) {
        pthread_mutex_lock(&worker->mutex);
        entry->retries += client->tries - 1;
        if (end == BPI_LOAD_COMMITTED) {
            bp_usec span_us = now_us > client->started_us ? now_us - client->started_us : 0;
            entry->committed++;
            bpi_histogram_record(&entry->latency, span_us);
        } else {
            entry->failed++;
            worker->results.unknown += end == BPI_LOAD_UNKNOWN;
        }
        pthread_mutex_unlock(&worker->mutex);
    }
    if (options->on_end != NULL) {
        options->on_end(options->on_end_user, &outcome);
    }
    if (options->reconnect) {
        conn_goodbye(client);
    }
    if (no_conn && !worker->ending) {
        client->state = BPI_LOAD_STATE_PAUSED;
        timer_set(client, now_of(client) + options->pause_us);
        return;
    }
    client->state = BPI_LOAD_STATE_READY;
    client_next(client);
}

/* As drivers judge it; the rest comes back the same however often it is tried. */
static bool code_retryable(const char *code)
{
    static const char transient[] = "Neo.TransientError.";
    static const char *const others[] = {
        "Neo.ClientError.Cluster.NotALeader",
        "Neo.ClientError.General.ForbiddenOnReadOnlyDatabase",
        "Neo.ClientError.Security.AuthorizationExpired",
    };
    static const char *const never[] = {
        "Neo.TransientError.Transaction.Terminated",
        "Neo.TransientError.Transaction.LockClientStopped",
    };
    for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
        if (strcmp(code, never[i]) == 0) {
            return false;
        }
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (strcmp(code, others[i]) == 0) {
            return true;
        }
    }
    /* What doesn't begin with Neo. is ours: the connection failed before anything was sent, or was
     * lost; the caller has looked at what that means for a commit. */
    return strncmp(code, transient, sizeof(transient) - 1) == 0 || strncmp(code, "Neo.", 4) != 0;
}

/* An attempt has failed and the connection is fit again or gone. `lost`: it went without an answer. */
static void attempt_ended(struct bpi_load_client *client, bool lost)
{
    const struct bpi_load_options *options = options_of(client);
    const struct bpi_load_entry *entry = &options->entries[client->entry];
    bp_usec now_us = now_of(client);
    bool unknown = lost && (client->commit_sent || (!entry->is_explicit && !entry->mode_read));
    bool again = (options->retry || entry->retry) && !unknown && code_retryable(client->failure) &&
                 now_us - client->first_try_us < options->retry_time_max_us;
    if (!again) {
        tx_end(client, unknown ? BPI_LOAD_UNKNOWN : BPI_LOAD_FAILED);
        return;
    }
    double jitter = 1 + RETRY_JITTER * (2 * bpi_random_unit(&client->worker->random) - 1);
    uint32_t doublings = client->tries - 1 < 20 ? client->tries - 1 : 20;
    double delay_us = (double)options->retry_base_us * (double)(1u << doublings) * jitter;
    client->state = BPI_LOAD_STATE_BACKOFF;
    timer_set(client, now_us + (bp_usec)delay_us);
}

static void reset_send(struct bpi_load_client *client)
{
    client->state = BPI_LOAD_STATE_RESETTING;
    requests_flush(client, bpi_load_put_simple(client, BPI_BOLT_RESET));
}

/* All of a transaction's requests so far are answered with SUCCESS. */
static void tx_step(struct bpi_load_client *client, uint8_t request, bool has_more)
{
    const struct bpi_load_entry *entry = &options_of(client)->entries[client->entry];
    if (request == BPI_BOLT_PULL && has_more) {
        requests_flush(client, bpi_load_put_pull(client));
    } else if (request == BPI_BOLT_PULL && entry->is_explicit) {
        int error = bpi_load_put_simple(client, BPI_BOLT_COMMIT);
        client->commit_sent = error == 0;
        requests_flush(client, error);
    } else if (request == BPI_BOLT_PULL || request == BPI_BOLT_COMMIT) {
        tx_end(client, BPI_LOAD_COMMITTED);
    }
}

/* A simulated server may say how long it had the transaction's requests. */
static void service_note(struct bpi_load_client *client, const struct bpi_bolt_answer *answer)
{
    int64_t service_us = -1;
    if (client->worker->load->streams &&
        bpi_bolt_map_int(answer->meta, "service_us", &service_us) && service_us >= 0) {
        client->service_us = (bp_usec)service_us;
    }
}

static void
tx_answer(struct bpi_load_client *client, uint8_t request, const struct bpi_bolt_answer *answer)
{
    if (answer->tag == BPI_BOLT_RECORD) {
        struct bpi_load_worker *worker = client->worker;
        pthread_mutex_lock(&worker->mutex);
        worker->results.records++;
        pthread_mutex_unlock(&worker->mutex);
        return;
    }
    if (answer->tag == BPI_BOLT_FAILURE) {
        failure_note(client, answer->code.data, answer->code.size);
    } else if (answer->tag == BPI_BOLT_IGNORED) {
        failure_text(client, "ignored without a failure");
    }
    if (client->failure[0] == '\0') {
        service_note(client, answer);
        tx_step(client, request, answer->has_more);
    } else if (client->bolt.pending_count == 0) {
        reset_send(client);
    }
}

static void login_answer(struct bpi_load_client *client, const struct bpi_bolt_answer *answer)
{
    if (answer->tag != BPI_BOLT_SUCCESS) {
        char code[BPI_LOAD_CODE_SIZE];
        snprintf(code, sizeof(code), "%.*s", answer->code.data == NULL ? 0 : (int)answer->code.size,
                 answer->code.data == NULL ? "" : answer->code.data);
        conn_lost(client, *code == '\0' ? "log-in ignored" : code);
        return;
    }
    if (client->bolt.pending_count == 0) {
        login_done(client);
    }
}

/* One whole message. The connection may be gone afterwards. */
static void answer_read(struct bpi_load_client *client)
{
    const struct bpi_buffer *message = &client->reader.message;
    struct bpi_bolt_answer answer;
    uint8_t request = 0;
    int error = bpi_bolt_answer_read(bpi_buffer_head(message), bpi_buffer_size(message), &answer);
    if (error == 0) {
        error = bpi_client_state_received(&client->bolt, answer.tag, answer.has_more, &request);
    }
    if (error != 0) {
        conn_lost(client, bp_error_name(error));
        return;
    }
    if (client->state == BPI_LOAD_STATE_LOGIN) {
        login_answer(client, &answer);
    } else if (client->state == BPI_LOAD_STATE_RUNNING) {
        tx_answer(client, request, &answer);
    } else if (client->state == BPI_LOAD_STATE_RESETTING && client->bolt.pending_count == 0) {
        if (answer.tag != BPI_BOLT_SUCCESS) {
            conn_lost(client, "RESET failed");
            return;
        }
        client->state = BPI_LOAD_STATE_READY;
        attempt_ended(client, false);
    }
}

/* Events */

static void on_open(struct bpi_conn *conn, void *user)
{
    struct bpi_load_client *client = user;
    bpi_bolt_versions wanted = options_of(client)->versions;
    bool several = (wanted & (wanted - 1)) != 0;
    bool probe = several && bpi_bolt_versions_newest(wanted) >= BPI_BOLT(5, 7);
    client->state = BPI_LOAD_STATE_HANDSHAKE;
    int error = bpi_handshake_client_start(&client->handshake, wanted, probe, bpi_conn_out(conn));
    if (error != 0) {
        conn_lost(client, bp_error_name(error));
        return;
    }
    bpi_conn_flush(conn);
}

static void on_data(struct bpi_conn *conn, void *user)
{
    struct bpi_load_client *client = user;
    if (client->state == BPI_LOAD_STATE_HANDSHAKE) {
        handshake_read(client);
    }
    while (client->conn == conn && client->state != BPI_LOAD_STATE_HANDSHAKE) {
        int event = bpi_chunk_read(&client->reader, bpi_conn_in(conn), MESSAGE_BYTES_MAX);
        if (event == BPI_CHUNK_MORE) {
            return;
        }
        if (event < 0) {
            conn_lost(client, bp_error_name(event));
        } else if (event == BPI_CHUNK_MESSAGE) {
            answer_read(client);
        }
    }
}

static void on_drain(struct bpi_conn *conn, void *user)
{
    (void)conn;
    (void)user;
}

static void on_close(struct bpi_conn *conn, void *user, int error)
{
    struct bpi_load_client *client = user;
    char why[BPI_LOAD_CODE_SIZE];
    if (client->state == BPI_LOAD_STATE_CONNECTING && error == BP_E_TLS) {
        char text[256];
        snprintf(why, sizeof(why), "%.90s", bpi_conn_error_text(conn, text, sizeof(text)));
    } else if (client->state == BPI_LOAD_STATE_CONNECTING) {
        snprintf(why, sizeof(why), "connect: %s", bp_error_name(error));
    } else {
        snprintf(why, sizeof(why), "connection lost");
    }
    conn_lost(client, why);
}

static const struct bpi_conn_handler handler = {
    .on_open = on_open,
    .on_data = on_data,
    .on_drain = on_drain,
    .on_close = on_close,
};

static void connect_start(struct bpi_load_client *client)
{
    const struct bpi_load *load = client->worker->load;
    const struct bpi_url *url = &load->options.urls[client->url_index];
    struct bpi_conn_options options = {.handler = &handler, .user = client};
    if (url->tls) {
        options.tls = url->tls_verify ? load->tls_verify : load->tls_any;
        options.host_name = url->host;
    }
    client->state = BPI_LOAD_STATE_CONNECTING;
    client->connect_started_us = bpi_clock_now_us();
    timer_set(client, now_of(client) + load->options.open_timeout_us);
    int error =
        bpi_conn_connect(client->worker->loop, url->host, url->port, &options, &client->conn);
    if (error != 0) {
        char why[BPI_LOAD_CODE_SIZE];
        snprintf(why, sizeof(why), "connect: %s", bp_error_name(error));
        client->conn = NULL;
        conn_lost(client, why);
    }
}

static void client_attempt(struct bpi_load_client *client)
{
    client->tries++;
    client->failure[0] = '\0';
    if (client->conn == NULL) {
        connect_start(client);
    } else {
        tx_send(client);
    }
}

/* The lot that decides which kind of transaction comes next. */
static size_t entry_draw(struct bpi_load_client *client)
{
    const struct bpi_load *load = client->worker->load;
    uint64_t draw = bpi_random_below(&client->worker->random, load->weight_sum);
    size_t entry = 0;
    for (; entry + 1 < load->options.entry_count; entry++) {
        uint32_t weight = load->options.entries[entry].weight;
        weight = weight == 0 ? 1 : weight;
        if (draw < weight) {
            break;
        }
        draw -= weight;
    }
    return entry;
}

static bool entry_has_unique(const struct bpi_load_entry *entry)
{
    for (size_t i = 0; i < entry->param_count; i++) {
        if (entry->params[i].kind == BPI_LOAD_UNIQUE) {
            return true;
        }
    }
    return false;
}

static void client_begin(struct bpi_load_client *client)
{
    struct bpi_load *load = client->worker->load;
    client->has_tx = true;
    if (!load->streams) {
        client->entry = entry_draw(client);
    }
    client->unique = 0;
    if (entry_has_unique(&load->options.entries[client->entry])) {
        client->unique = atomic_fetch_add_explicit(&load->unique, 1, memory_order_relaxed);
    }
    client->first_try_us = now_of(client);
    client->tries = 0;
    client->state = BPI_LOAD_STATE_READY;
    client_attempt(client);
}

static void client_done(struct bpi_load_client *client)
{
    timer_clear(client);
    conn_goodbye(client);
    client->state = BPI_LOAD_STATE_DONE;
    bpi_load_client_ended(client->worker);
}

/* Whether another transaction may begin, by the limit of their number. */
static bool ticket_take(struct bpi_load *load)
{
    return load->options.transactions == 0 ||
           atomic_fetch_add_explicit(&load->tickets, 1, memory_order_relaxed) <
               load->options.transactions;
}

/* When the next one is due. Those that have waited too long for a connection are over. */
static bp_usec arrival_next(struct bpi_load_client *client, bp_usec now_us)
{
    bp_usec timeout_us = options_of(client)->queue_timeout_us;
    bool streams = client->worker->load->streams;
    bp_usec due_us = bpi_load_arrival_take(client);
    /* Bounded: each turn takes one that was due before now. */
    while (timeout_us > 0 && due_us < now_us && now_us - due_us > timeout_us) {
        client->started_us = due_us;
        bpi_load_stream_ended(client, BPI_LOAD_FAILED, false);
        due_us = bpi_load_arrival_take(client);
    }
    if (streams && due_us < now_us) {
        client->started_us = due_us;
        bpi_load_stream_no_client(client);
    }
    return due_us;
}

static void client_next(struct bpi_load_client *client)
{
    struct bpi_load_worker *worker = client->worker;
    struct bpi_load *load = worker->load;
    bp_usec now_us = bpi_clock_now_us();
    if (load->streams && !client->gathered && !worker->ending) {
        client->gathered = true;
        client->state = BPI_LOAD_STATE_GATHERED;
        bpi_load_gathered(load);
        return;
    }
    bool over = worker->ending || (load->end_us != 0 && now_us >= load->end_us);
    if (over || !ticket_take(load)) {
        client_done(client);
        return;
    }
    client->started_us = now_us;
    if (worker->open_loop) {
        client->started_us = arrival_next(client, now_us);
        if (load->end_us != 0 && client->started_us >= load->end_us) {
            client_done(client);
            return;
        }
        if (client->started_us > now_us) {
            client->state = BPI_LOAD_STATE_WAITING;
            timer_set(client, client->started_us);
            return;
        }
    }
    client_begin(client);
}

/* Called by the worker */

void bpi_load_client_start(struct bpi_load_client *client)
{
    if (options_of(client)->reconnect) {
        client_next(client);
    } else {
        connect_start(client);
    }
}

void bpi_load_client_go(struct bpi_load_client *client)
{
    if (client->state == BPI_LOAD_STATE_GATHERED) {
        client->state = BPI_LOAD_STATE_READY;
        client_next(client);
    }
}

void bpi_load_client_fire(struct bpi_load_client *client)
{
    switch (client->state) {
    case BPI_LOAD_STATE_WAITING:
        client_begin(client);
        break;
    case BPI_LOAD_STATE_BACKOFF:
        client_attempt(client);
        break;
    case BPI_LOAD_STATE_PAUSED:
        client->state = BPI_LOAD_STATE_READY;
        client_next(client);
        break;
    case BPI_LOAD_STATE_CONNECTING:
    case BPI_LOAD_STATE_HANDSHAKE:
    case BPI_LOAD_STATE_LOGIN:
        conn_lost(client, "connect: timeout");
        break;
    case BPI_LOAD_STATE_RUNNING:
    case BPI_LOAD_STATE_RESETTING:
        conn_lost(client, "answer timeout");
        break;
    case BPI_LOAD_STATE_READY:
    case BPI_LOAD_STATE_GATHERED:
    case BPI_LOAD_STATE_DONE:
        break;
    }
}

void bpi_load_client_end(struct bpi_load_client *client)
{
    bool waits = client->state == BPI_LOAD_STATE_WAITING ||
                 client->state == BPI_LOAD_STATE_PAUSED || client->state == BPI_LOAD_STATE_GATHERED;
    bool opens = !client->has_tx && (client->state == BPI_LOAD_STATE_CONNECTING ||
                                     client->state == BPI_LOAD_STATE_HANDSHAKE ||
                                     client->state == BPI_LOAD_STATE_LOGIN);
    if (waits || opens) {
        client_done(client);
    }
}

void bpi_load_client_abort(struct bpi_load_client *client)
{
    bpi_load_client_end(client);
    if (client->state == BPI_LOAD_STATE_DONE) {
        return;
    }
    bool lost = client->state == BPI_LOAD_STATE_RUNNING && client->failure[0] == '\0';
    const struct bpi_load_entry *entry = &options_of(client)->entries[client->entry];
    bool unknown = lost && (client->commit_sent || (!entry->is_explicit && !entry->mode_read));
    struct bpi_conn *conn = conn_take(client);
    if (conn != NULL) {
        bpi_conn_abort(conn);
    }
    client->failure[0] = '\0';
    failure_text(client, "unfinished");
    tx_end(client,
           unknown ? BPI_LOAD_UNKNOWN : BPI_LOAD_FAILED); /* goes on to DONE: it is ending */
}
