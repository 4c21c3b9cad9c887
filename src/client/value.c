/* Reads values where they lie. See value.h and <boltpool/value.h>.
 *
 * A row is read once, when it comes: what the common scalars need stands in read_quick(), which decides by the marker
 * alone and touches nothing but the bytes and the value. All else goes through read_slow(): small structures (dates,
 * points, vectors ...) become values at once, containers become views of their bytes after one walk over them.
 *
 * The walk knows of each open container what may come next (enum walk_level), so that a view never holds anything that
 * the functions on it would have to doubt: a node's labels are strings, a path's indices lie inside it. It has a
 * level for each open container and never recurses. The functions on views check all bounds again all the same, because
 * a view is the caller's struct: bytes that changed since give an error, not a read outside.
 *
 * Strings aren't checked for UTF-8: the server has made them, a check would cost as much as all else here, and who
 * shows them (format.c) or sends them on (params.c) looks for himself.
 */
#include "client/value.h"

#include "bolt/value.h"
#include "client/view.h"

#include <boltpool/error.h>

#include <string.h>

#define DAY_NS         INT64_C(86400000000000)
#define NANOSECOND_MAX 999999999

const char *bp_type_name(enum bp_type type)
{
    static const char *const names[BP_TYPE_COUNT] = {
        [BP_TYPE_NULL] = "NULL",
        [BP_TYPE_BOOL] = "BOOL",
        [BP_TYPE_INT] = "INT",
        [BP_TYPE_FLOAT] = "FLOAT",
        [BP_TYPE_STRING] = "STRING",
        [BP_TYPE_BYTES] = "BYTES",
        [BP_TYPE_LIST] = "LIST",
        [BP_TYPE_MAP] = "MAP",
        [BP_TYPE_NODE] = "NODE",
        [BP_TYPE_RELATIONSHIP] = "RELATIONSHIP",
        [BP_TYPE_PATH] = "PATH",
        [BP_TYPE_DATE] = "DATE",
        [BP_TYPE_TIME] = "TIME",
        [BP_TYPE_LOCAL_TIME] = "LOCAL_TIME",
        [BP_TYPE_DATE_TIME] = "DATE_TIME",
        [BP_TYPE_LOCAL_DATE_TIME] = "LOCAL_DATE_TIME",
        [BP_TYPE_DURATION] = "DURATION",
        [BP_TYPE_POINT] = "POINT",
        [BP_TYPE_VECTOR] = "VECTOR",
        [BP_TYPE_UUID] = "UUID",
        [BP_TYPE_UNSUPPORTED] = "UNSUPPORTED",
    };
    return (unsigned)type < BP_TYPE_COUNT ? names[type] : NULL;
}

/* ---- scalars ---- */

/* Compilers make one load and one swap of each. */
static inline uint16_t load_16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static inline uint32_t load_32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static inline uint64_t load_64(const uint8_t *at)
{
    return (uint64_t)load_32(at) << 32 | load_32(at + 4);
}

static inline const uint8_t *quick_int(struct bp_value *value, int64_t integer, const uint8_t *next)
{
    value->type = BP_TYPE_INT;
    value->count = 0;
    value->as.integer = integer;
    return next;
}

static inline const uint8_t *quick_text(struct bp_value *value, const uint8_t *text, size_t size)
{
    value->type = BP_TYPE_STRING;
    value->count = 0;
    value->as.text.data = (const char *)text;
    value->as.text.size = size;
    return text + size;
}

static inline const uint8_t *
quick_single(struct bp_value *value, enum bp_type type, int boolean, const uint8_t *next)
{
    value->type = type;
    value->count = 0;
    value->as.boolean = boolean;
    return next;
}

/* Reads the scalars that rows are made of, and answers where the next value begins; NULL for anything else, and for
 * what is cut off. The markers are those of packstream.c. */
