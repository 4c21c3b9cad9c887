/* A pool of connections that threads and event loops share.
 *
 *     struct bp_pool_config config;
 *     bp_pool_config_init(&config);
 *     config.links_max = 20;
 *     struct bp_pool *pool;
 *     int error = bp_pool_new(&config, &connector, &pool);
 *     ...
 *     struct bp_lease *lease;
 *     error = bp_pool_acquire(pool, NULL, BP_WAIT_DEFAULT, &lease);
 *     if (error == 0) {
 *         use(bp_lease_connection(lease));
 *         bp_pool_release(lease, BP_OUTCOME_OK);
 *     }
 *
 * The connections are the caller's own: a connector opens, checks and closes them, on helper threads of the pool. Pools
 * share nothing.
 * Work is of one of five classes, each with a minimum, a cap and a share of the one set of connections. Inside a class
 * priority goes first (one that waits long rises), then the tenant that holds the least, then deadline, then arrival.
 *
 * Owns: what a function is given is borrowed for the call, unless it says otherwise.
 * Units: all times are microseconds; names that end in `_us` say so. Points in time are those of bp_now_us().
 * Errors: 0 or a negative code (error.h). A usage error is told to the log callback too, in debug builds.
 * Threads: every function may be called from any thread, except where it says otherwise. The pool has one thread for
 * its upkeep and up to 2 x connects_max + 4 helpers; the connector (but for `returned`) and the log callback are called on
 * those.
 * Forks: a pool lives in the process that made it. In a forked child every function answers BP_E_USAGE (bp_pool_free
 * does nothing), and the connections stay the parent's.
 */
#ifndef BOLTPOOL_POOL_H
#define BOLTPOOL_POOL_H

#include <boltpool/error.h>
#include <boltpool/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct bp_pool;
struct bp_lease;
struct bp_mailbox;

/* ---- what work is ---- */

enum bp_class {
    BP_CLASS_READ_ONLY,
    BP_CLASS_READ_WRITE,
    BP_CLASS_ANALYTICS,
    BP_CLASS_MAINTENANCE,
    BP_CLASS_HIGH_PRIORITY
};

#define BP_CLASS_COUNT 5

enum bp_priority { BP_PRIORITY_NORMAL, BP_PRIORITY_LOW, BP_PRIORITY_HIGH, BP_PRIORITY_CRITICAL };

/* A class by its name, or a type of operation, which has a class. */
enum bp_work {
    BP_WORK_READ_WRITE,
    BP_WORK_READ_ONLY,
    BP_WORK_ANALYTICS,
    BP_WORK_MAINTENANCE,
    BP_WORK_HIGH_PRIORITY,
    BP_WORK_INHERITANCE_CHAIN_READ,   /* read_only; with priority high or critical: high_priority */
    BP_WORK_PROPERTY_RESOLUTION_READ, /* the same */
    BP_WORK_CONCEPT_CREATION,         /* read_write */
    BP_WORK_CONCEPT_UPDATE,           /* read_write */
    BP_WORK_BULK_ANALYTICS,           /* analytics */
    BP_WORK_GRAPH_TRAVERSAL,          /* analytics */
    BP_WORK_MAINTENANCE_OPERATION,    /* maintenance */
    BP_WORK_CRITICAL_OPERATION        /* high_priority */
};

#define BP_WORK_COUNT 13

/* The class that work of this kind and priority belongs to; -1 for values out of range. */
BP_API int bp_work_class(enum bp_work work, enum bp_priority priority);
/* "read_only" ..., "inheritance_chain_read" ...; NULL for values out of range. Static. */
BP_API const char *bp_class_name(enum bp_class class_);
BP_API const char *bp_work_name(enum bp_work work);
/* The work of that name. False (0): there is none. */
BP_API int bp_work_parse(const char *name, enum bp_work *ret_work);

#define BP_REFUSAL_TEXT 512

