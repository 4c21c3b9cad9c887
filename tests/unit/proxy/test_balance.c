/* Several servers behind one address: who gets which transaction, by what it is, by what its client has seen, and by how the
 * servers do. Clients are the library's, servers simulated, sockets real.
 */
#include "harness.h"

#include <boltpool/driver.h>

#define THREADS 8

static struct bp_driver *open_driver(const struct house *house)
{
    struct bp_driver_config config;
    struct bp_driver *driver;
    char url[64];
    bp_driver_config_init(&config);
    snprintf(url, sizeof(url), "bolt://neo4j:secret12@127.0.0.1:%u", house->port);
    config.bolt.url = url;
    config.pool.links_max = THREADS;
    config.retry_time_us = 10 * BP_USEC_PER_SECOND;
    assert_int_equal(bp_driver_new(&config, &driver), 0);
    return driver;
}

static void close_driver(struct bp_driver *driver)
{
    assert_int_equal(bp_driver_free(driver, 5 * BP_USEC_PER_SECOND), 0);
}

static int query_with(struct bp_driver *driver,
                      const char *query,
                      enum bp_access access,
                      struct bp_bookmarks *bookmarks)
{
    struct bp_tx_options options = BP_TX_OPTIONS_INIT;
    options.access = access;
    options.bookmarks = bookmarks;
    return bp_driver_query(driver, NULL, &options, query, NULL, NULL, NULL, NULL, NULL);
}

static int read_one(struct bp_driver *driver)
{
    return query_with(driver, "RETURN 1", BP_ACCESS_READ, NULL);
}

static uint64_t begun(const struct house *house, unsigned index)
{
    return sim_stats(house->sims[index]).transactions_begun;
}

struct crowd {
    struct bp_driver *driver;
    const char *query;
    unsigned each;
    atomic_uint failed;
};

static void *be_one(void *argument)
{
    struct crowd *crowd = argument;
    for (unsigned i = 0; i < crowd->each; i++) {
        crowd->failed += query_with(crowd->driver, crowd->query, BP_ACCESS_READ, NULL) != 0;
    }
    return NULL;
}

/* So many reads by all threads together; how many failed. */
static unsigned read_by_many(struct bp_driver *driver, const char *query, unsigned each)
{
    struct crowd crowd = {.driver = driver, .query = query, .each = each};
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, be_one, &crowd), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    return crowd.failed;
}

static void await_up(struct house *house)
{
    for (unsigned i = 0; i < house->sims_count; i++) {
        wait_for(house_stats(house).endpoints[i].up);
    }
}

static void writes_of_a_list_go_to_its_writer_and_reads_to_all(void **state)
{
    (void)state;
    struct house house = {.sims_count = 3, .is_list = true, .lines = "max_links = 12"};
    house_open(&house);
    await_up(&house);
    struct bp_driver *driver = open_driver(&house);
    for (int i = 0; i < 30; i++) {
        char query[64];
        snprintf(query, sizeof(query), "CREATE (:T {id: 'w%d'})", i);
        assert_int_equal(query_with(driver, query, BP_ACCESS_WRITE, NULL), 0);
    }
    uint64_t doubled;
    assert_int_equal(bpi_sim_committed_count(house.sims[0], &doubled), 30);
    assert_int_equal(begun(&house, 1) + begun(&house, 2), 0);
    bp_usec until_us = bpi_clock_now_us() + 15 * BP_USEC_PER_SECOND;
    while ((begun(&house, 1) < 40 || begun(&house, 2) < 40) && bpi_clock_now_us() < until_us) {
        assert_int_equal(read_by_many(driver, "RETURN 1 /* sim: ms=2 */", 50), 0);
    }
    for (unsigned i = 0; i < 3; i++) {
        assert_true(begun(&house, i) >= 40);
    }
    close_driver(driver);
    house_close(&house);
}

