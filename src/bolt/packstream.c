/* See packstream.h. Markers are listed once, in the enum; reader and writer both use it.
 *
 * Bounds: a reader touches only [at, end). A declared length or count is compared with the bytes
 * that are left before anything else is done with it: each item takes at least one byte, so a
 * five-byte message can't announce a million items. The two struct markers of old servers (DC, DD)
 * count as reserved: no driver writes them.
 */
#include "bolt/packstream.h"

#include "base/assert.h"

#include <boltpool/error.h>

#include <string.h>

/* The specification forbids more, though the fields are unsigned. */
#define PACK_LENGTH_MAX ((size_t)INT32_MAX)

enum pack_marker {
    MARKER_NULL = 0xc0,
    MARKER_FLOAT = 0xc1,
    MARKER_FALSE = 0xc2,
    MARKER_TRUE = 0xc3,
    MARKER_INT_8 = 0xc8,
    MARKER_INT_16 = 0xc9,
    MARKER_INT_32 = 0xca,
    MARKER_INT_64 = 0xcb,
    MARKER_BYTES_8 = 0xcc,
    MARKER_BYTES_16 = 0xcd,
    MARKER_BYTES_32 = 0xce,
    MARKER_STRING_8 = 0xd0,
    MARKER_STRING_16 = 0xd1,
    MARKER_STRING_32 = 0xd2,
    MARKER_LIST_8 = 0xd4,
    MARKER_LIST_16 = 0xd5,
    MARKER_LIST_32 = 0xd6,
    MARKER_MAP_8 = 0xd8,
    MARKER_MAP_16 = 0xd9,
    MARKER_MAP_32 = 0xda,
    MARKER_UUID = 0xe0,
    /* Upper halves of the one-byte forms; the lower half is the size. */
    MARKER_TINY_STRING = 0x80,
    MARKER_TINY_LIST = 0x90,
    MARKER_TINY_MAP = 0xa0,
    MARKER_TINY_STRUCT = 0xb0,
    MARKER_TINY_INT_NEGATIVE = 0xf0,
};

const struct bpi_pack_limits bpi_pack_limits_login = {.depth_max = 4, .items_max = 64};
const struct bpi_pack_limits bpi_pack_limits_open = {.depth_max = BPI_PACK_DEPTH_MAX,
                                                     .items_max = UINT32_MAX};

static uint64_t load_be(const uint8_t *at, size_t size)
{
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++) {
        value = value << 8 | at[i];
    }
    return value;
}

static void store_be(uint8_t *at, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        at[i] = (uint8_t)(value >> (8 * (size - 1 - i)));
    }
}

/* Reader */

void bpi_pack_reader_init(struct bpi_pack_reader *reader, const void *data, size_t size)
{
    static const uint8_t nothing[1];
    /* An absent span has no address; a pointer to nothing keeps the arithmetic below defined. */
    reader->at = data == NULL ? nothing : data;
    reader->end = data == NULL ? nothing : reader->at + size;
}

/* A signed integer of `size` bytes behind the marker. */
static int next_int(struct bpi_pack_reader *reader, size_t size, struct bpi_pack_item *item)
{
    if ((size_t)(reader->end - reader->at) < 1 + size) {
        return BP_E_TRUNCATED;
    }
    uint64_t raw = load_be(reader->at + 1, size);
    uint64_t sign = (uint64_t)1 << (8 * size - 1);
    item->type = BPI_PACK_INT;
    item->integer = (int64_t)((raw ^ sign) - sign);
    reader->at += 1 + size;
    return 0;
}

static int next_float(struct bpi_pack_reader *reader, struct bpi_pack_item *item)
{
    if (reader->end - reader->at < 9) {
        return BP_E_TRUNCATED;
    }
    uint64_t raw = load_be(reader->at + 1, 8);
    item->type = BPI_PACK_FLOAT;
    memcpy(&item->real, &raw, sizeof(item->real));
    reader->at += 9;
    return 0;
}

/* Bytes and strings: `head_size` bytes of marker and length, then `size` bytes. */
static int next_run(struct bpi_pack_reader *reader,
                    enum bpi_pack_type type,
                    size_t head_size,
                    uint64_t size,
                    struct bpi_pack_item *item)
{
    if (size > PACK_LENGTH_MAX) {
        return BP_E_SIZE;
    }
    if ((size_t)(reader->end - reader->at) - head_size < size) {
        return BP_E_TRUNCATED;
    }
    item->type = type;
    item->data = reader->at + head_size;
    item->size = (size_t)size;
    reader->at += head_size + (size_t)size;
    return 0;
}

