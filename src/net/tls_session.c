/* See tls_session.h.
 *
 * OpenSSL reads and writes through a BIO of our own over two buffers. Its memory BIO would do, but
 * keeps its memory at the high-water mark, and an idle connection should own none.
 *
 *   feed -> incoming -> [OpenSSL] -> plain      plain -> [OpenSSL] -> outgoing -> pending
 *
 * Invariant: 0 <= visible <= size(incoming); the BIO gives out visible bytes only. Afterwards all
 * are visible; during the handshake whole records are.
 */
#include "net/tls_session.h"

#include "base/assert.h"
#include "net/tls.h"
#include "net/tls_context.h"

#include <boltpool/error.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* RFC 8446, 5.1 and 5.2; TLS 1.2 allows 2048 bytes of overhead, so that is the bound. */
#define RECORD_HEAD_BYTES  ((size_t)5)
#define RECORD_PLAIN_BYTES ((size_t)16384)
#define RECORD_BYTES_MAX   (RECORD_PLAIN_BYTES + 2048)

/* More than OpenSSL ever answers on its own to a peer that sends and doesn't read (tickets, key
 * updates); a peer that gets it there is cut off. */
#define UNASKED_BYTES_MAX ((size_t)1024 * 1024)

struct bpi_tls_session {
    struct bpi_tls_context *context;
    SSL *ssl;
    struct bpi_buffer incoming;
    struct bpi_buffer outgoing;
    size_t visible;
    bool started;   /* the first step was taken */
    bool connected; /* the handshake is done */
    char *reason;
};

static BIO_METHOD *bio_method;

static int bio_read(BIO *bio, char *data, size_t size, size_t *ret_size)
{
    struct bpi_tls_session *session = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    size_t take = session->visible < size ? session->visible : size;
    if (take == 0) {
        BIO_set_retry_read(bio);
        *ret_size = 0;
        return -1;
    }
    memcpy(data, bpi_buffer_head(&session->incoming), take);
    bpi_buffer_consume(&session->incoming, take);
    session->visible -= take;
    *ret_size = take;
    return 1;
}

static int bio_write(BIO *bio, const char *data, size_t size, size_t *ret_size)
{
    struct bpi_tls_session *session = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (bpi_buffer_append(&session->outgoing, data, size) != 0) {
        *ret_size = 0;
        return -1;
    }
    *ret_size = size;
    return 1;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static void make_bio_method(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "boltpool");
    if (method != NULL) {
        BIO_meth_set_read_ex(method, bio_read);
        BIO_meth_set_write_ex(method, bio_write);
        BIO_meth_set_ctrl(method, bio_ctrl);
    }
    bio_method = method;
}

/* A name is sent as SNI and checked as a name; an IP address is only checked (RFC 6066, 3). */
static int set_host(struct bpi_tls_session *session, const char *host_name)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(session->ssl);
    if (X509_VERIFY_PARAM_set1_ip_asc(param, host_name) == 1) {
        return 0;
    }
    /* Longer than a name can be (RFC 1035): OpenSSL refuses it, and so would every certificate. */
    char name[256];
    snprintf(name, sizeof(name), "%s", host_name);
    if (SSL_set_tlsext_host_name(session->ssl, name) != 1) {
        return BP_E_NO_MEMORY;
    }
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return X509_VERIFY_PARAM_set1_host(param, host_name, 0) == 1 ? 0 : BP_E_NO_MEMORY;
}

int bpi_tls_session_new(struct bpi_tls_context *context,
                        const char *host_name,
                        struct bpi_tls_session **ret_session)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_bio_method);

    ERR_clear_error();
    struct bpi_tls_session *session = calloc(1, sizeof(*session));
    if (session == NULL) {
        return BP_E_NO_MEMORY;
    }
    session->context = bpi_tls_context_ref(context);
    BIO *bio = NULL;
    session->ssl = SSL_new(context->ssl);
    if (session->ssl == NULL || bio_method == NULL) {
        goto fail;
    }
    bio = BIO_new(bio_method);
    if (bio == NULL) {
        goto fail;
    }
    BIO_set_data(bio, session);
    BIO_set_init(bio, 1);
    SSL_set_bio(session->ssl, bio, bio);
    if (context->is_server) {
        SSL_set_accept_state(session->ssl);
    } else {
        SSL_set_connect_state(session->ssl);
        if (host_name != NULL && set_host(session, host_name) != 0) {
            goto fail;
        }
    }
    *ret_session = session;
    return 0;

fail:
    ERR_clear_error();
    bpi_tls_session_free(session);
    return BP_E_NO_MEMORY;
}

void bpi_tls_session_free(struct bpi_tls_session *session)
{
    if (session == NULL) {
        return;
    }
    SSL_free(session->ssl);
    bpi_tls_context_unref(session->context);
    bpi_buffer_done(&session->incoming);
    bpi_buffer_done(&session->outgoing);
    free(session->reason);
    free(session);
}

/* Shows the whole records at the front. What can't be a record is shown as it is, for OpenSSL to
 * refuse. */
