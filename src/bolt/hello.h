/* HELLO, as all of ours write it: links, questions whether a server is there, and the library's client.
 */
#ifndef BPI_BOLT_HELLO_H
#define BPI_BOLT_HELLO_H

#include "base/url.h"
#include "bolt/message.h"

/* What a client says of itself. Borrowed for the call. */
struct bpi_bolt_greeting {
    bpi_bolt_version version;
    const char *user_agent;        /* "app/1.0" */
    const struct bpi_url *url;     /* with a neo4j scheme it asks for server-side routing */
    bool utc_patch;                /* asked for where the version has patches */
    struct bpi_bolt_span token;    /* a log-in, up to 5.0; absent: none goes with it */
    const char *min_severity;      /* of notifications; NULL: not set */
    struct bpi_bolt_span disabled; /* an encoded list of what is not to be told; absent: not set */
};

/* Appends one framed message. Errors: BP_E_NO_MEMORY, the reader's for a token that is no map. */
BP_MUST_CHECK int bpi_bolt_write_hello(struct bpi_buffer *out,
                                       const struct bpi_bolt_greeting *greeting);
/* The pair "routing": {"address": "host:port"}. */
void bpi_bolt_put_routing(struct bpi_pack_writer *writer, const struct bpi_url *url);
/* The key under which `version` takes kinds of notifications that are not to be told. */
const char *bpi_bolt_disabled_key(bpi_bolt_version version);

#endif
