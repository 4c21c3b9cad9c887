/* Shows what is read off the wire: each value of the protocol's page, each of them cut after each byte, and what no
 * server should send. All bytes lie in exact allocations, so that the sanitizer sees every step outside.
 */
#include "client/value.h"

#include "bolt/value.h"

#include <boltpool/error.h>

#include "tests/unit/client/values.h"

static void every_value_of_the_protocol_is_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(vectors); i++) {
        struct bytes bytes = bytes_of(vectors[i].hex);
        struct bp_value value = value_in(&bytes);
        assert_int_equal(value.type, vectors[i].type);
        assert_format(vectors[i].hex, vectors[i].text);
        bytes_free(&bytes);
    }
}

static void every_cut_of_a_value_is_an_error(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(vectors); i++) {
        struct bytes bytes = bytes_of(vectors[i].hex);
        for (size_t size = 0; size < bytes.size; size++) {
            assert_int_equal(status_of(bytes.data, size), BP_E_TRUNCATED);
        }
        bytes_free(&bytes);
    }
}

static void each_type_has_a_name(void **state)
{
    (void)state;
    for (int type = 0; type < BP_TYPE_COUNT; type++) {
        assert_non_null(bp_type_name((enum bp_type)type));
    }
    assert_string_equal(bp_type_name(BP_TYPE_DATE_TIME), "DATE_TIME");
    assert_string_equal(bp_type_name(BP_TYPE_UNSUPPORTED), "UNSUPPORTED");
    assert_null(bp_type_name((enum bp_type)BP_TYPE_COUNT));
    assert_null(bp_type_name((enum bp_type) - 1));
}

static void a_record_fills_its_columns(void **state)
{
    (void)state;
    struct bytes bytes = bytes_of("95 01 C13FF0000000000000 8161 C3 9101");
    struct bp_value row[5];
    assert_int_equal(bpi_value_read_record(bytes.data, bytes.size, row, 5), 0);
    assert_int_equal(row[0].as.integer, 1);
    assert_true(row[1].as.real == 1.0);
    assert_bp_text(row[2].as.text, "a");
    assert_int_equal(row[3].as.boolean, 1);
    assert_int_equal(row[4].count, 1);
    assert_int_equal(bpi_value_read_record(bytes.data, bytes.size, row, 4), BP_E_FIELDS);
    for (size_t size = 0; size < bytes.size; size++) {
        struct bytes cut = bytes_copy(bytes.data, size);
        assert_int_equal(bpi_value_read_record(cut.data, cut.size, row, 5), BP_E_TRUNCATED);
        bytes_free(&cut);
    }
    bytes_free(&bytes);
    bytes = bytes_of("9101 02");
    assert_int_equal(bpi_value_read_record(bytes.data, bytes.size, row, 1), BP_E_PROTOCOL);
    bytes_free(&bytes);
    bytes = bytes_of("A0");
    assert_int_equal(bpi_value_read_record(bytes.data, bytes.size, row, 0), BP_E_TYPE);
    bytes_free(&bytes);
    assert_int_equal(bpi_value_read_record(NULL, 0, row, 0), BP_E_TRUNCATED);
}

static void empty_texts_have_an_address(void **state)
{
    (void)state;
    struct bytes bytes = bytes_of("80");
    assert_non_null(value_in(&bytes).as.text.data);
    bytes_free(&bytes);
    bytes = bytes_of("CC00");
    assert_non_null(value_in(&bytes).as.text.data);
    bytes_free(&bytes);
}

static void wider_forms_than_needed_are_read(void **state)
{
    (void)state;
    assert_format("C805", "5");
    assert_format("CB0000000000000005", "5");
    assert_format("D00161", "\"a\"");
    assert_format("D1000161", "\"a\"");
    assert_format("D20000000161", "\"a\"");
    assert_format("CD000101", "bytes(01)");
    assert_format("CE0000000101", "bytes(01)");
    assert_format("D5000101", "[1]");
    assert_format("D60000000101", "[1]");
    assert_format("D90001816101", "{a: 1}");
    assert_format("DA00000001816101", "{a: 1}");
}

struct refusal {
    const char *hex;
    int error;
};

static void assert_refused(const struct refusal *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(status_of_hex(cases[i].hex), cases[i].error);
        /* The same inside of a list, which is walked, and inside of a map. */
        char inside[512];
        (void)snprintf(inside, sizeof(inside), "91%s", cases[i].hex);
        assert_int_equal(status_of_hex(inside), cases[i].error);
        (void)snprintf(inside, sizeof(inside), "A18161%s", cases[i].hex);
        assert_int_equal(status_of_hex(inside), cases[i].error);
    }
}

