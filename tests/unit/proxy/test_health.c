/* Shows what happens when servers hang, stop, fail or slow down: a dead one is found in about twice
 * dead_server_timeout, whoever waits for it is told, it serves again at once when it is back, and none of that ever
 * touches a server that answers, however long its queries take. Simulated servers, one of them a process of its own
 * that is really stopped; real sockets.
 */
#include "harness.h"

#include <signal.h>
#include <sys/wait.h>

#define MS            BP_USEC_PER_MS
#define INTERRUPTED   "FAILURE:TransientError.Transaction.Interrupted"
#define LONG          "RUN:RETURN 1 /*sim: ms=2000*/; PULL"
#define RECOVERY_US   (2 * BP_USEC_PER_SECOND)
#define DEAD_US       (300 * MS)
#define DEAD_LINES    "dead_server_timeout = 300ms\nlink_check_timeout = 200ms\nreset_timeout = 1s\n"
#define DEAD_FOUND_US (DEAD_US * 5 / 2 + SLACK_US)

static double endpoint_health(struct house *house, unsigned index)
{
    return house_stats(house).endpoints[index].health;
}

static bool endpoint_is_up(struct house *house, unsigned index)
{
    return house_stats(house).endpoints[index].up;
}

/* ---- a server that is stopped ---- */

static void lessees_of_a_stopped_server_are_told_and_served_when_it_is_back(void **state)
{
    (void)state;
    static const char *const lines[] = {DEAD_LINES "max_links = 3",
                                        DEAD_LINES "max_links = 3\npool_mode = session"};
    for (int i = 0; i < 2; i++) {
        struct house house = {.lines = lines[i]};
        struct wire wires[3];
        house_open(&house);
        for (int j = 0; j < 3; j++) {
            client_open(&wires[j], &house, house_versions[j]);
            expect(&wires[j], "BEGIN; RUN; PULL", 3, "SUCCESS SUCCESS RECORD SUCCESS");
        }
        fault(house.sim, "freeze");
        bp_usec began_us = bpi_clock_now_us();
        for (int j = 0; j < 3; j++) {
            wire_send(&wires[j],
                      "RUN; PULL"); /* all places are taken: there is no idle link to ask on */
        }
        for (int j = 0; j < 3; j++) {
            assert_string_equal(told(&wires[j], 2), INTERRUPTED " IGNORED");
        }
        bp_usec took_us = bpi_clock_now_us() - began_us;
        assert_true(took_us >= 2 * DEAD_US && took_us < DEAD_FOUND_US);
        wait_for(!endpoint_is_up(&house, 0) && house_stats(&house).links_open == 0);
        assert_true(endpoint_health(&house, 0) < 0.6);
        fault(house.sim, "freeze=no");
        began_us = bpi_clock_now_us();
        for (int j = 0; j < 3; j++) {
            expect(&wires[j], "RESET; RUN; PULL", 3, "SUCCESS SUCCESS RECORD SUCCESS");
        }
        assert_true(bpi_clock_now_us() - began_us < RECOVERY_US);
        for (int j = 0; j < 3; j++) {
            wire_close(&wires[j]);
        }
        house_close(&house);
    }
}

static void idle_links_of_a_stopped_server_are_closed_by_their_checks(void **state)
{
    (void)state;
    struct house house = {.lines = DEAD_LINES "max_links = 4\nlink_keep_alive = 200ms"};
    struct wire wires[2];
    house_open(&house);
    for (int j = 0; j < 2; j++) {
        client_open(&wires[j], &house, V58);
        expect(&wires[j], "BEGIN", 1, "SUCCESS");
    }
    for (int j = 0; j < 2; j++) {
        expect(&wires[j], "COMMIT", 1, "SUCCESS");
    }
    wait_for(house_stats(&house).links_idle == 2);
    fault(house.sim, "freeze");
    wait_for(!endpoint_is_up(&house, 0) && house_stats(&house).links_open == 0);
    fault(house.sim, "freeze=no");
    bp_usec began_us = bpi_clock_now_us();
    expect(&wires[0], "RUN; PULL", 2, "SUCCESS RECORD SUCCESS");
    assert_true(bpi_clock_now_us() - began_us < RECOVERY_US);
    wait_for(endpoint_health(&house, 0) > 0.8);
    wire_close(&wires[0]);
    wire_close(&wires[1]);
    house_close(&house);
}

/* ---- a server that is only slow ---- */

