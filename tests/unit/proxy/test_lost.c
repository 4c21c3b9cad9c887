/* Shows what is left when one side goes: clients that vanish give back what they held, and their commits in
 * flight are kept; servers that die cost a client a retryable failure where nothing can have been done, and
 * its connection where something may have been. Simulated servers, real sockets.
 */
#include "harness.h"

#define HANG        "RUN:RETURN 1 /*sim: hang=1*/"
#define INTERRUPTED "FAILURE:TransientError.Transaction.Interrupted"

/* ---- the client goes ---- */

static void clients_that_vanish_leave_nothing(void **state)
{
    (void)state;
    static const char *const words[] = {
        "BEGIN",
        "BEGIN; RUN; PULL",
        "BEGIN; RUN:RETURN 1 /*sim: rows=100000 bytes=100*/; PULL",
        "RUN:RETURN 1 /*sim: rows=100000 bytes=100*/; PULL",
        "RUN:UNWIND range(1, 9) AS x RETURN x; PULL:2",
        HANG "; PULL",
        "BEGIN; " HANG "; PULL; COMMIT",
        "RUN:nonsense; PULL",
        "BEGIN; RUN; PULL; ROLLBACK",
        "ROUTE",
    };
    static const char *const lines[] = {"max_links = 1\nreset_timeout = 1s",
                                        "max_links = 1\nreset_timeout = 1s\npool_mode = session"};
    for (size_t mode = 0; mode < 2; mode++) {
        struct house house = {.lines = lines[mode]};
        house_open(&house);
        for (size_t v = 0; v < HOUSE_VERSIONS; v++) {
            for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
                for (int answers = 0; answers < 3; answers++) {
                    /* Those that hang don't answer so much. */
                    if (strstr(words[i], "hang") != NULL && (v > 0 || answers > 0)) {
                        continue;
                    }
                    struct wire wire;
                    client_open(&wire, &house, house_versions[v]);
                    wire_send(&wire, words[i]);
                    if (answers > 0 && strstr(words[i], "100000") == NULL) {
                        (void)!wire_next(&wire);
                    }
                    wire_close(&wire);
                }
            }
            struct wire next;
            client_open(&next, &house, house_versions[v]);
            expect(&next, "RUN; PULL", 2, "SUCCESS RECORD SUCCESS");
            wire_close(&next);
        }
        house_close(&house);
    }
}

static void clients_that_vanish_before_they_are_logged_on_leave_nothing(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 1"};
    house.options[0].login_service =
        (struct bpi_sim_service){.spread = BPI_SIM_FIXED, .mean_us = 20000};
    house_open(&house);
    for (size_t v = 0; v < HOUSE_VERSIONS; v++) {
        struct wire wire;
        wire_connect(&wire, house.port);
        wire_close(&wire);
        wire_connect(&wire, house.port);
        wire_write(&wire, "\x60\x60\xb0\x17\0\0", 6);
        wire_close(&wire);
        wire_connect(&wire, house.port);
        wire_handshake(&wire, house_versions[v]);
        wire_close(&wire);
        wire_connect(&wire, house.port);
        wire_handshake(&wire, house_versions[v]);
        wire_put_hello(&wire, "alice", "wonder123");
        if (bpi_bolt_has_logon(house_versions[v])) {
            wire_put_logon(&wire, "alice", "wonder123");
        }
        wire_flush(&wire);
        usleep(5000); /* its log-in is being checked */
        wire_close(&wire);
    }
    /* In the queue. */
    struct wire holder;
    client_open(&holder, &house, V58);
    expect(&holder, "BEGIN", 1, "SUCCESS");
    for (size_t v = 0; v < HOUSE_VERSIONS; v++) {
        struct wire wire;
        client_open(&wire, &house, house_versions[v]);
        wire_send(&wire, "BEGIN; RUN");
        wait_for(house_stats(&house).waiters == 1);
        wire_close(&wire);
        wait_for(house_stats(&house).waiters == 0);
        if (v + 1 < HOUSE_VERSIONS) {
            expect(&holder, "COMMIT", 1, "SUCCESS");
            wire_close(&holder);
            client_open(&holder, &house, house_versions[v + 1]);
            expect(&holder, "BEGIN", 1, "SUCCESS");
        }
    }
    wire_close(&holder);
    house_close(&house);
}

