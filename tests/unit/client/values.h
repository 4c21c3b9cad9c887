/* Reading values in tests: from hex, in exact allocations, and writing them back as text.
 */
#ifndef TESTS_UNIT_CLIENT_VALUES_H
#define TESTS_UNIT_CLIENT_VALUES_H

#include "client/value.h"

#include <boltpool/error.h>

#include "tests/unit/bolt/bytes.h"

/* Reads one value that takes all of the bytes; it lives as long as they do. */
static inline struct bp_value value_in(const struct bytes *bytes)
{
    struct bpi_pack_reader reader;
    struct bp_value value;
    bpi_pack_reader_init(&reader, bytes->data, bytes->size);
    assert_int_equal(bpi_value_read(&reader, &value), 0);
    assert_ptr_equal(reader.at, reader.end);
    return value;
}

/* What reading it answers; after an error the reader stays where it was. */
static inline int status_of(const void *data, size_t size)
{
    struct bytes bytes = bytes_copy(data, size);
    struct bpi_pack_reader reader;
    struct bp_value value;
    bpi_pack_reader_init(&reader, bytes.data, bytes.size);
    int error = bpi_value_read(&reader, &value);
    if (error != 0) {
        assert_ptr_equal(reader.at, bytes.data);
    }
    bytes_free(&bytes);
    return error;
}

static inline int status_of_hex(const char *hex)
{
    struct bytes bytes = bytes_of(hex);
    int error = status_of(bytes.data, bytes.size);
    bytes_free(&bytes);
    return error;
}

/* The value's text; up to 1023 bytes. */
static inline const char *text_in(const struct bp_value *value, char text[1024])
{
    int64_t size = bp_value_format(value, text, 1024);
    assert_in_range(size, 0, 1023);
    assert_int_equal(strlen(text), size);
    return text;
}

static inline void assert_format(const char *hex, const char *expected)
{
    char text[1024];
    struct bytes bytes = bytes_of(hex);
    struct bp_value value = value_in(&bytes);
    assert_string_equal(text_in(&value, text), expected);
    bytes_free(&bytes);
}

static inline void assert_bp_text(struct bp_text text, const char *expected)
{
    assert_non_null(text.data);
    assert_int_equal(text.size, strlen(expected));
    assert_memory_equal(text.data, expected, text.size);
}

/* All values of the protocol's page: what they are, and how they are shown. */
struct vector {
    const char *hex;
    enum bp_type type;
    const char *text;
};

