/* Writes parameters straight into the bytes that are sent. See <boltpool/value.h>.
 *
 * The top map's head has room for the largest count; its smallest form is kept right before the first key, so that the
 * encoded map is always there. Containers inside get heads with counts of 32 bits, which bp_params_end() fills in.
 *
 * The first error sticks and stops all further writing: what was written up to then may be half a value.
 */
#include "base/buffer.h"
#include "bolt/value.h"
#include "client/keys.h"
#include "client/value.h"
#include "client/view.h"

#include <boltpool/error.h>

#include <stdlib.h>
#include <string.h>

/* Containers in each other; people's data rarely has more than five. Doubled: 3 KiB more for each set. */
#define DEPTH_MAX 64
/* A marker and 32 bits: the largest head, and what a text takes beside its bytes. */
#define HEAD_SIZE ((size_t)5)
/* A structure's head and its longest fields: four numbers of 64 bits. */
#define STRUCT_SIZE ((size_t)(2 + 4 * 9))
#define LENGTH_MAX  ((size_t)INT32_MAX)

#define DAY_NS    INT64_C(86400000000000)
#define SECOND_NS 1000000000

struct level {
    size_t head; /* where the container's head begins */
    uint32_t count;
    bool is_map;
    struct bpi_keys_map keys;
};

struct bp_params {
    struct bpi_buffer buffer;
    int error;
    unsigned needs;
    uint32_t depth; /* open containers beside the top map, which is levels[0] */
    struct level levels[1 + DEPTH_MAX];
    struct bpi_keys keys;
};

int bp_params_new(struct bp_params **ret_params)
{
    struct bp_params *params = calloc(1, sizeof(*params));
    if (params == NULL) {
        return BP_E_NO_MEMORY;
    }
    params->levels[0].is_map = true;
    *ret_params = params;
    return 0;
}

void bp_params_free(struct bp_params *params)
{
    if (params == NULL) {
        return;
    }
    for (uint32_t i = 0; i <= DEPTH_MAX; i++) {
        bpi_keys_map_done(&params->levels[i].keys);
    }
    bpi_keys_done(&params->keys);
    /* Passwords are parameters, too. */
    bpi_buffer_wipe(&params->buffer);
    free(params);
}

void bp_params_clear(struct bp_params *params)
{
    params->error = 0;
    params->needs = 0;
    params->depth = 0;
    params->levels[0].count = 0;
    bpi_keys_close(&params->keys, &params->levels[0].keys);
    bpi_buffer_clear(&params->buffer);
}

int bp_params_error(const struct bp_params *params)
{
    return params->error;
}

static int fail(struct bp_params *params, int error)
{
    if (params->error == 0) {
        params->error = error;
    }
    return params->error;
}

/* ---- bytes ---- */

/* Makes room for `size` more bytes. The buffer itself would free what it outgrows unwiped. */
static int reserve(struct bp_params *params, size_t size)
{
    struct bpi_buffer *buffer = &params->buffer;
    if (buffer->capacity - buffer->end >= size) {
        return 0;
    }
    size_t wanted;
    if (__builtin_add_overflow(buffer->end, size, &wanted)) {
        return BP_E_NO_MEMORY;
    }
    struct bpi_buffer larger;
    bpi_buffer_init(&larger);
    int error = bpi_buffer_reserve(&larger, wanted);
    if (error == 0) {
        error = bpi_buffer_append(&larger, buffer->data, buffer->end);
    }
    if (error != 0) {
        bpi_buffer_done(&larger);
        return error;
    }
    bpi_buffer_wipe(buffer);
    *buffer = larger;
    return 0;
}

/* A writer with room for `size` bytes, or one that has failed already. */
static struct bpi_pack_writer writer_of(struct bp_params *params, size_t size)
{
    struct bpi_pack_writer writer;
    bpi_pack_writer_init(&writer, &params->buffer);
    writer.status = params->error != 0 ? params->error : reserve(params, size);
    return writer;
}

static int finish(struct bp_params *params, const struct bpi_pack_writer *writer)
{
    return writer->status == 0 ? 0 : fail(params, writer->status);
}

