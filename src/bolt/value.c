/* See value.h. The table is the one source of "a structure of this version". */
#include "bolt/value.h"

#include <boltpool/error.h>

/* Whether a row holds with the utc patch of 4.3 and 4.4, without it, or regardless. */
enum patch_rule {
    PATCH_ANY,
    PATCH_ON,
    PATCH_OFF,
};

struct struct_row {
    uint8_t tag;
    uint8_t fields;
    enum patch_rule patch;
    bpi_bolt_version first;
    bpi_bolt_version last;
    const char *name;
};

#define OLDEST BPI_BOLT(0, 0)
#define NEWEST BPI_BOLT(255, 255)
#define V4_2   BPI_BOLT(4, 2)
#define V4_3   BPI_BOLT(4, 3)
#define V4_4   BPI_BOLT(4, 4)
#define V5_0   BPI_BOLT(5, 0)
#define V6_0   BPI_BOLT(6, 0)

static const struct struct_row table[] = {
    {BPI_STRUCT_NODE, 3, PATCH_ANY, OLDEST, V4_4, "Node"},
    {BPI_STRUCT_NODE, 4, PATCH_ANY, V5_0, NEWEST, "Node"},
    {BPI_STRUCT_RELATIONSHIP, 5, PATCH_ANY, OLDEST, V4_4, "Relationship"},
    {BPI_STRUCT_RELATIONSHIP, 8, PATCH_ANY, V5_0, NEWEST, "Relationship"},
    {BPI_STRUCT_UNBOUND_RELATIONSHIP, 3, PATCH_ANY, OLDEST, V4_4, "UnboundRelationship"},
    {BPI_STRUCT_UNBOUND_RELATIONSHIP, 4, PATCH_ANY, V5_0, NEWEST, "UnboundRelationship"},
    {BPI_STRUCT_PATH, 3, PATCH_ANY, OLDEST, NEWEST, "Path"},
    {BPI_STRUCT_DATE, 1, PATCH_ANY, OLDEST, NEWEST, "Date"},
    {BPI_STRUCT_TIME, 2, PATCH_ANY, OLDEST, NEWEST, "Time"},
    {BPI_STRUCT_LOCAL_TIME, 1, PATCH_ANY, OLDEST, NEWEST, "LocalTime"},
    {BPI_STRUCT_LOCAL_DATE_TIME, 2, PATCH_ANY, OLDEST, NEWEST, "LocalDateTime"},
    {BPI_STRUCT_DATE_TIME, 3, PATCH_ON, V4_3, V4_4, "DateTime"},
    {BPI_STRUCT_DATE_TIME, 3, PATCH_ANY, V5_0, NEWEST, "DateTime"},
    {BPI_STRUCT_DATE_TIME_ZONE_ID, 3, PATCH_ON, V4_3, V4_4, "DateTimeZoneId"},
    {BPI_STRUCT_DATE_TIME_ZONE_ID, 3, PATCH_ANY, V5_0, NEWEST, "DateTimeZoneId"},
    {BPI_STRUCT_LEGACY_DATE_TIME, 3, PATCH_ANY, OLDEST, V4_2, "LegacyDateTime"},
    {BPI_STRUCT_LEGACY_DATE_TIME, 3, PATCH_OFF, V4_3, V4_4, "LegacyDateTime"},
    {BPI_STRUCT_LEGACY_DATE_TIME_ZONE_ID, 3, PATCH_ANY, OLDEST, V4_2, "LegacyDateTimeZoneId"},
    {BPI_STRUCT_LEGACY_DATE_TIME_ZONE_ID, 3, PATCH_OFF, V4_3, V4_4, "LegacyDateTimeZoneId"},
    {BPI_STRUCT_DURATION, 4, PATCH_ANY, OLDEST, NEWEST, "Duration"},
    {BPI_STRUCT_POINT_2D, 3, PATCH_ANY, OLDEST, NEWEST, "Point2D"},
    {BPI_STRUCT_POINT_3D, 4, PATCH_ANY, OLDEST, NEWEST, "Point3D"},
    {BPI_STRUCT_VECTOR, 2, PATCH_ANY, V6_0, NEWEST, "Vector"},
    {BPI_STRUCT_UNSUPPORTED, 4, PATCH_ANY, V6_0, NEWEST, "UnsupportedType"},
};

#define TABLE_SIZE (sizeof(table) / sizeof(table[0]))

const char *bpi_bolt_struct_name(uint8_t tag)
{
    for (size_t i = 0; i < TABLE_SIZE; i++) {
        if (table[i].tag == tag) {
            return table[i].name;
        }
    }
    return NULL;
}

uint32_t bpi_bolt_struct_fields(uint8_t tag, bpi_bolt_version version, bool utc_patch)
{
    enum patch_rule state = utc_patch ? PATCH_ON : PATCH_OFF;
    for (size_t i = 0; i < TABLE_SIZE; i++) {
        const struct struct_row *row = &table[i];
        bool in_version = version >= row->first && version <= row->last;
        if (row->tag == tag && in_version && (row->patch == PATCH_ANY || row->patch == state)) {
            return row->fields;
        }
    }
    return 0;
}

struct value_rules {
    bpi_bolt_version version;
    bool utc_patch;
};

static int check_item(const struct bpi_pack_item *item, void *context)
{
    const struct value_rules *rules = context;
    if (item->type == BPI_PACK_UUID) {
        return rules->version >= BPI_BOLT(6, 1) ? 0 : BP_E_TYPE;
    }
    if (item->type != BPI_PACK_STRUCT) {
        return 0;
    }
    uint32_t fields = bpi_bolt_struct_fields(item->tag, rules->version, rules->utc_patch);
    if (fields == 0) {
        return BP_E_TYPE;
    }
    return fields == item->count ? 0 : BP_E_FIELDS;
}

int bpi_bolt_value_check(struct bpi_pack_reader *reader,
                         bpi_bolt_version version,
                         bool utc_patch,
                         const struct bpi_pack_limits *limits)
{
    struct value_rules rules = {.version = version, .utc_patch = utc_patch};
    return bpi_pack_walk(reader, limits, check_item, &rules);
}
