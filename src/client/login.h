/* What the answer to HELLO says. See client.h. */
#ifndef BPI_CLIENT_LOGIN_H
#define BPI_CLIENT_LOGIN_H

#include "client/client.h"

/* Notes the server's name, the connection's id, hints and patches. Errors: BP_E_TYPE ...: a server that says
 * nonsense. */
BP_MUST_CHECK int bpi_login_greeted(struct bpi_client *client,
                                    const struct bpi_bolt_answer *answer);

#endif
