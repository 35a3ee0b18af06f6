// Events and barriers of a core, and what cores wait for of each other.
#pragma once

#include "queue.h"

enum pipe_t { PIPE_S, PIPE_V, PIPE_M, PIPE_MTE1, PIPE_MTE2, PIPE_MTE3, PIPE_FIX, PIPE_ALL = 15 };
enum event_t { EVENT_ID0, EVENT_ID1, EVENT_ID2, EVENT_ID3, EVENT_ID4, EVENT_ID5, EVENT_ID6, EVENT_ID7 };

namespace canopy_ascend {

constexpr int kFlags = 16;
constexpr int kMostPending = 15;  // a flag counts to 15
constexpr int kMostCores = 256;
constexpr int kMostGroups = 80;

// How often a flag is set and not yet waited for, and what each set told, in their order.
struct Flag {
    uint8_t count = 0, next = 0;
    Knowledge told[kMostPending + 1];
};

// What the cores of a launch wait on. A core that waits says for what; when all wait in vain, that is
// a deadlock, and it is told instead of waited for.
struct Exchange {
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
    int running = 0;
    int waiting = 0;
    bool (*conditions[kMostCores])(void*) = {};
    void* subjects[kMostCores] = {};
    int group_cores = 0;   // cores of a group: 1, 2 (1:1) or 3 (1:2)
    int groups = 0;        // groups that run side by side
    uint32_t barrier_arrived[3] = {};  // vector cores, cube cores, all
    uint64_t barrier_round[3] = {};
    Flag flags[kMostGroups][kMembers][kFlags];  // per group and core: cube, vector 0, vector 1
    uint8_t arrived[kMostGroups][kFlags] = {};  // vector cores that have set a flag for the cube
    Knowledge told[kMostGroups][kFlags];        // what they told
};

inline Exchange exchange;

inline void wake_all() {
    pthread_mutex_lock(&exchange.lock);
    pthread_cond_broadcast(&exchange.changed);
    pthread_mutex_unlock(&exchange.lock);
}

inline int member_of(const Core& self) {
    return self.kind == CoreKind::CUBE ? 0 : 1 + static_cast<int>(self.sub_block);
}

// Waits, under the lock, until the condition holds. False: it never can, or the launch is over.
inline bool wait_until(bool (*condition)(void*), void* subject) {
    int place = -1;
    while (!condition(subject)) {
        if (stopped) break;
        if (place < 0) {
            for (place = 0; exchange.conditions[place]; ++place) {}
            exchange.conditions[place] = condition;
            exchange.subjects[place] = subject;
            ++exchange.waiting;
        }
        bool hopeless = exchange.waiting == exchange.running;
        for (int i = 0; hopeless && i < kMostCores; ++i) {
            hopeless = !exchange.conditions[i] || !exchange.conditions[i](exchange.subjects[i]);
        }
        if (hopeless) break;
        pthread_cond_wait(&exchange.changed, &exchange.lock);
    }
    if (place >= 0) {
        exchange.conditions[place] = nullptr;
        --exchange.waiting;
    }
    return condition(subject);
}

struct BarrierWait {
    int which;
    uint64_t round;
    static bool over(void* self) {
        BarrierWait& wait = *static_cast<BarrierWait*>(self);
        return exchange.barrier_round[wait.which] != wait.round;
    }
};

// `which`: 0 the vector cores, 1 the cube cores, 2 all.
inline void meet_cores(int which, uint32_t members, uint32_t at_once, Place place) {
    Core& self = core();
    if (stopped) leave();
    if (members > at_once) {
        fail(place, "launch at most as many blocks as there are cores, and loop inside",
             "SyncAll waits for %u cores, and %u run at a time", members, at_once);
    }
    meet(self);
    pthread_mutex_lock(&exchange.lock);
    BarrierWait wait = {which, exchange.barrier_round[which]};
    if (++exchange.barrier_arrived[which] == members) {
        exchange.barrier_arrived[which] = 0;
        ++exchange.barrier_round[which];
        pthread_cond_broadcast(&exchange.changed);
    }
    const bool met = wait_until(BarrierWait::over, &wait);
    pthread_mutex_unlock(&exchange.lock);
    if (stopped) leave();
    if (!met) {
        fail(place, "every core calls SyncAll equally often",
             "deadlock: SyncAll waits for cores that have ended or wait for something else");
    }
    self.recent_count = 0;
}

struct FlagWait {
    Flag* flag;
    static bool over(void* self) { return static_cast<FlagWait*>(self)->flag->count > 0; }
};

inline void raise_flag(int group, int member, int number, const Knowledge& told, Place place) {
    Flag& flag = exchange.flags[group][member][number];
    if (flag.count == kMostPending) {
        pthread_mutex_unlock(&exchange.lock);
        fail(place, "wait for it with CrossCoreWaitFlag", "flag %d is set 16 times with no wait", number);
    }
    flag.told[(flag.next + flag.count++) % (kMostPending + 1)] = told;
}

inline void set_cross_core(int mode, Pipe pipe, int flag, Place place) {
    Core& self = core();
    begin(self, pipe);
    if (flag < 0 || flag >= kFlags) fail(place, "flags are 0 to 15", "flag %d", flag);
    const int group = static_cast<int>(self.group % (exchange.groups ? exchange.groups : 1));
    const int vectors = exchange.group_cores - 1;
    if (mode == 2 && vectors < 1) {
        fail(place, "declare KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2)",
             "CrossCoreSetFlag between cube and vector cores, and the kernel has one kind of core");
    }
    if (mode != 2) fail(place, "use mode 2 within a group, SyncAll among groups",
                        "CrossCoreSetFlag of mode %d is not supported", mode);
    const Knowledge& known = self.known[static_cast<int>(pipe)];
    pthread_mutex_lock(&exchange.lock);
    if (self.kind == CoreKind::CUBE) {
        for (int v = 0; v < vectors; ++v) raise_flag(group, 1 + v, flag, known, place);
    } else {
        exchange.told[group][flag].learn(known);
        if (++exchange.arrived[group][flag] == vectors) {
            exchange.arrived[group][flag] = 0;
            raise_flag(group, 0, flag, exchange.told[group][flag], place);
        }
    }
    pthread_cond_broadcast(&exchange.changed);
    pthread_mutex_unlock(&exchange.lock);
}

inline void wait_cross_core(int flag, Place place) {
    Core& self = core();
    if (stopped) leave();
    if (flag < 0 || flag >= kFlags) fail(place, "flags are 0 to 15", "flag %d", flag);
    const int group = static_cast<int>(self.group % (exchange.groups ? exchange.groups : 1));
    pthread_mutex_lock(&exchange.lock);
    FlagWait wait = {&exchange.flags[group][member_of(self)][flag]};
    const bool came = wait_until(FlagWait::over, &wait);
    if (came) {  // scalar code waits: all that it issues from here on knows
        --wait.flag->count;
        self.known[static_cast<int>(Pipe::S)].learn(wait.flag->told[wait.flag->next]);
        wait.flag->next = (wait.flag->next + 1) % (kMostPending + 1);
    }
    pthread_mutex_unlock(&exchange.lock);
    if (stopped) leave();
    if (!came) {
        fail(place, "every CrossCoreWaitFlag has one CrossCoreSetFlag of the other kind of core",
             "deadlock: flag %d is waited for, and nothing sets it", flag);
    }
}

// Cores of a kind that the launch has, and that run side by side.
inline uint32_t cores_of(const Launch& launch, int which, bool at_once) {
    const uint32_t groups = at_once ? static_cast<uint32_t>(exchange.groups) : launch.block_dim;
    if (launch.kind == 0) return which == 1 ? 0 : groups;
    if (launch.kind == 1) return which == 0 ? 0 : groups;
    const uint32_t vectors = launch.kind == 2 ? 2 : 1;
    return which == 0 ? groups * vectors : which == 1 ? groups : groups * (vectors + 1);
}

}  // namespace canopy_ascend

