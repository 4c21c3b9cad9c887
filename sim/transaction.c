/* BEGIN, RUN, COMMIT and ROLLBACK of a simulated server.
 *
 * A COMMIT is done when it begins to work; its service time only delays the answer, so a client that goes
 * away meanwhile has committed, as with a real server.
 */
#include <boltpool/error.h>

#include "bolt/value.h"
#include "sim/server_types.h"
#include "sim/session.h"

#include <stdlib.h>
#include <string.h>

#define TIMED_OUT_CODE    "Neo.ClientError.Transaction.TransactionTimedOutClientConfiguration"
#define TIMED_OUT_MESSAGE "The transaction has been terminated: its tx_timeout is over."

void bpi_sim_statements_drop(struct bpi_sim_session *session)
{
    while (session->statements != NULL) {
        struct bpi_sim_statement *statement = session->statements;
        session->statements = statement->next;
        bpi_sim_query_done(&statement->query);
        free(statement);
    }
    session->streaming = NULL;
}

static void tx_open(struct bpi_sim_session *session, bool is_explicit)
{
    struct bpi_sim *sim = session->sim;
    session->tx.open = true;
    session->tx.is_explicit = is_explicit;
    session->tx.qid_next = 0;
    session->tx.service_us = 0;
    bpi_buffer_clear(&session->tx.ids);
    bpi_sim_count(sim, &sim->stats.transactions_begun);
    bpi_sim_gauge(sim, &sim->stats.transactions_open, &sim->stats.transactions_open_max, 1);
}

static void tx_close(struct bpi_sim_session *session, uint64_t *counter)
{
    struct bpi_sim *sim = session->sim;
    session->tx.open = false;
    bpi_sim_gauge(sim, &sim->stats.transactions_open, &sim->stats.transactions_open_max, -1);
    bpi_sim_count(sim, counter);
}

void bpi_sim_tx_abandon(struct bpi_sim_session *session)
{
    bpi_sim_statements_drop(session);
    if (session->tx.open) {
        tx_close(session, &session->sim->stats.transactions_rolled_back);
    }
}

bool bpi_sim_tx_timed_out(const struct bpi_sim_session *session)
{
    return session->tx.deadline_us != 0 &&
           bpi_loop_now_us(session->sim->loop) >= session->tx.deadline_us;
}

/* Everything that the transaction did becomes true at once. */
static void ledger_write(struct bpi_sim_session *session)
{
    struct bpi_sim *sim = session->sim;
    struct bpi_buffer *ids = &session->tx.ids;
    pthread_mutex_lock(&sim->mutex);
    while (bpi_buffer_size(ids) > 0) {
        const char *id = (const char *)bpi_buffer_head(ids);
        /* A test that runs out of memory here finds its id missing. */
        (void)!bpi_sim_ledger_add(&sim->ledger, id);
        bpi_buffer_consume(ids, strlen(id) + 1);
    }
    sim->bookmark++;
    struct bpi_sim_user_entry *user =
        bpi_sim_users_find(&sim->users, session->user, strlen(session->user));
    if (user != NULL) {
        user->stats.committed++;
    }
    pthread_mutex_unlock(&sim->mutex);
}

bool bpi_sim_tx_commit(struct bpi_sim_session *session, const char **ret_code)
{
    struct bpi_sim *sim = session->sim;
    struct bpi_sim_faults *faults = &sim->faults;
    *ret_code =
        bpi_sim_failure_draw(faults->commit_failures, faults->commit_failure_count, &sim->random);
    if (*ret_code != NULL) {
        return true;
    }
    if (faults->lose_commits > 0) {
        faults->lose_commits--;
        bpi_sim_session_close(session, true);
        return false;
    }
    ledger_write(session);
    tx_close(session, &sim->stats.transactions_committed);
    if (faults->drop_commits > 0) {
        faults->drop_commits--;
        bpi_sim_session_close(session, true);
        return false;
    }
    return true;
}