static inline const uint8_t *
read_quick(const uint8_t *at, const uint8_t *end, struct bp_value *value)
{
    size_t left = (size_t)(end - at);
    if (left == 0) {
        return NULL;
    }
    uint8_t marker = *at;
    if (marker < 0x80 || marker >= 0xf0) {
        return quick_int(value, (int8_t)marker, at + 1);
    }
    if (marker < 0x90) {
        size_t size = marker & 0x0f;
        return left > size ? quick_text(value, at + 1, size) : NULL;
    }
    switch (marker) {
    case 0xc0:
        return quick_single(value, BP_TYPE_NULL, 0, at + 1);
    case 0xc1:
        if (left < 9) {
            return NULL;
        }
        value->type = BP_TYPE_FLOAT;
        value->count = 0;
        uint64_t raw = load_64(at + 1);
        memcpy(&value->as.real, &raw, sizeof(raw));
        return at + 9;
    case 0xc2:
    case 0xc3:
        return quick_single(value, BP_TYPE_BOOL, marker & 1, at + 1);
    case 0xc8:
        return left >= 2 ? quick_int(value, (int8_t)at[1], at + 2) : NULL;
    case 0xc9:
        return left >= 3 ? quick_int(value, (int16_t)load_16(at + 1), at + 3) : NULL;
    case 0xca:
        return left >= 5 ? quick_int(value, (int32_t)load_32(at + 1), at + 5) : NULL;
    case 0xcb:
        return left >= 9 ? quick_int(value, (int64_t)load_64(at + 1), at + 9) : NULL;
    case 0xd0:
        return left >= 2 && left - 2 >= at[1] ? quick_text(value, at + 2, at[1]) : NULL;
    default:
        return NULL;
    }
}

/* A scalar that bpi_pack_next() has read. */
static void scalar_of(const struct bpi_pack_item *item, enum bp_type type, struct bp_value *value)
{
    value->type = type;
    value->count = 0;
    value->as.text.data = (const char *)item->data;
    value->as.text.size = item->size;
}

/* ---- small structures ---- */

/* Reads `count` integers, the first fields of a structure. */
static int read_ints(struct bpi_pack_reader *reader, int64_t *ret_integers, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        int error = bpi_pack_next_int(reader, &ret_integers[i]);
        if (error != 0) {
            return error;
        }
    }
    return 0;
}

static int read_real(struct bpi_pack_reader *reader, double *ret_real)
{
    struct bpi_pack_item item;
    int error = bpi_pack_next(reader, &item);
    if (error != 0) {
        return error;
    }
    if (item.type != BPI_PACK_FLOAT) {
        return BP_E_TYPE;
    }
    *ret_real = item.real;
    return 0;
}

static bool fits_int32(int64_t integer)
{
    return integer >= INT32_MIN && integer <= INT32_MAX;
}

static bool is_nanosecond(int64_t integer)
{
    return integer >= 0 && integer <= NANOSECOND_MAX;
}

/* Time (2 fields) and LocalTime (1). */
static int read_time(struct bpi_pack_reader *reader, unsigned fields, struct bp_value *value)
{
    int64_t integers[2] = {0, 0};
    int error = read_ints(reader, integers, fields);
    if (error != 0) {
        return error;
    }
    if (integers[0] < 0 || integers[0] >= DAY_NS || !fits_int32(integers[1])) {
        return BP_E_PROTOCOL;
    }
    value->type = fields == 2 ? BP_TYPE_TIME : BP_TYPE_LOCAL_TIME;
    value->as.time.nanoseconds = integers[0];
    value->as.time.offset_s = (int32_t)integers[1];
    return 0;
}

