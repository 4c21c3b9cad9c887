/* See config_option.h. */
#include "engine/config_option.h"

#include "engine/config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLUSTER(member) offsetof(struct bpi_cluster_config, member)
#define PROCESS(member) offsetof(struct bpi_config, member)
#define TEXT(name, place, base, reload, initial, help)                                             \
    {                                                                                              \
        #name, place, BPI_OPTION_TEXT, base(name), BPI_CONFIG_TEXT_BYTES, 0, 0, initial, NULL,     \
            reload, help                                                                           \
    }
#define COUNT(name, min, max, initial, help)                                                       \
    {                                                                                              \
        #name, BPI_PLACE_CLUSTER, BPI_OPTION_COUNT, CLUSTER(name), 0, min, max, initial, NULL,     \
            true, help                                                                             \
    }
#define BYTES(name, min, max, initial, help)                                                       \
    {                                                                                              \
        #name, BPI_PLACE_CLUSTER, BPI_OPTION_BYTES, CLUSTER(name), 0, min, max, initial, NULL,     \
            true, help                                                                             \
    }
#define DURATION(name, min, initial, help)                                                         \
    {                                                                                              \
        #name, BPI_PLACE_CLUSTER, BPI_OPTION_DURATION, CLUSTER(name##_us), 0, min, DURATION_MAX,   \
            initial, NULL, true, help                                                              \
    }
#define WORD(name, place, words, initial, reload, help)                                            \
    {                                                                                              \
        #name, place, BPI_OPTION_WORD, CLUSTER(name), 0, 0, 0, initial, words, reload, help        \
    }

/* A year: longer is a mistake, and sums of deadlines stay far from 2^64. */
#define DURATION_MAX ((uint64_t)366 * 24 * 3600 * 1000000)