static const struct vector vectors[] = {
    {"C0", BP_TYPE_NULL, "null"},
    {"C3", BP_TYPE_BOOL, "true"},
    {"C2", BP_TYPE_BOOL, "false"},
    {"00", BP_TYPE_INT, "0"},
    {"7F", BP_TYPE_INT, "127"},
    {"F0", BP_TYPE_INT, "-16"},
    {"C90080", BP_TYPE_INT, "128"},
    {"C8EF", BP_TYPE_INT, "-17"},
    {"C880", BP_TYPE_INT, "-128"},
    {"C9FF7F", BP_TYPE_INT, "-129"},
    {"C97FFF", BP_TYPE_INT, "32767"},
    {"CA00008000", BP_TYPE_INT, "32768"},
    {"C98000", BP_TYPE_INT, "-32768"},
    {"CAFFFF7FFF", BP_TYPE_INT, "-32769"},
    {"CA7FFFFFFF", BP_TYPE_INT, "2147483647"},
    {"CB0000000080000000", BP_TYPE_INT, "2147483648"},
    {"CA80000000", BP_TYPE_INT, "-2147483648"},
    {"CBFFFFFFFF7FFFFFFF", BP_TYPE_INT, "-2147483649"},
    {"CB7FFFFFFFFFFFFFFF", BP_TYPE_INT, "9223372036854775807"},
    {"CB8000000000000000", BP_TYPE_INT, "-9223372036854775808"},
    {"C13FF199999999999A", BP_TYPE_FLOAT, "1.1"},
    {"C18000000000000000", BP_TYPE_FLOAT, "-0.0"},
    {"C17FF0000000000000", BP_TYPE_FLOAT, "Infinity"},
    {"80", BP_TYPE_STRING, "\"\""},
    {"8161", BP_TYPE_STRING, "\"a\""},
    {"82C3A9", BP_TYPE_STRING, "\"\xc3\xa9\""},
    {"8F616161616161616161616161616161", BP_TYPE_STRING, "\"aaaaaaaaaaaaaaa\""},
    {"D01061616161616161616161616161616161", BP_TYPE_STRING, "\"aaaaaaaaaaaaaaaa\""},
    {"CC00", BP_TYPE_BYTES, "bytes()"},
    {"CC03010203", BP_TYPE_BYTES, "bytes(010203)"},
    {"90", BP_TYPE_LIST, "[]"},
    {"93018161C0", BP_TYPE_LIST, "[1, \"a\", null]"},
    {"A0", BP_TYPE_MAP, "{}"},
    {"A1816101", BP_TYPE_MAP, "{a: 1}"},
    {"D41000000000000000000000000000000000", BP_TYPE_LIST,
     "[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]"},
    {"D810 816100 816201 816302 816403 816504 816605 816706 816807 816908 816A09 816B0A 816C0B"
     "816D0C 816E0D 816F0E 81700F",
     BP_TYPE_MAP,
     "{a: 0, b: 1, c: 2, d: 3, e: 4, f: 5, g: 6, h: 7, i: 8, j: 9, k: 10, l: 11, m: 12, n: 13, "
     "o: 14, p: 15}"},
    {"B14401", BP_TYPE_DATE, "1970-01-02"},
    {"B254 CB0000034630B8A000 C90E10", BP_TYPE_TIME, "01:00:00+01:00"},
    {"B174 CA3B9ACA00", BP_TYPE_LOCAL_TIME, "00:00:01"},
    {"B2640100", BP_TYPE_LOCAL_DATE_TIME, "1970-01-01T00:00:01"},
    {"B44501020300", BP_TYPE_DURATION, "P1M2DT3S"},
    {"B349 C91194 2A C90E10", BP_TYPE_DATE_TIME, "1970-01-01T02:15:00.000000042+01:00"},
    {"B346 C91FA4 2A C90E10", BP_TYPE_DATE_TIME, "1970-01-01T02:15:00.000000042+01:00"},
    {"B369 C91194 2A 8C4575726F70652F5061726973", BP_TYPE_DATE_TIME,
     "1970-01-01T01:15:00.000000042Z[Europe/Paris]"},
    {"B366 C91FA4 2A 8C4575726F70652F5061726973", BP_TYPE_DATE_TIME,
     "1970-01-01T02:15:00.000000042[Europe/Paris]"},
    {"B358 C91C23 C13FF0000000000000 C14000000000000000", BP_TYPE_POINT,
     "point({srid: 7203, x: 1.0, y: 2.0})"},
    {"B459 C91373 C13FF0000000000000 C14000000000000000 C14008000000000000", BP_TYPE_POINT,
     "point({srid: 4979, x: 1.0, y: 2.0, z: 3.0})"},
    {"B34E 01 918141 A0", BP_TYPE_NODE, "(:A)"},
    {"B44E 01 918141 A0 85343A783A31", BP_TYPE_NODE, "(:A)"},
    {"B552 07 01 02 8152 A0", BP_TYPE_RELATIONSHIP, "[:R]"},
    {"B852 07 01 02 8152 A0 85353A783A37 85343A783A31 85343A783A32", BP_TYPE_RELATIONSHIP, "[:R]"},
    {"B372 07 8152 A0", BP_TYPE_RELATIONSHIP, "[:R]"},
    {"B472 07 8152 A0 85353A783A37", BP_TYPE_RELATIONSHIP, "[:R]"},
    {"B350 92 B34E 01 918141 A0 B34E 02 918142 A0 91 B372 07 8152 A1816101 92 FF 01", BP_TYPE_PATH,
     "(:A)<-[:R {a: 1}]-(:B)"},
    {"B256 CC01C8 CC03010203", BP_TYPE_VECTOR, "vector([1, 2, 3], 3, INTEGER8)"},
    {"E0 000102030405060708090A0B0C0D0E0F", BP_TYPE_UUID, "00010203-0405-0607-0809-0a0b0c0d0e0f"},
    {"B43F 83414243 06 01 A1 876D657373616765 8161", BP_TYPE_UNSUPPORTED, "<ABC>"},
};

#endif
