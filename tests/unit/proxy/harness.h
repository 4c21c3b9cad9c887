/* A whole pooler between simulated servers and raw clients, all in this process.
 *
 * house_open() starts servers and the daemon in front of them; clients are those of tests/unit/sim/wire.h,
 * connected to the pooler's port. house_close() ends it all, after it has shown that nothing was leaked:
 * no link is lent, nobody waits, no client is left, no server has a transaction open.
 */
#ifndef TESTS_UNIT_PROXY_HARNESS_H
#define TESTS_UNIT_PROXY_HARNESS_H

#include "base/log.h"
#include "engine/cluster_internal.h"
#include "proxy/daemon.h"
#include "sim/server.h"
#include "tests/unit/sim/wire.h"

#include <boltpool/error.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>

#define HOUSE_SIMS_MAX 4
/* What a deadline may be late by on a busy machine. */
#define SLACK_US BP_USEC_PER_SECOND

#define V44 BPI_BOLT(4, 4)
#define V50 BPI_BOLT(5, 0)
#define V54 BPI_BOLT(5, 4)
#define V58 BPI_BOLT(5, 8)
#define V61 BPI_BOLT(6, 1)

static const bpi_bolt_version house_versions[] = {V44, V50, V54, V58, V61};
#define HOUSE_VERSIONS (sizeof(house_versions) / sizeof(house_versions[0]))

static const struct bpi_sim_user house_users[] = {
    {"neo4j", "secret12"}, {"alice", "wonder123"}, {"bob", "builder12"}};

struct house {
    unsigned sims_count; /* 0: one */
    struct bpi_sim_options options[HOUSE_SIMS_MAX];
    unsigned loops;     /* 0: 2 */
    const char *global; /* lines of [boltpool] */
    const char *lines;  /* lines of [cluster main] and sections behind it */
    bool separate;      /* each server is a cluster of its own: main, second, ... */
    bool
        is_list; /* the servers are independent (topology = list); else any of them takes anything */

    struct bpi_sim *sims[HOUSE_SIMS_MAX];
    struct bpi_sim *sim; /* the first */
    struct bpi_daemon *daemon;
    uint16_t port;
};

static inline void house_text(const struct house *house, const char *lines, char *text, size_t size)
{
    int used =
        snprintf(text, size, "[boltpool]\nloops = %u\nlog_level = error\n%s\n",
                 house->loops == 0 ? 2 : house->loops, house->global == NULL ? "" : house->global);
    for (unsigned i = 0; i < house->sims_count; i++) {
        if (i == 0 || house->separate) {
            used += snprintf(text + used, size - (size_t)used,
                             "[cluster %s]\nlisten = 127.0.0.1:0\nendpoints = ",
                             i == 0   ? "main"
                             : i == 1 ? "second"
                                      : "third");
        }
        used += snprintf(text + used, size - (size_t)used, "%sbolt://127.0.0.1:%u",
                         i == 0 || house->separate ? "" : ", ", bpi_sim_port(house->sims[i]));
        if (i + 1 == house->sims_count || house->separate) {
            used += snprintf(text + used, size - (size_t)used, "\ntopology = %s\n%s\n",
                             house->is_list ? "list" : "equal", lines == NULL ? "" : lines);
        }
    }
    assert_true((size_t)used < size);
}

static inline struct bpi_config *house_config(const struct house *house, const char *lines)
{
    char text[8192];
    char why[512] = "";
    struct bpi_config *config = NULL;
    house_text(house, lines, text, sizeof(text));
    if (bpi_config_parse("test", text, &config, why, sizeof(why)) != 0) {
        fail_msg("%s", why);
    }
    return config;
}

