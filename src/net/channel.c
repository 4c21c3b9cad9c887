/* See channel.h. */
#include "net/channel.h"

#include "base/clock.h"
#include "net/conn_private.h"
#include "net/tls.h"
#include "net/tls_session.h"

#include <boltpool/error.h>

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include <uv.h>

/* One read: large enough that a stream of rows costs few calls (16 KiB: 40 % more CPU a row), small enough to stay in
 * the cache. */
#define READ_BYTES ((size_t)65536)
/* Encrypted bytes that may wait for the socket; more only holds memory. */
#define PENDING_MAX ((size_t)262144)
/* ---- waiting ---- */

/* Milliseconds until the deadline, rounded up so that it has passed afterwards; -1 = for ever, 0 = it has passed. */
static int wait_ms(bp_usec deadline_us)
{
    if (deadline_us == 0) {
        return -1;
    }
    bp_usec now_us = bpi_clock_now_us();
    if (now_us >= deadline_us) {
        return 0;
    }
    bp_usec left_ms = (deadline_us - now_us + BP_USEC_PER_MS - 1) / BP_USEC_PER_MS;
    return left_ms > 3600000 ? 3600000 : (int)left_ms;
}

/* 0 and what is possible, or UV_ETIMEDOUT. */
static int wait_for(int fd, short events, bp_usec deadline_us, short *ret_events)
{
    for (;;) {
        struct pollfd entry = {.fd = fd, .events = events};
        int ms = wait_ms(deadline_us);
        int count = poll(&entry, 1, ms);
        if (count > 0) {
            *ret_events = entry.revents;
            return 0;
        }
        if (count < 0 && errno != EINTR && errno != EAGAIN) {
            return -errno;
        }
        if (count == 0 && (ms == 0 || wait_ms(deadline_us) == 0)) {
            return UV_ETIMEDOUT;
        }
    }
}

/* ---- reading ---- */

/* Bytes into `in`, as the socket gives them: their number, 0 at the end, or an error; UV_EAGAIN where there are none. */
static ssize_t receive(const struct bpi_channel *channel, struct bpi_buffer *in, int flags)
{
    int error = bpi_buffer_reserve(in, READ_BYTES);
    if (error != 0) {
        return error;
    }
    for (;;) {
        ssize_t size = recv(channel->fd, in->data + in->end, in->capacity - in->end, flags);
        if (size >= 0) {
            in->end += (size_t)size;
            return size;
        }
        if (errno != EINTR) {
            return errno == EAGAIN ? UV_EAGAIN : -errno;
        }
    }
}

static int set_silence(struct bpi_channel *channel)
{
    if (channel->silence_us == channel->silence_set_us) {
        return 0;
    }
    struct timeval time = {
        .tv_sec = (time_t)(channel->silence_us / BP_USEC_PER_SECOND),
        .tv_usec = (suseconds_t)(channel->silence_us % BP_USEC_PER_SECOND),
    };
    if (setsockopt(channel->fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time)) != 0) {
        return -errno;
    }
    channel->silence_set_us = channel->silence_us;
    return 0;
}

/* Waits for bytes of the socket, plain or not. */
static int receive_some(struct bpi_channel *channel, struct bpi_buffer *in, bp_usec deadline_us)
{
    if (deadline_us == 0) {
        int error = set_silence(channel);
        if (error != 0) {
            return error;
        }
        ssize_t size = receive(channel, in, 0);
        if (size == UV_EAGAIN) {
            return UV_ETIMEDOUT;
        }
        return size > 0 ? 0 : size == 0 ? UV_EOF : (int)size;
    }
    for (;;) {
        ssize_t size = receive(channel, in, MSG_DONTWAIT);
        if (size != UV_EAGAIN) {
            return size > 0 ? 0 : size == 0 ? UV_EOF : (int)size;
        }
        short events;
        int error = wait_for(channel->fd, POLLIN, deadline_us, &events);
        if (error != 0) {
            return error;
        }
    }
}

/* Hands what was received to TLS. */
static int feed(struct bpi_channel *channel, struct bpi_buffer *cipher)
{
    int error =
        bpi_tls_session_feed(channel->tls, bpi_buffer_head(cipher), bpi_buffer_size(cipher));
    bpi_buffer_done(cipher);
    return error;
}

static int decrypt(struct bpi_channel *channel, struct bpi_buffer *in)
{
    switch (bpi_tls_session_decrypt(channel->tls, in)) {
    case BPI_TLS_END:
        return UV_EOF;
    case BPI_TLS_FAILED:
        return BP_E_TLS;
    case BPI_TLS_AGAIN:
    case BPI_TLS_DONE:
        break;
    }
    return 0;
}

static int write_pending(struct bpi_channel *channel, struct bpi_buffer *in, bp_usec deadline_us);

