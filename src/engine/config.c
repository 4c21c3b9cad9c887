/* See config.h. The options are in config_table.c, what has to hold for the whole is in config_check.c; here
 * lines and sections.
 *
 * The lines are split here and not by inih, which was tried: it cuts lines at 200 bytes and section names
 * at 50 without a word, takes an indented option for the value of the one above, and doesn't tell of a
 * section without options.
 */
#include "engine/config.h"

#include "engine/config_check.h"
#include "engine/config_option.h"

#include <boltpool/error.h>

#include <uv.h>

#include <errno.h>
#include <fnmatch.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
/* The longest option (endpoints, 4 KiB) with room to spare. */
#define LINE_BYTES_MAX ((size_t)8192)

/* The operations that boltpool has itself: the class, and that of high priority. */
static const struct {
    const char *name;
    enum bpi_class class_;
    enum bpi_class high_class;
} built_in[] = {
    {"inheritance_chain_read", BPI_CLASS_READ_ONLY, BPI_CLASS_HIGH_PRIORITY},
    {"property_resolution_read", BPI_CLASS_READ_ONLY, BPI_CLASS_HIGH_PRIORITY},
    {"concept_creation", BPI_CLASS_READ_WRITE, BPI_CLASS_READ_WRITE},
    {"concept_update", BPI_CLASS_READ_WRITE, BPI_CLASS_READ_WRITE},
    {"bulk_analytics", BPI_CLASS_ANALYTICS, BPI_CLASS_ANALYTICS},
    {"graph_traversal", BPI_CLASS_ANALYTICS, BPI_CLASS_ANALYTICS},
    {"maintenance_operation", BPI_CLASS_MAINTENANCE, BPI_CLASS_MAINTENANCE},
    {"critical_operation", BPI_CLASS_HIGH_PRIORITY, BPI_CLASS_HIGH_PRIORITY},
};

enum section {
    SECTION_NONE, /* before the first one */
    SECTION_PROCESS,
    SECTION_CLASS,
    SECTION_USERS,
    SECTION_OPERATION,
    /* Read in the second pass, once all that they start from and how many there are is known. */
    SECTION_CLUSTER,
    SECTION_USER,
    SECTION_RULE,
    SECTION_COUNT,
};

/* Which options of the table may stand there. */
#define PLACE(place) (1u << BPI_PLACE_##place)
static const unsigned places_of[SECTION_COUNT] = {
    [SECTION_PROCESS] = PLACE(PROCESS) | PLACE(CLUSTER),
    [SECTION_CLASS] = PLACE(CLASS),
    [SECTION_USERS] = PLACE(USERS),
    [SECTION_OPERATION] = PLACE(OPERATION),
    [SECTION_CLUSTER] = PLACE(CLUSTER) | PLACE(OWN),
    [SECTION_USER] = PLACE(USERS),
    [SECTION_RULE] = PLACE(RULE),
};

struct reader {
    struct bpi_config *config;
    const char *name;
    int line; /* that is read, or that an error belongs to; 0 = to the whole file */
    char title[BPI_CONFIG_NAME_BYTES * 2]; /* of the section */
    enum section section;
    void *base; /* the struct that it is about; NULL where this pass skips it */
    /* Counted in pass 1, so that pass 2 allocates once and leaves no passwords and compiled expressions
     * behind. */
    unsigned headers_count[SECTION_COUNT];
    char error[BPI_CONFIG_TEXT_BYTES];
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

/* Long lists of options are left to the reference; of a short one all are named. */
static int unknown_option(struct reader *reader, const char *name)
{
    unsigned places = places_of[reader->section];
    const struct bpi_option *elsewhere = bpi_option_find(~0u, name);
    const char *near = bpi_option_nearest(places, name);
    if (strcmp(name, "claimable_classes") == 0) {
        return fail(reader,
                    "claimable_classes is no more; write classes = ... in a [users] section");
    }
    if (reader->section != SECTION_PROCESS && reader->section != SECTION_CLUSTER) {
        char names[256] = "";
        size_t used = 0;
        for (size_t i = 0; i < bpi_options_count; i++) {
            if ((places & 1u << bpi_options[i].place) != 0 && used < sizeof(names)) {
                used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%s",
                                         used == 0 ? "" : ", ", bpi_options[i].name);
            }
        }
        return fail(reader, "[%.60s] has no option '%.60s'; there are %s", reader->title, name,
                    names);
    }
    if (elsewhere != NULL) {
        return fail(reader, "%s belongs into %s", name, bpi_option_place_text(elsewhere->place));
    }
    return fail(reader, "[%.60s] has no option '%.60s'%s%s%s", reader->title, name,
                near == NULL ? "" : "; did you mean '", near == NULL ? "" : near,
                near == NULL ? "" : "'?");
}

