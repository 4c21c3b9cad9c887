/* See session.h. Here: accepting, the handshake, cutting what arrives into requests, time-outs, the end. */
#include "proxy/session.h"

#include "base/assert.h"
#include "base/container.h"
#include "base/log.h"
#include "bolt/packstream.h"
#include "net/conn.h"
#include "net/tls.h"
#include "proxy/daemon.h"

#include <boltpool/error.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <utlist.h>

/* Answers that are on their way to a client that is being closed. */
#define CLOSE_TIMEOUT_US (5 * BP_USEC_PER_SECOND)
/* Requests of a client may fill this much memory before it isn't read from; one larger message may. */
#define QUEUE_BYTES_MAX ((size_t)4 << 20)
/* Over max_clients, this many more are told so; who comes then is closed at once. */
#define REFUSED_CLIENTS_MAX 256
/* Lines a second, of one kind and from one loop. */
#define LOG_LINES_MAX 5

static const struct bpi_conn_handler conn_handler;

const struct bpi_cluster_config *bpi_session_config(const struct bpi_session *session)
{
    return bpi_daemon_front_config(session->front);
}

bp_usec bpi_session_now_us(const struct bpi_session *session)
{
    return bpi_loop_now_us(session->worker->loop);
}

struct bpi_buffer *bpi_session_out(struct bpi_session *session)
{
    return bpi_conn_out(session->conn);
}

/* ---- the end ---- */

static void on_free(struct bpi_mail *mail)
{
    struct bpi_session *session = BPI_CONTAINER(mail, struct bpi_session, free_mail);
    struct bpi_worker *worker = session->worker;
    int error = bpi_timer_reserve(worker->loop, -1);
    (void)error; /* giving back can't fail */
    bpi_identity_unref(session->login_identity);
    free(session->doom_text);
    free(session->route_address);
    free(session->file_user);
    DL_DELETE(worker->sessions, session);
    atomic_fetch_sub_explicit(&worker->sessions_count, 1, memory_order_relaxed);
    free(session);
}

/* At the end of the turn: whoever is in the middle of an event of this session can still see that it is
 * gone. */
void bpi_session_free_if_gone(struct bpi_session *session)
{
    if (session->phase == BPI_SESSION_GONE && !session->free_queued &&
        session->wish_wait == BPI_WAIT_NONE && session->login_wait == BPI_WAIT_NONE &&
        session->face_waiter.on_known == NULL && session->hash_check == NULL) {
        session->free_queued = true;
        session->free_mail.deliver = on_free;
        bpi_loop_defer(session->worker->loop, &session->free_mail);
    }
}

static void drop_queue(struct bpi_session *session)
{
    while (session->queue != NULL) {
        bpi_session_pop(session);
    }
    bpi_chunk_reader_done(&session->reader);
}

/* Gives back all that the client held; its connection is dealt with by the caller. */
static void let_go(struct bpi_session *session)
{
    session->phase = BPI_SESSION_GONE;
    bpi_timer_clear(session->worker->loop, &session->timer);
    drop_queue(session);
    if (session->wish_wait == BPI_WAIT_ON) {
        session->wish_wait = bpi_cluster_cancel(session->front->cluster, &session->wish)
                                 ? BPI_WAIT_NONE
                                 : BPI_WAIT_ABANDONED;
        session->wish.unwanted = true;
    }
    if (session->login_wait == BPI_WAIT_ON) {
        session->login_wait = bpi_cluster_verify_cancel(session->front->cluster, &session->login)
                                  ? BPI_WAIT_NONE
                                  : BPI_WAIT_ABANDONED;
    }
    if (session->face_waiter.on_known != NULL &&
        bpi_cluster_face_cancel(session->front->cluster, &session->face_waiter)) {
        session->face_waiter.on_known = NULL;
    }
    if (session->link != NULL) {
        struct bpi_link *link = session->link;
        bpi_session_leak_end(session);
        session->link = NULL;
        bpi_link_clean(link);
    }
    if (session->wish_wait == BPI_WAIT_NONE) {
        bpi_session_identity_set(session, NULL);
    }
    if (session->hello != NULL) {
        free(session->hello);
        session->hello = NULL;
    }
    if (session->counted) {
        atomic_fetch_sub_explicit(session->refused ? &session->front->refused_count
                                                   : &session->front->clients_count,
                                  1, memory_order_relaxed);
        session->counted = false;
    }
}

