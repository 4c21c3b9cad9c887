/* See config.h. The option table comes first: name, where it may stand, type, bounds, default, whether
 * a reload may change it, and the sentence that the reference prints.
 *
 * The lines are split here and not by inih, which was tried: it cuts lines at 200 bytes and section names
 * at 50 without a word, takes an indented option for the value of the one above, and doesn't tell of a
 * section without options.
 */
#include "engine/config.h"

#include <boltpool/error.h>

#include <uv.h>

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum option_type {
    OPTION_TEXT,
    OPTION_COUNT,
    OPTION_BYTES,
    OPTION_DURATION,
    OPTION_VERSION,
    OPTION_WORD, /* one of `words`, stored as its index */
};

enum option_place {
    PLACE_PROCESS, /* [boltpool] alone */
    PLACE_CLUSTER, /* [cluster NAME], and [boltpool] as the default of all */
    PLACE_OWN,     /* [cluster NAME] alone */
};

struct option {
    const char *name;
    enum option_place place;
    enum option_type type;
    size_t offset;
    size_t size; /* OPTION_TEXT: bytes of the array */
    uint64_t min;
    uint64_t max;
    const char *initial;
    const char *words; /* OPTION_WORD: "a|b|c" */
    bool reload;
    const char *help;
};

#define CLUSTER(member) offsetof(struct bpi_cluster_config, member)
#define PROCESS(member) offsetof(struct bpi_config, member)
#define TEXT(name, place, base, reload, initial, help)                                             \
    {                                                                                              \
        #name, place, OPTION_TEXT, base(name), BPI_CONFIG_TEXT_BYTES, 0, 0, initial, NULL, reload, \
            help                                                                                   \
    }
#define COUNT(name, min, max, initial, help)                                                       \
    {                                                                                              \
        #name, PLACE_CLUSTER, OPTION_COUNT, CLUSTER(name), 0, min, max, initial, NULL, true, help  \
    }
#define BYTES(name, min, max, initial, help)                                                       \
    {                                                                                              \
        #name, PLACE_CLUSTER, OPTION_BYTES, CLUSTER(name), 0, min, max, initial, NULL, true, help  \
    }
#define DURATION(name, min, initial, help)                                                         \
    {                                                                                              \
        #name, PLACE_CLUSTER, OPTION_DURATION, CLUSTER(name##_us), 0, min, DURATION_MAX, initial,  \
            NULL, true, help                                                                       \
    }
#define WORD(name, place, words, initial, reload, help)                                            \
    {                                                                                              \
        #name, place, OPTION_WORD, CLUSTER(name), 0, 0, 0, initial, words, reload, help            \
    }

/* A year: longer is a mistake, and sums of deadlines stay far from 2^64. */
#define DURATION_MAX ((uint64_t)366 * 24 * 3600 * 1000000)

