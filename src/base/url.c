/* See url.h. The text is cut from the left: scheme "://" [user [":" password] "@"] host [":" port]. */
#include "base/url.h"

#include <boltpool/error.h>

#include <stdio.h>
#include <string.h>

struct scheme {
    const char *name;
    bool tls;
    bool tls_verify;
    bool routing;
};

static const struct scheme schemes[] = {
    {"bolt", false, false, false}, {"bolt+s", true, true, false}, {"bolt+ssc", true, false, false},
    {"neo4j", false, false, true}, {"neo4j+s", true, true, true}, {"neo4j+ssc", true, false, true},
};

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return -1;
}

/* Copies `size` bytes with %XX decoded. Returns NULL, or what is wrong. */
static const char *decode(const char *text, size_t size, char *into, size_t into_size)
{
    size_t used = 0;
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        if (c == '%') {
            int high = size - i > 2 ? hex_digit(text[i + 1]) : -1;
            int low = size - i > 2 ? hex_digit(text[i + 2]) : -1;
            if (high < 0 || low < 0) {
                return "holds a % that two hexadecimal digits don't follow (write % as %25)";
            }
            c = (char)(high * 16 + low);
            i += 2;
        }
        if (c == '\0') {
            return "holds a zero byte";
        }
        if (used + 1 >= into_size) {
            return "is too long";
        }
        into[used++] = c;
    }
    into[used] = '\0';
    return NULL;
}

static int refuse(char *text, size_t size, const char *what, const char *why)
{
    snprintf(text, size, "%s %s", what, why);
    return BP_E_CONFIG;
}

static const char *port_parse(const char *text, uint16_t *ret_port)
{
    unsigned port = 0;
    if (*text == '\0') {
        return "is missing behind the colon";
    }
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9') {
            return "is not a number";
        }
        port = port * 10 + (unsigned)(*text - '0');
        if (port > 65535) {
            return "is above 65535";
        }
    }
    if (port == 0) {
        return "is 0";
    }
    *ret_port = (uint16_t)port;
    return NULL;
}

/* host [":" port], without anything behind it. */
static const char *
host_parse(const char *text, size_t size, struct bpi_url *url, const char **ret_what)
{
    const char *host = text;
    size_t host_size;
    const char *rest;
    *ret_what = "the host";
    if (size > 0 && text[0] == '[') {
        const char *bracket = memchr(text, ']', size);
        if (bracket == NULL) {
            return "begins with [ and has no ]";
        }
        host = text + 1;
        host_size = (size_t)(bracket - host);
        rest = bracket + 1;
    } else {
        const char *colon = memchr(text, ':', size);
        host_size = colon == NULL ? size : (size_t)(colon - text);
        rest = text + host_size;
        if (colon != NULL && memchr(colon + 1, ':', size - host_size - 1) != NULL) {
            return "holds more than one colon (write an IPv6 address as [::1])";
        }
    }
    if (host_size == 0) {
        return "is missing";
    }
    if (host_size >= sizeof(url->host)) {
        return "is too long";
    }
    memcpy(url->host, host, host_size);
    url->host[host_size] = '\0';
    if (strcspn(url->host, " \t\r\n@\\") != host_size) {
        return "holds a character that no host has";
    }
    size_t rest_size = size - (size_t)(rest - text);
    if (rest_size == 0) {
        return NULL;
    }
    *ret_what = "the port";
    if (*rest != ':') {
        return "must follow ] behind a colon";
    }
    char port[16];
    if (rest_size - 1 >= sizeof(port)) {
        return "is too long";
    }
    memcpy(port, rest + 1, rest_size - 1);
    port[rest_size - 1] = '\0';
    return port_parse(port, &url->port);
}

int bpi_url_parse(const char *text,
                  struct bpi_url *ret_url,
                  char *reterr_text,
                  size_t reterr_text_size)
{
    static const char scheme_names[] =
        "must begin with bolt://, bolt+s://, bolt+ssc://, neo4j://, neo4j+s:// or neo4j+ssc://";
    struct bpi_url url = {.port = BPI_URL_PORT_DEFAULT};
    const char *separator = strstr(text, "://");
    const struct scheme *scheme = NULL;
    for (size_t i = 0; separator != NULL && i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        size_t name_size = strlen(schemes[i].name);
        if ((size_t)(separator - text) == name_size &&
            strncmp(text, schemes[i].name, name_size) == 0) {
            scheme = &schemes[i];
        }
    }
    if (scheme == NULL) {
        return refuse(reterr_text, reterr_text_size, "the address", scheme_names);
    }
    snprintf(url.scheme, sizeof(url.scheme), "%s", scheme->name);
    url.tls = scheme->tls;
    url.tls_verify = scheme->tls_verify;
    url.routing = scheme->routing;

    const char *authority = separator + 3;
    size_t size = strcspn(authority, "/?#");
    /* The last @ ends the log-in, so that a password with an unescaped @ still works. */
    const char *at = memrchr(authority, '@', size);
    if (at != NULL) {
        size_t login_size = (size_t)(at - authority);
        const char *colon = memchr(authority, ':', login_size);
        size_t user_size = colon == NULL ? login_size : (size_t)(colon - authority);
        const char *why = user_size == 0 ? "is missing before the colon or the @"
                                         : decode(authority, user_size, url.user, sizeof(url.user));
        if (why != NULL) {
            return refuse(reterr_text, reterr_text_size, "the user", why);
        }
        if (colon != NULL) {
            why = decode(colon + 1, (size_t)(at - colon) - 1, url.password, sizeof(url.password));
        }
        if (why != NULL) {
            return refuse(reterr_text, reterr_text_size, "the password", why);
        }
        size -= login_size + 1;
        authority = at + 1;
    }
    const char *what = NULL;
    const char *why = host_parse(authority, size, &url, &what);
    if (why != NULL) {
        return refuse(reterr_text, reterr_text_size, what, why);
    }
    const char *tail = authority + size;
    if (tail[0] != '\0' && strcmp(tail, "/") != 0) {
        return refuse(
            reterr_text, reterr_text_size, "the address",
            "has a path or a query behind the port, which is not supported (write / ? # in "
            "a password as %2F %3F %23)");
    }
    *ret_url = url;
    return 0;
}
