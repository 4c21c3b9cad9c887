/* Bolt's messages: reading requests and answers, writing both.
 *
 * Readers take one message's payload (chunk.h collects it) and return pointers into it. Writers
 * append whole framed messages to a buffer.
 */
#ifndef BPI_BOLT_MESSAGE_H
#define BPI_BOLT_MESSAGE_H

#include "bolt/packstream.h"
#include "bolt/version.h"

enum bpi_bolt_tag {
    BPI_BOLT_HELLO = 0x01,
    BPI_BOLT_GOODBYE = 0x02,
    BPI_BOLT_RESET = 0x0f,
    BPI_BOLT_RUN = 0x10,
    BPI_BOLT_BEGIN = 0x11,
    BPI_BOLT_COMMIT = 0x12,
    BPI_BOLT_ROLLBACK = 0x13,
    BPI_BOLT_DISCARD = 0x2f,
    BPI_BOLT_PULL = 0x3f,
    BPI_BOLT_TELEMETRY = 0x54,
    BPI_BOLT_ROUTE = 0x66,
    BPI_BOLT_LOGON = 0x6a,
    BPI_BOLT_LOGOFF = 0x6b,
    BPI_BOLT_SUCCESS = 0x70,
    BPI_BOLT_RECORD = 0x71,
    BPI_BOLT_IGNORED = 0x7e,
    BPI_BOLT_FAILURE = 0x7f,
};

/* "RUN"; "unknown" for a tag that Bolt doesn't have. */
const char *bpi_bolt_tag_name(uint8_t tag);
/* Whether `tag` is a request that `version` knows (a newer one closes a real server's link). */
bool bpi_bolt_tag_is_request(uint8_t tag, bpi_bolt_version version);

/* Some bytes of a message; data NULL = absent. A text isn't zero-terminated. */
struct bpi_bolt_text {
    const char *data;
    size_t size;
};
struct bpi_bolt_span {
    const uint8_t *data;
    size_t size;
};

bool bpi_bolt_text_is(struct bpi_bolt_text text, const char *word);

/* The value of `key` in a map, encoded; absent where the map is, hasn't got it, or can't be read. */
struct bpi_bolt_span bpi_bolt_map_get(struct bpi_bolt_span map, const char *key);
/* The same as a text, a number or a truth; absent (false), and *ret_number as it was, where it is of another type. */
struct bpi_bolt_text bpi_bolt_map_text(struct bpi_bolt_span map, const char *key);
bool bpi_bolt_map_int(struct bpi_bolt_span map, const char *key, int64_t *ret_number);
bool bpi_bolt_map_true(struct bpi_bolt_span map, const char *key);

/* A request's parts; what its tag doesn't have stays absent. */
struct bpi_bolt_request {
    uint8_t tag;
    struct bpi_bolt_text query;      /* RUN */
    struct bpi_bolt_span parameters; /* RUN: the map */
    /* The map of RUN, BEGIN, HELLO, LOGON, PULL and DISCARD; ROUTE's context. */
    struct bpi_bolt_span extra;
    struct bpi_bolt_span bookmarks; /* ROUTE: the list */
    struct bpi_bolt_span route_db;  /* ROUTE: third field, a map (4.4+), a string or null (4.3) */
    int64_t api;                    /* TELEMETRY */
};

/* Checks tag, field count and the types of the fields; the whole payload within `limits`. Bytes
 * behind the struct are ignored, as real servers do.
 * Errors: BP_E_UNEXPECTED for a tag that is no request of `version`, BP_E_FIELDS for a wrong field
 * count, BP_E_TYPE and the reader's errors else. *ret_request->tag is set whenever it could be
 * read. */
BP_MUST_CHECK int bpi_bolt_request_read(const uint8_t *payload,
                                        size_t size,
                                        bpi_bolt_version version,
                                        const struct bpi_pack_limits *limits,
                                        struct bpi_bolt_request *ret_request);

/* What RUN's and BEGIN's extra map says about a transaction. Readers of maps take an absent span as
 * the empty map and null as an absent value; a known key that comes twice is BP_E_PROTOCOL, one of
 * a wrong type BP_E_TYPE. */
struct bpi_bolt_tx_extra {
    bool mode_read;          /* mode "r" */
    struct bpi_bolt_text db; /* absent or empty = home database */
    struct bpi_bolt_text imp_user;
    struct bpi_bolt_span metadata; /* tx_metadata, a map */
    bool has_bookmarks;            /* a list that isn't empty */
    bool has_severity;             /* notifications_minimum_severity is there */
    bool has_disabled;             /* notifications_disabled_categories or _classifications */
    int64_t timeout_ms;            /* tx_timeout; -1 = absent */
};
BP_MUST_CHECK int bpi_bolt_tx_extra_read(struct bpi_bolt_span extra,
                                         struct bpi_bolt_tx_extra *ret_extra);

/* PULL's and DISCARD's n and qid; -1 where absent (n absent: 0, which servers refuse); null is
 * BP_E_TYPE. */
BP_MUST_CHECK int bpi_bolt_fetch_read(struct bpi_bolt_span extra, int64_t *ret_n, int64_t *ret_qid);

/* A log-in token as HELLO (<= 5.0) or LOGON carries it. The spans point into the message: whoever
 * keeps them copies them into a secret. */
