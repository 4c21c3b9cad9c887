/* See config.h. The options are in config_option.c; here lines, sections, and what has to hold for the whole.
 *
 * The lines are split here and not by inih, which was tried: it cuts lines at 200 bytes and section names
 * at 50 without a word, takes an indented option for the value of the one above, and doesn't tell of a
 * section without options.
 */
#include "engine/config.h"

#include "engine/config_option.h"

#include <boltpool/error.h>

#include <uv.h>

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
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

static int
set_option(struct reader *reader, const struct bpi_option *option, void *base, const char *value)
{
    char text[BPI_CONFIG_TEXT_BYTES];
    return bpi_option_set(option, base, value, text, sizeof(text)) ? 1 : fail(reader, "%s", text);
}

static int unknown_option(struct reader *reader, const char *section, const char *name)
{
    const char *near = bpi_option_nearest(name);
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
    for (size_t i = 0; i < bpi_options_count; i++) {
        if ((bpi_options[i].place == BPI_PLACE_PROCESS) == process) {
            int done = set_option(reader, &bpi_options[i], base, bpi_options[i].initial);
            (void)done; /* a wrong default would be our mistake: the tests parse an empty file */
        }
    }
}

static int read_process_option(struct reader *reader, const char *name, const char *value)
{
    for (size_t i = 0; i < bpi_options_count; i++) {
        if (strcmp(bpi_options[i].name, name) != 0) {
            continue;
        }
        if (bpi_options[i].place == BPI_PLACE_PROCESS) {
            int done = set_option(reader, &bpi_options[i], reader->config, value);
            bool is_claimable =
                bpi_options[i].offset == offsetof(struct bpi_config, claimable_classes);
            return done && is_claimable ? read_claimable(reader) : done;
        }
        if (bpi_options[i].place == BPI_PLACE_CLUSTER) {
            return set_option(reader, &bpi_options[i], &reader->config->defaults, value);
        }
        return fail(reader, "%s belongs into a [cluster NAME] section", name);
    }
    return unknown_option(reader, "boltpool", name);
}

static int read_cluster_option(struct reader *reader, const char *name, const char *value)
{
    for (size_t i = 0; i < bpi_options_count; i++) {
        if (strcmp(bpi_options[i].name, name) != 0) {
            continue;
        }
        if (bpi_options[i].place == BPI_PLACE_PROCESS) {
            return fail(reader, "%s belongs into the [boltpool] section", name);
        }
        int done = set_option(reader, &bpi_options[i], reader->cluster, value);
        if (done && bpi_options[i].offset == offsetof(struct bpi_cluster_config, listen)) {
            done = split_listen(reader, reader->cluster);
        } else if (done &&
                   bpi_options[i].offset == offsetof(struct bpi_cluster_config, endpoints)) {
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
        return set_option(reader, &bpi_option_class_max, &reader->config->classes[reader->class_],
                          value);
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
