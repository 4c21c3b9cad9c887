/* Results: large, read in parts, closed early, failing midway; and queries outside a transaction. */
#include "env.h"

#include <stdio.h>
#include <string.h>

/* Also with a result that nobody reads: it is read into memory when the next query comes. */
static json_t *autocommit(struct env *e)
{
    struct session s = session_lease(e);
    drain(&s, say(e, "CREATE (:%s)", e->label), NULL);
    struct bp_result *unread = run(&s, say(e, "CREATE (:%s)", e->label), NULL);
    json_t *inside = one(&s, say(e, "MATCH (n:%s) RETURN count(n)", e->label), NULL);
    (void)good(e, s.bolt, bp_result_free(unread), "bp_result_free");
    session_close(&s);
    return json_pack("[o, o]", inside, count(e));
}

static json_t *autocommit_in_transactions(struct env *e)
{
    const char *query = say(e,
                            "UNWIND range(1, 100) AS i CALL { WITH i CREATE (:%s {i: i}) } "
                            "IN TRANSACTIONS OF 10 ROWS",
                            e->label);
    struct session s = session_lease(e);
    struct bp_result *result = run(&s, query, NULL);
    struct bp_summary summary = {0};
    if (result != NULL) {
        (void)good(e, s.bolt, bp_result_summary(result, &summary), "bp_result_summary");
    }
    int64_t created = summary.counters.nodes_created;
    (void)bp_result_free(result);
    json_t *counted = count(e);
    json_t *failure = json_null();
    if (!failed(e) && good(e, s.bolt, bp_bolt_begin(s.bolt, &s.options), "bp_bolt_begin")) {
        json_decref(failure);
        failure = refused(&s, query, NULL);
        (void)good(e, s.bolt, bp_bolt_rollback(s.bolt), "bp_bolt_rollback");
    }
    session_close(&s);
    return json_pack("[I, o, o]", (json_int_t)created, counted, failure);
}

static json_t *result_50000(struct env *e)
{
    struct session s = session_lease(e);
    struct bp_result *result =
        run(&s, "UNWIND range(1, 50000) AS i RETURN i, toString(i) AS s, [i, i * 0.5] AS l", NULL);
    const struct bp_value *row;
    int64_t rows_count = 0, total = 0, length = 0;
    while ((row = next(&s, result)) != NULL) {
        struct bp_value half = {.type = BP_TYPE_NULL};
        rows_count++;
        check(e,
              row[0].type == BP_TYPE_INT && row[1].type == BP_TYPE_STRING &&
                  bp_value_at(&row[2], 1, &half) == 1 && half.type == BP_TYPE_FLOAT,
              "row %lld has other types", (long long)rows_count);
        total += row[0].as.integer + (failed(e) ? 0 : (int64_t)(half.as.real * 2));
        length += (int64_t)row[1].as.text.size;
    }
    check(e,
          failed(e) ||
              (bp_result_columns(result) == 3 && text_is(bp_result_column(result, 1), "s") &&
               bp_result_column_index(result, "l") == 2 &&
               bp_result_column_index(result, "m") == -1),
          "the columns have other names");
    (void)bp_result_free(result);
    session_close(&s);
    return json_pack("[I, I, I]", (json_int_t)rows_count, (json_int_t)total, (json_int_t)length);
}

/* 10 rows of 100,000: freed on a connection that goes on, and left in a lease that is given back. */
static json_t *result_closed_early(struct env *e)
{
    json_t *seen = json_array();
    for (int i = 0; i < 4; i++) {
        struct session s = session_lease(e);
        struct bp_result *result = run(&s, "UNWIND range(1, 100000) AS i RETURN i", NULL);
        for (int n = 0; n < 10; n++) {
            const struct bp_value *row = next(&s, result);
            (void)json_array_append_new(seen, row == NULL ? json_null() : shown(e, row));
        }
        if (i % 2 == 0) {
            struct bp_summary summary;
            if (result != NULL && !failed(e)) {
                (void)good(e, s.bolt, bp_result_summary(result, &summary), "bp_result_summary");
            }
            (void)bp_result_free(result);
            (void)json_array_append_new(seen, one(&s, "RETURN 'the same'", NULL));
            session_close(&s);
        } else {
            session_close(&s);
            if (result != NULL && !failed(e)) {
                const struct bp_value *row;
                int error = bp_result_next(result, &row);
                check(e, error == BP_E_USAGE, "after the lease: %s", bp_error_name(error));
            }
            (void)bp_result_free(result);
        }
        (void)json_array_append_new(seen, run_one(e, "RETURN 'next'", NULL));
    }
    return seen;
}

