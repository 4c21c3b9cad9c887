/* See handshake.h. Nothing is kept between calls but the struct: bytes stay in `in` until a step is
 * whole, and a step is at most 20 bytes from a client or MANIFEST_BYTES_MAX from a server.
 */
#include "bolt/handshake.h"

#include <boltpool/error.h>

#include <string.h>

#define MAGIC_BYTES    ((size_t)4)
#define SLOT_BYTES     ((size_t)4)
#define SLOTS          ((size_t)4)
#define PROPOSAL_BYTES (MAGIC_BYTES + SLOTS * SLOT_BYTES)

/* Real servers refuse a longer capability mask. */
#define MASK_BYTES_MAX ((size_t)32)
/* Ranges in a manifest. The richest server known sends 4; with 64 no input can take long. */
#define MANIFEST_RANGES_MAX 64

static const uint8_t magic[MAGIC_BYTES] = {0x60, 0x60, 0xb0, 0x17};
static const uint8_t slot_manifest[SLOT_BYTES] = {0x00, 0x00, 0x01, 0xff};
static const uint8_t slot_none[SLOT_BYTES];

/* A slot on the wire is 0, range, minor, major. */
static void slot_store(uint8_t slot[SLOT_BYTES], bpi_bolt_version newest, bpi_bolt_version oldest)
{
    slot[0] = 0;
    slot[1] = (uint8_t)(newest - oldest);
    slot[2] = (uint8_t)newest;
    slot[3] = (uint8_t)(newest >> 8);
}

static bool slot_range_ok(const uint8_t *slot)
{
    return slot[1] <= slot[2];
}

static bpi_bolt_versions slot_versions(const uint8_t *slot)
{
    bpi_bolt_version newest = BPI_BOLT(slot[3], slot[2]);
    return bpi_bolt_versions_range((bpi_bolt_version)(newest - slot[1]), newest);
}

/* The run of minors that begins with the oldest of `versions`: in one major, without a gap that a
 * version of ours outside the set would fill. `bridge` lets it run over 5.5, which nobody speaks.
 * Removes it from the set. */
static void versions_take_oldest_run(bpi_bolt_versions *versions,
                                     bool bridge,
                                     bpi_bolt_version *ret_oldest,
                                     bpi_bolt_version *ret_newest)
{
    bpi_bolt_version oldest = bpi_bolt_versions_oldest(*versions);
    bpi_bolt_version newest = oldest;
    *versions &= ~bpi_bolt_versions_of(oldest);
    while (*versions != 0) {
        bpi_bolt_version next = bpi_bolt_versions_oldest(*versions);
        bpi_bolt_versions between = bpi_bolt_versions_range((bpi_bolt_version)(newest + 1), next);
        bool adjacent = bridge ? between == bpi_bolt_versions_of(next) : next == newest + 1;
        if (next >> 8 != newest >> 8 || !adjacent) {
            break;
        }
        newest = next;
        *versions &= ~bpi_bolt_versions_of(next);
    }
    *ret_oldest = oldest;
    *ret_newest = newest;
}

enum varint_result {
    VARINT_MORE,
    VARINT_WHOLE,
    VARINT_BAD,
};

/* A number in groups of seven bits, least significant first. What doesn't fit into 32 bits reads as
 * UINT32_MAX. */
static enum varint_result
varint_read(const uint8_t *data, size_t size, uint32_t *ret_value, size_t *ret_used)
{
    uint32_t value = 0;
    for (size_t i = 0; i < size && i < MASK_BYTES_MAX; i++) {
        uint32_t group = data[i] & 0x7f;
        bool fits = i < 4 || group == 0 || (i == 4 && group < 16);
        value = fits ? (i < 5 ? value | group << (7 * i) : value) : UINT32_MAX;
        if ((data[i] & 0x80) == 0) {
            *ret_value = value;
            *ret_used = i + 1;
            return VARINT_WHOLE;
        }
    }
    return size < MASK_BYTES_MAX ? VARINT_MORE : VARINT_BAD;
}

/* Server side */

void bpi_handshake_server_init(struct bpi_handshake_server *server, bpi_bolt_versions offered)
{
    memset(server, 0, sizeof(*server));
    server->offered = offered;
}

static int server_write_manifest(bpi_bolt_versions offered, struct bpi_buffer *out)
{
    /* Every version in a run of its own would still be at most 32 of them. */
    uint8_t bytes[SLOT_BYTES + 1 + 32 * SLOT_BYTES + 1];
    size_t used = SLOT_BYTES + 1;
    memcpy(bytes, slot_manifest, SLOT_BYTES);
    bytes[SLOT_BYTES] = 0;
    while (offered != 0) {
        bpi_bolt_version oldest;
        bpi_bolt_version newest;
        versions_take_oldest_run(&offered, false, &oldest, &newest);
        slot_store(bytes + used, newest, oldest);
        used += SLOT_BYTES;
        bytes[SLOT_BYTES]++;
    }
    bytes[used++] = 0; /* no capabilities */
    return bpi_buffer_append(out, bytes, used);
}

