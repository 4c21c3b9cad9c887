/* Shows that a simulated server's limits and scripted faults do what sim/server.h says, and that its
 * equations hold under them. Real sockets; each test starts its own servers.
 */
#include "sim/fault.h"
#include "sim/server.h"

#include <boltpool/error.h>

#include "base/random.h"
#include "wire.h"

static const struct bpi_sim_user users[] = {{"neo4j", "secret12"}, {"alice", "wonder123"}};

static struct bpi_sim *started(struct bpi_sim_options options)
{
    struct bpi_sim *sim = NULL;
    char why[256] = "";
    options.users = users;
    options.user_count = 2;
    if (bpi_sim_start(&options, &sim, why, sizeof(why)) != 0) {
        fail_msg("can't start: %s", why);
    }
    return sim;
}

static struct bpi_sim_stats stats_of(struct bpi_sim *sim)
{
    struct bpi_sim_stats stats;
    bpi_sim_stats(sim, &stats);
    return stats;
}

static void wait_for_connections(struct bpi_sim *sim, uint64_t count)
{
    bp_usec until_us = bpi_clock_now_us() + 10 * BP_USEC_PER_SECOND;
    while (stats_of(sim).connections_now != count) {
        assert_true(bpi_clock_now_us() < until_us);
        usleep(1000);
    }
}

static void fault(struct bpi_sim *sim, const char *script)
{
    assert_int_equal(bpi_sim_fault(sim, script), 0);
}

/* Logs on as `user` and tells what came. */
static const char *log_on(struct wire *wire, uint16_t port, const char *user, const char *password)
{
    wire_connect(wire, port);
    wire_handshake(wire, BPI_BOLT(5, 8));
    wire_expect(wire, "HELLO", 1, "SUCCESS");
    wire_put_logon(wire, user, password);
    wire_flush(wire);
    return wire_take(wire, 2);
}

#define WRONG  "FAILURE:ClientError.Security.Unauthorized EOF"
#define LOCKED "FAILURE:ClientError.Security.AuthenticationRateLimit EOF"

static void three_wrong_passwords_lock_an_existing_user(void **state)
{
    (void)state;
    struct bpi_sim *sim = started((struct bpi_sim_options){.login_lock_us = 200 * BP_USEC_PER_MS});
    uint16_t port = bpi_sim_port(sim);
    struct wire wire;
    for (int i = 0; i < 5; i++) {
        assert_string_equal(log_on(&wire, port, "nobody", "x"), WRONG);
        wire_close(&wire);
    }
    for (int i = 0; i < 3; i++) {
        assert_string_equal(log_on(&wire, port, "alice", "x"), WRONG);
        wire_close(&wire);
    }
    assert_string_equal(log_on(&wire, port, "alice", "wonder123"), LOCKED);
    wire_close(&wire);
    wire_open(&wire, port, BPI_BOLT(5, 8)); /* another user isn't */
    wire_close(&wire);
    usleep(250000);
    wire_connect(&wire, port);
    wire_handshake(&wire, BPI_BOLT(5, 8));
    wire_put_hello(&wire, "", "");
    wire_put_logon(&wire, "alice", "wonder123");
    wire_flush(&wire);
    assert_string_equal(wire_take(&wire, 2), "SUCCESS SUCCESS");
    wire_close(&wire);
    assert_int_equal(stats_of(sim).login_failures, 9);
    bpi_sim_stop(sim);
}

