/* Shows that a structure is known in exactly the versions that have it, with the fields it has there. */
#include "bolt/value.h"

#include <boltpool/error.h>

#include "tests/unit/bolt/bytes.h"

/* Field counts of each tag: up to 4.2, 4.3 and 4.4, the same with the utc patch, 5.x, 6.x. */
static const struct {
    uint8_t tag;
    const char *name;
    uint32_t v42, v44, v44_utc, v5, v6;
} table[] = {
    {0x4e, "Node", 3, 3, 3, 4, 4},
    {0x52, "Relationship", 5, 5, 5, 8, 8},
    {0x72, "UnboundRelationship", 3, 3, 3, 4, 4},
    {0x50, "Path", 3, 3, 3, 3, 3},
    {0x44, "Date", 1, 1, 1, 1, 1},
    {0x54, "Time", 2, 2, 2, 2, 2},
    {0x74, "LocalTime", 1, 1, 1, 1, 1},
    {0x64, "LocalDateTime", 2, 2, 2, 2, 2},
    {0x49, "DateTime", 0, 0, 3, 3, 3},
    {0x69, "DateTimeZoneId", 0, 0, 3, 3, 3},
    {0x46, "LegacyDateTime", 3, 3, 0, 0, 0},
    {0x66, "LegacyDateTimeZoneId", 3, 3, 0, 0, 0},
    {0x45, "Duration", 4, 4, 4, 4, 4},
    {0x58, "Point2D", 3, 3, 3, 3, 3},
    {0x59, "Point3D", 4, 4, 4, 4, 4},
    {0x56, "Vector", 0, 0, 0, 0, 2},
    {0x3f, "UnsupportedType", 0, 0, 0, 0, 4},
};

static void fields_follow_the_version_and_the_patch(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        uint8_t tag = table[i].tag;
        assert_string_equal(bpi_bolt_struct_name(tag), table[i].name);
        for (unsigned minor = 0; minor <= 4; minor++) {
            bpi_bolt_version version = BPI_BOLT(4, minor);
            bool patchable = bpi_bolt_has_patch(version);
            uint32_t plain = patchable ? table[i].v44 : table[i].v42;
            assert_int_equal(bpi_bolt_struct_fields(tag, version, false), plain);
            assert_int_equal(bpi_bolt_struct_fields(tag, version, true),
                             patchable ? table[i].v44_utc : table[i].v42);
        }
        for (unsigned minor = 0; minor <= 8; minor++) {
            assert_int_equal(bpi_bolt_struct_fields(tag, BPI_BOLT(5, minor), false), table[i].v5);
            assert_int_equal(bpi_bolt_struct_fields(tag, BPI_BOLT(5, minor), true), table[i].v5);
        }
        assert_int_equal(bpi_bolt_struct_fields(tag, BPI_BOLT(6, 0), false), table[i].v6);
        assert_int_equal(bpi_bolt_struct_fields(tag, BPI_BOLT(6, 1), false), table[i].v6);
    }
}

static void every_other_tag_is_unknown(void **state)
{
    (void)state;
    for (unsigned tag = 0; tag < 256; tag++) {
        bool known = false;
        for (size_t i = 0; i < COUNT(table); i++) {
            known = known || table[i].tag == tag;
        }
        assert_int_equal(bpi_bolt_struct_name((uint8_t)tag) != NULL, known);
        assert_int_equal(bpi_bolt_struct_fields((uint8_t)tag, BPI_BOLT_NEWEST, false) != 0,
                         known && tag != 0x46 && tag != 0x66);
    }
}

static int check_status(const char *hex, bpi_bolt_version version, bool utc)
{
    struct bytes bytes = bytes_of(hex);
    struct bpi_pack_reader reader;
    bpi_pack_reader_init(&reader, bytes.data, bytes.size);
    int error = bpi_bolt_value_check(&reader, version, utc, &bpi_pack_limits_open);
    assert_ptr_equal(reader.at, error == 0 ? reader.end : bytes.data);
    bytes_free(&bytes);
    return error;
}

