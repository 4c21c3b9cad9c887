/* Every type of value there and back: what was sent must come back equal, and print the same. */
#include "env.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A value to be sent, and whether what came back is it. `n` says which one. */
struct piece {
    void (*write)(struct bp_params *params, const char *key, int64_t n);
    bool (*is)(const struct bp_value *value, int64_t n);
    int64_t n;
};

#define PIECES_MAX 64

/* One value as the only row's only column, copied; NULL after a failure. */
static struct bp_row *fetch(struct session *s, const char *query, struct bp_params *params)
{
    struct bp_row *copy = NULL;
    struct bp_result *result = run(s, query, params);
    const struct bp_value *row = next(s, result);
    if (row != NULL) {
        (void)good(s->env, NULL, bp_row_copy(row, bp_result_columns(result), &copy), "bp_row_copy");
        check(s->env, next(s, result) == NULL, "%s: two rows", query);
    }
    if (result != NULL) {
        (void)good(s->env, s->bolt, bp_result_free(result), "bp_result_free");
    }
    check(s->env, failed(s->env) || copy != NULL, "%s: no row", query);
    return copy;
}

/* Sends a value alone; what came back, copied. It is also sent again as it was read, and must be equal then. */
static struct bp_row *echo_one(struct session *s, const struct piece *piece, size_t index)
{
    struct env *e = s->env;
    struct bp_params *params = params_new(e);
    piece->write(params, "v", piece->n);
    (void)good(e, NULL, bp_params_error(params), "bp_params_error");
    struct bp_row *got = fetch(s, "RETURN $v", params);
    if (got == NULL) {
        return NULL;
    }
    const struct bp_value *value = bp_row_values(got);
    check(e, bp_row_size(got) == 1, "%zu columns", bp_row_size(got));
    if (!piece->is(value, piece->n)) {
        json_t *text = printed(e, value);
        fail(e, "value %zu came back as %s", index, json_string_value(text));
        json_decref(text);
    }
    params = params_new(e);
    (void)good(e, NULL, bp_params_value(params, "v", value), "bp_params_value");
    struct bp_row *again = fetch(s, "RETURN $v", params);
    check(e, again == NULL || bp_value_equal(value, bp_row_values(again)) == 1,
          "value %zu isn't equal when it is sent as it was read", index);
    bp_row_free(again);
    return got;
}

/* Sends each value alone and then all in one list. */
static json_t *echo(struct env *e, const struct piece *pieces, size_t size)
{
    json_t *list = json_array();
    struct session s = session_lease(e);
    struct bp_row *kept[PIECES_MAX] = {0};
    struct bp_params *all = params_new(e);
    (void)bp_params_list(all, "v");
    for (size_t i = 0; i < size && !failed(e); i++) {
        kept[i] = echo_one(&s, &pieces[i], i);
        pieces[i].write(all, NULL, pieces[i].n);
        if (kept[i] != NULL) {
            (void)json_array_append_new(list, printed(e, bp_row_values(kept[i])));
        }
    }
    (void)bp_params_end(all);
    struct bp_row *together = fetch(&s, "RETURN $v", all);
    if (together != NULL && !failed(e)) {
        const struct bp_value *items = bp_row_values(together);
        check(e, items->type == BP_TYPE_LIST && items->count == size, "the list has another size");
        for (size_t i = 0; i < size && !failed(e); i++) {
            struct bp_value item;
            int status = bp_value_at(items, (uint32_t)i, &item);
            check(e, status == 1 && bp_value_equal(&item, bp_row_values(kept[i])) == 1,
                  "value %zu of the list differs", i);
        }
    }
    bp_row_free(together);
    for (size_t i = 0; i < size; i++) {
        bp_row_free(kept[i]);
    }
    session_close(&s);
    return list;
}

#define ECHO(e, pieces) echo((e), (pieces), sizeof(pieces) / sizeof((pieces)[0]))

