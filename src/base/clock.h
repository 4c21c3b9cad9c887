/* The one door to the clocks. Everything else takes `now_us` as an argument. */
#ifndef BPI_BASE_CLOCK_H
#define BPI_BASE_CLOCK_H

#include <boltpool/types.h>

/* Monotonic time: CLOCK_MONOTONIC, where the processor allows by a quicker way (clock_tsc.h). Not ordered against other
 * memory accesses: two threads that pass each other a time may see it some tens of nanoseconds out of order.
 * Threads: any. */
bp_usec bpi_clock_now_us(void);

/* Wall-clock time since 1970, only for what people read. Threads: any. */
int64_t bpi_clock_wall_us(void);

/* Writes "2026-01-31T12:34:56.789Z" for a wall-clock time; `size` of at least 32. */
void bpi_clock_format(int64_t wall_us, char *text, size_t size);

#endif