void bpi_session_close(struct bpi_session *session)
{
    if (session->conn != NULL) {
        bpi_conn_close(session->conn);
        session->conn = NULL;
    }
    if (session->phase != BPI_SESSION_GONE) {
        let_go(session);
    }
    bpi_session_free_if_gone(session);
}

void bpi_session_close_flushed(struct bpi_session *session)
{
    if (session->conn != NULL) {
        bpi_conn_flush(session->conn);
        bpi_conn_close_flushed(session->conn, CLOSE_TIMEOUT_US);
        session->conn = NULL;
    }
    bpi_session_close(session);
}

void bpi_session_drain(struct bpi_session *session)
{
    bool busy = session->queue != NULL || session->wish_wait != BPI_WAIT_NONE ||
                session->login_wait != BPI_WAIT_NONE ||
                (session->link != NULL && session->ahead != BPI_SERVER_READY) ||
                session->unanswered > 0;
    if (!busy && session->phase != BPI_SESSION_GONE) {
        bpi_session_close_flushed(session);
    }
}

/* ---- answers ---- */

void bpi_session_log(struct bpi_session *session, enum bpi_log_level level, const char *format, ...)
{
    char peer[64] = "gone";
    char text[768];
    const char *more;
    va_list arguments;
    if (!bpi_log_enabled(level) || !bpi_log_allowed(&session->worker->client_log, LOG_LINES_MAX,
                                                    bpi_session_now_us(session), &more)) {
        return;
    }
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (session->conn != NULL) {
        bpi_conn_peer(session->conn, peer, sizeof(peer));
    }
    bpi_log(level, "client", "client %" PRIu64 " at %s: %s%s", session->id, peer, text, more);
}

void bpi_session_wrote(struct bpi_session *session, int error)
{
    if (error != 0 && session->phase == BPI_SESSION_MESSAGES) {
        /* An answer that can't be written leaves the client out of step. */
        session->phase = BPI_SESSION_CLOSING;
    }
    session->spoke_us = bpi_session_now_us(session);
}

void bpi_session_succeed(struct bpi_session *session)
{
    struct bpi_bolt_span none = {0};
    bpi_session_wrote(session, bpi_bolt_write_success(bpi_session_out(session), none));
}

void bpi_session_ignore(struct bpi_session *session)
{
    bpi_session_wrote(session, bpi_bolt_write_simple(bpi_session_out(session), BPI_BOLT_IGNORED));
}

void bpi_session_fail(struct bpi_session *session, const char *code, const char *text, bool not_run)
{
    bpi_session_wrote(session, bpi_bolt_write_failure(bpi_session_out(session), session->version,
                                                      code, text, not_run));
}

void bpi_session_fail_as(struct bpi_session *session, const struct bpi_server_failure *failure)
{
    if (failure->meta_size > 0 &&
        bpi_bolt_has_gql_failure(failure->version) == bpi_bolt_has_gql_failure(session->version)) {
        bpi_session_wrote(
            session, bpi_bolt_write_map(bpi_session_out(session), BPI_BOLT_FAILURE,
                                        (struct bpi_bolt_span){failure->meta, failure->meta_size}));
    } else {
        bpi_session_fail(session, failure->code, failure->message, true);
    }
}

void bpi_session_violate(struct bpi_session *session, const char *what)
{
    bpi_session_log(session, BPI_LOG_INFO, "broke the protocol: %s; its connection is closed",
                    what);
    bpi_session_fail(session, "Neo.ClientError.Request.Invalid", what, false);
    session->phase = BPI_SESSION_CLOSING;
}

