/* Values of Neo4j: reading those that a query returns, writing those that it is given.
 *
 * A value that was read is a view: a struct of the caller's whose pointers reach into the bytes of its row. Nothing is
 * allocated for it, and it lives as long as the row does (bolt.h). bp_row_copy() makes one that lives as long as it is
 * wanted.
 *
 * Parameters are written into a struct bp_params, one call for each value, containers between begin and end:
 *
 *     bp_params_string(params, "name", "Ann");
 *     bp_params_list(params, "ids");
 *     bp_params_int(params, NULL, 1);
 *     bp_params_int(params, NULL, 2);
 *     bp_params_end(params);
 *
 * Errors:  0 or a negative code (error.h), unless it says otherwise.
 * Owns:    what a function is given is borrowed for the call, unless it says otherwise.
 * Units:   all texts are UTF-8 with their size in bytes; those that were read aren't zero-terminated.
 * Threads: views and parameters may be used by one thread at a time.
 */
#ifndef BOLTPOOL_VALUE_H
#define BOLTPOOL_VALUE_H

#include <boltpool/error.h>
#include <boltpool/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- reading ---- */

enum bp_type {
    BP_TYPE_NULL,
    BP_TYPE_BOOL,
    BP_TYPE_INT,
    BP_TYPE_FLOAT,
    BP_TYPE_STRING,
    BP_TYPE_BYTES,
    BP_TYPE_LIST,
    BP_TYPE_MAP,
    BP_TYPE_NODE,
    BP_TYPE_RELATIONSHIP,
    BP_TYPE_PATH,
    BP_TYPE_DATE,
    BP_TYPE_TIME, /* with an offset from UTC */
    BP_TYPE_LOCAL_TIME,
    BP_TYPE_DATE_TIME, /* with an offset from UTC, or the name of a zone */
    BP_TYPE_LOCAL_DATE_TIME,
    BP_TYPE_DURATION,
    BP_TYPE_POINT,
    BP_TYPE_VECTOR,
    BP_TYPE_UUID,
    BP_TYPE_UNSUPPORTED /* the server has it, the protocol version doesn't: `text` is its name */
};

#define BP_TYPE_COUNT 21

/* Some bytes that are somebody else's. */
struct bp_text {
    const char *data;
    size_t size;
};

struct bp_date {
    int64_t days; /* since 1970-01-01 */
};

struct bp_time {
    int64_t nanoseconds; /* of the local day */
    int32_t offset_s;    /* east of UTC; 0 for LOCAL_TIME */
};

struct bp_date_time {
    /* Since 1970-01-01T00:00:00 UTC; LOCAL_DATE_TIME, and where is_local is set: of the local clock. */
    int64_t seconds;
    int32_t nanoseconds; /* 0 .. 999999999 */
    int32_t offset_s;    /* east of UTC, where there is no zone */
    int is_local; /* a zone's local time, as servers before Bolt 4.3 send it: its UTC needs a time zone database */
    struct bp_text zone; /* "Europe/Paris"; data NULL = there is an offset */
};

struct bp_duration {
    int64_t months;
    int64_t days;
    int64_t seconds;
    int32_t nanoseconds;
};

struct bp_point {
    int32_t srid;   /* 7203, 9157: Cartesian 2D, 3D; 4326, 4979: WGS-84 2D, 3D */
    int dimensions; /* 2 or 3 */
    double x, y, z;
};

enum bp_vector_type {
    BP_VECTOR_INT8,
    BP_VECTOR_INT16,
    BP_VECTOR_INT32,
    BP_VECTOR_INT64,
    BP_VECTOR_FLOAT32,
    BP_VECTOR_FLOAT64
};

/* One value. Which member of `as` holds follows from `type`. */
struct bp_value {
    enum bp_type type;
    /* LIST: items; MAP: entries; NODE: labels; PATH: relationships; VECTOR: items. */
    uint32_t count;
    union {
        int boolean;
        int64_t integer;
        double real;
        struct bp_text text; /* STRING, BYTES; UUID: its 16 bytes; UNSUPPORTED: its name */
        struct bp_date date;
        struct bp_time time;           /* TIME, LOCAL_TIME */
        struct bp_date_time date_time; /* DATE_TIME, LOCAL_DATE_TIME */
        struct bp_duration duration;
        struct bp_point point;
        /* LIST, MAP, NODE, RELATIONSHIP, PATH, VECTOR: for the functions below. */
        struct {
            const uint8_t *data;
            size_t size;
            int kind;
        } inside;
    } as;
};

/* "NULL", "INT", "DATE_TIME" ...; NULL for a number that is none. Static. Threads: any. */
BP_API const char *bp_type_name(enum bp_type type);

