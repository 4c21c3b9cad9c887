/* The configuration: one table of options drives parsing, defaults, limits, reload and the reference.
 *
 * Sections: [boltpool] for the process and for the defaults of all clusters, [cluster NAME] for one
 * cluster and its listener, [class NAME] for what a pool is given, [users] and [user NAME] for what clients
 * may claim, [operation NAME] for the class of a kind of work, [rule NAME] for what work is. A wrong
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
#include "route/strategy.h"

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
#define BPI_CONFIG_USERS_MAX     256
/* Those of boltpool and those that the file adds. */
#define BPI_CONFIG_OPERATIONS_MAX 64
#define BPI_CONFIG_TENANT_BYTES   256

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

/* Between whom a class is fair. */
enum bpi_tenant_by {
    BPI_TENANT_USER,
    BPI_TENANT_APPLICATION,
    BPI_TENANT_CLAIM, /* boltpool_tenant of tx_metadata, else the user */
};

enum bpi_access_mode {
    BPI_MODE_READ,
    BPI_MODE_WRITE,
};

/* What several endpoints are to each other. */
enum bpi_topology {
    BPI_TOPOLOGY_AUTO,  /* neo4j://: EQUAL; bolt://: LIST */
    BPI_TOPOLOGY_LIST,  /* independent servers: one takes the writes */
    BPI_TOPOLOGY_EQUAL, /* one database behind all of them: any takes anything */
};

/* What is said of an endpoint behind its address. */
struct bpi_endpoint_config {
    bool is_writer;  /* of a LIST */
    bool has_access; /* it was said */
    unsigned weight; /* 1 .. 10000 */
    unsigned limit;  /* transactions that it works on at a time; 0 = not known */
};

/* A number of links, or a part of all of them. */
struct bpi_amount {
    unsigned value; /* links, or per cent */
    bool is_percent;
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
    struct bpi_endpoint_config endpoint_is[BPI_CONFIG_ENDPOINTS_MAX];
    enum bpi_topology topology; /* never AUTO once the file was read */
    enum bpi_route_strategy strategy;
    char endpoint_tls_ca_file[BPI_CONFIG_TEXT_BYTES];

    enum bpi_pool_mode pool_mode;
    unsigned max_links;
    unsigned max_user_links;
    unsigned max_database_links;
    unsigned max_clients;
    unsigned min_idle_links;            /* are opened ahead, and not trimmed */
    unsigned max_connects;              /* to one endpoint at a time */
    unsigned max_endpoint_links;        /* 0 = none */
    unsigned max_endpoint_transactions; /* 0 = none */
    unsigned link_error_limit;          /* 0 = none */
    enum bpi_tenant_by tenant_by;
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
    bp_usec link_check_after_us; /* 0 = never */
    bp_usec link_check_timeout_us;
    bp_usec link_keep_alive_us;     /* 0 = never */
    bp_usec dead_server_timeout_us; /* 0 = never */
    bp_usec lend_max_hold_us;
    bp_usec pass_over_us;
    bp_usec leak_report_after_us; /* 0 = never */

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

/* What one of the five pools is given. */
struct bpi_class_config {
    int line;                 /* of its section, for messages; 0 = it has none */
    struct bpi_amount min;    /* of max_links: kept for it; 0 = nothing */
    struct bpi_amount max;    /* of max_links: it has no more at a time; 0 = as many as there are */
    unsigned share;           /* of the link time that more than one class wants */
    unsigned max_waiting;     /* 0 = any number */
    bp_usec queue_timeout_us; /* 0 = the cluster's */
    bp_usec deadline_us;      /* of work that says nothing of one; 0 = none */
    bp_usec codel_target_us;  /* 0 = off */
};

/* What clients may claim by tx_metadata. */
struct bpi_claim_config {
    enum bpi_priority max_priority;
    unsigned classes; /* a bit for each class */
};

/* The first one in the file's order that fits a client's user stands for [users]. */
struct bpi_user_config {
    char name[BPI_CONFIG_NAME_BYTES]; /* glob */
    struct bpi_claim_config claim;
};

/* A kind of work, as clients and rules name it. */
struct bpi_operation_config {
    char name[BPI_CONFIG_NAME_BYTES];
    int line; /* of its section, for messages; 0 = it has none */
    bool has_class;
    bool has_high_class;
    enum bpi_class class_;
    enum bpi_class high_class; /* where its priority is high or critical */
};

/* What a rule can decide. The operation and the class are one: what the work is. */
enum bpi_rule_thing {
    BPI_RULE_WORK = 1,
    BPI_RULE_PRIORITY = 2,
    BPI_RULE_DEADLINE = 4,
    BPI_RULE_TENANT = 8,
    BPI_RULE_SHED = 16,
    BPI_RULE_ALL = 31,
};

/* A rule holds where each condition that is set does. Of those that hold, in the file's order, the first that
 * names a thing decides it. */
struct bpi_rule_config {
    char name[BPI_CONFIG_NAME_BYTES];
    int line;        /* of its section, for messages */
    unsigned things; /* that it names: bits of bpi_rule_thing */