/* ---- values that say more than a number or a word ---- */

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

/* What stands behind an address: rw, ro, weight=N, limit=N. */
static int
read_endpoint_word(struct reader *reader, const char *word, struct bpi_cluster_config *cluster)
{
    if (cluster->endpoints_count == 0) {
        return fail(reader, "endpoints: '%.60s' stands before any address", word);
    }
    struct bpi_endpoint_config *endpoint = &cluster->endpoint_is[cluster->endpoints_count - 1];
    bool is_writer = strcmp(word, "rw") == 0;
    if (is_writer || strcmp(word, "ro") == 0) {
        endpoint->is_writer = is_writer;
        endpoint->has_access = true;
        return 1;
    }
    const char *equals = strchr(word, '=');
    bool is_weight = strncmp(word, "weight=", 7) == 0;
    if (equals == NULL || (!is_weight && strncmp(word, "limit=", 6) != 0)) {
        return fail(reader,
                    "endpoints: '%.60s' is neither an address nor rw, ro, weight=N or limit=N",
                    word);
    }
    char *end;
    errno = 0;
    unsigned long number = strtoul(equals + 1, &end, 10);
    unsigned long max = is_weight ? 10000 : 1000000;
    if (equals[1] < '0' || equals[1] > '9' || *end != '\0' || errno != 0 || number < 1 ||
        number > max) {
        return fail(reader, "endpoints: %.60s: give a number from 1 to %lu", word, max);
    }
    *(is_weight ? &endpoint->weight : &endpoint->limit) = (unsigned)number;
    return 1;
}

static int
read_endpoint(struct reader *reader, const char *text, struct bpi_cluster_config *cluster)
{
    char error[256];
    if (cluster->endpoints_count == BPI_CONFIG_ENDPOINTS_MAX) {
        return fail(reader, "endpoints: more than %d", BPI_CONFIG_ENDPOINTS_MAX);
    }
    unsigned index = cluster->endpoints_count;
    struct bpi_url *url = &cluster->endpoint[index];
    if (bpi_url_parse(text, url, error, sizeof(error)) != 0) {
        return fail(reader, "endpoints: number %u: %s", index + 1, error);
    }
    if (url->user[0] != '\0') {
        return fail(reader, "endpoints: no user in an address; see auth_type, service_user and "
                            "service_password");
    }
    cluster->endpoint_is[index] = (struct bpi_endpoint_config){.weight = 100};
    cluster->endpoints_count++;
    return 1;
}

static int split_endpoints(struct reader *reader, struct bpi_cluster_config *cluster)
{
    const char *at = cluster->endpoints;
    cluster->endpoints_count = 0;
    while (*(at += strspn(at, " ,\t")) != '\0') {
        size_t size = strcspn(at, " ,\t");
        char text[BPI_CONFIG_TEXT_BYTES];
        if (size >= sizeof(text)) {
            return fail(reader, "endpoints: one is longer than %zu bytes", sizeof(text) - 1);
        }
        memcpy(text, at, size);
        text[size] = '\0';
        bool is_word =
            strcmp(text, "rw") == 0 || strcmp(text, "ro") == 0 || strchr(text, '=') != NULL;
        int done = is_word ? read_endpoint_word(reader, text, cluster)
                           : read_endpoint(reader, text, cluster);
        if (done != 1) {
            return done;
        }
        at += size;
    }
    if (cluster->endpoints_count == 0) {
        return fail(reader, "endpoints: give at least one, as bolt://host:7687");
    }
    return 1;
}