/* Goes through a LIST or MAP. The caller's storage; begun with bp_iter_init(). */
struct bp_iter {
    const uint8_t *at;
    const uint8_t *end;
    uint32_t left;
    int is_map;
};

/* Begins at the first item of a LIST or entry of a MAP.
 * Owns:   borrows the value's bytes.
 * Errors: BP_E_TYPE for another type. */
BP_API BP_MUST_CHECK int bp_iter_init(struct bp_iter *iter, const struct bp_value *value);
/* The next one: 1 and the value, and of a MAP its key (ret_key may be NULL); 0 at the end. Constant time, but for the
 * containers inside, which are stepped over.
 * Errors: BP_E_TRUNCATED and others of class -10000 where the bytes aren't what they were when the row was read. */
BP_API int bp_iter_next(struct bp_iter *iter, struct bp_text *ret_key, struct bp_value *ret_value);
/* The entry of that name in a MAP, or among the properties of a NODE or RELATIONSHIP: 1, or 0 where there is none.
 * Linear.
 * Errors: BP_E_TYPE for another type. */
BP_API int bp_value_get(const struct bp_value *value, const char *key, struct bp_value *ret_value);
/* Item `index` of a LIST: 1, or 0 behind its end. Linear. Errors: BP_E_TYPE. */
BP_API int bp_value_at(const struct bp_value *value, uint32_t index, struct bp_value *ret_value);

struct bp_node {
    int64_t id;                 /* as servers before 5.0 name it; don't keep it */
    struct bp_text element_id;  /* data NULL before Bolt 5.0 */
    struct bp_value labels;     /* LIST of STRING */
    struct bp_value properties; /* MAP */
};

struct bp_relationship {
    int64_t id, start_id, end_id;    /* start and end are -1 inside a path: its nodes say them */
    struct bp_text element_id;       /* data NULL before Bolt 5.0 */
    struct bp_text start_element_id; /* the same, and inside a path */
    struct bp_text end_element_id;
    struct bp_text type;
    struct bp_value properties; /* MAP */
};

/* The parts of a NODE. Owns: they are views of the same bytes. Errors: BP_E_TYPE. */
BP_API BP_MUST_CHECK int bp_value_node(const struct bp_value *value, struct bp_node *ret_node);
/* The parts of a RELATIONSHIP. Owns: they are views of the same bytes. Errors: BP_E_TYPE. */
BP_API BP_MUST_CHECK int bp_value_relationship(const struct bp_value *value,
                                               struct bp_relationship *ret_relationship);

/* One step along a PATH, from its beginning. */
struct bp_path_step {
    struct bp_value node;         /* NODE: where this step begins */
    struct bp_value relationship; /* RELATIONSHIP; NULL behind the last node */
    int is_reversed;              /* the relationship points against the path */
};

/* Step `index` of a PATH, 0 .. value->count: 1, or 0 behind its end. Linear in the path's size.
 * Errors: BP_E_TYPE for another type, BP_E_PROTOCOL for a path that points outside itself. */
BP_API int
bp_value_path_step(const struct bp_value *value, uint32_t index, struct bp_path_step *ret_step);

/* What a VECTOR's items are; negative (BP_E_TYPE) for another type. */
BP_API int bp_value_vector_type(const struct bp_value *value);
/* Item `index` of a VECTOR of integers, or of floats (those of integers too, rounded to the nearest).
 * Errors: BP_E_TYPE, BP_E_USAGE behind its end. */
BP_API BP_MUST_CHECK int
bp_value_vector_int(const struct bp_value *value, uint32_t index, int64_t *ret_item);
BP_API BP_MUST_CHECK int
bp_value_vector_float(const struct bp_value *value, uint32_t index, double *ret_item);

/* Writes the value as Cypher would: {name: "Ann", born: 1980-02-29}; temporal values in ISO 8601, nodes as
 * (:Person {...}), relationships as [:KNOWS {...}], paths as (:A)-[:KNOWS]->(:B), whole floats with ".0", bytes as bytes(00FF). A
 * date-time in a named zone is shown in UTC: 2026-01-01T00:00:00Z[Europe/Paris], and without the Z where only its local
 * time is known. Keys that are no identifiers stand between backticks; bytes that are no UTF-8 become U+FFFD. More than 64
 * containers in each other, and a path inside of a path's properties, are shown as "...".
 * Zero-terminated and cut at `size` bytes (the zero is one of them), never inside a character; size 0: nothing is written.
 * Returns: the size that the whole text has (without its zero), which may be `size` or more; or a negative error:
 * BP_E_SIZE above 2^31-1, BP_E_TYPE for what is no value. */
BP_API int64_t bp_value_format(const struct bp_value *value, char *text, size_t size);

