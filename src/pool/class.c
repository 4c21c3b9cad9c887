/* See class.h. */
#include "pool/class.h"

#include <string.h>

static const char *const class_names[BPI_CLASS_COUNT] = {
    "read_only", "read_write", "analytics", "maintenance", "high_priority",
};

static const char *const priority_names[BPI_PRIORITY_COUNT] = {"low", "normal", "high", "critical"};

static bool
find_name(const char *const *names, int count, const char *name, size_t size, int *ret_index)
{
    for (int i = 0; i < count; i++) {
        if (strlen(names[i]) == size && memcmp(names[i], name, size) == 0) {
            *ret_index = i;
            return true;
        }
    }
    return false;
}

const char *bpi_class_name(enum bpi_class class_)
{
    return class_names[class_];
}

bool bpi_class_parse(const char *name, size_t size, enum bpi_class *ret_class)
{
    int index;
    bool found = find_name(class_names, BPI_CLASS_COUNT, name, size, &index);
    if (found) {
        *ret_class = (enum bpi_class)index;
    }
    return found;
}

const char *bpi_priority_name(enum bpi_priority priority)
{
    return priority_names[priority];
}

bool bpi_priority_parse(const char *name, size_t size, enum bpi_priority *ret_priority)
{
    int index;
    bool found = find_name(priority_names, BPI_PRIORITY_COUNT, name, size, &index);
    if (found) {
        *ret_priority = (enum bpi_priority)index;
    }
    return found;
}
