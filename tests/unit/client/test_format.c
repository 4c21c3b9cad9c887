/* Shows what values look like as text, in particular where Neo4j's own toString() is the model, and that no text is
 * ever cut inside a character, is longer than its place, or holds bytes that are no UTF-8.
 */
#include <boltpool/value.h>

#include "client/value.h"

#include <boltpool/error.h>

#include "tests/unit/client/values.h"

#include <float.h>
#include <math.h>

static void assert_shown(struct bp_value value, const char *expected)
{
    char text[1024];
    assert_string_equal(text_in(&value, text), expected);
}

static void assert_real(double real, const char *expected)
{
    assert_shown((struct bp_value){.type = BP_TYPE_FLOAT, .as.real = real}, expected);
}

static void assert_string(const char *string, size_t size, const char *expected)
{
    /* Without a zero, so that the sanitizer sees every step behind it. */
    struct bytes bytes = bytes_copy(string, size);
    struct bp_value value = {.type = BP_TYPE_STRING,
                             .as.text = {(const char *)bytes.data, bytes.size}};
    assert_shown(value, expected);
    bytes_free(&bytes);
}

static void assert_duration(
    int64_t months, int64_t days, int64_t seconds, int32_t nanoseconds, const char *expected)
{
    struct bp_value value = {.type = BP_TYPE_DURATION,
                             .as.duration = {months, days, seconds, nanoseconds}};
    assert_shown(value, expected);
}

static void assert_date(int64_t days, const char *expected)
{
    assert_shown((struct bp_value){.type = BP_TYPE_DATE, .as.date = {days}}, expected);
}

static void floats_have_the_fewest_digits_that_read_back(void **state)
{
    (void)state;
    assert_real(0.0, "0.0");
    assert_real(-0.0, "-0.0");
    assert_real(1.0, "1.0");
    assert_real(-2.5, "-2.5");
    assert_real(0.1, "0.1");
    assert_real(0.1 + 0.2, "0.30000000000000004");
    assert_real(1.0 / 3.0, "0.3333333333333333");
    assert_real(100.0, "100.0");
    assert_real(1234567.0, "1234567.0");
    assert_real(1234567.875, "1234567.875");
    assert_real(9999999.0, "9999999.0");
    assert_real(10000000.0, "1.0E7");
    assert_real(12345678.0, "1.2345678E7");
    assert_real(0.001, "0.001");
    assert_real(0.00125, "0.00125");
    assert_real(0.0009, "9.0E-4");
    assert_real(1e21, "1.0E21");
    assert_real(-1.5e-7, "-1.5E-7");
    assert_real(9007199254740993.0, "9.007199254740992E15");
    assert_real(DBL_MAX, "1.7976931348623157E308");
    assert_real(DBL_MIN, "2.2250738585072014E-308");
    assert_real(5e-324, "5.0E-324");
    assert_real(1.5e-322, "1.5E-322");
    assert_real((double)NAN, "NaN");
    assert_real(-(double)NAN, "NaN");
    assert_real((double)INFINITY, "Infinity");
    assert_real(-(double)INFINITY, "-Infinity");
}

/* A vector of one float of 32 bits. */
static void assert_single(float real, const char *expected)
{
    uint32_t bits;
    memcpy(&bits, &real, sizeof(bits));
    const uint8_t item[4] = {(uint8_t)(bits >> 24), (uint8_t)(bits >> 16), (uint8_t)(bits >> 8),
                             (uint8_t)bits};
    struct bp_value value = {
        .type = BP_TYPE_VECTOR, .count = 1, .as.inside = {item, 4, BP_VECTOR_FLOAT32}};
    char text[128];
    (void)snprintf(text, sizeof(text), "vector([%s], 1, FLOAT32)", expected);
    assert_shown(value, text);
}

static void small_floats_have_the_digits_of_their_size(void **state)
{
    (void)state;
    assert_single(0.1F, "0.1");
    assert_single(1.0F / 3.0F, "0.33333334");
    assert_single(16777216.0F, "1.6777216E7");
    assert_single(FLT_MAX, "3.4028235E38");
    assert_single(FLT_MIN, "1.1754944E-38");
    assert_single(1e-45F, "1.0E-45");
    assert_single(-NAN, "NaN");
}

