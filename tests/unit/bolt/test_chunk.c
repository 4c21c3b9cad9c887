/* Shows that messages come out the same however the stream is cut, that NOOPs are told from end
 * marks, and that framing in place equals framing by copy. Streams are built from payloads of known
 * sizes whose bytes count up, so a lost or doubled byte shows.
 */
#include "bolt/chunk.h"

#include "base/random.h"

#include <boltpool/error.h>

#include "tests/unit/bolt/bytes.h"

/* A RUN, a NOOP, a message in one-byte chunks, two NOOPs, a PULL whose map crosses a chunk border. */
static const char stream_hex[] = "000D B3108852455455524E2031A0A0 0000"
                                 "0000"
                                 "0001B1 000170 0001A0 0000"
                                 "0000 0000"
                                 "0004 B13FA181 0003 6EC903 0001 E8 0000";
static const char *const stream_messages[] = {
    "B3108852455455524E2031A0A0",
    "B170A0",
    "B13FA1816EC903E8",
};

/* What a reader made of a stream: "M" + bytes in hex for a message, "N" for a NOOP. */
static void note_message(char *log, size_t size, const struct bpi_buffer *message)
{
    size_t used = strlen(log);
    used += (size_t)snprintf(log + used, size - used, "M");
    for (size_t i = 0; i < bpi_buffer_size(message); i++) {
        used += (size_t)snprintf(log + used, size - used, "%02X", bpi_buffer_head(message)[i]);
    }
}

static void feed_reader(
    struct bpi_chunk_reader *reader, const uint8_t *data, size_t size, char *log, size_t log_size)
{
    struct bpi_buffer in = {0};
    assert_int_equal(bpi_buffer_append(&in, data, size), 0);
    int event;
    while ((event = bpi_chunk_read(reader, &in, 1000)) != BPI_CHUNK_MORE) {
        assert_true(event > 0);
        if (event == BPI_CHUNK_MESSAGE) {
            note_message(log, log_size, &reader->message);
        } else {
            strncat(log, "N", log_size - strlen(log) - 1);
        }
    }
    assert_int_equal(bpi_buffer_size(&in), 0);
    bpi_buffer_done(&in);
}

static void expected_log(char *log, size_t size)
{
    snprintf(log, size, "M%sNM%sNNM%s", stream_messages[0], stream_messages[1], stream_messages[2]);
}

static void any_two_cuts_give_the_same_messages(void **state)
{
    (void)state;
    struct bytes stream = bytes_of(stream_hex);
    char expected[256];
    expected_log(expected, sizeof(expected));
    for (size_t first = 0; first <= stream.size; first++) {
        for (size_t second = first; second <= stream.size; second++) {
            struct bpi_chunk_reader reader = {0};
            char log[256] = "";
            feed_reader(&reader, stream.data, first, log, sizeof(log));
            feed_reader(&reader, stream.data + first, second - first, log, sizeof(log));
            feed_reader(&reader, stream.data + second, stream.size - second, log, sizeof(log));
            assert_string_equal(log, expected);
            bpi_chunk_reader_done(&reader);
        }
    }
    bytes_free(&stream);
}

static void single_bytes_give_the_same_messages(void **state)
{
    (void)state;
    struct bytes stream = bytes_of(stream_hex);
    char expected[256];
    expected_log(expected, sizeof(expected));
    struct bpi_chunk_reader reader = {0};
    char log[256] = "";
    for (size_t i = 0; i < stream.size; i++) {
        feed_reader(&reader, stream.data + i, 1, log, sizeof(log));
    }
    assert_string_equal(log, expected);
    bpi_chunk_reader_done(&reader);
    bytes_free(&stream);
}

/* Offsets right behind each border of stream_hex, and what the border is. */
static const struct {
    size_t offset;
    enum bpi_chunk_event event;
    uint8_t tag;
    uint64_t message_bytes;
} borders[] = {
    {17, BPI_CHUNK_MESSAGE, 0x10, 13}, {19, BPI_CHUNK_NOOP, 0, 0}, {30, BPI_CHUNK_MESSAGE, 0x70, 3},
    {32, BPI_CHUNK_NOOP, 0, 0},        {34, BPI_CHUNK_NOOP, 0, 0}, {50, BPI_CHUNK_MESSAGE, 0x3f, 8},
};

