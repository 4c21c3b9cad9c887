/* The cluster's own struct, for the files of this folder: cluster.c (grants), link.c (links), probe.c
 * (first contact), login.c (log-in checks), grant.c (doing what the pool wants), watch.c (who is alive), control.c
 * (PAUSE, RECONNECT, DRAIN, KILL).
 */
#ifndef BPI_ENGINE_CLUSTER_INTERNAL_H
#define BPI_ENGINE_CLUSTER_INTERNAL_H

#include "base/log.h"
#include "engine/auth_cache.h"
#include "engine/balance.h"
#include "engine/cluster.h"
#include "engine/link.h"
#include "pool/backoff.h"
#include "pool/health.h"
#include "pool/suspicion.h"

#include <pthread.h>
#include <stdatomic.h>

/* Asks one endpoint for its versions and its name. Owner: loop 0. */
struct bpi_probe {
    struct bpi_cluster *cluster;
    unsigned endpoint;
    struct bpi_conn *conn;
    struct bpi_timer timer;
    struct bpi_mail mail;
    struct bpi_buffer answer; /* collects HELLO's answer */
    enum { PROBE_IDLE, PROBE_HANDSHAKE, PROBE_HELLO } phase;
    bpi_bolt_versions spoken;
    struct bpi_backoff backoff;
    struct bpi_random random; /* for the jitter */
    unsigned failures_count;
    atomic_bool wanted;   /* a start was posted and hasn't arrived */
    atomic_bool pressing; /* it has to be asked, though every place of the pool is taken */
    void *handshake;      /* struct bpi_handshake_client, while in PROBE_HANDSHAKE */
};

struct bpi_endpoint {
    struct bpi_url url;
    struct bpi_tls_context *tls;
    char name[300]; /* "host:port" */
    struct bpi_probe probe;
    /* Owner: loop 0 */
    struct bpi_suspicion suspicion;
    bp_usec heard_us; /* when it said anything to a probe last */
    /* Lock: cluster->mutex */
    struct bpi_health health;
    struct bpi_backoff refusals; /* of log-ins, for want of threads */
    bpi_bolt_versions spoken;    /* 0 = never reached */
    char server[128];
    int64_t recv_timeout_s;
    bool ssr;
};

/* What a loop needs for itself. Owner: that loop. */
struct bpi_cluster_loop {
    struct bpi_cluster *cluster;
    struct bpi_loop *loop;
    struct bpi_timer timer; /* when the pool may have something to do by time alone */
    struct bpi_mail run;    /* put off to the end of the turn, once */
    bool run_queued;
    struct bpi_link *closed; /* links whose places are freed by the next run */
    struct bpi_log_limit lost_log;
    struct bpi_mail kick; /* from other loops */
    atomic_bool kicked;
    struct bpi_mail abort;
    struct bpi_mail bury;
    _Atomic uint64_t dead_endpoints; /* bits: what `bury` is about */
};

/* A log-in being checked for one or more clients. Owner: the loop of `wish`; Lock: cluster->mutex for the
 * list and the subscribers. */
struct bpi_login_check {
    struct bpi_login_check *prev, *next;
    struct bpi_wish wish;
    struct bpi_identity *identity;
    struct bpi_login *subscribers;
    struct bpi_timer timer; /* queue_timeout */
    struct bpi_link *link;  /* being opened for it */
    bool expired;           /* the server said credentials_expired */
    bool abandoned;         /* Lock: cluster->mutex */
};

struct bpi_cluster {
    pthread_mutex_t mutex;
    /* Atomic: swapped whole by a reload, under the mutex; the old one lives until every loop has had a turn since. Other
     * threads look only with the mutex. */
    const struct bpi_config *_Atomic whole;
    const struct bpi_cluster_config *_Atomic config;
    uint8_t key[BPI_IDENTITY_KEY_BYTES];
    struct bpi_loop **loops;
    unsigned loops_count;
    struct bpi_cluster_loop *per_loop;
    struct bpi_endpoint *endpoints;
    unsigned endpoints_count;
    _Atomic bool stopping;
    _Atomic bool aborted;
    struct bpi_timer watch_timer; /* Owner: loop 0 */
    /* Lock: mutex, for all below. */
    struct bpi_pool pool;
    struct bpi_link **links;
    unsigned links_count;
    struct bpi_random random; /* for the jitter of back-offs */
    struct bpi_identity
        *warm_identity;     /* what links without a waiter are opened as; a reference, or NULL */
    struct bpi_route route; /* balance.h */
    /* Of the endpoints that were named last for a waiter: known once one of them is asked for (costs_for = 0). */
    uint64_t costs_for;
    double costs[BPI_ROUTE_ENDPOINTS_MAX];
    struct bpi_auth_cache auth_cache;
    struct bpi_cluster_face face;
    struct bpi_face_waiter *face_waiters;
    struct bpi_login_check *checks;
    unsigned checks_count;
    struct bpi_cluster_stats *stats;
    unsigned probes_running;
};

