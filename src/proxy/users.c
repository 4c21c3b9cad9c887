/* See users.h. Hashing is scrypt (RFC 7914) as OpenSSL has it. */
#include "proxy/users.h"

#include "bolt/packstream.h"

#include <boltpool/error.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <uv.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SALT_BYTES 16
#define HASH_BYTES 32
/* N = 2^14, r = 8, p = 1: 16 MiB and about 50 ms, the costs that RFC 7914 gives for log-ins. */
#define LOG2N_DEFAULT 14
#define R_DEFAULT     8
#define P_DEFAULT     1
#define MEMORY_MAX    ((uint64_t)256 << 20)
#define NAME_BYTES    256
#define LINE_BYTES    1024

struct user {
    char name[NAME_BYTES];
    unsigned log2n, r, p;
    uint8_t salt[SALT_BYTES];
    uint8_t hash[HASH_BYTES];
};

struct bpi_users {
    struct bpi_identity *service;
    struct user decoy; /* hashed against for unknown names */
    size_t count;
    struct user *list; /* sorted by name */
};

struct bpi_hash_check {
    struct user user;
    bool known;
    bool passed;
    size_t password_size;
    char password[];
};

static bool parse_hex(const char *text, uint8_t *bytes, size_t size)
{
    size_t got = 0;
    return OPENSSL_hexstr2buf_ex(bytes, size, &got, text, '\0') == 1 && got == size;
}

static bool write_hex(const uint8_t *bytes, size_t size, char *text)
{
    return OPENSSL_buf2hexstr_ex(text, 2 * size + 1, NULL, bytes, size, '\0') == 1;
}

static int
scrypt(const char *password, size_t password_size, const struct user *user, uint8_t *ret_hash)
{
    return EVP_PBE_scrypt(password, password_size, user->salt, SALT_BYTES,
                          (uint64_t)1 << user->log2n, user->r, user->p, MEMORY_MAX, ret_hash,
                          HASH_BYTES) == 1
               ? 0
               : BP_E_INTERNAL;
}

/* The next part of "a$b$c", ended by a zero in place; NULL behind the last. */
static char *next_part(char **rest)
{
    return strsep(rest, "$");
}

static bool parse_cost(const char *text, unsigned *ret_cost)
{
    char *end;
    if (text == NULL || *text < '0' || *text > '9') {
        return false;
    }
    unsigned long cost = strtoul(text, &end, 10);
    if (*end != '\0' || cost > 1000) {
        return false;
    }
    *ret_cost = (unsigned)cost;
    return true;
}

/* Reads "name:scrypt$..."; returns NULL, or what is wrong. */
static const char *parse_line(char *line, struct user *ret_user)
{
    char *colon = strchr(line, ':');
    if (colon == NULL || colon == line || (size_t)(colon - line) >= NAME_BYTES) {
        return "no `name:hash`";
    }
    *colon = '\0';
    char *rest = colon + 1;
    const char *kind = next_part(&rest);
    bool costs = parse_cost(next_part(&rest), &ret_user->log2n) &&
                 parse_cost(next_part(&rest), &ret_user->r) &&
                 parse_cost(next_part(&rest), &ret_user->p);
    const char *salt = next_part(&rest);
    const char *hash = next_part(&rest);
    if (strcmp(kind, "scrypt") != 0 || !costs || salt == NULL || hash == NULL || rest != NULL ||
        !parse_hex(salt, ret_user->salt, SALT_BYTES) ||
        !parse_hex(hash, ret_user->hash, HASH_BYTES)) {
        return "the hash is none that `boltpool hash-password` made";
    }
    if (ret_user->log2n < 10 || ret_user->log2n > 17 || ret_user->r < 1 || ret_user->r > 16 ||
        ret_user->p < 1 || ret_user->p > 4) {
        return "the hash's costs are outside 10-17, 1-16, 1-4";
    }
    memcpy(ret_user->name, line, strlen(line) + 1); /* shorter than NAME_BYTES, as seen above */
    return NULL;
}

static int compare_users(const void *a, const void *b)
{
    return strcmp(((const struct user *)a)->name, ((const struct user *)b)->name);
}

static int read_list(struct bpi_users *users,
                     FILE *stream,
                     const char *file,
                     char *reterr_text,
                     size_t reterr_text_size)
{
    char line[LINE_BYTES];
    int number = 0;
    while (fgets(line, sizeof(line), stream) != NULL) {
        number++;
        size_t size = strcspn(line, "\r\n");
        if (line[size] == '\0' && size == sizeof(line) - 1) {
            snprintf(reterr_text, reterr_text_size, "%s:%d: the line is too long", file, number);
            return BP_E_CONFIG;
        }
        line[size] = '\0';
        if (line[0] == '\0' || line[0] == '#') {
            continue;
        }
        struct user *list = realloc(users->list, (users->count + 1) * sizeof(*list));
        if (list == NULL) {
            snprintf(reterr_text, reterr_text_size, "%s: out of memory", file);
            return BP_E_NO_MEMORY;
        }
        users->list = list;
        memset(&list[users->count], 0, sizeof(*list));
        const char *wrong = parse_line(line, &list[users->count]);
        if (wrong != NULL) {
            snprintf(reterr_text, reterr_text_size, "%s:%d: %s", file, number, wrong);
            return BP_E_CONFIG;
        }
        users->count++;
    }
    if (users->count > 0) {
        qsort(users->list, users->count, sizeof(*users->list), compare_users);
    }
    for (size_t i = 1; i < users->count; i++) {
        if (compare_users(&users->list[i - 1], &users->list[i]) == 0) {
            snprintf(reterr_text, reterr_text_size, "%s: user '%.60s' stands there twice", file,
                     users->list[i].name);
            return BP_E_CONFIG;
        }
    }
    return 0;
}

