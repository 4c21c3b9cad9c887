/* Shows that both sides of the handshake answer as real servers and drivers do. The cases are what
 * servers 4.4, 5.26 and 2026.08 answered to these bytes, less Bolt 3 and 4.0, which we don't speak.
 * Every case runs with the input whole, cut at every place and byte by byte.
 */
#include "bolt/handshake.h"

#include <boltpool/error.h>

#include "tests/unit/bolt/bytes.h"

#define MAGIC "6060B017 "
/* What the Python, JavaScript, Go and Java drivers of 5.x and 6.x send. */
#define DRIVER MAGIC "000001FF 00080805 00020404 00000003"
/* What neo4rs 0.8 sends. */
#define DRIVER_RUST MAGIC "00000104 00000004 00000000 00000000"

static bpi_bolt_versions like_4_4(void)
{
    return bpi_bolt_versions_range(BPI_BOLT(4, 1), BPI_BOLT(4, 4));
}

static bpi_bolt_versions like_5_26(void)
{
    return bpi_bolt_versions_range(BPI_BOLT(4, 1), BPI_BOLT(5, 8));
}

struct server_run {
    enum bpi_handshake_result result;
    struct bpi_handshake_server server;
    struct bpi_buffer out;
    size_t rest;
};

/* Feeds the input in pieces that end at `cut` and then every `step` bytes. */
static void server_run(struct server_run *run,
                       bpi_bolt_versions offered,
                       const struct bytes *input,
                       size_t cut,
                       size_t step)
{
    memset(run, 0, sizeof(*run));
    bpi_handshake_server_init(&run->server, offered);
    struct bpi_buffer in = {0};
    size_t at = 0;
    size_t next = cut;
    run->result = BPI_HANDSHAKE_MORE;
    do {
        next = next < input->size ? next : input->size;
        assert_int_equal(bpi_buffer_append(&in, input->data + at, next - at), 0);
        at = next;
        next += step;
        if (run->result == BPI_HANDSHAKE_MORE) {
            assert_int_equal(bpi_handshake_server_read(&run->server, &in, &run->out, &run->result),
                             0);
        }
    } while (at < input->size);
    run->rest = bpi_buffer_size(&in);
    bpi_buffer_done(&in);
}

struct server_case {
    const char *input;
    enum bpi_handshake_result result;
    bpi_bolt_version version;
    const char *output;
    size_t rest;
};

static void check_server_case(bpi_bolt_versions offered, const struct server_case *c)
{
    struct bytes input = bytes_of(c->input);
    for (size_t step = 1; step <= 1000; step *= 1000) {
        for (size_t cut = 0; cut <= input.size; cut++) {
            struct server_run run;
            server_run(&run, offered, &input, cut, step);
            assert_int_equal(run.result, c->result);
            assert_int_equal(run.server.version, c->version);
            assert_buffer_hex(&run.out, c->output);
            if (c->result == BPI_HANDSHAKE_DONE) {
                assert_int_equal(run.rest, c->rest);
            }
            bpi_buffer_done(&run.out);
        }
    }
    bytes_free(&input);
}

