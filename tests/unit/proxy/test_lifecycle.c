/* Shows the life of links from end to end: kept alive, trimmed, replaced before their end, kept warm, and opened again
 * in parallel when a server is back; with the clients' own log-ins and with a shared account. Simulated servers, real
 * sockets.
 */
#include "harness.h"

#include "proxy/users.h"

#define MS BP_USEC_PER_MS

static unsigned idle_links(struct house *house)
{
    return house_stats(house).links_idle;
}

/* So many clients in a transaction at one time, so that there are as many links. */
static void open_links(struct house *house, unsigned count, const char *user, const char *password)
{
    struct wire wires[8];
    assert_true(count <= 8);
    for (unsigned i = 0; i < count; i++) {
        client_open_as(&wires[i], house, V58, user, password);
        expect(&wires[i], "BEGIN", 1, "SUCCESS");
    }
    for (unsigned i = 0; i < count; i++) {
        expect(&wires[i], "COMMIT", 1, "SUCCESS");
        wire_close(&wires[i]);
    }
}

static void idle_links_are_kept_alive_by_questions(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 4\nlink_keep_alive = 100ms"};
    house_open(&house);
    open_links(&house, 3, "alice", "wonder123");
    uint64_t before = sim_stats(house.sim).resets;
    wait_for(sim_stats(house.sim).resets >= before + 9);
    assert_int_equal(house_stats(&house).links_open, 3); /* some are being asked just now */
    assert_int_equal(house_stats(&house).links_opened, 3);
    wait_for(house_stats(&house).links_checked >= 9);
    assert_true(house_stats(&house).endpoints[0].round_trip_us > 0);
    house_close(&house);
}

static void a_link_that_was_idle_for_long_is_asked_before_it_is_lent(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 2\nlink_check_after = 50ms"};
    struct wire wire;
    house_open(&house);
    client_open(&wire, &house, V58);
    expect(&wire, "RUN; PULL", 2, "SUCCESS RECORD SUCCESS");
    uint64_t before = sim_stats(house.sim).resets;
    expect(&wire, "RUN; PULL", 2, "SUCCESS RECORD SUCCESS");
    assert_int_equal(sim_stats(house.sim).resets, before);
    usleep(80000);
    expect(&wire, "RUN; PULL", 2, "SUCCESS RECORD SUCCESS");
    assert_true(sim_stats(house.sim).resets > before);
    wire_close(&wire);
    house_close(&house);
}

static void idle_links_are_trimmed_but_for_the_minimum(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 8\nlink_idle_timeout = 150ms\nmin_idle_links = 2"};
    house_open(&house);
    open_links(&house, 6, "neo4j", "secret12");
    wait_for(sim_stats(house.sim).connections_now == 2);
    usleep(300000);
    assert_int_equal(idle_links(&house), 2);
    assert_int_equal(sim_stats(house.sim).connections_now, 2);
    assert_int_equal(house_stats(&house).links_lost, 0);
    house_close(&house);
}

static void links_are_replaced_at_the_end_of_their_lives_unseen_by_work(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 4\nlink_lifetime = 150ms"};
    struct wire wire;
    house_open(&house);
    client_open(&wire, &house, V58);
    bp_usec until_us = bpi_clock_now_us() + BP_USEC_PER_SECOND;
    while (bpi_clock_now_us() < until_us) {
        expect(&wire, "RUN; PULL", 2, "SUCCESS RECORD SUCCESS");
        usleep(1000);
    }
    assert_true(house_stats(&house).links_opened >= 5);
    assert_int_equal(house_stats(&house).links_lost, 0);
    assert_true(sim_stats(house.sim).connections_max <= 4);
    wire_close(&wire);
    house_close(&house);
}

/* ---- warm links, and recovery ---- */

static unsigned openings_now(struct house *house)
{
    struct bpi_cluster *cluster = bpi_daemon_cluster(house->daemon, 0);
    pthread_mutex_lock(&cluster->mutex);
    unsigned count = cluster->pool.counts[BPI_POOL_OPENING];
    pthread_mutex_unlock(&cluster->mutex);
    return count;
}