/* ---- scalars ---- */

static void write_null(struct bp_params *params, const char *key, int64_t n)
{
    (void)n;
    (void)bp_params_null(params, key);
}

static bool is_null(const struct bp_value *value, int64_t n)
{
    (void)n;
    return value->type == BP_TYPE_NULL;
}

static void write_bool(struct bp_params *params, const char *key, int64_t n)
{
    (void)bp_params_bool(params, key, (int)n);
}

static bool is_bool(const struct bp_value *value, int64_t n)
{
    return value->type == BP_TYPE_BOOL && value->as.boolean == (int)n;
}

static void write_int(struct bp_params *params, const char *key, int64_t n)
{
    (void)bp_params_int(params, key, n);
}

static bool is_int(const struct bp_value *value, int64_t n)
{
    return value->type == BP_TYPE_INT && value->as.integer == n;
}

static const double FLOATS[] = {
    0.0, -0.0, 1.1, -1e308, 5e-324, 3.141592653589793, HUGE_VAL, -HUGE_VAL, (double)NAN,
};

static void write_float(struct bp_params *params, const char *key, int64_t n)
{
    (void)bp_params_float(params, key, FLOATS[n]);
}

/* The same bits, but that one NaN is as good as another. */
static bool is_float(const struct bp_value *value, int64_t n)
{
    return value->type == BP_TYPE_FLOAT &&
           (memcmp(&value->as.real, &FLOATS[n], sizeof(double)) == 0 ||
            (isnan(FLOATS[n]) && isnan(value->as.real)));
}

static json_t *values_scalars(struct env *e)
{
    static const int64_t INTS[] = {
        0,         1,         -1,    -16,          -17,          127,           128,
        -128,      -129,      255,   256,          32767,        32768,         -32768,
        -32769,    65535,     65536, 2147483647LL, 2147483648LL, -2147483648LL, -2147483649LL,
        INT64_MAX, INT64_MIN,
    };
    struct piece pieces[PIECES_MAX] = {
        {write_null, is_null, 0}, {write_bool, is_bool, 1}, {write_bool, is_bool, 0}};
    size_t size = 3;
    for (size_t i = 0; i < sizeof(INTS) / sizeof(INTS[0]); i++) {
        pieces[size++] = (struct piece){write_int, is_int, INTS[i]};
    }
    for (size_t i = 0; i < sizeof(FLOATS) / sizeof(FLOATS[0]); i++) {
        pieces[size++] = (struct piece){write_float, is_float, (int64_t)i};
    }
    return echo(e, pieces, size);
}

/* ---- texts and bytes ---- */

static const struct bp_text TEXTS[] = {
    {"\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9", 16},
    {"\0", 1},
    {"日本語", 9},
    {"😀👩‍👩‍👧", 22},
    {"\xed\x9f\xbf\xee\x80\x80", 6}, /* the characters around the surrogates */
    {"a\r\n\t\"'\\", 7},
};

static void write_text(struct bp_params *params, const char *key, int64_t n)
{
    (void)bp_params_text(params, key, TEXTS[n].data, TEXTS[n].size);
}

static bool is_text(const struct bp_value *value, int64_t n)
{
    return value->type == BP_TYPE_STRING && value->as.text.size == TEXTS[n].size &&
           memcmp(value->as.text.data, TEXTS[n].data, TEXTS[n].size) == 0;
}

#define LONGEST 100000

/* So many bytes of the alphabet, without a zero. */
static const char *alphabet(void)
{
    static char bytes[LONGEST];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (char)('a' + i % 26);
    }
    return bytes;
}

static void write_long(struct bp_params *params, const char *key, int64_t n)
{
    (void)bp_params_text(params, key, alphabet(), (size_t)n);
}

static bool is_long(const struct bp_value *value, int64_t n)
{
    return value->type == BP_TYPE_STRING && value->as.text.size == (size_t)n &&
           memcmp(value->as.text.data, alphabet(), (size_t)n) == 0;
}

