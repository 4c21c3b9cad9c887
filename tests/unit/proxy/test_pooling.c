/* Shows that many clients share few links: a link is lent for one transaction, goes back with the answer
 * that ends it, and is never in two transactions at a time; and that nothing of that is seen by a client,
 * however it cuts its requests into writes. Simulated servers, real sockets.
 */
#include "harness.h"

/* Whether nothing is lent, soon. */
#define assert_link_back(house) wait_for(house_stats(house).links_leased == 0)

static void a_link_goes_back_with_each_end_of_a_transaction(void **state)
{
    (void)state;
    static const struct {
        const char *words;
        int summaries;
        const char *told;
    } ends[] = {
        {"RUN; PULL", 2, "SUCCESS RECORD SUCCESS"},
        {"RUN; DISCARD", 2, "SUCCESS SUCCESS"},
        {"RUN:UNWIND range(1, 3) AS x RETURN x; PULL:2; PULL:2", 3,
         "SUCCESS RECORD RECORD SUCCESS+ RECORD SUCCESS"},
        {"RUN:UNWIND range(1, 3) AS x RETURN x; PULL:1; DISCARD", 3,
         "SUCCESS RECORD SUCCESS+ SUCCESS"},
        {"BEGIN; COMMIT", 2, "SUCCESS SUCCESS"},
        {"BEGIN; ROLLBACK", 2, "SUCCESS SUCCESS"},
        {"BEGIN; RUN; PULL; COMMIT", 4, "SUCCESS SUCCESS RECORD SUCCESS SUCCESS"},
        {"BEGIN; RUN; COMMIT", 3, "SUCCESS SUCCESS SUCCESS"},
        {"BEGIN; RUN; PULL; RUN; DISCARD; ROLLBACK", 6,
         "SUCCESS SUCCESS RECORD SUCCESS SUCCESS SUCCESS SUCCESS"},
        {"ROUTE", 1, "SUCCESS"},
    };
    struct house house = {.lines = "max_links = 1"};
    house_open(&house);
    for (size_t v = 0; v < HOUSE_VERSIONS; v++) {
        struct wire wire;
        client_open(&wire, &house, house_versions[v]);
        for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
            expect(&wire, ends[i].words, ends[i].summaries, ends[i].told);
            assert_link_back(&house);
        }
        wire_close(&wire);
    }
    assert_int_equal(sim_stats(house.sim).sessions_max, 1);
    house_close(&house);
}

static void a_link_stays_while_more_is_to_come(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 1"};
    house_open(&house);
    for (size_t v = 0; v < HOUSE_VERSIONS; v++) {
        struct wire first;
        struct wire second;
        client_open(&first, &house, house_versions[v]);
        client_open(&second, &house, house_versions[v]);
        expect(&first, "RUN:UNWIND range(1, 3) AS x RETURN x; PULL:1", 2,
               "SUCCESS RECORD SUCCESS+");
        wire_send(&second, "RUN; PULL");
        assert_true(is_silent(&second, 20));
        expect(&first, "PULL:1", 1, "RECORD SUCCESS+");
        assert_true(is_silent(&second, 20));
        expect(&first, "PULL:1", 1, "RECORD SUCCESS");
        assert_string_equal(told(&second, 2), "SUCCESS RECORD SUCCESS");
        expect(&first, "BEGIN", 1, "SUCCESS");
        wire_send(&second, "RUN; PULL");
        expect(&first, "RUN; PULL", 2, "SUCCESS RECORD SUCCESS");
        assert_true(is_silent(&second, 20));
        expect(&first, "COMMIT", 1, "SUCCESS");
        assert_string_equal(told(&second, 2), "SUCCESS RECORD SUCCESS");
        wire_close(&first);
        wire_close(&second);
    }
    assert_int_equal(sim_stats(house.sim).sessions_max, 1);
    house_close(&house);
}

static void a_whole_transaction_in_one_write_is_answered(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 2"};
    house_open(&house);
    for (size_t v = 0; v < HOUSE_VERSIONS; v++) {
        struct wire wire;
        client_open(&wire, &house, house_versions[v]);
        expect(&wire,
               "BEGIN; RUN:CREATE (:T {id: 1}); PULL; RUN; PULL; COMMIT; RUN; PULL; BEGIN; RUN; "
               "ROLLBACK; RUN; DISCARD",
               13,
               "SUCCESS SUCCESS SUCCESS SUCCESS RECORD SUCCESS SUCCESS SUCCESS RECORD SUCCESS "
               "SUCCESS SUCCESS SUCCESS SUCCESS SUCCESS");
        expect(&wire, "RUN:CREATE (:T {id: 2}); PULL; RUN:CREATE (:T {id: 2}); PULL", 4,
               "SUCCESS SUCCESS SUCCESS SUCCESS");
        wire_close(&wire);
    }
    assert_int_equal(bpi_sim_committed(house.sim, "1"), HOUSE_VERSIONS);
    assert_int_equal(bpi_sim_committed(house.sim, "2"), 2 * HOUSE_VERSIONS);
    house_close(&house);
}

