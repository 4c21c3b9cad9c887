/* Every error that boltpool's functions return, in one table.
 *
 * A function that can fail returns 0 or a negative code. libuv's codes (-4095 .. -1, the errno of
 * the system) pass through unchanged; ours lie below them, in classes, so that a caller can ask
 * whose fault it was: -10000 protocol (the peer broke Bolt), -11000 server (it answered FAILURE),
 * -12000 refused (we said no), -13000 usage (the caller's mistake), -14000 internal.
 */
#ifndef BOLTPOOL_ERROR_H
#define BOLTPOOL_ERROR_H

#include <boltpool/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* X(name, number, retryable, Neo4j code sent to a driver, text) */
#define BP_ERRORS(X)                                                                               \
    X(PROTOCOL, -10000, 0, "Neo.ClientError.Request.Invalid", "the peer broke the Bolt protocol")  \
    X(TRUNCATED, -10001, 0, "Neo.ClientError.Request.Invalid", "a value ends before its length")   \
    X(MARKER, -10002, 0, "Neo.ClientError.Request.Invalid", "a reserved PackStream marker")        \
    X(DEPTH, -10003, 0, "Neo.ClientError.Request.Invalid", "values nested deeper than the limit")  \
    X(ITEMS, -10004, 0, "Neo.ClientError.Request.Invalid", "more items than the limit")            \
    X(SIZE, -10005, 0, "Neo.ClientError.Request.Invalid", "a message larger than the limit")       \
    X(TYPE, -10006, 0, "Neo.ClientError.Request.Invalid", "a value of another type than expected") \
    X(FIELDS, -10007, 0, "Neo.ClientError.Request.InvalidFormat", "a wrong number of fields")      \
    X(UTF8, -10008, 0, "Neo.ClientError.Request.Invalid", "a string that is not UTF-8")            \
    X(HANDSHAKE, -10009, 0, "Neo.ClientError.Request.Invalid", "no Bolt handshake")                \
    X(VERSION, -10010, 0, "Neo.ClientError.Request.Invalid", "no Bolt version in common")          \
    X(UNEXPECTED, -10011, 0, "Neo.ClientError.Request.Invalid",                                    \
      "a message that nothing asked for")                                                          \
    X(TLS, -10012, 0, "Neo.ClientError.Request.Invalid", "the TLS handshake failed")               \
    X(SERVER_FAILURE, -11000, 0, "Neo.DatabaseError.General.UnknownError",                         \
      "the server answered FAILURE")                                                               \
    X(SERVER_LOST, -11001, 1, "Neo.TransientError.Transaction.Interrupted",                        \
      "the connection to the server was lost")                                                     \
    X(FULL, -12000, 1, "Neo.TransientError.Request.NoThreadsAvailable", "a limit is reached")      \
    X(QUEUE_TIMEOUT, -12001, 1, "Neo.TransientError.Request.NoThreadsAvailable",                   \
      "waited too long for a server connection")                                                   \
    X(DRAINING, -12002, 1, "Neo.TransientError.Request.NoThreadsAvailable",                        \
      "boltpool is shutting down")                                                                 \
    X(HOPELESS, -12003, 1, "Neo.TransientError.Request.NoThreadsAvailable",                        \
      "the deadline can't be met")                                                                 \
    X(SHED, -12004, 1, "Neo.TransientError.Request.NoThreadsAvailable",                            \
      "refused because of overload")                                                               \
    X(CLOSED, -12005, 0, "Neo.ClientError.Request.Invalid", "the pool was stopped")                \
    X(NO_ENDPOINT, -12006, 1, "Neo.TransientError.General.DatabaseUnavailable",                    \
      "no server can take this work now")                                                          \
    X(NO_WRITER, -12007, 1, "Neo.TransientError.General.DatabaseUnavailable",                      \
      "no server takes writes now")                                                                \
    X(NO_ROUTES, -12008, 1, "Neo.TransientError.General.DatabaseUnavailable",                      \
      "the database's routing table is not known yet")                                             \
    X(CIRCUIT_OPEN, -12009, 1, "Neo.TransientError.General.DatabaseUnavailable",                   \
      "the database failed too often lately")                                                      \
    X(USAGE, -13000, 0, "Neo.ClientError.Request.Invalid", "a call that is not allowed now")       \
    X(CONFIG, -13001, 0, "Neo.ClientError.Request.Invalid", "the configuration is wrong")          \
    X(ENDPOINTS_EMPTY, -13002, 0, "Neo.ClientError.Request.Invalid", "an empty set of servers")    \
    X(ENDPOINT_UNKNOWN, -13003, 0, "Neo.ClientError.Request.Invalid", "an unknown server")         \
    X(ENDPOINT_ACCESS, -13004, 0, "Neo.ClientError.Request.Invalid",                               \
      "more than one independent server that takes writes")                                        \
    X(WEIGHT, -13005, 0, "Neo.ClientError.Request.Invalid", "a weight out of bounds")              \
    X(NO_MEMORY, -14000, 1, "Neo.TransientError.General.OutOfMemoryError", "out of memory")        \
    X(INTERNAL, -14001, 0, "Neo.DatabaseError.General.UnknownError", "a mistake in boltpool")

enum bp_error {
#define BP_ERROR_ENUM(name, number, retryable, code, text) BP_E_##name = (number),
    BP_ERRORS(BP_ERROR_ENUM)
#undef BP_ERROR_ENUM
};

/* The constant's name ("BP_E_FULL", libuv's "ECONNREFUSED"), a sentence, whether a retry may help,
 * and the Neo4j status code that a driver is sent. Threads: any. The strings are static.
 */
BP_API const char *bp_error_name(int error);
BP_API const char *bp_error_text(int error);
BP_API int bp_error_retryable(int error);
BP_API const char *bp_error_neo4j_code(int error);

#ifdef __cplusplus
}
#endif

#endif
