/* Shows that a simulated server answers as real ones do: every row of the table of states, RESET, log-ins,
 * worker limits, metadata by version. Real sockets; each test starts its own servers.
 */
#include "sim/server.h"

#include <boltpool/error.h>

#include "wire.h"

static struct bpi_sim *started(const struct bpi_sim_options *options)
{
    struct bpi_sim *sim = NULL;
    char why[256] = "";
    if (bpi_sim_start(options, &sim, why, sizeof(why)) != 0) {
        fail_msg("can't start: %s", why);
    }
    return sim;
}

static const struct bpi_sim_user users[] = {{"neo4j", "secret12"}, {"alice", "wonder123"}};

static struct bpi_sim *started_plain(void)
{
    return started(&(struct bpi_sim_options){.users = users, .user_count = 2});
}

static const bpi_bolt_version versions[] = {
    BPI_BOLT(4, 1), BPI_BOLT(4, 2), BPI_BOLT(4, 3), BPI_BOLT(4, 4), BPI_BOLT(5, 0),
    BPI_BOLT(5, 1), BPI_BOLT(5, 2), BPI_BOLT(5, 3), BPI_BOLT(5, 4), BPI_BOLT(5, 6),
    BPI_BOLT(5, 7), BPI_BOLT(5, 8), BPI_BOLT(6, 0), BPI_BOLT(6, 1),
};
#define VERSION_COUNT (sizeof(versions) / sizeof(versions[0]))

/* Waits until the statistics say so, since a server learns of a closed socket by itself. */
#define wait_for_stats(sim, condition)                                                             \
    do {                                                                                           \
        bp_usec until_us = bpi_clock_now_us() + 10 * BP_USEC_PER_SECOND;                           \
        struct bpi_sim_stats stats;                                                                \
        for (bpi_sim_stats((sim), &stats); !(condition); bpi_sim_stats((sim), &stats)) {           \
            assert_true(bpi_clock_now_us() < until_us);                                            \
            usleep(1000);                                                                          \
        }                                                                                          \
    } while (0)

static void a_transaction_works_in_every_version(void **state)
{
    (void)state;
    struct bpi_sim *sim = started_plain();
    for (size_t i = 0; i < VERSION_COUNT; i++) {
        struct wire wire;
        wire_open(&wire, bpi_sim_port(sim), versions[i]);
        wire_expect(&wire, "RUN; PULL", 2, "SUCCESS RECORD SUCCESS");
        wire_expect(&wire, "BEGIN; RUN:CREATE (:T {id: 7}); PULL; COMMIT", 4,
                    "SUCCESS SUCCESS SUCCESS SUCCESS");
        wire_expect(&wire, "BEGIN; ROLLBACK", 2, "SUCCESS SUCCESS");
        wire_send(&wire, "GOODBYE");
        assert_string_equal(wire_take(&wire, 1), "EOF");
        wire_close(&wire);
    }
    assert_int_equal(bpi_sim_committed(sim, "7"), VERSION_COUNT);
    uint64_t doubled;
    assert_int_equal(bpi_sim_committed_count(sim, &doubled), 1);
    assert_int_equal(doubled, VERSION_COUNT - 1);
    wait_for_stats(sim, stats.connections_now == 0);
    struct bpi_sim_stats stats;
    bpi_sim_stats(sim, &stats);
    assert_int_equal(stats.transactions_begun, 3 * VERSION_COUNT);
    assert_int_equal(stats.transactions_committed, 2 * VERSION_COUNT);
    assert_int_equal(stats.transactions_rolled_back, VERSION_COUNT);
    assert_int_equal(stats.transactions_open, 0);
    assert_int_equal(stats.workers_now, 0);
    assert_int_equal(stats.sessions_now, 0);
    assert_int_equal(stats.sessions_max, 1);
    assert_int_equal(stats.queries, 2 * VERSION_COUNT);
    struct bpi_sim_user_stats user;
    assert_true(bpi_sim_user_stats(sim, "neo4j", &user));
    assert_int_equal(user.logons, VERSION_COUNT);
    assert_int_equal(user.committed, 2 * VERSION_COUNT);
    assert_false(bpi_sim_user_stats(sim, "bob", &user));
    bpi_sim_stop(sim);
}

