/* What is inside a view: items, entries, the parts of nodes, relationships and paths, a vector's items. See view.h and
 * <boltpool/value.h>.
 *
 * The bytes were checked when the row was read, but the view is the caller's struct: everything is read with its
 * bounds checked again, and an error comes out where they don't hold.
 */
#include "client/view.h"

#include "bolt/value.h"
#include "client/value.h"

#include <boltpool/error.h>

#include <string.h>

void bpi_view_reader_init(struct bpi_pack_reader *reader, const struct bp_value *view)
{
    bpi_pack_reader_init(reader, view->as.inside.data, view->as.inside.size);
}

/* Reading is quicker than bpi_pack_skip() for scalars, which most values are, and as quick for the rest. */
int bpi_view_skip(struct bpi_pack_reader *reader)
{
    struct bp_value unused;
    return bpi_value_read(reader, &unused);
}

int bpi_view_text(struct bpi_pack_reader *reader, struct bp_text *ret_text)
{
    size_t left = (size_t)(reader->end - reader->at);
    /* Most keys have less than 16 bytes, and with them the length in their marker. */
    if (left == 0 || (*reader->at & 0xf0) != 0x80 || left <= (*reader->at & 0x0f)) {
        return bpi_pack_next_string(reader, &ret_text->data, &ret_text->size);
    }
    ret_text->data = (const char *)reader->at + 1;
    ret_text->size = *reader->at & 0x0f;
    reader->at += 1 + ret_text->size;
    return 0;
}

const uint8_t *bpi_value_bytes(const struct bp_value *value, size_t *ret_size)
{
    switch (value->type) {
    case BP_TYPE_STRING:
    case BP_TYPE_BYTES:
    case BP_TYPE_UUID:
    case BP_TYPE_UNSUPPORTED:
        *ret_size = value->as.text.size;
        return (const uint8_t *)value->as.text.data;
    case BP_TYPE_DATE_TIME:
        *ret_size = value->as.date_time.zone.size;
        return (const uint8_t *)value->as.date_time.zone.data;
    case BP_TYPE_LIST:
    case BP_TYPE_MAP:
    case BP_TYPE_NODE:
    case BP_TYPE_RELATIONSHIP:
    case BP_TYPE_PATH:
    case BP_TYPE_VECTOR:
        *ret_size = value->as.inside.size;
        return value->as.inside.data;
    case BP_TYPE_NULL:
    case BP_TYPE_BOOL:
    case BP_TYPE_INT:
    case BP_TYPE_FLOAT:
    case BP_TYPE_DATE:
    case BP_TYPE_TIME:
    case BP_TYPE_LOCAL_TIME:
    case BP_TYPE_LOCAL_DATE_TIME:
    case BP_TYPE_DURATION:
    case BP_TYPE_POINT:
    default:
        *ret_size = 0;
        return NULL;
    }
}

/* ---- lists and maps ---- */

int bp_iter_init(struct bp_iter *iter, const struct bp_value *value)
{
    if (value->type != BP_TYPE_LIST && value->type != BP_TYPE_MAP) {
        return BP_E_TYPE;
    }
    struct bpi_pack_reader reader;
    bpi_view_reader_init(&reader, value);
    iter->at = reader.at;
    iter->end = reader.end;
    iter->left = value->count;
    iter->is_map = value->type == BP_TYPE_MAP;
    return 0;
}

int bp_iter_next(struct bp_iter *iter, struct bp_text *ret_key, struct bp_value *ret_value)
{
    if (iter->left == 0) {
        return 0;
    }
    struct bpi_pack_reader reader = {.at = iter->at, .end = iter->end};
    struct bp_text key = {NULL, 0};
    int error = iter->is_map ? bpi_view_text(&reader, &key) : 0;
    if (error == 0) {
        error = bpi_value_read(&reader, ret_value);
    }
    if (error != 0) {
        return error;
    }
    iter->at = reader.at;
    iter->left--;
    if (ret_key != NULL) {
        *ret_key = key;
    }
    return 1;
}

