/* Certificates made when the test runs, so that none can expire in the repository: an authority, and a
 * server's signed by it for "localhost", "db.example" and 127.0.0.1. Written as PEM into a new folder
 * under /tmp.
 */
#ifndef TESTS_UNIT_NET_CERTIFICATE_H
#define TESTS_UNIT_NET_CERTIFICATE_H

#include "support.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <stdlib.h>

struct certificates {
    char folder[64];
    char ca_file[96];
    char chain_file[96];
    char key_file[96];
    char other_key_file[96];
};

static inline void certificate_extend(X509 *certificate, X509 *issuer, int kind, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, kind, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(certificate, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

/* `issuer` NULL: signs itself. */
static inline X509 *certificate_new(
    EVP_PKEY *key, const char *name, X509 *issuer, EVP_PKEY *issuer_key, const char *hosts)
{
    X509 *certificate = X509_new();
    assert_non_null(certificate);
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), issuer == NULL ? 1 : 2);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    X509_NAME *subject = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(certificate, issuer == NULL ? subject : X509_get_subject_name(issuer));
    X509 *parent = issuer == NULL ? certificate : issuer;
    certificate_extend(certificate, parent, NID_basic_constraints,
                       issuer == NULL ? "critical,CA:TRUE" : "critical,CA:FALSE");
    if (hosts != NULL) {
        certificate_extend(certificate, parent, NID_subject_alt_name, hosts);
    }
    assert_true(X509_sign(certificate, issuer_key, EVP_sha256()) > 0);
    return certificate;
}

static inline FILE *
pem_open(struct certificates *certificates, char *path, size_t size, const char *name)
{
    snprintf(path, size, "%s/%s", certificates->folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    return file;
}

static inline void certificates_make(struct certificates *certificates)
{
    snprintf(certificates->folder, sizeof(certificates->folder), "/tmp/boltpool-tls-XXXXXX");
    assert_non_null(mkdtemp(certificates->folder));
    EVP_PKEY *ca_key = EVP_EC_gen("P-256");
    EVP_PKEY *key = EVP_EC_gen("P-256");
    assert_non_null(ca_key);
    assert_non_null(key);
    X509 *ca = certificate_new(ca_key, "boltpool test authority", NULL, ca_key, NULL);
    X509 *leaf = certificate_new(key, "boltpool test server", ca, ca_key,
                                 "DNS:localhost,DNS:db.example,IP:127.0.0.1");

    FILE *file = pem_open(certificates, certificates->ca_file, 96, "ca.pem");
    PEM_write_X509(file, ca);
    fclose(file);
    file = pem_open(certificates, certificates->chain_file, 96, "chain.pem");
    PEM_write_X509(file, leaf);
    PEM_write_X509(file, ca);
    fclose(file);
    file = pem_open(certificates, certificates->key_file, 96, "key.pem");
    PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
    fclose(file);
    file = pem_open(certificates, certificates->other_key_file, 96, "other.pem");
    PEM_write_PrivateKey(file, ca_key, NULL, NULL, 0, NULL, NULL);
    fclose(file);

    X509_free(leaf);
    X509_free(ca);
    EVP_PKEY_free(key);
    EVP_PKEY_free(ca_key);
}

static inline void certificates_remove(struct certificates *certificates)
{
    unlink(certificates->ca_file);
    unlink(certificates->chain_file);
    unlink(certificates->key_file);
    unlink(certificates->other_key_file);
    rmdir(certificates->folder);
}

#endif
