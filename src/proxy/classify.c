/* See classify.h. */
#include "proxy/classify.h"

#include "bolt/packstream.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

/* A pattern looks at the start of a query only: what comes later can be of any length. */
#define QUERY_BYTES_MAX 4096

/* The customer's names of operations. */
static const struct {
    const char *name;
    enum bpi_class class_;
} operation_types[] = {
    {"inheritance_chain_read", BPI_CLASS_READ_ONLY},
    {"property_resolution_read", BPI_CLASS_READ_ONLY},
    {"concept_creation", BPI_CLASS_READ_WRITE},
    {"concept_update", BPI_CLASS_READ_WRITE},
    {"bulk_analytics", BPI_CLASS_ANALYTICS},
    {"graph_traversal", BPI_CLASS_ANALYTICS},
    {"maintenance_operation", BPI_CLASS_MAINTENANCE},
    {"critical_operation", BPI_CLASS_HIGH_PRIORITY},
};

static bool
metadata_text(struct bpi_bolt_span metadata, const char *key, struct bpi_bolt_text *ret_text)
{
    const uint8_t *value;
    size_t size;
    struct bpi_pack_reader reader;
    if (metadata.data == NULL ||
        bpi_pack_map_find(metadata.data, metadata.size, key, &value, &size) != 1) {
        return false;
    }
    bpi_pack_reader_init(&reader, value, size);
    return bpi_pack_next_string(&reader, &ret_text->data, &ret_text->size) == 0;
}

static bool claimed_class(struct bpi_bolt_span metadata, enum bpi_class *ret_class)
{
    struct bpi_bolt_text claim;
    if (!metadata_text(metadata, "boltpool_operation", &claim)) {
        return false;
    }
    if (bpi_class_parse(claim.data, claim.size, ret_class)) {
        return true;
    }
    for (size_t i = 0; i < sizeof(operation_types) / sizeof(operation_types[0]); i++) {
        if (bpi_bolt_text_is(claim, operation_types[i].name)) {
            *ret_class = operation_types[i].class_;
            return true;
        }
    }
    return false;
}

/* Copies a text so that it ends with a zero; what doesn't fit is cut. */
static void copy_text(char *into, size_t size, struct bpi_bolt_text text)
{
    size_t kept = text.data == NULL ? 0 : text.size < size - 1 ? text.size : size - 1;
    if (kept > 0) {
        memcpy(into, text.data, kept);
    }
    into[kept] = '\0';
}

static bool rule_holds(const struct bpi_rule_config *rule,
                       const struct bpi_operation *operation,
                       const char *database,
                       const char *application,
                       const char *query)
{
    if (rule->user[0] != '\0' && fnmatch(rule->user, operation->user, 0) != 0) {
        return false;
    }
    if (rule->has_database && fnmatch(rule->database, database, 0) != 0) {
        return false;
    }
    if (rule->application[0] != '\0' && fnmatch(rule->application, application, 0) != 0) {
        return false;
    }
    if (rule->mode[0] != '\0' && (rule->mode[0] == 'r') != operation->tx.mode_read) {
        return false;
    }
    return !rule->has_regex ||
           (operation->query.data != NULL && regexec(&rule->regex, query, 0, NULL, 0) == 0);
}

enum bpi_class bpi_classify(const struct bpi_config *config, const struct bpi_operation *operation)
{
    if (config->rules_count > 0) {
        char database[256];
        char application[256];
        char query[QUERY_BYTES_MAX];
        struct bpi_bolt_text app;
        copy_text(database, sizeof(database), operation->tx.db);
        copy_text(query, sizeof(query), operation->query);
        if (metadata_text(operation->tx.metadata, "app", &app)) {
            copy_text(application, sizeof(application), app);
        } else {
            snprintf(application, sizeof(application), "%s", operation->application);
        }
        for (unsigned i = 0; i < config->rules_count; i++) {
            if (rule_holds(&config->rules[i], operation, database, application, query)) {
                return config->rules[i].class_;
            }
        }
    }
    enum bpi_class class_;
    if (operation->tx.metadata.data != NULL && claimed_class(operation->tx.metadata, &class_) &&
        (config->claimable & 1u << class_) != 0) {
        return class_;
    }
    return operation->tx.mode_read ? BPI_CLASS_READ_ONLY : BPI_CLASS_READ_WRITE;
}
