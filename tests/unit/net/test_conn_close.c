/* Closing in every state and inside every callback, of the connection itself and of another one. After
 * a close no event comes; every test ends by running the loop out, which hangs on a forgotten handle,
 * and AddressSanitizer sees what was freed too early or never.
 */
#include "certificate.h"
#include "net/executor.h"
#include "net/tls.h"
#include "support.h"

#include <stdlib.h>

static struct bpi_tls_context *server_tls;
static struct bpi_tls_context *client_tls;

static int group_setup(void **state)
{
    (void)state;
    struct certificates certificates;
    char text[256] = "";
    certificates_make(&certificates);
    int error = bpi_tls_server_new(certificates.chain_file, certificates.key_file, &server_tls,
                                   text, sizeof(text));
    if (error == 0) {
        error = bpi_tls_client_new(true, certificates.ca_file, &client_tls, text, sizeof(text));
    }
    certificates_remove(&certificates);
    return error;
}

static int group_teardown(void **state)
{
    (void)state;
    bpi_tls_context_unref(server_tls);
    bpi_tls_context_unref(client_tls);
    return 0;
}

/* Connects and closes within one call on the loop, so nothing can happen between. */
static void connect_and_close_call(void *argument)
{
    struct probe *probe = argument;
    probe_connect_call(probe);
    assert_int_equal(probe->result, 0);
    probe_close_call(probe);
}

static void accept_and_close_call(void *argument)
{
    struct probe *probe = argument;
    probe_accept_call(probe);
    assert_int_equal(probe->result, 0);
    probe_close_call(probe);
}

static void assert_silent(struct probe *probe)
{
    call_on(probe->loop, nothing_call, NULL);
    assert_int_equal(atomic_load(&probe->opens), 0);
    assert_int_equal(atomic_load(&probe->datas), 0);
    assert_int_equal(atomic_load(&probe->closes), 0);
}

static void close_while_the_name_is_looked_up(void **state)
{
    (void)state;
    struct bpi_loop *loop = loop_started(0);
    struct bpi_conn_options options = {.tls = client_tls, .open_timeout_us = BP_USEC_PER_SECOND};
    struct probe two[2];
    for (int i = 0; i < 2; i++) {
        probe_init(&two[i], loop);
        two[i].options = &options;
        two[i].host = "localhost";
        two[i].port = 1;
        call_on(loop, connect_and_close_call, &two[i]);
    }
    sleep_ms(20);
    assert_silent(&two[0]);
    assert_silent(&two[1]);
    loop_ended(loop);
}

static void close_while_connecting(void **state)
{
    (void)state;
    struct bpi_loop *loop = loop_started(0);
    uint16_t port = 0;
    int listener = tcp_listen(8, &port);
    struct probe two[2];
    for (int i = 0; i < 2; i++) {
        probe_init(&two[i], loop);
        two[i].port = port;
        call_on(loop, connect_and_close_call, &two[i]);
        assert_silent(&two[i]);
    }
    close(listener);
    loop_ended(loop);
}

static void close_before_open_is_told(void **state)
{
    (void)state;
    struct bpi_loop *loop = loop_started(0);
    struct probe two[2];
    for (int i = 0; i < 2; i++) {
        int fds[2];
        tcp_pair(fds);
        probe_init(&two[i], loop);
        two[i].fd = fds[0];
        call_on(loop, accept_and_close_call, &two[i]);
        assert_silent(&two[i]);
        char byte;
        assert_int_equal(recv(fds[1], &byte, 1, 0), 0);
        close(fds[1]);
    }
    loop_ended(loop);
}

static void close_before_the_first_byte(void **state)
{
    (void)state;
    struct bpi_loop *loop = loop_started(0);
    struct bpi_conn_options options = {.tls = server_tls, .tls_optional = true};
    int fds[2];
    tcp_pair(fds);
    struct probe probe;
    probe_init(&probe, loop);
    probe.options = &options;
    probe_accept(&probe, fds[0]);
    sleep_ms(10);
    probe_close(&probe);
    assert_silent(&probe);
    close(fds[1]);
    loop_ended(loop);
}