/* All that have seconds and nanoseconds first; then an offset, a zone's name, or nothing. */
static int read_date_time(struct bpi_pack_reader *reader, uint8_t tag, struct bp_value *value)
{
    struct bp_date_time *date_time = &value->as.date_time;
    bool has_zone =
        tag == BPI_STRUCT_DATE_TIME_ZONE_ID || tag == BPI_STRUCT_LEGACY_DATE_TIME_ZONE_ID;
    bool has_offset = tag == BPI_STRUCT_DATE_TIME || tag == BPI_STRUCT_LEGACY_DATE_TIME;
    int64_t integers[3] = {0, 0, 0};
    int error = read_ints(reader, integers, has_offset ? 3 : 2);
    if (error == 0 && has_zone) {
        error = bpi_pack_next_string(reader, &date_time->zone.data, &date_time->zone.size);
    }
    if (error != 0) {
        return error;
    }
    if (!is_nanosecond(integers[1]) || !fits_int32(integers[2])) {
        return BP_E_PROTOCOL;
    }
    /* The old form counts the seconds of the local clock. */
    if (tag == BPI_STRUCT_LEGACY_DATE_TIME &&
        __builtin_sub_overflow(integers[0], integers[2], &integers[0])) {
        return BP_E_PROTOCOL;
    }
    value->type = has_zone || has_offset ? BP_TYPE_DATE_TIME : BP_TYPE_LOCAL_DATE_TIME;
    date_time->seconds = integers[0];
    date_time->nanoseconds = (int32_t)integers[1];
    date_time->offset_s = (int32_t)integers[2];
    date_time->is_local = tag == BPI_STRUCT_LEGACY_DATE_TIME_ZONE_ID;
    return 0;
}

static int read_duration(struct bpi_pack_reader *reader, struct bp_value *value)
{
    int64_t integers[4];
    int error = read_ints(reader, integers, 4);
    if (error != 0) {
        return error;
    }
    if (!is_nanosecond(integers[3])) {
        return BP_E_PROTOCOL;
    }
    value->type = BP_TYPE_DURATION;
    value->as.duration.months = integers[0];
    value->as.duration.days = integers[1];
    value->as.duration.seconds = integers[2];
    value->as.duration.nanoseconds = (int32_t)integers[3];
    return 0;
}

static int read_point(struct bpi_pack_reader *reader, int dimensions, struct bp_value *value)
{
    double reals[3] = {0.0, 0.0, 0.0};
    int64_t srid;
    int error = bpi_pack_next_int(reader, &srid);
    for (int i = 0; error == 0 && i < dimensions; i++) {
        error = read_real(reader, &reals[i]);
    }
    if (error != 0) {
        return error;
    }
    if (!fits_int32(srid)) {
        return BP_E_PROTOCOL;
    }
    value->type = BP_TYPE_POINT;
    value->as.point.srid = (int32_t)srid;
    value->as.point.dimensions = dimensions;
    value->as.point.x = reals[0];
    value->as.point.y = reals[1];
    value->as.point.z = reals[2];
    return 0;
}

static const struct {
    uint8_t marker;
    uint8_t size;
} vector_items[] = {
    [BP_VECTOR_INT8] = {0xc8, 1},  [BP_VECTOR_INT16] = {0xc9, 2},   [BP_VECTOR_INT32] = {0xca, 4},
    [BP_VECTOR_INT64] = {0xcb, 8}, [BP_VECTOR_FLOAT32] = {0xc6, 4}, [BP_VECTOR_FLOAT64] = {0xc1, 8},
};

#define VECTOR_TYPES ((int)(sizeof(vector_items) / sizeof(vector_items[0])))

uint8_t bpi_vector_marker(int type)
{
    return type >= 0 && type < VECTOR_TYPES ? vector_items[type].marker : 0;
}

size_t bpi_vector_item_size(int type)
{
    return type >= 0 && type < VECTOR_TYPES ? vector_items[type].size : 0;
}