static void store_be(uint8_t *at, uint32_t value, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        at[i] = (uint8_t)(value >> (8 * (size - 1 - i)));
    }
}

/* How long the smallest head of a map is. */
static size_t map_head_size(uint32_t count)
{
    if (count <= 15) {
        return 1;
    }
    if (count <= UINT8_MAX) {
        return 2;
    }
    return count <= UINT16_MAX ? 3 : HEAD_SIZE;
}

/* Writes the top map's head so that it ends where the first key begins. */
static void store_top_head(struct bp_params *params)
{
    static const uint8_t markers[HEAD_SIZE + 1] = {[2] = 0xd8, [3] = 0xd9, [5] = 0xda};
    uint32_t count = params->levels[0].count;
    size_t size = map_head_size(count);
    uint8_t *head = params->buffer.data + HEAD_SIZE - size;
    if (size == 1) {
        head[0] = (uint8_t)(0xa0 | count);
        return;
    }
    head[0] = markers[size];
    store_be(head + 1, count, size - 1);
}

/* ---- containers and their keys ---- */

static int write_key(struct bp_params *params, struct level *level, const struct bp_text *key)
{
    if (key->size > LENGTH_MAX) {
        return BP_E_SIZE;
    }
    if (!bpi_utf8_valid((const uint8_t *)key->data, key->size)) {
        return BP_E_UTF8;
    }
    struct bpi_pack_writer writer = writer_of(params, HEAD_SIZE + key->size);
    bpi_pack_string(&writer, key->data, key->size);
    if (writer.status != 0) {
        return writer.status;
    }
    size_t offset = params->buffer.end - key->size;
    return bpi_keys_add(&params->keys, &level->keys, params->buffer.data, offset, key->data,
                        (uint32_t)key->size);
}

/* What stands before each value: room for the top map's head, the key, the count. `key` NULL = none. */
static int begin_value(struct bp_params *params, const struct bp_text *key)
{
    static const uint8_t room[HEAD_SIZE];
    if (params->error != 0) {
        return params->error;
    }
    struct level *level = &params->levels[params->depth];
    if (level->is_map != (key != NULL)) {
        return fail(params, BP_E_USAGE);
    }
    if (level->count == LENGTH_MAX) {
        return fail(params, BP_E_SIZE);
    }
    if (params->buffer.end == 0) {
        struct bpi_pack_writer writer = writer_of(params, HEAD_SIZE);
        bpi_pack_raw(&writer, room, HEAD_SIZE);
        if (writer.status != 0) {
            return fail(params, writer.status);
        }
    }
    int error = key == NULL ? 0 : write_key(params, level, key);
    if (error != 0) {
        return fail(params, error);
    }
    level->count++;
    if (params->depth == 0) {
        store_top_head(params);
    }
    return 0;
}

static int begin(struct bp_params *params, const char *key)
{
    if (key == NULL) {
        return begin_value(params, NULL);
    }
    struct bp_text text = {key, strlen(key)};
    return begin_value(params, &text);
}

static int open_container(struct bp_params *params, bool is_map)
{
    if (params->depth == DEPTH_MAX) {
        return fail(params, BP_E_DEPTH);
    }
    uint8_t head[HEAD_SIZE] = {is_map ? 0xda : 0xd6};
    struct bpi_pack_writer writer = writer_of(params, HEAD_SIZE);
    bpi_pack_raw(&writer, head, HEAD_SIZE);
    if (writer.status != 0) {
        return fail(params, writer.status);
    }
    struct level *level = &params->levels[++params->depth];
    level->head = params->buffer.end - HEAD_SIZE;
    level->count = 0;
    level->is_map = is_map;
    bpi_keys_open(&params->keys, &level->keys);
    return 0;
}

static void close_container(struct bp_params *params)
{
    struct level *level = &params->levels[params->depth--];
    bpi_keys_close(&params->keys, &level->keys);
    store_be(params->buffer.data + level->head + 1, level->count, 4);
}

int bp_params_list(struct bp_params *params, const char *key)
{
    int error = begin(params, key);
    return error != 0 ? error : open_container(params, false);
}