/* Whether the encoded value of `key` hides the simulated notification; *ret_there: the key is there. */
static bool filter_hides(struct bpi_bolt_span extra, const char *key, bool *ret_there)
{
    struct bpi_bolt_span value;
    struct bpi_pack_reader reader;
    struct bpi_pack_item item;
    *ret_there = extra.data != NULL &&
                 bpi_pack_map_find(extra.data, extra.size, key, &value.data, &value.size) == 1;
    if (!*ret_there) {
        return false;
    }
    bpi_pack_reader_init(&reader, value.data, value.size);
    if (bpi_pack_next(&reader, &item) != 0) {
        return false;
    }
    if (item.type == BPI_PACK_STRING) {
        return item.size != strlen("INFORMATION"); /* OFF and WARNING */
    }
    for (uint32_t left = item.type == BPI_PACK_LIST ? item.count : 0; left > 0; left--) {
        const char *text;
        size_t size;
        if (bpi_pack_next_string(&reader, &text, &size) != 0) {
            return false;
        }
        if (size == 7 && memcmp(text, "GENERIC", 7) == 0) {
            return true;
        }
    }
    return false;
}

/* A filter of the transaction overrides the one of HELLO. */
static bool notifications_off(const struct bpi_sim_session *session, struct bpi_bolt_span extra)
{
    if (!bpi_bolt_has_notification_filter(session->version)) {
        return false;
    }
    bool severity;
    bool disabled;
    bool hides = filter_hides(extra, "notifications_minimum_severity", &severity);
    hides = filter_hides(extra,
                         bpi_bolt_has_classifications(session->version)
                             ? "notifications_disabled_classifications"
                             : "notifications_disabled_categories",
                         &disabled) ||
            hides;
    return severity || disabled ? hides : session->notifications_off;
}

/* Reads and checks what BEGIN or an auto-commit RUN says; answers FAILURE itself. */
static bool extra_check(struct bpi_sim_session *session, const struct bpi_bolt_request *request)
{
    struct bpi_sim *sim = session->sim;
    struct bpi_bolt_tx_extra extra;
    if (bpi_bolt_tx_extra_read(request->extra, &extra) != 0) {
        bpi_sim_session_fail(session, request->tag, "Neo.ClientError.Request.Invalid",
                             "The metadata of the transaction is malformed.");
        return false;
    }
    if (extra.imp_user.size > 0 && !sim->impersonation) {
        bpi_sim_session_fail(session, request->tag, "Neo.ClientError.Statement.ArgumentError",
                             "Impersonation is not supported by this simulated server.");
        return false;
    }
    const char *db = bpi_sim_database(sim, extra.db.data, extra.db.size);
    if (db == NULL) {
        bpi_sim_session_fail(session, request->tag, "Neo.ClientError.Database.DatabaseNotFound",
                             "The simulated server has no database of that name.");
        return false;
    }
    session->tx.db = db;
    session->tx.db_named = extra.db.size > 0;
    session->tx.mode_read = extra.mode_read;
    session->tx.notifications_off = notifications_off(session, request->extra);
    session->tx.deadline_us = 0;
    if (extra.timeout_ms > 0) {
        session->tx.deadline_us =
            bpi_loop_now_us(sim->loop) + (bp_usec)extra.timeout_ms * BP_USEC_PER_MS;
    }
    return true;
}

void bpi_sim_begin(struct bpi_sim_session *session, const struct bpi_bolt_request *request)
{
    if (!extra_check(session, request)) {
        return;
    }
    tx_open(session, true);
    if (bpi_sim_answer_begin(session) != 0) {
        bpi_sim_session_close(session, true);
        return;
    }
    bpi_sim_session_after(session, request->tag, BPI_SERVER_SUCCEEDED);
}

static void query_count(struct bpi_sim_session *session)
{
    struct bpi_sim *sim = session->sim;
    pthread_mutex_lock(&sim->mutex);
    sim->stats.queries++;
    struct bpi_sim_user_entry *user =
        bpi_sim_users_find(&sim->users, session->user, strlen(session->user));
    if (user != NULL) {
        user->stats.queries++;
    }
    pthread_mutex_unlock(&sim->mutex);
}

