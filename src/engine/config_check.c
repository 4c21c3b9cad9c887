/* See config_check.h. */
#include "engine/config_check.h"

#include "engine/config.h"

#include <uv.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Where the first error goes. */
struct complaint {
    int *line;
    char *text;
    size_t size;
};

/* Always false, so that a check can end with it. */
static bool wrong(struct complaint *complaint, int line, const char *format, ...) BP_PRINTF(3, 4);

static bool wrong(struct complaint *complaint, int line, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(complaint->text, complaint->size, format, arguments);
    va_end(arguments);
    *complaint->line = line;
    return false;
}

static bool read_service_password(struct complaint *complaint, struct bpi_cluster_config *cluster)
{
    if (cluster->service_password_file[0] == '\0') {
        return true;
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
        return wrong(complaint, cluster->line,
                     "[cluster %s] service_password_file: can't read %.200s: %s", cluster->name,
                     cluster->service_password_file, why);
    }
    password[strcspn(password, "\r\n")] = '\0';
    return true;
}

/* Percentages make this a question of each cluster. */
static bool check_classes(struct complaint *complaint,
                          const struct bpi_config *config,
                          const struct bpi_cluster_config *cluster)
{
    uint64_t sum = 0;
    char list[256] = "";
    size_t used = 0;
    for (int i = 0; i < BPI_CLASS_COUNT; i++) {
        const struct bpi_class_config *class_ = &config->classes[i];
        const char *name = bpi_class_name((enum bpi_class)i);
        unsigned min = bpi_amount_of(class_->min, cluster->max_links, false);
        unsigned max = bpi_amount_of(class_->max, cluster->max_links, true);
        if (max != 0 && min > max) {
            return wrong(complaint, class_->line,
                         "[class %s] min = %u is above max = %u, of max_links = %u of [cluster %s]",
                         name, min, max, cluster->max_links, cluster->name);
        }
        sum += min;
        if (min > 0 && used < sizeof(list)) {
            used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s %u",
                                     used == 0 ? "" : " + ", name, min);
        }
    }
    if (sum > cluster->max_links) {
        return wrong(complaint, cluster->line,
                     "[cluster %s] max_links = %u is less than the minima of the classes (%s); "
                     "raise it, or lower min in the [class NAME] sections",
                     cluster->name, cluster->max_links, list);
    }
    return true;
}

/* Who takes the writes of a list, and that there is one. */
static bool check_topology(struct complaint *complaint, struct bpi_cluster_config *cluster)
{
    unsigned writers = 0;
    unsigned said = 0;
    bool is_routing = cluster->endpoint[0].routing;
    for (unsigned i = 0; i < cluster->endpoints_count; i++) {
        writers += cluster->endpoint_is[i].is_writer;
        said += cluster->endpoint_is[i].has_access;
        if (cluster->endpoint[i].routing != is_routing) {
            return wrong(complaint, cluster->line,
                         "[cluster %s] endpoints: some are bolt:// and some neo4j://; give all the "
                         "same, as they are either one cluster or servers of their own",
                         cluster->name);
        }
    }
    if (cluster->topology == BPI_TOPOLOGY_AUTO) {
        cluster->topology = is_routing && said == 0 ? BPI_TOPOLOGY_EQUAL : BPI_TOPOLOGY_LIST;
    }
    if (cluster->topology == BPI_TOPOLOGY_EQUAL && said > 0) {
        return wrong(complaint, cluster->line,
                     "[cluster %s] endpoints: rw and ro are for topology = list", cluster->name);
    }
    if (writers > 1) {
        return wrong(
            complaint, cluster->line,
            "[cluster %s] endpoints: %u say rw; of independent servers one takes the writes "
            "(topology = equal where all are one database)",
            cluster->name, writers);
    }
    if (writers == 0 && said == 0) {
        cluster->endpoint_is[0].is_writer = true;
    }
    return true;
}

