/* TLS connections against each other, with certificates made at the start: who is trusted, what a peer
 * that speaks no TLS gets, bytes that dribble, large streams, ends, memory.
 */
#include "certificate.h"
#include "net/tls.h"
#include "stream.h"
#include "support.h"

#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>

static struct certificates certificates;
static struct bpi_tls_context *server_tls;
static struct bpi_tls_context *verifying_tls; /* trusts the test's authority */
static struct bpi_tls_context *leaf_tls;      /* trusts the server's certificate itself */
static struct bpi_tls_context *system_tls;    /* trusts the system's authorities */
static struct bpi_tls_context *trusting_tls;  /* trusts anybody */

static int group_setup(void **state)
{
    (void)state;
    char text[256] = "";
    certificates_make(&certificates);
    assert_int_equal(bpi_tls_server_new(certificates.chain_file, certificates.key_file, &server_tls,
                                        text, sizeof(text)),
                     0);
    assert_int_equal(
        bpi_tls_client_new(true, certificates.ca_file, &verifying_tls, text, sizeof(text)), 0);
    assert_int_equal(
        bpi_tls_client_new(true, certificates.chain_file, &leaf_tls, text, sizeof(text)), 0);
    assert_int_equal(bpi_tls_client_new(true, NULL, &system_tls, text, sizeof(text)), 0);
    assert_int_equal(bpi_tls_client_new(false, NULL, &trusting_tls, text, sizeof(text)), 0);
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    certificates_remove(&certificates);
    bpi_tls_context_unref(server_tls);
    bpi_tls_context_unref(verifying_tls);
    bpi_tls_context_unref(leaf_tls);
    bpi_tls_context_unref(system_tls);
    bpi_tls_context_unref(trusting_tls);
    return 0;
}

/* A client and a server probe, joined by a socket of their own. */
struct pair {
    struct bpi_loop *loop;
    struct bpi_conn_options client_options;
    struct bpi_conn_options server_options;
    struct probe client;
    struct probe server;
    int listener;
    uint16_t port;
};

static void pair_open(struct pair *pair,
                      struct bpi_loop *loop,
                      struct bpi_tls_context *client_context,
                      const char *host_name)
{
    memset(pair, 0, sizeof(*pair));
    pair->loop = loop;
    pair->client_options.tls = client_context;
    pair->client_options.host_name = host_name;
    pair->client_options.open_timeout_us = 20 * BP_USEC_PER_SECOND;
    pair->server_options.tls = server_tls;
    pair->server_options.open_timeout_us = 20 * BP_USEC_PER_SECOND;
    probe_init(&pair->client, loop);
    probe_init(&pair->server, loop);
    pair->client.options = &pair->client_options;
    pair->server.options = &pair->server_options;
    pair->listener = tcp_listen(8, &pair->port);
    probe_connect(&pair->client, pair->port);
    probe_accept(&pair->server, accept(pair->listener, NULL, NULL));
}

static void pair_close(struct pair *pair)
{
    probe_close(&pair->client);
    probe_close(&pair->server);
    close(pair->listener);
}

static void write_hello_call(void *argument)
{
    struct probe *probe = argument;
    assert_int_equal(bpi_buffer_append(bpi_conn_out(probe->conn), "hello", 5), 0);
    bpi_conn_flush(probe->conn);
}

static void assert_talk(struct pair *pair)
{
    wait_for(&pair->client.opened);
    wait_for(&pair->server.opened);
    call_on(pair->loop, write_hello_call, &pair->client);
    call_on(pair->loop, write_hello_call, &pair->server);
    probe_wait_bytes(&pair->client, 5);
    probe_wait_bytes(&pair->server, 5);
    assert_memory_equal(pair->client.bytes, "hello", 5);
    assert_memory_equal(pair->server.bytes, "hello", 5);
}

