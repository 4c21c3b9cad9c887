/* Bolt versions and what changed between them, as questions.
 *
 * A version is major * 256 + minor, so versions compare as numbers; 0 is no version.
 */
#ifndef BPI_BOLT_VERSION_H
#define BPI_BOLT_VERSION_H

#include <boltpool/types.h>

#include <stdbool.h>

typedef uint16_t bpi_bolt_version;

#define BPI_BOLT(major, minor) ((bpi_bolt_version)((major) << 8 | (minor)))
#define BPI_BOLT_NEWEST        BPI_BOLT(6, 1)

/* One bit for each version that boltpool speaks (4.1-4.4, 5.0-5.4, 5.6-5.8, 6.0, 6.1), bit 0 the
 * oldest. 4.0 has no NOOP and no kept driver speaks nothing newer; 5.5 was never used.
 */
typedef uint32_t bpi_bolt_versions;

bpi_bolt_versions bpi_bolt_versions_all(void);
bpi_bolt_versions bpi_bolt_versions_of(bpi_bolt_version version); /* 0 where we don't speak it */
/* All that we speak between the two, both included. */
bpi_bolt_versions bpi_bolt_versions_range(bpi_bolt_version oldest, bpi_bolt_version newest);
bpi_bolt_version bpi_bolt_versions_newest(bpi_bolt_versions versions); /* 0 of the empty set */
bpi_bolt_version bpi_bolt_versions_oldest(bpi_bolt_versions versions);

/* "5.8" -> BPI_BOLT(5, 8); false where the text is no version that we speak. */
bool bpi_bolt_version_parse(const char *text, bpi_bolt_version *ret_version);
/* Writes "5.8"; `size` of at least 8. Returns `text`. */
const char *bpi_bolt_version_format(bpi_bolt_version version, char *text, size_t size);

/* The version that links of `version` use: messages of all versions of one group are identical for
 * a pooler that ends HELLO, LOGON, ROUTE and TELEMETRY itself (4.1 = 4.2; 5.2 = 5.3 = 5.4), so the
 * newest member that is in `spoken` stands for all. Any other version stands for itself.
 */
bpi_bolt_version bpi_bolt_version_link(bpi_bolt_version version, bpi_bolt_versions spoken);

static inline bool bpi_bolt_has_logon(bpi_bolt_version v)
{
    return v >= BPI_BOLT(5, 1);
}
static inline bool bpi_bolt_has_noop(bpi_bolt_version v)
{
    return v >= BPI_BOLT(4, 1);
}
static inline bool bpi_bolt_has_route_map(bpi_bolt_version v)
{
    return v >= BPI_BOLT(4, 4);
}
static inline bool bpi_bolt_has_hints(bpi_bolt_version v)
{
    return v >= BPI_BOLT(4, 3);
}
static inline bool bpi_bolt_has_patch(bpi_bolt_version v)
{
    return v == BPI_BOLT(4, 3) || v == BPI_BOLT(4, 4);
}
static inline bool bpi_bolt_has_notification_filter(bpi_bolt_version v)
{
    return v >= BPI_BOLT(5, 2);
}
static inline bool bpi_bolt_has_classifications(bpi_bolt_version v)
{
    return v >= BPI_BOLT(5, 6);
}
static inline bool bpi_bolt_has_bolt_agent(bpi_bolt_version v)
{
    return v >= BPI_BOLT(5, 3);
}
static inline bool bpi_bolt_has_telemetry(bpi_bolt_version v)
{
    return v >= BPI_BOLT(5, 4);
}
static inline bool bpi_bolt_has_gql_failure(bpi_bolt_version v)
{
    return v >= BPI_BOLT(5, 7);
}
static inline bool bpi_bolt_has_home_db(bpi_bolt_version v)
{
    return v >= BPI_BOLT(5, 8);
}

#endif
