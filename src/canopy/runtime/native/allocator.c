#include "allocator.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "clock.h"

#define HEADER_BYTES 64
#define SMALLEST_BYTES 128 /* header included */
#define HUGE_PAGE_BYTES (2u << 20)
#define CLASSES_PER_DOUBLING 8 /* rounding wastes 1/8 at most */
#define CLASS_COUNT (57 * CLASSES_PER_DOUBLING)
/* A kept large block also serves sizes this many classes below its own. */
#define CLASSES_TRIED 3
/* A large block that nobody wanted for so long is offered to the system. */
#define IDLE_NS UINT64_C(1000000000)

/* Stands in the 64 bytes before the block; the links are used only while the block is cached. */
typedef struct header {
    uint64_t seal;     /* see seal_of(); 0 while the block is cached */
    uint64_t bytes;    /* of the whole class, header included */
    uint64_t freed_ns; /* large blocks only */
    uint32_t class_index;
    struct header *next, *previous; /* of the same class, the last one freed first */
    struct header *newer, *older;   /* large blocks by the time they were freed */
} header;
_Static_assert(sizeof(header) <= HEADER_BYTES, "the header must fit before the block");

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static header *cached[CLASS_COUNT];
static header *newest, *oldest, *next_offered;
static canopy_memory_stats stats;
static bool limit_known;

static void before_fork(void) { pthread_mutex_lock(&lock); }
static void after_fork(void) { pthread_mutex_unlock(&lock); }
__attribute__((constructor)) static void watch_forks(void) {
    pthread_atfork(before_fork, after_fork, after_fork);
}

/* Sizes between two powers of two are rounded up to one of eight steps. */
static uint32_t find_class(uint64_t bytes, uint64_t *class_bytes) {
    if (bytes <= SMALLEST_BYTES) {
        *class_bytes = SMALLEST_BYTES;
        return 0;
    }
    uint32_t power = 63 - (uint32_t)__builtin_clzll(bytes - 1); /* 2^power < bytes <= 2^(power+1) */
    uint64_t step = ((uint64_t)1 << power) / CLASSES_PER_DOUBLING;
    uint64_t steps = (bytes - 1 - ((uint64_t)1 << power)) / step + 1;
    *class_bytes = ((uint64_t)1 << power) + steps * step;
    return (power - 7) * CLASSES_PER_DOUBLING + (uint32_t)steps;
}

/* ---- blocks from the system ---- */

static bool is_large(uint64_t class_bytes) { return class_bytes >= CANOPY_LARGE_BYTES; }

/* A mapping that begins at a multiple of the huge page. */
static void *map_aligned(uint64_t bytes) {
    uint64_t whole = bytes + HUGE_PAGE_BYTES;
    char *start = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED) return NULL;
    uint64_t before = -(uintptr_t)start & (HUGE_PAGE_BYTES - 1);
    if (before) munmap(start, before);
    munmap(start + before + bytes, whole - before - bytes);
    madvise(start + before, bytes, MADV_HUGEPAGE); /* advice: a kernel without them refuses it */
    return start + before;
}

static header *get_new(uint64_t class_bytes) {
    if (is_large(class_bytes)) return map_aligned(class_bytes);
    void *block = NULL;
    return posix_memalign(&block, HEADER_BYTES, class_bytes) == 0 ? block : NULL;
}

static void give_back(header *block) {
    if (is_large(block->bytes)) munmap(block, block->bytes);
    else free(block);
}

/* ---- the cache; the lock is held ---- */

static void link_block(header *block) {
    header **first = &cached[block->class_index];
    block->next = *first;
    block->previous = NULL;
    if (*first) (*first)->previous = block;
    *first = block;
    stats.cached_bytes += block->bytes;
    if (!is_large(block->bytes)) return;
    block->older = newest;
    block->newer = NULL;
    if (newest) newest->newer = block;
    else oldest = block;
    newest = block;
    if (!next_offered) next_offered = block;
}

static void unlink_block(header *block) {
    if (block->next) block->next->previous = block->previous;
    if (block->previous) block->previous->next = block->next;
    else cached[block->class_index] = block->next;
    stats.cached_bytes -= block->bytes;
    if (!is_large(block->bytes)) return;
    if (next_offered == block) next_offered = block->newer;
    if (block->older) block->older->newer = block->newer;
    else oldest = block->newer;
    if (block->newer) block->newer->older = block->older;
    else newest = block->older;
}

static uint64_t get_limit(void) {
    if (!limit_known)
        stats.limit_bytes =
            (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) / 4;
    limit_known = true;
    return stats.limit_bytes;
}

/* The large blocks that must go before `bytes` more may be kept, linked by `next`. */
static header *take_oldest(uint64_t bytes) {
    header *gone = NULL;
    while (oldest && stats.cached_bytes + bytes > get_limit()) {
        header *block = oldest;
        unlink_block(block);
        block->next = gone;
        gone = block;
    }
    return gone;
}

