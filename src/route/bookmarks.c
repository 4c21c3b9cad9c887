/* See bookmarks.h. */
#include "route/bookmarks.h"

#define BUCKET_BITS 13

_Static_assert(BPI_ROUTE_BOOKMARK_BUCKETS == 1 << BUCKET_BITS,
               "bucket_of() gives BUCKET_BITS bits");
_Static_assert(BPI_ROUTE_BOOKMARKS < UINT16_MAX, "index + 1 fits");

static unsigned bucket_of(uint64_t key)
{
    return (unsigned)((key * UINT64_C(0x9e3779b97f4a7c15)) >> (64 - BUCKET_BITS));
}

static uint16_t find(const struct bpi_route_bookmarks *bookmarks, uint64_t key)
{
    uint16_t at = bookmarks->buckets[bucket_of(key)];
    while (at != 0 && bookmarks->entries[at - 1].key != key)
        at = bookmarks->entries[at - 1].next_in_bucket;
    return at;
}

static void list_remove(struct bpi_route_bookmarks *bookmarks, uint16_t at)
{
    const struct bpi_route_bookmark *entry = &bookmarks->entries[at - 1];
    if (entry->newer != 0) {
        bookmarks->entries[entry->newer - 1].older = entry->older;
    } else {
        bookmarks->newest = entry->older;
    }
    if (entry->older != 0) {
        bookmarks->entries[entry->older - 1].newer = entry->newer;
    } else {
        bookmarks->oldest = entry->newer;
    }
}

static void list_add(struct bpi_route_bookmarks *bookmarks, uint16_t at)
{
    struct bpi_route_bookmark *entry = &bookmarks->entries[at - 1];
    entry->newer = 0;
    entry->older = bookmarks->newest;
    if (bookmarks->newest != 0) {
        bookmarks->entries[bookmarks->newest - 1].newer = at;
    } else {
        bookmarks->oldest = at;
    }
    bookmarks->newest = at;
}

static void bucket_remove(struct bpi_route_bookmarks *bookmarks, uint16_t at)
{
    uint16_t *link = &bookmarks->buckets[bucket_of(bookmarks->entries[at - 1].key)];
    while (*link != at)
        link = &bookmarks->entries[*link - 1].next_in_bucket;
    *link = bookmarks->entries[at - 1].next_in_bucket;
}

void bpi_route_bookmarks_put(struct bpi_route_bookmarks *bookmarks,
                             uint64_t key,
                             unsigned endpoint,
                             uint32_t generation)
{
    uint16_t at = find(bookmarks, key);
    if (at != 0) {
        list_remove(bookmarks, at);
    } else {
        if (bookmarks->count < BPI_ROUTE_BOOKMARKS) {
            at = (uint16_t)++bookmarks->count;
        } else {
            at = bookmarks->oldest;
            list_remove(bookmarks, at);
            bucket_remove(bookmarks, at);
        }
        uint16_t *bucket = &bookmarks->buckets[bucket_of(key)];
        bookmarks->entries[at - 1].key = key;
        bookmarks->entries[at - 1].next_in_bucket = *bucket;
        *bucket = at;
    }
    bookmarks->entries[at - 1].endpoint = (uint16_t)endpoint;
    bookmarks->entries[at - 1].generation = generation;
    list_add(bookmarks, at);
}

bool bpi_route_bookmarks_find(struct bpi_route_bookmarks *bookmarks,
                              uint64_t key,
                              unsigned *ret_endpoint,
                              uint32_t *ret_generation)
{
    uint16_t at = find(bookmarks, key);
    if (at == 0) {
        return false;
    }
    list_remove(bookmarks, at);
    list_add(bookmarks, at);
    *ret_endpoint = bookmarks->entries[at - 1].endpoint;
    *ret_generation = bookmarks->entries[at - 1].generation;
    return true;
}