static void a_wrong_login_closes_in_both_forms(void **state)
{
    (void)state;
    struct bpi_sim *sim = started((struct bpi_sim_options){0});
    struct wire wire;
    assert_string_equal(log_on(&wire, bpi_sim_port(sim), "neo4j", "no"), WRONG);
    wire_close(&wire);
    wire_connect(&wire, bpi_sim_port(sim));
    wire_handshake(&wire, BPI_BOLT(4, 4));
    wire_put_hello(&wire, "neo4j", "no");
    wire_flush(&wire);
    assert_string_equal(wire_take(&wire, 2), WRONG);
    wire_close(&wire);
    /* The scheme "none" is refused when there are users. */
    struct bpi_buffer map = {0};
    static const char *const none[] = {"scheme", "none"};
    wire_map(&map, 1, none);
    wire_connect(&wire, bpi_sim_port(sim));
    wire_handshake(&wire, BPI_BOLT(5, 8));
    wire_expect(&wire, "HELLO", 1, "SUCCESS");
    assert_int_equal(bpi_bolt_write_map(&wire.out, BPI_BOLT_LOGON, wire_span(&map)), 0);
    wire_flush(&wire);
    assert_string_equal(wire_take(&wire, 2), WRONG);
    bpi_buffer_done(&map);
    wire_close(&wire);
    bpi_sim_stop(sim);
}

static void users_change_while_the_server_runs(void **state)
{
    (void)state;
    struct bpi_sim *sim = started((struct bpi_sim_options){0});
    uint16_t port = bpi_sim_port(sim);
    struct wire wire;
    struct wire kept;
    wire_open(&kept, port, BPI_BOLT(5, 8));
    assert_int_equal(bpi_sim_user_set(sim, "neo4j", "changed1"), 0);
    assert_int_equal(bpi_sim_user_set(sim, "bob", "builder1"), 0);
    assert_string_equal(log_on(&wire, port, "neo4j", "secret12"), WRONG);
    wire_close(&wire);
    assert_true(bpi_sim_user_drop(sim, "alice"));
    assert_false(bpi_sim_user_drop(sim, "alice"));
    assert_string_equal(log_on(&wire, port, "alice", "wonder123"), WRONG);
    wire_close(&wire);
    wire_connect(&wire, port);
    wire_handshake(&wire, BPI_BOLT(5, 1));
    wire_put_hello(&wire, "", "");
    wire_put_logon(&wire, "bob", "builder1");
    wire_flush(&wire);
    assert_string_equal(wire_take(&wire, 2), "SUCCESS SUCCESS");
    wire_close(&wire);
    wire_expect(&kept, "RUN; PULL", 2, "SUCCESS RECORD SUCCESS");
    wire_close(&kept);
    bpi_sim_stop(sim);
}

static void limits_before_the_login_hold_after_logoff_too(void **state)
{
    (void)state;
    struct bpi_sim *sim = started((struct bpi_sim_options){0});
    static char large[9000];
    snprintf(large, sizeof(large), "RETURN 1 /*%08980d*/", 0);
    static const struct {
        bpi_bolt_version version;
        bool logoff;
        const char *told;
    } cases[] = {
        {BPI_BOLT(5, 8), false, "SUCCESS RECORD SUCCESS"},
        {BPI_BOLT(5, 8), true, "SUCCESS SUCCESS FAILURE:ClientError.Request.Invalid EOF"},
        {BPI_BOLT(4, 4), false, "SUCCESS RECORD SUCCESS"},
    };
    struct wire wire;
    for (size_t i = 0; i < 3; i++) {
        wire_open(&wire, bpi_sim_port(sim), cases[i].version);
        if (cases[i].logoff) {
            wire_put_word(&wire, "LOGOFF");
            wire_flush(&wire);
            assert_string_equal(wire_take(&wire, 1), "SUCCESS");
            wire_put_word(&wire, "LOGON");
        }
        wire_put_run(&wire, large, (struct bpi_bolt_span){0});
        wire_put_word(&wire, "PULL");
        wire_flush(&wire);
        wire_take(&wire, cases[i].logoff ? 3 : 2);
        /* How many answers come before the end depends on what was read at once. */
        if (!cases[i].logoff) {
            assert_string_equal(wire.told, cases[i].told);
        } else {
            assert_non_null(strstr(wire.told, "FAILURE:ClientError.Request.Invalid EOF"));
        }
        wire_close(&wire);
    }
    /* HELLO that is too large: said from 5.x on, silent before. */
    for (int old = 0; old < 2; old++) {
        struct bpi_buffer map = {0};
        const char *const pairs[] = {"user_agent", large};
        wire_map(&map, 1, pairs);
        wire_connect(&wire, bpi_sim_port(sim));
        wire_handshake(&wire, old != 0 ? BPI_BOLT(4, 4) : BPI_BOLT(5, 8));
        assert_int_equal(bpi_bolt_write_map(&wire.out, BPI_BOLT_HELLO, wire_span(&map)), 0);
        wire_flush(&wire);
        assert_string_equal(wire_take(&wire, 2),
                            old != 0 ? "EOF" : "FAILURE:ClientError.Request.Invalid EOF");
        bpi_buffer_done(&map);
        wire_close(&wire);
    }
    /* HELLO {x: [[[1]]]} is too deep; nothing is said. */
    static const uint8_t deep[] = {0xb1, 0x01, 0xa1, 0x81, 'x', 0x91, 0x91, 0x91, 0x01};
    wire_connect(&wire, bpi_sim_port(sim));
    wire_handshake(&wire, BPI_BOLT(5, 8));
    assert_int_equal(bpi_chunk_write(&wire.out, deep, sizeof(deep)), 0);
    wire_flush(&wire);
    assert_string_equal(wire_take(&wire, 1), "EOF");
    wire_close(&wire);
    bpi_sim_stop(sim);
}