static void the_scanner_stops_at_every_border_under_any_cut(void **state)
{
    (void)state;
    struct bytes stream = bytes_of(stream_hex);
    assert_int_equal(stream.size, borders[COUNT(borders) - 1].offset);
    for (size_t step = 1; step <= stream.size; step++) {
        struct bpi_chunk_scanner scanner = {0};
        size_t at = 0;
        size_t next = 0;
        assert_true(bpi_chunk_scan_at_border(&scanner));
        while (at < stream.size) {
            size_t size = stream.size - at < step ? stream.size - at : step;
            size_t used;
            enum bpi_chunk_event event = bpi_chunk_scan(&scanner, stream.data + at, size, &used);
            at += used;
            if (event == BPI_CHUNK_MORE) {
                assert_int_equal(used, size);
                assert_false(bpi_chunk_scan_at_border(&scanner));
                continue;
            }
            assert_int_equal(at, borders[next].offset);
            assert_int_equal(event, borders[next].event);
            assert_int_equal(scanner.message_bytes, borders[next].message_bytes);
            assert_true(bpi_chunk_scan_at_border(&scanner));
            if (event == BPI_CHUNK_MESSAGE) {
                assert_int_equal(scanner.head_have, 2);
                assert_int_equal(scanner.head[1], borders[next].tag);
            }
            next++;
        }
        assert_int_equal(next, COUNT(borders));
        size_t used;
        assert_int_equal(bpi_chunk_scan(&scanner, stream.data, 0, &used), BPI_CHUNK_MORE);
        assert_int_equal(used, 0);
        assert_true(bpi_chunk_scan_at_border(&scanner));
    }
    bytes_free(&stream);
}

static void fill_counting(struct bpi_buffer *buffer, size_t size)
{
    assert_int_equal(bpi_buffer_reserve(buffer, size), 0);
    for (size_t i = 0; i < size; i++) {
        buffer->data[buffer->end++] = (uint8_t)(i * 31 + i / 256);
    }
}

/* Sizes around one, two and many chunks; 200,008 came from a server as 65535 x 3 and 3403. */
static const size_t frame_sizes[] = {1,      2,      65534,  65535,  65536,
                                     131069, 131070, 131071, 200008, 700000};

static void framing_in_place_equals_framing_by_copy(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(frame_sizes); i++) {
        size_t size = frame_sizes[i];
        struct bpi_buffer payload = {0};
        fill_counting(&payload, size);
        struct bpi_buffer copied = {0};
        struct bpi_buffer placed = {0};
        /* Something stands before, as in a real output buffer, and begin isn't 0. */
        assert_int_equal(bpi_buffer_append(&copied, "abc", 3), 0);
        assert_int_equal(bpi_buffer_append(&placed, "zzabc", 5), 0);
        bpi_buffer_consume(&placed, 2);
        assert_int_equal(bpi_chunk_write(&copied, bpi_buffer_head(&payload), size), 0);
        size_t mark;
        assert_int_equal(bpi_chunk_begin(&placed, &mark), 0);
        fill_counting(&placed, size);
        assert_int_equal(bpi_chunk_end(&placed, mark), 0);
        assert_int_equal(bpi_buffer_size(&placed), bpi_buffer_size(&copied));
        assert_memory_equal(bpi_buffer_head(&placed), bpi_buffer_head(&copied),
                            bpi_buffer_size(&copied));
        size_t chunks = (size + 65534) / 65535;
        assert_int_equal(bpi_buffer_size(&copied), 3 + size + 2 * chunks + 2);

        bpi_buffer_consume(&copied, 3);
        struct bpi_chunk_reader reader = {0};
        assert_int_equal(bpi_chunk_read(&reader, &copied, size), BPI_CHUNK_MESSAGE);
        assert_int_equal(bpi_buffer_size(&reader.message), size);
        assert_memory_equal(bpi_buffer_head(&reader.message), bpi_buffer_head(&payload), size);
        bpi_chunk_reader_done(&reader);
        bpi_buffer_done(&payload);
        bpi_buffer_done(&copied);
        bpi_buffer_done(&placed);
    }
}