static const struct option options[] = {
    {"loops", PLACE_PROCESS, OPTION_COUNT, PROCESS(loops), 0, 0, 64, "0", NULL, false,
     "Event loops (threads); 0 takes one for each core."},
    {"log_level", PLACE_PROCESS, OPTION_WORD, PROCESS(log_level_value), 0, 0, 0, "info",
     "debug|info|warn|error", true, "The least important lines that are logged."},
    {"drain_timeout", PLACE_PROCESS, OPTION_DURATION, PROCESS(drain_timeout_us), 0, 0, DURATION_MAX,
     "30s", NULL, true, "After SIGTERM, how long running transactions may take to end."},
    TEXT(claimable_classes,
         PLACE_PROCESS,
         PROCESS,
         true,
         "read_only, read_write, analytics, maintenance",
         "Classes that a client may ask for itself by `boltpool_operation` in `tx_metadata`."),

    TEXT(listen, PLACE_OWN, CLUSTER, false, "127.0.0.1:7688", "Address and port for drivers."),
    {"endpoints", PLACE_OWN, OPTION_TEXT, CLUSTER(endpoints), BPI_CONFIG_TEXT_BYTES * 8, 0, 0, "",
     NULL, false,
     "Neo4j servers, separated by commas: bolt://host:7687, and bolt+s, bolt+ssc, neo4j, neo4j+s, "
     "neo4j+ssc. With a neo4j scheme links ask for server-side routing."},
    TEXT(advertised,
         PLACE_CLUSTER,
         CLUSTER,
         true,
         "",
         "The address that ROUTE and LOGON give to drivers; empty repeats the one that the driver "
         "used."),
    TEXT(endpoint_tls_ca_file,
         PLACE_CLUSTER,
         CLUSTER,
         false,
         "",
         "Authorities for +s endpoints (PEM); empty takes the system's."),
    WORD(pool_mode,
         PLACE_CLUSTER,
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
    COUNT(max_clients,
          1,
          1000000,
          "10000",
          "Clients of the cluster; the next one is refused with a retryable error."),
    {"max_bolt_version", PLACE_CLUSTER, OPTION_VERSION, CLUSTER(max_bolt_version), 0, 0, 0, "6.1",
     NULL, true, "The newest Bolt version offered to clients; lower it so that all share links."},
    WORD(auth_type,
         PLACE_CLUSTER,
         "passthrough|file",
         "passthrough",
         false,
         "`passthrough`: the server checks each driver's credentials and its work runs under "
         "them. `file`: clients are checked against auth_file, and work runs as service_user."),
    TEXT(auth_file,
         PLACE_CLUSTER,
         CLUSTER,
         true,
         "",
         "Users for auth_type = file: `name:hash` lines made by `boltpool hash-password`."),
    TEXT(service_user,
         PLACE_CLUSTER,
         CLUSTER,
         false,
         "",
         "The servers' account for auth_type = file."),
    TEXT(service_password, PLACE_CLUSTER, CLUSTER, false, "", "Its password."),
    TEXT(service_password_file,
         PLACE_CLUSTER,
         CLUSTER,
         false,
         "",
         "A file whose first line is its password."),
    WORD(tls_mode,
         PLACE_CLUSTER,
         "off|optional|required",
         "off",
         true,
         "TLS for clients; `optional` takes both on one port."),
    TEXT(tls_cert_file, PLACE_CLUSTER, CLUSTER, true, "", "Certificate chain for clients (PEM)."),
    TEXT(tls_key_file, PLACE_CLUSTER, CLUSTER, true, "", "Its private key (PEM)."),

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
};

#define OPTIONS_COUNT (sizeof(options) / sizeof(options[0]))

/* The only option of [class NAME]. */
static const struct option class_max = {"max",
                                        PLACE_OWN,
                                        OPTION_COUNT,
                                        offsetof(struct bpi_class_config, max),
                                        0,
                                        0,
                                        100000,
                                        "0",
                                        NULL,
                                        true,
                                        "Links that the class may hold at a time; 0 = max_links."};

/* Those of [rule NAME], for the reference; read_rule_option() reads them. */
static const char *const rule_options[][2] = {
    {"user", "Glob over the client's user."},
    {"database", "Glob over the database; the home database is empty."},
    {"application", "Glob over `app` in `tx_metadata`, else over the driver's user agent."},
    {"mode", "`r` or `w`: the access mode that the driver asks for."},
    {"query", "POSIX extended regular expression, looked for in the query; case is ignored."},
    {"class", "The class of an operation for which all conditions of the rule hold. Required."},
};

/* The longest option (endpoints, 4 KiB) with room to spare. */
#define LINE_BYTES_MAX ((size_t)8192)

struct reader {
    struct bpi_config *config;
    const char *name;
    int line; /* that is read, or that an error belongs to; 0 = to the whole file */
    char section[BPI_CONFIG_NAME_BYTES * 2]; /* "" = none yet */
    unsigned
        cluster_headers_count; /* counted in pass 1, so that pass 2 allocates once and leaves no */
    unsigned rule_headers_count; /* passwords and compiled expressions behind */
    struct bpi_cluster_config *cluster;
    struct bpi_rule_config *rule;
    int class_;
    bool in_process;
    char error[BPI_CONFIG_TEXT_BYTES];
    /* Cluster options that [boltpool] set count as defaults, so clusters are read in a second pass. */
    int pass;
};

/* Keeps the first error. Always 0, so that a reading function can end with it. */
static int fail(struct reader *reader, const char *format, ...) BP_PRINTF(2, 3);

static int fail(struct reader *reader, const char *format, ...)
{
    if (reader->error[0] == '\0') {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(reader->error, sizeof(reader->error), format, arguments);
        va_end(arguments);
    }
    return 0;
}

/* ---- values ---- */

static bool parse_scaled(const char *text,
                         const char *const *units,
                         const uint64_t *factors,
                         size_t count,
                         bool bare,
                         uint64_t *ret_value)
{
    char *end;
    errno = 0;
    if (text[0] < '0' || text[0] > '9') {
        return false;
    }
    unsigned long long number = strtoull(text, &end, 10);
    if (errno != 0) {
        return false;
    }
    while (*end == ' ') {
        end++;
    }
    if (*end == '\0') {
        *ret_value = number;
        return bare || number == 0;
    }
    for (size_t i = 0; i < count; i++) {
        if (strcmp(end, units[i]) == 0) {
            return !__builtin_mul_overflow((uint64_t)number, factors[i], ret_value);
        }
    }
    return false;
}

static bool parse_duration(const char *text, uint64_t *ret_us)
{
    static const char *const units[] = {"us", "ms", "s", "min", "h"};
    static const uint64_t factors[] = {1, 1000, 1000000, 60000000, UINT64_C(3600000000)};
    return parse_scaled(text, units, factors, 5, false, ret_us);
}

static bool parse_bytes(const char *text, uint64_t *ret_bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB"};
    static const uint64_t factors[] = {1, 1 << 10, 1 << 20, 1 << 30};
    return parse_scaled(text, units, factors, 4, true, ret_bytes);
}

static bool parse_word(const char *words, const char *text, unsigned *ret_index)
{
    size_t size = strlen(text);
    unsigned index = 0;
    const char *at = words;
    while (true) {
        const char *end = strchr(at, '|');
        size_t length = end == NULL ? strlen(at) : (size_t)(end - at);
        if (length == size && memcmp(at, text, size) == 0) {
            *ret_index = index;
            return true;
        }
        if (end == NULL) {
            return false;
        }
        at = end + 1;
        index++;
    }
}

static int
set_option(struct reader *reader, const struct option *option, void *base, const char *value)
{
    void *target = (char *)base + option->offset;
    uint64_t number = 0;
    switch (option->type) {
    case OPTION_TEXT:
        if (strlen(value) >= option->size) {
            return fail(reader, "%s: longer than %zu bytes", option->name, option->size - 1);
        }
        snprintf(target, option->size, "%s", value);
        return 1;
    case OPTION_WORD: {
        unsigned index;
        if (!parse_word(option->words, value, &index)) {
            return fail(reader, "%s: '%.60s' is none of %s", option->name, value, option->words);
        }
        memcpy(target, &index, sizeof(index));
        return 1;
    }
    case OPTION_VERSION: {
        bpi_bolt_version version;
        if (!bpi_bolt_version_parse(value, &version)) {
            return fail(reader,
                        "%s: '%.60s' is no Bolt version that boltpool speaks (4.1-4.4, 5.0-5.4, "
                        "5.6-5.8, 6.0, 6.1)",
                        option->name, value);
        }
        memcpy(target, &version, sizeof(version));
        return 1;
    }
    case OPTION_COUNT:
        if (!parse_scaled(value, NULL, NULL, 0, true, &number)) {
            return fail(reader, "%s: '%.60s' is no whole number", option->name, value);
        }
        break;
    case OPTION_BYTES:
        if (!parse_bytes(value, &number)) {
            return fail(reader, "%s: '%.60s' is no size, as 8KiB or 1MiB", option->name, value);
        }
        break;
    case OPTION_DURATION:
        if (!parse_duration(value, &number)) {
            return fail(reader,
                        "%s: '%.60s' is no duration; give a unit: us, ms, s, min or h, as 30s",
                        option->name, value);
        }
        break;
    }
    if (number != 0 || option->min == 0) {
        if (number >= option->min && number <= option->max) {
            if (option->type == OPTION_COUNT) {
                unsigned count = (unsigned)number;
                memcpy(target, &count, sizeof(count));
            } else {
                memcpy(target, &number, sizeof(number));
            }
            return 1;
        }
    }
    return fail(reader, "%s: '%.60s' is outside %" PRIu64 " .. %" PRIu64 "%s", option->name, value,
                option->min, option->max, option->type == OPTION_DURATION ? " us" : "");
}

/* The option whose name is nearest (edit distance), for "did you mean". */
static const char *nearest_option(const char *name)
{
    const char *best = NULL;
    size_t best_distance = 4;
    size_t size = strlen(name);
    if (size > 40) {
        return NULL;
    }
    for (size_t i = 0; i < OPTIONS_COUNT; i++) {
        size_t row[64];
        size_t other = strlen(options[i].name);
        for (size_t j = 0; j <= other; j++) {
            row[j] = j;
        }
        for (size_t k = 1; k <= size; k++) {
            size_t diagonal = row[0];
            row[0] = k;
            for (size_t j = 1; j <= other; j++) {
                size_t change = diagonal + (name[k - 1] != options[i].name[j - 1]);
                diagonal = row[j];
                size_t shorter = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
                row[j] = change < shorter ? change : shorter;
            }
        }
        if (row[other] < best_distance) {
            best_distance = row[other];
            best = options[i].name;
        }
    }
    return best;
}

static int unknown_option(struct reader *reader, const char *section, const char *name)
{
    const char *near = nearest_option(name);
    return fail(reader, "[%.60s] has no option '%.60s'%s%s%s", section, name,
                near == NULL ? "" : "; did you mean '", near == NULL ? "" : near,
                near == NULL ? "" : "'?");
}

/* ---- values that are lists or addresses ---- */

static int read_claimable(struct reader *reader)
{
    struct bpi_config *config = reader->config;
    const char *at = config->claimable_classes;
    config->claimable = 0;
    while (*(at += strspn(at, " ,\t")) != '\0') {
        size_t size = strcspn(at, " ,\t");
        enum bpi_class class_;
        if (!bpi_class_parse(at, size, &class_)) {
            return fail(reader, "claimable_classes: '%.*s' is no class",
                        (int)(size > 60 ? 60 : size), at);
        }
        config->claimable |= 1u << class_;
        at += size;
    }
    return 1;
}

static int split_listen(struct reader *reader, struct bpi_cluster_config *cluster)
{
    struct bpi_url url;
    char text[BPI_CONFIG_TEXT_BYTES + 16];
    char error[256];
    size_t size = strlen(cluster->listen);
    bool any_port = size > 2 && strcmp(cluster->listen + size - 2, ":0") == 0;
    /* Port 0 takes a free one; in an address of a server it would be a mistake. */
    snprintf(text, sizeof(text), "bolt://%.*s", (int)(any_port ? size - 2 : size), cluster->listen);
    if (bpi_url_parse(text, &url, error, sizeof(error)) != 0) {
        return fail(reader, "listen: %s", error);
    }
    if (url.user[0] != '\0' || strpbrk(cluster->listen, "@/") != NULL) {
        return fail(reader, "listen: give an address and a port, as 0.0.0.0:7688 or [::]:7688");
    }
    snprintf(cluster->listen_host, sizeof(cluster->listen_host), "%s", url.host);
    cluster->listen_port = any_port ? 0 : url.port;
    return 1;
}

static int split_endpoints(struct reader *reader, struct bpi_cluster_config *cluster)
{
    const char *at = cluster->endpoints;
    cluster->endpoints_count = 0;
    while (*(at += strspn(at, " ,\t")) != '\0') {
        size_t size = strcspn(at, " ,\t");
        char text[BPI_CONFIG_TEXT_BYTES];
        char error[256];
        if (cluster->endpoints_count == BPI_CONFIG_ENDPOINTS_MAX) {
            return fail(reader, "endpoints: more than %d", BPI_CONFIG_ENDPOINTS_MAX);
        }
        if (size >= sizeof(text)) {
            return fail(reader, "endpoints: one is longer than %zu bytes", sizeof(text) - 1);
        }
        memcpy(text, at, size);
        text[size] = '\0';
        struct bpi_url *url = &cluster->endpoint[cluster->endpoints_count];
        if (bpi_url_parse(text, url, error, sizeof(error)) != 0) {
            return fail(reader, "endpoints: number %u: %s", cluster->endpoints_count + 1, error);
        }
        if (url->user[0] != '\0') {
            return fail(reader, "endpoints: no user in an address; see auth_type, service_user and "
                                "service_password");
        }
        cluster->endpoints_count++;
        at += size;
    }
    if (cluster->endpoints_count == 0) {
        return fail(reader, "endpoints: give at least one, as bolt://host:7687");
    }
    return 1;
}

/* ---- sections ---- */

static void set_defaults(struct reader *reader, void *base, bool process)
{
    for (size_t i = 0; i < OPTIONS_COUNT; i++) {
        if ((options[i].place == PLACE_PROCESS) == process) {
            int done = set_option(reader, &options[i], base, options[i].initial);
            (void)done; /* a wrong default would be our mistake: the tests parse an empty file */
        }
    }
}

static int read_process_option(struct reader *reader, const char *name, const char *value)
{
    for (size_t i = 0; i < OPTIONS_COUNT; i++) {
        if (strcmp(options[i].name, name) != 0) {
            continue;
        }
        if (options[i].place == PLACE_PROCESS) {
            int done = set_option(reader, &options[i], reader->config, value);
            bool is_claimable = options[i].offset == PROCESS(claimable_classes);
            return done && is_claimable ? read_claimable(reader) : done;
        }
        if (options[i].place == PLACE_CLUSTER) {
            return set_option(reader, &options[i], &reader->config->defaults, value);
        }
        return fail(reader, "%s belongs into a [cluster NAME] section", name);
    }
    return unknown_option(reader, "boltpool", name);
}

static int read_cluster_option(struct reader *reader, const char *name, const char *value)
{
    for (size_t i = 0; i < OPTIONS_COUNT; i++) {
        if (strcmp(options[i].name, name) != 0) {
            continue;
        }
        if (options[i].place == PLACE_PROCESS) {
            return fail(reader, "%s belongs into the [boltpool] section", name);
        }
        int done = set_option(reader, &options[i], reader->cluster, value);
        if (done && options[i].offset == CLUSTER(listen)) {
            done = split_listen(reader, reader->cluster);
        } else if (done && options[i].offset == CLUSTER(endpoints)) {
            done = split_endpoints(reader, reader->cluster);
        }
        return done;
    }
    return unknown_option(reader, reader->section, name);
}

static int read_rule_option(struct reader *reader, const char *name, const char *value)
{
    struct bpi_rule_config *rule = reader->rule;
    struct {
        const char *name;
        char *target;
        size_t size;
    } texts[] = {
        {"user", rule->user, sizeof(rule->user)},
        {"database", rule->database, sizeof(rule->database)},
        {"application", rule->application, sizeof(rule->application)},
        {"mode", rule->mode, sizeof(rule->mode)},
        {"query", rule->query, sizeof(rule->query)},
    };
    if (strcmp(name, "class") == 0) {
        if (!bpi_class_parse(value, strlen(value), &rule->class_)) {
            return fail(reader,
                        "class: '%.60s' is none of read_only, read_write, analytics, maintenance, "
                        "high_priority",
                        value);
        }
        rule->has_class = true;
        return 1;
    }
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (strcmp(texts[i].name, name) != 0) {
            continue;
        }
        if (strlen(value) >= texts[i].size) {
            return fail(reader, "%s: longer than %zu bytes", name, texts[i].size - 1);
        }
        snprintf(texts[i].target, texts[i].size, "%s", value);
        if (texts[i].target == rule->mode && strcmp(value, "r") != 0 && strcmp(value, "w") != 0) {
            return fail(reader, "mode: '%.60s' is neither r nor w", value);
        }
        if (texts[i].target == rule->database) {
            rule->has_database = true;
        }
        if (texts[i].target == rule->query) {
            if (rule->has_regex) {
                return fail(reader, "query stands twice in [%.60s]", reader->section);
            }
            int code = regcomp(&rule->regex, value, REG_EXTENDED | REG_ICASE | REG_NOSUB);
            if (code != 0) {
                char text[128];
                regerror(code, &rule->regex, text, sizeof(text));
                return fail(reader, "query: '%.60s' is no regular expression: %s", value, text);
            }
            rule->has_regex = true;
        }
        return 1;
    }
    return fail(
        reader,
        "[%.60s] has no option '%.60s'; there are user, database, application, mode, query, "
        "class",
        reader->section, name);
}