static void who_does_not_log_on_in_time_is_closed(void **state)
{
    (void)state;
    struct bpi_sim *sim =
        started((struct bpi_sim_options){.login_timeout_us = 100 * BP_USEC_PER_MS});
    struct wire silent;
    struct wire parked;
    struct wire kept;
    wire_connect(&silent, bpi_sim_port(sim));
    wire_open(&parked, bpi_sim_port(sim), BPI_BOLT(5, 8));
    wire_open(&kept, bpi_sim_port(sim), BPI_BOLT(5, 8));
    wire_expect(&parked, "LOGOFF", 1, "SUCCESS");
    assert_string_equal(wire_take(&silent, 1), "EOF");
    assert_string_equal(wire_take(&parked, 1), "EOF");
    wire_expect(&kept, "RUN; PULL", 2, "SUCCESS RECORD SUCCESS");
    wire_close(&silent);
    wire_close(&parked);
    wire_close(&kept);
    bpi_sim_stop(sim);
}

static void work_binds_workers_and_idle_sessions_do_not(void **state)
{
    (void)state;
    static const char no_threads[] = "FAILURE:TransientError.Request.NoThreadsAvailable EOF";
    struct bpi_sim *sim = started((struct bpi_sim_options){.worker_count_max = 2});
    uint16_t port = bpi_sim_port(sim);
    struct wire idle[5];
    struct wire tx;
    struct wire stream;
    for (int i = 0; i < 5; i++) {
        wire_open(&idle[i], port, i == 2 ? BPI_BOLT(4, 4) : BPI_BOLT(5, 8));
    }
    wire_open(&tx, port, BPI_BOLT(5, 8));
    wire_open(&stream, port, BPI_BOLT(5, 8));
    wire_expect(&tx, "BEGIN", 1, "SUCCESS");
    wire_expect(&stream, "RUN:RETURN 1 /* sim: rows=9 */; PULL:1", 2, "SUCCESS RECORD SUCCESS+");
    wire_expect(&idle[0], "RUN; PULL", 2, no_threads);
    wire_expect(&idle[1], "RESET", 2, no_threads);
    wire_expect(&idle[2], "RESET", 1, "SUCCESS"); /* 4.4 lets it pass */
    wire_close(&idle[3]);
    wire_connect(&idle[3], port);
    wire_handshake(&idle[3], BPI_BOLT(5, 8));
    wire_expect(&idle[3], "HELLO", 2, no_threads);
    wire_expect(&tx, "RUN; PULL", 2, "SUCCESS RECORD SUCCESS");
    wire_expect(&tx, "ROLLBACK", 1, "SUCCESS");
    wire_expect(&idle[4], "RUN; PULL", 2, "SUCCESS RECORD SUCCESS");
    assert_int_equal(stats_of(sim).workers_now, 1);
    assert_int_equal(stats_of(sim).workers_max, 2);
    assert_int_equal(stats_of(sim).no_threads, 4);
    for (int i = 0; i < 5; i++) {
        wire_close(&idle[i]);
    }
    wire_close(&tx);
    wire_close(&stream);
    bpi_sim_stop(sim);
}

