/* Shows what administrators may ask for: PAUSE, RESUME, RECONNECT, DRAIN of an endpoint, KILL of a lease and of a
 * client, and the list of leases. Simulated servers, real sockets.
 */
#include "harness.h"

#include <semaphore.h>

#define MS     BP_USEC_PER_MS
#define KILLED "FAILURE:ClientError.Transaction.Terminated"

/* ---- answers that come from the loops ---- */

struct reply {
    sem_t come;
    bool found;
    size_t count;
    struct bpi_lease_info leases[8];
};

static void on_leases(void *user, const struct bpi_lease_info *leases, size_t count)
{
    struct reply *reply = user;
    assert_true(count <= 8);
    reply->count = count;
    memcpy(reply->leases, leases, count * sizeof(*leases));
    sem_post(&reply->come);
}

static void on_killed(void *user, bool found)
{
    struct reply *reply = user;
    reply->found = found;
    sem_post(&reply->come);
}

static void reply_wait(struct reply *reply)
{
    while (sem_wait(&reply->come) != 0) {
    }
    sem_destroy(&reply->come);
}

static size_t leases_of(struct house *house, size_t count_max, struct reply *reply)
{
    struct bpi_daemon_answer answer = {.on_leases = on_leases, .user = reply};
    assert_int_equal(sem_init(&reply->come, 0, 0), 0);
    assert_int_equal(bpi_daemon_leases(house->daemon, count_max, &answer), 0);
    reply_wait(reply);
    return reply->count;
}

static bool kill_client(struct house *house, uint64_t client_id)
{
    struct reply reply = {0};
    struct bpi_daemon_answer answer = {.on_killed = on_killed, .user = &reply};
    assert_int_equal(sem_init(&reply.come, 0, 0), 0);
    assert_int_equal(bpi_daemon_kill_client(house->daemon, client_id, &answer), 0);
    reply_wait(&reply);
    return reply.found;
}

static enum bpi_cluster_pause_state pause_state(struct house *house, unsigned *ret_leased)
{
    enum bpi_cluster_pause_state state;
    assert_int_equal(bpi_daemon_pause_state(house->daemon, NULL, &state, ret_leased), 0);
    return state;
}

/* ---- PAUSE and RESUME ---- */

static void a_pause_lets_work_end_and_holds_new_work_until_resume(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 4"};
    struct wire running;
    struct wire next;
    unsigned leased;
    house_open(&house);
    client_open(&running, &house, V58);
    client_open(&next, &house, V44);
    expect(&running, "BEGIN; RUN; PULL", 3, "SUCCESS SUCCESS RECORD SUCCESS");
    assert_int_equal(pause_state(&house, &leased), BPI_CLUSTER_RUNNING);
    assert_int_equal(bpi_daemon_pause(house.daemon, "main"), 0);
    assert_int_equal(bpi_daemon_pause(house.daemon, "other"), BP_E_USAGE);
    assert_int_equal(pause_state(&house, &leased), BPI_CLUSTER_PAUSING);
    assert_int_equal(leased, 1);
    wire_send(&next, "RUN; PULL");
    assert_true(is_silent(&next, 100));
    expect(&running, "RUN; PULL; COMMIT", 3, "SUCCESS RECORD SUCCESS SUCCESS");
    wait_for(pause_state(&house, &leased) == BPI_CLUSTER_PAUSED);
    assert_int_equal(leased, 0);
    assert_true(house_stats(&house).paused);
    /* Nothing is left at the server, which may be restarted. */
    wait_for(sim_stats(house.sim).connections_now == 0);
    fault(house.sim, "down");
    wire_send(&running, "RUN; PULL");
    assert_true(is_silent(&running, 100));
    fault(house.sim, "up");
    assert_int_equal(bpi_daemon_resume(house.daemon, NULL), 0);
    assert_string_equal(told(&next, 2), "SUCCESS RECORD SUCCESS");
    assert_string_equal(told(&running, 2), "SUCCESS RECORD SUCCESS");
    assert_int_equal(pause_state(&house, &leased), BPI_CLUSTER_RUNNING);
    wire_close(&running);
    wire_close(&next);
    house_close(&house);
}

