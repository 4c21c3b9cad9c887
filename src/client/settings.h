/* struct bp_bolt_config, checked and copied, so that many connections can be opened from it.
 *
 * Immutable after it is made; counted by reference. Threads: any.
 */
#ifndef BPI_CLIENT_SETTINGS_H
#define BPI_CLIENT_SETTINGS_H

#include "base/buffer.h"
#include "base/url.h"
#include "bolt/packstream.h"

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

/* Whether it is UTF-8; NULL is fine. */
bool bpi_client_is_text(const char *text);
/* What is wrong with a filter of notifications (either part may be NULL), or NULL. */
const char *bpi_client_filter_mistake(const char *min_severity,
                                      const char *const *disabled,
                                      size_t disabled_count);
/* Such a list, encoded. */
void bpi_client_put_disabled(struct bpi_pack_writer *writer,
                             const char *const *disabled,
                             size_t count);

#endif
