/* One database cluster: its endpoints, its links, who waits for them, and what was verified.
 *
 * Joins the decider (pool/pool.h) to sockets: reports events to it, asks what to do, and does it. All
 * loops share the pool under one mutex with short critical sections: no I/O, no callback, no logging
 * inside. Grants reach their loop as mail.
 *
 * Lock order: cluster->mutex alone; no other lock is taken inside it but a mailbox's.
 */
#ifndef BPI_ENGINE_CLUSTER_H
#define BPI_ENGINE_CLUSTER_H

#include "base/histogram.h"
#include "bolt/version.h"
#include "engine/config.h"
#include "engine/identity.h"
#include "net/loop.h"
#include "pool/pool.h"

#include <boltpool/types.h>

struct bpi_cluster;
struct bpi_executor;
struct bpi_link;
struct bpi_login_check;
struct bpi_tls_context;

/* What a server said in a FAILURE: as it came, for clients of the same form, and read for the others. */
struct bpi_server_failure {
    char code[128];
    char message[512];
    bpi_bolt_version version; /* of the link that it came on */
    size_t meta_size;
    uint8_t meta[]; /* the encoded map */
};

/* Bookmarks that are looked at to find the server that issued them; drivers show one, or a few. More count as from
 * several servers, so they go where all is written. Each costs every client 8 bytes. */
#define BPI_WISH_BOOKMARKS 4

/* A wish for a link. Embedded in its owner's object.
 * Life: bpi_cluster_acquire() -> granted or refused at once; or on_done (on the owner's loop, at the end of a
 * turn), or a bpi_cluster_cancel() that returned true. If it returned false, on_done still comes.
 */
struct bpi_wish {
    struct bpi_pool_waiter waiter; /* first: the pool's pointer is ours */
    struct bpi_mail mail;
    struct bpi_cluster *cluster;
    struct bpi_loop *loop;
    /* Set by the owner. */
    struct bpi_identity *identity; /* borrowed while the wish is out */
    bpi_bolt_version version;      /* the client's */
    bool utc_patch;
    struct bpi_login_check *check; /* of the cluster's own log-in checks */
    /* Where it may go (balance.h); what isn't set is a write to the home database. */
    bool is_write;
    uint64_t database;                      /* a hash of its name */
    uint64_t bookmarks[BPI_WISH_BOOKMARKS]; /* their hashes */
    unsigned bookmarks_count;
    unsigned preferred; /* set by the cluster: the endpoint whose turn it is */
    /* `link` is the caller's to lend (bpi_link_lend, with the identity when `login` is set), or NULL: then
     * the log-in failed and `failure` says how (the callee frees it), or it was refused after a wait (`refusal`),
     * or the wish was unwanted. */
    void (*on_done)(struct bpi_wish *wish, struct bpi_link *link, bool login);
    struct bpi_link *link;
    bool login;
    bool
        unwanted; /* set by the owner: should the link be dead on arrival, no other one is waited for */
    struct bpi_server_failure *failure;
    enum bpi_pool_refusal
        refusal; /* why there is no link, where the pool refused it while it waited */
};

/* One who wants to know whether an identity may log on.
 * Life: bpi_cluster_verify() -> on_done or a bpi_cluster_verify_cancel() that returned true.
 */
struct bpi_login {
    struct bpi_login *prev, *next;
    struct bpi_mail mail;
    struct bpi_cluster *cluster;
    struct bpi_loop *loop;
    struct bpi_login_check *check; /* Lock: cluster->mutex */
    /* status 0: verified, `expired` tells whether the server said credentials_expired. BP_E_SERVER_FAILURE:
     * refused, `failure` says how. BP_E_FULL: too many are being checked.
     * BP_E_SERVER_LOST: the server was asked and closed the connection. BP_E_QUEUE_TIMEOUT: no
     * server could be asked in time. */
    void (*on_done)(struct bpi_login *login);
    int status;
    bool expired;
    struct bpi_server_failure *failure; /* the callee frees it */
};

