/* The library's client against a server that says anything: the input is what the server sends, whatever it is asked. It
 * logs on, runs queries in and outside a transaction, reads rows in place, and ends as a caller would.
 */
#include "client/client.h"
#include "fuzz.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* What a socket holds without anybody reading. */
#define INPUT_MAX ((size_t)65536)

static struct bpi_client_settings *settings_of_test(void)
{
    static struct bpi_client_settings *settings;
    if (settings == NULL) {
        struct bp_bolt_config config;
        char text[256];
        bp_bolt_config_init(&config);
        config.url = "bolt://ann:secret12@127.0.0.1:1";
        config.fetch_size = 3;
        config.message_max = 32768;
        FUZZ_CHECK(bpi_client_settings_new(&config, &settings, text, sizeof(text)) == 0);
    }
    return settings;
}

static void read_result(struct bp_result *result)
{
    const struct bp_value *row;
    while (bp_result_next(result, &row) == 1) {
        for (size_t i = 0; i < bp_result_columns(result); i++) {
            char text[64];
            FUZZ_CHECK(bp_value_format(&row[i], text, sizeof(text)) >= 0);
        }
    }
}

static void use(struct bp_bolt *bolt)
{
    struct bp_result *result, *other;
    struct bp_summary summary;
    struct bp_notification notification;
    if (bp_bolt_run(bolt, "RETURN 1", NULL, NULL, &result) == 0) {
        read_result(result);
        if (bp_result_summary(result, &summary) == 0) {
            for (size_t i = 0; i < summary.notifications && i < 100; i++) {
                FUZZ_CHECK(bp_result_notification(result, i, &notification) == 0);
            }
        }
        (void)bp_result_free(result);
    }
    if (bp_bolt_begin(bolt, NULL) == 0) {
        if (bp_bolt_run(bolt, "RETURN 2", NULL, NULL, &result) == 0) {
            if (bp_bolt_run(bolt, "RETURN 3", NULL, NULL, &other) == 0) {
                read_result(other);
                (void)bp_result_free(other);
            }
            read_result(result);
            (void)bp_result_free(result);
        }
        if (bp_bolt_get_state(bolt) == BP_BOLT_FAILED) {
            (void)bp_bolt_rollback(bolt);
        } else if (bp_bolt_commit(bolt) != 0) {
            FUZZ_CHECK(bp_bolt_failure(bolt)->error != 0);
        }
    }
    if (bp_bolt_reset(bolt, BP_USEC_PER_SECOND) != 0) {
        FUZZ_CHECK(bp_bolt_get_state(bolt) == BP_BOLT_LOST);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int ends[2];
    if (size > INPUT_MAX) {
        return 0;
    }
    struct bpi_client_settings *settings = settings_of_test();
    FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    FUZZ_CHECK(write(ends[1], data, size) == (ssize_t)size);
    shutdown(ends[1], SHUT_WR);
    struct bpi_channel channel = {.fd = ends[0]};
    struct bpi_client *client;
    struct bp_failure failure;
    struct bpi_bolt_span token = {bpi_buffer_head(&settings->token),
                                  bpi_buffer_size(&settings->token)};
    if (bpi_client_adopt(settings, &channel, token, 0, &client, &failure) == 0) {
        struct bp_bolt *bolt = bpi_client_handle(client);
        use(bolt);
        bp_bolt_close(bolt);
    } else {
        FUZZ_CHECK(failure.error != 0);
    }
    close(ends[1]);
    return 0;
}