static void a_query_may_take_as_long_as_its_server_answers_questions(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "dead_server_timeout = 300ms\nmax_links = 1", /* asked on one connection more */
        "dead_server_timeout = 300ms\nmax_links = 3", /* asked on the idle link */
    };
    for (int i = 0; i < 2; i++) {
        struct house house = {.lines = lines[i]};
        struct wire wire;
        struct wire other;
        house_open(&house);
        client_open(&wire, &house, V58);
        if (i == 1) {
            client_open(&other, &house, V58);
            expect(&other, "BEGIN", 1, "SUCCESS");
            expect(&wire, "RUN; PULL", 2, "SUCCESS RECORD SUCCESS");
            expect(&other, "COMMIT", 1, "SUCCESS");
            wire_close(&other);
        }
        uint64_t resets = sim_stats(house.sim).resets;
        uint64_t connections = sim_stats(house.sim).connections_total;
        expect(&wire, LONG, 2, "SUCCESS RECORD SUCCESS");
        if (i == 1) {
            assert_true(sim_stats(house.sim).resets - resets >= 3);
            assert_int_equal(sim_stats(house.sim).connections_total, connections);
        } else {
            assert_true(sim_stats(house.sim).connections_total - connections >= 3);
            assert_true(sim_stats(house.sim).connections_max <= 2);
        }
        assert_int_equal(house_stats(&house).links_lost, 0);
        assert_true(endpoint_is_up(&house, 0));
        wire_close(&wire);
        house_close(&house);
    }
}

static void a_client_that_does_not_read_makes_nobody_suspicious(void **state)
{
    (void)state;
    struct house house = {.lines = "dead_server_timeout = 100ms\nmax_links = 1"};
    struct wire wire;
    house_open(&house);
    client_open(&wire, &house, V58);
    wire_send(&wire, "RUN:RETURN 1 /*sim: rows=100000 bytes=1000*/; PULL");
    wait_for(house_stats(&house).links_leased == 1);
    usleep(800000);
    assert_int_equal(sim_stats(house.sim).connections_total,
                     2); /* the first contact, and the link */
    assert_int_equal(house_stats(&house).links_lost, 0);
    wire_close(&wire);
    house_close(&house);
}

/* All threads of the server are at work, and it says so to whoever comes. */
static void an_overloaded_server_is_neither_dead_nor_down(void **state)
{
    (void)state;
    struct house house = {.lines = "dead_server_timeout = 300ms\nmax_links = 3"};
    struct wire wire;
    struct wire other;
    house.options[0].worker_count_max = 1;
    house_open(&house);
    client_open(&other, &house, V58);
    client_open(&wire, &house, V58);
    wire_send(&wire, LONG);
    wait_for(sim_stats(house.sim).transactions_open == 1);
    uint64_t opened = house_stats(&house).links_opened;
    /* New links are refused until the work is done, and so are questions whether the server is alive. */
    wire_send(&other, "RUN; PULL");
    for (int i = 0; i < 100; i++) {
        assert_true(endpoint_is_up(&house, 0));
        usleep(8000);
    }
    assert_true(sim_stats(house.sim).no_threads > 3);
    assert_string_equal(told(&wire, 2), "SUCCESS RECORD SUCCESS");
    assert_string_equal(told(&other, 2), "SUCCESS RECORD SUCCESS");
    assert_int_equal(house_stats(&house).links_lost, 0);
    assert_true(house_stats(&house).links_opened - opened <= 1);
    wire_close(&wire);
    wire_close(&other);
    house_close(&house);
}

/* ---- faults of the server, and what are none ---- */

