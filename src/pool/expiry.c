/* See expiry.h. */
#include "pool/expiry.h"

#include "base/assert.h"

#include <stddef.h>

/* Joins two heaps; neither root has siblings. */
static struct bpi_pool_expiry_node *meld(struct bpi_pool_expiry_node *a,
                                         struct bpi_pool_expiry_node *b)
{
    if (a == NULL || b == NULL) {
        return a == NULL ? b : a;
    }
    if (b->at_us < a->at_us) {
        struct bpi_pool_expiry_node *earlier = b;
        b = a;
        a = earlier;
    }
    b->sibling = a->child;
    if (b->sibling != NULL) {
        b->sibling->back = b;
    }
    b->back = a;
    a->child = b;
    return a;
}

/* One heap of a list of siblings, in two passes: in pairs from the left, then all from the right. */
static struct bpi_pool_expiry_node *meld_siblings(struct bpi_pool_expiry_node *first)
{
    struct bpi_pool_expiry_node *pairs = NULL;
    while (first != NULL) {
        struct bpi_pool_expiry_node *a = first;
        struct bpi_pool_expiry_node *b = a->sibling;
        first = b == NULL ? NULL : b->sibling;
        a->sibling = NULL;
        a->back = NULL;
        if (b != NULL) {
            b->sibling = NULL;
            b->back = NULL;
        }
        a = meld(a, b);
        a->sibling = pairs;
        pairs = a;
    }
    struct bpi_pool_expiry_node *root = NULL;
    while (pairs != NULL) {
        struct bpi_pool_expiry_node *next = pairs->sibling;
        pairs->sibling = NULL;
        root = meld(root, pairs);
        pairs = next;
    }
    return root;
}

void bpi_pool_expiry_add(struct bpi_pool_expiry *expiry,
                         struct bpi_pool_expiry_node *node,
                         bp_usec at_us)
{
    BP_ASSERT(at_us != 0);
    *node = (struct bpi_pool_expiry_node){.at_us = at_us};
    expiry->root = meld(expiry->root, node);
}

void bpi_pool_expiry_remove(struct bpi_pool_expiry *expiry, struct bpi_pool_expiry_node *node)
{
    if (node->at_us == 0) {
        return;
    }
    struct bpi_pool_expiry_node *below = meld_siblings(node->child);
    if (expiry->root == node) {
        expiry->root = below;
    } else {
        if (node->back->child == node) {
            node->back->child = node->sibling;
        } else {
            node->back->sibling = node->sibling;
        }
        if (node->sibling != NULL) {
            node->sibling->back = node->back;
        }
        expiry->root = meld(expiry->root, below);
    }
    *node = (struct bpi_pool_expiry_node){0};
}