static void a_frame_can_be_taken_back(void **state)
{
    (void)state;
    struct bpi_buffer out = {0};
    buffer_put_hex(&out, "0102");
    size_t mark;
    assert_int_equal(bpi_chunk_begin(&out, &mark), 0);
    fill_counting(&out, 70000);
    bpi_chunk_abort(&out, mark);
    assert_buffer_hex(&out, "0102");
    bpi_buffer_done(&out);
}

static void an_empty_message_is_never_written(void **state)
{
    (void)state;
    struct bpi_buffer out = {0};
    assert_int_equal(bpi_chunk_write(&out, "", 0), BP_E_USAGE);
    assert_int_equal(bpi_buffer_size(&out), 0);
    bpi_buffer_done(&out);
}

static void writing_without_memory_changes_nothing(void **state)
{
    (void)state;
    uint8_t memory[16];
    for (size_t room = 0; room < 7; room++) {
        struct bpi_buffer out = buffer_with_room(memory, room);
        assert_int_equal(bpi_chunk_write(&out, "abc", 3), BP_E_NO_MEMORY);
        assert_true(buffer_is_untouched(&out));
    }
    struct bpi_buffer out = buffer_with_room(memory, 7);
    assert_int_equal(bpi_chunk_write(&out, "abc", 3), 0);
    assert_memory_equal(memory, "\0\003abc\0\0", 7);
}

static void a_message_above_the_limit_is_refused_by_its_header(void **state)
{
    (void)state;
    struct bpi_buffer in = {0};
    struct bpi_chunk_reader reader = {0};
    buffer_put_hex(&in, "0005 0102030405 0000");
    assert_int_equal(bpi_chunk_read(&reader, &in, 5), BPI_CHUNK_MESSAGE);
    buffer_put_hex(&in, "0006");
    assert_int_equal(bpi_chunk_read(&reader, &in, 5), BP_E_SIZE);
    bpi_chunk_reader_done(&reader);
    buffer_put_hex(&in, "0003 010203 0003");
    assert_int_equal(bpi_chunk_read(&reader, &in, 5), BP_E_SIZE);
    bpi_chunk_reader_done(&reader);
    /* A lower limit than what is there already, as after a log-off. */
    bpi_buffer_clear(&in);
    buffer_put_hex(&in, "0003 010203");
    assert_int_equal(bpi_chunk_read(&reader, &in, 5), BPI_CHUNK_MORE);
    buffer_put_hex(&in, "0001");
    assert_int_equal(bpi_chunk_read(&reader, &in, 2), BP_E_SIZE);
    bpi_chunk_reader_done(&reader);
    bpi_buffer_done(&in);
}

static void memory_follows_what_arrives_and_is_given_back(void **state)
{
    (void)state;
    struct bpi_buffer in = {0};
    struct bpi_chunk_reader reader = {0};
    buffer_put_hex(&in, "FFFF 01");
    assert_int_equal(bpi_chunk_read(&reader, &in, SIZE_MAX), BPI_CHUNK_MORE);
    assert_true(reader.message.capacity < 1024);
    bpi_chunk_reader_done(&reader);

    struct bpi_buffer payload = {0};
    fill_counting(&payload, 300000);
    assert_int_equal(bpi_chunk_write(&in, bpi_buffer_head(&payload), 300000), 0);
    assert_int_equal(bpi_chunk_read(&reader, &in, SIZE_MAX), BPI_CHUNK_MESSAGE);
    assert_int_equal(bpi_chunk_read(&reader, &in, SIZE_MAX), BPI_CHUNK_MORE);
    assert_int_equal(reader.message.capacity, 0);
    bpi_chunk_reader_done(&reader);
    bpi_buffer_done(&payload);
    bpi_buffer_done(&in);
}

