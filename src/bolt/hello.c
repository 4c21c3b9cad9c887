/* See hello.h. */
#include "bolt/hello.h"

#include <boltpool/version.h>

#include <stdio.h>
#include <string.h>

/* What speaks, whoever it speaks for. */
#define PRODUCT "boltpool/" BP_VERSION_STRING

const char *bpi_bolt_disabled_key(bpi_bolt_version version)
{
    return bpi_bolt_has_classifications(version) ? "notifications_disabled_classifications"
                                                 : "notifications_disabled_categories";
}

void bpi_bolt_put_routing(struct bpi_pack_writer *writer, const struct bpi_url *url)
{
    char address[300];
    bool is_ip6 = strchr(url->host, ':') != NULL;
    snprintf(address, sizeof(address), is_ip6 ? "[%s]:%u" : "%s:%u", url->host,
             (unsigned)url->port);
    bpi_pack_text(writer, "routing");
    bpi_pack_map(writer, 1);
    bpi_pack_text(writer, "address");
    bpi_pack_text(writer, address);
}

static void put_agents(struct bpi_pack_writer *writer, const struct bpi_bolt_greeting *greeting)
{
    bpi_pack_text(writer, "user_agent");
    bpi_pack_text(writer, greeting->user_agent);
    if (bpi_bolt_has_bolt_agent(greeting->version)) {
        bpi_pack_text(writer, "bolt_agent");
        bpi_pack_map(writer, 2);
        bpi_pack_text(writer, "product");
        bpi_pack_text(writer, PRODUCT);
        bpi_pack_text(writer, "language");
        bpi_pack_text(writer, "C");
    }
}

static void put_notifications(struct bpi_pack_writer *writer,
                              const struct bpi_bolt_greeting *greeting)
{
    if (greeting->min_severity != NULL) {
        bpi_pack_text(writer, "notifications_minimum_severity");
        bpi_pack_text(writer, greeting->min_severity);
    }
    if (greeting->disabled.data != NULL) {
        bpi_pack_text(writer, bpi_bolt_disabled_key(greeting->version));
        bpi_pack_raw(writer, greeting->disabled.data, greeting->disabled.size);
    }
}

int bpi_bolt_write_hello(struct bpi_buffer *out, const struct bpi_bolt_greeting *greeting)
{
    struct bpi_pack_reader token = {0};
    uint32_t token_pairs = 0;
    if (greeting->token.data != NULL) {
        bpi_pack_reader_init(&token, greeting->token.data, greeting->token.size);
        int error = bpi_pack_next_map(&token, &token_pairs);
        if (error != 0) {
            return error;
        }
    }
    bool patch = greeting->utc_patch && bpi_bolt_has_patch(greeting->version);
    struct bpi_buffer map = {0};
    struct bpi_pack_writer writer;
    bpi_pack_writer_init(&writer, &map);
    bpi_pack_map(&writer, (size_t)1 + bpi_bolt_has_bolt_agent(greeting->version) +
                              greeting->url->routing + patch + (greeting->min_severity != NULL) +
                              (greeting->disabled.data != NULL) + token_pairs);
    put_agents(&writer, greeting);
    if (greeting->url->routing) {
        bpi_bolt_put_routing(&writer, greeting->url);
    }
    put_notifications(&writer, greeting);
    if (patch) {
        bpi_pack_text(&writer, "patch_bolt");
        bpi_pack_list(&writer, 1);
        bpi_pack_text(&writer, "utc");
    }
    if (token_pairs > 0) {
        bpi_pack_raw(&writer, token.at, (size_t)(token.end - token.at));
    }
    int error = writer.status;
    if (error == 0) {
        error = bpi_bolt_write_map(
            out, BPI_BOLT_HELLO,
            (struct bpi_bolt_span){bpi_buffer_head(&map), bpi_buffer_size(&map)});
    }
    bpi_buffer_wipe(&map); /* it may hold a password */
    return error;
}
