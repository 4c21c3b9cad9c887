#include "env.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define SECOND 1000000

struct text {
    struct text *next;
    char data[];
};

/* ---- what is wrong ---- */

void fail(struct env *e, const char *format, ...)
{
    va_list arguments;
    pthread_mutex_lock(&e->mutex);
    if (e->problem[0] == '\0') {
        va_start(arguments, format);
        (void)vsnprintf(e->problem, sizeof(e->problem), format, arguments);
        va_end(arguments);
    }
    pthread_mutex_unlock(&e->mutex);
}

bool failed(struct env *e)
{
    pthread_mutex_lock(&e->mutex);
    bool is_failed = e->problem[0] != '\0';
    pthread_mutex_unlock(&e->mutex);
    return is_failed;
}

bool good(struct env *e, const struct bp_bolt *bolt, int error, const char *what)
{
    if (error != 0) {
        const struct bp_failure *failure = bolt == NULL ? NULL : bp_bolt_failure(bolt);
        bool is_told = failure != NULL && failure->error == error;
        fail(e, "%.200s: %s: %s %s", what, bp_error_name(error),
             is_told ? failure->code : bp_error_text(error), is_told ? failure->text : "");
    }
    return error == 0;
}

json_t *told(struct env *e, const struct bp_failure *failure)
{
    return json_pack("{s:s, s:b, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "error",
                     bp_error_name(failure->error), "retryable", failure->retryable, "code",
                     failure->code, "text", clean(e, failure->text), "gql", failure->gql_status,
                     "description", clean(e, failure->gql_description), "classification",
                     failure->gql_classification, "cause", failure->gql_cause_status,
                     "cause description", clean(e, failure->gql_cause_description));
}

/* ---- texts ---- */

/* Room for so many bytes until the scenario's end; the program ends where there is none. */
static char *keep(struct env *e, size_t size)
{
    struct text *text = malloc(sizeof(*text) + size);
    if (text == NULL) {
        abort();
    }
    pthread_mutex_lock(&e->mutex);
    text->next = e->texts;
    e->texts = text;
    pthread_mutex_unlock(&e->mutex);
    return text->data;
}

const char *say(struct env *e, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length < 0) {
        abort();
    }
    char *text = keep(e, (size_t)length + 1);
    va_start(arguments, format);
    (void)vsnprintf(text, (size_t)length + 1, format, arguments);
    va_end(arguments);
    return text;
}

const char *clean(struct env *e, const char *text)
{
    size_t length = strlen(e->tag);
    char *cleaned = keep(e, strlen(text) + 1);
    char *to = cleaned;
    while (*text != '\0') {
        if (strncasecmp(text, e->tag, length) == 0) {
            memcpy(to, "TAG", 3);
            to += 3;
            text += length;
        } else if (isdigit((unsigned char)*text)) {
            *to++ = '#';
            while (isdigit((unsigned char)*text)) {
                text++;
            }
        } else {
            *to++ = *text++;
        }
    }
    *to = '\0';
    return cleaned;
}

const char *with_scheme(struct env *e, const char *scheme)
{
    return say(e, "%s%s", scheme, e->uri + strspn(e->uri, "abcdefghijklmnopqrstuvwxyz0123456789"));
}

json_t *string_of(struct bp_text text)
{
    json_t *string = text.data == NULL ? json_null() : json_stringn(text.data, text.size);
    return string == NULL ? json_string("not UTF-8") : string;
}

bool text_is(struct bp_text text, const char *expected)
{
    return text.data != NULL && text.size == strlen(expected) &&
           memcmp(text.data, expected, text.size) == 0;
}

/* ---- connections ---- */

void bolt_config(struct env *e, struct bp_bolt_config *config)
{
    bp_bolt_config_init(config);
    config->url = e->uri;
    config->user = e->user;
    config->password = e->password;
    config->tls_ca_file = e->ca_file;
    config->user_agent = "boltpool-scenarios/1.0";
}

