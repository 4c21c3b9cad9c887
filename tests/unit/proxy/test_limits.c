/* Shows that every limit and time-out of the configuration does what its text says: what is refused, with
 * which code, whether the connection stays, and that what was held is free afterwards. Times may be late
 * by SLACK_US, never early. Simulated servers, real sockets.
 */
#include "harness.h"

#include <time.h>

#define NO_THREADS "FAILURE:TransientError.Request.NoThreadsAvailable"
#define TIMED_OUT  "FAILURE:ClientError.Transaction.TransactionTimedOut"

#define assert_took(began_us, least_ms)                                                            \
    do {                                                                                           \
        bp_usec took_us = bpi_clock_now_us() - (began_us);                                         \
        assert_true(took_us >= (least_ms)*BP_USEC_PER_MS - 2 * BP_USEC_PER_MS);                    \
        assert_true(took_us < (least_ms)*BP_USEC_PER_MS + SLACK_US);                               \
    } while (0)

/* CPU time of this whole process. */
static bp_usec cpu_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (bp_usec)now.tv_sec * BP_USEC_PER_SECOND + (bp_usec)now.tv_nsec / 1000;
}

static void clients_over_max_clients_are_told_so(void **state)
{
    (void)state;
    struct house house = {.lines = "max_clients = 2"};
    house_open(&house);
    for (size_t v = 0; v < HOUSE_VERSIONS; v++) {
        struct wire wires[2];
        struct wire late;
        client_open(&wires[0], &house, house_versions[v]);
        client_open(&wires[1], &house, house_versions[v]);
        wire_connect(&late, house.port);
        wire_handshake(&late, house_versions[v]);
        wire_send(&late, "HELLO");
        assert_string_equal(told(&late, 1), NO_THREADS);
        assert_non_null(strstr(wire_meta(&late, "message"), "max_clients = 2"));
        if (bpi_bolt_has_logon(house_versions[v])) {
            expect(&late, "LOGON", 1, "IGNORED");
        }
        expect(&late, "RUN; PULL", 2, "IGNORED IGNORED");
        wire_send(&late, "GOODBYE");
        assert_string_equal(told(&late, 1), "EOF");
        wire_close(&late);
        wire_close(&wires[0]);
        wait_for(house_clients(&house) == 1);
        client_open(&late, &house, house_versions[v]);
        wire_close(&late);
        wire_close(&wires[1]);
        wait_for(house_clients(&house) == 0);
    }
    house_close(&house);
}

static void a_log_in_has_its_time_also_after_logoff(void **state)
{
    (void)state;
    struct house house = {.lines = "client_login_timeout = 200ms"};
    house_open(&house);
    struct wire wire;
    bp_usec began_us = bpi_clock_now_us();
    wire_connect(&wire, house.port);
    assert_string_equal(told(&wire, 1), "EOF");
    assert_took(began_us, 200);
    wire_close(&wire);
    wire_connect(&wire, house.port);
    wire_handshake(&wire, V58);
    expect(&wire, "HELLO", 1, "SUCCESS");
    assert_string_equal(told(&wire, 1), "EOF");
    wire_close(&wire);
    client_open(&wire, &house, V58);
    assert_true(is_silent(&wire, 400)); /* logged on in time */
    began_us = bpi_clock_now_us();
    expect(&wire, "LOGOFF", 1, "SUCCESS");
    assert_string_equal(told(&wire, 1), "EOF");
    assert_took(began_us, 200);
    wire_close(&wire);
    client_open(&wire, &house, V58);
    expect(&wire, "LOGOFF; LOGON", 2, "SUCCESS SUCCESS");
    assert_true(is_silent(&wire, 400));
    expect(&wire, "RUN; PULL", 2, "SUCCESS RECORD SUCCESS");
    wire_close(&wire);
    house_close(&house);
}

