/* Shows that nothing a client may send hurts anybody else: requests in the wrong state, broken bytes, limits
 * exceeded, sessions cut after every byte. Each time the pool is whole afterwards and another client is
 * served. Simulated servers, real sockets.
 */
#include "harness.h"

#define INVALID "FAILURE:ClientError.Request.Invalid"
#define SYNTAX  "FAILURE:ClientError.Statement.SyntaxError"

static void assert_others_are_served(struct house *house)
{
    struct wire wire;
    client_open(&wire, house, V58);
    expect(&wire, "BEGIN; RUN; PULL; COMMIT", 4, "SUCCESS SUCCESS RECORD SUCCESS SUCCESS");
    wire_close(&wire);
}

static void after_a_failure_all_is_ignored_until_reset(void **state)
{
    (void)state;
    static const char *const lines[] = {"max_links = 1", "max_links = 1\npool_mode = session"};
    for (size_t mode = 0; mode < 2; mode++) {
        struct house house = {.lines = lines[mode]};
        house_open(&house);
        for (size_t v = 0; v < HOUSE_VERSIONS; v++) {
            struct wire wire;
            client_open(&wire, &house, house_versions[v]);
            expect(&wire, "RUN:nonsense; PULL; RUN; PULL", 4, SYNTAX " IGNORED IGNORED IGNORED");
            if (mode == 0) {
                wait_for(house_stats(&house).links_leased == 0);
            }
            expect(&wire, "COMMIT; ROLLBACK; ROUTE; DISCARD; RESET; RUN; PULL", 7,
                   "IGNORED IGNORED IGNORED IGNORED SUCCESS SUCCESS RECORD SUCCESS");
            expect(&wire, "BEGIN; RUN; PULL; RUN:nonsense; PULL; COMMIT", 6,
                   "SUCCESS SUCCESS RECORD SUCCESS " SYNTAX " IGNORED IGNORED");
            expect(&wire, "RUN; COMMIT; RESET", 3, "IGNORED IGNORED SUCCESS");
            expect(&wire,
                   "RUN:RETURN 1 /*sim: rows=5 fail=Neo.ClientError.General.Unknown "
                   "fail_at_row=3*/; PULL",
                   2, "SUCCESS RECORD RECORD RECORD FAILURE:ClientError.General.Unknown");
            expect(&wire, "RESET; BEGIN; PULL; RESET", 4, "IGNORED IGNORED IGNORED SUCCESS");
            fault(house.sim, "fail_commit=Neo.TransientError.Transaction.Outdated");
            expect(&wire, "BEGIN; RUN:CREATE (:T {id: 1}); PULL; COMMIT; RUN", 5,
                   "SUCCESS SUCCESS SUCCESS FAILURE:TransientError.Transaction.Outdated IGNORED");
            fault(house.sim, "none");
            expect(&wire, "RESET; RUN; PULL", 3, "SUCCESS SUCCESS RECORD SUCCESS");
            wire_close(&wire);
        }
        assert_int_equal(bpi_sim_committed(house.sim, "1"), 0);
        house_close(&house);
    }
}

static void an_illegal_request_closes_its_client_alone(void **state)
{
    (void)state;
    static const struct {
        const char *before;
        int summaries;
        const char *request;
    } cases[] = {
        {"RESET", 1, "PULL"},     {"RESET", 1, "DISCARD"},      {"RESET", 1, "COMMIT"},
        {"RESET", 1, "ROLLBACK"}, {"RESET", 1, "HELLO"},        {"RUN", 1, "RUN"},
        {"RUN", 1, "BEGIN"},      {"RUN", 1, "COMMIT"},         {"RUN", 1, "ROUTE"},
        {"RUN", 1, "HELLO"},      {"BEGIN", 1, "BEGIN"},        {"BEGIN; RUN", 2, "BEGIN"},
        {"BEGIN", 1, "ROUTE"},    {"RUN:nonsense", 1, "BEGIN"}, {"RUN:nonsense; PULL", 2, "HELLO"},
    };
    static const char *const lines[] = {"max_links = 1", "max_links = 1\npool_mode = session"};
    for (size_t mode = 0; mode < 2; mode++) {
        struct house house = {.lines = lines[mode]};
        house_open(&house);
        for (size_t v = 0; v < HOUSE_VERSIONS; v++) {
            struct wire first;
            client_open(&first, &house, house_versions[v]);
            expect(&first, "RUN; PULL", 2, "SUCCESS RECORD SUCCESS");
            wire_close(&first);
            uint64_t total = sim_stats(house.sim).connections_total;
            for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct wire wire;
                client_open(&wire, &house, house_versions[v]);
                wire_send(&wire, cases[i].before);
                assert_null(strstr(told(&wire, cases[i].summaries), "EOF"));
                wire_send(&wire, cases[i].request);
                if (strcmp(told(&wire, 2), INVALID " EOF") != 0) {
                    fail_msg("%s behind %s: %s", cases[i].request, cases[i].before, wire.told);
                }
                wire_close(&wire);
                wait_for(house_is_idle(&house));
                if (sim_stats(house.sim).connections_total != total) {
                    fail_msg("%s behind %s cost a link", cases[i].request, cases[i].before);
                }
            }
        }
        assert_int_equal(sim_stats(house.sim).closed_illegal, 0);
        house_close(&house);
    }
}