static void fields_of_other_types_are_refused(void **state)
{
    (void)state;
    static const struct refusal cases[] = {
        {"B1448161", BP_E_TYPE},                     /* Date of a string */
        {"B144C10000000000000000", BP_E_TYPE},       /* of a float */
        {"B144C0", BP_E_TYPE},                       /* of null */
        {"B254018161", BP_E_TYPE},                   /* Time */
        {"B1748161", BP_E_TYPE},                     /* LocalTime */
        {"B26401C3", BP_E_TYPE},                     /* LocalDateTime */
        {"B349010281 61", BP_E_TYPE},                /* DateTime with a zone */
        {"B369010203", BP_E_TYPE},                   /* DateTimeZoneId with an offset */
        {"B346010281 61", BP_E_TYPE},                /* the old two */
        {"B366010203", BP_E_TYPE},                   /* */
        {"B445010203C10000000000000000", BP_E_TYPE}, /* Duration */
        {"B3580101C10000000000000000", BP_E_TYPE},   /* Point with an integer */
        {"B358C10000000000000000C10000000000000000C10000000000000000", BP_E_TYPE},
        {"B25601CC00", BP_E_TYPE},                               /* Vector */
        {"B256CC01C881 61", BP_E_TYPE},                          /* */
        {"B34E 8161 90 A0", BP_E_TYPE},                          /* Node: id */
        {"B34E 01 9101 A0", BP_E_TYPE},                          /* a label that is no string */
        {"B34E 01 A0 A0", BP_E_TYPE},                            /* labels */
        {"B34E 01 90 90", BP_E_TYPE},                            /* properties */
        {"B44E 01 90 A0 01", BP_E_TYPE},                         /* element id */
        {"B34E 01 90 A10101", BP_E_TYPE},                        /* a key that is no string */
        {"B552 01 02 8161 8161 A0", BP_E_TYPE},                  /* Relationship: end */
        {"B552 01 02 03 04 A0", BP_E_TYPE},                      /* type */
        {"B852 01 02 03 8161 A0 8161 8161 C0", BP_E_TYPE},       /* the end's element id */
        {"B372 01 02 A0", BP_E_TYPE},                            /* inside a path: type */
        {"B350 01 90 90", BP_E_TYPE},                            /* Path: no list of nodes */
        {"B350 9101 90 90", BP_E_TYPE},                          /* a node that is an integer */
        {"B350 91B14401 90 90", BP_E_TYPE},                      /* a node that is a date */
        {"B350 91B34E0190A0 91B55201020381 61A0 90", BP_E_TYPE}, /* a bound relationship */
        {"B350 91B34E0190A0 90 928161 00", BP_E_TYPE},           /* an index that is a string */
        {"B43F 01 01 01 A0", BP_E_TYPE},                         /* Unsupported: name */
        {"B43F 8161 01 01 90", BP_E_TYPE},                       /* extra */
    };
    assert_refused(cases, COUNT(cases));
}

static void wrong_field_counts_and_tags_are_refused(void **state)
{
    (void)state;
    static const struct refusal cases[] = {
        {"B044", BP_E_FIELDS},
        {"B2440101", BP_E_FIELDS},
        {"B15401", BP_E_FIELDS},
        {"B2740101", BP_E_FIELDS},
        {"B24901 02", BP_E_FIELDS},
        {"B44901020304", BP_E_FIELDS},
        {"B345010203", BP_E_FIELDS},
        {"B258 01 C10000000000000000", BP_E_FIELDS},
        {"B156CC00", BP_E_FIELDS},
        {"B24E0190", BP_E_FIELDS},
        {"B54E0190A081 6181 61", BP_E_FIELDS},
        {"B652010203 8161 A0 8161", BP_E_FIELDS},
        {"B57201 8161 A0 8161 8161", BP_E_FIELDS},
        {"B25090 90", BP_E_FIELDS},
        {"B33F 8161 01 01", BP_E_FIELDS},
        {"B10101", BP_E_TYPE},
        {"B0FF", BP_E_TYPE},
    };
    assert_refused(cases, COUNT(cases));
}

