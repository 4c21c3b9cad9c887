/* See daemon.h. One listener for each cluster stands on loop 0, which hands each accepted socket to the loop
 * with the fewest clients.
 *
 * Reload: the new configuration is swapped in whole; the old one is freed once every loop has had a turn
 * since, because a loop may hold on to it until then.
 */
#include "proxy/daemon.h"

#include "base/log.h"
#include "net/conn.h"
#include "net/listener.h"
#include "net/loop.h"
#include "net/tls.h"
#include "proxy/session.h"
#include "proxy/users.h"

#include <boltpool/error.h>

#include <uv.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <utlist.h>

#define LOOPS_MAX 64
/* How long links may take to say goodbye at the end. */
#define STOP_WAIT_US (2 * BP_USEC_PER_SECOND)

struct bpi_daemon {
    struct bpi_config *_Atomic config;
    unsigned loops_count;
    struct bpi_loop *loops[LOOPS_MAX];
    struct bpi_worker workers[LOOPS_MAX];
    unsigned fronts_count;
    struct bpi_front *fronts;
    _Atomic uint64_t next_id;
    bool started;
};

/* A socket on its way to the loop that will serve it. */
struct accepted {
    struct bpi_mail mail;
    struct bpi_worker *worker;
    struct bpi_front *front;
    int fd;
};

/* Something that every loop does once. */
struct round {
    struct bpi_mail mail;
    struct bpi_worker *worker;
    void (*run)(struct bpi_worker *worker);
    uv_sem_t *done;
};

const struct bpi_config *bpi_daemon_config(const struct bpi_daemon *daemon)
{
    return atomic_load_explicit(&daemon->config, memory_order_acquire);
}

const struct bpi_cluster_config *bpi_daemon_front_config(const struct bpi_front *front)
{
    return &bpi_daemon_config(front->daemon)->clusters[front - front->daemon->fronts];
}

uint64_t bpi_daemon_next_id(struct bpi_daemon *daemon)
{
    return atomic_fetch_add_explicit(&daemon->next_id, 1, memory_order_relaxed);
}

bool bpi_daemon_answer_refused(struct bpi_session *session, struct bpi_request *request)
{
    if (request->tag == BPI_BOLT_GOODBYE) {
        session->phase = BPI_SESSION_CLOSING;
        return true;
    }
    if (session->state == BPI_SERVER_NEGOTIATION) {
        char text[256];
        const struct bpi_cluster_config *config = bpi_session_config(session);
        snprintf(text, sizeof(text),
                 "boltpool: max_clients = %u of [cluster %s] is reached. Try again later; raise "
                 "max_clients if this happens often.",
                 config->max_clients, config->name);
        atomic_fetch_add_explicit(&session->worker->refusals, 1, memory_order_relaxed);
        bpi_session_fail(session, bp_error_neo4j_code(BP_E_FULL), text, true);
        session->state = BPI_SERVER_FAILED;
    } else {
        bpi_session_ignore(session);
    }
    bpi_session_pop(session);
    return true;
}

/* ---- accepting ---- */

static void on_accepted_mail(struct bpi_mail *mail)
{
    struct accepted *accepted = (struct accepted *)(void *)mail;
    bpi_session_accept(accepted->worker, accepted->front, accepted->fd);
    free(accepted);
}

static void on_accept(struct bpi_listener *listener, int fd, void *user)
{
    struct bpi_front *front = user;
    struct bpi_daemon *daemon = front->daemon;
    struct bpi_worker *worker = &daemon->workers[0];
    (void)listener;
    unsigned fewest = atomic_load_explicit(&worker->sessions_count, memory_order_relaxed);
    for (unsigned i = 1; i < daemon->loops_count; i++) {
        unsigned count =
            atomic_load_explicit(&daemon->workers[i].sessions_count, memory_order_relaxed);
        if (count < fewest) {
            fewest = count;
            worker = &daemon->workers[i];
        }
    }
    struct accepted *accepted = malloc(sizeof(*accepted));
    if (accepted == NULL) {
        close(fd);
        return;
    }
    accepted->mail.deliver = on_accepted_mail;
    accepted->worker = worker;
    accepted->front = front;
    accepted->fd = fd;
    bpi_loop_post(worker->loop, &accepted->mail);
}

/* ---- rounds over all loops ---- */

static void on_round_mail(struct bpi_mail *mail)
{
    struct round *round = (struct round *)(void *)mail;
    uv_sem_t *done = round->done;
    if (round->run != NULL) {
        round->run(round->worker);
    }
    uv_sem_post(done); /* `round` may be gone from here on */
}