/* Why an acquire failed. `text` says it in a sentence: who, which limit and its value, who holds the connections. */
struct bp_refusal {
    int error;
    enum bp_class class_;
    bp_usec waited_us;
    bp_usec estimate_us; /* BP_E_HOPELESS, BP_E_SHED: how long it would have waited */
    unsigned ahead;      /* waiters that would have been served first */
    unsigned limit;      /* the value of the limit that was reached; 0 = none was */
    int open_error;      /* what opening a connection failed with lately; 0 = it didn't */
    char text[BP_REFUSAL_TEXT];
};

/* What a connection is wanted for. Zeroed but for struct_size it is ordinary read_write work. */
struct bp_operation {
    size_t struct_size; /* sizeof(struct bp_operation) */
    enum bp_work work;
    enum bp_priority priority;
    bp_usec deadline_us; /* when its work should be done, by bp_now_us(); 0 = any time */
    const char *tenant;  /* between whom the pool is fair; NULL = nobody in particular */
    const char *name;    /* for leak reports; the first 47 bytes are copied */
    /* Where a failure is told; NULL = nowhere. The caller's, written before acquire returns. Not used by the
     * asynchronous form, whose callback is given one. */
    struct bp_refusal *reterr_refusal;
};

#define BP_OPERATION_INIT                                                                          \
    {                                                                                              \
        sizeof(struct bp_operation), BP_WORK_READ_WRITE, BP_PRIORITY_NORMAL, 0, NULL, NULL, NULL   \
    }

/* CLOCK_MONOTONIC in microseconds, as the pool sees it. */
BP_API bp_usec bp_now_us(void);

/* ---- connections ---- */

struct bp_open_request {
    size_t struct_size;
    bp_usec timeout_us; /* how long opening may take; the pool can't end a call that takes longer */
    bp_usec deadline_us; /* the same as a point in time */
    char *reterr_text;   /* a sentence for people may be written here on failure, zero-terminated */
    size_t reterr_size;
};

/* How a connection comes back. */
enum bp_outcome {
    BP_OUTCOME_OK, /* clean, ready for the next one */
    BP_OUTCOME_ERROR, /* clean, but the work failed by the server's fault; errors_max in a row close it */
    BP_OUTCOME_BROKEN, /* to be closed */
    /* Usable, but something is still open on it: the connector's `check`, which has to put that in order, must succeed
     * before anybody else gets it. That is done on a helper thread; this lease is over at once. Until then the connection counts
     * as checking, and for the limits of its class; one that fails is closed as unhealthy. Without `check`: BROKEN. */
    BP_OUTCOME_UNCLEAN
};

/* How connections are made. The functions may block, but for `returned`; they run on the pool's helper threads, but for
 * `returned`, several at a time (never two for one connection), and must not call this pool. A call that hangs costs one
 * helper and the place of one connection until it returns.
 */
struct bp_connector {
    size_t struct_size;
    void *user;
    /* Returns 0 and a connection (not NULL), or an error. An error of ours that no retry helps against
     * (bp_error_retryable() is 0: wrong credentials, say) fails all waiters; after any other one the pool tries
     * again, at growing intervals. */
    int (*open)(void *user, const struct bp_open_request *request, void **ret_connection);
    /* Whether a connection that is idle, or came back unclean, still works, and is clean: 0, or the error for which it is
     * to be closed. NULL: never asked. */
    int (*check)(void *user, void *connection, bp_usec timeout_us);
    /* Must not fail. NULL: nothing to be done. */
    void (*close)(void *user, void *connection);
    /* How a connection really comes back whose user says `said`: the answer counts in the place of that. Called by
     * bp_pool_release() and bp_request_cancel(), on the calling thread, once for each lease; must not block. It sees the
     * connection alone: the lease is over (bp_lease_connection() gives NULL), and nobody has it yet. NULL: as it was said. */
    enum bp_outcome (*returned)(void *user, void *connection, enum bp_outcome said);
    /* The pool is gone and calls nothing any more: `user` may be freed. On the thread that was last with the pool; also
     * where bp_pool_new() failed, but not with BP_E_CONFIG. NULL: nothing to be done. */
    void (*done)(void *user);
};

