/* See tls.h. The settings only; tls_session.c is one connection that uses them. */
#include "net/tls.h"

#include "base/assert.h"
#include "net/tls_context.h"

#include <boltpool/error.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static void report(char *text, size_t size, const char *what, const char *file)
{
    if (size == 0) {
        return;
    }
    char reason[256];
    bpi_tls_error_text(reason, sizeof(reason));
    snprintf(text, size, "%s%s%s: %s", what, file != NULL ? " " : "", file != NULL ? file : "",
             reason);
}

static struct bpi_tls_context *context_new(const SSL_METHOD *method)
{
    ERR_clear_error();
    struct bpi_tls_context *context = calloc(1, sizeof(*context));
    if (context == NULL) {
        return NULL;
    }
    context->ssl = SSL_CTX_new(method);
    if (context->ssl == NULL) {
        free(context);
        return NULL;
    }
    atomic_init(&context->references, 1);
    SSL_CTX_set_min_proto_version(context->ssl, TLS1_2_VERSION);
    SSL_CTX_set_options(context->ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    /* Idle connections give their 34 KiB of record buffers back. */
    SSL_CTX_set_mode(context->ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    /* Tickets carry the session state; a cache on our side would only hold memory and a lock. */
    SSL_CTX_set_session_cache_mode(context->ssl, SSL_SESS_CACHE_OFF);
    return context;
}

int bpi_tls_server_new(const char *cert_file,
                       const char *key_file,
                       struct bpi_tls_context **ret_context,
                       char *reterr_text,
                       size_t reterr_text_size)
{
    struct bpi_tls_context *context = context_new(TLS_server_method());
    if (context == NULL) {
        report(reterr_text, reterr_text_size, "no TLS context", NULL);
        return BP_E_NO_MEMORY;
    }
    context->is_server = true;
    if (SSL_CTX_use_certificate_chain_file(context->ssl, cert_file) != 1) {
        report(reterr_text, reterr_text_size, "cannot use certificate file", cert_file);
        goto fail;
    }
    /* A missing or encrypted key must fail, not ask on the terminal: see bpi_tls_no_password(). */
    SSL_CTX_set_default_passwd_cb(context->ssl, bpi_tls_no_password);
    if (SSL_CTX_use_PrivateKey_file(context->ssl, key_file, SSL_FILETYPE_PEM) != 1) {
        report(reterr_text, reterr_text_size, "cannot use key file", key_file);
        goto fail;
    }
    if (SSL_CTX_check_private_key(context->ssl) != 1) {
        report(reterr_text, reterr_text_size, "the certificate does not belong to key file",
               key_file);
        goto fail;
    }
    *ret_context = context;
    return 0;

fail:
    bpi_tls_context_unref(context);
    return BP_E_CONFIG;
}

int bpi_tls_client_new(bool verify,
                       const char *ca_file,
                       struct bpi_tls_context **ret_context,
                       char *reterr_text,
                       size_t reterr_text_size)
{
    struct bpi_tls_context *context = context_new(TLS_client_method());
    if (context == NULL) {
        report(reterr_text, reterr_text_size, "no TLS context", NULL);
        return BP_E_NO_MEMORY;
    }
    context->verify = verify;
    if (verify) {
        SSL_CTX_set_verify(context->ssl, SSL_VERIFY_PEER, NULL);
        /* A CA file may hold an intermediate authority, or the server's own certificate. */
        X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context->ssl), X509_V_FLAG_PARTIAL_CHAIN);
        if (ca_file != NULL) {
            if (SSL_CTX_load_verify_locations(context->ssl, ca_file, NULL) != 1) {
                report(reterr_text, reterr_text_size, "cannot use authorities file", ca_file);
                goto fail;
            }
        } else if (SSL_CTX_set_default_verify_paths(context->ssl) != 1) {
            report(reterr_text, reterr_text_size, "cannot use the system's authorities", NULL);
            goto fail;
        }
    } else {
        SSL_CTX_set_verify(context->ssl, SSL_VERIFY_NONE, NULL);
    }
    *ret_context = context;
    return 0;

fail:
    bpi_tls_context_unref(context);
    return BP_E_CONFIG;
}

struct bpi_tls_context *bpi_tls_context_ref(struct bpi_tls_context *context)
{
    atomic_fetch_add_explicit(&context->references, 1, memory_order_relaxed);
    return context;
}

void bpi_tls_context_unref(struct bpi_tls_context *context)
{
    if (context == NULL) {
        return;
    }
    unsigned before = atomic_fetch_sub_explicit(&context->references, 1, memory_order_acq_rel);
    BP_ASSERT(before > 0);
    if (before == 1) {
        SSL_CTX_free(context->ssl);
        free(context);
    }
}

int bpi_tls_no_password(char *text, int size, int for_writing, void *user)
{
    (void)text;
    (void)size;
    (void)for_writing;
    (void)user;
    return -1;
}

void bpi_tls_error_text(char *text, size_t size)
{
    unsigned long code = ERR_peek_error();
    const char *reason = ERR_reason_error_string(code);
    if (reason != NULL) {
        snprintf(text, size, "%s", reason);
    } else if (code != 0) {
        snprintf(text, size, "OpenSSL error %lx", code);
    } else {
        snprintf(text, size, "no reason given");
    }
    ERR_clear_error();
}