/* What the servers look like to a client: known after the first contact. */
struct bpi_cluster_face {
    bpi_bolt_versions versions; /* spoken by all endpoints that were reached */
    char server[128];           /* "Neo4j/5.26.30" */
    int64_t recv_timeout_s;     /* hint; 0 = none */
    bool ssr;                   /* hint ssr.enabled */
    bool no_utc;                /* a 4.x server refused the utc patch */
};

/* Waits for the first contact. */
struct bpi_face_waiter {
    struct bpi_face_waiter *prev, *next;
    struct bpi_mail mail;
    struct bpi_loop *loop;
    bool queued; /* Lock: cluster->mutex */
    void (*on_known)(struct bpi_face_waiter *waiter);
};

struct bpi_cluster_stats {
    unsigned links_open;
    unsigned links_open_max; /* the most at one time */
    unsigned links_idle;
    unsigned links_leased;
    unsigned waiters;
    unsigned leased[BPI_CLASS_COUNT];
    unsigned queued[BPI_CLASS_COUNT];
    uint64_t granted[BPI_CLASS_COUNT];
    uint64_t refused[BPI_CLASS_COUNT];
    struct bpi_histogram wait[BPI_CLASS_COUNT]; /* from the request's arrival to the grant */
    unsigned endpoints_count;
    struct {
        char name[300];
        bool up;
        bool draining;
        unsigned links_open;
        unsigned leased;
        uint64_t granted;
        double health;         /* 0..1, see pool/health.h */
        bp_usec round_trip_us; /* of a request without work, smoothed; 0 = not known */
    } endpoints[BPI_CONFIG_ENDPOINTS_MAX];
    bool paused;
    double links_health_worst; /* of the open links; 1 where there is none */
    double links_health_mean;
    uint64_t logins_checked;
    uint64_t logins_swapped; /* LOGOFF and LOGON on a link */
    uint64_t links_opened;
    uint64_t links_lost;
    uint64_t links_checked;
};

/* `config` is one of clusters[] of a config that the caller holds a reference on as long as the cluster
 * uses it (see bpi_cluster_reload). The loops need not run yet.
 * Errors: BP_E_NO_MEMORY, BP_E_CONFIG (TLS files), libuv's; reterr_text says what. */
BP_MUST_CHECK int bpi_cluster_new(const struct bpi_config *whole,
                                  const struct bpi_cluster_config *config,
                                  struct bpi_loop **loops,
                                  unsigned loops_count,
                                  struct bpi_cluster **ret_cluster,
                                  char *reterr_text,
                                  size_t reterr_text_size);
/* Starts asking the endpoints for their versions. On loop 0, or before it runs. */
void bpi_cluster_start(struct bpi_cluster *cluster);
/* Takes new limits; both configs must outlive the call, the new one the cluster or the next reload.
 * Threads: any one at a time. */
void bpi_cluster_reload(struct bpi_cluster *cluster,
                        const struct bpi_config *whole,
                        const struct bpi_cluster_config *config);
/* Closes all links as they become idle and opens no more; stops asking endpoints. On loop 0. */
void bpi_cluster_stop(struct bpi_cluster *cluster);
/* Cuts what is left after bpi_cluster_stop(): on each loop, posted from any. */
void bpi_cluster_abort(struct bpi_cluster *cluster);
/* Whether every link is closed and no endpoint is being asked. Threads: any. */
bool bpi_cluster_is_closed(struct bpi_cluster *cluster);
/* After the loops have ended (or with everything closed). */
void bpi_cluster_free(struct bpi_cluster *cluster);

const uint8_t *bpi_cluster_key(const struct bpi_cluster *cluster); /* for identities */
void bpi_cluster_face_get(struct bpi_cluster *cluster, struct bpi_cluster_face *ret_face);
/* Waits until versions are known; false: they are already. on_known comes on the waiter's loop. */
bool bpi_cluster_face_wait(struct bpi_cluster *cluster, struct bpi_face_waiter *waiter);
/* True: it won't be called any more. */
bool bpi_cluster_face_cancel(struct bpi_cluster *cluster, struct bpi_face_waiter *waiter);