/* A vector's fields are both byte strings: the marker of one item, and the items. */
static int read_vector(struct bpi_pack_reader *reader, struct bp_value *value)
{
    struct bpi_pack_item mark;
    struct bpi_pack_item items;
    int error = bpi_pack_next(reader, &mark);
    if (error == 0) {
        error = bpi_pack_next(reader, &items);
    }
    if (error != 0) {
        return error;
    }
    if (mark.type != BPI_PACK_BYTES || items.type != BPI_PACK_BYTES) {
        return BP_E_TYPE;
    }
    int type = 0;
    while (type < VECTOR_TYPES && (mark.size != 1 || mark.data[0] != vector_items[type].marker)) {
        type++;
    }
    if (type == VECTOR_TYPES || items.size % vector_items[type].size != 0) {
        return BP_E_PROTOCOL;
    }
    value->type = BP_TYPE_VECTOR;
    value->count = (uint32_t)(items.size / vector_items[type].size);
    value->as.inside.data = items.data;
    value->as.inside.size = items.size;
    value->as.inside.kind = type;
    return 0;
}

/* How many fields a structure without containers inside has; 0 for others. */
static uint32_t small_fields(uint8_t tag)
{
    switch (tag) {
    case BPI_STRUCT_DATE:
    case BPI_STRUCT_LOCAL_TIME:
        return 1;
    case BPI_STRUCT_TIME:
    case BPI_STRUCT_LOCAL_DATE_TIME:
    case BPI_STRUCT_VECTOR:
        return 2;
    case BPI_STRUCT_DATE_TIME:
    case BPI_STRUCT_DATE_TIME_ZONE_ID:
    case BPI_STRUCT_LEGACY_DATE_TIME:
    case BPI_STRUCT_LEGACY_DATE_TIME_ZONE_ID:
    case BPI_STRUCT_POINT_2D:
        return 3;
    case BPI_STRUCT_DURATION:
    case BPI_STRUCT_POINT_3D:
        return 4;
    default:
        return 0;
    }
}

/* Reads the fields of a structure that small_fields() knows; the head is read. */
static int read_small_struct(struct bpi_pack_reader *reader,
                             const struct bpi_pack_item *head,
                             struct bp_value *value)
{
    if (head->count != small_fields(head->tag)) {
        return BP_E_FIELDS;
    }
    memset(value, 0, sizeof(*value));
    switch (head->tag) {
    case BPI_STRUCT_DATE:
        value->type = BP_TYPE_DATE;
        return bpi_pack_next_int(reader, &value->as.date.days);
    case BPI_STRUCT_TIME:
    case BPI_STRUCT_LOCAL_TIME:
        return read_time(reader, head->count, value);
    case BPI_STRUCT_DURATION:
        return read_duration(reader, value);
    case BPI_STRUCT_POINT_2D:
        return read_point(reader, 2, value);
    case BPI_STRUCT_POINT_3D:
        return read_point(reader, 3, value);
    case BPI_STRUCT_VECTOR:
        return read_vector(reader, value);
    default:
        return read_date_time(reader, head->tag, value);
    }
}

/* ---- containers ---- */

/* What an open container still has to hold. */
enum walk_level {
    LEVEL_LIST,     /* anything */
    LEVEL_MAP,      /* a key, then anything */
    LEVEL_NODES,    /* Node */
    LEVEL_UNBOUNDS, /* UnboundRelationship */
    LEVEL_STRUCT,   /* what struct_rows says of its fields */
};

/* A structure with containers inside. Its fields, one letter each: i integer, s string, m map, l list of strings; of a
 * path N list of nodes, U list of unbound relationships, I its indices. */
struct struct_row {
    uint8_t tag;
    uint8_t fields_old; /* up to 4.4 */
    uint8_t fields_new; /* from 5.0 on */
    uint8_t type;       /* enum bp_type */
    const char *fields;
};

static const struct struct_row struct_rows[] = {
    {BPI_STRUCT_NODE, 3, 4, BP_TYPE_NODE, "ilms"},
    {BPI_STRUCT_RELATIONSHIP, 5, 8, BP_TYPE_RELATIONSHIP, "iiismsss"},
    {BPI_STRUCT_UNBOUND_RELATIONSHIP, 3, 4, BP_TYPE_RELATIONSHIP, "isms"},
    {BPI_STRUCT_PATH, 3, 3, BP_TYPE_PATH, "NUI"},
    {BPI_STRUCT_UNSUPPORTED, 4, 4, BP_TYPE_UNSUPPORTED, "siim"},
};

