/* Which boltpool this is. */
#ifndef BOLTPOOL_VERSION_H
#define BOLTPOOL_VERSION_H

#include <boltpool/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BP_VERSION_MAJOR  0
#define BP_VERSION_MINOR  1
#define BP_VERSION_PATCH  0
#define BP_VERSION_STRING "0.1.0"

/* The version of the library that runs, which may be newer than these headers. Static. Threads: any. */
BP_API const char *bp_version(void);

#ifdef __cplusplus
}
#endif

#endif
