/* What a simulated server has committed: each id that a CREATE named, and how often.
 *
 * Tests ask it whether a transaction was lost or done twice. Lock: the caller's.
 */
#ifndef BPI_SIM_LEDGER_H
#define BPI_SIM_LEDGER_H

#include <boltpool/types.h>

struct bpi_sim_ledger_entry;

/* Zeroed = empty. commits = sum over ids of their commits >= ids. */
struct bpi_sim_ledger {
    struct bpi_sim_ledger_entry *entries;
    uint64_t ids;
    uint64_t commits;
};

void bpi_sim_ledger_done(struct bpi_sim_ledger *ledger);
/* Errors: BP_E_NO_MEMORY. */
BP_MUST_CHECK int bpi_sim_ledger_add(struct bpi_sim_ledger *ledger, const char *id);
/* How often the id was committed. */
uint64_t bpi_sim_ledger_count(const struct bpi_sim_ledger *ledger, const char *id);

#endif
