/* The client's side of a Bolt session: which answer belongs to which request.
 *
 * Requests and answers match by order only. The pending requests are a ring; every request but
 * GOODBYE gets exactly one summary. Invariants: `pending_count <= capacity`; RECORD only while a
 * PULL is the oldest pending; `state` is the server's state once all pending are answered with
 * SUCCESS so far known. Used for links, by the load generator and by tests of servers.
 */
#ifndef BPI_BOLT_CLIENT_STATE_H
#define BPI_BOLT_CLIENT_STATE_H

#include "bolt/server_state.h"
#include "bolt/version.h"

/* Real servers stop reading at 300 queued messages; a power of two above it. */
#define BPI_CLIENT_PENDING_MAX 512

struct bpi_client_state {
    bpi_bolt_version version;
    enum bpi_server_state state; /* after the answers so far */
    uint16_t pending_first;
    uint16_t pending_count;
    uint16_t pending_resets; /* RESETs among them: all but the last may be IGNORED */
    bool open_tx;            /* a BEGIN is pending or its transaction is open */
    uint8_t *pending;        /* ring of tags, grows up to BPI_CLIENT_PENDING_MAX; freed by _done */
    uint16_t pending_capacity;
};

void bpi_client_state_init(struct bpi_client_state *client, bpi_bolt_version version);
void bpi_client_state_done(struct bpi_client_state *client);
/* Notes that a request was written; after GOODBYE the state is DEFUNCT. Errors: BP_E_FULL at
 * BPI_CLIENT_PENDING_MAX, BP_E_NO_MEMORY. */
BP_MUST_CHECK int bpi_client_state_sent(struct bpi_client_state *client, uint8_t tag);
/* Notes an answer (its tag, and has_more of a SUCCESS). *ret_request is the request it belongs to;
 * for a RECORD that request stays pending.
 * Errors: BP_E_UNEXPECTED for an answer that nothing asked for, a RECORD outside PULL, a SUCCESS or
 * RECORD after a failure that no RESET followed, an IGNORED that neither a failure nor a RESET
 * explains: the peer is out of step and the connection must be closed. */
BP_MUST_CHECK int bpi_client_state_received(struct bpi_client_state *client,
                                            uint8_t tag,
                                            bool has_more,
                                            uint8_t *ret_request);
/* Whether `tag` is among the unanswered. */
bool bpi_client_state_awaits(const struct bpi_client_state *client, uint8_t tag);
/* The oldest unanswered request, 0 = none. */
uint8_t bpi_client_state_oldest(const struct bpi_client_state *client);
/* READY with nothing unanswered: fit for the next transaction. */
bool bpi_client_state_clean(const struct bpi_client_state *client);
/* Whether a RESET may be written now: not while BEGIN, COMMIT, ROLLBACK, LOGON, LOGOFF or HELLO is
 * unanswered (it would jump the queue and undo or break them), and only once logged on. */
bool bpi_client_state_may_reset(const struct bpi_client_state *client);

#endif
