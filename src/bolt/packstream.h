/* PackStream, the encoding of Bolt's values: a writer into a buffer and a reader over bytes.
 *
 * The reader never allocates and never recurses: containers are returned as heads with a count and
 * the caller reads on; bpi_pack_skip() walks with a counter for each open level, at most
 * BPI_PACK_DEPTH_MAX of them. Every declared length is checked against the bytes that are left
 * before it is used. https://neo4j.com/docs/bolt/current/packstream/
 */
#ifndef BPI_BOLT_PACKSTREAM_H
#define BPI_BOLT_PACKSTREAM_H

#include "base/buffer.h"

#include <boltpool/types.h>

#include <stdbool.h>

/* The deepest nesting that any limit may allow: 4 bytes of stack a level in bpi_pack_skip(). */
#define BPI_PACK_DEPTH_MAX 1024

/* What a message may hold. Before a log-in real servers allow depth 4 and 64 items a container. */
struct bpi_pack_limits {
    uint32_t depth_max; /* open containers at one time; the message's own struct counts as 1 */
    uint32_t items_max; /* entries of any one container */
};

extern const struct bpi_pack_limits bpi_pack_limits_login; /* depth 4, items 64 */
extern const struct bpi_pack_limits bpi_pack_limits_open;  /* depth BPI_PACK_DEPTH_MAX, any count */

enum bpi_pack_type {
    BPI_PACK_NULL,
    BPI_PACK_BOOL,
    BPI_PACK_INT,
    BPI_PACK_FLOAT,
    BPI_PACK_BYTES,
    BPI_PACK_STRING,
    BPI_PACK_LIST,
    BPI_PACK_MAP,
    BPI_PACK_STRUCT,
    BPI_PACK_UUID, /* 16 bytes, Bolt 6.1 */
};

/* One value, or the head of a container. `data` points into the reader's bytes. */
struct bpi_pack_item {
    enum bpi_pack_type type;
    uint8_t tag;    /* of a struct */
    uint32_t count; /* list: items; map: pairs; struct: fields */
    bool boolean;
    int64_t integer;
    double real;
    const uint8_t *data; /* bytes, string (not zero-terminated), uuid */
    size_t size;
};

/* `at` moves on with each successful call; after an error it stays where the bad value begins. */
struct bpi_pack_reader {
    const uint8_t *at;
    const uint8_t *end;
};

void bpi_pack_reader_init(struct bpi_pack_reader *reader, const void *data, size_t size);
/* Reads a scalar or a container's head. Errors: BP_E_TRUNCATED (also for a count that the bytes
 * left can't hold), BP_E_MARKER, BP_E_SIZE for a length above 2^31-1. */
BP_MUST_CHECK int bpi_pack_next(struct bpi_pack_reader *reader, struct bpi_pack_item *ret_item);
/* Steps over one whole value. Errors: as above, BP_E_DEPTH, BP_E_ITEMS, BP_E_TYPE (a map's key
 * that is no string). */
BP_MUST_CHECK int bpi_pack_skip(struct bpi_pack_reader *reader,
                                const struct bpi_pack_limits *limits);
/* The same, and shows each value and head to `visit`, whose error ends the walk. */
typedef int (*bpi_pack_visit)(const struct bpi_pack_item *item, void *context);
BP_MUST_CHECK int bpi_pack_walk(struct bpi_pack_reader *reader,
                                const struct bpi_pack_limits *limits,
                                bpi_pack_visit visit,
                                void *context);
/* As bpi_pack_skip(), and tells where the value lay. */
BP_MUST_CHECK int bpi_pack_take(struct bpi_pack_reader *reader,
                                const struct bpi_pack_limits *limits,
                                const uint8_t **ret_data,
                                size_t *ret_size);
/* Read one value of that type; BP_E_TYPE for another one, and `at` stays. */
BP_MUST_CHECK int
bpi_pack_next_string(struct bpi_pack_reader *reader, const char **ret_text, size_t *ret_size);
BP_MUST_CHECK int bpi_pack_next_int(struct bpi_pack_reader *reader, int64_t *ret_value);
BP_MUST_CHECK int bpi_pack_next_map(struct bpi_pack_reader *reader, uint32_t *ret_pairs);
BP_MUST_CHECK int bpi_pack_next_list(struct bpi_pack_reader *reader, uint32_t *ret_items);
BP_MUST_CHECK int
bpi_pack_next_struct(struct bpi_pack_reader *reader, uint8_t *ret_tag, uint32_t *ret_fields);
/* Finds `key` in the map at [data, data+size): where its value lies. Returns 1 found, 0 not there,
 * or an error. A key that appears twice: BP_E_PROTOCOL, as real servers refuse it. */
BP_MUST_CHECK int bpi_pack_map_find(const uint8_t *data,
                                    size_t size,
                                    const char *key,
                                    const uint8_t **ret_value,
                                    size_t *ret_value_size);
/* Whether [data, data+size) is valid UTF-8 (RFC 3629: no surrogates, no overlong forms). */
bool bpi_utf8_valid(const uint8_t *data, size_t size);

/* Appends values in their smallest form. An error (BP_E_NO_MEMORY; BP_E_SIZE above 2^31-1) sticks
 * in `status`, so that a message is written straight on and checked once at its end.
 */
struct bpi_pack_writer {
    struct bpi_buffer *buffer;
    int status;
};

void bpi_pack_writer_init(struct bpi_pack_writer *writer, struct bpi_buffer *buffer);
void bpi_pack_null(struct bpi_pack_writer *writer);
void bpi_pack_bool(struct bpi_pack_writer *writer, bool value);
void bpi_pack_int(struct bpi_pack_writer *writer, int64_t value);
void bpi_pack_float(struct bpi_pack_writer *writer, double value);
void bpi_pack_bytes(struct bpi_pack_writer *writer, const void *data, size_t size);
void bpi_pack_string(struct bpi_pack_writer *writer, const char *text, size_t size);
void bpi_pack_text(struct bpi_pack_writer *writer, const char *text); /* zero-terminated */
void bpi_pack_list(struct bpi_pack_writer *writer, size_t items);
void bpi_pack_map(struct bpi_pack_writer *writer, size_t pairs);
void bpi_pack_struct(struct bpi_pack_writer *writer, uint8_t tag, size_t fields); /* <= 15 */
void bpi_pack_uuid(struct bpi_pack_writer *writer, const uint8_t uuid[16]);
/* Values that are encoded already. */
void bpi_pack_raw(struct bpi_pack_writer *writer, const void *data, size_t size);

#endif
