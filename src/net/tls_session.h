/* One TLS connection as bytes in and bytes out: no socket, no loop, no thread of its own.
 *
 * Cipher bytes from the peer go in with bpi_tls_session_feed(); those for the peer pile up in
 * bpi_tls_session_pending(). While the handshake runs only whole records are shown to OpenSSL, so
 * that a peer which dribbles doesn't cost a step a byte.
 *
 * Owner: whoever holds it, one thread at a time; it may move between threads.
 */
#ifndef BPI_NET_TLS_SESSION_H
#define BPI_NET_TLS_SESSION_H

#include "base/buffer.h"

#include <boltpool/types.h>

#include <stdbool.h>

struct bpi_tls_context;
struct bpi_tls_session;

enum bpi_tls_progress {
    BPI_TLS_AGAIN, /* more bytes from the peer are needed */
    BPI_TLS_DONE,
    BPI_TLS_END, /* the peer said that nothing more comes */
    BPI_TLS_FAILED,
};

/* Takes its own reference to `context`. `host_name` (client side; a name or an IP address) is sent as
 * SNI and checked where the context verifies; copied. Errors: BP_E_NO_MEMORY. */
BP_MUST_CHECK int bpi_tls_session_new(struct bpi_tls_context *context,
                                      const char *host_name,
                                      struct bpi_tls_session **ret_session);
void bpi_tls_session_free(struct bpi_tls_session *session);

/* Appends what the peer sent. Errors: BP_E_NO_MEMORY. */
BP_MUST_CHECK int
bpi_tls_session_feed(struct bpi_tls_session *session, const void *data, size_t size);
/* Whether a step of the handshake has something to do: a whole record from the peer, or, on the client
 * side, the first step. */
bool bpi_tls_session_is_ready(const struct bpi_tls_session *session);
/* One step: AGAIN, DONE or FAILED. Heavy (signatures, key exchange): for a helper thread. */
enum bpi_tls_progress bpi_tls_session_handshake(struct bpi_tls_session *session);

/* Decrypts all that was fed, appending to `plain`: AGAIN, END or FAILED. */
enum bpi_tls_progress bpi_tls_session_decrypt(struct bpi_tls_session *session,
                                              struct bpi_buffer *plain);
/* Encrypts from the front of `plain` until it is empty or `pending_max` bytes wait: AGAIN or FAILED. */
enum bpi_tls_progress bpi_tls_session_encrypt(struct bpi_tls_session *session,
                                              struct bpi_buffer *plain,
                                              size_t pending_max);
/* Adds close_notify to what is pending. After the handshake only; best effort. */
void bpi_tls_session_close_notify(struct bpi_tls_session *session);

/* What is to be sent to the peer; the caller consumes it. */
struct bpi_buffer *bpi_tls_session_pending(struct bpi_tls_session *session);
/* Why it failed, as a sentence, or NULL. Lives as long as the session. */
const char *bpi_tls_session_reason(const struct bpi_tls_session *session);

#endif
