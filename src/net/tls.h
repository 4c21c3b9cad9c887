/* TLS settings of one side, made once and shared by its connections.
 *
 * Threads: a context is immutable after it is made; ref and unref from any thread. TLS 1.2 is the oldest
 * version; session tickets stay on; renegotiation is off. Keys never appear in a log.
 */
#ifndef BPI_NET_TLS_H
#define BPI_NET_TLS_H

#include <boltpool/types.h>

#include <stdbool.h>

struct bpi_tls_context;

/* For accepted connections. `cert_file` is a PEM chain, `key_file` its key.
 * Errors: BP_E_CONFIG; reterr_text says which file and what OpenSSL found. */
BP_MUST_CHECK int bpi_tls_server_new(const char *cert_file,
                                     const char *key_file,
                                     struct bpi_tls_context **ret_context,
                                     char *reterr_text,
                                     size_t reterr_text_size);
/* For connections that we open. With `verify` the chain is checked against `ca_file` (NULL: the
 * system's authorities) and the certificate must name the host (or IP address) that was asked for;
 * without it any certificate passes (bolt+ssc). */
BP_MUST_CHECK int bpi_tls_client_new(bool verify,
                                     const char *ca_file,
                                     struct bpi_tls_context **ret_context,
                                     char *reterr_text,
                                     size_t reterr_text_size);
/* The same with more to say. Errors: BP_E_CONFIG; reterr_text says which part and what OpenSSL found. */
struct bpi_tls_client_options {
    bool verify;
    const char *ca_file;   /* NULL, and ca_pem too: the system's authorities */
    const char *ca_pem;    /* certificates as text, beside those of the file */
    const char *cert_file; /* who we are, for servers that ask; NULL = nobody */
    const char *key_file;
};
BP_MUST_CHECK int bpi_tls_client_new_with(const struct bpi_tls_client_options *options,
                                          struct bpi_tls_context **ret_context,
                                          char *reterr_text,
                                          size_t reterr_text_size);
struct bpi_tls_context *bpi_tls_context_ref(struct bpi_tls_context *context);
void bpi_tls_context_unref(struct bpi_tls_context *context);

#endif