/* Lists, maps and structs: each entry takes at least `entry_size` bytes. */
static int next_head(struct bpi_pack_reader *reader,
                     enum bpi_pack_type type,
                     size_t head_size,
                     uint64_t count,
                     size_t entry_size,
                     struct bpi_pack_item *item)
{
    if (count > PACK_LENGTH_MAX) {
        return BP_E_SIZE;
    }
    if ((size_t)(reader->end - reader->at) - head_size < count * entry_size) {
        return BP_E_TRUNCATED;
    }
    item->type = type;
    item->count = (uint32_t)count;
    reader->at += head_size;
    return 0;
}

/* Values with a length of 1, 2 or 4 bytes behind the marker. */
static int next_sized(struct bpi_pack_reader *reader,
                      enum bpi_pack_type type,
                      size_t length_size,
                      struct bpi_pack_item *item)
{
    if ((size_t)(reader->end - reader->at) < 1 + length_size) {
        return BP_E_TRUNCATED;
    }
    uint64_t length = load_be(reader->at + 1, length_size);
    if (type == BPI_PACK_LIST || type == BPI_PACK_MAP) {
        size_t entry_size = type == BPI_PACK_MAP ? 2 : 1;
        return next_head(reader, type, 1 + length_size, length, entry_size, item);
    }
    return next_run(reader, type, 1 + length_size, length, item);
}

/* Markers whose lower half is the size; `at` stands on the marker. */
static int next_tiny(struct bpi_pack_reader *reader, struct bpi_pack_item *item)
{
    uint8_t marker = *reader->at;
    uint64_t size = marker & 0x0f;
    switch (marker & 0xf0) {
    case MARKER_TINY_STRING:
        return next_run(reader, BPI_PACK_STRING, 1, size, item);
    case MARKER_TINY_LIST:
        return next_head(reader, BPI_PACK_LIST, 1, size, 1, item);
    case MARKER_TINY_MAP:
        return next_head(reader, BPI_PACK_MAP, 1, size, 2, item);
    case MARKER_TINY_STRUCT:
        if (reader->end - reader->at < 2) {
            return BP_E_TRUNCATED;
        }
        item->tag = reader->at[1];
        return next_head(reader, BPI_PACK_STRUCT, 2, size, 1, item);
    default:
        return BP_E_MARKER;
    }
}

static int next_uuid(struct bpi_pack_reader *reader, struct bpi_pack_item *item)
{
    return next_run(reader, BPI_PACK_UUID, 1, 16, item);
}

static int next_single(struct bpi_pack_reader *reader,
                       enum bpi_pack_type type,
                       bool boolean,
                       struct bpi_pack_item *item)
{
    item->type = type;
    item->boolean = boolean;
    reader->at++;
    return 0;
}

int bpi_pack_next(struct bpi_pack_reader *reader, struct bpi_pack_item *ret_item)
{
    if (reader->at == reader->end) {
        return BP_E_TRUNCATED;
    }
    struct bpi_pack_item item = {0};
    uint8_t marker = *reader->at;
    int error;
    if (marker < 0x80 || marker >= MARKER_TINY_INT_NEGATIVE) {
        item.type = BPI_PACK_INT;
        item.integer = marker < 0x80 ? marker : (int64_t)marker - 0x100;
        reader->at++;
        *ret_item = item;
        return 0;
    }
    switch (marker) {
    case MARKER_NULL:
        error = next_single(reader, BPI_PACK_NULL, false, &item);
        break;
    case MARKER_FALSE:
    case MARKER_TRUE:
        error = next_single(reader, BPI_PACK_BOOL, marker == MARKER_TRUE, &item);
        break;
    case MARKER_FLOAT:
        error = next_float(reader, &item);
        break;
    case MARKER_INT_8:
    case MARKER_INT_16:
    case MARKER_INT_32:
    case MARKER_INT_64:
        error = next_int(reader, (size_t)1 << (marker - MARKER_INT_8), &item);
        break;
    case MARKER_BYTES_8:
    case MARKER_BYTES_16:
    case MARKER_BYTES_32:
        error = next_sized(reader, BPI_PACK_BYTES, (size_t)1 << (marker - MARKER_BYTES_8), &item);
        break;
    case MARKER_STRING_8:
    case MARKER_STRING_16:
    case MARKER_STRING_32:
        error = next_sized(reader, BPI_PACK_STRING, (size_t)1 << (marker - MARKER_STRING_8), &item);
        break;
    case MARKER_LIST_8:
    case MARKER_LIST_16:
    case MARKER_LIST_32:
        error = next_sized(reader, BPI_PACK_LIST, (size_t)1 << (marker - MARKER_LIST_8), &item);
        break;
    case MARKER_MAP_8:
    case MARKER_MAP_16:
    case MARKER_MAP_32:
        error = next_sized(reader, BPI_PACK_MAP, (size_t)1 << (marker - MARKER_MAP_8), &item);
        break;
    case MARKER_UUID:
        error = next_uuid(reader, &item);
        break;
    default:
        error = next_tiny(reader, &item);
        break;
    }
    if (error == 0) {
        *ret_item = item;
    }
    return error;
}

