/* See client.h: bookmarks.
 *
 * Each has a serial number. A transaction remembers the highest one that it was begun with, and its own bookmark replaces
 * all up to that; what others added meanwhile stays.
 */
#include "client/client.h"

#include <boltpool/error.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BOOKMARKS_MAX      1000
#define BOOKMARK_BYTES_MAX ((size_t)4096)

struct bookmark {
    uint64_t serial;
    char *text;
};

/* Lock: mutex, for all. Not held while anything blocks. */
struct bp_bookmarks {
    pthread_mutex_t mutex;
    uint64_t serial;
    size_t count, capacity;
    struct bookmark *items;
};

int bp_bookmarks_new(struct bp_bookmarks **ret_bookmarks)
{
    if (ret_bookmarks == NULL) {
        return BP_E_USAGE;
    }
    struct bp_bookmarks *bookmarks = calloc(1, sizeof(*bookmarks));
    if (bookmarks == NULL) {
        return BP_E_NO_MEMORY;
    }
    pthread_mutex_init(&bookmarks->mutex, NULL);
    *ret_bookmarks = bookmarks;
    return 0;
}

void bp_bookmarks_free(struct bp_bookmarks *bookmarks)
{
    if (bookmarks == NULL) {
        return;
    }
    for (size_t i = 0; i < bookmarks->count; i++) {
        free(bookmarks->items[i].text);
    }
    free(bookmarks->items);
    pthread_mutex_destroy(&bookmarks->mutex);
    free(bookmarks);
}

static int add_locked(struct bp_bookmarks *bookmarks, const char *text, size_t size)
{
    for (size_t i = 0; i < bookmarks->count; i++) {
        const char *have = bookmarks->items[i].text;
        if (have != NULL && strlen(have) == size && memcmp(have, text, size) == 0) {
            bookmarks->items[i].serial = ++bookmarks->serial;
            return 0;
        }
    }
    if (bookmarks->count == BOOKMARKS_MAX) {
        return BP_E_FULL;
    }
    if (bookmarks->count == bookmarks->capacity) {
        size_t capacity = bookmarks->capacity == 0 ? 4 : 2 * bookmarks->capacity;
        struct bookmark *items = realloc(bookmarks->items, capacity * sizeof(*items));
        if (items == NULL) {
            return BP_E_NO_MEMORY;
        }
        bookmarks->items = items;
        bookmarks->capacity = capacity;
    }
    char *copy = strndup(text, size);
    if (copy == NULL) {
        return BP_E_NO_MEMORY;
    }
    bookmarks->items[bookmarks->count++] = (struct bookmark){++bookmarks->serial, copy};
    return 0;
}

int bp_bookmarks_add(struct bp_bookmarks *bookmarks, const char *bookmark)
{
    if (bookmarks == NULL || bookmark == NULL) {
        return BP_E_USAGE;
    }
    size_t size = strlen(bookmark);
    if (size > BOOKMARK_BYTES_MAX) {
        return BP_E_SIZE;
    }
    if (!bpi_utf8_valid((const uint8_t *)bookmark, size)) {
        return BP_E_UTF8;
    }
    pthread_mutex_lock(&bookmarks->mutex);
    int error = add_locked(bookmarks, bookmark, size);
    pthread_mutex_unlock(&bookmarks->mutex);
    return error;
}

size_t bp_bookmarks_count(struct bp_bookmarks *bookmarks)
{
    if (bookmarks == NULL) {
        return 0;
    }
    pthread_mutex_lock(&bookmarks->mutex);
    size_t count = bookmarks->count;
    pthread_mutex_unlock(&bookmarks->mutex);
    return count;
}

int64_t bp_bookmarks_get(struct bp_bookmarks *bookmarks, size_t index, char *text, size_t size)
{
    if (bookmarks == NULL || (text == NULL && size > 0)) {
        return BP_E_USAGE;
    }
    int64_t length = BP_E_USAGE;
    pthread_mutex_lock(&bookmarks->mutex);
    if (index < bookmarks->count) {
        length = snprintf(text, size, "%s", bookmarks->items[index].text);
    }
    pthread_mutex_unlock(&bookmarks->mutex);
    return length;
}

int bpi_bookmarks_write(struct bp_bookmarks *bookmarks,
                        struct bpi_pack_writer *writer,
                        uint64_t *ret_serial)
{
    *ret_serial = 0;
    if (bookmarks == NULL) {
        return 0;
    }
    pthread_mutex_lock(&bookmarks->mutex);
    *ret_serial = bookmarks->serial;
    size_t count = bookmarks->count;
    if (count > 0) {
        bpi_pack_text(writer, "bookmarks");
        bpi_pack_list(writer, count);
        for (size_t i = 0; i < count; i++) {
            bpi_pack_text(writer, bookmarks->items[i].text);
        }
    }
    pthread_mutex_unlock(&bookmarks->mutex);
    return count > 0;
}

static void drop_up_to(struct bp_bookmarks *bookmarks, uint64_t serial)
{
    size_t kept = 0;
    for (size_t i = 0; i < bookmarks->count; i++) {
        struct bookmark item = bookmarks->items[i];
        bookmarks->items[i] = (struct bookmark){0};
        if (item.serial <= serial) {
            free(item.text);
        } else {
            bookmarks->items[kept++] = item;
        }
    }
    bookmarks->count = kept;
}

void bpi_bookmarks_replace(struct bp_bookmarks *bookmarks,
                           uint64_t serial,
                           struct bpi_bolt_text bookmark)
{
    pthread_mutex_lock(&bookmarks->mutex);
    drop_up_to(bookmarks, serial);
    /* Without memory for it, or in the place of a thousand others that were added meanwhile, it is left out: a
     * reader may then see less. There is room here for the one that was just removed. */
    if (bookmark.size <= BOOKMARK_BYTES_MAX) {
        (void)add_locked(bookmarks, bookmark.data, bookmark.size);
    }
    pthread_mutex_unlock(&bookmarks->mutex);
}
