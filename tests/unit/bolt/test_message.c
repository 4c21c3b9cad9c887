/* Shows that requests and answers are read with exactly the fields of their version, that maps are
 * read by what servers accept, and that HELLO is judged as real servers judge it.
 */
#include "bolt/message.h"

#include <boltpool/error.h>

#include "tests/unit/bolt/bytes.h"

#define V4_1 BPI_BOLT(4, 1)
#define V4_3 BPI_BOLT(4, 3)
#define V4_4 BPI_BOLT(4, 4)
#define V5_1 BPI_BOLT(5, 1)
#define V5_8 BPI_BOLT(5, 8)

/* Payloads as drivers write them, and the oldest version that knows them. */
static const struct {
    const char *name;
    const char *hex;
    bpi_bolt_version first;
} requests[] = {
    {"HELLO", "B101 A2 8A757365725F6167656E74 83612F31 86736368656D65 846E6F6E65", V4_1},
    {"LOGON", "B16A A1 86736368656D65 846E6F6E65", V5_1},
    {"LOGOFF", "B06B", V5_1},
    {"RUN", "B310 8852455455524E2031 A0 A0", V4_1},
    {"PULL", "B13F A1 816E FF", V4_1},
    {"DISCARD", "B12F A2 816E FF 83716964 00", V4_1},
    {"BEGIN", "B111 A1 846D6F6465 8172", V4_1},
    {"COMMIT", "B012", V4_1},
    {"ROLLBACK", "B013", V4_1},
    {"RESET", "B00F", V4_1},
    {"GOODBYE", "B002", V4_1},
    {"ROUTE", "B366 A0 90 A0", V4_4},
    {"TELEMETRY", "B154 02", BPI_BOLT(5, 4)},
};

static int read_status(const char *hex,
                       bpi_bolt_version version,
                       const struct bpi_pack_limits *limits,
                       uint8_t *ret_tag)
{
    struct bytes bytes = bytes_of(hex);
    struct bpi_bolt_request request;
    int error = bpi_bolt_request_read(bytes.data, bytes.size, version, limits, &request);
    *ret_tag = request.tag;
    bytes_free(&bytes);
    return error;
}

static void requests_are_known_from_their_version_on(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(requests); i++) {
        bpi_bolt_versions rest = bpi_bolt_versions_all();
        while (rest != 0) {
            bpi_bolt_version version = bpi_bolt_versions_oldest(rest);
            rest &= ~bpi_bolt_versions_of(version);
            uint8_t tag;
            int error = read_status(requests[i].hex, version, &bpi_pack_limits_open, &tag);
            assert_string_equal(bpi_bolt_tag_name(tag), requests[i].name);
            /* ROUTE is there in 4.3 too, with another third field. */
            bool other_form = tag == BPI_BOLT_ROUTE && version == V4_3;
            int expected = version >= requests[i].first ? 0 : BP_E_UNEXPECTED;
            assert_int_equal(error, other_form ? BP_E_TYPE : expected);
            assert_int_equal(bpi_bolt_tag_is_request(tag, version), error != BP_E_UNEXPECTED);
        }
    }
}

static void a_request_cut_anywhere_is_truncated_but_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(requests); i++) {
        struct bytes whole = bytes_of(requests[i].hex);
        for (size_t size = 0; size < whole.size; size++) {
            struct bytes cut = bytes_copy(whole.data, size);
            struct bpi_bolt_request request;
            int error =
                bpi_bolt_request_read(cut.data, size, V5_8, &bpi_pack_limits_open, &request);
            assert_int_equal(error, BP_E_TRUNCATED);
            assert_int_equal(request.tag, size < 2 ? 0 : whole.data[1]);
            bytes_free(&cut);
        }
        bytes_free(&whole);
    }
}

static void bytes_behind_the_struct_are_ignored(void **state)
{
    (void)state;
    uint8_t tag;
    assert_int_equal(read_status("B00F C4FFFF", V5_8, &bpi_pack_limits_open, &tag), 0);
    assert_int_equal(read_status("B154 02 C4", V5_8, &bpi_pack_limits_open, &tag), 0);
}