/* One client holds what the limit allows; the next waits for queue_timeout and is told why. */
static void
assert_second_waits(struct house *house, const char *user, const char *extra, const char *why)
{
    struct wire wire;
    bool alice = strcmp(user, "alice") == 0;
    client_open_as(&wire, house, V58, user, alice ? "wonder123" : "secret12");
    bp_usec began_us = bpi_clock_now_us();
    put_run(&wire, "RETURN 1", extra);
    wire_put_word(&wire, "PULL");
    wire_flush(&wire);
    assert_string_equal(told(&wire, 2), NO_THREADS " IGNORED");
    assert_took(began_us, 200);
    wire_close(&wire);
    client_open_as(&wire, house, V58, user, alice ? "wonder123" : "secret12");
    put_run(&wire, "RETURN 1", extra);
    wire_flush(&wire);
    assert_string_equal(told(&wire, 1), NO_THREADS);
    const char *message = wire_meta(&wire, "message");
    if (strstr(message, why) == NULL || strstr(message, "queue_timeout = 0.2 s") == NULL) {
        fail_msg("not told \"%s\": %s", why, message);
    }
    expect(&wire, "RESET", 1, "SUCCESS");
    wire_close(&wire);
}

static void queue_timeout_names_the_limit(void **state)
{
    (void)state;
    static const struct {
        const char *lines;
        const char *extra;
        const char *why;
        const char *other_user; /* who is served meanwhile */
        const char *other_extra;
    } cases[] = {
        {"max_links = 1", "mode=w", "max_links = 1 of [cluster main]", NULL, NULL},
        {"max_user_links = 1", "mode=w", "max_user_links = 1 of [cluster main]", "alice", "mode=w"},
        {"max_database_links = 1", "db=neo4j", "max_database_links = 1 of [cluster main]", "neo4j",
         "db=system"},
        {"[class read_write]\nmax = 1", "mode=w", "max = 1 of [class read_write]", "neo4j",
         "mode=r"},
        {"[class analytics]\nmax = 1\n[rule a]\nquery = return\nclass = analytics", "mode=w",
         "max = 1 of [class analytics]", NULL, NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char lines[256];
        snprintf(lines, sizeof(lines), "queue_timeout = 200ms\n%s", cases[i].lines);
        struct house house = {.lines = lines};
        struct wire holder;
        house_open(&house);
        client_open(&holder, &house, V58);
        put_run(&holder, "RETURN 1", cases[i].extra);
        wire_flush(&holder);
        assert_string_equal(told(&holder, 1), "SUCCESS");
        assert_second_waits(&house, "neo4j", cases[i].extra, cases[i].why);
        if (cases[i].other_user != NULL) {
            struct wire wire;
            bool alice = strcmp(cases[i].other_user, "alice") == 0;
            client_open_as(&wire, &house, V58, cases[i].other_user,
                           alice ? "wonder123" : "secret12");
            put_run(&wire, "RETURN 1", cases[i].other_extra);
            wire_put_word(&wire, "PULL");
            wire_flush(&wire);
            assert_string_equal(told(&wire, 2), "SUCCESS RECORD SUCCESS");
            wire_close(&wire);
        }
        expect(&holder, "PULL", 1, "RECORD SUCCESS");
        wire_close(&holder);
        house_close(&house);
    }
}

static void a_client_may_claim_a_class(void **state)
{
    (void)state;
    struct house house = {
        .global = "[users]\nclasses = analytics",
        .lines = "queue_timeout = 100ms\n[class analytics]\nmax = 1\n[class maintenance]\nmax = 1"};
    static const char *const claims[] = {"analytics", "maintenance"};
    house_open(&house);
    for (size_t i = 0; i < 2; i++) {
        struct wire wires[2];
        for (size_t j = 0; j < 2; j++) {
            struct bpi_buffer map = {0};
            struct bpi_pack_writer writer;
            client_open(&wires[j], &house, V58);
            bpi_pack_writer_init(&writer, &map);
            bpi_pack_map(&writer, 1);
            bpi_pack_text(&writer, "tx_metadata");
            bpi_pack_map(&writer, 1);
            bpi_pack_text(&writer, "boltpool_operation");
            bpi_pack_text(&writer, claims[i]);
            assert_int_equal(bpi_bolt_write_map(&wires[j].out, BPI_BOLT_BEGIN, wire_span(&map)), 0);
            bpi_buffer_done(&map);
            wire_flush(&wires[j]);
        }
        assert_string_equal(told(&wires[0], 1), "SUCCESS");
        /* One that may not be claimed is a write as any other. */
        assert_string_equal(told(&wires[1], 1), i == 0 ? NO_THREADS : "SUCCESS");
        wire_close(&wires[0]);
        wire_close(&wires[1]);
    }
    house_close(&house);
}

static void an_idle_transaction_is_rolled_back(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 1\nidle_transaction_timeout = 150ms"};
    house_open(&house);
    for (size_t v = 0; v < HOUSE_VERSIONS; v += 3) {
        struct wire wire;
        client_open(&wire, &house, house_versions[v]);
        bp_usec began_us = bpi_clock_now_us();
        expect(&wire, "BEGIN; RUN:CREATE (:T {id: 1}); PULL", 3, "SUCCESS SUCCESS SUCCESS");
        wait_for(house_stats(&house).links_leased == 0);
        assert_took(began_us, 150);
        wait_for(sim_stats(house.sim).transactions_open == 0);
        assert_true(is_silent(&wire, 0));
        expect(&wire, "COMMIT; RUN", 2, TIMED_OUT " IGNORED");
        expect(&wire, "RESET; RUN; PULL", 3, "SUCCESS SUCCESS RECORD SUCCESS");
        /* One that works isn't idle, however long it works. */
        wire_send(&wire, "BEGIN; RUN:RETURN 1 /*sim: ms=300*/; PULL; COMMIT");
        assert_string_equal(told(&wire, 4), "SUCCESS SUCCESS RECORD SUCCESS SUCCESS");
        /* A result that isn't asked on for. */
        expect(&wire, "RUN:UNWIND range(1, 3) AS x RETURN x; PULL:1", 2, "SUCCESS RECORD SUCCESS+");
        wait_for(house_stats(&house).links_leased == 0);
        expect(&wire, "PULL; RESET", 2, "IGNORED SUCCESS");
        expect(&wire, "BEGIN", 1, "SUCCESS");
        wait_for(house_stats(&house).links_leased == 0);
        expect(&wire, "RESET; RUN; PULL", 3, "SUCCESS SUCCESS RECORD SUCCESS");
        wire_close(&wire);
    }
    assert_int_equal(bpi_sim_committed(house.sim, "1"), 0);
    house_close(&house);
}

/* What was logged while the text was sent and answered, and for half a second more. */
static void
assert_reported(struct wire *wire, const char *words, int answers, const char *const *said)
{
    char log[4096] = "";
    FILE *file = tmpfile();
    assert_non_null(file);
    fflush(stderr);
    int kept = dup(STDERR_FILENO);
    assert_true(dup2(fileno(file), STDERR_FILENO) >= 0);
    wire_send(wire, words);
    (void)!told(wire, answers);
    usleep(500000);
    assert_true(dup2(kept, STDERR_FILENO) >= 0);
    close(kept);
    rewind(file);
    size_t size = fread(log, 1, sizeof(log) - 1, file);
    log[size] = '\0';
    fclose(file);
    unsigned reports = 0;
    for (const char *at = log; (at = strstr(at, "leak_report_after")) != NULL; at++) {
        reports++;
    }
    if (said == NULL) {
        assert_int_equal(reports, 0);
    } else {
        assert_in_range(reports, 2, 5); /* once, at each doubling, and where it ends */
    }
    for (; said != NULL && *said != NULL; said++) {
        if (strstr(log, *said) == NULL) {
            fail_msg("not logged \"%s\": %s", *said, log);
        }
    }
}

static void who_holds_a_link_for_long_is_logged(void **state)
{
    (void)state;
    static const char *const idle[] = {"[cluster main] since 20",  "user 'alice'",
                                       "operation read_write",     "driver 'test/1'",
                                       "it has done nothing for ", NULL};
    static const char *const at_work[] = {"the server has said nothing for ", "has given back",
                                          NULL};
    static const char *const modes[] = {"transaction", "session"};
    for (int i = 0; i < 2; i++) {
        char lines[128];
        snprintf(lines, sizeof(lines), "leak_report_after = 100ms\npool_mode = %s", modes[i]);
        struct house house = {.lines = lines};
        struct wire wire;
        house_open(&house);
        bpi_log_level_set(BPI_LOG_WARN);
        client_open_as(&wire, &house, V58, "alice", "wonder123");
        assert_reported(&wire, "BEGIN", 1, idle);
        expect(&wire, "ROLLBACK", 1, "SUCCESS");
        assert_reported(&wire, "RUN; PULL", 2, NULL); /* over at once, and idle in between */
        assert_reported(&wire, "RUN:RETURN 1 /*sim: ms=400*/; PULL", 2, at_work);
        assert_reported(&wire, "BEGIN", 1, idle); /* each lease anew */
        wire_close(&wire);
        house_close(&house);
        bpi_log_level_set(BPI_LOG_ERROR);
    }
}

static void a_reported_lease_that_is_ended_from_here_is_reported_to_have_ended(void **state)
{
    (void)state;
    static const char *const ended[] = {"has given back", NULL};
    static const struct {
        const char *words;
        int answers;
    } cases[] = {
        {"BEGIN", 1},                                   /* nothing is unanswered */
        {"BEGIN; RUN:RETURN 1 /*sim: hang=1*/", 2},     /* ... or something that has no effect */
        {"RUN:CREATE (:T {id: 1}) /*sim: hang=1*/", 1}, /* stopped by a RESET */
    };
    struct house house = {.lines = "leak_report_after = 100ms\ntransaction_timeout = 300ms"};
    struct wire wire;
    house_open(&house);
    bpi_log_level_set(BPI_LOG_WARN);
    client_open(&wire, &house, V58);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_reported(&wire, cases[i].words, cases[i].answers, ended);
        expect(&wire, "RESET", 1, "SUCCESS");
        usleep(700000); /* a loop logs so many lines a second */
    }
    wire_close(&wire);
    house_close(&house);
    bpi_log_level_set(BPI_LOG_ERROR);
}