/* The first bytes of a connection against what must come back. */
static void handshakes_choose_as_real_servers_do(void **state)
{
    (void)state;
    static const struct {
        bpi_bolt_version oldest, newest;
        uint8_t slots[16];
        uint8_t answer[24];
        size_t answer_size;
    } cases[] = {
        {BPI_BOLT(4, 1), BPI_BOLT(6, 1), {0, 8, 8, 5}, {0, 0, 8, 5}, 4},
        {BPI_BOLT(4, 1), BPI_BOLT(5, 4), {0, 8, 8, 5}, {0, 0, 4, 5}, 4},
        {BPI_BOLT(4, 1), BPI_BOLT(6, 1), {0, 0, 4, 4, 0, 8, 8, 5}, {0, 0, 4, 4}, 4},
        {BPI_BOLT(4, 1), BPI_BOLT(6, 1), {0, 0, 5, 5}, {0, 0, 0, 0}, 4},
        {BPI_BOLT(4, 1), BPI_BOLT(6, 1), {0, 1, 1, 6}, {0, 0, 1, 6}, 4},
        {BPI_BOLT(4, 1), BPI_BOLT(4, 4), {0, 0, 1, 255, 0, 8, 8, 5, 0, 2, 4, 4}, {0, 0, 4, 4}, 4},
        {BPI_BOLT(5, 1),
         BPI_BOLT(6, 1),
         {0, 0, 1, 255, 0, 8, 8, 5},
         {0, 0, 1, 255, 3, 0, 3, 4, 5, 0, 2, 8, 5, 0, 1, 1, 6, 0},
         18},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bpi_sim *sim = started(&(struct bpi_sim_options){
            .versions = bpi_bolt_versions_range(cases[i].oldest, cases[i].newest)});
        struct wire wire;
        uint8_t answer[24];
        wire_connect(&wire, bpi_sim_port(sim));
        wire_write(&wire, "\x60\x60\xb0\x17", 4);
        wire_write(&wire, cases[i].slots, 16);
        assert_int_equal(wire_read(&wire, answer, cases[i].answer_size), cases[i].answer_size);
        assert_memory_equal(answer, cases[i].answer, cases[i].answer_size);
        wire_close(&wire);
        bpi_sim_stop(sim);
    }
}

static void the_manifest_leads_to_6_1_and_is_told_in_hello(void **state)
{
    (void)state;
    struct bpi_sim *sim = started_plain();
    struct wire wire;
    uint8_t answer[22];
    wire_connect(&wire, bpi_sim_port(sim));
    wire_write(&wire, "\x60\x60\xb0\x17\0\0\x01\xff\0\0\0\0\0\0\0\0\0\0\0\0", 20);
    /* 4.4-4.1, 5.4-5.0, 5.8-5.6, 6.1-6.0 */
    assert_int_equal(wire_read(&wire, answer, sizeof(answer)), sizeof(answer));
    assert_int_equal(answer[4], 4);
    wire_write(&wire, "\0\0\1\6\0", 5);
    wire.version = BPI_BOLT(6, 1);
    wire_expect(&wire, "HELLO", 1, "SUCCESS");
    assert_string_equal(wire_meta(&wire, "protocol_version"), "6.1");
    wire_expect(&wire, "LOGON; RUN; PULL", 3, "SUCCESS SUCCESS RECORD SUCCESS");
    wire_close(&wire);
    bpi_sim_stop(sim);
}

/* Brings a fresh connection into a state, then sends one request. */
struct state_case {
    bpi_bolt_version version;
    const char *before; /* after the log-in; NULL: before HELLO; "-": after HELLO alone */
    int before_summaries;
    const char *request;
    const char *told;
};

#define ILLEGAL "FAILURE:ClientError.Request.Invalid EOF"

