/* Plain connections against raw sockets and each other on 127.0.0.1: bytes, pauses, ends, errors,
 * connecting, memory. What closing does in each state is test_conn_close.c's.
 */
#include "net/conn_private.h"
#include "stream.h"
#include "support.h"

#include <malloc.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/resource.h>

/* Bytes. */

static void bytes_come_one_at_a_time(void **state)
{
    (void)state;
    struct bpi_loop *loop = loop_started(0);
    int fds[2];
    tcp_pair(fds);
    struct probe probe;
    probe_init(&probe, loop);
    probe_accept(&probe, fds[0]);
    wait_for(&probe.opened);
    for (int i = 0; i < 500; i++) {
        uint8_t byte = pattern((uint64_t)i);
        send_all(fds[1], &byte, 1);
        probe_wait_bytes(&probe, (size_t)i + 1);
    }
    for (int i = 0; i < 500; i++) {
        assert_int_equal(probe.bytes[i], pattern((uint64_t)i));
    }
    assert_int_equal(atomic_load(&probe.datas), 500);
    probe_close(&probe);
    close(fds[1]);
    loop_ended(loop);
}

struct write_call {
    struct probe *probe;
    const void *data;
    size_t size;
};

static void write_now(void *argument)
{
    struct write_call *call = argument;
    struct bpi_buffer *out = bpi_conn_out(call->probe->conn);
    assert_int_equal(bpi_buffer_append(out, call->data, call->size), 0);
    bpi_conn_flush(call->probe->conn);
}

static void probe_write(struct probe *probe, const void *data, size_t size)
{
    struct write_call call = {.probe = probe, .data = data, .size = size};
    call_on(probe->loop, write_now, &call);
}

static void append_early(struct probe *probe)
{
    assert_int_equal(bpi_buffer_append(bpi_conn_out(probe->conn), " after", 6), 0);
}

static void bytes_appended_before_open_go_out_with_it(void **state)
{
    (void)state;
    struct bpi_loop *loop = loop_started(0);
    uint16_t port = 0;
    int listener = tcp_listen(8, &port);
    struct probe two[2];
    for (int i = 0; i < 2; i++) {
        probe_init(&two[i], loop);
        two[i].then_open = append_early;
        probe_connect(&two[i], port);
        wait_for(&two[i].opened);
        int fd = accept(listener, NULL, NULL);
        char text[7] = {0};
        receive_all(fd, text, 6);
        assert_string_equal(text, " after");
        probe_close(&two[i]);
        close(fd);
    }
    close(listener);
    loop_ended(loop);
}

static void left_bytes_are_shown_with_the_next(void **state)
{
    (void)state;
    struct bpi_loop *loop = loop_started(0);
    int fds[2];
    tcp_pair(fds);
    struct probe probe;
    probe_init(&probe, loop);
    probe.keep = true;
    probe_accept(&probe, fds[0]);
    send_all(fds[1], "abc", 3);
    wait_for(&probe.told_data);
    send_all(fds[1], "def", 3);
    wait_for(&probe.told_data);
    probe.keep = false;
    send_all(fds[1], "ghi", 3);
    probe_wait_bytes(&probe, 9);
    assert_memory_equal(probe.bytes, "abcdefghi", 9);
    probe_close(&probe);
    close(fds[1]);
    loop_ended(loop);
}

struct echo_accept {
    struct bpi_loop *loop;
    struct echo *echo;
    int fd;
};

static void echo_accept_call(void *argument)
{
    struct echo_accept *accepted = argument;
    struct bpi_conn_options options = {.handler = &echo_handler,
                                       .user = accepted->echo,
                                       .high_bytes = (size_t)64 * 1024,
                                       .in_max_bytes = (size_t)256 * 1024};
    struct bpi_conn *conn = NULL;
    assert_int_equal(bpi_conn_accept(accepted->loop, accepted->fd, &options, &conn), 0);
}