static void a_result_that_is_not_read_is_idle(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 1\nidle_transaction_timeout = 300ms"};
    house_open(&house);
    struct wire wire;
    client_open(&wire, &house, V58);
    wire_send(&wire, "RUN:RETURN 1 /*sim: rows=100000 bytes=1000*/; PULL");
    wait_for(house_stats(&house).links_leased == 1);
    wait_for(house_stats(&house).links_leased == 0);
    const char *text = "";
    while (wire_next(&wire)) {
        const uint8_t *message = bpi_buffer_head(&wire.reader.message);
        if (message[1] == BPI_BOLT_FAILURE) {
            text = "FAILURE";
            break;
        }
    }
    assert_string_equal(text, "FAILURE");
    expect(&wire, "RESET; RUN; PULL", 3, "SUCCESS SUCCESS RECORD SUCCESS");
    wire_close(&wire);
    house_close(&house);
}

static void a_transaction_may_not_last_longer_than_transaction_timeout(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 1\ntransaction_timeout = 200ms"};
    house_open(&house);
    for (size_t v = 0; v < HOUSE_VERSIONS; v++) {
        struct wire wire;
        client_open(&wire, &house, house_versions[v]);
        bp_usec began_us = bpi_clock_now_us();
        wire_send(&wire, "BEGIN; RUN:RETURN 1 /*sim: hang=1*/; PULL; COMMIT");
        assert_string_equal(told(&wire, 1), "SUCCESS");
        if (v % 2 == 0) {
            assert_string_equal(told(&wire, 3), TIMED_OUT " IGNORED IGNORED");
            assert_took(began_us, 200);
            expect(&wire, "RESET; RUN; PULL", 3, "SUCCESS SUCCESS RECORD SUCCESS");
        } else {
            wire_send(&wire, "RESET");
            (void)!told(&wire, 4);
            expect(&wire, "RUN:RETURN 1 /*sim: hang=1*/; PULL", 2, TIMED_OUT " IGNORED");
        }
        wire_close(&wire);
    }
    house_close(&house);
}