static void right_host_is_trusted(void **state)
{
    (void)state;
    struct bpi_loop *loop = loop_started(0);
    /* By name, by address, and by what was connected to. */
    const char *hosts[] = {"localhost", "db.example", "127.0.0.1", NULL};
    struct bpi_tls_context *contexts[] = {verifying_tls, leaf_tls};
    for (size_t context = 0; context < 2; context++) {
        for (size_t i = 0; i < 4; i++) {
            struct pair pair;
            pair_open(&pair, loop, contexts[context], hosts[i]);
            assert_talk(&pair);
            pair_close(&pair);
        }
    }
    loop_ended(loop);
}

static void wrong_host_is_refused(void **state)
{
    (void)state;
    struct bpi_loop *loop = loop_started(0);
    const char *hosts[] = {"other.example", "10.0.0.1", "localhost.evil.example"};
    for (size_t i = 0; i < 3; i++) {
        struct pair pair;
        pair_open(&pair, loop, verifying_tls, hosts[i]);
        wait_for(&pair.client.closed);
        assert_int_equal(pair.client.error, BP_E_TLS);
        assert_non_null(strstr(pair.client.reason, "mismatch"));
        wait_for(&pair.server.closed);
        assert_int_equal(pair.server.error, BP_E_TLS);
        assert_int_equal(atomic_load(&pair.client.opens), 0);
        pair_close(&pair);
    }
    loop_ended(loop);
}

static void unknown_authority_is_refused(void **state)
{
    (void)state;
    struct bpi_loop *loop = loop_started(0);
    struct pair pair;
    pair_open(&pair, loop, system_tls, "localhost");
    wait_for(&pair.client.closed);
    assert_int_equal(pair.client.error, BP_E_TLS);
    print_message("unknown authority: %s\n", pair.client.reason);
    pair_close(&pair);
    loop_ended(loop);
}

static void without_verify_any_certificate_passes(void **state)
{
    (void)state;
    struct bpi_loop *loop = loop_started(0);
    struct pair two[2];
    for (int i = 0; i < 2; i++) {
        pair_open(&two[i], loop, trusting_tls, "other.example");
    }
    for (int i = 0; i < 2; i++) {
        assert_talk(&two[i]);
        pair_close(&two[i]);
    }
    loop_ended(loop);
}

static void plain_client_at_a_tls_door_is_refused(void **state)
{
    (void)state;
    struct bpi_loop *loop = loop_started(0);
    struct bpi_conn_options options = {.tls = server_tls};
    for (int i = 0; i < 2; i++) {
        int fds[2];
        tcp_pair(fds);
        struct probe probe;
        probe_init(&probe, loop);
        probe.options = &options;
        probe.then_close = probe_close_now;
        probe_accept(&probe, fds[0]);
        send_all(fds[1], "\x60\x60\xb0\x17\0\0\x08\x05\0\0\0\0\0\0\0\0\0\0\0\0", 20);
        wait_for(&probe.closed);
        assert_int_equal(probe.error, BP_E_TLS);
        close(fds[1]);
    }
    loop_ended(loop);
}

static void tls_client_at_a_plain_server_fails(void **state)
{
    (void)state;
    struct bpi_loop *loop = loop_started(0);
    uint16_t port = 0;
    int listener = tcp_listen(8, &port);
    struct bpi_conn_options options = {.tls = verifying_tls, .host_name = "localhost"};
    for (int i = 0; i < 2; i++) {
        struct probe probe;
        probe_init(&probe, loop);
        probe.options = &options;
        probe_connect(&probe, port);
        int fd = accept(listener, NULL, NULL);
        if (i == 0) {
            /* It answers in another language; else it closes without a word. */
            send_all(fd, "\0\0\0\0", 4);
            send_all(fd, "HTTP/1.1 400\r\n", 14);
        } else {
            uint8_t byte;
            receive_all(fd, &byte, 1);
            shutdown(fd, SHUT_WR);
        }
        wait_for(&probe.closed);
        assert_int_equal(probe.error, BP_E_TLS);
        probe_close(&probe);
        close(fd);
    }
    close(listener);
    loop_ended(loop);
}

