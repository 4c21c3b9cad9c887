/* Shows that what the configuration and tx_metadata say of work reaches the pool, through a whole pooler: class,
 * priority, deadline, tenant, how long it waits, and whether it may be shed; that a BEGIN is classed by the
 * query behind it, and that classes are learnt. Simulated servers, real sockets.
 */
#include "harness.h"

#include "base/container.h"
#include "proxy/session.h"

#include <semaphore.h>

#define NO_THREADS "FAILURE:TransientError.Request.NoThreadsAvailable"

/* A look at the only loop's sessions, on that loop. */
struct look {
    struct bpi_mail mail;
    struct bpi_cluster *cluster;
    sem_t done;
    unsigned found;
    struct bpi_pool_waiter waiter;
    char operation[64];
};

static void on_look(struct bpi_mail *mail)
{
    struct look *look = BPI_CONTAINER(mail, struct look, mail);
    for (unsigned i = 0; i < look->cluster->links_count; i++) {
        const struct bpi_link *link = look->cluster->links[i];
        if (link->lessee == &bpi_session_lessee) {
            const struct bpi_session *session = link->lessee_user;
            look->waiter = session->wish.waiter;
            snprintf(look->operation, sizeof(look->operation), "%s", session->operation);
            look->found++;
        }
    }
    sem_post(&look->done);
}

/* What the pool was asked for by the only client that holds a link. The house has one loop. */
static struct bpi_pool_waiter asked(struct house *house, char *operation, size_t size)
{
    struct look look = {.mail.deliver = on_look, .cluster = bpi_daemon_cluster(house->daemon, 0)};
    assert_int_equal(sem_init(&look.done, 0, 0), 0);
    bpi_loop_post(look.cluster->loops[0], &look.mail);
    while (sem_wait(&look.done) != 0) {
    }
    assert_int_equal(look.found, 1);
    snprintf(operation, size, "%s", look.operation);
    sem_destroy(&look.done);
    return look.waiter;
}

/* A transaction's extra map with tx_metadata of "key=value" words; "" = an empty one. */
static void put_extra(struct bpi_buffer *map, const char *metadata)
{
    char copy[512];
    char *rest = copy;
    char *word;
    struct bpi_pack_writer writer;
    size_t count = 0;
    snprintf(copy, sizeof(copy), "%s", metadata);
    for (const char *at = metadata; (at = strchr(at, '=')) != NULL; at++) {
        count++;
    }
    bpi_pack_writer_init(&writer, map);
    bpi_pack_map(&writer, 1);
    bpi_pack_text(&writer, "tx_metadata");
    bpi_pack_map(&writer, count);
    while ((word = strsep(&rest, " ")) != NULL && *word != '\0') {
        char *equals = strchr(word, '=');
        assert_non_null(equals);
        *equals = '\0';
        bpi_pack_text(&writer, word);
        bpi_pack_text(&writer, equals + 1);
    }
    assert_int_equal(writer.status, 0);
}

static void put_begin_with(struct wire *wire, const char *metadata)
{
    struct bpi_buffer map = {0};
    put_extra(&map, metadata);
    assert_int_equal(bpi_bolt_write_map(&wire->out, BPI_BOLT_BEGIN, wire_span(&map)), 0);
    bpi_buffer_done(&map);
}

static void put_run_with(struct wire *wire, const char *query, const char *metadata)
{
    struct bpi_buffer map = {0};
    put_extra(&map, metadata);
    wire_put_run(wire, query, wire_span(&map));
    bpi_buffer_done(&map);
}

static const char sections[] = "queue_timeout = 20s\n"
                               "[users]\nmax_priority = high\n"
                               "[class analytics]\nqueue_timeout = 7s\ndeadline = 5s\n"
                               "[operation lookup]\nclass = maintenance\n"
                               "[rule a]\napplication = by-rule\noperation = "
                               "bulk_analytics\npriority = critical\ndeadline = 3s\n"
                               "tenant = ours\nshed = yes\n"
                               "[rule b]\nquery = nightly\nclass = maintenance\npriority = low\n";