static bool valid_name(const char *name)
{
    size_t size = strlen(name);
    return size > 0 && size < BPI_CONFIG_NAME_BYTES &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") ==
               size;
}

static int enter_cluster(struct reader *reader, const char *name)
{
    struct bpi_config *config = reader->config;
    for (unsigned i = 0; i < config->clusters_count; i++) {
        if (strcmp(config->clusters[i].name, name) == 0) {
            reader->cluster = &config->clusters[i];
            return 1;
        }
    }
    if (config->clusters_count == BPI_CONFIG_CLUSTERS_MAX) {
        return fail(reader, "more than %d clusters", BPI_CONFIG_CLUSTERS_MAX);
    }
    reader->cluster = &config->clusters[config->clusters_count++];
    *reader->cluster = config->defaults;
    reader->cluster->line = reader->line;
    snprintf(reader->cluster->name, sizeof(reader->cluster->name), "%s", name);
    return 1;
}

static int enter_rule(struct reader *reader, const char *name)
{
    struct bpi_config *config = reader->config;
    for (unsigned i = 0; i < config->rules_count; i++) {
        if (strcmp(config->rules[i].name, name) == 0) {
            reader->rule = &config->rules[i];
            return 1;
        }
    }
    if (config->rules_count == BPI_CONFIG_RULES_MAX) {
        return fail(reader, "more than %d rules", BPI_CONFIG_RULES_MAX);
    }
    reader->rule = &config->rules[config->rules_count++];
    reader->rule->line = reader->line;
    snprintf(reader->rule->name, sizeof(reader->rule->name), "%s", name);
    return 1;
}

