/* Brings a link's answers to its client, and knows what it means when they stop.
 *
 * A lost link:
 *   - COMMIT, or an auto-commit that may write, was passed on and isn't answered to its end: the outcome
 *     is unknown, so the client's connection is closed as a dying server would do, and its driver reports
 *     just that. Never a retryable answer for work that may have been done.
 *   - any other work can't have been kept: the oldest unanswered request gets a FAILURE that drivers
 *     retry, the rest IGNORED; if none is unanswered, the next request gets it.
 */
#include "proxy/session.h"

#include "base/assert.h"
#include "bolt/packstream.h"
#include "net/conn.h"
#include "proxy/daemon.h"

#include <boltpool/error.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The server takes no log-ins of this user for some seconds (after three wrong passwords, whoever sent them),
 * or none at all for want of threads. */
#define LOGIN_NOT_NOW                                                                              \
    "boltpool: the server takes no log-in of this user at the moment (rate limit or overload); "   \
    "try "                                                                                         \
    "again"

static void append(struct bpi_session *session, const void *data, size_t size)
{
    bpi_session_wrote(session, bpi_buffer_append(bpi_session_out(session), data, size));
}

/* ---- the end of a lease ---- */

/* Classes are learnt from how long work held its link. Work that failed may have taken longer had it not: it
 * says something where it was long, as a query that runs into its time-out each time. */
static void note_hold(struct bpi_session *session, bool done)
{
    const struct bpi_config *config = bpi_daemon_config(session->worker->daemon);
    bp_usec held_us = bpi_session_now_us(session) - session->leased_us;
    bool is_slow = held_us >= config->learn_after_us;
    if (config->learn_classes && session->shape != 0 && (done || is_slow)) {
        bpi_learn_note(&session->worker->learn, session->shape, is_slow);
    }
    session->shape = 0;
}

void bpi_session_lease_reset(struct bpi_session *session)
{
    session->lease_kind = BPI_LEASE_SESSION; /* until a request is passed on */
    session->ahead = BPI_SERVER_READY;
    session->ending = false;
    session->failed = false;
    session->commit_sent = false;
    session->reset_sent = false;
    session->stopping = false;
    session->rows_dropped = false;
}

void bpi_session_lease_end(struct bpi_session *session)
{
    struct bpi_link *link = session->link;
    bpi_session_leak_end(session);
    if (session->lease_kind != BPI_LEASE_ROUTE) {
        atomic_fetch_add_explicit(&session->worker->transactions, 1, memory_order_relaxed);
    }
    session->state = BPI_SERVER_READY;
    note_hold(session, true);
    if (bpi_session_config(session)->pool_mode == BPI_POOL_MODE_SESSION &&
        bpi_link_is_clean(link)) {
        bpi_session_lease_reset(session);
        return;
    }
    session->link = NULL;
    if (bpi_link_is_clean(link)) {
        bpi_link_release(link);
    } else {
        /* The client's RESET came too late to stop anything: the link waits for its answer alone. */
        session->unanswered = 0;
        session->reset_sent = false;
        session->stopping = false;
        bpi_link_clean(link);
    }
}

/* Tells the unanswered requests, or marks that the next one has to be told. The link is let go already. */
static void answer_lost(struct bpi_session *session, const char *code, const char *text)
{
    unsigned unanswered = session->unanswered;
    session->unanswered = 0;
    session->commit_sent = false;
    if (session->reset_sent) {
        /* The client's own RESET is still at the head part of the queue and is answered there. */
        session->reset_sent = false;
        unanswered--;
    }
    session->state = BPI_SERVER_FAILED;
    if (session->failed) {
        /* Its FAILURE is out already. */
        while (unanswered-- > 0) {
            bpi_session_ignore(session);
        }
        return;
    }
    if (unanswered == 0) {
        free(session->doom_text);
        session->doom_text = strdup(text);
        session->doom_code = session->doom_text == NULL ? NULL : code;
        if (session->doom_code == NULL) {
            session->phase = BPI_SESSION_CLOSING;
        }
        return;
    }
    bpi_session_fail(session, code, text, false);
    while (--unanswered > 0) {
        bpi_session_ignore(session);
    }
}