static void echo_of_50_mb_to_slow_readers_takes_bounded_memory(void **state)
{
    (void)state;
    struct bpi_loop *loops[2] = {loop_started(0), loop_started(1)};
    uint16_t port = 0;
    int listener = tcp_listen(8, &port);
    static struct stream streams[2];
    static struct echo echoes[2];
    for (int i = 0; i < 2; i++) {
        streams[i] = (struct stream){.loop = loops[i],
                                     .to_send = 50000000,
                                     .slow_bytes = 1000000,
                                     .slow_us = 5 * BP_USEC_PER_MS};
        sem_init(&echoes[i].closed, 0, 0);
        stream_open(&streams[i], port, NULL);
        struct echo_accept accepted = {
            .loop = loops[1 - i], .echo = &echoes[i], .fd = accept(listener, NULL, NULL)};
        call_on(accepted.loop, echo_accept_call, &accepted);
    }
    for (int i = 0; i < 2; i++) {
        wait_for(&streams[i].finished);
        stream_close(&streams[i]);
        wait_for(&echoes[i].closed);
        print_message("largest buffers: stream in %zu out %zu, echo in %zu out %zu\n",
                      streams[i].in_max_seen, streams[i].out_max_seen, echoes[i].in_max_seen,
                      echoes[i].out_max_seen);
        /* `in` stops at 256 KiB and one read more; `out` at the high mark and one `in` more. */
        assert_true(streams[i].in_max_seen <= (256 + 64) * 1024);
        assert_true(echoes[i].in_max_seen <= (256 + 64) * 1024);
        assert_true(echoes[i].out_max_seen <= (64 + 256 + 64) * 1024);
    }
    close(listener);
    loop_ended(loops[0]);
    loop_ended(loops[1]);
}

struct in_call {
    struct probe *probe;
    size_t size;
    bool consume;
};

static void in_now(void *argument)
{
    struct in_call *call = argument;
    struct bpi_buffer *in = bpi_conn_in(call->probe->conn);
    call->size = bpi_buffer_size(in);
    if (call->consume) {
        bpi_buffer_consume(in, call->size);
    }
}

static size_t probe_in(struct probe *probe, bool consume)
{
    struct in_call call = {.probe = probe, .consume = consume};
    call_on(probe->loop, in_now, &call);
    return call.size;
}

static void reading_stops_at_in_max_and_goes_on_behind_it(void **state)
{
    (void)state;
    struct bpi_loop *loop = loop_started(0);
    int fds[2];
    tcp_pair(fds);
    struct bpi_conn_options options = {.in_max_bytes = 1000};
    struct probe probe;
    probe_init(&probe, loop);
    probe.options = &options;
    probe.keep = true;
    probe_accept(&probe, fds[0]);
    uint8_t block[1000] = {0};
    send_all(fds[1], block, sizeof(block));
    while (probe_in(&probe, false) < sizeof(block)) {
        wait_for(&probe.told_data);
    }
    send_all(fds[1], block, 10);
    sleep_ms(30);
    assert_int_equal(probe_in(&probe, false), sizeof(block));
    /* Consumed outside a callback: the rest must come without another word. */
    assert_int_equal(probe_in(&probe, true), sizeof(block));
    while (probe_in(&probe, false) < 10) {
        wait_for(&probe.told_data);
    }
    /* An end while it is full comes when there is room. */
    send_all(fds[1], block, sizeof(block));
    while (probe_in(&probe, false) < 1010) {
        wait_for(&probe.told_data);
    }
    close(fds[1]);
    sleep_ms(30);
    probe_in(&probe, true);
    wait_for(&probe.closed);
    assert_int_equal(probe.error, 0);
    probe_close(&probe);
    loop_ended(loop);
}

