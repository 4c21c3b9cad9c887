/* A Bolt client: one connection to a Neo4j server (or to boltpool), used by one thread at a time.
 *
 *     struct bp_bolt_config config;
 *     bp_bolt_config_init(&config);
 *     config.url = "bolt://127.0.0.1:7687";
 *     config.user = "neo4j";
 *     config.password = "secret";
 *     struct bp_bolt *bolt;
 *     struct bp_result *result;
 *     const struct bp_value *row;
 *     int error = bp_bolt_open(&config, &bolt, NULL);
 *     if (error == 0) {
 *         error = bp_bolt_run(bolt, "RETURN 1 AS one", NULL, NULL, &result);
 *         while (error == 0 && (error = bp_result_next(result, &row)) == 1) {
 *             printf("%lld\n", (long long)row[0].as.integer);
 *             error = 0;
 *         }
 *         ...
 *     }
 *
 * For many connections, retries and waiting in turn see driver.h.
 *
 * Errors:  0 or a negative code (error.h). BP_E_SERVER_FAILURE: the server refused the work, and bp_bolt_failure() has its
 *          words. After a failure inside a transaction only bp_bolt_rollback() (or reset, or close) does anything; all
 *          else answers BP_E_SERVER_FAILURE again. Any other error while talking (a lost connection, a time-out, a peer
 *          that breaks the protocol) makes the connection useless: every later call answers BP_E_SERVER_LOST.
 * Threads: a connection and its results may move between threads, but are used by one at a time; a second one that
 *          comes in the middle gets BP_E_USAGE. bp_bolt_cancel() alone may be called from any thread.
 * Owns:    what a function is given is borrowed for the call, unless it says otherwise.
 * Units:   times are microseconds where a name ends in `_us`, points in time those of bp_now_us(); sizes are bytes.
 * Forks:   a connection is of the process that opened it. In a forked child every function answers BP_E_USAGE;
 *          bp_bolt_close() frees the memory there and says nothing to the server.
 * Signals: none is raised (no SIGPIPE).
 */
#ifndef BOLTPOOL_BOLT_H
#define BOLTPOOL_BOLT_H

#include <boltpool/error.h>
#include <boltpool/types.h>
#include <boltpool/value.h>

