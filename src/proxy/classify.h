/* What an operation is: its class, priority, deadline and tenant, and whether it may be shed.
 *
 * Each of them is decided by the first of these that says something of it:
 *   1. the rules of the configuration, in the file's order, whose conditions all hold;
 *   2. tx_metadata: boltpool_operation (a class, or the name of an operation), boltpool_priority,
 *      boltpool_deadline_ms, boltpool_tenant (where tenant_by = claim);
 *   3. the class's own deadline; what was learnt of the query, else the access mode; normal priority; the user
 *      or application as tenant.
 * A priority that is claimed above the client's cap is lowered to it, and a class that it may not claim is
 * void. Reads of high or critical priority go to the class that their operation has for that
 * (high_priority), which asks for no claim of its own: the priority was granted.
 *
 * Metadata comes from outside: whatever is of another type, of no sense or too long is as if it weren't there,
 * and is counted. It is walked once, without recursion.
 */
#ifndef BPI_PROXY_CLASSIFY_H
#define BPI_PROXY_CLASSIFY_H

#include "bolt/message.h"
#include "engine/config.h"

struct bpi_operation {
    const char *user;
    const char *application;     /* the user agent, unless tx_metadata has `app` */
    struct bpi_bolt_text query;  /* absent where it isn't known yet, and for ROUTE */
    struct bpi_bolt_tx_extra tx; /* db, mode, metadata */
    bool is_explicit;            /* begun by BEGIN: drivers retry it */
    bool is_slow;                /* its query is known to take long (learn.h) */
    enum bpi_tenant_by tenant_by;
};

/* Its texts are borrowed from the configuration and from the operation. */
struct bpi_classified {
    enum bpi_class class_;
    enum bpi_priority priority;
    bp_usec deadline_us;         /* a span from now; 0 = none */
    struct bpi_bolt_text tenant; /* absent: the user */
    bool sheddable;
    const char *name; /* of the operation, or of its class */
    unsigned lowered; /* claims above the cap */
    unsigned bad;     /* claims that make no sense */
};

/* Threads: any. */
struct bpi_classified bpi_classify(const struct bpi_config *config,
                                   const struct bpi_operation *operation);

#endif