/* One transaction, and what has to reach the pool. */
static const struct expected {
    const char *metadata;
    const char *query;
    enum bpi_class class_;
    enum bpi_priority priority;
    unsigned deadline_ms, wait_ms;
    bool begin, sheddable;
    const char *operation;
} expected[] = {
    {"", "RETURN 1", BPI_CLASS_READ_WRITE, BPI_PRIORITY_NORMAL, 0, 20000, false, false,
     "read_write"},
    {"", NULL, BPI_CLASS_READ_WRITE, BPI_PRIORITY_NORMAL, 0, 20000, true, true, "read_write"},
    {"boltpool_operation=graph_traversal", NULL, BPI_CLASS_ANALYTICS, BPI_PRIORITY_NORMAL, 5000,
     7000, true, true, "graph_traversal"},
    {"boltpool_operation=lookup", "RETURN 1", BPI_CLASS_MAINTENANCE, BPI_PRIORITY_NORMAL, 0, 20000,
     false, false, "lookup"},
    {"boltpool_priority=low", NULL, BPI_CLASS_READ_WRITE, BPI_PRIORITY_LOW, 0, 20000, true, true,
     "read_write"},
    {"boltpool_priority=critical", NULL, BPI_CLASS_READ_WRITE, BPI_PRIORITY_HIGH, 0, 20000, true,
     true, "read_write"},
    {"boltpool_operation=inheritance_chain_read boltpool_priority=high", NULL,
     BPI_CLASS_HIGH_PRIORITY, BPI_PRIORITY_HIGH, 0, 20000, true, true, "inheritance_chain_read"},
    {"boltpool_deadline_ms=900", "RETURN 1", BPI_CLASS_READ_WRITE, BPI_PRIORITY_NORMAL, 900, 20000,
     false, false, "read_write"},
    {"app=by-rule boltpool_deadline_ms=900", "RETURN 1", BPI_CLASS_ANALYTICS, BPI_PRIORITY_CRITICAL,
     3000, 7000, false, true, "bulk_analytics"},
    /* By the query, of a single one and of the first behind a BEGIN. */
    {"", "RETURN 1 // nightly", BPI_CLASS_MAINTENANCE, BPI_PRIORITY_LOW, 0, 20000, false, false,
     "maintenance"},
    {"", "RETURN 1 // nightly", BPI_CLASS_MAINTENANCE, BPI_PRIORITY_LOW, 0, 20000, true, true,
     "maintenance"},
};

static void one_transaction(struct house *house, struct wire *wire, const struct expected *one)
{
    char operation[64] = "";
    if (one->begin) {
        put_begin_with(wire, one->metadata);
    }
    if (one->query != NULL && one->begin) {
        put_run(wire, one->query, "mode=w");
    } else if (one->query != NULL) {
        put_run_with(wire, one->query, one->metadata);
    }
    wire_flush(wire);
    int answers = one->begin && one->query != NULL ? 2 : 1;
    assert_string_equal(told(wire, answers), answers == 2 ? "SUCCESS SUCCESS" : "SUCCESS");
    struct bpi_pool_waiter waiter = asked(house, operation, sizeof(operation));
    assert_int_equal(waiter.class_, one->class_);
    assert_int_equal(waiter.priority, one->priority);
    assert_int_equal(waiter.sheddable, one->sheddable);
    assert_string_equal(operation, one->operation);
    bp_usec began_us = waiter.expires_us - one->wait_ms * BP_USEC_PER_MS;
    assert_true(began_us <= bpi_clock_now_us() && began_us + SLACK_US > bpi_clock_now_us());
    assert_int_equal(waiter.deadline_us,
                     one->deadline_ms == 0 ? 0 : began_us + one->deadline_ms * BP_USEC_PER_MS);
    assert_int_equal(waiter.user_key, 0); /* nothing to count without max_user_links */
    assert_int_equal(waiter.database_key, 0);
    assert_true(waiter.tenant_key != 0);
    expect(wire, one->begin ? "RESET" : "PULL", 1, one->begin ? "SUCCESS" : "RECORD SUCCESS");
    wait_for(house_is_idle(house));
}

