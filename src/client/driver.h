/* What driver.c and retry.c share. The public face is <boltpool/driver.h>. */
#ifndef BPI_CLIENT_DRIVER_H
#define BPI_CLIENT_DRIVER_H

#include "base/buffer.h"
#include "client/client.h"

#include <boltpool/driver.h>

#include <pthread.h>

/* Freed when the pool has made its last call of the connector. */
struct bp_driver {
    struct bpi_client_settings *settings; /* Immutable */
    bp_usec retry_time_us;                /* Immutable */
    struct bp_pool *pool;                 /* Immutable */
    pthread_mutex_t mutex;
    struct bpi_buffer token;        /* Lock: mutex */
    struct bp_failure open_failure; /* Lock: mutex. What opening failed with last */
};

/* bp_driver_acquire(), with what it failed with in words. */
BP_MUST_CHECK int bpi_driver_acquire(struct bp_driver *driver,
                                     const struct bp_operation *operation,
                                     bp_usec timeout_us,
                                     struct bp_lease **ret_lease,
                                     struct bp_bolt **ret_bolt,
                                     struct bp_failure *reterr_failure);

#endif