static void write_bytes(struct bp_params *params, const char *key, int64_t n)
{
    (void)bp_params_bytes(params, key, alphabet(), (size_t)n);
}

static bool is_bytes(const struct bp_value *value, int64_t n)
{
    return value->type == BP_TYPE_BYTES && value->as.text.size == (size_t)n &&
           memcmp(value->as.text.data, alphabet(), (size_t)n) == 0;
}

static json_t *values_strings(struct env *e)
{
    static const int64_t SIZES[] = {0, 1, 15, 16, 255, 256, 65535, 65536, LONGEST};
    struct piece pieces[PIECES_MAX];
    size_t size = 0;
    for (size_t i = 0; i < sizeof(TEXTS) / sizeof(TEXTS[0]); i++) {
        pieces[size++] = (struct piece){write_text, is_text, (int64_t)i};
    }
    for (size_t i = 0; i < sizeof(SIZES) / sizeof(SIZES[0]); i++) {
        pieces[size++] = (struct piece){write_long, is_long, SIZES[i]};
    }
    return echo(e, pieces, size);
}

static json_t *values_bytes(struct env *e)
{
    static const struct piece PIECES[] = {
        {write_bytes, is_bytes, 0},     {write_bytes, is_bytes, 1},
        {write_bytes, is_bytes, 255},   {write_bytes, is_bytes, 256},
        {write_bytes, is_bytes, 65535}, {write_bytes, is_bytes, 65536},
        {write_bytes, is_bytes, 70000},
    };
    return ECHO(e, PIECES);
}

/* ---- containers ---- */

static void write_list(struct bp_params *params, const char *key, int64_t n)
{
    (void)bp_params_list(params, key);
    for (int64_t i = 0; i < n; i++) {
        (void)bp_params_int(params, NULL, i);
    }
    (void)bp_params_end(params);
}

static bool is_list(const struct bp_value *value, int64_t n)
{
    struct bp_iter iter;
    struct bp_value item;
    int64_t at = 0;
    int status;
    if (value->type != BP_TYPE_LIST || value->count != n || bp_iter_init(&iter, value) != 0) {
        return false;
    }
    while ((status = bp_iter_next(&iter, NULL, &item)) == 1) {
        if (!is_int(&item, at++)) {
            return false;
        }
    }
    return status == 0 && at == n;
}

static void write_map(struct bp_params *params, const char *key, int64_t n)
{
    char name[24];
    (void)bp_params_map(params, key);
    for (int64_t i = 0; i < n; i++) {
        (void)snprintf(name, sizeof(name), "k%lld", (long long)i);
        (void)bp_params_int(params, name, i);
    }
    (void)bp_params_end(params);
}

/* The order of a map is the server's. */
static bool is_map(const struct bp_value *value, int64_t n)
{
    char name[24];
    struct bp_value item;
    if (value->type != BP_TYPE_MAP || value->count != n) {
        return false;
    }
    for (int64_t i = 0; i < n; i++) {
        (void)snprintf(name, sizeof(name), "k%lld", (long long)i);
        if (bp_value_get(value, name, &item) != 1 || !is_int(&item, i)) {
            return false;
        }
    }
    return bp_value_get(value, "another", &item) == 0;
}

/* [{deeper: [{deeper: ... 1}]}] */
static void write_nested(struct bp_params *params, const char *key, int64_t n)
{
    (void)bp_params_list(params, key);
    (void)bp_params_map(params, NULL);
    if (n > 1) {
        write_nested(params, "deeper", n - 1);
    } else {
        (void)bp_params_int(params, "deeper", 1);
    }
    (void)bp_params_end(params);
    (void)bp_params_end(params);
}