static void show_records(struct bpi_tls_session *session)
{
    size_t size = bpi_buffer_size(&session->incoming);
    const uint8_t *head = bpi_buffer_head(&session->incoming);
    while (size - session->visible >= RECORD_HEAD_BYTES) {
        const uint8_t *record = head + session->visible;
        size_t body = (size_t)record[3] << 8 | record[4];
        bool plausible = record[0] >= SSL3_RT_CHANGE_CIPHER_SPEC &&
                         record[0] <= SSL3_RT_APPLICATION_DATA && record[1] == SSL3_VERSION_MAJOR &&
                         body <= RECORD_BYTES_MAX;
        if (!plausible) {
            session->visible = size;
            return;
        }
        if (size - session->visible - RECORD_HEAD_BYTES < body) {
            return;
        }
        session->visible += RECORD_HEAD_BYTES + body;
    }
}

int bpi_tls_session_feed(struct bpi_tls_session *session, const void *data, size_t size)
{
    int error = bpi_buffer_append(&session->incoming, data, size);
    if (error != 0) {
        return error;
    }
    if (session->connected) {
        session->visible = bpi_buffer_size(&session->incoming);
    } else {
        show_records(session);
    }
    return 0;
}

bool bpi_tls_session_is_ready(const struct bpi_tls_session *session)
{
    return session->visible > 0 || (!session->started && !session->context->is_server);
}

static void note_reason(struct bpi_tls_session *session)
{
    char text[256];
    long verified = SSL_get_verify_result(session->ssl);
    if (session->context->verify && verified != X509_V_OK) {
        snprintf(text, sizeof(text), "certificate: %s", X509_verify_cert_error_string(verified));
        ERR_clear_error();
    } else {
        bpi_tls_error_text(text, sizeof(text));
    }
    if (session->reason == NULL) {
        session->reason = strdup(text);
    }
}

/* What a call's result means; a failure's reason is kept. */
static enum bpi_tls_progress judge(struct bpi_tls_session *session, int result)
{
    switch (SSL_get_error(session->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return BPI_TLS_AGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return BPI_TLS_END;
    default:
        note_reason(session);
        return BPI_TLS_FAILED;
    }
}

enum bpi_tls_progress bpi_tls_session_handshake(struct bpi_tls_session *session)
{
    BP_ASSERT(!session->connected);
    ERR_clear_error();
    session->started = true;
    int result = SSL_do_handshake(session->ssl);
    if (result != 1) {
        enum bpi_tls_progress progress = judge(session, result);
        return progress == BPI_TLS_END ? BPI_TLS_FAILED : progress;
    }
    session->connected = true;
    session->visible = bpi_buffer_size(&session->incoming);
    return BPI_TLS_DONE;
}

enum bpi_tls_progress bpi_tls_session_decrypt(struct bpi_tls_session *session,
                                              struct bpi_buffer *plain)
{
    BP_ASSERT(session->connected);
    ERR_clear_error();
    enum bpi_tls_progress progress = BPI_TLS_AGAIN;
    uint8_t record[RECORD_PLAIN_BYTES];
    for (;;) {
        size_t size;
        int result = SSL_read_ex(session->ssl, record, sizeof(record), &size);
        if (result != 1) {
            progress = judge(session, result);
            break;
        }
        if (bpi_buffer_append(plain, record, size) != 0) {
            session->reason = session->reason != NULL ? session->reason : strdup("out of memory");
            progress = BPI_TLS_FAILED;
            break;
        }
    }
    if (bpi_buffer_size(&session->incoming) == 0) {
        bpi_buffer_done(&session->incoming);
    }
    if (bpi_buffer_size(&session->outgoing) > UNASKED_BYTES_MAX) {
        session->reason =
            session->reason != NULL ? session->reason : strdup("the peer asks and does not read");
        progress = BPI_TLS_FAILED;
    }
    return progress;
}

enum bpi_tls_progress bpi_tls_session_encrypt(struct bpi_tls_session *session,
                                              struct bpi_buffer *plain,
                                              size_t pending_max)
{
    BP_ASSERT(session->connected);
    ERR_clear_error();
    while (bpi_buffer_size(plain) > 0 && bpi_buffer_size(&session->outgoing) < pending_max) {
        size_t size = bpi_buffer_size(plain);
        size_t written;
        int result = SSL_write_ex(session->ssl, bpi_buffer_head(plain),
                                  size < RECORD_PLAIN_BYTES ? size : RECORD_PLAIN_BYTES, &written);
        if (result != 1) {
            /* Without renegotiation a write waits for nothing, so AGAIN is a failure as well. */
            note_reason(session);
            return BPI_TLS_FAILED;
        }
        bpi_buffer_consume(plain, written);
    }
    return BPI_TLS_AGAIN;
}

void bpi_tls_session_close_notify(struct bpi_tls_session *session)
{
    if (session->connected && session->reason == NULL) {
        ERR_clear_error();
        /* 0 or 1 are fine; an error means that the session is broken, and then silence is right. */
        if (SSL_shutdown(session->ssl) < 0) {
            ERR_clear_error();
        }
    }
}

struct bpi_buffer *bpi_tls_session_pending(struct bpi_tls_session *session)
{
    return &session->outgoing;
}

const char *bpi_tls_session_reason(const struct bpi_tls_session *session)
{
    return session->reason;
}
