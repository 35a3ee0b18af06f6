#include "apart.h"

#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "clock.h"
#include "pool.h"
#include "report.h"
#include "switch.h"

#define STACK_BYTES (256u << 10)
#define PAGE_BYTES 4096u
#define MEMORIES 64
/* So many fibers of one thread: a hand-made barrier over more blocks than that cannot open. */
#define MAX_FIBERS 16384
/* Where all fibers of this thread poll, so many rounds pass before it starts another program. */
#define ROUNDS_BEFORE_MORE 64
/* A round shorter than this per fiber did nothing but poll. */
#define POLL_NS 20000
/* Idle for so long, a thread counts as idle, and takes more than its share of a grid. */
#define IDLE_NS 2000000

typedef struct fiber fiber;

typedef struct {
    uint32_t arrived, threads;
    uint32_t combined;
    fiber *waiting;
} barrier;

typedef struct group {
    struct group *next;  /* of those kept for further blocks */
    struct group *every; /* of all that were made */
    uint64_t program;
    uint32_t members, ended;
    barrier barriers[CANOPY_BARRIERS];
    void *memory[MEMORIES];
} group;

struct fiber {
    fiber *next, *every;
    void *context;
    group *block;
    uint32_t member;
    uint32_t result; /* of the barrier that it waited at */
    int32_t code;
    bool has_ended;
    char *mapping;
};

typedef struct {
    fiber *first, *last;
} queue;

typedef struct {
    canopy_entry program;
    const void *args;
    const uint32_t *grid, *block;
    uint64_t next, last; /* programs still to start */
    uint64_t started, share, alive, rounds;
    uint64_t mapping_bytes;
    uint32_t lanes, members;
    canopy_meeting *meeting;
    canopy_meeting own; /* of a launch that this thread runs alone */
    queue ready, paused, at_grid;
    uint32_t grid_generation; /* that the fibers at the grid barrier wait to see the end of */
    uint64_t idle_since_ns;   /* 0: not idle */
    uint64_t round_cpu_ns, limit_ns;
    bool counts_as_idle;
    fiber *running, *spare_fibers, *fibers;
    group *spare_groups, *groups;
    void *context;
} scheduler;

static _Thread_local scheduler *mine;

/* ---- queues ---- */

static void push(queue *line, fiber *one) {
    one->next = NULL;
    if (line->last) line->last->next = one;
    else line->first = one;
    line->last = one;
}

static fiber *pop(queue *line) {
    fiber *one = line->first;
    if (!one) return NULL;
    line->first = one->next;
    if (!line->first) line->last = NULL;
    return one;
}

static void push_all(queue *line, queue *others) {
    if (!others->first) return;
    if (line->last) line->last->next = others->first;
    else line->first = others->first;
    line->last = others->last;
    *others = (queue){NULL, NULL};
}

/* ---- fibers and blocks ---- */

static void start(void) {
    fiber *own = mine->running;
    uint64_t program = own->block->program;
    own->code = mine->program(mine->args, mine->grid, mine->block, program, program + 1,
                              own->mapping + PAGE_BYTES + STACK_BYTES);
    own->has_ended = true;
    canopy_switch(&own->context, mine->context);
    abort(); /* nobody goes on with a fiber that has ended */
}

