/* The daemon in one object: loops, clusters, listeners; started, reloaded, drained, stopped.
 *
 * Threads: bpi_daemon_new/start/reload/drain/stop/free belong to the one that made it (the main thread);
 * the rest says so.
 */
#ifndef BPI_PROXY_DAEMON_H
#define BPI_PROXY_DAEMON_H

#include "engine/cluster.h"
#include "engine/config.h"

#include <boltpool/types.h>

#include <stdbool.h>

struct bpi_daemon;
struct bpi_front;
struct bpi_request;
struct bpi_session;

struct bpi_daemon_stats {
    unsigned clients;
    uint64_t transactions;
    uint64_t refusals;
    uint64_t claims_lowered; /* above what the client may claim */
    uint64_t claims_bad;     /* of no sense */
};

/* Takes over the caller's reference of `config`, on success only. Listens, but serves nobody yet.
 * Errors: libuv's, BP_E_CONFIG, BP_E_NO_MEMORY; reterr_text says what and what to do. */
BP_MUST_CHECK int bpi_daemon_new(struct bpi_config *config,
                                 struct bpi_daemon **ret_daemon,
                                 char *reterr_text,
                                 size_t reterr_text_size);
/* Starts the loops' threads. */
BP_MUST_CHECK int bpi_daemon_start(struct bpi_daemon *daemon);
/* Puts `config` in the place of the one in use, or changes nothing. Takes the reference on success. */
BP_MUST_CHECK int bpi_daemon_reload(struct bpi_daemon *daemon,
                                    struct bpi_config *config,
                                    char *reterr_text,
                                    size_t reterr_text_size);
/* Takes no more clients and closes each as soon as it is in the middle of nothing. Returns at once. */
void bpi_daemon_drain(struct bpi_daemon *daemon);
/* Whether all clients are gone. */
bool bpi_daemon_is_drained(struct bpi_daemon *daemon);
/* Ends everything, what is under way too; then frees. */
void bpi_daemon_free(struct bpi_daemon *daemon);

unsigned bpi_daemon_clusters_count(const struct bpi_daemon *daemon);
struct bpi_cluster *bpi_daemon_cluster(const struct bpi_daemon *daemon, unsigned index);
/* Threads: any. */
const char *bpi_daemon_cluster_name(const struct bpi_daemon *daemon, unsigned index);
uint16_t bpi_daemon_port(const struct bpi_daemon *daemon, unsigned index);
/* Threads: any. */
void bpi_daemon_stats_get(struct bpi_daemon *daemon, struct bpi_daemon_stats *ret_stats);

/* ---- for people; threads: any ---- */

/* `cluster` is a name of the configuration; NULL = all. See engine/cluster.h for what each of them does.
 * Errors of all: BP_E_USAGE, there is no such cluster, endpoint, lease or client. */
BP_MUST_CHECK int bpi_daemon_pause(struct bpi_daemon *daemon, const char *cluster);
BP_MUST_CHECK int bpi_daemon_resume(struct bpi_daemon *daemon, const char *cluster);
BP_MUST_CHECK int bpi_daemon_reconnect(struct bpi_daemon *daemon, const char *cluster);
/* How far: PAUSED once all of them are. */
BP_MUST_CHECK int bpi_daemon_pause_state(struct bpi_daemon *daemon,
                                         const char *cluster,
                                         enum bpi_cluster_pause_state *ret_state,
                                         unsigned *ret_leased);
/* `endpoint`: "host:port". */
BP_MUST_CHECK int bpi_daemon_drain_endpoint(struct bpi_daemon *daemon,
                                            const char *cluster,
                                            const char *endpoint,
                                            bool draining);
BP_MUST_CHECK int
bpi_daemon_kill_lease(struct bpi_daemon *daemon, const char *cluster, uint64_t lease_id);

/* One lease, as people want to see it. */
struct bpi_lease_info {
    uint64_t lease_id;
    uint64_t client_id;
    enum bpi_class class_;
    enum bpi_priority priority;
    bp_usec held_us;
    bool is_waiting;  /* for the server's answer; else for its client */
    char cluster[64]; /* longer names are cut */
    char endpoint[128];
    char user[64];
    char application[64];
    char operation[40];
};

/* Answers that are gathered from all loops come here: on the loop that asked, or where that was none, on one of
 * them. */
struct bpi_daemon_answer {
    void (*on_leases)(void *user, const struct bpi_lease_info *leases, size_t count);
    void (*on_killed)(void *user, bool found);
    void *user;
};

/* The `count_max` oldest leases, the oldest first. Errors: BP_E_NO_MEMORY; then no answer comes. */
BP_MUST_CHECK int bpi_daemon_leases(struct bpi_daemon *daemon,
                                    size_t count_max,
                                    const struct bpi_daemon_answer *answer);
/* Ends a client. Errors: as above. */
BP_MUST_CHECK int bpi_daemon_kill_client(struct bpi_daemon *daemon,
                                         uint64_t client_id,
                                         const struct bpi_daemon_answer *answer);

/* ---- for sessions ---- */

struct bpi_worker;
unsigned bpi_daemon_loops_count(const struct bpi_daemon *daemon);
struct bpi_worker *bpi_daemon_worker(struct bpi_daemon *daemon, unsigned index);

/* The configuration in use; borrowed until the end of the loop's turn. */
const struct bpi_config *bpi_daemon_config(const struct bpi_daemon *daemon);
const struct bpi_cluster_config *bpi_daemon_front_config(const struct bpi_front *front);
uint64_t bpi_daemon_next_id(struct bpi_daemon *daemon);
/* Answers a request of a client over max_clients. True: it was answered. */
bool bpi_daemon_answer_refused(struct bpi_session *session, struct bpi_request *request);

#endif
