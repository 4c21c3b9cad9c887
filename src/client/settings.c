/* See settings.h. */
#include "client/settings.h"

#include "client/client.h"
#include "net/tls.h"

#include <boltpool/error.h>
#include <boltpool/version.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#define CONNECT_TIMEOUT_US (15 * BP_USEC_PER_SECOND)
#define FETCH_SIZE         1000
#define MESSAGE_MAX        ((size_t)256 * 1024 * 1024)
/* No list of categories is longer; a wild count is a mistake. */
#define DISABLED_MAX 64

void bp_bolt_config_init(struct bp_bolt_config *config)
{
    *config = (struct bp_bolt_config){
        .struct_size = sizeof(*config),
        .connect_timeout_us = CONNECT_TIMEOUT_US,
        .fetch_size = FETCH_SIZE,
        .message_max = MESSAGE_MAX,
    };
}

/* ---- the log-in ---- */

static void put_text(struct bpi_pack_writer *writer, const char *key, const char *text)
{
    if (text != NULL) {
        bpi_pack_text(writer, key);
        bpi_pack_text(writer, text);
    }
}

bool bpi_client_is_text(const char *text)
{
    return text == NULL || bpi_utf8_valid((const uint8_t *)text, strlen(text));
}

int bpi_client_token_write(const struct bp_login *login, struct bpi_buffer *out)
{
    if (!bpi_client_is_text(login->scheme) || !bpi_client_is_text(login->user) ||
        !bpi_client_is_text(login->credentials) || !bpi_client_is_text(login->realm)) {
        return BP_E_CONFIG;
    }
    const char *scheme = login->scheme;
    if (scheme == NULL) {
        scheme = login->user != NULL ? "basic" : "none";
    }
    struct bpi_pack_writer writer;
    bpi_pack_writer_init(&writer, out);
    bpi_pack_map(&writer, (size_t)1 + (login->user != NULL) + (login->credentials != NULL) +
                              (login->realm != NULL));
    bpi_pack_text(&writer, "scheme");
    bpi_pack_text(&writer, scheme);
    put_text(&writer, "principal", login->user);
    put_text(&writer, "credentials", login->credentials);
    put_text(&writer, "realm", login->realm);
    return writer.status;
}

static int set_token(struct bpi_client_settings *settings, const struct bp_bolt_config *config)
{
    struct bp_login login = {0};
    if (config->login != NULL) {
        login = *config->login;
    } else if (config->user != NULL) {
        login.user = config->user;
        login.credentials = config->password != NULL ? config->password : "";
    } else if (settings->url.user[0] != '\0') {
        login.user = settings->url.user;
        login.credentials = settings->url.password;
    }
    int error = bpi_client_token_write(&login, &settings->token);
    OPENSSL_cleanse(settings->url.password, sizeof(settings->url.password));
    return error;
}

/* ---- TLS ---- */

static int set_tls(struct bpi_client_settings *settings,
                   const struct bp_bolt_config *config,
                   char *reterr_text,
                   size_t reterr_text_size)
{
    bool is_on = settings->url.tls;
    bool verifies = settings->url.tls_verify;
    if (config->tls != BP_TLS_BY_URL) {
        is_on = config->tls != BP_TLS_NONE;
        verifies = config->tls == BP_TLS_VERIFY;
    }
    bool has_options = config->tls_ca_file != NULL || config->tls_ca_pem != NULL ||
                       config->tls_cert_file != NULL || config->tls_key_file != NULL;
    if (!is_on) {
        if (has_options) {
            snprintf(reterr_text, reterr_text_size,
                     "tls_... is set, but the URL's scheme is without TLS: bolt+s://");
            return BP_E_CONFIG;
        }
        return 0;
    }
    struct bpi_tls_client_options options = {
        .verify = verifies,
        .ca_file = config->tls_ca_file,
        .ca_pem = config->tls_ca_pem,
        .cert_file = config->tls_cert_file,
        .key_file = config->tls_key_file,
    };
    return bpi_tls_client_new_with(&options, &settings->tls, reterr_text, reterr_text_size);
}

/* ---- all ---- */

static int copy_text(char **to, const char *text)
{
    if (text == NULL) {
        return 0;
    }
    *to = strdup(text);
    return *to == NULL ? BP_E_NO_MEMORY : 0;
}

const char *bpi_client_filter_mistake(const char *min_severity,
                                      const char *const *disabled,
                                      size_t disabled_count)
{
    if (!bpi_client_is_text(min_severity)) {
        return "notifications_min_severity isn't UTF-8";
    }
    for (size_t i = 0; disabled != NULL && i < disabled_count; i++) {
        if (i == DISABLED_MAX || disabled[i] == NULL || !bpi_client_is_text(disabled[i])) {
            return "notifications_disabled is too long or holds something that isn't text";
        }
    }
    return NULL;
}

