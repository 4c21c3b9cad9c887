/* From a pointer to a member to the struct that holds it: letters, timers and list nodes are embedded. */
#ifndef BPI_BASE_CONTAINER_H
#define BPI_BASE_CONTAINER_H

#include <stddef.h>

/* By way of void *, because only the writer of the line knows that the alignment is right. */
#define BPI_CONTAINER(pointer, type, member)                                                       \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

#endif