void driver_config(struct env *e, struct bp_driver_config *config)
{
    bp_driver_config_init(config);
    bolt_config(e, &config->bolt);
    config->pool.idle_min = 1;
    config->pool.name = e->tag;
}

struct bp_driver *driver_open(struct env *e, const struct bp_driver_config *config)
{
    struct bp_driver *driver = NULL;
    (void)good(e, NULL, bp_driver_new(config, &driver), "bp_driver_new");
    return driver;
}

void driver_close(struct env *e, struct bp_driver *driver)
{
    (void)good(e, NULL, bp_driver_free(driver, 10 * SECOND), "bp_driver_free");
}

static struct session session_init(struct env *e)
{
    struct session session = {.env = e};
    session.options = (struct bp_tx_options)BP_TX_OPTIONS_INIT;
    session.options.database = "neo4j";
    return session;
}

struct session session_lease_from(struct env *e, struct bp_driver *driver)
{
    struct session session = session_init(e);
    struct bp_refusal refusal = {0};
    struct bp_operation operation = BP_OPERATION_INIT;
    operation.name = "scenario";
    operation.reterr_refusal = &refusal;
    if (driver != NULL && !failed(e)) {
        int error =
            bp_driver_acquire(driver, &operation, 60 * SECOND, &session.lease, &session.bolt);
        if (error != 0) {
            fail(e, "bp_driver_acquire: %s: %s", bp_error_name(error), refusal.text);
            session.bolt = NULL;
            session.lease = NULL;
        } else {
            check(e, bp_bolt_get_state(session.bolt) == BP_BOLT_READY, "a lease isn't ready");
        }
    }
    return session;
}

struct session session_lease(struct env *e)
{
    return session_lease_from(e, e->driver);
}

struct session session_open(struct env *e, const struct bp_bolt_config *config)
{
    struct session session = session_init(e);
    struct bp_bolt_config own;
    struct bp_failure failure = {0};
    bolt_config(e, &own);
    if (!failed(e)) {
        int error = bp_bolt_open(config == NULL ? &own : config, &session.bolt, &failure);
        if (error != 0) {
            fail(e, "bp_bolt_open: %s: %s %s", bp_error_name(error), failure.code, failure.text);
            session.bolt = NULL;
        }
    }
    return session;
}

void session_close(struct session *s)
{
    if (s->lease != NULL) {
        (void)good(s->env, NULL, bp_driver_release(s->lease), "bp_driver_release");
    } else {
        bp_bolt_close(s->bolt);
    }
    s->lease = NULL;
    s->bolt = NULL;
}

/* ---- queries ---- */

struct bp_params *params_new(struct env *e)
{
    struct bp_params *params = NULL;
    (void)good(e, NULL, bp_params_new(&params), "bp_params_new");
    return params;
}

struct bp_params *params_int(struct env *e, const char *key, int64_t value)
{
    struct bp_params *params = params_new(e);
    (void)good(e, NULL, bp_params_int(params, key, value), "bp_params_int");
    return params;
}

struct bp_params *params_string(struct env *e, const char *key, const char *value)
{
    struct bp_params *params = params_new(e);
    (void)good(e, NULL, bp_params_string(params, key, value), "bp_params_string");
    return params;
}

struct bp_result *run(struct session *s, const char *query, struct bp_params *params)
{
    struct bp_result *result = NULL;
    if (s->bolt != NULL && !failed(s->env)) {
        int error = bp_bolt_run(s->bolt, query, params, &s->options, &result);
        result = good(s->env, s->bolt, error, query) ? result : NULL;
    }
    bp_params_free(params);
    return result;
}

const struct bp_value *next(struct session *s, struct bp_result *result)
{
    const struct bp_value *row = NULL;
    if (result == NULL || failed(s->env)) {
        return NULL;
    }
    int status = bp_result_next(result, &row);
    if (status != 1) {
        (void)good(s->env, s->bolt, status, "bp_result_next");
        return NULL;
    }
    return row;
}