namespace AscendC {

template <HardEvent event>
inline void SetFlag(int32_t id, Place place = Place::Here()) {
    using canopy_ascend::Pipe;
    canopy_ascend::set_event(static_cast<Pipe>(int(event) >> 4), static_cast<Pipe>(int(event) & 15), id, place);
}
template <HardEvent event>
inline void WaitFlag(int32_t id, Place place = Place::Here()) {
    using canopy_ascend::Pipe;
    canopy_ascend::wait_event(static_cast<Pipe>(int(event) >> 4), static_cast<Pipe>(int(event) & 15), id, place);
}

template <pipe_t pipe>
inline void PipeBarrier() {
    using namespace canopy_ascend;
    Core& self = core();
    begin(self, Pipe::S);
    if (pipe == PIPE_ALL) meet(self);
}

template <bool vector_only = true>
inline void SyncAll(Place place = Place::Here()) {
    using namespace canopy_ascend;
    const Launch& launch = *core().launch;
    const int which = !vector_only ? 2 : core().kind == CoreKind::VECTOR ? 0 : 1;
    meet_cores(which, cores_of(launch, which, false), cores_of(launch, which, true), place);
}
template <bool vector_only = true>
inline void SyncAll(const GlobalTensor<int32_t>& workspace, const LocalTensor<int32_t>&,
                    const int32_t used_cores = 0, Place place = Place::Here()) {
    using namespace canopy_ascend;
    const Launch& launch = *core().launch;
    const uint32_t members = used_cores > 0 ? used_cores : cores_of(launch, 0, false);
    workspace.elements(core(), 0, members * 8, place);  // 32 bytes for each core
    meet_cores(0, members, cores_of(launch, 0, true), place);
}

template <uint8_t mode, pipe_t pipe>
inline void CrossCoreSetFlag(uint16_t flag, Place place = Place::Here()) {
    canopy_ascend::set_cross_core(mode, static_cast<canopy_ascend::Pipe>(pipe), flag, place);
}
template <uint8_t mode = 0, pipe_t pipe = PIPE_S>
inline void CrossCoreWaitFlag(uint16_t flag, Place place = Place::Here()) {
    canopy_ascend::wait_cross_core(flag, place);
}

inline int64_t GetBlockIdx() { return canopy_ascend::core().block; }
inline int64_t GetBlockNum() { return canopy_ascend::core().launch->block_dim; }
inline int64_t GetSubBlockIdx() { return canopy_ascend::core().sub_block; }
inline int64_t GetSubBlockNum() { return canopy_ascend::core().launch->kind == 2 ? 2 : 1; }
inline int64_t GetTaskRation() { return GetSubBlockNum(); }
inline int64_t GetTaskRatio() { return GetSubBlockNum(); }
inline int64_t GetSystemCycle() { return 0; }
inline int64_t GetProgramCounter() { return 0; }
enum class MemDsbT { ALL, DDR, UB, SEQ };
template <MemDsbT which>
inline void DataSyncBarrier() { __sync_synchronize(); }
[[noreturn]] inline void Trap(Place place = Place::Here()) {
    canopy_ascend::fail(place, "the kernel says so", "Trap() stops the core");
}

enum class CacheLine : uint64_t { SINGLE_CACHE_LINE, ENTIRE_DATA_CACHE };
enum class DcciDst : uint64_t { CACHELINE_ALL, CACHELINE_UB, CACHELINE_OUT, CACHELINE_ATOMIC };
template <typename T, CacheLine line, DcciDst target = DcciDst::CACHELINE_ALL>
inline void DataCacheCleanAndInvalid(const GlobalTensor<T>& tensor) {
    using namespace canopy_ascend;
    Core& self = core();
    if (stopped) leave();
    __sync_synchronize();
    // Who looks at one place again and again waits for another core.
    if (self.refreshed == tensor.GetPhyAddr()) sched_yield();
    self.refreshed = tensor.GetPhyAddr();
}

#if __NPU_ARCH__ == 3510
// Scalar code's atomics on global memory; they give the old value.
template <typename T, typename F>
inline T update_atomically(__gm__ T* address, F update, canopy_ascend::Place place) {
    using namespace canopy_ascend;
    Core& self = core();
    begin(self, Pipe::S);
    check_global(self, address, sizeof(T), place);
    touch_global(self, Pipe::S, address, sizeof(T), true, place);
    pthread_mutex_lock(&atomic_lock);
    const T old = *address;
    *address = update(old);
    pthread_mutex_unlock(&atomic_lock);
    sched_yield();
    return old;
}
#define CANOPY_ATOMIC(Name, expression)                                                         \
    template <typename T>                                                                       \
    inline T Name(__gm__ T* address, T value, canopy_ascend::Place place = canopy_ascend::Place::Here()) { \
        static_assert(canopy_ascend::is_one_of<T, uint32_t, int32_t, uint64_t, int64_t, float>, \
                      #Name " takes 32- and 64-bit integers and float");                        \
        return update_atomically(address, [&](T old) -> T { return expression; }, place);       \
    }
CANOPY_ATOMIC(AtomicAdd, old + value)
CANOPY_ATOMIC(AtomicMax, old > value ? old : value)
CANOPY_ATOMIC(AtomicMin, old < value ? old : value)
#undef CANOPY_ATOMIC
template <typename T>
inline T AtomicExch(__gm__ T* address, T value, Place place = Place::Here()) {
    static_assert(canopy_ascend::is_one_of<T, uint32_t, uint64_t>, "AtomicExch takes uint32_t and uint64_t");
    return update_atomically(address, [&](T) { return value; }, place);
}
template <typename T>
inline T AtomicCas(__gm__ T* address, T compared, T value, Place place = Place::Here()) {
    static_assert(canopy_ascend::is_one_of<T, uint32_t, uint64_t>, "AtomicCas takes uint32_t and uint64_t");
    return update_atomically(address, [&](T old) { return old == compared ? value : old; }, place);
}
#endif

}  // namespace AscendC

#define ASCEND_IS_AIV (canopy_ascend::core().kind == canopy_ascend::CoreKind::VECTOR)
#define ASCEND_IS_AIC (canopy_ascend::core().kind == canopy_ascend::CoreKind::CUBE)
#define KERNEL_TASK_TYPE_DEFAULT(kind)
#define KERNEL_TASK_TYPE(key, kind)
#define REGISTER_TILING_DEFAULT(type)
#define GET_TILING_DATA_WITH_STRUCT(type, name, address) \
    type name;                                           \
    memcpy(&name, reinterpret_cast<const void*>(address), sizeof(type))
#define COPY_TILING_WITH_STRUCT GET_TILING_DATA_WITH_STRUCT

inline int64_t get_block_idx() { return AscendC::GetBlockIdx(); }
inline int64_t get_block_num() { return AscendC::GetBlockNum(); }
inline void set_flag(pipe_t source, pipe_t target, event_t id,
                     canopy_ascend::Place place = canopy_ascend::Place::Here()) {
    canopy_ascend::set_event(static_cast<canopy_ascend::Pipe>(source),
                             static_cast<canopy_ascend::Pipe>(target), id, place);
}
inline void wait_flag(pipe_t source, pipe_t target, event_t id,
                      canopy_ascend::Place place = canopy_ascend::Place::Here()) {
    canopy_ascend::wait_event(static_cast<canopy_ascend::Pipe>(source),
                              static_cast<canopy_ascend::Pipe>(target), id, place);
}
inline void pipe_barrier(pipe_t pipe) {
    if (pipe == PIPE_ALL) AscendC::PipeBarrier<PIPE_ALL>();
}