/* The containers that a walk has open: how many values each still waits for, and which are maps. */
struct pack_levels {
    uint32_t left[BPI_PACK_DEPTH_MAX];
    uint8_t is_map[BPI_PACK_DEPTH_MAX / 8]; /* a bit for each level */
    uint32_t depth;
};

static bool levels_expect_key(const struct pack_levels *levels)
{
    if (levels->depth == 0) {
        return false;
    }
    uint32_t top = levels->depth - 1;
    /* A map waits for two values a pair, so an even rest means that a key comes next. */
    return (levels->is_map[top / 8] >> (top % 8) & 1) != 0 && levels->left[top] % 2 == 0;
}

static int levels_push(struct pack_levels *levels,
                       const struct bpi_pack_item *item,
                       const struct bpi_pack_limits *limits)
{
    if (item->count > limits->items_max) {
        return BP_E_ITEMS;
    }
    if (levels->depth >= limits->depth_max || levels->depth >= BPI_PACK_DEPTH_MAX) {
        return BP_E_DEPTH;
    }
    bool map = item->type == BPI_PACK_MAP;
    uint32_t at = levels->depth++;
    /* No overflow: the reader lets at most 2^31-1 pairs through. */
    levels->left[at] = map ? item->count * 2 : item->count;
    uint8_t bit = (uint8_t)(1u << (at % 8));
    levels->is_map[at / 8] =
        (uint8_t)(map ? levels->is_map[at / 8] | bit : levels->is_map[at / 8] & ~bit);
    return 0;
}

static bool is_container(enum bpi_pack_type type)
{
    return type == BPI_PACK_LIST || type == BPI_PACK_MAP || type == BPI_PACK_STRUCT;
}

int bpi_pack_walk(struct bpi_pack_reader *reader,
                  const struct bpi_pack_limits *limits,
                  bpi_pack_visit visit,
                  void *context)
{
    struct pack_levels levels;
    levels.depth = 0;
    memset(levels.is_map, 0, sizeof(levels.is_map));
    struct bpi_pack_reader ahead = *reader;
    /* Bound: each turn reads at least one byte or closes a level that a byte opened. */
    do {
        struct bpi_pack_item item;
        int error = bpi_pack_next(&ahead, &item);
        if (error != 0) {
            return error;
        }
        if (levels_expect_key(&levels) && item.type != BPI_PACK_STRING) {
            return BP_E_TYPE;
        }
        error = visit == NULL ? 0 : visit(&item, context);
        if (error != 0) {
            return error;
        }
        if (levels.depth > 0) {
            levels.left[levels.depth - 1]--;
        }
        if (is_container(item.type)) {
            error = levels_push(&levels, &item, limits);
            if (error != 0) {
                return error;
            }
        }
        while (levels.depth > 0 && levels.left[levels.depth - 1] == 0) {
            levels.depth--;
        }
    } while (levels.depth > 0);
    *reader = ahead;
    return 0;
}

int bpi_pack_skip(struct bpi_pack_reader *reader, const struct bpi_pack_limits *limits)
{
    return bpi_pack_walk(reader, limits, NULL, NULL);
}

int bpi_pack_take(struct bpi_pack_reader *reader,
                  const struct bpi_pack_limits *limits,
                  const uint8_t **ret_data,
                  size_t *ret_size)
{
    const uint8_t *start = reader->at;
    int error = bpi_pack_skip(reader, limits);
    if (error != 0) {
        return error;
    }
    *ret_data = start;
    *ret_size = (size_t)(reader->at - start);
    return 0;
}

static int next_of_type(struct bpi_pack_reader *reader,
                        enum bpi_pack_type type,
                        struct bpi_pack_item *ret_item)
{
    struct bpi_pack_reader ahead = *reader;
    struct bpi_pack_item item;
    int error = bpi_pack_next(&ahead, &item);
    if (error != 0) {
        return error;
    }
    if (item.type != type) {
        return BP_E_TYPE;
    }
    *reader = ahead;
    *ret_item = item;
    return 0;
}

