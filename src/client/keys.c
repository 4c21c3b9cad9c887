/* See keys.h. */
#include "client/keys.h"

#include <boltpool/error.h>

#include <openssl/rand.h>

#include <stdlib.h>
#include <string.h>

/* Up to here comparing with each key is as quick as a table, as most differ in size. Doubled: some 50 ns more for the
 * last key. */
#define LINEAR_MAX 16
/* Keeps numbers, doubled capacities and their bytes inside 32 bits. */
#define COUNT_MAX (UINT32_MAX / 64)

void bpi_keys_done(struct bpi_keys *keys)
{
    free(keys->keys);
    memset(keys, 0, sizeof(*keys));
}

void bpi_keys_map_done(struct bpi_keys_map *map)
{
    free(map->table);
    memset(map, 0, sizeof(*map));
}

void bpi_keys_open(const struct bpi_keys *keys, struct bpi_keys_map *map)
{
    map->begin = keys->count;
    map->has_table = false;
}

void bpi_keys_close(struct bpi_keys *keys, struct bpi_keys_map *map)
{
    keys->count = map->begin;
    map->has_table = false;
}

/* The product's halves folded into one, as in wyhash: each bit of it depends on all of both factors. */
static uint64_t fold(uint64_t a, uint64_t b)
{
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint32_t hash_of(const struct bpi_keys *keys, const uint8_t *text, size_t size)
{
    uint64_t hash = keys->seed[0] ^ size;
    for (size_t i = 0; i < size; i += 8) {
        uint64_t word = 0;
        memcpy(&word, text + i, size - i < 8 ? size - i : 8);
        hash = fold(hash ^ word, keys->seed[1]);
    }
    hash = fold(hash ^ keys->seed[1], keys->seed[0]);
    return (uint32_t)(hash ^ hash >> 32);
}

static bool key_is(const struct bpi_key *key, const uint8_t *data, const char *text, uint32_t size)
{
    return key->size == size && memcmp(data + key->offset, text, size) == 0;
}

static void table_put(struct bpi_keys_map *map, uint32_t hash, uint32_t number)
{
    uint32_t at = hash & (map->table_size - 1);
    while (map->table[at] != 0) {
        at = (at + 1) & (map->table_size - 1);
    }
    map->table[at] = number + 1;
}

static int draw_seed(struct bpi_keys *keys)
{
    if (keys->seed[0] != 0) {
        return 0;
    }
    if (RAND_bytes((unsigned char *)keys->seed, sizeof(keys->seed)) != 1) {
        return BP_E_INTERNAL;
    }
    /* No factor may be so small that the product's upper half is empty. */
    keys->seed[0] |= UINT64_C(0x8000000000000001);
    keys->seed[1] |= UINT64_C(0x8000000000000001);
    return 0;
}

/* Gives the map a table that is at most half full with one key more. */
static int table_build(struct bpi_keys *keys, struct bpi_keys_map *map, const uint8_t *data)
{
    uint32_t own = keys->count - map->begin;
    uint32_t size = 4 * LINEAR_MAX;
    while (size / 2 <= own) {
        size *= 2;
    }
    int error = draw_seed(keys);
    if (error != 0) {
        return error;
    }
    if (map->table_capacity < size) {
        uint32_t *table = malloc(size * sizeof(*table));
        if (table == NULL) {
            return BP_E_NO_MEMORY;
        }
        free(map->table);
        map->table = table;
        map->table_capacity = size;
    }
    map->table_size = size;
    memset(map->table, 0, size * sizeof(*map->table));
    for (uint32_t i = 0; i < own; i++) {
        struct bpi_key *key = &keys->keys[map->begin + i];
        if (!map->has_table) {
            key->hash = hash_of(keys, data + key->offset, key->size);
        }
        table_put(map, key->hash, i);
    }
    map->has_table = true;
    return 0;
}

static bool table_has(const struct bpi_keys *keys,
                      const struct bpi_keys_map *map,
                      const uint8_t *data,
                      uint32_t hash,
                      const char *text,
                      uint32_t size)
{
    uint32_t at = hash & (map->table_size - 1);
    while (map->table[at] != 0) {
        const struct bpi_key *key = &keys->keys[map->begin + map->table[at] - 1];
        if (key->hash == hash && key_is(key, data, text, size)) {
            return true;
        }
        at = (at + 1) & (map->table_size - 1);
    }
    return false;
}

static bool list_has(const struct bpi_keys *keys,
                     const struct bpi_keys_map *map,
                     const uint8_t *data,
                     const char *text,
                     uint32_t size)
{
    for (uint32_t i = map->begin; i < keys->count; i++) {
        if (key_is(&keys->keys[i], data, text, size)) {
            return true;
        }
    }
    return false;
}

static int grow(struct bpi_keys *keys)
{
    if (keys->count < keys->capacity) {
        return 0;
    }
    uint32_t capacity = keys->capacity == 0 ? LINEAR_MAX : 2 * keys->capacity;
    struct bpi_key *larger =
        keys->count >= COUNT_MAX ? NULL : realloc(keys->keys, capacity * sizeof(*larger));
    if (larger == NULL) {
        return BP_E_NO_MEMORY;
    }
    keys->keys = larger;
    keys->capacity = capacity;
    return 0;
}

int bpi_keys_add(struct bpi_keys *keys,
                 struct bpi_keys_map *map,
                 const uint8_t *data,
                 size_t offset,
                 const char *text,
                 uint32_t size)
{
    int error = grow(keys);
    if (error != 0) {
        return error;
    }
    uint32_t own = keys->count - map->begin;
    if (own >= LINEAR_MAX && (!map->has_table || map->table_size / 2 <= own)) {
        error = table_build(keys, map, data);
        if (error != 0) {
            return error;
        }
    }
    struct bpi_key key = {.offset = offset, .size = size, .hash = 0};
    if (map->has_table) {
        key.hash = hash_of(keys, (const uint8_t *)text, size);
        if (table_has(keys, map, data, key.hash, text, size)) {
            return BP_E_USAGE;
        }
        table_put(map, key.hash, own);
    } else if (list_has(keys, map, data, text, size)) {
        return BP_E_USAGE;
    }
    keys->keys[keys->count++] = key;
    return 0;
}