int bpi_channel_read(struct bpi_channel *channel, struct bpi_buffer *in, bp_usec deadline_us)
{
    if (channel->tls == NULL) {
        return receive_some(channel, in, deadline_us);
    }
    size_t before = bpi_buffer_size(in);
    while (bpi_buffer_size(in) == before) {
        struct bpi_buffer cipher = {0};
        int error = receive_some(channel, &cipher, deadline_us);
        if (error != 0) {
            bpi_buffer_done(&cipher);
            return error;
        }
        error = feed(channel, &cipher);
        if (error == 0) {
            error = decrypt(channel, in);
        }
        /* What came before the end is still to be read; the end comes again. */
        if (error != 0 && (error != UV_EOF || bpi_buffer_size(in) == before)) {
            return error;
        }
        /* TLS answers some things by itself: key updates. */
        error = write_pending(channel, in, deadline_us);
        if (error != 0) {
            return error;
        }
    }
    return 0;
}

int bpi_channel_has_news(const struct bpi_channel *channel)
{
    struct pollfd entry = {.fd = channel->fd, .events = POLLIN};
    return poll(&entry, 1, 0) > 0;
}

/* ---- writing ---- */

/* What arrives while we write. `in` is NULL during the TLS handshake, when nothing can be decrypted yet. */
static int receive_meanwhile(struct bpi_channel *channel, struct bpi_buffer *in)
{
    if (channel->tls == NULL) {
        ssize_t size = receive(channel, in, MSG_DONTWAIT);
        return size == UV_EAGAIN || size > 0 ? 0 : size == 0 ? UV_EOF : (int)size;
    }
    struct bpi_buffer cipher = {0};
    ssize_t size = receive(channel, &cipher, MSG_DONTWAIT);
    if (size <= 0) {
        bpi_buffer_done(&cipher);
        return size == UV_EAGAIN ? 0 : size == 0 ? UV_EOF : (int)size;
    }
    int error = feed(channel, &cipher);
    return error != 0 || in == NULL ? error : decrypt(channel, in);
}

/* Sends `bytes` to the socket, all of them. */
static int send_all(struct bpi_channel *channel,
                    struct bpi_buffer *bytes,
                    struct bpi_buffer *in,
                    bp_usec deadline_us)
{
    while (bpi_buffer_size(bytes) > 0) {
        ssize_t size = send(channel->fd, bpi_buffer_head(bytes), bpi_buffer_size(bytes),
                            MSG_NOSIGNAL | MSG_DONTWAIT);
        if (size >= 0) {
            bpi_buffer_consume(bytes, (size_t)size);
            continue;
        }
        if (errno == EINTR) {
            continue;
        }
        if (errno != EAGAIN) {
            return -errno;
        }
        bp_usec until_us = deadline_us;
        if (until_us == 0 && channel->silence_us != 0) {
            until_us = bpi_clock_now_us() + channel->silence_us;
        }
        short events = 0;
        int error = wait_for(channel->fd, POLLIN | POLLOUT, until_us, &events);
        if (error == 0 && (events & POLLIN) != 0) {
            error = receive_meanwhile(channel, in);
        }
        if (error != 0) {
            return error;
        }
    }
    return 0;
}

static int write_pending(struct bpi_channel *channel, struct bpi_buffer *in, bp_usec deadline_us)
{
    /* send_all() may feed TLS, which may add to its pending bytes: they are sent by the same call. */
    return send_all(channel, bpi_tls_session_pending(channel->tls), in, deadline_us);
}

int bpi_channel_write(struct bpi_channel *channel,
                      struct bpi_buffer *out,
                      struct bpi_buffer *in,
                      bp_usec deadline_us)
{
    if (channel->tls == NULL) {
        return send_all(channel, out, in, deadline_us);
    }
    while (bpi_buffer_size(out) > 0) {
        if (bpi_tls_session_encrypt(channel->tls, out, PENDING_MAX) == BPI_TLS_FAILED) {
            return BP_E_TLS;
        }
        int error = write_pending(channel, in, deadline_us);
        if (error != 0) {
            return error;
        }
    }
    return 0;
}

/* ---- opening ---- */

/* A connected, blocking socket. */
static int connect_to(const struct addrinfo *address, bp_usec deadline_us, int *ret_fd)
{
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -errno;
    }
    int error = 0;
    if (connect(fd, address->ai_addr, address->ai_addrlen) != 0) {
        error = -errno;
    }
    if (error == UV_EINTR || error == -EINPROGRESS) {
        short events = 0;
        error = wait_for(fd, POLLOUT, deadline_us, &events);
        if (error == 0) {
            int result = 0;
            socklen_t size = sizeof(result);
            error = getsockopt(fd, SOL_SOCKET, SO_ERROR, &result, &size) != 0 ? -errno : -result;
        }
    }
    /* Reads block; writes say for each call that they don't. */
    if (error == 0 && fcntl(fd, F_SETFL, 0) != 0) {
        error = -errno;
    }
    if (error != 0) {
        close(fd);
        return error;
    }
    bpi_conn_socket_tune(fd, 0);
    *ret_fd = fd;
    return 0;
}

/* getaddrinfo()'s error as libuv has it. */
static int lookup_error(int code)
{
    switch (code) {
    case EAI_AGAIN:
        return UV_EAI_AGAIN;
    case EAI_FAIL:
        return UV_EAI_FAIL;
    case EAI_FAMILY:
        return UV_EAI_FAMILY;
    case EAI_MEMORY:
        return UV_EAI_MEMORY;
    case EAI_NODATA:
        return UV_EAI_NODATA;
    case EAI_SERVICE:
        return UV_EAI_SERVICE;
    case EAI_SYSTEM:
        return errno != 0 ? -errno : UV_EAI_FAIL;
    default:
        return UV_EAI_NONAME;
    }
}