int bp_params_map(struct bp_params *params, const char *key)
{
    int error = begin(params, key);
    return error != 0 ? error : open_container(params, true);
}

int bp_params_end(struct bp_params *params)
{
    if (params->error != 0) {
        return params->error;
    }
    if (params->depth == 0) {
        return fail(params, BP_E_USAGE);
    }
    close_container(params);
    return 0;
}

/* ---- values without keys ---- */

static int put_int(struct bp_params *params, int64_t value)
{
    struct bpi_pack_writer writer = writer_of(params, STRUCT_SIZE);
    bpi_pack_int(&writer, value);
    return finish(params, &writer);
}

static int put_float(struct bp_params *params, double value)
{
    struct bpi_pack_writer writer = writer_of(params, STRUCT_SIZE);
    bpi_pack_float(&writer, value);
    return finish(params, &writer);
}

static int put_bool(struct bp_params *params, bool value)
{
    struct bpi_pack_writer writer = writer_of(params, STRUCT_SIZE);
    bpi_pack_bool(&writer, value);
    return finish(params, &writer);
}

static int put_null(struct bp_params *params)
{
    struct bpi_pack_writer writer = writer_of(params, STRUCT_SIZE);
    bpi_pack_null(&writer);
    return finish(params, &writer);
}

/* Whether `size` bytes at `data` can be written at all. */
static int check_run(const void *data, size_t size)
{
    if (size > LENGTH_MAX) {
        return BP_E_SIZE;
    }
    return data == NULL && size > 0 ? BP_E_USAGE : 0;
}

static int put_text(struct bp_params *params, const char *text, size_t size)
{
    int error = check_run(text, size);
    if (error == 0 && !bpi_utf8_valid((const uint8_t *)text, size)) {
        error = BP_E_UTF8;
    }
    if (error != 0) {
        return fail(params, error);
    }
    struct bpi_pack_writer writer = writer_of(params, HEAD_SIZE + size);
    bpi_pack_string(&writer, text, size);
    return finish(params, &writer);
}

static int put_bytes(struct bp_params *params, const void *data, size_t size)
{
    int error = check_run(data, size);
    if (error != 0) {
        return fail(params, error);
    }
    struct bpi_pack_writer writer = writer_of(params, HEAD_SIZE + size);
    bpi_pack_bytes(&writer, data, size);
    return finish(params, &writer);
}

/* A structure whose fields are integers. */
static int put_ints(struct bp_params *params, uint8_t tag, const int64_t *integers, size_t count)
{
    struct bpi_pack_writer writer = writer_of(params, STRUCT_SIZE);
    bpi_pack_struct(&writer, tag, count);
    for (size_t i = 0; i < count; i++) {
        bpi_pack_int(&writer, integers[i]);
    }
    return finish(params, &writer);
}

static int put_date(struct bp_params *params, struct bp_date value)
{
    return put_ints(params, BPI_STRUCT_DATE, &value.days, 1);
}

static int put_time(struct bp_params *params, struct bp_time value, bool is_local)
{
    if (value.nanoseconds < 0 || value.nanoseconds >= DAY_NS) {
        return fail(params, BP_E_USAGE);
    }
    int64_t integers[2] = {value.nanoseconds, value.offset_s};
    return put_ints(params, is_local ? BPI_STRUCT_LOCAL_TIME : BPI_STRUCT_TIME, integers,
                    is_local ? 1 : 2);
}

static int put_local_date_time(struct bp_params *params, struct bp_date_time value)
{
    if (value.nanoseconds < 0 || value.nanoseconds >= SECOND_NS) {
        return fail(params, BP_E_USAGE);
    }
    int64_t integers[2] = {value.seconds, value.nanoseconds};
    return put_ints(params, BPI_STRUCT_LOCAL_DATE_TIME, integers, 2);
}