static int server_answer(struct bpi_handshake_server *server,
                         bpi_bolt_version version,
                         struct bpi_buffer *out,
                         enum bpi_handshake_result *ret_result)
{
    uint8_t answer[SLOT_BYTES];
    slot_store(answer, version, version);
    int error = bpi_buffer_append(out, answer, sizeof(answer));
    if (error != 0) {
        return error;
    }
    server->version = version;
    *ret_result = version == 0 ? BPI_HANDSHAKE_REFUSED : BPI_HANDSHAKE_DONE;
    return 0;
}

static int server_read_proposals(struct bpi_handshake_server *server,
                                 const uint8_t *slots,
                                 struct bpi_buffer *out,
                                 enum bpi_handshake_result *ret_result)
{
    bpi_bolt_versions offered = server->offered & bpi_bolt_versions_all();
    /* Servers decode all four before they choose, so one bad range spoils the good ones. */
    for (size_t i = 0; i < SLOTS; i++) {
        if (!slot_range_ok(slots + i * SLOT_BYTES)) {
            *ret_result = BPI_HANDSHAKE_BAD;
            return 0;
        }
    }
    for (size_t i = 0; i < SLOTS; i++) {
        const uint8_t *slot = slots + i * SLOT_BYTES;
        /* The manifest came with 5.7: a server without it passes over that slot. */
        if (memcmp(slot, slot_manifest, SLOT_BYTES) == 0 &&
            bpi_bolt_versions_newest(offered) >= BPI_BOLT(5, 7)) {
            int error = server_write_manifest(offered, out);
            if (error == 0) {
                server->waits_choice = true;
                *ret_result = BPI_HANDSHAKE_MORE;
            }
            return error;
        }
        bpi_bolt_version version = bpi_bolt_versions_newest(slot_versions(slot) & offered);
        if (version != 0) {
            return server_answer(server, version, out, ret_result);
        }
    }
    return server_answer(server, 0, out, ret_result);
}

/* The client's choice: one exact version and a mask, which must be empty as we offered nothing. */
static enum bpi_handshake_result server_read_choice(struct bpi_handshake_server *server,
                                                    struct bpi_buffer *in)
{
    const uint8_t *data = bpi_buffer_head(in);
    size_t size = bpi_buffer_size(in);
    if (size < SLOT_BYTES) {
        return BPI_HANDSHAKE_MORE;
    }
    bpi_bolt_version version = BPI_BOLT(data[3], data[2]);
    if (data[0] != 0 || data[1] != 0 || (bpi_bolt_versions_of(version) & server->offered) == 0) {
        return BPI_HANDSHAKE_BAD;
    }
    uint32_t mask;
    size_t used;
    switch (varint_read(data + SLOT_BYTES, size - SLOT_BYTES, &mask, &used)) {
    case VARINT_MORE:
        return BPI_HANDSHAKE_MORE;
    case VARINT_WHOLE:
        break;
    case VARINT_BAD:
    default:
        return BPI_HANDSHAKE_BAD;
    }
    if (mask != 0) {
        return BPI_HANDSHAKE_BAD;
    }
    bpi_buffer_consume(in, SLOT_BYTES + used);
    server->waits_choice = false;
    server->manifest = true;
    server->version = version;
    return BPI_HANDSHAKE_DONE;
}

int bpi_handshake_server_read(struct bpi_handshake_server *server,
                              struct bpi_buffer *in,
                              struct bpi_buffer *out,
                              enum bpi_handshake_result *ret_result)
{
    if (!server->waits_choice) {
        size_t size = bpi_buffer_size(in);
        size_t seen = size < MAGIC_BYTES ? size : MAGIC_BYTES;
        if (seen > 0 && memcmp(bpi_buffer_head(in), magic, seen) != 0) {
            *ret_result = BPI_HANDSHAKE_BAD;
            return 0;
        }
        if (size < PROPOSAL_BYTES) {
            *ret_result = BPI_HANDSHAKE_MORE;
            return 0;
        }
        const uint8_t *slots = bpi_buffer_head(in) + MAGIC_BYTES;
        int error = server_read_proposals(server, slots, out, ret_result);
        if (error != 0 || *ret_result == BPI_HANDSHAKE_BAD) {
            return error;
        }
        bpi_buffer_consume(in, PROPOSAL_BYTES);
        if (!server->waits_choice) {
            return 0;
        }
    }
    *ret_result = bpi_buffer_size(in) == 0 ? BPI_HANDSHAKE_MORE : server_read_choice(server, in);
    return 0;
}

/* Client side */