static void close_in_the_middle_of_a_handshake(void **state)
{
    (void)state;
    struct bpi_loop *loop = loop_started(0);
    struct bpi_conn_options options = {.tls = server_tls};
    int fds[2];
    tcp_pair(fds);
    struct probe probe;
    probe_init(&probe, loop);
    probe.options = &options;
    probe_accept(&probe, fds[0]);
    /* Half a record. */
    send_all(fds[1], "\x16\x03\x01\x01\x00\x01", 6);
    sleep_ms(10);
    probe_close(&probe);
    assert_silent(&probe);
    close(fds[1]);
    loop_ended(loop);
}

/* An executor that keeps the work until it is told to go on. */
struct slow_executor {
    struct bpi_executor executor;
    struct bpi_work inner;
    struct bpi_work *held;
    sem_t running;
    sem_t go_on;
};

static void slow_run(struct bpi_work *work)
{
    struct slow_executor *slow = CONTAINER(work, struct slow_executor, inner);
    sem_post(&slow->running);
    wait_for(&slow->go_on);
    slow->held->run(slow->held);
}

static void slow_done(struct bpi_work *work)
{
    struct slow_executor *slow = CONTAINER(work, struct slow_executor, inner);
    struct bpi_work *held = slow->held;
    slow->held = NULL;
    held->on_done(held);
}

static int
slow_submit(const struct bpi_executor *executor, struct bpi_loop *loop, struct bpi_work *work)
{
    /* The test made it, and not const. */
    struct slow_executor *slow = (struct slow_executor *)(uintptr_t)executor;
    assert_null(slow->held);
    slow->held = work;
    slow->inner.run = slow_run;
    slow->inner.on_done = slow_done;
    return bpi_executor_uv.submit(&bpi_executor_uv, loop, &slow->inner);
}

static void slow_init(struct slow_executor *slow)
{
    memset(slow, 0, sizeof(*slow));
    slow->executor.submit = slow_submit;
    sem_init(&slow->running, 0, 0);
    sem_init(&slow->go_on, 0, 0);
}

static void close_while_a_helper_has_the_handshake(void **state)
{
    (void)state;
    struct bpi_loop *loop = loop_started(0);
    uint16_t port = 0;
    int listener = tcp_listen(8, &port);
    struct slow_executor slow;
    slow_init(&slow);
    struct bpi_conn_options options = {.tls = client_tls, .executor = &slow.executor};
    struct probe probe;
    probe_init(&probe, loop);
    probe.options = &options;
    probe_connect(&probe, port);
    wait_for(&slow.running);
    probe_close(&probe);
    call_on(loop, nothing_call, NULL);
    sem_post(&slow.go_on);
    assert_silent(&probe);
    close(listener);
    loop_ended(loop);
}

static void timeout_while_a_helper_has_the_handshake(void **state)
{
    (void)state;
    struct bpi_loop *loop = loop_started(0);
    uint16_t port = 0;
    int listener = tcp_listen(8, &port);
    struct slow_executor slow;
    slow_init(&slow);
    struct bpi_conn_options options = {
        .tls = client_tls, .executor = &slow.executor, .open_timeout_us = 30 * BP_USEC_PER_MS};
    for (int late = 0; late < 2; late++) {
        struct probe probe;
        probe_init(&probe, loop);
        probe.options = &options;
        probe_connect(&probe, port);
        wait_for(&slow.running);
        wait_for(&probe.closed);
        assert_int_equal(probe.error, -ETIMEDOUT);
        /* Closed before the work is back, and behind it. */
        if (late == 0) {
            probe_close(&probe);
        }
        sem_post(&slow.go_on);
        sleep_ms(10);
        call_on(loop, nothing_call, NULL);
        if (late == 1) {
            probe_close(&probe);
        }
        assert_int_equal(atomic_load(&probe.closes), 1);
        assert_int_equal(atomic_load(&probe.opens), 0);
    }
    close(listener);
    loop_ended(loop);
}