void bpi_session_pop(struct bpi_session *session)
{
    struct bpi_request *request = session->queue;
    DL_DELETE(session->queue, request);
    session->queue_count--;
    session->queue_bytes -= request->size;
    session->resets_count -= request->is_reset;
    if (request->tag == BPI_BOLT_LOGON || request->tag == BPI_BOLT_HELLO) {
        explicit_bzero(request->payload, request->size);
    }
    free(request);
}

void bpi_session_identity_set(struct bpi_session *session, struct bpi_identity *identity)
{
    bpi_identity_unref(session->identity);
    session->identity = identity;
}

const char *bpi_session_user(const struct bpi_session *session)
{
    if (session->file_user != NULL) {
        return session->file_user;
    }
    return session->identity == NULL ? "" : bpi_identity_user(session->identity);
}

/* ---- what arrives ---- */

static int queue_request(struct bpi_session *session)
{
    struct bpi_buffer *message = &session->reader.message;
    const struct bpi_cluster_config *config = bpi_session_config(session);
    bool login = session->login_until_us != 0;
    size_t size = bpi_buffer_size(message);
    struct bpi_request *request = malloc(sizeof(*request) + size);
    if (request == NULL) {
        return BP_E_NO_MEMORY;
    }
    memset(request, 0, sizeof(*request));
    memcpy(request->payload, bpi_buffer_head(message), size);
    request->size = size;
    request->tag = size >= 2 ? request->payload[1] : 0;
    struct bpi_pack_limits limits = {
        .depth_max = login ? config->max_login_depth : config->max_depth,
        .items_max = login ? config->max_login_items : config->max_items,
    };
    request->error =
        bpi_bolt_request_read(request->payload, size, session->version, &limits, &request->read);
    request->is_reset = request->tag == BPI_BOLT_RESET && request->error == 0;
    request->tx_read = request->error == 0 &&
                       (request->tag == BPI_BOLT_RUN || request->tag == BPI_BOLT_BEGIN) &&
                       bpi_bolt_tx_extra_read(request->read.extra, &request->tx) == 0;
    if (!request->tx_read) {
        memset(&request->tx, 0, sizeof(request->tx));
    }
    DL_APPEND(session->queue, request);
    session->queue_count++;
    session->queue_bytes += size;
    session->resets_count += request->is_reset;
    if (login) {
        bpi_buffer_wipe(message); /* it may have been a log-in */
    } else if (message->capacity > 4096) {
        bpi_buffer_done(message);
    }
    return 0;
}

bool bpi_session_has_enough(const struct bpi_session *session)
{
    return (session->conn != NULL && bpi_conn_is_high(session->conn)) ||
           session->queue_count >= bpi_session_config(session)->max_pipelined_requests ||
           session->queue_bytes >= QUEUE_BYTES_MAX;
}

/* Cuts what was received into requests. Returns 0, or what is wrong with it. */
static int read_requests(struct bpi_session *session)
{
    const struct bpi_cluster_config *config = bpi_session_config(session);
    struct bpi_buffer *in = bpi_conn_in(session->conn);
    while (session->phase == BPI_SESSION_MESSAGES && bpi_buffer_size(in) > 0) {
        if (bpi_session_has_enough(session)) {
            if (!session->read_paused) {
                session->read_paused = true;
                bpi_conn_read_pause(session->conn);
            }
            return 0;
        }
        size_t size_max = session->login_until_us != 0 ? config->max_login_message_bytes
                                                       : config->max_message_bytes;
        int event = bpi_chunk_read(&session->reader, in, size_max);
        if (event < 0) {
            return event;
        }
        if (event == BPI_CHUNK_MORE) {
            return 0;
        }
        if (event == BPI_CHUNK_MESSAGE) {
            if (session->dead) {
                continue;
            }
            int error = queue_request(session);
            if (error != 0) {
                return error;
            }
        }
    }
    return 0;
}

