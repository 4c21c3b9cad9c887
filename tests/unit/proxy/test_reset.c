/* Shows what RESET and GOODBYE do wherever a client may send them: requests before a RESET are answered
 * (mostly IGNORED) and in order, of several only the last succeeds, a commit is either kept and answered or
 * neither, and the link serves others at once. Simulated servers, real sockets.
 */
#include "harness.h"

#include <stdatomic.h>

#define HANG "RUN:RETURN 1 /*sim: hang=1*/"
#define LONG "RUN:RETURN 1 /*sim: rows=200000 bytes=200*/"

/* Whether the last `summaries` answers end in SUCCESS and hold none before it. */
static void assert_only_last_succeeds(const char *text)
{
    size_t size = strlen(text);
    assert_true(size >= 7);
    if (strcmp(text + size - 7, "SUCCESS") != 0 || strstr(text, "SUCCESS") != text + size - 7) {
        fail_msg("not only the last one succeeds: %s", text);
    }
}

static void a_queued_request_is_ignored_by_reset(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 1"};
    house_open(&house);
    for (size_t v = 0; v < HOUSE_VERSIONS; v++) {
        struct wire holder;
        struct wire wire;
        client_open(&holder, &house, house_versions[v]);
        client_open(&wire, &house, house_versions[v]);
        expect(&holder, "BEGIN", 1, "SUCCESS");
        wire_send(&wire, "RUN; PULL");
        wait_for(house_stats(&house).waiters == 1);
        expect(&wire, "RESET", 3, "IGNORED IGNORED SUCCESS");
        assert_int_equal(house_stats(&house).waiters, 0);
        expect(&wire, "BEGIN; RUN; RESET; RESET", 4, "IGNORED IGNORED IGNORED SUCCESS");
        expect(&wire, "ROUTE; RESET; RUN; RESET; BEGIN; RESET", 6,
               "IGNORED IGNORED IGNORED IGNORED IGNORED SUCCESS");
        expect(&holder, "ROLLBACK", 1, "SUCCESS");
        expect(&wire, "RUN; PULL", 2, "SUCCESS RECORD SUCCESS");
        wire_close(&holder);
        wire_close(&wire);
    }
    house_close(&house);
}

static void reset_stops_a_long_query(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 1"};
    house_open(&house);
    for (size_t v = 0; v < HOUSE_VERSIONS; v++) {
        struct wire wire;
        struct wire other;
        client_open(&wire, &house, house_versions[v]);
        client_open(&other, &house, house_versions[v]);
        wire_send(&wire, HANG "; PULL");
        wait_for(sim_stats(house.sim).transactions_open == 1);
        wire_send(&other, "RUN; PULL");
        wire_send(&wire, "RESET");
        assert_only_last_succeeds(told(&wire, 3));
        assert_string_equal(told(&other, 2), "SUCCESS RECORD SUCCESS");
        wire_send(&wire, "BEGIN; " HANG "; PULL; RUN; COMMIT");
        assert_string_equal(told(&wire, 1), "SUCCESS");
        wire_send(&wire, "RESET");
        assert_only_last_succeeds(told(&wire, 5));
        expect(&wire, "RUN; PULL", 2, "SUCCESS RECORD SUCCESS");
        wire_close(&wire);
        wire_close(&other);
    }
    house_close(&house);
}

