/* Shows that values are read as the specification encodes them and written in their smallest form,
 * and that no input makes the reader look outside its bytes, allocate or loop for long.
 * Vectors come in hex; each is held in an allocation of its own size.
 */
#include "bolt/packstream.h"

#include "base/random.h"

#include <boltpool/error.h>

#include "tests/unit/bolt/bytes.h"

#include <math.h>

/* Whole values in their smallest form. */
static const char *const vectors[] = {
    "C0",
    "C3",
    "C2",
    "00",
    "7F",
    "F0",
    "FF",
    "C9 0080",
    "C8EF",
    "C880",
    "C9FF7F",
    "C97FFF",
    "CA00008000",
    "C98000",
    "CAFFFF7FFF",
    "CA7FFFFFFF",
    "CB0000000080000000",
    "CA80000000",
    "CBFFFFFFFF7FFFFFFF",
    "CB7FFFFFFFFFFFFFFF",
    "CB8000000000000000",
    "C13FF199999999999A",
    "C18000000000000000",
    "C17FF0000000000000",
    "80",
    "8161",
    "82C3A9",
    "8F616161616161616161616161616161",
    "D01061616161616161616161616161616161",
    "CC00",
    "CC03010203",
    "90",
    "93018161C0",
    "A0",
    "A1816101",
    "D41000000000000000000000000000000000",
    "D810 816100 816201 816302 816403 816504 816605 816706 816807 816908 816A09 816B0A 816C0B "
    "816D0C "
    "816E0D 816F0E 81700F",
    "B14401",
    "B254 CB0000034630B8A000 C90E10",
    "B174 CA3B9ACA00",
    "B2640100",
    "B44501020300",
    "B349 C91194 2A C90E10",
    "B346 C91FA4 2A C90E10",
    "B369 C91194 2A 8C4575726F70652F5061726973",
    "B366 C91FA4 2A 8C4575726F70652F5061726973",
    "B358 C91C23 C13FF0000000000000 C14000000000000000",
    "B459 C91373 C13FF0000000000000 C14000000000000000 C14008000000000000",
    "B34E 01 918141 A0",
    "B44E 01 918141 A0 85343A783A31",
    "B852 07 01 02 8152 A0 85353A783A37 85343A783A31 85343A783A32",
    "B472 07 8152 A0 85353A783A37",
    "B256 CC01C8 CC03010203",
    "E0 000102030405060708090A0B0C0D0E0F",
};

/* Writes again what it reads: heads and scalars in the order they come. */
static void copy_values(const uint8_t *data, size_t size, struct bpi_buffer *out)
{
    struct bpi_pack_reader reader;
    bpi_pack_reader_init(&reader, data, size);
    struct bpi_pack_writer writer;
    bpi_pack_writer_init(&writer, out);
    while (reader.at < reader.end) {
        struct bpi_pack_item item;
        assert_int_equal(bpi_pack_next(&reader, &item), 0);
        switch (item.type) {
        case BPI_PACK_NULL:
            bpi_pack_null(&writer);
            break;
        case BPI_PACK_BOOL:
            bpi_pack_bool(&writer, item.boolean);
            break;
        case BPI_PACK_INT:
            bpi_pack_int(&writer, item.integer);
            break;
        case BPI_PACK_FLOAT:
            bpi_pack_float(&writer, item.real);
            break;
        case BPI_PACK_BYTES:
            bpi_pack_bytes(&writer, item.data, item.size);
            break;
        case BPI_PACK_STRING:
            bpi_pack_string(&writer, (const char *)item.data, item.size);
            break;
        case BPI_PACK_LIST:
            bpi_pack_list(&writer, item.count);
            break;
        case BPI_PACK_MAP:
            bpi_pack_map(&writer, item.count);
            break;
        case BPI_PACK_STRUCT:
            bpi_pack_struct(&writer, item.tag, item.count);
            break;
        case BPI_PACK_UUID:
            bpi_pack_uuid(&writer, item.data);
            break;
        default:
            fail();
        }
    }
    assert_int_equal(writer.status, 0);
}