static int
refuse_submit(const struct bpi_executor *executor, struct bpi_loop *loop, struct bpi_work *work)
{
    (void)executor;
    (void)loop;
    (void)work;
    return BP_E_FULL;
}

static void executor_that_refuses_fails_the_connection(void **state)
{
    (void)state;
    struct bpi_loop *loop = loop_started(0);
    uint16_t port = 0;
    int listener = tcp_listen(8, &port);
    struct bpi_executor refuser = {.submit = refuse_submit};
    struct bpi_conn_options options = {.tls = client_tls, .executor = &refuser};
    struct probe probe;
    probe_init(&probe, loop);
    probe.options = &options;
    probe.then_close = probe_close_now;
    probe_connect(&probe, port);
    wait_for(&probe.closed);
    assert_int_equal(probe.error, BP_E_FULL);
    close(listener);
    loop_ended(loop);
}

/* Inside callbacks. */

static void close_both(struct probe *probe)
{
    probe_close_call(probe->other);
    probe_close_call(probe);
}

static void close_other(struct probe *probe)
{
    probe_close_call(probe->other);
}

/* Drives two connections into the same events at once; `act` runs in the callback of the first. */
static void close_inside(void (*act)(struct probe *probe), int where)
{
    struct bpi_loop *loop = loop_started(0);
    int fds[2][2];
    static struct probe two[2];
    struct bpi_conn_options options = {.high_bytes = 1000};
    for (int i = 0; i < 2; i++) {
        tcp_pair(fds[i]);
        probe_init(&two[i], loop);
        two[i].options = &options;
        two[i].other = &two[1 - i];
        two[i].fd = fds[i][0];
    }
    for (int i = 0; i < 2; i++) {
        two[i].then_open = where == 0 ? act : NULL;
        two[i].then_data = where == 1 ? act : NULL;
        two[i].then_close = where == 2 ? act : NULL;
    }
    for (int i = 0; i < 2; i++) {
        probe_accept(&two[i], fds[i][0]);
    }
    for (int i = 0; i < 2; i++) {
        (void)!send(fds[i][1], "x", 1, MSG_NOSIGNAL);
        close(fds[i][1]);
    }
    sleep_ms(10);
    probe_close(&two[0]);
    probe_close(&two[1]);
    loop_ended(loop);
}

static void close_inside_any_callback(void **state)
{
    (void)state;
    void (*acts[])(struct probe * probe) = {probe_close_now, close_other, close_both};
    for (size_t act = 0; act < 3; act++) {
        for (int where = 0; where < 3; where++) {
            for (int round = 0; round < 10; round++) {
                close_inside(acts[act], where);
            }
        }
    }
}

static void fill_call(void *argument)
{
    struct probe *probe = argument;
    static const uint8_t block[100000];
    for (int i = 0; i < 100; i++) {
        assert_int_equal(bpi_buffer_append(bpi_conn_out(probe->conn), block, sizeof(block)), 0);
    }
    bpi_conn_flush(probe->conn);
}

static void close_inside_on_drain(void **state)
{
    (void)state;
    struct bpi_loop *loop = loop_started(0);
    int fds[2];
    tcp_pair(fds);
    struct probe probe;
    probe_init(&probe, loop);
    probe.then_drain = probe_close_now;
    probe_accept(&probe, fds[0]);
    wait_for(&probe.opened);
    call_on(loop, fill_call, &probe);
    static uint8_t sink[65536];
    ssize_t size;
    do {
        size = recv(fds[1], sink, sizeof(sink), 0);
    } while (size > 0);
    wait_for(&probe.drained);
    assert_int_equal(atomic_load(&probe.drains), 1);
    close(fds[1]);
    loop_ended(loop);
}

