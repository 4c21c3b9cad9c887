/* What the rest of the client knows of values: reading them off the wire, and what a set of parameters holds.
 *
 * The public face is <boltpool/value.h>; value.c reads, view.c looks inside, equal.c compares, format.c writes for people,
 * row.c copies, params.c encodes.
 */
#ifndef BPI_CLIENT_VALUE_H
#define BPI_CLIENT_VALUE_H

#include "bolt/message.h"
#include "bolt/packstream.h"

#include <boltpool/value.h>

/* Reads one whole value: a scalar or a small structure into *ret_value, a container as a view of its bytes that were
 * walked once, so that everything inside is well-formed: lengths, depth, keys that are strings, structures with
 * the fields that they have in some version. Steps over it. Nothing is allocated.
 * Errors: as bpi_pack_skip(), BP_E_FIELDS, BP_E_TYPE for an unknown structure or one whose fields are of other types,
 * BP_E_PROTOCOL for one whose numbers are outside their range. *ret_value holds anything then. */
BP_MUST_CHECK int bpi_value_read(struct bpi_pack_reader *reader, struct bp_value *ret_value);

/* Reads the list of a RECORD (its encoded bytes, head and all) into `values`, which has room for `columns`.
 * Errors: as above; BP_E_FIELDS where the list has another number of items, BP_E_PROTOCOL for bytes behind it. */
BP_MUST_CHECK int
bpi_value_read_record(const uint8_t *data, size_t size, struct bp_value *values, uint32_t columns);

/* What parameters hold that not every version can say. */
#define BPI_PARAMS_UTC    1U /* a DATE_TIME by UTC: 5.0, or 4.3 and 4.4 with the utc patch */
#define BPI_PARAMS_VECTOR 2U /* 6.0 */
#define BPI_PARAMS_UUID   4U /* 6.1 */

/* The encoded map, valid until they change. NULL gives the empty map. Errors: bp_params_error(), BP_E_USAGE where
 * an end is missing. */
BP_MUST_CHECK int bpi_params_content(const struct bp_params *params,
                                     struct bpi_bolt_span *ret_map,
                                     unsigned *ret_needs);

#endif
