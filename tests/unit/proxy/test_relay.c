/* Shows what passes through unchanged and what the pooler puts in: rows of any size to readers of any
 * speed, ROUTE's table, the notification filter, session mode; and reloading and draining under load.
 * Simulated servers, real sockets.
 */
#include "harness.h"

#include <stdatomic.h>
#include <unistd.h>

/* Pages of this process in memory, in bytes. */
static size_t resident_bytes(void)
{
    unsigned long size = 0;
    unsigned long resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lu %lu", &size, &resident), 2);
    fclose(file);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

/* Reads a result and adds up its bytes (FNV), so that two ways can be compared. */
static uint64_t read_rows(struct wire *wire, uint64_t *ret_bytes)
{
    uint64_t sum = 14695981039346656037u;
    *ret_bytes = 0;
    for (;;) {
        errno = 0;
        if (!wire_next(wire)) {
            fail_msg("the stream ended: %s", strerror(errno));
        }
        const uint8_t *data = bpi_buffer_head(&wire->reader.message);
        size_t size = bpi_buffer_size(&wire->reader.message);
        if (data[1] != BPI_BOLT_RECORD) {
            assert_int_equal(data[1], BPI_BOLT_SUCCESS);
            return sum;
        }
        *ret_bytes += size;
        for (size_t i = 0; i < size; i += i + 64 < size ? 61 : 1) {
            sum = (sum ^ data[i]) * 1099511628211u;
        }
    }
}

#define LARGE "RUN:UNWIND range(1, 100000) AS x RETURN x /*sim: bytes=1000*/"

static void a_slow_reader_gets_every_byte_and_costs_little(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 2"};
    house_open(&house);
    for (size_t v = 0; v < HOUSE_VERSIONS; v += 3) {
        struct wire wire;
        uint64_t bytes;
        uint64_t direct_bytes;
        wire_open(&wire, bpi_sim_port(house.sim), house_versions[v]);
        expect(&wire, LARGE, 1, "SUCCESS");
        wire_send(&wire, "PULL");
        uint64_t direct = read_rows(&wire, &direct_bytes);
        wire_close(&wire);
        client_open(&wire, &house, house_versions[v]);
        expect(&wire, LARGE, 1, "SUCCESS");
        size_t before = resident_bytes();
        wire_send(&wire, "PULL");
        usleep(300000);
        size_t after = resident_bytes();
        /* Sockets' buffers aren't ours; the simulated server's own are in this process, too. */
        if (after > before + ((size_t)24 << 20)) {
            fail_msg("grew by %zu KiB", (after - before) / 1024);
        }
        /* Another client is served meanwhile. */
        struct wire other;
        client_open(&other, &house, house_versions[v]);
        expect(&other, "RUN; PULL", 2, "SUCCESS RECORD SUCCESS");
        wire_close(&other);
        assert_true(read_rows(&wire, &bytes) == direct);
        assert_true(bytes == direct_bytes && bytes > 100000000);
        expect(&wire, "RUN; PULL", 2, "SUCCESS RECORD SUCCESS");
        wire_close(&wire);
    }
    house_close(&house);
}

/* client_buffer_bytes is lowered while a client is connected. */
static void a_lowered_client_buffer_does_not_stall(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 1\nclient_buffer_bytes = 4MiB"};
    house_open(&house);
    struct wire wire;
    uint64_t bytes;
    client_open(&wire, &house, V58);
    assert_int_equal(house_reload(&house, "max_links = 1\nclient_buffer_bytes = 16KiB"), 0);
    for (int i = 0; i < 3; i++) {
        expect(&wire, "RUN:UNWIND range(1, 20000) AS x RETURN x /*sim: bytes=1000*/", 1, "SUCCESS");
        wire_send(&wire, "PULL");
        usleep(100000);
        (void)read_rows(&wire, &bytes);
        assert_true(bytes > 20000000);
    }
    wire_close(&wire);
    house_close(&house);
}

static void records_larger_than_their_buffer_stream(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 1\nrecord_buffer_bytes = 64KiB"};
    house_open(&house);
    static const unsigned sizes[] = {65000, 65535, 65536, 65600, 131070, 200000, 5000000};
    struct wire wire;
    client_open(&wire, &house, V58);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char words[128];
        uint64_t bytes;
        snprintf(words, sizeof(words), "RUN:UNWIND range(1, 4) AS x RETURN x /*sim: bytes=%u*/",
                 sizes[i]);
        expect(&wire, words, 1, "SUCCESS");
        wire_send(&wire, "PULL");
        (void)read_rows(&wire, &bytes);
        assert_true(bytes >= 4 * (uint64_t)sizes[i]);
    }
    wire_close(&wire);
    house_close(&house);
}