/* A flush that fails and a close in the same call: no event may follow. */
static void flush_and_close_call(void *argument)
{
    struct probe *probe = argument;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(bpi_buffer_append(bpi_conn_out(probe->conn), "x", 1), 0);
        bpi_conn_flush(probe->conn);
    }
    bpi_conn_close(probe->conn);
    probe->conn = NULL;
}

static void no_event_follows_a_close(void **state)
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
    reset_close(fds[1]);
    call_on(loop, flush_and_close_call, &probe);
    int closes = atomic_load(&probe.closes);
    sleep_ms(10);
    call_on(loop, nothing_call, NULL);
    assert_int_equal(atomic_load(&probe.closes), closes);
    loop_ended(loop);
}

/* Flushed. */

struct flushed {
    struct probe *probe;
    size_t size;
    bp_usec timeout_us;
};

static void close_flushed_call(void *argument)
{
    struct flushed *flushed = argument;
    struct bpi_buffer *out = bpi_conn_out(flushed->probe->conn);
    for (size_t i = 0; i < flushed->size; i++) {
        uint8_t byte = pattern(i);
        assert_int_equal(bpi_buffer_append(out, &byte, 1), 0);
    }
    bpi_conn_close_flushed(flushed->probe->conn, flushed->timeout_us);
    flushed->probe->conn = NULL;
}

static void flushed_close_sends_all_though_the_peer_still_sends(void **state)
{
    (void)state;
    struct bpi_loop *loop = loop_started(0);
    for (int round = 0; round < 3; round++) {
        int fds[2];
        tcp_pair(fds);
        struct probe probe;
        probe_init(&probe, loop);
        probe_accept(&probe, fds[0]);
        wait_for(&probe.opened);
        struct flushed flushed = {
            .probe = &probe, .size = 3000000, .timeout_us = 20 * BP_USEC_PER_SECOND};
        static uint8_t noise[50000];
        send_all(fds[1], noise, sizeof(noise));
        call_on(loop, close_flushed_call, &flushed);
        /* Unread bytes at the other side would make a plain close send a reset. */
        send_all(fds[1], noise, sizeof(noise));
        static uint8_t back[3000000];
        receive_all(fds[1], back, sizeof(back));
        for (size_t i = 0; i < sizeof(back); i++) {
            assert_int_equal(back[i], pattern(i));
        }
        char byte;
        assert_int_equal(recv(fds[1], &byte, 1, 0), 0);
        close(fds[1]);
        assert_int_equal(atomic_load(&probe.closes), 0);
    }
    loop_ended(loop);
}

static void flushed_close_ends_at_its_timeout(void **state)
{
    (void)state;
    struct bpi_loop *loop = loop_started(0);
    /* One peer that doesn't read, one that reads all and never closes. */
    for (int round = 0; round < 2; round++) {
        int fds[2];
        tcp_pair(fds);
        struct probe probe;
        probe_init(&probe, loop);
        probe_accept(&probe, fds[0]);
        wait_for(&probe.opened);
        struct flushed flushed = {
            .probe = &probe, .size = round == 0 ? 20000000 : 10, .timeout_us = 50 * BP_USEC_PER_MS};
        call_on(loop, close_flushed_call, &flushed);
        sleep_ms(100);
        call_on(loop, nothing_call, NULL);
        close(fds[1]);
    }
    loop_ended(loop);
}

static void flush_in_close(struct probe *probe)
{
    assert_int_equal(bpi_buffer_append(bpi_conn_out(probe->conn), "bye", 3), 0);
    bpi_conn_close_flushed(probe->conn, BP_USEC_PER_SECOND);
    probe->conn = NULL;
}