static bool check_cluster(struct complaint *complaint,
                          const struct bpi_config *config,
                          struct bpi_cluster_config *cluster)
{
    if (cluster->endpoints_count == 0) {
        return wrong(complaint, cluster->line,
                     "[cluster %s] has no endpoints; give endpoints = bolt://host:7687",
                     cluster->name);
    }
    if (!read_service_password(complaint, cluster) || !check_topology(complaint, cluster)) {
        return false;
    }
    if (cluster->tls_mode != BPI_TLS_OFF &&
        (cluster->tls_cert_file[0] == '\0' || cluster->tls_key_file[0] == '\0')) {
        return wrong(complaint, cluster->line,
                     "[cluster %s] tls_mode needs tls_cert_file and tls_key_file", cluster->name);
    }
    if (cluster->auth_type == BPI_AUTH_FILE &&
        (cluster->auth_file[0] == '\0' || cluster->service_user[0] == '\0' ||
         cluster->service_password[0] == '\0')) {
        return wrong(complaint, cluster->line,
                     "[cluster %s] auth_type = file needs auth_file, service_user and "
                     "service_password or service_password_file",
                     cluster->name);
    }
    if (cluster->min_idle_links > cluster->max_links) {
        return wrong(complaint, cluster->line,
                     "[cluster %s] min_idle_links = %u is above max_links = %u", cluster->name,
                     cluster->min_idle_links, cluster->max_links);
    }
    return check_classes(complaint, config, cluster);
}

static bool check_operations(struct complaint *complaint, struct bpi_config *config)
{
    for (unsigned i = 0; i < config->operations_count; i++) {
        struct bpi_operation_config *operation = &config->operations[i];
        if (!operation->has_class) {
            return wrong(complaint, operation->line,
                         "[operation %s] names no class; give class = read_only or another one",
                         operation->name);
        }
        if (!operation->has_high_class) {
            operation->high_class = operation->class_;
        }
    }
    return true;
}

static bool check_rule(struct complaint *complaint,
                       const struct bpi_config *config,
                       struct bpi_rule_config *rule)
{
    if (rule->operation[0] != '\0') {
        rule->operation_found =
            bpi_config_operation(config, rule->operation, strlen(rule->operation));
        if (rule->operation_found == NULL) {
            return wrong(complaint, rule->line,
                         "[rule %s] operation: there is no '%.60s'; write an [operation %.60s] "
                         "section for it, or see the ones that there are in docs/configuration.md",
                         rule->name, rule->operation, rule->operation);
        }
    }
    rule->things = (rule->has_class || rule->operation_found != NULL ? BPI_RULE_WORK : 0u) |
                   (rule->has_priority ? BPI_RULE_PRIORITY : 0u) |
                   (rule->has_deadline ? BPI_RULE_DEADLINE : 0u) |
                   (rule->tenant[0] != '\0' ? BPI_RULE_TENANT : 0u) |
                   (rule->has_shed ? BPI_RULE_SHED : 0u);
    if (rule->things == 0) {
        return wrong(
            complaint, rule->line,
            "[rule %s] names nothing; give class, operation, priority, deadline, tenant or "
            "shed",
            rule->name);
    }
    return true;
}

bool bpi_config_check(struct bpi_config *config,
                      int *reterr_line,
                      char *reterr_text,
                      size_t reterr_text_size)
{
    struct complaint complaint = {reterr_line, reterr_text, reterr_text_size};
    if (config->clusters_count == 0) {
        return wrong(&complaint, 0, "no [cluster NAME] section; boltpool needs at least one");
    }
    for (unsigned i = 0; i < config->clusters_count; i++) {
        struct bpi_cluster_config *cluster = &config->clusters[i];
        if (!check_cluster(&complaint, config, cluster)) {
            return false;
        }
        for (unsigned j = 0; j < i; j++) {
            const struct bpi_cluster_config *other = &config->clusters[j];
            if (cluster->listen_port != 0 && cluster->listen_port == other->listen_port &&
                strcmp(cluster->listen_host, other->listen_host) == 0) {
                return wrong(&complaint, cluster->line,
                             "[cluster %s] and [cluster %s] listen on the same address",
                             other->name, cluster->name);
            }
        }
    }
    if (!check_operations(&complaint, config)) {
        return false;
    }
    for (unsigned i = 0; i < config->rules_count; i++) {
        if (!check_rule(&complaint, config, &config->rules[i])) {
            return false;
        }
    }
    config->max_priority_min = config->claim.max_priority;
    for (unsigned i = 0; i < config->users_count; i++) {
        if (config->users[i].claim.max_priority < config->max_priority_min) {
            config->max_priority_min = config->users[i].claim.max_priority;
        }
    }
    return true;
}
