/* Whether two values are the same. See <boltpool/value.h>.
 *
 * Containers with the same bytes are equal at once. Others are read side by side, head for head, with a level for each
 * open container, so that every byte is looked at once. Two maps whose entries come in the same order stay side by
 * side, too; from the first entry on that doesn't, each key of the one is looked for among the rest of the other
 * ("scattered"), which takes the square of their number. A key that is there twice, which no server sends, then makes
 * them unequal, whatever its values are: so the answer doesn't depend on who is asked first.
 *
 * Bytes that can't be read are equal to nothing.
 */
#include "bolt/value.h"
#include "client/value.h"
#include "client/view.h"

#include <math.h>
#include <string.h>

/* One call's levels; deeper values take another call for each so many (at most BPI_PACK_DEPTH_MAX / LEVELS). */
#define LEVELS 64

/* An open pair of containers. */
struct level {
    uint32_t left; /* LIST: items, MAP: pairs, structure: fields */
    bool is_map;
    bool is_scattered;
    /* Of a scattered map, what was left when that was found: where it begins in both, and where it ends in b. */
    uint32_t rest;
    const uint8_t *a_begin;
    const uint8_t *b_begin;
    const uint8_t *b_end;
};

struct pair {
    struct bpi_pack_reader a;
    struct bpi_pack_reader b;
};

static bool same_real(double a, double b)
{
    return (isnan(a) && isnan(b)) || (a == b && signbit(a) == signbit(b));
}

static bool same_bytes(const void *a, size_t a_size, const void *b, size_t b_size)
{
    return a_size == b_size && (a_size == 0 || memcmp(a, b, a_size) == 0);
}

static bool same_text(const struct bp_text *a, const struct bp_text *b)
{
    return same_bytes(a->data, a->size, b->data, b->size);
}

static bool same_date_time(const struct bp_date_time *a, const struct bp_date_time *b)
{
    if (a->seconds != b->seconds || a->nanoseconds != b->nanoseconds) {
        return false;
    }
    if (a->zone.data == NULL || b->zone.data == NULL) {
        return a->zone.data == b->zone.data && a->offset_s == b->offset_s;
    }
    return !a->is_local == !b->is_local && same_text(&a->zone, &b->zone);
}

static bool same_duration(const struct bp_duration *a, const struct bp_duration *b)
{
    return a->months == b->months && a->days == b->days && a->seconds == b->seconds &&
           a->nanoseconds == b->nanoseconds;
}

static bool same_point(const struct bp_point *a, const struct bp_point *b)
{
    return a->srid == b->srid && a->dimensions == b->dimensions && same_real(a->x, b->x) &&
           same_real(a->y, b->y) && (a->dimensions != 3 || same_real(a->z, b->z));
}

static bool same_vector(const struct bp_value *a, const struct bp_value *b)
{
    if (a->as.inside.kind != b->as.inside.kind || a->count != b->count) {
        return false;
    }
    if (same_bytes(a->as.inside.data, a->as.inside.size, b->as.inside.data, b->as.inside.size)) {
        return true;
    }
    if (a->as.inside.kind != BP_VECTOR_FLOAT32 && a->as.inside.kind != BP_VECTOR_FLOAT64) {
        return false;
    }
    for (uint32_t i = 0; i < a->count; i++) {
        double left;
        double right;
        if (bp_value_vector_float(a, i, &left) != 0 || bp_value_vector_float(b, i, &right) != 0 ||
            !same_real(left, right)) {
            return false;
        }
    }
    return true;
}

/* Two values of the same type that have no others inside. */
static bool same_scalar(const struct bp_value *a, const struct bp_value *b)
{
    switch ((unsigned)a->type) {
    case BP_TYPE_NULL:
        return true;
    case BP_TYPE_BOOL:
        return !a->as.boolean == !b->as.boolean;
    case BP_TYPE_INT:
        return a->as.integer == b->as.integer;
    case BP_TYPE_FLOAT:
        return same_real(a->as.real, b->as.real);
    case BP_TYPE_STRING:
    case BP_TYPE_BYTES:
    case BP_TYPE_UUID:
    case BP_TYPE_UNSUPPORTED:
        return same_text(&a->as.text, &b->as.text);
    case BP_TYPE_DATE:
        return a->as.date.days == b->as.date.days;
    case BP_TYPE_TIME:
        return a->as.time.nanoseconds == b->as.time.nanoseconds &&
               a->as.time.offset_s == b->as.time.offset_s;
    case BP_TYPE_LOCAL_TIME:
        return a->as.time.nanoseconds == b->as.time.nanoseconds;
    case BP_TYPE_DATE_TIME:
        return same_date_time(&a->as.date_time, &b->as.date_time);
    case BP_TYPE_LOCAL_DATE_TIME:
        return a->as.date_time.seconds == b->as.date_time.seconds &&
               a->as.date_time.nanoseconds == b->as.date_time.nanoseconds;
    case BP_TYPE_DURATION:
        return same_duration(&a->as.duration, &b->as.duration);
    case BP_TYPE_POINT:
        return same_point(&a->as.point, &b->as.point);
    case BP_TYPE_VECTOR:
        return same_vector(a, b);
    default:
        return false;
    }
}

/* ---- maps in another order ---- */

/* How often `key` is among `count` entries (0, 1 or 2 = more), and where the value of the first one is. */
static int count_key(struct bpi_pack_reader reader,
                     uint32_t count,
                     const struct bp_text *key,
                     const uint8_t **ret_at)
{
    int found = 0;
    for (uint32_t i = 0; i < count && found < 2; i++) {
        struct bp_text other;
        if (bpi_view_text(&reader, &other) != 0) {
            return 0;
        }
        if (same_text(key, &other)) {
            *ret_at = found == 0 ? reader.at : *ret_at;
            found++;
        }
        if (bpi_view_skip(&reader) != 0) {
            return 0;
        }
    }
    return found;
}

