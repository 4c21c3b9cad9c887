/* Shows which Bolt versions clients are offered, that clients of different versions share a full pool without
 * starving each other, and what happens when a server comes back as another. Simulated servers, real sockets.
 */
#include "harness.h"

#include <stdatomic.h>

/* What is chosen of a proposal (4 bytes), as a number; 0: none. */
static unsigned choice(uint16_t port, uint8_t range, uint8_t minor, uint8_t major)
{
    struct wire wire;
    uint8_t hello[20] = {0x60, 0x60, 0xb0, 0x17, 0, range, minor, major};
    uint8_t answer[4] = {0};
    wire_connect(&wire, port);
    wire_write(&wire, hello, sizeof(hello));
    if (wire_read(&wire, answer, 4) != 4) {
        memset(answer, 0, 4);
    }
    wire_close(&wire);
    return (unsigned)answer[3] << 8 | answer[2];
}

static void clients_are_offered_what_all_endpoints_speak(void **state)
{
    (void)state;
    struct house house = {.sims_count = 2, .lines = "max_links = 2"};
    house.options[0].versions = bpi_bolt_versions_range(BPI_BOLT(5, 0), BPI_BOLT(5, 4));
    house.options[1].versions = bpi_bolt_versions_range(BPI_BOLT(5, 2), BPI_BOLT(6, 1));
    house_open(&house);
    wait_for(house_stats(&house).endpoints[0].up && house_stats(&house).endpoints[1].up);
    assert_int_equal(choice(house.port, 8, 8, 5), BPI_BOLT(5, 4));
    assert_int_equal(choice(house.port, 0, 2, 5), BPI_BOLT(5, 2));
    assert_int_equal(choice(house.port, 0, 1, 5), 0);
    assert_int_equal(choice(house.port, 2, 4, 4), 0);
    assert_int_equal(choice(house.port, 0, 8, 5), 0);
    assert_int_equal(choice(house.port, 0, 1, 6), 0);
    house_close(&house);
}

static void max_bolt_version_lowers_the_offer(void **state)
{
    (void)state;
    struct house house = {.lines = "max_bolt_version = 5.4"};
    house_open(&house);
    assert_int_equal(choice(house.port, 8, 8, 5), BPI_BOLT(5, 4));
    assert_int_equal(choice(house.port, 0, 1, 6), 0);
    /* The manifest is passed over, since it would lead no further. */
    struct wire wire;
    uint8_t answer[4];
    wire_connect(&wire, house.port);
    wire_write(&wire, "\x60\x60\xb0\x17\0\0\x01\xff\0\x08\x08\x05\0\x02\x04\x04\0\0\0\x03", 20);
    assert_int_equal(wire_read(&wire, answer, 4), 4);
    assert_memory_equal(answer, "\0\0\x04\x05", 4);
    wire_close(&wire);
    assert_int_equal(house_reload(&house, "max_bolt_version = 4.4"), 0);
    assert_int_equal(choice(house.port, 8, 8, 5), 0);
    house_close(&house);
}

static void every_version_is_served_in_its_own_words(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 2"};
    house_open(&house);
    for (unsigned version = BPI_BOLT(4, 1); version <= BPI_BOLT(6, 1); version++) {
        if ((bpi_bolt_versions_all() & bpi_bolt_versions_of((bpi_bolt_version)version)) == 0 ||
            version == BPI_BOLT(4, 0)) {
            continue;
        }
        struct wire wire;
        client_open(&wire, &house, (bpi_bolt_version)version);
        expect(&wire, "RUN; PULL; BEGIN; RUN; PULL; COMMIT", 6,
               "SUCCESS RECORD SUCCESS SUCCESS SUCCESS RECORD SUCCESS SUCCESS");
        expect(&wire, "RUN:nonsense", 1, "FAILURE:ClientError.Statement.SyntaxError");
        bool gql = bpi_bolt_has_gql_failure((bpi_bolt_version)version);
        assert_string_equal(wire_meta(&wire, gql ? "code" : "neo4j_code"), "");
        expect(&wire, "RESET", 1, "SUCCESS");
        if (bpi_bolt_has_home_db((bpi_bolt_version)version)) {
            expect(&wire, "BEGIN", 1, "SUCCESS");
            assert_string_equal(wire_meta(&wire, "db"), "neo4j");
        }
        wire_close(&wire);
    }
    house_close(&house);
}

struct member {
    struct house *house;
    bpi_bolt_version version;
    atomic_bool *ended;
    unsigned served;
    bp_usec longest_us;
    pthread_t thread;
};

