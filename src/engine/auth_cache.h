/* Credentials that a server has verified lately, by digest alone.
 *
 * Bounded: the entry that ends first gives way. A fixed table, found by linear search in a bucket of
 * BPI_AUTH_CACHE_WAYS, so that nothing is allocated under the lock and no flood of log-ins can grow it.
 * Lock: the cluster's mutex.
 */
#ifndef BPI_ENGINE_AUTH_CACHE_H
#define BPI_ENGINE_AUTH_CACHE_H

#include "pool/pool.h"

#include <boltpool/types.h>

#include <stdbool.h>

/* 1,024 x 8 entries of 24 bytes: 196 KiB; more distinct log-ins a minute cost a check each. */
#define BPI_AUTH_CACHE_SETS 1024
#define BPI_AUTH_CACHE_WAYS 8

struct bpi_auth_cache_entry {
    uint8_t digest[BPI_POOL_IDENTITY_BYTES];
    bp_usec ends_us; /* 0 = free */
};

struct bpi_auth_cache {
    struct bpi_auth_cache_entry sets[BPI_AUTH_CACHE_SETS][BPI_AUTH_CACHE_WAYS];
};

bool bpi_auth_cache_holds(const struct bpi_auth_cache *cache,
                          const uint8_t *digest,
                          bp_usec now_us);
void bpi_auth_cache_put(struct bpi_auth_cache *cache, const uint8_t *digest, bp_usec ends_us);
void bpi_auth_cache_forget(struct bpi_auth_cache *cache, const uint8_t *digest);

#endif
