/* See ledger.h. */
#include "sim/ledger.h"

#include <boltpool/error.h>

#include <stdlib.h>
#include <string.h>

static unsigned ledger_hash(const char *key, size_t size)
{
    unsigned hash = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ (unsigned char)key[i]) * 16777619u;
    }
    return hash;
}

/* uthash's own function falls through its cases without saying so, which clang refuses. */
#define HASH_FUNCTION(key, size, hash) ((hash) = ledger_hash((const char *)(key), (size)))
/* An out-of-memory in uthash undoes the insertion and sets hh.tbl to NULL instead of ending the
 * process. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

struct bpi_sim_ledger_entry {
    UT_hash_handle hh;
    uint64_t count;
    char id[];
};

void bpi_sim_ledger_done(struct bpi_sim_ledger *ledger)
{
    while (ledger->entries != NULL) {
        struct bpi_sim_ledger_entry *entry = ledger->entries;
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): HASH_DEL has moved the head on before it is freed */
        HASH_DEL(ledger->entries, entry);
        free(entry);
    }
    *ledger = (struct bpi_sim_ledger){0};
}

int bpi_sim_ledger_add(struct bpi_sim_ledger *ledger, const char *id)
{
    struct bpi_sim_ledger_entry *entry;
    size_t size = strlen(id);
    HASH_FIND(hh, ledger->entries, id, size, entry);
    if (entry == NULL) {
        entry = calloc(1, sizeof(*entry) + size + 1);
        if (entry == NULL) {
            return BP_E_NO_MEMORY;
        }
        memcpy(entry->id, id, size + 1);
        HASH_ADD_KEYPTR(hh, ledger->entries, entry->id, size, entry);
        if (entry->hh.tbl == NULL) {
            free(entry);
            return BP_E_NO_MEMORY;
        }
        ledger->ids++;
    }
    entry->count++;
    ledger->commits++;
    return 0;
}

uint64_t bpi_sim_ledger_count(const struct bpi_sim_ledger *ledger, const char *id)
{
    struct bpi_sim_ledger_entry *entry;
    HASH_FIND(hh, ledger->entries, id, strlen(id), entry);
    return entry == NULL ? 0 : entry->count;
}