static void malformed_requests_are_told_apart(void **state)
{
    (void)state;
    static const struct {
        const char *hex;
        int error;
        uint8_t tag;
    } cases[] = {
        {"01", BP_E_TYPE, 0},
        {"9101", BP_E_TYPE, 0},
        {"C4", BP_E_MARKER, 0},
        {"DC010F", BP_E_MARKER, 0},
        {"B055", BP_E_UNEXPECTED, 0x55},
        {"B000", BP_E_UNEXPECTED, 0},
        {"B0FF", BP_E_UNEXPECTED, 0xff},
        {"B170A0", BP_E_UNEXPECTED, 0x70},
        {"B10FA0", BP_E_FIELDS, 0x0f},
        {"B011", BP_E_FIELDS, 0x11},
        {"B210 8161 A0", BP_E_FIELDS, 0x10},
        {"B410 8161 A0 A0 A0", BP_E_FIELDS, 0x10},
        {"B310 01 A0 A0", BP_E_TYPE, 0x10},
        {"B310 8161 C0 A0", BP_E_TYPE, 0x10},
        {"B310 8161 A0 90", BP_E_TYPE, 0x10},
        {"B310 8161 A10101 A0", BP_E_TYPE, 0x10},
        {"B310 8161 A18161C6 A0", BP_E_MARKER, 0x10},
        {"B111 C0", BP_E_TYPE, 0x11},
        {"B154 8161", BP_E_TYPE, 0x54},
        {"B366 A0 A0 A0", BP_E_TYPE, 0x66},
        {"B366 A0 90 C0", BP_E_TYPE, 0x66},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint8_t tag;
        int error = read_status(cases[i].hex, V5_8, &bpi_pack_limits_open, &tag);
        assert_int_equal(error, cases[i].error);
        assert_int_equal(tag, cases[i].tag);
    }
}

static void log_in_limits_count_the_message_as_the_first_level(void **state)
{
    (void)state;
    uint8_t tag;
    assert_int_equal(read_status("B101A18178919101", V5_8, &bpi_pack_limits_login, &tag), 0);
    assert_int_equal(read_status("B101A1817891919101", V5_8, &bpi_pack_limits_login, &tag),
                     BP_E_DEPTH);
    assert_int_equal(read_status("B101A18178D441"
                                 "0000000000000000000000000000000000000000000000000000000000000000"
                                 "0000000000000000000000000000000000000000000000000000000000000000"
                                 "00",
                                 V5_8, &bpi_pack_limits_login, &tag),
                     BP_E_ITEMS);
}

static void the_parts_of_run_lie_where_they_were_sent(void **state)
{
    (void)state;
    struct bytes bytes = bytes_of("B310 826162 A1816101 A18162C0");
    struct bpi_bolt_request request;
    assert_int_equal(
        bpi_bolt_request_read(bytes.data, bytes.size, V5_8, &bpi_pack_limits_open, &request), 0);
    assert_text(request.query, "ab");
    assert_ptr_equal(request.parameters.data, bytes.data + 5);
    assert_int_equal(request.parameters.size, 4);
    assert_ptr_equal(request.extra.data, bytes.data + 9);
    assert_int_equal(request.extra.size, 4);
    assert_null(request.bookmarks.data);
    assert_null(request.route_db.data);
    bytes_free(&bytes);
}

static void route_has_a_database_in_4_3_and_a_map_later(void **state)
{
    (void)state;
    uint8_t tag;
    static const char *const forms[] = {"B366 A0 90 C0", "B366 A0 90 826462", "B366 A0 90 A0"};
    assert_int_equal(read_status(forms[0], V4_3, &bpi_pack_limits_open, &tag), 0);
    assert_int_equal(read_status(forms[1], V4_3, &bpi_pack_limits_open, &tag), 0);
    assert_int_equal(read_status(forms[2], V4_3, &bpi_pack_limits_open, &tag), BP_E_TYPE);
    assert_int_equal(read_status(forms[0], V4_4, &bpi_pack_limits_open, &tag), BP_E_TYPE);
    assert_int_equal(read_status(forms[1], V4_4, &bpi_pack_limits_open, &tag), BP_E_TYPE);
    assert_int_equal(read_status(forms[2], V4_4, &bpi_pack_limits_open, &tag), 0);

    struct bytes bytes = bytes_of("B366 A1816101 918162 A1826462 8163");
    struct bpi_bolt_request request;
    assert_int_equal(
        bpi_bolt_request_read(bytes.data, bytes.size, V4_4, &bpi_pack_limits_open, &request), 0);
    assert_ptr_equal(request.extra.data, bytes.data + 2);
    assert_int_equal(request.extra.size, 4);
    assert_ptr_equal(request.bookmarks.data, bytes.data + 6);
    assert_int_equal(request.bookmarks.size, 3);
    assert_ptr_equal(request.route_db.data, bytes.data + 9);
    assert_int_equal(request.route_db.size, 6);
    bytes_free(&bytes);
}

