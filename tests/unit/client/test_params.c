/* Shows what parameters become on the wire, that what was written reads back as the same values, and what is refused.
 * The random test prints its seed; give it one as the program's argument to see it again.
 */
#include <boltpool/value.h>

#include "base/random.h"
#include "client/value.h"

#include <boltpool/error.h>

#include "tests/unit/client/values.h"

#include <time.h>

static struct bp_params *params_new(void)
{
    struct bp_params *params;
    assert_int_equal(bp_params_new(&params), 0);
    return params;
}

/* The encoded map in an allocation of its own. */
static struct bytes content_of(const struct bp_params *params, unsigned *ret_needs)
{
    struct bpi_bolt_span map;
    unsigned needs;
    assert_int_equal(bpi_params_content(params, &map, &needs), 0);
    if (ret_needs != NULL) {
        *ret_needs = needs;
    }
    return bytes_copy(map.data, map.size);
}

static void assert_content(const struct bp_params *params, const char *hex)
{
    struct bytes content = content_of(params, NULL);
    struct bytes expected = bytes_of(hex);
    assert_int_equal(content.size, expected.size);
    assert_memory_equal(content.data, expected.data, expected.size);
    bytes_free(&content);
    bytes_free(&expected);
}

static void assert_shown(const struct bp_params *params, const char *expected)
{
    char text[1024];
    struct bytes content = content_of(params, NULL);
    struct bp_value value = value_in(&content);
    assert_string_equal(text_in(&value, text), expected);
    bytes_free(&content);
}

/* ---- what is written ---- */

static void no_parameters_are_the_empty_map(void **state)
{
    (void)state;
    struct bp_params *params = params_new();
    assert_content(NULL, "A0");
    assert_content(params, "A0");
    bp_params_free(params);
    bp_params_free(NULL);
}

static void scalars_are_written_in_their_smallest_form(void **state)
{
    (void)state;
    struct bp_params *params = params_new();
    assert_int_equal(bp_params_null(params, "a"), 0);
    assert_int_equal(bp_params_bool(params, "b", 2), 0);
    assert_int_equal(bp_params_int(params, "c", -17), 0);
    assert_int_equal(bp_params_float(params, "d", 1.1), 0);
    assert_int_equal(bp_params_string(params, "e", "\xc3\xa9"), 0);
    assert_int_equal(bp_params_text(params, "f", "ab", 1), 0);
    assert_int_equal(bp_params_bytes(params, "g", "\x01\x02", 2), 0);
    assert_int_equal(bp_params_string(params, "h", NULL), 0);
    assert_int_equal(bp_params_text(params, "i", NULL, 0), 0);
    assert_content(
        params, "A9 8161C0 8162C3 8163C8EF 8164C13FF199999999999A 816582C3A9 81668161 8167CC020102 "
                "8168C0 816980");
    bp_params_free(params);
}

static void the_top_map_has_the_smallest_head(void **state)
{
    (void)state;
    struct bp_params *params = params_new();
    for (uint32_t count = 1; count <= 70000; count++) {
        char key[16];
        (void)snprintf(key, sizeof(key), "%u", (unsigned)count);
        assert_int_equal(bp_params_int(params, key, 0), 0);
        if (count != 15 && count != 16 && count != 255 && count != 256 && count != 65535 &&
            count != 65536) {
            continue;
        }
        struct bpi_bolt_span map;
        unsigned needs;
        assert_int_equal(bpi_params_content(params, &map, &needs), 0);
        uint8_t marker = count <= 15 ? 0xaf : count <= 255 ? 0xd8 : count <= 65535 ? 0xd9 : 0xda;
        assert_int_equal(map.data[0], marker);
        struct bytes content = content_of(params, NULL);
        struct bp_value value = value_in(&content);
        assert_int_equal(value.count, count);
        bytes_free(&content);
    }
    bp_params_free(params);
}

