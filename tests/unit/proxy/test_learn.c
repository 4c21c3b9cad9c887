/* Shows that a query's shape leaves out what differs from call to call and nothing else, that it never takes
 * more room than it may, and that a shape is slow by its last transactions alone, also when the table is full.
 */
#include "proxy/learn.h"

#include "base/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *shape(const char *query)
{
    static char text[BPI_LEARN_TEXT_BYTES + 1];
    size_t size = bpi_learn_normalise(query, strlen(query), text);
    assert_true(size <= BPI_LEARN_TEXT_BYTES);
    text[size] = '\0';
    return text;
}

static void a_shape_has_no_literals_blanks_and_comments(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", ""},
        {"  \t\r\n ", ""},
        {"RETURN 1", "RETURN ?"},
        {"RETURN   1\n+\t22", "RETURN ?+?"},
        {"RETURN 1.5e-3, 0x1F, 1_000, .5", "RETURN ?,.?"},
        {"MATCH (n:L1 {id: 42, name: 'x'}) RETURN n", "MATCH(n:L1{id:?,name:?})RETURN n"},
        {"MATCH (n)-[*1..3]->(m)", "MATCH(n)-[*?..?]->(m)"},
        {"RETURN 'it\\'s' + \"a\\\"b\"", "RETURN ?+?"},
        {"RETURN 'no end", "RETURN ?"},
        {"RETURN 'no end\\", "RETURN ?"},
        {"MATCH (`a b'c`) RETURN $1, $p2", "MATCH(`a b'c`)RETURN $1,$p2"},
        {"MATCH (`no end", "MATCH(`no end"},
        {"IN [1, 2,3 , 'x', \"y\"] AND n.x = 7", "IN[?]AND n.x=?"},
        {"[1, -2, a, 3]", "[?,-?,a,?]"},
        {"f(1,)", "f(?,)"},
        {"1,", "?,"},
        {"/* trace 17 */ RETURN 1 // 'end\n, 2", "RETURN ?"},
        {"a/**/b", "a b"},
        {"a / b", "a/b"},
        {"RETURN 1 /* no end", "RETURN ?"},
        {"x // no end", "x"},
        {"/", "/"},
        {"\xc3\xa4"
         "1 = 1",
         "\xc3\xa4"
         "1=?"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_string_equal(shape(cases[i][0]), cases[i][1]);
    }
}

static void what_means_another_thing_has_another_shape(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"RETURN a b", "RETURN ab"}, {"MATCH (n:A)", "MATCH (n:B)"}, {"RETURN n.a1", "RETURN n.a2"},
        {"RETURN $1", "RETURN $2"},  {"RETURN $1", "RETURN 1"},      {"MATCH (`1`)", "MATCH (`2`)"},
        {"RETURN 1", "return 1"},    {"RETURN 1+1", "RETURN 1-1"},   {"RETURN [1]", "RETURN 1"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char first[BPI_LEARN_TEXT_BYTES + 1];
        snprintf(first, sizeof(first), "%s", shape(cases[i][0]));
        assert_string_not_equal(first, shape(cases[i][1]));
    }
}

/* Bytes behind the array are watched by the sanitizers; here by a canary. */
static void any_bytes_fit_into_their_room(void **state)
{
    (void)state;
    static const char bits[] = "'\"`\\/*\n ,.$1a-e?\0\xff";
    struct bpi_random random;
    uint64_t seed = 20261125;
    bpi_random_init(&random, seed);
    char *query = malloc(2 * BPI_LEARN_TEXT_BYTES);
    char *text = malloc(BPI_LEARN_TEXT_BYTES + 1);
    assert_true(query != NULL && text != NULL);
    text[BPI_LEARN_TEXT_BYTES] = 'c';
    for (unsigned round = 0; round < 3000; round++) {
        size_t size =
            (size_t)bpi_random_below(&random, round % 50 == 0 ? 2 * BPI_LEARN_TEXT_BYTES : 40);
        for (size_t i = 0; i < size; i++) {
            query[i] = bits[bpi_random_below(&random, sizeof(bits) - 1)];
        }
        size_t used = bpi_learn_normalise(query, size, text);
        if (used > size || used > BPI_LEARN_TEXT_BYTES || text[BPI_LEARN_TEXT_BYTES] != 'c') {
            fail_msg("seed %llu, round %u: %zu of %zu bytes", (unsigned long long)seed, round, used,
                     size);
        }
    }
    free(query);
    free(text);
}