static void dates_follow_iso_8601(void **state)
{
    (void)state;
    assert_date(0, "1970-01-01");
    assert_date(-1, "1969-12-31");
    assert_date(58, "1970-02-28");
    assert_date(59, "1970-03-01");
    assert_date(11016, "2000-02-29");
    assert_date(11017, "2000-03-01");
    assert_date(47540, "2100-02-28");
    assert_date(47541, "2100-03-01");
    assert_date(-719528, "0000-01-01");
    assert_date(-719529, "-0001-12-31");
    assert_date(2932896, "9999-12-31");
    assert_date(2932897, "+10000-01-01");
    assert_date(365241780471, "+999999999-12-31");
    assert_date(-365243219162, "-999999999-01-01");
    /* Beyond what a server has, but the wire can say it. */
    assert_date(INT64_MAX, "+25252734927768524-07-27");
    assert_date(INT64_MIN, "-25252734927764585-06-07");
}

static void times_have_fractions_and_offsets_as_needed(void **state)
{
    (void)state;
    static const struct {
        int64_t nanoseconds;
        int32_t offset_s;
        const char *text;
    } cases[] = {
        {0, 0, "00:00:00Z"},
        {86399999999999, 0, "23:59:59.999999999Z"},
        {43200500000000, 3600, "12:00:00.5+01:00"},
        {1, -3600, "00:00:00.000000001-01:00"},
        {100, -5400, "00:00:00.0000001-01:30"},
        {0, 64800, "00:00:00+18:00"},
        {0, -1, "00:00:00-00:00:01"},
        {0, 3661, "00:00:00+01:01:01"},
        {0, INT32_MIN, "00:00:00-596523:14:08"},
        {0, INT32_MAX, "00:00:00+596523:14:07"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct bp_value value = {.type = BP_TYPE_TIME,
                                 .as.time = {cases[i].nanoseconds, cases[i].offset_s}};
        assert_shown(value, cases[i].text);
    }
    struct bp_value value = {.type = BP_TYPE_LOCAL_TIME, .as.time = {3723000001000, 99}};
    assert_shown(value, "01:02:03.000001");
}

static void date_times_are_shown_where_their_offset_is(void **state)
{
    (void)state;
    static const struct {
        enum bp_type type;
        struct bp_date_time date_time;
        const char *text;
    } cases[] = {
        {BP_TYPE_DATE_TIME, {.seconds = 0}, "1970-01-01T00:00:00Z"},
        {BP_TYPE_DATE_TIME, {.seconds = -1, .offset_s = 3600}, "1970-01-01T00:59:59+01:00"},
        {BP_TYPE_DATE_TIME, {.seconds = 0, .offset_s = -60}, "1969-12-31T23:59:00-00:01"},
        {BP_TYPE_DATE_TIME,
         {.seconds = INT64_MAX, .offset_s = INT32_MAX},
         "+292277026664-12-23T18:44:14+596523:14:07"},
        {BP_TYPE_DATE_TIME,
         {.seconds = INT64_MIN, .offset_s = INT32_MIN},
         "-292277022725-01-08T05:15:44-596523:14:08"},
        {BP_TYPE_DATE_TIME, {.zone = {"Europe/Paris", 12}}, "1970-01-01T00:00:00Z[Europe/Paris]"},
        {BP_TYPE_DATE_TIME,
         {.zone = {"Europe/Paris", 12}, .is_local = 1},
         "1970-01-01T00:00:00[Europe/Paris]"},
        {BP_TYPE_DATE_TIME, {.zone = {"a\n\xff", 3}}, "1970-01-01T00:00:00Z[a\\u000A\xef\xbf\xbd]"},
        {BP_TYPE_LOCAL_DATE_TIME,
         {.seconds = -62167219201, .nanoseconds = 120000000, .offset_s = 7},
         "-0001-12-31T23:59:59.12"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct bp_value value = {.type = cases[i].type, .as.date_time = cases[i].date_time};
        assert_shown(value, cases[i].text);
    }
}

static void durations_look_as_in_neo4j(void **state)
{
    (void)state;
    assert_duration(0, 0, 0, 0, "PT0S");
    assert_duration(1, -2, 3, 4, "P1M-2DT3.000000004S");
    assert_duration(14, 0, 0, 0, "P1Y2M");
    assert_duration(-14, 0, 0, 0, "P-1Y-2M");
    assert_duration(12, 3, 0, 0, "P1Y3D");
    assert_duration(0, 0, 3661, 0, "PT1H1M1S");
    assert_duration(0, 0, 3600, 0, "PT1H");
    assert_duration(0, 0, 0, 500000000, "PT0.5S");
    assert_duration(0, 0, -1, 500000000, "PT-0.5S");
    assert_duration(0, 0, -2, 500000000, "PT-1.5S");
    assert_duration(0, 0, -61, 0, "PT-1M-1S");
    assert_duration(0, 0, -3601, 999999999, "PT-1H-0.000000001S");
    assert_duration(0, 0, 60, 1, "PT1M0.000000001S");
    assert_duration(0, 0, INT64_MIN, 0, "PT-2562047788015215H-30M-8S");
    assert_duration(
        INT64_MIN, INT64_MIN, INT64_MAX, 999999999,
        "P-768614336404564650Y-8M-9223372036854775808DT2562047788015215H30M7.999999999S");
    /* A caller's own, which no server would send. */
    assert_duration(0, 0, 0, -1, "PT-0.000000001S");
    assert_duration(0, 0, 1, 1000000000, "PT2S");
}

static void strings_are_quoted_and_escaped(void **state)
{
    (void)state;
    assert_string("", 0, "\"\"");
    assert_string("a'b`c", 5, "\"a'b`c\"");
    assert_string("a\"b\\c", 5, "\"a\\\"b\\\\c\"");
    assert_string("\b\t\n\f\r", 5, "\"\\b\\t\\n\\f\\r\"");
    assert_string("\0\x01\x1f\x7f", 4, "\"\\u0000\\u0001\\u001F\\u007F\"");
    assert_string("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 9,
                  "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"");
}

static void bytes_that_are_no_utf8_are_replaced(void **state)
{
    (void)state;
    static const char *const broken[] = {"\xff",     "\x80",     "\xc3",         "\xc0",
                                         "\xed\xa0", "\xe2\x82", "\xf0\x9f\x98", "\xf5"};
    for (size_t i = 0; i < COUNT(broken); i++) {
        char text[128] = "\"";
        for (size_t k = 0; k < strlen(broken[i]); k++) {
            memcpy(text + strlen(text), "\xef\xbf\xbd", 4);
        }
        memcpy(text + strlen(text), "\"", 2);
        assert_string(broken[i], strlen(broken[i]), text);
    }
    assert_string("a\xff\xc3\xa9z", 5, "\"a\xef\xbf\xbd\xc3\xa9z\"");
}

static void names_are_quoted_where_they_are_no_identifiers(void **state)
{
    (void)state;
    assert_format("A1 8161 01", "{a: 1}");
    assert_format("A1 8461427A5F 01", "{aBz_: 1}");
    assert_format("A1 825F39 01", "{_9: 1}");
    assert_format("A1 823961 01", "{`9a`: 1}");
    assert_format("A1 80 01", "{``: 1}");
    assert_format("A1 83612062 01", "{`a b`: 1}");
    assert_format("A1 83616062 01", "{`a``b`: 1}");
    assert_format("A1 83615C62 01", "{`a\\b`: 1}");
    assert_format("A1 83610A62 01", "{`a\\u000Ab`: 1}");
    assert_format("A1 82C3A9 01", "{`\xc3\xa9`: 1}");
    assert_format("A1 81FF 01", "{`\xef\xbf\xbd`: 1}");
    assert_format("B34E 01 92 8161 83622063 A0", "(:a:`b c`)");
    assert_format("B552 01 02 03 83622063 A0", "[:`b c`]");
}

static void nodes_and_relationships_leave_out_what_they_lack(void **state)
{
    (void)state;
    assert_format("B34E 01 90 A0", "()");
    assert_format("B34E 01 9181 41 A18161 9101", "(:A {a: [1]})");
    assert_format("B34E 01 90 A18161 C0", "({a: null})");
    assert_format("B552 01 02 03 8152 A28161018162 8162", "[:R {a: 1, b: \"b\"}]");
    assert_format("B350 91 B34E0190A0 90 90", "()");
}

static void unsupported_values_show_their_names(void **state)
{
    (void)state;
    assert_format("B43F 8A564543544F522833 2C29 06 00 A0", "<VECTOR(3,)>");
    assert_format("B43F 80 06 00 A0", "<>");
}

/* All text that fits, whole characters only, and a zero; the answer is the same for each size. */
static void texts_are_cut_between_characters(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "A2 8161 93 01 8A C3A961E282ACF09F9880 C0 81FF C13FF8000000000000",
        "B350 92 B34E 01 918141 A0 B34E 02 918142 A0 91 B372 07 8152 A1816101 92 FF 01",
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct bytes bytes = bytes_of(cases[i]);
        struct bp_value value = value_in(&bytes);
        char whole[1024];
        int64_t size = bp_value_format(&value, whole, sizeof(whole));
        assert_true(size > 0);
        assert_int_equal(bp_value_format(&value, NULL, 0), size);
        for (size_t room = 1; room < (size_t)size + 3; room++) {
            char *text = malloc(room);
            assert_non_null(text);
            memset(text, 'x', room);
            assert_int_equal(bp_value_format(&value, text, room), size);
            size_t used = strnlen(text, room);
            assert_true(used < room);
            assert_true(bpi_utf8_valid((const uint8_t *)text, used));
            assert_memory_equal(text, whole, used);
            /* At most one character too short. */
            assert_true(used == (size_t)size || used + 4 >= room);
            free(text);
        }
        bytes_free(&bytes);
    }
}

static void what_is_deeper_than_64_levels_is_not_shown(void **state)
{
    (void)state;
    enum { DEPTH = BPI_PACK_DEPTH_MAX };
    static const struct {
        int depth;
        const char *end;
    } cases[] = {{63, "[5]"}, {64, "[5]"}, {65, "[...]"}, {DEPTH, "[...]"}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint8_t data[DEPTH + 1];
        memset(data, 0x91, sizeof(data));
        data[cases[i].depth] = 5;
        struct bytes bytes = bytes_copy(data, (size_t)cases[i].depth + 1);
        struct bp_value value = value_in(&bytes);
        char text[1024];
        (void)text_in(&value, text);
        int shown = cases[i].depth < 64 ? cases[i].depth : 64;
        for (int k = 0; k < shown; k++) {
            assert_int_equal(text[k], '[');
        }
        assert_memory_equal(text + shown - 1, cases[i].end, strlen(cases[i].end));
        bytes_free(&bytes);
    }
}

/* Each path goes four times through its one node, which has the next one: 4 to the power of their number in full. */
static void paths_inside_of_paths_are_not_shown(void **state)
{
    (void)state;
    enum { PATHS = 20 };
    char hex[PATHS * 64 + 4] = "";
    int size = 0;
    for (int i = 0; i < PATHS; i++) {
        size += snprintf(hex + size, sizeof(hex) - (size_t)size, "B350 91 B34E01 90 A18161");
    }
    size += snprintf(hex + size, sizeof(hex) - (size_t)size, "01");
    for (int i = 0; i < PATHS; i++) {
        size += snprintf(hex + size, sizeof(hex) - (size_t)size, "91 B372018152A0 96 010001000100");
    }
    assert_format(hex, "({a: ...})-[:R]->({a: ...})-[:R]->({a: ...})-[:R]->({a: ...})");
}

static void what_is_no_value_is_an_error(void **state)
{
    (void)state;
    char text[16] = "xxxxxxxxxxxxxxx";
    struct bp_value value = {.type = (enum bp_type)BP_TYPE_COUNT};
    assert_int_equal(bp_value_format(&value, text, sizeof(text)), BP_E_TYPE);
    assert_string_equal(text, "");
    value = (struct bp_value){.type = BP_TYPE_UUID, .as.text = {"short", 5}};
    assert_int_equal(bp_value_format(&value, text, sizeof(text)), BP_E_TYPE);
    value = (struct bp_value){
        .type = BP_TYPE_LIST, .count = 2, .as.inside = {(const uint8_t *)"\x01", 1, 0}};
    assert_int_equal(bp_value_format(&value, text, sizeof(text)), BP_E_TRUNCATED);
    value.type = BP_TYPE_VECTOR;
    value.as.inside.kind = 99;
    assert_int_equal(bp_value_format(&value, text, sizeof(text)), BP_E_TYPE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(floats_have_the_fewest_digits_that_read_back),
        cmocka_unit_test(small_floats_have_the_digits_of_their_size),
        cmocka_unit_test(dates_follow_iso_8601),
        cmocka_unit_test(times_have_fractions_and_offsets_as_needed),
        cmocka_unit_test(date_times_are_shown_where_their_offset_is),
        cmocka_unit_test(durations_look_as_in_neo4j),
        cmocka_unit_test(strings_are_quoted_and_escaped),
        cmocka_unit_test(bytes_that_are_no_utf8_are_replaced),
        cmocka_unit_test(names_are_quoted_where_they_are_no_identifiers),
        cmocka_unit_test(nodes_and_relationships_leave_out_what_they_lack),
        cmocka_unit_test(unsupported_values_show_their_names),
        cmocka_unit_test(texts_are_cut_between_characters),
        cmocka_unit_test(what_is_deeper_than_64_levels_is_not_shown),
        cmocka_unit_test(paths_inside_of_paths_are_not_shown),
        cmocka_unit_test(what_is_no_value_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