/* Has every loop run it, and waits until all have. */
static void run_round(struct bpi_daemon *daemon, void (*run)(struct bpi_worker *worker))
{
    struct round rounds[LOOPS_MAX];
    uv_sem_t done;
    if (!daemon->started) {
        for (unsigned i = 0; run != NULL && i < daemon->loops_count; i++) {
            run(&daemon->workers[i]);
        }
        return;
    }
    uv_sem_init(&done, 0);
    for (unsigned i = 0; i < daemon->loops_count; i++) {
        rounds[i] = (struct round){
            .mail = {.deliver = on_round_mail},
            .worker = &daemon->workers[i],
            .run = run,
            .done = &done,
        };
        bpi_loop_post(daemon->loops[i], &rounds[i].mail);
    }
    for (unsigned i = 0; i < daemon->loops_count; i++) {
        uv_sem_wait(&done);
    }
    uv_sem_destroy(&done);
}

static void start_draining(struct bpi_worker *worker)
{
    struct bpi_daemon *daemon = worker->daemon;
    worker->draining = true;
    if (worker == &daemon->workers[0]) {
        for (unsigned i = 0; i < daemon->fronts_count; i++) {
            if (daemon->fronts[i].listener != NULL) {
                bpi_listener_close(daemon->fronts[i].listener);
                daemon->fronts[i].listener = NULL;
            }
        }
    }
    struct bpi_session *session;
    struct bpi_session *after;
    DL_FOREACH_SAFE(worker->sessions, session, after)
    {
        bpi_session_drain(session);
    }
}

static void close_sessions(struct bpi_worker *worker)
{
    struct bpi_session *session;
    struct bpi_session *after;
    DL_FOREACH_SAFE(worker->sessions, session, after)
    {
        bpi_session_close(session);
    }
}

static void stop_clusters(struct bpi_worker *worker)
{
    struct bpi_daemon *daemon = worker->daemon;
    for (unsigned i = 0; worker == &daemon->workers[0] && i < daemon->fronts_count; i++) {
        bpi_cluster_stop(daemon->fronts[i].cluster);
    }
}

/* ---- life ---- */

static int load_tls(const struct bpi_cluster_config *config,
                    struct bpi_tls_context **ret_tls,
                    char *reterr_text,
                    size_t reterr_text_size)
{
    *ret_tls = NULL;
    if (config->tls_mode == BPI_TLS_OFF) {
        return 0;
    }
    return bpi_tls_server_new(config->tls_cert_file, config->tls_key_file, ret_tls, reterr_text,
                              reterr_text_size);
}

static int load_users(const struct bpi_cluster_config *config,
                      struct bpi_cluster *cluster,
                      struct bpi_users **ret_users,
                      char *reterr_text,
                      size_t reterr_text_size)
{
    *ret_users = NULL;
    if (config->auth_type != BPI_AUTH_FILE) {
        return 0;
    }
    return bpi_users_read(config, bpi_cluster_key(cluster), ret_users, reterr_text,
                          reterr_text_size);
}

static int
open_front(struct bpi_daemon *daemon, unsigned index, char *reterr_text, size_t reterr_text_size)
{
    const struct bpi_config *whole = bpi_daemon_config(daemon);
    const struct bpi_cluster_config *config = &whole->clusters[index];
    struct bpi_front *front = &daemon->fronts[index];
    struct bpi_tls_context *tls = NULL;
    struct bpi_users *users = NULL;
    front->daemon = daemon;
    memcpy(front->name, config->name, sizeof(front->name));
    int error = bpi_cluster_new(whole, config, daemon->loops, daemon->loops_count, &front->cluster,
                                reterr_text, reterr_text_size);
    if (error == 0) {
        error = load_tls(config, &tls, reterr_text, reterr_text_size);
        atomic_store(&front->tls, tls);
    }
    if (error == 0) {
        error = load_users(config, front->cluster, &users, reterr_text, reterr_text_size);
        atomic_store(&front->users, users);
    }
    if (error == 0) {
        error = bpi_listener_open(daemon->loops[0], config->listen_host, config->listen_port,
                                  on_accept, front, &front->listener);
        if (error != 0) {
            snprintf(reterr_text, reterr_text_size, "[cluster %s]: can't listen on %s: %s",
                     config->name, config->listen, bp_error_text(error));
        } else {
            front->port = bpi_listener_port(front->listener);
        }
    }
    return error;
}

