/* See session.h: from bytes to messages, from messages to the functions that answer them. */
#include "sim/session.h"

#include "base/clock.h"
#include "base/container.h"
#include <boltpool/error.h>

#include "net/conn.h"
#include "sim/server_types.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Before a log-in a real server takes 8 KiB; afterwards it has no limit, and this one's is far off. */
#define MESSAGE_LOGIN_BYTES ((size_t)8192)
#define MESSAGE_OPEN_BYTES  ((size_t)1024 * 1024 * 1024)
/* How long a closing connection may take to send what was answered. */
#define CLOSE_US (5 * BP_USEC_PER_SECOND)
/* How often a frozen server looks whether it may go on. */
#define FREEZE_US      (10 * BP_USEC_PER_MS)
#define TIMERS_SESSION 3

static struct bpi_sim_session *session_of(struct bpi_mail *mail)
{
    return BPI_CONTAINER(mail, struct bpi_sim_session, free_mail);
}

/* Closing */

static void queue_drop(struct bpi_sim_session *session)
{
    while (session->queue_first != NULL) {
        struct bpi_sim_message *message = session->queue_first;
        session->queue_first = message->next;
        free(message);
    }
    session->queue_last = NULL;
    session->queue_count = 0;
}

static void session_free(struct bpi_mail *mail)
{
    struct bpi_sim_session *session = session_of(mail);
    /* Giving timers back can't fail. */
    (void)!bpi_timer_reserve(session->sim->loop, -TIMERS_SESSION);
    bpi_chunk_reader_done(&session->reader);
    bpi_buffer_done(&session->answers);
    bpi_buffer_done(&session->tx.ids);
    free(session);
}

/* Waiting for a worker */

static void waiting_join(struct bpi_sim_session *session)
{
    struct bpi_sim *sim = session->sim;
    if (session->waits_worker) {
        return;
    }
    session->waits_worker = true;
    session->waiting_next = NULL;
    session->waiting_previous = sim->waiting_last;
    if (sim->waiting_last != NULL) {
        sim->waiting_last->waiting_next = session;
    } else {
        sim->waiting_first = session;
    }
    sim->waiting_last = session;
}

static void waiting_leave(struct bpi_sim_session *session)
{
    struct bpi_sim *sim = session->sim;
    if (!session->waits_worker) {
        return;
    }
    session->waits_worker = false;
    if (session->waiting_previous != NULL) {
        session->waiting_previous->waiting_next = session->waiting_next;
    } else {
        sim->waiting_first = session->waiting_next;
    }
    if (session->waiting_next != NULL) {
        session->waiting_next->waiting_previous = session->waiting_previous;
    } else {
        sim->waiting_last = session->waiting_previous;
    }
}

static void turn_deliver(struct bpi_mail *mail)
{
    struct bpi_sim_session *session = BPI_CONTAINER(mail, struct bpi_sim_session, turn_mail);
    session->turn_posted = false;
    bpi_sim_session_turn(session);
}

/* Gives the worker to the one that has waited longest, else back. */
static void worker_release(struct bpi_sim_session *session)
{
    struct bpi_sim *sim = session->sim;
    if (!session->worker) {
        return;
    }
    session->worker = false;
    struct bpi_sim_session *next = sim->waiting_first;
    if (next == NULL) {
        bpi_sim_gauge(sim, &sim->stats.workers_now, &sim->stats.workers_max, -1);
        return;
    }
    waiting_leave(next);
    next->worker = true;
    if (!next->turn_posted) {
        next->turn_posted = true;
        bpi_loop_defer(sim->loop, &next->turn_mail);
    }
}