int bpi_pack_next_string(struct bpi_pack_reader *reader, const char **ret_text, size_t *ret_size)
{
    struct bpi_pack_item item;
    int error = next_of_type(reader, BPI_PACK_STRING, &item);
    if (error == 0) {
        *ret_text = (const char *)item.data;
        *ret_size = item.size;
    }
    return error;
}

int bpi_pack_next_int(struct bpi_pack_reader *reader, int64_t *ret_value)
{
    struct bpi_pack_item item;
    int error = next_of_type(reader, BPI_PACK_INT, &item);
    if (error == 0) {
        *ret_value = item.integer;
    }
    return error;
}

int bpi_pack_next_map(struct bpi_pack_reader *reader, uint32_t *ret_pairs)
{
    struct bpi_pack_item item;
    int error = next_of_type(reader, BPI_PACK_MAP, &item);
    if (error == 0) {
        *ret_pairs = item.count;
    }
    return error;
}

int bpi_pack_next_list(struct bpi_pack_reader *reader, uint32_t *ret_items)
{
    struct bpi_pack_item item;
    int error = next_of_type(reader, BPI_PACK_LIST, &item);
    if (error == 0) {
        *ret_items = item.count;
    }
    return error;
}

int bpi_pack_next_struct(struct bpi_pack_reader *reader, uint8_t *ret_tag, uint32_t *ret_fields)
{
    struct bpi_pack_item item;
    int error = next_of_type(reader, BPI_PACK_STRUCT, &item);
    if (error == 0) {
        *ret_tag = item.tag;
        *ret_fields = item.count;
    }
    return error;
}

int bpi_pack_map_find(const uint8_t *data,
                      size_t size,
                      const char *key,
                      const uint8_t **ret_value,
                      size_t *ret_value_size)
{
    struct bpi_pack_reader reader;
    bpi_pack_reader_init(&reader, data, size);
    uint32_t pairs;
    int error = bpi_pack_next_map(&reader, &pairs);
    if (error != 0) {
        return error;
    }
    size_t key_size = strlen(key);
    const uint8_t *found = NULL;
    size_t found_size = 0;
    for (uint32_t i = 0; i < pairs; i++) {
        const char *text;
        size_t text_size;
        error = bpi_pack_next_string(&reader, &text, &text_size);
        if (error != 0) {
            return error;
        }
        const uint8_t *value;
        size_t value_size;
        error = bpi_pack_take(&reader, &bpi_pack_limits_open, &value, &value_size);
        if (error != 0) {
            return error;
        }
        if (text_size != key_size || memcmp(text, key, key_size) != 0) {
            continue;
        }
        if (found != NULL) {
            return BP_E_PROTOCOL;
        }
        found = value;
        found_size = value_size;
    }
    if (found == NULL) {
        return 0;
    }
    *ret_value = found;
    *ret_value_size = found_size;
    return 1;
}

/* How many bytes follow a lead byte, and the range that the first of them must lie in; that range
 * is what keeps overlong forms, surrogates and code points above 10FFFF out (RFC 3629, section
 * 4). */
static bool utf8_lead(uint8_t lead, size_t *ret_more, uint8_t *ret_low, uint8_t *ret_high)
{
    *ret_low = 0x80;
    *ret_high = 0xbf;
    if (lead >= 0xc2 && lead <= 0xdf) {
        *ret_more = 1;
    } else if (lead >= 0xe0 && lead <= 0xef) {
        *ret_more = 2;
        *ret_low = lead == 0xe0 ? 0xa0 : 0x80;
        *ret_high = lead == 0xed ? 0x9f : 0xbf;
    } else if (lead >= 0xf0 && lead <= 0xf4) {
        *ret_more = 3;
        *ret_low = lead == 0xf0 ? 0x90 : 0x80;
        *ret_high = lead == 0xf4 ? 0x8f : 0xbf;
    } else {
        return false;
    }
    return true;
}

bool bpi_utf8_valid(const uint8_t *data, size_t size)
{
    size_t i = 0;
    while (i < size) {
        if (data[i] < 0x80) {
            i++;
            continue;
        }
        size_t more;
        uint8_t low;
        uint8_t high;
        if (!utf8_lead(data[i], &more, &low, &high) || size - i <= more) {
            return false;
        }
        if (data[i + 1] < low || data[i + 1] > high) {
            return false;
        }
        for (size_t k = 2; k <= more; k++) {
            if ((data[i + k] & 0xc0) != 0x80) {
                return false;
            }
        }
        i += 1 + more;
    }
    return true;
}