/* Each address gets an equal share of the time that is left, so that a dead first one doesn't use up the time of a
 * living second. */
static int connect_any(const struct addrinfo *addresses, bp_usec deadline_us, int *ret_fd)
{
    unsigned left = 0;
    for (const struct addrinfo *one = addresses; one != NULL; one = one->ai_next) {
        left++;
    }
    int error = UV_EAI_NONAME;
    for (const struct addrinfo *one = addresses; one != NULL; one = one->ai_next, left--) {
        bp_usec until_us = deadline_us;
        bp_usec now_us = bpi_clock_now_us();
        if (deadline_us != 0) {
            until_us = now_us >= deadline_us ? now_us : now_us + (deadline_us - now_us) / left;
        }
        error = connect_to(one, until_us, ret_fd);
        if (error == 0) {
            return 0;
        }
    }
    return error;
}

static int handshake(struct bpi_channel *channel, bp_usec deadline_us)
{
    for (;;) {
        enum bpi_tls_progress progress = bpi_tls_session_handshake(channel->tls);
        /* An alert that says why goes out too. */
        int error = write_pending(channel, NULL, deadline_us);
        if (progress == BPI_TLS_DONE || error != 0) {
            return error;
        }
        if (progress != BPI_TLS_AGAIN) {
            return BP_E_TLS;
        }
        while (!bpi_tls_session_is_ready(channel->tls)) {
            struct bpi_buffer cipher = {0};
            error = receive_some(channel, &cipher, deadline_us);
            if (error == 0) {
                error = feed(channel, &cipher);
            }
            bpi_buffer_done(&cipher);
            if (error != 0) {
                return error == UV_EOF ? BP_E_TLS : error;
            }
        }
    }
}

static int start_tls(struct bpi_channel *channel,
                     struct bpi_tls_context *tls,
                     const char *server_name,
                     bp_usec deadline_us)
{
    int error = bpi_tls_session_new(tls, server_name, &channel->tls);
    return error != 0 ? error : handshake(channel, deadline_us);
}

int bpi_channel_open(struct bpi_channel *channel,
                     const char *host,
                     uint16_t port,
                     struct bpi_tls_context *tls,
                     const char *server_name,
                     bp_usec deadline_us,
                     char *reterr_text,
                     size_t reterr_text_size)
{
    *channel = (struct bpi_channel){.fd = -1};
    char service[8];
    snprintf(service, sizeof(service), "%u", (unsigned)port);
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *addresses = NULL;
    int code = getaddrinfo(host, service, &hints, &addresses);
    if (code != 0) {
        int error = lookup_error(code);
        snprintf(reterr_text, reterr_text_size, "looking up %s: %s", host, uv_strerror(error));
        return error;
    }
    int error = connect_any(addresses, deadline_us, &channel->fd);
    freeaddrinfo(addresses);
    if (error != 0) {
        channel->fd = -1;
        snprintf(reterr_text, reterr_text_size, "connecting to %s:%u: %s", host, (unsigned)port,
                 uv_strerror(error));
        return error;
    }
    if (tls == NULL) {
        return 0;
    }
    error = start_tls(channel, tls, server_name, deadline_us);
    if (error != 0) {
        const char *reason = channel->tls == NULL ? NULL : bpi_tls_session_reason(channel->tls);
        snprintf(reterr_text, reterr_text_size, "TLS with %s:%u: %s", host, (unsigned)port,
                 reason != NULL      ? reason
                 : error == BP_E_TLS ? "the server ended it: does it speak TLS on this port?"
                                     : bp_error_text(error));
        bpi_channel_abandon(channel);
    }
    return error;
}

/* ---- ending ---- */

void bpi_channel_cut(const struct bpi_channel *channel)
{
    if (channel->fd >= 0) {
        (void)shutdown(channel->fd, SHUT_RDWR);
    }
}

void bpi_channel_close(struct bpi_channel *channel, struct bpi_buffer *out)
{
    if (channel->fd >= 0 && out != NULL) {
        struct bpi_buffer *bytes = out;
        if (channel->tls != NULL) {
            (void)bpi_tls_session_encrypt(channel->tls, out, SIZE_MAX);
            bpi_tls_session_close_notify(channel->tls);
            bytes = bpi_tls_session_pending(channel->tls);
        }
        if (bpi_buffer_size(bytes) > 0) {
            (void)send(channel->fd, bpi_buffer_head(bytes), bpi_buffer_size(bytes),
                       MSG_NOSIGNAL | MSG_DONTWAIT);
        }
    }
    bpi_channel_abandon(channel);
}

void bpi_channel_abandon(struct bpi_channel *channel)
{
    bpi_tls_session_free(channel->tls);
    channel->tls = NULL;
    if (channel->fd >= 0) {
        close(channel->fd);
        channel->fd = -1;
    }
}