static void containers_stand_between_begin_and_end(void **state)
{
    (void)state;
    struct bp_params *params = params_new();
    assert_int_equal(bp_params_list(params, "ids"), 0);
    assert_int_equal(bp_params_int(params, NULL, 1), 0);
    assert_int_equal(bp_params_map(params, NULL), 0);
    assert_int_equal(bp_params_bool(params, "a", 0), 0);
    assert_int_equal(bp_params_list(params, "b"), 0);
    assert_int_equal(bp_params_end(params), 0);
    assert_int_equal(bp_params_end(params), 0);
    assert_int_equal(bp_params_end(params), 0);
    assert_int_equal(bp_params_map(params, "m"), 0);
    assert_int_equal(bp_params_end(params), 0);
    assert_int_equal(bp_params_int(params, "z", 2), 0);
    assert_content(
        params, "A3 83696473 D600000002 01 DA00000002 8161C2 8162D600000000 816DDA00000000 817A02");
    assert_shown(params, "{ids: [1, {a: false, b: []}], m: {}, z: 2}");
    bp_params_free(params);
}

static void structures_are_written_as_the_protocol_says(void **state)
{
    (void)state;
    struct bp_params *params = params_new();
    unsigned needs;
    assert_int_equal(bp_params_date(params, "a", (struct bp_date){1}), 0);
    assert_int_equal(bp_params_time(params, "b", (struct bp_time){3600000000000, 3600}), 0);
    assert_int_equal(bp_params_local_time(params, "c", (struct bp_time){1000000000, 7}), 0);
    assert_int_equal(bp_params_local_date_time(params, "d", (struct bp_date_time){.seconds = 1}),
                     0);
    assert_int_equal(bp_params_duration(params, "e", (struct bp_duration){1, 2, 3, 0}), 0);
    assert_int_equal(bp_params_point(params, "f", (struct bp_point){7203, 2, 1.0, 2.0, 9.0}), 0);
    assert_int_equal(bp_params_point(params, "g", (struct bp_point){4979, 3, 1.0, 2.0, 3.0}), 0);
    struct bytes content = content_of(params, &needs);
    bytes_free(&content);
    assert_int_equal(needs, 0);
    assert_content(
        params,
        "A7 8161 B14401 8162 B254CB0000034630B8A000C90E10 8163 B174CA3B9ACA00 8164 B2640100 "
        "8165 B44501020300 8166 B358C91C23C13FF0000000000000C14000000000000000 "
        "8167 B459C91373C13FF0000000000000C14000000000000000C14008000000000000");
    bp_params_free(params);
}

