/* Input: a byte that chooses the side and the versions, a byte for the size of pieces, then what the
 * peer sends. Shown: pieces of any size lead to the same result, answer and rest as the whole, and
 * what is agreed was offered.
 */
#include "bolt/handshake.h"

#include "tests/fuzz/fuzz.h"

struct outcome {
    enum bpi_handshake_result result;
    bpi_bolt_version version;
    bpi_bolt_versions spoken;
    size_t left; /* bytes of the input that no step took */
    struct bpi_buffer out;
};

static bpi_bolt_versions versions_of_choice(uint8_t choice)
{
    static const bpi_bolt_version newest[] = {BPI_BOLT(4, 4), BPI_BOLT(5, 4), BPI_BOLT(5, 8),
                                              BPI_BOLT(6, 1)};
    return bpi_bolt_versions_range(BPI_BOLT(4, 1), newest[choice & 3]);
}

static void
run_server(uint8_t choice, size_t piece, const uint8_t *data, size_t size, struct outcome *outcome)
{
    struct bpi_handshake_server server;
    bpi_handshake_server_init(&server, versions_of_choice(choice));
    struct bpi_buffer in = {0};
    size_t at = 0;
    outcome->result = BPI_HANDSHAKE_MORE;
    while (at < size && outcome->result == BPI_HANDSHAKE_MORE) {
        size_t part = size - at < piece ? size - at : piece;
        fuzz_append(&in, data + at, part);
        at += part;
        int error = bpi_handshake_server_read(&server, &in, &outcome->out, &outcome->result);
        FUZZ_CHECK(error == 0);
    }
    outcome->version = server.version;
    outcome->left = bpi_buffer_size(&in) + size - at;
    if (outcome->result == BPI_HANDSHAKE_DONE) {
        FUZZ_CHECK((bpi_bolt_versions_of(server.version) & versions_of_choice(choice)) != 0);
    } else {
        FUZZ_CHECK(server.version == 0);
    }
    bpi_buffer_done(&in);
}

static void
run_client(uint8_t choice, size_t piece, const uint8_t *data, size_t size, struct outcome *outcome)
{
    struct bpi_handshake_client client;
    struct bpi_buffer proposal = {0};
    bpi_bolt_versions wanted = versions_of_choice(choice);
    int error = bpi_handshake_client_start(&client, wanted, (choice & 4) != 0, &proposal);
    FUZZ_CHECK(error == 0 && bpi_buffer_size(&proposal) == 20);
    bpi_buffer_done(&proposal);
    struct bpi_buffer in = {0};
    size_t at = 0;
    outcome->result = BPI_HANDSHAKE_MORE;
    while (at < size && outcome->result == BPI_HANDSHAKE_MORE) {
        size_t part = size - at < piece ? size - at : piece;
        fuzz_append(&in, data + at, part);
        at += part;
        error = bpi_handshake_client_read(&client, &in, &outcome->result);
        FUZZ_CHECK(error == 0);
    }
    if (outcome->result == BPI_HANDSHAKE_DONE && client.manifest) {
        FUZZ_CHECK((client.spoken & wanted) != 0 && client.version == 0);
        bpi_bolt_version best = bpi_bolt_versions_newest(client.spoken & wanted);
        error = bpi_handshake_client_choose(&client, best, &outcome->out);
        FUZZ_CHECK(error == 0 && client.version == best);
    } else if (outcome->result == BPI_HANDSHAKE_DONE) {
        FUZZ_CHECK((bpi_bolt_versions_of(client.version) & wanted & client.spoken) != 0);
    }
    outcome->version = client.version;
    outcome->spoken = client.spoken;
    outcome->left = bpi_buffer_size(&in) + size - at;
    bpi_buffer_done(&in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t choice = fuzz_byte(&data, &size);
    size_t piece = (size_t)(fuzz_byte(&data, &size) % 32) + 1;
    struct outcome whole = {0};
    struct outcome pieces = {0};
    if ((choice & 8) != 0) {
        run_client(choice, size + 1, data, size, &whole);
        run_client(choice, piece, data, size, &pieces);
    } else {
        run_server(choice, size + 1, data, size, &whole);
        run_server(choice, piece, data, size, &pieces);
    }
    FUZZ_CHECK(whole.result == pieces.result);
    FUZZ_CHECK(whole.version == pieces.version && whole.spoken == pieces.spoken);
    FUZZ_CHECK(fuzz_same(&whole.out, &pieces.out));
    FUZZ_CHECK(whole.result != BPI_HANDSHAKE_DONE || whole.left == pieces.left);
    bpi_buffer_done(&whole.out);
    bpi_buffer_done(&pieces.out);
    return 0;
}