static int compile_query(struct reader *reader, struct bpi_rule_config *rule)
{
    if (rule->has_regex) {
        return fail(reader, "query stands twice in [%.60s]", reader->title);
    }
    int code = regcomp(&rule->regex, rule->query, REG_EXTENDED | REG_ICASE | REG_NOSUB);
    if (code != 0) {
        char text[128];
        regerror(code, &rule->regex, text, sizeof(text));
        return fail(reader, "query: '%.60s' is no regular expression: %s", rule->query, text);
    }
    rule->has_regex = true;
    return 1;
}

/* ---- sections ---- */

/* The defaults of the options of `place`; `class_` picks that of a class. */
static void
set_defaults(struct reader *reader, void *base, enum bpi_option_place place, unsigned class_)
{
    for (size_t i = 0; i < bpi_options_count; i++) {
        const struct bpi_option *option = &bpi_options[i];
        if (option->place == place) {
            int done =
                set_option(reader, option, base,
                           option->initials == NULL ? option->initial : option->initials[class_]);
            (void)done; /* a wrong default would be our mistake: the tests parse an empty file */
        }
    }
}

static int set_all_defaults(struct reader *reader)
{
    struct bpi_config *config = reader->config;
    set_defaults(reader, config, BPI_PLACE_PROCESS, 0);
    set_defaults(reader, &config->defaults, BPI_PLACE_CLUSTER, 0);
    set_defaults(reader, &config->defaults, BPI_PLACE_OWN, 0);
    set_defaults(reader, &config->claim, BPI_PLACE_USERS, 0);
    for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
        set_defaults(reader, &config->classes[i], BPI_PLACE_CLASS, i);
    }
    for (size_t i = 0; i < sizeof(built_in) / sizeof(built_in[0]); i++) {
        struct bpi_operation_config *operation = &config->operations[config->operations_count++];
        snprintf(operation->name, sizeof(operation->name), "%s", built_in[i].name);
        operation->class_ = built_in[i].class_;
        operation->high_class = built_in[i].high_class;
        operation->has_class = true;
        operation->has_high_class = true;
    }
    return split_listen(reader, &config->defaults);
}

/* What an option means beyond its value. */
static int after_option(struct reader *reader, const struct bpi_option *option, void *base)
{
    if (option->place == BPI_PLACE_OWN) {
        return option->offset == offsetof(struct bpi_cluster_config, listen)
                   ? split_listen(reader, base)
                   : split_endpoints(reader, base);
    }
    if (option->place == BPI_PLACE_RULE &&
        option->offset == offsetof(struct bpi_rule_config, query)) {
        return compile_query(reader, base);
    }
    return 1;
}

static int read_pair(struct reader *reader, const char *name, const char *value)
{
    if (reader->section == SECTION_NONE) {
        return fail(reader, "'%.60s' stands before any [section]", name);
    }
    if (reader->base == NULL) {
        return 1; /* in the other pass */
    }
    const struct bpi_option *option = bpi_option_find(places_of[reader->section], name);
    if (option == NULL) {
        return unknown_option(reader, name);
    }
    void *base = reader->base;
    if (reader->section == SECTION_PROCESS && option->place == BPI_PLACE_CLUSTER) {
        base = &reader->config->defaults;
    }
    return set_option(reader, option, base, value) && after_option(reader, option, base);
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
            reader->base = &config->clusters[i];
            return 1;
        }
    }
    if (config->clusters_count == BPI_CONFIG_CLUSTERS_MAX) {
        return fail(reader, "more than %d clusters", BPI_CONFIG_CLUSTERS_MAX);
    }
    struct bpi_cluster_config *cluster = &config->clusters[config->clusters_count++];
    *cluster = config->defaults;
    cluster->line = reader->line;
    snprintf(cluster->name, sizeof(cluster->name), "%s", name);
    reader->base = cluster;
    return 1;
}

