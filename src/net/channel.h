/* One connection for a caller that waits for it: bytes over TCP or TLS, with a deadline for each step, and no loop.
 *
 * For the library's client (src/client), which has a thread of its caller's and nothing else. The daemon's connections are
 * net/conn.h.
 *
 * Owner: one thread at a time; bpi_channel_cut() from any thread between open and close.
 */
#ifndef BPI_NET_CHANNEL_H
#define BPI_NET_CHANNEL_H

#include "base/buffer.h"

#include <boltpool/types.h>

struct bpi_tls_context;
struct bpi_tls_session;

/* Zeroed but for fd = -1: closed. */
struct bpi_channel {
    int fd;
    struct bpi_tls_session *tls; /* NULL: plain */
    bp_usec silence_us;          /* how long a read may take without a deadline; 0 = for ever */
    bp_usec silence_set_us;      /* what the socket was told */
};

/* Connects, with TLS where `tls` isn't NULL (takes its own reference), whose certificate has to name `server_name`.
 * Units:  deadline_us by bpi_clock_now_us(); looking up the name may take longer.
 * Errors: what the system says, as libuv's codes (UV_ETIMEDOUT, UV_ECONNREFUSED, UV_EAI_NONAME ...), BP_E_TLS,
 *         BP_E_NO_MEMORY; reterr_text says it in a sentence. The channel is closed then. */
BP_MUST_CHECK int bpi_channel_open(struct bpi_channel *channel,
                                   const char *host,
                                   uint16_t port,
                                   struct bpi_tls_context *tls,
                                   const char *server_name,
                                   bp_usec deadline_us,
                                   char *reterr_text,
                                   size_t reterr_text_size);
/* Writes all of `out`. What arrives meanwhile is appended to `in`, so that two who write to each other can't wait for
 * each other for ever.
 * Errors: UV_ETIMEDOUT; UV_EPIPE, UV_ECONNRESET ...: it is of no use any more. */
BP_MUST_CHECK int bpi_channel_write(struct bpi_channel *channel,
                                    struct bpi_buffer *out,
                                    struct bpi_buffer *in,
                                    bp_usec deadline_us);
/* Waits for bytes and appends at least one to `in`. deadline_us = 0: silence_us holds.
 * Errors: UV_EOF, UV_ETIMEDOUT, UV_ECONNRESET ..., BP_E_TLS, BP_E_NO_MEMORY. */
BP_MUST_CHECK int
bpi_channel_read(struct bpi_channel *channel, struct bpi_buffer *in, bp_usec deadline_us);
/* Whether something has arrived that nobody asked for, an end included; doesn't wait. */
int bpi_channel_has_news(const struct bpi_channel *channel);
/* Whoever reads or writes comes back with an error. Threads: any. */
void bpi_channel_cut(const struct bpi_channel *channel);
/* Sends what is in `out` (NULL = nothing) if that is possible at once, and closes. May be called again. */
void bpi_channel_close(struct bpi_channel *channel, struct bpi_buffer *out);
/* Closes it without a word to the peer: in a forked child it is the parent's. */
void bpi_channel_abandon(struct bpi_channel *channel);

#endif