static void numbers_outside_their_range_are_refused(void **state)
{
    (void)state;
    static const struct refusal cases[] = {
        {"B254FF00", BP_E_PROTOCOL},                      /* Time: -1 ns */
        {"B254CB00004E94914F0000 00", BP_E_PROTOCOL},     /* a whole day */
        {"B254 00 CB0000000080000000", BP_E_PROTOCOL},    /* offset: 2^31 */
        {"B254 00 CBFFFFFFFF7FFFFFFF", BP_E_PROTOCOL},    /* -2^31 - 1 */
        {"B174FF", BP_E_PROTOCOL},                        /* LocalTime */
        {"B264 00 FF", BP_E_PROTOCOL},                    /* nanoseconds: -1 */
        {"B264 00 CA3B9ACA00", BP_E_PROTOCOL},            /* 10^9 */
        {"B349 00 CA3B9ACA00 00", BP_E_PROTOCOL},         /* */
        {"B349 00 00 CB0000000080000000", BP_E_PROTOCOL}, /* offset */
        {"B369 00 FF 8161", BP_E_PROTOCOL},               /* */
        {"B346 CB8000000000000000 00 01", BP_E_PROTOCOL}, /* -2^63 less 1 */
        {"B346 CB7FFFFFFFFFFFFFFF 00 FF", BP_E_PROTOCOL}, /* 2^63 - 1 and 1 */
        {"B445 00 00 00 FF", BP_E_PROTOCOL},              /* Duration */
        {"B445 00 00 00 CA3B9ACA00", BP_E_PROTOCOL},      /* */
        {"B358 CB0000000080000000 C10000000000000000 C10000000000000000", BP_E_PROTOCOL},
        {"B256 CC01C0 CC00", BP_E_PROTOCOL},            /* Vector of nulls */
        {"B256 CC00 CC00", BP_E_PROTOCOL},              /* of nothing */
        {"B256 CC02C8C8 CC00", BP_E_PROTOCOL},          /* of two types */
        {"B256 CC01C9 CC03010203", BP_E_PROTOCOL},      /* one item and a half */
        {"B350 90 90 90", BP_E_PROTOCOL},               /* Path without a node */
        {"B350 91B34E0190A0 90 9101", BP_E_PROTOCOL},   /* half a step */
        {"B350 91B34E0190A0 90 920100", BP_E_PROTOCOL}, /* no such relationship */
        {"B350 91B34E0190A0 91B372018152A0 920000", BP_E_PROTOCOL},
        {"B350 91B34E0190A0 91B372018152A0 920200", BP_E_PROTOCOL},
        {"B350 91B34E0190A0 91B372018152A0 92FE00", BP_E_PROTOCOL},
        {"B350 91B34E0190A0 91B372018152A0 92CB800000000000000000", BP_E_PROTOCOL},
        {"B350 91B34E0190A0 91B372018152A0 920101", BP_E_PROTOCOL}, /* no such node */
        {"B350 91B34E0190A0 91B372018152A0 9201FF", BP_E_PROTOCOL},
    };
    assert_refused(cases, COUNT(cases));
}

static void reserved_markers_and_false_lengths_are_refused(void **state)
{
    (void)state;
    static const uint8_t reserved[] = {0xc4, 0xc5, 0xc6, 0xc7, 0xcf, 0xd3, 0xd7,
                                       0xdb, 0xdc, 0xdd, 0xde, 0xdf, 0xe1, 0xef};
    for (size_t i = 0; i < COUNT(reserved); i++) {
        const uint8_t bytes[] = {0x91, reserved[i]};
        assert_int_equal(status_of(bytes + 1, 1), BP_E_MARKER);
        assert_int_equal(status_of(bytes, 2), BP_E_MARKER);
    }
    static const struct refusal cases[] = {
        {"D2FFFFFFFF", BP_E_SIZE},      {"D6FFFFFFFF", BP_E_SIZE},
        {"DAFFFFFFFF", BP_E_SIZE},      {"CEFFFFFFFF", BP_E_SIZE},
        {"D27FFFFFFF", BP_E_TRUNCATED}, {"D67FFFFFFF", BP_E_TRUNCATED},
        {"DA7FFFFFFF", BP_E_TRUNCATED}, {"D502 0101", BP_E_TRUNCATED},
        {"A10101", BP_E_TYPE},          {"A1C001", BP_E_TYPE},
    };
    assert_refused(cases, COUNT(cases));
}

static void depth_ends_where_the_packstream_reader_ends(void **state)
{
    (void)state;
    uint8_t data[BPI_PACK_DEPTH_MAX + 16];
    memset(data, 0x91, sizeof(data));
    data[BPI_PACK_DEPTH_MAX] = 0x01;
    assert_int_equal(status_of(data, BPI_PACK_DEPTH_MAX + 1), 0);
    struct bpi_pack_reader reader;
    bpi_pack_reader_init(&reader, data, BPI_PACK_DEPTH_MAX + 1);
    assert_int_equal(bpi_pack_skip(&reader, &bpi_pack_limits_open), 0);
    /* One container more, of each kind. */
    static const char *const last[] = {"90", "A0", "B14401", "B34E0190A0", "B1449090"};
    for (size_t i = 0; i < COUNT(last); i++) {
        struct bytes bytes = bytes_of(last[i]);
        memcpy(data + BPI_PACK_DEPTH_MAX, bytes.data, bytes.size);
        assert_int_equal(status_of(data, BPI_PACK_DEPTH_MAX + bytes.size), BP_E_DEPTH);
        bytes_free(&bytes);
    }
    /* A node whose labels are too deep. */
    struct bytes node = bytes_of("B34E0190A0");
    memcpy(data + BPI_PACK_DEPTH_MAX - 1, node.data, node.size);
    assert_int_equal(status_of(data, BPI_PACK_DEPTH_MAX - 1 + node.size), BP_E_DEPTH);
    memcpy(data + BPI_PACK_DEPTH_MAX - 2, node.data, node.size);
    assert_int_equal(status_of(data, BPI_PACK_DEPTH_MAX - 2 + node.size), 0);
    bytes_free(&node);
}