static void who_waits_through_a_pause_is_told_so(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 2\nqueue_timeout = 200ms"};
    struct wire wire;
    house_open(&house);
    client_open(&wire, &house, V58);
    assert_int_equal(bpi_daemon_pause(house.daemon, NULL), 0);
    expect(&wire, "RUN; PULL", 2, "FAILURE:TransientError.Request.NoThreadsAvailable IGNORED");
    assert_int_equal(bpi_daemon_resume(house.daemon, NULL), 0);
    expect(&wire, "RESET; RUN; PULL", 3, "SUCCESS SUCCESS RECORD SUCCESS");
    wire_close(&wire);
    house_close(&house);
}

/* ---- RECONNECT and DRAIN ---- */

static void reconnect_renews_every_link_and_no_transaction_notices(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 3"};
    struct wire wires[3];
    house_open(&house);
    for (int i = 0; i < 3; i++) {
        client_open(&wires[i], &house, V58);
        expect(&wires[i], "BEGIN", 1, "SUCCESS");
    }
    expect(&wires[2], "COMMIT", 1, "SUCCESS");
    uint64_t before = house_stats(&house).links_opened;
    assert_int_equal(bpi_daemon_reconnect(house.daemon, "main"), 0);
    wait_for(house_stats(&house).links_open == 2); /* the idle one is gone, the others work on */
    for (int i = 0; i < 2; i++) {
        expect(&wires[i], "RUN; PULL; COMMIT", 3, "SUCCESS RECORD SUCCESS SUCCESS");
    }
    wait_for(sim_stats(house.sim).connections_now == 0);
    for (int i = 0; i < 3; i++) {
        expect(&wires[i], "BEGIN", 1, "SUCCESS");
    }
    assert_int_equal(house_stats(&house).links_opened - before, 3);
    assert_int_equal(house_stats(&house).links_lost, 0);
    for (int i = 0; i < 3; i++) {
        expect(&wires[i], "COMMIT", 1, "SUCCESS");
        wire_close(&wires[i]);
    }
    house_close(&house);
}

static void a_drained_endpoint_gets_no_work_until_it_is_taken_back(void **state)
{
    (void)state;
    struct house house = {.sims_count = 2, .lines = "max_links = 4"};
    struct wire wires[4];
    char name[300];
    house_open(&house);
    wait_for(house_stats(&house).endpoints[0].up && house_stats(&house).endpoints[1].up);
    for (int i = 0; i < 4; i++) {
        client_open(&wires[i], &house, V58);
        expect(&wires[i], "BEGIN", 1, "SUCCESS");
    }
    assert_int_equal(house_stats(&house).endpoints[0].leased, 2);
    snprintf(name, sizeof(name), "%s", house_stats(&house).endpoints[0].name);
    assert_int_equal(bpi_daemon_drain_endpoint(house.daemon, NULL, "nowhere:1", true), BP_E_USAGE);
    assert_int_equal(bpi_daemon_drain_endpoint(house.daemon, "main", name, true), 0);
    assert_true(house_stats(&house).endpoints[0].draining);
    for (int i = 0; i < 4; i++) {
        expect(&wires[i], "RUN; PULL; COMMIT", 3, "SUCCESS RECORD SUCCESS SUCCESS");
    }
    wait_for(sim_stats(house.sims[0]).connections_now == 0);
    uint64_t granted = house_stats(&house).endpoints[0].granted;
    for (int i = 0; i < 4; i++) {
        expect(&wires[i], "BEGIN", 1, "SUCCESS");
    }
    assert_int_equal(house_stats(&house).endpoints[0].granted, granted);
    assert_int_equal(house_stats(&house).endpoints[1].leased, 4);
    assert_int_equal(bpi_daemon_drain_endpoint(house.daemon, "main", name, false), 0);
    for (int i = 0; i < 4; i++) {
        expect(&wires[i], "COMMIT", 1, "SUCCESS");
        wire_close(&wires[i]);
    }
    assert_false(house_stats(&house).endpoints[0].draining);
    assert_int_equal(house_stats(&house).links_lost, 0);
    house_close(&house);
}