static void read_and_pump(struct bpi_session *session)
{
    /* Pumping makes room for more requests of what was received already, so both take turns. */
    unsigned before;
    do {
        int error = read_requests(session);
        before = session->queue_count;
        bpi_session_pump(session);
        if (session->phase == BPI_SESSION_GONE) {
            return;
        }
        if (error != 0) {
            char text[160];
            if (error == BP_E_SIZE) {
                const struct bpi_cluster_config *config = bpi_session_config(session);
                bool login = session->login_until_us != 0;
                snprintf(text, sizeof(text),
                         "boltpool: a message larger than %s = %" PRIu64 " bytes",
                         login ? "max_login_message_bytes" : "max_message_bytes",
                         login ? config->max_login_message_bytes : config->max_message_bytes);
            } else {
                snprintf(text, sizeof(text), "boltpool: %s", bp_error_text(error));
            }
            if (session->mid_record) {
                bpi_session_close(session);
                return;
            }
            bpi_session_violate(session, text);
            bpi_session_close_flushed(session);
            return;
        }
    } while (session->queue_count < before && bpi_buffer_size(bpi_conn_in(session->conn)) > 0);
    if (session->read_paused && !bpi_session_has_enough(session)) {
        session->read_paused = false;
        bpi_conn_read_resume(session->conn);
    }
}

static void read_handshake(struct bpi_session *session)
{
    enum bpi_handshake_result result;
    int error = bpi_handshake_server_read(&session->handshake, bpi_conn_in(session->conn),
                                          bpi_conn_out(session->conn), &result);
    if (error != 0) {
        bpi_session_close(session);
        return;
    }
    switch (result) {
    case BPI_HANDSHAKE_MORE:
        bpi_conn_flush(session->conn);
        return;
    case BPI_HANDSHAKE_REFUSED:
        bpi_session_close_flushed(session);
        return;
    case BPI_HANDSHAKE_BAD:
        bpi_session_log(session, BPI_LOG_INFO,
                        "is no Bolt client, or a confused one; its connection is closed");
        bpi_session_close(session);
        return;
    case BPI_HANDSHAKE_DONE:
        break;
    }
    session->version = session->handshake.version;
    session->manifest = session->handshake.manifest;
    session->phase = BPI_SESSION_MESSAGES;
    session->state = BPI_SERVER_NEGOTIATION;
    bpi_conn_flush(session->conn);
    if (bpi_buffer_size(bpi_conn_in(session->conn)) > 0) {
        read_and_pump(session);
    }
}

static void start_handshake(struct bpi_session *session)
{
    struct bpi_cluster_face face;
    bpi_cluster_face_get(session->front->cluster, &face);
    session->phase = BPI_SESSION_HANDSHAKE;
    bpi_handshake_server_init(&session->handshake, face.versions);
    read_handshake(session);
}

static void on_face_mail(struct bpi_mail *mail)
{
    struct bpi_session *session = BPI_CONTAINER(mail, struct bpi_session, face_waiter.mail);
    session->face_waiter.on_known = NULL;
    if (session->phase == BPI_SESSION_GONE) {
        bpi_session_free_if_gone(session);
        return;
    }
    start_handshake(session);
    if (session->phase != BPI_SESSION_GONE) {
        bpi_session_timer_update(session);
    }
}

static void face_known(struct bpi_face_waiter *waiter)
{
    (void)waiter; /* on_known only marks that the mail is awaited */
}