/* Everything but the connection itself. */
static void session_end(struct bpi_sim_session *session)
{
    struct bpi_sim *sim = session->sim;
    session->conn = NULL;
    session->work = BPI_SIM_WORK_NONE;
    session->state = BPI_SERVER_DEFUNCT;
    bpi_timer_clear(sim->loop, &session->work_timer);
    bpi_timer_clear(sim->loop, &session->keep_alive_timer);
    bpi_timer_clear(sim->loop, &session->login_timer);
    bpi_sim_tx_abandon(session);
    bpi_sim_login_forget(session);
    waiting_leave(session);
    worker_release(session);
    queue_drop(session);
    if (session->previous != NULL) {
        session->previous->next = session->next;
    } else {
        sim->sessions = session->next;
    }
    if (session->next != NULL) {
        session->next->previous = session->previous;
    }
    bpi_sim_gauge(sim, &sim->stats.connections_now, &sim->stats.connections_max, -1);
    bpi_loop_defer(sim->loop, &session->free_mail);
}

void bpi_sim_session_close(struct bpi_sim_session *session, bool abort)
{
    struct bpi_conn *conn = session->conn;
    if (conn == NULL) {
        return;
    }
    session_end(session);
    if (abort) {
        bpi_conn_abort(conn);
    } else {
        bpi_conn_close(conn);
    }
}

void bpi_sim_session_close_flushed(struct bpi_sim_session *session)
{
    bpi_sim_session_flush(session);
    struct bpi_conn *conn = session->conn;
    if (conn == NULL) {
        return;
    }
    session_end(session);
    bpi_conn_close_flushed(conn, CLOSE_US);
}

/* Closes for what the client sent, without a word. */
static void close_illegal(struct bpi_sim_session *session)
{
    bpi_sim_count(session->sim, &session->sim->stats.closed_illegal);
    bpi_sim_session_close_flushed(session);
}

/* Answering */

void bpi_sim_session_flush(struct bpi_sim_session *session)
{
    size_t size = bpi_buffer_size(&session->answers);
    if (session->conn == NULL || size == 0) {
        return;
    }
    bool dies = session->drop_left >= 0 && size >= (size_t)session->drop_left;
    if (session->drop_left >= 0) {
        size = dies ? (size_t)session->drop_left : size;
        session->drop_left -= (int64_t)size;
    }
    int error =
        bpi_buffer_append(bpi_conn_out(session->conn), bpi_buffer_head(&session->answers), size);
    bpi_buffer_clear(&session->answers);
    if (error != 0) {
        bpi_sim_session_close(session, true);
    } else if (dies) {
        struct bpi_conn *conn = session->conn;
        session_end(session);
        bpi_conn_close_flushed(conn, CLOSE_US);
    } else {
        bpi_conn_flush(session->conn);
    }
}

void bpi_sim_session_after(struct bpi_sim_session *session,
                           uint8_t tag,
                           enum bpi_server_outcome outcome)
{
    session->state = bpi_server_state_after(session->state, session->version, tag, outcome);
}

void bpi_sim_session_fail(struct bpi_sim_session *session,
                          uint8_t tag,
                          const char *code,
                          const char *message)
{
    bpi_sim_count(session->sim, &session->sim->stats.failures);
    if (bpi_bolt_write_failure(&session->answers, session->version, code, message, false) != 0) {
        bpi_sim_session_close(session, true);
        return;
    }
    bpi_sim_tx_abandon(session); /* `code` may lie in a statement: not before */
    bpi_sim_session_after(session, tag, BPI_SERVER_FAILED_OUTCOME);
}

void bpi_sim_session_fail_close(struct bpi_sim_session *session,
                                uint8_t tag,
                                const char *code,
                                const char *message)
{
    bpi_sim_session_fail(session, tag, code, message);
    bpi_sim_session_close_flushed(session);
}

static void answer_ignored(struct bpi_sim_session *session)
{
    bpi_sim_count(session->sim, &session->sim->stats.ignored);
    if (bpi_bolt_write_simple(&session->answers, BPI_BOLT_IGNORED) != 0) {
        bpi_sim_session_close(session, true);
    }
}

/* Work and time */