static void what_needs_a_version_is_known(void **state)
{
    (void)state;
    static const int8_t items[] = {1, 2, 3};
    static const uint8_t uuid[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    struct bp_params *params = params_new();
    struct bp_date_time date_time = {.seconds = 4500, .nanoseconds = 42, .offset_s = 3600};
    unsigned needs;
    assert_int_equal(bp_params_date_time(params, "a", date_time), 0);
    struct bytes content = content_of(params, &needs);
    bytes_free(&content);
    assert_int_equal(needs, BPI_PARAMS_UTC);
    assert_content(params, "A1 8161 B349C911942AC90E10");

    bp_params_clear(params);
    date_time.zone = (struct bp_text){"Europe/Paris", 12};
    assert_int_equal(bp_params_list(params, "a"), 0);
    assert_int_equal(bp_params_date_time(params, NULL, date_time), 0);
    assert_int_equal(bp_params_end(params), 0);
    content = content_of(params, &needs);
    bytes_free(&content);
    assert_int_equal(needs, BPI_PARAMS_UTC);
    assert_content(params, "A1 8161 D600000001 B369C911942A8C4575726F70652F5061726973");

    bp_params_clear(params);
    assert_int_equal(bp_params_vector(params, "a", BP_VECTOR_INT8, items, 3), 0);
    content = content_of(params, &needs);
    bytes_free(&content);
    assert_int_equal(needs, BPI_PARAMS_VECTOR);
    assert_content(params, "A1 8161 B256CC01C8CC03010203");

    bp_params_clear(params);
    assert_int_equal(bp_params_uuid(params, "a", uuid), 0);
    content = content_of(params, &needs);
    bytes_free(&content);
    assert_int_equal(needs, BPI_PARAMS_UUID);
    assert_content(params, "A1 8161 E0000102030405060708090A0B0C0D0E0F");

    bp_params_clear(params);
    assert_int_equal(bp_params_int(params, "a", 1), 0);
    content = content_of(params, &needs);
    bytes_free(&content);
    assert_int_equal(needs, 0);
    bp_params_free(params);
}

static void vectors_of_each_type_read_back(void **state)
{
    (void)state;
    static const int8_t int8[] = {1, -128};
    static const int16_t int16[] = {1, INT16_MIN};
    static const int32_t int32[] = {1, INT32_MIN};
    static const int64_t int64[] = {1, INT64_MIN};
    static const float float32[] = {1.0F, -2.5F};
    static const double float64[] = {1.0, -2.5};
    struct bp_params *params = params_new();
    assert_int_equal(bp_params_vector(params, "a", BP_VECTOR_INT8, int8, 2), 0);
    assert_int_equal(bp_params_vector(params, "b", BP_VECTOR_INT16, int16, 2), 0);
    assert_int_equal(bp_params_vector(params, "c", BP_VECTOR_INT32, int32, 2), 0);
    assert_int_equal(bp_params_vector(params, "d", BP_VECTOR_INT64, int64, 2), 0);
    assert_int_equal(bp_params_vector(params, "e", BP_VECTOR_FLOAT32, float32, 2), 0);
    assert_int_equal(bp_params_vector(params, "f", BP_VECTOR_FLOAT64, float64, 2), 0);
    assert_int_equal(bp_params_vector(params, "g", BP_VECTOR_FLOAT64, NULL, 0), 0);
    assert_shown(params,
                 "{a: vector([1, -128], 2, INTEGER8), b: vector([1, -32768], 2, INTEGER16), "
                 "c: vector([1, -2147483648], 2, INTEGER32), "
                 "d: vector([1, -9223372036854775808], 2, INTEGER64), "
                 "e: vector([1.0, -2.5], 2, FLOAT32), f: vector([1.0, -2.5], 2, FLOAT64), "
                 "g: vector([], 0, FLOAT64)}");
    bp_params_free(params);
}

static void nanoseconds_of_durations_are_carried(void **state)
{
    (void)state;
    struct bp_params *params = params_new();
    assert_int_equal(bp_params_duration(params, "a", (struct bp_duration){0, 0, 0, -1}), 0);
    assert_int_equal(bp_params_duration(params, "b", (struct bp_duration){0, 0, 5, 2000000001}), 0);
    assert_content(params, "A2 8161 B4450000FFCA3B9AC9FF 8162 B44500000701");
    assert_int_equal(bp_params_duration(params, "c", (struct bp_duration){0, 0, INT64_MIN, -1}),
                     BP_E_USAGE);
    bp_params_free(params);
}

/* ---- what is refused ---- */

/* The error sticks, content isn't given, and clearing makes all good again. */
static void assert_stuck(struct bp_params *params, int error)
{
    struct bpi_bolt_span map;
    unsigned needs;
    assert_int_equal(bp_params_error(params), error);
    assert_int_equal(bp_params_int(params, "other", 1), error);
    assert_int_equal(bp_params_list(params, NULL), error);
    assert_int_equal(bp_params_end(params), error);
    assert_int_equal(bpi_params_content(params, &map, &needs), error);
    bp_params_clear(params);
    assert_int_equal(bp_params_error(params), 0);
    assert_int_equal(bp_params_int(params, "a", 1), 0);
    assert_content(params, "A1 816101");
    bp_params_clear(params);
}

static void keys_have_their_places(void **state)
{
    (void)state;
    struct bp_params *params = params_new();
    assert_int_equal(bp_params_int(params, NULL, 1), BP_E_USAGE);
    assert_stuck(params, BP_E_USAGE);
    assert_int_equal(bp_params_list(params, "l"), 0);
    assert_int_equal(bp_params_int(params, "a", 1), BP_E_USAGE);
    assert_stuck(params, BP_E_USAGE);
    assert_int_equal(bp_params_map(params, "m"), 0);
    assert_int_equal(bp_params_null(params, NULL), BP_E_USAGE);
    assert_stuck(params, BP_E_USAGE);
    assert_int_equal(bp_params_string(params, "\xff", "a"), BP_E_UTF8);
    assert_stuck(params, BP_E_UTF8);
    bp_params_free(params);
}

static void ends_match_their_beginnings(void **state)
{
    (void)state;
    struct bpi_bolt_span map;
    unsigned needs;
    struct bp_params *params = params_new();
    assert_int_equal(bp_params_end(params), BP_E_USAGE);
    assert_stuck(params, BP_E_USAGE);
    assert_int_equal(bp_params_list(params, "l"), 0);
    assert_int_equal(bpi_params_content(params, &map, &needs), BP_E_USAGE);
    /* It isn't too late. */
    assert_int_equal(bp_params_end(params), 0);
    assert_content(params, "A1 816C D600000000");
    bp_params_free(params);
}

static void values_outside_their_range_are_refused(void **state)
{
    (void)state;
    struct bp_params *params = params_new();
    assert_int_equal(bp_params_time(params, "a", (struct bp_time){-1, 0}), BP_E_USAGE);
    assert_stuck(params, BP_E_USAGE);
    assert_int_equal(bp_params_local_time(params, "a", (struct bp_time){86400000000000, 0}),
                     BP_E_USAGE);
    assert_stuck(params, BP_E_USAGE);
    assert_int_equal(
        bp_params_date_time(params, "a", (struct bp_date_time){.nanoseconds = 1000000000}),
        BP_E_USAGE);
    assert_stuck(params, BP_E_USAGE);
    assert_int_equal(
        bp_params_local_date_time(params, "a", (struct bp_date_time){.nanoseconds = -1}),
        BP_E_USAGE);
    assert_stuck(params, BP_E_USAGE);
    struct bp_date_time local = {.zone = {"Europe/Paris", 12}, .is_local = 1};
    assert_int_equal(bp_params_date_time(params, "a", local), BP_E_TYPE);
    assert_stuck(params, BP_E_TYPE);
    assert_int_equal(bp_params_point(params, "a", (struct bp_point){.dimensions = 4}), BP_E_USAGE);
    assert_stuck(params, BP_E_USAGE);
    assert_int_equal(bp_params_vector(params, "a", (enum bp_vector_type)6, "", 0), BP_E_USAGE);
    assert_stuck(params, BP_E_USAGE);
    assert_int_equal(bp_params_vector(params, "a", BP_VECTOR_INT64, NULL, 1), BP_E_USAGE);
    assert_stuck(params, BP_E_USAGE);
    assert_int_equal(bp_params_vector(params, "a", BP_VECTOR_INT64, "", UINT32_MAX), BP_E_SIZE);
    assert_stuck(params, BP_E_SIZE);
    assert_int_equal(bp_params_text(params, "a", "\xed\xa0\x80", 3), BP_E_UTF8);
    assert_stuck(params, BP_E_UTF8);
    assert_int_equal(bp_params_text(params, "a", NULL, 1), BP_E_USAGE);
    assert_stuck(params, BP_E_USAGE);
    assert_int_equal(bp_params_bytes(params, "a", "", SIZE_MAX), BP_E_SIZE);
    assert_stuck(params, BP_E_SIZE);
    assert_int_equal(bp_params_text(params, "a", "", (size_t)INT32_MAX + 1), BP_E_SIZE);
    assert_stuck(params, BP_E_SIZE);
    bp_params_free(params);
}

static void containers_are_nested_64_deep(void **state)
{
    (void)state;
    struct bp_params *params = params_new();
    for (int i = 0; i < 64; i++) {
        assert_int_equal(bp_params_list(params, i == 0 ? "a" : NULL), 0);
    }
    assert_int_equal(bp_params_list(params, NULL), BP_E_DEPTH);
    assert_stuck(params, BP_E_DEPTH);
    for (int i = 0; i < 64; i++) {
        assert_int_equal(bp_params_map(params, "a"), 0);
    }
    for (int i = 0; i < 64; i++) {
        assert_int_equal(bp_params_end(params), 0);
    }
    struct bytes content = content_of(params, NULL);
    struct bp_value value = value_in(&content);
    struct bp_value inner;
    assert_int_equal(bp_value_get(&value, "a", &inner), 1);
    bp_params_clear(params);
    assert_int_equal(bp_params_value(params, "b", &inner), 0);
    bp_params_clear(params);
    assert_int_equal(bp_params_list(params, "b"), 0);
    assert_int_equal(bp_params_value(params, NULL, &inner), BP_E_DEPTH);
    assert_stuck(params, BP_E_DEPTH);
    bytes_free(&content);
    bp_params_free(params);
}

static void a_key_is_taken_once_in_each_map(void **state)
{
    (void)state;
    struct bp_params *params = params_new();
    assert_int_equal(bp_params_int(params, "a", 1), 0);
    assert_int_equal(bp_params_int(params, "aa", 1), 0);
    assert_int_equal(bp_params_int(params, "", 1), 0);
    /* Its maps inside have their own, and one after the other. */
    for (int i = 0; i < 2; i++) {
        assert_int_equal(bp_params_map(params, i == 0 ? "b" : "c"), 0);
        assert_int_equal(bp_params_int(params, "a", 1), 0);
        assert_int_equal(bp_params_map(params, "b"), 0);
        assert_int_equal(bp_params_int(params, "a", 1), 0);
        assert_int_equal(bp_params_end(params), 0);
        assert_int_equal(bp_params_end(params), 0);
    }
    assert_int_equal(bp_params_int(params, "a", 1), BP_E_USAGE);
    assert_stuck(params, BP_E_USAGE);
    assert_int_equal(bp_params_int(params, "", 1), 0);
    assert_int_equal(bp_params_int(params, "", 1), BP_E_USAGE);
    assert_stuck(params, BP_E_USAGE);
    bp_params_free(params);
}

static void each_of_many_keys_is_taken_once(void **state)
{
    (void)state;
    enum { KEYS = 20000 };
    struct bp_params *params = params_new();
    char key[32];
    /* Each number of keys up to a few, whose last one comes again; and many, in two maps in each other. */
    for (int count = 1; count <= 200; count++) {
        for (int again = 0; again < count; again += 1 + count / 10) {
            for (int i = 0; i < count; i++) {
                (void)snprintf(key, sizeof(key), "%d", i);
                assert_int_equal(bp_params_int(params, key, 0), 0);
            }
            (void)snprintf(key, sizeof(key), "%d", again);
            assert_int_equal(bp_params_int(params, key, 0), BP_E_USAGE);
            bp_params_clear(params);
        }
    }
    clock_t begin = clock();
    for (int i = 0; i < KEYS; i++) {
        (void)snprintf(key, sizeof(key), "key number %d", i);
        assert_int_equal(bp_params_int(params, key, i), 0);
    }
    assert_int_equal(bp_params_map(params, "inside"), 0);
    for (int i = 0; i < KEYS; i++) {
        (void)snprintf(key, sizeof(key), "key number %d", i);
        assert_int_equal(bp_params_int(params, key, i), 0);
    }
    assert_int_equal(bp_params_end(params), 0);
    /* Comparing each with each takes 400 million steps, some seconds under a sanitizer. */
    assert_true((double)(clock() - begin) / CLOCKS_PER_SEC < 1.0);
    struct bytes content = content_of(params, NULL);
    struct bp_value value = value_in(&content);
    assert_int_equal(value.count, KEYS + 1);
    assert_int_equal(bp_params_int(params, "key number 9999", 0), BP_E_USAGE);
    assert_stuck(params, BP_E_USAGE);
    bytes_free(&content);
    bp_params_free(params);
}

/* ---- values that were read ---- */

static int resend(const char *hex, struct bp_params *params)
{
    struct bytes bytes = bytes_of(hex);
    struct bp_value value = value_in(&bytes);
    int error = bp_params_value(params, "a", &value);
    bytes_free(&bytes);
    return error;
}

static void values_that_were_read_are_sent_again(void **state)
{
    (void)state;
    struct bp_params *params = params_new();
    for (size_t i = 0; i < COUNT(vectors); i++) {
        bool is_refused =
            vectors[i].type == BP_TYPE_NODE || vectors[i].type == BP_TYPE_RELATIONSHIP ||
            vectors[i].type == BP_TYPE_PATH || vectors[i].type == BP_TYPE_UNSUPPORTED ||
            strncmp(vectors[i].hex, "B366", 4) == 0;
        char list[512];
        char map[512];
        (void)snprintf(list, sizeof(list), "9201%s", vectors[i].hex);
        (void)snprintf(map, sizeof(map), "9201A18162%s", vectors[i].hex);
        const char *const forms[] = {vectors[i].hex, list, map};
        for (size_t k = 0; k < COUNT(forms); k++) {
            assert_int_equal(resend(forms[k], params), is_refused ? BP_E_TYPE : 0);
            if (is_refused) {
                assert_stuck(params, BP_E_TYPE);
                continue;
            }
            struct bytes bytes = bytes_of(forms[k]);
            struct bp_value value = value_in(&bytes);
            unsigned needs;
            struct bytes content = content_of(params, &needs);
            struct bp_value top = value_in(&content);
            struct bp_value again;
            assert_int_equal(bp_value_get(&top, "a", &again), 1);
            assert_true(bp_value_equal(&value, &again));
            unsigned expected = vectors[i].type == BP_TYPE_DATE_TIME ? BPI_PARAMS_UTC
                                : vectors[i].type == BP_TYPE_VECTOR  ? BPI_PARAMS_VECTOR
                                : vectors[i].type == BP_TYPE_UUID    ? BPI_PARAMS_UUID
                                                                     : 0U;
            assert_int_equal(needs, expected);
            bytes_free(&content);
            bytes_free(&bytes);
            bp_params_clear(params);
        }
    }
    /* The old date-time with an offset goes out by UTC. */
    assert_int_equal(resend("B346C91FA42AC90E10", params), 0);
    assert_content(params, "A1 8161 B349C911942AC90E10");
    bp_params_free(params);
}

static void what_a_server_should_not_have_sent_is_not_sent_on(void **state)
{
    (void)state;
    struct bp_params *params = params_new();
    assert_int_equal(resend("81FF", params), BP_E_UTF8);
    assert_stuck(params, BP_E_UTF8);
    assert_int_equal(resend("9181FF", params), BP_E_UTF8);
    assert_stuck(params, BP_E_UTF8);
    assert_int_equal(resend("A181FF01", params), BP_E_UTF8);
    assert_stuck(params, BP_E_UTF8);
    assert_int_equal(resend("91A281610181 6102", params), BP_E_USAGE);
    assert_stuck(params, BP_E_USAGE);
    assert_int_equal(resend("B369000081FF", params), BP_E_UTF8);
    assert_stuck(params, BP_E_UTF8);
    /* Keys may hold zeros. */
    assert_int_equal(resend("A2 826100 01 826101 02", params), 0);
    assert_content(params, "A1 8161 DA00000002 82610001 82610102");
    bp_params_free(params);
}

/* ---- random values ---- */

static uint64_t seed;

static char *random_text(struct bpi_random *random, char text[40])
{
    static const char *const pieces[] = {"a",
                                         "Z",
                                         "_",
                                         "0",
                                         " ",
                                         "\"",
                                         "\\",
                                         "`",
                                         "\n",
                                         "\xc3\xa9",
                                         "\xe2\x82\xac",
                                         "\xf0\x9f\x98\x80"};
    size_t count = bpi_random_below(random, 9);
    text[0] = '\0';
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        const char *piece = pieces[bpi_random_below(random, COUNT(pieces))];
        memcpy(text + used, piece, strlen(piece) + 1);
        used += strlen(piece);
    }
    return text;
}

