/* What is told beside the rows: counters, plans, notifications, the server. */
#include "env.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNKNOWN "MATCH (a:NoSuchLabelHere), (b:NoSuchLabelHere) RETURN a, b"

/* Runs a query to its end. The result is the caller's, NULL after a failure. */
static struct bp_result *
summarised(struct session *s, const char *query, struct bp_summary *ret_summary)
{
    struct bp_result *result = run(s, query, NULL);
    *ret_summary = (struct bp_summary){0};
    if (result != NULL) {
        (void)good(s->env, s->bolt, bp_result_summary(result, ret_summary), "bp_result_summary");
        struct bp_summary again;
        (void)good(s->env, s->bolt, bp_result_summary(result, &again), "bp_result_summary again");
        check(s->env,
              failed(s->env) || (again.notifications == ret_summary->notifications &&
                                 strcmp(again.query_type, ret_summary->query_type) == 0),
              "another summary when asked again");
    }
    return result;
}

/* The notifications of a result that has ended, by their codes and statuses. */
static json_t *codes(struct session *s, struct bp_result *result, size_t size)
{
    json_t *list = json_array();
    struct bp_notification notification;
    for (size_t i = 0; i < size && !failed(s->env); i++) {
        if (good(s->env, s->bolt, bp_result_notification(result, i, &notification),
                 "bp_result_notification")) {
            (void)json_array_append_new(
                list,
                json_pack("[o, o, o, o, o, I, I, I]", string_of(notification.code),
                          string_of(notification.severity), string_of(notification.category),
                          string_of(notification.gql_status),
                          string_of(notification.classification), (json_int_t)notification.offset,
                          (json_int_t)notification.line, (json_int_t)notification.column));
        }
    }
    if (result != NULL && !failed(s->env)) {
        check(s->env, bp_result_notification(result, size, &notification) == BP_E_USAGE,
              "one notification more than there are");
    }
    return list;
}

static json_t *counters_shown(const struct bp_counters *counters)
{
    const int64_t numbers[] = {
        counters->nodes_created,         counters->nodes_deleted,
        counters->relationships_created, counters->relationships_deleted,
        counters->properties_set,        counters->labels_added,
        counters->labels_removed,        counters->indexes_added,
        counters->indexes_removed,       counters->constraints_added,
        counters->constraints_removed,   counters->system_updates,
        counters->contains_updates,      counters->contains_system_updates,
    };
    json_t *list = json_array();
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        (void)json_array_append_new(list, json_integer((json_int_t)numbers[i]));
    }
    return list;
}

static json_t *summary_counters(struct env *e)
{
    static const char *const QUERIES[] = {
        "CREATE (a:LABEL {k: 1})-[:R {x: 1}]->(b:LABEL:Second)",
        "MATCH (a:LABEL {k: 1}) SET a.k = 2, a:Third REMOVE a:LABEL:Second",
        "MATCH (a:LABEL)-[r]-() DELETE r",
        "CREATE INDEX LABEL FOR (n:LABEL) ON (n.k)",
        "DROP INDEX LABEL",
        "MATCH (n:LABEL) RETURN count(n)",
        "MATCH (n:LABEL) DETACH DELETE n RETURN count(n)",
        "UNWIND [] AS x RETURN x",
    };
    json_t *seen = json_array();
    struct session s = session_lease(e);
    for (size_t i = 0; i < sizeof(QUERIES) / sizeof(QUERIES[0]) && !failed(e); i++) {
        const char *query = "";
        for (const char *at = QUERIES[i]; *at != '\0';) {
            const char *label = strstr(at, "LABEL");
            int length = label == NULL ? (int)strlen(at) : (int)(label - at);
            query = say(e, "%s%.*s%s", query, length, at, label == NULL ? "" : e->label);
            at += length + (label == NULL ? 0 : 5);
        }
        struct bp_summary summary;
        struct bp_result *result = summarised(&s, query, &summary);
        (void)json_array_append_new(seen, json_pack("[s, o, o, o]", summary.query_type,
                                                    string_of(summary.database),
                                                    counters_shown(&summary.counters),
                                                    codes(&s, result, summary.notifications)));
        check(e, failed(e) || summary.meta.type == BP_TYPE_MAP, "the metadata are no map");
        (void)bp_result_free(result);
    }
    session_close(&s);
    return seen;
}

