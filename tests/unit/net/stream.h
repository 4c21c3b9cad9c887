/* A connection owner that sends a known stream and checks that it comes back, and an echo that sends
 * back what it gets; both with back-pressure, both watching how much memory their buffers take.
 */
#ifndef TESTS_UNIT_NET_STREAM_H
#define TESTS_UNIT_NET_STREAM_H

#include "support.h"

struct stream {
    struct bpi_loop *loop;
    struct bpi_conn *conn;
    uint64_t to_send;
    uint64_t sent; /* appended to `out` */
    uint64_t received;
    uint64_t window_bytes; /* sent and not yet back; 0 = no bound */
    uint64_t slow_bytes;   /* after so many a pause; 0 = none */
    bp_usec slow_us;
    uint64_t slow_left;
    struct bpi_timer timer;
    size_t in_max_seen;
    size_t out_max_seen;
    int error;
    sem_t finished; /* all came back */
    sem_t closed;
};

/* Keeps about 128 KiB on the way. */
static inline void stream_push(struct stream *stream)
{
    struct bpi_buffer *out = bpi_conn_out(stream->conn);
    uint8_t block[16384];
    while (stream->sent < stream->to_send && bpi_conn_unsent(stream->conn) < (size_t)128 * 1024) {
        uint64_t left = stream->to_send - stream->sent;
        size_t size = left < sizeof(block) ? (size_t)left : sizeof(block);
        if (stream->window_bytes > 0 &&
            stream->sent - stream->received + size > stream->window_bytes) {
            break;
        }
        for (size_t i = 0; i < size; i++) {
            block[i] = pattern(stream->sent + i);
        }
        assert_int_equal(bpi_buffer_append(out, block, size), 0);
        stream->sent += size;
        bpi_conn_flush(stream->conn);
    }
    size_t unsent = bpi_conn_unsent(stream->conn);
    stream->out_max_seen = unsent > stream->out_max_seen ? unsent : stream->out_max_seen;
}

static inline void stream_on_open(struct bpi_conn *conn, void *user)
{
    struct stream *stream = user;
    stream->conn = conn;
    stream_push(stream);
}

static inline void stream_on_wake(struct bpi_timer *timer)
{
    struct stream *stream = CONTAINER(timer, struct stream, timer);
    bpi_conn_read_resume(stream->conn);
}

static inline void stream_on_data(struct bpi_conn *conn, void *user)
{
    struct stream *stream = user;
    struct bpi_buffer *in = bpi_conn_in(conn);
    size_t size = bpi_buffer_size(in);
    stream->in_max_seen = size > stream->in_max_seen ? size : stream->in_max_seen;
    const uint8_t *data = bpi_buffer_head(in);
    for (size_t i = 0; i < size; i++) {
        if (data[i] != pattern(stream->received + i)) {
            fail_msg("wrong byte at %llu", (unsigned long long)(stream->received + i));
        }
    }
    stream->received += size;
    bpi_buffer_consume(in, size);
    if (stream->window_bytes > 0) {
        stream_push(stream);
    }
    if (stream->received == stream->to_send) {
        sem_post(&stream->finished);
    }
    if (stream->slow_bytes > 0) {
        if (stream->slow_left <= size) {
            stream->slow_left = stream->slow_bytes;
            bpi_conn_read_pause(conn);
            bpi_timer_set(stream->loop, &stream->timer,
                          bpi_loop_now_us(stream->loop) + stream->slow_us);
        } else {
            stream->slow_left -= size;
        }
    }
}

static inline void stream_on_drain(struct bpi_conn *conn, void *user)
{
    (void)conn;
    stream_push(user);
}

static inline void stream_on_close(struct bpi_conn *conn, void *user, int error)
{
    struct stream *stream = user;
    stream->error = error;
    if (error != 0) {
        char text[256];
        print_message("stream closed: %s\n", bpi_conn_error_text(conn, text, sizeof(text)));
    }
    sem_post(&stream->closed);
}