/* The walk has patterns of its own for the fields of structures; the table of all versions is the source. */
static void structures_have_the_fields_of_some_version(void **state)
{
    (void)state;
    for (unsigned tag = 0; tag < 256; tag++) {
        for (unsigned fields = 0; fields <= 15; fields++) {
            bool is_known = false;
            static const bpi_bolt_version versions[] = {BPI_BOLT(4, 4), BPI_BOLT(5, 8),
                                                        BPI_BOLT(6, 1)};
            for (size_t i = 0; i < 2 * COUNT(versions); i++) {
                is_known =
                    is_known || (fields > 0 && bpi_bolt_struct_fields((uint8_t)tag, versions[i / 2],
                                                                      i % 2 != 0) == fields);
            }
            uint8_t data[2 + 15] = {(uint8_t)(0xb0 | fields), (uint8_t)tag};
            memset(data + 2, 0xc0, 15);
            int expected = is_known ? BP_E_TYPE : BP_E_FIELDS;
            if (bpi_bolt_struct_name((uint8_t)tag) == NULL) {
                expected = BP_E_TYPE;
            }
            assert_int_equal(status_of(data, 2 + fields), expected);
        }
    }
}

/* ---- views ---- */

static void lists_and_maps_are_gone_through(void **state)
{
    (void)state;
    struct bytes bytes = bytes_of("A3 8161 93 01 9102 A0 8162 C0 8163 B14401");
    struct bp_value map = value_in(&bytes);
    assert_int_equal(map.count, 3);
    struct bp_iter iter;
    struct bp_text key;
    struct bp_value value;
    assert_int_equal(bp_iter_init(&iter, &map), 0);
    assert_int_equal(bp_iter_next(&iter, &key, &value), 1);
    assert_bp_text(key, "a");
    assert_int_equal(value.type, BP_TYPE_LIST);
    assert_int_equal(value.count, 3);
    struct bp_value item;
    assert_int_equal(bp_value_at(&value, 2, &item), 1);
    assert_int_equal(item.type, BP_TYPE_MAP);
    assert_int_equal(bp_value_at(&value, 1, &item), 1);
    assert_int_equal(item.type, BP_TYPE_LIST);
    assert_int_equal(bp_value_at(&value, 3, &item), 0);
    assert_int_equal(bp_iter_next(&iter, NULL, &value), 1);
    assert_int_equal(bp_iter_next(&iter, &key, &value), 1);
    assert_bp_text(key, "c");
    assert_int_equal(value.as.date.days, 1);
    assert_int_equal(bp_iter_next(&iter, &key, &value), 0);
    assert_int_equal(bp_iter_next(&iter, &key, &value), 0);
    assert_int_equal(bp_value_get(&map, "c", &value), 1);
    assert_int_equal(value.type, BP_TYPE_DATE);
    assert_int_equal(bp_value_get(&map, "b", &value), 1);
    assert_int_equal(value.type, BP_TYPE_NULL);
    assert_int_equal(bp_value_get(&map, "", &value), 0);
    assert_int_equal(bp_value_get(&map, "cc", &value), 0);
    bytes_free(&bytes);
}

static void other_types_are_refused_by_each_function(void **state)
{
    (void)state;
    struct bytes bytes = bytes_of("01");
    struct bp_value value = value_in(&bytes);
    struct bp_iter iter;
    struct bp_value unused;
    struct bp_node node;
    struct bp_relationship relationship;
    struct bp_path_step step;
    int64_t integer;
    double real;
    assert_int_equal(bp_iter_init(&iter, &value), BP_E_TYPE);
    assert_int_equal(bp_value_get(&value, "a", &unused), BP_E_TYPE);
    assert_int_equal(bp_value_at(&value, 0, &unused), BP_E_TYPE);
    assert_int_equal(bp_value_node(&value, &node), BP_E_TYPE);
    assert_int_equal(bp_value_relationship(&value, &relationship), BP_E_TYPE);
    assert_int_equal(bp_value_path_step(&value, 0, &step), BP_E_TYPE);
    assert_int_equal(bp_value_vector_type(&value), BP_E_TYPE);
    assert_int_equal(bp_value_vector_int(&value, 0, &integer), BP_E_TYPE);
    assert_int_equal(bp_value_vector_float(&value, 0, &real), BP_E_TYPE);
    bytes_free(&bytes);
}