void bpi_sim_session_work(struct bpi_sim_session *session,
                          enum bpi_sim_work work,
                          uint8_t tag,
                          bp_usec span_us)
{
    struct bpi_sim *sim = session->sim;
    bp_usec now_us = bpi_loop_now_us(sim->loop);
    session->work = work;
    session->work_tag = tag;
    if (work != BPI_SIM_WORK_HANG) {
        bpi_timer_set(sim->loop, &session->work_timer, now_us + span_us);
    }
    if (work != BPI_SIM_WORK_STREAM) {
        bpi_timer_set(sim->loop, &session->keep_alive_timer, now_us + sim->keep_alive_us);
    }
}

static void work_end(struct bpi_sim_session *session)
{
    struct bpi_sim *sim = session->sim;
    bpi_timer_clear(sim->loop, &session->keep_alive_timer);
    if (sim->faults.freeze) {
        bpi_timer_set(sim->loop, &session->work_timer, bpi_loop_now_us(sim->loop) + FREEZE_US);
        return;
    }
    switch (session->work) {
    case BPI_SIM_WORK_RUN:
        bpi_sim_run_end(session);
        break;
    case BPI_SIM_WORK_STREAM:
        bpi_sim_stream(session);
        break;
    case BPI_SIM_WORK_COMMIT:
        bpi_sim_commit_end(session);
        break;
    case BPI_SIM_WORK_LOGIN:
        bpi_sim_login_end(session);
        break;
    case BPI_SIM_WORK_HANG:
    case BPI_SIM_WORK_NONE:
        break;
    }
    bpi_sim_session_turn(session);
}

static void on_work(struct bpi_timer *timer)
{
    work_end(BPI_CONTAINER(timer, struct bpi_sim_session, work_timer));
}

static void on_keep_alive(struct bpi_timer *timer)
{
    static const uint8_t noop[2] = {0, 0};
    struct bpi_sim_session *session =
        BPI_CONTAINER(timer, struct bpi_sim_session, keep_alive_timer);
    struct bpi_sim *sim = session->sim;
    bpi_timer_set(sim->loop, timer, bpi_loop_now_us(sim->loop) + sim->keep_alive_us);
    if (sim->faults.freeze) {
        return;
    }
    bpi_sim_count(sim, &sim->stats.noops);
    if (bpi_buffer_append(&session->answers, noop, sizeof(noop)) != 0) {
        bpi_sim_session_close(session, true);
        return;
    }
    bpi_sim_session_flush(session);
}

static void on_login_time(struct bpi_timer *timer)
{
    struct bpi_sim_session *session = BPI_CONTAINER(timer, struct bpi_sim_session, login_timer);
    bpi_sim_session_close(session, false);
}

void bpi_sim_session_login_timer(struct bpi_sim_session *session)
{
    struct bpi_sim *sim = session->sim;
    bpi_timer_set(sim->loop, &session->login_timer,
                  bpi_loop_now_us(sim->loop) + sim->login_timeout_us);
}

/* A RESET has arrived: what works is stopped. A COMMIT and a log-in can't be. */
static void work_interrupt(struct bpi_sim_session *session)
{
    struct bpi_sim *sim = session->sim;
    if (session->work != BPI_SIM_WORK_RUN && session->work != BPI_SIM_WORK_HANG &&
        session->work != BPI_SIM_WORK_STREAM) {
        return;
    }
    session->work = BPI_SIM_WORK_NONE;
    session->work_fails_time = false;
    bpi_timer_clear(sim->loop, &session->work_timer);
    bpi_timer_clear(sim->loop, &session->keep_alive_timer);
    bpi_sim_session_fail(session, session->work_tag,
                         session->version < BPI_BOLT(5, 0)
                             ? "Neo.TransientError.Transaction.Terminated"
                             : "Neo.ClientError.Transaction.Terminated",
                         "The transaction has been terminated by a RESET.");
}

/* Messages */

