/* The memory that kernels may use, sorted by address, and what was freed lately. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

/* So much freed memory is kept from being used again. */
#define KEPT_BYTES (256u << 20)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static check_region **known; /* sorted; regions do not move */
static size_t known_count, known_room;
static check_region **freed; /* oldest first; also in `known` */
static size_t freed_count, freed_room;
static uint64_t freed_bytes;

/* The first region that starts behind the address. */
static size_t behind(const void *address) {
    size_t low = 0, high = known_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (known[middle]->start <= (const char *)address) low = middle + 1;
        else high = middle;
    }
    return low;
}

static bool grow(check_region ***list, size_t count, size_t *room) {
    if (count < *room) return true;
    size_t wanted = *room ? *room * 2 : 64;
    check_region **grown = realloc(*list, wanted * sizeof *grown);
    if (!grown) return false;
    *list = grown;
    *room = wanted;
    return true;
}

static void drop_at(size_t at) {
    canopy_check_drop_shadow(known[at]);
    free(known[at]);
    memmove(known + at, known + at + 1, (known_count - at - 1) * sizeof *known);
    known_count--;
}

static size_t index_of(const void *start) {
    size_t at = behind(start);
    return at && known[at - 1]->start == start ? at - 1 : known_count;
}

/* What was freed there is forgotten: the memory has come back. */
static void forget_freed(const check_region *fresh) {
    size_t kept = 0;
    for (size_t at = 0; at < freed_count; at++) {
        check_region *old = freed[at];
        bool is_gone = old->start < fresh->start + fresh->bytes && fresh->start < old->start + old->bytes;
        if (!is_gone) freed[kept++] = old;
        else drop_at(index_of(old->start));
    }
    freed_count = kept;
}

void canopy_check_add(const void *start, uint64_t bytes, check_kind kind, const char *name) {
    if (!start || !bytes) return;
    check_region *fresh = calloc(1, sizeof *fresh);
    if (!fresh) abort(); /* nothing that is said afterwards would be true */
    *fresh = (check_region){.start = start, .bytes = bytes, .kind = kind, .name = name};
    pthread_mutex_lock(&lock);
    forget_freed(fresh);
    if (!grow(&known, known_count, &known_room)) abort();
    size_t at = behind(start);
    memmove(known + at + 1, known + at, (known_count - at) * sizeof *known);
    known[at] = fresh;
    known_count++;
    pthread_mutex_unlock(&lock);
}

void canopy_check_remove(const void *start) {
    pthread_mutex_lock(&lock);
    size_t at = index_of(start);
    if (at < known_count) drop_at(at);
    pthread_mutex_unlock(&lock);
}

static void give_back_oldest(void) {
    check_region *oldest = freed[0];
    freed_bytes -= oldest->bytes;
    if (oldest->give) oldest->give(oldest->block);
    drop_at(index_of(oldest->start));
    memmove(freed, freed + 1, (freed_count - 1) * sizeof *freed);
    freed_count--;
}

void canopy_check_freed(const void *start, void *block, void (*give)(void *)) {
    pthread_mutex_lock(&lock);
    size_t at = index_of(start);
    bool is_known = at < known_count, is_again = is_known && known[at]->kind == CHECK_FREED;
    bool is_kept = is_known && !is_again && grow(&freed, freed_count, &freed_room);
    if (is_kept) {
        check_region *gone = known[at];
        canopy_check_drop_shadow(gone);
        gone->kind = CHECK_FREED;
        gone->block = block;
        gone->give = give;
        freed[freed_count++] = gone;
        freed_bytes += gone->bytes;
        while (freed_bytes > KEPT_BYTES && freed_count) give_back_oldest();
    }
    pthread_mutex_unlock(&lock);
    if (!is_kept && !is_again) give(block);
}

check_region *canopy_check_find(const void *address) {
    pthread_mutex_lock(&lock);
    size_t at = behind(address);
    check_region *found = at ? known[at - 1] : NULL;
    pthread_mutex_unlock(&lock);
    return found && (const char *)address < found->start + found->bytes ? found : NULL;
}

void canopy_check_neighbours(const void *address, const check_region **below, const check_region **above) {
    *below = *above = NULL;
    pthread_mutex_lock(&lock);
    size_t at = behind(address);
    for (size_t before = at; before-- && !*below;)
        if (known[before]->kind != CHECK_FREED) *below = known[before];
    for (; at < known_count && !*above; at++)
        if (known[at]->kind != CHECK_FREED) *above = known[at];
    pthread_mutex_unlock(&lock);
}
