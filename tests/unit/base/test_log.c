/* Shows that what a peer sent can't forge or break a log line, and that levels are read and kept. */
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void printable_bytes_pass_and_others_are_spelled_out(void **state)
{
    (void)state;
    char text[64];
    assert_string_equal(bpi_log_quote(text, sizeof(text), "RUN 1", 5), "RUN 1");
    assert_string_equal(bpi_log_quote(text, sizeof(text), "a\nb\r\0c", 6), "a\\x0ab\\x0d\\x00c");
    assert_string_equal(bpi_log_quote(text, sizeof(text), "\x1b[0m", 4), "\\x1b[0m");
    assert_string_equal(bpi_log_quote(text, sizeof(text), "\xc3\xa9\x7f", 3), "\\xc3\\xa9\\x7f");
    assert_string_equal(bpi_log_quote(text, sizeof(text), "", 0), "");
}

static void a_backslash_is_spelled_out_so_that_quotes_are_unique(void **state)
{
    (void)state;
    char text[64];
    assert_string_equal(bpi_log_quote(text, sizeof(text), "\\x0a", 4), "\\x5cx0a");
}

static void every_size_is_kept_and_the_text_ends(void **state)
{
    (void)state;
    uint8_t data[64];
    memset(data, 0x01, sizeof(data));
    for (size_t size = 1; size <= 40; size++) {
        char text[48];
        memset(text, '#', sizeof(text));
        bpi_log_quote(text, size, data, sizeof(data));
        assert_true(strlen(text) < size);
        for (size_t i = size; i < sizeof(text); i++) {
            assert_int_equal(text[i], '#');
        }
        /* Never half an escape. */
        assert_int_equal(strlen(text) % 4, 0);
    }
}

static void levels_are_read_by_name_and_hold_back_lower_ones(void **state)
{
    (void)state;
    enum bpi_log_level level = BPI_LOG_INFO;
    assert_true(bpi_log_level_parse("warn", &level));
    assert_int_equal(level, BPI_LOG_WARN);
    assert_false(bpi_log_level_parse("loud", &level));
    assert_false(bpi_log_level_parse("", &level));
    assert_int_equal(level, BPI_LOG_WARN);
    bpi_log_level_set(level);
    assert_false(bpi_log_enabled(BPI_LOG_INFO));
    assert_true(bpi_log_enabled(BPI_LOG_WARN));
    assert_true(bpi_log_enabled(BPI_LOG_ERROR));
    bpi_log_level_set(BPI_LOG_DEBUG);
    assert_true(bpi_log_enabled(BPI_LOG_DEBUG));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(printable_bytes_pass_and_others_are_spelled_out),
        cmocka_unit_test(a_backslash_is_spelled_out_so_that_quotes_are_unique),
        cmocka_unit_test(every_size_is_kept_and_the_text_ends),
        cmocka_unit_test(levels_are_read_by_name_and_hold_back_lower_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