static void give_back_all(header *block) {
    while (block) {
        header *next = block->next;
        give_back(block);
        block = next;
    }
}

/* The kernel takes the pages of an offered block only when memory runs short (64 MB in huge pages: 13
 * us); till then the block is as good as before. The header's pages are not offered. */
static void offer_idle(uint64_t now_ns) {
    while (next_offered && now_ns - next_offered->freed_ns > IDLE_NS) {
        header *block = next_offered;
        next_offered = block->newer;
        if (block->bytes > HUGE_PAGE_BYTES)
            madvise((char *)block + HUGE_PAGE_BYTES, block->bytes - HUGE_PAGE_BYTES, MADV_FREE);
    }
}

static void count_used(uint64_t bytes) {
    stats.used_bytes += bytes;
    if (stats.used_bytes > stats.peak_bytes) stats.peak_bytes = stats.used_bytes;
    uint64_t held = stats.used_bytes + stats.cached_bytes;
    if (held > stats.peak_held_bytes) stats.peak_held_bytes = held;
}

/* ---- the interface ---- */

static header *take_cached(uint32_t class_index, uint64_t class_bytes) {
    uint32_t end = class_index + (is_large(class_bytes) ? CLASSES_TRIED : 1);
    header *block = NULL;
    pthread_mutex_lock(&lock);
    for (uint32_t at = class_index; !block && at < end && at < CLASS_COUNT; at++)
        block = cached[at];
    if (block) {
        unlink_block(block);
        count_used(block->bytes);
        stats.hits++;
    } else {
        stats.misses++;
    }
    pthread_mutex_unlock(&lock);
    return block;
}

static header *make_new(uint32_t class_index, uint64_t class_bytes) {
    header *block = get_new(class_bytes);
    if (!block) { /* the cache may hold what is missing */
        canopy_alloc_trim();
        block = get_new(class_bytes);
    }
    if (!block) return NULL;
    block->bytes = class_bytes;
    block->class_index = class_index;
    pthread_mutex_lock(&lock);
    count_used(class_bytes);
    pthread_mutex_unlock(&lock);
    return block;
}

/* Marks a large block in use: no other memory holds this value right before this address, since it
 * is cleared when the block is freed. */
static uint64_t seal_of(const header *block) {
    return (uint64_t)(uintptr_t)block ^ UINT64_C(0x43414e4f50593634);
}

bool canopy_owns_large(const void *address) {
    /* Large blocks begin a page; the header is then in the page of the address. */
    if (((uintptr_t)address & (4096 - 1)) != HEADER_BYTES) return false;
    const header *block = (const header *)((const char *)address - HEADER_BYTES);
    return block->seal == seal_of(block);
}

void *canopy_alloc(uint64_t bytes) {
    if (bytes > (uint64_t)1 << 47) return NULL;
    uint64_t class_bytes;
    uint32_t class_index = find_class(bytes + HEADER_BYTES, &class_bytes);
    header *block = take_cached(class_index, class_bytes);
    if (!block) block = make_new(class_index, class_bytes);
    if (!block) return NULL;
    block->seal = is_large(block->bytes) ? seal_of(block) : 0;
    return (char *)block + HEADER_BYTES;
}

void canopy_free(void *pointer) {
    if (!pointer) return;
    header *block = (header *)((char *)pointer - HEADER_BYTES);
    uint64_t now_ns = is_large(block->bytes) ? canopy_now_ns() : 0;
    block->seal = 0;
    block->freed_ns = now_ns;
    pthread_mutex_lock(&lock);
    if (now_ns) offer_idle(now_ns);
    stats.used_bytes -= block->bytes;
    header *gone = block->bytes <= get_limit() ? take_oldest(block->bytes) : NULL;
    bool keep = stats.cached_bytes + block->bytes <= get_limit();
    if (keep) link_block(block);
    pthread_mutex_unlock(&lock);
    if (!keep) give_back(block);
    give_back_all(gone);
}

void canopy_alloc_trim(void) {
    header *all = NULL;
    pthread_mutex_lock(&lock);
    for (int index = 0; index < CLASS_COUNT; index++) {
        while (cached[index]) {
            header *block = cached[index];
            unlink_block(block);
            block->next = all;
            all = block;
        }
    }
    pthread_mutex_unlock(&lock);
    give_back_all(all);
}

void canopy_alloc_limit(uint64_t bytes) {
    pthread_mutex_lock(&lock);
    stats.limit_bytes = bytes;
    limit_known = true;
    header *gone = take_oldest(0);
    pthread_mutex_unlock(&lock);
    give_back_all(gone);
}

void canopy_alloc_stats(canopy_memory_stats *result) {
    pthread_mutex_lock(&lock);
    get_limit();
    *result = stats;
    pthread_mutex_unlock(&lock);
}

void canopy_alloc_reset_peak(void) {
    pthread_mutex_lock(&lock);
    stats.peak_bytes = stats.used_bytes;
    stats.peak_held_bytes = stats.used_bytes + stats.cached_bytes;
    pthread_mutex_unlock(&lock);
}
