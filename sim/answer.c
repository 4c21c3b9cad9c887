/* What a simulated server writes in its SUCCESS maps and RECORDs, exact by version (neo4j 4.4.48, 5.26.30
 * and 2026.08.1 were asked). Nothing here changes a session's state.
 */
#include <boltpool/error.h>

#include "bolt/chunk.h"
#include "sim/server_types.h"
#include "sim/session.h"

#include <stdio.h>
#include <string.h>

struct answer {
    struct bpi_pack_writer writer;
    size_t mark;
};

static int answer_start(struct bpi_sim_session *session, struct answer *answer, size_t pairs)
{
    int error = bpi_chunk_begin(&session->answers, &answer->mark);
    if (error == 0) {
        bpi_pack_writer_init(&answer->writer, &session->answers);
        bpi_pack_struct(&answer->writer, BPI_BOLT_SUCCESS, 1);
        bpi_pack_map(&answer->writer, pairs);
    }
    return error;
}

static int answer_finish(struct bpi_sim_session *session, struct answer *answer)
{
    int error = answer->writer.status;
    if (error == 0) {
        error = bpi_chunk_end(&session->answers, answer->mark);
    }
    if (error != 0) {
        bpi_chunk_abort(&session->answers, answer->mark);
    }
    return error;
}

static void pair_text(struct answer *answer, const char *key, const char *text)
{
    bpi_pack_text(&answer->writer, key);
    bpi_pack_text(&answer->writer, text);
}

static void pair_int(struct answer *answer, const char *key, int64_t value)
{
    bpi_pack_text(&answer->writer, key);
    bpi_pack_int(&answer->writer, value);
}

static void pair_true(struct answer *answer, const char *key)
{
    bpi_pack_text(&answer->writer, key);
    bpi_pack_bool(&answer->writer, true);
}

/* No real server says this: only where it was asked for. */
static void pair_service(struct bpi_sim_session *session, struct answer *answer)
{
    pair_int(answer, "service_us", (int64_t)bpi_sim_session_service_take(session));
}

/* Of this server alone, as a real one's are. */
static void pair_bookmark(struct bpi_sim_session *session, struct answer *answer, uint64_t bookmark)
{
    char text[48];
    snprintf(text, sizeof(text), "sim:%u:%llu", (unsigned)bpi_sim_port(session->sim),
             (unsigned long long)bookmark);
    pair_text(answer, "bookmark", text);
}

int bpi_sim_answer_empty(struct bpi_sim_session *session)
{
    return bpi_bolt_write_success(&session->answers, (struct bpi_bolt_span){0});
}

int bpi_sim_answer_hello(struct bpi_sim_session *session, bool utc_patch)
{
    const struct bpi_sim *sim = session->sim;
    bpi_bolt_version version = session->version;
    bool ssr = version >= BPI_BOLT(5, 8);
    struct answer answer;
    int error =
        answer_start(session, &answer, 3 + (size_t)utc_patch + (size_t)session->handshake.manifest);
    if (error != 0) {
        return error;
    }
    char text[48];
    pair_text(&answer, "server", sim->agent);
    snprintf(text, sizeof(text), "bolt-%llu", (unsigned long long)session->number);
    pair_text(&answer, "connection_id", text);
    bpi_pack_text(&answer.writer, "hints");
    bpi_pack_map(&answer.writer, ssr ? 2 : 1);
    /* Two missed keep-alives; drivers refuse 0. */
    int64_t seconds = (int64_t)(sim->keep_alive_us * 2 / BP_USEC_PER_SECOND);
    pair_int(&answer, "connection.recv_timeout_seconds", seconds > 0 ? seconds : 1);
    if (ssr) {
        pair_true(&answer, "ssr.enabled");
    }
    if (utc_patch) {
        bpi_pack_text(&answer.writer, "patch_bolt");
        bpi_pack_list(&answer.writer, 1);
        bpi_pack_text(&answer.writer, "utc");
    }
    if (session->handshake.manifest) {
        pair_text(&answer, "protocol_version",
                  bpi_bolt_version_format(version, text, sizeof(text)));
    }
    return answer_finish(session, &answer);
}

int bpi_sim_answer_logon(struct bpi_sim_session *session)
{
    if (session->version < BPI_BOLT(5, 8)) {
        return bpi_sim_answer_empty(session);
    }
    struct answer answer;
    int error = answer_start(session, &answer, 1);
    if (error != 0) {
        return error;
    }
    pair_text(&answer, "advertised_address", session->sim->address);
    return answer_finish(session, &answer);
}

