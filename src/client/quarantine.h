/* Memory that was given back by a caller who may yet use it by mistake: the last few are kept, so that such a call finds
 * a handle that says no, instead of what malloc() made of it meanwhile.
 *
 * Threads: any; no lock, so that a forked child doesn't find it taken.
 */
#ifndef BPI_CLIENT_QUARANTINE_H
#define BPI_CLIENT_QUARANTINE_H

#include <stdatomic.h>

#define BPI_QUARANTINE_SIZE 64

/* Zeroed: empty. What is in it at the end of the process is still reachable, and no leak. */
struct bpi_quarantine {
    atomic_uint next;
    _Atomic(void *) items[BPI_QUARANTINE_SIZE];
};

/* Takes memory of malloc()'s, and frees the oldest. */
void bpi_quarantine_put(struct bpi_quarantine *quarantine, void *item);

#endif