static void telemetry_carries_its_number(void **state)
{
    (void)state;
    struct bytes bytes = bytes_of("B154 CA00010000");
    struct bpi_bolt_request request;
    assert_int_equal(
        bpi_bolt_request_read(bytes.data, bytes.size, V5_8, &bpi_pack_limits_open, &request), 0);
    assert_int_equal(request.api, 65536);
    bytes_free(&bytes);
}

/* A map written pair by pair, so that cases can be read as what they mean. */
struct map {
    struct bpi_buffer pairs;
    struct bpi_pack_writer writer;
    size_t count;
    struct bytes encoded;
};

static void map_start(struct map *map)
{
    memset(map, 0, sizeof(*map));
    bpi_pack_writer_init(&map->writer, &map->pairs);
}

static struct bpi_pack_writer *map_key(struct map *map, const char *key)
{
    bpi_pack_text(&map->writer, key);
    map->count++;
    return &map->writer;
}

static struct bpi_bolt_span map_end(struct map *map)
{
    struct bpi_buffer head = {0};
    struct bpi_pack_writer writer;
    bpi_pack_writer_init(&writer, &head);
    bpi_pack_map(&writer, map->count);
    bpi_pack_raw(&writer, bpi_buffer_head(&map->pairs), bpi_buffer_size(&map->pairs));
    assert_int_equal(writer.status, 0);
    map->encoded = bytes_copy(bpi_buffer_head(&head), bpi_buffer_size(&head));
    bpi_buffer_done(&head);
    return span_of(&map->encoded);
}

static void map_done(struct map *map)
{
    bpi_buffer_done(&map->pairs);
    bytes_free(&map->encoded);
}

static void the_extra_of_a_transaction_is_read_by_its_keys(void **state)
{
    (void)state;
    struct map map;
    map_start(&map);
    bpi_pack_text(map_key(&map, "mode"), "r");
    bpi_pack_text(map_key(&map, "db"), "movies");
    bpi_pack_text(map_key(&map, "imp_user"), "ann");
    bpi_pack_map(map_key(&map, "tx_metadata"), 0);
    bpi_pack_list(map_key(&map, "bookmarks"), 1);
    bpi_pack_text(&map.writer, "FB:1");
    bpi_pack_int(map_key(&map, "tx_timeout"), 5000);
    bpi_pack_text(map_key(&map, "notifications_minimum_severity"), "OFF");
    bpi_pack_list(map_key(&map, "notifications_disabled_classifications"), 0);
    bpi_pack_text(map_key(&map, "tx_type"), "IMPLICIT");
    struct bpi_bolt_tx_extra tx;
    assert_int_equal(bpi_bolt_tx_extra_read(map_end(&map), &tx), 0);
    assert_true(tx.mode_read);
    assert_text(tx.db, "movies");
    assert_text(tx.imp_user, "ann");
    assert_int_equal(tx.metadata.size, 1);
    assert_true(tx.has_bookmarks);
    assert_true(tx.has_severity);
    assert_true(tx.has_disabled);
    assert_int_equal(tx.timeout_ms, 5000);
    map_done(&map);
}

static void null_and_absent_are_the_same_in_a_transaction(void **state)
{
    (void)state;
    struct map map;
    map_start(&map);
    static const char *const keys[] = {"mode",        "db",        "imp_user",
                                       "tx_metadata", "bookmarks", "tx_timeout"};
    for (size_t i = 0; i < COUNT(keys); i++) {
        bpi_pack_null(map_key(&map, keys[i]));
    }
    struct bpi_bolt_span spans[] = {map_end(&map), {NULL, 0}};
    for (size_t i = 0; i < COUNT(spans); i++) {
        struct bpi_bolt_tx_extra tx;
        assert_int_equal(bpi_bolt_tx_extra_read(spans[i], &tx), 0);
        assert_false(tx.mode_read);
        assert_null(tx.db.data);
        assert_null(tx.imp_user.data);
        assert_null(tx.metadata.data);
        assert_false(tx.has_bookmarks || tx.has_severity || tx.has_disabled);
        assert_int_equal(tx.timeout_ms, -1);
    }
    map_done(&map);
}

