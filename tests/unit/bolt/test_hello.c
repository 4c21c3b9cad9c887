/* Shows that our own HELLO has what its version wants, and is one that servers accept. */
#include "bolt/hello.h"

#include "bolt/chunk.h"

#include "tests/unit/bolt/bytes.h"

static struct bpi_url url_of(const char *text)
{
    struct bpi_url url;
    char why[128];
    assert_int_equal(bpi_url_parse(text, &url, why, sizeof(why)), 0);
    return url;
}

/* The map of the HELLO that is written, as a span of `reader`, which the caller frees. */
static struct bpi_bolt_span write_hello(const struct bpi_bolt_greeting *greeting,
                                        struct bpi_chunk_reader *reader)
{
    struct bpi_buffer out = {0};
    struct bpi_bolt_request request;
    assert_int_equal(bpi_bolt_write_hello(&out, greeting), 0);
    assert_int_equal(bpi_chunk_read(reader, &out, 65536), BPI_CHUNK_MESSAGE);
    assert_int_equal(bpi_buffer_size(&out), 0);
    bpi_buffer_done(&out);
    assert_int_equal(bpi_bolt_request_read(bpi_buffer_head(&reader->message),
                                           bpi_buffer_size(&reader->message), greeting->version,
                                           &bpi_pack_limits_login, &request),
                     0);
    assert_int_equal(request.tag, BPI_BOLT_HELLO);
    return request.extra;
}

static void servers_accept_it_in_every_version(void **state)
{
    (void)state;
    struct bpi_url url = url_of("neo4j://db.example:7000");
    struct bytes token = bytes_of("A2 86736368656D65 856261736963 897072696E636970616C 83616E6E");
    for (bpi_bolt_versions left = bpi_bolt_versions_all(); left != 0;) {
        bpi_bolt_version version = bpi_bolt_versions_newest(left);
        left &= ~bpi_bolt_versions_of(version);
        struct bpi_bolt_greeting greeting = {
            .version = version, .user_agent = "app/1", .url = &url, .utc_patch = true};
        if (!bpi_bolt_has_logon(version)) {
            greeting.token = (struct bpi_bolt_span){token.data, token.size};
        }
        struct bpi_chunk_reader reader = {0};
        const char *reason = NULL;
        struct bpi_bolt_span map = write_hello(&greeting, &reader);
        struct bpi_bolt_hello hello;
        assert_int_equal(bpi_bolt_hello_check(map, version, &reason), 0);
        assert_int_equal(bpi_bolt_hello_read(map, &hello), 0);
        assert_true(bpi_bolt_text_is(hello.user_agent, "app/1"));
        assert_true(bpi_bolt_text_is(hello.routing_address, "db.example:7000"));
        assert_int_equal(hello.patch_utc, bpi_bolt_has_patch(version));
        assert_int_equal(hello.bolt_agent.data != NULL, bpi_bolt_has_bolt_agent(version));
        assert_int_equal(bpi_bolt_text_is(bpi_bolt_map_text(map, "principal"), "ann"),
                         !bpi_bolt_has_logon(version));
        assert_null(hello.severity.data);
        bpi_chunk_reader_done(&reader);
    }
    bytes_free(&token);
}

static void a_filter_goes_under_the_key_of_its_version(void **state)
{
    (void)state;
    static const bpi_bolt_version versions[] = {BPI_BOLT(5, 4), BPI_BOLT(5, 8)};
    struct bpi_url url = url_of("bolt://h");
    struct bytes list = bytes_of("91 8448494E54");
    for (size_t i = 0; i < 2; i++) {
        struct bpi_bolt_greeting greeting = {
            .version = versions[i],
            .user_agent = "app/1",
            .url = &url,
            .min_severity = "WARNING",
            .disabled = {list.data, list.size},
        };
        struct bpi_chunk_reader reader = {0};
        struct bpi_bolt_hello hello;
        struct bpi_bolt_span map = write_hello(&greeting, &reader);
        assert_int_equal(bpi_bolt_hello_read(map, &hello), 0);
        assert_false(hello.has_routing);
        assert_int_equal(hello.severity.size, 8);
        assert_int_equal(hello.disabled.size, list.size);
        assert_int_equal(hello.disabled_is_classifications, i == 1);
        bpi_chunk_reader_done(&reader);
    }
    bytes_free(&list);
}

static void an_ipv6_address_stands_in_brackets(void **state)
{
    (void)state;
    struct bpi_url url = url_of("neo4j://[2001:db8::1]:7001");
    struct bpi_bolt_greeting greeting = {
        .version = BPI_BOLT(5, 8), .user_agent = "app/1", .url = &url};
    struct bpi_chunk_reader reader = {0};
    struct bpi_bolt_hello hello;
    assert_int_equal(bpi_bolt_hello_read(write_hello(&greeting, &reader), &hello), 0);
    assert_true(bpi_bolt_text_is(hello.routing_address, "[2001:db8::1]:7001"));
    bpi_chunk_reader_done(&reader);
}

static void a_token_that_is_no_map_is_refused(void **state)
{
    (void)state;
    struct bpi_url url = url_of("bolt://h");
    struct bytes token = bytes_of("01");
    struct bpi_bolt_greeting greeting = {.version = BPI_BOLT(4, 4),
                                         .user_agent = "app/1",
                                         .url = &url,
                                         .token = {token.data, token.size}};
    struct bpi_buffer out = {0};
    assert_true(bpi_bolt_write_hello(&out, &greeting) < 0);
    assert_int_equal(bpi_buffer_size(&out), 0);
    bpi_buffer_done(&out);
    bytes_free(&token);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(servers_accept_it_in_every_version),
        cmocka_unit_test(a_filter_goes_under_the_key_of_its_version),
        cmocka_unit_test(an_ipv6_address_stands_in_brackets),
        cmocka_unit_test(a_token_that_is_no_map_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
