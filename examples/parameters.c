/* Every kind of value: given as a parameter, and read from a row.
 *
 *     ./parameters bolt://neo4j:secret@127.0.0.1:7687
 *
 * Prints (the last line depends on the server; vectors need Bolt 6.0):
 *
 *     nothing           NULL             null
 *     yes               BOOL             true
 *     count             INT              -42
 *     ratio             FLOAT            0.5
 *     name              STRING           "Ann"
 *     photo             BYTES            bytes(0001FF)
 *     born              DATE             1980-02-29
 *     opens             TIME             08:30:00+01:00
 *     lunch             LOCAL_TIME       12:00:00
 *     met               DATE_TIME        2024-06-01T10:00:00Z[Europe/Paris]
 *     noted             LOCAL_DATE_TIME  2024-06-01T12:00:00
 *     waits             DURATION         P1M2DT3S
 *     home              POINT            point({srid: 4326, x: 2.3522, y: 48.8566})
 *     tags              LIST             ["a", "b"]
 *     address           MAP              {city: "Paris"}
 *     address.city is Paris; tags: a b
 *     (:Person) Ann -[:KNOWS since 2020]-> (:Person) Bob, a path of 1 step
 *     vector: <...>
 */
#include <boltpool/bolt.h>
#include <inttypes.h>
#include <stdio.h>

static int failed(struct bp_bolt *bolt, int error)
{
    const struct bp_failure *failure = bp_bolt_failure(bolt);
    fprintf(stderr, "%s: %s %s\n", bp_error_name(error), failure->code, failure->text);
    return error;
}

/* Each writer returns the first error so far, so that one question at the end is enough. */
static int write_parameters(struct bp_params *params)
{
    struct bp_date born = {3711}; /* days since 1970-01-01 */
    struct bp_time opens = {(8 * 3600 + 30 * 60) * INT64_C(1000000000), 3600};
    struct bp_time lunch = {12 * 3600 * INT64_C(1000000000), 0};
    struct bp_date_time met = {1717236000, 0, 0, 0, {"Europe/Paris", 12}};
    struct bp_date_time noted = {1717243200, 0, 0, 0, {NULL, 0}};
    struct bp_duration waits = {1, 2, 3, 0};
    struct bp_point home = {4326, 2, 2.3522, 48.8566, 0};

    bp_params_null(params, "nothing");
    bp_params_bool(params, "yes", 1);
    bp_params_int(params, "count", -42);
    bp_params_float(params, "ratio", 0.5);
    bp_params_string(params, "name", "Ann");
    bp_params_bytes(params, "photo", "\x00\x01\xff", 3);
    bp_params_date(params, "born", born);
    bp_params_time(params, "opens", opens);
    bp_params_local_time(params, "lunch", lunch);
    bp_params_date_time(params, "met", met);
    bp_params_local_date_time(params, "noted", noted);
    bp_params_duration(params, "waits", waits);
    bp_params_point(params, "home", home);
    bp_params_list(params, "tags"); /* what follows goes into the list: no keys */
    bp_params_string(params, NULL, "a");
    bp_params_string(params, NULL, "b");
    bp_params_end(params);
    bp_params_map(params, "address");
    bp_params_string(params, "city", "Paris");
    bp_params_end(params);
    return bp_params_error(params);
}

/* Columns by index, by name, and what is inside of containers. */
static int show_row(struct bp_result *result, const struct bp_value *row)
{
    for (size_t i = 0; i < bp_result_columns(result); i++) {
        struct bp_text name = bp_result_column(result, i);
        char text[200];
        if (bp_value_format(&row[i], text, sizeof(text)) < 0)
            return BP_E_INTERNAL;
        printf("%-17.*s %-16s %s\n", (int)name.size, name.data, bp_type_name(row[i].type), text);
    }

    int address = bp_result_column_index(result, "address");
    int tags = bp_result_column_index(result, "tags");
    struct bp_value value;
    struct bp_iter iter;
    if (address < 0 || tags < 0 || bp_value_get(&row[address], "city", &value) != 1)
        return BP_E_INTERNAL;
    printf("address.city is %.*s; tags:", (int)value.as.text.size, value.as.text.data);
    int error = bp_iter_init(&iter, &row[tags]);
    while (error == 0 && bp_iter_next(&iter, NULL, &value) == 1)
        printf(" %.*s", (int)value.as.text.size, value.as.text.data);
    printf("\n");
    return error;
}

