/* Where work too heavy for a loop is done: a table of functions, so that a later CPU scheduler takes the
 * place of libuv's thread pool without `net` noticing.
 */
#ifndef BPI_NET_EXECUTOR_H
#define BPI_NET_EXECUTOR_H

#include <boltpool/types.h>

struct bpi_loop;

/* Embedded in its owner's object, which lives until `on_done` runs. */
struct bpi_work {
    void (*run)(struct bpi_work *work);     /* on a helper thread */
    void (*on_done)(struct bpi_work *work); /* on the loop that submitted it */
    void *reserved[24]; /* the executor's own; a uv_work_t fits (checked by a static assertion) */
};

struct bpi_executor {
    /* On the loop's thread. Errors: the work was not taken and neither function runs. */
    int (*submit)(const struct bpi_executor *executor,
                  struct bpi_loop *loop,
                  struct bpi_work *work);
};

/* libuv's thread pool (UV_THREADPOOL_SIZE threads, 4 by default). */
extern const struct bpi_executor bpi_executor_uv;

#endif