struct bpi_bolt_auth {
    struct bpi_bolt_text scheme;
    struct bpi_bolt_text principal;
    struct bpi_bolt_text credentials;
    struct bpi_bolt_text realm;
};
BP_MUST_CHECK int bpi_bolt_auth_read(struct bpi_bolt_span extra, struct bpi_bolt_auth *ret_auth);

/* What HELLO says beside the log-in. */
struct bpi_bolt_hello {
    struct bpi_bolt_text user_agent;
    struct bpi_bolt_span bolt_agent; /* map */
    bool has_routing;                /* a map, not null */
    struct bpi_bolt_text routing_address;
    bool patch_utc;                   /* patch_bolt holds "utc" */
    struct bpi_bolt_span severity;    /* the value of notifications_minimum_severity, encoded */
    struct bpi_bolt_span disabled;    /* the value of notifications_disabled_*, encoded */
    bool disabled_is_classifications; /* by the key that was used */
};
BP_MUST_CHECK int bpi_bolt_hello_read(struct bpi_bolt_span extra, struct bpi_bolt_hello *ret_hello);
/* What a real server answers to a malformed HELLO of `version`: 0 = fine,
 * BP_E_PROTOCOL = FAILURE Request.Invalid and the connection stays but is dead, BP_E_UNEXPECTED =
 * close without a word. *ret_reason is a static sentence. */
BP_MUST_CHECK int
bpi_bolt_hello_check(struct bpi_bolt_span extra, bpi_bolt_version version, const char **ret_reason);

/* A server's answer. */
struct bpi_bolt_answer {
    uint8_t tag;               /* SUCCESS, RECORD, IGNORED, FAILURE */
    struct bpi_bolt_span meta; /* SUCCESS, FAILURE: the map; RECORD: the list */
    bool has_more;             /* SUCCESS of PULL or DISCARD */
    struct bpi_bolt_text code; /* FAILURE: `code`, or `neo4j_code` from 5.7 */
    struct bpi_bolt_text message;
};
BP_MUST_CHECK int
bpi_bolt_answer_read(const uint8_t *payload, size_t size, struct bpi_bolt_answer *ret_answer);

/* Whether it is a FAILURE of the class Neo.ClientError.Security: about who the client is. */
bool bpi_bolt_answer_is_security(const struct bpi_bolt_answer *answer);
/* Whether it is a FAILURE by the server's own fault (Neo.DatabaseError): neither by its client's (ClientError), nor one
 * that says "not now" (TransientError: overload, deadlocks, a stopped transaction). */
bool bpi_bolt_answer_is_fault(const struct bpi_bolt_answer *answer);
/* Whether it is one that says "not now". */
bool bpi_bolt_answer_is_transient(const struct bpi_bolt_answer *answer);

/* Writers: each appends one whole framed message to `out`. Errors: BP_E_NO_MEMORY, BP_E_SIZE; `out`
 * then stays as it was. `extra`, `parameters`, `meta` are encoded maps; an absent one is written as
 * the empty map. */
BP_MUST_CHECK int bpi_bolt_write_simple(struct bpi_buffer *out, uint8_t tag); /* no fields */
BP_MUST_CHECK int
bpi_bolt_write_map(struct bpi_buffer *out, uint8_t tag, struct bpi_bolt_span extra);
BP_MUST_CHECK int bpi_bolt_write_run(struct bpi_buffer *out,
                                     struct bpi_bolt_text query,
                                     struct bpi_bolt_span parameters,
                                     struct bpi_bolt_span extra);
BP_MUST_CHECK int bpi_bolt_write_fetch(struct bpi_buffer *out,
                                       uint8_t tag,
                                       int64_t n,
                                       int64_t qid); /* qid -1: none */
BP_MUST_CHECK int bpi_bolt_write_success(struct bpi_buffer *out, struct bpi_bolt_span meta);
/* FAILURE in the form of `version`. From 5.7 gql_status and description follow from the code (51N59
 * for NoThreadsAvailable, 08N06 for Request.Invalid and .InvalidFormat, 42NFF for Unauthorized,
 * else 50N42). With `idempotent` and 5.7+ diagnostic_record says _idempotent: the work was surely
 * not run.
 */
BP_MUST_CHECK int bpi_bolt_write_failure(struct bpi_buffer *out,
                                         bpi_bolt_version version,
                                         const char *code,
                                         const char *message,
                                         bool idempotent);
/* ROUTE's answer: `address` in all three roles. `db` absent: no db key. */
BP_MUST_CHECK int bpi_bolt_write_route_success(struct bpi_buffer *out,
                                               const char *address,
                                               int64_t ttl_s,
                                               struct bpi_bolt_text db);

/* Writes the map `extra` (exactly its bytes, absent = empty) with `count` more pairs behind its
 * own: keys[i] with the encoded values[i]. The caller has made sure that none of them is there
 * already. Appends the map alone, unframed. Errors: as the writers above, BP_E_TYPE where it is no
 * map. */
BP_MUST_CHECK int bpi_bolt_map_extend(struct bpi_buffer *out,
                                      struct bpi_bolt_span extra,
                                      size_t count,
                                      const char *const *keys,
                                      const struct bpi_bolt_span *values);

#endif