static void nodes_of_both_generations_have_their_parts(void **state)
{
    (void)state;
    static const char *const cases[] = {"B34E 01 9281418142 A18161C3",
                                        "B44E 01 9281418142 A18161C3 85343A783A31"};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct bytes bytes = bytes_of(cases[i]);
        struct bp_value value = value_in(&bytes);
        struct bp_node node;
        struct bp_value item;
        assert_int_equal(value.count, 2);
        assert_int_equal(bp_value_node(&value, &node), 0);
        assert_int_equal(node.id, 1);
        assert_int_equal(node.labels.count, 2);
        assert_int_equal(bp_value_at(&node.labels, 1, &item), 1);
        assert_bp_text(item.as.text, "B");
        assert_int_equal(bp_value_get(&node.properties, "a", &item), 1);
        assert_int_equal(item.as.boolean, 1);
        assert_int_equal(bp_value_get(&value, "a", &item), 1);
        assert_int_equal(item.as.boolean, 1);
        assert_int_equal(bp_value_get(&value, "b", &item), 0);
        if (i == 0) {
            assert_null(node.element_id.data);
        } else {
            assert_bp_text(node.element_id, "4:x:1");
        }
        bytes_free(&bytes);
    }
}

static void relationships_of_both_generations_have_their_parts(void **state)
{
    (void)state;
    static const char *const cases[] = {"B552 07 01 02 8152 A1816105",
                                        "B852 07 01 02 8152 A1816105 8137 8131 8132",
                                        "B372 07 8152 A1816105", "B472 07 8152 A1816105 8137"};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct bytes bytes = bytes_of(cases[i]);
        struct bp_value value = value_in(&bytes);
        struct bp_relationship relationship;
        struct bp_value item;
        assert_int_equal(bp_value_relationship(&value, &relationship), 0);
        assert_int_equal(relationship.id, 7);
        assert_int_equal(relationship.start_id, i < 2 ? 1 : -1);
        assert_int_equal(relationship.end_id, i < 2 ? 2 : -1);
        assert_bp_text(relationship.type, "R");
        assert_int_equal(relationship.properties.count, 1);
        assert_int_equal(bp_value_get(&value, "a", &item), 1);
        assert_int_equal(item.as.integer, 5);
        assert_int_equal(relationship.element_id.data != NULL, i % 2 == 1);
        assert_int_equal(relationship.start_element_id.data != NULL, i == 1);
        assert_int_equal(relationship.end_element_id.data != NULL, i == 1);
        if (i == 1) {
            assert_bp_text(relationship.element_id, "7");
            assert_bp_text(relationship.start_element_id, "1");
            assert_bp_text(relationship.end_element_id, "2");
        }
        bytes_free(&bytes);
    }
}

/* (:A)-[:R]->(:B)<-[:S]-(:A)<-[:R]-(:B): a node and a relationship twice, and back to the first of the lists. */
#define PATH                                                                                       \
    "B350 92 B44E 01 918141 A0 8131 B44E 02 918142 A0 8132"                                        \
    "92 B472 07 8152 A0 8137 B472 08 8153 A0 8138"                                                 \
    "96 01 01 FE 00 FF 01"

static void paths_are_walked_step_by_step(void **state)
{
    (void)state;
    static const struct {
        int64_t node;
        int64_t relationship;
        int is_reversed;
    } steps[] = {{1, 7, 0}, {2, 8, 1}, {1, 7, 1}, {2, -1, 0}};
    struct bytes bytes = bytes_of(PATH);
    struct bp_value path = value_in(&bytes);
    assert_int_equal(path.type, BP_TYPE_PATH);
    assert_int_equal(path.count, 3);
    for (uint32_t i = 0; i < COUNT(steps); i++) {
        struct bp_path_step step;
        struct bp_node node;
        assert_int_equal(bp_value_path_step(&path, i, &step), 1);
        assert_int_equal(bp_value_node(&step.node, &node), 0);
        assert_int_equal(node.id, steps[i].node);
        assert_int_equal(step.is_reversed, steps[i].is_reversed);
        if (steps[i].relationship < 0) {
            assert_int_equal(step.relationship.type, BP_TYPE_NULL);
            continue;
        }
        struct bp_relationship relationship;
        assert_int_equal(bp_value_relationship(&step.relationship, &relationship), 0);
        assert_int_equal(relationship.id, steps[i].relationship);
        assert_int_equal(relationship.start_id, -1);
        assert_int_equal(relationship.end_id, -1);
    }
    struct bp_path_step step;
    assert_int_equal(bp_value_path_step(&path, 4, &step), 0);
    assert_int_equal(bp_value_path_step(&path, UINT32_MAX, &step), 0);
    assert_format(PATH, "(:A)-[:R]->(:B)<-[:S]-(:A)<-[:R]-(:B)");
    bytes_free(&bytes);
}