static void log_in_and_transaction_in_one_write_are_answered(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 1"};
    house_open(&house);
    for (size_t v = 0; v < HOUSE_VERSIONS; v++) {
        struct wire wire;
        wire_connect(&wire, house.port);
        wire_handshake(&wire, house_versions[v]);
        if (bpi_bolt_has_logon(house_versions[v])) {
            expect(&wire, "HELLO; LOGON; RUN; PULL; LOGOFF; LOGON; BEGIN; COMMIT", 8,
                   "SUCCESS SUCCESS SUCCESS RECORD SUCCESS SUCCESS SUCCESS SUCCESS SUCCESS");
        } else {
            expect(&wire, "HELLO; RUN; PULL; BEGIN; COMMIT", 5,
                   "SUCCESS SUCCESS RECORD SUCCESS SUCCESS SUCCESS");
        }
        wire_close(&wire);
    }
    house_close(&house);
}

static void streams_of_a_transaction_are_told_apart(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 1"};
    house_open(&house);
    for (size_t v = 0; v < HOUSE_VERSIONS; v++) {
        struct wire wire;
        client_open(&wire, &house, house_versions[v]);
        expect(&wire, "BEGIN; RUN:UNWIND range(1, 4) AS x RETURN x", 2, "SUCCESS SUCCESS");
        assert_string_equal(wire_meta(&wire, "qid"), "0");
        expect(&wire, "RUN:UNWIND range(10, 12) AS x RETURN x", 1, "SUCCESS");
        assert_string_equal(wire_meta(&wire, "qid"), "1");
        expect(&wire, "PULL:1:0; PULL:2:1; PULL:1:0; PULL:-1:1; DISCARD:-1:0", 5,
               "RECORD SUCCESS+ RECORD RECORD SUCCESS+ RECORD SUCCESS+ RECORD SUCCESS SUCCESS");
        expect(&wire, "COMMIT", 1, "SUCCESS");
        wire_close(&wire);
    }
    house_close(&house);
}

/* ---- many at once ---- */

#define CROWD        24
#define CROWD_ROUNDS 40

struct crowd {
    struct house *house;
    unsigned index;
    pthread_t thread;
};

static void *crowd_member(void *data)
{
    const struct crowd *member = data;
    struct wire wire;
    client_open(&wire, member->house, house_versions[member->index % HOUSE_VERSIONS]);
    for (unsigned i = 0; i < CROWD_ROUNDS; i++) {
        char words[160];
        snprintf(words, sizeof(words), "BEGIN; RUN:CREATE (:T {id: %u}); PULL; COMMIT",
                 member->index * 1000 + i);
        expect(&wire, words, 4, "SUCCESS SUCCESS SUCCESS SUCCESS");
        expect(&wire, "RUN; PULL", 2, "SUCCESS RECORD SUCCESS");
    }
    wire_close(&wire);
    return NULL;
}

static void a_crowd_on_few_links(unsigned loops)
{
    struct house house = {.lines = "max_links = 3", .loops = loops};
    struct crowd members[CROWD];
    uint64_t doubled;
    house_open(&house);
    for (unsigned i = 0; i < CROWD; i++) {
        members[i] = (struct crowd){.house = &house, .index = i};
        assert_int_equal(pthread_create(&members[i].thread, NULL, crowd_member, &members[i]), 0);
    }
    for (unsigned i = 0; i < CROWD; i++) {
        pthread_join(members[i].thread, NULL);
    }
    struct bpi_sim_stats stats = sim_stats(house.sim);
    assert_true(stats.connections_max <= 3);
    assert_true(stats.transactions_open_max <= 3);
    assert_int_equal(bpi_sim_committed_count(house.sim, &doubled), CROWD * CROWD_ROUNDS);
    assert_int_equal(doubled, 0);
    house_close(&house);
}

static void clients_on_one_loop_never_exceed_max_links(void **state)
{
    (void)state;
    a_crowd_on_few_links(1);
}

static void clients_on_two_loops_never_exceed_max_links(void **state)
{
    (void)state;
    a_crowd_on_few_links(2);
}

/* ---- pipelines ---- */

static void a_pipeline_far_over_max_pipelined_requests_is_served(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 1\nmax_pipelined_requests = 8"};
    house_open(&house);
    struct wire wire;
    client_open(&wire, &house, V58);
    for (int i = 0; i < 1000; i++) {
        wire_put_word(&wire, "RUN");
        wire_put_word(&wire, "PULL");
    }
    wire_put_word(&wire, "BEGIN");
    for (int i = 0; i < 1000; i++) {
        wire_put_word(&wire, "RUN");
        wire_put_word(&wire, "DISCARD");
    }
    wire_put_word(&wire, "COMMIT");
    wire_flush(&wire);
    for (int i = 0; i < 1000; i++) {
        assert_string_equal(told(&wire, 2), "SUCCESS RECORD SUCCESS");
    }
    for (int i = 0; i < 1001; i++) {
        assert_string_equal(told(&wire, 2), "SUCCESS SUCCESS");
    }
    wire_close(&wire);
    house_close(&house);
}

