/* One Bolt connection of the library's client: what bolt.h's opaque types are made of.
 *
 *   settings.c     struct bp_bolt_config, checked and copied
 *   bolt.c         open, close, reset, log on, who may use a handle when
 *   login.c        versions, HELLO, LOGON
 *   wire.c         requests out, answers in, whose answer is whose
 *   result.c       a result from RUN to its last row
 *   summary.c      what is known of it then
 *   transaction.c  BEGIN, COMMIT, ROLLBACK; options as a map
 *   failure.c      what went wrong
 *   bookmarks.c    bookmarks
 *   driver.c       a pool of connections; retry.c managed work
 *   value.h        lists the files for values
 *
 * A caller's `struct bp_bolt` is a place in an array of the connection, so that its address says which connection and
 * which of its leases: one that was given back or closed is told from the one that holds now (client->word).
 * Requests may be written before earlier ones are answered; `expected` says whose answer comes next. A FAILURE outside a
 * transaction is mended by a RESET that goes out with the next request (`owes_reset`).
 */
#ifndef BPI_CLIENT_CLIENT_H
#define BPI_CLIENT_CLIENT_H

#include "base/buffer.h"
#include "base/container.h"
#include "bolt/client_state.h"
#include "bolt/message.h"
#include "client/settings.h"
#include "client/value.h"
#include "net/channel.h"

#include <boltpool/bolt.h>

#include <stdatomic.h>
#include <stdbool.h>

/* Handles of one connection: one that was given back is known for so many leases. A power of two. */
#define BPI_CLIENT_HANDLES 64

/* What a caller holds. */
struct bp_bolt {
    uint8_t index; /* Immutable: in client->handles */
};

/* client->word: who may use it. The number of its lease is above these bits. */
enum bpi_client_use {
    BPI_CLIENT_FREE = 0,   /* whoever has the handle may come in */
    BPI_CLIENT_BUSY = 1,   /* somebody is in */
    BPI_CLIENT_CLOSED = 2, /* for ever */
};
#define BPI_CLIENT_USE   UINT32_C(0x3)
#define BPI_CLIENT_LEASE UINT32_C(0x4) /* the lowest bit of the number */

/* Requests that may be unanswered at one time: RESET, BEGIN, RUN, PULL and one PULL of an earlier result are five. A
 * power of two. */
#define BPI_EXPECTED_MAX 16

enum bpi_tx {
    BPI_TX_NONE,
    BPI_TX_OPEN,
    BPI_TX_FAILED,
};

struct bpi_client {
    _Atomic uint32_t word;
    unsigned generation; /* Immutable: the process that opened it */
    bool is_leased;      /* Immutable after it was opened: a pool's, which alone may close it */

    /* Owner: whoever is in, from here on. */
    struct bpi_client_settings *settings;
    struct bpi_channel channel;
    struct bpi_buffer in;
    struct bpi_buffer out;
    struct bpi_buffer joined; /* a message of several chunks */
    bool is_lost;
    bool is_fault; /* the server failed by its own fault since the lease began */
    bool owes_reset;
    bp_usec deadline_us; /* of the transaction or query; 0 = none */

    bpi_bolt_version version;
    bool utc_patch;
    char version_text[8];
    char server[128];
    char connection_id[64];

    struct bpi_client_state state; /* which requests are unanswered */
    /* For each of them, in the same order: whose it is, of RUN, PULL and DISCARD; NULL: nobody's (any more). */
    unsigned expected_first, expected_count;
    struct bp_result *expected[BPI_EXPECTED_MAX];

    enum bpi_tx tx;
    bool is_committed; /* the last COMMIT was answered by a success */
    struct bp_bookmarks *tx_bookmarks;
    uint64_t tx_bookmarks_serial;
    struct bp_result *results; /* those that the caller hasn't freed */
    struct bp_result *open;    /* outside a transaction: the one that isn't done; else NULL */

    struct bp_failure *failure;

    struct bp_bolt handles[BPI_CLIENT_HANDLES];
};

static inline struct bpi_client *bpi_client_of(const struct bp_bolt *bolt)
{
    /* The handle may be const, what it is a handle of is not. */
    union {
        const struct bp_bolt *seen;
        struct bp_bolt *own;
    } first = {.seen = bolt - bolt->index};
    return BPI_CONTAINER(first.own, struct bpi_client, handles);
}

/* ---- settings.c ---- */

/* Counted by reference. Immutable, but for the login of a driver, which is replaced as a whole. */
struct bpi_client_settings *bpi_client_settings_ref(struct bpi_client_settings *settings);
void bpi_client_settings_unref(struct bpi_client_settings *settings);
/* Errors: BP_E_CONFIG, BP_E_NO_MEMORY; reterr_text says what is wrong. */
BP_MUST_CHECK int bpi_client_settings_new(const struct bp_bolt_config *config,
                                          struct bpi_client_settings **ret_settings,
                                          char *reterr_text,
                                          size_t reterr_text_size);
/* A log-in token as an encoded map, appended to `out`. Errors: BP_E_CONFIG, BP_E_NO_MEMORY. */
BP_MUST_CHECK int bpi_client_token_write(const struct bp_login *login, struct bpi_buffer *out);

