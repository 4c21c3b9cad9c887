/* See table.h. */
#include "route/table.h"

#include <stddef.h>

static bp_usec elapsed_us(bp_usec since_us, bp_usec now_us)
{
    return now_us > since_us ? now_us - since_us : 0;
}

const struct bpi_route_table *bpi_route_tables_get(const struct bpi_route_tables *tables,
                                                   uint64_t database)
{
    const struct bpi_route_table *last = &tables->tables[tables->last];
    if (last->is_used && last->database == database) {
        return last;
    }
    for (unsigned i = 0; i < BPI_ROUTE_TABLES; i++) {
        if (tables->tables[i].is_used && tables->tables[i].database == database) {
            return &tables->tables[i];
        }
    }
    return NULL;
}

static struct bpi_route_table *find(struct bpi_route_tables *tables, uint64_t database)
{
    const struct bpi_route_table *table = bpi_route_tables_get(tables, database);
    if (table == NULL) {
        return NULL;
    }
    tables->last = (unsigned)(table - tables->tables);
    return &tables->tables[tables->last];
}

static struct bpi_route_table *
find_or_create(struct bpi_route_tables *tables, uint64_t database, bp_usec now_us)
{
    struct bpi_route_table *table = find(tables, database);
    if (table == NULL) {
        table = tables->tables;
        for (unsigned i = 0; i < BPI_ROUTE_TABLES && table->is_used; i++) {
            struct bpi_route_table *other = &tables->tables[i];
            if (!other->is_used || other->asked_us < table->asked_us) {
                table = other;
            }
        }
        *table = (struct bpi_route_table){.is_used = true, .database = database};
        tables->last = (unsigned)(table - tables->tables);
    }
    table->asked_us = now_us;
    return table;
}

enum bpi_route_table_state bpi_route_table_state(const struct bpi_route_table *table,
                                                 bp_usec now_us)
{
    bp_usec age_us = elapsed_us(table->put_us, now_us);
    if (!table->is_known || (age_us >= table->ttl_us && age_us - table->ttl_us > table->ttl_us)) {
        return BPI_ROUTE_TABLE_UNKNOWN;
    }
    return table->is_stale || age_us >= table->ttl_us ? BPI_ROUTE_TABLE_STALE
                                                      : BPI_ROUTE_TABLE_FRESH;
}

const struct bpi_route_table *
bpi_route_tables_want(struct bpi_route_tables *tables, uint64_t database, bp_usec now_us)
{
    return find_or_create(tables, database, now_us);
}

void bpi_route_tables_put(struct bpi_route_tables *tables,
                          const struct bpi_route_table *answer,
                          bp_usec now_us)
{
    struct bpi_route_table *table = find_or_create(tables, answer->database, now_us);
    table->readers = answer->readers;
    table->writers = answer->writers;
    table->routers = answer->routers;
    table->ttl_us =
        answer->ttl_us < BPI_ROUTE_TABLE_TTL_MAX_US ? answer->ttl_us : BPI_ROUTE_TABLE_TTL_MAX_US;
    table->put_us = now_us;
    table->is_known = true;
    table->is_stale = false;
    table->is_fetched = false;
    table->failures = 0;
    /* A table without a writer is an election's: ask again soon, not at once and for ever. */
    table->retry_us = now_us + BPI_ROUTE_TABLE_RETRY_US;
    if (table->writers == 0) {
        table->is_stale = true;
    }
}

bool bpi_route_tables_fetch(struct bpi_route_tables *tables, bp_usec now_us, uint64_t *ret_database)
{
    for (unsigned i = 0; i < BPI_ROUTE_TABLES; i++) {
        struct bpi_route_table *table = &tables->tables[i];
        if (!table->is_used || bpi_route_table_state(table, now_us) == BPI_ROUTE_TABLE_FRESH) {
            continue;
        }
        if (table->is_fetched && elapsed_us(table->fetch_us, now_us) >= BPI_ROUTE_TABLE_FETCH_US) {
            bpi_route_tables_fetch_failed(tables, table->database, now_us);
        }
        /* What nobody asked for since its last answer went out of date isn't refreshed for ever. */
        bool is_wanted =
            !table->is_known || elapsed_us(table->asked_us, now_us) <= 2 * table->ttl_us;
        if (table->is_fetched || now_us < table->retry_us || !is_wanted) {
            continue;
        }
        table->is_fetched = true;
        table->fetch_us = now_us;
        *ret_database = table->database;
        return true;
    }
    return false;
}