static void only_the_servers_own_faults_count_against_a_link(void **state)
{
    (void)state;
    static const struct {
        const char *fault;
        bool closes;
    } cases[] = {
        {"fail=Neo.DatabaseError.General.UnknownError", true},
        {"fail=Neo.ClientError.Statement.SyntaxError", false},
        {"fail=Neo.TransientError.Request.NoThreadsAvailable", false},
        {"fail=Neo.TransientError.Transaction.DeadlockDetected", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct house house = {.lines = "max_links = 1\nlink_error_limit = 3"};
        struct wire wire;
        house_open(&house);
        client_open(&wire, &house, V58);
        expect(&wire, "RUN; PULL", 2, "SUCCESS RECORD SUCCESS");
        assert_true(house_stats(&house).links_health_worst > 0.99);
        fault(house.sim, cases[i].fault);
        for (int j = 0; j < 7; j++) {
            wire_send(&wire, "RUN; PULL");
            assert_non_null(strstr(told(&wire, 2), "FAILURE"));
            expect(&wire, "RESET", 1, "SUCCESS");
            wait_for(house_stats(&house).links_leased == 0);
        }
        wait_for(house_is_idle(&house));
        struct bpi_cluster_stats stats = house_stats(&house);
        assert_int_equal(stats.links_opened, cases[i].closes ? 3 : 1);
        assert_true(stats.endpoints[0].up);
        assert_true(cases[i].closes ? stats.endpoints[0].health < 0.5
                                    : stats.endpoints[0].health > 0.9);
        assert_true(stats.endpoints[0].round_trip_us > 0);
        assert_int_equal(stats.links_lost, 0);
        fault(house.sim, "fail=no");
        expect(&wire, "RUN; PULL", 2, "SUCCESS RECORD SUCCESS");
        wire_close(&wire);
        house_close(&house);
    }
}

/* ---- three servers under load, each cut, hung and slowed ---- */

#define CROWD 12

struct member {
    struct house *house;
    unsigned index;
    pthread_t thread;
    unsigned done;
    bp_usec longest_us;
};

static _Atomic bool crowd_goes_on;

/* Does transactions until told to stop; whatever is refused or lost is tried again. */
static void *crowd_member(void *data)
{
    struct member *member = data;
    struct wire wire;
    bool open = false;
    while (atomic_load(&crowd_goes_on)) {
        if (!open) {
            open = strcmp(log_on_as(&wire, member->house->port, V58, "neo4j", "secret12"),
                          "SUCCESS") == 0;
            if (!open) {
                wire_close(&wire);
                continue;
            }
        }
        bp_usec began_us = bpi_clock_now_us();
        wire_send(&wire, "RUN:RETURN 1 /*sim: ms=2*/; PULL");
        const char *text = told(&wire, 2);
        bp_usec took_us = bpi_clock_now_us() - began_us;
        if (took_us > member->longest_us) {
            member->longest_us = took_us;
        }
        if (strcmp(text, "SUCCESS RECORD SUCCESS") == 0) {
            member->done++;
        } else if (strstr(text, "EOF") != NULL) {
            wire_close(&wire);
            open = false;
        } else {
            wire_send(&wire, "RESET");
            if (strcmp(told(&wire, 1), "SUCCESS") != 0) {
                wire_close(&wire);
                open = false;
            }
        }
    }
    if (open) {
        wire_close(&wire);
    }
    return NULL;
}

static bool all_serve(struct house *house)
{
    struct bpi_cluster_stats stats = house_stats(house);
    bool all = true;
    for (unsigned i = 0; i < stats.endpoints_count; i++) {
        all = all && stats.endpoints[i].up;
    }
    return all;
}

static void faults_of_one_server_leave_its_neighbours_alone(void **state)
{
    (void)state;
    static const char *const faults[][2] = {
        {"down", "up"}, {"freeze", "freeze=no"}, {"slow=20", "slow=no"}};
    struct house house = {.sims_count = 3,
                          .lines = DEAD_LINES "max_links = 9\nmax_endpoint_links = 3\n"
                                              "queue_timeout = 2s"};
    struct member members[CROWD];
    house_open(&house);
    atomic_store(&crowd_goes_on, true);
    for (unsigned i = 0; i < CROWD; i++) {
        members[i] = (struct member){.house = &house, .index = i};
        assert_int_equal(pthread_create(&members[i].thread, NULL, crowd_member, &members[i]), 0);
    }
    for (unsigned i = 0; i < 3; i++) {
        wait_for(sim_stats(house.sims[i]).sessions_now >= 2);
    }
    for (size_t f = 0; f < 3; f++) {
        for (unsigned i = 0; i < 3; i++) {
            uint64_t connections[3];
            for (unsigned j = 0; j < 3; j++) {
                connections[j] = sim_stats(house.sims[j]).connections_total;
            }
            fault(house.sims[i], faults[f][0]);
            usleep(900000);
            fault(house.sims[i], faults[f][1]);
            bp_usec began_us = bpi_clock_now_us();
            uint64_t queries = sim_stats(house.sims[i]).queries;
            wait_for(all_serve(&house) && sim_stats(house.sims[i]).queries > queries + 5);
            assert_true(bpi_clock_now_us() - began_us < RECOVERY_US);
            for (unsigned j = 0; j < 3; j++) {
                /* A neighbour's links may grow up to its limit, but none is closed and opened anew. */
                if (j != i) {
                    assert_true(sim_stats(house.sims[j]).connections_total - connections[j] <= 3);
                    assert_true(sim_stats(house.sims[j]).connections_now >= 2);
                }
            }
        }
    }
    atomic_store(&crowd_goes_on, false);
    for (unsigned i = 0; i < CROWD; i++) {
        pthread_join(members[i].thread, NULL);
        assert_true(members[i].done > 0);
        /* It waits for a link for 2 s at most, and for a dead server for twice dead_server_timeout and a bit. */
        assert_true(members[i].longest_us < 2 * BP_USEC_PER_SECOND + DEAD_FOUND_US);
    }
    house_close(&house);
}

/* ---- a process that is stopped by a signal ---- */

/* A simulated server in a process of its own; its port is told through the pipe. */
static pid_t start_process(uint16_t *ret_port)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct bpi_sim *sim;
        char why[256];
        struct bpi_sim_options options = {.users = house_users, .user_count = 3};
        uint16_t port =
            bpi_sim_start(&options, &sim, why, sizeof(why)) == 0 ? bpi_sim_port(sim) : 0;
        (void)!write(ends[1], &port, sizeof(port));
        while (getppid() != 1) {
            usleep(100000);
        }
        _exit(0);
    }
    assert_int_equal(read(ends[0], ret_port, sizeof(*ret_port)), sizeof(*ret_port));
    assert_true(*ret_port != 0);
    close(ends[0]);
    close(ends[1]);
    return pid;
}