static void on_data(struct bpi_conn *conn, void *user)
{
    struct bpi_session *session = user;
    (void)conn;
    session->active_us = bpi_session_now_us(session);
    if (session->phase == BPI_SESSION_HANDSHAKE) {
        struct bpi_cluster_face face;
        bpi_cluster_face_get(session->front->cluster, &face);
        if (face.versions == 0 && session->handshake.version == 0 &&
            !session->handshake.waits_choice) {
            session->phase = BPI_SESSION_FACE_WAIT;
            session->face_waiter.mail.deliver = on_face_mail;
            session->face_waiter.on_known = face_known;
            if (bpi_cluster_face_wait(session->front->cluster, &session->face_waiter)) {
                bpi_session_timer_update(session);
                return;
            }
            session->face_waiter.on_known = NULL;
        }
        if (!session->handshake.waits_choice) {
            bpi_cluster_face_get(session->front->cluster, &face);
            session->handshake.offered = face.versions;
        }
        session->phase = BPI_SESSION_HANDSHAKE;
        read_handshake(session);
    } else if (session->phase == BPI_SESSION_MESSAGES) {
        read_and_pump(session);
    }
}

static void on_drain(struct bpi_conn *conn, void *user)
{
    struct bpi_session *session = user;
    (void)conn;
    session->active_us = bpi_session_now_us(session);
    if (session->link_paused) {
        session->link_paused = false;
        if (session->link != NULL) {
            bpi_link_resume(session->link);
        }
    }
    if (session->phase == BPI_SESSION_MESSAGES) {
        bpi_session_pump(session);
    }
}

static void on_close(struct bpi_conn *conn, void *user, int error)
{
    struct bpi_session *session = user;
    (void)conn;
    if (bpi_log_enabled(BPI_LOG_DEBUG)) {
        bpi_log(BPI_LOG_DEBUG, "client", "client %" PRIu64 " is gone (%s)", session->id,
                error == 0 ? "closed" : bp_error_text(error));
    }
    bpi_session_close(session);
}

static void on_open(struct bpi_conn *conn, void *user)
{
    (void)conn;
    (void)user;
}

static const struct bpi_conn_handler conn_handler = {
    .on_open = on_open,
    .on_data = on_data,
    .on_drain = on_drain,
    .on_close = on_close,
};

/* ---- time ---- */

static void earlier(bp_usec *deadline_us, bp_usec base_us, bp_usec span_us)
{
    if (base_us != 0 && span_us != 0 && (*deadline_us == 0 || base_us + span_us < *deadline_us)) {
        *deadline_us = base_us + span_us;
    }
}

/* The client is silent in a transaction, or doesn't read its rows. */
static bool is_idle_in_transaction(const struct bpi_session *session)
{
    return session->link != NULL && session->lease_kind != BPI_LEASE_SESSION &&
           (session->unanswered == 0 || session->link_paused);
}

/* Whether time-outs apply to the transaction: not while the server is at its COMMIT, whose outcome is on its
 * way. */
static bool is_timed(const struct bpi_session *session)
{
    return session->link != NULL && session->lease_kind != BPI_LEASE_SESSION &&
           !session->stopping &&
           (!bpi_session_may_be_committed(session) || bpi_session_may_reset(session));
}

static bool has_answer_due(const struct bpi_session *session)
{
    return session->wish_wait == BPI_WAIT_ON || session->login_wait == BPI_WAIT_ON ||
           session->unanswered > 0 ||
           (session->link != NULL && session->link->login_due > 0 && session->queue != NULL);
}

static bp_usec keep_alive_us(const struct bpi_session *session)
{
    if (!bpi_bolt_has_noop(session->version)) {
        return 0;
    }
    bp_usec interval_us = bpi_session_config(session)->keep_alive_interval_us;
    /* Drivers kill a connection that is silent for the hinted time: half of it leaves room. */
    bp_usec hinted_us = session->hinted_us / 2;
    return hinted_us != 0 && (interval_us == 0 || hinted_us < interval_us) ? hinted_us
                                                                           : interval_us;
}