static int tx_status(const char *hex, struct bpi_bolt_tx_extra *ret_tx)
{
    struct bytes bytes = bytes_of(hex);
    int error = bpi_bolt_tx_extra_read(span_of(&bytes), ret_tx);
    bytes_free(&bytes);
    return error;
}

static void wrong_values_in_a_transaction_are_errors_or_the_servers_to_refuse(void **state)
{
    (void)state;
    struct bpi_bolt_tx_extra tx;
    assert_int_equal(tx_status("A1 826462 01", &tx), BP_E_TYPE);
    assert_int_equal(tx_status("A1 846D6F6465 01", &tx), BP_E_TYPE);
    assert_int_equal(tx_status("A1 89626F6F6B6D61726B73 8161", &tx), BP_E_TYPE);
    assert_int_equal(tx_status("A1 8A74785F74696D656F7574 8161", &tx), BP_E_TYPE);
    assert_int_equal(tx_status("A2 826462 8161 826462 8162", &tx), BP_E_PROTOCOL);
    assert_int_equal(tx_status("A1 01 01", &tx), BP_E_TYPE);
    assert_int_equal(tx_status("90", &tx), BP_E_TYPE);
    /* A strange mode and a negative timeout. */
    assert_int_equal(tx_status("A1 846D6F6465 8178", &tx), 0);
    assert_false(tx.mode_read);
    assert_int_equal(tx_status("A1 8A74785F74696D656F7574 F0", &tx), 0);
    assert_int_equal(tx.timeout_ms, -1);
    assert_int_equal(tx_status("A1 89626F6F6B6D61726B73 90", &tx), 0);
    assert_false(tx.has_bookmarks);
}