static void flushed_close_reaches_a_peer_that_only_listens(void **state)
{
    (void)state;
    struct bpi_loop *loop = loop_started(0);
    int fds[2];
    tcp_pair(fds);
    struct probe probe;
    probe_init(&probe, loop);
    probe.then_close = flush_in_close;
    probe_accept(&probe, fds[0]);
    shutdown(fds[1], SHUT_WR);
    wait_for(&probe.closed);
    char text[4] = {0};
    receive_all(fds[1], text, 3);
    assert_string_equal(text, "bye");
    close(fds[1]);
    loop_ended(loop);
}

static void abort_call(void *argument)
{
    struct probe *probe = argument;
    bpi_conn_abort(probe->conn);
    probe->conn = NULL;
}

static void abort_resets_the_peer(void **state)
{
    (void)state;
    struct bpi_loop *loop = loop_started(0);
    for (int i = 0; i < 2; i++) {
        int fds[2];
        tcp_pair(fds);
        struct probe probe;
        probe_init(&probe, loop);
        probe_accept(&probe, fds[0]);
        wait_for(&probe.opened);
        call_on(loop, abort_call, &probe);
        char byte;
        assert_int_equal(recv(fds[1], &byte, 1, 0), -1);
        assert_int_equal(errno, ECONNRESET);
        close(fds[1]);
        assert_int_equal(atomic_load(&probe.closes), 0);
    }
    loop_ended(loop);
}

static void detach_call(void *argument)
{
    struct probe *probe = argument;
    bpi_conn_detach(probe->conn);
}

static void detached_connection_can_be_closed_anywhere(void **state)
{
    (void)state;
    struct bpi_loop *loops[2] = {loop_started(0), loop_started(1)};
    for (int where = 0; where < 3; where++) {
        int fds[2];
        tcp_pair(fds);
        struct probe probe;
        probe_init(&probe, loops[0]);
        probe_accept(&probe, fds[0]);
        wait_for(&probe.opened);
        call_on(loops[0], detach_call, &probe);
        if (where < 2) {
            call_on(loops[where], probe_close_call, &probe);
        } else {
            probe_close_call(&probe);
        }
        char byte;
        assert_int_equal(recv(fds[1], &byte, 1, 0), 0);
        close(fds[1]);
    }
    loop_ended(loops[0]);
    loop_ended(loops[1]);
}

static void detach_and_attach_call(void *argument)
{
    struct probe *probe = argument;
    bpi_conn_detach(probe->conn);
    bpi_conn_attach(probe->conn, probe->loop);
    bpi_conn_detach(probe->conn);
    bpi_conn_attach(probe->conn, probe->loop);
    probe_close_call(probe);
}

static void close_right_behind_attach(void **state)
{
    (void)state;
    struct bpi_loop *loop = loop_started(0);
    int fds[2];
    tcp_pair(fds);
    struct probe probe;
    probe_init(&probe, loop);
    probe_accept(&probe, fds[0]);
    wait_for(&probe.opened);
    call_on(loop, detach_and_attach_call, &probe);
    close(fds[1]);
    loop_ended(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        NET_TEST(close_while_the_name_is_looked_up),
        NET_TEST(close_while_connecting),
        NET_TEST(close_before_open_is_told),
        NET_TEST(close_before_the_first_byte),
        NET_TEST(close_in_the_middle_of_a_handshake),
        NET_TEST(close_while_a_helper_has_the_handshake),
        NET_TEST(timeout_while_a_helper_has_the_handshake),
        NET_TEST(executor_that_refuses_fails_the_connection),
        NET_TEST(close_inside_any_callback),
        NET_TEST(close_inside_on_drain),
        NET_TEST(no_event_follows_a_close),
        NET_TEST(flushed_close_sends_all_though_the_peer_still_sends),
        NET_TEST(flushed_close_ends_at_its_timeout),
        NET_TEST(flushed_close_reaches_a_peer_that_only_listens),
        NET_TEST(abort_resets_the_peer),
        NET_TEST(detached_connection_can_be_closed_anywhere),
        NET_TEST(close_right_behind_attach),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
