/* Bolt's structures (Node, Date, Point, Vector ...) as typed C values over packstream.h.
 *
 * One table of tags, names and field counts by version drives reading, writing and checking, so
 * "a structure of this version" has one source. Strings and nested values stay where they lie in
 * the message; nothing is allocated.
 */
#ifndef BPI_BOLT_VALUE_H
#define BPI_BOLT_VALUE_H

#include "bolt/packstream.h"
#include "bolt/version.h"

enum bpi_bolt_struct_tag {
    BPI_STRUCT_NODE = 0x4e,
    BPI_STRUCT_RELATIONSHIP = 0x52,
    BPI_STRUCT_UNBOUND_RELATIONSHIP = 0x72,
    BPI_STRUCT_PATH = 0x50,
    BPI_STRUCT_DATE = 0x44,
    BPI_STRUCT_TIME = 0x54,
    BPI_STRUCT_LOCAL_TIME = 0x74,
    BPI_STRUCT_LOCAL_DATE_TIME = 0x64,
    BPI_STRUCT_DATE_TIME = 0x49,
    BPI_STRUCT_DATE_TIME_ZONE_ID = 0x69,
    BPI_STRUCT_LEGACY_DATE_TIME = 0x46,
    BPI_STRUCT_LEGACY_DATE_TIME_ZONE_ID = 0x66,
    BPI_STRUCT_DURATION = 0x45,
    BPI_STRUCT_POINT_2D = 0x58,
    BPI_STRUCT_POINT_3D = 0x59,
    BPI_STRUCT_VECTOR = 0x56,
    BPI_STRUCT_UNSUPPORTED = 0x3f,
};

/* The structure's name ("Node"), or NULL for a tag that no version knows. */
const char *bpi_bolt_struct_name(uint8_t tag);
/* How many fields the structure has in `version` (with the utc patch or not, which matters for 4.3
 * and 4.4 only); 0 where that version doesn't have it. */
uint32_t bpi_bolt_struct_fields(uint8_t tag, bpi_bolt_version version, bool utc_patch);
/* Checks one whole value, nested ones too: tags and field counts of `version`, UUID only from 6.1,
 * limits. Steps over it. Errors: as bpi_pack_skip(), BP_E_FIELDS, BP_E_TYPE for a tag unknown
 * there. */
BP_MUST_CHECK int bpi_bolt_value_check(struct bpi_pack_reader *reader,
                                       bpi_bolt_version version,
                                       bool utc_patch,
                                       const struct bpi_pack_limits *limits);

#endif