static int64_t random_int(struct bpi_random *random)
{
    return (int64_t)bpi_random_next(random) >> bpi_random_below(random, 64);
}

static double random_real(struct bpi_random *random)
{
    uint64_t bits = bpi_random_next(random);
    double real;
    memcpy(&real, &bits, sizeof(real));
    return bpi_random_below(random, 2) == 0 ? real : (double)random_int(random) / 8.0;
}

static void
put_random_temporal(struct bpi_random *random, struct bp_params *params, const char *key)
{
    int32_t nanoseconds = (int32_t)bpi_random_below(random, 1000000000);
    int32_t offset = (int32_t)bpi_random_below(random, 100000) - 50000;
    struct bp_time time = {(int64_t)bpi_random_below(random, 86400000000000), offset};
    struct bp_date_time date_time = {
        .seconds = random_int(random), .nanoseconds = nanoseconds, .offset_s = offset};
    struct bp_duration duration = {random_int(random), random_int(random), random_int(random),
                                   nanoseconds};
    switch (bpi_random_below(random, 7)) {
    case 0:
        (void)bp_params_date(params, key, (struct bp_date){random_int(random)});
        break;
    case 1:
        (void)bp_params_time(params, key, time);
        break;
    case 2:
        (void)bp_params_local_time(params, key, time);
        break;
    case 3:
        (void)bp_params_local_date_time(params, key, date_time);
        break;
    case 4:
        date_time.zone = (struct bp_text){"Europe/Paris", 12};
        (void)bp_params_date_time(params, key, date_time);
        break;
    case 5:
        (void)bp_params_date_time(params, key, date_time);
        break;
    default:
        (void)bp_params_duration(params, key, duration);
        break;
    }
}

