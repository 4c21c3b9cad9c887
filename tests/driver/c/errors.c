/* Errors: code, message and GQL status, and whether work goes on afterwards. */
#include "env.h"

static json_t *error_syntax(struct env *e)
{
    struct session s = session_lease(e);
    json_t *failure = refused(&s, "RETURN 1 AS", NULL);
    session_close(&s);
    return failure;
}

static json_t *error_runtime(struct env *e)
{
    static const char *const QUERIES[] = {"RETURN 1 / 0", "RETURN $missing",
                                          "CALL no.such.procedure()"};
    json_t *seen = json_array();
    for (int i = 0; i < 3; i++) {
        struct session s = i == 0 ? session_open(e, NULL) : session_lease(e);
        (void)json_array_append_new(seen, refused(&s, QUERIES[i], NULL));
        session_close(&s);
    }
    return seen;
}

static int no_row(void *user, struct bp_result *result, const struct bp_value *row)
{
    (void)user;
    (void)result;
    (void)row;
    return 1;
}

/* Managed: constraints of other runs may make the server ask for a repetition. */
static json_t *error_constraint(struct env *e)
{
    struct bp_failure failure = {0};
    const char *create = say(e, "CREATE (:%s {k: 1})", e->label);
    struct bp_tx_options options = BP_TX_OPTIONS_INIT;
    options.database = "neo4j";
    json_decref(run_rows(
        e, say(e, "CREATE CONSTRAINT %s FOR (n:%s) REQUIRE n.k IS UNIQUE", e->label, e->label),
        NULL));
    if (!failed(e)) {
        int error =
            bp_driver_query(e->driver, NULL, &options, create, NULL, NULL, no_row, NULL, &failure);
        check(e, error == 0, "the first: %s %s", bp_error_name(error), failure.text);
    }
    json_t *seen = json_null();
    if (!failed(e)) {
        int error =
            bp_driver_query(e->driver, NULL, &options, create, NULL, NULL, no_row, NULL, &failure);
        check(e, error == BP_E_SERVER_FAILURE, "the second: %s", bp_error_name(error));
        seen = told(e, &failure);
    }
    json_decref(run_rows(e, say(e, "DROP CONSTRAINT %s", e->label), NULL));
    return json_pack("[o, o]", seen, count(e));
}

static json_t *error_then_continue(struct env *e)
{
    json_t *seen = json_array();
    struct session s = session_lease(e);
    for (int i = 0; i < 5; i++) {
        (void)json_array_append_new(seen, refused(&s, "RETURN x", NULL));
        (void)json_array_append_new(seen, one(&s, "RETURN $i", params_int(e, "i", i)));
        (void)json_array_append_new(seen, refused(&s, "RETURN 1 / 0 AS x", NULL));
    }
    check(e, failed(e) || bp_bolt_reset(s.bolt, 0) == 0, "bp_bolt_reset");
    (void)json_array_append_new(seen, one(&s, "RETURN 'after RESET'", NULL));
    session_close(&s);
    return seen;
}

/* A database that does not exist: alone, in a transaction, and by server-side routing. */
static json_t *error_database(struct env *e)
{
    json_t *seen = json_array();
    struct session s = session_lease(e);
    s.options.database = "nosuchdb";
    (void)json_array_append_new(seen, refused(&s, "RETURN 1", NULL));
    if (!failed(e)) {
        int error = bp_bolt_begin(s.bolt, &s.options);
        if (error == 0) { /* servers may look at it with the first query only */
            (void)json_array_append_new(seen, refused(&s, "RETURN 1", NULL));
            (void)good(e, s.bolt, bp_bolt_rollback(s.bolt), "bp_bolt_rollback");
        } else {
            (void)json_array_append_new(seen, refused_call(&s, error));
        }
    }
    s.options.database = "neo4j";
    (void)json_array_append_new(seen, one(&s, "RETURN 1", NULL));
    session_close(&s);
    struct bp_bolt_config config;
    bolt_config(e, &config);
    config.url = with_scheme(e, "neo4j");
    struct session routed = session_open(e, &config);
    routed.options.database = "nosuchdb";
    (void)json_array_append_new(seen, refused(&routed, "RETURN 1", NULL));
    session_close(&routed);
    return seen;
}

static json_t *error_bookmark(struct env *e)
{
    struct bp_bookmarks *bookmarks = NULL;
    struct session s = session_lease(e);
    (void)good(e, NULL, bp_bookmarks_new(&bookmarks), "bp_bookmarks_new");
    (void)good(e, NULL, bp_bookmarks_add(bookmarks, "not a bookmark"), "bp_bookmarks_add");
    s.options.bookmarks = bookmarks;
    json_t *failure = refused(&s, "RETURN 1", NULL);
    s.options.bookmarks = NULL;
    json_t *value = one(&s, "RETURN 1", NULL);
    session_close(&s);
    bp_bookmarks_free(bookmarks);
    return json_pack("[o, o]", failure, value);
}