int bpi_handshake_client_start(struct bpi_handshake_client *client,
                               bpi_bolt_versions wanted,
                               bool probe,
                               struct bpi_buffer *out)
{
    memset(client, 0, sizeof(*client));
    client->wanted = wanted & bpi_bolt_versions_all();
    client->probe = probe;
    /* Runs come oldest first and are proposed newest first: a window of the last four is kept. */
    uint8_t runs[SLOTS][SLOT_BYTES] = {{0}};
    size_t slots_free = probe ? SLOTS - 1 : SLOTS;
    bpi_bolt_versions rest = client->wanted;
    while (rest != 0) {
        bpi_bolt_version oldest;
        bpi_bolt_version newest;
        versions_take_oldest_run(&rest, true, &oldest, &newest);
        memmove(runs[1], runs[0], (SLOTS - 1) * SLOT_BYTES);
        slot_store(runs[0], newest, oldest);
    }
    uint8_t bytes[PROPOSAL_BYTES];
    size_t used = MAGIC_BYTES;
    memcpy(bytes, magic, MAGIC_BYTES);
    if (probe) {
        memcpy(bytes + used, slot_manifest, SLOT_BYTES);
        used += SLOT_BYTES;
    }
    memcpy(bytes + used, runs, slots_free * SLOT_BYTES);
    return bpi_buffer_append(out, bytes, sizeof(bytes));
}

/* The manifest behind its mark: how many ranges, the ranges, the capability mask. */
static enum bpi_handshake_result client_read_manifest(struct bpi_handshake_client *client,
                                                      struct bpi_buffer *in)
{
    const uint8_t *data = bpi_buffer_head(in);
    size_t size = bpi_buffer_size(in);
    size_t used = SLOT_BYTES;
    uint32_t ranges;
    size_t part;
    enum varint_result result = varint_read(data + used, size - used, &ranges, &part);
    if (result != VARINT_WHOLE) {
        return result == VARINT_MORE ? BPI_HANDSHAKE_MORE : BPI_HANDSHAKE_BAD;
    }
    if (ranges > MANIFEST_RANGES_MAX) {
        return BPI_HANDSHAKE_BAD;
    }
    used += part;
    if ((size - used) / SLOT_BYTES < ranges) {
        return BPI_HANDSHAKE_MORE;
    }
    bpi_bolt_versions spoken = 0;
    for (uint32_t i = 0; i < ranges; i++) {
        if (!slot_range_ok(data + used)) {
            return BPI_HANDSHAKE_BAD;
        }
        spoken |= slot_versions(data + used);
        used += SLOT_BYTES;
    }
    uint32_t mask; /* whatever it offers, we take none of it */
    result = varint_read(data + used, size - used, &mask, &part);
    if (result != VARINT_WHOLE) {
        return result == VARINT_MORE ? BPI_HANDSHAKE_MORE : BPI_HANDSHAKE_BAD;
    }
    bpi_buffer_consume(in, used + part);
    client->spoken = spoken;
    client->manifest = true;
    return (spoken & client->wanted) == 0 ? BPI_HANDSHAKE_REFUSED : BPI_HANDSHAKE_DONE;
}

int bpi_handshake_client_read(struct bpi_handshake_client *client,
                              struct bpi_buffer *in,
                              enum bpi_handshake_result *ret_result)
{
    if (bpi_buffer_size(in) < SLOT_BYTES) {
        *ret_result = BPI_HANDSHAKE_MORE;
        return 0;
    }
    const uint8_t *answer = bpi_buffer_head(in);
    if (memcmp(answer, slot_none, SLOT_BYTES) == 0) {
        bpi_buffer_consume(in, SLOT_BYTES);
        *ret_result = BPI_HANDSHAKE_REFUSED;
        return 0;
    }
    if (client->probe && memcmp(answer, slot_manifest, SLOT_BYTES) == 0) {
        *ret_result = client_read_manifest(client, in);
        return 0;
    }
    bpi_bolt_version version = BPI_BOLT(answer[3], answer[2]);
    if (answer[0] != 0 || answer[1] != 0 || (bpi_bolt_versions_of(version) & client->wanted) == 0) {
        *ret_result = BPI_HANDSHAKE_BAD;
        return 0;
    }
    bpi_buffer_consume(in, SLOT_BYTES);
    client->version = version;
    client->spoken = bpi_bolt_versions_range(BPI_BOLT(version >> 8, 0), version);
    *ret_result = BPI_HANDSHAKE_DONE;
    return 0;
}

int bpi_handshake_client_choose(struct bpi_handshake_client *client,
                                bpi_bolt_version version,
                                struct bpi_buffer *out)
{
    if (!client->manifest || (bpi_bolt_versions_of(version) & client->spoken) == 0) {
        return BP_E_USAGE;
    }
    uint8_t choice[SLOT_BYTES + 1] = {0}; /* the last byte is the empty mask */
    slot_store(choice, version, version);
    int error = bpi_buffer_append(out, choice, sizeof(choice));
    if (error == 0) {
        client->version = version;
    }
    return error;
}