/* ---- ROUTE ---- */

/* The addresses of all roles in the last "rt", which have to be the same; its db into `db`. */
static const char *table_address(struct wire *wire, char *db, size_t db_size)
{
    static char address[128];
    struct bpi_pack_reader reader;
    const uint8_t *table;
    const uint8_t *value;
    size_t table_size;
    size_t size;
    uint32_t servers;
    uint32_t pairs;
    unsigned roles = 0;
    const char *text;
    address[0] = '\0';
    db[0] = '\0';
    assert_int_equal(bpi_pack_map_find(bpi_buffer_head(&wire->meta), bpi_buffer_size(&wire->meta),
                                       "rt", &table, &table_size),
                     1);
    if (bpi_pack_map_find(table, table_size, "db", &value, &size) == 1) {
        bpi_pack_reader_init(&reader, value, size);
        assert_int_equal(bpi_pack_next_string(&reader, &text, &size), 0);
        snprintf(db, db_size, "%.*s", (int)size, text);
    }
    assert_int_equal(bpi_pack_map_find(table, table_size, "servers", &value, &size), 1);
    bpi_pack_reader_init(&reader, value, size);
    assert_int_equal(bpi_pack_next_list(&reader, &servers), 0);
    for (uint32_t i = 0; i < servers; i++) {
        assert_int_equal(bpi_pack_next_map(&reader, &pairs), 0);
        for (uint32_t j = 0; j < pairs; j++) {
            assert_int_equal(bpi_pack_next_string(&reader, &text, &size), 0);
            bool addresses = size == 9;
            uint32_t count = 1;
            if (addresses) {
                assert_int_equal(bpi_pack_next_list(&reader, &count), 0);
                assert_int_equal(count, 1);
            }
            assert_int_equal(bpi_pack_next_string(&reader, &text, &size), 0);
            if (addresses && address[0] != '\0') {
                assert_int_equal(strlen(address), size);
                assert_memory_equal(address, text, size);
            } else if (addresses) {
                snprintf(address, sizeof(address), "%.*s", (int)size, text);
            } else {
                roles |= text[0] == 'W' ? 1u : size == 4 ? 2u : 4u;
            }
        }
    }
    assert_int_equal(roles, 7);
    return address;
}

static void put_route(struct wire *wire, const char *db)
{
    struct bpi_buffer message = {0};
    struct bpi_pack_writer writer;
    bpi_pack_writer_init(&writer, &message);
    bpi_pack_raw(&writer, "\xb3\x66\xa0\x90", 4);
    if (!bpi_bolt_has_route_map(wire->version)) {
        bpi_pack_text(&writer, db);
    } else {
        bpi_pack_map(&writer, 1);
        bpi_pack_text(&writer, "db");
        bpi_pack_text(&writer, db);
    }
    assert_int_equal(
        bpi_chunk_write(&wire->out, bpi_buffer_head(&message), bpi_buffer_size(&message)), 0);
    bpi_buffer_done(&message);
}

