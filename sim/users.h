/* Who may log on to a simulated server, and how often each has failed.
 *
 * As a real server: three wrong passwords for an existing user lock that user for five seconds, for
 * the right password too; unknown users are not counted. Lock: the caller's, for every function.
 */
#ifndef BPI_SIM_USERS_H
#define BPI_SIM_USERS_H

#include <boltpool/types.h>

#include <stdbool.h>

#define BPI_SIM_USER_NAME_SIZE     128
#define BPI_SIM_USER_PASSWORD_SIZE 256

struct bpi_sim_user_stats {
    uint64_t sessions_now; /* logged on */
    uint64_t sessions_max;
    uint64_t logons;
    uint64_t login_failures;
    uint64_t queries;
    uint64_t committed;
};

struct bpi_sim_user_entry {
    struct bpi_sim_user_entry *next;
    char name[BPI_SIM_USER_NAME_SIZE];
    char password[BPI_SIM_USER_PASSWORD_SIZE];
    bool dropped; /* kept for its counts; may not log on */
    uint32_t failures;
    bp_usec locked_until_us;
    struct bpi_sim_user_stats stats;
};

struct bpi_sim_users {
    struct bpi_sim_user_entry *first;
    bool auth_off; /* every log-in passes, as with dbms.security.auth_enabled=false */
    uint32_t failures_max;
    bp_usec lock_us;
};

enum bpi_sim_login {
    BPI_SIM_LOGIN_PASSED,
    BPI_SIM_LOGIN_WRONG,
    BPI_SIM_LOGIN_LOCKED,
};

void bpi_sim_users_done(struct bpi_sim_users *users);
/* The entry of that name, or NULL. Borrowed; entries live as long as the table. */
struct bpi_sim_user_entry *
bpi_sim_users_find(struct bpi_sim_users *users, const char *name, size_t name_size);
/* Adds a user or changes the password. Errors: BP_E_NO_MEMORY, BP_E_SIZE. */
BP_MUST_CHECK int
bpi_sim_users_set(struct bpi_sim_users *users, const char *name, const char *password);
/* False where there is no such user. */
bool bpi_sim_users_drop(struct bpi_sim_users *users, const char *name);
/* Checks a log-in and counts it. *ret_user is NULL for an unknown user. */
enum bpi_sim_login bpi_sim_users_check(struct bpi_sim_users *users,
                                       const char *name,
                                       size_t name_size,
                                       const char *password,
                                       size_t password_size,
                                       bp_usec now_us,
                                       struct bpi_sim_user_entry **ret_user);

#endif