/* ---- bolt.c ---- */

/* In, as the only one. Errors: BP_E_USAGE. */
BP_MUST_CHECK int bpi_client_enter(const struct bp_bolt *bolt, struct bpi_client **ret_client);
void bpi_client_leave(struct bpi_client *client);
/* As above for one that is of no use any more; then BP_E_SERVER_LOST. */
BP_MUST_CHECK int bpi_client_enter_alive(const struct bp_bolt *bolt,
                                         struct bpi_client **ret_client);
/* As bpi_client_enter() for a result, which was made in the lease that `lease` names. */
BP_MUST_CHECK int
bpi_client_enter_lease(struct bpi_client *client, uint32_t lease, struct bpi_client **ret_client);
/* Opens one. `token` is an encoded log-in; deadline_us for all of it. Errors: as bp_bolt_open(). */
BP_MUST_CHECK int bpi_client_open(struct bpi_client_settings *settings,
                                  struct bpi_bolt_span token,
                                  bp_usec deadline_us,
                                  struct bpi_client **ret_client,
                                  struct bp_failure *reterr_failure);
/* The same on a channel that is open; takes it, also on failure. */
BP_MUST_CHECK int bpi_client_adopt(struct bpi_client_settings *settings,
                                   struct bpi_channel *channel,
                                   struct bpi_bolt_span token,
                                   bp_usec deadline_us,
                                   struct bpi_client **ret_client,
                                   struct bp_failure *reterr_failure);
void bpi_client_close(struct bpi_client *client);
struct bp_bolt *bpi_client_handle(struct bpi_client *client);
/* The lease ended: the handle is worth nothing any more, results are cut off. */
void bpi_client_end_lease(struct bpi_client *client);
/* As bp_bolt_reset(), by whoever is in. */
BP_MUST_CHECK int bpi_client_reset(struct bpi_client *client, bp_usec timeout_us);
enum bp_bolt_state bpi_client_state(const struct bpi_client *client);

/* ---- login.c ---- */

/* Agrees on a version, says HELLO and logs on. */
BP_MUST_CHECK int bpi_client_greet(struct bpi_client *client, struct bpi_bolt_span token);

/* ---- wire.c ---- */

/* A request was written into `out`: its answer is expected, for `result` where that isn't NULL. */
BP_MUST_CHECK int
bpi_wire_expect(struct bpi_client *client, uint8_t request, struct bp_result *result);
/* Each writes one request into `out` and notes that its answer is expected. Errors stick to nothing: what was
 * written before stays. */
BP_MUST_CHECK int
bpi_wire_put(struct bpi_client *client, uint8_t request, struct bp_result *result);
BP_MUST_CHECK int
bpi_wire_put_map(struct bpi_client *client, uint8_t request, struct bpi_bolt_span map);
BP_MUST_CHECK int bpi_wire_put_run(struct bpi_client *client,
                                   struct bpi_bolt_text query,
                                   struct bpi_bolt_span params,
                                   struct bpi_bolt_span extra,
                                   struct bp_result *result);
BP_MUST_CHECK int bpi_wire_put_fetch(
    struct bpi_client *client, uint8_t request, int64_t n, int64_t qid, struct bp_result *result);
/* A RESET that is owed goes first. */
BP_MUST_CHECK int bpi_wire_put_owed(struct bpi_client *client);
/* Sends what was put. */
BP_MUST_CHECK int bpi_wire_flush(struct bpi_client *client);

/* Reads one answer and hands it to whoever expects it. `reader` (NULL = nobody) is the result whose row ends the step: 1
 * and its record, borrowed until the next step. 0: something else was dealt with. */
BP_MUST_CHECK int bpi_wire_step(struct bpi_client *client,
                                const struct bp_result *reader,
                                struct bpi_bolt_span *ret_record);
/* Steps until nothing but `left` requests is unanswered. */
BP_MUST_CHECK int bpi_wire_settle(struct bpi_client *client, unsigned left);
/* The next whole message, wherever it lies; borrowed until the next one. */
BP_MUST_CHECK int bpi_wire_receive(struct bpi_client *client, struct bpi_bolt_span *ret_message);
void bpi_wire_forget(struct bpi_client *client, const struct bp_result *result);

/* ---- result.c ---- */

enum bpi_result_phase {
    BPI_RESULT_ASKED,     /* RUN isn't answered */
    BPI_RESULT_STREAMING, /* a PULL or DISCARD is out */
    BPI_RESULT_PAUSED,    /* there is more, and nothing is asked */
    BPI_RESULT_DONE,
    BPI_RESULT_FAILED,
};