static void a_path_of_one_node_has_one_step(void **state)
{
    (void)state;
    struct bytes bytes = bytes_of("B350 91 B34E 01 918141 A0 90 90");
    struct bp_value path = value_in(&bytes);
    struct bp_path_step step;
    assert_int_equal(path.count, 0);
    assert_int_equal(bp_value_path_step(&path, 0, &step), 1);
    assert_int_equal(step.node.type, BP_TYPE_NODE);
    assert_int_equal(step.relationship.type, BP_TYPE_NULL);
    assert_int_equal(bp_value_path_step(&path, 1, &step), 0);
    bytes_free(&bytes);
}

/* A path inside of a path's properties: each has lists and indices of its own. */
static void paths_inside_of_paths_keep_their_own_ranges(void **state)
{
    (void)state;
    assert_int_equal(status_of_hex("B350 91 B34E 01 90 A1 8170"
                                   "  B350 92 B34E0190A0 B34E0290A0 91 B372018152A0 920101"
                                   "  91 B372018152A0 920100"),
                     0);
    assert_int_equal(status_of_hex("B350 91 B34E 01 90 A1 8170"
                                   "  B350 92 B34E0190A0 B34E0290A0 91 B372018152A0 920101"
                                   "  91 B372018152A0 920101"),
                     BP_E_PROTOCOL);
}

/* The count of a node is that of its own labels, also where other nodes and paths lie in its properties. */
static void counts_are_those_of_the_outer_value(void **state)
{
    (void)state;
    static const char *const inner[] = {"B34E 02 93 8142 8143 8144 A0",
                                        "B350 91 B34E0190A0 91 B372018152A0 9401000100"};
    for (size_t i = 0; i < COUNT(inner); i++) {
        char hex[256];
        (void)snprintf(hex, sizeof(hex), "B34E 01 918141 A18170 %s", inner[i]);
        struct bytes bytes = bytes_of(hex);
        assert_int_equal(value_in(&bytes).count, 1);
        bytes_free(&bytes);
    }
}

static void a_path_that_came_to_point_outside_is_refused(void **state)
{
    (void)state;
    struct bytes bytes = bytes_of("B350 91 B34E0190A0 91 B372018152A0 920100");
    struct bp_value path = value_in(&bytes);
    struct bp_path_step step;
    assert_int_equal(bp_value_path_step(&path, 1, &step), 1);
    bytes.data[bytes.size - 1] = 1;
    assert_int_equal(bp_value_path_step(&path, 1, &step), BP_E_PROTOCOL);
    bytes.data[bytes.size - 2] = 2;
    assert_int_equal(bp_value_path_step(&path, 0, &step), BP_E_PROTOCOL);
    bytes.data[bytes.size - 2] = 0;
    assert_int_equal(bp_value_path_step(&path, 0, &step), BP_E_PROTOCOL);
    bytes_free(&bytes);
}

/* The bytes of a view may change under it: an error comes out, and nothing is read outside. */
static void views_of_changed_bytes_give_errors(void **state)
{
    (void)state;
    static const char *const cases[] = {PATH, "B44E 01 918141 A1816101 8131",
                                        "B852 07 01 02 8152 A1816101 8137 8131 8132",
                                        "92 93010203 A1816101", "A2 8161 9101 8162 8163"};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct bytes bytes = bytes_of(cases[i]);
        struct bytes copy = bytes_copy(bytes.data, bytes.size);
        struct bp_value value = value_in(&bytes);
        struct bp_value unchanged = value_in(&copy);
        for (size_t at = 1; at < bytes.size; at++) {
            for (unsigned byte = 0; byte < 256; byte++) {
                uint8_t before = bytes.data[at];
                char text[64];
                struct bp_value other;
                struct bp_path_step step;
                struct bp_node node;
                struct bp_relationship relationship;
                bytes.data[at] = (uint8_t)byte;
                (void)bp_value_format(&value, text, sizeof(text));
                (void)bp_value_get(&value, "b", &other);
                (void)bp_value_at(&value, 1, &other);
                (void)bp_value_path_step(&value, 3, &step);
                (void)!bp_value_node(&value, &node);
                (void)!bp_value_relationship(&value, &relationship);
                assert_true(!bp_value_equal(&value, &unchanged) || byte == before ||
                            bp_value_equal(&unchanged, &value));
                bytes.data[at] = before;
                assert_true(bp_value_equal(&value, &unchanged));
            }
        }
        bytes_free(&bytes);
        bytes_free(&copy);
    }
}