static void drain_is_told_once_below_half_of_high(void **state)
{
    (void)state;
    struct bpi_loop *loop = loop_started(0);
    int fds[2];
    tcp_pair(fds);
    struct bpi_conn_options options = {.high_bytes = 100000};
    struct probe probe;
    probe_init(&probe, loop);
    probe.options = &options;
    probe_accept(&probe, fds[0]);
    wait_for(&probe.opened);
    size_t size = (size_t)20 * 1000 * 1000;
    uint8_t *data = malloc(size);
    uint8_t *back = malloc(size);
    assert_non_null(data);
    assert_non_null(back);
    for (size_t i = 0; i < size; i++) {
        data[i] = pattern(i);
    }
    probe_write(&probe, data, size);
    assert_int_equal(atomic_load(&probe.drains), 0);
    receive_all(fds[1], back, size);
    assert_memory_equal(data, back, size);
    wait_for(&probe.drained);
    /* What the socket takes at once never was high. */
    probe_write(&probe, data, 1000);
    receive_all(fds[1], back, 1000);
    call_on(loop, nothing_call, NULL);
    assert_int_equal(atomic_load(&probe.drains), 1);
    free(data);
    free(back);
    probe_close(&probe);
    close(fds[1]);
    loop_ended(loop);
}

/* Ends. */

static void end_comes_behind_the_data(void **state)
{
    (void)state;
    struct bpi_loop *loop = loop_started(0);
    for (int round = 0; round < 50; round++) {
        int fds[2];
        tcp_pair(fds);
        struct probe probe;
        probe_init(&probe, loop);
        send_all(fds[1], "last words", 10);
        close(fds[1]);
        probe_accept(&probe, fds[0]);
        wait_for(&probe.closed);
        assert_int_equal(probe.error, 0);
        assert_int_equal(atomic_load(&probe.opens), 1);
        assert_int_equal(probe.bytes_size, 10);
        probe_close(&probe);
    }
    loop_ended(loop);
}

static void paused_reader_hears_of_the_end_only_after_resume(void **state)
{
    (void)state;
    struct bpi_loop *loop = loop_started(0);
    int fds[2];
    tcp_pair(fds);
    struct probe probe;
    probe_init(&probe, loop);
    probe_accept(&probe, fds[0]);
    wait_for(&probe.opened);
    call_on(loop, pause_call, &probe);
    send_all(fds[1], "last words", 10);
    close(fds[1]);
    sleep_ms(50);
    assert_int_equal(atomic_load(&probe.datas), 0);
    assert_int_equal(atomic_load(&probe.closes), 0);
    call_on(loop, resume_call, &probe);
    wait_for(&probe.closed);
    assert_int_equal(probe.bytes_size, 10);
    assert_int_equal(probe.error, 0);
    probe_close(&probe);
    loop_ended(loop);
}

static void paused_reader_hears_of_a_reset_at_once(void **state)
{
    (void)state;
    struct bpi_loop *loop = loop_started(0);
    int fds[2];
    tcp_pair(fds);
    struct probe probe;
    probe_init(&probe, loop);
    probe_accept(&probe, fds[0]);
    wait_for(&probe.opened);
    call_on(loop, pause_call, &probe);
    send_all(fds[1], "last words", 10);
    sleep_ms(20);
    reset_close(fds[1]);
    wait_for(&probe.closed);
    assert_int_equal(probe.error, -ECONNRESET);
    assert_int_equal(atomic_load(&probe.datas), 0);
    assert_int_equal(probe_in(&probe, false), 10);
    probe_close(&probe);
    loop_ended(loop);
}

static void reset_after_data_shows_the_data_first(void **state)
{
    (void)state;
    struct bpi_loop *loop = loop_started(0);
    int fds[2];
    tcp_pair(fds);
    struct probe probe;
    probe_init(&probe, loop);
    send_all(fds[1], "last words", 10);
    reset_close(fds[1]);
    probe_accept(&probe, fds[0]);
    wait_for(&probe.closed);
    assert_int_equal(probe.error, -ECONNRESET);
    assert_int_equal(probe.bytes_size, 10);
    probe_close(&probe);
    loop_ended(loop);
}

