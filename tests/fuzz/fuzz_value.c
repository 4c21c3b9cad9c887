/* Input: the list of a RECORD. Shown: what reads as a row is also PackStream and its values are structures of some
 * version; everything inside is gone through without an error; text in a small place is the beginning of the text in
 * a large one, and UTF-8; a copy is equal and lives on when the message is gone; what parameters take reads back equal.
 * In a second turn one byte changes under the views, which may give errors, but no step outside.
 */
#include "client/value.h"

#include "client/view.h"

#include <boltpool/error.h>

#include "tests/fuzz/fuzz.h"

#define COLUMNS_MAX 16
/* Deeper ones are only read: each level costs a walk over all below it. */
#define DEPTH_MAX 70

/* `is_whole`: the bytes are those that were read, so nothing may fail. */
static void look_inside(const struct bp_value *value, int is_whole, int depth);

static void check(int status, int is_whole)
{
    FUZZ_CHECK(!is_whole || status >= 0);
}

static void look_at_items(const struct bp_value *value, int is_whole, int depth)
{
    struct bp_iter iter;
    struct bp_text key;
    struct bp_value item;
    int status = bp_iter_init(&iter, value);
    uint32_t count = 0;
    check(status, is_whole);
    while (status >= 0 && (status = bp_iter_next(&iter, &key, &item)) == 1) {
        look_inside(&item, is_whole, depth);
        count++;
    }
    check(status, is_whole);
    FUZZ_CHECK(!is_whole || count == value->count);
    if (value->type == BP_TYPE_LIST && value->count > 0) {
        check(bp_value_at(value, value->count - 1, &item), is_whole);
    }
}

static void look_at_node(const struct bp_value *value, int is_whole, int depth)
{
    struct bp_node node;
    int status = bp_value_node(value, &node);
    check(status, is_whole);
    if (status == 0) {
        FUZZ_CHECK(!is_whole || node.labels.count == value->count);
        look_inside(&node.labels, is_whole, depth);
        look_inside(&node.properties, is_whole, depth);
    }
    struct bp_value property;
    check(bp_value_get(value, "a", &property), is_whole);
}

static void look_at_relationship(const struct bp_value *value, int is_whole, int depth)
{
    struct bp_relationship relationship;
    int status = bp_value_relationship(value, &relationship);
    check(status, is_whole);
    if (status == 0) {
        look_inside(&relationship.properties, is_whole, depth);
    }
    struct bp_value property;
    check(bp_value_get(value, "a", &property), is_whole);
}

static void look_at_path(const struct bp_value *value, int is_whole, int depth)
{
    /* Paths inside of paths are only begun: each level would be a power more of work. */
    static uint32_t paths_open;
    struct bp_path_step step;
    int status = 1;
    uint32_t index = 0;
    uint32_t most = paths_open++ == 0 ? 40 : 1;
    for (; status == 1 && index < most; index++) {
        status = bp_value_path_step(value, index, &step);
        check(status, is_whole);
        if (status == 1) {
            FUZZ_CHECK(step.node.type == BP_TYPE_NODE);
            look_inside(&step.node, is_whole, depth);
            look_inside(&step.relationship, is_whole, depth);
        }
    }
    paths_open--;
    FUZZ_CHECK(!is_whole || status == 1 || index == value->count + 2);
}

static void look_at_vector(const struct bp_value *value, int is_whole)
{
    int type = bp_value_vector_type(value);
    FUZZ_CHECK(type >= BP_VECTOR_INT8 && type <= BP_VECTOR_FLOAT64);
    for (uint32_t i = 0; i < value->count; i++) {
        double real;
        int64_t integer;
        check(bp_value_vector_float(value, i, &real), is_whole);
        check(type <= BP_VECTOR_INT64 ? bp_value_vector_int(value, i, &integer) : 0, is_whole);
    }
}

static void look_inside(const struct bp_value *value, int is_whole, int depth)
{
    FUZZ_CHECK(bp_type_name(value->type) != NULL);
    if (depth == DEPTH_MAX) {
        return;
    }
    switch ((unsigned)value->type) {
    case BP_TYPE_LIST:
    case BP_TYPE_MAP:
        look_at_items(value, is_whole, depth + 1);
        break;
    case BP_TYPE_NODE:
        look_at_node(value, is_whole, depth + 1);
        break;
    case BP_TYPE_RELATIONSHIP:
        look_at_relationship(value, is_whole, depth + 1);
        break;
    case BP_TYPE_PATH:
        look_at_path(value, is_whole, depth + 1);
        break;
    case BP_TYPE_VECTOR:
        look_at_vector(value, is_whole);
        break;
    case BP_TYPE_STRING:
    case BP_TYPE_BYTES:
    case BP_TYPE_UUID:
    case BP_TYPE_UNSUPPORTED:
        FUZZ_CHECK(value->as.text.data != NULL);
        break;
    default:
        break;
    }
}