/* Starts the servers, without a pooler. */
static inline void house_open_sims(struct house *house)
{
    char why[512] = "";
    alarm(120);
    house->sims_count = house->sims_count == 0 ? 1 : house->sims_count;
    for (unsigned i = 0; i < house->sims_count; i++) {
        struct bpi_sim_options *options = &house->options[i];
        if (options->users == NULL) {
            options->users = house_users;
            options->user_count = 3;
        }
        if (bpi_sim_start(options, &house->sims[i], why, sizeof(why)) != 0) {
            fail_msg("%s", why);
        }
    }
    house->sim = house->sims[0];
}

static inline void house_open_daemon(struct house *house)
{
    char why[512] = "";
    if (bpi_daemon_new(house_config(house, house->lines), &house->daemon, why, sizeof(why)) != 0) {
        fail_msg("%s", why);
    }
    bpi_log_level_set(getenv("BP_LOG") == NULL ? BPI_LOG_ERROR : BPI_LOG_DEBUG);
    assert_int_equal(bpi_daemon_start(house->daemon), 0);
    house->port = bpi_daemon_port(house->daemon, 0);
}

static inline void house_open(struct house *house)
{
    house_open_sims(house);
    house_open_daemon(house);
}

static inline int house_reload(struct house *house, const char *lines)
{
    char why[512] = "";
    struct bpi_config *config = house_config(house, lines);
    int error = bpi_daemon_reload(house->daemon, config, why, sizeof(why));
    if (error != 0) {
        bpi_config_unref(config);
    }
    return error;
}

static inline struct bpi_cluster_stats house_stats(struct house *house)
{
    struct bpi_cluster_stats stats;
    bpi_cluster_stats_get(bpi_daemon_cluster(house->daemon, 0), &stats);
    return stats;
}

static inline struct bpi_sim_stats sim_stats(struct bpi_sim *sim)
{
    struct bpi_sim_stats stats;
    bpi_sim_stats(sim, &stats);
    return stats;
}

static inline unsigned house_clients(struct house *house)
{
    struct bpi_daemon_stats stats;
    bpi_daemon_stats_get(house->daemon, &stats);
    return stats.clients;
}