static void pause_in_on_data(struct probe *probe)
{
    bpi_conn_read_pause(probe->conn);
}

static void each_resume_lets_the_stream_go_on(void **state)
{
    (void)state;
    struct bpi_loop *loop = loop_started(0);
    int fds[2];
    tcp_pair(fds);
    struct probe probe;
    probe_init(&probe, loop);
    probe.then_data = pause_in_on_data;
    probe_accept(&probe, fds[0]);
    for (size_t i = 1; i <= 200; i++) {
        send_all(fds[1], "x", 1);
        wait_for(&probe.told_data);
        assert_int_equal(probe.bytes_size, i);
        call_on(loop, resume_call, &probe);
    }
    probe_close(&probe);
    close(fds[1]);
    loop_ended(loop);
}

static void resume_shows_what_was_left(void **state)
{
    (void)state;
    struct bpi_loop *loop = loop_started(0);
    int fds[2];
    tcp_pair(fds);
    struct probe probe;
    probe_init(&probe, loop);
    probe.keep = true;
    probe.then_data = pause_in_on_data;
    probe_accept(&probe, fds[0]);
    send_all(fds[1], "abc", 3);
    wait_for(&probe.told_data);
    call_on(loop, resume_call, &probe);
    wait_for(&probe.told_data);
    assert_int_equal(atomic_load(&probe.datas), 2);
    probe_close(&probe);
    close(fds[1]);
    loop_ended(loop);
}

static void failed_write_is_told_later_and_once(void **state)
{
    (void)state;
    struct bpi_loop *loop = loop_started(0);
    int fds[2];
    tcp_pair(fds);
    struct probe probe;
    probe_init(&probe, loop);
    probe_accept(&probe, fds[0]);
    wait_for(&probe.opened);
    call_on(loop, pause_call, &probe);
    close(fds[1]);
    sleep_ms(20);
    /* The first write makes the peer reset, the second fails. */
    probe_write(&probe, "a", 1);
    sleep_ms(20);
    if (atomic_load(&probe.closes) == 0) {
        probe_write(&probe, "b", 1);
    }
    wait_for(&probe.closed);
    assert_true(probe.error == -EPIPE || probe.error == -ECONNRESET);
    probe_write(&probe, "c", 1);
    call_on(loop, nothing_call, NULL);
    assert_int_equal(atomic_load(&probe.closes), 1);
    probe_close(&probe);
    loop_ended(loop);
}

struct quiet_call {
    struct probe *probe;
    bool quiet;
};

static void quiet_now(void *argument)
{
    struct quiet_call *call = argument;
    call->quiet = bpi_conn_is_quiet(call->probe->conn);
}

static bool probe_is_quiet(struct probe *probe)
{
    struct quiet_call call = {.probe = probe};
    call_on(probe->loop, quiet_now, &call);
    return call.quiet;
}

static void quiet_means_neither_bytes_nor_an_end(void **state)
{
    (void)state;
    struct bpi_loop *loop = loop_started(0);
    struct probe two[2];
    int fds[2][2];
    for (int i = 0; i < 2; i++) {
        tcp_pair(fds[i]);
        probe_init(&two[i], loop);
        probe_accept(&two[i], fds[i][0]);
        wait_for(&two[i].opened);
        assert_true(probe_is_quiet(&two[i]));
        call_on(loop, pause_call, &two[i]);
        assert_true(probe_is_quiet(&two[i]));
    }
    send_all(fds[0][1], "x", 1);
    shutdown(fds[1][1], SHUT_WR);
    sleep_ms(20);
    assert_false(probe_is_quiet(&two[0]));
    assert_false(probe_is_quiet(&two[1]));
    for (int i = 0; i < 2; i++) {
        probe_close(&two[i]);
        close(fds[i][1]);
    }
    loop_ended(loop);
}