static void of_several_resets_only_the_last_succeeds(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 1"};
    house_open(&house);
    for (size_t v = 0; v < HOUSE_VERSIONS; v++) {
        struct wire wire;
        client_open(&wire, &house, house_versions[v]);
        expect(&wire, "RESET", 1, "SUCCESS");
        expect(&wire, "RESET; RESET; RESET", 3, "IGNORED IGNORED SUCCESS");
        expect(&wire, "RUN:nonsense; PULL", 2, "FAILURE:ClientError.Statement.SyntaxError IGNORED");
        expect(&wire, "RESET; RESET", 2, "IGNORED SUCCESS");
        expect(&wire, "BEGIN; RUN", 2, "SUCCESS SUCCESS");
        expect(&wire, "RESET; RESET; RESET; RESET", 4, "IGNORED IGNORED IGNORED SUCCESS");
        expect(&wire, "RUN:UNWIND range(1, 3) AS x RETURN x; PULL:1", 2, "SUCCESS RECORD SUCCESS+");
        expect(&wire, "RESET; RESET", 2, "IGNORED SUCCESS");
        wire_send(&wire, HANG "; PULL; RESET; RESET; RESET");
        assert_only_last_succeeds(told(&wire, 5));
        /* A request behind them is served. */
        expect(&wire, "BEGIN", 1, "SUCCESS");
        expect(&wire, "RESET; RESET; RUN; PULL", 4, "IGNORED SUCCESS SUCCESS RECORD SUCCESS");
        wire_close(&wire);
    }
    house_close(&house);
}

static void reset_behind_commit_keeps_and_tells_or_neither(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 1"};
    unsigned id = 0;
    unsigned kept = 0;
    house_open(&house);
    for (size_t v = 0; v < HOUSE_VERSIONS; v++) {
        struct wire wire;
        client_open(&wire, &house, house_versions[v]);
        for (unsigned i = 0; i < 60; i++) {
            char words[120];
            char name[16];
            snprintf(name, sizeof(name), "%u", ++id);
            /* In one write; COMMIT and RESET in one write; RESET a little after COMMIT. */
            const char *text;
            if (i % 3 == 0) {
                snprintf(words, sizeof(words),
                         "BEGIN; RUN:CREATE (:T {id: %u}); PULL; COMMIT; RESET", id);
                wire_send(&wire, words);
                (void)!told(&wire, 3);
            } else {
                snprintf(words, sizeof(words), "BEGIN; RUN:CREATE (:T {id: %u}); PULL", id);
                expect(&wire, words, 3, "SUCCESS SUCCESS SUCCESS");
                if (i % 3 == 1) {
                    wire_send(&wire, "COMMIT; RESET");
                } else {
                    wire_send(&wire, "COMMIT");
                    usleep(i * 10);
                    wire_send(&wire, "RESET");
                }
            }
            text = told(&wire, 2);
            bool success = strcmp(text, "SUCCESS SUCCESS") == 0;
            if (!success) {
                assert_string_equal(text, "IGNORED SUCCESS");
            }
            assert_int_equal(bpi_sim_committed(house.sim, name), success);
            kept += success;
        }
        wire_close(&wire);
    }
    assert_true(kept > 0);
    house_close(&house);
}

static void a_slow_commit_is_waited_for_by_reset(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 1"};
    house.options[0].commit_service =
        (struct bpi_sim_service){.spread = BPI_SIM_FIXED, .mean_us = 50000};
    house_open(&house);
    struct wire wire;
    client_open(&wire, &house, V58);
    expect(&wire, "BEGIN; RUN:CREATE (:T {id: 1}); PULL", 3, "SUCCESS SUCCESS SUCCESS");
    wire_send(&wire, "COMMIT");
    usleep(10000);
    wire_send(&wire, "RESET; RUN; PULL");
    assert_string_equal(told(&wire, 4), "SUCCESS SUCCESS SUCCESS RECORD SUCCESS");
    assert_int_equal(bpi_sim_committed(house.sim, "1"), 1);
    wire_close(&wire);
    house_close(&house);
}