static void route_names_the_pooler_in_every_role(void **state)
{
    (void)state;
    static const bpi_bolt_version versions[] = {BPI_BOLT(4, 3), V44, V50, V54, V58, V61};
    static const char *const lines[] = {"max_links = 1",
                                        "max_links = 1\nadvertised = pool.example:9999"};
    for (size_t i = 0; i < 2; i++) {
        struct house house = {.lines = lines[i]};
        char own[64];
        char db[64];
        house_open(&house);
        snprintf(own, sizeof(own), "127.0.0.1:%u", house.port);
        for (size_t v = 0; v < 6; v++) {
            struct wire wire;
            client_open(&wire, &house, versions[v]);
            expect(&wire, "ROUTE", 1, "SUCCESS");
            assert_string_equal(table_address(&wire, db, sizeof(db)),
                                i == 0 ? own : "pool.example:9999");
            assert_string_equal(db, bpi_bolt_has_route_map(versions[v]) ? "neo4j" : "");
            put_route(&wire, "system");
            wire_flush(&wire);
            assert_string_equal(told(&wire, 1), "SUCCESS");
            assert_string_equal(table_address(&wire, db, sizeof(db)),
                                i == 0 ? own : "pool.example:9999");
            assert_string_equal(db, bpi_bolt_has_route_map(versions[v]) ? "system" : "");
            put_route(&wire, "nowhere");
            wire_flush(&wire);
            assert_string_equal(told(&wire, 1), "FAILURE:ClientError.Database.DatabaseNotFound");
            expect(&wire, "RUN; RESET; RUN; PULL", 4, "IGNORED SUCCESS SUCCESS RECORD SUCCESS");
            wire_close(&wire);
        }
        assert_int_equal(sim_stats(house.sim).connections_max, 1);
        house_close(&house);
    }
}

/* ---- notifications ---- */

static void open_with_filter(struct wire *wire,
                             struct house *house,
                             bpi_bolt_version version,
                             const char *severity)
{
    struct bpi_buffer map = {0};
    struct bpi_pack_writer writer;
    wire_connect(wire, house->port);
    wire_handshake(wire, version);
    bpi_pack_writer_init(&writer, &map);
    bpi_pack_map(&writer, 3);
    bpi_pack_text(&writer, "user_agent");
    bpi_pack_text(&writer, "test/1");
    bpi_pack_text(&writer, "bolt_agent");
    bpi_pack_map(&writer, 1);
    bpi_pack_text(&writer, "product");
    bpi_pack_text(&writer, "test/1");
    bpi_pack_text(&writer, "notifications_minimum_severity");
    bpi_pack_text(&writer, severity);
    assert_int_equal(bpi_bolt_write_map(&wire->out, BPI_BOLT_HELLO, wire_span(&map)), 0);
    bpi_buffer_done(&map);
    wire_put_word(wire, "LOGON");
    wire_flush(wire);
    assert_string_equal(told(wire, 2), "SUCCESS SUCCESS");
}

/* How many notifications or statuses the last summary holds. */
static int notes(struct wire *wire)
{
    const char *text =
        wire_meta(wire, wire->version < BPI_BOLT(5, 6) ? "notifications" : "statuses");
    return text[0] == '[' ? atoi(text + 1) : 0;
}

static void a_client_s_notification_filter_holds_on_shared_links(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 1"};
    house_open(&house);
    for (size_t v = 2; v < HOUSE_VERSIONS; v++) {
        struct wire quiet;
        struct wire loud;
        int without = house_versions[v] < BPI_BOLT(5, 6) ? 0 : 1;
        open_with_filter(&quiet, &house, house_versions[v], "OFF");
        client_open(&loud, &house, house_versions[v]);
        for (int i = 0; i < 3; i++) {
            expect(&quiet, "RUN:RETURN 1 /*sim: notify=1*/; PULL", 2, "SUCCESS RECORD SUCCESS");
            assert_int_equal(notes(&quiet), without);
            expect(&loud, "RUN:RETURN 1 /*sim: notify=1*/; PULL", 2, "SUCCESS RECORD SUCCESS");
            assert_int_equal(notes(&loud), without + 1);
            expect(&quiet, "BEGIN; RUN:RETURN 1 /*sim: notify=1*/; PULL", 3,
                   "SUCCESS SUCCESS RECORD SUCCESS");
            assert_int_equal(notes(&quiet), without);
            expect(&quiet, "COMMIT", 1, "SUCCESS");
            /* A filter of its own comes first; a second copy of the key would be refused. */
            put_run(&quiet, "RETURN 1 /*sim: notify=1*/",
                    "notifications_minimum_severity=INFORMATION");
            wire_put_word(&quiet, "PULL");
            wire_flush(&quiet);
            assert_string_equal(told(&quiet, 2), "SUCCESS RECORD SUCCESS");
            assert_int_equal(notes(&quiet), without + 1);
        }
        wire_close(&quiet);
        wire_close(&loud);
    }
    house_close(&house);
}