static void a_commit_in_flight_is_kept_without_its_client(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 1"};
    house.options[0].commit_service =
        (struct bpi_sim_service){.spread = BPI_SIM_FIXED, .mean_us = 30000};
    house_open(&house);
    for (size_t v = 0; v < HOUSE_VERSIONS; v++) {
        char id[32];
        char words[128];
        struct wire wire;
        client_open(&wire, &house, house_versions[v]);
        snprintf(id, sizeof(id), "%zu", v);
        snprintf(words, sizeof(words), "BEGIN; RUN:CREATE (:T {id: %s}); PULL", id);
        expect(&wire, words, 3, "SUCCESS SUCCESS SUCCESS");
        wire_send(&wire, "COMMIT");
        usleep(10000);
        wire_close(&wire);
        wait_for(bpi_sim_committed(house.sim, id) == 1);
        /* The whole transaction in one write. */
        client_open(&wire, &house, house_versions[v]);
        snprintf(id, sizeof(id), "1%zu", v);
        snprintf(words, sizeof(words), "BEGIN; RUN:CREATE (:T {id: %s}); PULL; COMMIT", id);
        expect(&wire, words, 3, "SUCCESS SUCCESS SUCCESS");
        wire_close(&wire);
        wait_for(bpi_sim_committed(house.sim, id) == 1);
    }
    house_close(&house);
}

/* ---- the server goes ---- */

struct loss {
    const char *before; /* answered */
    int before_summaries;
    const char *request;
    int summaries;
    const char *told;
    const char *after; /* what follows, or NULL where the connection is closed */
    const char *after_told;
};

/* Lets the server die with `request` under way, or before it where there is none. */
static void
lose(struct house *house, bpi_bolt_version version, const struct loss *loss, bool freeze)
{
    struct wire wire;
    client_open(&wire, house, version);
    expect(&wire, "RUN; PULL", 2, "SUCCESS RECORD SUCCESS"); /* there is a link */
    if (loss->before_summaries > 0) {
        wire_send(&wire, loss->before);
        for (int i = 0; i < loss->before_summaries; i++) {
            assert_string_not_equal(told(&wire, 1), "EOF");
        }
    }
    if (freeze) {
        fault(house->sim, "freeze");
        wire_send(&wire, loss->request);
        usleep(20000);
    }
    fault(house->sim, "down freeze=no");
    if (!freeze) {
        usleep(10000);
        wire_send(&wire, loss->request);
    }
    const char *text = told(&wire, loss->summaries);
    if (strcmp(text, loss->told) != 0) {
        fail_msg("%s, then %s (frozen: %d): %s and not %s", loss->before, loss->request, freeze,
                 text, loss->told);
    }
    fault(house->sim, "up");
    if (loss->after != NULL) {
        expect(&wire, loss->after, 2, loss->after_told);
        expect(&wire, "RESET; RUN; PULL", 3, "SUCCESS SUCCESS RECORD SUCCESS");
    }
    wire_close(&wire);
    wait_for(house_is_idle(house));
}

static void a_lost_server_is_told_by_what_may_have_been_done(void **state)
{
    (void)state;
    static const struct loss idle_losses[] = {
        {"BEGIN", 1, "RUN; PULL", 2, INTERRUPTED " IGNORED", "PULL; COMMIT", "IGNORED IGNORED"},
        {"BEGIN; RUN; PULL", 3, "COMMIT", 1, INTERRUPTED, "RUN; PULL", "IGNORED IGNORED"},
        {"BEGIN; RUN; PULL", 3, "ROLLBACK", 1, INTERRUPTED, "RUN; PULL", "IGNORED IGNORED"},
        {"BEGIN; RUN; PULL", 3, "RESET", 1, "SUCCESS", "RESET; RESET", "IGNORED SUCCESS"},
        {"BEGIN; RUN:UNWIND range(1, 9) AS x RETURN x; PULL:1", 3, "PULL", 1, INTERRUPTED,
         "PULL; RUN", "IGNORED IGNORED"},
    };
    static const struct loss busy_losses[] = {
        {"BEGIN", 1, "RUN; PULL", 2, INTERRUPTED " IGNORED", "PULL; COMMIT", "IGNORED IGNORED"},
        {"BEGIN; RUN; PULL", 3, "ROLLBACK", 1, INTERRUPTED, "RUN; PULL", "IGNORED IGNORED"},
        {"BEGIN; RUN; PULL", 3, "COMMIT", 1, "EOF", NULL, NULL},
        {"BEGIN", 1, "RUN; PULL; COMMIT", 1, "EOF", NULL, NULL},
        {NULL, 0, "RUN:CREATE (:T {id: 1}); PULL", 1, "EOF", NULL, NULL},
        {NULL, 0, "BEGIN; RUN", 2, INTERRUPTED " IGNORED", "PULL; COMMIT", "IGNORED IGNORED"},
        {NULL, 0, "ROUTE", 1, INTERRUPTED, "PULL; COMMIT", "IGNORED IGNORED"},
    };
    struct house house = {.lines = "max_links = 2"};
    house_open(&house);
    for (size_t v = 0; v < HOUSE_VERSIONS; v++) {
        for (size_t i = 0; i < sizeof(idle_losses) / sizeof(idle_losses[0]); i++) {
            lose(&house, house_versions[v], &idle_losses[i], false);
        }
        for (size_t i = 0; i < sizeof(busy_losses) / sizeof(busy_losses[0]); i++) {
            lose(&house, house_versions[v], &busy_losses[i], true);
        }
    }
    assert_int_equal(bpi_sim_committed(house.sim, "1"), 0);
    house_close(&house);
}

