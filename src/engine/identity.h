/* Whom a client, and a link, is logged on as.
 *
 * Holds a copy of the log-in token (the encoded map that LOGON carries), because links are logged on
 * with it; it is wiped when the last reference goes and never logged. The digest is an HMAC-SHA-256 of
 * the token under a random key of this process, cut to 128 bits: equal digests mean equal tokens, and
 * nothing outside the process can be learnt from one.
 * Immutable after it is made; counted by reference. Threads: any.
 */
#ifndef BPI_ENGINE_IDENTITY_H
#define BPI_ENGINE_IDENTITY_H

#include "bolt/message.h"
#include "pool/pool.h"

#include <boltpool/types.h>

#define BPI_IDENTITY_KEY_BYTES 32

struct bpi_identity;

/* `token` is a map with scheme, principal, credentials ...; copied.
 * Errors: BP_E_NO_MEMORY, BP_E_INTERNAL (OpenSSL), the reader's errors for a token that is no map. */
BP_MUST_CHECK int bpi_identity_new(const uint8_t key[BPI_IDENTITY_KEY_BYTES],
                                   struct bpi_bolt_span token,
                                   struct bpi_identity **ret_identity);
struct bpi_identity *bpi_identity_ref(struct bpi_identity *identity);
void bpi_identity_unref(struct bpi_identity *identity);

struct bpi_bolt_span bpi_identity_token(const struct bpi_identity *identity);
/* The principal, zero-terminated and cut to 255 bytes; "" where there is none. */
const char *bpi_identity_user(const struct bpi_identity *identity);
const uint8_t *bpi_identity_digest(const struct bpi_identity *identity);
/* The same key over any bytes, for limits by user and by database. */
uint64_t
bpi_identity_hash(const uint8_t key[BPI_IDENTITY_KEY_BYTES], const void *data, size_t size);

/* Writes the token out of a HELLO (<= 5.0) map: all but what is no part of a log-in. */
BP_MUST_CHECK int bpi_identity_token_of_hello(struct bpi_bolt_span hello, struct bpi_buffer *out);

#endif