/* ---- configuration ---- */

struct bp_class_config {
    unsigned min;            /* connections that are there for it */
    unsigned max;            /* at most so many at one time; 0 = links_max */
    unsigned share;          /* of connection time, beside the others' shares; 1 .. 10000 */
    unsigned waiting_max;    /* at most so many may wait; 0 = no bound */
    bp_usec codel_target_us; /* refuse the oldest while waits stay above this; 0 = off */
};

enum bp_log_level { BP_LOG_DEBUG, BP_LOG_INFO, BP_LOG_WARN, BP_LOG_ERROR };

struct bp_pool_config {
    size_t struct_size;
    const char *name;      /* in texts; copied; at most 63 bytes; "pool" */
    unsigned links_max;    /* connections open at one time; 1 .. 10000; 50 */
    unsigned idle_min;     /* kept open without need; what is above links_max counts as that; 5 */
    unsigned connects_max; /* opened at one time; 1 .. 64; 16 */
    unsigned errors_max;   /* failed leases in a row that close it; 3 */
    struct bp_class_config classes[BP_CLASS_COUNT]; /* min 0, max 0, share 100 */
    bp_usec queue_timeout_us;                       /* BP_WAIT_DEFAULT; 30 s */
    bp_usec open_timeout_us;                        /* told to the connector; 15 s */
    bp_usec check_timeout_us;                       /* told to the connector; 2 s */
    bp_usec pass_over_us; /* who waits so long isn't overtaken any more; 4 ms */
    bp_usec
        lend_max_hold_us;    /* minima are lent to classes with shorter holds; 0 = to none; 50 ms */
    bp_usec lifetime_us;     /* closed when older, less up to a tenth; 0 = never; 1 h */
    bp_usec idle_timeout_us; /* closed when idle so long, above idle_min; 0 = never; 10 min */
    bp_usec check_after_us;  /* checked before use when silent so long; 0 = never; 30 s */
    bp_usec keep_alive_us;   /* checked while idle, so often; 0 = never; 2 min */
    bp_usec leak_report_after_us; /* a lease held so long is reported; 0 = never; 60 s */
    /* A line for people. Called on the pool's own threads, or where a usage error was made; must not call the pool.
     * NULL = no lines. */
    void (*log)(void *user, enum bp_log_level level, const char *text);
    void *log_user;
};

/* The defaults above. */
BP_API void bp_pool_config_init(struct bp_pool_config *config);

/* ---- life ---- */

/* Makes a pool and begins to open idle_min connections; doesn't wait for them.
 * Owns:   copies `config` and `connector`; what they point to (user, log_user) lives until all leases are back and bp_pool_free() has
 *         returned; the connector's `done` says when that is.
 * Errors: BP_E_CONFIG, BP_E_NO_MEMORY, what pthread_create() says. */
BP_API BP_MUST_CHECK int bp_pool_new(const struct bp_pool_config *config,
                                     const struct bp_connector *connector,
                                     struct bp_pool **ret_pool);
/* While paused nothing is granted or opened; those that come wait. Leases stay. */
BP_API int bp_pool_pause(struct bp_pool *pool);
BP_API int bp_pool_resume(struct bp_pool *pool);
/* Closes every connection as soon as it is idle, so that all are new. */
BP_API int bp_pool_reconnect(struct bp_pool *pool);
/* Refuses whoever comes from now on (BP_E_DRAINING), serves those that wait, and returns when all leases are back and
 * what came back unclean is clean or closed.
 * Errors: UV_ETIMEDOUT (-110) when that took longer than timeout_us; it drains on. */
BP_API int bp_pool_drain(struct bp_pool *pool, bp_usec timeout_us);
/* Refuses whoever comes or waits (BP_E_CLOSED), waits for the leases, closes all connections and ends the threads. May
 * be called again.
 * Errors: UV_ETIMEDOUT (-110) when leases are out, or calls of the connector haven't returned, after timeout_us; what comes
 * back later is closed then. */