static void optional_tls_takes_both(void **state)
{
    (void)state;
    struct bpi_loop *loop = loop_started(0);
    struct pair pair;
    for (int plain = 0; plain < 2; plain++) {
        memset(&pair, 0, sizeof(pair));
        pair.loop = loop;
        probe_init(&pair.client, loop);
        probe_init(&pair.server, loop);
        pair.client_options.tls = plain != 0 ? NULL : verifying_tls;
        pair.server_options.tls = server_tls;
        pair.server_options.tls_optional = true;
        pair.client.options = &pair.client_options;
        pair.server.options = &pair.server_options;
        pair.listener = tcp_listen(8, &pair.port);
        probe_connect(&pair.client, pair.port);
        probe_accept(&pair.server, accept(pair.listener, NULL, NULL));
        wait_for(&pair.client.opened);
        call_on(loop, write_hello_call, &pair.client);
        wait_for(&pair.server.opened);
        call_on(loop, write_hello_call, &pair.server);
        probe_wait_bytes(&pair.client, 5);
        probe_wait_bytes(&pair.server, 5);
        pair_close(&pair);
    }
    loop_ended(loop);
}

static void silent_client_times_out_and_a_gone_one_is_no_failure(void **state)
{
    (void)state;
    struct bpi_loop *loop = loop_started(0);
    struct bpi_conn_options options = {
        .tls = server_tls, .tls_optional = true, .open_timeout_us = 40 * BP_USEC_PER_MS};
    for (int gone = 0; gone < 2; gone++) {
        int fds[2];
        tcp_pair(fds);
        struct probe probe;
        probe_init(&probe, loop);
        probe.options = &options;
        probe_accept(&probe, fds[0]);
        if (gone != 0) {
            shutdown(fds[1], SHUT_WR);
        }
        wait_for(&probe.closed);
        assert_int_equal(probe.error, gone != 0 ? 0 : -ETIMEDOUT);
        probe_close(&probe);
        close(fds[1]);
    }
    loop_ended(loop);
}

/* A relay that passes bytes one by one, both ways. */

struct relay {
    int from;
    int to;
};

static void *relay_main(void *argument)
{
    struct relay *relay = argument;
    char byte;
    while (recv(relay->from, &byte, 1, 0) == 1) {
        if (send(relay->to, &byte, 1, MSG_NOSIGNAL) != 1) {
            break;
        }
    }
    shutdown(relay->to, SHUT_WR);
    return NULL;
}

static void handshake_and_data_may_dribble(void **state)
{
    (void)state;
    struct bpi_loop *loop = loop_started(0);
    struct pair pair;
    memset(&pair, 0, sizeof(pair));
    pair.loop = loop;
    probe_init(&pair.client, loop);
    probe_init(&pair.server, loop);
    pair.client_options.tls = verifying_tls;
    pair.server_options.tls = server_tls;
    pair.client.options = &pair.client_options;
    pair.server.options = &pair.server_options;
    pair.listener = tcp_listen(8, &pair.port);
    probe_connect(&pair.client, pair.port);
    int client_side = accept(pair.listener, NULL, NULL);
    int fds[2];
    tcp_pair(fds);
    int on = 1;
    setsockopt(client_side, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    probe_accept(&pair.server, fds[0]);
    struct relay relays[2] = {{.from = client_side, .to = fds[1]},
                              {.from = fds[1], .to = client_side}};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, relay_main, &relays[i]), 0);
    }
    assert_talk(&pair);
    pair_close(&pair);
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    close(client_side);
    close(fds[1]);
    loop_ended(loop);
}