/* Asks for a link; what the caller sets of `waiter` and the wish's identity, version, utc_patch and on_done are
 * set. Never blocks. On the loop that will own the lease. BPI_POOL_ADMITTED with *ret_link: it is the caller's to
 * lend at once, logged on, and on_done doesn't come; without: on_done will come. Else it was refused. */
BP_MUST_CHECK enum bpi_pool_refusal
bpi_cluster_acquire(struct bpi_cluster *cluster, struct bpi_wish *wish, struct bpi_link **ret_link);
bool bpi_cluster_cancel(struct bpi_cluster *cluster, struct bpi_wish *wish);
/* ---- several endpoints (balance.c) ---- */

/* A bookmark came at the end of a transaction on this link: whoever shows it later goes to the same server. Its hash is that
 * of bpi_identity_hash(). On the link's loop. */
void bpi_cluster_issued(struct bpi_link *link, uint64_t bookmark);
/* Whether there are several endpoints, so that a wish has to say where it may go. */
bool bpi_cluster_has_choice(const struct bpi_cluster *cluster);
/* Whether anybody asks for bookmarks: only where several servers have data of their own. */
bool bpi_cluster_wants_bookmarks(const struct bpi_cluster *cluster);
/* Why it waits, for people: how many are ahead and what limit is reached. Returns `text`. */
const char *bpi_cluster_explain(struct bpi_cluster *cluster,
                                const struct bpi_wish *wish,
                                char *text,
                                size_t size);

/* Whether `identity` may log on; checks of the same log-in at the same time are one. */
void bpi_cluster_verify(struct bpi_cluster *cluster,
                        struct bpi_login *login,
                        struct bpi_identity *identity,
                        bpi_bolt_version version,
                        bool utc_patch);
bool bpi_cluster_verify_cancel(struct bpi_cluster *cluster, struct bpi_login *login);

/* ---- for people (control.c); threads: any ---- */

enum bpi_cluster_pause_state {
    BPI_CLUSTER_RUNNING,
    BPI_CLUSTER_PAUSING, /* transactions are still running, or links closing */
    BPI_CLUSTER_PAUSED,  /* nothing is left at the servers: they may be restarted */
};

/* New work waits (up to its queue_timeout), transactions that run may end, and links are closed as they become idle.
 * In session mode a client keeps its link until it goes. */
void bpi_cluster_pause(struct bpi_cluster *cluster);
void bpi_cluster_resume(struct bpi_cluster *cluster);
/* How far a pause has come; RUNNING where somebody has resumed meanwhile. *ret_leased (or NULL): links still lent. */
enum bpi_cluster_pause_state bpi_cluster_pause_state(struct bpi_cluster *cluster,
                                                     unsigned *ret_leased);
/* All links are renewed: each is closed as it becomes free. */
void bpi_cluster_reconnect(struct bpi_cluster *cluster);
/* No new work goes to the endpoint ("host:port", as in the stats), its links close as they become idle; or it is taken
 * back into use. Errors: BP_E_USAGE, there is none of that name. */
BP_MUST_CHECK int
bpi_cluster_drain(struct bpi_cluster *cluster, const char *endpoint, bool draining);
/* Ends a lease: its lessee tells its client, and the link is cleaned or closed. Errors: BP_E_USAGE, there is none of
 * that id (any more); BP_E_NO_MEMORY. */
BP_MUST_CHECK int bpi_cluster_kill(struct bpi_cluster *cluster, uint64_t lease_id);

const char *bpi_cluster_endpoint_name(const struct bpi_cluster *cluster, unsigned endpoint);

/* Threads: any. */
void bpi_cluster_stats_get(struct bpi_cluster *cluster, struct bpi_cluster_stats *ret_stats);

#endif