/* Connecting. */

static void connect_by_name_and_by_address(void **state)
{
    (void)state;
    struct bpi_loop *loop = loop_started(0);
    uint16_t port = 0;
    int listener = tcp_listen(8, &port);
    const char *hosts[] = {"127.0.0.1", "localhost"};
    for (int i = 0; i < 2; i++) {
        struct bpi_conn_options options = {.open_timeout_us = 20 * BP_USEC_PER_SECOND};
        struct probe probe;
        probe_init(&probe, loop);
        probe.options = &options;
        probe.host = hosts[i];
        probe_connect(&probe, port);
        wait_for(&probe.opened);
        int fd = accept(listener, NULL, NULL);
        char peer[64];
        char wanted[64];
        snprintf(wanted, sizeof(wanted), "127.0.0.1:%u", (unsigned)port);
        assert_string_equal(bpi_conn_peer(probe.conn, peer, sizeof(peer)), wanted);
        probe_close(&probe);
        close(fd);
    }
    close(listener);
    loop_ended(loop);
}

static int socket_option(int fd, int level, int name)
{
    int value = -1;
    socklen_t size = sizeof(value);
    assert_int_equal(getsockopt(fd, level, name, &value, &size), 0);
    return value;
}

static void a_silent_server_is_given_up_after_the_time_that_was_asked_for(void **state)
{
    (void)state;
    static const struct {
        bp_usec silent_us;
        int timeout_ms;
        int idle_s;
        int interval_s;
    } cases[] = {
        {0, 30000, 10, 10},
        {6 * BP_USEC_PER_SECOND, 6000, 2, 2},
        {300 * BP_USEC_PER_MS, 1000, 1, 1}, /* the system knows no less for keep-alive */
        {600 * BP_USEC_PER_SECOND, 600000, 60, 10},
    };
    struct bpi_loop *loop = loop_started(0);
    uint16_t port = 0;
    int listener = tcp_listen(8, &port);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bpi_conn_options options = {.peer_silent_max_us = cases[i].silent_us};
        struct probe probe;
        probe_init(&probe, loop);
        probe.options = &options;
        probe.host = "127.0.0.1";
        probe_connect(&probe, port);
        wait_for(&probe.opened);
        int fd = probe.conn->fd;
        assert_int_equal(socket_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), cases[i].timeout_ms);
        assert_int_equal(socket_option(fd, IPPROTO_TCP, TCP_KEEPIDLE), cases[i].idle_s);
        assert_int_equal(socket_option(fd, IPPROTO_TCP, TCP_KEEPINTVL), cases[i].interval_s);
        assert_int_equal(socket_option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
        close(accept(listener, NULL, NULL));
        probe_close(&probe);
    }
    close(listener);
    loop_ended(loop);
}

static void refused_connection_is_told_as_such(void **state)
{
    (void)state;
    struct bpi_loop *loop = loop_started(0);
    uint16_t port = 0;
    close(tcp_listen(8, &port));
    const char *hosts[] = {"127.0.0.1", "localhost"};
    for (int i = 0; i < 2; i++) {
        struct probe probe;
        probe_init(&probe, loop);
        probe.host = hosts[i];
        probe_connect(&probe, port);
        wait_for(&probe.closed);
        assert_int_equal(probe.error, -ECONNREFUSED);
        assert_int_equal(atomic_load(&probe.opens), 0);
        probe_close(&probe);
    }
    loop_ended(loop);
}

static void unknown_name_is_told_as_such(void **state)
{
    (void)state;
    struct bpi_loop *loop = loop_started(0);
    struct bpi_conn_options options = {.open_timeout_us = 15 * BP_USEC_PER_SECOND};
    struct probe probe;
    probe_init(&probe, loop);
    probe.options = &options;
    probe.host = "no-such-host.invalid";
    probe_connect(&probe, 7687);
    wait_for(&probe.closed);
    assert_true(probe.error < 0);
    print_message("unknown name: %s\n", probe.reason);
    probe_close(&probe);
    loop_ended(loop);
}