static void reset_behind_begin_closes_nothing(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 1"};
    house_open(&house);
    for (size_t v = 0; v < HOUSE_VERSIONS; v++) {
        struct wire wire;
        client_open(&wire, &house, house_versions[v]);
        for (int i = 0; i < 40; i++) {
            wire_send(&wire, "BEGIN");
            usleep((unsigned)i % 4 * 50);
            wire_send(&wire, "RESET");
            const char *text = told(&wire, 2);
            assert_true(strcmp(text, "SUCCESS SUCCESS") == 0 ||
                        strcmp(text, "IGNORED SUCCESS") == 0);
        }
        expect(&wire, "BEGIN; RUN; PULL; COMMIT", 4, "SUCCESS SUCCESS RECORD SUCCESS SUCCESS");
        wire_close(&wire);
    }
    assert_int_equal(sim_stats(house.sim).closed_illegal, 0);
    house_close(&house);
}

/* Reads up to `summaries` without telling the records. */
static const char *skip_records(struct wire *wire, int summaries)
{
    static char text[512];
    text[0] = '\0';
    while (summaries > 0) {
        errno = 0;
        if (!wire_next(wire)) {
            assert_int_not_equal(errno, EAGAIN);
            return "EOF";
        }
        const uint8_t *message = bpi_buffer_head(&wire->reader.message);
        if (message[1] != BPI_BOLT_RECORD) {
            summaries--;
            snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s",
                     text[0] == '\0' ? "" : " ", bpi_bolt_tag_name(message[1]));
        }
    }
    return text;
}

static void reset_ends_a_stream_that_is_not_read(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 1"};
    house_open(&house);
    for (size_t v = 0; v < HOUSE_VERSIONS; v++) {
        struct wire wire;
        client_open(&wire, &house, house_versions[v]);
        expect(&wire, LONG, 1, "SUCCESS");
        wire_send(&wire, "PULL");
        usleep(30000); /* the client doesn't read: the link is paused by then */
        wire_send(&wire, "RESET");
        assert_only_last_succeeds(skip_records(&wire, 2));
        expect(&wire, "BEGIN; " LONG, 2, "SUCCESS SUCCESS");
        wire_send(&wire, "PULL; COMMIT");
        usleep(10000);
        wire_send(&wire, "RESET; RUN; DISCARD");
        const char *text = skip_records(&wire, 5);
        assert_string_equal(text + strlen(text) - 23, "SUCCESS SUCCESS SUCCESS");
        wire_close(&wire);
    }
    house_close(&house);
}

static void goodbye_ends_a_stream_and_a_wait(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 1"};
    house_open(&house);
    for (size_t v = 0; v < HOUSE_VERSIONS; v++) {
        struct wire wire;
        struct wire other;
        client_open(&wire, &house, house_versions[v]);
        client_open(&other, &house, house_versions[v]);
        expect(&wire, LONG, 1, "SUCCESS");
        wire_send(&wire, "PULL; GOODBYE");
        expect(&other, "RUN; PULL", 2, "SUCCESS RECORD SUCCESS");
        assert_string_equal(skip_records(&wire, 9), "EOF");
        wire_close(&wire);
        client_open(&wire, &house, house_versions[v]);
        expect(&other, "BEGIN", 1, "SUCCESS");
        wire_send(&wire, "RUN; PULL; GOODBYE");
        assert_string_equal(told(&wire, 1), "EOF");
        wait_for(house_stats(&house).waiters == 0);
        wire_close(&wire);
        client_open(&wire, &house, house_versions[v]);
        wire_send(&wire, "RUN; PULL");
        wait_for(house_stats(&house).waiters == 1);
        wire_send(&wire, "GOODBYE");
        assert_string_equal(told(&wire, 1), "EOF");
        wire_close(&wire);
        expect(&other, "COMMIT", 1, "SUCCESS");
        wire_send(&other, HANG "; PULL; GOODBYE");
        assert_string_equal(told(&other, 1), "EOF");
        wire_close(&other);
        /* With a RESET behind it, which stops what GOODBYE waits for. */
        client_open(&other, &house, house_versions[v]);
        wire_send(&other, "BEGIN; " HANG "; PULL; COMMIT; GOODBYE; RESET; RUN; PULL; RESET");
        const char *text = told(&other, 9);
        assert_string_equal(text + strlen(text) - 3, "EOF");
        assert_null(strstr(strchr(text, ' '), "SUCCESS"));
        wire_close(&other);
    }
    house_close(&house);
}