static int enter_user(struct reader *reader, const char *name)
{
    struct bpi_config *config = reader->config;
    for (unsigned i = 0; i < config->users_count; i++) {
        if (strcmp(config->users[i].name, name) == 0) {
            reader->base = &config->users[i].claim;
            return 1;
        }
    }
    if (config->users_count == BPI_CONFIG_USERS_MAX) {
        return fail(reader, "more than %d [user NAME] sections", BPI_CONFIG_USERS_MAX);
    }
    struct bpi_user_config *user = &config->users[config->users_count++];
    user->claim = config->claim;
    snprintf(user->name, sizeof(user->name), "%s", name);
    reader->base = &user->claim;
    return 1;
}

static int enter_rule(struct reader *reader, const char *name)
{
    struct bpi_config *config = reader->config;
    for (unsigned i = 0; i < config->rules_count; i++) {
        if (strcmp(config->rules[i].name, name) == 0) {
            reader->base = &config->rules[i];
            return 1;
        }
    }
    if (config->rules_count == BPI_CONFIG_RULES_MAX) {
        return fail(reader, "more than %d rules", BPI_CONFIG_RULES_MAX);
    }
    struct bpi_rule_config *rule = &config->rules[config->rules_count++];
    rule->line = reader->line;
    snprintf(rule->name, sizeof(rule->name), "%s", name);
    reader->base = rule;
    return 1;
}

static int enter_operation(struct reader *reader, const char *name)
{
    struct bpi_config *config = reader->config;
    enum bpi_class class_;
    if (bpi_class_parse(name, strlen(name), &class_)) {
        return fail(reader, "[%.60s]: that is a class; give the operation another name",
                    reader->title);
    }
    struct bpi_operation_config *operation = NULL;
    for (unsigned i = 0; i < config->operations_count; i++) {
        if (strcmp(config->operations[i].name, name) == 0) {
            operation = &config->operations[i];
        }
    }
    if (operation == NULL && config->operations_count == BPI_CONFIG_OPERATIONS_MAX) {
        return fail(reader, "more than %d operations", BPI_CONFIG_OPERATIONS_MAX);
    }
    if (operation == NULL) {
        operation = &config->operations[config->operations_count++];
        snprintf(operation->name, sizeof(operation->name), "%s", name);
    }
    if (operation->line == 0) {
        operation->line = reader->line;
    }
    reader->base = operation;
    return 1;
}

static int enter_class(struct reader *reader, const char *name)
{
    enum bpi_class class_;
    if (!bpi_class_parse(name, strlen(name), &class_)) {
        return fail(reader,
                    "[%.60s]: the classes are read_only, read_write, analytics, maintenance, "
                    "high_priority",
                    reader->title);
    }
    struct bpi_class_config *config = &reader->config->classes[class_];
    if (config->line == 0) {
        config->line = reader->line;
    }
    reader->base = config;
    return 1;
}

/* A [user NAME] section names any user, by a pattern, so it may hold what other names may not. */
static bool valid_user(const char *name)
{
    size_t size = strlen(name);
    return size > 0 && size < BPI_CONFIG_NAME_BYTES && strpbrk(name, " \t") == NULL;
}

static int enter_named(struct reader *reader, const char *name)
{
    if (reader->section == SECTION_USER && !valid_user(name)) {
        return fail(reader,
                    "[%.60s]: a user's name, or a pattern for it, has no blanks and at most "
                    "%d bytes",
                    reader->title, BPI_CONFIG_NAME_BYTES - 1);
    }
    if (reader->section != SECTION_USER && reader->section != SECTION_CLASS && !valid_name(name)) {
        return fail(reader, "[%.60s]: a name has letters, digits, '_', '-' and '.'", reader->title);
    }
    reader->headers_count[reader->section] += reader->pass == 1;
    if (reader->pass != (reader->section >= SECTION_CLUSTER ? 2 : 1)) {
        return 1;
    }
    switch (reader->section) {
    case SECTION_CLASS:
        return enter_class(reader, name);
    case SECTION_OPERATION:
        return enter_operation(reader, name);
    case SECTION_CLUSTER:
        return enter_cluster(reader, name);
    case SECTION_USER:
        return enter_user(reader, name);
    case SECTION_RULE:
        return enter_rule(reader, name);
    case SECTION_NONE:
    case SECTION_PROCESS:
    case SECTION_USERS:
    case SECTION_COUNT:
        break;
    }
    return 0;
}