static void a_lost_auto_commit_that_only_reads_may_be_tried_again(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 1"};
    house_open(&house);
    for (size_t v = 0; v < HOUSE_VERSIONS; v++) {
        struct wire wire;
        client_open(&wire, &house, house_versions[v]);
        put_run(&wire, "RETURN 1 /*sim: close=1*/", "mode=r");
        wire_put_word(&wire, "PULL");
        wire_flush(&wire);
        assert_string_equal(told(&wire, 2), INTERRUPTED " IGNORED");
        /* After rows, too; in the middle of one as well. */
        for (int bytes = 1; bytes < 60; bytes += 7) {
            char query[64];
            expect(&wire, "RESET", 1, "SUCCESS");
            snprintf(query, sizeof(query),
                     "UNWIND range(1, 50) AS x RETURN x /*sim: drop_after=%d*/", 70 + bytes);
            put_run(&wire, query, "mode=r");
            wire_put_word(&wire, "PULL");
            wire_flush(&wire);
            const char *text = told(&wire, 2);
            assert_non_null(strstr(text, INTERRUPTED));
        }
        /* One that may write is not answered at all. */
        expect(&wire, "RESET", 1, "SUCCESS");
        wire_send(&wire, "RUN:RETURN 1 /*sim: close=1*/; PULL");
        assert_string_equal(told(&wire, 2), "EOF");
        wire_close(&wire);
        client_open(&wire, &house, house_versions[v]);
        expect(&wire, "RUN:UNWIND range(1, 50) AS x RETURN x /*sim: drop_after=200*/", 1,
               "SUCCESS");
        wire_send(&wire, "PULL");
        const char *text = told(&wire, 1);
        assert_string_equal(text + strlen(text) - 3, "EOF");
        assert_null(strstr(text, "FAILURE"));
        wire_close(&wire);
    }
    house_close(&house);
}

static void a_commit_whose_answer_is_lost_closes_the_client(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 1"};
    house_open(&house);
    for (size_t v = 0; v < HOUSE_VERSIONS; v++) {
        static const char *const faults[] = {"drop_commit", "lose_commit"};
        for (size_t i = 0; i < 2; i++) {
            char words[128];
            char id[16];
            snprintf(id, sizeof(id), "%zu", 100 + 10 * v + i);
            struct wire wire;
            client_open(&wire, &house, house_versions[v]);
            snprintf(words, sizeof(words), "BEGIN; RUN:CREATE (:T {id: %s}); PULL", id);
            expect(&wire, words, 3, "SUCCESS SUCCESS SUCCESS");
            fault(house.sim, faults[i]);
            expect(&wire, "COMMIT", 1, "EOF");
            assert_int_equal(bpi_sim_committed(house.sim, id), i == 0);
            wire_close(&wire);
            client_open(&wire, &house, house_versions[v]);
            fault(house.sim, faults[i]);
            snprintf(words, sizeof(words), "RUN:CREATE (:T {id: 1%s}); PULL", id);
            wire_send(&wire, words);
            const char *text = told(&wire, 2);
            assert_string_equal(text + strlen(text) - 3, "EOF");
            assert_null(strstr(text, "FAILURE"));
            wire_close(&wire);
        }
    }
    house_close(&house);
}

static void a_record_too_large_to_hold_is_cut_with_its_client(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 1\nrecord_buffer_bytes = 64KiB"};
    house_open(&house);
    struct wire wire;
    client_open(&wire, &house, V58);
    put_run(&wire, "RETURN 1 /*sim: bytes=3000000 drop_after=1000000*/", "mode=r");
    wire_put_word(&wire, "PULL");
    wire_flush(&wire);
    assert_string_equal(told(&wire, 1), "SUCCESS");
    assert_string_equal(told(&wire, 1), "EOF");
    wire_close(&wire);
    client_open(&wire, &house, V58);
    put_run(&wire, "RETURN 1 /*sim: bytes=3000000*/", "mode=r");
    wire_put_word(&wire, "PULL");
    wire_flush(&wire);
    assert_string_equal(told(&wire, 2), "SUCCESS RECORD SUCCESS");
    wire_close(&wire);
    house_close(&house);
}