/* One byte at a time, with pauses long enough that many arrive alone. */
static void requests_that_come_byte_by_byte_are_answered(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 1"};
    house_open(&house);
    for (size_t v = 0; v < HOUSE_VERSIONS; v++) {
        struct wire wire;
        client_open(&wire, &house, house_versions[v]);
        wire_put_word(&wire, "BEGIN");
        wire_put_word(&wire, "RUN:CREATE (:T {id: 3})");
        wire_put_word(&wire, "PULL");
        wire_put_word(&wire, "COMMIT");
        const uint8_t *bytes = bpi_buffer_head(&wire.out);
        for (size_t i = 0; i < bpi_buffer_size(&wire.out); i++) {
            wire_write(&wire, bytes + i, 1);
            if (i % 4 == 0) {
                usleep(200);
            }
        }
        bpi_buffer_clear(&wire.out);
        assert_string_equal(told(&wire, 4), "SUCCESS SUCCESS SUCCESS SUCCESS");
        wire_close(&wire);
    }
    assert_int_equal(bpi_sim_committed(house.sim, "3"), HOUSE_VERSIONS);
    house_close(&house);
}

/* A message in chunks of one byte, NOOPs between messages. */
static void any_chunking_is_understood(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 1"};
    static const uint8_t chunked[] = {
        0,   0,   0,   1,    0xb3, 0,    1, 0x10, 0,    2,   0x88, 'R', 0,    7, 'E', 'T',
        'U', 'R', 'N', ' ',  '1',  0,    1, 0xa0, 0,    1,   0xa0, 0,   0,    0, 0,   0,
        0,   0,   3,   0xb1, 0x3f, 0xa1, 0, 2,    0x81, 'n', 0,    1,   0xff, 0, 0};
    house_open(&house);
    struct wire wire;
    client_open(&wire, &house, V58);
    wire_write(&wire, chunked, sizeof(chunked));
    assert_string_equal(told(&wire, 2), "SUCCESS RECORD SUCCESS");
    wire_close(&wire);
    house_close(&house);
}

static void two_clusters_and_two_endpoints_are_served(void **state)
{
    (void)state;
    struct house house = {.sims_count = 2, .separate = true, .lines = "max_links = 2"};
    struct wire wire;
    house_open(&house);
    client_open(&wire, &house, V58);
    expect(&wire, "RUN:CREATE (:T {id: 1}); PULL", 2, "SUCCESS SUCCESS");
    wire_close(&wire);
    house.port = bpi_daemon_port(house.daemon, 1);
    client_open(&wire, &house, V44);
    expect(&wire, "RUN:CREATE (:T {id: 2}); PULL", 2, "SUCCESS SUCCESS");
    wire_close(&wire);
    assert_int_equal(bpi_sim_committed(house.sims[0], "1"), 1);
    assert_int_equal(bpi_sim_committed(house.sims[0], "2"), 0);
    assert_int_equal(bpi_sim_committed(house.sims[1], "2"), 1);
    house_close(&house);

    struct house pair = {.sims_count = 2, .lines = "max_links = 4"};
    struct wire wires[4];
    house_open(&pair);
    wait_for(house_stats(&pair).endpoints[0].up && house_stats(&pair).endpoints[1].up);
    for (int i = 0; i < 4; i++) {
        client_open(&wires[i], &pair, V58);
        expect(&wires[i], "BEGIN; RUN; PULL", 3, "SUCCESS SUCCESS RECORD SUCCESS");
    }
    assert_int_equal(sim_stats(pair.sims[0]).transactions_open, 2);
    assert_int_equal(sim_stats(pair.sims[1]).transactions_open, 2);
    for (int i = 0; i < 4; i++) {
        expect(&wires[i], "COMMIT", 1, "SUCCESS");
        wire_close(&wires[i]);
    }
    house_close(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_link_goes_back_with_each_end_of_a_transaction),
        cmocka_unit_test(a_link_stays_while_more_is_to_come),
        cmocka_unit_test(a_whole_transaction_in_one_write_is_answered),
        cmocka_unit_test(log_in_and_transaction_in_one_write_are_answered),
        cmocka_unit_test(streams_of_a_transaction_are_told_apart),
        cmocka_unit_test(clients_on_one_loop_never_exceed_max_links),
        cmocka_unit_test(clients_on_two_loops_never_exceed_max_links),
        cmocka_unit_test(a_pipeline_far_over_max_pipelined_requests_is_served),
        cmocka_unit_test(requests_that_come_byte_by_byte_are_answered),
        cmocka_unit_test(any_chunking_is_understood),
        cmocka_unit_test(two_clusters_and_two_endpoints_are_served),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
