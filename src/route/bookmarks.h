/* Which endpoint issued a bookmark, where the endpoints are independent servers: Neo4j silently ignores another server's
 * bookmark, so whoever shows one has to go to the server that issued it.
 *
 * The caller hashes bookmarks (keyed, 64 bits, so that nobody can make two that are equal). Bounded: the
 * BPI_ROUTE_BOOKMARKS that were issued or shown last; what was forgotten is answered like what never was known, which
 * the endpoint for writes takes. An endpoint's `generation` tells it from another one that had its place before.
 *
 * States of an entry: unused -> put -> in a bucket and in the list, most recently used first; at the bound the last of the
 * list becomes the new one. Lock: the owner's.
 */
#ifndef BPI_ROUTE_BOOKMARKS_H
#define BPI_ROUTE_BOOKMARKS_H

#include <stdbool.h>
#include <stdint.h>

/* At 1,000 transactions a second the last eight seconds; a program shows a bookmark with its next transaction. 32 bytes
 * each. */
#define BPI_ROUTE_BOOKMARKS        8192
#define BPI_ROUTE_BOOKMARK_BUCKETS 8192

struct bpi_route_bookmark {
    uint64_t key;
    uint32_t generation;
    uint16_t endpoint;
    /* Index + 1; 0 = none. */
    uint16_t next_in_bucket;
    uint16_t newer;
    uint16_t older;
};

/* Zeroed = none is known. */
struct bpi_route_bookmarks {
    struct bpi_route_bookmark entries[BPI_ROUTE_BOOKMARKS];
    uint16_t buckets[BPI_ROUTE_BOOKMARK_BUCKETS];
    uint16_t newest;
    uint16_t oldest;
    unsigned count;
};

void bpi_route_bookmarks_put(struct bpi_route_bookmarks *bookmarks,
                             uint64_t key,
                             unsigned endpoint,
                             uint32_t generation);
/* Who issued it; makes it the most recently used. False if that isn't known. */
bool bpi_route_bookmarks_find(struct bpi_route_bookmarks *bookmarks,
                              uint64_t key,
                              unsigned *ret_endpoint,
                              uint32_t *ret_generation);

#endif