void bpi_session_evict(struct bpi_session *session, const char *code, const char *text)
{
    struct bpi_link *link = session->link;
    bpi_session_leak_end(session);
    session->link = NULL;
    note_hold(session, false);
    bpi_link_clean(link);
    if (session->mid_record) {
        /* A FAILURE can't be put into the middle of a record. */
        session->phase = BPI_SESSION_CLOSING;
        return;
    }
    answer_lost(session, code, text);
}

bool bpi_session_outcome_is_unknown(const struct bpi_session *session)
{
    if (session->lease_kind == BPI_LEASE_AUTO) {
        return !session->mode_read && session->ahead == BPI_SERVER_AUTO_COMMIT && !session->failed;
    }
    return session->commit_sent && !session->mode_read;
}

void bpi_session_stop(struct bpi_session *session, const char *code, const char *text)
{
    session->stop_code = code;
    free(session->doom_text);
    session->doom_text = strdup(text);
    session->stopping = true;
    session->stop_until_us =
        bpi_session_now_us(session) + bpi_session_config(session)->reset_timeout_us;
    if (session->doom_text == NULL ||
        bpi_link_send(session->link, BPI_BOLT_RESET, "\xb0\x0f", 2) != 0) {
        bpi_session_stop_end(session);
        return;
    }
    session->reset_sent = true;
    session->unanswered++;
    bpi_link_flush(session->link);
    /* The client may have stopped reading; what is left of its rows is of no use to it any more. */
    bpi_link_resume(session->link);
}

void bpi_session_stop_end(struct bpi_session *session)
{
    bool unknown = bpi_session_outcome_is_unknown(session);
    struct bpi_link *link = session->link;
    char *text = session->doom_text;
    session->doom_text = NULL;
    session->stopping = false;
    bpi_session_leak_end(session);
    session->link = NULL;
    note_hold(session, false);
    bpi_link_close(link);
    if (unknown || text == NULL) {
        session->phase = BPI_SESSION_CLOSING;
    } else {
        answer_lost(session, session->stop_code, text);
    }
    free(text);
}

/* One answer while stopping, RESET's own apart. True: it was dealt with. */
static bool answer_stopped(struct bpi_session *session, const struct bpi_bolt_answer *answer)
{
    if (answer->tag == BPI_BOLT_SUCCESS) {
        if (session->rows_dropped) {
            /* It was done after all, and the client doesn't have its rows: it has to find out. */
            session->phase = BPI_SESSION_CLOSING;
            return true;
        }
        return false;
    }
    if (session->mid_record) {
        session->phase = BPI_SESSION_CLOSING;
    } else if (session->failed) {
        bpi_session_ignore(session);
    } else {
        bpi_session_fail(session, session->stop_code, session->doom_text, false);
    }
    session->failed = true;
    return true;
}

/* ---- what comes from the link ---- */

static void on_ready(void *user)
{
    bpi_session_pump(user);
}

static void on_records(void *user, const uint8_t *framed, size_t size, bool whole)
{
    struct bpi_session *session = user;
    if (session->stopping) {
        session->rows_dropped = true;
        return;
    }
    session->mid_record = !whole;
    append(session, framed, size);
    if (session->phase != BPI_SESSION_MESSAGES) {
        bpi_session_close(session);
        return;
    }
    session->active_us = bpi_session_now_us(session);
    bpi_conn_flush(session->conn);
    if (!session->link_paused && bpi_conn_is_high(session->conn)) {
        session->link_paused = true;
        bpi_link_pause(session->link);
        bpi_session_timer_update(session);
    }
}

/* ROUTE is answered with the pooler's own address in all roles, so that routing drivers stay with it; the
 * server tells the name of the database, and whether there is one. */