static bool is_nested(const struct bp_value *value, int64_t n)
{
    struct bp_value at = *value;
    for (int64_t i = 0; i < n; i++) {
        struct bp_value map;
        if (at.type != BP_TYPE_LIST || bp_value_at(&at, 0, &map) != 1 ||
            bp_value_get(&map, "deeper", &at) != 1) {
            return false;
        }
    }
    return is_int(&at, 1);
}

/* {"": [null, "a", 2.5, {"ü": [bytes]}]} */
static void write_mixed(struct bp_params *params, const char *key, int64_t n)
{
    (void)n;
    (void)bp_params_map(params, key);
    (void)bp_params_list(params, "");
    (void)bp_params_null(params, NULL);
    (void)bp_params_string(params, NULL, "a");
    (void)bp_params_float(params, NULL, 2.5);
    (void)bp_params_map(params, NULL);
    (void)bp_params_list(params, "ü");
    (void)bp_params_bytes(params, NULL, "\0\1", 2);
    (void)bp_params_end(params);
    (void)bp_params_end(params);
    (void)bp_params_end(params);
    (void)bp_params_end(params);
}

static bool is_mixed(const struct bp_value *value, int64_t n)
{
    struct bp_value list, item, bytes;
    (void)n;
    return bp_value_get(value, "", &list) == 1 && list.count == 4 &&
           bp_value_at(&list, 0, &item) == 1 && item.type == BP_TYPE_NULL &&
           bp_value_at(&list, 1, &item) == 1 && text_is(item.as.text, "a") &&
           bp_value_at(&list, 2, &item) == 1 && item.type == BP_TYPE_FLOAT &&
           bp_value_at(&list, 3, &item) == 1 && bp_value_get(&item, "ü", &item) == 1 &&
           bp_value_at(&item, 0, &bytes) == 1 && bytes.type == BP_TYPE_BYTES &&
           bytes.as.text.size == 2 && bp_value_at(&list, 4, &item) == 0;
}

static json_t *values_containers(struct env *e)
{
    static const struct piece PIECES[] = {
        {write_list, is_list, 0},     {write_list, is_list, 1},   {write_list, is_list, 15},
        {write_list, is_list, 16},    {write_list, is_list, 255}, {write_list, is_list, 256},
        {write_list, is_list, 70000}, {write_map, is_map, 0},     {write_map, is_map, 1},
        {write_map, is_map, 15},      {write_map, is_map, 16},    {write_map, is_map, 255},
        {write_map, is_map, 256},     {write_map, is_map, 2000},  {write_nested, is_nested, 20},
        {write_mixed, is_mixed, 0},
    };
    return ECHO(e, PIECES);
}

/* ---- the graph ---- */

static int compare(const void *a, const void *b)
{
    const json_t *const *one = a;
    const json_t *const *other = b;
    return strcmp(json_string_value(*one), json_string_value(*other));
}

/* A short list of texts. */
static void sort(json_t *list)
{
    json_t *items[16] = {NULL};
    size_t size = json_array_size(list);
    for (size_t i = 0; i < size && size <= 16; i++) {
        items[i] = json_incref(json_array_get(list, i));
    }
    qsort(items, size <= 16 ? size : 0, sizeof(items[0]), compare);
    (void)json_array_clear(list);
    for (size_t i = 0; i < size && size <= 16; i++) {
        (void)json_array_append_new(list, items[i]);
    }
}

static json_t *node_shown(struct env *e, const struct bp_value *value, const char **ret_element_id)
{
    struct bp_node node;
    if (!good(e, NULL, bp_value_node(value, &node), "bp_value_node")) {
        return json_null();
    }
    check(e, (node.element_id.data != NULL) == (e->bolt_major >= 5),
          "a node's element id with Bolt %d", e->bolt_major);
    check(e, node.labels.count == value->count, "a node's count of labels");
    *ret_element_id = e->bolt_major >= 5
                          ? say(e, "%.*s", (int)node.element_id.size, node.element_id.data)
                          : say(e, "%lld", (long long)node.id);
    json_t *labels = shown(e, &node.labels);
    json_t *masked = json_array();
    for (size_t i = 0; i < json_array_size(labels); i++) {
        const char *label = json_string_value(json_array_get(labels, i));
        (void)json_array_append_new(masked, json_string(clean(e, label)));
    }
    json_decref(labels);
    sort(masked);
    return json_pack("[o, o]", masked, shown(e, &node.properties));
}