static int enter_section(struct reader *reader, const char *section)
{
    snprintf(reader->section, sizeof(reader->section), "%s", section);
    reader->in_process = false;
    reader->cluster = NULL;
    reader->rule = NULL;
    reader->class_ = -1;
    if (strcmp(section, "boltpool") == 0) {
        reader->in_process = true;
        return 1;
    }
    const char *name = strchr(section, ' ');
    if (name != NULL) {
        name += strspn(name, " ");
        if (strncmp(section, "class ", 6) == 0) {
            enum bpi_class class_;
            if (!bpi_class_parse(name, strlen(name), &class_)) {
                return fail(reader,
                            "[%.60s]: the classes are read_only, read_write, analytics, "
                            "maintenance, high_priority",
                            section);
            }
            reader->class_ = (int)class_;
            return 1;
        }
        if (!valid_name(name)) {
            return fail(reader, "[%.60s]: a name has letters, digits, '_', '-' and '.'", section);
        }
        if (strncmp(section, "cluster ", 8) == 0) {
            reader->cluster_headers_count += reader->pass == 1;
            return reader->pass == 1 ? 1 : enter_cluster(reader, name);
        }
        if (strncmp(section, "rule ", 5) == 0) {
            reader->rule_headers_count += reader->pass == 1;
            return reader->pass == 1 ? 1 : enter_rule(reader, name);
        }
    }
    return fail(reader,
                "unknown section [%.60s]; there are [boltpool], [cluster NAME], [class NAME] and "
                "[rule NAME]",
                section);
}

