/* Input: a byte that chooses a version and the limits, then one message's payload. Shown: every part
 * that a reader returns lies inside the message, maps that were accepted can be read and extended,
 * and a RUN that is written again reads the same.
 */
#include "bolt/message.h"

#include "bolt/chunk.h"

#include <boltpool/error.h>

#include "tests/fuzz/fuzz.h"

struct range {
    const uint8_t *begin, *end;
};

static void check_span(struct range range, struct bpi_bolt_span span)
{
    if (span.data != NULL) {
        FUZZ_CHECK(span.data >= range.begin && span.size > 0);
        FUZZ_CHECK(span.size <= (size_t)(range.end - span.data));
    }
}

static void check_text(struct range range, struct bpi_bolt_text text)
{
    if (text.data != NULL) {
        const uint8_t *data = (const uint8_t *)text.data;
        FUZZ_CHECK(data >= range.begin && data <= range.end);
        FUZZ_CHECK(text.size <= (size_t)(range.end - data));
    }
}

static void check_extending(struct bpi_bolt_span map)
{
    static const char *const keys[] = {"a key that no seed has"};
    static const uint8_t one[] = {0x01};
    struct bpi_bolt_span value = {one, sizeof(one)};
    const uint8_t *found;
    size_t found_size;
    if (bpi_pack_map_find(map.data, map.size, keys[0], &found, &found_size) != 0) {
        return;
    }
    struct bpi_buffer out = {0};
    int error = bpi_bolt_map_extend(&out, map, 1, keys, &value);
    FUZZ_CHECK(error == 0);
    int have = bpi_pack_map_find(bpi_buffer_head(&out), bpi_buffer_size(&out), keys[0], &found,
                                 &found_size);
    FUZZ_CHECK(have == 1 && found_size == 1 && *found == 1);
    bpi_buffer_done(&out);
}

static void check_extra(struct range range, struct bpi_bolt_span extra, bpi_bolt_version version)
{
    struct bpi_bolt_tx_extra tx;
    if (bpi_bolt_tx_extra_read(extra, &tx) == 0) {
        check_text(range, tx.db);
        check_text(range, tx.imp_user);
        check_span(range, tx.metadata);
        FUZZ_CHECK(tx.timeout_ms >= -1);
    }
    struct bpi_bolt_auth auth;
    if (bpi_bolt_auth_read(extra, &auth) == 0) {
        check_text(range, auth.scheme);
        check_text(range, auth.principal);
        check_text(range, auth.credentials);
        check_text(range, auth.realm);
    }
    struct bpi_bolt_hello hello;
    int read = bpi_bolt_hello_read(extra, &hello);
    if (read == 0) {
        check_text(range, hello.user_agent);
        check_text(range, hello.routing_address);
        check_span(range, hello.bolt_agent);
        check_span(range, hello.severity);
        check_span(range, hello.disabled);
    }
    const char *reason = NULL;
    int check = bpi_bolt_hello_check(extra, version, &reason);
    FUZZ_CHECK((check == 0) == (reason == NULL));
    /* What the check lets through can be read, up to the routing map's own duplicates. */
    FUZZ_CHECK(check != 0 || read == 0 || read == BP_E_PROTOCOL || read == BP_E_TYPE);
    int64_t n;
    int64_t qid;
    (void)!bpi_bolt_fetch_read(extra, &n, &qid);
    check_extending(extra);
}

static bool spans_equal(struct bpi_bolt_span left, struct bpi_bolt_span right)
{
    return left.size == right.size && memcmp(left.data, right.data, left.size) == 0;
}

static void check_run(const struct bpi_bolt_request *run, bpi_bolt_version version)
{
    struct bpi_buffer out = {0};
    struct bpi_chunk_reader reader = {0};
    int error = bpi_bolt_write_run(&out, run->query, run->parameters, run->extra);
    FUZZ_CHECK(error == 0);
    int event = bpi_chunk_read(&reader, &out, SIZE_MAX);
    FUZZ_CHECK(event == BPI_CHUNK_MESSAGE);
    struct bpi_bolt_request again;
    const uint8_t *payload = bpi_buffer_head(&reader.message);
    size_t size = bpi_buffer_size(&reader.message);
    error = bpi_bolt_request_read(payload, size, version, &bpi_pack_limits_open, &again);
    FUZZ_CHECK(error == 0 && again.query.size == run->query.size);
    FUZZ_CHECK(memcmp(again.query.data, run->query.data, run->query.size) == 0);
    FUZZ_CHECK(spans_equal(again.parameters, run->parameters));
    FUZZ_CHECK(spans_equal(again.extra, run->extra));
    bpi_chunk_reader_done(&reader);
    bpi_buffer_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const bpi_bolt_version versions[] = {BPI_BOLT(4, 1), BPI_BOLT(4, 3), BPI_BOLT(5, 4),
                                                BPI_BOLT(6, 1)};
    uint8_t choice = fuzz_byte(&data, &size);
    bpi_bolt_version version = versions[choice & 3];
    const struct bpi_pack_limits *limits =
        (choice & 4) != 0 ? &bpi_pack_limits_login : &bpi_pack_limits_open;
    uint8_t *copy = fuzz_copy(data, size);
    struct range range = {copy, copy + size};

    struct bpi_bolt_request request;
    int error = bpi_bolt_request_read(copy, size, version, limits, &request);
    if (error == 0) {
        FUZZ_CHECK(bpi_bolt_tag_is_request(request.tag, version));
        check_text(range, request.query);
        check_span(range, request.parameters);
        check_span(range, request.extra);
        check_span(range, request.bookmarks);
        check_span(range, request.route_db);
        if (request.extra.data != NULL) {
            check_extra(range, request.extra, version);
        }
        if (request.tag == BPI_BOLT_RUN) {
            check_run(&request, version);
        }
    } else {
        FUZZ_CHECK(request.query.data == NULL && request.extra.data == NULL);
    }
    struct bpi_bolt_answer answer;
    if (bpi_bolt_answer_read(copy, size, &answer) == 0) {
        FUZZ_CHECK(error == BP_E_UNEXPECTED);
        check_span(range, answer.meta);
        check_text(range, answer.code);
        check_text(range, answer.message);
    }
    free(copy);
    return 0;
}