static int run_it(void *user, struct bp_bolt *bolt)
{
    const char *const *query = user;
    struct bp_result *result;
    int error = bp_bolt_run(bolt, *query, NULL, NULL, &result);
    return error == 0 ? bp_result_free(result) : error;
}

/* A write in read mode: alone, and managed. */
static json_t *error_read_mode(struct env *e)
{
    const char *query = say(e, "CREATE (:%s)", e->label);
    struct bp_failure failure = {0};
    struct session s = session_lease(e);
    s.options.access = BP_ACCESS_READ;
    json_t *alone = refused(&s, query, NULL);
    json_t *managed = json_null();
    if (!failed(e)) {
        int error = bp_driver_execute(e->driver, NULL, &s.options, run_it, &query, &failure);
        check(e, error == BP_E_SERVER_FAILURE, "managed: %s", bp_error_name(error));
        managed = told(e, &failure);
    }
    session_close(&s);
    return json_pack("[o, o, o]", alone, managed, count(e));
}

static json_t *error_impersonation(struct env *e)
{
    struct session s = session_lease(e);
    s.options.impersonated_user = e->alice;
    json_t *failure = refused(&s, "RETURN 1", NULL);
    s.options.impersonated_user = NULL;
    json_t *value = one(&s, "RETURN 1", NULL);
    session_close(&s);
    return json_pack("[o, o]", failure, value);
}

/* A query with such parameters must not be sent. */
static void unsent(struct session *s, struct bp_params *params, int expected, const char *what)
{
    struct bp_result *result = NULL;
    if (failed(s->env)) {
        return;
    }
    int error = bp_bolt_run(s->bolt, "RETURN $v", params, &s->options, &result);
    check(s->env, error == expected && bp_params_error(params) == expected, "%s: %s instead of %s",
          what, bp_error_name(error), bp_error_name(expected));
    check(s->env, bp_bolt_get_state(s->bolt) == BP_BOLT_READY, "%s: not ready afterwards", what);
    bp_params_clear(params);
    (void)bp_params_int(params, "v", 1);
    check(s->env, bp_params_error(params) == 0, "%s: an error after bp_params_clear()", what);
}

/* Values that never reach the server; the connection goes on. */
static json_t *error_parameters(struct env *e)
{
    struct session s = session_lease(e);
    struct bp_params *params = params_new(e);
    struct bp_result *result = run(&s, say(e, "CREATE (n:%s) RETURN n", e->label), NULL);
    const struct bp_value *row = next(&s, result);
    if (row != NULL) {
        int error = bp_params_value(params, "v", row);
        check(e, error == BP_E_TYPE, "a node: %s", bp_error_name(error));
    }
    (void)bp_result_free(result);
    unsent(&s, params, BP_E_TYPE, "a node");
    bp_params_clear(params);
    (void)bp_params_text(params, "v", "\xff", 1);
    unsent(&s, params, BP_E_UTF8, "not UTF-8");
    bp_params_clear(params);
    (void)bp_params_text(params, "v", "\xed\xa0\x80", 3);
    unsent(&s, params, BP_E_UTF8, "half a surrogate pair");
    bp_params_clear(params);
    for (int i = 0; i < 70; i++) {
        (void)bp_params_list(params, i == 0 ? "v" : NULL);
    }
    for (int i = 0; i < 70; i++) {
        (void)bp_params_end(params);
    }
    unsent(&s, params, BP_E_DEPTH, "70 lists in each other");
    bp_params_clear(params);
    (void)bp_params_list(params, "v");
    if (!failed(e)) {
        int error = bp_bolt_run(s.bolt, "RETURN $v", params, &s.options, &result);
        check(e, error == BP_E_USAGE, "an open list: %s", bp_error_name(error));
    }
    bp_params_clear(params);
    (void)bp_params_int(params, "v", 1);
    (void)bp_params_int(params, "v", 2);
    unsent(&s, params, BP_E_USAGE, "a key twice");
    json_t *value = one(&s, "RETURN $v", params);
    json_t *missing = refused(&s, "RETURN $v", params_int(e, "w", 1));
    json_t *refused_there = refused(&s, "RETURN date($v)", params_string(e, "v", "no date"));
    session_close(&s);
    return json_pack("[o, o, o, o]", value, missing, refused_there, count(e));
}

const struct scenario error_scenarios[] = {
    {"error_syntax", error_syntax},         {"error_runtime", error_runtime},
    {"error_constraint", error_constraint}, {"error_then_continue", error_then_continue},
    {"error_database", error_database},     {"error_bookmark", error_bookmark},
    {"error_read_mode", error_read_mode},   {"error_impersonation", error_impersonation},
    {"error_parameters", error_parameters}, {NULL, NULL},
};
