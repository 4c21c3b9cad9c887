/* See tls.h. The settings only; tls_session.c is one connection that uses them. */
#include "net/tls.h"

#include "base/assert.h"
#include "net/tls_context.h"

#include <boltpool/error.h>

#include <openssl/err.h>
#include <openssl/pem.h>
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

/* A certificate with its chain, and its key. */
static int use_certificate(struct bpi_tls_context *context,
                           const char *cert_file,
                           const char *key_file,
                           char *reterr_text,
                           size_t size)
{
    if (SSL_CTX_use_certificate_chain_file(context->ssl, cert_file) != 1) {
        report(reterr_text, size, "cannot use certificate file", cert_file);
        return BP_E_CONFIG;
    }
    /* A missing or encrypted key must fail, not ask on the terminal: see bpi_tls_no_password(). */
    SSL_CTX_set_default_passwd_cb(context->ssl, bpi_tls_no_password);
    if (SSL_CTX_use_PrivateKey_file(context->ssl, key_file, SSL_FILETYPE_PEM) != 1) {
        report(reterr_text, size, "cannot use key file", key_file);
        return BP_E_CONFIG;
    }
    if (SSL_CTX_check_private_key(context->ssl) != 1) {
        report(reterr_text, size, "the certificate does not belong to key file", key_file);
        return BP_E_CONFIG;
    }
    return 0;
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
    int error = use_certificate(context, cert_file, key_file, reterr_text, reterr_text_size);
    if (error != 0) {
        bpi_tls_context_unref(context);
        return error;
    }
    *ret_context = context;
    return 0;
}

/* Authorities as PEM text. */
static int
trust_pem(struct bpi_tls_context *context, const char *pem, char *reterr_text, size_t size)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509_STORE *store = SSL_CTX_get_cert_store(context->ssl);
    int count = 0;
    X509 *certificate = NULL;
    while (bio != NULL &&
           (certificate = PEM_read_bio_X509(bio, NULL, bpi_tls_no_password, NULL)) != NULL) {
        count += X509_STORE_add_cert(store, certificate);
        X509_free(certificate);
    }
    BIO_free(bio);
    if (count == 0) {
        report(reterr_text, size, "no certificate in the authorities' text", NULL);
        return BP_E_CONFIG;
    }
    ERR_clear_error(); /* that the text ends is an error to OpenSSL */
    return 0;
}

static int trust(struct bpi_tls_context *context,
                 const struct bpi_tls_client_options *options,
                 char *reterr_text,
                 size_t size)
{
    SSL_CTX_set_verify(context->ssl, SSL_VERIFY_PEER, NULL);
    /* A CA file may hold an intermediate authority, or the server's own certificate. */
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context->ssl), X509_V_FLAG_PARTIAL_CHAIN);
    if (options->ca_file == NULL && options->ca_pem == NULL) {
        if (SSL_CTX_set_default_verify_paths(context->ssl) != 1) {
            report(reterr_text, size, "cannot use the system's authorities", NULL);
            return BP_E_CONFIG;
        }
        return 0;
    }
    if (options->ca_file != NULL &&
        SSL_CTX_load_verify_locations(context->ssl, options->ca_file, NULL) != 1) {
        report(reterr_text, size, "cannot use authorities file", options->ca_file);
        return BP_E_CONFIG;
    }
    return options->ca_pem == NULL ? 0 : trust_pem(context, options->ca_pem, reterr_text, size);
}

int bpi_tls_client_new(bool verify,
                       const char *ca_file,
                       struct bpi_tls_context **ret_context,
                       char *reterr_text,
                       size_t reterr_text_size)
{
    struct bpi_tls_client_options options = {.verify = verify, .ca_file = ca_file};
    return bpi_tls_client_new_with(&options, ret_context, reterr_text, reterr_text_size);
}

int bpi_tls_client_new_with(const struct bpi_tls_client_options *options,
                            struct bpi_tls_context **ret_context,
                            char *reterr_text,
                            size_t reterr_text_size)
{
    struct bpi_tls_context *context = context_new(TLS_client_method());
    if (context == NULL) {
        report(reterr_text, reterr_text_size, "no TLS context", NULL);
        return BP_E_NO_MEMORY;
    }
    context->verify = options->verify;
    int error = 0;
    if (options->verify) {
        error = trust(context, options, reterr_text, reterr_text_size);
    } else {
        SSL_CTX_set_verify(context->ssl, SSL_VERIFY_NONE, NULL);
    }
    if (error == 0 && (options->cert_file != NULL || options->key_file != NULL)) {
        if (options->cert_file == NULL || options->key_file == NULL) {
            snprintf(reterr_text, reterr_text_size,
                     "a certificate of our own needs both its file and its key's");
            error = BP_E_CONFIG;
        } else {
            error = use_certificate(context, options->cert_file, options->key_file, reterr_text,
                                    reterr_text_size);
        }
    }
    if (error != 0) {
        bpi_tls_context_unref(context);
        return error;
    }
    *ret_context = context;
    return 0;
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