/* Writer */

void bpi_pack_writer_init(struct bpi_pack_writer *writer, struct bpi_buffer *buffer)
{
    writer->buffer = buffer;
    writer->status = 0;
}

void bpi_pack_raw(struct bpi_pack_writer *writer, const void *data, size_t size)
{
    if (writer->status == 0) {
        writer->status = bpi_buffer_append(writer->buffer, data, size);
    }
}

/* A marker and a number of `size` bytes behind it. */
static void
write_marked(struct bpi_pack_writer *writer, uint8_t marker, uint64_t value, size_t size)
{
    uint8_t bytes[9];
    bytes[0] = marker;
    store_be(bytes + 1, value, size);
    bpi_pack_raw(writer, bytes, 1 + size);
}

/* A length in its smallest form; `tiny` 0 = the type has no one-byte form. */
static void
write_length(struct bpi_pack_writer *writer, uint8_t tiny, uint8_t marker_8, size_t length)
{
    if (tiny != 0 && length <= 15) {
        write_marked(writer, (uint8_t)(tiny | length), 0, 0);
    } else if (length <= UINT8_MAX) {
        write_marked(writer, marker_8, length, 1);
    } else if (length <= UINT16_MAX) {
        write_marked(writer, (uint8_t)(marker_8 + 1), length, 2);
    } else if (length <= PACK_LENGTH_MAX) {
        write_marked(writer, (uint8_t)(marker_8 + 2), length, 4);
    } else if (writer->status == 0) {
        writer->status = BP_E_SIZE;
    }
}

void bpi_pack_null(struct bpi_pack_writer *writer)
{
    write_marked(writer, MARKER_NULL, 0, 0);
}

void bpi_pack_bool(struct bpi_pack_writer *writer, bool value)
{
    write_marked(writer, value ? MARKER_TRUE : MARKER_FALSE, 0, 0);
}

void bpi_pack_int(struct bpi_pack_writer *writer, int64_t value)
{
    if (value >= -16 && value <= INT8_MAX) {
        write_marked(writer, (uint8_t)value, 0, 0);
    } else if (value >= INT8_MIN && value <= INT8_MAX) {
        write_marked(writer, MARKER_INT_8, (uint64_t)value, 1);
    } else if (value >= INT16_MIN && value <= INT16_MAX) {
        write_marked(writer, MARKER_INT_16, (uint64_t)value, 2);
    } else if (value >= INT32_MIN && value <= INT32_MAX) {
        write_marked(writer, MARKER_INT_32, (uint64_t)value, 4);
    } else {
        write_marked(writer, MARKER_INT_64, (uint64_t)value, 8);
    }
}

void bpi_pack_float(struct bpi_pack_writer *writer, double value)
{
    uint64_t raw;
    memcpy(&raw, &value, sizeof(raw));
    write_marked(writer, MARKER_FLOAT, raw, 8);
}

void bpi_pack_bytes(struct bpi_pack_writer *writer, const void *data, size_t size)
{
    write_length(writer, 0, MARKER_BYTES_8, size);
    bpi_pack_raw(writer, data, size);
}

void bpi_pack_string(struct bpi_pack_writer *writer, const char *text, size_t size)
{
    write_length(writer, MARKER_TINY_STRING, MARKER_STRING_8, size);
    bpi_pack_raw(writer, text, size);
}

void bpi_pack_text(struct bpi_pack_writer *writer, const char *text)
{
    bpi_pack_string(writer, text, strlen(text));
}

void bpi_pack_list(struct bpi_pack_writer *writer, size_t items)
{
    write_length(writer, MARKER_TINY_LIST, MARKER_LIST_8, items);
}

void bpi_pack_map(struct bpi_pack_writer *writer, size_t pairs)
{
    write_length(writer, MARKER_TINY_MAP, MARKER_MAP_8, pairs);
}

void bpi_pack_struct(struct bpi_pack_writer *writer, uint8_t tag, size_t fields)
{
    BP_ASSERT(fields <= 15);
    write_marked(writer, (uint8_t)(MARKER_TINY_STRUCT | fields), tag, 1);
}

void bpi_pack_uuid(struct bpi_pack_writer *writer, const uint8_t uuid[16])
{
    write_marked(writer, MARKER_UUID, 0, 0);
    bpi_pack_raw(writer, uuid, 16);
}