static void what_is_said_of_work_reaches_the_pool(void **state)
{
    (void)state;
    struct house house = {.loops = 1, .lines = sections};
    house_open(&house);
    for (size_t v = 0; v < HOUSE_VERSIONS; v++) {
        struct wire wire;
        client_open(&wire, &house, house_versions[v]);
        for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
            one_transaction(&house, &wire, &expected[i]);
        }
        wire_close(&wire);
    }
    house_close(&house);
}

/* The tenant that a transaction of that user, with that metadata, is of. */
static uint64_t tenant(struct house *house, const char *user, const char *metadata)
{
    struct wire wire;
    char operation[64];
    client_open_as(&wire, house, V58, user, strcmp(user, "alice") == 0 ? "wonder123" : "secret12");
    put_begin_with(&wire, metadata);
    wire_flush(&wire);
    assert_string_equal(told(&wire, 1), "SUCCESS");
    uint64_t key = asked(house, operation, sizeof(operation)).tenant_key;
    wire_close(&wire);
    wait_for(house_is_idle(house));
    assert_true(key != 0);
    return key;
}

static void tenants_are_told_apart_as_the_configuration_says(void **state)
{
    (void)state;
    static const char rule[] = "\n[rule r]\napplication = ruled\ntenant = alice\n";
    static const char *const by[] = {"user", "application", "claim"};
    for (int i = 0; i < 3; i++) {
        char lines[128];
        snprintf(lines, sizeof(lines), "tenant_by = %s%s", by[i], rule);
        struct house house = {.loops = 1, .lines = lines};
        house_open(&house);
        uint64_t neo4j = tenant(&house, "neo4j", "app=one boltpool_tenant=x");
        assert_int_equal(tenant(&house, "neo4j", "app=one boltpool_tenant=x") == neo4j, true);
        assert_int_equal(tenant(&house, "alice", "app=one boltpool_tenant=x") == neo4j, i != 0);
        assert_int_equal(tenant(&house, "neo4j", "app=two boltpool_tenant=x") == neo4j, i != 1);
        assert_int_equal(tenant(&house, "neo4j", "app=one boltpool_tenant=y") == neo4j, i != 2);
        assert_int_equal(tenant(&house, "neo4j", "") == tenant(&house, "alice", ""), i == 1);
        /* A rule's is none of the users', even if it has the name of one. */
        uint64_t ruled = tenant(&house, "neo4j", "app=ruled boltpool_tenant=z");
        assert_true(ruled == tenant(&house, "alice", "app=ruled"));
        assert_true(ruled != neo4j);
        assert_true(ruled != tenant(&house, "alice", ""));
        house_close(&house);
    }
}

static void keys_of_limits_are_made_only_where_there_are_limits(void **state)
{
    (void)state;
    struct house house = {.loops = 1, .lines = "max_user_links = 5\nmax_database_links = 5"};
    house_open(&house);
    struct wire wire;
    char operation[64];
    client_open(&wire, &house, V58);
    expect(&wire, "BEGIN", 1, "SUCCESS");
    struct bpi_pool_waiter waiter = asked(&house, operation, sizeof(operation));
    assert_true(waiter.user_key != 0 && waiter.database_key != 0);
    assert_true(waiter.tenant_key == waiter.user_key);
    wire_close(&wire);
    house_close(&house);
}

/* Another one holds the only link. */
static void refused_after(struct house *house, const char *metadata, unsigned ms, const char *why)
{
    struct wire wire;
    client_open(&wire, house, V58);
    bp_usec began_us = bpi_clock_now_us();
    put_begin_with(&wire, metadata);
    wire_flush(&wire);
    assert_string_equal(told(&wire, 1), NO_THREADS);
    bp_usec took_us = bpi_clock_now_us() - began_us;
    assert_true(took_us < ms * BP_USEC_PER_MS + SLACK_US);
    if (strstr(wire_meta(&wire, "message"), why) == NULL) {
        fail_msg("not told \"%s\": %s", why, wire_meta(&wire, "message"));
    }
    expect(&wire, "RESET", 1, "SUCCESS");
    wire_close(&wire);
}