/* The time ends just when the server commits: what is told has to be true. */
static void what_a_time_out_says_of_a_write_is_true(void **state)
{
    (void)state;
    struct house house = {.loops = 1, .lines = "max_links = 1\ntransaction_timeout = 20ms"};
    house_open(&house);
    unsigned kept = 0;
    unsigned stopped = 0;
    for (unsigned i = 0; i < 120; i++) {
        char words[128];
        char id[16];
        struct wire wire;
        int summaries = i % 2 == 0 ? 2 : 4;
        snprintf(id, sizeof(id), "%u", i + 1);
        snprintf(words, sizeof(words), "%sRUN:CREATE (:T {id: %u}) /*sim: ms=%u*/; PULL%s",
                 i % 2 == 0 ? "" : "BEGIN; ", i + 1, 18 + i / 2 % 5, i % 2 == 0 ? "" : "; COMMIT");
        client_open(&wire, &house, house_versions[i % HOUSE_VERSIONS]);
        wire_send(&wire, words);
        const char *text = told(&wire, summaries);
        bool success = strstr(text, "FAILURE") == NULL && strstr(text, "EOF") == NULL;
        if (success) {
            assert_int_equal(bpi_sim_committed(house.sim, id), 1);
            kept++;
        } else if (strstr(text, "EOF") == NULL) {
            wait_for(house_is_idle(&house));
            assert_int_equal(bpi_sim_committed(house.sim, id), 0);
            stopped++;
            expect(&wire, "RESET; RUN; PULL", 3, "SUCCESS SUCCESS RECORD SUCCESS");
        }
        wire_close(&wire);
    }
    assert_true(kept > 0 && stopped > 0);
    house_close(&house);
}

