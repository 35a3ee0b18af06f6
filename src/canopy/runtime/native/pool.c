#include "pool.h"

#include <dlfcn.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "clock.h"
#include "cpu_count.h"
#include "output.h"
#include "report.h"
#include "scratch.h"

/* A launch expected to be shorter runs inline: waking a sleeping worker costs about this much. */
#define INLINE_NS 5000
/* Idle workers spin this long before they sleep: back-to-back launches then need no wake-up. Short,
 * since torch's OpenMP threads may want the cores. */
#define SPIN_NS 30000
/* A chunk is at least this long where the cost is known: one atomic operation per chunk. */
#define CHUNK_NS 2000

typedef struct {
    const canopy_launch_request *request;
    uint64_t total;
    uint64_t min_chunk;
    int threads;
    uint64_t float_control;
    uint64_t own_ns, own_programs; /* the launching thread's share */
    _Atomic uint64_t next;
    _Atomic int32_t code;
    canopy_meeting meeting;
    char message[CANOPY_MESSAGE_BYTES];
} job;

/* ---- the pool's state ----
 * `door` counts the workers inside the current job. Workers enter only while it is open; the
 * launcher closes it when no program is left, and waits for those inside. A late worker finds it
 * closed, so a short launch never waits for a sleeper. */
#define DOOR_CLOSED 0x40000000u
#define DOOR_AWAITED 0x80000000u /* the launcher sleeps on the door */

static job current;
static _Atomic uint32_t door = DOOR_CLOSED;
static _Atomic uint32_t bell;     /* rung once per parallel launch; idle workers watch it */
static _Atomic uint32_t sleepers; /* workers asleep on the bell */
static _Atomic int launcher_cpu = -1;
static _Atomic bool busy;         /* held while the fields above are in use by a launcher */
static _Atomic int wanted_threads; /* 0: not yet asked for */
static pthread_t workers[CANOPY_MAX_THREADS]; /* guarded by busy */
static int worker_count;
static _Atomic int worker_limit; /* workers with an index from here on leave */

static void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory");
#endif
}

static void futex_wait(_Atomic uint32_t *word, uint32_t while_equal) {
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, while_equal, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word, int count) {
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}

/* Rounding and denormal modes: workers compute in the caller's, whichever thread runs a program. */
static uint64_t get_float_control(void) {
#if defined(__x86_64__)
    return __builtin_ia32_stmxcsr() & ~0x3fu; /* without the sticky exception flags */
#elif defined(__aarch64__)
    uint64_t value;
    __asm__ volatile("mrs %0, fpcr" : "=r"(value));
    return value;
#else
    return 0;
#endif
}

static void set_float_control(uint64_t value) {
#if defined(__x86_64__)
    __builtin_ia32_ldmxcsr((uint32_t)value);
#elif defined(__aarch64__)
    __asm__ volatile("msr fpcr, %0" ::"r"(value));
#else
    (void)value;
#endif
}

/* ---- running programs ---- */

static int32_t run_range(const canopy_launch_request *request, uint64_t first, uint64_t last,
                         void *scratch) {
    return request->entry(request->args, request->grid, request->block, first, last, scratch);
}

static void fail(job *work, int32_t code) {
    int32_t none = 0;
    if (atomic_compare_exchange_strong(&work->code, &none, code))
        memcpy(work->message, canopy_message(), sizeof work->message);
    atomic_store(&work->next, work->total);
}

/* Chunks shrink as the grid empties, so that all threads finish together. Returns the chunk's size
 * (0: nothing left) and its first program. */
static uint64_t take_chunk(job *work, uint64_t *first) {
    uint64_t at = atomic_load_explicit(&work->next, memory_order_relaxed), size;
    do {
        if (at >= work->total) return 0;
        uint64_t left = work->total - at;
        size = left / ((uint64_t)work->threads * 8);
        if (size < work->min_chunk) size = work->min_chunk;
        if (work->request->max_chunk && size > work->request->max_chunk)
            size = work->request->max_chunk;
        if (size > left) size = left;
    } while (!atomic_compare_exchange_weak(&work->next, &at, at + size));
    *first = at;
    return size;
}

static _Thread_local job *shared; /* that this thread works on with others */

canopy_meeting *canopy_launch_meeting(uint64_t *share) {
    if (!shared) return NULL;
    *share = (shared->total + (uint64_t)shared->threads - 1) / (uint64_t)shared->threads;
    return &shared->meeting;
}