BP_API int bp_pool_stop(struct bp_pool *pool, bp_usec timeout_us);
/* Stops it without waiting, and frees it: at once, or by whoever is last: the last lease that is released, the last call of
 * the connector that returns. The caller's handle, and its mailboxes', are gone. No other call on the pool may be under
 * way. NULL is fine. */
BP_API void bp_pool_free(struct bp_pool *pool);

/* ---- maintenance ---- */

/* What the pool does without being asked. All of it runs from bp_pool_new() on. What those who take and wait need goes
 * on without it: connections are opened because somebody waits, one that was silent for check_after_us is checked
 * before use, and one that comes back broken or unclean is closed or checked. */
enum bp_maintenance {
    /* Idle connections are checked each keep_alive_us, and any one is closed when it is older than lifetime_us. When it is
     * started again, those that are too old are closed within the next tenth of lifetime_us. */
    BP_MAINTENANCE_HEALTH = 1,
    /* idle_min connections are opened ahead of need, and those above that closed after idle_timeout_us. */
    BP_MAINTENANCE_SCALING = 2,
    /* Leases that are held for leak_report_after_us are reported. Figures (bp_pool_get_stats) are always counted. */
    BP_MAINTENANCE_ANALYSIS = 4,
    BP_MAINTENANCE_ALL = 7
};

/* Starts and stops the parts (of enum bp_maintenance, or-ed) that run; starting one that runs, or stopping one that doesn't,
 * changes nothing. A stop is effective for what has not begun; a call of the connector that is under way ends as it ends.
 * Threads: any; never blocks.
 * Errors:  BP_E_USAGE; BP_E_CLOSED: starting in a pool that was stopped. */
BP_API int bp_pool_start_maintenance(struct bp_pool *pool, unsigned parts);
BP_API int bp_pool_stop_maintenance(struct bp_pool *pool, unsigned parts);
/* The parts that run, or a negative error. 0 once the pool was stopped. */
BP_API int bp_pool_maintenance(struct bp_pool *pool);

/* ---- leases ---- */

/* As long as the configuration's queue_timeout_us. */
#define BP_WAIT_DEFAULT ((bp_usec)-1)

/* Takes a connection; waits for one where none is there.
 * Units:   timeout_us is how long at most; 0 = take one that is idle now, or none.
 * Owns:    borrows `operation` (NULL = ordinary read_write work) for the call. The lease is the caller's, on any
 *          thread, until bp_pool_release().
 * Threads: any; blocks.
 * Errors:  BP_E_QUEUE_TIMEOUT, BP_E_FULL (waiting_max), BP_E_HOPELESS (the deadline can't be met: at once), BP_E_SHED,
 *          BP_E_DRAINING, BP_E_CLOSED, BP_E_USAGE, or what the connector said that no retry helps against. */
BP_API BP_MUST_CHECK int bp_pool_acquire(struct bp_pool *pool,
                                         const struct bp_operation *operation,
                                         bp_usec timeout_us,
                                         struct bp_lease **ret_lease);

/* Gives a connection back.
 * Owns:    takes the lease, whatever the answer.
 * Threads: any; never blocks; of the connector only `returned` is called here.
 * Errors:  BP_E_USAGE: this lease was given back before; nothing happens (a lease given back twice is known for
 *          the next 64 leases of its connection). */
BP_API int bp_pool_release(struct bp_lease *lease, enum bp_outcome outcome);
/* The connection: what the connector returned, borrowed with the lease. NULL where the lease was given back. Threads: any. */
BP_API void *bp_lease_connection(struct bp_lease *lease);

/* A lease that is out, for people. */
struct bp_lease_info {
    uint64_t id;     /* names it while it is out */
    bp_usec held_us; /* so far */
    enum bp_class class_;
    enum bp_work work;
    int thread;    /* the kernel's id of the thread that acquired it */
    char name[48]; /* "" = none was given */
};

/* Writes the leases that are out, class by class and the longest held first; returns how many there are, which may be more than
 * `size`; or a negative error. Threads: any. */
BP_API int bp_pool_leases(struct bp_pool *pool, struct bp_lease_info *infos, size_t size);