static void a_stopped_server_that_does_not_answer_is_given_up(void **state)
{
    (void)state;
    struct house house = {.lines =
                              "max_links = 1\ntransaction_timeout = 50ms\nreset_timeout = 100ms"};
    static const struct {
        const char *words;
        const char *told;
    } cases[] = {
        {"RUN; PULL", TIMED_OUT " IGNORED"},
        {"RUN; PULL; COMMIT", "EOF"}, /* it may have been done */
    };
    house_open(&house);
    for (size_t i = 0; i < 2; i++) {
        struct wire wire;
        client_open(&wire, &house, V58);
        expect(&wire, "BEGIN", 1, "SUCCESS");
        fault(house.sim, "freeze");
        wire_send(&wire, cases[i].words);
        assert_string_equal(told(&wire, 2), cases[i].told);
        wait_for(house_stats(&house).links_open == 0);
        fault(house.sim, "none");
        wire_close(&wire);
    }
    house_close(&house);
}

/* A commit's outcome is waited for, and waiting costs nothing. */
static void a_commit_outlasts_the_time_outs(void **state)
{
    (void)state;
    struct house house = {.lines = "transaction_timeout = 50ms\nidle_transaction_timeout = 50ms"};
    house.options[0].commit_service =
        (struct bpi_sim_service){.spread = BPI_SIM_FIXED, .mean_us = 600000};
    house_open(&house);
    struct wire wire;
    client_open(&wire, &house, V58);
    bp_usec before_us = cpu_us();
    expect(&wire, "BEGIN; RUN:CREATE (:T {id: 1}); PULL; COMMIT", 4,
           "SUCCESS SUCCESS SUCCESS SUCCESS");
    bp_usec spent_us = cpu_us() - before_us;
    if (spent_us > 400000) { /* a loop that spins takes all of it */
        fail_msg("waiting 600 ms for a commit took %llu ms of CPU",
                 (unsigned long long)spent_us / 1000);
    }
    assert_int_equal(bpi_sim_committed(house.sim, "1"), 1);
    wire_close(&wire);
    house_close(&house);
}