/* ---- KILL of a lease ---- */

static uint64_t only_lease(struct house *house)
{
    struct reply reply;
    assert_int_equal(leases_of(house, 8, &reply), 1);
    return reply.leases[0].lease_id;
}

static void kill_only_lease(struct house *house)
{
    assert_int_equal(bpi_daemon_kill_lease(house->daemon, "main", only_lease(house)), 0);
}

static void a_killed_lease_is_told_and_nothing_of_it_is_kept(void **state)
{
    (void)state;
    static const struct {
        const char *before;
        int before_summaries;
        const char *after; /* asked for after the KILL, where nothing was unanswered before */
        const char *told;
        int told_summaries;
    } cases[] = {
        {"BEGIN; RUN:CREATE (:T {id: 1}); PULL", 3, "RUN; PULL", KILLED " IGNORED", 2},
        {"BEGIN; RUN:CREATE (:T {id: 1}); PULL; RUN:RETURN 1 /*sim: ms=5000*/; PULL", 3, NULL,
         KILLED " IGNORED", 2},
        {"BEGIN; RUN:CREATE (:T {id: 1}); PULL; RUN:RETURN 1 /*sim: ms=5000*/; PULL; COMMIT", 3,
         NULL, KILLED " IGNORED IGNORED", 3},
        {"RUN:CREATE (:T {id: 1}) /*sim: ms=5000*/; PULL", 0, NULL, KILLED " IGNORED", 2},
        {"RUN:UNWIND range(1, 9) AS x RETURN x; PULL:2", 2, "PULL", KILLED, 1},
    };
    static const char *const modes[] = {"max_links = 1", "max_links = 1\npool_mode = session"};
    for (int mode = 0; mode < 2; mode++) {
        struct house house = {.lines = modes[mode]};
        house_open(&house);
        for (size_t v = 0; v < HOUSE_VERSIONS; v++) {
            for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct wire wire;
                client_open(&wire, &house, house_versions[v]);
                wire_send(&wire, cases[i].before);
                for (int j = 0; j < cases[i].before_summaries; j++) {
                    assert_string_not_equal(told(&wire, 1), "EOF");
                }
                wait_for(house_stats(&house).links_leased == 1);
                usleep(20000);
                bp_usec began_us = bpi_clock_now_us();
                kill_only_lease(&house);
                if (cases[i].after != NULL) {
                    wait_for(house_stats(&house).links_leased == 0);
                    wire_send(&wire, cases[i].after);
                }
                const char *text = told(&wire, cases[i].told_summaries);
                if (strcmp(text, cases[i].told) != 0) {
                    fail_msg("case %zu, version %zu, mode %d: %s", i, v, mode, text);
                }
                expect(&wire, "RESET; RUN; PULL", 3, "SUCCESS SUCCESS RECORD SUCCESS");
                assert_true(bpi_clock_now_us() - began_us < 2 * BP_USEC_PER_SECOND);
                wire_close(&wire);
                wait_for(house_is_idle(&house));
            }
        }
        assert_int_equal(bpi_sim_committed(house.sim, "1"), 0);
        assert_int_equal(bpi_daemon_kill_lease(house.daemon, "main", 1), BP_E_USAGE);
        house_close(&house);
    }
}

static void a_commit_under_way_is_never_told_to_have_failed(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 1"};
    house.options[0].commit_service =
        (struct bpi_sim_service){.spread = BPI_SIM_FIXED, .mean_us = 300000};
    house_open(&house);
    struct wire wire;
    client_open(&wire, &house, V58);
    expect(&wire, "BEGIN; RUN:CREATE (:T {id: 1}); PULL", 3, "SUCCESS SUCCESS SUCCESS");
    wire_send(&wire, "COMMIT");
    usleep(50000);
    kill_only_lease(&house);
    assert_string_equal(told(&wire, 1), "EOF");
    wire_close(&wire);
    house_close(&house);
}

/* ---- KILL of a client, the list ---- */