/* Notes where the rest of both maps lies: both readers stand before a key, `left` + 1 entries are left. */
static bool scatter(struct pair *pair, struct level *level)
{
    struct bpi_pack_reader reader = pair->b;
    level->is_scattered = true;
    level->rest = level->left + 1;
    level->a_begin = pair->a.at;
    level->b_begin = pair->b.at;
    for (uint32_t i = 0; i < level->rest; i++) {
        struct bp_text key;
        if (bpi_view_text(&reader, &key) != 0 || bpi_view_skip(&reader) != 0) {
            return false;
        }
    }
    level->b_end = reader.at;
    return true;
}

/* Reads a's next key and puts b's reader before the value that belongs to it. */
static bool match_key(struct pair *pair, struct level *level)
{
    struct bp_text key;
    struct bp_text other;
    struct pair ahead = *pair;
    if (bpi_view_text(&ahead.a, &key) != 0) {
        return false;
    }
    if (!level->is_scattered) {
        if (bpi_view_text(&ahead.b, &other) != 0) {
            return false;
        }
        if (same_text(&key, &other)) {
            *pair = ahead;
            return true;
        }
        if (!scatter(pair, level)) {
            return false;
        }
    }
    const uint8_t *at = NULL;
    const uint8_t *unused = NULL;
    struct bpi_pack_reader a = {.at = level->a_begin, .end = pair->a.end};
    struct bpi_pack_reader b = {.at = level->b_begin, .end = pair->b.end};
    if (count_key(b, level->rest, &key, &at) != 1 ||
        count_key(a, level->rest, &key, &unused) != 1) {
        return false;
    }
    pair->a = ahead.a;
    pair->b.at = at;
    return true;
}

/* ---- side by side ---- */

static bool has_values_inside(const struct bpi_pack_item *item)
{
    switch (item->type) {
    case BPI_PACK_LIST:
    case BPI_PACK_MAP:
        return true;
    case BPI_PACK_STRUCT:
        return item->tag == BPI_STRUCT_NODE || item->tag == BPI_STRUCT_RELATIONSHIP ||
               item->tag == BPI_STRUCT_UNBOUND_RELATIONSHIP || item->tag == BPI_STRUCT_PATH;
    case BPI_PACK_NULL:
    case BPI_PACK_BOOL:
    case BPI_PACK_INT:
    case BPI_PACK_FLOAT:
    case BPI_PACK_BYTES:
    case BPI_PACK_STRING:
    case BPI_PACK_UUID:
    default:
        return false;
    }
}

/* Compares the next two values: all of them, or only the heads where they have others inside, which is what *ret_level
 * is for then. */
static bool same_next(struct pair *pair, bool *ret_is_open, struct level *ret_level)
{
    struct pair ahead = *pair;
    struct bpi_pack_item a;
    struct bpi_pack_item b;
    if (bpi_pack_next(&ahead.a, &a) != 0 || bpi_pack_next(&ahead.b, &b) != 0 || a.type != b.type) {
        return false;
    }
    *ret_is_open = has_values_inside(&a);
    if (*ret_is_open) {
        *pair = ahead;
        *ret_level = (struct level){.left = a.count, .is_map = a.type == BPI_PACK_MAP};
        return a.count == b.count && a.tag == b.tag;
    }
    struct bp_value left;
    struct bp_value right;
    return bpi_value_read(&pair->a, &left) == 0 && bpi_value_read(&pair->b, &right) == 0 &&
           left.type == right.type && same_scalar(&left, &right);
}

/* Compares all that is inside two containers, and steps over it. Recursion: one call for LEVELS levels. */
static bool same_inside(struct pair *pair, const struct level *outer)
{
    struct level levels[LEVELS];
    unsigned depth = 1;
    levels[0] = *outer;
    while (depth > 0) {
        struct level *level = &levels[depth - 1];
        if (level->left == 0) {
            /* The last value of a scattered map needn't be b's last one. */
            pair->b.at = level->is_scattered ? level->b_end : pair->b.at;
            depth--;
            continue;
        }
        level->left--;
        struct level inner;
        bool is_open;
        if ((level->is_map && !match_key(pair, level)) || !same_next(pair, &is_open, &inner)) {
            return false;
        }
        if (is_open && depth < LEVELS) {
            levels[depth++] = inner;
        } else if (is_open && !same_inside(pair, &inner)) {
            return false;
        }
    }
    return true;
}

int bp_value_equal(const struct bp_value *a, const struct bp_value *b)
{
    if (a->type != b->type) {
        return 0;
    }
    struct level level = {.left = a->count, .is_map = a->type == BP_TYPE_MAP};
    switch ((unsigned)a->type) {
    case BP_TYPE_LIST:
    case BP_TYPE_MAP:
        break;
    case BP_TYPE_NODE:
    case BP_TYPE_RELATIONSHIP:
    case BP_TYPE_PATH:
        if (a->as.inside.kind != b->as.inside.kind) {
            return 0;
        }
        level.left = BPI_VIEW_FIELDS(a->as.inside.kind);
        break;
    default:
        return same_scalar(a, b);
    }
    if (a->count != b->count) {
        return 0;
    }
    if (same_bytes(a->as.inside.data, a->as.inside.size, b->as.inside.data, b->as.inside.size)) {
        return 1;
    }
    struct pair pair;
    bpi_view_reader_init(&pair.a, a);
    bpi_view_reader_init(&pair.b, b);
    return same_inside(&pair, &level);
}