static struct bpi_pack_item only_item(const char *hex, struct bytes *bytes)
{
    *bytes = bytes_of(hex);
    struct bpi_pack_reader reader;
    bpi_pack_reader_init(&reader, bytes->data, bytes->size);
    struct bpi_pack_item item;
    assert_int_equal(bpi_pack_next(&reader, &item), 0);
    assert_ptr_equal(reader.at, reader.end);
    return item;
}

static int skip_status(const char *hex, const struct bpi_pack_limits *limits)
{
    struct bytes bytes = bytes_of(hex);
    struct bpi_pack_reader reader;
    bpi_pack_reader_init(&reader, bytes.data, bytes.size);
    int error = bpi_pack_skip(&reader, limits);
    assert_ptr_equal(reader.at, error == 0 ? reader.end : bytes.data);
    bytes_free(&bytes);
    return error;
}

static void every_vector_is_written_as_it_was_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(vectors); i++) {
        struct bytes bytes = bytes_of(vectors[i]);
        struct bpi_buffer out = {0};
        copy_values(bytes.data, bytes.size, &out);
        assert_buffer_hex(&out, vectors[i]);
        assert_int_equal(skip_status(vectors[i], &bpi_pack_limits_open), 0);
        bpi_buffer_done(&out);
        bytes_free(&bytes);
    }
}

static void every_vector_cut_short_is_truncated(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(vectors); i++) {
        struct bytes whole = bytes_of(vectors[i]);
        for (size_t size = 0; size < whole.size; size++) {
            struct bytes cut = bytes_copy(whole.data, size);
            struct bpi_pack_reader reader;
            bpi_pack_reader_init(&reader, cut.data, cut.size);
            assert_int_equal(bpi_pack_skip(&reader, &bpi_pack_limits_open), BP_E_TRUNCATED);
            assert_ptr_equal(reader.at, cut.data);
            bytes_free(&cut);
        }
        bytes_free(&whole);
    }
}

static void integers_have_their_values(void **state)
{
    (void)state;
    static const struct {
        const char *hex;
        int64_t value;
    } cases[] = {
        {"00", 0},
        {"7F", 127},
        {"F0", -16},
        {"FF", -1},
        {"C90080", 128},
        {"C8EF", -17},
        {"C880", -128},
        {"C9FF7F", -129},
        {"C97FFF", 32767},
        {"CA00008000", 32768},
        {"C98000", -32768},
        {"CAFFFF7FFF", -32769},
        {"CA7FFFFFFF", INT32_MAX},
        {"CB0000000080000000", (int64_t)INT32_MAX + 1},
        {"CA80000000", INT32_MIN},
        {"CBFFFFFFFF7FFFFFFF", (int64_t)INT32_MIN - 1},
        {"CB7FFFFFFFFFFFFFFF", INT64_MAX},
        {"CB8000000000000000", INT64_MIN},
        /* Wider than needed. */
        {"C801", 1},
        {"C90001", 1},
        {"CA00000001", 1},
        {"CB0000000000000001", 1},
        {"C8FF", -1},
        {"CBFFFFFFFFFFFFFFFF", -1},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct bytes bytes;
        struct bpi_pack_item item = only_item(cases[i].hex, &bytes);
        assert_int_equal(item.type, BPI_PACK_INT);
        assert_true(item.integer == cases[i].value);
        bytes_free(&bytes);
    }
}

static void floats_keep_every_bit(void **state)
{
    (void)state;
    struct bytes bytes;
    assert_true(only_item("C13FF199999999999A", &bytes).real == 1.1);
    bytes_free(&bytes);
    double zero = only_item("C18000000000000000", &bytes).real;
    assert_true(zero == 0.0 && signbit(zero));
    bytes_free(&bytes);
    assert_true(isinf(only_item("C17FF0000000000000", &bytes).real));
    bytes_free(&bytes);
    /* A NaN with a payload. */
    struct bpi_buffer out = {0};
    bytes = bytes_of("C17FF8000000000123");
    copy_values(bytes.data, bytes.size, &out);
    assert_buffer_hex(&out, "C17FF8000000000123");
    bpi_buffer_done(&out);
    bytes_free(&bytes);
}

