/* See version.h. The table below is the one place that lists the versions boltpool speaks. */
#include "bolt/version.h"

#include <stdio.h>
#include <string.h>

static const bpi_bolt_version table[] = {
    BPI_BOLT(4, 1), BPI_BOLT(4, 2), BPI_BOLT(4, 3), BPI_BOLT(4, 4), BPI_BOLT(5, 0),
    BPI_BOLT(5, 1), BPI_BOLT(5, 2), BPI_BOLT(5, 3), BPI_BOLT(5, 4), BPI_BOLT(5, 6),
    BPI_BOLT(5, 7), BPI_BOLT(5, 8), BPI_BOLT(6, 0), BPI_BOLT(6, 1),
};

#define TABLE_SIZE (sizeof(table) / sizeof(table[0]))

bpi_bolt_versions bpi_bolt_versions_all(void)
{
    return ((bpi_bolt_versions)1 << TABLE_SIZE) - 1;
}

bpi_bolt_versions bpi_bolt_versions_of(bpi_bolt_version version)
{
    return bpi_bolt_versions_range(version, version);
}

bpi_bolt_versions bpi_bolt_versions_range(bpi_bolt_version oldest, bpi_bolt_version newest)
{
    bpi_bolt_versions set = 0;
    for (size_t i = 0; i < TABLE_SIZE; i++) {
        if (table[i] >= oldest && table[i] <= newest) {
            set |= (bpi_bolt_versions)1 << i;
        }
    }
    return set;
}

bpi_bolt_version bpi_bolt_versions_newest(bpi_bolt_versions versions)
{
    versions &= bpi_bolt_versions_all();
    return versions == 0 ? 0 : table[31 - __builtin_clz(versions)];
}

bpi_bolt_version bpi_bolt_versions_oldest(bpi_bolt_versions versions)
{
    versions &= bpi_bolt_versions_all();
    return versions == 0 ? 0 : table[__builtin_ctz(versions)];
}

bool bpi_bolt_version_parse(const char *text, bpi_bolt_version *ret_version)
{
    for (size_t i = 0; i < TABLE_SIZE; i++) {
        char name[8];
        if (strcmp(bpi_bolt_version_format(table[i], name, sizeof(name)), text) == 0) {
            *ret_version = table[i];
            return true;
        }
    }
    return false;
}

const char *bpi_bolt_version_format(bpi_bolt_version version, char *text, size_t size)
{
    snprintf(text, size, "%d.%d", version >> 8, version & 0xff);
    return text;
}

bpi_bolt_version bpi_bolt_version_link(bpi_bolt_version version, bpi_bolt_versions spoken)
{
    bpi_bolt_versions group = bpi_bolt_versions_of(version);
    if (version == BPI_BOLT(4, 1) || version == BPI_BOLT(4, 2)) {
        group = bpi_bolt_versions_range(BPI_BOLT(4, 1), BPI_BOLT(4, 2));
    } else if (version >= BPI_BOLT(5, 2) && version <= BPI_BOLT(5, 4)) {
        group = bpi_bolt_versions_range(BPI_BOLT(5, 2), BPI_BOLT(5, 4));
    }
    bpi_bolt_version link = bpi_bolt_versions_newest(group & spoken);
    return link == 0 ? version : link;
}