/* A transaction, a stream or running work binds a worker, as in a real server. */
static bool worker_take(struct bpi_sim_session *session)
{
    struct bpi_sim *sim = session->sim;
    if (session->worker) {
        return true;
    }
    pthread_mutex_lock(&sim->mutex);
    bool taken = sim->stats.workers_now < sim->worker_count_max;
    if (taken) {
        sim->stats.workers_now++;
        if (sim->stats.workers_now > sim->stats.workers_max) {
            sim->stats.workers_max = sim->stats.workers_now;
        }
    } else if (!sim->worker_wait) {
        sim->stats.no_threads++;
    }
    pthread_mutex_unlock(&sim->mutex);
    session->worker = taken;
    return taken;
}

/* A message that couldn't be read (bolt.md: what real servers do differs by version and state). */
static void error_answer(struct bpi_sim_session *session, const struct bpi_sim_message *message)
{
    uint8_t tag = message->request.tag;
    bool old = session->version < BPI_BOLT(5, 0);
    bool silent =
        message->error == BP_E_UNEXPECTED ||
        (old && (message->error == BP_E_FIELDS || message->error == BP_E_SIZE)) ||
        (!session->logged_on && (message->error == BP_E_DEPTH || message->error == BP_E_ITEMS));
    if (silent) {
        close_illegal(session);
        return;
    }
    const char *code = message->error == BP_E_FIELDS ? "Neo.ClientError.Request.InvalidFormat"
                                                     : "Neo.ClientError.Request.Invalid";
    const char *text = bp_error_text(message->error);
    if (!session->logged_on || message->error == BP_E_SIZE) {
        bpi_sim_count(session->sim, &session->sim->stats.closed_illegal);
        bpi_sim_session_fail_close(session, tag, code, text);
        return;
    }
    bpi_sim_session_fail(session, tag, code, text);
}

static void reset_answer(struct bpi_sim_session *session)
{
    bpi_sim_count(session->sim, &session->sim->stats.resets);
    if (session->interrupts > 0) {
        answer_ignored(session); /* only the last of several succeeds */
        return;
    }
    bpi_sim_tx_abandon(session);
    if (bpi_sim_answer_empty(session) != 0) {
        bpi_sim_session_close(session, true);
        return;
    }
    bpi_sim_session_after(session, BPI_BOLT_RESET, BPI_SERVER_SUCCEEDED);
}

static void route_answer(struct bpi_sim_session *session, const struct bpi_bolt_request *request)
{
    struct bpi_sim *sim = session->sim;
    struct bpi_bolt_text name = {0};
    struct bpi_bolt_span value = request->route_db;
    bool found = value.data != NULL;
    bpi_sim_count(sim, &sim->stats.routes);
    if (bpi_bolt_has_route_map(session->version)) {
        found = found && bpi_pack_map_find(request->route_db.data, request->route_db.size, "db",
                                           &value.data, &value.size) == 1;
    }
    if (found) {
        struct bpi_pack_reader reader;
        bpi_pack_reader_init(&reader, value.data, value.size);
        if (bpi_pack_next_string(&reader, &name.data, &name.size) != 0) {
            name = (struct bpi_bolt_text){0}; /* null: the home database */
        }
    }
    const char *db = bpi_sim_database(sim, name.data, name.size);
    if (db == NULL) {
        bpi_sim_session_fail(session, request->tag, "Neo.ClientError.Database.DatabaseNotFound",
                             "The simulated server has no database of that name.");
        return;
    }
    char address[300];
    bpi_sim_routing_address(request->extra, sim->address, address, sizeof(address));
    name = (struct bpi_bolt_text){0};
    if (bpi_bolt_has_route_map(session->version)) {
        name = (struct bpi_bolt_text){db, strlen(db)};
    }
    if (bpi_bolt_write_route_success(&session->answers, address, 300, name) != 0) {
        bpi_sim_session_close(session, true);
        return;
    }
    bpi_sim_session_after(session, request->tag, BPI_SERVER_SUCCEEDED);
}