static void the_oldest_leases_are_listed_with_whose_they_are(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 4"};
    struct wire wires[3];
    struct reply reply;
    static const char *const users[][2] = {
        {"neo4j", "secret12"}, {"alice", "wonder123"}, {"bob", "builder12"}};
    house_open(&house);
    assert_int_equal(leases_of(&house, 8, &reply), 0);
    for (int i = 0; i < 3; i++) {
        client_open_as(&wires[i], &house, V58, users[i][0], users[i][1]);
        expect(&wires[i], "BEGIN", 1, "SUCCESS");
        usleep(20000);
    }
    assert_int_equal(leases_of(&house, 8, &reply), 3);
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(reply.leases[i].user, users[i][0]);
        assert_string_equal(reply.leases[i].cluster, "main");
        assert_string_equal(reply.leases[i].operation, "read_write");
        assert_string_equal(reply.leases[i].application, "test/1");
        assert_string_equal(reply.leases[i].endpoint, house_stats(&house).endpoints[0].name);
        assert_int_equal(reply.leases[i].class_, BPI_CLASS_READ_WRITE);
        assert_false(reply.leases[i].is_waiting);
        assert_true(reply.leases[i].lease_id > 0);
        assert_true(reply.leases[i].held_us >= (3 - i) * 20 * MS);
    }
    assert_int_equal(leases_of(&house, 2, &reply), 2);
    assert_string_equal(reply.leases[0].user, "neo4j");
    assert_string_equal(reply.leases[1].user, "alice");
    assert_int_equal(leases_of(&house, 0, &reply), 0);
    for (int i = 0; i < 3; i++) {
        wire_close(&wires[i]);
    }
    house_close(&house);
}

static void a_killed_client_is_told_and_closed(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 1"};
    struct reply reply;
    house_open(&house);
    struct wire holder;
    client_open(&holder, &house, V58);
    expect(&holder, "BEGIN; RUN; PULL", 3, "SUCCESS SUCCESS RECORD SUCCESS");
    assert_int_equal(leases_of(&house, 8, &reply), 1);
    uint64_t first = reply.leases[0].client_id;
    /* One that waits for a link: its number is the next. */
    struct wire waiter;
    client_open(&waiter, &house, V58);
    wire_send(&waiter, "RUN; PULL");
    wait_for(house_stats(&house).waiters == 1);
    assert_true(kill_client(&house, first + 1));
    assert_string_equal(told(&waiter, 1), KILLED);
    assert_string_equal(told(&waiter, 1), "EOF");
    assert_int_equal(house_stats(&house).waiters, 0);
    /* One that does nothing in a transaction, and one that waits for the server. */
    assert_true(kill_client(&house, first));
    assert_string_equal(told(&holder, 1), "EOF");
    wire_close(&holder);
    wire_close(&waiter);
    client_open(&holder, &house, V44);
    wire_send(&holder, "BEGIN; RUN:RETURN 1 /*sim: ms=5000*/; PULL");
    assert_string_equal(told(&holder, 1), "SUCCESS");
    assert_int_equal(leases_of(&house, 8, &reply), 1);
    assert_true(kill_client(&house, reply.leases[0].client_id));
    assert_string_equal(told(&holder, 1), KILLED);
    assert_string_equal(told(&holder, 1), "EOF");
    wire_close(&holder);
    assert_false(kill_client(&house, 999999));
    house_close(&house);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pause_lets_work_end_and_holds_new_work_until_resume),
        cmocka_unit_test(who_waits_through_a_pause_is_told_so),
        cmocka_unit_test(reconnect_renews_every_link_and_no_transaction_notices),
        cmocka_unit_test(a_drained_endpoint_gets_no_work_until_it_is_taken_back),
        cmocka_unit_test(a_killed_lease_is_told_and_nothing_of_it_is_kept),
        cmocka_unit_test(a_commit_under_way_is_never_told_to_have_failed),
        cmocka_unit_test(the_oldest_leases_are_listed_with_whose_they_are),
        cmocka_unit_test(a_killed_client_is_told_and_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
