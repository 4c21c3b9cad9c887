/* Every allocation of `net` fails once: the 1st, 2nd, 3rd ... of a story in which two connections open,
 * talk, move and close, plain and TLS. Whatever fails, nothing crashes, the loop comes to its end, and
 * no byte stays behind.
 *
 * The story runs on this thread. malloc() and its kin are this file's; they count and fail only while
 * `armed` is set, which it is around our own functions and callbacks, not inside libuv and OpenSSL:
 * those get allocators that never fail, as libuv aborts where it can't grow.
 * The sanitizers bring their own malloc(), so under them there is nothing to see here.
 */
#include "certificate.h"
#include "net/executor.h"
#include "net/tls.h"
#include "support.h"

#include <openssl/crypto.h>
#include <uv.h>

#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    #define SANITIZED 1
#elif defined(__has_feature)
    #if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
        #define SANITIZED 1
    #endif
#endif

#ifdef SANITIZED

int main(void)
{
    return 0;
}

#else

/* glibc's own, under the names that it exports for this purpose. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *memory);

static _Thread_local bool armed;
static _Thread_local long allocations; /* while armed */
static _Thread_local long failing;     /* the one that fails; 0 = none */
static _Thread_local long balance;     /* blocks of this thread in use, armed or not */

/* Visible (BP_API), so that the system's library calls them too, in strdup(). */

static bool fails(void)
{
    return armed && ++allocations == failing;
}

BP_API void *malloc(size_t size)
{
    void *memory = fails() ? NULL : __libc_malloc(size);
    balance += memory != NULL;
    return memory;
}

BP_API void *calloc(size_t count, size_t size)
{
    void *memory = fails() ? NULL : __libc_calloc(count, size);
    balance += memory != NULL;
    return memory;
}

BP_API void *realloc(void *memory, size_t size)
{
    void *moved = fails() ? NULL : __libc_realloc(memory, size);
    balance += memory == NULL && moved != NULL;
    return moved;
}

BP_API void *aligned_alloc(size_t alignment, size_t size)
{
    void *memory = fails() ? NULL : __libc_memalign(alignment, size);
    balance += memory != NULL;
    return memory;
}

BP_API void free(void *memory)
{
    balance -= memory != NULL;
    __libc_free(memory);
}

/* For libuv and OpenSSL. */

static void *steady_openssl_malloc(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return __libc_malloc(size);
}

static void *steady_openssl_realloc(void *memory, size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return __libc_realloc(memory, size);
}

static void steady_openssl_free(void *memory, const char *file, int line)
{
    (void)file;
    (void)line;
    __libc_free(memory);
}

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

/* Handshake steps run on this thread as well, so that they fail in the same place each time. */
struct inline_step {
    struct bpi_mail mail;
    struct bpi_work *work;
};

static void step_deliver(struct bpi_mail *mail)
{
    struct inline_step *step = CONTAINER(mail, struct inline_step, mail);
    struct bpi_work *work = step->work;
    __libc_free(step);
    work->run(work);
    work->on_done(work);
}

static int
step_submit(const struct bpi_executor *executor, struct bpi_loop *loop, struct bpi_work *work)
{
    (void)executor;
    struct inline_step *step = __libc_malloc(sizeof(*step));
    assert_non_null(step);
    step->mail.deliver = step_deliver;
    step->work = work;
    bpi_loop_defer(loop, &step->mail);
    return 0;
}

static const struct bpi_executor inline_executor = {.submit = step_submit};

/* The story: the client says "ping", the server answers "pong" and moves (to its own loop again), the
 * client closes, the server closes. */
struct actor {
    struct story *story;
    struct bpi_conn *conn;
    bool is_server;
    bool closed;
};

struct story {
    struct bpi_loop *loop;
    struct actor client;
    struct actor server;
    bool finished; /* the answer came */
};

static void end_story(struct story *story)
{
    struct actor *actors[2] = {&story->client, &story->server};
    for (int i = 0; i < 2; i++) {
        if (actors[i]->conn != NULL) {
            struct bpi_conn *conn = actors[i]->conn;
            actors[i]->conn = NULL;
            if (i == 0) {
                bpi_conn_close(conn);
            } else {
                bpi_conn_close_flushed(conn, BP_USEC_PER_SECOND);
            }
        }
    }
    bpi_loop_stop(story->loop);
}

static void say(struct actor *actor, const char *word)
{
    if (bpi_buffer_append(bpi_conn_out(actor->conn), word, 4) != 0) {
        end_story(actor->story);
        return;
    }
    bpi_conn_flush(actor->conn);
}

static void actor_on_open(struct bpi_conn *conn, void *user)
{
    struct actor *actor = user;
    actor->conn = conn;
    if (!actor->is_server) {
        say(actor, "ping");
    }
}

static void actor_on_data(struct bpi_conn *conn, void *user)
{
    struct actor *actor = user;
    struct bpi_buffer *in = bpi_conn_in(conn);
    if (bpi_buffer_size(in) < 4) {
        return;
    }
    bpi_buffer_consume(in, 4);
    if (!actor->is_server) {
        actor->story->finished = true;
        end_story(actor->story);
        return;
    }
    for (int i = 0; i < 2; i++) {
        bpi_conn_detach(conn);
        bpi_conn_attach(conn, actor->story->loop);
    }
    say(actor, "pong");
}

