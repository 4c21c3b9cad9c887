/* Listening sockets: many clients, two listeners, a port in use, closing inside the callback, and a
 * process that runs out of file descriptors and gets some back.
 */
#include "net/listener.h"
#include "support.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>

struct gate {
    struct bpi_loop *loop;
    struct bpi_listener *listener;
    const char *host;
    uint16_t port;
    int result;
    int close_after; /* 0 = never */
    atomic_int accepted;
    sem_t one;
};

static void on_accept(struct bpi_listener *listener, int fd, void *user)
{
    struct gate *gate = user;
    assert_ptr_equal(bpi_loop_current(), gate->loop);
    assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    close(fd);
    int accepted = atomic_fetch_add(&gate->accepted, 1) + 1;
    if (accepted == gate->close_after) {
        bpi_listener_close(listener);
        gate->listener = NULL;
    }
    sem_post(&gate->one);
}

static void open_call(void *argument)
{
    struct gate *gate = argument;
    gate->result =
        bpi_listener_open(gate->loop, gate->host, gate->port, on_accept, gate, &gate->listener);
}

static void close_call(void *argument)
{
    struct gate *gate = argument;
    if (gate->listener != NULL) {
        bpi_listener_close(gate->listener);
        gate->listener = NULL;
    }
}

static void gate_open(struct gate *gate, struct bpi_loop *loop)
{
    memset(gate, 0, sizeof(*gate));
    gate->loop = loop;
    gate->host = "127.0.0.1";
    sem_init(&gate->one, 0, 0);
    call_on(loop, open_call, gate);
    assert_int_equal(gate->result, 0);
    gate->port = bpi_listener_port(gate->listener);
    assert_true(gate->port > 0);
}

static void many_clients_come_in_by_two_doors(void **state)
{
    (void)state;
    struct bpi_loop *loop = loop_started(0);
    struct gate gates[2];
    gate_open(&gates[0], loop);
    gate_open(&gates[1], loop);
    assert_int_not_equal(gates[0].port, gates[1].port);
    int fds[400];
    for (int i = 0; i < 400; i++) {
        fds[i] = tcp_connect(gates[i % 2].port);
    }
    for (int i = 0; i < 200; i++) {
        wait_for(&gates[0].one);
        wait_for(&gates[1].one);
    }
    for (int i = 0; i < 400; i++) {
        close(fds[i]);
    }
    assert_int_equal(atomic_load(&gates[0].accepted), 200);
    assert_int_equal(atomic_load(&gates[1].accepted), 200);
    call_on(loop, close_call, &gates[0]);
    call_on(loop, close_call, &gates[1]);
    loop_ended(loop);
}

static void port_in_use_is_an_error(void **state)
{
    (void)state;
    struct bpi_loop *loop = loop_started(0);
    struct gate first;
    gate_open(&first, loop);
    struct gate second = {.loop = loop, .host = "127.0.0.1", .port = first.port};
    call_on(loop, open_call, &second);
    assert_int_equal(second.result, -EADDRINUSE);
    assert_null(second.listener);
    /* The port is free again at once. */
    call_on(loop, close_call, &first);
    call_on(loop, open_call, &second);
    assert_int_equal(second.result, 0);
    call_on(loop, close_call, &second);
    loop_ended(loop);
}

static void opens_before_the_loop_runs_and_by_name(void **state)
{
    (void)state;
    struct bpi_loop *loop = NULL;
    assert_int_equal(bpi_loop_new(0, &loop), 0);
    struct gate gate = {.loop = loop, .host = "localhost"};
    sem_init(&gate.one, 0, 0);
    open_call(&gate);
    assert_int_equal(gate.result, 0);
    assert_int_equal(bpi_loop_start(loop), 0);
    call_on(loop, close_call, &gate);
    loop_ended(loop);
}

static void listener_may_be_closed_inside_its_callback(void **state)
{
    (void)state;
    struct bpi_loop *loop = loop_started(0);
    struct gate gate;
    gate_open(&gate, loop);
    gate.close_after = 2;
    int fds[3];
    for (int i = 0; i < 2; i++) {
        fds[i] = tcp_connect(gate.port);
        wait_for(&gate.one);
    }
    call_on(loop, nothing_call, NULL);
    assert_int_equal(atomic_load(&gate.accepted), 2);
    close(fds[0]);
    close(fds[1]);
    loop_ended(loop);
}

static void running_out_of_descriptors_is_survived(void **state)
{
    (void)state;
    struct bpi_loop *loop = loop_started(0);
    struct gate gate;
    gate_open(&gate, loop);
    int clients[2];
    for (int i = 0; i < 2; i++) {
        clients[i] = socket(AF_INET, SOCK_STREAM, 0);
        assert_true(clients[i] >= 0);
    }
    struct rlimit before;
    getrlimit(RLIMIT_NOFILE, &before);
    /* The lowest free number is the limit: no new descriptor fits below it. */
    int lowest = dup(0);
    close(lowest);
    struct rlimit tight = {.rlim_cur = (rlim_t)lowest, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port = htons(gate.port)};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(connect(clients[i], (struct sockaddr *)&address, sizeof(address)), 0);
    }
    sleep_ms(250);
    assert_int_equal(atomic_load(&gate.accepted), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    wait_for(&gate.one);
    wait_for(&gate.one);
    close(clients[0]);
    close(clients[1]);
    call_on(loop, close_call, &gate);
    loop_ended(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        NET_TEST(many_clients_come_in_by_two_doors),
        NET_TEST(port_in_use_is_an_error),
        NET_TEST(opens_before_the_loop_runs_and_by_name),
        NET_TEST(listener_may_be_closed_inside_its_callback),
        NET_TEST(running_out_of_descriptors_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