/* ---- while clients wait ---- */

static void waiting_clients_are_served_when_the_server_is_back(void **state)
{
    (void)state;
    static const char *const outages[] = {"down", "refuse", "hang", "freeze"};
    for (size_t i = 0; i < 4; i++) {
        struct house house = {.lines = "max_links = 2\nconnect_timeout = 200ms"};
        struct wire wires[6];
        house_open(&house);
        for (size_t j = 0; j < 6; j++) {
            client_open(&wires[j], &house, house_versions[j % HOUSE_VERSIONS]);
        }
        fault(house.sim, outages[i]);
        if (strcmp(outages[i], "freeze") != 0) {
            fault(house.sim, "down");
            fault(house.sim, "up"); /* what was connected dies */
            if (i == 0) {
                fault(house.sim, "down");
            }
        }
        for (size_t j = 0; j < 6; j++) {
            put_run(&wires[j], "RETURN 1", "mode=r");
            wire_put_word(&wires[j], "PULL");
            wire_flush(&wires[j]);
        }
        usleep(300000);
        for (size_t j = 0; j < 6; j++) {
            assert_true(is_silent(&wires[j], 0));
        }
        fault(house.sim, i == 0 ? "up" : "none");
        bp_usec began_us = bpi_clock_now_us();
        for (size_t j = 0; j < 6; j++) {
            assert_string_equal(told(&wires[j], 2), "SUCCESS RECORD SUCCESS");
            wire_close(&wires[j]);
        }
        assert_true(bpi_clock_now_us() - began_us < BP_USEC_PER_SECOND + SLACK_US);
        house_close(&house);
    }
}

static void an_idle_link_that_died_is_never_lent(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 3"};
    house_open(&house);
    struct wire wire;
    client_open(&wire, &house, V58);
    for (int i = 0; i < 20; i++) {
        expect(&wire, "RUN:CREATE (:T {id: 1}); PULL", 2, "SUCCESS SUCCESS");
        fault(house.sim, "down");
        fault(house.sim, "up");
    }
    assert_int_equal(bpi_sim_committed(house.sim, "1"), 20);
    wire_close(&wire);
    house_close(&house);
}

static void a_server_that_answers_no_reset_loses_its_link(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 1\nreset_timeout = 200ms"};
    house_open(&house);
    struct wire wire;
    client_open(&wire, &house, V58);
    expect(&wire, "BEGIN", 1, "SUCCESS");
    fault(house.sim, "freeze");
    wire_close(&wire);
    wait_for(house_stats(&house).links_open == 0);
    fault(house.sim, "none");
    client_open(&wire, &house, V58);
    expect(&wire, "RUN; PULL", 2, "SUCCESS RECORD SUCCESS");
    wire_close(&wire);
    house_close(&house);
}

static void one_of_two_endpoints_goes_and_comes_back(void **state)
{
    (void)state;
    struct house house = {.sims_count = 2, .lines = "max_links = 4"};
    house_open(&house);
    wait_for(house_stats(&house).endpoints[0].up && house_stats(&house).endpoints[1].up);
    struct wire wire;
    client_open(&wire, &house, V58);
    for (int i = 0; i < 2; i++) {
        fault(house.sims[i], "down");
        for (int j = 0; j < 20; j++) {
            expect(&wire, "RUN; PULL", 2, "SUCCESS RECORD SUCCESS");
        }
        wait_for(!house_stats(&house).endpoints[i].up);
        fault(house.sims[i], "up");
        wait_for(house_stats(&house).endpoints[i].up);
    }
    wire_close(&wire);
    house_close(&house);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clients_that_vanish_leave_nothing),
        cmocka_unit_test(clients_that_vanish_before_they_are_logged_on_leave_nothing),
        cmocka_unit_test(a_commit_in_flight_is_kept_without_its_client),
        cmocka_unit_test(a_lost_server_is_told_by_what_may_have_been_done),
        cmocka_unit_test(a_lost_auto_commit_that_only_reads_may_be_tried_again),
        cmocka_unit_test(a_commit_whose_answer_is_lost_closes_the_client),
        cmocka_unit_test(a_record_too_large_to_hold_is_cut_with_its_client),
        cmocka_unit_test(waiting_clients_are_served_when_the_server_is_back),
        cmocka_unit_test(an_idle_link_that_died_is_never_lent),
        cmocka_unit_test(a_server_that_answers_no_reset_loses_its_link),
        cmocka_unit_test(one_of_two_endpoints_goes_and_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