static void work_waits_no_longer_than_its_class_or_its_deadline_says(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 1\n[class analytics]\nqueue_timeout = 200ms"};
    struct wire holder;
    house_open(&house);
    client_open(&holder, &house, V58);
    expect(&holder, "BEGIN", 1, "SUCCESS");
    refused_after(&house, "boltpool_operation=analytics", 200, "queue_timeout = 0.2 s");
    refused_after(&house, "boltpool_deadline_ms=100", 100, "deadline");
    refused_after(&house, "boltpool_operation=analytics boltpool_deadline_ms=100", 100, "deadline");
    refused_after(&house, "boltpool_operation=analytics boltpool_deadline_ms=9000", 200,
                  "queue_timeout = 0.2 s");
    wire_close(&holder);
    house_close(&house);
}

static void claims_that_are_cut_or_senseless_are_counted(void **state)
{
    (void)state;
    struct house house = {0};
    struct bpi_daemon_stats stats;
    house_open(&house);
    struct wire wire;
    client_open(&wire, &house, V58);
    put_run_with(&wire, "RETURN 1",
                 "boltpool_operation=critical_operation boltpool_priority=critical "
                 "boltpool_deadline_ms=soon");
    wire_put_word(&wire, "PULL");
    put_run_with(&wire, "RETURN 1", "boltpool_priority=high boltpool_operation=whatever");
    wire_put_word(&wire, "PULL");
    wire_flush(&wire);
    assert_string_equal(told(&wire, 4), "SUCCESS RECORD SUCCESS SUCCESS RECORD SUCCESS");
    bpi_daemon_stats_get(house.daemon, &stats);
    assert_int_equal(stats.claims_lowered, 3);
    assert_int_equal(stats.claims_bad, 2);
    wire_close(&wire);
    house_close(&house);
}

/* The class that the pool granted a link in for one RUN of the query, or for one transaction with it. */
static enum bpi_class ran_as(struct house *house, struct wire *wire, const char *query, bool begin)
{
    char words[256];
    struct bpi_cluster_stats before = house_stats(house);
    snprintf(words, sizeof(words), "%sRUN:%s; PULL%s", begin ? "BEGIN; " : "", query,
             begin ? "; COMMIT" : "");
    expect(wire, words, begin ? 4 : 2,
           begin ? "SUCCESS SUCCESS RECORD SUCCESS SUCCESS" : "SUCCESS RECORD SUCCESS");
    wait_for(house_is_idle(house));
    struct bpi_cluster_stats after = house_stats(house);
    for (int i = 0; i < BPI_CLASS_COUNT; i++) {
        if (after.granted[i] > before.granted[i]) {
            return (enum bpi_class)i;
        }
    }
    fail_msg("nothing was granted");
    return BPI_CLASS_READ_WRITE;
}