static void noops_come_while_a_query_runs_long(void **state)
{
    (void)state;
    struct bpi_sim *sim = started((struct bpi_sim_options){.keep_alive_us = 20 * BP_USEC_PER_MS});
    struct wire wire;
    wire_open(&wire, bpi_sim_port(sim), BPI_BOLT(5, 8));
    wire_expect(&wire, "RUN:RETURN 1 /* sim: ms=150 */; PULL", 2, "SUCCESS RECORD SUCCESS");
    assert_in_range(wire.noops, 3, 7);
    uint32_t noops = wire.noops;
    usleep(60000);
    wire_expect(&wire, "RUN; PULL", 2, "SUCCESS RECORD SUCCESS");
    assert_int_equal(wire.noops, noops);
    wire_close(&wire);
    bpi_sim_stop(sim);
}

static void a_timeout_ends_the_transaction_at_the_next_message(void **state)
{
    (void)state;
    static const char over[] =
        "FAILURE:ClientError.Transaction.TransactionTimedOutClientConfiguration";
    static const uint8_t extra[] = {0xa1, 0x8a, 't', 'x', '_', 't', 'i',
                                    'm',  'e',  'o', 'u', 't', 30};
    struct bpi_bolt_span span = {extra, sizeof(extra)};
    struct bpi_sim *sim = started((struct bpi_sim_options){0});
    struct wire wire;
    wire_open(&wire, bpi_sim_port(sim), BPI_BOLT(5, 8));
    assert_int_equal(bpi_bolt_write_map(&wire.out, BPI_BOLT_BEGIN, span), 0);
    wire_flush(&wire);
    assert_string_equal(wire_take(&wire, 1), "SUCCESS");
    usleep(50000);
    wire_expect(&wire, "RUN", 1, over);
    wire_expect(&wire, "RESET", 1, "SUCCESS");
    wire_put_run(&wire, "RETURN 1 /* sim: hang=1 */", span);
    wire_flush(&wire);
    assert_string_equal(wire_take(&wire, 1), over);
    wire_close(&wire);
    bpi_sim_stop(sim);
}

static void wrong_scripts_change_nothing(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "refuse nonsense",
        "slow=x",
        "slow",
        "drop=-1",
        "fail=Other.Code",
        "leader=perhaps",
        "fail=Neo.A.B.C@1.5",
        "drop_commit=x",
        "up=1",
        "refuse=maybe",
    };
    struct bpi_sim_faults faults;
    struct bpi_sim_faults fresh;
    bpi_sim_faults_init(&faults);
    bpi_sim_faults_init(&fresh);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(bpi_sim_faults_apply(&faults, wrong[i]), BP_E_CONFIG);
    }
    assert_memory_equal(&faults, &fresh, sizeof(faults));
    assert_int_equal(bpi_sim_faults_apply(&faults, "refuse, slow=2.5 fail=Neo.A.B.C@0.5"), 0);
    assert_true(faults.refuse && faults.slow > 2.4 && faults.failure_count == 1);
    assert_int_equal(bpi_sim_faults_apply(&faults, "refuse=no slow=no fail=no"), 0);
    assert_true(!faults.refuse && faults.slow < 1.1 && faults.failure_count == 0);
}

