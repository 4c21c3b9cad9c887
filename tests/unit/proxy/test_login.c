/* Shows that a link works only for whom it is logged on as, that a wrong password is tried once and hurts
 * nobody else, and that servers are asked as rarely as the settings say and as often. Simulated servers
 * with users, real sockets.
 */
#include "harness.h"

#include "proxy/users.h"

#define WRONG  "FAILURE:ClientError.Security.Unauthorized"
#define LOCKED "FAILURE:ClientError.Security.AuthenticationRateLimit"

static struct bpi_sim_user_stats user_of(struct house *house, const char *name)
{
    struct bpi_sim_user_stats stats;
    assert_true(bpi_sim_user_stats(house->sim, name, &stats));
    return stats;
}

/* Whom the server takes this client for, in a transaction of its own. */
static void assert_is(struct wire *wire, const char *name, bool explicit)
{
    if (explicit) {
        expect(wire, "BEGIN", 1, "SUCCESS");
    }
    wire_send(wire, "RUN:SHOW CURRENT USER; PULL");
    assert_string_equal(told(wire, 1), "SUCCESS");
    assert_true(wire_next(wire));
    assert_string_equal(record_text(wire), name);
    assert_string_equal(told(wire, 1), "SUCCESS");
    if (explicit) {
        expect(wire, "COMMIT", 1, "SUCCESS");
    }
}

struct person {
    struct house *house;
    unsigned index;
    pthread_t thread;
};

static void *be_oneself(void *data)
{
    struct person *person = data;
    const struct bpi_sim_user *user = &house_users[person->index % 3];
    struct wire wire;
    client_open_as(&wire, person->house, house_versions[person->index % HOUSE_VERSIONS], user->name,
                   user->password);
    for (unsigned i = 0; i < 170; i++) {
        assert_is(&wire, user->name, i % 3 == 0);
    }
    wire_close(&wire);
    return NULL;
}

static void nobody_ever_works_as_another(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 2"};
    struct person people[12];
    house_open(&house);
    for (unsigned i = 0; i < 12; i++) {
        people[i] = (struct person){.house = &house, .index = i};
        assert_int_equal(pthread_create(&people[i].thread, NULL, be_oneself, &people[i]), 0);
    }
    for (unsigned i = 0; i < 12; i++) {
        pthread_join(people[i].thread, NULL);
    }
    assert_true(sim_stats(house.sim).connections_max <= 2);
    assert_int_equal(sim_stats(house.sim).login_failures, 0);
    house_close(&house);
}

static void two_users_share_one_link_where_the_version_can(void **state)
{
    (void)state;
    for (size_t v = 0; v < HOUSE_VERSIONS; v++) {
        struct house house = {.lines = "max_links = 1"};
        struct wire wires[2];
        house_open(&house);
        client_open_as(&wires[0], &house, house_versions[v], "alice", "wonder123");
        client_open_as(&wires[1], &house, house_versions[v], "bob", "builder12");
        uint64_t connections = sim_stats(house.sim).connections_total;
        for (int i = 0; i < 6; i++) {
            assert_is(&wires[i % 2], i % 2 == 0 ? "alice" : "bob", i >= 4);
        }
        bool relogin = bpi_bolt_has_logon(house_versions[v]);
        uint64_t more = sim_stats(house.sim).connections_total - connections;
        assert_int_equal(more, relogin ? 0 : 6);
        assert_int_equal(sim_stats(house.sim).sessions_max, 1);
        wire_close(&wires[0]);
        wire_close(&wires[1]);
        house_close(&house);
    }
}

