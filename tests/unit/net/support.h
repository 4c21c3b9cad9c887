/* What the tests of `net` share: a watchdog, loops on threads that can be called like functions, raw
 * TCP peers, and two kinds of connection owners: one that notes what it is told and one that streams.
 *
 * Header only, because each test is one source file.
 */
#ifndef TESTS_UNIT_NET_SUPPORT_H
#define TESTS_UNIT_NET_SUPPORT_H

#include "net/conn.h"
#include "net/loop.h"

#include <boltpool/error.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONTAINER(pointer, type, member)                                                           \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/* A test that hangs ends with SIGALRM instead of hanging the run. */
#define WATCHDOG_S 120U

static inline int watchdog_setup(void **state)
{
    (void)state;
    alarm(WATCHDOG_S);
    return 0;
}

#define NET_TEST(name) cmocka_unit_test_setup(name, watchdog_setup)

/* Waits for at most 30 s; a test that waits longer has failed. */
static inline void wait_for(sem_t *semaphore)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 30;
    int result;
    do {
        result = sem_timedwait(semaphore, &until);
    } while (result != 0 && errno == EINTR);
    assert_int_equal(result, 0);
}

static inline void sleep_ms(long ms)
{
    struct timespec span = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&span, NULL);
}

/* Loops. */

static inline struct bpi_loop *loop_started(unsigned index)
{
    struct bpi_loop *loop = NULL;
    assert_int_equal(bpi_loop_new(index, &loop), 0);
    assert_int_equal(bpi_loop_start(loop), 0);
    return loop;
}

/* Ends only when every handle was closed, so this also shows that nothing leaks. */
static inline void loop_ended(struct bpi_loop *loop)
{
    bpi_loop_stop(loop);
    bpi_loop_free(loop);
}

struct call {
    struct bpi_mail mail;
    void (*function)(void *argument);
    void *argument;
    sem_t done;
};

static inline void call_deliver(struct bpi_mail *mail)
{
    struct call *call = CONTAINER(mail, struct call, mail);
    call->function(call->argument);
    sem_post(&call->done);
}

/* Runs the function on the loop's thread and waits for it. */
static inline void call_on(struct bpi_loop *loop, void (*function)(void *argument), void *argument)
{
    struct call call = {.mail.deliver = call_deliver, .function = function, .argument = argument};
    sem_init(&call.done, 0, 0);
    bpi_loop_post(loop, &call.mail);
    wait_for(&call.done);
    sem_destroy(&call.done);
}

/* Raw sockets. */

static inline int tcp_listen(int backlog, uint16_t *ret_port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(fd, backlog), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

static inline int tcp_connect(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return fd;
}

/* fds[0] is for the connection under test, fds[1] the test's own blocking end. */
static inline void tcp_pair(int fds[2])
{
    uint16_t port = 0;
    int listener = tcp_listen(8, &port);
    fds[1] = tcp_connect(port);
    fds[0] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(fds[0] >= 0);
    close(listener);
}

static inline void send_all(int fd, const void *data, size_t size)
{
    const uint8_t *next = data;
    while (size > 0) {
        ssize_t sent = send(fd, next, size, MSG_NOSIGNAL);
        assert_true(sent > 0);
        next += sent;
        size -= (size_t)sent;
    }
}

/* Reads exactly `size` bytes. */
static inline void receive_all(int fd, void *data, size_t size)
{
    uint8_t *next = data;
    while (size > 0) {
        ssize_t received = recv(fd, next, size, 0);
        assert_true(received > 0);
        next += received;
        size -= (size_t)received;
    }
}

static inline void reset_close(int fd)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    close(fd);
}

/* An owner that notes what it is told. Its fields are read by the test after a wait, or on the loop.
 * `on_*` of the test run after the note, on the loop. */
struct probe {
    struct bpi_loop *loop;
    struct bpi_conn *conn;
    const struct bpi_conn_options *options; /* for accepting and connecting; NULL: plain */
    const char *host;
    uint16_t port;
    int fd;
    int result;       /* of bpi_conn_connect() or bpi_conn_accept() */
    atomic_bool keep; /* leave the bytes in `in` */
    void (*then_open)(struct probe *probe);
    void (*then_data)(struct probe *probe);
    void (*then_drain)(struct probe *probe);
    void (*then_close)(struct probe *probe);
    struct probe *other;

    sem_t opened;
    sem_t told_data;
    sem_t drained;
    sem_t closed;
    atomic_int opens;
    atomic_int datas;
    atomic_int drains;
    atomic_int closes;
    int error;
    char reason[256];
    uint8_t bytes[4096];
    atomic_size_t bytes_size; /* all that came; only the first 4096 are kept */
};

static inline void probe_on_open(struct bpi_conn *conn, void *user)
{
    struct probe *probe = user;
    assert_ptr_equal(bpi_loop_current(), probe->loop);
    probe->conn = conn;
    atomic_fetch_add(&probe->opens, 1);
    if (probe->then_open != NULL) {
        probe->then_open(probe);
    }
    sem_post(&probe->opened);
}