static void wider_encodings_are_read_and_written_small(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"D00161", "8161"},
        {"D1000161", "8161"},
        {"D20000000161", "8161"},
        {"CD000101", "CC0101"},
        {"CE0000000101", "CC0101"},
        {"D40101", "9101"},
        {"D5000101", "9101"},
        {"D60000000101", "9101"},
        {"D801816101", "A1816101"},
        {"D90001816101", "A1816101"},
        {"DA00000001816101", "A1816101"},
        {"C9007F", "7F"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct bytes bytes = bytes_of(cases[i][0]);
        struct bpi_buffer out = {0};
        copy_values(bytes.data, bytes.size, &out);
        assert_buffer_hex(&out, cases[i][1]);
        assert_int_equal(skip_status(cases[i][0], &bpi_pack_limits_open), 0);
        bpi_buffer_done(&out);
        bytes_free(&bytes);
    }
}

static void lengths_change_their_form_at_16_256_and_65536(void **state)
{
    (void)state;
    static const struct {
        size_t length;
        const char *bytes, *string, *list, *map;
    } cases[] = {
        {0, "CC00", "80", "90", "A0"},
        {15, "CC0F", "8F", "9F", "AF"},
        {16, "CC10", "D010", "D410", "D810"},
        {255, "CCFF", "D0FF", "D4FF", "D8FF"},
        {256, "CD0100", "D10100", "D50100", "D90100"},
        {65535, "CDFFFF", "D1FFFF", "D5FFFF", "D9FFFF"},
        {65536, "CE00010000", "D200010000", "D600010000", "DA00010000"},
    };
    char *text = calloc(1, 65536);
    assert_non_null(text);
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct bpi_buffer out[4] = {{0}};
        const char *heads[4] = {cases[i].bytes, cases[i].string, cases[i].list, cases[i].map};
        struct bpi_pack_writer writers[4];
        for (size_t k = 0; k < 4; k++) {
            bpi_pack_writer_init(&writers[k], &out[k]);
        }
        bpi_pack_bytes(&writers[0], text, cases[i].length);
        bpi_pack_string(&writers[1], text, cases[i].length);
        bpi_pack_list(&writers[2], cases[i].length);
        bpi_pack_map(&writers[3], cases[i].length);
        for (size_t k = 0; k < 4; k++) {
            assert_int_equal(writers[k].status, 0);
            struct bytes head = bytes_of(heads[k]);
            assert_int_equal(bpi_buffer_size(&out[k]), head.size + (k < 2 ? cases[i].length : 0));
            assert_memory_equal(bpi_buffer_head(&out[k]), head.data, head.size);
            bytes_free(&head);
            bpi_buffer_done(&out[k]);
        }
    }
    free(text);
}

static void reserved_markers_are_errors_everywhere(void **state)
{
    (void)state;
    for (unsigned marker = 0x80; marker < 0xf0; marker++) {
        bool known = marker < 0xc4 || (marker >= 0xc8 && marker <= 0xce) ||
                     (marker >= 0xd0 && marker <= 0xd2) || (marker >= 0xd4 && marker <= 0xd6) ||
                     (marker >= 0xd8 && marker <= 0xda) || marker == 0xe0;
        uint8_t inner[32] = {0x91, (uint8_t)marker};
        struct bpi_pack_reader reader;
        struct bpi_pack_item item;
        bpi_pack_reader_init(&reader, inner + 1, sizeof(inner) - 1);
        assert_int_equal(bpi_pack_next(&reader, &item) == BP_E_MARKER, !known);
        bpi_pack_reader_init(&reader, inner, sizeof(inner));
        int error = bpi_pack_skip(&reader, &bpi_pack_limits_open);
        assert_int_equal(error == BP_E_MARKER, !known);
        assert_int_equal(reader.at == inner, error != 0);
    }
}

