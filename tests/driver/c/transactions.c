/* Explicit transactions, on leased connections and on one of their own. */
#include "env.h"

#include <unistd.h>

static void begin(struct session *s)
{
    if (!failed(s->env)) {
        (void)good(s->env, s->bolt, bp_bolt_begin(s->bolt, &s->options), "bp_bolt_begin");
        check(s->env, failed(s->env) || bp_bolt_get_state(s->bolt) == BP_BOLT_TRANSACTION,
              "no transaction after bp_bolt_begin()");
    }
}

static void commit(struct session *s)
{
    if (!failed(s->env)) {
        (void)good(s->env, s->bolt, bp_bolt_commit(s->bolt), "bp_bolt_commit");
        check(s->env, failed(s->env) || bp_bolt_get_state(s->bolt) == BP_BOLT_READY,
              "not ready after bp_bolt_commit()");
    }
}

static void rollback(struct session *s)
{
    if (!failed(s->env)) {
        (void)good(s->env, s->bolt, bp_bolt_rollback(s->bolt), "bp_bolt_rollback");
        check(s->env, failed(s->env) || bp_bolt_get_state(s->bolt) == BP_BOLT_READY,
              "not ready after bp_bolt_rollback()");
    }
}

static const char *create(struct env *e)
{
    return say(e, "CREATE (:%s)", e->label);
}

static const char *counting(struct env *e)
{
    return say(e, "MATCH (n:%s) RETURN count(n)", e->label);
}

/* Seen from inside and outside; the second time on a connection of its own. */
static json_t *tx_commit(struct env *e)
{
    json_t *seen = json_array();
    for (int i = 0; i < 2; i++) {
        struct session s = i == 0 ? session_lease(e) : session_open(e, NULL);
        begin(&s);
        drain(&s, create(e), NULL);
        (void)json_array_append_new(seen, one(&s, counting(e), NULL));
        (void)json_array_append_new(seen, count(e));
        commit(&s);
        (void)json_array_append_new(seen, count(e));
        session_close(&s);
    }
    return seen;
}

static json_t *tx_rollback(struct env *e)
{
    json_t *seen = json_array();
    struct session s = session_lease(e);
    begin(&s);
    drain(&s, create(e), NULL);
    rollback(&s);
    (void)json_array_append_new(seen, count(e));
    begin(&s);
    drain(&s, create(e), NULL);
    (void)good(e, s.bolt, bp_bolt_reset(s.bolt, 0), "bp_bolt_reset");
    (void)json_array_append_new(seen, one(&s, counting(e), NULL));
    session_close(&s);
    struct session own = session_open(e, NULL);
    begin(&own);
    drain(&own, create(e), NULL);
    session_close(&own);
    (void)json_array_append_new(seen, count(e));
    return seen;
}

static json_t *tx_empty(struct env *e)
{
    struct session s = session_lease(e);
    for (int i = 0; i < 5; i++) {
        begin(&s);
        commit(&s);
        begin(&s);
        rollback(&s);
    }
    json_t *value = one(&s, "RETURN 1", NULL);
    session_close(&s);
    return value;
}

/* A lease that is given back with an open transaction, and with a failed one. */
static json_t *tx_session_closed(struct env *e)
{
    for (int i = 0; i < 4; i++) {
        struct session s = session_lease(e);
        begin(&s);
        drain(&s, create(e), NULL);
        if (i % 2 == 1) {
            json_decref(refused(&s, "RETURN 1 / 0", NULL));
        }
        session_close(&s);
    }
    return count(e);
}

/* Commit while a result is unread, and after one was freed unread: what it writes is written all the same. A failure in
 * rows that nobody reads is the commit's. */
static json_t *tx_abandoned_stream(struct env *e)
{
    struct session s = session_lease(e);
    const char *query =
        say(e, "UNWIND range(1, 5000) AS i CREATE (n:%s {i: i}) RETURN n.i", e->label);
    json_t *seen = json_array();
    for (int i = 0; i < 2; i++) {
        begin(&s);
        struct bp_result *result = run(&s, query, NULL);
        const struct bp_value *row = next(&s, result);
        (void)json_array_append_new(seen, row == NULL ? json_null() : shown(e, row));
        if (i == 1) {
            (void)bp_result_free(result);
        }
        commit(&s);
        if (i == 0) {
            (void)bp_result_free(result);
        }
        json_t *written = count(e);
        check(e, failed(e) || json_integer_value(written) == 5000 * (i + 1),
              "%lld of %d nodes are there", (long long)json_integer_value(written), 5000 * (i + 1));
        (void)json_array_append_new(seen, written);
    }
    begin(&s);
    drain(&s, say(e, "CREATE (n:%s)", e->label), NULL);
    struct bp_result *failing = run(&s, "UNWIND [1, 0] AS x RETURN 1 / x", NULL);
    if (failing != NULL && !failed(e)) {
        int error = bp_result_free(failing);
        check(e, error == 0, "freed unread: %s", bp_error_name(error));
        error = bp_bolt_commit(s.bolt);
        check(e, error == BP_E_SERVER_FAILURE, "a commit after it: %s", bp_error_name(error));
        (void)json_array_append_new(seen, refused_call(&s, error));
    }
    if (!failed(e) && bp_bolt_get_state(s.bolt) != BP_BOLT_READY) {
        (void)good(e, s.bolt, bp_bolt_rollback(s.bolt), "bp_bolt_rollback");
    }
    (void)json_array_append_new(seen, one(&s, "RETURN 'next'", NULL));
    session_close(&s);
    (void)json_array_append_new(seen, count(e));
    return seen;
}