/* Always by UTC: versions that want the local clock's seconds are for who sends it to refuse (BPI_PARAMS_UTC). */
static int put_date_time(struct bp_params *params, struct bp_date_time value)
{
    if (value.is_local) {
        return fail(params, BP_E_TYPE);
    }
    if (value.nanoseconds < 0 || value.nanoseconds >= SECOND_NS) {
        return fail(params, BP_E_USAGE);
    }
    params->needs |= BPI_PARAMS_UTC;
    int64_t integers[3] = {value.seconds, value.nanoseconds, value.offset_s};
    if (value.zone.data == NULL) {
        return put_ints(params, BPI_STRUCT_DATE_TIME, integers, 3);
    }
    struct bpi_pack_writer writer = writer_of(params, STRUCT_SIZE);
    bpi_pack_struct(&writer, BPI_STRUCT_DATE_TIME_ZONE_ID, 3);
    bpi_pack_int(&writer, integers[0]);
    bpi_pack_int(&writer, integers[1]);
    int error = finish(params, &writer);
    return error != 0 ? error : put_text(params, value.zone.data, value.zone.size);
}

/* Nanoseconds outside of one second are carried over: the server would do so, and a reader refuses them. */
static int put_duration(struct bp_params *params, struct bp_duration value)
{
    int64_t carry = value.nanoseconds / SECOND_NS;
    int64_t rest = value.nanoseconds % SECOND_NS;
    if (rest < 0) {
        rest += SECOND_NS;
        carry--;
    }
    int64_t integers[4] = {value.months, value.days, 0, rest};
    if (__builtin_add_overflow(value.seconds, carry, &integers[2])) {
        return fail(params, BP_E_USAGE);
    }
    return put_ints(params, BPI_STRUCT_DURATION, integers, 4);
}

static int put_point(struct bp_params *params, struct bp_point value)
{
    if (value.dimensions != 2 && value.dimensions != 3) {
        return fail(params, BP_E_USAGE);
    }
    bool is_flat = value.dimensions == 2;
    struct bpi_pack_writer writer = writer_of(params, STRUCT_SIZE);
    bpi_pack_struct(&writer, is_flat ? BPI_STRUCT_POINT_2D : BPI_STRUCT_POINT_3D, is_flat ? 3 : 4);
    bpi_pack_int(&writer, value.srid);
    bpi_pack_float(&writer, value.x);
    bpi_pack_float(&writer, value.y);
    if (!is_flat) {
        bpi_pack_float(&writer, value.z);
    }
    return finish(params, &writer);
}

static int put_uuid(struct bp_params *params, const uint8_t uuid[16])
{
    params->needs |= BPI_PARAMS_UUID;
    struct bpi_pack_writer writer = writer_of(params, STRUCT_SIZE);
    bpi_pack_uuid(&writer, uuid);
    return finish(params, &writer);
}

/* A vector whose `size` bytes of items are in the order of the wire. */
static int put_vector(struct bp_params *params, int type, const void *items, size_t size)
{
    size_t item_size = bpi_vector_item_size(type);
    int error = check_run(items, size);
    if (error == 0 && (item_size == 0 || size % item_size != 0)) {
        error = BP_E_USAGE;
    }
    if (error != 0) {
        return fail(params, error);
    }
    params->needs |= BPI_PARAMS_VECTOR;
    uint8_t marker = bpi_vector_marker(type);
    struct bpi_pack_writer writer = writer_of(params, STRUCT_SIZE + size);
    bpi_pack_struct(&writer, BPI_STRUCT_VECTOR, 2);
    bpi_pack_bytes(&writer, &marker, 1);
    bpi_pack_bytes(&writer, items, size);
    return finish(params, &writer);
}

/* Turns the last `size` bytes, items in this machine's order, into those of the wire. */
static void turn_items(struct bp_params *params, size_t item_size, size_t size)
{
    const uint16_t probe = 1;
    if (*(const uint8_t *)&probe == 0) {
        return;
    }
    uint8_t *items = params->buffer.data + params->buffer.end - size;
    for (size_t i = 0; i < size; i += item_size) {
        for (size_t low = 0, high = item_size - 1; low < high; low++, high--) {
            uint8_t byte = items[i + low];
            items[i + low] = items[i + high];
            items[i + high] = byte;
        }
    }
}

