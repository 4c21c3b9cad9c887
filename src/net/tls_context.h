/* What tls.c makes and tls_session.c reads; nobody else includes it. */
#ifndef BPI_NET_TLS_CONTEXT_H
#define BPI_NET_TLS_CONTEXT_H

#include <openssl/types.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct bpi_tls_context {
    SSL_CTX *ssl;           /* Immutable after publish. */
    bool is_server;         /* Immutable after publish. */
    bool verify;            /* Immutable after publish. */
    atomic_uint references; /* Atomic: the last unref acquires what the others released. */
};

/* OpenSSL's password callback: a key with a password is refused, never asked for on a terminal. */
int bpi_tls_no_password(char *text, int size, int for_writing, void *user);
/* The oldest error that OpenSSL noted on this thread, as words; clears its list. */
void bpi_tls_error_text(char *text, size_t size);

#endif