/* Goes on to entry `key` among `count` entries and reads it: 1, or 0 where there is none. */
static int find_entry(struct bpi_pack_reader *reader,
                      uint32_t count,
                      const char *key,
                      struct bp_value *ret_value)
{
    size_t key_size = strlen(key);
    for (uint32_t i = 0; i < count; i++) {
        struct bp_text text;
        int error = bpi_view_text(reader, &text);
        if (error != 0) {
            return error;
        }
        if (text.size == key_size && memcmp(text.data, key, key_size) == 0) {
            error = bpi_value_read(reader, ret_value);
            return error != 0 ? error : 1;
        }
        error = bpi_view_skip(reader);
        if (error != 0) {
            return error;
        }
    }
    return 0;
}

int bp_value_get(const struct bp_value *value, const char *key, struct bp_value *ret_value)
{
    struct bpi_pack_reader reader;
    uint32_t before;
    switch ((unsigned)value->type) {
    case BP_TYPE_MAP:
        bpi_view_reader_init(&reader, value);
        return find_entry(&reader, value->count, key, ret_value);
    case BP_TYPE_NODE:
        before = 2;
        break;
    case BP_TYPE_RELATIONSHIP:
        before = BPI_VIEW_TAG(value->as.inside.kind) == BPI_STRUCT_RELATIONSHIP ? 4 : 2;
        break;
    default:
        return BP_E_TYPE;
    }
    /* The properties stand behind the fields that every version has. */
    bpi_view_reader_init(&reader, value);
    for (uint32_t i = 0; i < before; i++) {
        int error = bpi_view_skip(&reader);
        if (error != 0) {
            return error;
        }
    }
    uint32_t count;
    int error = bpi_pack_next_map(&reader, &count);
    return error != 0 ? error : find_entry(&reader, count, key, ret_value);
}

/* Goes on to item `index`, steps over it and reads it. */
static int read_item(struct bpi_pack_reader *reader, uint32_t index, struct bp_value *ret_value)
{
    for (uint32_t i = 0; i < index; i++) {
        int error = bpi_view_skip(reader);
        if (error != 0) {
            return error;
        }
    }
    return bpi_value_read(reader, ret_value);
}

int bp_value_at(const struct bp_value *value, uint32_t index, struct bp_value *ret_value)
{
    if (value->type != BP_TYPE_LIST) {
        return BP_E_TYPE;
    }
    if (index >= value->count) {
        return 0;
    }
    struct bpi_pack_reader reader;
    bpi_view_reader_init(&reader, value);
    int error = read_item(&reader, index, ret_value);
    return error != 0 ? error : 1;
}

/* ---- structures ---- */

/* Reads a value that has to be of that type. */
static int read_typed(struct bpi_pack_reader *reader, enum bp_type type, struct bp_value *ret_value)
{
    int error = bpi_value_read(reader, ret_value);
    return error == 0 && ret_value->type != type ? BP_E_TYPE : error;
}

int bp_value_node(const struct bp_value *value, struct bp_node *ret_node)
{
    if (value->type != BP_TYPE_NODE) {
        return BP_E_TYPE;
    }
    struct bpi_pack_reader reader;
    bpi_view_reader_init(&reader, value);
    struct bp_node node;
    memset(&node, 0, sizeof(node));
    int error = bpi_pack_next_int(&reader, &node.id);
    if (error == 0) {
        error = read_typed(&reader, BP_TYPE_LIST, &node.labels);
    }
    if (error == 0) {
        error = read_typed(&reader, BP_TYPE_MAP, &node.properties);
    }
    if (error == 0 && BPI_VIEW_FIELDS(value->as.inside.kind) > 3) {
        error = bpi_view_text(&reader, &node.element_id);
    }
    if (error == 0) {
        *ret_node = node;
    }
    return error;
}