struct level {
    uint32_t left; /* LIST, NODES, UNBOUNDS: items; MAP: pairs; STRUCT: fields */
    uint8_t kind;
    uint8_t row;    /* STRUCT: of struct_rows */
    uint8_t fields; /* STRUCT: all of them */
    /* STRUCT of a path, once its lists were begun. */
    uint32_t nodes;
    uint32_t relationships;
};

/* 16 KiB of stack at most, of which only what the depth needs is touched. */
struct walk {
    struct bpi_pack_reader reader;
    uint32_t depth;
    uint32_t count; /* labels of a node, steps of a path that is the root */
    struct level levels[BPI_PACK_DEPTH_MAX];
};

static int walk_push(struct walk *walk, enum walk_level kind, uint32_t count)
{
    if (walk->depth >= BPI_PACK_DEPTH_MAX) {
        return BP_E_DEPTH;
    }
    struct level *level = &walk->levels[walk->depth++];
    level->left = count;
    level->kind = (uint8_t)kind;
    return 0;
}

/* A structure with containers inside, whose head was read. */
static int walk_push_struct(struct walk *walk, const struct bpi_pack_item *head)
{
    for (size_t i = 0; i < sizeof(struct_rows) / sizeof(struct_rows[0]); i++) {
        const struct struct_row *row = &struct_rows[i];
        if (row->tag != head->tag) {
            continue;
        }
        if (head->count != row->fields_old && head->count != row->fields_new) {
            return BP_E_FIELDS;
        }
        int error = walk_push(walk, LEVEL_STRUCT, head->count);
        if (error == 0) {
            walk->levels[walk->depth - 1].row = (uint8_t)i;
            walk->levels[walk->depth - 1].fields = (uint8_t)head->count;
        }
        return error;
    }
    return BP_E_TYPE;
}

/* What has no depth of its own, but counts as a level all the same. */
static int walk_leaf(const struct walk *walk)
{
    return walk->depth >= BPI_PACK_DEPTH_MAX ? BP_E_DEPTH : 0;
}

static int walk_container(struct walk *walk, const struct bpi_pack_item *head)
{
    if (head->type == BPI_PACK_LIST) {
        return walk_push(walk, LEVEL_LIST, head->count);
    }
    if (head->type == BPI_PACK_MAP) {
        return walk_push(walk, LEVEL_MAP, head->count);
    }
    if (small_fields(head->tag) == 0) {
        return walk_push_struct(walk, head);
    }
    struct bp_value unused;
    int error = walk_leaf(walk);
    return error != 0 ? error : read_small_struct(&walk->reader, head, &unused);
}

/* Any value. */
static int walk_any(struct walk *walk)
{
    struct bp_value unused;
    const uint8_t *next = read_quick(walk->reader.at, walk->reader.end, &unused);
    if (next != NULL) {
        walk->reader.at = next;
        return 0;
    }
    struct bpi_pack_item item;
    int error = bpi_pack_next(&walk->reader, &item);
    if (error != 0) {
        return error;
    }
    bool is_container =
        item.type == BPI_PACK_LIST || item.type == BPI_PACK_MAP || item.type == BPI_PACK_STRUCT;
    return is_container ? walk_container(walk, &item) : 0;
}

static int walk_string(struct walk *walk)
{
    const char *text;
    size_t size;
    struct bp_value value;
    const uint8_t *next = read_quick(walk->reader.at, walk->reader.end, &value);
    if (next == NULL) {
        return bpi_pack_next_string(&walk->reader, &text, &size);
    }
    if (value.type != BP_TYPE_STRING) {
        return BP_E_TYPE;
    }
    walk->reader.at = next;
    return 0;
}

/* A structure of that one tag. */
static int walk_tagged(struct walk *walk, uint8_t tag)
{
    struct bpi_pack_item item;
    int error = bpi_pack_next(&walk->reader, &item);
    if (error != 0) {
        return error;
    }
    return item.type == BPI_PACK_STRUCT && item.tag == tag ? walk_push_struct(walk, &item)
                                                           : BP_E_TYPE;
}