static void vectors_of_each_type_give_their_items(void **state)
{
    (void)state;
    static const struct {
        const char *hex;
        enum bp_vector_type type;
        int64_t integers[2];
        double reals[2];
    } cases[] = {
        {"B256 CC01C8 CC02 7F80", BP_VECTOR_INT8, {127, -128}, {127.0, -128.0}},
        {"B256 CC01C9 CC04 7FFF8000", BP_VECTOR_INT16, {32767, -32768}, {32767.0, -32768.0}},
        {"B256 CC01CA CC08 7FFFFFFF80000000",
         BP_VECTOR_INT32,
         {INT32_MAX, INT32_MIN},
         {2147483647.0, -2147483648.0}},
        {"B256 CC01CB CC10 7FFFFFFFFFFFFFFF8000000000000000",
         BP_VECTOR_INT64,
         {INT64_MAX, INT64_MIN},
         {9223372036854775808.0, -9223372036854775808.0}},
        {"B256 CC01C6 CC08 3F800000C0200000", BP_VECTOR_FLOAT32, {0, 0}, {1.0, -2.5}},
        {"B256 CC01C1 CC10 3FF0000000000000C004000000000000",
         BP_VECTOR_FLOAT64,
         {0, 0},
         {1.0, -2.5}},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct bytes bytes = bytes_of(cases[i].hex);
        struct bp_value value = value_in(&bytes);
        bool is_real = cases[i].type >= BP_VECTOR_FLOAT32;
        int64_t integer;
        double real;
        assert_int_equal(value.count, 2);
        assert_int_equal(bp_value_vector_type(&value), cases[i].type);
        for (uint32_t k = 0; k < 2; k++) {
            int error = bp_value_vector_int(&value, k, &integer);
            assert_int_equal(error, is_real ? BP_E_TYPE : 0);
            assert_true(is_real || integer == cases[i].integers[k]);
            assert_int_equal(bp_value_vector_float(&value, k, &real), 0);
            assert_true(real == cases[i].reals[k]);
        }
        assert_int_equal(bp_value_vector_float(&value, 2, &real), BP_E_USAGE);
        assert_int_equal(bp_value_vector_int(&value, 2, &integer),
                         is_real ? BP_E_TYPE : BP_E_USAGE);
        value.count = 1;
        assert_int_equal(bp_value_vector_float(&value, 1, &real), BP_E_USAGE);
        bytes_free(&bytes);
    }
    struct bytes bytes = bytes_of("B256 CC01C1 CC00");
    struct bp_value value = value_in(&bytes);
    assert_int_equal(value.count, 0);
    assert_format("B256 CC01C1 CC00", "vector([], 0, FLOAT64)");
    bytes_free(&bytes);
}

/* ---- equality ---- */

static int equal_hex(const char *a, const char *b)
{
    struct bytes bytes_a = bytes_of(a);
    struct bytes bytes_b = bytes_of(b);
    struct bp_value value_a = value_in(&bytes_a);
    struct bp_value value_b = value_in(&bytes_b);
    int equal = bp_value_equal(&value_a, &value_b);
    /* Whoever is asked first. */
    assert_int_equal(bp_value_equal(&value_b, &value_a), equal);
    bytes_free(&bytes_a);
    bytes_free(&bytes_b);
    return equal;
}

static void different_values_are_unequal_and_each_equals_itself(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(vectors); i++) {
        for (size_t k = 0; k < COUNT(vectors); k++) {
            /* The page says some things twice, in forms of two generations. */
            bool same_instant =
                strcmp(vectors[i].text, vectors[k].text) == 0 && vectors[i].hex[1] != 'E';
            bool is_relationship = vectors[i].type == BP_TYPE_RELATIONSHIP;
            bool is_node = vectors[i].type == BP_TYPE_NODE;
            int expected = i == k || (same_instant && !is_relationship && !is_node);
            assert_int_equal(equal_hex(vectors[i].hex, vectors[k].hex), expected);
            char list_i[512];
            char list_k[512];
            (void)snprintf(list_i, sizeof(list_i), "9201%s", vectors[i].hex);
            (void)snprintf(list_k, sizeof(list_k), "92C801%s", vectors[k].hex);
            assert_int_equal(equal_hex(list_i, list_k), expected);
        }
    }
}

static void maps_are_equal_in_any_order(void **state)
{
    (void)state;
    assert_true(equal_hex("A2 816101 816202", "A2 816202 816101"));
    assert_false(equal_hex("A2 816101 816202", "A2 816201 816102"));
    assert_false(equal_hex("A2 816101 816202", "A2 816101 816302"));
    assert_false(equal_hex("A1 816101", "A2 816101 816202"));
    assert_true(
        equal_hex("92 A3 8161A1816101 816290 8163C0 05", "92 A3 8163C0 816290 8161A1816101 05"));
    assert_false(
        equal_hex("92 A3 8161A1816101 816290 8163C0 05", "92 A3 8163C0 816290 8161A1816101 06"));
    /* Scattered maps inside of scattered maps, with something behind each. */
    assert_true(equal_hex("93 A2 8161 A2 816B01 816C02 8162 9103 A1816105 07",
                          "93 A2 8162 9103 8161 A2 816C02 816B01 A1816105 07"));
    assert_true(equal_hex("B34E 01 90 A2 816101 816202", "B34E 01 90 A2 816202 816101"));
}