/* ---- values that were read ---- */

/* Any value but a list or map. */
static int put_single(struct bp_params *params, const struct bp_value *value)
{
    switch (value->type) {
    case BP_TYPE_NULL:
        return put_null(params);
    case BP_TYPE_BOOL:
        return put_bool(params, value->as.boolean != 0);
    case BP_TYPE_INT:
        return put_int(params, value->as.integer);
    case BP_TYPE_FLOAT:
        return put_float(params, value->as.real);
    case BP_TYPE_STRING:
        return put_text(params, value->as.text.data, value->as.text.size);
    case BP_TYPE_BYTES:
        return put_bytes(params, value->as.text.data, value->as.text.size);
    case BP_TYPE_DATE:
        return put_date(params, value->as.date);
    case BP_TYPE_TIME:
    case BP_TYPE_LOCAL_TIME:
        return put_time(params, value->as.time, value->type == BP_TYPE_LOCAL_TIME);
    case BP_TYPE_DATE_TIME:
        return put_date_time(params, value->as.date_time);
    case BP_TYPE_LOCAL_DATE_TIME:
        return put_local_date_time(params, value->as.date_time);
    case BP_TYPE_DURATION:
        return put_duration(params, value->as.duration);
    case BP_TYPE_POINT:
        return put_point(params, value->as.point);
    case BP_TYPE_VECTOR:
        return put_vector(params, value->as.inside.kind, value->as.inside.data,
                          value->as.inside.size);
    case BP_TYPE_UUID:
        return value->as.text.size != 16 ? fail(params, BP_E_USAGE)
                                         : put_uuid(params, (const uint8_t *)value->as.text.data);
    case BP_TYPE_LIST:
    case BP_TYPE_MAP:
    case BP_TYPE_NODE:
    case BP_TYPE_RELATIONSHIP:
    case BP_TYPE_PATH:
    case BP_TYPE_UNSUPPORTED:
    default:
        return fail(params, BP_E_TYPE);
    }
}

/* Reads one value inside a view and writes it; of a list or map only the head, which opens a level. */
static int put_next(struct bp_params *params, struct bpi_pack_reader *reader, uint32_t *ret_count)
{
    struct bp_text key;
    bool is_map = params->levels[params->depth].is_map;
    int error = is_map ? bpi_view_text(reader, &key) : 0;
    if (error != 0) {
        return fail(params, error);
    }
    error = begin_value(params, is_map ? &key : NULL);
    if (error != 0) {
        return error;
    }
    struct bpi_pack_reader ahead = *reader;
    struct bpi_pack_item item;
    error = bpi_pack_next(&ahead, &item);
    if (error != 0) {
        return fail(params, error);
    }
    if (item.type == BPI_PACK_LIST || item.type == BPI_PACK_MAP) {
        *reader = ahead;
        *ret_count = item.count;
        return open_container(params, item.type == BPI_PACK_MAP);
    }
    struct bp_value value;
    error = bpi_value_read(reader, &value);
    return error != 0 ? fail(params, error) : put_single(params, &value);
}

/* A list or map with all that is inside, level by level and each byte once. */
static int put_container(struct bp_params *params, const struct bp_value *value)
{
    uint32_t left[1 + DEPTH_MAX];
    uint32_t outside = params->depth;
    struct bpi_pack_reader reader;
    bpi_view_reader_init(&reader, value);
    int error = open_container(params, value->type == BP_TYPE_MAP);
    left[params->depth] = value->count;
    while (error == 0 && params->depth > outside) {
        uint32_t depth = params->depth;
        if (left[depth] == 0) {
            close_container(params);
            continue;
        }
        left[depth]--;
        uint32_t count = 0;
        error = put_next(params, &reader, &count);
        if (params->depth > depth) {
            left[params->depth] = count;
        }
    }
    return error;
}

int bp_params_value(struct bp_params *params, const char *key, const struct bp_value *value)
{
    int error = begin(params, key);
    if (error != 0) {
        return error;
    }
    return value->type == BP_TYPE_LIST || value->type == BP_TYPE_MAP ? put_container(params, value)
                                                                     : put_single(params, value);
}