static const struct bpi_conn_handler stream_handler = {
    .on_open = stream_on_open,
    .on_data = stream_on_data,
    .on_drain = stream_on_drain,
    .on_close = stream_on_close,
};

struct stream_connect {
    struct stream *stream;
    uint16_t port;
    struct bpi_tls_context *tls;
};

static inline void stream_connect_call(void *argument)
{
    struct stream_connect *connect = argument;
    struct stream *stream = connect->stream;
    struct bpi_conn_options options = {.handler = &stream_handler,
                                       .user = stream,
                                       .tls = connect->tls,
                                       .host_name = "localhost",
                                       .high_bytes = (size_t)64 * 1024,
                                       .in_max_bytes = (size_t)256 * 1024,
                                       .open_timeout_us = 20 * BP_USEC_PER_SECOND};
    assert_int_equal(bpi_timer_reserve(stream->loop, 1), 0);
    assert_int_equal(
        bpi_conn_connect(stream->loop, "127.0.0.1", connect->port, &options, &stream->conn), 0);
}

/* The stream's loop, to_send and slow_* are set by the caller. */
static inline void stream_open(struct stream *stream, uint16_t port, struct bpi_tls_context *tls)
{
    struct stream_connect connect = {.stream = stream, .port = port, .tls = tls};
    stream->timer.on_fire = stream_on_wake;
    stream->slow_left = stream->slow_bytes;
    sem_init(&stream->finished, 0, 0);
    sem_init(&stream->closed, 0, 0);
    call_on(stream->loop, stream_connect_call, &connect);
}

static inline void stream_close_call(void *argument)
{
    struct stream *stream = argument;
    bpi_timer_clear(stream->loop, &stream->timer);
    assert_int_equal(bpi_timer_reserve(stream->loop, -1), 0);
    bpi_conn_close(stream->conn);
}

static inline void stream_close(struct stream *stream)
{
    call_on(stream->loop, stream_close_call, stream);
}

/* The echo. */

struct echo {
    struct bpi_conn *conn;
    size_t in_max_seen;
    size_t out_max_seen;
    int error;
    atomic_int opens;
    sem_t closed;
};

static inline void echo_move(struct echo *echo)
{
    struct bpi_buffer *in = bpi_conn_in(echo->conn);
    struct bpi_buffer *out = bpi_conn_out(echo->conn);
    size_t size = bpi_buffer_size(in);
    echo->in_max_seen = size > echo->in_max_seen ? size : echo->in_max_seen;
    assert_int_equal(bpi_buffer_append(out, bpi_buffer_head(in), size), 0);
    bpi_buffer_consume(in, size);
    bpi_conn_flush(echo->conn);
    size_t unsent = bpi_conn_unsent(echo->conn);
    echo->out_max_seen = unsent > echo->out_max_seen ? unsent : echo->out_max_seen;
}

static inline void echo_on_open(struct bpi_conn *conn, void *user)
{
    struct echo *echo = user;
    echo->conn = conn;
    atomic_fetch_add(&echo->opens, 1);
}

static inline void echo_on_data(struct bpi_conn *conn, void *user)
{
    struct echo *echo = user;
    echo_move(echo);
    if (bpi_buffer_size(bpi_conn_out(conn)) > (size_t)64 * 1024) {
        bpi_conn_read_pause(conn);
    }
}

static inline void echo_on_drain(struct bpi_conn *conn, void *user)
{
    (void)user;
    bpi_conn_read_resume(conn);
}

/* The stream goes first. */
static inline void echo_on_close(struct bpi_conn *conn, void *user, int error)
{
    struct echo *echo = user;
    echo->error = error;
    echo->conn = NULL;
    bpi_conn_close(conn);
    sem_post(&echo->closed);
}

static const struct bpi_conn_handler echo_handler = {
    .on_open = echo_on_open,
    .on_data = echo_on_data,
    .on_drain = echo_on_drain,
    .on_close = echo_on_close,
};

#endif