int bpi_daemon_new(struct bpi_config *config,
                   struct bpi_daemon **ret_daemon,
                   char *reterr_text,
                   size_t reterr_text_size)
{
    struct bpi_daemon *daemon = calloc(1, sizeof(*daemon));
    int error = BP_E_NO_MEMORY;
    snprintf(reterr_text, reterr_text_size, "out of memory");
    if (daemon == NULL) {
        return error;
    }
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned loops = config->loops != 0 ? config->loops : cores < 1 ? 1 : (unsigned)cores;
    loops = loops > LOOPS_MAX ? LOOPS_MAX : loops;
    atomic_init(&daemon->config, config);
    atomic_init(&daemon->next_id, 1);
    daemon->fronts = calloc(config->clusters_count, sizeof(*daemon->fronts));
    if (daemon->fronts == NULL) {
        free(daemon);
        return error;
    }
    while (daemon->loops_count < loops) {
        unsigned i = daemon->loops_count;
        error = bpi_loop_new(i, &daemon->loops[i]);
        if (error != 0) {
            snprintf(reterr_text, reterr_text_size, "no event loop: %s", bp_error_text(error));
            goto fail;
        }
        daemon->workers[i].daemon = daemon;
        daemon->workers[i].loop = daemon->loops[i];
        daemon->loops_count++;
    }
    while (daemon->fronts_count < config->clusters_count) {
        daemon->fronts_count++;
        error = open_front(daemon, daemon->fronts_count - 1, reterr_text, reterr_text_size);
        if (error != 0) {
            goto fail;
        }
    }
    for (unsigned i = 0; i < daemon->fronts_count; i++) {
        bpi_cluster_start(daemon->fronts[i].cluster);
    }
    *ret_daemon = daemon;
    return 0;
fail:
    bpi_config_ref(config); /* it stays the caller's */
    bpi_daemon_free(daemon);
    return error;
}

int bpi_daemon_start(struct bpi_daemon *daemon)
{
    for (unsigned i = 0; i < daemon->loops_count; i++) {
        int error = bpi_loop_start(daemon->loops[i]);
        if (error != 0) {
            /* Those that run end; bpi_daemon_free() then finds a daemon that never started. */
            for (unsigned j = 0; j < i; j++) {
                bpi_loop_stop(daemon->loops[j]);
            }
            for (unsigned j = 0; j < i; j++) {
                bpi_loop_join(daemon->loops[j]);
            }
            return error;
        }
    }
    daemon->started = true;
    return 0;
}

int bpi_daemon_reload(struct bpi_daemon *daemon,
                      struct bpi_config *config,
                      char *reterr_text,
                      size_t reterr_text_size)
{
    struct bpi_config *old = atomic_load(&daemon->config);
    if (!bpi_config_can_reload(old, config, reterr_text, reterr_text_size)) {
        return BP_E_CONFIG;
    }
    /* Everything that can fail comes first. */
    struct bpi_tls_context **tls = calloc(daemon->fronts_count, sizeof(struct bpi_tls_context *));
    struct bpi_users **users = calloc(daemon->fronts_count, sizeof(struct bpi_users *));
    int error = tls == NULL || users == NULL ? BP_E_NO_MEMORY : 0;
    for (unsigned i = 0; error == 0 && i < daemon->fronts_count; i++) {
        error = load_tls(&config->clusters[i], &tls[i], reterr_text, reterr_text_size);
        if (error == 0) {
            error = load_users(&config->clusters[i], daemon->fronts[i].cluster, &users[i],
                               reterr_text, reterr_text_size);
        }
    }
    if (error == 0) {
        for (unsigned i = 0; i < daemon->fronts_count; i++) {
            bpi_cluster_reload(daemon->fronts[i].cluster, config, &config->clusters[i]);
            tls[i] = atomic_exchange(&daemon->fronts[i].tls, tls[i]);
            users[i] = atomic_exchange(&daemon->fronts[i].users, users[i]);
        }
        atomic_store_explicit(&daemon->config, config, memory_order_release);
        bpi_log_level_set(config->log_level_value);
        /* From here on no loop holds on to the old ones. */
        run_round(daemon, NULL);
        bpi_config_unref(old);
    }
    for (unsigned i = 0; tls != NULL && users != NULL && i < daemon->fronts_count; i++) {
        bpi_tls_context_unref(tls[i]);
        bpi_users_free(users[i]);
    }
    free(tls);
    free(users);
    return error;
}