static json_t *path_shown(struct env *e, const struct bp_value *path, const char *const ids[3])
{
    json_t *steps = json_array();
    struct bp_path_step step;
    uint32_t index = 0;
    int status;
    while ((status = bp_value_path_step(path, index, &step)) == 1 && !failed(e)) {
        const char *id = "";
        json_t *node = node_shown(e, &step.node, &id);
        check(e, index < 3 && strcmp(id, ids[index]) == 0, "node %u of the path is another", index);
        if (step.relationship.type == BP_TYPE_NULL) {
            check(e, index == path->count, "the path ends at step %u", index);
            (void)json_array_append_new(steps, node);
        } else {
            struct bp_relationship relationship;
            (void)good(e, NULL, bp_value_relationship(&step.relationship, &relationship),
                       "bp_value_relationship");
            (void)json_array_append_new(
                steps, json_pack("[o, o, o, b]", node, string_of(relationship.type),
                                 shown(e, &relationship.properties), step.is_reversed));
        }
        index++;
    }
    (void)good(e, NULL, status, "bp_value_path_step");
    check(e, failed(e) || index == 3, "%u steps", index);
    return steps;
}

static json_t *values_graph(struct env *e)
{
    struct session s = session_lease(e);
    struct bp_row *row =
        fetch(&s,
              say(e,
                  "CREATE p = (a:%s:Second {name: 'a', n: 1})-[:KNOWS {since: 2000}]->"
                  "(b:%s {name: 'b'})<-[:KNOWS]-(c:%s) RETURN a, b, c, relationships(p)[0] AS r, p",
                  e->label, e->label, e->label),
              NULL);
    json_t *seen = json_array();
    if (row != NULL) {
        const struct bp_value *values = bp_row_values(row);
        const char *ids[3] = {"", "", ""};
        struct bp_relationship relationship;
        struct bp_node first;
        struct bp_value name;
        for (int i = 0; i < 3; i++) {
            (void)json_array_append_new(seen, node_shown(e, &values[i], &ids[i]));
            if (i > 0) { /* several labels come in any order */
                json_t *text = printed(e, &values[i]);
                (void)json_array_append_new(seen, json_string(clean(e, json_string_value(text))));
                json_decref(text);
            }
        }
        check(e, bp_value_get(&values[0], "name", &name) == 1 && text_is(name.as.text, "a"),
              "a node's property by its name");
        if (good(e, NULL, bp_value_relationship(&values[3], &relationship),
                 "bp_value_relationship") &&
            good(e, NULL, bp_value_node(&values[0], &first), "bp_value_node")) {
            check(e, relationship.start_id == first.id, "the relationship starts elsewhere");
            check(e,
                  e->bolt_major < 5 ||
                      (relationship.start_element_id.size == first.element_id.size &&
                       memcmp(relationship.start_element_id.data, first.element_id.data,
                              first.element_id.size) == 0),
                  "the relationship starts elsewhere by its element id");
            (void)json_array_append_new(seen, string_of(relationship.type));
            (void)json_array_append_new(seen, shown(e, &relationship.properties));
            (void)json_array_append_new(seen, printed(e, &values[3]));
        }
        check(e, values[4].type == BP_TYPE_PATH && values[4].count == 2, "no path of two");
        (void)json_array_append_new(seen, path_shown(e, &values[4], ids));
    }
    bp_row_free(row);
    session_close(&s);
    return seen;
}

/* ---- time and space ---- */

