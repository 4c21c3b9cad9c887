/* Whether a server that owes answers is dead, or at work.
 *
 * Silence alone says nothing: a query may take an hour, and the kernel of a stopped process, or a proxy on the way,
 * still acknowledges what is sent. So when answers are due and nothing at all was heard of the endpoint for
 * `dead_after_us`, it is asked: on an idle link first, which costs one RESET, and where there is none, or it says
 * nothing for `patience_us` either (a firewall may have forgotten all old connections), on a new connection. Only
 * a server that doesn't answer there for dead_after_us is dead. Any byte from it, on any connection, ends the
 * suspicion; so one hung link never brings its healthy neighbours down.
 *
 * States -> what leads on:
 *   CALM -> silence -> ASKED_LINK -> patience, or no idle link -> ASKED_SERVER -> silence -> DEAD
 *   CALM -> it is asked for another reason -> ASKED_SERVER
 *   any -> something was heard since -> CALM
 *
 * Pure: time, silence and what was heard are handed in. Owner: whoever watches.
 */
#ifndef BPI_POOL_SUSPICION_H
#define BPI_POOL_SUSPICION_H

#include <boltpool/types.h>

#include <stdbool.h>

enum bpi_suspicion_state {
    BPI_SUSPICION_CALM,
    BPI_SUSPICION_ASKED_LINK,
    BPI_SUSPICION_ASKED_SERVER,
    BPI_SUSPICION_DEAD,
};

/* Zeroed = none. */
struct bpi_suspicion {
    enum bpi_suspicion_state state;
    bp_usec asked_us; /* when the question of this state was put */
};

struct bpi_suspicion_limits {
    bp_usec dead_after_us; /* 0 = nobody is ever suspected */
    bp_usec patience_us;
};

enum bpi_suspicion_step {
    BPI_SUSPICION_NOTHING,
    BPI_SUSPICION_ASK_LINK,   /* by RESET; if none is idle, the server: bpi_suspicion_asked() */
    BPI_SUSPICION_ASK_SERVER, /* on a new connection */
    BPI_SUSPICION_BURY, /* it is dead: nothing that is due will come; said again while more is due */
};

/* What is to be done now. `due_us`: since when the oldest answer is due on a link that says nothing, 0 = none is.
 * `heard_us`: when anything was heard of the endpoint last. */
enum bpi_suspicion_step bpi_suspicion_next(struct bpi_suspicion *suspicion,
                                           const struct bpi_suspicion_limits *limits,
                                           bp_usec due_us,
                                           bp_usec heard_us,
                                           bp_usec now_us);
/* The server is asked on a new connection, whatever for: no link was idle, or one was lost. */
void bpi_suspicion_asked(struct bpi_suspicion *suspicion, bp_usec now_us);

#endif
