/* One connection to a simulated server: for the files of sim/ only.
 *
 * Bytes become messages at once and wait in a queue; a RESET acts when it arrives. The queue is worked
 * off one by one; a message that takes time sets `work` and everything behind it waits.
 *
 *   work NONE  -> (RUN, COMMIT, log-in with a service time)  RUN | COMMIT | LOGIN -> timer -> NONE
 *              -> (query with hang=1)                        HANG -> RESET or close
 *              -> (rows that the socket doesn't take)        STREAM -> on_drain or next turn -> NONE
 *
 * A message that finds no free worker stays in the queue where the server lets it wait; the worker that gets
 * free is given to the session that has waited longest.
 *
 * Invariants: `interrupts` = RESETs in the queue, and while it isn't 0 a logged-on session ignores what
 * stands before them; `worker` is held while work isn't NONE, a transaction or a stream is open; `tx.open`
 * holds in IN_TRANSACTION and AUTO_COMMIT and while an auto-commit RUN works.
 * Owner: the server's loop.
 */
#ifndef BPI_SIM_SESSION_H
#define BPI_SIM_SESSION_H

#include "base/buffer.h"
#include "bolt/chunk.h"
#include "bolt/handshake.h"
#include "bolt/message.h"
#include "bolt/server_state.h"
#include "net/loop.h"
#include "sim/query.h"
#include "sim/users.h"

#include <stdbool.h>

struct bpi_conn;
struct bpi_sim;

/* Real servers stop reading at 300 queued messages and go on at 100. */
#define BPI_SIM_QUEUE_HIGH 300
#define BPI_SIM_QUEUE_LOW  100

struct bpi_sim_message {
    struct bpi_sim_message *next;
    int error;                       /* of reading it: 0 or BP_E_* */
    struct bpi_bolt_request request; /* points into `payload` */
    size_t size;
    uint8_t payload[];
};

/* A result that isn't read to its end. */
struct bpi_sim_statement {
    struct bpi_sim_statement *next;
    int64_t qid;
    uint64_t rows_done;
    struct bpi_sim_query query;
};

enum bpi_sim_work {
    BPI_SIM_WORK_NONE,
    BPI_SIM_WORK_RUN,
    BPI_SIM_WORK_HANG,
    BPI_SIM_WORK_STREAM,
    BPI_SIM_WORK_COMMIT,
    BPI_SIM_WORK_LOGIN,
};

struct bpi_sim_tx {
    bool open;
    bool is_explicit;
    bool mode_read;
    bool db_named; /* the request named a database, so the answer doesn't */
    const char *db;
    bp_usec deadline_us; /* 0 = none */
    bp_usec service_us;  /* how long its requests were here unanswered, up to `busy_since_us` */
    bool notifications_off;
    int64_t qid_next;
    struct bpi_buffer ids; /* for the ledger, each zero-terminated */
};

struct bpi_sim_session {
    struct bpi_sim *sim;
    struct bpi_conn *conn; /* NULL once closed */
    struct bpi_sim_session *next, *previous;
    struct bpi_mail free_mail;
    uint64_t number;
    bool hung; /* accepted under the fault `hang`: never answered */

    struct bpi_handshake_server handshake;
    bpi_bolt_version version; /* 0 until it is agreed */
    struct bpi_chunk_reader reader;
    struct bpi_sim_message *queue_first, *queue_last;
    uint32_t queue_count;
    uint32_t interrupts;
    bool paused; /* reading, at BPI_SIM_QUEUE_HIGH */
    bool deaf;   /* a message was too large to find the next one */

    enum bpi_server_state state;
    bool logged_on;
    char user[BPI_SIM_USER_NAME_SIZE];
    bool utc_patch;
    bool notifications_off; /* by HELLO */

    bool worker;
    bool waits_worker; /* in the server's list of those */
    bool turn_posted;
    struct bpi_sim_session *waiting_next, *waiting_previous;
    struct bpi_mail turn_mail; /* a worker was given to it */
    enum bpi_sim_work work;
    uint8_t work_tag;     /* the request that is worked on */
    bool work_fails_time; /* tx_timeout ends the work before it is done */
    enum bpi_sim_login login;
    struct bpi_timer work_timer;
    struct bpi_timer keep_alive_timer;
    struct bpi_timer login_timer;

    struct bpi_sim_tx tx;
    bp_usec busy_since_us; /* when the oldest unanswered request came; 0: none is */
    struct bpi_sim_statement *statements;
    struct bpi_sim_statement *streaming; /* while work is STREAM */
    int64_t stream_left;                 /* rows that the PULL still asks for; -1 = all */
    bool stream_discards;

    struct bpi_buffer answers; /* written, and not yet handed to the connection */
    int64_t drop_left;         /* bytes until the connection dies; -1 = it lives */
};

