/* The five pools: accounts over one set of links, chosen by what an operation is; and the priorities inside one. */
#ifndef BPI_POOL_CLASS_H
#define BPI_POOL_CLASS_H

#include <stdbool.h>
#include <stddef.h>

enum bpi_class {
    BPI_CLASS_READ_ONLY,
    BPI_CLASS_READ_WRITE,
    BPI_CLASS_ANALYTICS,
    BPI_CLASS_MAINTENANCE,
    BPI_CLASS_HIGH_PRIORITY,
};

#define BPI_CLASS_COUNT 5

/* Who goes first inside a class. */
enum bpi_priority {
    BPI_PRIORITY_LOW,
    BPI_PRIORITY_NORMAL,
    BPI_PRIORITY_HIGH,
    BPI_PRIORITY_CRITICAL,
};

#define BPI_PRIORITY_COUNT 4

/* "read_only" ... */
const char *bpi_class_name(enum bpi_class class_);
/* The class of that name, which need not be zero-terminated. False for another word. */
bool bpi_class_parse(const char *name, size_t size, enum bpi_class *ret_class);
/* "low" ... */
const char *bpi_priority_name(enum bpi_priority priority);
bool bpi_priority_parse(const char *name, size_t size, enum bpi_priority *ret_priority);

#endif
