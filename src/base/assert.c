/* See assert.h. */
#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void bpi_assert_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "boltpool: assertion failed: %s (%s:%d)\n", condition, file, line);
    abort();
}