/* From 5.8 a server names the database that it chose. */
static bool names_db(const struct bpi_sim_session *session)
{
    return bpi_bolt_has_home_db(session->version) && !session->tx.db_named;
}

int bpi_sim_answer_begin(struct bpi_sim_session *session)
{
    if (!names_db(session)) {
        return bpi_sim_answer_empty(session);
    }
    struct answer answer;
    int error = answer_start(session, &answer, 1);
    if (error != 0) {
        return error;
    }
    pair_text(&answer, "db", session->tx.db);
    return answer_finish(session, &answer);
}

int bpi_sim_answer_run(struct bpi_sim_session *session, const struct bpi_sim_statement *statement)
{
    const struct bpi_sim_query *query = &statement->query;
    bool db = !session->tx.is_explicit && names_db(session);
    struct answer answer;
    int error = answer_start(session, &answer, 2 + (size_t)session->tx.is_explicit + (size_t)db);
    if (error != 0) {
        return error;
    }
    pair_int(&answer, "t_first", 0);
    bpi_pack_text(&answer.writer, "fields");
    bpi_pack_list(&answer.writer, query->column_count + (size_t)(query->row_bytes > 0));
    if (bpi_buffer_size(&query->fields) > 0) {
        bpi_pack_raw(&answer.writer, bpi_buffer_head(&query->fields),
                     bpi_buffer_size(&query->fields));
    }
    if (session->tx.is_explicit) {
        pair_int(&answer, "qid", statement->qid);
    }
    if (db) {
        pair_text(&answer, "db", session->tx.db);
    }
    return answer_finish(session, &answer);
}

int bpi_sim_answer_more(struct bpi_sim_session *session)
{
    struct answer answer;
    int error = answer_start(session, &answer, 1);
    if (error != 0) {
        return error;
    }
    pair_true(&answer, "has_more");
    return answer_finish(session, &answer);
}

static const char *type_letter(enum bpi_sim_query_type type)
{
    switch (type) {
    case BPI_SIM_QUERY_WRITE:
        return "w";
    case BPI_SIM_QUERY_READ_WRITE:
        return "rw";
    case BPI_SIM_QUERY_SCHEMA:
        return "s";
    case BPI_SIM_QUERY_READ:
        break;
    }
    return "r";
}

static void stats_write(struct bpi_sim_session *session,
                        struct answer *answer,
                        const struct bpi_sim_query *query)
{
    bool contains = session->version >= BPI_BOLT(4, 4);
    bpi_pack_text(&answer->writer, "stats");
    if (query->type == BPI_SIM_QUERY_SCHEMA) {
        bpi_pack_map(&answer->writer, 1 + (size_t)contains);
        pair_int(answer, "system-updates", 1);
        if (contains) {
            pair_true(answer, "contains-system-updates");
        }
        return;
    }
    bpi_pack_map(&answer->writer, 3 + (size_t)contains);
    if (contains) {
        pair_true(answer, "contains-updates");
    }
    pair_int(answer, "labels-added", 1);
    pair_int(answer, "nodes-created", 1);
    pair_int(answer, "properties-set", 1);
}

static void notification_write(const struct bpi_sim_session *session, struct answer *answer)
{
    bool category = bpi_bolt_has_notification_filter(session->version);
    bpi_pack_text(&answer->writer, "notifications");
    bpi_pack_list(&answer->writer, 1);
    bpi_pack_map(&answer->writer, 4 + (size_t)category);
    pair_text(answer, "code", "Neo.ClientNotification.Statement.SimulatedWarning");
    pair_text(answer, "title", "The query asked for a notification.");
    pair_text(answer, "description", "A notification of a simulated server.");
    pair_text(answer, "severity", "INFORMATION");
    if (category) {
        pair_text(answer, "category", "GENERIC");
    }
}

static void statuses_write(struct answer *answer,
                           const struct bpi_sim_statement *statement,
                           bool discarded,
                           bool notify)
{
    bpi_pack_text(&answer->writer, "statuses");
    bpi_pack_list(&answer->writer, notify ? 2 : 1);
    bpi_pack_map(&answer->writer, 2);
    if (discarded) {
        pair_text(answer, "gql_status", "02N42");
        pair_text(answer, "status_description", "note: no data - unknown subcondition");
    } else if (statement->query.column_count == 0) {
        pair_text(answer, "gql_status", "00001");
        pair_text(answer, "status_description", "note: successful completion - omitted result");
    } else if (statement->rows_done == 0) {
        pair_text(answer, "gql_status", "02000");
        pair_text(answer, "status_description", "note: no data");
    } else {
        pair_text(answer, "gql_status", "00000");
        pair_text(answer, "status_description", "note: successful completion");
    }
    if (notify) {
        bpi_pack_map(&answer->writer, 5);
        pair_text(answer, "gql_status", "03N42");
        pair_text(answer, "status_description", "info: a status of a simulated server");
        pair_text(answer, "neo4j_code", "Neo.ClientNotification.Statement.SimulatedWarning");
        pair_text(answer, "title", "The query asked for a notification.");
        bpi_pack_text(&answer->writer, "diagnostic_record");
        bpi_pack_map(&answer->writer, 2);
        pair_text(answer, "_classification", "GENERIC");
        pair_text(answer, "_severity", "INFORMATION");
    }
}