/* ---- the public writers ---- */

int bp_params_null(struct bp_params *params, const char *key)
{
    int error = begin(params, key);
    return error != 0 ? error : put_null(params);
}

int bp_params_bool(struct bp_params *params, const char *key, int value)
{
    int error = begin(params, key);
    return error != 0 ? error : put_bool(params, value != 0);
}

int bp_params_int(struct bp_params *params, const char *key, int64_t value)
{
    int error = begin(params, key);
    return error != 0 ? error : put_int(params, value);
}

int bp_params_float(struct bp_params *params, const char *key, double value)
{
    int error = begin(params, key);
    return error != 0 ? error : put_float(params, value);
}

int bp_params_string(struct bp_params *params, const char *key, const char *text)
{
    return text == NULL ? bp_params_null(params, key)
                        : bp_params_text(params, key, text, strlen(text));
}

int bp_params_text(struct bp_params *params, const char *key, const char *text, size_t size)
{
    int error = begin(params, key);
    return error != 0 ? error : put_text(params, text, size);
}

int bp_params_bytes(struct bp_params *params, const char *key, const void *data, size_t size)
{
    int error = begin(params, key);
    return error != 0 ? error : put_bytes(params, data, size);
}

int bp_params_date(struct bp_params *params, const char *key, struct bp_date value)
{
    int error = begin(params, key);
    return error != 0 ? error : put_date(params, value);
}

int bp_params_time(struct bp_params *params, const char *key, struct bp_time value)
{
    int error = begin(params, key);
    return error != 0 ? error : put_time(params, value, false);
}

int bp_params_local_time(struct bp_params *params, const char *key, struct bp_time value)
{
    int error = begin(params, key);
    return error != 0 ? error : put_time(params, value, true);
}

int bp_params_date_time(struct bp_params *params, const char *key, struct bp_date_time value)
{
    int error = begin(params, key);
    return error != 0 ? error : put_date_time(params, value);
}

int bp_params_local_date_time(struct bp_params *params, const char *key, struct bp_date_time value)
{
    int error = begin(params, key);
    return error != 0 ? error : put_local_date_time(params, value);
}

int bp_params_duration(struct bp_params *params, const char *key, struct bp_duration value)
{
    int error = begin(params, key);
    return error != 0 ? error : put_duration(params, value);
}

int bp_params_point(struct bp_params *params, const char *key, struct bp_point value)
{
    int error = begin(params, key);
    return error != 0 ? error : put_point(params, value);
}

int bp_params_vector(struct bp_params *params,
                     const char *key,
                     enum bp_vector_type type,
                     const void *items,
                     uint32_t count)
{
    int error = begin(params, key);
    if (error != 0) {
        return error;
    }
    size_t item_size = bpi_vector_item_size((int)type);
    size_t size;
    if (__builtin_mul_overflow(count, item_size, &size)) {
        return fail(params, BP_E_SIZE);
    }
    error = put_vector(params, (int)type, items, size);
    if (error == 0) {
        turn_items(params, item_size, size);
    }
    return error;
}

int bp_params_uuid(struct bp_params *params, const char *key, const uint8_t uuid[16])
{
    int error = begin(params, key);
    return error != 0 ? error : put_uuid(params, uuid);
}

int bpi_params_content(const struct bp_params *params,
                       struct bpi_bolt_span *ret_map,
                       unsigned *ret_needs)
{
    static const uint8_t empty_map[1] = {0xa0};
    if (params != NULL && params->error != 0) {
        return params->error;
    }
    if (params != NULL && params->depth > 0) {
        return BP_E_USAGE;
    }
    if (params == NULL || params->levels[0].count == 0) {
        *ret_map = (struct bpi_bolt_span){empty_map, sizeof(empty_map)};
        *ret_needs = 0;
        return 0;
    }
    size_t begin_at = HEAD_SIZE - map_head_size(params->levels[0].count);
    *ret_map =
        (struct bpi_bolt_span){params->buffer.data + begin_at, params->buffer.end - begin_at};
    *ret_needs = params->needs;
    return 0;
}