static void relay_route(struct bpi_session *session, const struct bpi_bolt_answer *answer)
{
    int64_t ttl_s = 300; /* Neo4j's dbms.routing_ttl by default */
    char address[640];
    const char *own = session->route_address != NULL
                          ? session->route_address
                          : bpi_session_advertised(session, address, sizeof(address));
    struct bpi_bolt_span table = bpi_bolt_map_get(answer->meta, "rt");
    struct bpi_bolt_text db = {0};
    if (bpi_bolt_has_route_map(session->version)) {
        db = bpi_bolt_map_text(table, "db");
    }
    (void)bpi_bolt_map_int(table, "ttl", &ttl_s);
    bpi_session_wrote(session,
                      bpi_bolt_write_route_success(bpi_session_out(session), own, ttl_s, db));
    free(session->route_address);
    session->route_address = NULL;
}

/* The client's RESETs, once the link has done the last of them. */
static void answer_resets(struct bpi_session *session)
{
    while (session->resets_count > 0) {
        const struct bpi_request *request = session->queue;
        bool last = request->is_reset && session->resets_count == 1;
        if (bpi_server_judge(BPI_SERVER_FAILED, session->version, request->tag) ==
            BPI_SERVER_CLOSE) {
            /* A GOODBYE, or what servers don't know: no RESET comes behind it. */
            session->phase = BPI_SESSION_CLOSING;
            return;
        }
        if (last) {
            bpi_session_succeed(session);
        } else {
            bpi_session_ignore(session);
        }
        bpi_session_pop(session);
    }
}

static void on_reset_answer(struct bpi_session *session, const struct bpi_bolt_answer *answer)
{
    if (answer->tag != BPI_BOLT_SUCCESS) {
        /* Servers answer a RESET by SUCCESS or die. */
        struct bpi_link *link = session->link;
        bpi_session_leak_end(session);
        session->link = NULL;
        bpi_link_close(link);
        session->phase = BPI_SESSION_CLOSING;
        return;
    }
    if (session->stopping && session->resets_count == 0) {
        /* The RESET was ours, so the client is told of a failure, or will be at its next request. */
        struct bpi_link *link = session->link;
        bpi_session_leak_end(session);
        session->link = NULL;
        session->state = session->failed ? BPI_SERVER_FAILED : BPI_SERVER_READY;
        session->doom_code = session->failed ? NULL : session->stop_code;
        session->stopping = false;
        session->reset_sent = false;
        session->commit_sent = false;
        note_hold(session, false);
        bpi_link_clean(link);
        return;
    }
    answer_resets(session);
    session->failed = false;
    note_hold(session, false); /* it was stopped */
    bpi_session_lease_end(session);
}

/* Whoever shows the bookmark later has to meet the server that issued it. */
static void keep_bookmark(const struct bpi_session *session, const struct bpi_bolt_answer *answer)
{
    const struct bpi_cluster *cluster = session->front->cluster;
    if (!bpi_cluster_wants_bookmarks(cluster)) {
        return;
    }
    struct bpi_bolt_text bookmark = bpi_bolt_map_text(answer->meta, "bookmark");
    if (bookmark.data != NULL) {
        bpi_cluster_issued(session->link, bpi_identity_hash(bpi_cluster_key(cluster), bookmark.data,
                                                            bookmark.size));
    }
}

/* What a summary means for the lease. */
static void
on_outcome(struct bpi_session *session, uint8_t request, const struct bpi_bolt_answer *answer)
{
    if (request == BPI_BOLT_COMMIT) {
        session->commit_sent = false;
    }
    if (answer->tag == BPI_BOLT_FAILURE) {
        session->failed = true;
    } else if (answer->tag == BPI_BOLT_SUCCESS) {
        switch (request) {
        case BPI_BOLT_COMMIT:
            keep_bookmark(session, answer);
            bpi_session_lease_end(session);
            return;
        case BPI_BOLT_ROLLBACK:
        case BPI_BOLT_ROUTE:
            bpi_session_lease_end(session);
            return;
        case BPI_BOLT_PULL:
        case BPI_BOLT_DISCARD:
            if (session->lease_kind == BPI_LEASE_AUTO) {
                session->ending = false;
                if (!answer->has_more) {
                    keep_bookmark(session, answer);
                    bpi_session_lease_end(session);
                    return;
                }
            }
            break;
        default:
            break;
        }
    }
    if (!session->failed || session->unanswered > 0) {
        return;
    }
    note_hold(session, false);
    if (bpi_session_config(session)->pool_mode == BPI_POOL_MODE_SESSION) {
        session->ahead = BPI_SERVER_FAILED; /* the client's RESET is passed on */
        session->ending = false;
        session->failed = false;
        return;
    }
    struct bpi_link *link = session->link;
    bpi_session_leak_end(session);
    session->link = NULL;
    session->state = BPI_SERVER_FAILED;
    bpi_link_clean(link);
}