static const struct bp_date DATES[] = {{-719162}, {0}, {19782}, {2932896}};
static const struct bp_time TIMES[] = {{0, 0}, {86399999999999, 0}, {45296000000789, -12600}};
static const struct bp_date_time DATE_TIMES[] = {
    {0, 0, 0, 0, {NULL, 0}},
    {1709251199, 123456789, 3600, 0, {NULL, 0}},
    {-2717583362, 1, -12600, 0, {NULL, 0}},
    {1709251199, 123456789, 3600, 0, {"Europe/Paris", 12}},
    {1719806400, 42, -14400, 0, {"America/New_York", 16}},
};
static const struct bp_duration DURATIONS[] = {
    {0, 0, 0, 0}, {1, -2, 3, 4}, {-14, 400, -1, 1}, {-14, 400, -2, 1}};

static void write_date(struct bp_params *params, const char *key, int64_t n)
{
    (void)bp_params_date(params, key, DATES[n]);
}

static bool is_date(const struct bp_value *value, int64_t n)
{
    return value->type == BP_TYPE_DATE && value->as.date.days == DATES[n].days;
}

static void write_time(struct bp_params *params, const char *key, int64_t n)
{
    (void)bp_params_time(params, key, TIMES[n]);
}

static bool is_time(const struct bp_value *value, int64_t n)
{
    return value->type == BP_TYPE_TIME && value->as.time.nanoseconds == TIMES[n].nanoseconds &&
           value->as.time.offset_s == TIMES[n].offset_s;
}

static void write_local_time(struct bp_params *params, const char *key, int64_t n)
{
    (void)bp_params_local_time(params, key, TIMES[n]);
}

static bool is_local_time(const struct bp_value *value, int64_t n)
{
    return value->type == BP_TYPE_LOCAL_TIME &&
           value->as.time.nanoseconds == TIMES[n].nanoseconds && value->as.time.offset_s == 0;
}

static void write_date_time(struct bp_params *params, const char *key, int64_t n)
{
    (void)bp_params_date_time(params, key, DATE_TIMES[n]);
}

static bool is_date_time(const struct bp_value *value, int64_t n)
{
    const struct bp_date_time *sent = &DATE_TIMES[n];
    const struct bp_date_time *got = &value->as.date_time;
    bool same_zone = sent->zone.data == NULL
                         ? got->zone.data == NULL && got->offset_s == sent->offset_s
                         : text_is(got->zone, sent->zone.data);
    return value->type == BP_TYPE_DATE_TIME && !got->is_local && got->seconds == sent->seconds &&
           got->nanoseconds == sent->nanoseconds && same_zone;
}

static void write_local_date_time(struct bp_params *params, const char *key, int64_t n)
{
    (void)bp_params_local_date_time(params, key, DATE_TIMES[n]);
}

static bool is_local_date_time(const struct bp_value *value, int64_t n)
{
    return value->type == BP_TYPE_LOCAL_DATE_TIME &&
           value->as.date_time.seconds == DATE_TIMES[n].seconds &&
           value->as.date_time.nanoseconds == DATE_TIMES[n].nanoseconds;
}

static void write_duration(struct bp_params *params, const char *key, int64_t n)
{
    (void)bp_params_duration(params, key, DURATIONS[n]);
}

static bool is_duration(const struct bp_value *value, int64_t n)
{
    const struct bp_duration *sent = &DURATIONS[n];
    const struct bp_duration *got = &value->as.duration;
    return value->type == BP_TYPE_DURATION && got->months == sent->months &&
           got->days == sent->days && got->seconds == sent->seconds &&
           got->nanoseconds == sent->nanoseconds;
}

