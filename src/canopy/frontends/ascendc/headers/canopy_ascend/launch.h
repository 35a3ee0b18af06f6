// Running a kernel: a thread per core that runs side by side, each taking every n-th block.
#pragma once

#include <errno.h>
#include <time.h>

#include "cube.h"

namespace canopy_ascend {

// What a launcher must know of a parameter: 'p' pointer, 'i' signed, 'u' unsigned, 'b' bool, 'f' real,
// 'h' half, 'y' bfloat16_t, 's' structure.
struct Parameter {
    char kind;
    uint32_t bytes;
};

template <typename P>
constexpr Parameter described() {
    using T = std::remove_cv_t<std::remove_reference_t<P>>;
    const char kind = std::is_pointer_v<T>              ? 'p'
                      : std::is_same_v<T, bool>         ? 'b'
                      : std::is_same_v<T, half>         ? 'h'
                      : std::is_same_v<T, bfloat16_t>   ? 'y'
                      : std::is_floating_point_v<T>     ? 'f'
                      : std::is_enum_v<T>               ? 'i'
                      : !std::is_integral_v<T>          ? 's'
                      : std::is_signed_v<T>             ? 'i'
                                                        : 'u';
    return {kind, static_cast<uint32_t>(sizeof(T))};
}

template <typename... P>
struct Signature {
    static constexpr uint32_t count = sizeof...(P);
    static constexpr Parameter parameters[sizeof...(P) + 1] = {described<P>()..., {0, 0}};