static inline const struct bpi_cluster_config *bpi_cluster_config(const struct bpi_cluster *cluster)
{
    return atomic_load_explicit(&cluster->config, memory_order_acquire);
}

/* At the end of this turn, on `loop`: does what the pool wants until it wants nothing. Put off, so that no
 * event of a link ends in another event of the same link. */
void bpi_cluster_run_soon(struct bpi_cluster *cluster, struct bpi_loop *loop);
void bpi_cluster_loop_init(struct bpi_cluster_loop *own);
/* Each loop asks the pool soon. Threads: any. */
void bpi_cluster_kick_all(struct bpi_cluster *cluster);
/* Asks a CHECKING link whether it is alive, on its own loop, `link_loop`. On `here`. */
void bpi_cluster_check_link(struct bpi_cluster *cluster,
                            struct bpi_link *link,
                            unsigned link_loop,
                            struct bpi_loop *here);
/* Tells a wish, on its loop, what is set in it. Threads: any. */
void bpi_cluster_answer(struct bpi_wish *wish);

/* Events of links; each runs the pool. On the link's loop. */
void bpi_cluster_link_opened(struct bpi_link *link);
void bpi_cluster_link_released(struct bpi_link *link);
void bpi_cluster_link_checked(struct bpi_link *link);
/* An idle link died; a grant or a GOODBYE may be on its way to it and finds out there. */
void bpi_cluster_idle_link_lost(struct bpi_link *link);
/* The connection is closed. `established` tells that it had been logged on and nobody here ended it. */
void bpi_cluster_link_closed(struct bpi_link *link, bool established, int error);
/* HELLO's answer on a link: names a server that a probe could not ask (before Bolt 5.1). */
/* False: the server doesn't grant the utc patch that the link's client was promised; it won't be promised again. */
bool bpi_cluster_learn(struct bpi_link *link, struct bpi_bolt_span meta);
/* How long the endpoint may be silent while an answer is due, by its own hint; 0 = it gave none. */
bp_usec bpi_cluster_silence_us(struct bpi_cluster *cluster, unsigned endpoint);
/* The server refused a log-in: cache entry, idle links and queued wishes of that identity go. */
void bpi_cluster_login_refused(struct bpi_cluster *cluster,
                               struct bpi_identity *identity,
                               const struct bpi_bolt_answer *answer,
                               bpi_bolt_version version,
                               struct bpi_loop *loop);
/* A copy of the answer's FAILURE, for free(); NULL: out of memory. */
struct bpi_server_failure *bpi_server_failure_new(const struct bpi_bolt_answer *answer,
                                                  bpi_bolt_version version);

/* control.c: a link was lent for which a KILL waits; or its lease ended without. On its loop. */
void bpi_kill_arrived(struct bpi_link *link);
void bpi_kill_forget(struct bpi_link *link);

/* login.c: the check's link logged on, was refused, or was lost before either. */
void bpi_login_check_verified(struct bpi_login_check *check, struct bpi_link *link);
void bpi_login_check_refused(struct bpi_login_check *check,
                             const struct bpi_bolt_answer *answer,
                             bpi_bolt_version version);
/* `sent`: the log-in had been written, so it is not tried again. */
void bpi_login_check_lost(struct bpi_login_check *check, bool sent);

/* probe.c */
void bpi_probe_init(struct bpi_probe *probe, struct bpi_cluster *cluster, unsigned endpoint);
/* Threads: any; merges with one that is under way. */
void bpi_probe_want(struct bpi_probe *probe);
/* The same, at once, and where all places are taken by links that say nothing, as one connection more. */
void bpi_probe_press(struct bpi_probe *probe);
void bpi_probe_stop(struct bpi_probe *probe); /* on loop 0 */

/* watch.c; on loop 0, but for the last three. */
void bpi_watch_init(struct bpi_cluster *cluster);
void bpi_watch_start(struct bpi_cluster *cluster);
void bpi_watch_stop(struct bpi_cluster *cluster);
/* A question was put to the endpoint; it said something, whatever it was. */
void bpi_watch_asked(struct bpi_cluster *cluster, unsigned endpoint);
void bpi_watch_heard(struct bpi_cluster *cluster, unsigned endpoint);
/* Counts what a link has found out since it was last counted. With the lock. */
void bpi_watch_count_round_trip(struct bpi_link *link);
/* ... and how its lease ended. With the lock. */
void bpi_watch_count_outcome(struct bpi_link *link, bool failed, bp_usec now_us);
/* How long a server's system may acknowledge nothing on one connection, for the sockets; 0 = as they are. */
bp_usec bpi_cluster_silent_max_us(const struct bpi_cluster_config *config);

/* Writes HELLO as this cluster's links say it. `token` absent: without a log-in (5.1+). */
BP_MUST_CHECK int bpi_link_write_hello(struct bpi_buffer *out,
                                       const struct bpi_url *url,
                                       bpi_bolt_version version,
                                       bool utc_patch,
                                       struct bpi_bolt_span token);

#endif
