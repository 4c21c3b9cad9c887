/* Shows that written messages are byte for byte what servers and drivers send, that our own failures
 * have the form of the version, and that a writer without memory leaves its buffer alone.
 */
#include "bolt/message.h"

#include "bolt/chunk.h"

#include <boltpool/error.h>

#include "tests/unit/bolt/bytes.h"

static const struct bpi_bolt_span absent;

static void simple_messages_are_framed_structs(void **state)
{
    (void)state;
    static const struct {
        uint8_t tag;
        const char *hex;
    } cases[] = {
        {BPI_BOLT_COMMIT, "0002 B012 0000"}, {BPI_BOLT_ROLLBACK, "0002 B013 0000"},
        {BPI_BOLT_RESET, "0002 B00F 0000"},  {BPI_BOLT_GOODBYE, "0002 B002 0000"},
        {BPI_BOLT_LOGOFF, "0002 B06B 0000"}, {BPI_BOLT_IGNORED, "0002 B07E 0000"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct bpi_buffer out = {0};
        assert_int_equal(bpi_bolt_write_simple(&out, cases[i].tag), 0);
        assert_buffer_hex(&out, cases[i].hex);
        bpi_buffer_done(&out);
    }
}

static void run_pull_and_begin_are_as_drivers_write_them(void **state)
{
    (void)state;
    struct bpi_buffer out = {0};
    assert_int_equal(bpi_bolt_write_run(&out, text_of("RETURN 1"), absent, absent), 0);
    assert_buffer_hex(&out, "000D B3108852455455524E2031A0A0 0000");
    bpi_buffer_clear(&out);
    assert_int_equal(bpi_bolt_write_fetch(&out, BPI_BOLT_PULL, -1, -1), 0);
    assert_buffer_hex(&out, "0006 B13F A1 816E FF 0000");
    bpi_buffer_clear(&out);
    assert_int_equal(bpi_bolt_write_fetch(&out, BPI_BOLT_DISCARD, -1, 0), 0);
    assert_buffer_hex(&out, "000B B12F A2 816E FF 83716964 00 0000");
    bpi_buffer_clear(&out);
    struct bytes mode = bytes_of("A1 846D6F6465 8172");
    assert_int_equal(bpi_bolt_write_map(&out, BPI_BOLT_BEGIN, span_of(&mode)), 0);
    assert_buffer_hex(&out, "000A B111 A1 846D6F6465 8172 0000");
    bytes_free(&mode);
    bpi_buffer_clear(&out);
    assert_int_equal(bpi_bolt_write_success(&out, absent), 0);
    assert_buffer_hex(&out, "0003 B170 A0 0000");
    bpi_buffer_done(&out);
}

/* The payload of the one message in `out`, read as an answer. */
static struct bpi_bolt_answer read_back(struct bpi_buffer *out, struct bpi_chunk_reader *reader)
{
    struct bpi_bolt_answer answer = {0};
    assert_int_equal(bpi_chunk_read(reader, out, SIZE_MAX), BPI_CHUNK_MESSAGE);
    assert_int_equal(bpi_buffer_size(out), 0);
    assert_int_equal(bpi_bolt_answer_read(bpi_buffer_head(&reader->message),
                                          bpi_buffer_size(&reader->message), &answer),
                     0);
    return answer;
}

static uint32_t meta_pairs(struct bpi_bolt_span meta)
{
    struct bpi_pack_reader reader;
    uint32_t pairs = 0;
    bpi_pack_reader_init(&reader, meta.data, meta.size);
    assert_int_equal(bpi_pack_next_map(&reader, &pairs), 0);
    return pairs;
}

static struct bpi_bolt_span meta_value(struct bpi_bolt_span meta, const char *key)
{
    struct bpi_bolt_span value = {0};
    assert_int_equal(bpi_pack_map_find(meta.data, meta.size, key, &value.data, &value.size), 1);
    return value;
}

static struct bpi_bolt_text meta_text(struct bpi_bolt_span meta, const char *key)
{
    struct bpi_bolt_span value = meta_value(meta, key);
    struct bpi_pack_reader reader;
    struct bpi_bolt_text text = {0};
    bpi_pack_reader_init(&reader, value.data, value.size);
    assert_int_equal(bpi_pack_next_string(&reader, &text.data, &text.size), 0);
    return text;
}

static void failures_have_two_keys_before_5_7(void **state)
{
    (void)state;
    for (bpi_bolt_versions rest = bpi_bolt_versions_range(BPI_BOLT(4, 1), BPI_BOLT(5, 6));
         rest != 0; rest &= rest - 1) {
        struct bpi_buffer out = {0};
        struct bpi_chunk_reader reader = {0};
        bpi_bolt_version version = bpi_bolt_versions_oldest(rest);
        assert_int_equal(bpi_bolt_write_failure(&out, version, "Neo.X.Y.Z", "why", true), 0);
        struct bpi_bolt_answer answer = read_back(&out, &reader);
        assert_int_equal(answer.tag, BPI_BOLT_FAILURE);
        assert_int_equal(meta_pairs(answer.meta), 2);
        assert_text(meta_text(answer.meta, "code"), "Neo.X.Y.Z");
        assert_text(answer.message, "why");
        bpi_chunk_reader_done(&reader);
        bpi_buffer_done(&out);
    }
}

static void failures_have_the_gql_form_from_5_7(void **state)
{
    (void)state;
    static const struct {
        const char *code, *status, *classification;
    } cases[] = {
        {"Neo.TransientError.Request.NoThreadsAvailable", "51N59", "TRANSIENT_ERROR"},
        {"Neo.ClientError.Request.Invalid", "08N06", "CLIENT_ERROR"},
        {"Neo.ClientError.Request.InvalidFormat", "08N06", "CLIENT_ERROR"},
        {"Neo.ClientError.Security.Unauthorized", "42NFF", "CLIENT_ERROR"},
        {"Neo.TransientError.General.DatabaseUnavailable", "50N42", "TRANSIENT_ERROR"},
        {"Neo.DatabaseError.General.UnknownError", "50N42", "DATABASE_ERROR"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        for (int idempotent = 0; idempotent < 2; idempotent++) {
            struct bpi_buffer out = {0};
            struct bpi_chunk_reader reader = {0};
            assert_int_equal(
                bpi_bolt_write_failure(&out, BPI_BOLT(5, 7), cases[i].code, "why", idempotent != 0),
                0);
            struct bpi_bolt_answer answer = read_back(&out, &reader);
            assert_int_equal(meta_pairs(answer.meta), 4 + idempotent);
            assert_text(meta_text(answer.meta, "neo4j_code"), cases[i].code);
            assert_text(meta_text(answer.meta, "message"), "why");
            assert_text(meta_text(answer.meta, "gql_status"), cases[i].status);
            assert_true(meta_text(answer.meta, "description").size > 0);
            if (idempotent != 0) {
                struct bpi_bolt_span record = meta_value(answer.meta, "diagnostic_record");
                assert_int_equal(meta_pairs(record), 2);
                assert_text(meta_text(record, "_classification"), cases[i].classification);
                struct bpi_bolt_span mark = meta_value(record, "_idempotent");
                assert_int_equal(mark.size, 1);
                assert_int_equal(mark.data[0], 0xc3);
            }
            bpi_chunk_reader_done(&reader);
            bpi_buffer_done(&out);
        }
    }
}

static void a_route_answer_names_one_address_in_all_roles(void **state)
{
    (void)state;
    struct bpi_buffer out = {0};
    assert_int_equal(bpi_bolt_write_route_success(&out, "h:1", 300, text_of("neo4j")), 0);
    assert_buffer_hex(&out, "0070 B170 A1 827274 A3 87736572766572 73"
                            "93 A2 89616464726573736573 91 83683A31 84726F6C65 855752495445"
                            "A2 89616464726573736573 91 83683A31 84726F6C65 8452454144"
                            "A2 89616464726573736573 91 83683A31 84726F6C65 85524F555445"
                            "8374746C C9012C 826462 856E656F346A 0000");
    bpi_buffer_clear(&out);
    struct bpi_bolt_text none = {0};
    struct bpi_chunk_reader reader = {0};
    assert_int_equal(bpi_bolt_write_route_success(&out, "h:1", 300, none), 0);
    struct bpi_bolt_answer answer = read_back(&out, &reader);
    assert_int_equal(meta_pairs(meta_value(answer.meta, "rt")), 2);
    bpi_chunk_reader_done(&reader);
    bpi_buffer_done(&out);
}

static void a_map_is_extended_behind_its_own_pairs(void **state)
{
    (void)state;
    static const char *const keys[] = {"b", "c"};
    struct bytes map = bytes_of("A1816101");
    struct bytes two = bytes_of("9102");
    struct bytes three = bytes_of("03");
    struct bpi_bolt_span values[] = {span_of(&two), span_of(&three)};
    struct bpi_buffer out = {0};
    assert_int_equal(bpi_bolt_map_extend(&out, span_of(&map), 2, keys, values), 0);
    assert_buffer_hex(&out, "A3 816101 8162 9102 8163 03");
    bpi_buffer_clear(&out);
    assert_int_equal(bpi_bolt_map_extend(&out, absent, 1, keys, values), 0);
    assert_buffer_hex(&out, "A1 8162 9102");
    bpi_buffer_clear(&out);
    assert_int_equal(bpi_bolt_map_extend(&out, span_of(&map), 0, NULL, NULL), 0);
    assert_buffer_hex(&out, "A1816101");
    bpi_buffer_clear(&out);
    assert_int_equal(bpi_bolt_map_extend(&out, span_of(&two), 1, keys, values), BP_E_TYPE);
    assert_int_equal(bpi_buffer_size(&out), 0);
    bytes_free(&map);
    bytes_free(&two);
    bytes_free(&three);
    bpi_buffer_done(&out);
}

static void a_map_of_15_grows_into_the_wider_head(void **state)
{
    (void)state;
    static const char *const keys[] = {"z"};
    struct bytes map = bytes_of("AF 816100 816200 816300 816400 816500 816600 816700 816800 816900 "
                                "816A00 816B00 816C00 816D00 816E00 816F00");
    struct bytes one = bytes_of("01");
    struct bpi_bolt_span values[] = {span_of(&one)};
    struct bpi_buffer out = {0};
    assert_int_equal(bpi_bolt_map_extend(&out, span_of(&map), 1, keys, values), 0);
    assert_int_equal(bpi_buffer_size(&out), map.size + 1 + 3);
    assert_int_equal(bpi_buffer_head(&out)[0], 0xd8);
    assert_int_equal(bpi_buffer_head(&out)[1], 16);
    struct bpi_pack_reader reader;
    bpi_pack_reader_init(&reader, bpi_buffer_head(&out), bpi_buffer_size(&out));
    assert_int_equal(bpi_pack_skip(&reader, &bpi_pack_limits_open), 0);
    assert_ptr_equal(reader.at, reader.end);
    bytes_free(&map);
    bytes_free(&one);
    bpi_buffer_done(&out);
}

static int write_any(unsigned which, struct bpi_buffer *out)
{
    static const uint8_t value[] = {0x01};
    static const char *const keys[] = {"k"};
    struct bpi_bolt_span span = {value, 1};
    switch (which) {
    case 0:
        return bpi_bolt_write_simple(out, BPI_BOLT_RESET);
    case 1:
        return bpi_bolt_write_map(out, BPI_BOLT_BEGIN, absent);
    case 2:
        return bpi_bolt_write_run(out, text_of("RETURN 1"), absent, absent);
    case 3:
        return bpi_bolt_write_fetch(out, BPI_BOLT_PULL, 1000, 7);
    case 4:
        return bpi_bolt_write_failure(out, BPI_BOLT(4, 4), "c", "m", false);
    case 5:
        return bpi_bolt_write_failure(out, BPI_BOLT(5, 8), "c", "m", true);
    case 6:
        return bpi_bolt_write_route_success(out, "h:1", 1, text_of("d"));
    default:
        return bpi_bolt_map_extend(out, absent, 1, keys, &span);
    }
}

static void every_writer_without_memory_leaves_the_buffer_alone(void **state)
{
    (void)state;
    uint8_t memory[512];
    for (unsigned which = 0; which < 8; which++) {
        struct bpi_buffer whole = {0};
        assert_int_equal(write_any(which, &whole), 0);
        size_t size = bpi_buffer_size(&whole);
        assert_true(size < sizeof(memory));
        for (size_t room = 0; room < size; room++) {
            struct bpi_buffer out = buffer_with_room(memory, room);
            assert_int_equal(write_any(which, &out), BP_E_NO_MEMORY);
            assert_true(buffer_is_untouched(&out));
        }
        struct bpi_buffer out = buffer_with_room(memory, size);
        assert_int_equal(write_any(which, &out), 0);
        assert_memory_equal(memory, bpi_buffer_head(&whole), size);
        bpi_buffer_done(&whole);
    }
}

static void a_large_query_is_split_into_chunks(void **state)
{
    (void)state;
    struct bpi_buffer out = {0};
    struct bpi_chunk_reader reader = {0};
    size_t size = 200000;
    char *query = malloc(size);
    assert_non_null(query);
    memset(query, 'q', size);
    struct bpi_bolt_text text = {query, size};
    assert_int_equal(bpi_bolt_write_run(&out, text, absent, absent), 0);
    assert_int_equal(bpi_chunk_read(&reader, &out, SIZE_MAX), BPI_CHUNK_MESSAGE);
    struct bpi_bolt_request request;
    assert_int_equal(bpi_bolt_request_read(bpi_buffer_head(&reader.message),
                                           bpi_buffer_size(&reader.message), BPI_BOLT(5, 8),
                                           &bpi_pack_limits_open, &request),
                     0);
    assert_int_equal(request.query.size, size);
    assert_memory_equal(request.query.data, query, size);
    bpi_chunk_reader_done(&reader);
    bpi_buffer_done(&out);
    free(query);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(simple_messages_are_framed_structs),
        cmocka_unit_test(run_pull_and_begin_are_as_drivers_write_them),
        cmocka_unit_test(failures_have_two_keys_before_5_7),
        cmocka_unit_test(failures_have_the_gql_form_from_5_7),
        cmocka_unit_test(a_route_answer_names_one_address_in_all_roles),
        cmocka_unit_test(a_map_is_extended_behind_its_own_pairs),
        cmocka_unit_test(a_map_of_15_grows_into_the_wider_head),
        cmocka_unit_test(every_writer_without_memory_leaves_the_buffer_alone),
        cmocka_unit_test(a_large_query_is_split_into_chunks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
