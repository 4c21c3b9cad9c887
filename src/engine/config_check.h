/* What has to hold for a configuration as a whole, once all of its lines are read; and what follows from it. */
#ifndef BPI_ENGINE_CONFIG_CHECK_H
#define BPI_ENGINE_CONFIG_CHECK_H

#include <stdbool.h>
#include <stddef.h>

struct bpi_config;

/* Reads password files, joins rules with their operations, and checks what one line alone can't show. False:
 * *reterr_line is the line that it is about (0 = the whole file), reterr_text says what is wrong. */
bool bpi_config_check(struct bpi_config *config,
                      int *reterr_line,
                      char *reterr_text,
                      size_t reterr_text_size);

#endif