static const struct state_case state_cases[] = {
    {BPI_BOLT(5, 8), NULL, 0, "RUN", ILLEGAL},
    {BPI_BOLT(5, 8), NULL, 0, "LOGON", ILLEGAL},
    {BPI_BOLT(5, 8), NULL, 0, "RESET", ILLEGAL},
    {BPI_BOLT(4, 4), NULL, 0, "RESET", "EOF"},
    {BPI_BOLT(4, 4), NULL, 0, "RUN", ILLEGAL},
    {BPI_BOLT(5, 8), NULL, 0, "HELLO", "SUCCESS"},
    {BPI_BOLT(5, 8), "-", 0, "RESET", ILLEGAL},
    {BPI_BOLT(5, 8), "-", 0, "RUN", ILLEGAL},
    {BPI_BOLT(5, 8), "-", 0, "HELLO", ILLEGAL},
    {BPI_BOLT(5, 8), "-", 0, "GOODBYE", "EOF"},
    {BPI_BOLT(5, 8), "", 0, "PULL", ILLEGAL},
    {BPI_BOLT(5, 8), "", 0, "DISCARD", ILLEGAL},
    {BPI_BOLT(5, 8), "", 0, "COMMIT", ILLEGAL},
    {BPI_BOLT(4, 4), "", 0, "ROLLBACK", ILLEGAL},
    {BPI_BOLT(5, 8), "", 0, "HELLO", ILLEGAL},
    {BPI_BOLT(5, 8), "", 0, "LOGON", ILLEGAL},
    {BPI_BOLT(4, 4), "", 0, "LOGOFF", "EOF"},
    {BPI_BOLT(5, 3), "", 0, "TELEMETRY", "EOF"},
    {BPI_BOLT(4, 2), "", 0, "ROUTE", "EOF"},
    {BPI_BOLT(5, 8), "", 0, "RESET", "SUCCESS"},
    {BPI_BOLT(5, 8), "", 0, "ROUTE", "SUCCESS"},
    {BPI_BOLT(5, 8), "", 0, "TELEMETRY:2", "SUCCESS"},
    {BPI_BOLT(5, 8), "", 0, "LOGOFF", "SUCCESS"},
    {BPI_BOLT(5, 8), "", 0, "RUN:nonsense", "FAILURE:ClientError.Statement.SyntaxError"},
    {BPI_BOLT(5, 8), "", 0, "TELEMETRY:9", "FAILURE:ClientError.Request.Invalid"},
    {BPI_BOLT(5, 8), "RUN", 1, "RUN", ILLEGAL},
    {BPI_BOLT(5, 8), "RUN", 1, "BEGIN", ILLEGAL},
    {BPI_BOLT(5, 8), "RUN", 1, "COMMIT", ILLEGAL},
    {BPI_BOLT(5, 8), "RUN", 1, "ROUTE", ILLEGAL},
    {BPI_BOLT(5, 8), "RUN", 1, "LOGOFF", ILLEGAL},
    {BPI_BOLT(5, 8), "RUN", 1, "TELEMETRY", ILLEGAL},
    {BPI_BOLT(5, 8), "RUN", 1, "PULL:0", "FAILURE:ClientError.Request.Invalid"},
    {BPI_BOLT(5, 8), "RUN", 1, "RESET", "SUCCESS"},
    {BPI_BOLT(5, 8), "RUN", 1, "DISCARD", "SUCCESS"},
    {BPI_BOLT(5, 8), "BEGIN", 1, "BEGIN", ILLEGAL},
    {BPI_BOLT(5, 8), "BEGIN", 1, "LOGOFF", ILLEGAL},
    {BPI_BOLT(5, 8), "BEGIN", 1, "TELEMETRY", ILLEGAL},
    {BPI_BOLT(5, 8), "BEGIN", 1, "ROUTE", ILLEGAL},
    {BPI_BOLT(5, 8), "BEGIN", 1, "PULL", "FAILURE:ClientError.Request.InvalidFormat"},
    {BPI_BOLT(4, 4), "BEGIN", 1, "PULL", "FAILURE:DatabaseError.General.UnknownError"},
    {BPI_BOLT(5, 8), "BEGIN; RUN", 2, "COMMIT", "SUCCESS"},
    {BPI_BOLT(4, 4), "BEGIN; RUN", 2, "ROLLBACK", "SUCCESS"},
    {BPI_BOLT(5, 8), "RUN:x", 1, "RUN", "IGNORED"},
    {BPI_BOLT(5, 8), "RUN:x", 1, "PULL", "IGNORED"},
    {BPI_BOLT(5, 8), "RUN:x", 1, "DISCARD", "IGNORED"},
    {BPI_BOLT(5, 8), "RUN:x", 1, "COMMIT", "IGNORED"},
    {BPI_BOLT(5, 8), "RUN:x", 1, "ROLLBACK", "IGNORED"},
    {BPI_BOLT(5, 8), "RUN:x", 1, "ROUTE", "IGNORED"},
    {BPI_BOLT(5, 8), "RUN:x", 1, "TELEMETRY", "IGNORED"},
    {BPI_BOLT(5, 8), "RUN:x", 1, "RESET", "SUCCESS"},
    {BPI_BOLT(5, 8), "RUN:x", 1, "BEGIN", ILLEGAL},
    {BPI_BOLT(5, 8), "RUN:x", 1, "LOGON", ILLEGAL},
    {BPI_BOLT(5, 8), "RUN:x", 1, "LOGOFF", ILLEGAL},
    {BPI_BOLT(5, 8), "RUN:x", 1, "HELLO", ILLEGAL},
};

static void every_state_answers_each_request_by_the_table(void **state)
{
    (void)state;
    struct bpi_sim *sim = started_plain();
    for (size_t i = 0; i < sizeof(state_cases) / sizeof(state_cases[0]); i++) {
        const struct state_case *test = &state_cases[i];
        struct wire wire;
        if (test->before == NULL || strcmp(test->before, "-") == 0) {
            wire_connect(&wire, bpi_sim_port(sim));
            wire_handshake(&wire, test->version);
            if (test->before != NULL) {
                wire_expect(&wire, "HELLO", 1, "SUCCESS");
            }
        } else {
            wire_open(&wire, bpi_sim_port(sim), test->version);
            if (test->before_summaries > 0) {
                wire_send(&wire, test->before);
                wire_take(&wire, test->before_summaries);
            }
        }
        wire_send(&wire, test->request);
        bool ends = strstr(test->told, "EOF") != NULL;
        wire_take(&wire, ends ? 2 : 1);
        if (strcmp(wire.told, test->told) != 0) {
            fail_msg("case %zu, %s after \"%s\": %s instead of %s", i, test->request,
                     test->before == NULL ? "nothing" : test->before, wire.told, test->told);
        }
        wire_close(&wire);
    }
    bpi_sim_stop(sim);
}