static json_t *summary_system(struct env *e)
{
    const char *const QUERIES[] = {
        say(e, "CREATE USER summary%s SET PASSWORD 'testpass1'", e->tag),
        say(e, "DROP USER summary%s", e->tag),
    };
    json_t *seen = json_array();
    struct session s = session_lease(e);
    s.options.database = "system";
    for (int i = 0; i < 2; i++) {
        struct bp_summary summary;
        struct bp_result *result = summarised(&s, QUERIES[i], &summary);
        check(e, failed(e) || summary.counters.contains_system_updates, "no system updates");
        (void)json_array_append_new(seen, json_pack("[o, o]", counters_shown(&summary.counters),
                                                    string_of(summary.database)));
        (void)bp_result_free(result);
    }
    (void)json_array_append_new(
        seen, rows(&s, "SHOW DATABASES YIELD name RETURN name ORDER BY name", NULL));
    session_close(&s);
    return seen;
}

static json_t *summary_notifications(struct env *e)
{
    json_t *seen = json_array();
    struct session s = session_lease(e);
    for (int i = 0; i < 2; i++) {
        struct bp_summary summary;
        struct bp_result *result = summarised(&s, i == 0 ? UNKNOWN : "EXPLAIN " UNKNOWN, &summary);
        check(e, failed(e) || summary.notifications > 0, "no notification");
        (void)json_array_append_new(seen, codes(&s, result, summary.notifications));
        (void)bp_result_free(result);
    }
    session_close(&s);
    return seen;
}

/* A filter: a severity, categories, or neither. */
struct filter {
    const char *severity;
    const char *const *disabled;
    size_t disabled_count;
};

/* A filter of the connection goes with HELLO, so a pooler must carry it to whatever link is borrowed. */
static json_t *notification_filters(struct env *e)
{
    static const char *const CATEGORIES[] = {"UNRECOGNIZED"};
    static const struct filter FILTERS[] = {{NULL, NULL, 0},
                                            {"OFF", NULL, 0},
                                            {"WARNING", NULL, 0},
                                            {NULL, CATEGORIES, 1},
                                            {NULL, CATEGORIES, 0}};
    struct bp_driver_config config;
    json_t *seen = json_array();
    if (e->bolt_major < 5 || (e->bolt_major == 5 && e->bolt_minor < 2)) {
        struct bp_bolt *bolt = NULL;
        driver_config(e, &config);
        config.bolt.notifications_min_severity = "OFF";
        int error = bp_bolt_open(&config.bolt, &bolt, NULL);
        check(e, error == BP_E_VERSION, "a filter on an old server: %s", bp_error_name(error));
        (void)json_array_append_new(seen, json_string("not on this server"));
        return seen;
    }
    for (size_t i = 0; i < sizeof(FILTERS) / sizeof(FILTERS[0]) && !failed(e); i++) {
        driver_config(e, &config);
        config.bolt.notifications_min_severity = FILTERS[i].severity;
        config.bolt.notifications_disabled = FILTERS[i].disabled;
        config.bolt.notifications_disabled_count = FILTERS[i].disabled_count;
        struct bp_driver *driver = driver_open(e, &config);
        for (size_t j = 0; j < sizeof(FILTERS) / sizeof(FILTERS[0]) && !failed(e); j++) {
            struct session s = session_lease_from(e, driver);
            struct bp_summary summary;
            s.options.notifications_min_severity = FILTERS[j].severity;
            s.options.notifications_disabled = FILTERS[j].disabled;
            s.options.notifications_disabled_count = FILTERS[j].disabled_count;
            struct bp_result *result = summarised(&s, UNKNOWN, &summary);
            json_t *alone = codes(&s, result, summary.notifications);
            (void)bp_result_free(result);
            if (!failed(e)) {
                (void)good(e, s.bolt, bp_bolt_begin(s.bolt, &s.options), "bp_bolt_begin");
            }
            result = summarised(&s, UNKNOWN, &summary);
            json_t *inside = codes(&s, result, summary.notifications);
            (void)bp_result_free(result);
            if (!failed(e)) {
                (void)good(e, s.bolt, bp_bolt_commit(s.bolt), "bp_bolt_commit");
            }
            check(e, json_equal(alone, inside),
                  "filters %zu and %zu mean another thing in a transaction", i, j);
            (void)json_array_append_new(seen, json_pack("[i, i, o]", (int)i, (int)j, alone));
            json_decref(inside);
            session_close(&s);
        }
        driver_close(e, driver);
    }
    check(e, failed(e) || json_array_size(json_array_get(json_array_get(seen, 0), 2)) > 0,
          "no notification where nothing is filtered");
    check(e, failed(e) || json_array_size(json_array_get(json_array_get(seen, 1), 2)) == 0,
          "a notification where all are off");
    return seen;
}