    char user[BPI_CONFIG_TEXT_BYTES];     /* glob; "" = any */
    char database[BPI_CONFIG_TEXT_BYTES]; /* glob; the home database is "" */
    char application
        [BPI_CONFIG_TEXT_BYTES];       /* glob over `app` of tx_metadata, else the user agent */
    char query[BPI_CONFIG_TEXT_BYTES]; /* POSIX extended regular expression, case ignored */
    enum bpi_access_mode mode;
    bool has_database;
    bool has_mode;
    regex_t regex; /* compiled where `query` is set */
    bool has_regex;

    char operation[BPI_CONFIG_NAME_BYTES];
    const struct bpi_operation_config *operation_found; /* that of the name; NULL = none is given */
    bool has_class;
    enum bpi_class class_;
    bool has_priority;
    enum bpi_priority priority;
    bool has_deadline;
    bp_usec deadline_us; /* 0 = none at all */
    char tenant[BPI_CONFIG_TENANT_BYTES];
    bool has_shed;
    bool shed;
};

struct bpi_config {
    _Atomic unsigned references;
    char file[BPI_CONFIG_TEXT_BYTES];
    unsigned loops; /* 0 = one for each core */
    char log_level[16];
    enum bpi_log_level log_level_value;
    bp_usec drain_timeout_us;
    bool learn_classes;
    bp_usec learn_after_us;
    struct bpi_cluster_config defaults;
    unsigned clusters_count;
    struct bpi_cluster_config *clusters;
    struct bpi_class_config classes[BPI_CLASS_COUNT];
    struct bpi_claim_config claim;      /* of all users without a section */
    enum bpi_priority max_priority_min; /* the lowest cap that any user has */
    unsigned users_count;
    struct bpi_user_config *users;
    unsigned operations_count;
    struct bpi_operation_config operations[BPI_CONFIG_OPERATIONS_MAX];
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

/* How many links of `whole` it is. A part that is no whole number is cut; rounded up, it is at least 1 unless
 * the amount is 0. */
unsigned bpi_amount_of(struct bpi_amount amount, unsigned whole, bool round_up);
/* What that user may claim. */
const struct bpi_claim_config *bpi_config_claim(const struct bpi_config *config, const char *user);
/* The operation of that name, which need not be zero-terminated; or NULL. */
const struct bpi_operation_config *
bpi_config_operation(const struct bpi_config *config, const char *name, size_t size);

/* Whether `next` may take the place of `config` without a restart; else reterr_text names the first
 * option that can't change while running. */
bool bpi_config_can_reload(const struct bpi_config *config,
                           const struct bpi_config *next,
                           char *reterr_text,
                           size_t reterr_text_size);

/* Writes the reference of all options in Markdown, from the table. */
void bpi_config_reference(FILE *out);

#endif
