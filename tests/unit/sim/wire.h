/* A blocking Bolt client for tests of servers: what to send is written as words, what comes is told as
 * words, so that a test is a script of both.
 *
 * wire_send() takes requests by commas and writes them in one go; wire_take() reads until so many
 * summaries came or the connection ended, and tells them as "SUCCESS RECORD:7F.. FAILURE:Neo...".
 */
#ifndef TESTS_UNIT_SIM_WIRE_H
#define TESTS_UNIT_SIM_WIRE_H

#include "base/buffer.h"
#include "base/clock.h"
#include "bolt/chunk.h"
#include "bolt/message.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

#define WIRE_TOLD_SIZE 4096

struct wire {
    int fd;
    bpi_bolt_version version;
    struct bpi_buffer in;
    struct bpi_buffer out;
    struct bpi_chunk_reader reader;
    uint32_t noops;
    char told[WIRE_TOLD_SIZE];
    struct bpi_buffer meta; /* of the last SUCCESS, FAILURE or RECORD */
};

static inline void wire_close(struct wire *wire)
{
    if (wire->fd >= 0) {
        close(wire->fd);
    }
    wire->fd = -1;
    bpi_buffer_done(&wire->in);
    bpi_buffer_done(&wire->out);
    bpi_buffer_done(&wire->meta);
    bpi_chunk_reader_done(&wire->reader);
}