static int read_pair(struct reader *reader, const char *name, const char *value)
{
    if (reader->section[0] == '\0') {
        return fail(reader, "'%.60s' stands before any [section]", name);
    }
    if (reader->in_process) {
        return reader->pass == 1 ? read_process_option(reader, name, value) : 1;
    }
    if (reader->class_ >= 0) {
        if (strcmp(name, "max") != 0) {
            return fail(reader, "[%s] has no option '%.60s'; there is max", reader->section, name);
        }
        return set_option(reader, &class_max, &reader->config->classes[reader->class_], value);
    }
    if (reader->pass == 1) {
        return 1;
    }
    return reader->rule != NULL ? read_rule_option(reader, name, value)
                                : read_cluster_option(reader, name, value);
}

/* ---- lines ---- */

/* Without blanks at both ends; cuts the text it is given. */
static char *trim(char *text)
{
    text += strspn(text, " \t\r");
    size_t size = strlen(text);
    while (size > 0 && strchr(" \t\r", text[size - 1]) != NULL) {
        size--;
    }
    text[size] = '\0';
    return text;
}

/* A ; behind a blank begins a comment. */
static void cut_comment(char *text)
{
    for (char *at = text; (at = strchr(at, ';')) != NULL; at++) {
        if (at > text && (at[-1] == ' ' || at[-1] == '\t')) {
            *at = '\0';
            return;
        }
    }
}