uint64_t canopy_take_programs(uint64_t *first) { return shared ? take_chunk(shared, first) : 0; }

bool canopy_launch_has_failed(void) { return shared && atomic_load(&shared->code); }

/* Returns the number of programs that this thread ran. */
static uint64_t run_share(job *work) {
    const canopy_launch_request *request = work->request;
    uint64_t first, size = take_chunk(work, &first), done = 0;
    if (size == 0) return 0;
    canopy_clear_message();
    void *scratch = canopy_scratch_take(request->scratch_bytes);
    if (!scratch && request->scratch_bytes) {
        canopy_report("no memory for the kernel's scratch buffer");
        fail(work, CANOPY_OUT_OF_MEMORY);
        return 0;
    }
    shared = work;
    for (; size; size = take_chunk(work, &first)) {
        int32_t code = run_range(request, first, first + size, scratch);
        if (code) {
            fail(work, code);
            break;
        }
        done += size;
    }
    shared = NULL;
    canopy_scratch_give(scratch);
    canopy_output_close(request);
    return done;
}

/* ---- workers ---- */

typedef struct {
    cpu_set_t allowed; /* when the worker started */
    int avoided;       /* taken out of it now; -1: none */
} worker_cpus;

static bool enter(void) {
    uint32_t seen = atomic_load_explicit(&door, memory_order_relaxed);
    while (!(seen & DOOR_CLOSED))
        if (atomic_compare_exchange_weak(&door, &seen, seen + 1)) return true;
    return false;
}

static void leave(void) {
    uint32_t before = atomic_fetch_sub(&door, 1);
    if (before == (DOOR_CLOSED | DOOR_AWAITED | 1)) futex_wake(&door, 1);
}

static bool spin_while_equal(_Atomic uint32_t *word, uint32_t value) {
    uint64_t deadline = canopy_now_ns() + SPIN_NS;
    do {
        for (int turn = 0; turn < 64; turn++) {
            if (atomic_load_explicit(word, memory_order_acquire) != value) return false;
            relax();
        }
    } while (canopy_now_ns() < deadline);
    return true;
}

/* A woken worker can be put on the launcher's own CPU, to wait there for the end of its time slice
 * while other CPUs idle: Linux does so in virtual machines, where a halted CPU counts as taken
 * (16 x 10 us after a pause: 163 us, and 97 like this). So the CPU of the last launch is not in a
 * sleeping worker's mask. */
static void avoid_cpu(worker_cpus *cpus, int cpu) {
    if (cpu == cpus->avoided || cpu < 0 || CPU_COUNT(&cpus->allowed) < 2) return;
    cpu_set_t others = cpus->allowed;
    CPU_CLR(cpu, &others);
    if (sched_setaffinity(0, sizeof others, &others) == 0) cpus->avoided = cpu;
}

static void wait_for_bell(uint32_t heard, worker_cpus *cpus) {
    if (!spin_while_equal(&bell, heard)) return;
    avoid_cpu(cpus, atomic_load(&launcher_cpu));
    atomic_fetch_add(&sleepers, 1);
    while (atomic_load(&bell) == heard) futex_wait(&bell, heard);
    atomic_fetch_sub(&sleepers, 1);
}

static void *worker_main(void *index_as_pointer) {
    int index = (int)(intptr_t)index_as_pointer;
    worker_cpus cpus = {.avoided = -1};
    sched_getaffinity(0, sizeof cpus.allowed, &cpus.allowed); /* empty where it fails */
    for (;;) {
        /* The bell is read before the door is tried: a ring in between is not missed. */
        uint32_t heard = atomic_load(&bell);
        if (index >= atomic_load(&worker_limit)) return NULL;
        if (enter()) {
            set_float_control(current.float_control);
            run_share(&current);
            leave();
        }
        wait_for_bell(heard, &cpus);
    }
}

/* Workers take no signals but those of their own faults: Ctrl-C belongs to the main thread. */
static void block_signals(sigset_t *previous) {
    sigset_t blocked;
    sigfillset(&blocked);
    int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT};
    for (size_t at = 0; at < sizeof own / sizeof *own; at++) sigdelset(&blocked, own[at]);
    pthread_sigmask(SIG_SETMASK, &blocked, previous);
}