static inline void probe_on_data(struct bpi_conn *conn, void *user)
{
    struct probe *probe = user;
    assert_ptr_equal(bpi_loop_current(), probe->loop);
    atomic_fetch_add(&probe->datas, 1);
    struct bpi_buffer *in = bpi_conn_in(conn);
    assert_true(bpi_buffer_size(in) > 0);
    if (!probe->keep) {
        size_t size = bpi_buffer_size(in);
        size_t have = atomic_load(&probe->bytes_size);
        if (have < sizeof(probe->bytes)) {
            size_t room = sizeof(probe->bytes) - have;
            memcpy(probe->bytes + have, bpi_buffer_head(in), size < room ? size : room);
        }
        atomic_fetch_add(&probe->bytes_size, size);
        bpi_buffer_consume(in, size);
    }
    if (probe->then_data != NULL) {
        probe->then_data(probe);
    }
    sem_post(&probe->told_data);
}

static inline void probe_on_drain(struct bpi_conn *conn, void *user)
{
    struct probe *probe = user;
    (void)conn;
    atomic_fetch_add(&probe->drains, 1);
    if (probe->then_drain != NULL) {
        probe->then_drain(probe);
    }
    sem_post(&probe->drained);
}

static inline void probe_on_close(struct bpi_conn *conn, void *user, int error)
{
    struct probe *probe = user;
    assert_ptr_equal(bpi_loop_current(), probe->loop);
    probe->error = error;
    bpi_conn_error_text(conn, probe->reason, sizeof(probe->reason));
    atomic_fetch_add(&probe->closes, 1);
    if (probe->then_close != NULL) {
        probe->then_close(probe);
    }
    sem_post(&probe->closed);
}

static const struct bpi_conn_handler probe_handler = {
    .on_open = probe_on_open,
    .on_data = probe_on_data,
    .on_drain = probe_on_drain,
    .on_close = probe_on_close,
};

static inline void probe_init(struct probe *probe, struct bpi_loop *loop)
{
    memset(probe, 0, sizeof(*probe));
    probe->loop = loop;
    probe->host = "127.0.0.1";
    sem_init(&probe->opened, 0, 0);
    sem_init(&probe->told_data, 0, 0);
    sem_init(&probe->drained, 0, 0);
    sem_init(&probe->closed, 0, 0);
}

static inline struct bpi_conn_options probe_options(struct probe *probe)
{
    struct bpi_conn_options options = {0};
    if (probe->options != NULL) {
        options = *probe->options;
    }
    options.handler = &probe_handler;
    options.user = probe;
    return options;
}

static inline void probe_accept_call(void *argument)
{
    struct probe *probe = argument;
    struct bpi_conn_options options = probe_options(probe);
    probe->result = bpi_conn_accept(probe->loop, probe->fd, &options, &probe->conn);
}

static inline void probe_connect_call(void *argument)
{
    struct probe *probe = argument;
    struct bpi_conn_options options = probe_options(probe);
    probe->result = bpi_conn_connect(probe->loop, probe->host, probe->port, &options, &probe->conn);
}

static inline void probe_close_call(void *argument)
{
    struct probe *probe = argument;
    if (probe->conn != NULL) {
        bpi_conn_close(probe->conn);
        probe->conn = NULL;
    }
}

/* For then_*: closes inside the callback. */
static inline void probe_close_now(struct probe *probe)
{
    probe_close_call(probe);
}

static inline void probe_accept(struct probe *probe, int fd)
{
    probe->fd = fd;
    call_on(probe->loop, probe_accept_call, probe);
    assert_int_equal(probe->result, 0);
}

static inline void probe_connect(struct probe *probe, uint16_t port)
{
    probe->port = port;
    call_on(probe->loop, probe_connect_call, probe);
    assert_int_equal(probe->result, 0);
}

static inline void probe_close(struct probe *probe)
{
    call_on(probe->loop, probe_close_call, probe);
}

static inline void pause_call(void *argument)
{
    struct probe *probe = argument;
    bpi_conn_read_pause(probe->conn);
}

static inline void resume_call(void *argument)
{
    struct probe *probe = argument;
    bpi_conn_read_resume(probe->conn);
}

static inline void nothing_call(void *argument)
{
    (void)argument;
}

/* Waits until the probe has `size` bytes. */
static inline void probe_wait_bytes(struct probe *probe, size_t size)
{
    while (atomic_load(&probe->bytes_size) < size) {
        wait_for(&probe->told_data);
    }
    assert_int_equal(atomic_load(&probe->bytes_size), size);
}

/* A known stream: the byte at each offset. 251 is prime, so that a lost or doubled page shows. */
static inline uint8_t pattern(uint64_t offset)
{
    return (uint8_t)((offset + offset / 251) % 251);
}

#endif
