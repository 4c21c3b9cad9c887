/* The misbehaviour of a simulated server as a value, and the script that changes it (server.h).
 * Owner: the server's loop.
 */
#ifndef BPI_SIM_FAULT_H
#define BPI_SIM_FAULT_H

#include <boltpool/types.h>

#include <stdbool.h>

struct bpi_random;

#define BPI_SIM_FAILURES_MAX 8

struct bpi_sim_failure {
    char code[96];
    double probability;
};

struct bpi_sim_faults {
    bool refuse;
    bool hang;
    bool freeze;
    bool down;
    bool no_leader;
    double slow;       /* 1 = as set */
    int64_t drop_next; /* bytes; -1 = none */
    uint32_t drop_commits;
    uint32_t lose_commits;
    struct bpi_sim_failure failures[BPI_SIM_FAILURES_MAX];
    uint32_t failure_count;
    struct bpi_sim_failure commit_failures[BPI_SIM_FAILURES_MAX];
    uint32_t commit_failure_count;
};

void bpi_sim_faults_init(struct bpi_sim_faults *faults);
/* Applies a script. Errors: BP_E_CONFIG, *faults stays as it was. */
BP_MUST_CHECK int bpi_sim_faults_apply(struct bpi_sim_faults *faults, const char *script);
/* Draws whether one of `count` failures strikes: its code, or NULL. */
const char *bpi_sim_failure_draw(const struct bpi_sim_failure *failures,
                                 uint32_t count,
                                 struct bpi_random *random);

#endif
