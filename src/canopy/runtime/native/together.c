#include "together.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "output.h"
#include "report.h"
#include "scratch.h"

typedef struct {
    canopy_entry entry;
    const void *args;
    const uint32_t *grid, *block;
    uint64_t scratch_bytes;
    pthread_mutex_t lock;
    pthread_cond_t opened;
    enum { CLOSED, OPEN, CANCELLED } gate;
    int32_t status; /* of the first program that failed */
    char message[CANOPY_MESSAGE_BYTES];
} together;

typedef struct {
    together *all;
    uint64_t program;
    pthread_t thread;
} member;

static bool passes_gate(together *all) {
    pthread_mutex_lock(&all->lock);
    while (all->gate == CLOSED) pthread_cond_wait(&all->opened, &all->lock);
    bool open = all->gate == OPEN;
    pthread_mutex_unlock(&all->lock);
    return open;
}

static void note(together *all, int32_t status, const char *message) {
    pthread_mutex_lock(&all->lock);
    if (all->status == 0) {
        all->status = status;
        strncpy(all->message, message, sizeof all->message - 1);
    }
    pthread_mutex_unlock(&all->lock);
}

static void *run(void *given) {
    member *own = given;
    together *all = own->all;
    if (!passes_gate(all)) return NULL;
    void *scratch = canopy_scratch_take(all->scratch_bytes);
    if (all->scratch_bytes && !scratch) {
        note(all, CANOPY_OUT_OF_MEMORY, "no memory for a program of a cooperative launch");
        return NULL;
    }
    canopy_clear_message();
    int32_t status =
        all->entry(all->args, all->grid, all->block, own->program, own->program + 1, scratch);
    if (status) note(all, status, canopy_message());
    canopy_scratch_give(scratch);
    canopy_output_close(all);
    return NULL;
}

static void open_gate(together *all, int how) {
    pthread_mutex_lock(&all->lock);
    all->gate = how;
    pthread_cond_broadcast(&all->opened);
    pthread_mutex_unlock(&all->lock);
}

int32_t canopy_run_together(canopy_entry entry, const void *args, const uint32_t grid[3],
                            const uint32_t block[3], uint64_t scratch_bytes) {
    uint64_t count = (uint64_t)grid[0] * grid[1] * grid[2], made = 0;
    together all = {.entry = entry, .args = args, .grid = grid, .block = block};
    all.scratch_bytes = scratch_bytes;
    pthread_mutex_init(&all.lock, NULL);
    pthread_cond_init(&all.opened, NULL);
    member *members = calloc(count ? count : 1, sizeof *members);
    for (; members && made < count; made++) {
        members[made].all = &all;
        members[made].program = made;
        if (pthread_create(&members[made].thread, NULL, run, &members[made]) != 0) break;
    }
    bool complete = members && made == count;
    if (!complete) note(&all, CANOPY_OUT_OF_MEMORY, "no thread for each program of the grid");
    open_gate(&all, complete ? OPEN : CANCELLED);
    for (uint64_t at = 0; at < made; at++) pthread_join(members[at].thread, NULL);
    free(members);
    canopy_output_end(&all);
    canopy_output_flush();
    pthread_cond_destroy(&all.opened);
    pthread_mutex_destroy(&all.lock);
    if (all.status) canopy_report(all.message);
    return all.status;
}
