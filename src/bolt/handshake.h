/* Agreeing on a Bolt version: four proposals with ranges, or manifest v1.
 *
 * Server side, states -> function: WAIT_PROPOSALS -> (bpi_handshake_server_read) -> DONE | REFUSED
 * | BAD | WAIT_CHOICE (manifest) -> DONE | BAD. As real servers do: the client's slots are tried in
 * order, in a range the newest minor wins, a range above its minor and a wrong magic close without
 * an answer, no match is answered by four zero bytes and closed. All of it is incremental.
 */
#ifndef BPI_BOLT_HANDSHAKE_H
#define BPI_BOLT_HANDSHAKE_H

#include "base/buffer.h"
#include "bolt/version.h"

enum bpi_handshake_result {
    BPI_HANDSHAKE_MORE,    /* not decided; perhaps something was written */
    BPI_HANDSHAKE_DONE,    /* a version is agreed; what follows in `in` are messages */
    BPI_HANDSHAKE_REFUSED, /* write `out`, then close */
    BPI_HANDSHAKE_BAD,     /* close without another word */
};

struct bpi_handshake_server {
    bpi_bolt_versions offered;
    bool waits_choice; /* the manifest was sent */
    bool manifest;     /* the version was agreed through the manifest: HELLO's answer says so */
    bpi_bolt_version version;
};

void bpi_handshake_server_init(struct bpi_handshake_server *server, bpi_bolt_versions offered);
/* Consumes from `in`, appends answers to `out`. Errors: BP_E_NO_MEMORY. */
BP_MUST_CHECK int bpi_handshake_server_read(struct bpi_handshake_server *server,
                                            struct bpi_buffer *in,
                                            struct bpi_buffer *out,
                                            enum bpi_handshake_result *ret_result);

/* Client side. With `probe` the manifest is proposed first and no choice is sent back, so that
 * `spoken` tells all that the server speaks; the connection is of no use afterwards unless the
 * caller goes on with bpi_handshake_client_choose(). Without it `wanted` alone (the newest of the
 * set first; one exact version proposes just that one) is proposed.
 */
struct bpi_handshake_client {
    bpi_bolt_versions wanted;
    bool probe;
    /* Known after DONE: by manifest exactly; else all of the same major up to the answer, since
     * servers before the manifest spoke all minors. */
    bpi_bolt_versions spoken;
    bool manifest;            /* the server answered by manifest and waits for a choice */
    bpi_bolt_version version; /* agreed (0 while a manifest waits for a choice) */
};

/* Writes the 20 bytes. Errors: BP_E_NO_MEMORY. */
BP_MUST_CHECK int bpi_handshake_client_start(struct bpi_handshake_client *client,
                                             bpi_bolt_versions wanted,
                                             bool probe,
                                             struct bpi_buffer *out);
/* REFUSED: the server has no version in common (or answered something that wasn't proposed:
 * BAD). */
BP_MUST_CHECK int bpi_handshake_client_read(struct bpi_handshake_client *client,
                                            struct bpi_buffer *in,
                                            enum bpi_handshake_result *ret_result);
/* After a manifest: writes the choice with an empty capability mask. Errors: BP_E_NO_MEMORY,
 * BP_E_USAGE without a manifest or for a version that it doesn't list. */
BP_MUST_CHECK int bpi_handshake_client_choose(struct bpi_handshake_client *client,
                                              bpi_bolt_version version,
                                              struct bpi_buffer *out);

#endif