/* ---- hearing from the pooler ---- */

static void clients_that_wait_hear_from_the_pooler(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 1\nkeep_alive_interval = 50ms"};
    house.options[0].login_service =
        (struct bpi_sim_service){.spread = BPI_SIM_FIXED, .mean_us = 200000};
    house_open(&house);
    for (size_t v = 0; v < HOUSE_VERSIONS; v += 3) {
        struct wire wire;
        struct wire waiting;
        client_open(&wire, &house, house_versions[v]);
        if (v == 0) {
            assert_true(wire.noops >= 2); /* while its log-in was checked */
        }
        client_open(&waiting, &house, house_versions[v]);
        wire.noops = 0;
        waiting.noops = 0;
        expect(&wire, "BEGIN", 1, "SUCCESS");
        assert_true(is_silent(&wire, 200)); /* no answer is due */
        wire_send(&waiting, "RUN; PULL");
        usleep(220000);
        expect(&wire, "RUN:RETURN 1 /*sim: ms=220*/; PULL; COMMIT", 3,
               "SUCCESS RECORD SUCCESS SUCCESS");
        assert_string_equal(told(&waiting, 2), "SUCCESS RECORD SUCCESS");
        assert_true(wire.noops >= 2);
        assert_true(waiting.noops >= 6);
        assert_true(is_silent(&wire, 120));
        wire_close(&wire);
        wire_close(&waiting);
    }
    house_close(&house);
}

/* A record that is stuck half way: nothing may be put into it, and waiting costs nothing. */
static void nothing_is_said_in_the_middle_of_a_record(void **state)
{
    (void)state;
    struct house house = {
        .lines = "max_links = 1\nkeep_alive_interval = 20ms\nrecord_buffer_bytes = 64KiB"};
    house_open(&house);
    struct wire wire;
    client_open(&wire, &house, V58);
    expect(&wire, "RUN:RETURN 1 /*sim: bytes=30000000*/", 1, "SUCCESS");
    wire_send(&wire, "PULL");
    /* It isn't read. Once what fits into the sockets is there, nobody has anything to do; a loop that spins
     * would never come to rest, however slow the machine is. */
    bp_usec spent_us = 200000;
    for (int i = 0; i < 50 && spent_us >= 200000; i++) {
        bp_usec before_us = cpu_us();
        usleep(400000);
        spent_us = cpu_us() - before_us;
    }
    assert_true(spent_us < 200000);
    assert_string_equal(told(&wire, 1), "RECORD SUCCESS");
    assert_int_equal(bpi_buffer_size(&wire.in), 0);
    wire_close(&wire);
    house_close(&house);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clients_over_max_clients_are_told_so),
        cmocka_unit_test(a_log_in_has_its_time_also_after_logoff),
        cmocka_unit_test(queue_timeout_names_the_limit),
        cmocka_unit_test(a_client_may_claim_a_class),
        cmocka_unit_test(an_idle_transaction_is_rolled_back),
        cmocka_unit_test(who_holds_a_link_for_long_is_logged),
        cmocka_unit_test(a_reported_lease_that_is_ended_from_here_is_reported_to_have_ended),
        cmocka_unit_test(a_result_that_is_not_read_is_idle),
        cmocka_unit_test(a_transaction_may_not_last_longer_than_transaction_timeout),
        cmocka_unit_test(what_a_time_out_says_of_a_write_is_true),
        cmocka_unit_test(a_stopped_server_that_does_not_answer_is_given_up),
        cmocka_unit_test(a_commit_outlasts_the_time_outs),
        cmocka_unit_test(clients_that_wait_hear_from_the_pooler),
        cmocka_unit_test(nothing_is_said_in_the_middle_of_a_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
