/* The keys of maps that are being written: whether one is there already.
 *
 * Servers fail a whole query for one key that a map has twice. The keys of all open maps lie on one stack, each as a
 * place in the bytes that were written; the innermost map's are on its top. A map compares a new key with each of its own while
 * they are few, and looks it up in a table of hashes from then on. The hash is keyed with random numbers: keys may come from
 * a stranger, who must not be able to choose such as fall together.
 *
 * Invariant: map.begin of an outer map <= that of an inner one <= count <= capacity.
 * Owner: whoever writes the maps; no locks.
 */
#ifndef BPI_CLIENT_KEYS_H
#define BPI_CLIENT_KEYS_H

#include <boltpool/types.h>

#include <stdbool.h>

struct bpi_key {
    size_t offset; /* of its text */
    uint32_t size;
    uint32_t hash; /* set where its map has a table */
};

/* A zeroed struct is an empty stack. */
struct bpi_keys {
    struct bpi_key *keys;
    uint32_t count;
    uint32_t capacity;
    uint64_t seed[2]; /* both 0 until the first table */
};

/* One map's part of the stack. A zeroed struct is one that is not open. */
struct bpi_keys_map {
    uint32_t begin;
    bool has_table;
    /* Numbers of keys from `begin` on, plus 1; 0 = free. The memory stays for the next map that uses this struct. */
    uint32_t *table;
    uint32_t table_size; /* a power of two <= table_capacity */
    uint32_t table_capacity;
};

void bpi_keys_done(struct bpi_keys *keys);
void bpi_keys_map_done(struct bpi_keys_map *map);
/* Begins a map inside those that are open. */
void bpi_keys_open(const struct bpi_keys *keys, struct bpi_keys_map *map);
/* Ends the innermost map: its keys are forgotten. */
void bpi_keys_close(struct bpi_keys *keys, struct bpi_keys_map *map);
/* Notes that the innermost map gets `text`, which will lie at data + offset; the other keys lie in `data` already.
 * Errors: BP_E_USAGE where it has this key already, BP_E_NO_MEMORY, BP_E_INTERNAL without random numbers. */
BP_MUST_CHECK int bpi_keys_add(struct bpi_keys *keys,
                               struct bpi_keys_map *map,
                               const uint8_t *data,
                               size_t offset,
                               const char *text,
                               uint32_t size);

#endif