static const struct piece TEMPORAL[] = {
    {write_date, is_date, 0},
    {write_date, is_date, 1},
    {write_date, is_date, 2},
    {write_date, is_date, 3},
    {write_time, is_time, 0},
    {write_time, is_time, 1},
    {write_time, is_time, 2},
    {write_local_time, is_local_time, 0},
    {write_local_time, is_local_time, 1},
    {write_date_time, is_date_time, 0},
    {write_date_time, is_date_time, 1},
    {write_date_time, is_date_time, 2},
    {write_date_time, is_date_time, 3},
    {write_date_time, is_date_time, 4},
    {write_local_date_time, is_local_date_time, 0},
    {write_local_date_time, is_local_date_time, 1},
    {write_duration, is_duration, 0},
    {write_duration, is_duration, 1},
    {write_duration, is_duration, 2},
    {write_duration, is_duration, 3},
};

/* As the server prints what it got, beside what we print. */
static json_t *values_temporal(struct env *e)
{
    json_t *ours = ECHO(e, TEMPORAL);
    struct bp_params *params = params_new(e);
    (void)bp_params_list(params, "v");
    for (size_t i = 0; i < sizeof(TEMPORAL) / sizeof(TEMPORAL[0]); i++) {
        TEMPORAL[i].write(params, NULL, TEMPORAL[i].n);
    }
    (void)bp_params_end(params);
    json_t *theirs = run_one(e, "RETURN [x IN $v | toString(x)]", params);
    return json_pack("[o, o]", ours, theirs);
}

static const struct bp_point POINTS[] = {
    {7203, 2, 1.5, -2.5, 0},
    {9157, 3, 1, 2, 3},
    {4326, 2, 12.99, 55.6, 0},
    {4979, 3, 12.99, 55.6, 100},
};

static void write_point(struct bp_params *params, const char *key, int64_t n)
{
    (void)bp_params_point(params, key, POINTS[n]);
}

static bool is_point(const struct bp_value *value, int64_t n)
{
    const struct bp_point *sent = &POINTS[n];
    const struct bp_point *got = &value->as.point;
    return value->type == BP_TYPE_POINT && got->srid == sent->srid &&
           got->dimensions == sent->dimensions && fabs(got->x - sent->x) < 1e-12 &&
           fabs(got->y - sent->y) < 1e-12 &&
           (sent->dimensions == 2 || fabs(got->z - sent->z) < 1e-12);
}

static json_t *values_spatial(struct env *e)
{
    static const struct piece PIECES[] = {{write_point, is_point, 0},
                                          {write_point, is_point, 1},
                                          {write_point, is_point, 2},
                                          {write_point, is_point, 3}};
    return json_pack(
        "[o, o]", ECHO(e, PIECES),
        run_rows(e,
                 "UNWIND [point({x: 1, y: 2}), point({longitude: 3, latitude: 4, height: 5})] AS p "
                 "RETURN p.srid, p",
                 NULL));
}

/* ---- vectors ---- */

static const int8_t INT8S[] = {1, -2, 127};
static const int16_t INT16S[] = {1, -2, 32767};
static const int32_t INT32S[] = {1, -2, 2147483647};
static const int64_t INT64S[] = {1, -2, INT64_MAX};
static const float FLOAT32S[] = {1.5F, -2.0F, 0.25F};
static const double FLOAT64S[] = {1.5, -2.0, 1e300};

static const void *const VECTORS[] = {INT8S, INT16S, INT32S, INT64S, FLOAT32S, FLOAT64S};
static const int64_t LAST_INTS[] = {127, 32767, 2147483647, INT64_MAX};

static void write_vector(struct bp_params *params, const char *key, int64_t n)
{
    (void)bp_params_vector(params, key, (enum bp_vector_type)n, VECTORS[n], 3);
}