static int typed(struct bp_bolt *bolt)
{
    struct bp_params *params = NULL;
    struct bp_result *result = NULL;
    const struct bp_value *row;
    int error = bp_params_new(&params);
    if (error == 0)
        error = write_parameters(params);
    if (error == 0)
        error = bp_bolt_run(
            bolt,
            "RETURN $nothing AS nothing, $yes AS yes, $count AS count, $ratio AS ratio, $name AS "
            "name,"
            " $photo AS photo, $born AS born, $opens AS opens, $lunch AS lunch, $met AS met,"
            " $noted AS noted, $waits AS waits, $home AS home, $tags AS tags, $address AS address",
            params, NULL, &result);
    while (error == 0 && bp_result_next(result, &row) == 1)
        error = show_row(result, row);
    int ended = bp_result_free(result);
    bp_params_free(params);
    return error != 0 ? error : ended;
}

/* The text behind `key` of a node or relationship; "" where there is none. */
static struct bp_text text_of(const struct bp_value *value, const char *key)
{
    struct bp_value found;
    struct bp_text none = {"", 0};
    return bp_value_get(value, key, &found) == 1 && found.type == BP_TYPE_STRING ? found.as.text
                                                                                 : none;
}

static int show_path(const struct bp_value *path)
{
    for (uint32_t i = 0; i <= path->count; i++) {
        struct bp_path_step step;
        struct bp_node node;
        struct bp_relationship knows;
        struct bp_value label;
        struct bp_value since;
        if (bp_value_path_step(path, i, &step) != 1 || bp_value_node(&step.node, &node) != 0 ||
            bp_value_at(&node.labels, 0, &label) != 1)
            return BP_E_INTERNAL;
        struct bp_text name = text_of(&step.node, "name");
        printf("(:%.*s) %.*s", (int)label.as.text.size, label.as.text.data, (int)name.size,
               name.data);
        if (step.relationship.type == BP_TYPE_NULL)
            break; /* behind the last node */
        if (bp_value_relationship(&step.relationship, &knows) != 0 ||
            bp_value_get(&knows.properties, "since", &since) != 1)
            return BP_E_INTERNAL;
        printf(" -[:%.*s since %" PRId64 "]-> ", (int)knows.type.size, knows.type.data,
               since.as.integer);
    }
    printf(", a path of %u step\n", (unsigned)path->count);
    return 0;
}

/* Nodes, relationships and paths can be read, but not given. The transaction is rolled back. */
static int graph(struct bp_bolt *bolt)
{
    struct bp_result *result = NULL;
    const struct bp_value *row;
    int error = bp_bolt_begin(bolt, NULL);
    if (error != 0)
        return error;
    error = bp_bolt_run(
        bolt,
        "CREATE p = (:Person {name: 'Ann'})-[:KNOWS {since: 2020}]->(:Person {name: 'Bob'})"
        " RETURN p",
        NULL, NULL, &result);
    while (error == 0 && bp_result_next(result, &row) == 1)
        error = show_path(&row[0]);
    int ended = bp_result_free(result);
    int rolled_back = bp_bolt_rollback(bolt);
    return error != 0 ? error : ended != 0 ? ended : rolled_back;
}

/* What this version of the protocol can't say fails with BP_E_TYPE before it is sent. */
static int vector(struct bp_bolt *bolt)
{
    static const float items[] = {0.5F, 1.5F};
    struct bp_params *params = NULL;
    struct bp_result *result = NULL;
    const struct bp_value *row;
    char text[100] = "";
    int error = bp_params_new(&params);
    if (error == 0)
        error = bp_params_vector(params, "v", BP_VECTOR_FLOAT32, items, 2);
    if (error == 0)
        error = bp_bolt_run(bolt, "RETURN $v", params, NULL, &result);
    if (error == BP_E_TYPE) {
        printf("vector: not with Bolt %s\n", bp_bolt_version(bolt));
        error = 0;
    }
    while (error == 0 && result && bp_result_next(result, &row) == 1) {
        (void)bp_value_format(&row[0], text, sizeof(text));
        printf("vector: %s\n", text);
    }
    int ended = bp_result_free(result);
    bp_params_free(params);
    return error != 0 ? error : ended;
}

int main(int argc, char **argv)
{
    struct bp_bolt_config config;
    struct bp_failure failure;
    struct bp_bolt *bolt;
    if (argc != 2) {
        fprintf(stderr, "usage: parameters URL\n");
        return 2;
    }
    bp_bolt_config_init(&config);
    config.url = argv[1];
    if (bp_bolt_open(&config, &bolt, &failure) != 0) {
        fprintf(stderr, "%s: %s\n", argv[1], failure.text);
        return 1;
    }
    int error = typed(bolt);
    if (error == 0)
        error = graph(bolt);
    if (error == 0)
        error = vector(bolt);
    if (error != 0)
        failed(bolt, error);
    bp_bolt_close(bolt);
    return error == 0 ? 0 : 1;
}