static int walk_labels(struct walk *walk)
{
    uint32_t count;
    int error = bpi_pack_next_list(&walk->reader, &count);
    if (error == 0) {
        error = walk_leaf(walk);
    }
    for (uint32_t i = 0; error == 0 && i < count; i++) {
        error = walk_string(walk);
    }
    if (walk->depth == 1) {
        walk->count = count;
    }
    return error;
}

/* The indices of a path, by turns a relationship (from 1 on, negative = against its direction) and the node behind it
 * (from 0 on). The first node of the list is where the path begins, so there has to be one. */
static int walk_indices(struct walk *walk, const struct level *path)
{
    uint32_t count;
    int error = bpi_pack_next_list(&walk->reader, &count);
    if (error == 0) {
        error = walk_leaf(walk);
    }
    if (error != 0) {
        return error;
    }
    if (path->nodes == 0 || count % 2 != 0) {
        return BP_E_PROTOCOL;
    }
    int64_t most = path->relationships;
    for (uint32_t i = 0; i < count; i++) {
        int64_t index;
        error = bpi_pack_next_int(&walk->reader, &index);
        if (error != 0) {
            return error;
        }
        bool is_inside = i % 2 == 0 ? index != 0 && index >= -most && index <= most
                                    : index >= 0 && index < (int64_t)path->nodes;
        if (!is_inside) {
            return BP_E_PROTOCOL;
        }
    }
    if (walk->depth == 1) {
        walk->count = count / 2;
    }
    return 0;
}

/* One field of a structure, by its letter. */
static int walk_field(struct walk *walk, struct level *level, char letter)
{
    int64_t integer;
    uint32_t count;
    int error;
    switch (letter) {
    case 'i':
        return bpi_pack_next_int(&walk->reader, &integer);
    case 's':
        return walk_string(walk);
    case 'l':
        return walk_labels(walk);
    case 'm':
        error = bpi_pack_next_map(&walk->reader, &count);
        return error != 0 ? error : walk_push(walk, LEVEL_MAP, count);
    case 'N':
        error = bpi_pack_next_list(&walk->reader, &count);
        level->nodes = error != 0 ? 0 : count;
        return error != 0 ? error : walk_push(walk, LEVEL_NODES, count);
    case 'U':
        error = bpi_pack_next_list(&walk->reader, &count);
        level->relationships = error != 0 ? 0 : count;
        return error != 0 ? error : walk_push(walk, LEVEL_UNBOUNDS, count);
    default:
        return walk_indices(walk, level);
    }
}

/* What comes next in the innermost open container. */
static int walk_step(struct walk *walk, struct level *level)
{
    int error = 0;
    switch (level->kind) {
    case LEVEL_LIST:
        return walk_any(walk);
    case LEVEL_MAP:
        error = walk_string(walk);
        return error != 0 ? error : walk_any(walk);
    case LEVEL_NODES:
        return walk_tagged(walk, BPI_STRUCT_NODE);
    case LEVEL_UNBOUNDS:
        return walk_tagged(walk, BPI_STRUCT_UNBOUND_RELATIONSHIP);
    default:
        return walk_field(walk, level,
                          struct_rows[level->row].fields[level->fields - 1 - level->left]);
    }
}