static void announced_lengths_without_bytes_are_refused_at_once(void **state)
{
    (void)state;
    static const struct {
        const char *hex;
        int error;
    } cases[] = {
        {"CEFFFFFFFF", BP_E_SIZE},
        {"D2FFFFFFFF", BP_E_SIZE},
        {"D6FFFFFFFF", BP_E_SIZE},
        {"DAFFFFFFFF", BP_E_SIZE},
        {"CE80000000", BP_E_SIZE},
        {"CE7FFFFFFF", BP_E_TRUNCATED},
        {"D27FFFFFFF", BP_E_TRUNCATED},
        {"D67FFFFFFF", BP_E_TRUNCATED},
        {"DA7FFFFFFF", BP_E_TRUNCATED},
        {"D6000000020000", 0},
        {"D60000000300", BP_E_TRUNCATED},
        /* A map of two pairs needs four bytes. */
        {"A2816101", BP_E_TRUNCATED},
        {"BF4E01", BP_E_TRUNCATED},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(skip_status(cases[i].hex, &bpi_pack_limits_open), cases[i].error);
    }
}

static void depth_is_counted_to_the_limit_and_not_beyond(void **state)
{
    (void)state;
    /* HELLO {x: [[1]]} is as deep as a log-in may be. */
    assert_int_equal(skip_status("B101A18178919101", &bpi_pack_limits_login), 0);
    assert_int_equal(skip_status("B101A1817891919101", &bpi_pack_limits_login), BP_E_DEPTH);
    assert_int_equal(skip_status("B101A18178919190", &bpi_pack_limits_login), BP_E_DEPTH);
    uint8_t nested[BPI_PACK_DEPTH_MAX + 2];
    memset(nested, 0x91, sizeof(nested));
    for (size_t depth = BPI_PACK_DEPTH_MAX - 1; depth <= BPI_PACK_DEPTH_MAX + 1; depth++) {
        nested[depth] = 0x01;
        struct bpi_pack_reader reader;
        bpi_pack_reader_init(&reader, nested, depth + 1);
        int expected = depth <= BPI_PACK_DEPTH_MAX ? 0 : BP_E_DEPTH;
        assert_int_equal(bpi_pack_skip(&reader, &bpi_pack_limits_open), expected);
        nested[depth] = 0x91;
    }
    /* A limit above what the walk can hold is cut to that. */
    struct bpi_pack_limits wild = {.depth_max = UINT32_MAX, .items_max = UINT32_MAX};
    struct bpi_pack_reader reader;
    nested[BPI_PACK_DEPTH_MAX + 1] = 0x01;
    bpi_pack_reader_init(&reader, nested, sizeof(nested));
    assert_int_equal(bpi_pack_skip(&reader, &wild), BP_E_DEPTH);
    struct bpi_pack_limits none = {.depth_max = 0, .items_max = UINT32_MAX};
    assert_int_equal(skip_status("90", &none), BP_E_DEPTH);
    assert_int_equal(skip_status("01", &none), 0);
}

static void items_are_counted_for_each_container(void **state)
{
    (void)state;
    for (size_t count = 63; count <= 65; count++) {
        struct bpi_buffer list = {0};
        struct bpi_buffer map = {0};
        struct bpi_pack_writer writer;
        bpi_pack_writer_init(&writer, &list);
        bpi_pack_list(&writer, count);
        for (size_t i = 0; i < count; i++) {
            bpi_pack_int(&writer, 1);
        }
        bpi_pack_writer_init(&writer, &map);
        bpi_pack_map(&writer, count);
        for (size_t i = 0; i < count; i++) {
            bpi_pack_text(&writer, "k");
            bpi_pack_int(&writer, 1);
        }
        int expected = count <= 64 ? 0 : BP_E_ITEMS;
        struct bpi_pack_reader reader;
        bpi_pack_reader_init(&reader, bpi_buffer_head(&list), bpi_buffer_size(&list));
        assert_int_equal(bpi_pack_skip(&reader, &bpi_pack_limits_login), expected);
        bpi_pack_reader_init(&reader, bpi_buffer_head(&map), bpi_buffer_size(&map));
        assert_int_equal(bpi_pack_skip(&reader, &bpi_pack_limits_login), expected);
        bpi_buffer_done(&list);
        bpi_buffer_done(&map);
    }
}