static int enter_section(struct reader *reader, const char *title)
{
    static const char *const kinds[SECTION_COUNT] = {
        [SECTION_CLASS] = "class ",     [SECTION_OPERATION] = "operation ",
        [SECTION_CLUSTER] = "cluster ", [SECTION_USER] = "user ",
        [SECTION_RULE] = "rule ",
    };
    snprintf(reader->title, sizeof(reader->title), "%s", title);
    reader->base = NULL;
    if (strcmp(title, "boltpool") == 0) {
        reader->section = SECTION_PROCESS;
        reader->base = reader->pass == 1 ? reader->config : NULL;
        return 1;
    }
    if (strcmp(title, "users") == 0) {
        reader->section = SECTION_USERS;
        reader->base = reader->pass == 1 ? &reader->config->claim : NULL;
        return 1;
    }
    for (int i = 0; i < SECTION_COUNT; i++) {
        size_t size = kinds[i] == NULL ? 0 : strlen(kinds[i]);
        if (size > 0 && strncmp(title, kinds[i], size) == 0) {
            reader->section = (enum section)i;
            return enter_named(reader, title + size + strspn(title + size, " "));
        }
    }
    return fail(reader,
                "unknown section [%.60s]; there are [boltpool], [cluster NAME], [class NAME], "
                "[users], [user NAME], [operation NAME] and [rule NAME]",
                title);
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
    reader->section = SECTION_NONE;
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
    const unsigned *counts = reader->headers_count;
    unsigned clusters = at_most(counts[SECTION_CLUSTER], BPI_CONFIG_CLUSTERS_MAX);
    unsigned users = at_most(counts[SECTION_USER], BPI_CONFIG_USERS_MAX);
    unsigned rules = at_most(counts[SECTION_RULE], BPI_CONFIG_RULES_MAX);
    config->clusters = calloc(clusters + 1, sizeof(*config->clusters));
    config->users = calloc(users + 1, sizeof(*config->users));
    config->rules = calloc(rules + 1, sizeof(*config->rules));
    return config->clusters != NULL && config->users != NULL && config->rules != NULL;
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
    struct reader reader = {.config = config, .name = name};
    int done = set_all_defaults(&reader);
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
    if (!done || !read_lines(&reader, text) ||
        !bpi_config_check(config, &reader.line, reader.error, sizeof(reader.error))) {
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
    free(config->users);
    for (unsigned i = 0; i < config->clusters_count; i++) {
        explicit_bzero(config->clusters[i].service_password,
                       sizeof(config->clusters[i].service_password));
    }
    explicit_bzero(config->defaults.service_password, sizeof(config->defaults.service_password));
    free(config->clusters);
    free(config);
}

/* ---- looking into it ---- */

unsigned bpi_amount_of(struct bpi_amount amount, unsigned whole, bool round_up)
{
    if (!amount.is_percent) {
        return amount.value;
    }
    uint64_t hundredths = (uint64_t)amount.value * whole;
    return (unsigned)((hundredths + (round_up ? 99 : 0)) / 100);
}

const struct bpi_claim_config *bpi_config_claim(const struct bpi_config *config, const char *user)
{
    for (unsigned i = 0; i < config->users_count; i++) {
        if (fnmatch(config->users[i].name, user, 0) == 0) {
            return &config->users[i].claim;
        }
    }
    return &config->claim;
}

const struct bpi_operation_config *
bpi_config_operation(const struct bpi_config *config, const char *name, size_t size)
{
    for (unsigned i = 0; i < config->operations_count; i++) {
        const char *own = config->operations[i].name;
        if (size < BPI_CONFIG_NAME_BYTES && strlen(own) == size && memcmp(own, name, size) == 0) {
            return &config->operations[i];
        }
    }
    return NULL;
}