void bpi_daemon_drain(struct bpi_daemon *daemon)
{
    run_round(daemon, start_draining);
}

bool bpi_daemon_is_drained(struct bpi_daemon *daemon)
{
    for (unsigned i = 0; i < daemon->loops_count; i++) {
        if (atomic_load_explicit(&daemon->workers[i].sessions_count, memory_order_relaxed) > 0) {
            return false;
        }
    }
    return true;
}

static void wait_until_closed(struct bpi_daemon *daemon)
{
    for (bp_usec waited_us = 0; waited_us < STOP_WAIT_US; waited_us += 10000) {
        bool closed = bpi_daemon_is_drained(daemon);
        for (unsigned i = 0; i < daemon->fronts_count; i++) {
            closed = closed && bpi_cluster_is_closed(daemon->fronts[i].cluster);
        }
        if (closed) {
            return;
        }
        usleep(10000);
    }
}

void bpi_daemon_free(struct bpi_daemon *daemon)
{
    if (daemon == NULL) {
        return;
    }
    if (daemon->started) {
        run_round(daemon, start_draining);
        run_round(daemon, close_sessions);
        run_round(daemon, stop_clusters);
        wait_until_closed(daemon);
        for (unsigned i = 0; i < daemon->fronts_count; i++) {
            bpi_cluster_abort(daemon->fronts[i].cluster);
        }
        run_round(daemon, NULL);
    } else {
        for (unsigned i = 0; i < daemon->fronts_count; i++) {
            if (daemon->fronts[i].listener != NULL) {
                bpi_listener_close(daemon->fronts[i].listener);
            }
        }
    }
    for (unsigned i = 0; i < daemon->loops_count; i++) {
        bpi_loop_stop(daemon->loops[i]);
    }
    /* Loops post to each other, so all have to have ended before the first is freed. */
    for (unsigned i = 0; i < daemon->loops_count; i++) {
        if (daemon->started) {
            bpi_loop_join(daemon->loops[i]);
        } else {
            bpi_loop_run(daemon->loops[i]);
        }
    }
    for (unsigned i = 0; i < daemon->loops_count; i++) {
        bpi_loop_free(daemon->loops[i]);
        bpi_buffer_done(&daemon->workers[i].scratch);
    }
    for (unsigned i = 0; daemon->fronts != NULL && i < daemon->fronts_count; i++) {
        bpi_cluster_free(daemon->fronts[i].cluster);
        bpi_tls_context_unref(atomic_load(&daemon->fronts[i].tls));
        bpi_users_free(atomic_load(&daemon->fronts[i].users));
    }
    free(daemon->fronts);
    bpi_config_unref(atomic_load(&daemon->config));
    free(daemon);
}

unsigned bpi_daemon_clusters_count(const struct bpi_daemon *daemon)
{
    return daemon->fronts_count;
}

unsigned bpi_daemon_loops_count(const struct bpi_daemon *daemon)
{
    return daemon->loops_count;
}

struct bpi_worker *bpi_daemon_worker(struct bpi_daemon *daemon, unsigned index)
{
    return &daemon->workers[index];
}

struct bpi_cluster *bpi_daemon_cluster(const struct bpi_daemon *daemon, unsigned index)
{
    return daemon->fronts[index].cluster;
}

const char *bpi_daemon_cluster_name(const struct bpi_daemon *daemon, unsigned index)
{
    return daemon->fronts[index].name;
}

uint16_t bpi_daemon_port(const struct bpi_daemon *daemon, unsigned index)
{
    return daemon->fronts[index].port;
}

void bpi_daemon_stats_get(struct bpi_daemon *daemon, struct bpi_daemon_stats *ret_stats)
{
    memset(ret_stats, 0, sizeof(*ret_stats));
    for (unsigned i = 0; i < daemon->loops_count; i++) {
        const struct bpi_worker *worker = &daemon->workers[i];
        ret_stats->clients += atomic_load_explicit(&worker->sessions_count, memory_order_relaxed);
        ret_stats->transactions +=
            atomic_load_explicit(&worker->transactions, memory_order_relaxed);
        ret_stats->refusals += atomic_load_explicit(&worker->refusals, memory_order_relaxed);
        ret_stats->claims_lowered +=
            atomic_load_explicit(&worker->claims_lowered, memory_order_relaxed);
        ret_stats->claims_bad += atomic_load_explicit(&worker->claims_bad, memory_order_relaxed);
    }
}