/* The simulated server takes its time from a comment, which is no part of a query's shape. */
static void a_query_that_is_slow_eight_times_is_analytics_until_it_is_quick(void **state)
{
    (void)state;
    static const char slow[] = "RETURN 1 /*sim: ms=60*/";
    static const char *const modes[] = {"transaction", "session"};
    for (int mode = 0; mode < 2; mode++) {
        char lines[64];
        snprintf(lines, sizeof(lines), "pool_mode = %s", modes[mode]);
        struct house house = {
            .loops = 1, .global = "learn_classes = yes\nlearn_after = 40ms", .lines = lines};
        house_open(&house);
        struct wire wire;
        for (int i = 0; i < 8; i++) {
            client_open(&wire, &house, V58);
            if (mode == 0) {
                assert_int_equal(ran_as(&house, &wire, slow, i % 2 == 0), BPI_CLASS_READ_WRITE);
            } else {
                expect(&wire, "RUN:RETURN 1 /*sim: ms=60*/; PULL", 2, "SUCCESS RECORD SUCCESS");
            }
            wire_close(&wire);
        }
        if (mode == 1) {
            /* A link is granted once for all of a client's transactions: the next client's is. */
            client_open(&wire, &house, V58);
            uint64_t before = house_stats(&house).granted[BPI_CLASS_ANALYTICS];
            expect(&wire, "RUN:RETURN 2; PULL", 2, "SUCCESS RECORD SUCCESS");
            assert_int_equal(house_stats(&house).granted[BPI_CLASS_ANALYTICS], before + 1);
            wire_close(&wire);
            house_close(&house);
            continue;
        }
        client_open(&wire, &house, V58);
        assert_int_equal(ran_as(&house, &wire, "RETURN 1 AS other", false), BPI_CLASS_READ_WRITE);
        assert_int_equal(ran_as(&house, &wire, slow, false), BPI_CLASS_ANALYTICS);
        assert_int_equal(ran_as(&house, &wire, slow, true), BPI_CLASS_ANALYTICS);
        assert_int_equal(ran_as(&house, &wire, "RETURN 2", true), BPI_CLASS_ANALYTICS);
        assert_int_equal(ran_as(&house, &wire, "RETURN 3", false), BPI_CLASS_READ_WRITE);
        wire_close(&wire);
        house_close(&house);
    }
}

static void what_runs_into_its_time_out_each_time_is_slow_too(void **state)
{
    (void)state;
    struct house house = {.loops = 1,
                          .global = "learn_classes = yes\nlearn_after = 20ms",
                          .lines = "transaction_timeout = 50ms"};
    house_open(&house);
    struct wire wire;
    client_open(&wire, &house, V58);
    for (int i = 0; i < 9; i++) {
        uint64_t before = house_stats(&house).granted[BPI_CLASS_ANALYTICS];
        wire_send(&wire, "BEGIN; RUN:RETURN 1 /*sim: hang=1*/; PULL");
        assert_string_equal(told(&wire, 3),
                            "SUCCESS FAILURE:ClientError.Transaction.TransactionTimedOut IGNORED");
        expect(&wire, "RESET", 1, "SUCCESS");
        assert_int_equal(house_stats(&house).granted[BPI_CLASS_ANALYTICS] - before, i == 8);
        /* A failure that is quick says nothing. */
        expect(&wire, "BEGIN; RUN:RETURN 7 /*sim: fail=Neo.ClientError.Statement.SyntaxError*/", 2,
               "SUCCESS FAILURE:ClientError.Statement.SyntaxError");
        expect(&wire, "RESET", 1, "SUCCESS");
    }
    wire_close(&wire);
    house_close(&house);
}

static void nothing_is_learnt_unless_it_is_turned_on(void **state)
{
    (void)state;
    struct house house = {.loops = 1, .global = "learn_after = 1ms"};
    house_open(&house);
    struct wire wire;
    client_open(&wire, &house, V58);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(ran_as(&house, &wire, "RETURN 1 /*sim: ms=5*/", false),
                         BPI_CLASS_READ_WRITE);
    }
    wire_close(&wire);
    house_close(&house);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_said_of_work_reaches_the_pool),
        cmocka_unit_test(tenants_are_told_apart_as_the_configuration_says),
        cmocka_unit_test(keys_of_limits_are_made_only_where_there_are_limits),
        cmocka_unit_test(work_waits_no_longer_than_its_class_or_its_deadline_says),
        cmocka_unit_test(claims_that_are_cut_or_senseless_are_counted),
        cmocka_unit_test(a_query_that_is_slow_eight_times_is_analytics_until_it_is_quick),
        cmocka_unit_test(what_runs_into_its_time_out_each_time_is_slow_too),
        cmocka_unit_test(nothing_is_learnt_unless_it_is_turned_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