/* Real servers refuse a parameter that comes twice. Quadratic, which a test's few parameters bear. */
static int parameters_check(struct bpi_bolt_span parameters)
{
    struct bpi_pack_reader reader;
    uint32_t left = 0;
    bpi_pack_reader_init(&reader, parameters.data, parameters.size);
    int error = bpi_pack_next_map(&reader, &left);
    for (; error == 0 && left > 0; left--) {
        const char *text = NULL;
        size_t size = 0;
        char key[256];
        struct bpi_bolt_span value;
        error = bpi_pack_next_string(&reader, &text, &size);
        if (error == 0 && size < sizeof(key)) {
            memcpy(key, text, size);
            key[size] = '\0';
            int found =
                bpi_pack_map_find(parameters.data, parameters.size, key, &value.data, &value.size);
            error = found < 0 ? found : 0;
        }
        if (error == 0) {
            error = bpi_pack_skip(&reader, &bpi_pack_limits_open);
        }
    }
    return error;
}

/* Reads the query into a new statement; answers FAILURE itself, then returns NULL. */
static struct bpi_sim_statement *statement_new(struct bpi_sim_session *session,
                                               const struct bpi_bolt_request *request)
{
    struct bpi_pack_reader reader;
    bpi_pack_reader_init(&reader, request->parameters.data, request->parameters.size);
    const char *code = "Neo.ClientError.Request.Invalid";
    const char *message = "A parameter is not a value of this Bolt version.";
    int error =
        bpi_bolt_value_check(&reader, session->version, session->utc_patch, &bpi_pack_limits_open);
    struct bpi_sim_statement *statement = NULL;
    if (error == 0) {
        error = parameters_check(request->parameters);
    }
    if (error == 0) {
        struct bpi_sim_query_context context = {
            .user = session->user,
            .address = session->sim->address,
            .parameters = request->parameters,
        };
        statement = calloc(1, sizeof(*statement));
        error = statement == NULL ? BP_E_NO_MEMORY
                                  : bpi_sim_query_read(request->query, &context, &statement->query,
                                                       &code, &message);
    }
    if (error == 0) {
        return statement;
    }
    if (statement != NULL) {
        bpi_sim_query_done(&statement->query);
        free(statement);
    }
    if (error == BP_E_NO_MEMORY) {
        code = "Neo.TransientError.General.OutOfMemoryError";
        message = "The simulated server is out of memory.";
    }
    bpi_sim_session_fail(session, request->tag, code, message);
    return NULL;
}

void bpi_sim_run(struct bpi_sim_session *session, const struct bpi_bolt_request *request)
{
    struct bpi_sim *sim = session->sim;
    query_count(session);
    if (session->state == BPI_SERVER_READY) {
        if (!extra_check(session, request)) {
            return;
        }
        tx_open(session, false);
    } else if (bpi_sim_tx_timed_out(session)) {
        bpi_sim_session_fail(session, request->tag, TIMED_OUT_CODE, TIMED_OUT_MESSAGE);
        return;
    }
    struct bpi_sim_statement *statement = statement_new(session, request);
    if (statement == NULL) {
        return;
    }
    const struct bpi_sim_query *query = &statement->query;
    statement->qid = session->tx.qid_next++;
    statement->next = session->statements;
    session->statements = statement;
    if (query->close) {
        bpi_sim_session_close(session, true);
        return;
    }
    if (query->drop_after >= 0) {
        session->drop_left = query->drop_after + (int64_t)bpi_buffer_size(&session->answers);
    }
    bp_usec span_us = bpi_sim_service_draw(
        query->has_service ? &query->service : &sim->query_service, &sim->random);
    span_us = (bp_usec)((double)span_us * sim->faults.slow);
    session->work_fails_time = false;
    bp_usec now_us = bpi_loop_now_us(sim->loop);
    if (session->tx.deadline_us != 0 &&
        (query->hang || now_us + span_us > session->tx.deadline_us)) {
        session->work_fails_time = true;
        span_us = session->tx.deadline_us > now_us ? session->tx.deadline_us - now_us : 0;
    } else if (query->hang) {
        bpi_sim_session_work(session, BPI_SIM_WORK_HANG, request->tag, 0);
        return;
    }
    if (span_us > 0 || session->work_fails_time) {
        bpi_sim_session_work(session, BPI_SIM_WORK_RUN, request->tag, span_us);
        return;
    }
    session->work_tag = request->tag;
    bpi_sim_run_end(session);
}

