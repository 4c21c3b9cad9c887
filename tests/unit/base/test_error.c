/* Shows that the table of errors is whole: every one has a name, a sentence and a Neo4j code, numbers
 * are unique and lie in their class, and codes of the system pass through.
 */
#include <boltpool/error.h>
#include <boltpool/version.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <uv.h>

struct row {
    int number;
    int retryable;
    const char *name, *code, *text;
};

static const struct row rows[] = {
#define ROW(name, number, retryable, code, text) {number, retryable, "BP_E_" #name, code, text},
    BP_ERRORS(ROW)
#undef ROW
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

static void every_error_answers_all_questions(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        assert_string_equal(bp_error_name(rows[i].number), rows[i].name);
        assert_string_equal(bp_error_text(rows[i].number), rows[i].text);
        assert_string_equal(bp_error_neo4j_code(rows[i].number), rows[i].code);
        assert_int_equal(bp_error_retryable(rows[i].number), rows[i].retryable);
        assert_true(strlen(rows[i].text) > 0);
    }
}

static void numbers_are_unique_and_below_those_of_the_system(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        assert_in_range(-rows[i].number, 10000, 14999);
        for (size_t k = i + 1; k < ROWS; k++) {
            assert_int_not_equal(rows[i].number, rows[k].number);
            assert_string_not_equal(rows[i].name, rows[k].name);
        }
    }
}

static void codes_for_drivers_agree_with_retryable(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        const char *code = rows[i].code;
        assert_int_equal(strncmp(code, "Neo.", 4), 0);
        /* Drivers retry a code of the class TransientError and no other that we send. */
        int transient = strncmp(code, "Neo.TransientError.", 19) == 0;
        assert_int_equal(transient, rows[i].retryable);
    }
}

static void codes_of_the_system_pass_through(void **state)
{
    (void)state;
    assert_string_equal(bp_error_name(UV_ECONNREFUSED), "ECONNREFUSED");
    assert_true(strlen(bp_error_text(UV_ECONNREFUSED)) > 0);
    assert_int_equal(bp_error_retryable(UV_ECONNREFUSED), 0);
    assert_string_equal(bp_error_neo4j_code(UV_ECONNREFUSED),
                        "Neo.DatabaseError.General.UnknownError");
}

static void numbers_outside_the_table_are_unknown(void **state)
{
    (void)state;
    static const int numbers[] = {1, -5000, -9999, -20000, INT32_MIN, INT32_MAX};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        assert_string_equal(bp_error_name(numbers[i]), "unknown");
        assert_string_equal(bp_error_text(numbers[i]), "unknown error");
        assert_int_equal(bp_error_retryable(numbers[i]), 0);
    }
    assert_string_equal(bp_error_name(0), "OK");
    assert_string_equal(bp_error_text(0), "no error");
}

static void the_library_knows_its_version(void **state)
{
    (void)state;
    assert_string_equal(bp_version(), BP_VERSION_STRING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_error_answers_all_questions),
        cmocka_unit_test(numbers_are_unique_and_below_those_of_the_system),
        cmocka_unit_test(codes_for_drivers_agree_with_retryable),
        cmocka_unit_test(codes_of_the_system_pass_through),
        cmocka_unit_test(numbers_outside_the_table_are_unknown),
        cmocka_unit_test(the_library_knows_its_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