static void fetches_have_a_count_and_perhaps_a_statement(void **state)
{
    (void)state;
    static const struct {
        const char *hex;
        int error;
        int64_t n, qid;
    } cases[] = {
        {"A1 816E FF", 0, -1, -1},
        {"A1 816E C903E8", 0, 1000, -1},
        {"A2 816E FF 83716964 03", 0, -1, 3},
        {"A2 83716964 FF 816E 05", 0, 5, -1},
        {"A0", 0, 0, -1},
        {"A1 817A 01", 0, 0, -1},
        {"A1 816E C0", BP_E_TYPE, 0, 0},
        {"A1 816E 8161", BP_E_TYPE, 0, 0},
        {"A2 816E 01 816E 01", BP_E_PROTOCOL, 0, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct bytes bytes = bytes_of(cases[i].hex);
        int64_t n = 0;
        int64_t qid = 0;
        assert_int_equal(bpi_bolt_fetch_read(span_of(&bytes), &n, &qid), cases[i].error);
        assert_int_equal(n, cases[i].n);
        assert_int_equal(qid, cases[i].qid);
        bytes_free(&bytes);
    }
}

static void a_log_in_is_read_from_any_map_that_holds_it(void **state)
{
    (void)state;
    struct map map;
    map_start(&map);
    bpi_pack_text(map_key(&map, "user_agent"), "x/1");
    bpi_pack_text(map_key(&map, "scheme"), "basic");
    bpi_pack_text(map_key(&map, "principal"), "neo4j");
    bpi_pack_text(map_key(&map, "credentials"), "secret");
    bpi_pack_null(map_key(&map, "realm"));
    struct bpi_bolt_auth auth;
    assert_int_equal(bpi_bolt_auth_read(map_end(&map), &auth), 0);
    assert_text(auth.scheme, "basic");
    assert_text(auth.principal, "neo4j");
    assert_text(auth.credentials, "secret");
    assert_null(auth.realm.data);
    map_done(&map);

    map_start(&map);
    /* What is no text is the server's to judge: 5.x takes bytes as credentials. */
    bpi_pack_int(map_key(&map, "credentials"), 1);
    bpi_pack_text(map_key(&map, "principal"), "neo4j");
    assert_int_equal(bpi_bolt_auth_read(map_end(&map), &auth), 0);
    assert_null(auth.credentials.data);
    assert_text(auth.principal, "neo4j");
    map_done(&map);

    map_start(&map);
    bpi_pack_text(map_key(&map, "scheme"), "basic");
    bpi_pack_text(map_key(&map, "scheme"), "none");
    assert_int_equal(bpi_bolt_auth_read(map_end(&map), &auth), BP_E_PROTOCOL);
    map_done(&map);
}

static void hello_good(struct map *map)
{
    map_start(map);
    bpi_pack_text(map_key(map, "user_agent"), "neo4j-python/6.4.1");
    bpi_pack_map(map_key(map, "bolt_agent"), 1);
    bpi_pack_text(&map->writer, "product");
    bpi_pack_text(&map->writer, "neo4j-python/6.4.1");
}

static void one_value_of_a_map_is_found_by_its_key(void **state)
{
    (void)state;
    /* {"t": "ab", "i": 300, "y": true, "n": false} */
    struct bytes bytes = bytes_of("A4 8174 826162 8169 C9012C 8179 C3 816E C2");
    struct bpi_bolt_span map = {bytes.data, bytes.size};
    struct bpi_bolt_span none = {0};
    int64_t number = 7;
    assert_true(bpi_bolt_text_is(bpi_bolt_map_text(map, "t"), "ab"));
    assert_int_equal(bpi_bolt_map_get(map, "t").size, 3);
    assert_true(bpi_bolt_map_int(map, "i", &number));
    assert_int_equal(number, 300);
    assert_true(bpi_bolt_map_true(map, "y"));
    /* Another type, another key, no map, and bytes that end too early. */
    assert_null(bpi_bolt_map_text(map, "i").data);
    assert_false(bpi_bolt_map_int(map, "t", &number));
    assert_false(bpi_bolt_map_true(map, "n"));
    assert_false(bpi_bolt_map_true(map, "i"));
    assert_null(bpi_bolt_map_get(map, "x").data);
    assert_null(bpi_bolt_map_text(none, "t").data);
    assert_false(bpi_bolt_map_int(none, "i", &number));
    map.size = 4;
    assert_null(bpi_bolt_map_get(map, "t").data);
    assert_int_equal(number, 300);
    bytes_free(&bytes);
}

static void hello_is_read_by_its_keys(void **state)
{
    (void)state;
    struct map map;
    hello_good(&map);
    bpi_pack_map(map_key(&map, "routing"), 1);
    bpi_pack_text(&map.writer, "address");
    bpi_pack_text(&map.writer, "front:7687");
    bpi_pack_list(map_key(&map, "patch_bolt"), 2);
    bpi_pack_text(&map.writer, "other");
    bpi_pack_text(&map.writer, "utc");
    bpi_pack_text(map_key(&map, "notifications_minimum_severity"), "OFF");
    bpi_pack_list(map_key(&map, "notifications_disabled_classifications"), 0);
    struct bpi_bolt_hello hello;
    assert_int_equal(bpi_bolt_hello_read(map_end(&map), &hello), 0);
    assert_text(hello.user_agent, "neo4j-python/6.4.1");
    assert_non_null(hello.bolt_agent.data);
    assert_true(hello.has_routing);
    assert_text(hello.routing_address, "front:7687");
    assert_true(hello.patch_utc);
    assert_int_equal(hello.severity.size, 4);
    assert_int_equal(hello.disabled.size, 1);
    assert_true(hello.disabled_is_classifications);
    map_done(&map);
}

static void a_bare_hello_leaves_everything_absent(void **state)
{
    (void)state;
    struct map map;
    map_start(&map);
    bpi_pack_null(map_key(&map, "routing"));
    bpi_pack_text(map_key(&map, "patch_bolt"), "utc");
    bpi_pack_list(map_key(&map, "notifications_disabled_categories"), 0);
    struct bpi_bolt_hello hello;
    assert_int_equal(bpi_bolt_hello_read(map_end(&map), &hello), 0);
    assert_null(hello.user_agent.data);
    assert_null(hello.bolt_agent.data);
    assert_false(hello.has_routing);
    assert_null(hello.routing_address.data);
    assert_false(hello.patch_utc);
    assert_null(hello.severity.data);
    assert_int_equal(hello.disabled.size, 1);
    assert_false(hello.disabled_is_classifications);
    map_done(&map);

    /* neo4rs sends an empty routing context. */
    map_start(&map);
    bpi_pack_map(map_key(&map, "routing"), 0);
    assert_int_equal(bpi_bolt_hello_read(map_end(&map), &hello), 0);
    assert_true(hello.has_routing);
    assert_null(hello.routing_address.data);
    map_done(&map);
}

static int hello_status(struct map *map, bpi_bolt_version version)
{
    const char *reason = NULL;
    int error = bpi_bolt_hello_check(map_end(map), version, &reason);
    assert_int_equal(reason == NULL, error == 0);
    map_done(map);
    return error;
}

static void a_good_hello_passes_in_every_version(void **state)
{
    (void)state;
    for (bpi_bolt_versions rest = bpi_bolt_versions_all(); rest != 0; rest &= rest - 1) {
        struct map map;
        hello_good(&map);
        bpi_pack_null(map_key(&map, "routing"));
        bpi_pack_int(map_key(&map, "something"), 1);
        bpi_pack_text(map_key(&map, "notifications_minimum_severity"), "warning");
        bpi_pack_list(map_key(&map, "notifications_disabled_classifications"), 1);
        bpi_pack_text(&map.writer, "HINT");
        bpi_pack_list(map_key(&map, "notifications_disabled_categories"), 1);
        bpi_pack_text(&map.writer, "Hint");
        assert_int_equal(hello_status(&map, bpi_bolt_versions_oldest(rest)), 0);
    }
}

static void a_hello_needs_its_agents(void **state)
{
    (void)state;
    struct map map;
    map_start(&map);
    assert_int_equal(hello_status(&map, V4_4), BP_E_PROTOCOL);
    map_start(&map);
    bpi_pack_null(map_key(&map, "user_agent"));
    assert_int_equal(hello_status(&map, V4_4), BP_E_PROTOCOL);
    map_start(&map);
    bpi_pack_text(map_key(&map, "user_agent"), "x/1");
    assert_int_equal(hello_status(&map, BPI_BOLT(5, 2)), 0);
    map_start(&map);
    bpi_pack_text(map_key(&map, "user_agent"), "x/1");
    assert_int_equal(hello_status(&map, BPI_BOLT(5, 3)), BP_E_PROTOCOL);
    /* A bolt_agent without product, and one with a null value. */
    map_start(&map);
    bpi_pack_text(map_key(&map, "user_agent"), "x/1");
    bpi_pack_map(map_key(&map, "bolt_agent"), 1);
    bpi_pack_text(&map.writer, "platform");
    bpi_pack_text(&map.writer, "linux");
    assert_int_equal(hello_status(&map, V5_8), BP_E_PROTOCOL);
    map_start(&map);
    bpi_pack_text(map_key(&map, "user_agent"), "x/1");
    bpi_pack_map(map_key(&map, "bolt_agent"), 2);
    bpi_pack_text(&map.writer, "product");
    bpi_pack_text(&map.writer, "x/1");
    bpi_pack_text(&map.writer, "platform");
    bpi_pack_null(&map.writer);
    assert_int_equal(hello_status(&map, V5_8), BP_E_PROTOCOL);
}

static void a_hello_with_a_wrong_routing_context_or_filter_fails(void **state)
{
    (void)state;
    struct map map;
    hello_good(&map);
    bpi_pack_map(map_key(&map, "routing"), 1);
    bpi_pack_text(&map.writer, "policy");
    bpi_pack_int(&map.writer, 1);
    assert_int_equal(hello_status(&map, V5_8), BP_E_PROTOCOL);
    hello_good(&map);
    bpi_pack_text(map_key(&map, "routing"), "x");
    assert_int_equal(hello_status(&map, V5_8), BP_E_PROTOCOL);
    hello_good(&map);
    bpi_pack_text(map_key(&map, "notifications_minimum_severity"), "LOUD");
    assert_int_equal(hello_status(&map, V5_8), BP_E_PROTOCOL);
    hello_good(&map);
    bpi_pack_list(map_key(&map, "notifications_disabled_classifications"), 2);
    bpi_pack_text(&map.writer, "HINT");
    bpi_pack_text(&map.writer, "TASTE");
    assert_int_equal(hello_status(&map, V5_8), BP_E_PROTOCOL);
    hello_good(&map);
    bpi_pack_text(map_key(&map, "notifications_disabled_categories"), "HINT");
    assert_int_equal(hello_status(&map, BPI_BOLT(5, 4)), BP_E_PROTOCOL);
    hello_good(&map);
    bpi_pack_text(map_key(&map, "user_agent"), "again/1");
    assert_int_equal(hello_status(&map, V5_8), BP_E_PROTOCOL);
    struct bytes list = bytes_of("90");
    const char *reason = NULL;
    assert_int_equal(bpi_bolt_hello_check(span_of(&list), V5_8, &reason), BP_E_PROTOCOL);
    bytes_free(&list);
}

static void a_null_filter_closes_without_a_word(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        bpi_bolt_version version;
        int error;
    } cases[] = {
        {"notifications_minimum_severity", V5_8, BP_E_UNEXPECTED},
        {"notifications_minimum_severity", V5_1, 0},
        {"notifications_disabled_classifications", V5_8, BP_E_UNEXPECTED},
        {"notifications_disabled_classifications", BPI_BOLT(5, 4), 0},
        {"notifications_disabled_categories", BPI_BOLT(5, 4), BP_E_UNEXPECTED},
        {"notifications_disabled_categories", V5_8, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct map map;
        hello_good(&map);
        bpi_pack_null(map_key(&map, cases[i].key));
        assert_int_equal(hello_status(&map, cases[i].version), cases[i].error);
    }
}

static int answer_status(const char *hex, struct bpi_bolt_answer *ret_answer, struct bytes *bytes)
{
    *bytes = bytes_of(hex);
    return bpi_bolt_answer_read(bytes->data, bytes->size, ret_answer);
}

static void answers_are_read_with_what_a_pooler_needs(void **state)
{
    (void)state;
    struct bpi_bolt_answer answer;
    struct bytes bytes;
    assert_int_equal(answer_status("B170 A0", &answer, &bytes), 0);
    assert_int_equal(answer.tag, BPI_BOLT_SUCCESS);
    assert_false(answer.has_more);
    assert_int_equal(answer.meta.size, 1);
    bytes_free(&bytes);
    assert_int_equal(answer_status("B170 A1 886861735F6D6F7265 C3", &answer, &bytes), 0);
    assert_true(answer.has_more);
    bytes_free(&bytes);
    assert_int_equal(answer_status("B170 A1 886861735F6D6F7265 C2", &answer, &bytes), 0);
    assert_false(answer.has_more);
    bytes_free(&bytes);
    assert_int_equal(answer_status("B171 92 01 90", &answer, &bytes), 0);
    assert_int_equal(answer.tag, BPI_BOLT_RECORD);
    assert_int_equal(answer.meta.size, 3);
    bytes_free(&bytes);
    assert_int_equal(answer_status("B07E", &answer, &bytes), 0);
    assert_int_equal(answer.tag, BPI_BOLT_IGNORED);
    assert_null(answer.meta.data);
    bytes_free(&bytes);
    /* {code: "c", message: "m"} and {neo4j_code: "n", message: null}. */
    assert_int_equal(
        answer_status("B17F A2 84636F6465 8163 876D657373616765 816D", &answer, &bytes), 0);
    assert_text(answer.code, "c");
    assert_text(answer.message, "m");
    bytes_free(&bytes);
    assert_int_equal(
        answer_status("B17F A2 8A6E656F346A5F636F6465 816E 876D657373616765 C0", &answer, &bytes),
        0);
    assert_text(answer.code, "n");
    assert_null(answer.message.data);
    bytes_free(&bytes);
}

static void malformed_answers_are_errors(void **state)
{
    (void)state;
    static const struct {
        const char *hex;
        int error;
    } cases[] = {
        {"B101 A0", BP_E_UNEXPECTED},
        {"B155 A0", BP_E_UNEXPECTED},
        {"B070", BP_E_FIELDS},
        {"B17E A0", BP_E_FIELDS},
        {"B270 A0 A0", BP_E_FIELDS},
        {"B170 90", BP_E_TYPE},
        {"B171 A0", BP_E_TYPE},
        {"B17F A1 84636F6465 01", BP_E_TYPE},
        {"B17F A2 84636F6465 8163 84636F6465 8163", BP_E_PROTOCOL},
        {"B170", BP_E_TRUNCATED},
        {"B171 9201", BP_E_TRUNCATED},
        {"A0", BP_E_TYPE},
        {"", BP_E_TRUNCATED},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct bpi_bolt_answer answer;
        struct bytes bytes;
        assert_int_equal(answer_status(cases[i].hex, &answer, &bytes), cases[i].error);
        bytes_free(&bytes);
    }
}

static void whose_fault_a_failure_is_stands_in_its_code(void **state)
{
    (void)state;
    static const struct {
        const char *code;
        bool security;
        bool fault;
        bool transient;
    } cases[] = {
        {"Neo.ClientError.Security.Unauthorized", true, false, false},
        {"Neo.ClientError.Statement.SyntaxError", false, false, false},
        {"Neo.DatabaseError.General.UnknownError", false, true, false},
        {"Neo.TransientError.Request.NoThreadsAvailable", false, false, true},
        {"Neo.DatabaseError", false, false, false},
        {"", false, false, false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct bpi_bolt_answer answer = {.tag = BPI_BOLT_FAILURE,
                                         .code = {cases[i].code, strlen(cases[i].code)}};
        assert_int_equal(bpi_bolt_answer_is_security(&answer), cases[i].security);
        assert_int_equal(bpi_bolt_answer_is_fault(&answer), cases[i].fault);
        assert_int_equal(bpi_bolt_answer_is_transient(&answer), cases[i].transient);
        answer.tag = BPI_BOLT_SUCCESS;
        assert_false(bpi_bolt_answer_is_security(&answer) || bpi_bolt_answer_is_fault(&answer) ||
                     bpi_bolt_answer_is_transient(&answer));
    }
}

static void tags_that_bolt_does_not_have_are_unknown(void **state)
{
    (void)state;
    unsigned known = 0;
    for (unsigned tag = 0; tag < 256; tag++) {
        known += strcmp(bpi_bolt_tag_name((uint8_t)tag), "unknown") != 0 ? 1 : 0;
    }
    assert_int_equal(known, 17);
    assert_string_equal(bpi_bolt_tag_name(BPI_BOLT_RECORD), "RECORD");
    assert_false(bpi_bolt_tag_is_request(BPI_BOLT_SUCCESS, V5_8));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_known_from_their_version_on),
        cmocka_unit_test(a_request_cut_anywhere_is_truncated_but_named),
        cmocka_unit_test(bytes_behind_the_struct_are_ignored),
        cmocka_unit_test(malformed_requests_are_told_apart),
        cmocka_unit_test(log_in_limits_count_the_message_as_the_first_level),
        cmocka_unit_test(the_parts_of_run_lie_where_they_were_sent),
        cmocka_unit_test(route_has_a_database_in_4_3_and_a_map_later),
        cmocka_unit_test(telemetry_carries_its_number),
        cmocka_unit_test(the_extra_of_a_transaction_is_read_by_its_keys),
        cmocka_unit_test(null_and_absent_are_the_same_in_a_transaction),
        cmocka_unit_test(wrong_values_in_a_transaction_are_errors_or_the_servers_to_refuse),
        cmocka_unit_test(fetches_have_a_count_and_perhaps_a_statement),
        cmocka_unit_test(a_log_in_is_read_from_any_map_that_holds_it),
        cmocka_unit_test(one_value_of_a_map_is_found_by_its_key),
        cmocka_unit_test(hello_is_read_by_its_keys),
        cmocka_unit_test(a_bare_hello_leaves_everything_absent),
        cmocka_unit_test(a_good_hello_passes_in_every_version),
        cmocka_unit_test(a_hello_needs_its_agents),
        cmocka_unit_test(a_hello_with_a_wrong_routing_context_or_filter_fails),
        cmocka_unit_test(a_null_filter_closes_without_a_word),
        cmocka_unit_test(answers_are_read_with_what_a_pooler_needs),
        cmocka_unit_test(malformed_answers_are_errors),
        cmocka_unit_test(whose_fault_a_failure_is_stands_in_its_code),
        cmocka_unit_test(tags_that_bolt_does_not_have_are_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
