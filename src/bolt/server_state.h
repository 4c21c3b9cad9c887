/* The server's side of a Bolt session: what a request means in the state it meets.
 *
 * States and what leads on (request with its outcome -> bpi_server_state_after):
 *   NEGOTIATION    HELLO -> AUTHENTICATION (5.1+) | READY (older, HELLO holds the log-in)
 *   AUTHENTICATION LOGON -> READY
 *   READY          RUN -> AUTO_COMMIT; BEGIN -> IN_TRANSACTION; LOGOFF -> AUTHENTICATION;
 *                  ROUTE, TELEMETRY stay
 *   AUTO_COMMIT    PULL, DISCARD: has_more stays, else READY
 *   IN_TRANSACTION RUN, PULL, DISCARD stay; COMMIT, ROLLBACK -> READY
 *   any            FAILURE -> FAILED (in NEGOTIATION and AUTHENTICATION -> DEFUNCT);
 *                  RESET -> READY
 *
 * Where the specification differs this is what real servers do: in FAILED, BEGIN, LOGON, LOGOFF and
 * HELLO close; COMMIT with open streams is accepted; a tag newer than the version closes silently.
 */
#ifndef BPI_BOLT_SERVER_STATE_H
#define BPI_BOLT_SERVER_STATE_H

#include "bolt/version.h"

enum bpi_server_state {
    BPI_SERVER_NEGOTIATION,
    BPI_SERVER_AUTHENTICATION,
    BPI_SERVER_READY,
    BPI_SERVER_AUTO_COMMIT,
    BPI_SERVER_IN_TRANSACTION,
    BPI_SERVER_FAILED,
    BPI_SERVER_DEFUNCT,
};

enum bpi_server_verdict {
    BPI_SERVER_ACCEPT,
    BPI_SERVER_IGNORE,     /* answer IGNORED */
    BPI_SERVER_FAIL_CLOSE, /* answer FAILURE Request.Invalid, then close */
    BPI_SERVER_CLOSE,      /* close without an answer (GOODBYE too) */
};

enum bpi_server_outcome {
    BPI_SERVER_SUCCEEDED,
    BPI_SERVER_HAS_MORE, /* SUCCESS {has_more: true} */
    BPI_SERVER_FAILED_OUTCOME,
};

const char *bpi_server_state_name(enum bpi_server_state state); /* "READY" */
enum bpi_server_verdict
bpi_server_judge(enum bpi_server_state state, bpi_bolt_version version, uint8_t tag);
/* The state after an accepted request was answered. */
enum bpi_server_state bpi_server_state_after(enum bpi_server_state state,
                                             bpi_bolt_version version,
                                             uint8_t tag,
                                             enum bpi_server_outcome outcome);

#endif