static void actor_on_close(struct bpi_conn *conn, void *user, int error)
{
    struct actor *actor = user;
    (void)conn;
    (void)error;
    end_story(actor->story);
}

static const struct bpi_conn_handler actor_handler = {
    .on_open = actor_on_open,
    .on_data = actor_on_data,
    .on_close = actor_on_close,
};

/* Returns whether it came to its good end. */
static bool tell(bool with_tls, const char *host, long nth, bool check_balance)
{
    uint16_t port = 0;
    int listener = tcp_listen(8, &port);
    struct story story = {0};
    story.client.story = &story;
    story.server.story = &story;
    story.server.is_server = true;
    allocations = 0;
    failing = nth;
    armed = true;
    long before = balance;
    if (bpi_loop_new(0, &story.loop) != 0) {
        armed = false;
        close(listener);
        assert_int_equal(balance, before);
        return false;
    }
    struct bpi_conn_options client = {.handler = &actor_handler,
                                      .user = &story.client,
                                      .tls = with_tls ? client_tls : NULL,
                                      .executor = &inline_executor,
                                      .host_name = "localhost",
                                      .open_timeout_us = 20 * BP_USEC_PER_SECOND};
    struct bpi_conn_options server = {.handler = &actor_handler,
                                      .user = &story.server,
                                      .tls = with_tls ? server_tls : NULL,
                                      .executor = &inline_executor,
                                      .tls_optional = true,
                                      .open_timeout_us = 20 * BP_USEC_PER_SECOND};
    int error = bpi_conn_connect(story.loop, host, port, &client, &story.client.conn);
    if (error == 0) {
        int fd = -1;
        if (strcmp(host, "127.0.0.1") == 0) {
            fd = accept(listener, NULL, NULL);
        } else {
            /* The name's connection is made once the loop runs; the server is a raw one here. */
            int fds[2];
            tcp_pair(fds);
            fd = fds[0];
            close(fds[1]);
        }
        error = bpi_conn_accept(story.loop, fd, &server, &story.server.conn);
    }
    if (error != 0) {
        end_story(&story);
    }
    bpi_loop_run(story.loop);
    bpi_loop_free(story.loop);
    armed = false;
    close(listener);
    if (check_balance) {
        assert_int_equal(balance, before);
    }
    return story.finished;
}

/* A name's addresses are allocated on a helper and freed here, so that story has no balance, nor a good
 * end: nobody answers it. */
static void fail_each(bool with_tls, const char *host, bool good_end)
{
    /* The first time the libraries keep what they have set up. */
    (void)tell(with_tls, host, 0, false);
    long count = allocations;
    assert_true(count > 5);
    for (long nth = 1; nth <= count; nth++) {
        (void)tell(with_tls, host, nth, good_end);
    }
    assert_int_equal(tell(with_tls, host, 0, good_end), good_end);
    print_message("%ld allocations failed in turn\n", count);
}

static void plain_story_survives_each_failed_allocation(void **state)
{
    (void)state;
    fail_each(false, "127.0.0.1", true);
}

static void tls_story_survives_each_failed_allocation(void **state)
{
    (void)state;
    fail_each(true, "127.0.0.1", true);
}

static void named_story_survives_each_failed_allocation(void **state)
{
    (void)state;
    fail_each(false, "localhost", false);
}

/* The three allocations that stand behind a move all fail: the connection tells so as an error. */
struct last_move {
    struct story story;
    int error;
};

static void last_on_open(struct bpi_conn *conn, void *user)
{
    struct last_move *last = user;
    armed = true;
    allocations = 0;
    failing = 1; /* the next spare, in the first attach */
    bpi_conn_detach(conn);
    bpi_conn_attach(conn, last->story.loop);
    failing = allocations + 1; /* in detach */
    bpi_conn_detach(conn);
    failing = allocations + 1; /* in attach */
    bpi_conn_attach(conn, last->story.loop);
    armed = false;
}

static void last_on_close(struct bpi_conn *conn, void *user, int error)
{
    struct last_move *last = user;
    last->error = error;
    bpi_conn_close(conn);
    bpi_loop_stop(last->story.loop);
}

static void move_without_memory_ends_with_an_error(void **state)
{
    (void)state;
    static const struct bpi_conn_handler handler = {.on_open = last_on_open,
                                                    .on_close = last_on_close};
    struct last_move last = {0};
    assert_int_equal(bpi_loop_new(0, &last.story.loop), 0);
    int fds[2];
    tcp_pair(fds);
    struct bpi_conn_options options = {.handler = &handler, .user = &last};
    struct bpi_conn *conn = NULL;
    assert_int_equal(bpi_conn_accept(last.story.loop, fds[0], &options, &conn), 0);
    bpi_loop_run(last.story.loop);
    bpi_loop_free(last.story.loop);
    assert_int_equal(last.error, BP_E_NO_MEMORY);
    close(fds[1]);
}

int main(void)
{
    uv_replace_allocator(__libc_malloc, __libc_realloc, __libc_calloc, __libc_free);
    CRYPTO_set_mem_functions(steady_openssl_malloc, steady_openssl_realloc, steady_openssl_free);
    const struct CMUnitTest tests[] = {
        NET_TEST(plain_story_survives_each_failed_allocation),
        NET_TEST(tls_story_survives_each_failed_allocation),
        NET_TEST(named_story_survives_each_failed_allocation),
        NET_TEST(move_without_memory_ends_with_an_error),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}

#endif