static void new_connections_are_refused_hung_or_cut(void **state)
{
    (void)state;
    struct bpi_sim *sim = started((struct bpi_sim_options){0});
    uint16_t port = bpi_sim_port(sim);
    struct wire kept;
    struct wire wire;
    char bytes[64];
    wire_open(&kept, port, BPI_BOLT(5, 8));
    fault(sim, "refuse");
    wire_connect(&wire, port);
    assert_int_equal(wire_read(&wire, bytes, 1), 0);
    wire_close(&wire);
    fault(sim, "refuse=no,hang");
    wire_connect(&wire, port);
    wire_write(&wire, "\x60\x60\xb0\x17\0\0\x08\x05\0\0\0\0\0\0\0\0\0\0\0\0", 20);
    usleep(50000);
    assert_int_equal(recv(wire.fd, bytes, 1, MSG_DONTWAIT), -1);
    wire_close(&wire);
    fault(sim, "hang=no drop=2");
    wire_connect(&wire, port);
    wire_write(&wire, "\x60\x60\xb0\x17\0\0\x08\x05\0\0\0\0\0\0\0\0\0\0\0\0", 20);
    assert_int_equal(wire_read(&wire, bytes, sizeof(bytes)), 2);
    wire_close(&wire);
    wire_open(&wire, port, BPI_BOLT(5, 8)); /* only the next one */
    wire_close(&wire);
    wire_expect(&kept, "RUN; PULL", 2, "SUCCESS RECORD SUCCESS");
    wire_close(&kept);
    bpi_sim_stop(sim);
}

static void a_server_goes_down_and_comes_back_on_its_port(void **state)
{
    (void)state;
    struct bpi_sim *sim = started((struct bpi_sim_options){0});
    uint16_t port = bpi_sim_port(sim);
    struct wire wire;
    for (int i = 0; i < 3; i++) {
        wire_open(&wire, port, BPI_BOLT(5, 8));
        wire_expect(&wire, "BEGIN; RUN", 2, "SUCCESS SUCCESS");
        fault(sim, "down");
        assert_int_equal(stats_of(sim).connections_now, 0);
        assert_string_equal(wire_take(&wire, 1), "EOF");
        wire_close(&wire);
        assert_false(wire_try_connect(&wire, port));
        fault(sim, "up");
        assert_int_equal(bpi_sim_port(sim), port);
    }
    wire_open(&wire, port, BPI_BOLT(5, 8));
    wire_close(&wire);
    assert_int_equal(stats_of(sim).transactions_rolled_back, 3);
    bpi_sim_stop(sim);
}

static void a_frozen_server_goes_on_where_it_was(void **state)
{
    (void)state;
    struct bpi_sim *sim = started((struct bpi_sim_options){0});
    struct wire wire;
    struct wire slow;
    char byte;
    wire_open(&wire, bpi_sim_port(sim), BPI_BOLT(5, 8));
    wire_open(&slow, bpi_sim_port(sim), BPI_BOLT(5, 8));
    wire_send(&slow, "RUN:RETURN 1 /* sim: ms=20 */");
    fault(sim, "freeze");
    wire_send(&wire, "RUN; PULL");
    usleep(60000);
    assert_int_equal(recv(wire.fd, &byte, 1, MSG_DONTWAIT), -1);
    assert_int_equal(recv(slow.fd, &byte, 1, MSG_DONTWAIT), -1);
    fault(sim, "freeze=no");
    assert_string_equal(wire_take(&wire, 2), "SUCCESS RECORD SUCCESS");
    assert_string_equal(wire_take(&slow, 1), "SUCCESS");
    wire_close(&wire);
    wire_close(&slow);
    bpi_sim_stop(sim);
}