/* The stream is cut after each number of bytes of the client's first flight. */
static void cut_in_the_handshake_is_a_failure(void **state)
{
    (void)state;
    struct bpi_loop *loop = loop_started(0);
    uint16_t port = 0;
    int listener = tcp_listen(8, &port);
    struct bpi_conn_options client_options = {.tls = verifying_tls};
    struct bpi_conn_options server_options = {.tls = server_tls};
    struct probe client;
    probe_init(&client, loop);
    client.options = &client_options;
    probe_connect(&client, port);
    int fd = accept(listener, NULL, NULL);
    uint8_t hello[2048];
    ssize_t size = recv(fd, hello, sizeof(hello), 0);
    assert_true(size > 100);
    for (ssize_t cut = 1; cut <= size; cut++) {
        int fds[2];
        tcp_pair(fds);
        struct probe server;
        probe_init(&server, loop);
        server.options = &server_options;
        probe_accept(&server, fds[0]);
        send_all(fds[1], hello, (size_t)cut);
        shutdown(fds[1], SHUT_WR);
        wait_for(&server.closed);
        assert_int_equal(server.error, BP_E_TLS);
        probe_close(&server);
        close(fds[1]);
    }
    probe_close(&client);
    close(fd);
    close(listener);
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
                                       .tls = server_tls,
                                       .high_bytes = (size_t)64 * 1024,
                                       .in_max_bytes = (size_t)256 * 1024};
    struct bpi_conn *conn = NULL;
    assert_int_equal(bpi_conn_accept(accepted->loop, accepted->fd, &options, &conn), 0);
}

static void echo_of_10_mb_to_slow_readers_takes_bounded_memory(void **state)
{
    (void)state;
    struct bpi_loop *loops[2] = {loop_started(0), loop_started(1)};
    uint16_t port = 0;
    int listener = tcp_listen(8, &port);
    static struct stream streams[2];
    static struct echo echoes[2];
    for (int i = 0; i < 2; i++) {
        streams[i] = (struct stream){.loop = loops[i],
                                     .to_send = 10000000,
                                     .slow_bytes = 500000,
                                     .slow_us = 5 * BP_USEC_PER_MS};
        sem_init(&echoes[i].closed, 0, 0);
        stream_open(&streams[i], port, verifying_tls);
        struct echo_accept accepted = {
            .loop = loops[1 - i], .echo = &echoes[i], .fd = accept(listener, NULL, NULL)};
        call_on(accepted.loop, echo_accept_call, &accepted);
    }
    for (int i = 0; i < 2; i++) {
        wait_for(&streams[i].finished);
        stream_close(&streams[i]);
        wait_for(&echoes[i].closed);
        assert_int_equal(echoes[i].error, 0);
        print_message("largest buffers: stream in %zu out %zu, echo in %zu out %zu\n",
                      streams[i].in_max_seen, streams[i].out_max_seen, echoes[i].in_max_seen,
                      echoes[i].out_max_seen);
        assert_true(streams[i].in_max_seen <= (256 + 64 + 16) * 1024);
        assert_true(echoes[i].in_max_seen <= (256 + 64 + 16) * 1024);
        /* As for plain ones, and what TLS has made of up to 64 KiB and a record. */
        assert_true(echoes[i].out_max_seen <= (64 + 256 + 64 + 96) * 1024);
    }
    close(listener);
    loop_ended(loops[0]);
    loop_ended(loops[1]);
}

static void write_and_close_call(void *argument)
{
    struct probe *probe = argument;
    write_hello_call(probe);
    bpi_conn_close_flushed(probe->conn, 5 * BP_USEC_PER_SECOND);
    probe->conn = NULL;
}

static void last_words_and_the_end_arrive(void **state)
{
    (void)state;
    struct bpi_loop *loop = loop_started(0);
    for (int i = 0; i < 20; i++) {
        struct pair pair;
        pair_open(&pair, loop, verifying_tls, "localhost");
        wait_for(&pair.client.opened);
        wait_for(&pair.server.opened);
        struct probe *closer = i % 2 == 0 ? &pair.client : &pair.server;
        struct probe *other = i % 2 == 0 ? &pair.server : &pair.client;
        call_on(loop, write_and_close_call, closer);
        wait_for(&other->closed);
        assert_int_equal(other->error, 0);
        assert_int_equal(other->bytes_size, 5);
        pair_close(&pair);
    }
    loop_ended(loop);
}