static void telemetry_answer(struct bpi_sim_session *session,
                             const struct bpi_bolt_request *request)
{
    bpi_sim_count(session->sim, &session->sim->stats.telemetries);
    if (request->api < 0 || request->api > 3) {
        bpi_sim_session_fail(session, request->tag, "Neo.ClientError.Request.Invalid",
                             "The api of TELEMETRY is none of 0 to 3.");
        return;
    }
    if (bpi_sim_answer_empty(session) != 0) {
        bpi_sim_session_close(session, true);
        return;
    }
    bpi_sim_session_after(session, request->tag, BPI_SERVER_SUCCEEDED);
}

static void request_answer(struct bpi_sim_session *session, const struct bpi_bolt_request *request)
{
    switch (request->tag) {
    case BPI_BOLT_HELLO:
        bpi_sim_hello(session, request);
        break;
    case BPI_BOLT_LOGON:
        bpi_sim_logon(session, request);
        break;
    case BPI_BOLT_LOGOFF:
        bpi_sim_logoff(session);
        break;
    case BPI_BOLT_RESET:
        reset_answer(session);
        break;
    case BPI_BOLT_RUN:
        bpi_sim_run(session, request);
        break;
    case BPI_BOLT_BEGIN:
        bpi_sim_begin(session, request);
        break;
    case BPI_BOLT_COMMIT:
        bpi_sim_commit(session);
        break;
    case BPI_BOLT_ROLLBACK:
        bpi_sim_rollback(session);
        break;
    case BPI_BOLT_PULL:
    case BPI_BOLT_DISCARD:
        bpi_sim_fetch(session, request);
        break;
    case BPI_BOLT_ROUTE:
        route_answer(session, request);
        break;
    case BPI_BOLT_TELEMETRY:
        telemetry_answer(session, request);
        break;
    default:
        close_illegal(session);
        break;
    }
}

static enum bpi_server_verdict message_judge(const struct bpi_sim_session *session, uint8_t tag)
{
    bool interrupted = session->interrupts > 0 && session->logged_on && tag != BPI_BOLT_RESET;
    if (interrupted && tag == BPI_BOLT_BEGIN && session->version < BPI_BOLT(5, 0)) {
        return BPI_SERVER_IGNORE; /* as 4.4.48; newer servers close */
    }
    return bpi_server_judge(interrupted ? BPI_SERVER_FAILED : session->state, session->version,
                            tag);
}

static void message_work(struct bpi_sim_session *session, const struct bpi_sim_message *message)
{
    uint8_t tag = message->request.tag;
    if (tag == BPI_BOLT_RESET && message->error == 0) {
        session->interrupts--;
    }
    if (!worker_take(session) && !(tag == BPI_BOLT_RESET && session->version < BPI_BOLT(5, 0))) {
        bpi_sim_session_fail_close(session, tag, "Neo.TransientError.Request.NoThreadsAvailable",
                                   "There are no available threads to serve this request at the "
                                   "moment.");
        return;
    }
    if (message->error != 0) {
        error_answer(session, message);
        return;
    }
    switch (message_judge(session, tag)) {
    case BPI_SERVER_ACCEPT:
        request_answer(session, &message->request);
        break;
    case BPI_SERVER_IGNORE:
        answer_ignored(session);
        break;
    case BPI_SERVER_FAIL_CLOSE:
        bpi_sim_count(session->sim, &session->sim->stats.closed_illegal);
        bpi_sim_session_fail_close(session, tag, "Neo.ClientError.Request.Invalid",
                                   "The message cannot be handled in the state of the session.");
        break;
    case BPI_SERVER_CLOSE:
        if (tag == BPI_BOLT_GOODBYE) {
            bpi_sim_session_close_flushed(session);
        } else {
            close_illegal(session);
        }
        break;
    }
}