static void queries_and_commits_fail_by_chance(void **state)
{
    (void)state;
    struct bpi_sim *sim = started((struct bpi_sim_options){.seed = 11});
    struct wire wire;
    int failed = 0;
    wire_open(&wire, bpi_sim_port(sim), BPI_BOLT(5, 8));
    fault(sim, "fail=Neo.TransientError.Transaction.DeadlockDetected@0.25");
    for (int i = 0; i < 400; i++) {
        wire_send(&wire, "RUN; PULL");
        if (strncmp(wire_take(&wire, 2), "FAILURE", 7) == 0) {
            assert_string_equal(wire.told,
                                "FAILURE:TransientError.Transaction.DeadlockDetected IGNORED");
            wire_expect(&wire, "RESET", 1, "SUCCESS");
            failed++;
        }
    }
    assert_in_range(failed, 60, 140);
    fault(sim, "fail=no fail_commit=Neo.TransientError.Cluster.ReplicationFailure");
    wire_expect(&wire, "BEGIN; RUN:CREATE (:T {id: 5}); PULL; COMMIT", 4,
                "SUCCESS SUCCESS SUCCESS FAILURE:TransientError.Cluster.ReplicationFailure");
    assert_int_equal(bpi_sim_committed(sim, "5"), 0);
    wire_close(&wire);
    struct bpi_sim_stats stats = stats_of(sim);
    assert_int_equal(stats.transactions_begun, 401);
    assert_int_equal(stats.transactions_rolled_back, failed + 1);
    bpi_sim_stop(sim);
}

static void writes_need_a_leader_and_write_mode(void **state)
{
    (void)state;
    static const uint8_t read_mode[] = {0xa1, 0x84, 'm', 'o', 'd', 'e', 0x81, 'r'};
    struct bpi_sim *sim = started((struct bpi_sim_options){.faults = "leader=no"});
    struct wire wire;
    wire_open(&wire, bpi_sim_port(sim), BPI_BOLT(5, 8));
    wire_expect(&wire, "RUN:CREATE (:T {id: 1})", 1, "FAILURE:ClientError.Cluster.NotALeader");
    wire_expect(&wire, "RESET", 1, "SUCCESS");
    wire_expect(&wire, "RUN; PULL", 2, "SUCCESS RECORD SUCCESS");
    fault(sim, "leader=yes");
    wire_expect(&wire, "RUN:CREATE (:T {id: 1}); PULL", 2, "SUCCESS SUCCESS");
    wire_put_run(&wire, "CREATE (:T {id: 2})",
                 (struct bpi_bolt_span){read_mode, sizeof(read_mode)});
    wire_flush(&wire);
    assert_string_equal(wire_take(&wire, 1), "FAILURE:ClientError.Statement.AccessMode");
    wire_close(&wire);
    bpi_sim_stop(sim);
}

static void a_commit_is_dropped_or_lost_by_script(void **state)
{
    (void)state;
    struct bpi_sim *sim = started((struct bpi_sim_options){0});
    struct wire wire;
    static const struct {
        const char *script, *words, *id;
        uint64_t committed;
    } cases[] = {
        {"drop_commit", "BEGIN; RUN:CREATE (:T {id: 'a'}); PULL; COMMIT", "a", 1},
        {"lose_commit", "BEGIN; RUN:CREATE (:T {id: 'b'}); PULL; COMMIT", "b", 0},
        {"drop_commit", "RUN:CREATE (:T {id: 'c'}); PULL", "c", 1},
        {"lose_commit", "RUN:CREATE (:T {id: 'd'}); PULL", "d", 0},
    };
    for (size_t i = 0; i < 4; i++) {
        wire_open(&wire, bpi_sim_port(sim), BPI_BOLT(5, 8));
        fault(sim, cases[i].script);
        wire_send(&wire, cases[i].words);
        assert_non_null(strstr(wire_take(&wire, 9), "EOF"));
        wire_close(&wire);
        assert_int_equal(bpi_sim_committed(sim, cases[i].id), cases[i].committed);
    }
    wait_for_connections(sim, 0);
    struct bpi_sim_stats stats = stats_of(sim);
    assert_int_equal(stats.transactions_committed, 2);
    assert_int_equal(stats.transactions_rolled_back, 2);
    bpi_sim_stop(sim);
}