/* The fields by which a relationship differs from one inside a path: whether it says its ends. */
static int
read_ends(struct bpi_pack_reader *reader, bool is_bound, struct bp_relationship *relationship)
{
    relationship->start_id = -1;
    relationship->end_id = -1;
    if (!is_bound) {
        return 0;
    }
    int error = bpi_pack_next_int(reader, &relationship->start_id);
    return error != 0 ? error : bpi_pack_next_int(reader, &relationship->end_id);
}

/* The names that versions from 5.0 on have behind the rest. */
static int read_element_ids(struct bpi_pack_reader *reader,
                            bool is_bound,
                            struct bp_relationship *relationship)
{
    int error = bpi_view_text(reader, &relationship->element_id);
    if (error == 0 && is_bound) {
        error = bpi_view_text(reader, &relationship->start_element_id);
    }
    if (error == 0 && is_bound) {
        error = bpi_view_text(reader, &relationship->end_element_id);
    }
    return error;
}

int bp_value_relationship(const struct bp_value *value, struct bp_relationship *ret_relationship)
{
    if (value->type != BP_TYPE_RELATIONSHIP) {
        return BP_E_TYPE;
    }
    bool is_bound = BPI_VIEW_TAG(value->as.inside.kind) == BPI_STRUCT_RELATIONSHIP;
    struct bpi_pack_reader reader;
    bpi_view_reader_init(&reader, value);
    struct bp_relationship relationship;
    memset(&relationship, 0, sizeof(relationship));
    int error = bpi_pack_next_int(&reader, &relationship.id);
    if (error == 0) {
        error = read_ends(&reader, is_bound, &relationship);
    }
    if (error == 0) {
        error = bpi_view_text(&reader, &relationship.type);
    }
    if (error == 0) {
        error = read_typed(&reader, BP_TYPE_MAP, &relationship.properties);
    }
    if (error == 0 && BPI_VIEW_FIELDS(value->as.inside.kind) > (is_bound ? 5U : 3U)) {
        error = read_element_ids(&reader, is_bound, &relationship);
    }
    if (error == 0) {
        *ret_relationship = relationship;
    }
    return error;
}

/* ---- paths ---- */

int bpi_path_init(struct bpi_path *path, const struct bp_value *value)
{
    struct bpi_pack_reader reader;
    bpi_view_reader_init(&reader, value);
    struct bp_value lists[2];
    for (int i = 0; i < 2; i++) {
        int error = read_typed(&reader, BP_TYPE_LIST, &lists[i]);
        if (error != 0) {
            return error;
        }
    }
    uint32_t count;
    int error = bpi_pack_next_list(&reader, &count);
    if (error != 0) {
        return error;
    }
    path->nodes.list = lists[0];
    path->relationships.list = lists[1];
    bpi_view_reader_init(&path->nodes.reader, &lists[0]);
    bpi_view_reader_init(&path->relationships.reader, &lists[1]);
    path->nodes.next = 0;
    path->relationships.next = 0;
    path->indices = reader;
    path->node = 0;
    path->left = count / 2;
    path->is_done = false;
    return 0;
}

/* Reads item `index` of a path's list, going on from the last one where it lies behind it. */
static int cursor_read(struct bpi_path_cursor *cursor,
                       int64_t index,
                       enum bp_type type,
                       struct bp_value *ret_value)
{
    if (index < 0 || index >= (int64_t)cursor->list.count) {
        return BP_E_PROTOCOL;
    }
    uint32_t at = (uint32_t)index;
    if (at < cursor->next) {
        bpi_view_reader_init(&cursor->reader, &cursor->list);
        cursor->next = 0;
    }
    int error = read_item(&cursor->reader, at - cursor->next, ret_value);
    if (error != 0) {
        return error;
    }
    cursor->next = at + 1;
    return ret_value->type == type ? 0 : BP_E_TYPE;
}