static void a_key_that_is_there_twice_makes_scattered_maps_unequal(void **state)
{
    (void)state;
    assert_true(equal_hex("A2 816101 816102", "A2 816101 816102"));
    assert_false(equal_hex("A3 817801 816B01 816B01", "A3 816B01 817801 816B02"));
    assert_false(equal_hex("A3 816B01 816B01 817801", "A3 817801 816B01 816A01"));
}

static void numbers_are_equal_by_their_bits(void **state)
{
    (void)state;
    assert_false(equal_hex("C10000000000000000", "C18000000000000000"));
    assert_true(equal_hex("C17FF8000000000000", "C17FF8000000000001"));
    assert_true(equal_hex("91C17FF8000000000000", "91C1FFF8000000000001"));
    assert_false(equal_hex("01", "C13FF0000000000000"));
    assert_true(equal_hex("05", "CB0000000000000005"));
    assert_true(equal_hex("B256 CC01C6 CC04 7FC00000", "B256 CC01C6 CC04 7FC00001"));
    assert_false(equal_hex("B256 CC01C6 CC04 00000000", "B256 CC01C6 CC04 80000000"));
    assert_false(equal_hex("B256 CC01C8 CC01 01", "B256 CC01C8 CC01 02"));
    assert_false(equal_hex("B358 01 C10000000000000000 C10000000000000000",
                           "B358 01 C10000000000000000 C18000000000000000"));
}

static void deep_values_are_compared_to_the_last_level(void **state)
{
    (void)state;
    enum { DEPTH = BPI_PACK_DEPTH_MAX };
    uint8_t a[DEPTH + 2];
    uint8_t b[DEPTH + 2];
    memset(a, 0x91, sizeof(a));
    memset(b, 0x91, sizeof(b));
    /* Another form of the same number, so that the bytes differ. */
    a[DEPTH] = 0xc8;
    a[DEPTH + 1] = 0x05;
    b[DEPTH] = 0x05;
    struct bytes bytes_a = bytes_copy(a, DEPTH + 2);
    struct bytes bytes_b = bytes_copy(b, DEPTH + 1);
    struct bp_value value_a = value_in(&bytes_a);
    struct bp_value value_b = value_in(&bytes_b);
    assert_true(bp_value_equal(&value_a, &value_b));
    bytes_a.data[DEPTH + 1] = 0x06;
    assert_false(bp_value_equal(&value_a, &value_b));
    bytes_free(&bytes_a);
    bytes_free(&bytes_b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_value_of_the_protocol_is_read),
        cmocka_unit_test(every_cut_of_a_value_is_an_error),
        cmocka_unit_test(each_type_has_a_name),
        cmocka_unit_test(a_record_fills_its_columns),
        cmocka_unit_test(empty_texts_have_an_address),
        cmocka_unit_test(wider_forms_than_needed_are_read),
        cmocka_unit_test(fields_of_other_types_are_refused),
        cmocka_unit_test(wrong_field_counts_and_tags_are_refused),
        cmocka_unit_test(numbers_outside_their_range_are_refused),
        cmocka_unit_test(reserved_markers_and_false_lengths_are_refused),
        cmocka_unit_test(depth_ends_where_the_packstream_reader_ends),
        cmocka_unit_test(structures_have_the_fields_of_some_version),
        cmocka_unit_test(lists_and_maps_are_gone_through),
        cmocka_unit_test(other_types_are_refused_by_each_function),
        cmocka_unit_test(nodes_of_both_generations_have_their_parts),
        cmocka_unit_test(relationships_of_both_generations_have_their_parts),
        cmocka_unit_test(paths_are_walked_step_by_step),
        cmocka_unit_test(a_path_of_one_node_has_one_step),
        cmocka_unit_test(paths_inside_of_paths_keep_their_own_ranges),
        cmocka_unit_test(counts_are_those_of_the_outer_value),
        cmocka_unit_test(a_path_that_came_to_point_outside_is_refused),
        cmocka_unit_test(views_of_changed_bytes_give_errors),
        cmocka_unit_test(vectors_of_each_type_give_their_items),
        cmocka_unit_test(different_values_are_unequal_and_each_equals_itself),
        cmocka_unit_test(maps_are_equal_in_any_order),
        cmocka_unit_test(a_key_that_is_there_twice_makes_scattered_maps_unequal),
        cmocka_unit_test(numbers_are_equal_by_their_bits),
        cmocka_unit_test(deep_values_are_compared_to_the_last_level),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