int bpi_sim_answer_end(struct bpi_sim_session *session,
                       const struct bpi_sim_statement *statement,
                       bool discarded,
                       uint64_t bookmark)
{
    const struct bpi_sim_query *query = &statement->query;
    bool statuses = session->version >= BPI_BOLT(5, 6);
    bool notify = query->notify && !session->tx.notifications_off;
    bool updates = query->type != BPI_SIM_QUERY_READ;
    /* A 4.4 server leaves the database out when the result was discarded. */
    bool db = !discarded || session->version >= BPI_BOLT(5, 0);
    bool service = session->sim->service_report && !session->tx.is_explicit;
    size_t pairs = 2 + (size_t)db + (size_t)updates + (size_t)(bookmark > 0) +
                   (size_t)(statuses || notify) + (size_t)service;
    struct answer answer;
    int error = answer_start(session, &answer, pairs);
    if (error != 0) {
        return error;
    }
    if (bookmark > 0) {
        pair_bookmark(session, &answer, bookmark);
    }
    if (statuses) {
        statuses_write(&answer, statement, discarded, notify);
    } else if (notify) {
        notification_write(session, &answer);
    }
    if (service) {
        pair_service(session, &answer);
    }
    pair_text(&answer, "type", type_letter(query->type));
    pair_int(&answer, "t_last", 0);
    if (updates) {
        stats_write(session, &answer, query);
    }
    if (db) {
        pair_text(&answer, "db", session->tx.db);
    }
    return answer_finish(session, &answer);
}

int bpi_sim_answer_commit(struct bpi_sim_session *session, uint64_t bookmark)
{
    struct answer answer;
    int error = answer_start(session, &answer, 1 + (size_t)session->sim->service_report);
    if (error != 0) {
        return error;
    }
    pair_bookmark(session, &answer, bookmark);
    if (session->sim->service_report) {
        pair_service(session, &answer);
    }
    return answer_finish(session, &answer);
}

static void payload_write(struct bpi_pack_writer *writer, uint32_t size, uint64_t row)
{
    static const uint8_t fill[1024] = {0};
    uint8_t head[5] = {0xce, (uint8_t)(size >> 24), (uint8_t)(size >> 16), (uint8_t)(size >> 8),
                       (uint8_t)size};
    bpi_pack_raw(writer, head, sizeof(head));
    uint8_t first = (uint8_t)row; /* so that mixed-up rows are seen */
    bpi_pack_raw(writer, &first, 1);
    for (uint32_t left = size - 1; left > 0;) {
        uint32_t part = left < sizeof(fill) ? left : (uint32_t)sizeof(fill);
        bpi_pack_raw(writer, fill, part);
        left -= part;
    }
}

int bpi_sim_answer_record(struct bpi_sim_session *session,
                          const struct bpi_sim_query *query,
                          uint64_t row)
{
    size_t mark;
    int error = bpi_chunk_begin(&session->answers, &mark);
    if (error != 0) {
        return error;
    }
    struct bpi_pack_writer writer;
    bpi_pack_writer_init(&writer, &session->answers);
    bpi_pack_struct(&writer, BPI_BOLT_RECORD, 1);
    bpi_pack_list(&writer, query->column_count + (size_t)(query->row_bytes > 0));
    for (uint32_t i = 0; i < query->column_count; i++) {
        const struct bpi_sim_column *column = &query->columns[i];
        if (column->size == 0) {
            bpi_pack_int(&writer, (int64_t)((uint64_t)query->row_first + row));
        } else {
            bpi_pack_raw(&writer, bpi_buffer_head(&query->values) + column->offset, column->size);
        }
    }
    if (query->row_bytes > 0) {
        payload_write(&writer, query->row_bytes, row);
    }
    error = writer.status;
    if (error == 0) {
        error = bpi_chunk_end(&session->answers, mark);
    }
    if (error != 0) {
        bpi_chunk_abort(&session->answers, mark);
    }
    return error;
}
