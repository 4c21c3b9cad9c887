/* See listener.h.
 *
 * Accepting goes on until the queue is empty or 64 sockets were taken, so that a storm of new clients
 * can't hold the loop. Out of descriptors: the handle stops (the queue keeps the clients, and a
 * level-triggered poll would spin), and a timer starts it again.
 */
#include "net/listener.h"

#include "base/assert.h"
#include "base/container.h"
#include "base/log.h"
#include "net/loop.h"

#include <boltpool/error.h>

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#define ACCEPTS_PER_WAKE 64
/* The system caps it at net.core.somaxconn (4096 by default): room for a fleet that reconnects. */
#define BACKLOG_COUNT   4096
#define PAUSE_US        (100 * BP_USEC_PER_MS)
#define LOG_INTERVAL_US (60 * BP_USEC_PER_SECOND)

/* Owner: the loop. Life: bpi_listener_open() -> bpi_listener_close() -> on_closed() frees it. */
struct bpi_listener {
    uv_poll_t poll;
    struct bpi_timer timer; /* the end of a pause */
    struct bpi_loop *loop;
    bpi_accept_fn on_accept;
    void *user;
    int fd; /* -1 once closed */
    uint16_t port;
    bp_usec logged_us; /* 0 = never */
};

static void on_ready(uv_poll_t *handle, int status, int events);

static void watch(struct bpi_listener *listener)
{
    int error = uv_poll_start(&listener->poll, UV_READABLE, on_ready);
    BP_ASSERT(error == 0);
}

static void on_pause_over(struct bpi_timer *timer)
{
    struct bpi_listener *listener = BPI_CONTAINER(timer, struct bpi_listener, timer);
    watch(listener);
}

static void pause_accepting(struct bpi_listener *listener, int error)
{
    bp_usec now_us = bpi_loop_now_us(listener->loop);
    uv_poll_stop(&listener->poll);
    bpi_timer_set(listener->loop, &listener->timer, now_us + PAUSE_US);
    if (listener->logged_us == 0 || now_us - listener->logged_us >= LOG_INTERVAL_US) {
        listener->logged_us = now_us;
        bpi_log(BPI_LOG_WARN, "net",
                "cannot accept connections on port %u: %s; trying again every 100 ms",
                (unsigned)listener->port, uv_strerror(error));
    }
}

static void on_ready(uv_poll_t *handle, int status, int events)
{
    struct bpi_listener *listener = handle->data;
    (void)events;
    for (int i = 0; i < ACCEPTS_PER_WAKE && listener->fd >= 0; i++) {
        int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            listener->on_accept(listener, fd, listener->user);
        } else if (errno == EAGAIN) {
            break;
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            pause_accepting(listener, -errno);
            return;
        }
        /* Else the client went before it was accepted (ECONNABORTED and the network's errors). */
    }
    if (status < 0 && listener->fd >= 0) {
        /* libuv has stopped the handle. */
        watch(listener);
    }
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

/* Errors: libuv's. */
static int bind_and_listen(const struct addrinfo *address, int *ret_fd)
{
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    int on = 1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, address->ai_addr, address->ai_addrlen) != 0 || listen(fd, BACKLOG_COUNT) != 0) {
        int error = -errno;
        close(fd);
        return error;
    }
    *ret_fd = fd;
    return 0;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof(address);
    if (getsockname(fd, (struct sockaddr *)&address, &size) != 0) {
        return 0;
    }
    if (address.ss_family == AF_INET6) {
        return ntohs(((const struct sockaddr_in6 *)&address)->sin6_port);
    }
    struct sockaddr_in plain;
    memcpy(&plain, &address, sizeof(plain));
    return ntohs(plain.sin_port);
}

/* Errors: libuv's; of a name with several addresses, the last one's. */
static int open_socket(struct bpi_loop *loop, const char *host, uint16_t port, int *ret_fd)
{
    char service[8];
    snprintf(service, sizeof(service), "%u", (unsigned)port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    uv_getaddrinfo_t request;
    /* Without a callback libuv looks up here and now. */
    int error = uv_getaddrinfo(bpi_loop_uv(loop), &request, NULL, host, service, &hints);
    if (error != 0) {
        return error;
    }
    error = UV_EADDRNOTAVAIL;
    for (const struct addrinfo *address = request.addrinfo; address != NULL;
         address = address->ai_next) {
        error = bind_and_listen(address, ret_fd);
        if (error == 0) {
            break;
        }
    }
    uv_freeaddrinfo(request.addrinfo);
    return error;
}

int bpi_listener_open(struct bpi_loop *loop,
                      const char *host,
                      uint16_t port,
                      bpi_accept_fn on_accept,
                      void *user,
                      struct bpi_listener **ret_listener)
{
    bpi_assert_on_loop(loop);
    struct bpi_listener *listener = calloc(1, sizeof(*listener));
    if (listener == NULL) {
        return BP_E_NO_MEMORY;
    }
    listener->loop = loop;
    listener->on_accept = on_accept;
    listener->user = user;
    listener->timer.on_fire = on_pause_over;
    int error = bpi_timer_reserve(loop, 1);
    if (error != 0) {
        goto fail_memory;
    }
    error = open_socket(loop, host, port, &listener->fd);
    if (error != 0) {
        goto fail_timer;
    }
    error = uv_poll_init(bpi_loop_uv(loop), &listener->poll, listener->fd);
    if (error != 0) {
        goto fail_socket;
    }
    listener->poll.data = listener;
    listener->port = port_of(listener->fd);
    watch(listener);
    *ret_listener = listener;
    return 0;

fail_socket:
    close(listener->fd);
fail_timer:
    (void)!bpi_timer_reserve(loop, -1);
fail_memory:
    free(listener);
    return error;
}

uint16_t bpi_listener_port(const struct bpi_listener *listener)
{
    return listener->port;
}

void bpi_listener_close(struct bpi_listener *listener)
{
    bpi_assert_on_loop(listener->loop);
    bpi_timer_clear(listener->loop, &listener->timer);
    (void)!bpi_timer_reserve(listener->loop, -1);
    uv_close((uv_handle_t *)&listener->poll, on_closed);
    close(listener->fd);
    listener->fd = -1;
}