static void put_random_scalar(struct bpi_random *random, struct bp_params *params, const char *key)
{
    char text[40];
    uint8_t bytes[40];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)bpi_random_next(random);
    }
    double items[3] = {random_real(random), random_real(random), random_real(random)};
    switch (bpi_random_below(random, 9)) {
    case 0:
        (void)bp_params_null(params, key);
        break;
    case 1:
        (void)bp_params_bool(params, key, (int)bpi_random_below(random, 2));
        break;
    case 2:
        (void)bp_params_int(params, key, random_int(random));
        break;
    case 3:
        (void)bp_params_float(params, key, random_real(random));
        break;
    case 4:
        (void)bp_params_string(params, key, random_text(random, text));
        break;
    case 5:
        (void)bp_params_bytes(params, key, bytes, bpi_random_below(random, sizeof(bytes)));
        break;
    case 6:
        (void)bp_params_uuid(params, key, bytes);
        break;
    case 7:
        (void)bp_params_vector(params, key, BP_VECTOR_FLOAT64, items,
                               (uint32_t)bpi_random_below(random, 4));
        break;
    default:
        (void)bp_params_point(
            params, key,
            (struct bp_point){(int32_t)random_int(random), 3, items[0], items[1], items[2]});
        break;
    }
}

/* One random value; a container with random ones inside. Returns how many values it has. */
static int
put_random(struct bpi_random *random, struct bp_params *params, const char *key, int depth)
{
    uint64_t kind = bpi_random_below(random, depth < 6 ? 6 : 4);
    if (kind < 3) {
        put_random_scalar(random, params, key);
        return 1;
    }
    if (kind == 3) {
        put_random_temporal(random, params, key);
        return 1;
    }
    int written = 1;
    (void)(kind == 4 ? bp_params_list(params, key) : bp_params_map(params, key));
    uint64_t count = bpi_random_below(random, 6);
    for (uint64_t i = 0; i < count; i++) {
        char text[64];
        char inner[40];
        (void)snprintf(text, sizeof(text), "%u%s", (unsigned)i, random_text(random, inner));
        written += put_random(random, params, kind == 4 ? NULL : text, depth + 1);
    }
    (void)bp_params_end(params);
    return written;
}