struct bp_result {
    _Atomic uint32_t is_live;  /* cleared when it is freed */
    struct bpi_client *client; /* NULL: the connection was closed, given back or reset */
    uint32_t client_lease;     /* the client's word while it was made, without its use */
    struct bp_result *prev, *next;
    enum bpi_result_phase phase;
    bool in_tx;
    bool discards;  /* no row is wanted any more */
    bool is_orphan; /* freed by the caller; it runs on to its end before COMMIT */
    int error;      /* FAILED */
    int64_t qid;    /* -1 = the only one */
    int64_t fetch_size;
    struct bp_bookmarks *bookmarks;
    uint64_t bookmarks_serial;
    /* From RUN's answer, in one allocation. */
    uint32_t columns_count;
    struct bp_text *columns;
    struct bp_value *values;
    bool has_values;
    struct bpi_buffer rows; /* read while another one was asked for: u32 size, record */
    struct bpi_buffer run_meta;
    struct bpi_buffer meta; /* the last answer's map */
    bool has_statuses;
    uint32_t notifications_count;
};

/* Answers that are for a result. */
BP_MUST_CHECK int bpi_result_keep_row(struct bp_result *result, struct bpi_bolt_span record);
BP_MUST_CHECK int bpi_result_ran(struct bp_result *result, const struct bpi_bolt_answer *answer);
BP_MUST_CHECK int bpi_result_fetched(struct bp_result *result,
                                     const struct bpi_bolt_answer *answer);
void bpi_result_failed(struct bp_result *result, int error);
/* All of the connection's: they answer BP_E_USAGE, or what they failed with. */
void bpi_results_detach(struct bpi_client *client);
/* Those of the transaction that is rolled back: they answer BP_E_USAGE. */
void bpi_results_end(struct bpi_client *client);
/* Those of the transaction that is to be committed: a query whose rows weren't asked for isn't done. Errors: what one of
 * them failed with. */
BP_MUST_CHECK int bpi_results_finish(struct bpi_client *client);
/* Reads the one outside a transaction that isn't done into memory. */
BP_MUST_CHECK int bpi_result_absorb(struct bpi_client *client);

/* Drops what isn't read, up to the end. Errors: what the query failed with. */
BP_MUST_CHECK int bpi_result_finish(struct bpi_client *client, struct bp_result *result);
/* As bp_bolt_run(), by whoever is in. */
BP_MUST_CHECK int bpi_client_run(struct bpi_client *client,
                                 const char *query,
                                 const struct bp_params *params,
                                 const struct bp_tx_options *options,
                                 struct bp_result **ret_result);

/* ---- summary.c ---- */

/* Of a result that is done. */
BP_MUST_CHECK int bpi_summary_read(const struct bp_result *result, struct bp_summary *ret_summary);
BP_MUST_CHECK int bpi_summary_notification(const struct bp_result *result,
                                           size_t index,
                                           struct bp_notification *ret_notification);

/* ---- transaction.c ---- */

/* The map of RUN or BEGIN, appended to `out`, and the serial of the bookmarks that went into it. */
BP_MUST_CHECK int bpi_tx_extra_write(struct bpi_client *client,
                                     const struct bp_tx_options *options,
                                     struct bpi_buffer *out,
                                     uint64_t *ret_serial);
/* Whether the options are the caller's mistake. */
BP_MUST_CHECK int bpi_tx_options_check(struct bpi_client *client,
                                       const struct bp_tx_options *options);
/* Whether parameters with these needs can be said by this version. Errors: BP_E_TYPE. */
BP_MUST_CHECK int bpi_client_params_check(struct bpi_client *client, unsigned needs);
/* Whether a transaction may begin; an unread result is read into memory. */
BP_MUST_CHECK int bpi_tx_begin_check(struct bpi_client *client,
                                     const struct bp_tx_options *options);
/* Puts BEGIN without waiting for its answer. */
BP_MUST_CHECK int bpi_tx_begin_put(struct bpi_client *client, const struct bp_tx_options *options);
/* As their public twins, by whoever is in. */
BP_MUST_CHECK int bpi_tx_commit(struct bpi_client *client);
BP_MUST_CHECK int bpi_tx_rollback(struct bpi_client *client);

/* ---- failure.c ---- */

/* Each returns its error. The connection's failure says it. */
int bpi_failure_set(struct bpi_client *client, int error, const char *format, ...) BP_PRINTF(3, 4);
int bpi_failure_of_answer(struct bpi_client *client, const struct bpi_bolt_answer *answer);
/* An answer that failed without words of its own: what failed before it stands, if anything did. */
int bpi_failure_of_ignored(struct bpi_client *client);
/* The connection is of no use any more. */
int bpi_failure_lose(struct bpi_client *client, int error, const char *text);
void bpi_failure_clear(struct bpi_client *client);
void bpi_failure_copy(struct bp_failure *to, const struct bp_failure *from);
/* A failure without a connection; `failure` may be NULL. */
int bpi_failure_say(struct bp_failure *failure, int error, const char *text);

/* ---- bookmarks.c ---- */

/* Writes them as an encoded list; *ret_serial names those that are in it. NULL and empty write nothing: returns whether
 * it wrote, or an error. */
int bpi_bookmarks_write(struct bp_bookmarks *bookmarks,
                        struct bpi_pack_writer *writer,
                        uint64_t *ret_serial);
/* `bookmark` is in the place of those up to `serial`. */
void bpi_bookmarks_replace(struct bp_bookmarks *bookmarks,
                           uint64_t serial,
                           struct bpi_bolt_text bookmark);

#endif
