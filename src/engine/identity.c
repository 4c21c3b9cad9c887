/* See identity.h. */
#include "engine/identity.h"

#include "bolt/packstream.h"

#include <boltpool/error.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct bpi_identity {
    _Atomic unsigned references;
    uint8_t digest[BPI_POOL_IDENTITY_BYTES];
    char user[256];
    size_t token_size;
    uint8_t token[];
};

int bpi_identity_new(const uint8_t key[BPI_IDENTITY_KEY_BYTES],
                     struct bpi_bolt_span token,
                     struct bpi_identity **ret_identity)
{
    struct bpi_bolt_auth auth;
    int error = bpi_bolt_auth_read(token, &auth);
    if (error != 0) {
        return error;
    }
    struct bpi_identity *identity = calloc(1, sizeof(*identity) + token.size);
    if (identity == NULL) {
        return BP_E_NO_MEMORY;
    }
    atomic_init(&identity->references, 1);
    identity->token_size = token.size;
    memcpy(identity->token, token.data, token.size);
    size_t user_size = auth.principal.size < sizeof(identity->user) - 1
                           ? auth.principal.size
                           : sizeof(identity->user) - 1;
    if (auth.principal.data != NULL) {
        memcpy(identity->user, auth.principal.data, user_size);
    }
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned digest_size = 0;
    if (HMAC(EVP_sha256(), key, BPI_IDENTITY_KEY_BYTES, token.data, token.size, digest,
             &digest_size) == NULL) {
        bpi_identity_unref(identity);
        return BP_E_INTERNAL;
    }
    memcpy(identity->digest, digest, sizeof(identity->digest));
    *ret_identity = identity;
    return 0;
}

struct bpi_identity *bpi_identity_ref(struct bpi_identity *identity)
{
    /* Relaxed: whoever takes a reference holds one, so the object can't go meanwhile. */
    atomic_fetch_add_explicit(&identity->references, 1, memory_order_relaxed);
    return identity;
}

void bpi_identity_unref(struct bpi_identity *identity)
{
    if (identity != NULL &&
        atomic_fetch_sub_explicit(&identity->references, 1, memory_order_acq_rel) == 1) {
        OPENSSL_cleanse(identity, sizeof(*identity) + identity->token_size);
        free(identity);
    }
}

struct bpi_bolt_span bpi_identity_token(const struct bpi_identity *identity)
{
    return (struct bpi_bolt_span){.data = identity->token, .size = identity->token_size};
}

const char *bpi_identity_user(const struct bpi_identity *identity)
{
    return identity->user;
}

const uint8_t *bpi_identity_digest(const struct bpi_identity *identity)
{
    return identity->digest;
}

uint64_t bpi_identity_hash(const uint8_t key[BPI_IDENTITY_KEY_BYTES], const void *data, size_t size)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned digest_size = 0;
    uint64_t hash = 0;
    static const uint8_t nothing = 0;
    if (HMAC(EVP_sha256(), key, BPI_IDENTITY_KEY_BYTES, size == 0 ? &nothing : data, size, digest,
             &digest_size) != NULL) {
        memcpy(&hash, digest, sizeof(hash));
    }
    return hash;
}

/* HELLO's own keys; every other one is taken for a part of the log-in, as servers up to 5.0 do. */
static bool is_hello_key(const char *key, size_t size)
{
    static const char *const keys[] = {
        "user_agent",
        "bolt_agent",
        "routing",
        "patch_bolt",
        "notifications_minimum_severity",
        "notifications_disabled_categories",
        "notifications_disabled_classifications",
    };
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        if (strlen(keys[i]) == size && memcmp(keys[i], key, size) == 0) {
            return true;
        }
    }
    return false;
}

int bpi_identity_token_of_hello(struct bpi_bolt_span hello, struct bpi_buffer *out)
{
    struct bpi_pack_writer writer;
    bpi_pack_writer_init(&writer, out);
    /* Two walks: a map's head says how many pairs follow. */
    uint32_t kept = 0;
    for (int pass = 0; pass < 2; pass++) {
        struct bpi_pack_reader reader;
        uint32_t pairs;
        bpi_pack_reader_init(&reader, hello.data, hello.size);
        int error = bpi_pack_next_map(&reader, &pairs);
        if (error != 0) {
            return error;
        }
        if (pass == 1) {
            bpi_pack_map(&writer, kept);
        }
        for (uint32_t i = 0; i < pairs; i++) {
            const char *key;
            size_t key_size;
            const uint8_t *value;
            size_t value_size = 0;
            error = bpi_pack_next_string(&reader, &key, &key_size);
            if (error == 0) {
                error = bpi_pack_take(&reader, &bpi_pack_limits_open, &value, &value_size);
            }
            if (error != 0) {
                return error;
            }
            if (is_hello_key(key, key_size)) {
                continue;
            }
            if (pass == 0) {
                kept++;
            } else {
                bpi_pack_string(&writer, key, key_size);
                bpi_pack_raw(&writer, value, value_size);
            }
        }
    }
    return writer.status;
}
