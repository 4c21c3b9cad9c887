/* See class.h. */
#include "pool/class.h"

#include <string.h>

static const char *const class_names[BPI_CLASS_COUNT] = {
    "read_only", "read_write", "analytics", "maintenance", "high_priority",
};

const char *bpi_class_name(enum bpi_class class_)
{
    return class_names[class_];
}

bool bpi_class_parse(const char *name, size_t size, enum bpi_class *ret_class)
{
    for (int i = 0; i < BPI_CLASS_COUNT; i++) {
        if (strlen(class_names[i]) == size && memcmp(class_names[i], name, size) == 0) {
            *ret_class = (enum bpi_class)i;
            return true;
        }
    }
    return false;
}
