/* The table of options itself; see config_option.h. */
#include "engine/config.h"
#include "engine/config_option.h"

#include <stddef.h>

#define PROCESS(member)   offsetof(struct bpi_config, member)
#define CLUSTER(member)   offsetof(struct bpi_cluster_config, member)
#define CLASS(member)     offsetof(struct bpi_class_config, member)
#define CLAIM(member)     offsetof(struct bpi_claim_config, member)
#define OPERATION(member) offsetof(struct bpi_operation_config, member)
#define RULE(member)      offsetof(struct bpi_rule_config, member)

/* What the macros below leave out is 0: `min`, `has` and so on. */
#define OPTION(place_, type_, name_, offset_, initial_, help_)                                     \
    .name = (name_), .place = (place_), .type = (type_), .offset = (offset_),                      \
    .initial = (initial_), .help = (help_)
#define TEXT(name, place, base, reload_, initial, help)                                            \
    {                                                                                              \
        OPTION(place, BPI_OPTION_TEXT, #name, base(name), initial, help),                          \
            .size = BPI_CONFIG_TEXT_BYTES, .reload = (reload_)                                     \
    }
#define COUNT_AT(place, base, name, min_, max_, initial, help)                                     \
    {                                                                                              \
        OPTION(place, BPI_OPTION_COUNT, #name, base(name), initial, help),                         \
            .min = (min_), .max = (max_), .reload = true                                           \
    }
#define COUNT(name, min, max, initial, help)                                                       \
    COUNT_AT(BPI_PLACE_CLUSTER, CLUSTER, name, min, max, initial, help)
#define BYTES(name, min_, max_, initial, help)                                                     \
    {                                                                                              \
        OPTION(BPI_PLACE_CLUSTER, BPI_OPTION_BYTES, #name, CLUSTER(name), initial, help),          \
            .min = (min_), .max = (max_), .reload = true                                           \
    }
#define DURATION_AT(place, base, name, min_, initial, help)                                        \
    {                                                                                              \
        OPTION(place, BPI_OPTION_DURATION, #name, base(name##_us), initial, help),                 \
            .min = (min_), .max = DURATION_MAX, .reload = true                                     \
    }
#define DURATION(name, min, initial, help)                                                         \
    DURATION_AT(BPI_PLACE_CLUSTER, CLUSTER, name, min, initial, help)
#define WORD_AT(name, place, offset, words_, initial, reload_, has_, help)                         \
    {                                                                                              \
        OPTION(place, BPI_OPTION_WORD, name, offset, initial, help),                               \
            .words = (words_), .reload = (reload_), .has = (has_)                                  \
    }
#define WORD(name, place, words, initial, reload, help)                                            \
    WORD_AT(#name, place, CLUSTER(name), words, initial, reload, 0, help)
#define RULE_TEXT(name, has_, help)                                                                \
    {                                                                                              \
        OPTION(BPI_PLACE_RULE, BPI_OPTION_TEXT, #name, RULE(name), "", help),                      \
            .size = sizeof(((struct bpi_rule_config *)0)->name), .reload = true, .has = (has_)     \
    }
#define CLASS_WORDS    "read_only|read_write|analytics|maintenance|high_priority"
#define PRIORITY_WORDS "low|normal|high|critical"

/* A year: longer is a mistake, and sums of deadlines stay far from 2^64. */
#define DURATION_MAX ((uint64_t)366 * 24 * 3600 * 1000000)

/* In the order of enum bpi_class. */
static const char *const class_max[BPI_CLASS_COUNT] = {"0", "0", "50%", "25%", "0"};
static const char *const class_share[BPI_CLASS_COUNT] = {"200", "200", "50", "20", "500"};

const struct bpi_option bpi_options[] = {
    {OPTION(BPI_PLACE_PROCESS,
            BPI_OPTION_COUNT,
            "loops",
            PROCESS(loops),
            "0",
            "Event loops (threads); 0 takes one for each core."),
     .max = 64},
    WORD_AT("log_level",
            BPI_PLACE_PROCESS,
            PROCESS(log_level_value),
            "debug|info|warn|error",
            "info",
            true,
            0,
            "The least important lines that are logged."),
    DURATION_AT(BPI_PLACE_PROCESS,
                PROCESS,
                drain_timeout,
                0,
                "30s",
                "After SIGTERM, how long running transactions may take to end."),
    {OPTION(
         BPI_PLACE_PROCESS,
         BPI_OPTION_FLAG,
         "learn_classes",
         PROCESS(learn_classes),
         "no",
         "Whether a query whose last 8 transactions all took learn_after or longer is `analytics`, "
         "where neither a rule nor the client says what it is."),
     .reload = true},
    DURATION_AT(BPI_PLACE_PROCESS,
                PROCESS,
                learn_after,
                1000,
                "2s",
                "How long such a transaction holds its link at least."),

    TEXT(listen, BPI_PLACE_OWN, CLUSTER, false, "127.0.0.1:7688", "Address and port for drivers."),
    {OPTION(
         BPI_PLACE_OWN,
         BPI_OPTION_TEXT,
         "endpoints",
         CLUSTER(endpoints),
         "",
         "Neo4j servers, separated by commas: bolt://host:7687, and bolt+s, bolt+ssc, neo4j, "
         "neo4j+s, neo4j+ssc. With a neo4j scheme links ask for server-side routing. Behind an "
         "address may stand `rw` or `ro` (see topology), weight=N (1 .. 10000, 100 where it isn't "
         "said: how much work it gets beside the others) and limit=N (how many transactions it "
         "works on at a time; what is above only waits there)."),
     .size = (size_t)BPI_CONFIG_TEXT_BYTES * 8},
    TEXT(advertised,
         BPI_PLACE_CLUSTER,
         CLUSTER,
         true,
         "",
         "The address that ROUTE and LOGON give to drivers; empty repeats the one that the driver "
         "used."),
    WORD(
        topology,
        BPI_PLACE_CLUSTER,
        "auto|list|equal",
        "auto",
        false,
        "What several endpoints are to each other. `list`: independent servers, of which one takes "
        "the writes (the one that says `rw`, else the first) and all take reads; a transaction "
        "with bookmarks goes to the server that issued them. `equal`: one database behind all of "
        "them, any of which takes anything. `auto` is equal for neo4j schemes, else list."),
    WORD(strategy,
         BPI_PLACE_CLUSTER,
         "adaptive|round_robin|least_connections|weighted_round_robin|performance_based",
         "adaptive",
         true,
         "How the endpoint of a transaction is chosen. `adaptive`: where it is expected to be done "
         "first, by what each server has in progress, how long its transactions take, its weight "
         "and its limit. `least_connections` is what Neo4j's drivers do."),
    TEXT(endpoint_tls_ca_file,
         BPI_PLACE_CLUSTER,
         CLUSTER,
         false,
         "",
         "Authorities for +s endpoints (PEM); empty takes the system's."),
    WORD(pool_mode,
         BPI_PLACE_CLUSTER,
         "transaction|session",
         "transaction",
         true,
         "`transaction` lends a link for each transaction, `session` from the first request until "
         "LOGOFF, GOODBYE or the end of the connection."),
    COUNT(max_links, 1, 100000, "20", "Connections to the servers, all endpoints together."),
    COUNT(max_user_links, 0, 100000, "0", "Links that one user may hold at a time; 0 = no limit."),
    COUNT(max_database_links,
          0,
          100000,
          "0",
          "Links in use for one database at a time; 0 = no limit."),
    COUNT(min_idle_links,
          0,
          100000,
          "0",
          "Links that are kept open though nobody needs them now; link_idle_timeout spares them."),
    COUNT(max_connects,
          1,
          1000,
          "16",
          "Links that are being opened to one server at a time; the next ones wait their turn."),
    COUNT(max_endpoint_links,
          0,
          100000,
          "0",
          "Links to one server, idle ones too; 0 = no limit but max_links."),
    COUNT(max_endpoint_transactions,
          0,
          100000,
          "380",
          "Transactions in progress on one server; 0 = no limit. Each holds one of its worker "
          "threads (`server.bolt.thread_pool_max_size`, 400 by default); when they run out, Neo4j "
          "refuses even log-ins."),
    COUNT(max_clients,
          1,
          1000000,
          "10000",
          "Clients of the cluster; the next one is refused with a retryable error."),
    {OPTION(BPI_PLACE_CLUSTER,
            BPI_OPTION_VERSION,
            "max_bolt_version",
            CLUSTER(max_bolt_version),
            "6.1",
            "The newest Bolt version offered to clients; lower it so that all share links."),
     .reload = true},
    WORD(tenant_by,
         BPI_PLACE_CLUSTER,
         "user|application|claim",
         "user",
         true,
         "Between whom a class is fair: users, applications (`app` of `tx_metadata`, else the "
         "driver's user agent), or what clients call themselves by `boltpool_tenant` in "
         "`tx_metadata` (else their users)."),
    WORD(auth_type,
         BPI_PLACE_CLUSTER,
         "passthrough|file",
         "passthrough",
         false,
         "`passthrough`: the server checks each driver's credentials and its work runs under "
         "them. `file`: clients are checked against auth_file, and work runs as service_user."),
    TEXT(auth_file,
         BPI_PLACE_CLUSTER,
         CLUSTER,
         true,
         "",
         "Users for auth_type = file: `name:hash` lines made by `boltpool hash-password`."),
    TEXT(service_user,
         BPI_PLACE_CLUSTER,
         CLUSTER,
         false,
         "",
         "The servers' account for auth_type = file."),
    TEXT(service_password, BPI_PLACE_CLUSTER, CLUSTER, false, "", "Its password."),
    TEXT(service_password_file,
         BPI_PLACE_CLUSTER,
         CLUSTER,
         false,
         "",
         "A file whose first line is its password."),
    WORD(tls_mode,
         BPI_PLACE_CLUSTER,
         "off|optional|required",
         "off",
         true,
         "TLS for clients; `optional` takes both on one port."),
    TEXT(tls_cert_file,
         BPI_PLACE_CLUSTER,
         CLUSTER,
         true,
         "",
         "Certificate chain for clients (PEM)."),
    TEXT(tls_key_file, BPI_PLACE_CLUSTER, CLUSTER, true, "", "Its private key (PEM)."),

    DURATION(connect_timeout,
             1000,
             "5s",
             "Connecting to a server, TLS and log-in together; also how long a first client waits "
             "for the servers' versions."),
    DURATION(client_login_timeout, 1000, "30s", "From accept, or LOGOFF, until the log-in."),
    DURATION(queue_timeout, 1000, "30s", "Longest wait for a link; then a retryable refusal."),
    DURATION(queue_notify_after, 0, "5s", "A longer wait is logged with its reason; 0 = never."),
    DURATION(idle_transaction_timeout,
             0,
             "0",
             "A transaction in which the client does nothing, or doesn't read its rows, for this "
             "long is rolled back; 0 = never."),
    DURATION(
        transaction_timeout, 0, "0", "Longest time a transaction may hold a link; 0 = no limit."),
    DURATION(reset_timeout,
             1000,
             "10s",
             "How long a server may take to answer a RESET before its link is closed."),
    DURATION(keep_alive_interval,
             0,
             "30s",
             "A client whose answer is due hears from the pooler at least this often; 0 = never."),
    DURATION(auth_cache_ttl,
             0,
             "60s",
             "How long verified credentials are believed without asking a server; 0 = never."),
    DURATION(link_auth_ttl, 0, "5min", "A link logs on anew after it; 0 = never."),
    DURATION(link_idle_timeout, 0, "10min", "An idle link is closed after it; 0 = never."),
    DURATION(
        link_lifetime, 0, "1h", "A link is closed at its first idle moment after it; 0 = never."),

    DURATION(link_check_after,
             0,
             "30s",
             "A link that was idle for longer is asked by a RESET before it is lent; 0 = never."),
    DURATION(link_check_timeout,
             1000,
             "1s",
             "How long that RESET may take; then the link is closed, and another one is lent."),
    DURATION(link_keep_alive, 0, "0", "How often idle links are asked by a RESET; 0 = never."),
    COUNT(link_error_limit,
          0,
          1000000,
          "5",
          "A link is closed when so many transactions on it, one after the other, failed by the "
          "server's fault; 0 = never."),
    DURATION(dead_server_timeout,
             0,
             "10s",
             "When requests are unanswered for longer, the server is asked on another link; when "
             "that isn't answered for as long either, its links are closed; 0 = never."),
    DURATION(lend_max_hold,
             0,
             "50ms",
             "What a class doesn't use of its `min` is lent to classes that hold a link for less "
             "than this, 95 times in 100."),
    DURATION(pass_over,
             0,
             "1ms",
             "A returned link goes to a waiter of the same thread first, unless the oldest of all "
             "has waited longer than this."),
    DURATION(
        leak_report_after,
        0,
        "5min",
        "A transaction that holds a link for longer is logged: whose it is and since when; 0 = "
        "never."),

    BYTES(max_message_bytes, 1024, UINT64_C(1) << 31, "128MiB", "Largest message of a client."),
    BYTES(max_login_message_bytes, 256, 1 << 20, "8KiB", "Largest message before the log-in."),
    COUNT(max_depth, 4, 1024, "256", "Deepest nesting in a client's message."),
    COUNT(max_items, 64, 2147483647, "16777216", "Most entries of one list or map of a client."),
    COUNT(max_login_depth, 2, 64, "4", "Deepest nesting before the log-in."),
    COUNT(max_login_items, 8, 4096, "64", "Most entries of one list or map before the log-in."),
    COUNT(max_pipelined_requests,
          8,
          100000,
          "300",
          "Requests of one client that may wait; then it isn't read from."),
    BYTES(client_buffer_bytes,
          4096,
          1 << 30,
          "256KiB",
          "Unsent bytes for one client at which reading from its link pauses."),
    BYTES(record_buffer_bytes,
          65536,
          1 << 30,
          "1MiB",
          "A record up to this size is passed on whole, so that a lost server can still be "
          "answered by a FAILURE; a larger one streams."),

    {OPTION(
         BPI_PLACE_CLASS,
         BPI_OPTION_AMOUNT,
         "min",
         CLASS(min),
         "0",
         "Links that are kept for the class: a number, or a part of `max_links` (rounded down); 0 "
         "= none. All minima together may not be above `max_links`."),
     .max = 100000, .reload = true},
    {OPTION(BPI_PLACE_CLASS,
            BPI_OPTION_AMOUNT,
            "max",
            CLASS(max),
            NULL,
            "Links that the class may hold at a time: a number, or a part of `max_links` (rounded "
            "up); 0 = `max_links`."),
     .max = 100000, .reload = true, .initials = class_max},
    {OPTION(BPI_PLACE_CLASS,
            BPI_OPTION_COUNT,
            "share",
            CLASS(share),
            NULL,
            "How much link time the class gets where more than one wants links: twice the share is "
            "twice the time."),
     .min = 1, .max = 10000, .reload = true, .initials = class_share},
    COUNT_AT(BPI_PLACE_CLASS,
             CLASS,
             max_waiting,
             0,
             1000000,
             "10000",
             "Transactions that may wait in the class; the next one is refused with a retryable "
             "error; 0 = no limit."),
    DURATION_AT(BPI_PLACE_CLASS,
                CLASS,
                queue_timeout,
                0,
                "0",
                "Longest wait for a link; 0 = the cluster's `queue_timeout`."),
    DURATION_AT(
        BPI_PLACE_CLASS,
        CLASS,
        deadline,
        0,
        "0",
        "When work should be done, counted from its arrival, where neither a rule nor the "
        "client says it; work that can't be done by then is refused at once; 0 = any time."),
    DURATION_AT(
        BPI_PLACE_CLASS,
        CLASS,
        codel_target,
        0,
        "0",
        "While the oldest waiter of the class has waited for longer than this for some time, "
        "waiters are refused (CoDel), by a retryable error; 0 = never."),

    WORD_AT("max_priority",
            BPI_PLACE_USERS,
            CLAIM(max_priority),
            PRIORITY_WORDS,
            "normal",
            true,
            0,
            "The highest priority that a client may claim for itself; a higher claim is lowered to "
            "it."),
    {OPTION(BPI_PLACE_USERS,
            BPI_OPTION_CLASSES,
            "classes",
            CLAIM(classes),
            "read_only, read_write, analytics, maintenance",
            "Classes that a client may claim for itself; a claim of another one is void."),
     .words = CLASS_WORDS, .reload = true},

    WORD_AT("class",
            BPI_PLACE_OPERATION,
            OPERATION(class_),
            CLASS_WORDS,
            "",
            true,
            OPERATION(has_class),
            "The class of such work. Required, but for the operations that boltpool has itself."),
    WORD_AT(
        "high_class",
        BPI_PLACE_OPERATION,
        OPERATION(high_class),
        CLASS_WORDS,
        "",
        true,
        OPERATION(has_high_class),
        "The class of such work where its priority is `high` or `critical`; nothing = the same."),

    RULE_TEXT(user, 0, "Glob over the client's user."),
    RULE_TEXT(database, RULE(has_database), "Glob over the database; the home database is empty."),
    RULE_TEXT(
        application, 0, "Glob over `app` in `tx_metadata`, else over the driver's user agent."),
    WORD_AT("mode",
            BPI_PLACE_RULE,
            RULE(mode),
            "r|w",
            "",
            true,
            RULE(has_mode),
            "The access mode that the driver asks for."),
    RULE_TEXT(
        query, 0, "POSIX extended regular expression, looked for in the query; case is ignored."),
    WORD_AT("class",
            BPI_PLACE_RULE,
            RULE(class_),
            CLASS_WORDS,
            "",
            true,
            RULE(has_class),
            "The class of work for which all conditions of the rule hold."),
    RULE_TEXT(operation, 0, "Which operation it is; its class follows, unless `class` is given."),
    WORD_AT("priority",
            BPI_PLACE_RULE,
            RULE(priority),
            PRIORITY_WORDS,
            "",
            true,
            RULE(has_priority),
            "Its priority."),
    {OPTION(BPI_PLACE_RULE,
            BPI_OPTION_DURATION,
            "deadline",
            RULE(deadline_us),
            "",
            "When it should be done, counted from its arrival; 0 = any time."),
     .max = DURATION_MAX, .reload = true, .has = RULE(has_deadline)},
    RULE_TEXT(tenant, 0, "Whose it is, where a class is fair between tenants."),
    {OPTION(BPI_PLACE_RULE,
            BPI_OPTION_FLAG,
            "shed",
            RULE(shed),
            "",
            "Whether `codel_target` may refuse it. By default that is so for transactions begun by "
            "BEGIN, which drivers retry, and not for single queries, which they don't."),
     .reload = true, .has = RULE(has_shed)},
};

const size_t bpi_options_count = sizeof(bpi_options) / sizeof(bpi_options[0]);