/* Neo4j ignores another server's bookmark without a word, so nobody else may be asked. */
static void a_bookmark_is_shown_to_the_server_that_issued_it(void **state)
{
    (void)state;
    struct house house = {
        .sims_count = 3, .is_list = true, .lines = "max_links = 12\nstrategy = round_robin"};
    house_open(&house);
    await_up(&house);
    struct bp_driver *driver = open_driver(&house);
    unsigned elsewhere = 0;
    for (unsigned i = 0; i < 200; i++) {
        struct bp_bookmarks *bookmarks;
        char text[64];
        unsigned port;
        assert_int_equal(bp_bookmarks_new(&bookmarks), 0);
        enum bp_access first = i % 2 == 0 ? BP_ACCESS_WRITE : BP_ACCESS_READ;
        assert_int_equal(query_with(driver, "RETURN 1", first, bookmarks), 0);
        for (unsigned next = 0; next < 3; next++) {
            assert_true(bp_bookmarks_get(bookmarks, 0, text, sizeof(text)) > 0);
            assert_int_equal(sscanf(text, "sim:%u:", &port), 1);
            uint64_t before[3];
            for (unsigned s = 0; s < 3; s++) {
                before[s] = begun(&house, s);
            }
            assert_int_equal(query_with(driver, "RETURN 1", BP_ACCESS_READ, bookmarks), 0);
            for (unsigned s = 0; s < 3; s++) {
                bool is_issuer = bpi_sim_port(house.sims[s]) == port;
                assert_int_equal(begun(&house, s) - before[s], is_issuer ? 1 : 0);
                elsewhere += is_issuer && s > 0;
            }
        }
        /* A write goes where writes go, whatever has been seen. */
        uint64_t writer = begun(&house, 0);
        assert_int_equal(query_with(driver, "RETURN 1", BP_ACCESS_WRITE, bookmarks), 0);
        assert_int_equal(begun(&house, 0), writer + 1);
        bp_bookmarks_free(bookmarks);
        if (i % 20 == 0) {
            assert_int_equal(read_by_many(driver, "RETURN 1 /* sim: ms=2 */", 3), 0);
        }
    }
    assert_true(elsewhere > 0);
    close_driver(driver);
    house_close(&house);
}

static void a_slow_server_gets_less(void **state)
{
    (void)state;
    struct house house = {.sims_count = 3, .lines = "max_links = 24"};
    house_open(&house);
    await_up(&house);
    struct bp_driver *driver = open_driver(&house);
    fault(house.sims[1], "slow=10");
    assert_int_equal(read_by_many(driver, "RETURN 1 /* sim: ms=3 */", 150), 0);
    uint64_t slow = begun(&house, 1);
    assert_true(slow > 0);
    assert_true(begun(&house, 0) > 3 * slow && begun(&house, 2) > 3 * slow);
    close_driver(driver);
    house_close(&house);
}

/* One transaction at a time: nobody has more leases than another, so nothing but the cost tells them apart. */
static void the_cost_decides_where_nothing_else_does(void **state)
{
    (void)state;
    struct house house = {.sims_count = 2, .loops = 1, .lines = "max_links = 8"};
    house_open(&house);
    await_up(&house);
    struct bp_driver *driver = open_driver(&house);
    fault(house.sims[1], "slow=10");
    for (int i = 0; i < 200; i++) {
        assert_int_equal(query_with(driver, "RETURN 1 /* sim: ms=3 */", BP_ACCESS_READ, NULL), 0);
    }
    assert_true(begun(&house, 1) > 0);
    assert_true(begun(&house, 0) > 2 * begun(&house, 1));
    close_driver(driver);
    house_close(&house);
}

static void turns_are_kept_and_changed_at_run_time(void **state)
{
    (void)state;
    struct house house = {
        .sims_count = 3, .loops = 1, .lines = "max_links = 12\nstrategy = round_robin"};
    house_open(&house);
    await_up(&house);
    struct bp_driver *driver = open_driver(&house);
    for (int i = 0; i < 30; i++) { /* each has a link by then */
        assert_int_equal(read_one(driver), 0);
    }
    uint64_t before[3];
    for (unsigned i = 0; i < 3; i++) {
        before[i] = begun(&house, i);
        assert_true(before[i] > 0);
    }
    for (int i = 0; i < 60; i++) {
        assert_int_equal(read_one(driver), 0);
    }
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(begun(&house, i) - before[i], 20);
    }
    assert_int_equal(house_reload(&house, "max_links = 12\nstrategy = least_connections"), 0);
    assert_int_equal(read_one(driver), 0);
    close_driver(driver);
    house_close(&house);
}

