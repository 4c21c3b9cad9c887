/* A listening TCP socket on a loop. */
#ifndef BPI_NET_LISTENER_H
#define BPI_NET_LISTENER_H

#include <boltpool/types.h>

struct bpi_listener;
struct bpi_loop;

/* `fd` is the callback's: it hands it to a connection or closes it. When the process is out of file
 * descriptors the listener pauses for 100 ms and goes on (logged once a minute). */
typedef void (*bpi_accept_fn)(struct bpi_listener *listener, int fd, void *user);

/* Binds and listens. `port` 0 takes a free one: bpi_listener_port() tells. SO_REUSEADDR is set.
 * A `host` that is a name is looked up at once, so give an address where the loop runs already.
 * Errors: libuv's (EADDRINUSE ...). On the loop, or before it runs. */
BP_MUST_CHECK int bpi_listener_open(struct bpi_loop *loop,
                                    const char *host,
                                    uint16_t port,
                                    bpi_accept_fn on_accept,
                                    void *user,
                                    struct bpi_listener **ret_listener);
uint16_t bpi_listener_port(const struct bpi_listener *listener);
/* On the loop; freed at the end of the turn. */
void bpi_listener_close(struct bpi_listener *listener);

#endif