static void *hurry(void *data)
{
    struct member *member = data;
    struct wire wire;
    client_open(&wire, member->house, member->version);
    while (!atomic_load(member->ended)) {
        bp_usec began_us = bpi_clock_now_us();
        expect(&wire, "RUN; PULL", 2, "SUCCESS RECORD SUCCESS");
        bp_usec took_us = bpi_clock_now_us() - began_us;
        member->longest_us = took_us > member->longest_us ? took_us : member->longest_us;
        member->served++;
    }
    wire_close(&wire);
    return NULL;
}

static void versions_share_one_link_and_none_starves(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 1"};
    static const bpi_bolt_version versions[] = {V44, V58, V58, V58, V61, V50};
    struct member members[6];
    atomic_bool ended = false;
    house_open(&house);
    for (size_t i = 0; i < 6; i++) {
        members[i] = (struct member){.house = &house, .version = versions[i], .ended = &ended};
        assert_int_equal(pthread_create(&members[i].thread, NULL, hurry, &members[i]), 0);
    }
    usleep(1500000);
    atomic_store(&ended, true);
    for (size_t i = 0; i < 6; i++) {
        pthread_join(members[i].thread, NULL);
        assert_true(members[i].served >= 10);
        assert_true(members[i].longest_us < 500000);
    }
    assert_int_equal(sim_stats(house.sim).sessions_max, 1);
    house_close(&house);
}

/* ---- when servers are known ---- */

static void a_first_client_waits_for_the_first_contact(void **state)
{
    (void)state;
    struct house house = {.lines = "connect_timeout = 400ms"};
    house_open_sims(&house);
    fault(house.sim, "down");
    house_open_daemon(&house);
    bp_usec began_us = bpi_clock_now_us();
    assert_int_equal(choice(house.port, 8, 8, 5), 0); /* closed: nobody could be asked */
    bp_usec took_us = bpi_clock_now_us() - began_us;
    assert_true(took_us >= 390000 && took_us < 400000 + SLACK_US);
    struct wire wire;
    uint8_t hello[20] = {0x60, 0x60, 0xb0, 0x17, 0, 8, 8, 5};
    uint8_t answer[4];
    wire_connect(&wire, house.port);
    wire_write(&wire, hello, sizeof(hello));
    assert_true(is_silent(&wire, 50));
    fault(house.sim, "up");
    if (wire_read(&wire, answer, 4) != 4) {
        /* The next contact came too late for this one. */
        wire_close(&wire);
        wait_for(house_stats(&house).endpoints[0].up);
        wire_connect(&wire, house.port);
        wire_write(&wire, hello, sizeof(hello));
        assert_int_equal(wire_read(&wire, answer, 4), 4);
    }
    assert_memory_equal(answer, "\0\0\x08\x05", 4);
    wire_close(&wire);
    house_close(&house);
}

static void a_server_may_come_back_with_fewer_versions(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 2\nconnect_timeout = 500ms\nqueue_timeout = 1s"};
    house_open(&house);
    struct wire wire;
    client_open(&wire, &house, V58);
    expect(&wire, "RUN; PULL", 2, "SUCCESS RECORD SUCCESS");
    uint16_t port = bpi_sim_port(house.sim);
    bpi_sim_stop(house.sim);
    struct bpi_sim_options options = {.port = port,
                                      .users = house_users,
                                      .user_count = 3,
                                      .versions = bpi_bolt_versions_range(BPI_BOLT(4, 3), V54)};
    char why[256] = "";
    if (bpi_sim_start(&options, &house.sim, why, sizeof(why)) != 0) {
        fail_msg("%s", why);
    }
    house.sims[0] = house.sim;
    /* A client whose version is gone is told so, or sent away; new ones are offered less. */
    wire_send(&wire, "RUN; PULL");
    const char *text = told(&wire, 2);
    assert_null(strstr(text, "RECORD"));
    wire_close(&wire);
    wait_for(choice(house.port, 8, 8, 5) == BPI_BOLT(5, 4));
    client_open(&wire, &house, V54);
    expect(&wire, "RUN; PULL", 2, "SUCCESS RECORD SUCCESS");
    wire_close(&wire);
    house_close(&house);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clients_are_offered_what_all_endpoints_speak),
        cmocka_unit_test(max_bolt_version_lowers_the_offer),
        cmocka_unit_test(every_version_is_served_in_its_own_words),
        cmocka_unit_test(versions_share_one_link_and_none_starves),
        cmocka_unit_test(a_first_client_waits_for_the_first_contact),
        cmocka_unit_test(a_server_may_come_back_with_fewer_versions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
