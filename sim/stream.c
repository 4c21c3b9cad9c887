/* PULL and DISCARD of a simulated server: rows until the client has what it asked for, the socket is full
 * or the result ends.
 */
#include <boltpool/error.h>

#include "net/conn.h"
#include "sim/server_types.h"
#include "sim/session.h"

#include <stdlib.h>

/* Rows are handed to the connection in parts of this size: large enough to cost few writes. */
#define PART_BYTES ((size_t)64 * 1024)
/* So much is written before others get their turn; the socket's own limit comes first for slow readers. */
#define TURN_BYTES ((size_t)1024 * 1024)
/* The connection's `high_bytes`, above which it reports when the socket has taken half. */
#define HIGH_BYTES ((size_t)256 * 1024)

static void statement_drop(struct bpi_sim_session *session, struct bpi_sim_statement *statement)
{
    struct bpi_sim_statement **at = &session->statements;
    while (*at != statement) {
        at = &(*at)->next;
    }
    *at = statement->next;
    bpi_sim_query_done(&statement->query);
    free(statement);
}

static void stream_fail(struct bpi_sim_session *session, const char *code, const char *message)
{
    session->streaming = NULL;
    bpi_sim_session_fail(session, session->work_tag, code, message);
}

/* All rows are sent: the summary, and the commit of an auto-commit result. */
static void stream_end(struct bpi_sim_session *session)
{
    struct bpi_sim_statement *statement = session->streaming;
    bool auto_commit = session->state == BPI_SERVER_AUTO_COMMIT;
    uint64_t bookmark = 0;
    if (auto_commit) {
        const char *code = NULL;
        if (!bpi_sim_tx_commit(session, &code)) {
            return;
        }
        if (code != NULL) {
            stream_fail(session, code, "The simulated server fails this commit.");
            return;
        }
        pthread_mutex_lock(&session->sim->mutex);
        bookmark = session->sim->bookmark;
        pthread_mutex_unlock(&session->sim->mutex);
    }
    session->streaming = NULL;
    int error = bpi_sim_answer_end(session, statement, session->stream_discards, bookmark);
    statement_drop(session, statement);
    if (error != 0) {
        bpi_sim_session_close(session, true);
        return;
    }
    bpi_sim_session_after(session, session->work_tag, BPI_SERVER_SUCCEEDED);
}

/* Sends one row. False when there is nothing to send (or it failed). */
static bool row_send(struct bpi_sim_session *session)
{
    struct bpi_sim_statement *statement = session->streaming;
    const struct bpi_sim_query *query = &statement->query;
    if (query->fail_at_row >= 0 && statement->rows_done == (uint64_t)query->fail_at_row) {
        stream_fail(session, query->fail_code, "The query asked for a failure at this row.");
        return false;
    }
    if (statement->rows_done == query->row_count) {
        stream_end(session);
        return false;
    }
    if (session->stream_left == 0) {
        session->streaming = NULL;
        if (bpi_sim_answer_more(session) != 0) {
            bpi_sim_session_close(session, true);
        } else {
            bpi_sim_session_after(session, session->work_tag, BPI_SERVER_HAS_MORE);
        }
        return false;
    }
    if (!session->stream_discards) {
        if (bpi_sim_answer_record(session, query, statement->rows_done) != 0) {
            bpi_sim_session_close(session, true);
            return false;
        }
        bpi_sim_count(session->sim, &session->sim->stats.records);
    }
    statement->rows_done++;
    session->stream_left -= session->stream_left > 0;
    return true;
}

/* What a DISCARD steps over needs no loop, but the row that fails must be met. */
static void rows_discard(struct bpi_sim_session *session)
{
    struct bpi_sim_statement *statement = session->streaming;
    uint64_t rows = statement->query.row_count - statement->rows_done;
    if (statement->query.fail_at_row >= 0 &&
        (uint64_t)statement->query.fail_at_row < statement->query.row_count) {
        rows = (uint64_t)statement->query.fail_at_row - statement->rows_done;
    }
    if (session->stream_left >= 0 && (uint64_t)session->stream_left < rows) {
        rows = (uint64_t)session->stream_left;
    }
    statement->rows_done += rows;
    session->stream_left -= session->stream_left > 0 ? (int64_t)rows : 0;
}

void bpi_sim_stream(struct bpi_sim_session *session)
{
    session->work = BPI_SIM_WORK_NONE;
    if (session->stream_discards) {
        rows_discard(session);
    }
    size_t turn_bytes = 0;
    while (row_send(session)) {
        size_t size = bpi_buffer_size(&session->answers);
        if (size < PART_BYTES) {
            continue;
        }
        turn_bytes += size;
        bpi_sim_session_flush(session);
        if (session->conn == NULL) {
            return;
        }
        if (bpi_buffer_size(bpi_conn_out(session->conn)) > HIGH_BYTES) {
            session->work = BPI_SIM_WORK_STREAM; /* on_drain goes on */
            return;
        }
        if (turn_bytes >= TURN_BYTES) {
            bpi_sim_session_work(session, BPI_SIM_WORK_STREAM, session->work_tag, 0);
            return;
        }
    }
}

/* Finds the statement that is meant; NULL where there is none. */
static struct bpi_sim_statement *
statement_find(struct bpi_sim_session *session, int64_t qid, bool is_auto)
{
    if (qid < 0) {
        qid = session->tx.qid_next - 1;
    } else if (is_auto && session->version < BPI_BOLT(5, 0)) {
        return NULL; /* 4.x knows no qid outside transactions */
    }
    for (struct bpi_sim_statement *s = session->statements; s != NULL; s = s->next) {
        if (s->qid == qid) {
            return s;
        }
    }
    return NULL;
}

void bpi_sim_fetch(struct bpi_sim_session *session, const struct bpi_bolt_request *request)
{
    bool old = session->version < BPI_BOLT(5, 0);
    bool is_auto = session->state == BPI_SERVER_AUTO_COMMIT;
    bool discards = request->tag == BPI_BOLT_DISCARD;
    int64_t n;
    int64_t qid;
    session->work_tag = request->tag;
    if (bpi_bolt_fetch_read(request->extra, &n, &qid) != 0 || n == 0 || n < -1) {
        bpi_sim_session_fail(session, request->tag, "Neo.ClientError.Request.Invalid",
                             "Expecting n to be -1 or at least 1.");
        return;
    }
    if (bpi_sim_tx_timed_out(session)) {
        bpi_sim_session_fail(session, request->tag,
                             "Neo.ClientError.Transaction.TransactionTimedOutClientConfiguration",
                             "The transaction has been terminated: its tx_timeout is over.");
        return;
    }
    struct bpi_sim_statement *statement = statement_find(session, qid, is_auto);
    if (old && discards && is_auto && n > 0) {
        statement = NULL; /* 4.4.48 can't discard a part */
    }
    if (statement == NULL) {
        bpi_sim_session_fail(session, request->tag,
                             old ? "Neo.DatabaseError.General.UnknownError"
                                 : "Neo.ClientError.Request.InvalidFormat",
                             "No such statement.");
        return;
    }
    session->streaming = statement;
    session->stream_left = n;
    session->stream_discards = discards;
    bpi_sim_stream(session);
}