/* Goes through all that is inside; returns how many values there are. */
static int count_values(const struct bp_value *value)
{
    struct bp_iter iter;
    struct bp_text key;
    struct bp_value inner;
    int count = 1;
    if (bp_iter_init(&iter, value) != 0) {
        return 1;
    }
    int status;
    while ((status = bp_iter_next(&iter, &key, &inner)) == 1) {
        count += count_values(&inner);
    }
    assert_int_equal(status, 0);
    return count;
}

static void random_values_read_back_as_they_were_written(void **state)
{
    (void)state;
    struct bpi_random random;
    bpi_random_init(&random, seed);
    struct bp_params *params = params_new();
    struct bp_params *again = params_new();
    for (int round = 0; round < 3000; round++) {
        bp_params_clear(params);
        bp_params_clear(again);
        int written = put_random(&random, params, "a", 0);
        assert_int_equal(bp_params_error(params), 0);
        struct bytes content = content_of(params, NULL);
        struct bp_value top = value_in(&content);
        assert_int_equal(count_values(&top), written + 1);

        struct bp_row *row;
        assert_int_equal(bp_row_copy(&top, 1, &row), 0);
        assert_true(bp_value_equal(&top, bp_row_values(row)));
        int64_t size = bp_value_format(&top, NULL, 0);
        assert_true(size > 0);
        char *text = malloc((size_t)size + 1);
        assert_non_null(text);
        assert_int_equal(bp_value_format(&top, text, (size_t)size + 1), size);
        assert_int_equal(strlen(text), size);
        assert_true(bpi_utf8_valid((const uint8_t *)text, (size_t)size));

        /* What was read, and nothing of it is left but the copy. */
        memset(content.data, 0xff, content.size);
        bytes_free(&content);
        struct bp_value value;
        assert_int_equal(bp_value_get(bp_row_values(row), "a", &value), 1);
        assert_int_equal(bp_params_value(again, "a", &value), 0);
        content = content_of(again, NULL);
        top = value_in(&content);
        assert_true(bp_value_equal(&top, bp_row_values(row)));
        char *text_again = malloc((size_t)size + 1);
        assert_non_null(text_again);
        assert_int_equal(bp_value_format(&top, text_again, (size_t)size + 1), size);
        assert_string_equal(text, text_again);
        free(text);
        free(text_again);
        bytes_free(&content);
        bp_row_free(row);
    }
    bp_params_free(params);
    bp_params_free(again);
}

