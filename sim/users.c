/* See users.h. A list: simulated servers have a handful of users. */
#include "sim/users.h"

#include <boltpool/error.h>

#include <stdlib.h>
#include <string.h>

void bpi_sim_users_done(struct bpi_sim_users *users)
{
    while (users->first != NULL) {
        struct bpi_sim_user_entry *user = users->first;
        users->first = user->next;
        explicit_bzero(user->password, sizeof(user->password));
        free(user);
    }
}

struct bpi_sim_user_entry *
bpi_sim_users_find(struct bpi_sim_users *users, const char *name, size_t name_size)
{
    for (struct bpi_sim_user_entry *user = users->first; user != NULL; user = user->next) {
        if (strlen(user->name) == name_size && memcmp(user->name, name, name_size) == 0) {
            return user;
        }
    }
    return NULL;
}

int bpi_sim_users_set(struct bpi_sim_users *users, const char *name, const char *password)
{
    if (strlen(name) >= BPI_SIM_USER_NAME_SIZE || strlen(password) >= BPI_SIM_USER_PASSWORD_SIZE) {
        return BP_E_SIZE;
    }
    struct bpi_sim_user_entry *user = bpi_sim_users_find(users, name, strlen(name));
    if (user == NULL) {
        user = calloc(1, sizeof(*user));
        if (user == NULL) {
            return BP_E_NO_MEMORY;
        }
        memcpy(user->name, name, strlen(name) + 1);
        user->next = users->first;
        users->first = user;
    }
    memcpy(user->password, password, strlen(password) + 1);
    user->dropped = false;
    user->failures = 0;
    user->locked_until_us = 0;
    return 0;
}

bool bpi_sim_users_drop(struct bpi_sim_users *users, const char *name)
{
    struct bpi_sim_user_entry *user = bpi_sim_users_find(users, name, strlen(name));
    if (user == NULL || user->dropped) {
        return false;
    }
    user->dropped = true;
    return true;
}

enum bpi_sim_login bpi_sim_users_check(struct bpi_sim_users *users,
                                       const char *name,
                                       size_t name_size,
                                       const char *password,
                                       size_t password_size,
                                       bp_usec now_us,
                                       struct bpi_sim_user_entry **ret_user)
{
    struct bpi_sim_user_entry *user = bpi_sim_users_find(users, name, name_size);
    *ret_user = user;
    if (users->auth_off) {
        return BPI_SIM_LOGIN_PASSED;
    }
    if (user == NULL || user->dropped) {
        return BPI_SIM_LOGIN_WRONG;
    }
    if (user->failures >= users->failures_max) {
        if (now_us < user->locked_until_us) {
            user->stats.login_failures++;
            return BPI_SIM_LOGIN_LOCKED;
        }
        user->failures = 0;
    }
    if (strlen(user->password) != password_size ||
        memcmp(user->password, password, password_size) != 0) {
        user->stats.login_failures++;
        user->failures++;
        user->locked_until_us = now_us + users->lock_us;
        return BPI_SIM_LOGIN_WRONG;
    }
    user->failures = 0;
    return BPI_SIM_LOGIN_PASSED;
}