json_t *rest(struct session *s, struct bp_result *result)
{
    json_t *list = json_array();
    const struct bp_value *row;
    while ((row = next(s, result)) != NULL) {
        json_t *values = json_array();
        for (size_t i = 0; i < bp_result_columns(result); i++) {
            (void)json_array_append_new(values, shown(s->env, &row[i]));
        }
        (void)json_array_append_new(list, values);
    }
    if (result != NULL && !failed(s->env)) {
        (void)good(s->env, s->bolt, bp_result_free(result), "bp_result_free");
    } else {
        (void)bp_result_free(result);
    }
    return list;
}

json_t *rows(struct session *s, const char *query, struct bp_params *params)
{
    return rest(s, run(s, query, params));
}

json_t *one(struct session *s, const char *query, struct bp_params *params)
{
    json_t *list = rows(s, query, params);
    check(s->env, json_array_size(list) == 1, "%.200s: %zu rows instead of one", query,
          json_array_size(list));
    json_t *value = json_array_get(json_array_get(list, 0), 0);
    value = value == NULL ? json_null() : json_incref(value);
    json_decref(list);
    return value;
}

void drain(struct session *s, const char *query, struct bp_params *params)
{
    struct bp_result *result = run(s, query, params);
    if (result != NULL) {
        (void)good(s->env, s->bolt, bp_result_free(result), query);
    }
}

json_t *refused_call(struct session *s, int error)
{
    if (failed(s->env)) {
        return json_null();
    }
    const struct bp_failure *failure = bp_bolt_failure(s->bolt);
    check(s->env, error != 0, "no error");
    check(s->env, failure->error == error, "bp_bolt_failure() says %s instead of %s",
          bp_error_name(failure->error), bp_error_name(error));
    return told(s->env, failure);
}

json_t *refused(struct session *s, const char *query, struct bp_params *params)
{
    struct bp_result *result = NULL;
    const struct bp_value *row;
    json_t *failure = json_null();
    if (s->bolt != NULL && !failed(s->env)) {
        int error = bp_bolt_run(s->bolt, query, params, &s->options, &result);
        if (error == 0) {
            while ((error = bp_result_next(result, &row)) == 1) {
            }
        } else {
            result = NULL;
        }
        check(s->env, error != 0, "%.200s: no error", query);
        failure = refused_call(s, error);
        (void)bp_result_free(result);
    }
    bp_params_free(params);
    return failure;
}

json_t *run_rows(struct env *e, const char *query, struct bp_params *params)
{
    struct session s = session_lease(e);
    json_t *list = rows(&s, query, params);
    session_close(&s);
    return list;
}

json_t *run_one(struct env *e, const char *query, struct bp_params *params)
{
    struct session s = session_lease(e);
    json_t *value = one(&s, query, params);
    session_close(&s);
    return value;
}

json_t *count(struct env *e)
{
    return run_one(e, say(e, "MATCH (n:%s) RETURN count(n)", e->label), NULL);
}

/* ---- values ---- */

/* What bp_value_format() writes, until the scenario's end. */
static const char *formatted(struct env *e, const struct bp_value *value)
{
    int64_t size = bp_value_format(value, NULL, 0);
    if (size < 0) {
        fail(e, "bp_value_format: %s", bp_error_name((int)size));
        return "";
    }
    char *text = keep(e, (size_t)size + 1);
    int64_t again = bp_value_format(value, text, (size_t)size + 1);
    check(e, again == size && strlen(text) <= (size_t)size,
          "bp_value_format says %lld and then %lld", (long long)size, (long long)again);
    return text;
}

static json_t *shown_items(struct env *e, const struct bp_value *value)
{
    bool is_map = value->type == BP_TYPE_MAP;
    json_t *items = is_map ? json_object() : json_array();
    struct bp_iter iter;
    struct bp_text key = {0};
    struct bp_value item;
    int status = bp_iter_init(&iter, value);
    while (status == 0 && (status = bp_iter_next(&iter, &key, &item)) == 1) {
        if (is_map) {
            const char *name = say(e, "%.*s", (int)key.size, key.data);
            (void)json_object_set_new(items, name, shown(e, &item));
        } else {
            (void)json_array_append_new(items, shown(e, &item));
        }
        status = 0;
    }
    (void)good(e, NULL, status, "bp_iter_next");
    return items;
}