static void write_in_open(struct probe *probe)
{
    write_hello_call(probe);
}

static void bytes_sent_with_the_last_of_the_handshake_arrive(void **state)
{
    (void)state;
    struct bpi_loop *loop = loop_started(0);
    for (int i = 0; i < 20; i++) {
        struct pair pair;
        memset(&pair, 0, sizeof(pair));
        probe_init(&pair.client, loop);
        probe_init(&pair.server, loop);
        pair.client_options.tls = verifying_tls;
        pair.server_options.tls = server_tls;
        pair.client.options = &pair.client_options;
        pair.server.options = &pair.server_options;
        pair.client.then_open = write_in_open;
        pair.server.then_open = write_in_open;
        pair.listener = tcp_listen(8, &pair.port);
        probe_connect(&pair.client, pair.port);
        probe_accept(&pair.server, accept(pair.listener, NULL, NULL));
        probe_wait_bytes(&pair.client, 5);
        probe_wait_bytes(&pair.server, 5);
        assert_int_equal(atomic_load(&pair.server.opens), 1);
        pair_close(&pair);
    }
    loop_ended(loop);
}

static void wrong_files_are_named(void **state)
{
    (void)state;
    struct bpi_tls_context *context = NULL;
    char text[256] = "";
    assert_int_equal(bpi_tls_server_new("/nowhere/chain.pem", certificates.key_file, &context, text,
                                        sizeof(text)),
                     BP_E_CONFIG);
    assert_non_null(strstr(text, "/nowhere/chain.pem"));
    assert_int_equal(bpi_tls_server_new(certificates.chain_file, certificates.other_key_file,
                                        &context, text, sizeof(text)),
                     BP_E_CONFIG);
    assert_non_null(strstr(text, certificates.other_key_file));
    assert_int_equal(bpi_tls_client_new(true, certificates.key_file, &context, text, sizeof(text)),
                     BP_E_CONFIG);
    assert_non_null(strstr(text, certificates.key_file));
    print_message("%s\n", text);
    assert_null(context);
}

#define IDLE_PAIRS 50

static void idle_connections_hold_what_openssl_needs(void **state)
{
    (void)state;
    struct bpi_loop *loop = loop_started(0);
    static struct pair pairs[IDLE_PAIRS];
    struct mallinfo2 before = mallinfo2();
    for (int i = 0; i < IDLE_PAIRS; i++) {
        pair_open(&pairs[i], loop, verifying_tls, "localhost");
        assert_talk(&pairs[i]);
    }
    struct mallinfo2 after = mallinfo2();
    size_t bytes = (after.uordblks - before.uordblks) / (IDLE_PAIRS * 2);
    print_message("an idle TLS connection: %zu bytes\n", bytes);
    assert_true(bytes < 64 * 1024);
    for (int i = 0; i < IDLE_PAIRS; i++) {
        pair_close(&pairs[i]);
    }
    loop_ended(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        NET_TEST(right_host_is_trusted),
        NET_TEST(wrong_host_is_refused),
        NET_TEST(unknown_authority_is_refused),
        NET_TEST(without_verify_any_certificate_passes),
        NET_TEST(plain_client_at_a_tls_door_is_refused),
        NET_TEST(tls_client_at_a_plain_server_fails),
        NET_TEST(optional_tls_takes_both),
        NET_TEST(silent_client_times_out_and_a_gone_one_is_no_failure),
        NET_TEST(handshake_and_data_may_dribble),
        NET_TEST(cut_in_the_handshake_is_a_failure),
        NET_TEST(echo_of_10_mb_to_slow_readers_takes_bounded_memory),
        NET_TEST(last_words_and_the_end_arrive),
        NET_TEST(bytes_sent_with_the_last_of_the_handshake_arrive),
        NET_TEST(wrong_files_are_named),
        NET_TEST(idle_connections_hold_what_openssl_needs),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