static void keys_are_strings_at_every_place_of_a_map(void **state)
{
    (void)state;
    assert_int_equal(skip_status("A10101", &bpi_pack_limits_open), BP_E_TYPE);
    assert_int_equal(skip_status("A281610101 01", &bpi_pack_limits_open), BP_E_TYPE);
    assert_int_equal(skip_status("A1 90 01", &bpi_pack_limits_open), BP_E_TYPE);
    /* A key behind a nested map, and a nested list that looks like a key's place. */
    assert_int_equal(skip_status("A2 8161 A1816201 01 01", &bpi_pack_limits_open), BP_E_TYPE);
    assert_int_equal(skip_status("A2 8161 A1816201 8162 920101", &bpi_pack_limits_open), 0);
}

static void typed_reads_leave_the_reader_at_another_type(void **state)
{
    (void)state;
    struct bytes bytes = bytes_of("8161 05 A0 92 0102 B10100");
    struct bpi_pack_reader reader;
    bpi_pack_reader_init(&reader, bytes.data, bytes.size);
    const char *text;
    size_t size;
    int64_t integer;
    uint32_t count;
    uint8_t tag;
    assert_int_equal(bpi_pack_next_int(&reader, &integer), BP_E_TYPE);
    assert_int_equal(bpi_pack_next_map(&reader, &count), BP_E_TYPE);
    assert_int_equal(bpi_pack_next_list(&reader, &count), BP_E_TYPE);
    assert_int_equal(bpi_pack_next_struct(&reader, &tag, &count), BP_E_TYPE);
    assert_int_equal(bpi_pack_next_string(&reader, &text, &size), 0);
    assert_int_equal(size, 1);
    assert_int_equal(text[0], 'a');
    assert_int_equal(bpi_pack_next_string(&reader, &text, &size), BP_E_TYPE);
    assert_int_equal(bpi_pack_next_int(&reader, &integer), 0);
    assert_int_equal(integer, 5);
    assert_int_equal(bpi_pack_next_map(&reader, &count), 0);
    assert_int_equal(count, 0);
    const uint8_t *value;
    assert_int_equal(bpi_pack_take(&reader, &bpi_pack_limits_open, &value, &size), 0);
    assert_ptr_equal(value, bytes.data + 4);
    assert_int_equal(size, 3);
    assert_int_equal(bpi_pack_next_struct(&reader, &tag, &count), 0);
    assert_int_equal(tag, 1);
    assert_int_equal(count, 1);
    assert_int_equal(bpi_pack_next_int(&reader, &integer), 0);
    assert_int_equal(bpi_pack_next_int(&reader, &integer), BP_E_TRUNCATED);
    bytes_free(&bytes);
}

static int find_status(const char *hex, const char *key, size_t *ret_offset, size_t *ret_size)
{
    struct bytes bytes = bytes_of(hex);
    const uint8_t *value = bytes.data;
    *ret_size = 0;
    int found = bpi_pack_map_find(bytes.data, bytes.size, key, &value, ret_size);
    *ret_offset = (size_t)(value - bytes.data);
    bytes_free(&bytes);
    return found;
}

static void a_key_is_found_once_and_refused_twice(void **state)
{
    (void)state;
    size_t offset;
    size_t size;
    assert_int_equal(find_status("A2 8161 9101 826162 02", "ab", &offset, &size), 1);
    assert_int_equal(offset, 8);
    assert_int_equal(size, 1);
    assert_int_equal(find_status("A2 8161 9101 826162 02", "a", &offset, &size), 1);
    assert_int_equal(offset, 3);
    assert_int_equal(size, 2);
    assert_int_equal(find_status("A2 8161 9101 826162 02", "b", &offset, &size), 0);
    assert_int_equal(find_status("A0", "a", &offset, &size), 0);
    /* The same key inside a value is another key. */
    assert_int_equal(find_status("A1 8162 A1816101", "a", &offset, &size), 0);
    assert_int_equal(find_status("A2 816101 816102", "a", &offset, &size), BP_E_PROTOCOL);
    assert_int_equal(find_status("A2 816101 816102", "b", &offset, &size), 0);
    assert_int_equal(find_status("90", "a", &offset, &size), BP_E_TYPE);
    assert_int_equal(find_status("A1 01 01", "a", &offset, &size), BP_E_TYPE);
    assert_int_equal(find_status("A2 816101 8161", "a", &offset, &size), BP_E_TRUNCATED);
    assert_int_equal(find_status("", "a", &offset, &size), BP_E_TRUNCATED);
    const uint8_t *value;
    assert_int_equal(bpi_pack_map_find(NULL, 0, "a", &value, &size), BP_E_TRUNCATED);
}