/* Behind a LOGON the server's limits of 8,192 bytes, 64 items and depth 4 hold until it is answered. */
static void requests_about_the_login_limits_survive_a_change_of_user(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 1"};
    struct wire wires[2];
    house_open(&house);
    client_open_as(&wires[0], &house, V58, "alice", "wonder123");
    client_open_as(&wires[1], &house, V58, "bob", "builder12");
    unsigned round = 0;
    static char query[20000];
    for (size_t size = 8100; size < 8300; size += 7) {
        struct wire *wire = &wires[round++ % 2];
        memset(query, ' ', size);
        memcpy(query, "RETURN 1", 8);
        query[size] = '\0';
        wire_put_run(wire, query, (struct bpi_bolt_span){0});
        wire_put_word(wire, "PULL");
        wire_flush(wire);
        assert_string_equal(told(wire, 2), "SUCCESS RECORD SUCCESS");
    }
    for (unsigned items = 60; items < 70; items++) {
        for (unsigned depth = 1; depth < 6; depth++) {
            struct wire *wire = &wires[round++ % 2];
            struct bpi_buffer map = {0};
            struct bpi_pack_writer writer;
            bpi_pack_writer_init(&writer, &map);
            bpi_pack_map(&writer, 1);
            bpi_pack_text(&writer, "x");
            for (unsigned i = 1; i < depth; i++) {
                bpi_pack_list(&writer, 1);
            }
            bpi_pack_list(&writer, items);
            for (unsigned i = 0; i < items; i++) {
                bpi_pack_int(&writer, i);
            }
            struct bpi_bolt_text text = {"RETURN $x", 9};
            assert_int_equal(
                bpi_bolt_write_run(&wire->out, text, wire_span(&map), (struct bpi_bolt_span){0}),
                0);
            bpi_buffer_done(&map);
            wire_put_word(wire, "PULL");
            wire_flush(wire);
            assert_string_equal(told(wire, 2), "SUCCESS RECORD SUCCESS");
        }
    }
    assert_true(sim_stats(house.sim).logoffs > 40);
    assert_int_equal(sim_stats(house.sim).failures, 0);
    wire_close(&wires[0]);
    wire_close(&wires[1]);
    house_close(&house);
}

static void a_wrong_password_is_tried_once_and_costs_others_nothing(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 1"};
    house.options[0].login_failures_max = 100;
    house_open(&house);
    for (size_t v = 0; v < HOUSE_VERSIONS; v++) {
        struct wire good;
        struct wire bad;
        client_open(&good, &house, house_versions[v]);
        expect(&good, "BEGIN", 1, "SUCCESS");
        /* All links are lent: the check waits. */
        wire_connect(&bad, house.port);
        wire_handshake(&bad, house_versions[v]);
        wire_put_hello(&bad, "alice", "wrong");
        if (bpi_bolt_has_logon(house_versions[v])) {
            wire_flush(&bad);
            assert_string_equal(told(&bad, 1), "SUCCESS");
            wire_put_logon(&bad, "alice", "wrong");
        }
        wire_flush(&bad);
        assert_true(is_silent(&bad, 30));
        assert_int_equal(user_of(&house, "alice").login_failures, v);
        expect(&good, "RUN; PULL; COMMIT", 3, "SUCCESS RECORD SUCCESS SUCCESS");
        assert_string_equal(told(&bad, 2), WRONG " EOF");
        assert_int_equal(user_of(&house, "alice").login_failures, v + 1);
        expect(&good, "RUN; PULL", 2, "SUCCESS RECORD SUCCESS");
        wire_close(&good);
        wire_close(&bad);
    }
    house_close(&house);
}

/* ---- how often a server is asked ---- */

static void *log_on_once(void *data)
{
    struct person *person = data;
    struct wire wire;
    client_open_as(&wire, person->house, V58, "alice", "wonder123");
    wire_close(&wire);
    return NULL;
}

