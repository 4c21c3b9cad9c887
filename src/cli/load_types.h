/* The inside of the load generator: for load.c and load_client.c only. */
#ifndef BPI_CLI_LOAD_TYPES_H
#define BPI_CLI_LOAD_TYPES_H

#include "base/random.h"
#include "bolt/chunk.h"
#include "bolt/client_state.h"
#include "bolt/handshake.h"
#include "cli/load.h"
#include "net/loop.h"

#include <pthread.h>
#include <stdatomic.h>

struct bpi_conn;
struct bpi_load_worker;
struct bpi_tls_context;

/* States -> function that leaves them:
 *   (streams: the first READY -> GATHERED -> bpi_load_client_go -> READY)
 *   CONNECTING -> on_open -> HANDSHAKE -> handshake_read -> LOGIN -> login_answer -> READY
 *   READY      -> client_next -> WAITING (open loop) | RUNNING
 *   RUNNING    -> tx_answer -> READY | RESETTING -> READY; failed: BACKOFF | PAUSED | READY
 *   WAITING, BACKOFF, PAUSED -> on_timer;  all -> client_done -> DONE
 * BACKOFF, PAUSED and WAITING may be without a connection, READY too.
 */
enum bpi_load_state {
    BPI_LOAD_STATE_READY,
    BPI_LOAD_STATE_GATHERED, /* until all clients of all streams are logged on */
    BPI_LOAD_STATE_CONNECTING,
    BPI_LOAD_STATE_HANDSHAKE,
    BPI_LOAD_STATE_LOGIN,
    BPI_LOAD_STATE_RUNNING,
    BPI_LOAD_STATE_RESETTING,
    BPI_LOAD_STATE_WAITING,
    BPI_LOAD_STATE_BACKOFF,
    BPI_LOAD_STATE_PAUSED,
    BPI_LOAD_STATE_DONE,
};

/* One client. Owner: its worker's loop. */
struct bpi_load_client {
    struct bpi_load_worker *worker;
    struct bpi_conn *conn; /* NULL: none */
    enum bpi_load_state state;
    struct bpi_timer timer; /* what it means is the state's */
    size_t url_index;
    bp_usec connect_started_us;
    bool logged_on;
    bool gathered;
    struct bpi_handshake_client handshake;
    struct bpi_chunk_reader reader;
    struct bpi_client_state bolt;
    bpi_bolt_version version;

    bool has_tx;
    size_t entry;         /* a stream's client: always the same */
    bp_usec started_us;   /* of the transaction, or when it was due */
    bp_usec attempt_us;   /* when this attempt was sent */
    bp_usec service_us;   /* what the server said of it; UINT64_MAX: nothing */
    bp_usec first_try_us; /* for the time that retries may take */
    uint32_t tries;
    uint64_t unique;
    bool commit_sent;                 /* from here on a lost connection leaves it unknown */
    char failure[BPI_LOAD_CODE_SIZE]; /* of this attempt; empty: none */
};

/* One loop and its clients. */
struct bpi_load_worker {
    /* Immutable after start. */
    struct bpi_load *load;
    struct bpi_loop *loop;
    struct bpi_load_client *clients;
    uint32_t client_count;
    bool open_loop;

    /* Owner: the loop. */
    struct bpi_load_arrivals *arrivals; /* one of each stream; without streams one for all */
    struct bpi_mail start_mail;
    struct bpi_mail go_mail;
    struct bpi_timer end_timer;
    struct bpi_timer grace_timer;
    struct bpi_random random;
    uint32_t clients_active;
    bool ending;

    /* Mail that others post; each at most once. */
    struct bpi_mail stop_mail;
    struct bpi_mail abort_mail;

    /* Lock: mutex, inside none. */
    pthread_mutex_t mutex;
    struct bpi_load_results results; /* `entries` of its own */
};

struct bpi_load {
    /* Immutable after start. */
    struct bpi_load_options options;
    uint64_t weight_sum;
    struct bpi_tls_context *tls_verify;
    struct bpi_tls_context *tls_any;
    struct bpi_load_worker *workers;
    uint32_t worker_count;
    bool streams;

    /* Atomic: set once, at the start or when all clients of all streams are logged on; before that
     * measure_us is in no time that comes. */
    _Atomic bp_usec measure_us;     /* when the warm-up ends */
    _Atomic bp_usec end_us;         /* 0: none */
    atomic_uint_fast32_t gathering; /* clients that aren't logged on yet */

    /* Atomic: relaxed is enough, each only gives out numbers. */
    atomic_uint_fast64_t tickets;
    atomic_uint_fast64_t unique;

    /* Lock: mutex. */
    pthread_mutex_t mutex;
    pthread_cond_t ended;
    uint32_t workers_active;
    bool stopped;
    bp_usec ended_us; /* when the last worker ended; 0: not yet */
};

/* load_client.c */

/* Connects (unless each transaction does that) and goes on to transactions. */
void bpi_load_client_start(struct bpi_load_client *client);
/* All clients of all streams are logged on. */
void bpi_load_client_go(struct bpi_load_client *client);
/* No more transactions: one that only waits is done at once. */
void bpi_load_client_end(struct bpi_load_client *client);
/* The same, and a transaction that runs fails. */
void bpi_load_client_abort(struct bpi_load_client *client);
void bpi_load_client_fire(struct bpi_load_client *client);

/* load_request.c: each appends whole requests to the connection's output and notes them as unanswered.
 * Errors: BP_E_NO_MEMORY, BP_E_FULL; the connection must be given up then, since a part may be written. */

/* HELLO, and LOGON where the version has it. */
BP_MUST_CHECK int bpi_load_put_login(struct bpi_load_client *client);
/* BEGIN + RUN + PULL, or RUN + PULL. */
BP_MUST_CHECK int bpi_load_put_tx(struct bpi_load_client *client);
BP_MUST_CHECK int bpi_load_put_pull(struct bpi_load_client *client);
BP_MUST_CHECK int bpi_load_put_simple(struct bpi_load_client *client, uint8_t tag);

/* load_stream.c: what streams count, on the client's loop. */

BP_MUST_CHECK int bpi_load_stream_results_new(struct bpi_load_stream_results **ret_results);
void bpi_load_stream_results_free(struct bpi_load_stream_results *results);
/* Adds the counts; the samples, too, where they are asked for. Errors: BP_E_NO_MEMORY for those. */
BP_MUST_CHECK int bpi_load_stream_results_merge(struct bpi_load_stream_results *into,
                                                const struct bpi_load_stream_results *from,
                                                bool samples);
/* An attempt has failed with this code. */
void bpi_load_stream_attempt_failed(struct bpi_load_client *client, const char *code);
/* A transaction that was due has ended; `began`: it had a connection. */
void bpi_load_stream_ended(struct bpi_load_client *client, enum bpi_load_end end, bool began);
/* It was due while no connection was free. */
void bpi_load_stream_no_client(struct bpi_load_client *client);
/* Whether boltpool or a server says by this code that it takes no more work now. */
bool bpi_load_code_refuses(const char *code);

/* load.c */

/* A stream's client is logged on, or can't. */
void bpi_load_gathered(struct bpi_load *load);
/* The next due time of an open loop, of the client's stream where it has one. */
bp_usec bpi_load_arrival_take(struct bpi_load_client *client);
/* Notes that a client will do nothing any more. */
void bpi_load_client_ended(struct bpi_load_worker *worker);
void bpi_load_count_error(struct bpi_load_worker *worker, const char *code);

#endif
