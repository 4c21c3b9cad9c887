/* First contact with an endpoint: which versions it speaks, what it calls itself, its hints.
 *
 * A connection of its own, which proposes the manifest: a server from 5.26 on answers with all it speaks,
 * an older one with its best, from which the rest is inferred (bolt/handshake.h). From 5.1 on HELLO needs
 * no log-in, so it is said too, for the server's name and hints. A 4.x server's name is learnt when the
 * first link logs on. Repeated with back-off until it succeeds, and again after a link was lost, because
 * the server may come back as another version.
 *
 * Owner: loop 0, but for bpi_probe_want().
 */
#include "base/assert.h"
#include "base/container.h"
#include "base/log.h"
#include "base/random.h"
#include "bolt/chunk.h"
#include "bolt/handshake.h"
#include "bolt/message.h"
#include "bolt/packstream.h"
#include "engine/cluster_internal.h"
#include "net/conn.h"

#include <boltpool/error.h>

#include <uv.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* A server that restarts is found again within a second, one that is down costs one or two connects a second.
 * Doubled, work could begin again only two seconds after a server is back. */
#define BACKOFF_MIN_US ((bp_usec)50000)
#define BACKOFF_MAX_US BP_USEC_PER_SECOND
/* HELLO's answer is below 300 bytes on every server seen. */
#define ANSWER_BYTES_MAX ((size_t)16384)

static void probe_start(struct bpi_probe *probe);

static struct bpi_loop *probe_loop(struct bpi_probe *probe)
{
    return probe->cluster->loops[0];
}

static struct bpi_endpoint *probe_endpoint(struct bpi_probe *probe)
{
    return &probe->cluster->endpoints[probe->endpoint];
}

static void probe_end(struct bpi_probe *probe)
{
    if (probe->conn != NULL) {
        bpi_conn_close(probe->conn);
        probe->conn = NULL;
        pthread_mutex_lock(&probe->cluster->mutex);
        probe->cluster->probes_running--;
        pthread_mutex_unlock(&probe->cluster->mutex);
    }
    bpi_buffer_done(&probe->answer);
    free(probe->handshake);
    probe->handshake = NULL;
    probe->phase = PROBE_IDLE;
    bpi_timer_clear(probe_loop(probe), &probe->timer);
}

static void probe_failed(struct bpi_probe *probe, const char *why)
{
    probe_end(probe);
    if (atomic_load(&probe->cluster->stopping)) {
        return;
    }
    struct bpi_cluster *cluster = probe->cluster;
    pthread_mutex_lock(&cluster->mutex);
    bpi_health_failed(&probe_endpoint(probe)->health);
    bpi_pool_endpoint_down(&cluster->pool, probe->endpoint, 0, bpi_loop_now_us(probe_loop(probe)));
    bpi_balance_unreached(cluster, probe->endpoint, bpi_loop_now_us(probe_loop(probe)));
    pthread_mutex_unlock(&cluster->mutex);
    /* One line when it goes down, then one a minute or so. */
    if (probe->failures_count++ % 60 == 0) {
        bpi_log(BPI_LOG_WARN, "cluster", "%s: %s can't be used: %s; trying again",
                bpi_cluster_config(probe->cluster)->name, probe_endpoint(probe)->name, why);
    }
    bp_usec wait_us = bpi_backoff_next(&probe->backoff, BACKOFF_MIN_US, BACKOFF_MAX_US,
                                       bpi_random_unit(&probe->random));
    bpi_timer_set(probe_loop(probe), &probe->timer, bpi_loop_now_us(probe_loop(probe)) + wait_us);
}

/* What all reached endpoints have in common. Called with the lock. */
static void face_update_locked(struct bpi_cluster *cluster, const struct bpi_endpoint *newest)
{
    bpi_bolt_versions common = bpi_bolt_versions_all();
    bool ssr = true;
    for (unsigned i = 0; i < cluster->endpoints_count; i++) {
        if (cluster->endpoints[i].spoken != 0) {
            common &= cluster->endpoints[i].spoken;
            ssr = ssr && cluster->endpoints[i].ssr;
        }
    }
    cluster->face.versions = common;
    cluster->face.ssr = ssr;
    cluster->face.recv_timeout_s = newest->recv_timeout_s;
    if (newest->server[0] != '\0') {
        snprintf(cluster->face.server, sizeof(cluster->face.server), "%s", newest->server);
    }
}

