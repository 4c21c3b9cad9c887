/* Which class an operation belongs to.
 *
 * In this order: the first rule of the configuration whose conditions all hold; `boltpool_operation` of
 * tx_metadata, where the class that it names may be claimed by clients; the access mode.
 */
#ifndef BPI_PROXY_CLASSIFY_H
#define BPI_PROXY_CLASSIFY_H

#include "bolt/message.h"
#include "engine/config.h"

struct bpi_operation {
    const char *user;
    const char *application;     /* the user agent, unless tx_metadata has `app` */
    struct bpi_bolt_text query;  /* absent for BEGIN and ROUTE */
    struct bpi_bolt_tx_extra tx; /* db, mode, metadata */
};

/* Threads: any. */
enum bpi_class bpi_classify(const struct bpi_config *config, const struct bpi_operation *operation);

#endif
