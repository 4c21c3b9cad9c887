/* See account.h. */
#include "pool/account.h"

#include "base/assert.h"

#include <stddef.h>

#define BUCKET_BITS 10

_Static_assert(BPI_POOL_ACCOUNT_BUCKETS == 1 << BUCKET_BITS, "bucket_of() gives BUCKET_BITS bits");

static unsigned bucket_of(uint64_t key)
{
    /* Fibonacci hashing (Knuth 6.4): the upper bits of the product depend on all bits of the key. */
    return (unsigned)((key * UINT64_C(0x9e3779b97f4a7c15)) >> (64 - BUCKET_BITS));
}

void bpi_pool_accounts_add_storage(struct bpi_pool_accounts *accounts,
                                   struct bpi_pool_account *storage)
{
    storage->next = accounts->unused;
    accounts->unused = storage;
}

void bpi_pool_accounts_add(struct bpi_pool_accounts *accounts,
                           uint64_t key,
                           enum bpi_pool_account_kind kind)
{
    struct bpi_pool_account **bucket = &accounts->buckets[bucket_of(key)];
    struct bpi_pool_account *account = *bucket;
    while (account != NULL && account->key != key) {
        account = account->next;
    }
    if (account == NULL) {
        BP_ASSERT(accounts->unused != NULL);
        account = accounts->unused;
        accounts->unused = account->next;
        *account = (struct bpi_pool_account){.next = *bucket, .key = key};
        *bucket = account;
    }
    account->counts[kind]++;
}

void bpi_pool_accounts_remove(struct bpi_pool_accounts *accounts,
                              uint64_t key,
                              enum bpi_pool_account_kind kind)
{
    struct bpi_pool_account **at = &accounts->buckets[bucket_of(key)];
    while (*at != NULL && (*at)->key != key) {
        at = &(*at)->next;
    }
    struct bpi_pool_account *account = *at;
    BP_ASSERT(account != NULL && account->counts[kind] > 0);
    account->counts[kind]--;
    if (account->counts[BPI_POOL_HELD] == 0 && account->counts[BPI_POOL_CLAIMED] == 0) {
        *at = account->next;
        bpi_pool_accounts_add_storage(accounts, account);
    }
}

const struct bpi_pool_account *bpi_pool_accounts_get(const struct bpi_pool_accounts *accounts,
                                                     uint64_t key)
{
    const struct bpi_pool_account *account = accounts->buckets[bucket_of(key)];
    while (account != NULL && account->key != key) {
        account = account->next;
    }
    return account;
}
