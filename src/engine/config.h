/* The configuration: one table of options drives parsing, defaults, limits, reload and the reference.
 *
 * Sections: [boltpool] for the process and for the defaults of all clusters, [cluster NAME] for one
 * cluster and its listener, [class NAME] for a pool's cap, [rule NAME] for what an operation is. A wrong
 * file changes nothing: reading returns the first error with file, line, what is wrong and what is
 * possible. One option stands on one line, `name = value`; # or ; begins a comment line, and ; behind a
 * blank a comment. A section may stand more than once; of an option that does, the last one holds.
 *
 * A config is immutable once read and counted by reference, so that loops hold on to the one
 * they work with while another is loaded.
 */
#ifndef BPI_ENGINE_CONFIG_H
#define BPI_ENGINE_CONFIG_H

#include "base/log.h"
#include "base/url.h"
#include "bolt/version.h"
#include "pool/class.h"

#include <boltpool/types.h>

#include <regex.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>

#define BPI_CONFIG_NAME_BYTES    64
#define BPI_CONFIG_TEXT_BYTES    512
#define BPI_CONFIG_ENDPOINTS_MAX 64
#define BPI_CONFIG_CLUSTERS_MAX  64
#define BPI_CONFIG_RULES_MAX     256

enum bpi_pool_mode {
    BPI_POOL_MODE_TRANSACTION, /* a link for each transaction */
    BPI_POOL_MODE_SESSION, /* a link from the first request after LOGON until LOGOFF or the end */
};

enum bpi_auth_type {
    BPI_AUTH_PASSTHROUGH, /* the server checks the driver's own credentials */
    BPI_AUTH_FILE,        /* a users file here, one service account there */
};

enum bpi_tls_mode {
    BPI_TLS_OFF,
    BPI_TLS_OPTIONAL, /* both on one port */
    BPI_TLS_REQUIRED,
};

/* One cluster: its listener, its servers and all limits that apply to it. */
struct bpi_cluster_config {
    char name[BPI_CONFIG_NAME_BYTES];
    int line; /* of its section, for messages */

    char listen[BPI_CONFIG_TEXT_BYTES]; /* as written */
    char listen_host[256];
    uint16_t listen_port;
    char advertised[BPI_CONFIG_TEXT_BYTES]; /* "" = what the client's driver used */
    char endpoints[BPI_CONFIG_TEXT_BYTES * 8];
    unsigned endpoints_count;
    struct bpi_url endpoint[BPI_CONFIG_ENDPOINTS_MAX];
    char endpoint_tls_ca_file[BPI_CONFIG_TEXT_BYTES];

    enum bpi_pool_mode pool_mode;
    unsigned max_links;
    unsigned max_user_links;
    unsigned max_database_links;
    unsigned max_clients;
    bpi_bolt_version max_bolt_version;

    enum bpi_auth_type auth_type;
    char auth_file[BPI_CONFIG_TEXT_BYTES];
    char service_user[BPI_CONFIG_TEXT_BYTES];
    char service_password[BPI_CONFIG_TEXT_BYTES];
    char service_password_file[BPI_CONFIG_TEXT_BYTES];

    enum bpi_tls_mode tls_mode;
    char tls_cert_file[BPI_CONFIG_TEXT_BYTES];
    char tls_key_file[BPI_CONFIG_TEXT_BYTES];

    bp_usec connect_timeout_us;
    bp_usec client_login_timeout_us;
    bp_usec queue_timeout_us;
    bp_usec queue_notify_after_us;
    bp_usec idle_transaction_timeout_us;
    bp_usec transaction_timeout_us;
    bp_usec reset_timeout_us;
    bp_usec keep_alive_interval_us;
    bp_usec auth_cache_ttl_us;
    bp_usec link_auth_ttl_us;
    bp_usec link_idle_timeout_us;
    bp_usec link_lifetime_us;

    uint64_t max_message_bytes;
    uint64_t max_login_message_bytes;
    unsigned max_depth;
    unsigned max_items;
    unsigned max_login_depth;
    unsigned max_login_items;
    unsigned max_pipelined_requests;
    uint64_t client_buffer_bytes;
    uint64_t record_buffer_bytes;
};

struct bpi_class_config {
    unsigned max; /* 0 = the cluster's max_links */
};

/* Every condition that is set must hold; the first rule in the file's order that does names the class. */
struct bpi_rule_config {
    char name[BPI_CONFIG_NAME_BYTES];
    int line;                             /* of its section, for messages */
    char user[BPI_CONFIG_TEXT_BYTES];     /* glob; "" = any */
    char database[BPI_CONFIG_TEXT_BYTES]; /* glob; the home database is "" */
    char application
        [BPI_CONFIG_TEXT_BYTES];       /* glob over `app` of tx_metadata, else the user agent */
    char mode[8];                      /* "r", "w" or "" */
    char query[BPI_CONFIG_TEXT_BYTES]; /* POSIX extended regular expression, case ignored */
    bool has_database;
    regex_t regex; /* compiled where `query` is set */
    bool has_regex;
    bool has_class;
    enum bpi_class class_;
};

struct bpi_config {
    _Atomic unsigned references;
    char file[BPI_CONFIG_TEXT_BYTES];
    unsigned loops; /* 0 = one for each core */
    char log_level[16];
    enum bpi_log_level log_level_value;
    bp_usec drain_timeout_us;
    unsigned claimable; /* bits of the classes that clients may name in tx_metadata */
    char claimable_classes[BPI_CONFIG_TEXT_BYTES];
    struct bpi_cluster_config defaults;
    unsigned clusters_count;
    struct bpi_cluster_config *clusters;
    struct bpi_class_config classes[BPI_CLASS_COUNT];
    unsigned rules_count;
    struct bpi_rule_config *rules;
};

/* Reads and checks a file. The caller holds one reference.
 * Errors: BP_E_CONFIG, BP_E_NO_MEMORY; reterr_text is "FILE:LINE: what and what to do", without LINE
 * where it is about the whole. Threads: any. */
BP_MUST_CHECK int bpi_config_read(const char *file,
                                  struct bpi_config **ret_config,
                                  char *reterr_text,
                                  size_t reterr_text_size);
/* The same from text; `name` stands for the file in messages. */
BP_MUST_CHECK int bpi_config_parse(const char *name,
                                   const char *text,
                                   struct bpi_config **ret_config,
                                   char *reterr_text,
                                   size_t reterr_text_size);
struct bpi_config *bpi_config_ref(struct bpi_config *config);
void bpi_config_unref(struct bpi_config *config);

/* Whether `next` may take the place of `config` without a restart; else reterr_text names the first
 * option that can't change while running. */
bool bpi_config_can_reload(const struct bpi_config *config,
                           const struct bpi_config *next,
                           char *reterr_text,
                           size_t reterr_text_size);

/* Writes the reference of all options in Markdown, from the table. */
void bpi_config_reference(FILE *out);

#endif