/* ---- the asynchronous form ---- */

/* Where the answers for one event loop arrive: a file descriptor to be polled for reading, and
 * a function that runs the callbacks.
 *
 * Threads: a mailbox belongs to the thread that made it; its functions, and the requests that use it, are for that
 * thread only, and callbacks run on it, inside bp_mailbox_dispatch() and nowhere else. A release on that thread that grants
 * to its own mailbox doesn't write to the descriptor: call bp_mailbox_dispatch() after each turn of the loop (it
 * costs a load where there is nothing).
 * Owns: it is the caller's, until bp_mailbox_free(). */
BP_API BP_MUST_CHECK int bp_mailbox_new(struct bp_pool *pool, struct bp_mailbox **ret_mailbox);
/* Frees it. NULL is fine. Errors: BP_E_USAGE while requests are out, or on another thread. */
BP_API int bp_mailbox_free(struct bp_mailbox *mailbox);
/* The pool's own: don't read it, don't close it. */
BP_API int bp_mailbox_fd(const struct bp_mailbox *mailbox);
/* Runs the callbacks that are due and returns their number, or a negative error. */
BP_API int bp_mailbox_dispatch(struct bp_mailbox *mailbox);

/* Storage for one request that is out; its content is the pool's. */
struct bp_request {
    uint64_t opaque[64];
};

/* error = 0: `lease` is the callee's to release. Else lease is NULL, and `refusal` (valid during the call) says why.
 * The request's storage is free again, and may be used for the next one at once. */
typedef void (*bp_acquired)(void *user,
                            int error,
                            struct bp_lease *lease,
                            const struct bp_refusal *refusal);

/* Asks for a connection; the answer always comes through the mailbox.
 * Owns:   borrows `operation` for the call, and `request` until the callback or bp_request_cancel().
 * Errors: BP_E_USAGE, BP_E_DRAINING, BP_E_CLOSED; then the callback isn't called. */
BP_API BP_MUST_CHECK int bp_pool_acquire_async(struct bp_pool *pool,
                                               struct bp_mailbox *mailbox,
                                               const struct bp_operation *operation,
                                               bp_usec timeout_us,
                                               bp_acquired callback,
                                               void *user,
                                               struct bp_request *request);
/* The callback will not be called, and the storage is the caller's again. What was granted already goes back.
 * Errors: BP_E_USAGE: it isn't out, or this is another thread. */
BP_API int bp_request_cancel(struct bp_request *request);

/* ---- statistics ---- */

struct bp_wait_stats {
    uint64_t granted; /* leases, those that didn't wait too */
    uint64_t returned;
    uint64_t refused; /* for whatever reason */
    unsigned active;  /* leases that are out: granted - returned */
    unsigned waiting;
    double utilisation;                              /* its part of the pool's */
    bp_usec p50_us, p90_us, p99_us, p999_us, max_us; /* at most 1.6 % above the true ones */
    bp_usec mean_us;
};

struct bp_pool_stats {
    size_t struct_size; /* set by the caller */
    /* Connections now: open = opening + idle + checking + active + closing. What came back unclean is checking. */
    unsigned open, opening, idle, checking, active, closing;
    unsigned waiting;
    /* Since the pool was made. */
    uint64_t created;
    uint64_t create_failed;
    uint64_t closed;           /* for whatever reason */
    uint64_t closed_unhealthy; /* of these: failed checks, broken leases, too many errors */
    uint64_t acquired;
    uint64_t returned;
    uint64_t leaks_reported;
    /* Connection time in leases over connection time open, 0 .. 1. */
    double utilisation;
    bp_usec age_us;
    struct bp_wait_stats classes[BP_CLASS_COUNT];
};

/* A consistent picture. Errors: BP_E_USAGE. Threads: any; takes some 50 us, in which nobody is held up longer than 5. */
BP_API int bp_pool_get_stats(struct bp_pool *pool, struct bp_pool_stats *stats);

#ifdef __cplusplus
}
#endif

#endif