/* What HELLO's answer says of its server; empty where `meta` is absent. */
struct introduction {
    char server[128];
    int64_t recv_timeout_s;
    bool ssr;
};

static void read_introduction(struct bpi_bolt_span meta, struct introduction *ret)
{
    memset(ret, 0, sizeof(*ret));
    struct bpi_bolt_text server = bpi_bolt_map_text(meta, "server");
    if (server.data != NULL) {
        snprintf(ret->server, sizeof(ret->server), "%.*s",
                 (int)(server.size < 127 ? server.size : 127), server.data);
    }
    struct bpi_bolt_span hints = bpi_bolt_map_get(meta, "hints");
    if (!bpi_bolt_map_int(hints, "connection.recv_timeout_seconds", &ret->recv_timeout_s) ||
        ret->recv_timeout_s < 0) {
        ret->recv_timeout_s = 0;
    }
    ret->ssr = bpi_bolt_map_true(hints, "ssr.enabled");
}

static bool grants_utc(struct bpi_bolt_span meta)
{
    const uint8_t *list;
    size_t size;
    struct bpi_pack_reader reader;
    uint32_t items;
    if (bpi_pack_map_find(meta.data, meta.size, "patch_bolt", &list, &size) != 1) {
        return false;
    }
    bpi_pack_reader_init(&reader, list, size);
    if (bpi_pack_next_list(&reader, &items) != 0) {
        return false;
    }
    for (uint32_t i = 0; i < items; i++) {
        struct bpi_bolt_text name;
        if (bpi_pack_next_string(&reader, &name.data, &name.size) != 0) {
            return false;
        }
        if (bpi_bolt_text_is(name, "utc")) {
            return true;
        }
    }
    return false;
}

bool bpi_cluster_learn(struct bpi_link *link, struct bpi_bolt_span meta)
{
    struct bpi_cluster *cluster = link->cluster;
    struct bpi_endpoint *endpoint = &cluster->endpoints[link->place.endpoint];
    struct introduction said;
    bool refuses_utc = link->utc_patch && !grants_utc(meta);
    pthread_mutex_lock(&cluster->mutex);
    if (endpoint->server[0] == '\0') {
        read_introduction(meta, &said);
        memcpy(endpoint->server, said.server, sizeof(endpoint->server));
        endpoint->recv_timeout_s = said.recv_timeout_s;
        face_update_locked(cluster, endpoint);
    }
    cluster->face.no_utc = cluster->face.no_utc || refuses_utc;
    pthread_mutex_unlock(&cluster->mutex);
    return !refuses_utc;
}

bp_usec bpi_cluster_silence_us(struct bpi_cluster *cluster, unsigned endpoint)
{
    pthread_mutex_lock(&cluster->mutex);
    int64_t seconds = cluster->endpoints[endpoint].recv_timeout_s;
    pthread_mutex_unlock(&cluster->mutex);
    return (bp_usec)seconds * BP_USEC_PER_SECOND;
}

