/* struct bp_bolt_config, checked and copied, so that many connections can be opened from it.
 *
 * Immutable after it is made; counted by reference. Threads: any.
 */
#ifndef BPI_CLIENT_SETTINGS_H
#define BPI_CLIENT_SETTINGS_H

#include "base/buffer.h"
#include "base/url.h"

#include <boltpool/bolt.h>

#include <stdatomic.h>

struct bpi_tls_context;

struct bpi_client_settings {
    atomic_uint references;
    struct bpi_url url;          /* without its log-in */
    struct bpi_tls_context *tls; /* NULL: plain */
    char *server_name;
    char *user_agent;
    struct bpi_buffer token; /* an encoded map; wiped at the end */
    bp_usec connect_timeout_us;
    bp_usec answer_timeout_us;
    int64_t fetch_size;
    size_t message_max;
    char *min_severity;         /* NULL: not set */
    struct bpi_buffer disabled; /* an encoded list; empty: not set */
};

#endif