/* session.c */

/* Takes the socket over, also on failure. */
void bpi_sim_session_accept(struct bpi_sim *sim, int fd);
/* Closes at once, with a TCP reset when `abort` is set. The struct lives until the end of the turn. */
void bpi_sim_session_close(struct bpi_sim_session *session, bool abort);
/* Sends what was answered, then closes. */
void bpi_sim_session_close_flushed(struct bpi_sim_session *session);
/* Hands the answers to the connection. The session may be closed afterwards (drop faults). */
void bpi_sim_session_flush(struct bpi_sim_session *session);
/* Reads, works and answers as far as it goes. */
void bpi_sim_session_turn(struct bpi_sim_session *session);
/* Starts work of `span_us`; it ends in the function of its kind. */
void bpi_sim_session_work(struct bpi_sim_session *session,
                          enum bpi_sim_work work,
                          uint8_t tag,
                          bp_usec span_us);
/* Answers FAILURE; the open transaction dies. */
void bpi_sim_session_fail(struct bpi_sim_session *session,
                          uint8_t tag,
                          const char *code,
                          const char *message);
/* The same, then closes. */
void bpi_sim_session_fail_close(struct bpi_sim_session *session,
                                uint8_t tag,
                                const char *code,
                                const char *message);
/* Enters the state that follows an answered request. */
void bpi_sim_session_after(struct bpi_sim_session *session,
                           uint8_t tag,
                           enum bpi_server_outcome outcome);
/* How long the open transaction's requests were here unanswered, until now; then counts from 0. */
bp_usec bpi_sim_session_service_take(struct bpi_sim_session *session);
/* Arms the timer that closes a connection nobody logs on to. */
void bpi_sim_session_login_timer(struct bpi_sim_session *session);

/* login.c */
void bpi_sim_hello(struct bpi_sim_session *session, const struct bpi_bolt_request *request);
void bpi_sim_logon(struct bpi_sim_session *session, const struct bpi_bolt_request *request);
void bpi_sim_logoff(struct bpi_sim_session *session);
/* The log-in's service time is over. */
void bpi_sim_login_end(struct bpi_sim_session *session);
/* Forgets who is logged on, for the counts. */
void bpi_sim_login_forget(struct bpi_sim_session *session);

/* transaction.c */
void bpi_sim_begin(struct bpi_sim_session *session, const struct bpi_bolt_request *request);
void bpi_sim_run(struct bpi_sim_session *session, const struct bpi_bolt_request *request);
void bpi_sim_run_end(struct bpi_sim_session *session);
void bpi_sim_commit(struct bpi_sim_session *session);
void bpi_sim_commit_end(struct bpi_sim_session *session);
void bpi_sim_rollback(struct bpi_sim_session *session);
/* Undoes what is open; fine when nothing is. */
void bpi_sim_tx_abandon(struct bpi_sim_session *session);
/* Commits. Returns false when a fault has closed the connection. *ret_code is the code of a COMMIT that
 * fails (nothing is committed then), or NULL. */
bool bpi_sim_tx_commit(struct bpi_sim_session *session, const char **ret_code);
/* Whether tx_timeout is over. */
bool bpi_sim_tx_timed_out(const struct bpi_sim_session *session);
void bpi_sim_statements_drop(struct bpi_sim_session *session);

/* stream.c */
void bpi_sim_fetch(struct bpi_sim_session *session, const struct bpi_bolt_request *request);
/* Goes on sending rows. */
void bpi_sim_stream(struct bpi_sim_session *session);

/* answer.c: one SUCCESS each. Errors: BP_E_NO_MEMORY. */
BP_MUST_CHECK int bpi_sim_answer_empty(struct bpi_sim_session *session);
BP_MUST_CHECK int bpi_sim_answer_hello(struct bpi_sim_session *session, bool utc_patch);
BP_MUST_CHECK int bpi_sim_answer_logon(struct bpi_sim_session *session);
BP_MUST_CHECK int bpi_sim_answer_begin(struct bpi_sim_session *session);
BP_MUST_CHECK int bpi_sim_answer_run(struct bpi_sim_session *session,
                                     const struct bpi_sim_statement *statement);
BP_MUST_CHECK int bpi_sim_answer_more(struct bpi_sim_session *session);
/* The end of a result; `bookmark` 0: none. */
BP_MUST_CHECK int bpi_sim_answer_end(struct bpi_sim_session *session,
                                     const struct bpi_sim_statement *statement,
                                     bool discarded,
                                     uint64_t bookmark);
BP_MUST_CHECK int bpi_sim_answer_commit(struct bpi_sim_session *session, uint64_t bookmark);
BP_MUST_CHECK int bpi_sim_answer_record(struct bpi_sim_session *session,
                                        const struct bpi_sim_query *query,
                                        uint64_t row);

#endif