int main(int argc, char **argv)
{
    seed = argc > 1 ? strtoull(argv[1], NULL, 10) : (uint64_t)time(NULL);
    print_message("seed %llu\n", (unsigned long long)seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_parameters_are_the_empty_map),
        cmocka_unit_test(scalars_are_written_in_their_smallest_form),
        cmocka_unit_test(the_top_map_has_the_smallest_head),
        cmocka_unit_test(containers_stand_between_begin_and_end),
        cmocka_unit_test(structures_are_written_as_the_protocol_says),
        cmocka_unit_test(what_needs_a_version_is_known),
        cmocka_unit_test(vectors_of_each_type_read_back),
        cmocka_unit_test(nanoseconds_of_durations_are_carried),
        cmocka_unit_test(keys_have_their_places),
        cmocka_unit_test(ends_match_their_beginnings),
        cmocka_unit_test(values_outside_their_range_are_refused),
        cmocka_unit_test(containers_are_nested_64_deep),
        cmocka_unit_test(a_key_is_taken_once_in_each_map),
        cmocka_unit_test(each_of_many_keys_is_taken_once),
        cmocka_unit_test(values_that_were_read_are_sent_again),
        cmocka_unit_test(what_a_server_should_not_have_sent_is_not_sent_on),
        cmocka_unit_test(random_values_read_back_as_they_were_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