/* Whether both are of the same type and content; maps regardless of order, NaN equal to itself, -0.0 not to 0.0. Linear in
 * their size; maps in another order take the square of their entries. */
BP_API int bp_value_equal(const struct bp_value *a, const struct bp_value *b);

/* A row that lives on. */
struct bp_row;

/* Copies `count` values with everything in them, in one allocation.
 * Owns:   the copy is the caller's, until bp_row_free().
 * Errors: BP_E_NO_MEMORY. */
BP_API BP_MUST_CHECK int
bp_row_copy(const struct bp_value *values, size_t count, struct bp_row **ret_row);
/* The values, and their number. They live as long as the row. Threads: any, as nothing changes. */
BP_API const struct bp_value *bp_row_values(const struct bp_row *row);
BP_API size_t bp_row_size(const struct bp_row *row);
/* Frees a copy. NULL is fine. Threads: any. */
BP_API void bp_row_free(struct bp_row *row);

/* ---- writing ---- */

struct bp_params;

/* An empty set of parameters.
 * Owns:   the caller's, until bp_params_free(). A query copies what it is given: parameters may be used again.
 * Errors: BP_E_NO_MEMORY. */
BP_API BP_MUST_CHECK int bp_params_new(struct bp_params **ret_params);
/* Frees them. NULL is fine. */
BP_API void bp_params_free(struct bp_params *params);
/* Forgets all values, and an error; the memory is kept. */
BP_API void bp_params_clear(struct bp_params *params);
/* The first error since they were new or cleared, 0 = none: BP_E_NO_MEMORY, BP_E_SIZE, BP_E_DEPTH (more than 64
 * containers in each other), BP_E_UTF8, BP_E_TYPE (a value that can't be sent), BP_E_USAGE (a key inside a list, none inside a
 * map, a key that is there already, an end too many, or a value outside its range). The writers below answer it too;
 * a query with such parameters isn't sent, and neither is one where an end is missing (BP_E_USAGE). */
BP_API int bp_params_error(const struct bp_params *params);

/* Each adds one value: inside a map (or at the top) under `key`, inside a list with key NULL. They copy what they are
 * given, and return bp_params_error(). */
BP_API int bp_params_null(struct bp_params *params, const char *key);
BP_API int bp_params_bool(struct bp_params *params, const char *key, int value);
BP_API int bp_params_int(struct bp_params *params, const char *key, int64_t value);
BP_API int bp_params_float(struct bp_params *params, const char *key, double value);
/* `text` is zero-terminated; NULL is written as null. */
BP_API int bp_params_string(struct bp_params *params, const char *key, const char *text);
BP_API int bp_params_text(struct bp_params *params, const char *key, const char *text, size_t size);
BP_API int
bp_params_bytes(struct bp_params *params, const char *key, const void *data, size_t size);
BP_API int bp_params_date(struct bp_params *params, const char *key, struct bp_date value);
BP_API int bp_params_time(struct bp_params *params, const char *key, struct bp_time value);
BP_API int bp_params_local_time(struct bp_params *params, const char *key, struct bp_time value);
/* With the zone's name, where one is given. What a server before Bolt 4.3 can't be told in UTC fails when it is sent;
 * BP_E_TYPE where is_local is set. */
BP_API int
bp_params_date_time(struct bp_params *params, const char *key, struct bp_date_time value);
BP_API int
bp_params_local_date_time(struct bp_params *params, const char *key, struct bp_date_time value);
/* Nanoseconds outside of one second are carried into the seconds. */
BP_API int bp_params_duration(struct bp_params *params, const char *key, struct bp_duration value);
BP_API int bp_params_point(struct bp_params *params, const char *key, struct bp_point value);
/* `items` are `count` numbers of that type in this machine's order. Servers know vectors from Bolt 6.0 on. */
BP_API int bp_params_vector(struct bp_params *params,
                            const char *key,
                            enum bp_vector_type type,
                            const void *items,
                            uint32_t count);
/* 16 bytes. Servers know it from Bolt 6.1 on. */
BP_API int bp_params_uuid(struct bp_params *params, const char *key, const uint8_t uuid[16]);
/* A value that was read, with everything inside. Nodes, relationships, paths, unsupported values, and date-times of which
 * only the zone's local time is known can't be sent: BP_E_TYPE. */
BP_API int bp_params_value(struct bp_params *params, const char *key, const struct bp_value *value);
/* What follows, up to bp_params_end(), goes into a list or a map. */
BP_API int bp_params_list(struct bp_params *params, const char *key);
BP_API int bp_params_map(struct bp_params *params, const char *key);
BP_API int bp_params_end(struct bp_params *params);

#ifdef __cplusplus
}
#endif

#endif