static void on_summary(void *user,
                       uint8_t request,
                       const struct bpi_bolt_answer *answer,
                       const uint8_t *framed,
                       size_t size)
{
    struct bpi_session *session = user;
    session->unanswered--;
    session->active_us = bpi_session_now_us(session);
    if (request == BPI_BOLT_RESET) {
        on_reset_answer(session, answer);
    } else if (session->stopping && answer_stopped(session, answer)) {
        bpi_session_pump(session);
        return;
    } else {
        if (request == BPI_BOLT_ROUTE && answer->tag == BPI_BOLT_SUCCESS) {
            relay_route(session, answer);
        } else {
            append(session, framed, size);
        }
        on_outcome(session, request, answer);
    }
    bpi_session_pump(session);
}

static void on_noop(void *user)
{
    struct bpi_session *session = user;
    if (!session->mid_record && bpi_bolt_has_noop(session->version)) {
        append(session, "\0\0", 2);
        bpi_conn_flush(session->conn);
    }
}

static void on_drain(void *user)
{
    bpi_session_pump(user);
}

static void on_login_failed(void *user, const struct bpi_bolt_answer *answer)
{
    struct bpi_session *session = user;
    bpi_session_leak_end(session);
    session->link = NULL;
    /* Whether or not requests were written behind the log-in, they weren't run. */
    bool refused = bpi_bolt_answer_is_security(answer);
    if (refused &&
        !bpi_bolt_text_is(answer->code, "Neo.ClientError.Security.AuthenticationRateLimit")) {
        /* The link speaks the client's version, or one whose failures have the same form. */
        bpi_session_wrote(
            session, bpi_bolt_write_map(bpi_session_out(session), BPI_BOLT_FAILURE, answer->meta));
        session->phase = BPI_SESSION_CLOSING;
    } else if (session->unanswered > 0) {
        answer_lost(session, bp_error_neo4j_code(BP_E_FULL), LOGIN_NOT_NOW);
    } else {
        bpi_session_fail(session, bp_error_neo4j_code(BP_E_FULL), LOGIN_NOT_NOW, true);
        session->state = BPI_SERVER_FAILED;
        if (session->queue != NULL) {
            bpi_session_pop(session);
        }
    }
    bpi_session_pump(session);
}

static void on_lost(void *user, int error)
{
    struct bpi_session *session = user;
    char text[256];
    bpi_session_leak_end(session);
    session->link = NULL;
    if (session->mid_record || bpi_session_outcome_is_unknown(session)) {
        bpi_session_log(
            session, BPI_LOG_WARN,
            "its server was lost (%s) %s; its connection is closed, as the server's would be",
            bp_error_text(error),
            session->mid_record ? "in the middle of a record" : "with a commit unanswered");
        bpi_session_close_flushed(session);
        return;
    }
    if (session->lease_kind == BPI_LEASE_SESSION) {
        session->state = BPI_SERVER_READY; /* between transactions nothing is lost with it */
        session->unanswered = 0;
        session->reset_sent = false;
        if (session->ahead == BPI_SERVER_FAILED) {
            session->state = BPI_SERVER_FAILED;
        }
    } else {
        snprintf(
            text, sizeof(text),
            "boltpool: the connection to the server was lost (%s); nothing of this transaction "
            "was kept. Try again.",
            bp_error_text(error));
        answer_lost(session, bp_error_neo4j_code(BP_E_SERVER_LOST), text);
    }
    bpi_session_pump(session);
}

const struct bpi_lessee bpi_session_lessee = {
    .on_ready = on_ready,
    .on_records = on_records,
    .on_summary = on_summary,
    .on_noop = on_noop,
    .on_drain = on_drain,
    .on_login_failed = on_login_failed,
    .on_lost = on_lost,
    .on_killed = bpi_session_lease_killed,
};