static bp_usec next_deadline_us(const struct bpi_session *session)
{
    const struct bpi_cluster_config *config = bpi_session_config(session);
    bp_usec next_us = session->login_until_us;
    if (session->phase == BPI_SESSION_FACE_WAIT) {
        earlier(&next_us, session->accepted_us, config->connect_timeout_us);
    }
    if (session->wish_wait == BPI_WAIT_ON) {
        if (!session->wish_notified) {
            earlier(&next_us, session->wish.waiter.arrived_us, config->queue_notify_after_us);
        }
    }
    if (session->link != NULL && session->stopping) {
        earlier(&next_us, session->stop_until_us, 1);
    } else if (is_timed(session)) {
        earlier(&next_us, session->leased_us, config->transaction_timeout_us);
        if (is_idle_in_transaction(session)) {
            earlier(&next_us, session->active_us, config->idle_transaction_timeout_us);
        }
    }
    earlier(&next_us, bpi_session_leak_at_us(session), 1);
    if (has_answer_due(session) && session->version != 0 && !session->mid_record) {
        earlier(&next_us, session->spoke_us, keep_alive_us(session));
    }
    return next_us;
}

void bpi_session_timer_update(struct bpi_session *session)
{
    if (session->phase == BPI_SESSION_GONE) {
        return;
    }
    bp_usec next_us = next_deadline_us(session);
    /* A timer that fires too early is set again; so work in progress doesn't move it each time. */
    if (next_us != 0 && (session->timer.position == 0 || next_us < session->timer.deadline_us)) {
        bpi_timer_set(session->worker->loop, &session->timer, next_us);
    }
}

static void check_wish_time(struct bpi_session *session, bp_usec now_us)
{
    const struct bpi_cluster_config *config = bpi_session_config(session);
    bp_usec waited_us = now_us - session->wish.waiter.arrived_us;
    char why[256];
    const char *more;
    if (config->queue_notify_after_us != 0 && !session->wish_notified &&
        waited_us >= config->queue_notify_after_us) {
        session->wish_notified = true;
        if (bpi_log_allowed(&session->worker->queue_log, LOG_LINES_MAX, now_us, &more)) {
            bpi_log(BPI_LOG_WARN, "queue", "client %" PRIu64 " has waited %.1f s for a link: %s%s",
                    session->id, (double)waited_us / 1e6,
                    bpi_cluster_explain(session->front->cluster, &session->wish, why, sizeof(why)),
                    more);
        }
    }
}

static void check_lease_time(struct bpi_session *session, bp_usec now_us)
{
    const struct bpi_cluster_config *config = bpi_session_config(session);
    char text[256];
    bpi_session_leak_check(session, now_us);
    if (session->stopping && now_us > session->stop_until_us) {
        bpi_session_stop_end(session);
        return;
    }
    if (!is_timed(session)) {
        return;
    }
    if (config->idle_transaction_timeout_us != 0 && is_idle_in_transaction(session) &&
        now_us - session->active_us >= config->idle_transaction_timeout_us) {
        snprintf(text, sizeof(text),
                 "boltpool: the transaction was rolled back: its client did nothing for "
                 "idle_transaction_timeout = %.3g s",
                 (double)config->idle_transaction_timeout_us / 1e6);
    } else if (config->transaction_timeout_us != 0 &&
               now_us - session->leased_us >= config->transaction_timeout_us) {
        snprintf(text, sizeof(text),
                 "boltpool: the transaction was rolled back: it took longer than "
                 "transaction_timeout = %.3g s",
                 (double)config->transaction_timeout_us / 1e6);
    } else {
        return;
    }
    bpi_session_log(session, BPI_LOG_INFO, "%s", text);
    if (bpi_session_may_be_committed(session) && !session->mid_record) {
        bpi_session_stop(session, BPI_CODE_TIMED_OUT, text);
    } else {
        bpi_session_evict(session, BPI_CODE_TIMED_OUT, text);
    }
}