/* ---- session mode ---- */

static void session_mode_keeps_a_link_until_the_session_ends(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 1\npool_mode = session"};
    house_open(&house);
    for (size_t v = 0; v < HOUSE_VERSIONS; v++) {
        bool logoff = bpi_bolt_has_logon(house_versions[v]);
        for (int end = logoff ? 0 : 1; end < 3; end++) {
            struct wire wire;
            struct wire next;
            client_open(&wire, &house, house_versions[v]);
            client_open(&next, &house, house_versions[v]);
            assert_int_equal(house_stats(&house).links_leased, 0);
            expect(&wire, "RUN; PULL", 2, "SUCCESS RECORD SUCCESS");
            wire_send(&next, "RUN; PULL");
            assert_true(is_silent(&next, 20));
            uint64_t resets = sim_stats(house.sim).resets;
            expect(&wire, "RESET; BEGIN; RUN; PULL; COMMIT", 5,
                   "SUCCESS SUCCESS SUCCESS RECORD SUCCESS SUCCESS");
            expect(&wire, "RUN:nonsense; PULL", 2,
                   "FAILURE:ClientError.Statement.SyntaxError IGNORED");
            expect(&wire, "RESET; RUN; PULL", 3, "SUCCESS SUCCESS RECORD SUCCESS");
            assert_true(sim_stats(house.sim).resets > resets);
            assert_true(is_silent(&next, 20));
            if (end == 0) {
                expect(&wire, "LOGOFF", 1, "SUCCESS");
            } else if (end == 1) {
                wire_send(&wire, "GOODBYE");
            } else {
                wire_close(&wire);
            }
            assert_string_equal(told(&next, 2), "SUCCESS RECORD SUCCESS");
            wire_close(&wire);
            wire_close(&next);
            wait_for(house_clients(&house) == 0);
        }
    }
    house_close(&house);
}

/* ---- reload and drain ---- */

static void a_reload_changes_all_or_nothing(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 1\nqueue_timeout = 10s"};
    house_open(&house);
    struct wire wires[4];
    for (int i = 0; i < 4; i++) {
        client_open(&wires[i], &house, V58);
    }
    expect(&wires[0], "BEGIN", 1, "SUCCESS");
    for (int i = 1; i < 4; i++) {
        wire_send(&wires[i], "BEGIN");
    }
    wait_for(house_stats(&house).waiters == 3);
    assert_int_equal(house_reload(&house,
                                  "max_links = 9\ntls_mode = required\ntls_cert_file = /nowhere\n"
                                  "tls_key_file = /nowhere"),
                     BP_E_CONFIG);
    assert_int_equal(house_stats(&house).links_open, 1);
    assert_int_equal(house_reload(&house, "max_links = 4\nqueue_timeout = 10s"), 0);
    for (int i = 1; i < 4; i++) {
        assert_string_equal(told(&wires[i], 1), "SUCCESS");
    }
    assert_int_equal(house_reload(&house, "max_links = 2\nqueue_timeout = 200ms"), 0);
    for (int i = 0; i < 4; i++) {
        expect(&wires[i], "RUN; PULL; COMMIT", 3, "SUCCESS RECORD SUCCESS SUCCESS");
    }
    wait_for(house_stats(&house).links_open <= 2);
    expect(&wires[0], "BEGIN", 1, "SUCCESS");
    expect(&wires[1], "BEGIN", 1, "SUCCESS");
    expect(&wires[2], "BEGIN", 1, "FAILURE:TransientError.Request.NoThreadsAvailable");
    for (int i = 0; i < 4; i++) {
        wire_close(&wires[i]);
    }
    house_close(&house);
}

