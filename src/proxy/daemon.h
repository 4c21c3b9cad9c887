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
uint16_t bpi_daemon_port(const struct bpi_daemon *daemon, unsigned index);
/* Threads: any. */
void bpi_daemon_stats_get(struct bpi_daemon *daemon, struct bpi_daemon_stats *ret_stats);

/* ---- for sessions ---- */

/* The configuration in use; borrowed until the end of the loop's turn. */
const struct bpi_config *bpi_daemon_config(const struct bpi_daemon *daemon);
const struct bpi_cluster_config *bpi_daemon_front_config(const struct bpi_front *front);
uint64_t bpi_daemon_next_id(struct bpi_daemon *daemon);
/* Answers a request of a client over max_clients. True: it was answered. */
bool bpi_daemon_answer_refused(struct bpi_session *session, struct bpi_request *request);

#endif
