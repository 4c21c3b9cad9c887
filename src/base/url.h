/* Addresses of Bolt servers as people write them: bolt+s://user:password@[::1]:7688
 *
 * scheme: bolt, neo4j (plain), +s (TLS, certificate checked), +ssc (TLS, any certificate); neo4j asks
 * for routing. User and password may hold %XX. A path or a query (?policy=...) is refused, because
 * nothing here would heed it.
 */
#ifndef BPI_BASE_URL_H
#define BPI_BASE_URL_H

#include <boltpool/types.h>

#include <stdbool.h>

#define BPI_URL_PORT_DEFAULT 7687 /* Neo4j's own default for Bolt */

struct bpi_url {
    char scheme[12];
    char host[256]; /* an IPv6 address is without its brackets */
    uint16_t port;
    bool tls;
    bool tls_verify;
    bool routing;
    char user[128]; /* empty: no log-in was given */
    char password[256];
};

/* Errors: BP_E_CONFIG; reterr_text says what is wrong, without repeating a password. *ret_url is
 * written on success only. */
BP_MUST_CHECK int bpi_url_parse(const char *text,
                                struct bpi_url *ret_url,
                                char *reterr_text,
                                size_t reterr_text_size);

#endif
