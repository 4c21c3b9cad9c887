/* A pool of Bolt connections to Neo4j, and work that is retried: bolt.h and pool.h joined.
 *
 *     struct bp_driver_config config;
 *     bp_driver_config_init(&config);
 *     config.bolt.url = "bolt://neo4j:secret@127.0.0.1:7687";
 *     struct bp_driver *driver;
 *     int error = bp_driver_new(&config, &driver);
 *     ...
 *     struct bp_lease *lease;
 *     struct bp_bolt *bolt;
 *     error = bp_driver_acquire(driver, &operation, BP_WAIT_DEFAULT, &lease, &bolt);
 *     if (error == 0) {
 *         error = bp_bolt_run(bolt, ...);
 *         bp_driver_release(lease);
 *     }
 *
 * Errors:  0 or a negative code (error.h).
 * Owns:    what a function is given is borrowed for the call, unless it says otherwise.
 * Units:   times are microseconds.
 * Threads: every function may be called from any thread; a leased connection is used by one at a time.
 * Forks:   as pool.h: a driver is of the process that made it.
 */
#ifndef BOLTPOOL_DRIVER_H
#define BOLTPOOL_DRIVER_H

#include <boltpool/bolt.h>
#include <boltpool/pool.h>

#ifdef __cplusplus
extern "C" {
#endif

struct bp_driver;

struct bp_driver_config {
    size_t struct_size;
    struct bp_bolt_config bolt;
    struct bp_pool_config pool;
    bp_usec retry_time_us; /* managed work is begun again for so long; 30 s */
};

/* The defaults of both, and the one above. */
BP_API void bp_driver_config_init(struct bp_driver_config *config);

/* Makes a driver; connections are opened by and by, as the pool is set.
 * Owns:   copies what it needs of `config`; pool.log_user lives as long as the driver.
 * Errors: BP_E_CONFIG (the pool's or the URL's; a certificate file that can't be read), BP_E_NO_MEMORY. */
BP_API BP_MUST_CHECK int bp_driver_new(const struct bp_driver_config *config,
                                       struct bp_driver **ret_driver);
/* Refuses new work, waits for leases that are out for at most timeout_us, closes all connections, and frees it. Leases that
 * come back later are closed then. NULL is fine.
 * Errors: UV_ETIMEDOUT (-110): some were still out; it is freed once they are back. */
BP_API int bp_driver_free(struct bp_driver *driver, bp_usec timeout_us);
/* The pool underneath: its statistics, pause, drain, leases. Borrowed; not to be freed. */
BP_API struct bp_pool *bp_driver_pool(struct bp_driver *driver);
/* Later connections log on as this one; those that are open are closed as they come back. For tokens that expire.
 * Owns: copies it. Errors: BP_E_NO_MEMORY, BP_E_CONFIG. */
BP_API BP_MUST_CHECK int bp_driver_set_login(struct bp_driver *driver,
                                             const struct bp_login *login);
/* Whether the server can be reached and lets us in: borrows a connection and asks it.
 * Units: timeout_us for waiting and asking together. */
BP_API BP_MUST_CHECK int
bp_driver_verify(struct bp_driver *driver, bp_usec timeout_us, struct bp_failure *reterr_failure);

/* Borrows a connection: bp_pool_acquire(), and what the lease holds. It is READY.
 * Owns:   the lease is the caller's until bp_driver_release(); `ret_bolt` is borrowed with it, and must not be closed.
 * Errors: those of bp_pool_acquire(). */
BP_API BP_MUST_CHECK int bp_driver_acquire(struct bp_driver *driver,
                                           const struct bp_operation *operation,
                                           bp_usec timeout_us,
                                           struct bp_lease **ret_lease,
                                           struct bp_bolt **ret_bolt);
/* The connection of a lease that came by bp_pool_acquire() or bp_pool_acquire_async() on bp_driver_pool(): what
 * bp_driver_acquire() gives, borrowed with the lease. NULL where the lease was given back. */
BP_API struct bp_bolt *bp_lease_bolt(struct bp_lease *lease);
/* Gives it back, in whatever state it is: what is unread or open is ended by a helper thread before the next one
 * gets it, and a lost one is closed. The outcome follows from what the connection has seen. Results that are still there
 * answer BP_E_USAGE, and are to be freed. Never blocks.
 * Errors: BP_E_USAGE: this lease was given back before. */
BP_API int bp_driver_release(struct bp_lease *lease);

/* Work inside a transaction that is begun for it. Returns 0 to have it committed; anything else to have it rolled back, a
 * positive number being the caller's own. It may be called several times: it must have no effect but in the transaction. */
typedef int (*bp_work_function)(void *user, struct bp_bolt *bolt);

/* Does the work in a transaction, and again where that helps: after a failure that is retryable (a deadlock, a leader that
 * changed, a lost connection, an overloaded server), at growing, jittered intervals of 1 s, 2 s, 4 s ..., until retry_time_us are over.
 * What `operation` and `options` say holds for each try; NULL = ordinary writes.
 * Owns:   borrows all for the call.
 * Errors: 0, what `work` returned, or the last failure; *reterr_failure (NULL = not wanted) says it in words. A commit that wasn't answered
 *         is not retried. */
BP_API BP_MUST_CHECK int bp_driver_execute(struct bp_driver *driver,
                                           const struct bp_operation *operation,
                                           const struct bp_tx_options *options,
                                           bp_work_function work,
                                           void *user,
                                           struct bp_failure *reterr_failure);

/* Called for each row; the values are views, as bp_result_next() gives them. Returns 0 to go on; anything else ends the
 * query (and rolls it back). `result` tells the columns; it is not to be freed. */
typedef int (*bp_row_function)(void *user, struct bp_result *result, const struct bp_value *row);

/* One query in a managed transaction. Rows are handed out as they come, so where a retry happens after the first row they come again from the
 * beginning: `begin` (NULL = not wanted) is called before each try.
 * Errors: as bp_driver_execute(). */
BP_API BP_MUST_CHECK int bp_driver_query(struct bp_driver *driver,
                                         const struct bp_operation *operation,
                                         const struct bp_tx_options *options,
                                         const char *query,
                                         const struct bp_params *params,
                                         void (*begin)(void *user),
                                         bp_row_function on_row,
                                         void *user,
                                         struct bp_failure *reterr_failure);

#ifdef __cplusplus
}
#endif

#endif