static void unreadable_messages_are_answered_by_version(void **state)
{
    (void)state;
    static const struct {
        bpi_bolt_version version;
        uint8_t message[8];
        size_t size;
        const char *told;
    } cases[] = {
        {BPI_BOLT(5, 8), {0xb0, 0x7a}, 2, "EOF"},
        {BPI_BOLT(5, 8),
         {0xb1, 0x10, 0x80},
         3,
         "FAILURE:ClientError.Request.InvalidFormat IGNORED"},
        {BPI_BOLT(4, 4), {0xb1, 0x10, 0x80}, 3, "EOF"},
        {BPI_BOLT(5, 8),
         {0xb3, 0x10, 0x80, 0xc7, 0xa0},
         5,
         "FAILURE:ClientError.Request.Invalid IGNORED"},
    };
    struct bpi_sim *sim = started_plain();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct wire wire;
        wire_open(&wire, bpi_sim_port(sim), cases[i].version);
        assert_int_equal(bpi_chunk_write(&wire.out, cases[i].message, cases[i].size), 0);
        wire_flush(&wire);
        wire_send(&wire, "RUN");
        assert_string_equal(wire_take(&wire, 2), cases[i].told);
        wire_close(&wire);
    }
    bpi_sim_stop(sim);
}

static void resets_before_the_last_are_ignored(void **state)
{
    (void)state;
    struct bpi_sim *sim = started_plain();
    struct wire wire;
    wire_open(&wire, bpi_sim_port(sim), BPI_BOLT(5, 8));
    wire_expect(&wire, "RESET; RESET; RESET", 3, "IGNORED IGNORED SUCCESS");
    wire_expect(&wire, "RESET; RUN; PULL; BEGIN; COMMIT", 5,
                "SUCCESS SUCCESS RECORD SUCCESS SUCCESS SUCCESS");
    wire_close(&wire);
    bpi_sim_stop(sim);
}

static void a_reset_overtakes_what_waits(void **state)
{
    (void)state;
    struct bpi_sim *sim = started_plain();
    struct wire wire;
    wire_open(&wire, bpi_sim_port(sim), BPI_BOLT(5, 8));
    wire_expect(&wire, "BEGIN; RUN:CREATE (:T {id: 1}); PULL", 3, "SUCCESS SUCCESS SUCCESS");
    wire_expect(&wire, "COMMIT; RESET", 2, "IGNORED SUCCESS");
    wire_expect(&wire, "RUN; PULL; RESET", 3, "IGNORED IGNORED SUCCESS");
    assert_int_equal(bpi_sim_committed(sim, "1"), 0);
    wire_expect(&wire, "RUN; PULL", 2, "SUCCESS RECORD SUCCESS");
    /* BEGIN and RESET in one write cost the connection from 5.x on. */
    wire_expect(&wire, "BEGIN; RESET", 2, ILLEGAL);
    wire_close(&wire);
    wire_open(&wire, bpi_sim_port(sim), BPI_BOLT(4, 4));
    wire_expect(&wire, "BEGIN; RESET", 2, "IGNORED SUCCESS");
    wire_close(&wire);
    bpi_sim_stop(sim);
}

static void a_reset_stops_the_running_query(void **state)
{
    (void)state;
    struct bpi_sim *sim = started_plain();
    static const struct {
        bpi_bolt_version version;
        const char *query, *told;
    } cases[] = {
        {BPI_BOLT(5, 8), "RUN:RETURN 1 /* sim: ms=60000 */; PULL",
         "FAILURE:ClientError.Transaction.Terminated IGNORED SUCCESS"},
        {BPI_BOLT(4, 4), "RUN:RETURN 1 /* sim: hang=1 */; PULL",
         "FAILURE:TransientError.Transaction.Terminated IGNORED SUCCESS"},
    };
    for (size_t i = 0; i < 2; i++) {
        struct wire wire;
        wire_open(&wire, bpi_sim_port(sim), cases[i].version);
        wire_send(&wire, cases[i].query);
        wait_for_stats(sim, stats.transactions_open == 1);
        wire_expect(&wire, "RESET", 3, cases[i].told);
        wire_expect(&wire, "RUN; PULL", 2, "SUCCESS RECORD SUCCESS");
        wire_close(&wire);
        wait_for_stats(sim, stats.connections_now == 0);
    }
    bpi_sim_stop(sim);
}

static void a_reset_stops_a_stream_that_nobody_reads(void **state)
{
    (void)state;
    struct bpi_sim *sim = started_plain();
    struct wire wire;
    wire_open(&wire, bpi_sim_port(sim), BPI_BOLT(5, 8));
    wire_send(&wire, "RUN:RETURN 1 /* sim: rows=1000000 bytes=100000 */; PULL");
    usleep(100000);
    wire_send(&wire, "RESET");
    wire_take(&wire, 3);
    struct bpi_sim_stats stats;
    bpi_sim_stats(sim, &stats);
    assert_true(stats.records > 1 && stats.records < 1000000);
    wire_expect(&wire, "RUN; PULL", 2, "SUCCESS RECORD SUCCESS");
    wire_close(&wire);
    bpi_sim_stop(sim);
}