/* Keeps the pooler's loop busy, so that what others send in a row meets it in one turn. */
struct noise {
    struct house *house;
    atomic_bool ended;
};

static void *make_noise(void *data)
{
    struct noise *noise = data;
    struct wire wire;
    client_open(&wire, noise->house, V58);
    while (!atomic_load(&noise->ended)) {
        for (int i = 0; i < 60; i++) {
            wire_put_word(&wire, "RUN");
            wire_put_word(&wire, "DISCARD");
        }
        wire_flush(&wire);
        for (int i = 0; i < 12; i++) {
            (void)!told(&wire, 10);
        }
    }
    wire_close(&wire);
    return NULL;
}

/* RESET races with the end of what it is to stop. */
static void reset_that_comes_just_too_late_leaves_nothing_behind(void **state)
{
    (void)state;
    struct house house = {.loops = 1, .lines = "max_links = 2\nkeep_alive_interval = 2ms"};
    house_open(&house);
    struct wire wire;
    struct noise noise = {.house = &house};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, make_noise, &noise), 0);
    client_open(&wire, &house, V58);
    /* With a result's end in flight, which is a matter of microseconds. */
    for (unsigned i = 0; i < 200; i++) {
        expect(&wire, "RUN", 1, "SUCCESS");
        wire_send(&wire, "PULL");
        bp_usec until_us = bpi_clock_now_us() + i % 50;
        while (bpi_clock_now_us() < until_us) {
        }
        wire_send(&wire, "RESET");
        const char *text = told(&wire, 2);
        assert_string_equal(text + strlen(text) - 7, "SUCCESS");
        if (!is_silent(&wire, 7)) {
            fail_msg("a client that waits for nothing was sent something");
        }
    }
    atomic_store(&noise.ended, true);
    pthread_join(thread, NULL);
    bpi_daemon_drain(house.daemon);
    wait_for(bpi_daemon_is_drained(house.daemon));
    assert_string_equal(told(&wire, 1), "EOF");
    wire_close(&wire);
    house_close(&house);
}

/* A client that cancels and leaves. */
static void reset_of_a_client_that_leaves_costs_no_link(void **state)
{
    (void)state;
    struct house house = {.loops = 1, .lines = "max_links = 1"};
    house_open(&house);
    for (unsigned i = 0; i < 100; i++) {
        struct wire wire;
        client_open(&wire, &house, V58);
        wire_send(&wire, i % 2 == 0 ? "BEGIN; RUN; PULL" : "RUN:RETURN 1 /*sim: ms=2*/; PULL");
        if (i % 2 == 0) {
            (void)!told(&wire, 3);
        } else {
            usleep(i * 20);
        }
        wire_send(&wire, "RESET");
        if (i % 4 < 2) {
            usleep(i);
        }
        wire_close(&wire);
    }
    wait_for(house_is_idle(&house));
    assert_int_equal(house_stats(&house).links_opened, 1);
    house_close(&house);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_queued_request_is_ignored_by_reset),
        cmocka_unit_test(reset_stops_a_long_query),
        cmocka_unit_test(of_several_resets_only_the_last_succeeds),
        cmocka_unit_test(reset_behind_commit_keeps_and_tells_or_neither),
        cmocka_unit_test(a_slow_commit_is_waited_for_by_reset),
        cmocka_unit_test(reset_behind_begin_closes_nothing),
        cmocka_unit_test(reset_ends_a_stream_that_is_not_read),
        cmocka_unit_test(goodbye_ends_a_stream_and_a_wait),
        cmocka_unit_test(reset_of_a_client_that_leaves_costs_no_link),
        cmocka_unit_test(reset_that_comes_just_too_late_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
