/* Input: a byte that chooses a version, then pairs of a tag and an outcome. Shown: no sequence reaches
 * a state that a log-in or a BEGIN did not open, and verdicts keep their meaning in every state.
 */
#include "bolt/server_state.h"

#include "bolt/message.h"

#include "tests/fuzz/fuzz.h"

/* What the requests so far must have led to, kept apart from the states. */
struct model {
    bool said_hello;
    bool logged_on;
    bool open_tx;
    bool failed;
};

static void model_step(struct model *model, bpi_bolt_version version, uint8_t tag, bool failure)
{
    if (failure) {
        model->failed = true;
        model->open_tx = false;
        return;
    }
    switch (tag) {
    case BPI_BOLT_HELLO:
        model->said_hello = true;
        model->logged_on = !bpi_bolt_has_logon(version);
        break;
    case BPI_BOLT_LOGON:
        model->logged_on = true;
        break;
    case BPI_BOLT_LOGOFF:
        model->logged_on = false;
        break;
    case BPI_BOLT_BEGIN:
        model->open_tx = true;
        break;
    case BPI_BOLT_COMMIT:
    case BPI_BOLT_ROLLBACK:
        model->open_tx = false;
        break;
    case BPI_BOLT_RESET:
        model->open_tx = false;
        model->failed = false;
        break;
    default:
        break;
    }
}

static void check_state(const struct model *model, enum bpi_server_state state)
{
    bool at_work = state == BPI_SERVER_READY || state == BPI_SERVER_AUTO_COMMIT ||
                   state == BPI_SERVER_IN_TRANSACTION || state == BPI_SERVER_FAILED;
    FUZZ_CHECK(!at_work || (model->said_hello && model->logged_on));
    FUZZ_CHECK(state != BPI_SERVER_NEGOTIATION || !model->said_hello);
    FUZZ_CHECK(state != BPI_SERVER_AUTHENTICATION || (model->said_hello && !model->logged_on));
    FUZZ_CHECK((state == BPI_SERVER_IN_TRANSACTION) == model->open_tx);
    FUZZ_CHECK(state != BPI_SERVER_FAILED || model->failed);
    FUZZ_CHECK(state == BPI_SERVER_FAILED || state == BPI_SERVER_DEFUNCT || !model->failed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const bpi_bolt_version versions[] = {BPI_BOLT(4, 1), BPI_BOLT(4, 4), BPI_BOLT(5, 0),
                                                BPI_BOLT(5, 1), BPI_BOLT(5, 4), BPI_BOLT(5, 8),
                                                BPI_BOLT(6, 0), BPI_BOLT(6, 1)};
    bpi_bolt_version version = versions[fuzz_byte(&data, &size) & 7];
    enum bpi_server_state state = BPI_SERVER_NEGOTIATION;
    struct model model = {0};
    while (size > 0) {
        uint8_t tag = fuzz_byte(&data, &size);
        enum bpi_server_outcome outcome = (enum bpi_server_outcome)(fuzz_byte(&data, &size) % 3);
        enum bpi_server_verdict verdict = bpi_server_judge(state, version, tag);
        bool known = bpi_bolt_tag_is_request(tag, version);
        FUZZ_CHECK(known || verdict == BPI_SERVER_CLOSE);
        FUZZ_CHECK(tag != BPI_BOLT_GOODBYE || verdict == BPI_SERVER_CLOSE);
        FUZZ_CHECK(verdict != BPI_SERVER_IGNORE || state == BPI_SERVER_FAILED);
        FUZZ_CHECK(state != BPI_SERVER_DEFUNCT || verdict == BPI_SERVER_CLOSE);
        if (verdict == BPI_SERVER_IGNORE) {
            continue;
        }
        if (verdict != BPI_SERVER_ACCEPT) {
            break;
        }
        state = bpi_server_state_after(state, version, tag, outcome);
        model_step(&model, version, tag, outcome == BPI_SERVER_FAILED_OUTCOME);
        check_state(&model, state);
    }
    return 0;
}