static json_t *tx_metadata(struct env *e)
{
    const char *show =
        say(e,
            "SHOW TRANSACTIONS YIELD metaData, username, database WHERE metaData.tag = '%s' "
            "RETURN metaData.list, metaData.n, username, database",
            e->tag);
    struct bp_params *metadata = params_string(e, "tag", e->tag);
    (void)bp_params_list(metadata, "list");
    (void)bp_params_int(metadata, NULL, 1);
    (void)bp_params_int(metadata, NULL, 2);
    (void)bp_params_end(metadata);
    (void)bp_params_int(metadata, "n", 1);
    struct session s = session_lease(e);
    s.options.metadata = metadata;
    s.options.timeout_ms = 30000;
    begin(&s);
    drain(&s, "RETURN 1", NULL);
    json_t *other = run_rows(e, show, NULL);
    json_t *inside = rows(&s, show, NULL);
    commit(&s);
    json_t *alone = rows(&s, show, NULL);
    s.options.metadata = NULL;
    json_t *without = rows(&s, show, NULL);
    check(e, json_array_size(other) == 1, "the transaction isn't shown");
    check(e, json_array_size(without) == 0, "metadata of a query before");
    session_close(&s);
    bp_params_free(metadata);
    return json_pack("[o, o, o, o]", other, inside, alone, without);
}

static json_t *pause_in_tx(struct env *e)
{
    struct session s = session_lease(e);
    begin(&s);
    drain(&s, create(e), NULL);
    (void)usleep(500000);
    json_t *value = one(&s, counting(e), NULL);
    commit(&s);
    session_close(&s);
    return value;
}

/* Two results of one transaction, read in turns, in batches that do not meet. */
static json_t *result_two_open(struct env *e)
{
    struct session s = session_lease(e);
    json_t *seen = json_array();
    s.options.fetch_size = 5;
    begin(&s);
    struct bp_result *a = run(&s, "UNWIND range(1, 40) AS i RETURN i", NULL);
    struct bp_result *b = run(&s, "UNWIND range(101, 130) AS i RETURN i", NULL);
    const struct bp_value *row;
    bool is_b_open = true;
    while ((row = next(&s, a)) != NULL) {
        (void)json_array_append_new(seen, shown(e, row));
        row = is_b_open ? next(&s, b) : NULL;
        is_b_open = row != NULL;
        if (is_b_open) {
            (void)json_array_append_new(seen, shown(e, row));
        }
    }
    (void)bp_result_free(a);
    (void)bp_result_free(b);
    commit(&s);
    session_close(&s);
    check(e, failed(e) || json_array_size(seen) == 70, "%zu values", json_array_size(seen));
    return seen;
}

static json_t *error_in_tx(struct env *e)
{
    struct session s = session_lease(e);
    json_t *seen = json_array();
    begin(&s);
    drain(&s, create(e), NULL);
    (void)json_array_append_new(seen, refused(&s, "RETURN x", NULL));
    check(e, failed(e) || bp_bolt_get_state(s.bolt) == BP_BOLT_FAILED, "the transaction goes on");
    (void)json_array_append_new(seen, refused(&s, "RETURN 1", NULL));
    if (!failed(e)) {
        int error = bp_bolt_commit(s.bolt);
        check(e, error == BP_E_SERVER_FAILURE, "commit: %s", bp_error_name(error));
        (void)json_array_append_new(seen, refused_call(&s, error));
    }
    rollback(&s);
    (void)json_array_append_new(seen, one(&s, "RETURN 1", NULL));
    session_close(&s);
    (void)json_array_append_new(seen, count(e));
    return seen;
}

/* The servers look for time-outs every 100 ms (configured); the transaction is idle when it ends. */
static json_t *error_tx_timeout(struct env *e)
{
    struct session s = session_lease(e);
    s.options.timeout_ms = 1000;
    begin(&s);
    drain(&s, create(e), NULL);
    (void)usleep(2200000);
    json_t *failure = refused(&s, "RETURN 1", NULL);
    rollback(&s);
    s.options.timeout_ms = 0;
    json_t *value = one(&s, "RETURN 1", NULL);
    session_close(&s);
    return json_pack("[o, o, o]", failure, value, count(e));
}

const struct scenario transaction_scenarios[] = {
    {"tx_commit", tx_commit},
    {"tx_rollback", tx_rollback},
    {"tx_empty", tx_empty},
    {"tx_session_closed", tx_session_closed},
    {"tx_abandoned_stream", tx_abandoned_stream},
    {"tx_metadata", tx_metadata},
    {"pause_in_tx", pause_in_tx},
    {"result_two_open", result_two_open},
    {"error_in_tx", error_in_tx},
    {"error_tx_timeout", error_tx_timeout},
    {NULL, NULL},
};
