#include "scratch.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#define SCRATCH_ALIGNMENT 64

typedef struct {
    void *block;
    uint64_t bytes;
    bool taken;
} scratch;

static _Thread_local scratch mine;
static pthread_key_t at_thread_end;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void release(void *unused) {
    (void)unused;
    free(mine.block);
    mine = (scratch){0};
}

static void create_key(void) { pthread_key_create(&at_thread_end, release); }

static void *allocate(uint64_t bytes) {
    void *block = NULL;
    if (bytes > SIZE_MAX - SCRATCH_ALIGNMENT) return NULL;
    return posix_memalign(&block, SCRATCH_ALIGNMENT, (size_t)bytes) == 0 ? block : NULL;
}

static void grow(uint64_t bytes) {
    pthread_once(&once, create_key);
    free(mine.block);
    mine.block = allocate(bytes);
    mine.bytes = mine.block ? bytes : 0;
    pthread_setspecific(at_thread_end, mine.block);
}

void *canopy_scratch_take(uint64_t bytes) {
    if (bytes == 0) return NULL;
    if (mine.taken) return allocate(bytes);
    if (bytes > mine.bytes) grow(bytes);
    mine.taken = mine.block != NULL;
    return mine.block;
}

void canopy_scratch_give(void *block) {
    if (block == NULL) return;
    if (block == mine.block) {
        mine.taken = false;
        return;
    }
    free(block);
}