json_t *shown(struct env *e, const struct bp_value *value)
{
    switch ((int)value->type) {
    case BP_TYPE_NULL:
        return json_null();
    case BP_TYPE_BOOL:
        return json_boolean(value->as.boolean);
    case BP_TYPE_INT:
        return json_integer(value->as.integer);
    case BP_TYPE_STRING:
        return string_of(value->as.text);
    case BP_TYPE_LIST:
    case BP_TYPE_MAP:
        return shown_items(e, value);
    default:
        return printed(e, value);
    }
}

json_t *printed(struct env *e, const struct bp_value *value)
{
    const char *name = bp_type_name(value->type);
    const char *text = formatted(e, value);
    if (strlen(text) > 200) {
        uint64_t hash = 0xcbf29ce484222325; /* FNV-1a */
        for (const char *at = text; *at != '\0'; at++) {
            hash = (hash ^ (unsigned char)*at) * 0x100000001b3;
        }
        text = say(e, "%zu bytes with the hash %016llx", strlen(text), (unsigned long long)hash);
    }
    return json_sprintf("%s %s", name, text);
}

/* ---- life ---- */

static void forget_texts(struct env *e)
{
    while (e->texts != NULL) {
        struct text *next_text = e->texts->next;
        free(e->texts);
        e->texts = next_text;
    }
}

void env_next(struct env *e, const char *scenario)
{
    forget_texts(e);
    e->problem[0] = '\0';
    (void)snprintf(e->label, sizeof(e->label), "%s_%s", e->tag, scenario);
}

static void users(struct env *e, const char *format)
{
    const char *const names[] = {e->alice, e->bob, e->wrong};
    struct session s = session_lease(e);
    s.options.database = "system";
    for (int i = 0; i < 3; i++) {
        drain(&s,
              say(e, "%s USER %s %s", format, names[i],
                  format[0] == 'C' ? "SET PASSWORD '" USER_PASSWORD "' CHANGE NOT REQUIRED"
                                   : "IF EXISTS"),
              NULL);
    }
    session_close(&s);
}

bool env_init(struct env *e)
{
    unsigned char random[5];
    struct bp_driver_config config;
    pthread_mutex_init(&e->mutex, NULL);
    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random)) {
        abort();
    }
    (void)snprintf(e->tag, sizeof(e->tag), "t%02x%02x%02x%02x%02x", random[0], random[1], random[2],
                   random[3], random[4]);
    (void)snprintf(e->alice, sizeof(e->alice), "alice%s", e->tag);
    (void)snprintf(e->bob, sizeof(e->bob), "bob%s", e->tag);
    (void)snprintf(e->wrong, sizeof(e->wrong), "wrong%s", e->tag);
    driver_config(e, &config);
    e->driver = driver_open(e, &config);
    users(e, "CREATE");
    struct session s = session_lease(e);
    if (s.bolt != NULL) {
        const char *server = bp_bolt_server(s.bolt);
        const char *version = bp_bolt_version(s.bolt);
        char *end = NULL;
        e->bolt_major = (int)strtol(version, &end, 10);
        e->bolt_minor = *end == '.' ? (int)strtol(end + 1, NULL, 10) : 0;
        e->server_major = strncmp(server, "Neo4j/", 6) == 0 ? (int)strtol(server + 6, NULL, 10) : 0;
        check(e, e->server_major > 0 && e->bolt_major > 0, "%s speaks Bolt %s", server, version);
    }
    session_close(&s);
    return !failed(e);
}

void env_done(struct env *e)
{
    env_next(e, "done");
    users(e, "DROP");
    driver_close(e, e->driver);
    e->driver = NULL;
    if (failed(e)) {
        (void)fprintf(stderr, "at the end: %s\n", e->problem);
    }
    forget_texts(e);
}