static void the_same_log_in_of_many_is_checked_once(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 30"};
    struct person people[20];
    house.options[0].login_service =
        (struct bpi_sim_service){.spread = BPI_SIM_FIXED, .mean_us = 200000};
    house_open(&house);
    wait_for(house_stats(&house).endpoints[0].up);
    for (unsigned i = 0; i < 20; i++) {
        people[i] = (struct person){.house = &house, .index = i};
        assert_int_equal(pthread_create(&people[i].thread, NULL, log_on_once, &people[i]), 0);
    }
    for (unsigned i = 0; i < 20; i++) {
        pthread_join(people[i].thread, NULL);
    }
    assert_int_equal(user_of(&house, "alice").logons, 1);
    assert_int_equal(house_stats(&house).logins_checked, 1);
    house_close(&house);
}

static void a_verified_log_in_is_believed_for_auth_cache_ttl(void **state)
{
    (void)state;
    static const char *const lines[] = {"max_links = 2\nauth_cache_ttl = 0",
                                        "max_links = 2\nauth_cache_ttl = 300ms"};
    for (size_t i = 0; i < 2; i++) {
        struct house house = {.lines = lines[i]};
        struct wire wire;
        house_open(&house);
        for (int j = 0; j < 4; j++) {
            client_open_as(&wire, &house, V58, "alice", "wonder123");
            wire_close(&wire);
        }
        assert_int_equal(user_of(&house, "alice").logons, i == 0 ? 4 : 1);
        usleep(320000);
        client_open_as(&wire, &house, V58, "alice", "wonder123");
        wire_close(&wire);
        assert_int_equal(user_of(&house, "alice").logons, i == 0 ? 5 : 2);
        house_close(&house);
    }
}

static void links_log_on_anew_after_link_auth_ttl(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "max_links = 1\nlink_auth_ttl = 100ms",
        "max_links = 1\nlink_auth_ttl = 100ms\npool_mode = session",
    };
    for (size_t i = 0; i < 2; i++) {
        for (size_t v = 1; v < 4; v++) {
            struct house house = {.lines = lines[i]};
            struct wire wire;
            house_open(&house);
            client_open_as(&wire, &house, house_versions[v], "alice", "wonder123");
            expect(&wire, "RUN; PULL; RUN; PULL", 4,
                   "SUCCESS RECORD SUCCESS SUCCESS RECORD SUCCESS");
            uint64_t logons = user_of(&house, "alice").logons;
            usleep(150000);
            expect(&wire, "RUN; PULL; RUN; PULL", 4,
                   "SUCCESS RECORD SUCCESS SUCCESS RECORD SUCCESS");
            bool renewed = i == 0 || bpi_bolt_has_logon(house_versions[v]);
            assert_int_equal(user_of(&house, "alice").logons, logons + renewed);
            wire_close(&wire);
            house_close(&house);
        }
    }
}

static void a_changed_password_ends_old_sessions(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 2\nlink_auth_ttl = 50ms\nauth_cache_ttl = 50ms"};
    house_open(&house);
    for (size_t v = 0; v < HOUSE_VERSIONS; v++) {
        struct wire old;
        struct wire fresh;
        client_open_as(&old, &house, house_versions[v], "alice", "wonder123");
        expect(&old, "RUN; PULL", 2, "SUCCESS RECORD SUCCESS");
        assert_int_equal(bpi_sim_user_set(house.sim, "alice", "changed99"), 0);
        assert_string_equal(log_on_as(&fresh, house.port, house_versions[v], "alice", "changed99"),
                            "SUCCESS");
        expect(&fresh, "RUN; PULL", 2, "SUCCESS RECORD SUCCESS");
        usleep(70000);
        wire_send(&old, "RUN; PULL");
        assert_string_equal(told(&old, 2), WRONG " EOF");
        expect(&fresh, "RUN; PULL", 2, "SUCCESS RECORD SUCCESS");
        wire_close(&old);
        assert_string_equal(log_on_as(&old, house.port, house_versions[v], "alice", "wonder123"),
                            WRONG);
        wire_close(&old);
        assert_true(bpi_sim_user_drop(house.sim, "alice"));
        usleep(70000);
        wire_send(&fresh, "RUN; PULL");
        assert_string_equal(told(&fresh, 2), WRONG " EOF");
        wire_close(&fresh);
        assert_int_equal(bpi_sim_user_set(house.sim, "alice", "wonder123"), 0);
    }
    house_close(&house);
}