static void a_commit_that_runs_is_not_undone(void **state)
{
    (void)state;
    struct bpi_sim *sim = started(&(struct bpi_sim_options){
        .commit_service = {.mean_us = 100 * 1000.0},
    });
    struct wire wire;
    wire_open(&wire, bpi_sim_port(sim), BPI_BOLT(5, 8));
    wire_expect(&wire, "BEGIN; RUN:CREATE (:T {id: 'a'}); PULL", 3, "SUCCESS SUCCESS SUCCESS");
    wire_send(&wire, "COMMIT");
    wait_for_stats(sim, stats.transactions_committed == 1);
    wire_expect(&wire, "RESET", 2, "SUCCESS SUCCESS");
    wire_expect(&wire, "BEGIN; RUN:CREATE (:T {id: 'b'}); PULL", 3, "SUCCESS SUCCESS SUCCESS");
    wire_send(&wire, "COMMIT");
    wait_for_stats(sim, stats.transactions_committed == 2);
    wire_close(&wire);
    wait_for_stats(sim, stats.connections_now == 0);
    assert_int_equal(bpi_sim_committed(sim, "a"), 1);
    assert_int_equal(bpi_sim_committed(sim, "b"), 1);
    bpi_sim_stop(sim);
}

static void a_dead_client_is_rolled_back(void **state)
{
    (void)state;
    struct bpi_sim *sim = started_plain();
    struct wire wire;
    wire_open(&wire, bpi_sim_port(sim), BPI_BOLT(5, 8));
    wire_expect(&wire, "BEGIN; RUN:CREATE (:T {id: 1}); PULL", 3, "SUCCESS SUCCESS SUCCESS");
    wire_close(&wire);
    wait_for_stats(sim, stats.connections_now == 0);
    struct bpi_sim_stats stats;
    bpi_sim_stats(sim, &stats);
    assert_int_equal(stats.transactions_rolled_back, 1);
    assert_int_equal(stats.workers_now, 0);
    assert_int_equal(bpi_sim_committed_count(sim, NULL), 0);
    bpi_sim_stop(sim);
}

static void results_are_fetched_in_parts_and_by_qid(void **state)
{
    (void)state;
    struct bpi_sim *sim = started_plain();
    struct wire wire;
    wire_open(&wire, bpi_sim_port(sim), BPI_BOLT(5, 8));
    wire_expect(&wire, "RUN:UNWIND range(1, 5) AS x RETURN x; PULL:2", 2,
                "SUCCESS RECORD RECORD SUCCESS+");
    wire_expect(&wire, "PULL:3", 1, "RECORD RECORD RECORD SUCCESS");
    wire_expect(&wire, "RUN:UNWIND range(1, 5) AS x RETURN x; DISCARD:4; PULL", 3,
                "SUCCESS SUCCESS+ RECORD SUCCESS");
    wire_expect(&wire, "BEGIN; RUN:RETURN 1 /* sim: rows=2 */", 2, "SUCCESS SUCCESS");
    assert_string_equal(wire_meta(&wire, "qid"), "0");
    wire_expect(&wire, "RUN:RETURN 2", 1, "SUCCESS");
    assert_string_equal(wire_meta(&wire, "qid"), "1");
    wire_expect(&wire, "PULL:1:0", 1, "RECORD SUCCESS+");
    wire_expect(&wire, "PULL:-1", 1, "RECORD SUCCESS");
    assert_string_equal(wire_meta(&wire, "bookmark"), "");
    wire_expect(&wire, "PULL:-1:0", 1, "RECORD SUCCESS");
    wire_expect(&wire, "PULL:-1:0", 1, "FAILURE:ClientError.Request.InvalidFormat");
    wire_close(&wire);
    wire_open(&wire, bpi_sim_port(sim), BPI_BOLT(4, 4));
    wire_expect(&wire, "RUN; PULL:-1:0", 2, "SUCCESS FAILURE:DatabaseError.General.UnknownError");
    wire_close(&wire);
    bpi_sim_stop(sim);
}