static bool is_vector(const struct bp_value *value, int64_t n)
{
    int64_t integer = 0;
    double real = 0;
    if (value->type != BP_TYPE_VECTOR || bp_value_vector_type(value) != (int)n ||
        value->count != 3 || bp_value_vector_float(value, 1, &real) != 0 ||
        fabs(real + 2) > 1e-12 || bp_value_vector_float(value, 3, &real) != BP_E_USAGE) {
        return false;
    }
    if (n < BP_VECTOR_FLOAT32) {
        return bp_value_vector_int(value, 2, &integer) == 0 && integer == LAST_INTS[n];
    }
    return bp_value_vector_int(value, 2, &integer) == BP_E_TYPE &&
           bp_value_vector_float(value, 2, &real) == 0 &&
           fabs(real - (n == BP_VECTOR_FLOAT32 ? 0.25 : 1e300)) < 1e-12;
}

static json_t *values_vector(struct env *e)
{
    static const struct piece PIECES[] = {
        {write_vector, is_vector, BP_VECTOR_INT8},    {write_vector, is_vector, BP_VECTOR_INT16},
        {write_vector, is_vector, BP_VECTOR_INT32},   {write_vector, is_vector, BP_VECTOR_INT64},
        {write_vector, is_vector, BP_VECTOR_FLOAT32}, {write_vector, is_vector, BP_VECTOR_FLOAT64},
    };
    if (e->server_major < 2025) {
        return json_string("not on this server");
    }
    json_t *theirs = run_one(e, "CYPHER 25 RETURN vector([1, 2, 3], 3, INTEGER8)", NULL);
    if (e->bolt_major < 6) {
        return theirs;
    }
    return json_pack("[o, o]", theirs, ECHO(e, PIECES));
}

/* ---- large ones ---- */

static json_t *values_large(struct env *e)
{
    static const size_t SIZES[] = {10000, 300000, 4000000};
    json_t *seen = json_array();
    struct session s = session_open(e, NULL);
    char *text = malloc(5242881);
    if (text == NULL) {
        abort();
    }
    for (size_t i = 0; i < 5242880; i++) {
        text[i] = (char)('a' + i % 23);
    }
    text[5242880] = '\0';
    for (size_t i = 0; i < 3; i++) {
        struct bp_params *params = params_new(e);
        (void)bp_params_text(params, "v", text, SIZES[i]);
        struct bp_row *row = fetch(&s, "RETURN $v, size($v)", params);
        if (row != NULL) {
            const struct bp_value *values = bp_row_values(row);
            check(e,
                  values[0].type == BP_TYPE_STRING && values[0].as.text.size == SIZES[i] &&
                      memcmp(values[0].as.text.data, text, SIZES[i]) == 0,
                  "the text of %zu bytes differs", SIZES[i]);
            (void)json_array_append_new(seen, shown(e, &values[1]));
        }
        bp_row_free(row);
    }
    struct bp_params *params = params_new(e);
    (void)bp_params_text(params, "v", text, 23 * 14000);
    struct bp_row *row = fetch(&s, "RETURN reduce(s = $v, i IN range(1, 4) | s + s)", params);
    check(e,
          row == NULL || (bp_row_values(row)->as.text.size == 16 * 23 * 14000 &&
                          memcmp(bp_row_values(row)->as.text.data, text, 16 * 23 * 14000) == 0),
          "the large value differs");
    bp_row_free(row);
    params = params_new(e);
    (void)bp_params_text(params, "v", text, 200000);
    struct bp_result *result = run(&s, "UNWIND range(1, 20) AS i RETURN i, $v", params);
    const struct bp_value *values;
    while ((values = next(&s, result)) != NULL) {
        check(e, values[1].as.text.size == 200000, "a text of another size");
        (void)json_array_append_new(seen, shown(e, &values[0]));
    }
    (void)bp_result_free(result);
    free(text);
    session_close(&s);
    return seen;
}

const struct scenario values_scenarios[] = {
    {"values_scalars", values_scalars}, {"values_strings", values_strings},
    {"values_bytes", values_bytes},     {"values_containers", values_containers},
    {"values_graph", values_graph},     {"values_temporal", values_temporal},
    {"values_spatial", values_spatial}, {"values_vector", values_vector},
    {"values_large", values_large},     {NULL, NULL},
};
