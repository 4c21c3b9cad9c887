/* Scalars and attributes that every part of boltpool shares. */
#ifndef BOLTPOOL_TYPES_H
#define BOLTPOOL_TYPES_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
    #define BP_API          __attribute__((visibility("default")))
    #define BP_MUST_CHECK   __attribute__((warn_unused_result))
    #define BP_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
    #define BP_API
    #define BP_MUST_CHECK
    #define BP_PRINTF(f, a)
#endif

/* Microseconds of the monotonic clock, or a span of them. 0 as a deadline means: none. */
typedef uint64_t bp_usec;

#define BP_USEC_PER_MS     ((bp_usec)1000)
#define BP_USEC_PER_SECOND ((bp_usec)1000000)

#ifdef __cplusplus
}
#endif

#endif