static void on_timer(struct bpi_timer *timer)
{
    struct bpi_session *session = BPI_CONTAINER(timer, struct bpi_session, timer);
    const struct bpi_cluster_config *config = bpi_session_config(session);
    bp_usec now_us = bpi_session_now_us(session);
    if ((session->login_until_us != 0 && now_us >= session->login_until_us) ||
        (session->phase == BPI_SESSION_FACE_WAIT &&
         now_us >= session->accepted_us + config->connect_timeout_us)) {
        bpi_session_log(session, BPI_LOG_INFO, "%s; its connection is closed",
                        session->phase == BPI_SESSION_FACE_WAIT
                            ? "no server could be asked for its versions within connect_timeout"
                            : "no log-in within client_login_timeout");
        bpi_session_close(session);
        return;
    }
    if (session->wish_wait == BPI_WAIT_ON) {
        check_wish_time(session, now_us);
    } else if (session->link != NULL) {
        check_lease_time(session, now_us);
    }
    if (session->phase == BPI_SESSION_MESSAGES && has_answer_due(session) && !session->mid_record) {
        bp_usec interval_us = keep_alive_us(session);
        if (interval_us != 0 && now_us - session->spoke_us >= interval_us) {
            bpi_session_wrote(session, bpi_buffer_append(bpi_session_out(session), "\0\0", 2));
        }
    }
    if (session->phase == BPI_SESSION_MESSAGES) {
        bpi_session_pump(session);
    } else if (session->phase == BPI_SESSION_CLOSING) {
        bpi_session_close_flushed(session);
    } else {
        bpi_session_timer_update(session);
    }
}

/* ---- the start ---- */

/* Counts one more, unless there are `max` already. */
static bool take_seat(_Atomic unsigned *count, unsigned max)
{
    unsigned now = atomic_load_explicit(count, memory_order_relaxed);
    while (now < max) {
        if (atomic_compare_exchange_weak_explicit(count, &now, now + 1, memory_order_relaxed,
                                                  memory_order_relaxed)) {
            return true;
        }
    }
    return false;
}

void bpi_session_accept(struct bpi_worker *worker, struct bpi_front *front, int fd)
{
    const struct bpi_cluster_config *config = bpi_daemon_front_config(front);
    bool refused = !take_seat(&front->clients_count, config->max_clients);
    struct bpi_session *session = NULL;
    if (worker->draining || (refused && !take_seat(&front->refused_count, REFUSED_CLIENTS_MAX))) {
        if (!refused) {
            atomic_fetch_sub_explicit(&front->clients_count, 1, memory_order_relaxed);
        }
        close(fd);
        return;
    }
    session = calloc(1, sizeof(*session));
    if (session != NULL && bpi_timer_reserve(worker->loop, 1) != 0) {
        free(session);
        session = NULL;
    }
    if (session == NULL) {
        atomic_fetch_sub_explicit(refused ? &front->refused_count : &front->clients_count, 1,
                                  memory_order_relaxed);
        close(fd);
        return;
    }
    session->worker = worker;
    session->front = front;
    session->counted = true;
    session->refused = refused;
    session->id = bpi_daemon_next_id(worker->daemon);
    session->accepted_us = bpi_session_now_us(session);
    session->active_us = session->accepted_us;
    session->spoke_us = session->accepted_us;
    session->login_until_us = session->accepted_us + config->client_login_timeout_us;
    session->timer.on_fire = on_timer;
    session->wish.on_done = bpi_session_wish_done;
    DL_APPEND(worker->sessions, session);
    atomic_fetch_add_explicit(&worker->sessions_count, 1, memory_order_relaxed);
    struct bpi_conn_options options = {
        .handler = &conn_handler,
        .user = session,
        .tls = config->tls_mode == BPI_TLS_OFF ? NULL : atomic_load(&front->tls),
        .tls_optional = config->tls_mode == BPI_TLS_OPTIONAL,
        .open_timeout_us = config->client_login_timeout_us,
        .high_bytes = config->client_buffer_bytes,
    };
    if (bpi_conn_accept(worker->loop, fd, &options, &session->conn) != 0) {
        session->conn = NULL;
        bpi_session_close(session);
        return;
    }
    bpi_session_timer_update(session);
}