static void probe_succeeded(struct bpi_probe *probe, struct bpi_bolt_span meta)
{
    struct bpi_cluster *cluster = probe->cluster;
    struct bpi_endpoint *endpoint = probe_endpoint(probe);
    struct bpi_face_waiter *waiters = NULL;
    struct introduction said;
    read_introduction(meta, &said);
    const char *server = said.server;
    bool changed;
    pthread_mutex_lock(&cluster->mutex);
    changed = (meta.data != NULL && strcmp(endpoint->server, server) != 0) ||
              endpoint->spoken != probe->spoken;
    endpoint->spoken = probe->spoken;
    if (meta.data != NULL || endpoint->server[0] == '\0') {
        endpoint->recv_timeout_s = said.recv_timeout_s;
        endpoint->ssr = said.ssr;
        memcpy(endpoint->server, said.server, sizeof(endpoint->server));
    }
    bpi_health_answered(&endpoint->health);
    face_update_locked(cluster, endpoint);
    cluster->pool.endpoints[probe->endpoint].protocols = probe->spoken;
    if (!atomic_load(&cluster->stopping)) {
        bpi_pool_endpoint_up(&cluster->pool, probe->endpoint);
        bpi_balance_reached(cluster, probe->endpoint, bpi_loop_now_us(probe_loop(probe)));
    }
    waiters = cluster->face_waiters;
    cluster->face_waiters = NULL;
    struct bpi_face_waiter *waiter;
    DL_FOREACH(waiters, waiter)
    {
        waiter->queued = false;
    }
    bpi_bolt_versions common = cluster->face.versions;
    pthread_mutex_unlock(&cluster->mutex);
    while (waiters != NULL) {
        waiter = waiters;
        DL_DELETE(waiters, waiter);
        bpi_loop_post(waiter->loop, &waiter->mail);
    }
    if (changed || probe->failures_count > 0) {
        struct bpi_cluster_face face;
        bpi_cluster_face_get(cluster, &face);
        char newest[8];
        char offered[8];
        bpi_log(BPI_LOG_INFO, "cluster",
                "%s: %s is up: %s, Bolt up to %s; clients are offered up to %s",
                bpi_cluster_config(cluster)->name, endpoint->name,
                endpoint->server[0] == '\0' ? "a server before Bolt 5.1" : endpoint->server,
                bpi_bolt_version_format(bpi_bolt_versions_newest(probe->spoken), newest,
                                        sizeof(newest)),
                bpi_bolt_version_format(bpi_bolt_versions_newest(face.versions), offered,
                                        sizeof(offered)));
    }
    if (common == 0) {
        bpi_log(BPI_LOG_ERROR, "cluster",
                "%s: its endpoints have no Bolt version in common; no client can be served",
                bpi_cluster_config(cluster)->name);
    }
    probe->failures_count = 0;
    bpi_backoff_reset(&probe->backoff);
    atomic_store(&probe->pressing, false);
    probe_end(probe);
    bpi_cluster_run_soon(cluster, probe_loop(probe));
}

static void say_hello(struct bpi_probe *probe, struct bpi_conn *conn, bpi_bolt_version version)
{
    struct bpi_bolt_span none = {0};
    if (!bpi_bolt_has_logon(version)) {
        probe_succeeded(probe, none);
        return;
    }
    probe->phase = PROBE_HELLO;
    if (bpi_link_write_hello(bpi_conn_out(conn), &probe_endpoint(probe)->url, version, false,
                             none) != 0) {
        probe_failed(probe, "out of memory");
        return;
    }
    bpi_conn_flush(conn);
}

static void read_handshake(struct bpi_probe *probe, struct bpi_conn *conn)
{
    struct bpi_handshake_client *handshake = probe->handshake;
    enum bpi_handshake_result result;
    int error = bpi_handshake_client_read(handshake, bpi_conn_in(conn), &result);
    if (error == 0 && result == BPI_HANDSHAKE_MORE) {
        return;
    }
    if (error != 0 || result != BPI_HANDSHAKE_DONE || handshake->spoken == 0) {
        probe_failed(probe, "it speaks no Bolt version that boltpool knows");
        return;
    }
    probe->spoken = handshake->spoken;
    bpi_bolt_version version = handshake->version;
    if (handshake->manifest) {
        version = bpi_bolt_versions_newest(handshake->spoken);
        if (bpi_handshake_client_choose(handshake, version, bpi_conn_out(conn)) != 0) {
            probe_failed(probe, "out of memory");
            return;
        }
    }
    say_hello(probe, conn, version);
}

/* A server that is known, and has no thread for a HELLO at the moment, is at work: that must not look like one that
 * is down. */
static bool is_overload(struct bpi_probe *probe, const struct bpi_bolt_answer *answer)
{
    return probe_endpoint(probe)->spoken != 0 && bpi_bolt_answer_is_transient(answer);
}