bp_usec bpi_sim_session_service_take(struct bpi_sim_session *session)
{
    bp_usec now_us = bpi_clock_now_us();
    bp_usec span_us = session->busy_since_us == 0 ? 0 : now_us - session->busy_since_us;
    bp_usec service_us = session->tx.service_us + span_us;
    session->tx.service_us = 0;
    session->busy_since_us = now_us;
    return service_us;
}

/* Notes when the last of its requests is answered. */
static void busy_end(struct bpi_sim_session *session)
{
    if (session->busy_since_us != 0 && session->work == BPI_SIM_WORK_NONE &&
        session->queue_first == NULL) {
        session->tx.service_us += bpi_clock_now_us() - session->busy_since_us;
        session->busy_since_us = 0;
    }
}

/* Works the queue off until it is empty or something takes time. */
static void queue_work(struct bpi_sim_session *session)
{
    while (session->conn != NULL && session->work == BPI_SIM_WORK_NONE &&
           session->queue_first != NULL) {
        struct bpi_sim_message *message = session->queue_first;
        if (session->sim->worker_wait && !worker_take(session)) {
            waiting_join(session);
            return;
        }
        session->queue_first = message->next;
        session->queue_count--;
        if (session->queue_first == NULL) {
            session->queue_last = NULL;
        }
        message_work(session, message);
        free(message);
    }
    busy_end(session);
    bool bound = session->work != BPI_SIM_WORK_NONE || session->tx.open;
    if (!bound) {
        worker_release(session);
    }
}

/* Puts a message in the queue; a RESET acts now. */
static void
message_arrived(struct bpi_sim_session *session, const uint8_t *data, size_t size, int error)
{
    struct bpi_sim_message *message = malloc(sizeof(*message) + size);
    if (message == NULL) {
        bpi_sim_session_close(session, true);
        return;
    }
    *message = (struct bpi_sim_message){.size = size, .error = error};
    if (session->busy_since_us == 0) {
        session->busy_since_us = bpi_loop_now_us(session->sim->loop);
    }
    if (size > 0) {
        memcpy(message->payload, data, size);
        message->error = bpi_bolt_request_read(
            message->payload, size, session->version,
            session->logged_on ? &bpi_pack_limits_open : &bpi_pack_limits_login, &message->request);
    }
    if (session->queue_last != NULL) {
        session->queue_last->next = message;
    } else {
        session->queue_first = message;
    }
    session->queue_last = message;
    session->queue_count++;
    if (message->error != 0) {
        return;
    }
    if (message->request.tag == BPI_BOLT_RESET) {
        session->interrupts++;
        work_interrupt(session);
    } else if (message->request.tag == BPI_BOLT_GOODBYE && session->work != BPI_SIM_WORK_NONE) {
        bpi_sim_session_close(session, false);
    }
}

/* Cuts messages off the input. Returns whether it stopped because the queue is full. */
static bool messages_read(struct bpi_sim_session *session)
{
    while (session->conn != NULL && !session->deaf) {
        if (session->queue_count >= BPI_SIM_QUEUE_HIGH) {
            return true;
        }
        int event = bpi_chunk_read(&session->reader, bpi_conn_in(session->conn),
                                   session->logged_on ? MESSAGE_OPEN_BYTES : MESSAGE_LOGIN_BYTES);
        if (event == BPI_CHUNK_MORE) {
            break;
        }
        if (event == BPI_CHUNK_MESSAGE) {
            message_arrived(session, bpi_buffer_head(&session->reader.message),
                            bpi_buffer_size(&session->reader.message), 0);
        } else if (event == BPI_CHUNK_NOOP) {
            if (session->version < BPI_BOLT(5, 0)) {
                close_illegal(session); /* as a 4.4 server does */
            }
        } else {
            session->deaf = true;
            message_arrived(session, NULL, 0, event);
        }
    }
    if (session->conn != NULL && session->deaf) {
        bpi_buffer_clear(bpi_conn_in(session->conn));
    }
    return false;
}