void bpi_sim_run_end(struct bpi_sim_session *session)
{
    struct bpi_sim *sim = session->sim;
    struct bpi_sim_statement *statement = session->statements; /* the newest */
    const struct bpi_sim_query *query = &statement->query;
    bool writes = query->type != BPI_SIM_QUERY_READ;
    const char *code =
        bpi_sim_failure_draw(sim->faults.failures, sim->faults.failure_count, &sim->random);
    const char *message = "The simulated server fails this query.";
    session->work = BPI_SIM_WORK_NONE;
    if (session->work_fails_time) {
        session->work_fails_time = false;
        code = TIMED_OUT_CODE;
        message = TIMED_OUT_MESSAGE;
    } else if (writes && session->tx.mode_read) {
        code = "Neo.ClientError.Statement.AccessMode";
        message = "Writing in read access mode not allowed.";
    } else if (writes && sim->faults.no_leader) {
        code = "Neo.ClientError.Cluster.NotALeader";
        message = "No write operations are allowed on this member.";
    } else if (query->fail_code[0] != '\0' && query->fail_at_row < 0) {
        code = query->fail_code;
        message = "The query asked for a failure.";
    }
    if (code != NULL) {
        bpi_sim_session_fail(session, session->work_tag, code, message);
        return;
    }
    if ((query->id[0] != '\0' &&
         bpi_buffer_append(&session->tx.ids, query->id, strlen(query->id) + 1) != 0) ||
        bpi_sim_answer_run(session, statement) != 0) {
        bpi_sim_session_close(session, true);
        return;
    }
    bpi_sim_session_after(session, session->work_tag, BPI_SERVER_SUCCEEDED);
}

void bpi_sim_commit(struct bpi_sim_session *session)
{
    struct bpi_sim *sim = session->sim;
    if (bpi_sim_tx_timed_out(session)) {
        bpi_sim_session_fail(session, BPI_BOLT_COMMIT, TIMED_OUT_CODE, TIMED_OUT_MESSAGE);
        return;
    }
    const char *code;
    if (!bpi_sim_tx_commit(session, &code)) {
        return;
    }
    if (code != NULL) {
        bpi_sim_session_fail(session, BPI_BOLT_COMMIT, code,
                             "The simulated server fails this commit.");
        return;
    }
    bpi_sim_statements_drop(session);
    bp_usec span_us = bpi_sim_service_draw(&sim->commit_service, &sim->random);
    span_us = (bp_usec)((double)span_us * sim->faults.slow);
    session->work_tag = BPI_BOLT_COMMIT;
    if (span_us > 0) {
        bpi_sim_session_work(session, BPI_SIM_WORK_COMMIT, BPI_BOLT_COMMIT, span_us);
    } else {
        bpi_sim_commit_end(session);
    }
}

void bpi_sim_commit_end(struct bpi_sim_session *session)
{
    struct bpi_sim *sim = session->sim;
    session->work = BPI_SIM_WORK_NONE;
    pthread_mutex_lock(&sim->mutex);
    uint64_t bookmark = sim->bookmark;
    pthread_mutex_unlock(&sim->mutex);
    if (bpi_sim_answer_commit(session, bookmark) != 0) {
        bpi_sim_session_close(session, true);
        return;
    }
    bpi_sim_session_after(session, BPI_BOLT_COMMIT, BPI_SERVER_SUCCEEDED);
}

void bpi_sim_rollback(struct bpi_sim_session *session)
{
    bpi_sim_tx_abandon(session);
    if (bpi_sim_answer_empty(session) != 0) {
        bpi_sim_session_close(session, true);
        return;
    }
    bpi_sim_session_after(session, BPI_BOLT_ROLLBACK, BPI_SERVER_SUCCEEDED);
}