static void connect_to_a_full_backlog_times_out(void **state)
{
    (void)state;
    struct bpi_loop *loop = loop_started(0);
    uint16_t port = 0;
    int listener = tcp_listen(0, &port);
    int fillers[4];
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    for (int i = 0; i < 4; i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)!connect(fillers[i], (struct sockaddr *)&address, sizeof(address));
    }
    sleep_ms(50);
    struct bpi_conn_options options = {.open_timeout_us = 200 * BP_USEC_PER_MS};
    struct probe two[2];
    for (int i = 0; i < 2; i++) {
        probe_init(&two[i], loop);
        two[i].options = &options;
        probe_connect(&two[i], port);
    }
    for (int i = 0; i < 2; i++) {
        wait_for(&two[i].closed);
        assert_int_equal(two[i].error, -ETIMEDOUT);
        probe_close(&two[i]);
    }
    for (int i = 0; i < 4; i++) {
        close(fillers[i]);
    }
    close(listener);
    loop_ended(loop);
}

/* Memory. */

#define IDLE_CONNS 400

static void idle_connections_hold_little(void **state)
{
    (void)state;
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    struct bpi_loop *loop = loop_started(0);
    static struct probe probes[IDLE_CONNS];
    static int fds[IDLE_CONNS][2];
    for (int i = 0; i < IDLE_CONNS; i++) {
        tcp_pair(fds[i]);
        probe_init(&probes[i], loop);
    }
    struct mallinfo2 before = mallinfo2();
    for (int i = 0; i < IDLE_CONNS; i++) {
        probe_accept(&probes[i], fds[i][0]);
        wait_for(&probes[i].opened);
        /* Idle after some traffic, not fresh. */
        send_all(fds[i][1], "hello", 5);
        probe_wait_bytes(&probes[i], 5);
        probe_write(&probes[i], "hello", 5);
    }
    call_on(loop, nothing_call, NULL);
    struct mallinfo2 after = mallinfo2();
    size_t bytes = (after.uordblks - before.uordblks) / IDLE_CONNS;
    print_message("an idle plain connection: %zu bytes\n", bytes);
    /* Under the sanitizers mallinfo2() says 0. */
    assert_true(bytes < 2048);
    for (int i = 0; i < IDLE_CONNS; i++) {
        probe_close(&probes[i]);
        close(fds[i][1]);
    }
    loop_ended(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        NET_TEST(bytes_come_one_at_a_time),
        NET_TEST(bytes_appended_before_open_go_out_with_it),
        NET_TEST(left_bytes_are_shown_with_the_next),
        NET_TEST(echo_of_50_mb_to_slow_readers_takes_bounded_memory),
        NET_TEST(reading_stops_at_in_max_and_goes_on_behind_it),
        NET_TEST(drain_is_told_once_below_half_of_high),
        NET_TEST(end_comes_behind_the_data),
        NET_TEST(paused_reader_hears_of_the_end_only_after_resume),
        NET_TEST(paused_reader_hears_of_a_reset_at_once),
        NET_TEST(reset_after_data_shows_the_data_first),
        NET_TEST(each_resume_lets_the_stream_go_on),
        NET_TEST(resume_shows_what_was_left),
        NET_TEST(failed_write_is_told_later_and_once),
        NET_TEST(quiet_means_neither_bytes_nor_an_end),
        NET_TEST(connect_by_name_and_by_address),
        NET_TEST(a_silent_server_is_given_up_after_the_time_that_was_asked_for),
        NET_TEST(refused_connection_is_told_as_such),
        NET_TEST(unknown_name_is_told_as_such),
        NET_TEST(connect_to_a_full_backlog_times_out),
        NET_TEST(idle_connections_hold_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