static void slow_stretches_service_times(void **state)
{
    (void)state;
    struct bpi_sim *sim =
        started((struct bpi_sim_options){.query_service = {.mean_us = 1000}, .faults = "slow=50"});
    struct wire wire;
    wire_open(&wire, bpi_sim_port(sim), BPI_BOLT(5, 8));
    bp_usec before_us = bpi_clock_now_us();
    wire_expect(&wire, "RUN; PULL", 2, "SUCCESS RECORD SUCCESS");
    assert_true(bpi_clock_now_us() - before_us >= 49000);
    wire_close(&wire);
    bpi_sim_stop(sim);
}

static void service_times_have_the_mean_that_was_asked_for(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "5ms", "fixed:5ms", "exp:5ms", "lognormal:5000us:0.5", "exp:0.005s", "lognormal:5ms"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct bpi_sim_service service;
        struct bpi_random random;
        double sum = 0;
        bpi_random_init(&random, 7);
        assert_true(bpi_sim_service_parse(texts[i], &service));
        for (int k = 0; k < 100000; k++) {
            sum += (double)bpi_sim_service_draw(&service, &random);
        }
        assert_true(sum / 1e5 > 4750 && sum / 1e5 < 5250);
    }
    static const char *const wrong[] = {
        "", "5", "5m", "exp", "exp:", "-1ms", "gauss:1ms", "1ms:2", "lognormal:1ms:0", "nanms"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct bpi_sim_service service;
        assert_false(bpi_sim_service_parse(wrong[i], &service));
    }
}

static void several_servers_live_in_one_process(void **state)
{
    (void)state;
    struct bpi_sim *sims[4];
    struct wire wire;
    for (int i = 0; i < 4; i++) {
        sims[i] = started((struct bpi_sim_options){0});
    }
    for (int i = 0; i < 4; i++) {
        wire_open(&wire, bpi_sim_port(sims[i]), BPI_BOLT(5, 8));
        wire_expect(&wire, "RUN:CREATE (:T {id: 1}); PULL", 2, "SUCCESS SUCCESS");
        wire_close(&wire);
        assert_int_equal(bpi_sim_committed_count(sims[i], NULL), 1);
    }
    struct bpi_sim *none = NULL;
    char why[256] = "";
    struct bpi_sim_options taken = {.port = bpi_sim_port(sims[0])};
    assert_true(bpi_sim_start(&taken, &none, why, sizeof(why)) != 0);
    assert_non_null(strstr(why, "can't listen"));
    assert_int_equal(
        bpi_sim_start(&(struct bpi_sim_options){.faults = "x"}, &none, why, sizeof(why)),
        BP_E_CONFIG);
    for (int i = 0; i < 4; i++) {
        bpi_sim_stop(sims[i]);
    }
    bpi_sim_stop(NULL);
}

int main(void)
{
    alarm(120);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_wrong_passwords_lock_an_existing_user),
        cmocka_unit_test(a_wrong_login_closes_in_both_forms),
        cmocka_unit_test(users_change_while_the_server_runs),
        cmocka_unit_test(limits_before_the_login_hold_after_logoff_too),
        cmocka_unit_test(who_does_not_log_on_in_time_is_closed),
        cmocka_unit_test(work_binds_workers_and_idle_sessions_do_not),
        cmocka_unit_test(noops_come_while_a_query_runs_long),
        cmocka_unit_test(a_timeout_ends_the_transaction_at_the_next_message),
        cmocka_unit_test(wrong_scripts_change_nothing),
        cmocka_unit_test(new_connections_are_refused_hung_or_cut),
        cmocka_unit_test(a_server_goes_down_and_comes_back_on_its_port),
        cmocka_unit_test(a_frozen_server_goes_on_where_it_was),
        cmocka_unit_test(queries_and_commits_fail_by_chance),
        cmocka_unit_test(writes_need_a_leader_and_write_mode),
        cmocka_unit_test(a_commit_is_dropped_or_lost_by_script),
        cmocka_unit_test(slow_stretches_service_times),
        cmocka_unit_test(service_times_have_the_mean_that_was_asked_for),
        cmocka_unit_test(several_servers_live_in_one_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
