#include "allocator.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define HEADER_BYTES 64
#define SMALLEST_BYTES 128 /* header included */
#define LARGE_BYTES (2u << 20)
#define CLASSES_PER_DOUBLING 8 /* rounding wastes 1/8 at most */
#define CLASS_COUNT (57 * CLASSES_PER_DOUBLING)

/* Stands in the 64 bytes before the block; the link is used only while the block is cached. */
typedef struct header {
    struct header *next;
    uint64_t bytes; /* of the whole class, header included */
    uint32_t class_index;
} header;
_Static_assert(sizeof(header) <= HEADER_BYTES, "the header must fit before the block");

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static header *cached[CLASS_COUNT];
static canopy_memory_stats stats;

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

static header *map_new(uint64_t bytes) {
    if (bytes < LARGE_BYTES) {
        void *block = NULL;
        return posix_memalign(&block, 64, bytes) == 0 ? block : NULL;
    }
    void *block = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block == MAP_FAILED) return NULL;
    madvise(block, bytes, MADV_HUGEPAGE); /* advice: a kernel without huge pages refuses it */
    return block;
}

static void unmap(header *block) {
    if (block->bytes < LARGE_BYTES) free(block);
    else munmap(block, block->bytes);
}

static header *take_cached(uint32_t class_index, uint64_t bytes) {
    pthread_mutex_lock(&lock);
    header *block = cached[class_index];
    if (block) {
        cached[class_index] = block->next;
        stats.cached_bytes -= bytes;
        stats.hits++;
    } else {
        stats.misses++;
    }
    pthread_mutex_unlock(&lock);
    return block;
}

static void count_used(uint64_t bytes) {
    pthread_mutex_lock(&lock);
    stats.used_bytes += bytes;
    if (stats.used_bytes > stats.peak_bytes) stats.peak_bytes = stats.used_bytes;
    pthread_mutex_unlock(&lock);
}

void *canopy_alloc(uint64_t bytes) {
    if (bytes > (uint64_t)1 << 47) return NULL;
    uint64_t class_bytes;
    uint32_t class_index = find_class(bytes + HEADER_BYTES, &class_bytes);
    header *block = take_cached(class_index, class_bytes);
    if (!block) block = map_new(class_bytes);
    if (!block) { /* the cache may hold what is missing */
        canopy_alloc_trim();
        block = map_new(class_bytes);
    }
    if (!block) return NULL;
    *block = (header){.bytes = class_bytes, .class_index = class_index};
    count_used(class_bytes);
    return (char *)block + HEADER_BYTES;
}

/* A quarter of the machine's memory. */
static uint64_t cache_limit(void) {
    static uint64_t limit; /* guarded by the lock */
    if (!limit) limit = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) / 4;
    return limit;
}

void canopy_free(void *pointer) {
    if (!pointer) return;
    header *block = (header *)((char *)pointer - HEADER_BYTES);
    pthread_mutex_lock(&lock);
    stats.used_bytes -= block->bytes;
    bool keep = stats.cached_bytes + block->bytes <= cache_limit();
    if (keep) {
        stats.cached_bytes += block->bytes;
        block->next = cached[block->class_index];
        cached[block->class_index] = block;
    }
    pthread_mutex_unlock(&lock);
    if (!keep) unmap(block);
}

void canopy_alloc_trim(void) {
    header *all = NULL;
    pthread_mutex_lock(&lock);
    for (int index = 0; index < CLASS_COUNT; index++) {
        while (cached[index]) {
            header *block = cached[index];
            cached[index] = block->next;
            block->next = all;
            all = block;
        }
    }
    stats.cached_bytes = 0;
    pthread_mutex_unlock(&lock);
    while (all) {
        header *next = all->next;
        unmap(all);
        all = next;
    }
}

void canopy_alloc_stats(canopy_memory_stats *result) {
    pthread_mutex_lock(&lock);
    *result = stats;
    pthread_mutex_unlock(&lock);
}