    template <size_t... I>
    static void call(void (*kernel)(P...), const void* const* values, std::integer_sequence<size_t, I...>) {
        kernel(*static_cast<const std::remove_cv_t<std::remove_reference_t<P>>*>(values[I])...);
    }
};

template <typename... P>
constexpr Signature<P...> signature_of(void (*)(P...)) { return {}; }

using Kernel = void (*)(const void* const*);

struct Worker {
    pthread_t thread = {};
    Launch* launch = nullptr;
    Kernel kernel = nullptr;
    const char* file = nullptr;
    CoreKind kind = CoreKind::VECTOR;
    uint32_t number = 0, sub_block = 0;
};

struct Running {
    Worker workers[kMostCores];
    int count = 0;
    int finished = 0;
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t over = PTHREAD_COND_INITIALIZER;
};
inline Running running;

inline bool is_of(CoreKind kind, Space space) {
    return space != Space::GM && (space == Space::UB) == (kind == CoreKind::VECTOR);
}

inline void make_memories(Core& self) {
    for (int i = 0; i < kSpaces; ++i) {
        Memory& memory = self.memory[i];
        memory.size = self.launch->sizes[i];
        if (!is_of(self.kind, static_cast<Space>(i)) || !memory.size) continue;
        memory.bytes = static_cast<uint8_t*>(aligned_alloc(512, rounded_up(memory.size, 512)));
        memory.written = static_cast<uint8_t*>(calloc(memory.size, 1));
        memory.history = static_cast<History*>(calloc(memory.size / kBlock + 1, sizeof(History)));
        memory.touched = memory.size;
    }
}

// A block begins with nothing in the memories.
inline void begin_block(Core& self) {
    for (Memory& memory : self.memory) {
        if (memory.bytes && memory.touched) {
            memset(memory.bytes, kGarbage, memory.touched);
            memset(memory.written, 0, memory.touched);
            memset(memory.history, 0, (memory.touched / kBlock + 1) * sizeof(History));
        }
        memory.used = memory.touched = 0;
    }
    self.queue_count = self.recent_count = 0;
    self.atomic = Atomic::NONE;
    self.counts_mask = false;
    self.mask[0] = self.mask[1] = ~0ull;
    memset(self.events, 0, sizeof(self.events));
    memset(self.reserved_events, 0, sizeof(self.reserved_events));
    memset(self.steps, 0, sizeof(self.steps));
    memset(self.known, 0, sizeof(self.known));
}

inline void run_blocks(Core& self, const Worker& worker) {
    Launch& launch = *worker.launch;
    const uint32_t per_group = worker.kind == CoreKind::VECTOR && launch.kind == 2 ? 2 : 1;
    for (uint32_t block = worker.number; block < launch.block_dim; block += exchange.groups) {
        begin_block(self);
        self.group = block;
        self.block = block * per_group + worker.sub_block;
        self.sub_block = worker.sub_block;
        self.first_pipe = worker.kind == CoreKind::CUBE ? 0 : (1 + static_cast<int>(worker.sub_block)) * kPipes;
        if (setjmp(self.leave)) return;
        worker.kernel(launch.values);
        check_end(self, worker.file);
    }
}

inline void* work(void* given) {
    Worker& worker = *static_cast<Worker*>(given);
    Core* self = static_cast<Core*>(calloc(1, sizeof(Core)));
    new (self) Core();
    self->launch = worker.launch;
    self->kind = worker.kind;
    current_core = self;
    make_memories(*self);
    run_blocks(*self, worker);
    for (Memory& memory : self->memory) {
        free(memory.bytes);
        free(memory.written);
        free(memory.history);
    }
    free(self);
    pthread_mutex_lock(&exchange.lock);
    --exchange.running;
    pthread_cond_broadcast(&exchange.changed);
    pthread_mutex_unlock(&exchange.lock);
    pthread_mutex_lock(&running.lock);
    ++running.finished;
    pthread_cond_broadcast(&running.over);
    pthread_mutex_unlock(&running.lock);
    return nullptr;
}

inline uint32_t groups_of(const Launch& launch) {
    const uint32_t cores = launch.kind == 0 ? launch.vector_cores : launch.cube_cores;
    return launch.block_dim < cores ? launch.block_dim : cores;
}

inline void start(Launch* launch, Kernel kernel, const char* file) {
    for (auto& group : exchange.flags) {
        for (auto& member : group) {
            for (Flag& flag : member) flag.count = flag.next = 0;
        }
    }
    memset(exchange.arrived, 0, sizeof(exchange.arrived));
    memset(exchange.told, 0, sizeof(exchange.told));
    memset(exchange.barrier_arrived, 0, sizeof(exchange.barrier_arrived));
    exchange.groups = static_cast<int>(groups_of(*launch));
    exchange.group_cores = launch->kind < 2 ? 1 : launch->kind == 2 ? 3 : 2;
    exchange.waiting = 0;
    stopped = 0;
    running.count = running.finished = 0;
    for (int g = 0; g < exchange.groups; ++g) {
        for (int member = 0; member < exchange.group_cores; ++member) {
            const bool cube = launch->kind == 1 || (launch->kind >= 2 && member == 0);
            Worker& worker = running.workers[running.count++];
            worker.launch = launch;
            worker.kernel = kernel;
            worker.file = file;
            worker.kind = cube ? CoreKind::CUBE : CoreKind::VECTOR;
            worker.number = static_cast<uint32_t>(g);
            worker.sub_block = launch->kind >= 2 && member ? static_cast<uint32_t>(member - 1) : 0;
        }
    }
    exchange.running = running.count;
    for (int i = 0; i < running.count; ++i) {
        pthread_create(&running.workers[i].thread, nullptr, work, &running.workers[i]);
    }
}

// True when all cores have ended; waits for it for some milliseconds.
inline bool wait(int milliseconds) {
    timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += milliseconds / 1000;
    until.tv_nsec += milliseconds % 1000 * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_nsec -= 1000000000L;
        ++until.tv_sec;
    }
    pthread_mutex_lock(&running.lock);
    int status = 0;
    while (running.finished < running.count && status != ETIMEDOUT) {
        status = pthread_cond_timedwait(&running.over, &running.lock, &until);
    }
    const bool over = running.finished == running.count;
    pthread_mutex_unlock(&running.lock);
    if (over) {
        for (int i = 0; i < running.count; ++i) pthread_join(running.workers[i].thread, nullptr);
        running.count = running.finished = 0;
    }
    return over;
}

inline void stop() {
    stopped = 1;
    wake_all();
}

}  // namespace canopy_ascend

// What a launcher that knows nothing of the source calls: per kernel, its parameters and its start.
#define CANOPY_EXPORT extern "C" __attribute__((visibility("default")))
#define CANOPY_ENTRY(number, source, ...)                                                          \
    CANOPY_EXPORT const canopy_ascend::Parameter* canopy_parameters_##number(uint32_t* count) {    \
        using S = decltype(canopy_ascend::signature_of(__VA_ARGS__));                              \
        *count = S::count;                                                                         \
        return S::parameters;                                                                      \
    }                                                                                              \
    CANOPY_EXPORT void canopy_start_##number(canopy_ascend::Launch* launch) {                      \
        canopy_ascend::start(launch, [](const void* const* values) {                               \
            using S = decltype(canopy_ascend::signature_of(__VA_ARGS__));                          \
            S::call(__VA_ARGS__, values, std::make_index_sequence<S::count>());                    \
        }, source);                                                                                \
    }
#define CANOPY_END                                                                                 \
    CANOPY_EXPORT int canopy_wait(int milliseconds) { return canopy_ascend::wait(milliseconds); }  \
    CANOPY_EXPORT void canopy_stop() { canopy_ascend::stop(); }