/* A page that traps, the stack, the scratch memory. Pages that nobody touches cost nothing. */
static fiber *new_fiber(scheduler *s) {
    fiber *one = s->spare_fibers;
    if (one) {
        s->spare_fibers = one->next;
    } else {
        one = calloc(1, sizeof *one);
        if (!one) return NULL;
        one->mapping = mmap(NULL, s->mapping_bytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (one->mapping == MAP_FAILED) {
            free(one);
            return NULL;
        }
        mprotect(one->mapping, PAGE_BYTES, PROT_NONE);
        one->every = s->fibers;
        s->fibers = one;
    }
    one->context = canopy_new_context(one->mapping + PAGE_BYTES + STACK_BYTES, start);
    one->has_ended = false;
    return one;
}

static group *new_group(scheduler *s) {
    group *block = s->spare_groups;
    if (block) {
        s->spare_groups = block->next;
        return block;
    }
    block = calloc(1, sizeof *block);
    if (!block) return NULL;
    block->every = s->groups;
    s->groups = block;
    return block;
}

static bool start_program(scheduler *s, uint64_t program) {
    group *block = new_group(s);
    if (!block) return false;
    block->program = program;
    block->members = s->members;
    block->ended = 0;
    memset(block->barriers, 0, sizeof block->barriers);
    for (uint32_t member = 0; member < s->members; member++) {
        fiber *one = new_fiber(s);
        if (!one) return false;
        one->block = block;
        one->member = member;
        push(&s->ready, one);
    }
    s->alive += s->members;
    s->started++;
    return true;
}

static void release(scheduler *s) {
    for (fiber *one = s->fibers, *next; one; one = next) {
        next = one->every;
        munmap(one->mapping, s->mapping_bytes);
        free(one);
    }
    for (group *block = s->groups, *next; block; block = next) {
        next = block->every;
        for (int at = 0; at < MEMORIES; at++) free(block->memory[at]);
        free(block);
    }
}

/* ---- barriers of a block ---- */

static uint32_t combined(uint32_t combine, uint32_t one, uint32_t other) {
    if (combine == CANOPY_SUM) return one + other;
    if (combine == CANOPY_ALL) return one < other ? one : other;
    return one > other ? one : other;
}

static void note_work(scheduler *s) {
    s->idle_since_ns = 0;
    if (s->counts_as_idle) atomic_fetch_sub(&s->meeting->idle, 1);
    s->counts_as_idle = false;
}

static bool open_if_complete(scheduler *s, group *block, barrier *at) {
    uint32_t awaited = at->threads ? at->threads / s->lanes : block->members - block->ended;
    if (!at->arrived || at->arrived < awaited) return false;
    for (fiber *one = at->waiting, *next; one; one = next) {
        next = one->next;
        one->result = at->combined;
        push(&s->ready, one);
    }
    at->waiting = NULL;
    at->arrived = 0;
    note_work(s);
    return true;
}

static void give_way(void) { canopy_switch(&mine->running->context, mine->context); }

static barrier *arrive(uint32_t number, uint32_t threads, uint32_t combine, uint32_t value) {
    barrier *at = &mine->running->block->barriers[number % CANOPY_BARRIERS];
    at->combined = at->arrived ? combined(combine, at->combined, value) : value;
    at->threads = threads;
    at->arrived++;
    return at;
}

uint32_t canopy_block_barrier(uint32_t number, uint32_t threads, uint32_t combine, uint32_t value) {
    fiber *own = mine->running;
    barrier *at = arrive(number, threads, combine, value);
    if (open_if_complete(mine, own->block, at)) return at->combined;
    own->next = at->waiting;
    at->waiting = own;
    give_way();
    return own->result;
}

void canopy_block_arrive(uint32_t number, uint32_t threads) {
    barrier *at = arrive(number, threads, CANOPY_SUM, 0);
    open_if_complete(mine, mine->running->block, at);
}

uint32_t canopy_member(void) { return mine->running->member; }

void *canopy_block_memory(uint32_t index, uint64_t bytes) {
    void **memory = &mine->running->block->memory[index % MEMORIES];
    if (!*memory && posix_memalign(memory, 64, bytes ? bytes : 64)) abort();
    return *memory;
}

/* ---- the grid ---- */

static uint64_t total_members(const scheduler *s) {
    return (uint64_t)s->grid[0] * s->grid[1] * s->grid[2] * s->members;
}

void canopy_grid_barrier(void) {
    scheduler *s = mine;
    s->grid_generation = atomic_load(&s->meeting->generation);
    push(&s->at_grid, s->running);
    if (atomic_fetch_add(&s->meeting->arrived, 1) + 1 == total_members(s)) {
        atomic_store(&s->meeting->arrived, 0);
        atomic_fetch_add(&s->meeting->generation, 1);
    }
    give_way();
}

static bool grid_is_open(const scheduler *s) {
    return s->at_grid.first && atomic_load(&s->meeting->generation) != s->grid_generation;
}

/* Whether some wait for the grid, and all others have ended. */
static bool grid_is_stuck(const scheduler *s) {
    if (!s->at_grid.first) return false;
    uint64_t ended = atomic_load(&s->meeting->ended), arrived = atomic_load(&s->meeting->arrived);
    return ended && arrived + ended == total_members(s) && !grid_is_open(s);
}

/* ---- waiting ---- */

void canopy_pause(void) {
    push(&mine->paused, mine->running);
    give_way();
}

static int32_t fail(const char *message) {
    canopy_report(message);
    return CANOPY_DEADLOCK;
}

static uint64_t cpu_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* A round in which no fiber did more than poll. Where all threads of the launch have seen nothing
 * else for the limit, it will never end. */
static int32_t wait(scheduler *s) {
    if (grid_is_stuck(s)) return fail("a grid barrier waits for blocks that have ended");
    uint64_t now = canopy_now_ns();
    if (s->paused.first && cpu_ns() - s->round_cpu_ns > POLL_NS * (s->alive + 1)) note_work(s);
    s->rounds++;
    if (!s->idle_since_ns) s->idle_since_ns = now;
    uint64_t idle_ns = now - s->idle_since_ns;
    if (idle_ns < IDLE_NS / 64) return 0;
    sched_yield();
    if (idle_ns > IDLE_NS && !s->counts_as_idle) {
        s->counts_as_idle = true;
        atomic_fetch_add(&s->meeting->idle, 1);
    }
    bool all_idle = atomic_load(&s->meeting->idle) >= atomic_load(&s->meeting->inside);
    if (idle_ns > s->limit_ns && all_idle)
        return fail("threads wait for each other, and none of them can go on");
    return 0;
}

/* ---- running ---- */

static bool may_start(const scheduler *s) {
    if (!s->alive) return true;
    if (s->alive + s->members > MAX_FIBERS) return false;
    if (s->paused.first) return s->rounds >= ROUNDS_BEFORE_MORE;
    return s->at_grid.first && (s->next < s->last || s->started < s->share || s->counts_as_idle);
}

static bool take_program(scheduler *s) {
    if (s->next == s->last && s->meeting != &s->own) {
        uint64_t count = canopy_take_programs(&s->next);
        s->last = s->next + count;
    }
    return s->next < s->last;
}

static int32_t note_end(scheduler *s, fiber *one) {
    group *block = one->block;
    if (++block->ended == block->members) {
        block->next = s->spare_groups;
        s->spare_groups = block;
    }
    for (int at = 0; at < CANOPY_BARRIERS; at++)
        if (block->barriers[at].waiting) open_if_complete(s, block, &block->barriers[at]);
    one->next = s->spare_fibers;
    s->spare_fibers = one;
    s->alive--;
    atomic_fetch_add(&s->meeting->ended, 1);
    note_work(s);
    return one->code;
}

static int32_t resume(scheduler *s, fiber *one) {
    s->running = one;
    canopy_switch(&s->context, one->context);
    return one->has_ended ? note_end(s, one) : 0;
}

static int32_t run(scheduler *s) {
    for (;;) {
        int32_t code = 0;
        fiber *one = pop(&s->ready);
        if (one) {
            code = resume(s, one);
        } else if (grid_is_open(s)) {
            push_all(&s->ready, &s->at_grid);
            note_work(s);
        } else if (may_start(s) && take_program(s)) {
            if (!start_program(s, s->next++)) code = CANOPY_OUT_OF_MEMORY;
            s->rounds = 0;
        } else if (!s->alive) {
            return 0;
        } else if (!s->paused.first && !s->at_grid.first) {
            code = fail("a barrier waits for threads of the block that wait elsewhere");
        } else if (s->meeting != &s->own && canopy_launch_has_failed()) {
            code = CANOPY_DEADLOCK; /* the first failure is the one that is told */
        } else {
            code = wait(s);
            push_all(&s->ready, &s->paused);
            s->round_cpu_ns = cpu_ns();
        }
        if (code) return code;
    }
}

static uint64_t limit_ns(void) {
    const char *text = getenv("CANOPY_WAIT_LIMIT_S");
    return (uint64_t)((text ? atof(text) : 20.0) * 1e9);
}

int32_t canopy_run_apart(canopy_entry program, const void *args, const uint32_t grid[3],
                         const uint32_t block[3], uint64_t first, uint64_t last,
                         uint64_t scratch_bytes, uint32_t lanes) {
    uint32_t threads = block[0] * block[1] * block[2];
    scheduler s = {.program = program, .args = args, .grid = grid, .block = block};
    s.next = first;
    s.last = last;
    s.lanes = lanes ? lanes : 1;
    s.members = lanes ? (threads + lanes - 1) / lanes : 1;
    s.mapping_bytes = PAGE_BYTES + STACK_BYTES + scratch_bytes;
    s.limit_ns = limit_ns();
    s.meeting = canopy_launch_meeting(&s.share);
    if (!s.meeting) s.meeting = &s.own;
    scheduler *outer = mine;
    mine = &s;
    atomic_fetch_add(&s.meeting->inside, 1);
    int32_t code = run(&s);
    if (code == CANOPY_OUT_OF_MEMORY) canopy_report("no memory for the stacks of its threads");
    note_work(&s);
    atomic_fetch_sub(&s.meeting->inside, 1);
    release(&s);
    mine = outer;
    return code;
}