static void metadata_follows_the_version(void **state)
{
    (void)state;
    struct bpi_sim *sim = started_plain();
    char port[32];
    snprintf(port, sizeof(port), "127.0.0.1:%u", (unsigned)bpi_sim_port(sim));
    for (size_t i = 0; i < VERSION_COUNT; i++) {
        bpi_bolt_version version = versions[i];
        bool named = version >= BPI_BOLT(5, 8);
        struct wire wire;
        wire_connect(&wire, bpi_sim_port(sim));
        wire_handshake(&wire, version);
        wire_expect(&wire, "HELLO", 1, "SUCCESS");
        assert_string_equal(wire_meta(&wire, "server"), "Neo4j/5.26.30");
        assert_memory_equal(wire_meta(&wire, "connection_id"), "bolt-", 5);
        assert_string_equal(wire_meta(&wire, "hints"), named ? "[2]" : "[1]");
        assert_string_equal(wire_meta(&wire, "protocol_version"), "");
        if (bpi_bolt_has_logon(version)) {
            wire_expect(&wire, "LOGON", 1, "SUCCESS");
            assert_string_equal(wire_meta(&wire, "advertised_address"), named ? port : "");
        }
        wire_expect(&wire, "RUN:CREATE (:T {id: 1})", 1, "SUCCESS");
        assert_string_equal(wire_meta(&wire, "fields"), "[0]");
        assert_string_equal(wire_meta(&wire, "t_first"), "0");
        assert_string_equal(wire_meta(&wire, "qid"), "");
        assert_string_equal(wire_meta(&wire, "db"), named ? "neo4j" : "");
        wire_expect(&wire, "PULL", 1, "SUCCESS");
        assert_string_equal(wire_meta(&wire, "type"), "w");
        assert_string_equal(wire_meta(&wire, "t_last"), "0");
        assert_string_equal(wire_meta(&wire, "db"), "neo4j");
        assert_memory_equal(wire_meta(&wire, "bookmark"), "sim:", 4);
        assert_string_equal(wire_meta(&wire, "stats"), version >= BPI_BOLT(4, 4) ? "[4]" : "[3]");
        assert_string_equal(wire_meta(&wire, "statuses"), version >= BPI_BOLT(5, 6) ? "[1]" : "");
        wire_expect(&wire, "RUN:RETURN 1 /* sim: notify=1 */; PULL", 2, "SUCCESS RECORD SUCCESS");
        assert_string_equal(wire_meta(&wire, "statuses"), version >= BPI_BOLT(5, 6) ? "[2]" : "");
        assert_string_equal(wire_meta(&wire, "notifications"),
                            version >= BPI_BOLT(5, 6) ? "" : "[1]");
        wire_expect(&wire, "RUN; DISCARD", 2, "SUCCESS SUCCESS");
        assert_string_equal(wire_meta(&wire, "db"), version >= BPI_BOLT(5, 0) ? "neo4j" : "");
        wire_expect(&wire, "BEGIN", 1, "SUCCESS");
        assert_string_equal(wire_meta(&wire, "db"), named ? "neo4j" : "");
        wire_expect(&wire, "COMMIT", 1, "SUCCESS");
        assert_memory_equal(wire_meta(&wire, "bookmark"), "sim:", 4);
        wire_send(&wire, "RUN:x");
        wire_take(&wire, 1);
        bool gql = version >= BPI_BOLT(5, 7);
        assert_string_equal(wire_meta(&wire, gql ? "code" : "neo4j_code"), "");
        assert_string_equal(wire_meta(&wire, "gql_status"), gql ? "50N42" : "");
        wire_close(&wire);
    }
    bpi_sim_stop(sim);
}

static void route_echoes_the_clients_address(void **state)
{
    (void)state;
    struct bpi_sim *sim = started_plain();
    static const char *const address[] = {"address", "front.example:7000"};
    for (int old = 0; old < 2; old++) {
        struct wire wire;
        struct bpi_buffer message = {0};
        struct bpi_pack_writer writer;
        wire_open(&wire, bpi_sim_port(sim), old != 0 ? BPI_BOLT(4, 3) : BPI_BOLT(4, 4));
        bpi_pack_writer_init(&writer, &message);
        bpi_pack_struct(&writer, BPI_BOLT_ROUTE, 3);
        wire_map(&message, 1, address);
        bpi_pack_list(&writer, 0);
        if (old != 0) {
            bpi_pack_text(&writer, "neo4j");
        } else {
            bpi_pack_map(&writer, 0);
        }
        assert_int_equal(
            bpi_chunk_write(&wire.out, bpi_buffer_head(&message), bpi_buffer_size(&message)), 0);
        wire_flush(&wire);
        assert_string_equal(wire_take(&wire, 1), "SUCCESS");
        assert_non_null(memmem(bpi_buffer_head(&wire.meta), bpi_buffer_size(&wire.meta),
                               "front.example:7000", 18));
        assert_int_equal(memmem(bpi_buffer_head(&wire.meta), bpi_buffer_size(&wire.meta),
                                "\x82"
                                "db",
                                3) == NULL,
                         old != 0);
        bpi_buffer_done(&message);
        wire_close(&wire);
    }
    bpi_sim_stop(sim);
}