int bpi_path_next(struct bpi_path *path, bool is_wanted, struct bp_path_step *ret_step)
{
    if (path->is_done) {
        return 0;
    }
    int64_t node = path->node;
    int64_t relationship = 0;
    int error = 0;
    if (path->left > 0) {
        error = bpi_pack_next_int(&path->indices, &relationship);
        if (error == 0) {
            error = bpi_pack_next_int(&path->indices, &path->node);
        }
        path->left--;
    } else {
        path->is_done = true;
    }
    if (error != 0 || !is_wanted) {
        return error != 0 ? error : 1;
    }
    memset(ret_step, 0, sizeof(*ret_step));
    error = cursor_read(&path->nodes, node, BP_TYPE_NODE, &ret_step->node);
    if (error != 0 || path->is_done) {
        return error != 0 ? error : 1;
    }
    /* -2^63 has no positive counterpart, and no list is that long. */
    ret_step->is_reversed = relationship < 0;
    int64_t place = relationship < 0 && relationship != INT64_MIN ? -relationship : relationship;
    error = place < 1 ? BP_E_PROTOCOL
                      : cursor_read(&path->relationships, place - 1, BP_TYPE_RELATIONSHIP,
                                    &ret_step->relationship);
    return error != 0 ? error : 1;
}

int bp_value_path_step(const struct bp_value *value, uint32_t index, struct bp_path_step *ret_step)
{
    if (value->type != BP_TYPE_PATH) {
        return BP_E_TYPE;
    }
    if (index > value->count) {
        return 0;
    }
    struct bpi_path path;
    int status = bpi_path_init(&path, value);
    if (status != 0) {
        return status;
    }
    for (uint32_t i = 0; i < index; i++) {
        status = bpi_path_next(&path, false, ret_step);
        if (status != 1) {
            return status;
        }
    }
    return bpi_path_next(&path, true, ret_step);
}

/* ---- vectors ---- */

int bp_value_vector_type(const struct bp_value *value)
{
    return value->type == BP_TYPE_VECTOR ? value->as.inside.kind : BP_E_TYPE;
}

/* The bits of item `index`, in the low end. */
static int vector_bits(const struct bp_value *value, uint32_t index, uint64_t *ret_bits)
{
    size_t item_size =
        value->type == BP_TYPE_VECTOR ? bpi_vector_item_size(value->as.inside.kind) : 0;
    if (item_size == 0) {
        return BP_E_TYPE;
    }
    if (index >= value->count || index >= value->as.inside.size / item_size) {
        return BP_E_USAGE;
    }
    const uint8_t *at = value->as.inside.data + index * item_size;
    uint64_t bits = 0;
    for (size_t i = 0; i < item_size; i++) {
        bits = bits << 8 | at[i];
    }
    *ret_bits = bits;
    return 0;
}

int bp_value_vector_int(const struct bp_value *value, uint32_t index, int64_t *ret_item)
{
    if (value->type != BP_TYPE_VECTOR || value->as.inside.kind > BP_VECTOR_INT64) {
        return BP_E_TYPE;
    }
    uint64_t bits;
    int error = vector_bits(value, index, &bits);
    if (error != 0) {
        return error;
    }
    uint64_t sign = UINT64_C(1) << (8 * bpi_vector_item_size(value->as.inside.kind) - 1);
    *ret_item = (int64_t)((bits ^ sign) - sign);
    return 0;
}

int bp_value_vector_float(const struct bp_value *value, uint32_t index, double *ret_item)
{
    uint64_t bits;
    int error = vector_bits(value, index, &bits);
    if (error != 0) {
        return error;
    }
    if (value->as.inside.kind == BP_VECTOR_FLOAT64) {
        memcpy(ret_item, &bits, sizeof(*ret_item));
        return 0;
    }
    if (value->as.inside.kind == BP_VECTOR_FLOAT32) {
        uint32_t half = (uint32_t)bits;
        float item;
        memcpy(&item, &half, sizeof(item));
        *ret_item = (double)item;
        return 0;
    }
    int64_t item;
    error = bp_value_vector_int(value, index, &item);
    if (error == 0) {
        *ret_item = (double)item;
    }
    return error;
}
