/* Connections that change loops a thousand times while a stream goes through them: nothing is lost or
 * doubled, each event comes on the loop where the connection is, and the client notices nothing. Two
 * streams at once, plain and TLS.
 */
#include "certificate.h"
#include "net/tls.h"
#include "stream.h"
#include "support.h"

#define MOVES_WANTED 1000

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

/* An echo that moves to the other loop whenever all is sent. */
struct nomad {
    struct bpi_mail mail;
    struct bpi_loop *loops[2];
    struct bpi_conn *conn;
    int here; /* index of the loop it is on */
    int moves;
    struct bpi_tls_context *tls;
    int fd;
    int error;
    sem_t closed;
};

static void nomad_arrive(struct bpi_mail *mail)
{
    struct nomad *nomad = CONTAINER(mail, struct nomad, mail);
    nomad->here = 1 - nomad->here;
    bpi_conn_attach(nomad->conn, nomad->loops[nomad->here]);
}

static void nomad_on_data(struct bpi_conn *conn, void *user)
{
    struct nomad *nomad = user;
    assert_ptr_equal(bpi_loop_current(), nomad->loops[nomad->here]);
    assert_ptr_equal(bpi_conn_loop(conn), nomad->loops[nomad->here]);
    struct bpi_buffer *in = bpi_conn_in(conn);
    assert_int_equal(
        bpi_buffer_append(bpi_conn_out(conn), bpi_buffer_head(in), bpi_buffer_size(in)), 0);
    bpi_buffer_consume(in, bpi_buffer_size(in));
    bpi_conn_flush(conn);
    if (bpi_conn_unsent(conn) == 0 && nomad->moves < MOVES_WANTED) {
        nomad->moves++;
        bpi_conn_detach(conn);
        /* From here on the other loop may have it. */
        bpi_loop_post(nomad->loops[1 - nomad->here], &nomad->mail);
    }
}

static void nomad_on_close(struct bpi_conn *conn, void *user, int error)
{
    struct nomad *nomad = user;
    assert_ptr_equal(bpi_loop_current(), nomad->loops[nomad->here]);
    nomad->error = error;
    bpi_conn_close(conn);
    sem_post(&nomad->closed);
}

static const struct bpi_conn_handler nomad_handler = {
    .on_data = nomad_on_data,
    .on_close = nomad_on_close,
};

static void nomad_accept_call(void *argument)
{
    struct nomad *nomad = argument;
    struct bpi_conn_options options = {.handler = &nomad_handler, .user = nomad, .tls = nomad->tls};
    assert_int_equal(bpi_conn_accept(nomad->loops[nomad->here], nomad->fd, &options, &nomad->conn),
                     0);
}

static void move_under_traffic(struct bpi_tls_context *server, struct bpi_tls_context *client)
{
    struct bpi_loop *loops[2] = {loop_started(0), loop_started(1)};
    struct bpi_loop *client_loop = loop_started(2);
    uint16_t port = 0;
    int listener = tcp_listen(8, &port);
    static struct stream streams[2];
    static struct nomad nomads[2];
    for (int i = 0; i < 2; i++) {
        streams[i] = (struct stream){
            .loop = client_loop, .to_send = 60000000, .window_bytes = (uint64_t)48 * 1024};
        stream_open(&streams[i], port, client);
        nomads[i] = (struct nomad){.mail.deliver = nomad_arrive,
                                   .loops = {loops[0], loops[1]},
                                   .here = i,
                                   .tls = server,
                                   .fd = accept(listener, NULL, NULL)};
        sem_init(&nomads[i].closed, 0, 0);
        call_on(loops[i], nomad_accept_call, &nomads[i]);
    }
    for (int i = 0; i < 2; i++) {
        wait_for(&streams[i].finished);
    }
    for (int i = 0; i < 2; i++) {
        stream_close(&streams[i]);
        wait_for(&nomads[i].closed);
        print_message("moves: %d\n", nomads[i].moves);
        assert_int_equal(nomads[i].error, 0);
        assert_int_equal(nomads[i].moves, MOVES_WANTED);
    }
    close(listener);
    loop_ended(client_loop);
    bpi_loop_stop(loops[0]);
    bpi_loop_stop(loops[1]);
    bpi_loop_join(loops[0]);
    bpi_loop_join(loops[1]);
    bpi_loop_free(loops[0]);
    bpi_loop_free(loops[1]);
}

static void plain_connections_move_under_traffic(void **state)
{
    (void)state;
    move_under_traffic(NULL, NULL);
}

static void tls_connections_move_under_traffic(void **state)
{
    (void)state;
    move_under_traffic(server_tls, client_tls);
}

/* What happened while it was on no loop is told on the next one. */

struct two_loops {
    struct probe probe;
    struct bpi_loop *other;
};

static void detach_call(void *argument)
{
    struct two_loops *two = argument;
    bpi_conn_detach(two->probe.conn);
}

static void resume_and_detach_call(void *argument)
{
    struct two_loops *two = argument;
    bpi_conn_read_resume(two->probe.conn);
    bpi_conn_detach(two->probe.conn);
}

static void attach_call(void *argument)
{
    struct two_loops *two = argument;
    two->probe.loop = two->other;
    bpi_conn_attach(two->probe.conn, two->other);
}

static void end_between_two_loops_is_told_on_the_second(void **state)
{
    (void)state;
    struct bpi_loop *loops[2] = {loop_started(0), loop_started(1)};
    for (int round = 0; round < 2; round++) {
        int fds[2];
        tcp_pair(fds);
        struct two_loops two = {.other = loops[1]};
        probe_init(&two.probe, loops[0]);
        probe_accept(&two.probe, fds[0]);
        wait_for(&two.probe.opened);
        call_on(loops[0], detach_call, &two);
        send_all(fds[1], "late", 4);
        if (round == 0) {
            close(fds[1]);
        } else {
            sleep_ms(10);
            reset_close(fds[1]);
        }
        sleep_ms(10);
        assert_int_equal(atomic_load(&two.probe.datas), 0);
        call_on(loops[1], attach_call, &two);
        wait_for(&two.probe.closed);
        assert_int_equal(two.probe.bytes_size, 4);
        assert_int_equal(two.probe.error, round == 0 ? 0 : -ECONNRESET);
        probe_close(&two.probe);
    }
    loop_ended(loops[0]);
    loop_ended(loops[1]);
}

static void news_that_wait_go_along(void **state)
{
    (void)state;
    struct bpi_loop *loops[2] = {loop_started(0), loop_started(1)};
    int fds[2];
    tcp_pair(fds);
    struct two_loops two = {.other = loops[1]};
    probe_init(&two.probe, loops[0]);
    two.probe.keep = true;
    probe_accept(&two.probe, fds[0]);
    send_all(fds[1], "abc", 3);
    wait_for(&two.probe.told_data);
    call_on(loops[0], pause_call, &two.probe);
    /* The resume owes an on_data, but the connection leaves before the end of the turn. */
    call_on(loops[0], resume_and_detach_call, &two);
    call_on(loops[0], nothing_call, NULL);
    assert_int_equal(atomic_load(&two.probe.datas), 1);
    call_on(loops[1], attach_call, &two);
    wait_for(&two.probe.told_data);
    assert_int_equal(atomic_load(&two.probe.datas), 2);
    probe_close(&two.probe);
    close(fds[1]);
    loop_ended(loops[0]);
    loop_ended(loops[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        NET_TEST(plain_connections_move_under_traffic),
        NET_TEST(tls_connections_move_under_traffic),
        NET_TEST(end_between_two_loops_is_told_on_the_second),
        NET_TEST(news_that_wait_go_along),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