static void what_comes_behind_4_kib_makes_no_difference(void **state)
{
    (void)state;
    char *query = malloc(BPI_LEARN_TEXT_BYTES + 2);
    assert_non_null(query);
    memset(query, 'a', BPI_LEARN_TEXT_BYTES + 1);
    query[BPI_LEARN_TEXT_BYTES + 1] = '\0';
    char first[BPI_LEARN_TEXT_BYTES + 1];
    snprintf(first, sizeof(first), "%s", shape(query));
    query[BPI_LEARN_TEXT_BYTES] = 'b';
    assert_string_equal(first, shape(query));
    query[BPI_LEARN_TEXT_BYTES - 1] = 'b';
    assert_string_not_equal(first, shape(query));
    free(query);
}

static void a_shape_is_slow_after_eight_slow_ones_until_a_quick_one(void **state)
{
    (void)state;
    static struct bpi_learn learn;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < BPI_LEARN_RUN; i++) {
            assert_false(bpi_learn_is_slow(&learn, 7));
            bpi_learn_note(&learn, 7, true);
        }
        for (int i = 0; i < 1000; i++) {
            assert_true(bpi_learn_is_slow(&learn, 7));
            bpi_learn_note(&learn, 7, true);
        }
        bpi_learn_note(&learn, 7, false);
    }
    for (int i = 0; i < 100; i++) { /* nearly */
        bpi_learn_note(&learn, 7, i % BPI_LEARN_RUN != 0);
        assert_false(bpi_learn_is_slow(&learn, 7));
    }
    for (int i = 0; i < 100; i++) { /* no query at all */
        bpi_learn_note(&learn, 0, true);
        assert_false(bpi_learn_is_slow(&learn, 0));
    }
}

static void quick_shapes_push_no_slow_one_out(void **state)
{
    (void)state;
    static struct bpi_learn learn;
    for (int i = 0; i < BPI_LEARN_RUN; i++) {
        bpi_learn_note(&learn, 7, true);
    }
    for (uint64_t other = 8; other < 100000; other++) {
        bpi_learn_note(&learn, other, false);
    }
    assert_true(bpi_learn_is_slow(&learn, 7));
}

static void of_too_many_slow_shapes_those_seen_last_stay(void **state)
{
    (void)state;
    static struct bpi_learn learn;
    enum { SETS = BPI_LEARN_SHAPES / BPI_LEARN_WAYS };
    /* All in one set: 1, 1 + SETS, ... */
    for (uint64_t i = 0; i <= BPI_LEARN_WAYS; i++) {
        for (int j = 0; j < BPI_LEARN_RUN; j++) {
            bpi_learn_note(&learn, 1 + i * SETS, true);
        }
        bpi_learn_note(&learn, 1 + SETS, i > 0); /* kept young once it is there */
    }
    assert_false(bpi_learn_is_slow(&learn, 1));
    assert_true(bpi_learn_is_slow(&learn, 1 + SETS));
    for (uint64_t i = 2; i <= BPI_LEARN_WAYS; i++) {
        assert_true(bpi_learn_is_slow(&learn, 1 + i * SETS));
    }
    /* The whole table holds what it says. */
    memset(&learn, 0, sizeof(learn));
    for (int j = 0; j < BPI_LEARN_RUN; j++) {
        for (uint64_t i = 1; i <= BPI_LEARN_SHAPES; i++) {
            bpi_learn_note(&learn, i, true);
        }
    }
    for (uint64_t i = 1; i <= BPI_LEARN_SHAPES; i++) {
        assert_true(bpi_learn_is_slow(&learn, i));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_shape_has_no_literals_blanks_and_comments),
        cmocka_unit_test(what_means_another_thing_has_another_shape),
        cmocka_unit_test(any_bytes_fit_into_their_room),
        cmocka_unit_test(what_comes_behind_4_kib_makes_no_difference),
        cmocka_unit_test(a_shape_is_slow_after_eight_slow_ones_until_a_quick_one),
        cmocka_unit_test(quick_shapes_push_no_slow_one_out),
        cmocka_unit_test(of_too_many_slow_shapes_those_seen_last_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