/* One message of these bytes. */
static void put_bytes(struct wire *wire, const char *bytes, size_t size)
{
    assert_int_equal(bpi_chunk_write(&wire->out, bytes, size), 0);
}

static void broken_bytes_hurt_their_sender_alone(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
    } broken[] = {
        {"\xb1", 1},                                            /* no tag */
        {"\x00", 1},                                            /* no struct */
        {"\xa0", 1},                                            /* a map */
        {"\xb0\x7d", 2},                                        /* unknown tag */
        {"\xb0\x70", 2},                                        /* an answer */
        {"\xb0\x11", 2},                                        /* BEGIN without a map */
        {"\xb2\x11\xa0\xa0", 4},                                /* with two */
        {"\xb1\x11\x01", 3},                                    /* with a number */
        {"\xb1\x11\xa1\x01\x01", 5},                            /* a key that is no text */
        {"\xb1\x11\xa1\x82xy", 6},                              /* no value */
        {"\xb3\x10\x88RETURN", 9},                              /* cut in a text */
        {"\xb3\x10\x81x\xda\xff\xff\xff\xff\xa0", 10},          /* a huge map */
        {"\xb3\x10\xd2\xff\xff\xff\xff", 7},                    /* a huge text */
        {"\xb3\x10\x81x\xa0\xa1\x81x\xd6\x7f\xff\xff\xff", 13}, /* a huge list */
        {"\xb3\x10\x81x\xa1\x81x\xc4\xa0", 9},                  /* a reserved marker */
        {"\xb3\x10\x81\xff\xa0\xa0", 6},                        /* no UTF-8 */
        {"\xb3\x10\x01\xa0\xa0", 5},                            /* a query that is a number */
        {"\xb1\x3f\xa1\x81n\xc0", 6},                           /* PULL n = null */
        {"\xb1\x3f\x90", 3},
        {"\xb0\x12\x00", 3}, /* bytes behind */
    };
    struct house house = {.lines = "max_links = 2"};
    house_open(&house);
    for (size_t v = 0; v < HOUSE_VERSIONS; v++) {
        for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
            static const char *const before[] = {NULL,    "",           "RUN",
                                                 "BEGIN", "BEGIN; RUN", "RUN:nonsense"};
            for (size_t j = 0; j < 6; j++) {
                struct wire wire;
                if (before[j] == NULL) {
                    wire_connect(&wire, house.port);
                    wire_handshake(&wire, house_versions[v]);
                } else {
                    client_open(&wire, &house, house_versions[v]);
                    if (before[j][0] != '\0') {
                        wire_send(&wire, before[j]);
                        (void)!told(&wire, 1 + (strchr(before[j], ';') != NULL));
                    }
                }
                put_bytes(&wire, broken[i].bytes, broken[i].size);
                wire_put_word(&wire, "RESET");
                wire_put_word(&wire, "GOODBYE");
                wire_flush(&wire);
                const char *text = told(&wire, 9);
                assert_string_equal(text + strlen(text) - 3, "EOF");
                wire_close(&wire);
            }
        }
    }
    assert_others_are_served(&house);
    assert_int_equal(sim_stats(house.sim).closed_illegal, 0);
    house_close(&house);
}