static int read_line(struct reader *reader, char *line)
{
    for (const char *at = line; *at != '\0'; at++) {
        if (((unsigned char)*at < ' ' && *at != '\t' && *at != '\r') || *at == 0x7f) {
            return fail(reader, "a control character (0x%02x) in the text", (unsigned)*at);
        }
    }
    line = trim(line);
    if (line[0] == '\0' || line[0] == '#' || line[0] == ';') {
        return 1;
    }
    cut_comment(line);
    line = trim(line);
    if (line[0] == '[') {
        char *end = strchr(line, ']');
        if (end == NULL || end[1] != '\0') {
            return fail(reader, "a section is written [NAME], alone on its line");
        }
        *end = '\0';
        return enter_section(reader, trim(line + 1));
    }
    char *equals = strchr(line, '=');
    if (equals == NULL || equals == line) {
        return fail(reader, "neither a [section], nor name = value, nor a comment");
    }
    *equals = '\0';
    return read_pair(reader, trim(line), trim(equals + 1));
}

static int read_lines(struct reader *reader, const char *text)
{
    char line[LINE_BYTES_MAX + 1];
    int done = 1;
    reader->section[0] = '\0';
    reader->line = 0;
    if (strncmp(text, "\xef\xbb\xbf", 3) == 0) {
        text += 3; /* the byte order mark that some editors write */
    }
    while (done && *text != '\0') {
        size_t size = strcspn(text, "\n");
        reader->line++;
        if (size > LINE_BYTES_MAX) {
            done = fail(reader, "the line is longer than %zu bytes", LINE_BYTES_MAX);
        } else {
            memcpy(line, text, size);
            line[size] = '\0';
            done = read_line(reader, line);
        }
        text += size;
        text += *text == '\n';
    }
    explicit_bzero(line, sizeof(line));
    return done;
}

static unsigned at_most(unsigned count, unsigned max)
{
    return count < max ? count : max;
}

/* What pass 2 fills. */
static int allocate(struct reader *reader)
{
    struct bpi_config *config = reader->config;
    unsigned clusters = at_most(reader->cluster_headers_count, BPI_CONFIG_CLUSTERS_MAX);
    unsigned rules = at_most(reader->rule_headers_count, BPI_CONFIG_RULES_MAX);
    config->clusters = calloc(clusters + 1, sizeof(*config->clusters));
    config->rules = calloc(rules + 1, sizeof(*config->rules));
    return config->clusters != NULL && config->rules != NULL;
}

/* ---- what has to hold for the whole ---- */

static int read_service_password(struct reader *reader, struct bpi_cluster_config *cluster)
{
    if (cluster->service_password_file[0] == '\0') {
        return 1;
    }
    const char *why = NULL;
    char *password = cluster->service_password;
    errno = 0;
    FILE *file = fopen(cluster->service_password_file, "re");
    if (file == NULL || fgets(password, sizeof(cluster->service_password), file) == NULL) {
        why = errno != 0 ? uv_strerror(-errno) : "it is empty";
    } else if (strlen(password) == sizeof(cluster->service_password) - 1) {
        why = "its first line is too long";
    }
    if (file != NULL) {
        fclose(file);
    }
    if (why != NULL) {
        return fail(reader, "[cluster %s] service_password_file: can't read %.200s: %s",
                    cluster->name, cluster->service_password_file, why);
    }
    password[strcspn(password, "\r\n")] = '\0';
    return 1;
}

