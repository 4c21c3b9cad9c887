/* Which endpoint a transaction goes to: src/route joined to the cluster's pool, links and clock.
 *
 * The pool asks (its router): who may take this waiter, and what does it cost there. The route hears what becomes of each
 * transaction, and which servers can be reached. With one endpoint there is nothing to choose, and nothing of this is asked.
 *
 * Lock: the cluster's mutex is held by the caller of every function that isn't said to take it.
 */
#ifndef BPI_ENGINE_BALANCE_H
#define BPI_ENGINE_BALANCE_H

#include "bolt/message.h"
#include "engine/cluster.h"
#include "route/route.h"

struct bpi_link;

/* Before the cluster is used. */
void bpi_balance_init(struct bpi_cluster *cluster, const struct bpi_cluster_config *config);
/* Other strategies and weights are heeded at once. */
void bpi_balance_reload(struct bpi_cluster *cluster, const struct bpi_cluster_config *config);

/* What the wish says of where it may go; before it is asked for. */
void bpi_balance_asked(struct bpi_cluster *cluster, struct bpi_wish *wish, bp_usec now_us);
/* The link is the wish's. */
void bpi_balance_granted(struct bpi_cluster *cluster,
                         struct bpi_link *link,
                         const struct bpi_wish *wish,
                         bp_usec now_us);
/* Its lease ended. `lost`: with its connection. */
void bpi_balance_ended(struct bpi_link *link, bool lost, bp_usec now_us);
/* A server could be reached, or couldn't. */
void bpi_balance_reached(struct bpi_cluster *cluster, unsigned endpoint, bp_usec now_us);
void bpi_balance_unreached(struct bpi_cluster *cluster, unsigned endpoint, bp_usec now_us);
/* What an answer says of the server: the worst of a lease counts. Owner: the link's loop. */
void bpi_balance_note(struct bpi_link *link, const struct bpi_bolt_answer *answer);

/* On loop 0, a few times a second; takes the lock. */
void bpi_balance_tick(struct bpi_cluster *cluster);

#endif