static void utf8_is_what_rfc_3629_says(void **state)
{
    (void)state;
    static const struct {
        const char *hex;
        bool valid;
    } cases[] = {
        {"", true},         {"41", true},        {"7F", true},        {"C3A9", true},
        {"E282AC", true},   {"F09F9880", true},  {"C280", true},      {"E0A080", true},
        {"ED9FBF", true},   {"EE8080", true},    {"EFBFBF", true},    {"F0908080", true},
        {"F48FBFBF", true}, {"41C3A942", true},  {"80", false},       {"BF", false},
        {"C080", false},    {"C1BF", false},     {"E09FBF", false},   {"EDA080", false},
        {"EDBFBF", false},  {"F08FBFBF", false}, {"F4908080", false}, {"F5808080", false},
        {"FF", false},      {"C3", false},       {"E282", false},     {"F09F98", false},
        {"C341", false},    {"E28241", false},   {"F09F9841", false}, {"41C3", false},
        {"E2C3A9", false},  {"F09FC3A9", false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct bytes bytes = bytes_of(cases[i].hex);
        assert_int_equal(bpi_utf8_valid(bytes.data, bytes.size), cases[i].valid);
        bytes_free(&bytes);
    }
}

static int stop_at_third(const struct bpi_pack_item *item, void *context)
{
    (void)item;
    int *count = context;
    return ++*count == 3 ? BP_E_USAGE : 0;
}

static void a_visitor_sees_every_item_and_can_stop(void **state)
{
    (void)state;
    struct bytes bytes = bytes_of("92 9101 A1816102");
    struct bpi_pack_reader reader;
    bpi_pack_reader_init(&reader, bytes.data, bytes.size);
    int count = 0;
    assert_int_equal(bpi_pack_walk(&reader, &bpi_pack_limits_open, stop_at_third, &count),
                     BP_E_USAGE);
    assert_ptr_equal(reader.at, bytes.data);
    count = 10;
    assert_int_equal(bpi_pack_walk(&reader, &bpi_pack_limits_open, stop_at_third, &count), 0);
    assert_int_equal(count, 16);
    assert_ptr_equal(reader.at, reader.end);
    bytes_free(&bytes);
}

static void a_writer_keeps_its_first_error(void **state)
{
    (void)state;
    struct bpi_buffer out = {0};
    struct bpi_pack_writer writer;
    bpi_pack_writer_init(&writer, &out);
    bpi_pack_list(&writer, (size_t)INT32_MAX + 1);
    assert_int_equal(writer.status, BP_E_SIZE);
    bpi_pack_null(&writer);
    assert_int_equal(bpi_buffer_size(&out), 0);
    bpi_buffer_done(&out);

    uint8_t memory[4];
    struct bpi_buffer tight = buffer_with_room(memory, 2);
    bpi_pack_writer_init(&writer, &tight);
    bpi_pack_int(&writer, 1);
    bpi_pack_int(&writer, 1000);
    assert_int_equal(writer.status, BP_E_NO_MEMORY);
    bpi_pack_map(&writer, (size_t)INT32_MAX + 1);
    bpi_pack_int(&writer, 1);
    assert_int_equal(writer.status, BP_E_NO_MEMORY);
    assert_int_equal(tight.end, 1);
}

/* One random scalar or head; returns how many values it opens. */
static size_t write_random(struct bpi_random *random, struct bpi_pack_writer *writer, size_t room)
{
    char text[300];
    size_t size = bpi_random_below(random, 4) == 0 ? bpi_random_below(random, sizeof(text))
                                                   : bpi_random_below(random, 20);
    memset(text, 'x', sizeof(text));
    size_t count = room > 0 ? bpi_random_below(random, room) : 0;
    switch (bpi_random_below(random, 9)) {
    case 0:
        bpi_pack_null(writer);
        return 0;
    case 1:
        bpi_pack_bool(writer, bpi_random_below(random, 2) == 0);
        return 0;
    case 2:
        bpi_pack_int(writer, (int64_t)bpi_random_next(random) >> bpi_random_below(random, 64));
        return 0;
    case 3:
        bpi_pack_float(writer, bpi_random_unit(random));
        return 0;
    case 4:
        bpi_pack_bytes(writer, text, size);
        return 0;
    case 5:
        bpi_pack_string(writer, text, size);
        return 0;
    case 6:
        bpi_pack_list(writer, count);
        return count;
    case 7:
        bpi_pack_struct(writer, (uint8_t)bpi_random_below(random, 128), count % 16);
        return count % 16;
    default:
        bpi_pack_uuid(writer, (const uint8_t *)text);
        return 0;
    }
}

static void random_values_survive_reading_and_writing(void **state)
{
    (void)state;
    const uint64_t seed = 20260901;
    print_message("seed %llu\n", (unsigned long long)seed);
    struct bpi_random random;
    bpi_random_init(&random, seed);
    for (int round = 0; round < 2000; round++) {
        struct bpi_buffer value = {0};
        struct bpi_pack_writer writer;
        bpi_pack_writer_init(&writer, &value);
        /* `due` values are still to come; none is opened after 200, so the tree ends. */
        size_t due = 1;
        for (size_t written = 0; due > 0; written++) {
            due--;
            due += write_random(&random, &writer, written < 200 ? 12 : 0);
        }
        assert_int_equal(writer.status, 0);
        struct bpi_pack_reader reader;
        bpi_pack_reader_init(&reader, bpi_buffer_head(&value), bpi_buffer_size(&value));
        int error = bpi_pack_skip(&reader, &bpi_pack_limits_open);
        assert_int_equal(error, 0);
        assert_ptr_equal(reader.at, reader.end);
        struct bpi_buffer copy = {0};
        copy_values(bpi_buffer_head(&value), bpi_buffer_size(&value), &copy);
        assert_int_equal(bpi_buffer_size(&copy), bpi_buffer_size(&value));
        assert_memory_equal(bpi_buffer_head(&copy), bpi_buffer_head(&value),
                            bpi_buffer_size(&copy));
        bpi_buffer_done(&copy);
        bpi_buffer_done(&value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_vector_is_written_as_it_was_read),
        cmocka_unit_test(every_vector_cut_short_is_truncated),
        cmocka_unit_test(integers_have_their_values),
        cmocka_unit_test(floats_keep_every_bit),
        cmocka_unit_test(wider_encodings_are_read_and_written_small),
        cmocka_unit_test(lengths_change_their_form_at_16_256_and_65536),
        cmocka_unit_test(reserved_markers_are_errors_everywhere),
        cmocka_unit_test(announced_lengths_without_bytes_are_refused_at_once),
        cmocka_unit_test(depth_is_counted_to_the_limit_and_not_beyond),
        cmocka_unit_test(items_are_counted_for_each_container),
        cmocka_unit_test(keys_are_strings_at_every_place_of_a_map),
        cmocka_unit_test(typed_reads_leave_the_reader_at_another_type),
        cmocka_unit_test(a_key_is_found_once_and_refused_twice),
        cmocka_unit_test(utf8_is_what_rfc_3629_says),
        cmocka_unit_test(a_visitor_sees_every_item_and_can_stop),
        cmocka_unit_test(a_writer_keeps_its_first_error),
        cmocka_unit_test(random_values_survive_reading_and_writing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
