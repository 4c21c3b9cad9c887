/* The load generator: many clients that run transactions against Bolt servers and measure them.
 *
 * Closed loop: each client begins its next transaction when the last one ended. Open loop (`rate`):
 * transactions are due at the times of a Poisson process whatever the server does, and a latency is
 * measured from that intended start, so that a server that stalls can't hide it (coordinated omission).
 * Streams (`rate` of each entry): several open loops side by side, each with connections of its own that are
 * all logged on before the clock starts.
 * Clients retry as drivers do: TransientError and the like, and connections lost while no COMMIT is under
 * way; an auto-commit write whose connection is lost is not retried, since it may have been done.
 *
 * Equation, once it is done: begun = committed + failed + unknown; of a stream: offered = good + late +
 * refused + failed + timed_out + backlog.
 * Threads: each function may be called from any thread; clients live on loops of their own.
 */
#ifndef BPI_CLI_LOAD_H
#define BPI_CLI_LOAD_H

#include "base/histogram.h"
#include "base/url.h"
#include "bolt/version.h"
#include "cli/load_arrival.h"

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
    const char *value; /* NULL: `number` */
    int64_t number;
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

    /* A stream; either all entries are or none. */
    double rate;           /* transactions due each second; 0: no stream */
    uint32_t client_count; /* connections, so most transactions in flight; 0: 100 */
    bp_usec good_us;       /* from when it was due: a later commit is late; 0: none is */
    bool retry;            /* as `retry` of the options */
    const struct bpi_load_burst *bursts; /* their times count from the end of the warm-up */
    size_t burst_count;
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
    bool reconnect;        /* a new connection for each transaction; not with streams */
    bp_usec
        queue_timeout_us; /* streams: one that found no free connection for so long is never begun, as
                                 by a semaphore with a queue; 0: it waits */
    bool samples;         /* streams: keep what became of each transaction */
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

enum bpi_load_fate {
    BPI_LOAD_GOOD,
    BPI_LOAD_LATE,      /* committed after good_us */
    BPI_LOAD_REFUSED,   /* with a code that says "not now": what boltpool's refusals are sent as */
    BPI_LOAD_BROKEN,    /* failed otherwise, unknown ones too */
    BPI_LOAD_TIMED_OUT, /* queue_timeout_us */
};

#define BPI_LOAD_NO_WAIT UINT32_MAX

struct bpi_load_sample {
    uint64_t due_us; /* from the end of the warm-up */
    uint32_t latency_us;
    uint32_t wait_us; /* latency without the server's service_us; BPI_LOAD_NO_WAIT: it said none */
    enum bpi_load_fate fate;
};

/* Of those that were due after the warm-up and before the end. */
struct bpi_load_stream_results {
    uint64_t offered;
    uint64_t good;
    uint64_t late;
    uint64_t refused;
    uint64_t broken;
    uint64_t timed_out;
    uint64_t backlog;   /* due and never begun when the time was over */
    uint64_t no_client; /* were due while all connections were in use, and begun later */
    uint64_t refusals;  /* attempts that were refused, those that were retried too */
    uint64_t services;  /* transactions of which the server said service_us */
    uint64_t service_us_sum;
    struct bpi_histogram wait;    /* of the committed */
    struct bpi_histogram refusal; /* from an attempt's first byte to its refusal */
    struct bpi_load_sample *samples;
    size_t sample_count;
    size_t sample_capacity;
    bool samples_lost; /* there was no memory for some */
};

struct bpi_load_entry_results {
    const char *name; /* borrowed from the options */
    uint64_t committed;
    uint64_t failed; /* unknown ones too */
    uint64_t retries;
    struct bpi_histogram
        latency; /* of the committed, from the (intended) start, retries included */
    struct bpi_load_stream_results *stream; /* NULL: the entry is none */
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