static void a_rate_limit_is_told_as_it_is(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 4\nauth_cache_ttl = 0"};
    house.options[0].login_lock_us = 300000;
    house_open(&house);
    struct wire wire;
    struct wire other;
    client_open_as(&other, &house, V58, "alice", "wonder123");
    for (int i = 0; i < 3; i++) {
        assert_string_equal(log_on_as(&wire, house.port, V58, "alice", "guess"), WRONG);
        wire_close(&wire);
    }
    assert_string_equal(log_on_as(&wire, house.port, V58, "alice", "wonder123"), LOCKED);
    wire_close(&wire);
    assert_string_equal(log_on_as(&wire, house.port, V44, "alice", "wonder123"), LOCKED);
    wire_close(&wire);
    /* Who is logged on already works on. */
    expect(&other, "RUN; PULL", 2, "SUCCESS RECORD SUCCESS");
    usleep(350000);
    client_open_as(&wire, &house, V58, "alice", "wonder123");
    wire_close(&wire);
    wire_close(&other);
    house_close(&house);
}

/* ---- auth_type = file ---- */

static void a_users_file_is_asked_instead_of_the_server(void **state)
{
    (void)state;
    char path[] = "/tmp/boltpool-users-XXXXXX";
    char hash[512];
    char lines[512];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(bpi_users_hash("pass4ann", hash, sizeof(hash)), 0);
    dprintf(fd, "# people\nann:%s\n", hash);
    close(fd);
    snprintf(lines, sizeof(lines),
             "max_links = 1\nauth_type = file\nauth_file = %s\nservice_user = bob\n"
             "service_password = builder12",
             path);
    struct house house = {.lines = lines};
    house_open(&house);
    for (size_t v = 0; v < HOUSE_VERSIONS; v++) {
        struct wire wire;
        client_open_as(&wire, &house, house_versions[v], "ann", "pass4ann");
        assert_is(&wire, "bob", false);
        wire_close(&wire);
        assert_string_equal(log_on_as(&wire, house.port, house_versions[v], "ann", "wrong"), WRONG);
        assert_string_equal(told(&wire, 1), "EOF");
        wire_close(&wire);
        assert_string_equal(log_on_as(&wire, house.port, house_versions[v], "bob", "builder12"),
                            WRONG);
        wire_close(&wire);
        assert_string_equal(log_on_as(&wire, house.port, house_versions[v], "ann", hash), WRONG);
        wire_close(&wire);
        /* One that goes while it is checked. */
        wire_connect(&wire, house.port);
        wire_handshake(&wire, house_versions[v]);
        wire_put_hello(&wire, "ann", "pass4ann");
        if (bpi_bolt_has_logon(house_versions[v])) {
            wire_put_logon(&wire, "ann", "pass4ann");
        }
        wire_flush(&wire);
        usleep(1000);
        wire_close(&wire);
    }
    assert_int_equal(sim_stats(house.sim).login_failures, 0);
    house_close(&house);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_ever_works_as_another),
        cmocka_unit_test(two_users_share_one_link_where_the_version_can),
        cmocka_unit_test(requests_about_the_login_limits_survive_a_change_of_user),
        cmocka_unit_test(a_wrong_password_is_tried_once_and_costs_others_nothing),
        cmocka_unit_test(the_same_log_in_of_many_is_checked_once),
        cmocka_unit_test(a_verified_log_in_is_believed_for_auth_cache_ttl),
        cmocka_unit_test(links_log_on_anew_after_link_auth_ttl),
        cmocka_unit_test(a_changed_password_ends_old_sessions),
        cmocka_unit_test(a_rate_limit_is_told_as_it_is),
        cmocka_unit_test(a_users_file_is_asked_instead_of_the_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