static void start_workers(int count) {
    sigset_t previous;
    block_signals(&previous);
    while (worker_count < count) {
        atomic_store(&worker_limit, worker_count + 1);
        void *index = (void *)(intptr_t)worker_count;
        if (pthread_create(&workers[worker_count], NULL, worker_main, index) != 0) break;
        pthread_setname_np(workers[worker_count], "canopy-worker");
        worker_count++;
    }
    pthread_sigmask(SIG_SETMASK, &previous, NULL);
}

static void stop_workers(int count) {
    atomic_store(&worker_limit, count);
    atomic_fetch_add(&bell, 1);
    futex_wake(&bell, CANOPY_MAX_THREADS);
    while (worker_count > count) pthread_join(workers[--worker_count], NULL);
}

/* ---- OpenMP's threads, where asked for ----
 * torch's OpenMP threads spin for milliseconds after each of its parallel loops and compete with our
 * workers. Running on them avoids that (16 x 10 us right after a torch op: 82 us, not 103), but an
 * OpenMP team ends when its last member has had a CPU: on a loaded machine that takes 10 to 25 ms
 * where our workers, who join only when awake, took 0.1 ms. Hence off unless asked for. */
typedef void (*parallel_function)(void (*body)(void *), void *data, unsigned threads,
                                  unsigned flags);
typedef int (*count_function)(void);

static parallel_function openmp_parallel;
static count_function openmp_threads, openmp_index;
static _Atomic bool openmp_shared;
static bool openmp_forbidden; /* in a child of fork */

bool canopy_share_openmp(bool wanted) {
    /* The calls that gcc emits; torch loads its OpenMP runtime with global symbols. */
    openmp_parallel = (parallel_function)dlsym(RTLD_DEFAULT, "GOMP_parallel");
    openmp_threads = (count_function)dlsym(RTLD_DEFAULT, "omp_get_max_threads");
    openmp_index = (count_function)dlsym(RTLD_DEFAULT, "omp_get_thread_num");
    bool found = openmp_parallel && openmp_threads && openmp_index;
    bool shared = wanted && found && !openmp_forbidden;
    atomic_store(&openmp_shared, shared);
    return shared;
}

/* 0 where OpenMP is not to be used: absent, or limited to the caller (it then has no spinning
 * threads either). A team of another size than torch's would be rebuilt at every switch: a smaller
 * wish is met by idle members. */
static int openmp_team(int threads) {
    if (!atomic_load_explicit(&openmp_shared, memory_order_acquire)) return 0;
    int team = openmp_threads();
    if (team < 2) return 0;
    return team > threads ? team : threads;
}

static void openmp_body(void *unused) {
    (void)unused;
    if (openmp_index() >= current.threads) return;
    uint64_t float_control = get_float_control();
    set_float_control(current.float_control);
    uint64_t start = canopy_now_ns();
    uint64_t programs = run_share(&current);
    if (openmp_index() == 0) {
        current.own_ns = canopy_now_ns() - start;
        current.own_programs = programs;
    }
    set_float_control(float_control);
}

/* A child of fork has only the thread that forked; libgomp does not survive a fork at all. */
static void restart_in_child(void) {
    atomic_store(&openmp_shared, false);
    openmp_forbidden = true;
    atomic_store(&door, DOOR_CLOSED);
    atomic_store(&sleepers, 0);
    atomic_store(&busy, false);
    atomic_store(&worker_limit, 0);
    worker_count = 0;
}

__attribute__((constructor)) static void watch_forks(void) {
    pthread_atfork(NULL, NULL, restart_in_child);
}

/* ---- launching ---- */

int canopy_get_threads(void) {
    int count = atomic_load_explicit(&wanted_threads, memory_order_relaxed);
    if (count) return count;
    int none = 0, found = canopy_default_threads();
    return atomic_compare_exchange_strong(&wanted_threads, &none, found) ? found : none;
}

int canopy_set_threads(int count) {
    if (count < 1 || count > CANOPY_MAX_THREADS) return -1;
    atomic_store(&wanted_threads, count); /* the next launch starts or stops workers */
    return 0;
}

static uint64_t get_total(const canopy_launch_request *request) {
    return (uint64_t)request->grid[0] * request->grid[1] * request->grid[2];
}