/* A server dies and comes back under load: nobody notices but by a retry, and it gets work again. */
static void a_dead_server_is_left_out_until_it_is_back(void **state)
{
    (void)state;
    struct house house = {.sims_count = 3, .lines = "max_links = 24"};
    house_open(&house);
    await_up(&house);
    struct bp_driver *driver = open_driver(&house);
    assert_int_equal(read_by_many(driver, "RETURN 1 /* sim: ms=1 */", 50), 0);
    fault(house.sims[2], "down");
    assert_int_equal(read_by_many(driver, "RETURN 1 /* sim: ms=1 */", 200), 0);
    uint64_t dead = begun(&house, 2);
    assert_false(house_stats(&house).endpoints[2].up);
    fault(house.sims[2], "up");
    wait_for(house_stats(&house).endpoints[2].up);
    bp_usec until_us = bpi_clock_now_us() + 15 * BP_USEC_PER_SECOND;
    while (begun(&house, 2) < dead + 20 && bpi_clock_now_us() < until_us) {
        assert_int_equal(read_by_many(driver, "RETURN 1 /* sim: ms=1 */", 20), 0);
    }
    assert_true(begun(&house, 2) >= dead + 20);
    close_driver(driver);
    house_close(&house);
}

/* What only the writer may do waits for it, and doesn't go elsewhere. */
static void no_write_goes_to_a_reader_while_the_writer_is_away(void **state)
{
    (void)state;
    struct house house = {
        .sims_count = 2, .is_list = true, .lines = "max_links = 8\nqueue_timeout = 500ms"};
    house_open(&house);
    await_up(&house);
    struct bp_driver *driver = open_driver(&house);
    assert_int_equal(query_with(driver, "CREATE (:T {id: 'a'})", BP_ACCESS_WRITE, NULL), 0);
    fault(house.sims[0], "down");
    wait_for(!house_stats(&house).endpoints[0].up);
    struct bp_driver_config config;
    bp_driver_config_init(&config);
    char url[64];
    snprintf(url, sizeof(url), "bolt://neo4j:secret12@127.0.0.1:%u", house.port);
    config.bolt.url = url;
    config.retry_time_us = 1;
    struct bp_driver *impatient;
    struct bp_failure failure;
    assert_int_equal(bp_driver_new(&config, &impatient), 0);
    assert_true(bp_driver_query(impatient, NULL, NULL, "CREATE (:T {id: 'b'})", NULL, NULL, NULL,
                                NULL, &failure) != 0);
    assert_int_equal(failure.retryable, 1);
    assert_int_equal(read_one(impatient), 0); /* reads go on */
    close_driver(impatient);
    assert_int_equal(bpi_sim_committed(house.sims[1], "b"), 0);
    fault(house.sims[0], "up");
    assert_int_equal(query_with(driver, "CREATE (:T {id: 'c'})", BP_ACCESS_WRITE, NULL), 0);
    assert_int_equal(bpi_sim_committed(house.sims[0], "c"), 1);
    close_driver(driver);
    house_close(&house);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_of_a_list_go_to_its_writer_and_reads_to_all),
        cmocka_unit_test(a_bookmark_is_shown_to_the_server_that_issued_it),
        cmocka_unit_test(a_slow_server_gets_less),
        cmocka_unit_test(the_cost_decides_where_nothing_else_does),
        cmocka_unit_test(turns_are_kept_and_changed_at_run_time),
        cmocka_unit_test(a_dead_server_is_left_out_until_it_is_back),
        cmocka_unit_test(no_write_goes_to_a_reader_while_the_writer_is_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