struct worker {
    struct house *house;
    atomic_bool *ended;
    unsigned index;
    pthread_t thread;
};

static void *work_on(void *data)
{
    struct worker *worker = data;
    struct wire wire;
    client_open(&wire, worker->house, house_versions[worker->index % HOUSE_VERSIONS]);
    while (!atomic_load(worker->ended)) {
        expect(&wire, "RUN; PULL; BEGIN; RUN; PULL; COMMIT", 6,
               "SUCCESS RECORD SUCCESS SUCCESS SUCCESS RECORD SUCCESS SUCCESS");
    }
    wire_close(&wire);
    return NULL;
}

static void reloads_under_load_are_not_noticed(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 4"};
    struct worker workers[8];
    atomic_bool ended = false;
    house_open(&house);
    for (unsigned i = 0; i < 8; i++) {
        workers[i] = (struct worker){.house = &house, .ended = &ended, .index = i};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work_on, &workers[i]), 0);
    }
    for (unsigned i = 0; i < 60; i++) {
        char lines[128];
        snprintf(lines, sizeof(lines),
                 "max_links = %u\nmax_user_links = %u\nclient_buffer_bytes = %u", 1 + i * 7 % 9,
                 i % 3, 8192 + i * 512);
        assert_int_equal(house_reload(&house, lines), 0);
        usleep(10000);
    }
    atomic_store(&ended, true);
    for (unsigned i = 0; i < 8; i++) {
        pthread_join(workers[i].thread, NULL);
    }
    house_close(&house);
}

static void draining_lets_end_what_runs(void **state)
{
    (void)state;
    static const char *const lines[] = {"max_links = 2", "max_links = 2\npool_mode = session"};
    for (size_t mode = 0; mode < 2; mode++) {
        struct house house = {.lines = lines[mode]};
        struct wire idle;
        struct wire busy;
        struct wire stream;
        struct wire late;
        house_open(&house);
        client_open(&idle, &house, V58);
        client_open(&busy, &house, V44);
        client_open(&stream, &house, V61);
        expect(&busy, "BEGIN", 1, "SUCCESS");
        expect(&stream, "RUN:UNWIND range(1, 5) AS x RETURN x; PULL:2", 2,
               "SUCCESS RECORD RECORD SUCCESS+");
        bpi_daemon_drain(house.daemon);
        assert_string_equal(told(&idle, 1), "EOF");
        assert_false(wire_try_connect(&late, house.port));
        expect(&busy, "RUN:CREATE (:T {id: 1}); PULL; COMMIT", 3, "SUCCESS SUCCESS SUCCESS");
        assert_string_equal(told(&busy, 1), "EOF");
        assert_false(bpi_daemon_is_drained(house.daemon));
        wire_send(&stream, "PULL; BEGIN; RUN");
        const char *text = told(&stream, 3);
        assert_int_equal(strncmp(text, "RECORD RECORD RECORD SUCCESS", 28), 0);
        assert_string_equal(text + 28,
                            " FAILURE:TransientError.Request.NoThreadsAvailable IGNORED");
        wait_for(bpi_daemon_is_drained(house.daemon));
        assert_int_equal(bpi_sim_committed(house.sim, "1"), 1);
        wire_close(&idle);
        wire_close(&busy);
        wire_close(&stream);
        house_close(&house);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slow_reader_gets_every_byte_and_costs_little),
        cmocka_unit_test(a_lowered_client_buffer_does_not_stall),
        cmocka_unit_test(records_larger_than_their_buffer_stream),
        cmocka_unit_test(route_names_the_pooler_in_every_role),
        cmocka_unit_test(a_client_s_notification_filter_holds_on_shared_links),
        cmocka_unit_test(session_mode_keeps_a_link_until_the_session_ends),
        cmocka_unit_test(a_reload_changes_all_or_nothing),
        cmocka_unit_test(reloads_under_load_are_not_noticed),
        cmocka_unit_test(draining_lets_end_what_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