/* Batches that do and do not fit evenly. */
static json_t *result_small_fetch(struct env *e)
{
    static const int64_t COUNTS[] = {100, 14, 0};
    json_t *seen = json_array();
    struct session s = session_lease(e);
    s.options.fetch_size = 7;
    for (int i = 0; i < 3; i++) {
        (void)json_array_append_new(
            seen, rows(&s, "UNWIND range(1, $n) AS i RETURN i", params_int(e, "n", COUNTS[i])));
    }
    s.options.fetch_size = -1;
    json_t *all = rows(&s, "UNWIND range(1, 3000) AS i RETURN i", NULL);
    (void)json_array_append_new(seen, json_integer((json_int_t)json_array_size(all)));
    json_decref(all);
    session_close(&s);
    return seen;
}

/* A new query before the last result was read: the client reads that one into memory. */
static json_t *result_pulled_after_next(struct env *e)
{
    struct session s = session_lease(e);
    s.options.fetch_size = 10;
    struct bp_result *first = run(&s, "UNWIND range(1, 35) AS i RETURN i, 'row ' + i", NULL);
    const struct bp_value *row = next(&s, first);
    json_t *begun = row == NULL ? json_null() : shown(e, &row[1]);
    struct bp_result *second = run(&s, "UNWIND range(1, 35) AS i RETURN -i", NULL);
    row = next(&s, second);
    json_t *between = row == NULL ? json_null() : shown(e, row);
    json_t *third = one(&s, "RETURN 'third'", NULL);
    json_t *ones = rest(&s, first);
    json_t *others = rest(&s, second);
    check(e, failed(e) || json_array_size(ones) == 34, "%zu rows", json_array_size(ones));
    session_close(&s);
    return json_pack("[o, o, o, o, o]", begun, between, third, ones, others);
}

static json_t *result_error_midway(struct env *e)
{
    struct session s = session_lease(e);
    json_t *seen = json_array();
    struct bp_result *result = run(&s, "UNWIND [4, 2, 1, 0] AS x RETURN 4 / x", NULL);
    const struct bp_value *row = NULL;
    int status = result == NULL ? 0 : 1;
    while (status == 1 && (status = bp_result_next(result, &row)) == 1) {
        (void)json_array_append_new(seen, shown(e, row));
    }
    (void)json_array_append_new(seen, refused_call(&s, status));
    (void)bp_result_free(result);
    (void)json_array_append_new(seen, one(&s, "RETURN 1", NULL));
    session_close(&s);
    return seen;
}

/* 300 columns, and none. */
static json_t *result_shape(struct env *e)
{
    static char query[8192];
    size_t size = (size_t)snprintf(query, sizeof(query), "RETURN 0 AS c0");
    for (int i = 1; i < 300; i++) {
        size += (size_t)snprintf(query + size, sizeof(query) - size, ", %d AS c%d", i, i);
    }
    struct session s = session_lease(e);
    struct bp_result *wide = run(&s, query, NULL);
    json_t *name = wide == NULL ? json_null() : string_of(bp_result_column(wide, 299));
    check(e,
          wide == NULL ||
              (bp_result_columns(wide) == 300 && bp_result_column_index(wide, "c7") == 7),
          "no 300 columns");
    json_t *values = rest(&s, wide);
    struct bp_result *none = run(&s, say(e, "CREATE (:%s)", e->label), NULL);
    check(e, none == NULL || bp_result_columns(none) == 0, "columns of a CREATE");
    check(e, none == NULL || bp_result_column_index(none, "c7") == -1, "a column of a CREATE");
    json_t *nothing = rest(&s, none);
    session_close(&s);
    return json_pack("[o, o, o]", name, values, nothing);
}

const struct scenario result_scenarios[] = {
    {"autocommit", autocommit},
    {"autocommit_in_transactions", autocommit_in_transactions},
    {"result_50000", result_50000},
    {"result_closed_early", result_closed_early},
    {"result_small_fetch", result_small_fetch},
    {"result_pulled_after_next", result_pulled_after_next},
    {"result_error_midway", result_error_midway},
    {"result_shape", result_shape},
    {NULL, NULL},
};