static void reading_without_memory_can_be_tried_again(void **state)
{
    (void)state;
    struct bpi_buffer in = {0};
    uint8_t memory[4];
    struct bpi_chunk_reader reader = {.message = buffer_with_room(memory, 0)};
    buffer_put_hex(&in, "0003 010203 0000");
    assert_int_equal(bpi_chunk_read(&reader, &in, SIZE_MAX), BP_E_NO_MEMORY);
    reader.message = (struct bpi_buffer){0};
    assert_int_equal(bpi_chunk_read(&reader, &in, SIZE_MAX), BPI_CHUNK_MESSAGE);
    assert_buffer_hex(&reader.message, "010203");
    bpi_chunk_reader_done(&reader);
    bpi_buffer_done(&in);
}

/* Frames `size` counting bytes in random chunks with NOOPs before. */
static void write_random_frame(struct bpi_random *random, struct bpi_buffer *out, size_t size)
{
    static const uint8_t noop[2];
    for (uint64_t noops = bpi_random_below(random, 3); noops > 0; noops--) {
        assert_int_equal(bpi_buffer_append(out, noop, 2), 0);
    }
    struct bpi_buffer payload = {0};
    fill_counting(&payload, size);
    while (bpi_buffer_size(&payload) > 0) {
        size_t part = bpi_random_below(random, bpi_buffer_size(&payload)) % 65535 + 1;
        uint8_t header[2] = {(uint8_t)(part >> 8), (uint8_t)part};
        assert_int_equal(bpi_buffer_append(out, header, 2), 0);
        assert_int_equal(bpi_buffer_append(out, bpi_buffer_head(&payload), part), 0);
        bpi_buffer_consume(&payload, part);
    }
    assert_int_equal(bpi_buffer_append(out, noop, 2), 0);
    bpi_buffer_done(&payload);
}

static void scanner_and_reader_agree_on_random_streams(void **state)
{
    (void)state;
    const uint64_t seed = 20260902;
    print_message("seed %llu\n", (unsigned long long)seed);
    struct bpi_random random;
    bpi_random_init(&random, seed);
    for (int round = 0; round < 200; round++) {
        struct bpi_buffer stream = {0};
        for (int i = 0; i < 5; i++) {
            write_random_frame(&random, &stream, bpi_random_below(&random, 3000) + 1);
        }
        struct bpi_chunk_scanner scanner = {0};
        struct bpi_chunk_reader reader = {0};
        struct bpi_buffer in = {0};
        int messages = 0;
        while (bpi_buffer_size(&stream) > 0) {
            size_t step = bpi_random_below(&random, bpi_buffer_size(&stream)) % 500 + 1;
            size_t used;
            enum bpi_chunk_event event =
                bpi_chunk_scan(&scanner, bpi_buffer_head(&stream), step, &used);
            assert_int_equal(bpi_buffer_append(&in, bpi_buffer_head(&stream), used), 0);
            bpi_buffer_consume(&stream, used);
            assert_int_equal(bpi_chunk_read(&reader, &in, SIZE_MAX), event);
            assert_int_equal(bpi_buffer_size(&in), 0);
            if (event == BPI_CHUNK_MESSAGE) {
                assert_int_equal(bpi_buffer_size(&reader.message), scanner.message_bytes);
                messages++;
            }
        }
        assert_int_equal(messages, 5);
        bpi_chunk_reader_done(&reader);
        bpi_buffer_done(&in);
        bpi_buffer_done(&stream);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_two_cuts_give_the_same_messages),
        cmocka_unit_test(single_bytes_give_the_same_messages),
        cmocka_unit_test(the_scanner_stops_at_every_border_under_any_cut),
        cmocka_unit_test(framing_in_place_equals_framing_by_copy),
        cmocka_unit_test(a_frame_can_be_taken_back),
        cmocka_unit_test(an_empty_message_is_never_written),
        cmocka_unit_test(writing_without_memory_changes_nothing),
        cmocka_unit_test(a_message_above_the_limit_is_refused_by_its_header),
        cmocka_unit_test(memory_follows_what_arrives_and_is_given_back),
        cmocka_unit_test(reading_without_memory_can_be_tried_again),
        cmocka_unit_test(scanner_and_reader_agree_on_random_streams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