static void parameters_come_back_verbatim(void **state)
{
    (void)state;
    struct bpi_sim *sim = started_plain();
    struct wire wire;
    wire_open(&wire, bpi_sim_port(sim), BPI_BOLT(5, 8));
    /* {x: [1 in a wide form, {a: Date}, bytes, -0.0]} */
    static const uint8_t parameters[] = {0xa1, 0x81, 'x',  0x94, 0xc9, 0x00, 0x01, 0xa1, 0x81,
                                         'a',  0xb1, 0x44, 0x01, 0xcc, 0x02, 0xff, 0x00, 0xc1,
                                         0x80, 0,    0,    0,    0,    0,    0,    0};
    struct bpi_bolt_text query = {"RETURN $x AS x, 'it\\'s', 2.5, 'a,b' AS `c d`", 44};
    query.size = strlen(query.data);
    assert_int_equal(bpi_bolt_write_run(&wire.out, query,
                                        (struct bpi_bolt_span){parameters, sizeof(parameters)},
                                        (struct bpi_bolt_span){0}),
                     0);
    wire_flush(&wire);
    assert_string_equal(wire_take(&wire, 1), "SUCCESS");
    assert_non_null(memmem(bpi_buffer_head(&wire.meta), bpi_buffer_size(&wire.meta),
                           "\x83"
                           "c d",
                           4));
    wire_send(&wire, "PULL:1");
    assert_true(wire_next(&wire));
    static const uint8_t row[] = {0xb1, 0x71, 0x94};
    const uint8_t *record = bpi_buffer_head(&wire.reader.message);
    assert_memory_equal(record, row, 3);
    assert_memory_equal(record + 3, parameters + 3, sizeof(parameters) - 3);
    assert_memory_equal(record + sizeof(parameters), "\x84it's\xc1\x40\x04", 8);
    assert_string_equal(wire_take(&wire, 1), "SUCCESS");
    wire_expect(&wire, "RUN:RETURN $y", 1, "FAILURE:ClientError.Statement.ParameterMissing");
    wire_expect(&wire, "RESET", 1, "SUCCESS");
    /* A key that comes twice, and a structure that this version has no longer. */
    static const uint8_t twice[] = {0xb3, 0x10, 0x88, 'R', 'E', 'T',  'U', 'R', 'N', ' ',
                                    '1',  0xa2, 0x81, 'x', 1,   0x81, 'x', 2,   0xa0};
    static const uint8_t legacy[] = {0xb3, 0x10, 0x88, 'R', 'E',  'T',  'U', 'R', 'N', ' ',
                                     '1',  0xa1, 0x81, 'x', 0xb3, 0x46, 1,   2,   3,   0xa0};
    assert_int_equal(bpi_chunk_write(&wire.out, legacy, sizeof(legacy)), 0);
    wire_flush(&wire);
    assert_string_equal(wire_take(&wire, 1), "FAILURE:ClientError.Request.Invalid");
    wire_expect(&wire, "RESET", 1, "SUCCESS");
    assert_int_equal(bpi_chunk_write(&wire.out, twice, sizeof(twice)), 0);
    wire_flush(&wire);
    assert_string_equal(wire_take(&wire, 1), "FAILURE:ClientError.Request.Invalid");
    wire_close(&wire);
    bpi_sim_stop(sim);
}

static void queries_ask_for_rows_time_and_failures(void **state)
{
    (void)state;
    struct bpi_sim *sim = started_plain();
    struct wire wire;
    wire_open(&wire, bpi_sim_port(sim), BPI_BOLT(5, 8));
    wire_expect(&wire, "RUN:RETURN 1 /* sim: rows=3 bytes=200 */; PULL", 2,
                "SUCCESS RECORD RECORD RECORD SUCCESS");
    bp_usec before_us = bpi_clock_now_us();
    wire_expect(&wire, "RUN:RETURN 1 /* sim: ms=30 */; PULL", 2, "SUCCESS RECORD SUCCESS");
    assert_true(bpi_clock_now_us() - before_us >= 29000);
    wire_expect(
        &wire, "RUN:RETURN 1 /* sim: fail=Neo.TransientError.Transaction.DeadlockDetected */; PULL",
        2, "FAILURE:TransientError.Transaction.DeadlockDetected IGNORED");
    wire_expect(&wire, "RESET", 1, "SUCCESS");
    wire_expect(&wire, "RUN:RETURN 1 /* sim: rows=9 fail_at_row=2 */; PULL", 2,
                "SUCCESS RECORD RECORD FAILURE:DatabaseError.General.UnknownError");
    wire_expect(&wire, "RESET", 1, "SUCCESS");
    wire_expect(&wire, "RUN:RETURN 1 /* sim: rowz=9 */", 1,
                "FAILURE:ClientError.Statement.SyntaxError");
    wire_expect(&wire, "RESET", 1, "SUCCESS");
    wire_expect(&wire, "RUN:RETURN 1 /* sim: close=1 */", 1, "EOF");
    wire_close(&wire);
    wire_open(&wire, bpi_sim_port(sim), BPI_BOLT(5, 8));
    wire_send(&wire, "RUN:RETURN 1 /* sim: rows=1000 drop_after=333 */; PULL");
    char bytes[1000];
    assert_int_equal(wire_read(&wire, bytes, sizeof(bytes)), 333);
    wire_close(&wire);
    bpi_sim_stop(sim);
}

static void show_current_user_tells_who_is_logged_on(void **state)
{
    (void)state;
    struct bpi_sim *sim = started_plain();
    struct wire wire;
    wire_open(&wire, bpi_sim_port(sim), BPI_BOLT(5, 8));
    wire_expect(&wire, "LOGOFF", 1, "SUCCESS");
    wire_put_logon(&wire, "alice", "wonder123");
    wire_flush(&wire);
    assert_string_equal(wire_take(&wire, 1), "SUCCESS");
    wire_expect(&wire, "RUN:SHOW CURRENT USER", 1, "SUCCESS");
    assert_string_equal(wire_meta(&wire, "fields"), "[5]");
    wire_send(&wire, "PULL");
    assert_true(wire_next(&wire));
    assert_memory_equal(bpi_buffer_head(&wire.reader.message),
                        "\xb1\x71\x95\x85"
                        "alice\xc0\xc2\xc0\xc0",
                        13);
    assert_string_equal(wire_take(&wire, 1), "SUCCESS");
    struct bpi_sim_user_stats user;
    assert_true(bpi_sim_user_stats(sim, "alice", &user));
    assert_int_equal(user.sessions_now, 1);
    assert_true(bpi_sim_user_stats(sim, "neo4j", &user));
    assert_int_equal(user.sessions_now, 0);
    wire_close(&wire);
    bpi_sim_stop(sim);
}

