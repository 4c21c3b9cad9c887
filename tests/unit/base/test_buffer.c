/* Shows that a buffer holds exactly what was appended and not consumed, that it moves or grows as
 * promised, and that a refused growth changes nothing.
 */
#include "base/buffer.h"

#include "base/random.h"

#include <boltpool/error.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void a_zeroed_buffer_is_empty_and_usable(void **state)
{
    (void)state;
    struct bpi_buffer buffer = {0};
    assert_int_equal(bpi_buffer_size(&buffer), 0);
    assert_int_equal(bpi_buffer_append(&buffer, NULL, 0), 0);
    bpi_buffer_consume(&buffer, 0);
    bpi_buffer_clear(&buffer);
    assert_null(buffer.data);
    bpi_buffer_done(&buffer);
    bpi_buffer_done(&buffer);
    bpi_buffer_wipe(&buffer);
}

static void init_forgets_what_the_storage_held(void **state)
{
    (void)state;
    struct bpi_buffer buffer;
    memset(&buffer, 0xff, sizeof(buffer));
    bpi_buffer_init(&buffer);
    assert_int_equal(bpi_buffer_append(&buffer, "a", 1), 0);
    assert_int_equal(bpi_buffer_size(&buffer), 1);
    bpi_buffer_wipe(&buffer);
    assert_int_equal(buffer.capacity, 0);
}

static void bytes_come_out_in_order(void **state)
{
    (void)state;
    struct bpi_buffer buffer = {0};
    assert_int_equal(bpi_buffer_append(&buffer, "abc", 3), 0);
    bpi_buffer_consume(&buffer, 1);
    assert_int_equal(bpi_buffer_append(&buffer, "def", 3), 0);
    assert_int_equal(bpi_buffer_size(&buffer), 5);
    assert_memory_equal(bpi_buffer_head(&buffer), "bcdef", 5);
    bpi_buffer_done(&buffer);
}

static void an_emptied_buffer_starts_over(void **state)
{
    (void)state;
    struct bpi_buffer buffer = {0};
    assert_int_equal(bpi_buffer_append(&buffer, "abc", 3), 0);
    uint8_t *data = buffer.data;
    bpi_buffer_consume(&buffer, 3);
    assert_int_equal(buffer.begin, 0);
    assert_int_equal(buffer.end, 0);
    assert_int_equal(bpi_buffer_append(&buffer, "x", 1), 0);
    assert_ptr_equal(buffer.data, data);
    bpi_buffer_clear(&buffer);
    assert_int_equal(bpi_buffer_size(&buffer), 0);
    assert_ptr_equal(buffer.data, data);
    bpi_buffer_done(&buffer);
}

static void room_at_the_front_is_used_before_growing(void **state)
{
    (void)state;
    struct bpi_buffer buffer = {0};
    uint8_t bytes[256] = {0};
    assert_int_equal(bpi_buffer_append(&buffer, bytes, sizeof(bytes)), 0);
    size_t capacity = buffer.capacity;
    bpi_buffer_consume(&buffer, sizeof(bytes) - 1);
    assert_int_equal(bpi_buffer_append(&buffer, bytes, 100), 0);
    assert_int_equal(buffer.capacity, capacity);
    assert_int_equal(buffer.begin, 0);
    assert_int_equal(bpi_buffer_size(&buffer), 101);
    bpi_buffer_done(&buffer);
}

static void reserved_room_needs_no_more_memory(void **state)
{
    (void)state;
    struct bpi_buffer buffer = {0};
    assert_int_equal(bpi_buffer_reserve(&buffer, 5000), 0);
    uint8_t *data = buffer.data;
    uint8_t bytes[5000] = {0};
    assert_int_equal(bpi_buffer_append(&buffer, bytes, sizeof(bytes)), 0);
    assert_ptr_equal(buffer.data, data);
    bpi_buffer_done(&buffer);
}

static void a_size_that_overflows_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    struct bpi_buffer buffer = {0};
    assert_int_equal(bpi_buffer_append(&buffer, "abc", 3), 0);
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 3, SIZE_MAX / 2, SIZE_MAX / 4};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct bpi_buffer before = buffer;
        assert_int_equal(bpi_buffer_reserve(&buffer, sizes[i]), BP_E_NO_MEMORY);
        assert_memory_equal(&buffer, &before, sizeof(buffer));
    }
    assert_memory_equal(bpi_buffer_head(&buffer), "abc", 3);
    bpi_buffer_done(&buffer);
}

static void random_use_equals_a_plain_queue_of_bytes(void **state)
{
    (void)state;
    const uint64_t seed = 20260904;
    print_message("seed %llu\n", (unsigned long long)seed);
    struct bpi_random random;
    bpi_random_init(&random, seed);
    struct bpi_buffer buffer = {0};
    uint64_t appended = 0;
    uint64_t consumed = 0;
    for (int step = 0; step < 20000; step++) {
        uint8_t bytes[700];
        size_t size = (size_t)bpi_random_below(&random, sizeof(bytes));
        if (bpi_random_below(&random, 2) == 0) {
            for (size_t i = 0; i < size; i++) {
                bytes[i] = (uint8_t)(appended + i);
            }
            assert_int_equal(bpi_buffer_append(&buffer, bytes, size), 0);
            appended += size;
        } else {
            size = size < bpi_buffer_size(&buffer) ? size : bpi_buffer_size(&buffer);
            for (size_t i = 0; i < size; i++) {
                assert_int_equal(bpi_buffer_head(&buffer)[i], (uint8_t)(consumed + i));
            }
            bpi_buffer_consume(&buffer, size);
            consumed += size;
        }
        assert_int_equal(bpi_buffer_size(&buffer), appended - consumed);
        assert_true(buffer.begin <= buffer.end && buffer.end <= buffer.capacity);
    }
    bpi_buffer_done(&buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_zeroed_buffer_is_empty_and_usable),
        cmocka_unit_test(init_forgets_what_the_storage_held),
        cmocka_unit_test(bytes_come_out_in_order),
        cmocka_unit_test(an_emptied_buffer_starts_over),
        cmocka_unit_test(room_at_the_front_is_used_before_growing),
        cmocka_unit_test(reserved_room_needs_no_more_memory),
        cmocka_unit_test(a_size_that_overflows_is_refused_and_changes_nothing),
        cmocka_unit_test(random_use_equals_a_plain_queue_of_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