static void read_hello(struct bpi_probe *probe, struct bpi_conn *conn)
{
    struct bpi_chunk_reader reader = {.message = probe->answer};
    struct bpi_buffer *in = bpi_conn_in(conn);
    struct bpi_chunk_scanner scanner = {0};
    size_t at = 0;
    /* The answer is small: it is looked at from its start each time more of it comes. */
    while (at < bpi_buffer_size(in)) {
        size_t used;
        enum bpi_chunk_event event =
            bpi_chunk_scan(&scanner, bpi_buffer_head(in) + at, bpi_buffer_size(in) - at, &used);
        at += used;
        if (event == BPI_CHUNK_MORE) {
            break;
        }
        if (event == BPI_CHUNK_NOOP) {
            continue;
        }
        struct bpi_bolt_answer answer;
        int got = bpi_chunk_read(&reader, in, ANSWER_BYTES_MAX);
        while (got == BPI_CHUNK_NOOP) {
            got = bpi_chunk_read(&reader, in, ANSWER_BYTES_MAX);
        }
        probe->answer = reader.message;
        if (got != BPI_CHUNK_MESSAGE ||
            bpi_bolt_answer_read(bpi_buffer_head(&probe->answer), bpi_buffer_size(&probe->answer),
                                 &answer) != 0) {
            probe_failed(probe, "its answer to HELLO can't be read");
        } else if (answer.tag != BPI_BOLT_SUCCESS && is_overload(probe, &answer)) {
            struct bpi_bolt_span none = {0};
            probe_succeeded(probe, none);
        } else if (answer.tag != BPI_BOLT_SUCCESS) {
            char text[256];
            char quoted[200];
            snprintf(
                text, sizeof(text), "it refused HELLO: %s",
                bpi_log_quote(quoted, sizeof(quoted), answer.message.data, answer.message.size));
            probe_failed(probe, text);
        } else {
            probe_succeeded(probe, answer.meta);
        }
        return;
    }
    if (bpi_buffer_size(in) > ANSWER_BYTES_MAX) {
        probe_failed(probe, "its answer to HELLO is too long");
    }
}

static void on_open(struct bpi_conn *conn, void *user)
{
    struct bpi_probe *probe = user;
    probe->handshake = calloc(1, sizeof(struct bpi_handshake_client));
    probe->phase = PROBE_HANDSHAKE;
    if (probe->handshake == NULL ||
        bpi_handshake_client_start(probe->handshake, bpi_bolt_versions_all(), true,
                                   bpi_conn_out(conn)) != 0) {
        probe_failed(probe, "out of memory");
        return;
    }
    bpi_conn_flush(conn);
}

static void on_data(struct bpi_conn *conn, void *user)
{
    struct bpi_probe *probe = user;
    bpi_watch_heard(probe->cluster, probe->endpoint);
    if (probe->phase == PROBE_HANDSHAKE) {
        read_handshake(probe, conn);
    } else {
        read_hello(probe, conn);
    }
}

static void on_close(struct bpi_conn *conn, void *user, int error)
{
    (void)conn;
    probe_failed(user, error == 0 ? "it closed the connection" : bp_error_text(error));
}

static const struct bpi_conn_handler conn_handler = {
    .on_open = on_open,
    .on_data = on_data,
    .on_close = on_close,
};

/* Whether it may be asked now: the probe must not be one connection more than the limit, unless all that are there say
 * nothing. With all places taken by working links the endpoint is up; where none of them is its own, it has to wait.
 * With the lock; true: the probe is counted. */
static bool may_start_locked(struct bpi_probe *probe, bool *ret_is_up)
{
    struct bpi_cluster *cluster = probe->cluster;
    const struct bpi_pool *pool = &cluster->pool;
    bool full =
        probe_endpoint(probe)->spoken != 0 && bpi_pool_open_count(pool) >= pool->limits.links_max;
    *ret_is_up = false;
    if (full && !atomic_load(&probe->pressing)) {
        *ret_is_up = pool->endpoints[probe->endpoint].open_count > 0;
        return false;
    }
    cluster->probes_running++;
    return true;
}