static int check_cluster(struct reader *reader, struct bpi_cluster_config *cluster)
{
    reader->line = cluster->line;
    if (cluster->endpoints_count == 0) {
        return fail(reader, "[cluster %s] has no endpoints; give endpoints = bolt://host:7687",
                    cluster->name);
    }
    if (!split_listen(reader, cluster) || !read_service_password(reader, cluster)) {
        return 0;
    }
    if (cluster->tls_mode != BPI_TLS_OFF &&
        (cluster->tls_cert_file[0] == '\0' || cluster->tls_key_file[0] == '\0')) {
        return fail(reader, "[cluster %s] tls_mode needs tls_cert_file and tls_key_file",
                    cluster->name);
    }
    if (cluster->auth_type == BPI_AUTH_FILE &&
        (cluster->auth_file[0] == '\0' || cluster->service_user[0] == '\0' ||
         cluster->service_password[0] == '\0')) {
        return fail(reader,
                    "[cluster %s] auth_type = file needs auth_file, service_user and "
                    "service_password or service_password_file",
                    cluster->name);
    }
    return 1;
}

static int check_whole(struct reader *reader)
{
    struct bpi_config *config = reader->config;
    reader->line = 0;
    if (config->clusters_count == 0) {
        return fail(reader, "no [cluster NAME] section; boltpool needs at least one");
    }
    for (unsigned i = 0; i < config->clusters_count; i++) {
        struct bpi_cluster_config *cluster = &config->clusters[i];
        if (!check_cluster(reader, cluster)) {
            return 0;
        }
        for (unsigned j = 0; j < i; j++) {
            const struct bpi_cluster_config *other = &config->clusters[j];
            if (cluster->listen_port != 0 && cluster->listen_port == other->listen_port &&
                strcmp(cluster->listen_host, other->listen_host) == 0) {
                return fail(reader, "[cluster %s] and [cluster %s] listen on the same address",
                            other->name, cluster->name);
            }
        }
    }
    for (unsigned i = 0; i < config->rules_count; i++) {
        if (!config->rules[i].has_class) {
            reader->line = config->rules[i].line;
            return fail(reader, "[rule %s] names no class", config->rules[i].name);
        }
    }
    return 1;
}

/* ---- reading ---- */

int bpi_config_parse(const char *name,
                     const char *text,
                     struct bpi_config **ret_config,
                     char *reterr_text,
                     size_t reterr_text_size)
{
    struct bpi_config *config = calloc(1, sizeof(*config));
    if (config == NULL) {
        snprintf(reterr_text, reterr_text_size, "%s: out of memory", name);
        return BP_E_NO_MEMORY;
    }
    atomic_init(&config->references, 1);
    snprintf(config->file, sizeof(config->file), "%s", name);
    struct reader reader = {.config = config, .name = name, .class_ = -1};
    set_defaults(&reader, config, true);
    set_defaults(&reader, &config->defaults, false);
    int done = read_claimable(&reader);
    if (done && strlen(name) >= sizeof(config->file)) {
        done = fail(&reader, "the file's name is longer than %zu bytes", sizeof(config->file) - 1);
    }
    reader.pass = 1;
    done = done && read_lines(&reader, text);
    if (done && !allocate(&reader)) {
        snprintf(reterr_text, reterr_text_size, "%s: out of memory", name);
        bpi_config_unref(config);
        return BP_E_NO_MEMORY;
    }
    reader.pass = 2;
    if (!done || !read_lines(&reader, text) || !check_whole(&reader)) {
        char at[16] = "";
        if (reader.line > 0) {
            snprintf(at, sizeof(at), "%d:", reader.line);
        }
        snprintf(reterr_text, reterr_text_size, "%s:%s %s", name, at, reader.error);
        bpi_config_unref(config);
        return BP_E_CONFIG;
    }
    *ret_config = config;
    return 0;
}

int bpi_config_read(const char *file,
                    struct bpi_config **ret_config,
                    char *reterr_text,
                    size_t reterr_text_size)
{
    /* A configuration of a megabyte is a mistake, or not ours. */
    enum { FILE_BYTES_MAX = 1 << 20 };
    FILE *stream = fopen(file, "re");
    if (stream == NULL) {
        snprintf(reterr_text, reterr_text_size, "%s: can't be read: %s", file, uv_strerror(-errno));
        return BP_E_CONFIG;
    }
    char *text = malloc(FILE_BYTES_MAX + 1);
    if (text == NULL) {
        fclose(stream);
        snprintf(reterr_text, reterr_text_size, "%s: out of memory", file);
        return BP_E_NO_MEMORY;
    }
    size_t size = fread(text, 1, FILE_BYTES_MAX + 1, stream);
    int failed = ferror(stream);
    fclose(stream);
    int error = BP_E_CONFIG;
    if (failed || size > FILE_BYTES_MAX || memchr(text, '\0', size) != NULL) {
        snprintf(reterr_text, reterr_text_size, "%s: %s", file,
                 failed ? "reading failed" : "no text file of at most 1 MiB");
    } else {
        text[size] = '\0';
        error = bpi_config_parse(file, text, ret_config, reterr_text, reterr_text_size);
    }
    explicit_bzero(text, size);
    free(text);
    return error;
}

