/* Shows that a copied row is the same row, that nothing in it points at what it was copied from, and that what can't
 * be copied is refused.
 */
#include <boltpool/value.h>

#include <boltpool/error.h>

#include "tests/unit/client/values.h"

/* Copies the value, spoils and frees what it was read from, and compares with a second reading. */
static void assert_copied(const char *hex)
{
    struct bytes bytes = bytes_of(hex);
    struct bytes second = bytes_of(hex);
    struct bp_value value = value_in(&bytes);
    struct bp_value expected = value_in(&second);
    struct bp_row *row;
    assert_int_equal(bp_row_copy(&value, 1, &row), 0);
    memset(bytes.data, 0xff, bytes.size);
    memset(&value, 0xff, sizeof(value));
    bytes_free(&bytes);
    assert_int_equal(bp_row_size(row), 1);
    assert_true(bp_value_equal(bp_row_values(row), &expected));
    char text[1024];
    char expected_text[1024];
    assert_string_equal(text_in(bp_row_values(row), text), text_in(&expected, expected_text));
    bp_row_free(row);
    bytes_free(&second);
}

static void every_value_lives_on_in_its_copy(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(vectors); i++) {
        assert_copied(vectors[i].hex);
        char inside[512];
        (void)snprintf(inside, sizeof(inside), "A18161 92 01 %s", vectors[i].hex);
        assert_copied(inside);
    }
}

static void a_row_keeps_the_order_of_its_values(void **state)
{
    (void)state;
    struct bytes bytes =
        bytes_of("97 01 8161 80 B369C911942A8C4575726F70652F5061726973 93010203 CC00 90");
    struct bp_value values[7];
    assert_int_equal(bpi_value_read_record(bytes.data, bytes.size, values, 7), 0);
    struct bp_row *row;
    struct bp_row *again;
    assert_int_equal(bp_row_copy(values, 7, &row), 0);
    bytes_free(&bytes);
    /* A copy of a copy, as nothing says where the values are from. */
    assert_int_equal(bp_row_copy(bp_row_values(row), 7, &again), 0);
    bp_row_free(row);
    const struct bp_value *copies = bp_row_values(again);
    assert_int_equal(bp_row_size(again), 7);
    assert_int_equal(copies[0].as.integer, 1);
    assert_bp_text(copies[1].as.text, "a");
    assert_bp_text(copies[2].as.text, "");
    assert_bp_text(copies[3].as.date_time.zone, "Europe/Paris");
    struct bp_value item;
    assert_int_equal(bp_value_at(&copies[4], 2, &item), 1);
    assert_int_equal(item.as.integer, 3);
    assert_bp_text(copies[5].as.text, "");
    assert_int_equal(copies[6].count, 0);
    bp_row_free(again);
}

static void an_empty_row_is_a_row(void **state)
{
    (void)state;
    struct bp_row *row;
    assert_int_equal(bp_row_copy(NULL, 0, &row), 0);
    assert_int_equal(bp_row_size(row), 0);
    bp_row_free(row);
    bp_row_free(NULL);
}

static void sizes_that_no_memory_has_are_refused(void **state)
{
    (void)state;
    struct bp_row *row = NULL;
    struct bp_value values[2] = {
        {.type = BP_TYPE_STRING, .as.text = {"a", SIZE_MAX / 2}},
        {.type = BP_TYPE_STRING, .as.text = {"a", SIZE_MAX / 2}},
    };
    assert_int_equal(bp_row_copy(values, 2, &row), BP_E_NO_MEMORY);
    assert_int_equal(bp_row_copy(values, SIZE_MAX / 8, &row), BP_E_NO_MEMORY);
    assert_null(row);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_value_lives_on_in_its_copy),
        cmocka_unit_test(a_row_keeps_the_order_of_its_values),
        cmocka_unit_test(an_empty_row_is_a_row),
        cmocka_unit_test(sizes_that_no_memory_has_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
