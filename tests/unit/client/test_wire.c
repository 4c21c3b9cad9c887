/* The client against servers that lie: what they will say is written ahead, as hex, whatever they are asked. Nothing is
 * taken for a success that wasn't said to be one.
 */
#include "client/client.h"
#include "support.h"

#include <sys/socket.h>

/* The version 5.4, and "SUCCESS {}" to HELLO and LOGON. */
#define WELCOME "00000405 0003B170A00000 0003B170A00000 "
#define SUCCESS "0003B170A00000 "
#define IGNORED "0002B17E0000 "
/* {fields: ["x"]} and {has_more: true} */
#define FIELDS   "000DB170A1 866669656C6473 918178 0000 "
#define HAS_MORE "000DB170A1 886861735F6D6F7265 C3 0000 "
#define ROW_1    "0004B171 9101 0000 "

static void say(int fd, const char *hex)
{
    uint8_t bytes[4096];
    size_t size = 0;
    for (const char *at = hex; *at != '\0'; at++) {
        if (*at == ' ') {
            continue;
        }
        char pair[3] = {at[0], at[1], '\0'};
        bytes[size++] = (uint8_t)strtoul(pair, NULL, 16);
        at++;
    }
    assert_int_equal(write(fd, bytes, size), (ssize_t)size);
}

struct liar {
    struct bpi_client_settings *settings;
    struct bp_bolt *bolt;
    struct bp_failure failure;
    int fd;
    int error;
};

/* A server that says `hex` and then nothing more. */
static struct liar meet(const char *hex)
{
    struct liar liar = {0};
    struct bp_bolt_config config;
    char text[256];
    int ends[2];
    bp_bolt_config_init(&config);
    config.url = "bolt://127.0.0.1:1";
    config.fetch_size = 2;
    assert_int_equal(bpi_client_settings_new(&config, &liar.settings, text, sizeof(text)), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    say(ends[1], hex);
    shutdown(ends[1], SHUT_WR);
    liar.fd = ends[1];
    struct bpi_channel channel = {.fd = ends[0]};
    struct bpi_client *client;
    struct bpi_bolt_span token = {bpi_buffer_head(&liar.settings->token),
                                  bpi_buffer_size(&liar.settings->token)};
    liar.error = bpi_client_adopt(liar.settings, &channel, token, 0, &client, &liar.failure);
    liar.bolt = liar.error == 0 ? bpi_client_handle(client) : NULL;
    return liar;
}

static void part(struct liar *liar)
{
    bp_bolt_close(liar->bolt);
    bpi_client_settings_unref(liar->settings);
    close(liar->fd);
}

static void a_truthful_one_is_believed(void **state)
{
    (void)state;
    struct liar liar =
        meet(WELCOME FIELDS ROW_1 HAS_MORE ROW_1 SUCCESS SUCCESS FIELDS SUCCESS SUCCESS);
    assert_int_equal(liar.error, 0);
    int64_t rows, sum;
    struct bp_result *result = run(liar.bolt, "RETURN 1 AS x");
    assert_int_equal(drain(result, &rows, &sum), 0);
    assert_int_equal(rows, 2);
    assert_int_equal(bp_result_free(result), 0);
    assert_int_equal(bp_bolt_begin(liar.bolt, NULL), 0);
    assert_int_equal(bp_result_free(run(liar.bolt, "RETURN 1 AS x")), 0);
    assert_int_equal(bp_bolt_commit(liar.bolt), 0);
    part(&liar);
}

static void a_commit_that_is_ignored_is_no_success(void **state)
{
    (void)state;
    /* The query's PULL fails, and COMMIT with it: but the server doesn't say that PULL failed. */
    struct liar liar = meet(WELCOME SUCCESS IGNORED);
    assert_int_equal(bp_bolt_begin(liar.bolt, NULL), 0);
    assert_true(bp_bolt_commit(liar.bolt) != 0);
    assert_true(bp_bolt_failure(liar.bolt)->error != 0);
    part(&liar);
}

static void a_begin_that_is_ignored_is_no_transaction(void **state)
{
    (void)state;
    struct liar liar = meet(WELCOME IGNORED);
    assert_true(bp_bolt_begin(liar.bolt, NULL) != 0);
    assert_true(bp_bolt_failure(liar.bolt)->error != 0);
    part(&liar);
}

/* Each of these makes the connection useless, with an error. */
static void nonsense_ends_the_connection(void **state)
{
    (void)state;
    static const char *const lies[] = {
        WELCOME ROW_1,                          /* a row before anything was run */
        WELCOME FIELDS SUCCESS ROW_1,           /* a row behind the end: seen by the next query */
        WELCOME SUCCESS,                        /* no columns */
        WELCOME FIELDS "0005B171 920101 0000 ", /* two values for one column */
        WELCOME FIELDS "0004B171 01 01 0000 ",  /* no list */
        WELCOME FIELDS "0004B171 91 C4 0000 ",  /* a reserved marker */
        WELCOME FIELDS "0006B171 91 D1FFFF 0000 ", /* a text of 65,535 bytes that ends at once */
        WELCOME "0005B170 A1 8161 0000 ",          /* a map without its value */
        WELCOME "0002B00F 0000 ",                  /* a request */
        WELCOME IGNORED,                           /* nothing had failed */
        WELCOME "FFFF",                            /* cut */
        WELCOME,                                   /* silence */
    };
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        struct liar liar = meet(lies[i]);
        assert_int_equal(liar.error, 0);
        struct bp_result *result;
        int64_t rows, sum;
        int error = bp_bolt_run(liar.bolt, "RETURN 1 AS x", NULL, NULL, &result);
        if (error == 0) {
            error = drain(result, &rows, &sum);
            int freed = bp_result_free(result);
            error = error != 0 ? error : freed;
        }
        if (error == 0) {
            error = bp_bolt_reset(liar.bolt, 0);
        }
        assert_true(error < 0);
        assert_int_equal(bp_bolt_get_state(liar.bolt), BP_BOLT_LOST);
        assert_int_equal(bp_bolt_reset(liar.bolt, 0), BP_E_SERVER_LOST);
        part(&liar);
    }
}

static void no_bolt_server_is_told_apart(void **state)
{
    (void)state;
    struct liar liar = meet("00000000");
    assert_int_equal(liar.error, BP_E_VERSION);
    part(&liar);
    liar = meet("48545450 2F312E31"); /* HTTP/1.1 */
    assert_int_equal(liar.error, BP_E_HANDSHAKE);
    assert_non_null(strstr(liar.failure.text, "Bolt"));
    part(&liar);
    liar = meet("");
    assert_int_equal(liar.error, BP_E_SERVER_LOST);
    part(&liar);
    liar = meet("00000405 " IGNORED);
    assert_true(liar.error < 0);
    part(&liar);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_truthful_one_is_believed),
        cmocka_unit_test(a_commit_that_is_ignored_is_no_success),
        cmocka_unit_test(a_begin_that_is_ignored_is_no_transaction),
        cmocka_unit_test(nonsense_ends_the_connection),
        cmocka_unit_test(no_bolt_server_is_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