/* Walks over the container whose head was read, and makes *value the view of it. */
static int read_container(struct bpi_pack_reader *reader,
                          const struct bpi_pack_item *head,
                          struct bp_value *value)
{
    struct walk walk;
    walk.reader = *reader;
    walk.depth = 0;
    walk.count = 0;
    int error = walk_container(&walk, head);
    /* Bound: each turn reads at least one byte or closes a level that a byte opened. */
    while (error == 0 && walk.depth > 0) {
        struct level *level = &walk.levels[walk.depth - 1];
        if (level->left == 0) {
            walk.depth--;
            continue;
        }
        level->left--;
        error = walk_step(&walk, level);
    }
    if (error != 0) {
        return error;
    }
    const uint8_t *begin = reader->at;
    reader->at = walk.reader.at;
    if (head->type == BPI_PACK_STRUCT && head->tag == BPI_STRUCT_UNSUPPORTED) {
        struct bpi_pack_reader again;
        bpi_pack_reader_init(&again, begin, (size_t)(reader->at - begin));
        value->type = BP_TYPE_UNSUPPORTED;
        value->count = 0;
        return bpi_pack_next_string(&again, &value->as.text.data, &value->as.text.size);
    }
    value->count = head->count;
    value->as.inside.data = begin;
    value->as.inside.size = (size_t)(reader->at - begin);
    value->as.inside.kind = 0;
    if (head->type == BPI_PACK_STRUCT) {
        value->type = (enum bp_type)struct_rows[walk.levels[0].row].type;
        value->count = walk.count;
        value->as.inside.kind = BPI_VIEW_KIND(head->tag, head->count);
    } else {
        value->type = head->type == BPI_PACK_LIST ? BP_TYPE_LIST : BP_TYPE_MAP;
    }
    return 0;
}

/* Not inlined, so that the quick way has neither its registers to save nor the walk's stack to protect. */
static __attribute__((noinline)) int read_slow(struct bpi_pack_reader *reader,
                                               struct bp_value *value)
{
    struct bpi_pack_reader ahead = *reader;
    struct bpi_pack_item item;
    int error = bpi_pack_next(&ahead, &item);
    if (error != 0) {
        return error;
    }
    switch (item.type) {
    case BPI_PACK_STRING:
        scalar_of(&item, BP_TYPE_STRING, value);
        break;
    case BPI_PACK_BYTES:
        scalar_of(&item, BP_TYPE_BYTES, value);
        break;
    case BPI_PACK_UUID:
        scalar_of(&item, BP_TYPE_UUID, value);
        break;
    case BPI_PACK_STRUCT:
        error = small_fields(item.tag) != 0 ? read_small_struct(&ahead, &item, value)
                                            : read_container(&ahead, &item, value);
        break;
    case BPI_PACK_LIST:
    case BPI_PACK_MAP:
        error = read_container(&ahead, &item, value);
        break;
    case BPI_PACK_NULL:
    case BPI_PACK_BOOL:
    case BPI_PACK_INT:
    case BPI_PACK_FLOAT:
    default:
        /* read_quick() knows all of them. */
        error = BP_E_INTERNAL;
        break;
    }
    if (error == 0) {
        *reader = ahead;
    }
    return error;
}

int bpi_value_read(struct bpi_pack_reader *reader, struct bp_value *ret_value)
{
    const uint8_t *next = read_quick(reader->at, reader->end, ret_value);
    if (next == NULL) {
        return read_slow(reader, ret_value);
    }
    reader->at = next;
    return 0;
}

int bpi_value_read_record(const uint8_t *data,
                          size_t size,
                          struct bp_value *values,
                          uint32_t columns)
{
    struct bpi_pack_reader reader;
    bpi_pack_reader_init(&reader, data, size);
    uint32_t items;
    int error = 0;
    if (size > 0 && (*data & 0xf0) == 0x90) {
        /* Up to 15 columns; that so many bytes follow, each of them shows. */
        items = *data & 0x0f;
        reader.at++;
    } else {
        error = bpi_pack_next_list(&reader, &items);
    }
    if (error != 0) {
        return error;
    }
    if (items != columns) {
        return BP_E_FIELDS;
    }
    for (uint32_t i = 0; i < columns; i++) {
        const uint8_t *next = read_quick(reader.at, reader.end, &values[i]);
        if (next != NULL) {
            reader.at = next;
            continue;
        }
        error = read_slow(&reader, &values[i]);
        if (error != 0) {
            return error;
        }
    }
    return reader.at == reader.end ? 0 : BP_E_PROTOCOL;
}