#ifdef __cplusplus
extern "C" {
#endif

struct bp_bolt;
struct bp_result;
struct bp_bookmarks;

/* ---- configuration ---- */

/* Whether the connection is encrypted, and who the server has to be. */
enum bp_tls {
    BP_TLS_BY_URL, /* bolt, neo4j: none; bolt+s, neo4j+s: VERIFY; bolt+ssc, neo4j+ssc: ANY */
    BP_TLS_NONE,
    BP_TLS_VERIFY, /* by an authority that is trusted, for the name in the URL */
    BP_TLS_ANY     /* encrypted, with whatever certificate: anybody may sit in between */
};

/* Who is logged on. */
struct bp_login {
    /* "basic", "bearer", "kerberos", "none" or one of the server's; NULL = basic with a user, else none */
    const char *scheme;
    const char *user;        /* NULL = none is sent */
    const char *credentials; /* the password, or the token */
    const char *realm;       /* NULL = none is sent */
};

struct bp_bolt_config {
    size_t struct_size;
    /* bolt[+s|+ssc]://[user:password@]host[:7687], or neo4j...://, where the server passes writes on to its leader (it must
     * allow server-side routing). */
    const char *url;
    const char *user;             /* basic log-in, instead of the one in the URL; NULL = that one */
    const char *password;         /* with `user` */
    const struct bp_login *login; /* any log-in, instead of both; NULL = those */
    const char *user_agent; /* "app/1.0", as the server's lists show it; NULL = boltpool's own */

    enum bp_tls tls;
    /* PEM: authorities, or the server's own certificate; NULL = the system's */
    const char *tls_ca_file;
    const char *tls_ca_pem;      /* the same as text, beside the file */
    const char *tls_server_name; /* the certificate must bear it; NULL = the URL's host */
    const char *tls_cert_file;   /* PEM: who we are, for servers that ask; NULL = nobody */
    const char *tls_key_file;    /* its key */

    /* For TCP, TLS, handshake and log-in together; 15 s. Looking up a name may take longer. */
    bp_usec connect_timeout_us;
    /* How long the server may be silent while an answer is due; 0 = as long as the server says (its hint), else for ever. */
    bp_usec answer_timeout_us;
    int64_t fetch_size; /* rows asked for at a time; -1 = all; 1000 */
    size_t message_max; /* a larger row breaks the connection; bytes; 256 MiB */

    /* Which notifications the server shall leave out: "OFF", "WARNING" or "INFORMATION" and categories; NULL = as the
     * server is set. From Bolt 5.2 on; on an older one opening fails with BP_E_VERSION. */
    const char *notifications_min_severity;
    /* NULL = as the server is set; an empty list: none is disabled. */
    const char *const *notifications_disabled;
    size_t notifications_disabled_count;
};

/* The defaults above, everything else NULL. */
BP_API void bp_bolt_config_init(struct bp_bolt_config *config);

/* ---- connections ---- */

#define BP_FAILURE_CODE 128
#define BP_FAILURE_TEXT 1024

/* What went wrong, for programs and for people. The strings live as long as the struct. */
struct bp_failure {
    int error;     /* what the function returned */
    int retryable; /* whether the same work may succeed later, on another connection or this one */
    /* "Neo.ClientError.Statement.SyntaxError"; "" = the server didn't say it */
    char code[BP_FAILURE_CODE];
    char text[BP_FAILURE_TEXT]; /* a sentence: the server's, or ours; cut if it is longer */
    char gql_status[8];         /* "42001", from Bolt 5.7 on; else "" */
    char gql_description[BP_FAILURE_TEXT];
    char gql_classification[32]; /* "CLIENT_ERROR", where it is told */
    char gql_cause_status[8];    /* of the innermost cause; "" = none */
    char gql_cause_description[BP_FAILURE_TEXT];
};

/* Connects, agrees on a version, and logs on.
 * Owns:    copies what it needs of `config`, secrets too (wiped at close). The connection is the caller's, until
 *          bp_bolt_close(). reterr_failure (NULL = not wanted) is written on failure only.
 * Threads: any; blocks, at most connect_timeout_us and a look-up.
 * Errors:  BP_E_CONFIG, BP_E_VERSION, BP_E_HANDSHAKE, BP_E_TLS, BP_E_SERVER_FAILURE (the log-in was refused), BP_E_SERVER_LOST,
 *          UV_ETIMEDOUT (-110) and what the system says: UV_ECONNREFUSED (-111) ... */
BP_API BP_MUST_CHECK int bp_bolt_open(const struct bp_bolt_config *config,
                                      struct bp_bolt **ret_bolt,
                                      struct bp_failure *reterr_failure);
/* Says goodbye and frees it; results that are still there stay to be freed, and answer BP_E_USAGE. NULL is fine. Never
 * blocks for long: an open transaction is rolled back by the server. A handle that was closed is known for the next 64 that
 * are: until then a call with it answers BP_E_USAGE. */
BP_API void bp_bolt_close(struct bp_bolt *bolt);
/* What the last call on it that failed failed with. Borrowed until the next call. Never NULL; error 0 where none did. */
BP_API const struct bp_failure *bp_bolt_failure(const struct bp_bolt *bolt);
/* Makes it as new, whatever state it is in: what runs is stopped, what is open rolled back, what is unread dropped. Also a
 * test whether the server is there.
 * Units:   timeout_us for the whole; 0 = answer_timeout_us.
 * Errors:  as any call; BP_E_SERVER_LOST where it can't be mended. */
BP_API BP_MUST_CHECK int bp_bolt_reset(struct bp_bolt *bolt, bp_usec timeout_us);
/* Logs on as somebody else; the connection must be in no transaction and have no open result.
 * Errors: BP_E_VERSION before Bolt 5.1; BP_E_SERVER_FAILURE: refused, and the connection is of no use any more. */
BP_API BP_MUST_CHECK int bp_bolt_logon(struct bp_bolt *bolt, const struct bp_login *login);
/* Cuts the connection, so that whoever waits in it comes back with BP_E_SERVER_LOST, and the server stops its work.
 * Threads: any, but not while or after bp_bolt_close() runs. */
BP_API void bp_bolt_cancel(struct bp_bolt *bolt);

enum bp_bolt_state {
    BP_BOLT_READY,       /* for a query or a transaction */
    BP_BOLT_STREAMING,   /* a result outside a transaction isn't read to its end */
    BP_BOLT_TRANSACTION, /* a transaction is open */
    BP_BOLT_FAILED,      /* a transaction failed: roll it back */
    BP_BOLT_LOST         /* close it */
};

/* Where the last call left it. */
BP_API enum bp_bolt_state bp_bolt_get_state(const struct bp_bolt *bolt);
/* What it speaks ("5.8"), and what the server calls itself ("Neo4j/5.26.0") and the connection ("bolt-17"); borrowed until the
 * next call. */
BP_API const char *bp_bolt_version(const struct bp_bolt *bolt);
BP_API const char *bp_bolt_server(const struct bp_bolt *bolt);
BP_API const char *bp_bolt_connection_id(const struct bp_bolt *bolt);

/* ---- bookmarks ---- */

/* What has been written so far, so that a reader sees it: give the same bookmarks to a transaction that shall see
 * what others with these bookmarks wrote. Each success replaces those that it was begun with by its own.
 * Owns: the caller's. Threads: any, also at the same time. Errors: BP_E_NO_MEMORY. */
BP_API BP_MUST_CHECK int bp_bookmarks_new(struct bp_bookmarks **ret_bookmarks);
/* Frees them. NULL is fine. */
BP_API void bp_bookmarks_free(struct bp_bookmarks *bookmarks);
/* Adds one, from elsewhere; zero-terminated, copied. Errors: BP_E_NO_MEMORY, BP_E_SIZE (above 4 KiB), BP_E_FULL (1,000). */
BP_API BP_MUST_CHECK int bp_bookmarks_add(struct bp_bookmarks *bookmarks, const char *bookmark);
/* Their number, and one of them by its index, in no order: copied with a zero, cut at `size`. Returns its whole length, or
 * BP_E_USAGE. */
BP_API size_t bp_bookmarks_count(struct bp_bookmarks *bookmarks);
BP_API int64_t bp_bookmarks_get(struct bp_bookmarks *bookmarks,
                                size_t index,
                                char *text,
                                size_t size);

/* ---- transactions and queries ---- */

enum bp_access { BP_ACCESS_WRITE, BP_ACCESS_READ };

/* How a transaction, or a query outside one, is run. Zeroed but for struct_size: a write to the home database. */
struct bp_tx_options {
    size_t struct_size;
    enum bp_access access;
    const char *database;          /* NULL = the user's home database */
    const char *impersonated_user; /* NULL = nobody; from Bolt 4.4 on */
    int64_t timeout_ms; /* after which the server ends it; 0 = the server's own, -1 = never */
    /* Shown by SHOW TRANSACTIONS; boltpool's own keys too (boltpool_operation ...). */
    const struct bp_params *metadata;
    struct bp_bookmarks *bookmarks; /* waited for, and updated; NULL = none */
    /* By bp_now_us(): a call that takes longer cuts the connection and answers UV_ETIMEDOUT; 0 = none. */
    bp_usec deadline_us;
    /* As in the configuration, for this one; from Bolt 5.2 on. */
    const char *notifications_min_severity;
    const char *const *notifications_disabled;
    size_t notifications_disabled_count;
    int64_t fetch_size; /* rows asked for at a time; -1 = all; 0 = the configuration's */
};

#define BP_TX_OPTIONS_INIT                                                                         \
    {                                                                                              \
        sizeof(struct bp_tx_options), BP_ACCESS_WRITE, NULL, NULL, 0, NULL, NULL, 0, NULL, NULL,   \
            0, 0                                                                                   \
    }

/* Begins a transaction, and waits until the server has.
 * Owns:   copies of `options` (NULL = defaults) what it needs but the bookmarks, which must live until the transaction's end.
 * Errors: BP_E_USAGE in a transaction, or while a result is unread; else as any call. */
BP_API BP_MUST_CHECK int bp_bolt_begin(struct bp_bolt *bolt, const struct bp_tx_options *options);
/* Ends the transaction. Before a commit the queries whose results aren't read run to their end, and what is left of their
 * rows is dropped; a rollback stops them, and their results answer BP_E_USAGE. After a commit that isn't answered nobody
 * knows whether it happened: the failure isn't retryable.
 * Errors: BP_E_USAGE without a transaction; else as any call. A rollback of a failed transaction succeeds. */
BP_API BP_MUST_CHECK int bp_bolt_commit(struct bp_bolt *bolt);
BP_API int bp_bolt_rollback(struct bp_bolt *bolt);

/* Runs a query, in the open transaction or by itself (it commits once its result is read or freed), and waits until the
 * server has accepted it and named its columns.
 * Owns:   borrows `query` (zero-terminated) and `params` (NULL = none) for the call, `options` (NULL = defaults) likewise, but
 *         its bookmarks until the result's end. Inside a transaction only fetch_size of the options is heeded. The result
 *         is the caller's, until bp_result_free().
 *         In a transaction several results may be read in turns. Outside one, an earlier result that isn't read to
 *         its end is read into memory first.
 * Errors: BP_E_SERVER_FAILURE and as any call; bp_params_error() of the parameters; BP_E_TYPE where they hold what this
 *         version can't say. */
BP_API BP_MUST_CHECK int bp_bolt_run(struct bp_bolt *bolt,
                                     const char *query,
                                     const struct bp_params *params,
                                     const struct bp_tx_options *options,
                                     struct bp_result **ret_result);

/* ---- results ---- */

/* The number of columns, and their names: borrowed until the result is freed. */
BP_API size_t bp_result_columns(const struct bp_result *result);
BP_API struct bp_text bp_result_column(const struct bp_result *result, size_t index);
/* The column of that name, or -1. */
BP_API int bp_result_column_index(const struct bp_result *result, const char *name);
/* The next row: 1 and its values, one for each column; 0 at the end. No allocation for a row or a field, but where the
 * connection's buffer has to grow for one larger than all before.
 * Owns:   the values are views, until the next call on this result or its connection. bp_row_copy() keeps them.
 * Errors: as any call: BP_E_SERVER_FAILURE in the middle too; BP_E_USAGE where the connection was closed or reset. */
BP_API int bp_result_next(struct bp_result *result, const struct bp_value **ret_row);

struct bp_counters {
    int64_t nodes_created, nodes_deleted;
    int64_t relationships_created, relationships_deleted;
    int64_t properties_set;
    int64_t labels_added, labels_removed;
    int64_t indexes_added, indexes_removed;
    int64_t constraints_added, constraints_removed;
    int64_t system_updates;
    int contains_updates, contains_system_updates;
};

struct bp_notification {
    struct bp_text code; /* "Neo.ClientNotification..."; data NULL where it isn't told */
    struct bp_text title, description, severity, category;
    struct bp_text gql_status, status_description, classification;
    int64_t offset, line, column; /* in the query; -1 = not told */
};

/* What is known of a query that ran to its end. Texts and values are borrowed until the result is freed. */
struct bp_summary {
    char query_type[4]; /* "r", "rw", "w", "s"; "" = not told */
    struct bp_text database;
    /* Until the first row was there, and the last one read; as the server measured it, whole milliseconds. */
    bp_usec first_us;
    bp_usec last_us;
    struct bp_counters counters;
    size_t notifications; /* their number */
    /* MAP of an EXPLAIN or PROFILE: operatorType, args, identifiers, children; else NULL. */
    struct bp_value plan;
    struct bp_value profile; /* the same with dbHits, rows, ...; else NULL */
    struct bp_value meta;    /* MAP: everything as the server sent it */
};

/* Ends the result: rows that weren't read are dropped. May be asked again.
 * Errors: as any call: a query may fail in rows that nobody reads. */
BP_API BP_MUST_CHECK int bp_result_summary(struct bp_result *result,
                                           struct bp_summary *ret_summary);
/* Notification `index` of a result that has ended. With Bolt 5.6 and later they are made of the GQL status objects that are notifications.
 * Errors: BP_E_USAGE behind the last one, or before the end. */
BP_API BP_MUST_CHECK int bp_result_notification(struct bp_result *result,
                                                size_t index,
                                                struct bp_notification *ret_notification);
/* Ends and frees it. NULL is fine.
 * Errors: what bp_result_summary() would say; it is freed all the same. In a transaction its query runs to the end
 *         when that is committed, and a failure there is the commit's. */
BP_API int bp_result_free(struct bp_result *result);

#ifdef __cplusplus
}
#endif

#endif