void bpi_route_tables_fetch_failed(struct bpi_route_tables *tables,
                                   uint64_t database,
                                   bp_usec now_us)
{
    struct bpi_route_table *table = find(tables, database);
    if (table == NULL) {
        return;
    }
    bp_usec wait_us = BPI_ROUTE_TABLE_RETRY_US;
    for (unsigned i = 0; i < table->failures && wait_us < BPI_ROUTE_TABLE_RETRY_MAX_US; i++)
        wait_us *= 2;
    table->failures++;
    table->is_fetched = false;
    table->retry_us =
        now_us + (wait_us < BPI_ROUTE_TABLE_RETRY_MAX_US ? wait_us : BPI_ROUTE_TABLE_RETRY_MAX_US);
}

void bpi_route_tables_not_a_leader(struct bpi_route_tables *tables,
                                   uint64_t database,
                                   unsigned endpoint)
{
    struct bpi_route_table *table = find(tables, database);
    if (table != NULL) {
        table->writers &= ~(UINT64_C(1) << endpoint);
        table->is_stale = true;
    }
}

void bpi_route_tables_doubt(struct bpi_route_tables *tables, unsigned endpoint)
{
    for (unsigned i = 0; i < BPI_ROUTE_TABLES; i++) {
        struct bpi_route_table *table = &tables->tables[i];
        table->is_stale = table->is_stale || (table->writers >> endpoint & 1) != 0;
    }
}

void bpi_route_tables_changed(struct bpi_route_tables *tables)
{
    for (unsigned i = 0; i < BPI_ROUTE_TABLES; i++)
        tables->tables[i].is_stale = true;
}

void bpi_route_tables_remove_endpoint(struct bpi_route_tables *tables, unsigned endpoint)
{
    uint64_t kept = ~(UINT64_C(1) << endpoint);
    for (unsigned i = 0; i < BPI_ROUTE_TABLES; i++) {
        struct bpi_route_table *table = &tables->tables[i];
        table->is_stale =
            table->is_stale || ((table->readers | table->writers | table->routers) & ~kept) != 0;
        table->readers &= kept;
        table->writers &= kept;
        table->routers &= kept;
    }
}

void bpi_route_tables_set_home(struct bpi_route_tables *tables,
                               uint64_t user,
                               uint64_t database,
                               bp_usec until_us,
                               bp_usec now_us)
{
    struct bpi_route_home *home = tables->homes;
    for (unsigned i = 0; i < BPI_ROUTE_HOMES; i++) {
        struct bpi_route_home *other = &tables->homes[i];
        if (other->is_used && other->user == user) {
            home = other;
            break;
        }
        if (home->is_used && (!other->is_used || other->asked_us < home->asked_us)) {
            home = other;
        }
    }
    *home = (struct bpi_route_home){.is_used = true,
                                    .user = user,
                                    .database = database,
                                    .asked_us = now_us,
                                    .until_us = until_us};
}

bool bpi_route_tables_home(struct bpi_route_tables *tables,
                           uint64_t user,
                           bp_usec now_us,
                           uint64_t *ret_database)
{
    for (unsigned i = 0; i < BPI_ROUTE_HOMES; i++) {
        struct bpi_route_home *home = &tables->homes[i];
        if (home->is_used && home->user == user) {
            home->asked_us = now_us;
            if (now_us >= home->until_us) {
                return false;
            }
            *ret_database = home->database;
            return true;
        }
    }
    return false;
}
