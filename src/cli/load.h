/* The load generator: many clients that run transactions against Bolt servers and measure them.
 *
 * Closed loop: each client begins its next transaction when the last one ended. Open loop (`rate`):
 * transactions are due at the times of a Poisson process whatever the server does, and a latency is
 * measured from that intended start, so that a server that stalls can't hide it (coordinated omission).
 * Clients retry as drivers do: TransientError and the like, and connections lost while no COMMIT is under
 * way; an auto-commit write whose connection is lost is not retried, since it may have been done.
 *
 * Equation, once it is done: begun = committed + failed + unknown.
 * Threads: each function may be called from any thread; clients live on loops of their own.
 */
#ifndef BPI_CLI_LOAD_H
#define BPI_CLI_LOAD_H

#include "base/histogram.h"
#include "base/url.h"
#include "bolt/version.h"

#include <boltpool/types.h>

#include <stdbool.h>

struct bpi_load;

enum bpi_load_value {
    BPI_LOAD_INT,    /* `low` */
    BPI_LOAD_TEXT,   /* `text` */
    BPI_LOAD_RANDOM, /* an integer of low .. high */
    BPI_LOAD_UNIQUE, /* an integer that no other transaction has; retries keep it */
};

struct bpi_load_param {
    const char *name;
    enum bpi_load_value kind;
    const char *text;
    int64_t low;
    int64_t high;
};

struct bpi_load_pair {
    const char *key;
    const char *value;
};

/* One kind of transaction. */
struct bpi_load_entry {
    const char *name; /* NULL: the query */
    const char *query;
    const struct bpi_load_param *params;
    size_t param_count;
    const struct bpi_load_pair *metadata; /* tx_metadata */
    size_t metadata_count;
    bool mode_read;
    bool is_explicit; /* BEGIN, RUN, COMMIT; else auto-commit */
    uint32_t weight;  /* 0 counts as 1 */
};

enum bpi_load_end {
    BPI_LOAD_COMMITTED,
    BPI_LOAD_FAILED,  /* surely not committed */
    BPI_LOAD_UNKNOWN, /* the connection was lost while it may have been committed */
};

struct bpi_load_outcome {
    size_t entry;
    enum bpi_load_end end;
    uint64_t unique; /* 0 where the entry has no such parameter */
};

/* Zeroed fields mean the default. Everything that is pointed to must live until bpi_load_free(). */
struct bpi_load_options {
    const struct bpi_url
        *urls; /* clients are spread over them; a dead one makes a client go on to the next */
    size_t url_count;
    const char *user; /* NULL: the URL's; without any the scheme "none" is used */
    const char *password;
    const char *database;
    const char *ca_file;        /* for bolt+s; NULL: the system's authorities */
    bpi_bolt_versions versions; /* 0: all */

    const struct bpi_load_entry *entries;
    size_t entry_count;

    uint32_t client_count; /* 0: 1 */
    uint32_t thread_count; /* 0: 1; at most one a client */
    double seconds;        /* 0: until `transactions` are done or bpi_load_stop() */
    double warmup_seconds; /* before them, not measured */
    uint64_t transactions; /* 0: no limit; not together with a warm-up */
    double rate;           /* transactions a second, all clients together; 0: closed loop */
    int64_t fetch_size;    /* of PULL; 0: 1000, as drivers; -1: all */
    bool reconnect;        /* a new connection for each transaction */
    uint64_t seed;
    uint64_t unique_first; /* 0: 1 */

    bool retry;
    bp_usec retry_base_us;     /* 0: 1 s; doubled each time, jitter 0.2 */
    bp_usec retry_time_max_us; /* 0: 30 s */
    bp_usec open_timeout_us;   /* connect to log-in; 0: 5 s */
    bp_usec answer_timeout_us; /* 0: none */
    bp_usec pause_us;          /* after a transaction failed for want of a connection; 0: 100 ms */
    bp_usec grace_us;          /* for what runs when the time is over; 0: 10 s */

    /* Each transaction's end, or NULL. Runs on the clients' loops, several at a time. */
    void (*on_end)(void *user, const struct bpi_load_outcome *outcome);
    void *on_end_user;
};

#define BPI_LOAD_CODE_SIZE  96
#define BPI_LOAD_ERRORS_MAX 32 /* more kinds are counted as "other" */

struct bpi_load_error {
    char code
        [BPI_LOAD_CODE_SIZE]; /* of a FAILURE, or "connection lost", "connect: ECONNREFUSED" ... */
    uint64_t count;           /* attempts, those that were retried too */
};

struct bpi_load_entry_results {
    const char *name; /* borrowed from the options */
    uint64_t committed;
    uint64_t failed; /* unknown ones too */
    uint64_t retries;
    struct bpi_histogram
        latency; /* of the committed, from the (intended) start, retries included */
};

struct bpi_load_results {
    double elapsed_s; /* measured: without the warm-up */
    bool done;
    uint64_t committed;
    uint64_t failed;
    uint64_t unknown;
    uint64_t retries;
    uint64_t records;
    uint64_t backlog; /* open loop: due before the end and never begun */
    uint64_t connects;
    uint64_t connects_failed;
    uint32_t connections_now;
    struct bpi_histogram connect; /* from connect to the log-in's SUCCESS */
    struct bpi_histogram latency; /* of all entries */
    struct bpi_load_entry_results *entries;
    size_t entry_count;
    struct bpi_load_error errors[BPI_LOAD_ERRORS_MAX]; /* most frequent first */
    size_t error_count;
};

/* Errors: BP_E_CONFIG for options that don't fit together, BP_E_NO_MEMORY, libuv's; reterr_text says it. */
BP_MUST_CHECK int bpi_load_start(const struct bpi_load_options *options,
                                 struct bpi_load **ret_load,
                                 char *reterr_text,
                                 size_t reterr_text_size);
/* Ends it early: no transaction begins any more; those that run have `grace_us`. */
void bpi_load_stop(struct bpi_load *load);
bool bpi_load_is_done(struct bpi_load *load);
/* Waits for the end, at most `timeout_us` (0: without limit). Whether it is done. */
bool bpi_load_wait(struct bpi_load *load, bp_usec timeout_us);
/* The results so far; bpi_load_results_done() frees them. Errors: BP_E_NO_MEMORY. */
BP_MUST_CHECK int bpi_load_snapshot(struct bpi_load *load, struct bpi_load_results *ret_results);
void bpi_load_results_done(struct bpi_load_results *results);
/* Aborts what still runs; NULL is fine. */
void bpi_load_free(struct bpi_load *load);

#endif