/* Whoever waits gets the worker in the order of coming, and one that dies meanwhile doesn't keep it. */
static void work_waits_for_a_free_worker(void **state)
{
    (void)state;
    struct bpi_sim *sim = started(&(struct bpi_sim_options){
        .users = users, .user_count = 2, .worker_count_max = 1, .worker_wait = true});
    struct wire wires[4];
    for (size_t i = 0; i < 4; i++) {
        wire_open(&wires[i], bpi_sim_port(sim), BPI_BOLT(5, 8));
    }
    wire_expect(&wires[0], "BEGIN", 1, "SUCCESS");
    for (size_t i = 1; i < 4; i++) {
        wire_send(&wires[i], "RUN");
        usleep(
            20000); /* only the order of two sockets depends on it, not whether they are served */
    }
    wire_close(&wires[1]);
    wait_for_stats(sim, stats.connections_now == 3);
    wire_expect(&wires[0], "COMMIT", 1, "SUCCESS");
    assert_string_equal(wire_take(&wires[2], 1), "SUCCESS");
    struct bpi_sim_stats seen;
    bpi_sim_stats(sim, &seen);
    assert_int_equal(seen.queries, 1); /* the last one waits until the result is read */
    wire_expect(&wires[2], "PULL", 1, "RECORD SUCCESS");
    assert_string_equal(wire_take(&wires[3], 1), "SUCCESS");
    wire_expect(&wires[3], "PULL", 1, "RECORD SUCCESS");
    wait_for_stats(sim, stats.workers_now == 0);
    bpi_sim_stats(sim, &seen);
    assert_int_equal(seen.workers_max, 1);
    assert_int_equal(seen.no_threads, 0);
    assert_int_equal(seen.queries, 2);
    wire_close(&wires[0]);
    wire_close(&wires[2]);
    wire_close(&wires[3]);
    bpi_sim_stop(sim);
}

/* The server's time without the client's pauses, so that the rest of a latency is waiting. */
static void the_last_summary_tells_the_time_of_service(void **state)
{
    (void)state;
    struct bpi_sim *sim =
        started(&(struct bpi_sim_options){.users = users, .user_count = 2, .service_report = true});
    struct wire wire;
    wire_open(&wire, bpi_sim_port(sim), BPI_BOLT(5, 8));
    bp_usec before_us = bpi_clock_now_us();
    wire_expect(&wire, "RUN:RETURN 1 /* sim: ms=20 */; PULL", 2, "SUCCESS RECORD SUCCESS");
    bp_usec span_us = bpi_clock_now_us() - before_us;
    bp_usec service_us = strtoull(wire_meta(&wire, "service_us"), NULL, 10);
    assert_true(service_us >= 20000 && service_us <= span_us);
    before_us = bpi_clock_now_us();
    wire_expect(&wire, "BEGIN; RUN:RETURN 1 /* sim: service=fixed:10ms */; PULL", 3,
                "SUCCESS SUCCESS RECORD SUCCESS");
    assert_string_equal(wire_meta(&wire, "service_us"), "");
    usleep(30000);
    wire_expect(&wire, "COMMIT", 1, "SUCCESS");
    span_us = bpi_clock_now_us() - before_us;
    service_us = strtoull(wire_meta(&wire, "service_us"), NULL, 10);
    assert_true(service_us >= 10000 && service_us <= span_us - 30000);
    wire_expect(&wire, "RUN; PULL", 2, "SUCCESS RECORD SUCCESS");
    assert_string_not_equal(wire_meta(&wire, "service_us"), "");
    wire_expect(&wire, "RUN:RETURN 1 /* sim: service=uniform:5ms */", 1,
                "FAILURE:ClientError.Statement.SyntaxError");
    wire_close(&wire);
    bpi_sim_stop(sim);
}

int main(void)
{
    alarm(120);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_transaction_works_in_every_version),
        cmocka_unit_test(handshakes_choose_as_real_servers_do),
        cmocka_unit_test(the_manifest_leads_to_6_1_and_is_told_in_hello),
        cmocka_unit_test(every_state_answers_each_request_by_the_table),
        cmocka_unit_test(unreadable_messages_are_answered_by_version),
        cmocka_unit_test(resets_before_the_last_are_ignored),
        cmocka_unit_test(a_reset_overtakes_what_waits),
        cmocka_unit_test(a_reset_stops_the_running_query),
        cmocka_unit_test(a_reset_stops_a_stream_that_nobody_reads),
        cmocka_unit_test(a_commit_that_runs_is_not_undone),
        cmocka_unit_test(a_dead_client_is_rolled_back),
        cmocka_unit_test(results_are_fetched_in_parts_and_by_qid),
        cmocka_unit_test(metadata_follows_the_version),
        cmocka_unit_test(route_echoes_the_clients_address),
        cmocka_unit_test(parameters_come_back_verbatim),
        cmocka_unit_test(queries_ask_for_rows_time_and_failures),
        cmocka_unit_test(show_current_user_tells_who_is_logged_on),
        cmocka_unit_test(work_waits_for_a_free_worker),
        cmocka_unit_test(the_last_summary_tells_the_time_of_service),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
