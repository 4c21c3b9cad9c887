/* In which process we are: a number that differs in a forked child.
 *
 * For objects that may be used only where they were made. getpid() would do and costs a system call each time.
 */
#ifndef BPI_BASE_FORK_H
#define BPI_BASE_FORK_H

/* 1 in the first process, one more in each forked child. Threads: any. */
unsigned bpi_fork_generation(void);

#endif