const struct bpi_option bpi_options[] = {
    {"loops", BPI_PLACE_PROCESS, BPI_OPTION_COUNT, PROCESS(loops), 0, 0, 64, "0", NULL, false,
     "Event loops (threads); 0 takes one for each core."},
    {"log_level", BPI_PLACE_PROCESS, BPI_OPTION_WORD, PROCESS(log_level_value), 0, 0, 0, "info",
     "debug|info|warn|error", true, "The least important lines that are logged."},
    {"drain_timeout", BPI_PLACE_PROCESS, BPI_OPTION_DURATION, PROCESS(drain_timeout_us), 0, 0,
     DURATION_MAX, "30s", NULL, true,
     "After SIGTERM, how long running transactions may take to end."},
    TEXT(claimable_classes,
         BPI_PLACE_PROCESS,
         PROCESS,
         true,
         "read_only, read_write, analytics, maintenance",
         "Classes that a client may ask for itself by `boltpool_operation` in `tx_metadata`."),

    TEXT(listen, BPI_PLACE_OWN, CLUSTER, false, "127.0.0.1:7688", "Address and port for drivers."),
    {"endpoints", BPI_PLACE_OWN, BPI_OPTION_TEXT, CLUSTER(endpoints), BPI_CONFIG_TEXT_BYTES * 8, 0,
     0, "", NULL, false,
     "Neo4j servers, separated by commas: bolt://host:7687, and bolt+s, bolt+ssc, neo4j, neo4j+s, "
     "neo4j+ssc. With a neo4j scheme links ask for server-side routing."},
    TEXT(advertised,
         BPI_PLACE_CLUSTER,
         CLUSTER,
         true,
         "",
         "The address that ROUTE and LOGON give to drivers; empty repeats the one that the driver "
         "used."),
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
    COUNT(max_clients,
          1,
          1000000,
          "10000",
          "Clients of the cluster; the next one is refused with a retryable error."),
    {"max_bolt_version", BPI_PLACE_CLUSTER, BPI_OPTION_VERSION, CLUSTER(max_bolt_version), 0, 0, 0,
     "6.1", NULL, true,
     "The newest Bolt version offered to clients; lower it so that all share links."},
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

const size_t bpi_options_count = sizeof(bpi_options) / sizeof(bpi_options[0]);

const struct bpi_option bpi_option_class_max = {
    "max",
    BPI_PLACE_OWN,
    BPI_OPTION_COUNT,
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

static bool wrong(char *text, size_t size, const char *format, ...) BP_PRINTF(3, 4);

static bool wrong(char *text, size_t size, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, size, format, arguments);
    va_end(arguments);
    return false;
}

bool bpi_option_set(const struct bpi_option *option,
                    void *base,
                    const char *value,
                    char *reterr_text,
                    size_t reterr_text_size)
{
    void *target = (char *)base + option->offset;
    uint64_t number = 0;
    switch (option->type) {
    case BPI_OPTION_TEXT:
        if (strlen(value) >= option->size) {
            return wrong(reterr_text, reterr_text_size, "%s: longer than %zu bytes", option->name,
                         option->size - 1);
        }
        snprintf(target, option->size, "%s", value);
        return true;
    case BPI_OPTION_WORD: {
        unsigned index;
        if (!parse_word(option->words, value, &index)) {
            return wrong(reterr_text, reterr_text_size, "%s: '%.60s' is none of %s", option->name,
                         value, option->words);
        }
        memcpy(target, &index, sizeof(index));
        return true;
    }
    case BPI_OPTION_VERSION: {
        bpi_bolt_version version;
        if (!bpi_bolt_version_parse(value, &version)) {
            return wrong(reterr_text, reterr_text_size,
                         "%s: '%.60s' is no Bolt version that boltpool speaks (4.1-4.4, 5.0-5.4, "
                         "5.6-5.8, 6.0, 6.1)",
                         option->name, value);
        }
        memcpy(target, &version, sizeof(version));
        return true;
    }
    case BPI_OPTION_COUNT:
        if (!parse_scaled(value, NULL, NULL, 0, true, &number)) {
            return wrong(reterr_text, reterr_text_size, "%s: '%.60s' is no whole number",
                         option->name, value);
        }
        break;
    case BPI_OPTION_BYTES:
        if (!parse_bytes(value, &number)) {
            return wrong(reterr_text, reterr_text_size, "%s: '%.60s' is no size, as 8KiB or 1MiB",
                         option->name, value);
        }
        break;
    case BPI_OPTION_DURATION:
        if (!parse_duration(value, &number)) {
            return wrong(reterr_text, reterr_text_size,
                         "%s: '%.60s' is no duration; give a unit: us, ms, s, min or h, as 30s",
                         option->name, value);
        }
        break;
    }
    if (number != 0 || option->min == 0) {
        if (number >= option->min && number <= option->max) {
            if (option->type == BPI_OPTION_COUNT) {
                unsigned count = (unsigned)number;
                memcpy(target, &count, sizeof(count));
            } else {
                memcpy(target, &number, sizeof(number));
            }
            return true;
        }
    }
    return wrong(reterr_text, reterr_text_size,
                 "%s: '%.60s' is outside %" PRIu64 " .. %" PRIu64 "%s", option->name, value,
                 option->min, option->max, option->type == BPI_OPTION_DURATION ? " us" : "");
}

const char *bpi_option_nearest(const char *name)
{
    const char *best = NULL;
    size_t best_distance = 4;
    size_t size = strlen(name);
    if (size > 40) {
        return NULL;
    }
    for (size_t i = 0; i < bpi_options_count; i++) {
        size_t row[64];
        size_t other = strlen(bpi_options[i].name);
        for (size_t j = 0; j <= other; j++) {
            row[j] = j;
        }
        for (size_t k = 1; k <= size; k++) {
            size_t diagonal = row[0];
            row[0] = k;
            for (size_t j = 1; j <= other; j++) {
                size_t change = diagonal + (name[k - 1] != bpi_options[i].name[j - 1]);
                diagonal = row[j];
                size_t shorter = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
                row[j] = change < shorter ? change : shorter;
            }
        }
        if (row[other] < best_distance) {
            best_distance = row[other];
            best = bpi_options[i].name;
        }
    }
    return best;
}

static bool option_equal(const struct bpi_option *option, const void *a, const void *b)
{
    const char *left = (const char *)a + option->offset;
    const char *right = (const char *)b + option->offset;
    switch (option->type) {
    case BPI_OPTION_TEXT:
        return strcmp(left, right) == 0;
    case BPI_OPTION_VERSION:
        return memcmp(left, right, sizeof(bpi_bolt_version)) == 0;
    case BPI_OPTION_COUNT:
    case BPI_OPTION_WORD:
        return memcmp(left, right, sizeof(unsigned)) == 0;
    case BPI_OPTION_BYTES:
    case BPI_OPTION_DURATION:
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
    for (size_t i = 0; i < bpi_options_count; i++) {
        if (bpi_options[i].reload) {
            continue;
        }
        if (bpi_options[i].place == BPI_PLACE_PROCESS) {
            if (!option_equal(&bpi_options[i], config, next)) {
                snprintf(reterr_text, reterr_text_size, "changing %s needs a restart",
                         bpi_options[i].name);
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
            if (!option_equal(&bpi_options[i], old, &next->clusters[j])) {
                snprintf(reterr_text, reterr_text_size, "[cluster %s]: changing %s needs a restart",
                         old->name, bpi_options[i].name);
                return false;
            }
        }
    }
    return true;
}

static void print_option(FILE *out, const struct bpi_option *option, const char *place)
{
    const char *quote = option->initial[0] == '\0' ? "" : "`";
    fprintf(out, "| `%s` | %s | %s%s%s | ", option->name, place, quote, option->initial, quote);
    switch (option->type) {
    case BPI_OPTION_COUNT:
    case BPI_OPTION_BYTES:
        fprintf(out, "%" PRIu64 " .. %" PRIu64, option->min, option->max);
        break;
    case BPI_OPTION_DURATION:
        fprintf(out, "%s .. 366 days", option->min == 0 ? "0" : "1ms");
        break;
    case BPI_OPTION_WORD:
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
    case BPI_OPTION_VERSION:
        fprintf(out, "4.1 .. 6.1");
        break;
    case BPI_OPTION_TEXT:
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
    for (size_t i = 0; i < bpi_options_count; i++) {
        print_option(out, &bpi_options[i], places[bpi_options[i].place]);
    }
    print_option(out, &bpi_option_class_max, "[class]");
    for (size_t i = 0; i < sizeof(rule_options) / sizeof(rule_options[0]); i++) {
        fprintf(out, "| `%s` | [rule] | | text | yes | %s |\n", rule_options[i][0],
                rule_options[i][1]);
    }
}
