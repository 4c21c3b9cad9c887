/* What a view holds: the meaning of bp_value's `inside`, for the files that read, copy, compare and send views.
 *
 * LIST, MAP:                `data` is the first item or key, `count` their number.
 * NODE, RELATIONSHIP, PATH: `data` is the first field; `kind` tells the structure's tag and how many fields it has.
 * VECTOR:                   `data` are the items, big-endian; `kind` is an enum bp_vector_type.
 */
#ifndef BPI_CLIENT_VIEW_H
#define BPI_CLIENT_VIEW_H

#include "bolt/packstream.h"

#include <boltpool/value.h>

#define BPI_VIEW_KIND(tag, fields) ((int)(((unsigned)(fields) << 8 | (unsigned)(tag)) & 0xffffU))
#define BPI_VIEW_TAG(kind)         ((uint8_t)((unsigned)(kind)&0xffU))
#define BPI_VIEW_FIELDS(kind)      ((uint32_t)((unsigned)(kind) >> 8 & 0xffU))

/* Begins at the first byte inside a view; a view that has none is empty. */
void bpi_view_reader_init(struct bpi_pack_reader *reader, const struct bp_value *view);
/* Steps over one value. Errors: as bpi_value_read(). */
BP_MUST_CHECK int bpi_view_skip(struct bpi_pack_reader *reader);
/* Reads a string, as bpi_pack_next_string(). */
BP_MUST_CHECK int bpi_view_text(struct bpi_pack_reader *reader, struct bp_text *ret_text);

/* Goes along a path. Each list is read on from where the last step left it, so that a path as servers send it (in the
 * order of its steps) is gone along once. */
struct bpi_path_cursor {
    struct bp_value list;
    struct bpi_pack_reader reader;
    uint32_t next; /* index of the item at `reader` */
};
struct bpi_path {
    struct bpi_path_cursor nodes;
    struct bpi_path_cursor relationships;
    struct bpi_pack_reader indices;
    int64_t node; /* where the next step begins */
    uint32_t left;
    bool is_done;
};

/* Begins at a PATH's first node. */
BP_MUST_CHECK int bpi_path_init(struct bpi_path *path, const struct bp_value *value);
/* The next step: 1, or 0 behind the last one. Where it isn't wanted, only its indices are stepped over.
 * Errors: as bp_value_path_step(). */
int bpi_path_next(struct bpi_path *path, bool is_wanted, struct bp_path_step *ret_step);

/* The marker that stands for an item's type in a vector (0xc8 for INT8), and an item's size; 0 for a number that is no
 * enum bp_vector_type. */
uint8_t bpi_vector_marker(int type);
size_t bpi_vector_item_size(int type);

/* The bytes that a value points at, NULL where it points at none: a string's, a zone's name, a view's. */
const uint8_t *bpi_value_bytes(const struct bp_value *value, size_t *ret_size);

#endif
