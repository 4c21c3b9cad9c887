/* See auth_cache.h. */
#include "engine/auth_cache.h"

#include <string.h>

static size_t set_of(const uint8_t *digest)
{
    /* The digest is a keyed hash, so its first bytes are as good as random and not to be steered. */
    return ((size_t)digest[0] << 8 | digest[1]) % BPI_AUTH_CACHE_SETS;
}

bool bpi_auth_cache_holds(const struct bpi_auth_cache *cache, const uint8_t *digest, bp_usec now_us)
{
    const struct bpi_auth_cache_entry *set = cache->sets[set_of(digest)];
    for (size_t i = 0; i < BPI_AUTH_CACHE_WAYS; i++) {
        if (set[i].ends_us > now_us && memcmp(set[i].digest, digest, sizeof(set[i].digest)) == 0) {
            return true;
        }
    }
    return false;
}

void bpi_auth_cache_put(struct bpi_auth_cache *cache, const uint8_t *digest, bp_usec ends_us)
{
    struct bpi_auth_cache_entry *set = cache->sets[set_of(digest)];
    struct bpi_auth_cache_entry *target = &set[0];
    for (size_t i = 0; i < BPI_AUTH_CACHE_WAYS; i++) {
        if (memcmp(set[i].digest, digest, sizeof(set[i].digest)) == 0) {
            target = &set[i];
            break;
        }
        if (set[i].ends_us < target->ends_us) {
            target = &set[i];
        }
    }
    memcpy(target->digest, digest, sizeof(target->digest));
    target->ends_us = ends_us;
}

void bpi_auth_cache_forget(struct bpi_auth_cache *cache, const uint8_t *digest)
{
    struct bpi_auth_cache_entry *set = cache->sets[set_of(digest)];
    for (size_t i = 0; i < BPI_AUTH_CACHE_WAYS; i++) {
        if (memcmp(set[i].digest, digest, sizeof(set[i].digest)) == 0) {
            memset(&set[i], 0, sizeof(set[i]));
        }
    }
}