static void limits_hold_before_and_after_the_log_in(void **state)
{
    (void)state;
    struct house house = {
        .lines = "max_links = 1\nmax_message_bytes = 20000\nmax_depth = 10\nmax_items = 100"};
    static char text[70000];
    house_open(&house);
    for (size_t v = 0; v < HOUSE_VERSIONS; v++) {
        struct wire wire;
        /* Before: a message over 8 KiB. */
        memset(text, 'x', sizeof(text));
        wire_connect(&wire, house.port);
        wire_handshake(&wire, house_versions[v]);
        put_bytes(&wire, text, 8193);
        wire_flush(&wire);
        const char *told_text = told(&wire, 3);
        assert_string_equal(told_text + strlen(told_text) - 3, "EOF");
        wire_close(&wire);
        /* One that never ends. */
        wire_connect(&wire, house.port);
        wire_handshake(&wire, house_versions[v]);
        wire_write(&wire, "\xff\xff", 2);
        wire_write(&wire, text, 9000);
        told_text = told(&wire, 3);
        assert_string_equal(told_text + strlen(told_text) - 3, "EOF");
        wire_close(&wire);
        /* After: larger ones pass, up to the configured limits, alone or in a transaction. */
        for (int in_tx = 0; in_tx < 2; in_tx++) {
            client_open(&wire, &house, house_versions[v]);
            if (in_tx != 0) {
                expect(&wire, "BEGIN; RUN; PULL", 3, "SUCCESS SUCCESS RECORD SUCCESS");
            }
            memset(text, ' ', sizeof(text));
            memcpy(text, "RETURN 1", 8);
            text[19000] = '\0';
            wire_put_run(&wire, text, (struct bpi_bolt_span){0});
            wire_put_word(&wire, "PULL");
            wire_flush(&wire);
            assert_string_equal(told(&wire, 2), "SUCCESS RECORD SUCCESS");
            text[19000] = ' ';
            text[20000] = '\0';
            wire_put_run(&wire, text, (struct bpi_bolt_span){0});
            wire_flush(&wire);
            assert_string_equal(told(&wire, 2), INVALID " EOF");
            wire_close(&wire);
            for (unsigned over = 0; over < 4; over++) {
                struct bpi_buffer map = {0};
                struct bpi_pack_writer writer;
                unsigned depth = over == 0 ? 7 : over == 1 ? 12 : 1;
                unsigned items = over == 2 ? 100 : over == 3 ? 101 : 1;
                client_open(&wire, &house, house_versions[v]);
                if (in_tx != 0) {
                    expect(&wire, "BEGIN", 1, "SUCCESS");
                }
                bpi_pack_writer_init(&writer, &map);
                bpi_pack_map(&writer, 1);
                bpi_pack_text(&writer, "x");
                for (unsigned i = 1; i < depth; i++) {
                    bpi_pack_list(&writer, 1);
                }
                bpi_pack_list(&writer, items);
                for (unsigned i = 0; i < items; i++) {
                    bpi_pack_int(&writer, 0);
                }
                struct bpi_bolt_text query = {"RETURN $x", 9};
                assert_int_equal(bpi_bolt_write_run(&wire.out, query, wire_span(&map),
                                                    (struct bpi_bolt_span){0}),
                                 0);
                bpi_buffer_done(&map);
                wire_put_word(&wire, "PULL");
                wire_flush(&wire);
                told_text = told(&wire, 2);
                if (over % 2 == 0) {
                    assert_string_equal(told_text, "SUCCESS RECORD SUCCESS");
                } else if (house_versions[v] < V50) {
                    assert_string_equal(told_text, "EOF");
                } else {
                    assert_string_equal(told_text, INVALID " IGNORED");
                    expect(&wire, "RESET; RUN; PULL", 3, "SUCCESS SUCCESS RECORD SUCCESS");
                }
                wire_close(&wire);
            }
        }
    }
    assert_others_are_served(&house);
    house_close(&house);
}

/* Everything that a client sends from its first byte on. */
static void put_session(struct wire *wire, bpi_bolt_version version)
{
    wire->version = version;
    wire_put_hello(wire, "neo4j", "secret12");
    if (bpi_bolt_has_logon(version)) {
        wire_put_word(wire, "LOGON");
    }
    static const char *const words[] = {"RUN",    "PULL",  "BEGIN", "RUN",     "PULL:1",
                                        "COMMIT", "BEGIN", "RUN",   "DISCARD", "ROLLBACK",
                                        "ROUTE",  "RUN:x", "RESET", "GOODBYE"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        wire_put_word(wire, words[i]);
    }
}

static void a_session_cut_after_any_byte_leaves_the_pool_whole(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 2"};
    house_open(&house);
    for (size_t v = 0; v < HOUSE_VERSIONS; v++) {
        struct wire model = {.fd = -1};
        uint8_t hello[20] = {0x60,
                             0x60,
                             0xb0,
                             0x17,
                             0,
                             0,
                             (uint8_t)(house_versions[v] & 0xff),
                             (uint8_t)(house_versions[v] >> 8)};
        assert_int_equal(bpi_buffer_append(&model.out, hello, 20), 0);
        put_session(&model, house_versions[v]);
        size_t size = bpi_buffer_size(&model.out);
        const uint8_t *bytes = bpi_buffer_head(&model.out);
        for (size_t cut = 1; cut <= size; cut++) {
            struct wire wire;
            wire_connect(&wire, house.port);
            wire_write(&wire, bytes, cut);
            if (cut % 8 == 0) {
                usleep(500);
            }
            wire_close(&wire);
        }
        /* And the whole of it, a byte at a time. */
        struct wire wire;
        wire_connect(&wire, house.port);
        for (size_t i = 0; i < size; i++) {
            wire_write(&wire, bytes + i, 1);
            if (i % 8 == 0) {
                usleep(100);
            }
        }
        uint8_t answer[4];
        assert_int_equal(wire_read(&wire, answer, 4), 4);
        const char *text = told(&wire, 30);
        assert_string_equal(text + strlen(text) - 11, "SUCCESS EOF");
        wire_close(&wire);
        wire_close(&model);
        wait_for(house_clients(&house) == 0);
        wait_for(house_is_idle(&house));
    }
    assert_others_are_served(&house);
    house_close(&house);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(after_a_failure_all_is_ignored_until_reset),
        cmocka_unit_test(an_illegal_request_closes_its_client_alone),
        cmocka_unit_test(broken_bytes_hurt_their_sender_alone),
        cmocka_unit_test(limits_hold_before_and_after_the_log_in),
        cmocka_unit_test(a_session_cut_after_any_byte_leaves_the_pool_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