static int make_service(struct bpi_users *users,
                        const struct bpi_cluster_config *config,
                        const uint8_t key[BPI_IDENTITY_KEY_BYTES])
{
    struct bpi_buffer token = {0};
    struct bpi_pack_writer writer;
    bpi_pack_writer_init(&writer, &token);
    bpi_pack_map(&writer, 3);
    bpi_pack_text(&writer, "scheme");
    bpi_pack_text(&writer, "basic");
    bpi_pack_text(&writer, "principal");
    bpi_pack_text(&writer, config->service_user);
    bpi_pack_text(&writer, "credentials");
    bpi_pack_text(&writer, config->service_password);
    int error = writer.status;
    if (error == 0) {
        error = bpi_identity_new(
            key, (struct bpi_bolt_span){bpi_buffer_head(&token), bpi_buffer_size(&token)},
            &users->service);
    }
    bpi_buffer_wipe(&token);
    return error;
}

int bpi_users_read(const struct bpi_cluster_config *config,
                   const uint8_t key[BPI_IDENTITY_KEY_BYTES],
                   struct bpi_users **ret_users,
                   char *reterr_text,
                   size_t reterr_text_size)
{
    FILE *stream = fopen(config->auth_file, "re");
    if (stream == NULL) {
        snprintf(reterr_text, reterr_text_size, "auth_file %s can't be read: %s", config->auth_file,
                 uv_strerror(-errno));
        return BP_E_CONFIG;
    }
    struct bpi_users *users = calloc(1, sizeof(*users));
    int error = users == NULL ? BP_E_NO_MEMORY : 0;
    if (error == 0) {
        error = read_list(users, stream, config->auth_file, reterr_text, reterr_text_size);
    }
    fclose(stream);
    if (error == 0) {
        users->decoy.log2n = LOG2N_DEFAULT;
        users->decoy.r = R_DEFAULT;
        users->decoy.p = P_DEFAULT;
        error = make_service(users, config, key);
        if (error != 0 || RAND_bytes(users->decoy.salt, SALT_BYTES) != 1) {
            snprintf(reterr_text, reterr_text_size, "%s: %s", config->auth_file,
                     bp_error_text(error));
            error = error != 0 ? error : BP_E_INTERNAL;
        }
    }
    if (error != 0) {
        bpi_users_free(users);
        return error;
    }
    *ret_users = users;
    return 0;
}

void bpi_users_free(struct bpi_users *users)
{
    if (users != NULL) {
        bpi_identity_unref(users->service);
        free(users->list);
        free(users);
    }
}

struct bpi_identity *bpi_users_service(const struct bpi_users *users)
{
    return users->service;
}

struct bpi_hash_check *bpi_users_check(const struct bpi_users *users,
                                       const struct bpi_bolt_auth *auth)
{
    struct bpi_hash_check *check = calloc(1, sizeof(*check) + auth->credentials.size);
    if (check == NULL) {
        return NULL;
    }
    struct user wanted = {0};
    const struct user *found = NULL;
    if (auth->principal.data != NULL && auth->principal.size < NAME_BYTES &&
        bpi_bolt_text_is(auth->scheme, "basic") && users->count > 0) {
        memcpy(wanted.name, auth->principal.data, auth->principal.size);
        found = bsearch(&wanted, users->list, users->count, sizeof(wanted), compare_users);
    }
    check->known = found != NULL;
    check->user = found != NULL ? *found : users->decoy;
    check->password_size = auth->credentials.size;
    if (auth->credentials.data != NULL) {
        memcpy(check->password, auth->credentials.data, auth->credentials.size);
    }
    return check;
}

void bpi_hash_check_run(struct bpi_hash_check *check)
{
    uint8_t hash[HASH_BYTES];
    check->passed = scrypt(check->password, check->password_size, &check->user, hash) == 0 &&
                    CRYPTO_memcmp(hash, check->user.hash, HASH_BYTES) == 0 && check->known;
}

bool bpi_hash_check_passed(const struct bpi_hash_check *check)
{
    return check->passed;
}

const char *bpi_hash_check_user(const struct bpi_hash_check *check)
{
    return check->user.name;
}

void bpi_hash_check_free(struct bpi_hash_check *check)
{
    if (check != NULL) {
        OPENSSL_cleanse(check, sizeof(*check) + check->password_size);
        free(check);
    }
}

int bpi_users_hash(const char *password, char *text, size_t size)
{
    struct user user = {.log2n = LOG2N_DEFAULT, .r = R_DEFAULT, .p = P_DEFAULT};
    char salt[2 * SALT_BYTES + 1];
    char hash[2 * HASH_BYTES + 1];
    if (RAND_bytes(user.salt, SALT_BYTES) != 1 ||
        scrypt(password, strlen(password), &user, user.hash) != 0) {
        return BP_E_INTERNAL;
    }
    if (!write_hex(user.salt, SALT_BYTES, salt) || !write_hex(user.hash, HASH_BYTES, hash)) {
        return BP_E_INTERNAL;
    }
    snprintf(text, size, "scrypt$%u$%u$%u$%s$%s", user.log2n, user.r, user.p, salt, hash);
    return 0;
}
