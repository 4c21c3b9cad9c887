/* How many links each user (or each database) holds now, and how many more are on their way to it, so
 * that a cap is checked without a walk over all leases: with 10,000 waiters of a capped user, each
 * decision asks for all of them.
 *
 * A hash table of counts that never allocates: each place of a link brings the storage for one account,
 * and there are at most as many keys as links that are leased or tied to a waiter.
 * Lock: the cluster's mutex.
 */
#ifndef BPI_POOL_ACCOUNT_H
#define BPI_POOL_ACCOUNT_H

#include <stdint.h>

/* Doubled, the table takes 8 KiB more; halved, 10,000 links of as many users share a bucket by 20. */
#define BPI_POOL_ACCOUNT_BUCKETS 1024

enum bpi_pool_account_kind {
    BPI_POOL_HELD,    /* leased */
    BPI_POOL_CLAIMED, /* opened or closed for a waiter */
    BPI_POOL_ACCOUNT_KIND_COUNT,
};

struct bpi_pool_account {
    struct bpi_pool_account *next; /* in its bucket, or among the unused */
    uint64_t key;
    unsigned counts[BPI_POOL_ACCOUNT_KIND_COUNT];
};

struct bpi_pool_accounts {
    struct bpi_pool_account *buckets[BPI_POOL_ACCOUNT_BUCKETS];
    struct bpi_pool_account *unused;
};

/* Storage for one more account; it stays the caller's and lives as long as the accounts. */
void bpi_pool_accounts_add_storage(struct bpi_pool_accounts *accounts,
                                   struct bpi_pool_account *storage);
/* One link more, or less, of `key`. What is removed was added before. */
void bpi_pool_accounts_add(struct bpi_pool_accounts *accounts,
                           uint64_t key,
                           enum bpi_pool_account_kind kind);
void bpi_pool_accounts_remove(struct bpi_pool_accounts *accounts,
                              uint64_t key,
                              enum bpi_pool_account_kind kind);
/* NULL: it has nothing. Borrowed until the next change. */
const struct bpi_pool_account *bpi_pool_accounts_get(const struct bpi_pool_accounts *accounts,
                                                     uint64_t key);

#endif
