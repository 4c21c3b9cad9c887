/* The users file of auth_type = file: names with password hashes, and the service account behind them.
 *
 * Lines are `name:scrypt$LOG2N$R$P$SALT$HASH` (salt and hash in hex), made by `boltpool hash-password`;
 * '#' begins a comment. Immutable after it is read; counted by reference. Threads: any.
 */
#ifndef BPI_PROXY_USERS_H
#define BPI_PROXY_USERS_H

#include "bolt/message.h"
#include "engine/config.h"
#include "engine/identity.h"

#include <stdbool.h>

struct bpi_users;
struct bpi_hash_check;

/* Reads config->auth_file. Errors: BP_E_CONFIG, BP_E_NO_MEMORY; reterr_text says file, line and what. */
BP_MUST_CHECK int bpi_users_read(const struct bpi_cluster_config *config,
                                 const uint8_t key[BPI_IDENTITY_KEY_BYTES],
                                 struct bpi_users **ret_users,
                                 char *reterr_text,
                                 size_t reterr_text_size);
void bpi_users_free(struct bpi_users *users);
/* The identity that links log on with. Borrowed. */
struct bpi_identity *bpi_users_service(const struct bpi_users *users);

/* Prepares the check of a log-in: copies what it needs, so that it may run on a helper thread (16 MiB and
 * some 50 ms with the default costs). An unknown user takes the same time. NULL: out of memory. */
struct bpi_hash_check *bpi_users_check(const struct bpi_users *users,
                                       const struct bpi_bolt_auth *auth);
void bpi_hash_check_run(struct bpi_hash_check *check);
bool bpi_hash_check_passed(const struct bpi_hash_check *check);
/* The user of a check that passed. */
const char *bpi_hash_check_user(const struct bpi_hash_check *check);
void bpi_hash_check_free(struct bpi_hash_check *check);

/* Writes the `scrypt$...` of a password with a fresh salt. Errors: BP_E_INTERNAL. */
BP_MUST_CHECK int bpi_users_hash(const char *password, char *text, size_t size);

#endif
