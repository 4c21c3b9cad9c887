/* Input: a byte that chooses a version, then steps: an odd byte sends the request whose tag follows, an
 * even one receives the answer whose tag follows (bit 1: has_more). Shown: against a plain list of
 * the unanswered requests, each answer finds the oldest, refused answers change nothing, and the
 * counts agree.
 */
#include "bolt/client_state.h"

#include "bolt/message.h"

#include <boltpool/error.h>

#include "tests/fuzz/fuzz.h"

struct model {
    uint8_t tags[BPI_CLIENT_PENDING_MAX];
    size_t count;
};

static size_t model_count(const struct model *model, uint8_t tag)
{
    size_t count = 0;
    for (size_t i = 0; i < model->count; i++) {
        count += model->tags[i] == tag ? 1 : 0;
    }
    return count;
}

static void send(struct bpi_client_state *client, struct model *model, uint8_t tag)
{
    int error = bpi_client_state_sent(client, tag);
    if (tag == BPI_BOLT_GOODBYE) {
        FUZZ_CHECK(error == 0 && client->state == BPI_SERVER_DEFUNCT);
        return;
    }
    if (model->count == BPI_CLIENT_PENDING_MAX) {
        FUZZ_CHECK(error == BP_E_FULL);
        return;
    }
    FUZZ_CHECK(error == 0);
    model->tags[model->count++] = tag;
}

static void receive(struct bpi_client_state *client, struct model *model, uint8_t tag, bool more)
{
    struct bpi_client_state before = *client;
    uint8_t request = 0;
    int error = bpi_client_state_received(client, tag, more, &request);
    if (error != 0) {
        FUZZ_CHECK(error == BP_E_UNEXPECTED);
        FUZZ_CHECK(memcmp(&before, client, sizeof(before)) == 0);
        return;
    }
    FUZZ_CHECK(model->count > 0 && request == model->tags[0]);
    if (tag == BPI_BOLT_RECORD) {
        FUZZ_CHECK(request == BPI_BOLT_PULL && before.state != BPI_SERVER_FAILED);
        return;
    }
    FUZZ_CHECK(tag == BPI_BOLT_SUCCESS || tag == BPI_BOLT_IGNORED || tag == BPI_BOLT_FAILURE);
    if (tag == BPI_BOLT_IGNORED && request == BPI_BOLT_RESET) {
        FUZZ_CHECK(model_count(model, BPI_BOLT_RESET) > 1);
    }
    model->count--;
    memmove(model->tags, model->tags + 1, model->count);
}

static void check(const struct bpi_client_state *client, const struct model *model)
{
    FUZZ_CHECK(client->pending_count == model->count);
    FUZZ_CHECK(client->pending_count <= client->pending_capacity);
    FUZZ_CHECK(client->pending_capacity <= BPI_CLIENT_PENDING_MAX);
    FUZZ_CHECK(bpi_client_state_oldest(client) == (model->count > 0 ? model->tags[0] : 0));
    bool clean = bpi_client_state_clean(client);
    FUZZ_CHECK(clean == (client->state == BPI_SERVER_READY && model->count == 0));
    FUZZ_CHECK(client->open_tx || client->state != BPI_SERVER_IN_TRANSACTION);
}

/* What takes a walk over the unanswered requests: skipped while they are many. */
static void check_by_walking(const struct bpi_client_state *client, const struct model *model)
{
    FUZZ_CHECK(client->pending_resets == model_count(model, BPI_BOLT_RESET));
    FUZZ_CHECK(bpi_client_state_awaits(client, BPI_BOLT_COMMIT) ==
               (model_count(model, BPI_BOLT_COMMIT) > 0));
    if (bpi_client_state_may_reset(client)) {
        FUZZ_CHECK(client->state != BPI_SERVER_NEGOTIATION &&
                   client->state != BPI_SERVER_AUTHENTICATION);
        FUZZ_CHECK(model_count(model, BPI_BOLT_COMMIT) == 0);
        FUZZ_CHECK(model_count(model, BPI_BOLT_BEGIN) == 0);
    }
    FUZZ_CHECK(client->open_tx || model_count(model, BPI_BOLT_BEGIN) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const bpi_bolt_version versions[] = {BPI_BOLT(4, 1), BPI_BOLT(4, 4), BPI_BOLT(5, 8),
                                                BPI_BOLT(6, 1)};
    struct bpi_client_state client;
    struct model model = {.count = 0};
    bpi_client_state_init(&client, versions[fuzz_byte(&data, &size) & 3]);
    while (size > 0) {
        uint8_t step = fuzz_byte(&data, &size);
        uint8_t tag = fuzz_byte(&data, &size);
        if ((step & 1) != 0) {
            send(&client, &model, tag);
        } else {
            receive(&client, &model, tag, (step & 2) != 0);
        }
        check(&client, &model);
        if (model.count <= 32) {
            check_by_walking(&client, &model);
        }
    }
    check_by_walking(&client, &model);
    bpi_client_state_done(&client);
    return 0;
}