static uint64_t known_cost_ps(const canopy_launch_request *request) {
    return request->program_ps ? __atomic_load_n(request->program_ps, __ATOMIC_RELAXED) : 0;
}

uint64_t canopy_expected_ns(const canopy_launch_request *request) {
    uint64_t cost = known_cost_ps(request), product;
    if (cost == 0 || __builtin_mul_overflow(cost, get_total(request), &product)) return UINT64_MAX;
    return product / 1000;
}

static void note_cost(const canopy_launch_request *request, uint64_t elapsed_ns, uint64_t programs) {
    if (!request->program_ps || programs == 0) return;
    uint64_t cost = elapsed_ns * 1000 / programs;
    __atomic_store_n(request->program_ps, cost ? cost : 1, __ATOMIC_RELAXED);
}

static int32_t run_inline(const canopy_launch_request *request, uint64_t total) {
    canopy_clear_message();
    void *scratch = canopy_scratch_take(request->scratch_bytes);
    if (!scratch && request->scratch_bytes) {
        canopy_report("no memory for the kernel's scratch buffer");
        return CANOPY_OUT_OF_MEMORY;
    }
    uint64_t start = canopy_now_ns();
    int32_t code = run_range(request, 0, total, scratch);
    if (code == 0) note_cost(request, canopy_now_ns() - start, total);
    canopy_scratch_give(scratch);
    canopy_output_close(request);
    return code;
}

static void prepare(const canopy_launch_request *request, uint64_t total, int threads) {
    uint64_t cost = known_cost_ps(request);
    uint64_t min_chunk = cost ? CHUNK_NS * 1000ull / cost : 1;
    uint64_t even_share = total / (uint64_t)threads;
    if (min_chunk > even_share) min_chunk = even_share;
    current.request = request;
    current.total = total;
    current.threads = threads;
    current.min_chunk = min_chunk ? min_chunk : 1;
    memset(&current.meeting, 0, sizeof current.meeting);
    current.float_control = get_float_control();
    atomic_store_explicit(&current.next, 0, memory_order_relaxed);
    atomic_store_explicit(&current.code, 0, memory_order_relaxed);
}

static void open_door(int threads) {
    atomic_store(&launcher_cpu, sched_getcpu());
    atomic_store(&door, 0);
    atomic_fetch_add(&bell, 1);
    if (atomic_load(&sleepers)) futex_wake(&bell, threads - 1);
}

static void close_door(void) {
    uint32_t seen = atomic_fetch_or(&door, DOOR_CLOSED) | DOOR_CLOSED;
    while (seen != DOOR_CLOSED) {
        if (spin_while_equal(&door, seen)) {
            uint32_t awaited = seen | DOOR_AWAITED;
            if (atomic_compare_exchange_strong(&door, &seen, awaited)) futex_wait(&door, awaited);
        }
        seen = atomic_fetch_and(&door, ~DOOR_AWAITED) & ~DOOR_AWAITED;
    }
}

static void run_on_workers(int threads) {
    if (worker_count > threads - 1) stop_workers(threads - 1);
    if (worker_count < threads - 1) start_workers(threads - 1);
    open_door(threads);
    uint64_t start = canopy_now_ns();
    current.own_programs = run_share(&current);
    current.own_ns = canopy_now_ns() - start;
    close_door();
}

static int32_t run_parallel(const canopy_launch_request *request, uint64_t total, int threads) {
    prepare(request, total, threads);
    int team = openmp_team(threads);
    if (team) openmp_parallel(openmp_body, NULL, (unsigned)team, 0);
    else run_on_workers(threads);
    int32_t code = atomic_load(&current.code);
    if (code) canopy_report(current.message);
    else note_cost(request, current.own_ns, current.own_programs);
    return code;
}

static int32_t run_all(const canopy_launch_request *request, uint64_t total) {
    int threads = canopy_get_threads();
    if (total == 1 || threads == 1 || request->alone || canopy_expected_ns(request) < INLINE_NS)
        return run_inline(request, total);
    if (atomic_exchange(&busy, true)) return run_inline(request, total);
    int32_t code = run_parallel(request, total, threads);
    atomic_store(&busy, false);
    return code;
}

int32_t canopy_launch(const canopy_launch_request *request) {
    uint64_t total = get_total(request);
    if (total == 0) return 0;
    int32_t code = run_all(request, total);
    canopy_output_end(request);
    return code;
}