void bpi_client_put_disabled(struct bpi_pack_writer *writer,
                             const char *const *disabled,
                             size_t count)
{
    bpi_pack_list(writer, count);
    for (size_t i = 0; i < count; i++) {
        bpi_pack_text(writer, disabled[i]);
    }
}

static int set_notifications(struct bpi_client_settings *settings,
                             const struct bp_bolt_config *config)
{
    int error = copy_text(&settings->min_severity, config->notifications_min_severity);
    if (error != 0 || config->notifications_disabled == NULL) {
        return error;
    }
    struct bpi_pack_writer writer;
    bpi_pack_writer_init(&writer, &settings->disabled);
    bpi_client_put_disabled(&writer, config->notifications_disabled,
                            config->notifications_disabled_count);
    return writer.status;
}

/* What is wrong with the numbers and texts, or NULL. */
static const char *mistake_in(const struct bp_bolt_config *config)
{
    if (config->struct_size != sizeof(*config)) {
        return "struct_size isn't sizeof(struct bp_bolt_config): call bp_bolt_config_init()";
    }
    if (config->url == NULL) {
        return "no url";
    }
    if (config->connect_timeout_us == 0) {
        return "connect_timeout_us is 0";
    }
    if (config->fetch_size < 1 && config->fetch_size != -1) {
        return "fetch_size is neither -1 nor above 0";
    }
    if (config->message_max < 1024 || config->message_max > INT32_MAX) {
        return "message_max is below 1024 bytes or above 2 GiB";
    }
    if ((unsigned)config->tls > BP_TLS_ANY) {
        return "tls is none of enum bp_tls";
    }
    if (!bpi_client_is_text(config->user_agent)) {
        return "user_agent isn't UTF-8";
    }
    if (config->user_agent != NULL && config->user_agent[0] == '\0') {
        return "user_agent is empty";
    }
    return bpi_client_filter_mistake(config->notifications_min_severity,
                                     config->notifications_disabled,
                                     config->notifications_disabled_count);
}

int bpi_client_settings_new(const struct bp_bolt_config *config,
                            struct bpi_client_settings **ret_settings,
                            char *reterr_text,
                            size_t reterr_text_size)
{
    const char *mistake = mistake_in(config);
    if (mistake != NULL) {
        snprintf(reterr_text, reterr_text_size, "%s", mistake);
        return BP_E_CONFIG;
    }
    struct bpi_client_settings *settings = calloc(1, sizeof(*settings));
    if (settings == NULL) {
        return BP_E_NO_MEMORY;
    }
    atomic_init(&settings->references, 1);
    settings->connect_timeout_us = config->connect_timeout_us;
    settings->answer_timeout_us = config->answer_timeout_us;
    settings->fetch_size = config->fetch_size;
    settings->message_max = config->message_max;
    int error = bpi_url_parse(config->url, &settings->url, reterr_text, reterr_text_size);
    if (error == 0) {
        error = set_token(settings, config);
        if (error == BP_E_CONFIG) {
            snprintf(reterr_text, reterr_text_size, "a part of the log-in isn't UTF-8");
        }
    }
    if (error == 0) {
        error = set_tls(settings, config, reterr_text, reterr_text_size);
    }
    if (error == 0) {
        error = copy_text(&settings->server_name, config->tls_server_name != NULL
                                                      ? config->tls_server_name
                                                      : settings->url.host);
    }
    if (error == 0) {
        error = copy_text(&settings->user_agent, config->user_agent != NULL
                                                     ? config->user_agent
                                                     : "boltpool/" BP_VERSION_STRING);
    }
    if (error == 0) {
        error = set_notifications(settings, config);
    }
    if (error != 0) {
        if (error == BP_E_NO_MEMORY) {
            snprintf(reterr_text, reterr_text_size, "%s", bp_error_text(error));
        }
        bpi_client_settings_unref(settings);
        return error;
    }
    *ret_settings = settings;
    return 0;
}

struct bpi_client_settings *bpi_client_settings_ref(struct bpi_client_settings *settings)
{
    atomic_fetch_add_explicit(&settings->references, 1, memory_order_relaxed);
    return settings;
}

void bpi_client_settings_unref(struct bpi_client_settings *settings)
{
    if (settings == NULL ||
        atomic_fetch_sub_explicit(&settings->references, 1, memory_order_acq_rel) != 1) {
        return;
    }
    bpi_tls_context_unref(settings->tls);
    bpi_buffer_wipe(&settings->token);
    bpi_buffer_done(&settings->disabled);
    free(settings->server_name);
    free(settings->user_agent);
    free(settings->min_severity);
    free(settings);
}
