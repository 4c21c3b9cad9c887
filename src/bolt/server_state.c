/* See server_state.h. The table holds what each state does with each request; version rules stand
 * before it, since a tag that the version doesn't know never reaches a state.
 */
#include "bolt/server_state.h"

#include "bolt/message.h"

#define STATE_COUNT (BPI_SERVER_DEFUNCT + 1)

const char *bpi_server_state_name(enum bpi_server_state state)
{
    static const char *const names[STATE_COUNT] = {
        [BPI_SERVER_NEGOTIATION] = "NEGOTIATION",
        [BPI_SERVER_AUTHENTICATION] = "AUTHENTICATION",
        [BPI_SERVER_READY] = "READY",
        [BPI_SERVER_AUTO_COMMIT] = "AUTO_COMMIT",
        [BPI_SERVER_IN_TRANSACTION] = "IN_TRANSACTION",
        [BPI_SERVER_FAILED] = "FAILED",
        [BPI_SERVER_DEFUNCT] = "DEFUNCT",
    };
    return (unsigned)state < STATE_COUNT ? names[state] : "unknown";
}

/* Requests as bits, to write the states as sets. */
#define HELLO     (1u << 0)
#define LOGON     (1u << 1)
#define LOGOFF    (1u << 2)
#define RESET     (1u << 3)
#define RUN       (1u << 4)
#define BEGIN     (1u << 5)
#define COMMIT    (1u << 6)
#define ROLLBACK  (1u << 7)
#define FETCH     (1u << 8) /* PULL and DISCARD are allowed together everywhere */
#define ROUTE     (1u << 9)
#define TELEMETRY (1u << 10)

static unsigned tag_bit(uint8_t tag)
{
    switch (tag) {
    case BPI_BOLT_HELLO:
        return HELLO;
    case BPI_BOLT_LOGON:
        return LOGON;
    case BPI_BOLT_LOGOFF:
        return LOGOFF;
    case BPI_BOLT_RESET:
        return RESET;
    case BPI_BOLT_RUN:
        return RUN;
    case BPI_BOLT_BEGIN:
        return BEGIN;
    case BPI_BOLT_COMMIT:
        return COMMIT;
    case BPI_BOLT_ROLLBACK:
        return ROLLBACK;
    case BPI_BOLT_PULL:
    case BPI_BOLT_DISCARD:
        return FETCH;
    case BPI_BOLT_ROUTE:
        return ROUTE;
    case BPI_BOLT_TELEMETRY:
        return TELEMETRY;
    default:
        return 0;
    }
}

/* What is in neither set is answered FAILURE and closed. */
static const struct state_rule {
    unsigned accepted;
    unsigned ignored;
} rules[STATE_COUNT] = {
    [BPI_SERVER_NEGOTIATION] = {HELLO, 0},
    [BPI_SERVER_AUTHENTICATION] = {LOGON, 0},
    [BPI_SERVER_READY] = {RUN | BEGIN | ROUTE | TELEMETRY | LOGOFF | RESET, 0},
    [BPI_SERVER_AUTO_COMMIT] = {FETCH | RESET, 0},
    [BPI_SERVER_IN_TRANSACTION] = {RUN | FETCH | COMMIT | ROLLBACK | RESET, 0},
    [BPI_SERVER_FAILED] = {RESET, RUN | FETCH | COMMIT | ROLLBACK | ROUTE | TELEMETRY},
    [BPI_SERVER_DEFUNCT] = {0, 0},
};

enum bpi_server_verdict
bpi_server_judge(enum bpi_server_state state, bpi_bolt_version version, uint8_t tag)
{
    if (state == BPI_SERVER_DEFUNCT || tag == BPI_BOLT_GOODBYE) {
        return BPI_SERVER_CLOSE;
    }
    if (!bpi_bolt_tag_is_request(tag, version)) {
        return BPI_SERVER_CLOSE;
    }
    /* Seen on a 4.4 server only; newer ones say why. */
    if (state == BPI_SERVER_NEGOTIATION && tag == BPI_BOLT_RESET && version < BPI_BOLT(5, 0)) {
        return BPI_SERVER_CLOSE;
    }
    unsigned bit = tag_bit(tag);
    if ((rules[state].accepted & bit) != 0) {
        return BPI_SERVER_ACCEPT;
    }
    return (rules[state].ignored & bit) != 0 ? BPI_SERVER_IGNORE : BPI_SERVER_FAIL_CLOSE;
}

enum bpi_server_state bpi_server_state_after(enum bpi_server_state state,
                                             bpi_bolt_version version,
                                             uint8_t tag,
                                             enum bpi_server_outcome outcome)
{
    if (state == BPI_SERVER_DEFUNCT) {
        return BPI_SERVER_DEFUNCT;
    }
    if (outcome == BPI_SERVER_FAILED_OUTCOME) {
        bool login = state == BPI_SERVER_NEGOTIATION || state == BPI_SERVER_AUTHENTICATION;
        return login ? BPI_SERVER_DEFUNCT : BPI_SERVER_FAILED;
    }
    switch (tag) {
    case BPI_BOLT_HELLO:
        return bpi_bolt_has_logon(version) ? BPI_SERVER_AUTHENTICATION : BPI_SERVER_READY;
    case BPI_BOLT_LOGON:
    case BPI_BOLT_COMMIT:
    case BPI_BOLT_ROLLBACK:
    case BPI_BOLT_RESET:
        return BPI_SERVER_READY;
    case BPI_BOLT_LOGOFF:
        return BPI_SERVER_AUTHENTICATION;
    case BPI_BOLT_GOODBYE:
        return BPI_SERVER_DEFUNCT;
    case BPI_BOLT_BEGIN:
        return BPI_SERVER_IN_TRANSACTION;
    case BPI_BOLT_RUN:
        return state == BPI_SERVER_READY ? BPI_SERVER_AUTO_COMMIT : state;
    case BPI_BOLT_PULL:
    case BPI_BOLT_DISCARD:
        return state == BPI_SERVER_AUTO_COMMIT && outcome == BPI_SERVER_SUCCEEDED ? BPI_SERVER_READY
                                                                                  : state;
    default:
        return state;
    }
}
