/* See quarantine.h. */
#include "client/quarantine.h"

#include <stdlib.h>

void bpi_quarantine_put(struct bpi_quarantine *quarantine, void *item)
{
    unsigned at = atomic_fetch_add_explicit(&quarantine->next, 1, memory_order_relaxed);
    void *oldest = atomic_exchange_explicit(&quarantine->items[at % BPI_QUARANTINE_SIZE], item,
                                            memory_order_acq_rel);
    free(oldest);
}