/* Waits up to ten seconds for what becomes true by itself. */
#define wait_for(condition)                                                                        \
    do {                                                                                           \
        bp_usec until_us = bpi_clock_now_us() + 10 * BP_USEC_PER_SECOND;                           \
        while (!(condition)) {                                                                     \
            if (bpi_clock_now_us() > until_us) {                                                   \
                fail_msg("still not so after 10 s: %s", #condition);                               \
            }                                                                                      \
            usleep(1000);                                                                          \
        }                                                                                          \
    } while (0)

static inline bool pool_is_idle(struct bpi_cluster *cluster)
{
    struct bpi_cluster_stats stats;
    bpi_cluster_stats_get(cluster, &stats);
    pthread_mutex_lock(&cluster->mutex);
    bool sound = bpi_pool_check(&cluster->pool);
    pthread_mutex_unlock(&cluster->mutex);
    assert_true(sound);
    return stats.links_leased == 0 && stats.waiters == 0 && stats.links_open == stats.links_idle;
}

/* Whether every link is idle and no transaction is left anywhere. */
static inline bool house_is_idle(struct house *house)
{
    bool idle = true;
    for (unsigned i = 0; i < bpi_daemon_clusters_count(house->daemon); i++) {
        idle = idle && pool_is_idle(bpi_daemon_cluster(house->daemon, i));
    }
    for (unsigned i = 0; i < house->sims_count; i++) {
        idle = idle && sim_stats(house->sims[i]).transactions_open == 0;
    }
    return idle;
}

static inline void house_close(struct house *house)
{
    wait_for(house_is_idle(house));
    wait_for(house_clients(house) == 0);
    bp_usec began_us = bpi_clock_now_us();
    bpi_daemon_free(house->daemon);
    assert_true(bpi_clock_now_us() - began_us < 3 * BP_USEC_PER_SECOND);
    for (unsigned i = 0; i < house->sims_count; i++) {
        bpi_sim_stop(house->sims[i]);
    }
    alarm(0);
}

static inline void fault(struct bpi_sim *sim, const char *script)
{
    assert_int_equal(bpi_sim_fault(sim, script), 0);
}

/* wire_take(), sure that an end was an end and not the client's own patience. */
static inline const char *told(struct wire *wire, int summaries)
{
    errno = 0;
    const char *text = wire_take(wire, summaries);
    if (errno == EAGAIN) {
        fail_msg("no answer came for 20 s after: %s", text);
    }
    return text;
}

#define expect(wire, words, summaries, expected)                                                   \
    do {                                                                                           \
        wire_send((wire), (words));                                                                \
        assert_string_equal(told((wire), (summaries)), (expected));                                \
    } while (0)

/* Whether nothing comes for so long. */
static inline bool is_silent(struct wire *wire, int ms)
{
    struct pollfd poller = {.fd = wire->fd, .events = POLLIN};
    return bpi_buffer_size(&wire->in) == 0 && poll(&poller, 1, ms) == 0;
}

/* Logs on; what came is told ("SUCCESS" of HELLO left out from 5.1 on). */
static inline const char *log_on_as(struct wire *wire,
                                    uint16_t port,
                                    bpi_bolt_version version,
                                    const char *user,
                                    const char *password)
{
    wire_connect(wire, port);
    wire_handshake(wire, version);
    wire_put_hello(wire, user, password);
    if (bpi_bolt_has_logon(version)) {
        wire_flush(wire);
        assert_string_equal(told(wire, 1), "SUCCESS");
        wire_put_logon(wire, user, password);
    }
    wire_flush(wire);
    return told(wire, 1);
}

static inline void client_open_as(struct wire *wire,
                                  struct house *house,
                                  bpi_bolt_version version,
                                  const char *user,
                                  const char *password)
{
    assert_string_equal(log_on_as(wire, house->port, version, user, password), "SUCCESS");
}

static inline void client_open(struct wire *wire, struct house *house, bpi_bolt_version version)
{
    client_open_as(wire, house, version, "neo4j", "secret12");
}

/* RUN with an extra map of texts: "db=system mode=r". */
static inline void put_run(struct wire *wire, const char *query, const char *extra_pairs)
{
    char copy[512];
    const char *texts[32];
    size_t count = 0;
    struct bpi_buffer map = {0};
    char *rest = copy;
    char *word;
    snprintf(copy, sizeof(copy), "%s", extra_pairs);
    while ((word = strsep(&rest, " ")) != NULL) {
        char *equals = strchr(word, '=');
        assert_non_null(equals);
        *equals = '\0';
        texts[count++] = word;
        texts[count++] = equals + 1;
    }
    wire_map(&map, count / 2, texts);
    wire_put_run(wire, query, wire_span(&map));
    bpi_buffer_done(&map);
}

static inline void put_begin(struct wire *wire, const char *key, const char *value)
{
    struct bpi_buffer map = {0};
    const char *const texts[] = {key, value};
    wire_map(&map, 1, texts);
    assert_int_equal(bpi_bolt_write_map(&wire->out, BPI_BOLT_BEGIN, wire_span(&map)), 0);
    bpi_buffer_done(&map);
}

/* The first value of the last RECORD when it is a text; else "". */
static inline const char *record_text(struct wire *wire)
{
    static _Thread_local char text[512];
    struct bpi_pack_reader reader;
    uint32_t count;
    const char *data;
    size_t size;
    text[0] = '\0';
    const uint8_t *payload = bpi_buffer_head(&wire->reader.message);
    bpi_pack_reader_init(&reader, payload + 2, bpi_buffer_size(&wire->reader.message) - 2);
    if (bpi_pack_next_list(&reader, &count) == 0 && count > 0 &&
        bpi_pack_next_string(&reader, &data, &size) == 0) {
        snprintf(text, sizeof(text), "%.*s", (int)size, data);
    }
    return text;
}

#endif