struct bpi_config *bpi_config_ref(struct bpi_config *config)
{
    atomic_fetch_add_explicit(&config->references, 1, memory_order_relaxed);
    return config;
}

void bpi_config_unref(struct bpi_config *config)
{
    if (config == NULL ||
        atomic_fetch_sub_explicit(&config->references, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (unsigned i = 0; i < config->rules_count; i++) {
        if (config->rules[i].has_regex) {
            regfree(&config->rules[i].regex);
        }
    }
    free(config->rules);
    for (unsigned i = 0; i < config->clusters_count; i++) {
        explicit_bzero(config->clusters[i].service_password,
                       sizeof(config->clusters[i].service_password));
    }
    explicit_bzero(config->defaults.service_password, sizeof(config->defaults.service_password));
    free(config->clusters);
    free(config);
}

static bool option_equal(const struct option *option, const void *a, const void *b)
{
    const char *left = (const char *)a + option->offset;
    const char *right = (const char *)b + option->offset;
    switch (option->type) {
    case OPTION_TEXT:
        return strcmp(left, right) == 0;
    case OPTION_VERSION:
        return memcmp(left, right, sizeof(bpi_bolt_version)) == 0;
    case OPTION_COUNT:
    case OPTION_WORD:
        return memcmp(left, right, sizeof(unsigned)) == 0;
    case OPTION_BYTES:
    case OPTION_DURATION:
        break;
    }
    return memcmp(left, right, sizeof(uint64_t)) == 0;
}

bool bpi_config_can_reload(const struct bpi_config *config,
                           const struct bpi_config *next,
                           char *reterr_text,
                           size_t reterr_text_size)
{
    if (config->clusters_count != next->clusters_count) {
        snprintf(reterr_text, reterr_text_size, "adding or removing a cluster needs a restart");
        return false;
    }
    for (size_t i = 0; i < OPTIONS_COUNT; i++) {
        if (options[i].reload) {
            continue;
        }
        if (options[i].place == PLACE_PROCESS) {
            if (!option_equal(&options[i], config, next)) {
                snprintf(reterr_text, reterr_text_size, "changing %s needs a restart",
                         options[i].name);
                return false;
            }
            continue;
        }
        for (unsigned j = 0; j < config->clusters_count; j++) {
            const struct bpi_cluster_config *old = &config->clusters[j];
            if (strcmp(old->name, next->clusters[j].name) != 0) {
                snprintf(reterr_text, reterr_text_size,
                         "renaming or reordering clusters needs a restart");
                return false;
            }
            if (!option_equal(&options[i], old, &next->clusters[j])) {
                snprintf(reterr_text, reterr_text_size, "[cluster %s]: changing %s needs a restart",
                         old->name, options[i].name);
                return false;
            }
        }
    }
    return true;
}

static void print_option(FILE *out, const struct option *option, const char *place)
{
    const char *quote = option->initial[0] == '\0' ? "" : "`";
    fprintf(out, "| `%s` | %s | %s%s%s | ", option->name, place, quote, option->initial, quote);
    switch (option->type) {
    case OPTION_COUNT:
    case OPTION_BYTES:
        fprintf(out, "%" PRIu64 " .. %" PRIu64, option->min, option->max);
        break;
    case OPTION_DURATION:
        fprintf(out, "%s .. 366 days", option->min == 0 ? "0" : "1ms");
        break;
    case OPTION_WORD:
        for (const char *at = option->words; *at != '\0'; at++) {
            fputs(at == option->words ? "`" : "", out);
            if (*at == '|') {
                fputs("`, `", out);
            } else {
                fputc(*at, out);
            }
        }
        fputc('`', out);
        break;
    case OPTION_VERSION:
        fprintf(out, "4.1 .. 6.1");
        break;
    case OPTION_TEXT:
        fprintf(out, "text");
        break;
    }
    fprintf(out, " | %s | %s |\n", option->reload ? "yes" : "restart", option->help);
}

void bpi_config_reference(FILE *out)
{
    static const char *const places[] = {"[boltpool]", "[boltpool], [cluster]", "[cluster]"};
    fprintf(out, "| option | section | default | values | reload | what it does |\n"
                 "|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < OPTIONS_COUNT; i++) {
        print_option(out, &options[i], places[options[i].place]);
    }
    print_option(out, &class_max, "[class]");
    for (size_t i = 0; i < sizeof(rule_options) / sizeof(rule_options[0]); i++) {
        fprintf(out, "| `%s` | [rule] | | text | yes | %s |\n", rule_options[i][0],
                rule_options[i][1]);
    }
}