static void a_server_like_2026_answers_as_it_does(void **state)
{
    (void)state;
    static const char manifest[] = "000001FF 04 00030404 00040405 00020805 00010106 00";
    static const struct server_case cases[] = {
        {DRIVER, BPI_HANDSHAKE_MORE, 0, manifest, 0},
        {DRIVER_RUST, BPI_HANDSHAKE_DONE, BPI_BOLT(4, 1), "00000104", 0},
        {MAGIC "00010106 00000000 00000000 00000000", BPI_HANDSHAKE_DONE, BPI_BOLT(6, 1),
         "00000106", 0},
        {MAGIC "00000006 00000000 00000000 00000000", BPI_HANDSHAKE_DONE, BPI_BOLT(6, 0),
         "00000006", 0},
        {MAGIC "00080805 00000000 00000000 00000000", BPI_HANDSHAKE_DONE, BPI_BOLT(5, 8),
         "00000805", 0},
        /* A range that begins above what exists. */
        {MAGIC "00141405 00000000 00000000 00000000", BPI_HANDSHAKE_DONE, BPI_BOLT(5, 8),
         "00000805", 0},
        /* 5.5 alone, 5.9 alone, nothing, only fillers and Bolt 3. */
        {MAGIC "00000505 00000000 00000000 00000000", BPI_HANDSHAKE_REFUSED, 0, "00000000", 0},
        {MAGIC "00000905 00000000 00000000 00000000", BPI_HANDSHAKE_REFUSED, 0, "00000000", 0},
        {MAGIC "00000000 00000000 00000000 00000000", BPI_HANDSHAKE_REFUSED, 0, "00000000", 0},
        {MAGIC "00000003 00000000 00000000 00000000", BPI_HANDSHAKE_REFUSED, 0, "00000000", 0},
        /* 5.6 down to 5.5 and 5.5 down to 5.4. */
        {MAGIC "00010605 00000000 00000000 00000000", BPI_HANDSHAKE_DONE, BPI_BOLT(5, 6),
         "00000605", 0},
        {MAGIC "00010505 00000000 00000000 00000000", BPI_HANDSHAKE_DONE, BPI_BOLT(5, 4),
         "00000405", 0},
        /* The client's order wins over the newer version. */
        {MAGIC "00000404 00080805 00000000 00000000", BPI_HANDSHAKE_DONE, BPI_BOLT(4, 4),
         "00000404", 0},
        {MAGIC "00000000 00000003 00000000 00000304", BPI_HANDSHAKE_DONE, BPI_BOLT(4, 3),
         "00000304", 0},
        /* A reserved byte is ignored, a second manifest is not known. */
        {MAGIC "01000404 00000000 00000000 00000000", BPI_HANDSHAKE_DONE, BPI_BOLT(4, 4),
         "00000404", 0},
        {MAGIC "000002FF 00000405 00000000 00000000", BPI_HANDSHAKE_DONE, BPI_BOLT(5, 4),
         "00000405", 0},
        /* A range above its minor, in any slot. */
        {MAGIC "00050405 00000000 00000000 00000000", BPI_HANDSHAKE_BAD, 0, "", 0},
        {MAGIC "00000404 00000000 00000000 00050405", BPI_HANDSHAKE_BAD, 0, "", 0},
        /* HTTP, TLS, a wrong last byte of the mark, silence. */
        {"474554202F20485454502F312E310D0A0D0A", BPI_HANDSHAKE_BAD, 0, "", 0},
        {"16030100C8", BPI_HANDSHAKE_BAD, 0, "", 0},
        {"6060B018", BPI_HANDSHAKE_BAD, 0, "", 0},
        {"", BPI_HANDSHAKE_MORE, 0, "", 0},
        {MAGIC "00000404 00000000 00000000 000000", BPI_HANDSHAKE_MORE, 0, "", 0},
        /* What follows the handshake stays. */
        {MAGIC "00000404 00000000 00000000 00000000 0003B101A0", BPI_HANDSHAKE_DONE, BPI_BOLT(4, 4),
         "00000404", 5},
        /* The choice out of the manifest, with the first message in the same write. */
        {DRIVER "00000106 00 0003B101A0", BPI_HANDSHAKE_DONE, BPI_BOLT(6, 1), manifest, 5},
        {DRIVER "00000404 00", BPI_HANDSHAKE_DONE, BPI_BOLT(4, 4), manifest, 0},
        {DRIVER "00000805 808000", BPI_HANDSHAKE_DONE, BPI_BOLT(5, 8), manifest, 0},
        {DRIVER "00000805", BPI_HANDSHAKE_MORE, 0, manifest, 0},
        {DRIVER "00000805 80", BPI_HANDSHAKE_MORE, 0, manifest, 0},
        /* A choice with a range, of 5.5, of nothing, with a capability that nobody offered. */
        {DRIVER "00080805 00", BPI_HANDSHAKE_BAD, 0, manifest, 0},
        {DRIVER "00000505 00", BPI_HANDSHAKE_BAD, 0, manifest, 0},
        {DRIVER "00000000 00", BPI_HANDSHAKE_BAD, 0, manifest, 0},
        {DRIVER "00000805 01", BPI_HANDSHAKE_BAD, 0, manifest, 0},
        {DRIVER "00000805 8080808080808001", BPI_HANDSHAKE_BAD, 0, manifest, 0},
        /* A mask of 33 bytes. */
        {DRIVER "00000805 8080808080808080808080808080808080808080808080808080808080808080 00",
         BPI_HANDSHAKE_BAD, 0, manifest, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        check_server_case(bpi_bolt_versions_all(), &cases[i]);
    }
}

static void a_server_like_5_26_offers_no_6(void **state)
{
    (void)state;
    static const char manifest[] = "000001FF 03 00030404 00040405 00020805 00";
    static const struct server_case cases[] = {
        {DRIVER, BPI_HANDSHAKE_MORE, 0, manifest, 0},
        {DRIVER "00000805 00", BPI_HANDSHAKE_DONE, BPI_BOLT(5, 8), manifest, 0},
        {DRIVER "00000106 00", BPI_HANDSHAKE_BAD, 0, manifest, 0},
        {MAGIC "00010106 00000000 00000000 00000000", BPI_HANDSHAKE_REFUSED, 0, "00000000", 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        check_server_case(like_5_26(), &cases[i]);
    }
}

static void a_server_like_4_4_passes_over_the_manifest(void **state)
{
    (void)state;
    static const struct server_case cases[] = {
        {DRIVER, BPI_HANDSHAKE_DONE, BPI_BOLT(4, 4), "00000404", 0},
        {MAGIC "00080805 00000000 00000000 00000000", BPI_HANDSHAKE_REFUSED, 0, "00000000", 0},
        {MAGIC "000001FF 00000000 00000000 00000000", BPI_HANDSHAKE_REFUSED, 0, "00000000", 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        check_server_case(like_4_4(), &cases[i]);
    }
    static const struct server_case none = {DRIVER, BPI_HANDSHAKE_REFUSED, 0, "00000000", 0};
    check_server_case(0, &none);
}

static void gaps_in_the_offer_show_in_the_manifest(void **state)
{
    (void)state;
    bpi_bolt_versions offered =
        bpi_bolt_versions_of(BPI_BOLT(4, 1)) | bpi_bolt_versions_of(BPI_BOLT(4, 3)) |
        bpi_bolt_versions_of(BPI_BOLT(4, 4)) | bpi_bolt_versions_of(BPI_BOLT(6, 1));
    static const struct server_case gap = {DRIVER, BPI_HANDSHAKE_MORE, 0,
                                           "000001FF 03 00000104 00010404 00000106 00", 0};
    check_server_case(offered, &gap);
}

static void only_the_manifest_is_noted_as_such(void **state)
{
    (void)state;
    struct bytes input = bytes_of(DRIVER "00000404 00");
    struct server_run run;
    server_run(&run, like_5_26(), &input, input.size, 1);
    assert_true(run.server.manifest);
    bpi_buffer_done(&run.out);
    server_run(&run, like_4_4(), &input, input.size, 1);
    assert_false(run.server.manifest);
    bpi_buffer_done(&run.out);
    bytes_free(&input);
}

static void an_answer_without_memory_can_be_tried_again(void **state)
{
    (void)state;
    static const char *const inputs[] = {DRIVER, DRIVER_RUST};
    for (size_t i = 0; i < COUNT(inputs); i++) {
        struct bpi_handshake_server server;
        bpi_handshake_server_init(&server, bpi_bolt_versions_all());
        struct bpi_buffer in = {0};
        buffer_put_hex(&in, inputs[i]);
        uint8_t memory[1];
        struct bpi_buffer full = buffer_with_room(memory, 1);
        enum bpi_handshake_result result;
        assert_int_equal(bpi_handshake_server_read(&server, &in, &full, &result), BP_E_NO_MEMORY);
        assert_int_equal(bpi_buffer_size(&in), 20);
        struct bpi_buffer out = {0};
        assert_int_equal(bpi_handshake_server_read(&server, &in, &out, &result), 0);
        assert_true(bpi_buffer_size(&out) >= 4);
        bpi_buffer_done(&out);
        bpi_buffer_done(&in);
    }
}

static void check_proposal(bpi_bolt_versions wanted, bool probe, const char *hex)
{
    struct bpi_handshake_client client;
    struct bpi_buffer out = {0};
    assert_int_equal(bpi_handshake_client_start(&client, wanted, probe, &out), 0);
    assert_buffer_hex(&out, hex);
    bpi_buffer_done(&out);
}

static void a_client_proposes_the_newest_first_and_nothing_else(void **state)
{
    (void)state;
    bpi_bolt_versions all = bpi_bolt_versions_all();
    check_proposal(all, true, MAGIC "000001FF 00010106 00080805 00030404");
    check_proposal(all, false, MAGIC "00010106 00080805 00030404 00000000");
    check_proposal(bpi_bolt_versions_of(BPI_BOLT(5, 4)), false,
                   MAGIC "00000405 00000000 00000000 00000000");
    /* A gap of a version that exists is never bridged. */
    check_proposal(bpi_bolt_versions_of(BPI_BOLT(5, 4)) | bpi_bolt_versions_of(BPI_BOLT(5, 2)),
                   false, MAGIC "00000405 00000205 00000000 00000000");
    /* Five runs: the oldest falls off. */
    bpi_bolt_versions odd =
        bpi_bolt_versions_of(BPI_BOLT(4, 1)) | bpi_bolt_versions_of(BPI_BOLT(4, 3)) |
        bpi_bolt_versions_of(BPI_BOLT(5, 0)) | bpi_bolt_versions_of(BPI_BOLT(5, 2)) |
        bpi_bolt_versions_of(BPI_BOLT(5, 4));
    check_proposal(odd, false, MAGIC "00000405 00000205 00000005 00000304");
    check_proposal(0, false, MAGIC "00000000 00000000 00000000 00000000");
    check_proposal(0, true, MAGIC "000001FF 00000000 00000000 00000000");
}

struct client_case {
    const char *input;
    enum bpi_handshake_result result;
    bpi_bolt_version version;
    bpi_bolt_versions spoken;
    size_t rest;
};

/* Reads the answer cut at every place. */
static void check_client_case(bpi_bolt_versions wanted, bool probe, const struct client_case *c)
{
    struct bytes input = bytes_of(c->input);
    for (size_t cut = 0; cut <= input.size; cut++) {
        struct bpi_handshake_client client;
        struct bpi_buffer out = {0};
        struct bpi_buffer in = {0};
        enum bpi_handshake_result result;
        assert_int_equal(bpi_handshake_client_start(&client, wanted, probe, &out), 0);
        assert_int_equal(bpi_buffer_append(&in, input.data, cut), 0);
        assert_int_equal(bpi_handshake_client_read(&client, &in, &result), 0);
        assert_int_equal(bpi_buffer_append(&in, input.data + cut, input.size - cut), 0);
        if (result == BPI_HANDSHAKE_MORE) {
            assert_int_equal(bpi_handshake_client_read(&client, &in, &result), 0);
        }
        assert_int_equal(result, c->result);
        assert_int_equal(client.version, c->version);
        assert_int_equal(client.spoken, c->spoken);
        if (result == BPI_HANDSHAKE_DONE) {
            assert_int_equal(bpi_buffer_size(&in), c->rest);
        }
        bpi_buffer_done(&in);
        bpi_buffer_done(&out);
    }
    bytes_free(&input);
}

static void a_probe_learns_all_that_real_servers_speak(void **state)
{
    (void)state;
    const struct client_case cases[] = {
        {"000001FF 04 00040404 00040405 00020805 00010106 00", BPI_HANDSHAKE_DONE, 0,
         bpi_bolt_versions_all(), 0},
        {"000001FF 03 00040404 00040405 00020805 00", BPI_HANDSHAKE_DONE, 0, like_5_26(), 0},
        {"00000404", BPI_HANDSHAKE_DONE, BPI_BOLT(4, 4), like_4_4(), 0},
        {"00000405", BPI_HANDSHAKE_DONE, BPI_BOLT(5, 4),
         bpi_bolt_versions_range(BPI_BOLT(5, 0), BPI_BOLT(5, 4)), 0},
        {"00000000", BPI_HANDSHAKE_REFUSED, 0, 0, 0},
        /* A count in two groups, a capability, nothing that we speak, nothing at all. */
        {"000001FF 8100 00000106 00", BPI_HANDSHAKE_DONE, 0, bpi_bolt_versions_of(BPI_BOLT(6, 1)),
         0},
        {"000001FF 01 00000106 8101 77", BPI_HANDSHAKE_DONE, 0,
         bpi_bolt_versions_of(BPI_BOLT(6, 1)), 1},
        {"000001FF 01 00000009 00", BPI_HANDSHAKE_REFUSED, 0, 0, 0},
        {"000001FF 00 00", BPI_HANDSHAKE_REFUSED, 0, 0, 0},
        /* A range above its minor, too many ranges, a count without end, an answer cut short. */
        {"000001FF 01 00020106 00", BPI_HANDSHAKE_BAD, 0, 0, 0},
        {"000001FF 41", BPI_HANDSHAKE_BAD, 0, 0, 0},
        {"000001FF FFFFFFFFFF7F", BPI_HANDSHAKE_BAD, 0, 0, 0},
        {"000001FF FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF",
         BPI_HANDSHAKE_BAD, 0, 0, 0},
        {"000001FF 02 00000106 000000", BPI_HANDSHAKE_MORE, 0, 0, 0},
        {"000001FF 01 00000106", BPI_HANDSHAKE_MORE, 0, 0, 0},
        {"000001FF 01 00000106 80", BPI_HANDSHAKE_MORE, 0, 0, 0},
        /* Never proposed, a range in the answer, HTTP. */
        {"00000505", BPI_HANDSHAKE_BAD, 0, 0, 0},
        {"00000003", BPI_HANDSHAKE_BAD, 0, 0, 0},
        {"00010805", BPI_HANDSHAKE_BAD, 0, 0, 0},
        {"48545450", BPI_HANDSHAKE_BAD, 0, 0, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        check_client_case(bpi_bolt_versions_all(), true, &cases[i]);
    }
}

static void a_plain_client_takes_only_what_it_wanted(void **state)
{
    (void)state;
    bpi_bolt_versions wanted = bpi_bolt_versions_of(BPI_BOLT(5, 4));
    const struct client_case cases[] = {
        {"00000405 0002", BPI_HANDSHAKE_DONE, BPI_BOLT(5, 4),
         bpi_bolt_versions_range(BPI_BOLT(5, 0), BPI_BOLT(5, 4)), 2},
        {"00000305", BPI_HANDSHAKE_BAD, 0, 0, 0},
        {"000001FF 01 00000405 00", BPI_HANDSHAKE_BAD, 0, 0, 0},
        {"00000000", BPI_HANDSHAKE_REFUSED, 0, 0, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        check_client_case(wanted, false, &cases[i]);
    }
}

static void a_choice_is_made_once_the_manifest_is_there(void **state)
{
    (void)state;
    struct bpi_handshake_client client;
    struct bpi_buffer in = {0};
    struct bpi_buffer out = {0};
    enum bpi_handshake_result result;
    assert_int_equal(bpi_handshake_client_start(&client, bpi_bolt_versions_all(), true, &out), 0);
    bpi_buffer_clear(&out);
    assert_int_equal(bpi_handshake_client_choose(&client, BPI_BOLT(5, 8), &out), BP_E_USAGE);
    buffer_put_hex(&in, "000001FF 03 00040404 00040405 00020805 00");
    assert_int_equal(bpi_handshake_client_read(&client, &in, &result), 0);
    assert_int_equal(bpi_handshake_client_choose(&client, BPI_BOLT(6, 1), &out), BP_E_USAGE);
    assert_int_equal(bpi_handshake_client_choose(&client, BPI_BOLT(5, 8), &out), 0);
    assert_buffer_hex(&out, "00000805 00");
    assert_int_equal(client.version, BPI_BOLT(5, 8));
    bpi_buffer_done(&in);
    bpi_buffer_done(&out);
}

static void both_sides_agree_on_each_single_version(void **state)
{
    (void)state;
    bpi_bolt_versions rest = bpi_bolt_versions_all();
    while (rest != 0) {
        bpi_bolt_version version = bpi_bolt_versions_oldest(rest);
        rest &= ~bpi_bolt_versions_of(version);
        struct bpi_handshake_client client;
        struct bpi_handshake_server server;
        struct bpi_buffer up = {0};
        struct bpi_buffer down = {0};
        enum bpi_handshake_result result;
        bpi_handshake_server_init(&server, bpi_bolt_versions_all());
        int error = bpi_handshake_client_start(&client, bpi_bolt_versions_of(version), false, &up);
        assert_int_equal(error, 0);
        assert_int_equal(bpi_handshake_server_read(&server, &up, &down, &result), 0);
        assert_int_equal(result, BPI_HANDSHAKE_DONE);
        assert_int_equal(bpi_handshake_client_read(&client, &down, &result), 0);
        assert_int_equal(result, BPI_HANDSHAKE_DONE);
        assert_int_equal(client.version, version);
        assert_int_equal(server.version, version);
        bpi_buffer_done(&up);
        bpi_buffer_done(&down);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_like_2026_answers_as_it_does),
        cmocka_unit_test(a_server_like_5_26_offers_no_6),
        cmocka_unit_test(a_server_like_4_4_passes_over_the_manifest),
        cmocka_unit_test(gaps_in_the_offer_show_in_the_manifest),
        cmocka_unit_test(only_the_manifest_is_noted_as_such),
        cmocka_unit_test(an_answer_without_memory_can_be_tried_again),
        cmocka_unit_test(a_client_proposes_the_newest_first_and_nothing_else),
        cmocka_unit_test(a_probe_learns_all_that_real_servers_speak),
        cmocka_unit_test(a_plain_client_takes_only_what_it_wanted),
        cmocka_unit_test(a_choice_is_made_once_the_manifest_is_there),
        cmocka_unit_test(both_sides_agree_on_each_single_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
