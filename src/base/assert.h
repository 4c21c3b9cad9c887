/* Assertions are for our own mistakes, never for what a peer sent.
 *
 * BP_ASSERT stays in release and aborts; BP_DEBUG_ASSERT is for debug builds and CI.
 */
#ifndef BPI_BASE_ASSERT_H
#define BPI_BASE_ASSERT_H

_Noreturn void bpi_assert_failed(const char *condition, const char *file, int line);

#define BP_ASSERT(condition)                                                                       \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            bpi_assert_failed(#condition, __FILE__, __LINE__);                                     \
        }                                                                                          \
    } while (0)

#ifdef NDEBUG
    #define BP_DEBUG_ASSERT(condition) ((void)0)
#else
    #define BP_DEBUG_ASSERT(condition) BP_ASSERT(condition)
#endif

#endif