static bool handshake_read(struct bpi_sim_session *session)
{
    enum bpi_handshake_result result;
    int error = bpi_handshake_server_read(&session->handshake, bpi_conn_in(session->conn),
                                          &session->answers, &result);
    if (error != 0 || result == BPI_HANDSHAKE_BAD) {
        close_illegal(session);
        return false;
    }
    if (result == BPI_HANDSHAKE_REFUSED) {
        bpi_sim_session_close_flushed(session);
        return false;
    }
    if (result == BPI_HANDSHAKE_DONE) {
        session->version = session->handshake.version;
    }
    bpi_sim_session_flush(session);
    return session->version != 0;
}

void bpi_sim_session_turn(struct bpi_sim_session *session)
{
    if (session->conn == NULL || session->sim->faults.freeze) {
        return;
    }
    if (session->version == 0 && !handshake_read(session)) {
        return;
    }
    bool full;
    do {
        full = messages_read(session);
        queue_work(session);
    } while (full && session->conn != NULL && session->queue_count <= BPI_SIM_QUEUE_LOW);
    if (session->conn != NULL && full != session->paused) {
        session->paused = full;
        if (full) {
            bpi_conn_read_pause(session->conn);
        } else {
            bpi_conn_read_resume(session->conn);
        }
    }
    bpi_sim_session_flush(session);
}

/* The connection */

static void on_data(struct bpi_conn *conn, void *user)
{
    struct bpi_sim_session *session = user;
    if (session->hung) {
        bpi_buffer_clear(bpi_conn_in(conn));
        return;
    }
    bpi_sim_session_turn(session);
}

static void on_open(struct bpi_conn *conn, void *user)
{
    (void)conn;
    (void)user;
}

static void on_drain(struct bpi_conn *conn, void *user)
{
    struct bpi_sim_session *session = user;
    (void)conn;
    if (session->work == BPI_SIM_WORK_STREAM) {
        work_end(session);
    }
}

static void on_close(struct bpi_conn *conn, void *user, int error)
{
    (void)conn;
    (void)error;
    bpi_sim_session_close(user, false);
}

static const struct bpi_conn_handler handler = {
    .on_open = on_open,
    .on_data = on_data,
    .on_drain = on_drain,
    .on_close = on_close,
};

void bpi_sim_session_accept(struct bpi_sim *sim, int fd)
{
    struct bpi_sim_session *session = NULL;
    if (sim->faults.refuse) {
        close(fd);
        return;
    }
    if (bpi_timer_reserve(sim->loop, TIMERS_SESSION) != 0) {
        close(fd);
        return;
    }
    session = calloc(1, sizeof(*session));
    if (session == NULL) {
        close(fd);
        goto fail;
    }
    session->sim = sim;
    session->number = ++sim->session_number;
    session->hung = sim->faults.hang;
    session->drop_left = sim->faults.drop_next;
    sim->faults.drop_next = -1;
    session->state = BPI_SERVER_NEGOTIATION;
    session->free_mail.deliver = session_free;
    session->turn_mail.deliver = turn_deliver;
    session->work_timer.on_fire = on_work;
    session->keep_alive_timer.on_fire = on_keep_alive;
    session->login_timer.on_fire = on_login_time;
    bpi_handshake_server_init(&session->handshake, sim->versions);
    struct bpi_conn_options options = {
        .handler = &handler,
        .user = session,
        .tls = sim->tls,
        .tls_optional = sim->tls_optional,
    };
    if (bpi_conn_accept(sim->loop, fd, &options, &session->conn) != 0) {
        goto fail;
    }
    session->next = sim->sessions;
    if (session->next != NULL) {
        session->next->previous = session;
    }
    sim->sessions = session;
    bpi_sim_count(sim, &sim->stats.connections_total);
    bpi_sim_gauge(sim, &sim->stats.connections_now, &sim->stats.connections_max, 1);
    if (!session->hung) {
        bpi_sim_session_login_timer(session);
    }
    return;
fail:
    free(session);
    (void)!bpi_timer_reserve(sim->loop, -TIMERS_SESSION);
}