static void open_daemon_before(struct house *house, uint16_t port)
{
    char text[1024];
    char why[512] = "";
    struct bpi_config *config = NULL;
    snprintf(text, sizeof(text),
             "[boltpool]\nloops = 2\nlog_level = error\n[cluster main]\nlisten = 127.0.0.1:0\n"
             "endpoints = bolt://127.0.0.1:%u\n%s",
             port, house->lines);
    assert_int_equal(bpi_config_parse("test", text, &config, why, sizeof(why)), 0);
    assert_int_equal(bpi_daemon_new(config, &house->daemon, why, sizeof(why)), 0);
    bpi_log_level_set(getenv("BP_LOG") == NULL ? BPI_LOG_ERROR : BPI_LOG_DEBUG);
    assert_int_equal(bpi_daemon_start(house->daemon), 0);
    house->port = bpi_daemon_port(house->daemon, 0);
}

static void a_process_that_is_stopped_is_found_and_serves_again(void **state)
{
    (void)state;
    uint16_t port;
    alarm(120);
    pid_t pid = start_process(&port);
    struct house house = {.lines = DEAD_LINES "max_links = 2"};
    struct wire wire;
    open_daemon_before(&house, port);
    client_open(&wire, &house, V58);
    expect(&wire, "BEGIN; RUN; PULL", 3, "SUCCESS SUCCESS RECORD SUCCESS");
    assert_int_equal(kill(pid, SIGSTOP), 0);
    int status;
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid); /* it has stopped, all its threads */
    assert_true(WIFSTOPPED(status));
    bp_usec began_us = bpi_clock_now_us();
    expect(&wire, "RUN; PULL", 2, INTERRUPTED " IGNORED");
    bp_usec took_us = bpi_clock_now_us() - began_us;
    assert_true(took_us >= 2 * DEAD_US && took_us < DEAD_FOUND_US);
    /* Work that comes meanwhile waits, and is done when the server is back. */
    wire_send(&wire, "RESET; RUN; PULL");
    usleep(500000);
    assert_int_equal(kill(pid, SIGCONT), 0);
    began_us = bpi_clock_now_us();
    assert_string_equal(told(&wire, 3), "SUCCESS SUCCESS RECORD SUCCESS");
    assert_true(bpi_clock_now_us() - began_us < RECOVERY_US);
    wire_close(&wire);
    house_close(&house);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        /* Forks, so it comes before there are threads. */
        cmocka_unit_test(a_process_that_is_stopped_is_found_and_serves_again),
        cmocka_unit_test(lessees_of_a_stopped_server_are_told_and_served_when_it_is_back),
        cmocka_unit_test(idle_links_of_a_stopped_server_are_closed_by_their_checks),
        cmocka_unit_test(a_query_may_take_as_long_as_its_server_answers_questions),
        cmocka_unit_test(a_client_that_does_not_read_makes_nobody_suspicious),
        cmocka_unit_test(an_overloaded_server_is_neither_dead_nor_down),
        cmocka_unit_test(only_the_servers_own_faults_count_against_a_link),
        cmocka_unit_test(faults_of_one_server_leave_its_neighbours_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