/* False when nobody listens. */
static inline bool wire_try_connect(struct wire *wire, uint16_t port)
{
    *wire = (struct wire){.fd = socket(AF_INET, SOCK_STREAM, 0)};
    assert_true(wire->fd >= 0);
    struct timeval limit = {.tv_sec = 20};
    setsockopt(wire->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(wire->fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        wire_close(wire);
        return false;
    }
    return true;
}

static inline void wire_connect(struct wire *wire, uint16_t port)
{
    assert_true(wire_try_connect(wire, port));
}

static inline void wire_write(struct wire *wire, const void *data, size_t size)
{
    while (size > 0) {
        ssize_t sent = send(wire->fd, data, size, MSG_NOSIGNAL);
        if (sent <= 0) {
            return; /* the reader will tell EOF */
        }
        data = (const char *)data + sent;
        size -= (size_t)sent;
    }
}

/* Reads `size` raw bytes; returns how many came before the end. */
static inline size_t wire_read(struct wire *wire, void *into, size_t size)
{
    size_t have = 0;
    while (have < size) {
        ssize_t got = recv(wire->fd, (char *)into + have, size - have, 0);
        if (got <= 0) {
            break;
        }
        have += (size_t)got;
    }
    return have;
}

/* The classic handshake for one exact version. */
static inline void wire_handshake(struct wire *wire, bpi_bolt_version version)
{
    uint8_t hello[20] = {0x60, 0x60, 0xb0, 0x17};
    uint8_t answer[4];
    hello[6] = (uint8_t)(version & 0xff);
    hello[7] = (uint8_t)(version >> 8);
    wire_write(wire, hello, sizeof(hello));
    assert_int_equal(wire_read(wire, answer, 4), 4);
    assert_int_equal(answer[3] << 8 | answer[2], version);
    wire->version = version;
}

static inline void wire_map(struct bpi_buffer *map, size_t pairs, const char *const *texts)
{
    struct bpi_pack_writer writer;
    bpi_pack_writer_init(&writer, map);
    bpi_pack_map(&writer, pairs);
    for (size_t i = 0; i < 2 * pairs; i++) {
        bpi_pack_text(&writer, texts[i]);
    }
    assert_int_equal(writer.status, 0);
}

static inline struct bpi_bolt_span wire_span(const struct bpi_buffer *buffer)
{
    return (struct bpi_bolt_span){bpi_buffer_head(buffer), bpi_buffer_size(buffer)};
}

/* HELLO as `version` has it; with a token in it up to 5.0. */
static inline void wire_put_hello(struct wire *wire, const char *user, const char *password)
{
    struct bpi_buffer map = {0};
    struct bpi_pack_writer writer;
    bool agent = bpi_bolt_has_bolt_agent(wire->version);
    bool login = !bpi_bolt_has_logon(wire->version);
    bpi_pack_writer_init(&writer, &map);
    bpi_pack_map(&writer, 1 + (size_t)agent + (login ? 3 : 0));
    bpi_pack_text(&writer, "user_agent");
    bpi_pack_text(&writer, "test/1");
    if (agent) {
        bpi_pack_text(&writer, "bolt_agent");
        bpi_pack_map(&writer, 1);
        bpi_pack_text(&writer, "product");
        bpi_pack_text(&writer, "test/1");
    }
    if (login) {
        const char *const pairs[] = {"scheme", "basic", "principal", user, "credentials", password};
        for (size_t i = 0; i < 6; i++) {
            bpi_pack_text(&writer, pairs[i]);
        }
    }
    assert_int_equal(writer.status, 0);
    assert_int_equal(bpi_bolt_write_map(&wire->out, BPI_BOLT_HELLO, wire_span(&map)), 0);
    bpi_buffer_done(&map);
}

static inline void wire_put_logon(struct wire *wire, const char *user, const char *password)
{
    struct bpi_buffer map = {0};
    const char *const pairs[] = {"scheme", "basic", "principal", user, "credentials", password};
    wire_map(&map, 3, pairs);
    assert_int_equal(bpi_bolt_write_map(&wire->out, BPI_BOLT_LOGON, wire_span(&map)), 0);
    bpi_buffer_done(&map);
}

static inline void wire_put_run(struct wire *wire, const char *query, struct bpi_bolt_span extra)
{
    struct bpi_bolt_text text = {query, strlen(query)};
    assert_int_equal(bpi_bolt_write_run(&wire->out, text, (struct bpi_bolt_span){0}, extra), 0);
}

static inline void wire_flush(struct wire *wire)
{
    wire_write(wire, bpi_buffer_head(&wire->out), bpi_buffer_size(&wire->out));
    bpi_buffer_clear(&wire->out);
}

static inline void wire_put_word(struct wire *wire, const char *word)
{
    static const struct {
        const char *word;
        uint8_t tag;
    } simple[] = {
        {"COMMIT", BPI_BOLT_COMMIT}, {"ROLLBACK", BPI_BOLT_ROLLBACK}, {"RESET", BPI_BOLT_RESET},
        {"LOGOFF", BPI_BOLT_LOGOFF}, {"GOODBYE", BPI_BOLT_GOODBYE},
    };
    const struct bpi_bolt_span none = {0};
    for (size_t i = 0; i < sizeof(simple) / sizeof(simple[0]); i++) {
        if (strcmp(word, simple[i].word) == 0) {
            assert_int_equal(bpi_bolt_write_simple(&wire->out, simple[i].tag), 0);
            return;
        }
    }
    long number = -1;
    const char *colon = strchr(word, ':');
    if (colon != NULL) {
        number = strtol(colon + 1, NULL, 10);
    }
    const char *second = colon == NULL ? NULL : strchr(colon + 1, ':');
    long qid = second == NULL ? -1 : strtol(second + 1, NULL, 10);
    if (strncmp(word, "PULL", 4) == 0) {
        assert_int_equal(bpi_bolt_write_fetch(&wire->out, BPI_BOLT_PULL, number, qid), 0);
    } else if (strncmp(word, "DISCARD", 7) == 0) {
        assert_int_equal(bpi_bolt_write_fetch(&wire->out, BPI_BOLT_DISCARD, number, qid), 0);
    } else if (strcmp(word, "BEGIN") == 0) {
        assert_int_equal(bpi_bolt_write_map(&wire->out, BPI_BOLT_BEGIN, none), 0);
    } else if (strcmp(word, "HELLO") == 0) {
        wire_put_hello(wire, "neo4j", "secret12");
    } else if (strcmp(word, "LOGON") == 0) {
        wire_put_logon(wire, "neo4j", "secret12");
    } else if (strcmp(word, "ROUTE") == 0) {
        static const uint8_t map_form[] = {0xb3, 0x66, 0xa0, 0x90, 0xa0};
        static const uint8_t text_form[] = {0xb3, 0x66, 0xa0, 0x90, 0xc0};
        bool map = bpi_bolt_has_route_map(wire->version);
        assert_int_equal(bpi_chunk_write(&wire->out, map ? map_form : text_form, 5), 0);
    } else if (strncmp(word, "TELEMETRY", 9) == 0) {
        uint8_t message[] = {0xb1, 0x54, (uint8_t)(number < 0 ? 0 : number)};
        assert_int_equal(bpi_chunk_write(&wire->out, message, 3), 0);
    } else if (strncmp(word, "RUN", 3) == 0) {
        wire_put_run(wire, colon == NULL ? "RETURN 1" : colon + 1, none);
    } else {
        fail_msg("no such word: %s", word);
    }
}

/* Words by ";": HELLO, LOGON, RUN, RUN:<query>, PULL:<n>:<qid>, BEGIN, COMMIT, RESET ... */
static inline void wire_send(struct wire *wire, const char *words)
{
    char copy[2048];
    snprintf(copy, sizeof(copy), "%s", words);
    char *rest = copy;
    char *word;
    while ((word = strsep(&rest, ";")) != NULL) {
        word += strspn(word, " ");
        wire_put_word(wire, word);
    }
    wire_flush(wire);
}

static inline void wire_tell(struct wire *wire, const char *format, ...) BP_PRINTF(2, 3);
static inline void wire_tell(struct wire *wire, const char *format, ...)
{
    size_t used = strlen(wire->told);
    va_list args;
    va_start(args, format);
    vsnprintf(wire->told + used, sizeof(wire->told) - used, format, args);
    va_end(args);
}

/* Reads the next message's payload into reader.message; false at the end. */
static inline bool wire_next(struct wire *wire)
{
    for (;;) {
        int event = bpi_chunk_read(&wire->reader, &wire->in, SIZE_MAX);
        assert_true(event >= 0);
        if (event == BPI_CHUNK_MESSAGE) {
            return true;
        }
        if (event == BPI_CHUNK_NOOP) {
            wire->noops++;
            continue;
        }
        char bytes[65536];
        ssize_t got = recv(wire->fd, bytes, sizeof(bytes), 0);
        if (got <= 0) {
            return false;
        }
        assert_int_equal(bpi_buffer_append(&wire->in, bytes, (size_t)got), 0);
    }
}

/* Reads up to `summaries` summaries and tells what came: "SUCCESS", "RECORD", "IGNORED",
 * "FAILURE:<code without Neo.>", "EOF", by blanks. */
static inline const char *wire_take(struct wire *wire, int summaries)
{
    wire->told[0] = '\0';
    while (summaries > 0) {
        const char *space = wire->told[0] == '\0' ? "" : " ";
        if (!wire_next(wire)) {
            wire_tell(wire, "%sEOF", space);
            break;
        }
        struct bpi_bolt_answer answer;
        assert_int_equal(bpi_bolt_answer_read(bpi_buffer_head(&wire->reader.message),
                                              bpi_buffer_size(&wire->reader.message), &answer),
                         0);
        bpi_buffer_clear(&wire->meta);
        if (answer.meta.data != NULL) {
            assert_int_equal(bpi_buffer_append(&wire->meta, answer.meta.data, answer.meta.size), 0);
        }
        summaries -= answer.tag != BPI_BOLT_RECORD;
        if (answer.tag == BPI_BOLT_FAILURE) {
            assert_true(answer.code.size > 4);
            wire_tell(wire, "%sFAILURE:%.*s", space, (int)answer.code.size - 4,
                      answer.code.data + 4);
        } else {
            wire_tell(wire, "%s%s%s", space, bpi_bolt_tag_name(answer.tag),
                      answer.has_more ? "+" : "");
        }
    }
    return wire->told;
}

/* Sends words and checks what is told for that many summaries. */
#define wire_expect(wire, words, summaries, told_expected)                                         \
    do {                                                                                           \
        wire_send((wire), (words));                                                                \
        assert_string_equal(wire_take((wire), (summaries)), (told_expected));                      \
    } while (0)

/* Connects and logs on. */
static inline void wire_open(struct wire *wire, uint16_t port, bpi_bolt_version version)
{
    wire_connect(wire, port);
    wire_handshake(wire, version);
    if (bpi_bolt_has_logon(version)) {
        wire_expect(wire, "HELLO; LOGON", 2, "SUCCESS SUCCESS");
    } else {
        wire_expect(wire, "HELLO", 1, "SUCCESS");
    }
}

/* The value of `key` in the last map that came, as text: a string, an integer, "true", "null", "[n]" for
 * a list or map of n; "" when it isn't there. */
static inline const char *wire_meta(struct wire *wire, const char *key)
{
    static char text[1024];
    const uint8_t *value;
    size_t size;
    text[0] = '\0';
    if (bpi_pack_map_find(bpi_buffer_head(&wire->meta), bpi_buffer_size(&wire->meta), key, &value,
                          &size) != 1) {
        return text;
    }
    struct bpi_pack_reader reader;
    struct bpi_pack_item item;
    bpi_pack_reader_init(&reader, value, size);
    assert_int_equal(bpi_pack_next(&reader, &item), 0);
    if (item.type == BPI_PACK_STRING) {
        snprintf(text, sizeof(text), "%.*s", (int)item.size, (const char *)item.data);
    } else if (item.type == BPI_PACK_INT) {
        snprintf(text, sizeof(text), "%lld", (long long)item.integer);
    } else if (item.type == BPI_PACK_BOOL) {
        snprintf(text, sizeof(text), "%s", item.boolean ? "true" : "false");
    } else if (item.type == BPI_PACK_LIST || item.type == BPI_PACK_MAP) {
        snprintf(text, sizeof(text), "[%u]", (unsigned)item.count);
    } else {
        snprintf(text, sizeof(text), "null");
    }
    return text;
}

#endif