/* How long it may take: a server that may be dead has as long as the question allows, and no less than others. */
static bp_usec patience_us(struct bpi_probe *probe)
{
    const struct bpi_cluster_config *config = bpi_cluster_config(probe->cluster);
    bool pressing = atomic_load(&probe->pressing);
    return pressing && config->dead_server_timeout_us > config->connect_timeout_us
               ? config->dead_server_timeout_us
               : config->connect_timeout_us;
}

/* No place for a connection. */
static void probe_put_off(struct bpi_probe *probe, bool is_up)
{
    struct bpi_cluster *cluster = probe->cluster;
    if (is_up) {
        pthread_mutex_lock(&cluster->mutex);
        bpi_pool_endpoint_up(&cluster->pool, probe->endpoint);
        pthread_mutex_unlock(&cluster->mutex);
        bpi_cluster_run_soon(cluster, probe_loop(probe));
        return;
    }
    bpi_timer_set(probe_loop(probe), &probe->timer,
                  bpi_loop_now_us(probe_loop(probe)) + BACKOFF_MAX_US);
}

static void probe_start(struct bpi_probe *probe)
{
    struct bpi_cluster *cluster = probe->cluster;
    struct bpi_endpoint *endpoint = probe_endpoint(probe);
    bool is_up;
    if (probe->conn != NULL || atomic_load(&cluster->stopping)) {
        return;
    }
    pthread_mutex_lock(&cluster->mutex);
    bool may_start = may_start_locked(probe, &is_up);
    pthread_mutex_unlock(&cluster->mutex);
    if (!may_start) {
        probe_put_off(probe, is_up);
        return;
    }
    bp_usec limit_us = patience_us(probe);
    struct bpi_conn_options options = {
        .handler = &conn_handler,
        .user = probe,
        .tls = endpoint->tls,
        .host_name = endpoint->url.host,
        .open_timeout_us = limit_us,
        .peer_silent_max_us = bpi_cluster_silent_max_us(bpi_cluster_config(cluster)),
    };
    bpi_watch_asked(cluster, probe->endpoint);
    int error = bpi_conn_connect(probe_loop(probe), endpoint->url.host, endpoint->url.port,
                                 &options, &probe->conn);
    if (error != 0) {
        probe->conn = NULL;
        pthread_mutex_lock(&cluster->mutex);
        cluster->probes_running--;
        pthread_mutex_unlock(&cluster->mutex);
        probe_failed(probe, bp_error_text(error));
        return;
    }
    bpi_timer_set(probe_loop(probe), &probe->timer, bpi_loop_now_us(probe_loop(probe)) + limit_us);
}

static void on_timer(struct bpi_timer *timer)
{
    struct bpi_probe *probe = BPI_CONTAINER(timer, struct bpi_probe, timer);
    if (probe->conn != NULL) {
        probe_failed(probe, "it did not answer in time (connect_timeout, dead_server_timeout)");
    } else {
        probe_start(probe);
    }
}

static void on_mail(struct bpi_mail *mail)
{
    struct bpi_probe *probe = BPI_CONTAINER(mail, struct bpi_probe, mail);
    atomic_store(&probe->wanted, false);
    probe_start(probe);
}

void bpi_probe_init(struct bpi_probe *probe, struct bpi_cluster *cluster, unsigned endpoint)
{
    probe->cluster = cluster;
    probe->endpoint = endpoint;
    probe->timer.on_fire = on_timer;
    probe->mail.deliver = on_mail;
    atomic_init(&probe->wanted, false);
    atomic_init(&probe->pressing, false);
    uint64_t seed;
    memcpy(&seed, cluster->key, sizeof(seed));
    bpi_random_init(&probe->random, seed ^ (endpoint + 1));
}

void bpi_probe_want(struct bpi_probe *probe)
{
    if (!atomic_exchange(&probe->wanted, true)) {
        bpi_loop_post(probe->cluster->loops[0], &probe->mail);
    }
}

void bpi_probe_press(struct bpi_probe *probe)
{
    atomic_store(&probe->pressing, true);
    bpi_probe_want(probe);
}

void bpi_probe_stop(struct bpi_probe *probe)
{
    probe_end(probe);
}
