/* Waiters by the time at which they have waited long enough: an intrusive pairing heap (Fredman, Sedgewick,
 * Sleator and Tarjan 1986), because it needs no memory of its own and any waiter may leave at any time.
 * Lock: the cluster's mutex.
 */
#ifndef BPI_POOL_EXPIRY_H
#define BPI_POOL_EXPIRY_H

#include <boltpool/types.h>

/* In the heap while `at_us` != 0. */
struct bpi_pool_expiry_node {
    struct bpi_pool_expiry_node *child;   /* the first of those that are no earlier */
    struct bpi_pool_expiry_node *sibling; /* the next child of its parent */
    struct bpi_pool_expiry_node *back; /* the sibling before it, or for a first child the parent */
    bp_usec at_us;
};

struct bpi_pool_expiry {
    struct bpi_pool_expiry_node *root; /* the earliest */
};

/* `at_us` is not 0. Constant time. */
void bpi_pool_expiry_add(struct bpi_pool_expiry *expiry,
                         struct bpi_pool_expiry_node *node,
                         bp_usec at_us);
/* It need not be in the heap. Logarithmic, amortised. */
void bpi_pool_expiry_remove(struct bpi_pool_expiry *expiry, struct bpi_pool_expiry_node *node);

#endif