static json_t *operators(struct env *e, const struct bp_value *plan)
{
    struct bp_value type, children, child;
    json_t *list = json_array();
    if (bp_value_get(plan, "operatorType", &type) != 1 || type.type != BP_TYPE_STRING) {
        fail(e, "a plan without an operator");
        return list;
    }
    (void)json_array_append_new(list, string_of(type.as.text));
    if (bp_value_get(plan, "children", &children) == 1 && children.type == BP_TYPE_LIST) {
        for (uint32_t i = 0; bp_value_at(&children, i, &child) == 1; i++) {
            (void)json_array_append_new(list, operators(e, &child));
        }
    }
    return list;
}

static json_t *summary_plans(struct env *e)
{
    const char *query =
        say(e, "MATCH (a:%s) WHERE a.k > 1 RETURN a.k ORDER BY a.k LIMIT 3", e->label);
    json_t *seen = json_array();
    struct session s = session_lease(e);
    struct bp_summary summary;
    struct bp_result *result = summarised(&s, say(e, "EXPLAIN %s", query), &summary);
    check(e,
          failed(e) || (summary.plan.type == BP_TYPE_MAP && summary.profile.type == BP_TYPE_NULL),
          "EXPLAIN: a plan and no profile");
    (void)json_array_append_new(seen, failed(e) ? json_null() : operators(e, &summary.plan));
    (void)bp_result_free(result);
    result = summarised(&s, say(e, "PROFILE %s", query), &summary);
    check(e, failed(e) || summary.profile.type == BP_TYPE_MAP, "PROFILE: no profile");
    struct bp_value hits;
    check(e, failed(e) || bp_value_get(&summary.profile, "dbHits", &hits) == 1,
          "PROFILE: no dbHits");
    (void)json_array_append_new(seen, failed(e) ? json_null() : operators(e, &summary.profile));
    (void)json_array_append_new(seen, json_string(summary.query_type));
    (void)bp_result_free(result);
    session_close(&s);
    return seen;
}

static json_t *server_info(struct env *e)
{
    struct session s = session_open(e, NULL);
    struct bp_summary summary;
    s.options.database = NULL; /* the server must tell the home database */
    struct bp_result *result = summarised(&s, "RETURN 1", &summary);
    json_t *seen = json_array();
    if (result != NULL && !failed(e)) {
        check(e, bp_bolt_connection_id(s.bolt)[0] != '\0', "a connection without an id");
        (void)json_array_append_new(seen, json_string(bp_bolt_server(s.bolt)));
        (void)json_array_append_new(seen, json_string(bp_bolt_version(s.bolt)));
        (void)json_array_append_new(seen, string_of(summary.database));
        (void)json_array_append_new(seen, json_string(summary.query_type));
    }
    (void)bp_result_free(result);
    session_close(&s);
    return seen;
}

const struct scenario summary_scenarios[] = {
    {"summary_counters", summary_counters},
    {"summary_system", summary_system},
    {"summary_notifications", summary_notifications},
    {"notification_filters", notification_filters},
    {"summary_plans", summary_plans},
    {"server_info", server_info},
    {NULL, NULL},
};