static void warm_links_come_back_in_parallel_but_bounded(void **state)
{
    (void)state;
    char file_lines[512];
    char path[] = "/tmp/boltpool-users-XXXXXX";
    char hash[512];
    int file = mkstemp(path);
    assert_true(file >= 0);
    assert_int_equal(bpi_users_hash("pass4ann", hash, sizeof(hash)), 0);
    dprintf(file, "ann:%s\n", hash);
    close(file);
    snprintf(file_lines, sizeof(file_lines),
             "max_links = 10\nmin_idle_links = 6\nmax_connects = 2\nauth_type = file\n"
             "auth_file = %s\nservice_user = bob\nservice_password = builder12",
             path);
    const char *const lines[] = {"max_links = 10\nmin_idle_links = 6\nmax_connects = 2",
                                 file_lines};
    for (int i = 0; i < 2; i++) {
        struct house house = {.lines = lines[i]};
        struct wire wire;
        house.options[0].login_service =
            (struct bpi_sim_service){.spread = BPI_SIM_FIXED, .mean_us = 50000};
        house_open(&house);
        if (i == 0) {
            client_open_as(&wire, &house, V58, "alice", "wonder123");
        } else {
            client_open_as(&wire, &house, V58, "ann", "pass4ann");
        }
        expect(&wire, "RUN; PULL", 2, "SUCCESS RECORD SUCCESS");
        wait_for(idle_links(&house) == 6);
        for (int round = 0; round < 2; round++) {
            fault(house.sim, "down");
            wait_for(house_stats(&house).links_open == 0);
            fault(house.sim, "up");
            bp_usec began_us = bpi_clock_now_us();
            unsigned most = 0;
            while (idle_links(&house) < 6) {
                unsigned now = openings_now(&house);
                most = now > most ? now : most;
                assert_true(bpi_clock_now_us() - began_us < 2 * BP_USEC_PER_SECOND);
                usleep(1000);
            }
            assert_int_equal(most, 2);
            expect(&wire, "RUN; PULL", 2, "SUCCESS RECORD SUCCESS");
        }
        /* They are logged on as the client is: its work needs no other log-in. */
        assert_int_equal(house_stats(&house).logins_swapped, 0);
        struct bpi_sim_user_stats logged_on;
        assert_true(bpi_sim_user_stats(house.sim, i == 0 ? "alice" : "bob", &logged_on));
        assert_int_equal(logged_on.sessions_now, 6);
        wire_close(&wire);
        house_close(&house);
    }
    unlink(path);
}

static void a_user_whose_password_was_changed_is_not_kept_warm(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 6\nmin_idle_links = 3\nauth_cache_ttl = 0"};
    struct wire wire;
    house_open(&house);
    client_open_as(&wire, &house, V58, "alice", "wonder123");
    expect(&wire, "RUN; PULL", 2, "SUCCESS RECORD SUCCESS");
    wait_for(idle_links(&house) == 3);
    assert_int_equal(bpi_sim_user_set(house.sim, "alice", "another1"), 0);
    fault(house.sim, "down");
    wait_for(house_stats(&house).links_open == 0);
    fault(house.sim, "up");
    uint64_t failed = sim_stats(house.sim).login_failures;
    wait_for(sim_stats(house.sim).login_failures > failed);
    usleep(300000);
    /* Tried once by each link under way, not over and over: that would lock the user out. */
    assert_true(sim_stats(house.sim).login_failures - failed <= 3);
    wire_close(&wire);
    house_close(&house);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(idle_links_are_kept_alive_by_questions),
        cmocka_unit_test(a_link_that_was_idle_for_long_is_asked_before_it_is_lent),
        cmocka_unit_test(idle_links_are_trimmed_but_for_the_minimum),
        cmocka_unit_test(links_are_replaced_at_the_end_of_their_lives_unseen_by_work),
        cmocka_unit_test(warm_links_come_back_in_parallel_but_bounded),
        cmocka_unit_test(a_user_whose_password_was_changed_is_not_kept_warm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