static void check_text(const struct bp_value *value)
{
    int64_t size = bp_value_format(value, NULL, 0);
    FUZZ_CHECK(size > 0);
    char *whole = malloc((size_t)size + 1);
    FUZZ_CHECK(whole != NULL);
    int64_t whole_size = bp_value_format(value, whole, (size_t)size + 1);
    FUZZ_CHECK(whole_size == size && strlen(whole) == (size_t)size);
    FUZZ_CHECK(bpi_utf8_valid((const uint8_t *)whole, (size_t)size));
    static const size_t rooms[] = {1, 2, 3, 7, 24};
    for (size_t i = 0; i < sizeof(rooms) / sizeof(rooms[0]); i++) {
        char *text = malloc(rooms[i]);
        FUZZ_CHECK(text != NULL);
        int64_t again = bp_value_format(value, text, rooms[i]);
        FUZZ_CHECK(again == size && strlen(text) < rooms[i]);
        FUZZ_CHECK(memcmp(text, whole, strlen(text)) == 0);
        FUZZ_CHECK(bpi_utf8_valid((const uint8_t *)text, strlen(text)));
        free(text);
    }
    free(whole);
}

static void check_sending(struct bp_params *params, const struct bp_value *value)
{
    struct bpi_bolt_span map;
    unsigned needs;
    bp_params_clear(params);
    int error = bp_params_value(params, "a", value);
    int content = bpi_params_content(params, &map, &needs);
    FUZZ_CHECK(content == error);
    if (error != 0) {
        FUZZ_CHECK(error == BP_E_TYPE || error == BP_E_UTF8 || error == BP_E_USAGE ||
                   error == BP_E_DEPTH);
        return;
    }
    uint8_t *copy = fuzz_copy(map.data, map.size);
    struct bpi_pack_reader reader;
    struct bp_value top;
    struct bp_value again;
    bpi_pack_reader_init(&reader, copy, map.size);
    error = bpi_value_read(&reader, &top);
    FUZZ_CHECK(error == 0 && reader.at == reader.end);
    int found = bp_value_get(&top, "a", &again);
    FUZZ_CHECK(found == 1 && bp_value_equal(&again, value) && bp_value_equal(value, &again));
    free(copy);
}

static void check_row(const uint8_t *data, size_t size, struct bp_value *values, uint32_t columns)
{
    struct bpi_pack_reader reader;
    bpi_pack_reader_init(&reader, data, size);
    int error = bpi_pack_skip(&reader, &bpi_pack_limits_open);
    /* A record's own list counts as a level there, and each column begins anew here. */
    FUZZ_CHECK((error == 0 && reader.at == reader.end) || error == BP_E_DEPTH);
    struct bp_params *params;
    error = bp_params_new(&params);
    FUZZ_CHECK(error == 0);
    for (uint32_t i = 0; i < columns; i++) {
        look_inside(&values[i], 1, 0);
        check_text(&values[i]);
        check_sending(params, &values[i]);
        for (uint32_t k = 0; k <= i; k++) {
            int equal = bp_value_equal(&values[i], &values[k]);
            FUZZ_CHECK(equal == bp_value_equal(&values[k], &values[i]) && (equal || i != k));
        }
    }
    bp_params_free(params);
}

static void check_copy(const uint8_t *data, size_t size, uint32_t columns)
{
    uint8_t *copy = fuzz_copy(data, size);
    struct bp_value values[COLUMNS_MAX];
    struct bp_value originals[COLUMNS_MAX];
    int error = bpi_value_read_record(copy, size, values, columns);
    FUZZ_CHECK(error == 0);
    error = bpi_value_read_record(data, size, originals, columns);
    FUZZ_CHECK(error == 0);
    struct bp_row *row;
    error = bp_row_copy(values, columns, &row);
    FUZZ_CHECK(error == 0 && bp_row_size(row) == columns);
    memset(copy, 0xff, size);
    free(copy);
    for (uint32_t i = 0; i < columns; i++) {
        FUZZ_CHECK(bp_value_equal(&originals[i], &bp_row_values(row)[i]));
    }
    bp_row_free(row);
}

static void check_changed(uint8_t *data, size_t size, struct bp_value *values, uint32_t columns)
{
    uint8_t *copy = fuzz_copy(data, size);
    struct bp_value before[COLUMNS_MAX];
    int error = bpi_value_read_record(copy, size, before, columns);
    FUZZ_CHECK(error == 0);
    char text[64];
    data[data[size - 1] % size] ^= (uint8_t)(1U << (data[size / 2] & 7));
    for (uint32_t i = 0; i < columns; i++) {
        look_inside(&values[i], 0, 0);
        (void)bp_value_format(&values[i], text, sizeof(text));
        int equal = bp_value_equal(&values[i], &before[i]);
        FUZZ_CHECK(equal == bp_value_equal(&before[i], &values[i]));
    }
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bp_value values[COLUMNS_MAX];
    uint8_t *copy = fuzz_copy(data, size);
    struct bpi_pack_reader reader;
    uint32_t columns;
    bpi_pack_reader_init(&reader, copy, size);
    if (bpi_pack_next_list(&reader, &columns) != 0 || columns > COLUMNS_MAX) {
        columns = 1;
    }
    if (bpi_value_read_record(copy, size, values, columns) == 0) {
        check_row(copy, size, values, columns);
        check_copy(copy, size, columns);
        check_changed(copy, size, values, columns);
    }
    free(copy);
    return 0;
}