static void values_are_checked_by_version(void **state)
{
    (void)state;
    static const struct {
        const char *hex;
        int v44, v44_utc, v58, v60, v61;
    } cases[] = {
        {"01", 0, 0, 0, 0, 0},
        {"B14401", 0, 0, 0, 0, 0},
        {"B349 C91194 2A C90E10", BP_E_TYPE, 0, 0, 0, 0},
        {"B346 C91FA4 2A C90E10", 0, BP_E_TYPE, BP_E_TYPE, BP_E_TYPE, BP_E_TYPE},
        {"B369 C91194 2A 8C4575726F70652F5061726973", BP_E_TYPE, 0, 0, 0, 0},
        {"B366 C91FA4 2A 8C4575726F70652F5061726973", 0, BP_E_TYPE, BP_E_TYPE, BP_E_TYPE,
         BP_E_TYPE},
        {"B34E 01 918141 A0", 0, 0, BP_E_FIELDS, BP_E_FIELDS, BP_E_FIELDS},
        {"B44E 01 918141 A0 85343A783A31", BP_E_FIELDS, BP_E_FIELDS, 0, 0, 0},
        {"B852 07 01 02 8152 A0 85353A783A37 85343A783A31 85343A783A32", BP_E_FIELDS, BP_E_FIELDS,
         0, 0, 0},
        {"B472 07 8152 A0 85353A783A37", BP_E_FIELDS, BP_E_FIELDS, 0, 0, 0},
        {"B256 CC01C8 CC03010203", BP_E_TYPE, BP_E_TYPE, BP_E_TYPE, 0, 0},
        {"E0 000102030405060708090A0B0C0D0E0F", BP_E_TYPE, BP_E_TYPE, BP_E_TYPE, BP_E_TYPE, 0},
        {"B10100", BP_E_TYPE, BP_E_TYPE, BP_E_TYPE, BP_E_TYPE, BP_E_TYPE},
        {"B2440102", BP_E_FIELDS, BP_E_FIELDS, BP_E_FIELDS, BP_E_FIELDS, BP_E_FIELDS},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(check_status(cases[i].hex, BPI_BOLT(4, 4), false), cases[i].v44);
        assert_int_equal(check_status(cases[i].hex, BPI_BOLT(4, 4), true), cases[i].v44_utc);
        assert_int_equal(check_status(cases[i].hex, BPI_BOLT(5, 8), false), cases[i].v58);
        assert_int_equal(check_status(cases[i].hex, BPI_BOLT(6, 0), false), cases[i].v60);
        assert_int_equal(check_status(cases[i].hex, BPI_BOLT(6, 1), false), cases[i].v61);
    }
}

static void nested_values_are_checked_too(void **state)
{
    (void)state;
    assert_int_equal(check_status("91A18161B14401", BPI_BOLT(5, 8), false), 0);
    assert_int_equal(check_status("91A18161B2440101", BPI_BOLT(5, 8), false), BP_E_FIELDS);
    /* A path of nodes in the form of another version. */
    assert_int_equal(check_status("B350 91 B34E0190A0 90 90", BPI_BOLT(4, 4), false), 0);
    assert_int_equal(check_status("B350 91 B34E0190A0 90 90", BPI_BOLT(5, 0), false), BP_E_FIELDS);
    assert_int_equal(check_status("91C6", BPI_BOLT(6, 1), false), BP_E_MARKER);
    assert_int_equal(check_status("9281", BPI_BOLT(6, 1), false), BP_E_TRUNCATED);
    assert_int_equal(check_status("A10101", BPI_BOLT(6, 1), false), BP_E_TYPE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_follow_the_version_and_the_patch),
        cmocka_unit_test(every_other_tag_is_unknown),
        cmocka_unit_test(values_are_checked_by_version),
        cmocka_unit_test(nested_values_are_checked_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
