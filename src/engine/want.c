/* See blocking_pool.h: what is wanted. */
#include "engine/blocking_pool.h"

#include <string.h>
#include <strings.h>
#include <unistd.h>

_Static_assert((int)BP_CLASS_READ_ONLY == (int)BPI_CLASS_READ_ONLY &&
                   (int)BP_CLASS_READ_WRITE == (int)BPI_CLASS_READ_WRITE &&
                   (int)BP_CLASS_ANALYTICS == (int)BPI_CLASS_ANALYTICS &&
                   (int)BP_CLASS_MAINTENANCE == (int)BPI_CLASS_MAINTENANCE &&
                   (int)BP_CLASS_HIGH_PRIORITY == (int)BPI_CLASS_HIGH_PRIORITY &&
                   BP_CLASS_COUNT == BPI_CLASS_COUNT,
               "the public classes are the decider's");

struct work {
    const char *name;
    enum bp_class class_;
    bool rises; /* with a priority of high or more it is high_priority */
};

static const struct work works[BP_WORK_COUNT] = {
    [BP_WORK_READ_WRITE] = {"read_write", BP_CLASS_READ_WRITE, false},
    [BP_WORK_READ_ONLY] = {"read_only", BP_CLASS_READ_ONLY, false},
    [BP_WORK_ANALYTICS] = {"analytics", BP_CLASS_ANALYTICS, false},
    [BP_WORK_MAINTENANCE] = {"maintenance", BP_CLASS_MAINTENANCE, false},
    [BP_WORK_HIGH_PRIORITY] = {"high_priority", BP_CLASS_HIGH_PRIORITY, false},
    [BP_WORK_INHERITANCE_CHAIN_READ] = {"inheritance_chain_read", BP_CLASS_READ_ONLY, true},
    [BP_WORK_PROPERTY_RESOLUTION_READ] = {"property_resolution_read", BP_CLASS_READ_ONLY, true},
    [BP_WORK_CONCEPT_CREATION] = {"concept_creation", BP_CLASS_READ_WRITE, false},
    [BP_WORK_CONCEPT_UPDATE] = {"concept_update", BP_CLASS_READ_WRITE, false},
    [BP_WORK_BULK_ANALYTICS] = {"bulk_analytics", BP_CLASS_ANALYTICS, false},
    [BP_WORK_GRAPH_TRAVERSAL] = {"graph_traversal", BP_CLASS_ANALYTICS, false},
    [BP_WORK_MAINTENANCE_OPERATION] = {"maintenance_operation", BP_CLASS_MAINTENANCE, false},
    [BP_WORK_CRITICAL_OPERATION] = {"critical_operation", BP_CLASS_HIGH_PRIORITY, false},
};

/* The public ones begin with what a zeroed operation means. */
static const enum bpi_priority priorities[] = {
    [BP_PRIORITY_NORMAL] = BPI_PRIORITY_NORMAL,
    [BP_PRIORITY_LOW] = BPI_PRIORITY_LOW,
    [BP_PRIORITY_HIGH] = BPI_PRIORITY_HIGH,
    [BP_PRIORITY_CRITICAL] = BPI_PRIORITY_CRITICAL,
};

/* Owner: its thread. In a forked child it would be the parent's, hence bpi_thread_id_forget(). */
static _Thread_local int thread_id __attribute__((tls_model("initial-exec")));

int bpi_thread_id(void)
{
    if (__builtin_expect(thread_id == 0, 0)) {
        thread_id = gettid();
    }
    return thread_id;
}

void bpi_thread_id_forget(void)
{
    thread_id = 0;
}

int bp_work_class(enum bp_work work, enum bp_priority priority)
{
    if ((unsigned)work >= BP_WORK_COUNT || (unsigned)priority > BP_PRIORITY_CRITICAL) {
        return -1;
    }
    bool is_high = priority == BP_PRIORITY_HIGH || priority == BP_PRIORITY_CRITICAL;
    return (int)(works[work].rises && is_high ? BP_CLASS_HIGH_PRIORITY : works[work].class_);
}

const char *bp_class_name(enum bp_class class_)
{
    return (unsigned)class_ < BP_CLASS_COUNT ? bpi_class_name((enum bpi_class)class_) : NULL;
}

const char *bp_work_name(enum bp_work work)
{
    return (unsigned)work < BP_WORK_COUNT ? works[work].name : NULL;
}

int bp_work_parse(const char *name, enum bp_work *ret_work)
{
    for (unsigned i = 0; name != NULL && i < BP_WORK_COUNT; i++) {
        if (strcmp(works[i].name, name) == 0) {
            *ret_work = (enum bp_work)i;
            return 1;
        }
    }
    return 0;
}

/* FNV-1a; 0 means nobody in particular. */
static uint64_t tenant_key(const char *tenant)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (; *tenant != '\0'; tenant++) {
        hash = (hash ^ (unsigned char)*tenant) * UINT64_C(0x100000001b3);
    }
    return hash == 0 ? 1 : hash;
}

int bpi_want_init(struct bpi_want *want, const struct bp_operation *operation)
{
    /* Field by field: most of it is for those that wait, and zeroing that takes as long as taking a link. */
    struct bpi_pool_waiter *waiter = &want->waiter;
    waiter->state = BPI_POOL_WAITER_NONE;
    memset(&waiter->key, 0, sizeof(waiter->key));
    waiter->protocol_bit = 0;
    waiter->relogin = false;
    waiter->is_check = false;
    waiter->class_ = BPI_CLASS_READ_WRITE;
    waiter->priority = BPI_PRIORITY_NORMAL;
    waiter->user_key = 0;
    waiter->database_key = 0;
    waiter->tenant_key = 0;
    waiter->expires_us = 0;
    waiter->deadline_us = 0;
    waiter->sheddable = true;
    waiter->loop = 0;
    want->mailbox = NULL;
    want->name = NULL;
    want->work = BP_WORK_READ_WRITE;
    want->thread = bpi_thread_id();
    if (operation == NULL) {
        return 0;
    }
    int class_ = bp_work_class(operation->work, operation->priority);
    if (operation->struct_size != sizeof(*operation) || class_ < 0) {
        return BP_E_USAGE;
    }
    waiter->class_ = (enum bpi_class)class_;
    waiter->priority = priorities[operation->priority];
    waiter->deadline_us = operation->deadline_us;
    if (operation->tenant != NULL && operation->tenant[0] != '\0') {
        waiter->tenant_key = tenant_key(operation->tenant);
    }
    want->work = operation->work;
    want->name = operation->name;
    return 0;
}

void bpi_want_set_timeout(struct bpi_want *want, bp_usec now_us, bp_usec timeout_us)
{
    bp_usec expires_us;
    /* What doesn't fit into the clock has no end. */
    bool endless =
        __builtin_add_overflow(now_us, timeout_us, &expires_us) || expires_us > UINT64_MAX / 4;
    want->waiter.arrived_us = now_us;
    want->waiter.expires_us = endless ? 0 : expires_us;
}
