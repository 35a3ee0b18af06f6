// Words of the language, places in the user's source, errors, and the state of one core.
#pragma once

#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <new>
#include <type_traits>
#include <utility>

#define __aicore__
#define __global__
#define __gm__
#define __ubuf__
#define __cbuf__
#define __ca__
#define __cb__
#define __cc__
#define __inout_pipe__(...)
#define __vector__
#define __cube__
#define __mix__(...)
#define __forceinline__ inline
#define GM_ADDR uint8_t*
#define __CCE_AICORE__ 220
#ifndef __NPU_ARCH__  // the launcher says which chip there is
#define __NPU_ARCH__ 2201
#endif

using half = _Float16;
using bfloat16_t = __bf16;
struct int4b_t;

namespace canopy_ascend {

// ---- where a call stands

struct Place {
    const char* file;
    int line;
    static constexpr Place Here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
        return {file, line};
    }
};

// An index that knows where it was written: operators take no default arguments, conversions do.
struct Index {
    int64_t value;
    Place place;
    template <typename I, typename = std::enable_if_t<std::is_integral_v<I> || std::is_enum_v<I>>>
    constexpr Index(I value, Place place = Place::Here())
        : value(static_cast<int64_t>(value)), place(place) {}
};

// ---- pipes and memories

enum class Pipe : uint8_t { S, V, M, MTE1, MTE2, MTE3, FIX, COUNT };
constexpr int kPipes = static_cast<int>(Pipe::COUNT);
inline const char* name_of(Pipe pipe) {
    constexpr const char* names[] = {"S", "V", "M", "MTE1", "MTE2", "MTE3", "FIX"};
    return names[static_cast<int>(pipe)];
}

enum class Space : uint8_t { GM, UB, L1, L0A, L0B, L0C, BT, FB, COUNT };
constexpr int kSpaces = static_cast<int>(Space::COUNT);
inline const char* name_of(Space space) {
    constexpr const char* names[] = {"GM", "UB", "L1", "L0A", "L0B", "L0C", "BT", "FB"};
    return names[static_cast<int>(space)];
}

enum class CoreKind : uint8_t { VECTOR, CUBE };
enum class Atomic : uint8_t { NONE, ADD, MAX, MIN };

constexpr uint32_t kBlock = 32;     // bytes of a block of UB and L1
constexpr uint32_t kRepeat = 256;   // bytes of a repeat of a vector instruction
constexpr int kEvents = 8;

// The cores of a group: the cube core and its vector cores. Flags tell of one what happened on another.
constexpr int kMembers = 3;

// What each pipe of each core of a group has finished, as far as someone knows.
struct Knowledge {
    uint32_t done[kMembers * kPipes] = {};
    void learn(const Knowledge& other) {
        for (int i = 0; i < kMembers * kPipes; ++i) {
            if (other.done[i] > done[i]) done[i] = other.done[i];
        }
    }
};

// The last accesses to a block of 32 bytes.
struct History {
    uint32_t write_step;
    uint32_t write_line;
    Pipe write_pipe;
    uint32_t read_step[kPipes];
    uint32_t read_line[kPipes];
};

// One on-chip memory: bytes, which of them were ever written, and who touched them last.
struct Memory {
    uint8_t* bytes = nullptr;
    uint8_t* written = nullptr;
    History* history = nullptr;
    uint32_t size = 0;
    uint32_t used = 0;   // what InitBuffer has given out
    uint32_t touched = 0;  // the end of what may hold data
};

struct GlobalAccess {
    const uint8_t* first;
    const uint8_t* end;
    uint32_t step;
    int line;
    Pipe pipe;
    bool writes;
};

struct Event {
    bool set = false;
    int line = 0;
    Knowledge told;
    uint32_t waited = 0;
};

enum class SlotState : uint8_t { FREE, ALLOCATED, QUEUED, TAKEN };

struct Slot {
    SlotState state = SlotState::FREE;
    int line = 0;
    Knowledge freed;
    Knowledge filled;
};

constexpr int kSlots = 16;
constexpr int kQueues = 64;

struct Queue {
    Space space;
    Pipe producer, consumer;
    int depth = 0;
    int count = 0;
    int next = 0;
    uint32_t first = 0;
    uint32_t bytes = 0;
    Slot slots[kSlots];
    int waiting[kSlots] = {};
    int queued = 0;
    int line = 0;
};

struct Launch;

// The state of one core for one block.
struct Core {
    Launch* launch = nullptr;
    CoreKind kind = CoreKind::VECTOR;
    uint32_t block = 0;      // GetBlockIdx()
    uint32_t group = 0;      // cube core and its vector cores
    uint32_t sub_block = 0;  // which vector core of the group
    int first_pipe = 0;      // where its pipes stand in a Knowledge
    jmp_buf leave;
    Memory memory[kSpaces];
    uint32_t steps[kPipes] = {};
    Knowledge known[kPipes];
    Event events[kPipes][kPipes][kEvents];
    uint8_t reserved_events[kPipes][kPipes] = {};
    Queue queues[kQueues];
    int queue_count = 0;
    GlobalAccess recent[64];
    int recent_count = 0;
    uint64_t mask[2] = {~0ull, ~0ull};
    bool counts_mask = false;
    uint64_t comparison[2] = {};
    Atomic atomic = Atomic::NONE;
    uint32_t atomic_bytes = 0;
    uint16_t merged[4] = {};
    uint64_t fixpipe_scale = 0;
    uint32_t reduced_index = 0;
    const void* refreshed = nullptr;  // what scalar code last looked at anew
    void* pipe = nullptr;
};

// ---- a launch

struct Argument {
    uint8_t* address;
    uint64_t bytes;  // 0: not an array
    const char* name;
};

struct Note {
    const char* file;
    int line;
    char text[320];
};

constexpr int kNotes = 32;

struct Launch {
    // Set by the caller.
    uint32_t block_dim;
    uint32_t kind;  // 0: vector cores, 1: cube cores, 2: a cube core with two vector cores, 3: with one
    uint32_t cube_cores, vector_cores;
    uint32_t sizes[kSpaces];
    uint32_t check_order;
    uint32_t anywhere;  // the kernel follows addresses in memory, to what is no argument
    uint32_t argument_count;
    const Argument* arguments;
    const void* const* values;
    // Set by the launch.
    uint32_t failed;
    uint32_t note_count;
    const char* file;
    int32_t line;
    uint32_t failed_block;
    char text[640];
    char hint[320];
    Note notes[kNotes];
};

inline thread_local Core* current_core = nullptr;
inline Core& core() { return *current_core; }

inline pthread_mutex_t report_lock = PTHREAD_MUTEX_INITIALIZER;
inline pthread_mutex_t atomic_lock = PTHREAD_MUTEX_INITIALIZER;  // around updates of global memory
inline volatile uint32_t stopped = 0;  // an error, or an interrupt

inline void wake_all();

[[noreturn]] inline void leave() { longjmp(core().leave, 1); }

// The first error of a launch ends it: all cores leave at their next call.
[[noreturn]] __attribute__((noinline, format(printf, 3, 4))) inline void fail(
    Place place, const char* hint, const char* format, ...) {
    Core& self = core();
    pthread_mutex_lock(&report_lock);
    Launch& launch = *self.launch;
    if (!launch.failed) {
        va_list values;
        va_start(values, format);
        vsnprintf(launch.text, sizeof(launch.text), format, values);
        va_end(values);
        snprintf(launch.hint, sizeof(launch.hint), "%s", hint);
        launch.file = place.file;
        launch.line = place.line;
        launch.failed_block = self.block;
        launch.failed = 1;
    }
    stopped = 1;
    pthread_mutex_unlock(&report_lock);
    wake_all();
    leave();
}

// What a user should know although results are right, once per place.
__attribute__((noinline, format(printf, 2, 3))) inline void note(Place place, const char* format,
                                                                  ...) {
    pthread_mutex_lock(&report_lock);
    Launch& launch = *core().launch;
    bool is_new = launch.note_count < kNotes;
    for (uint32_t i = 0; i < launch.note_count; ++i) {
        if (launch.notes[i].line == place.line && !strcmp(launch.notes[i].file, place.file)) {
            is_new = false;
        }
    }
    if (is_new) {
        Note& made = launch.notes[launch.note_count++];
        made.file = place.file;
        made.line = place.line;
        va_list values;
        va_start(values, format);
        vsnprintf(made.text, sizeof(made.text), format, values);
        va_end(values);
    }
    pthread_mutex_unlock(&report_lock);
}

// ---- types

template <typename T, typename... Allowed>
constexpr bool is_one_of = (std::is_same_v<T, Allowed> || ...);

template <typename T>
constexpr bool is_real = is_one_of<T, half, bfloat16_t, float>;

inline float to_float(bfloat16_t value) {
    uint16_t bits;
    memcpy(&bits, &value, 2);
    uint32_t wide = static_cast<uint32_t>(bits) << 16;
    float result;
    memcpy(&result, &wide, 4);
    return result;
}
template <typename T, typename = std::enable_if_t<!std::is_same_v<T, bfloat16_t>>>
inline float to_float(T value) { return static_cast<float>(value); }

inline bfloat16_t to_brain_float(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    const bool is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
    const uint32_t rounded = is_nan ? bits | 0x00400000u : bits + 0x7fffu + ((bits >> 16) & 1u);
    const uint16_t upper = static_cast<uint16_t>(rounded >> 16);
    bfloat16_t result;
    memcpy(&result, &upper, 2);
    return result;
}

template <typename T>
inline T from_float(float value) {
    if constexpr (std::is_same_v<T, bfloat16_t>) return to_brain_float(value);
    else return static_cast<T>(value);
}

constexpr uint64_t rounded_up(uint64_t value, uint64_t unit) { return (value + unit - 1) / unit * unit; }

}  // namespace canopy_ascend

// The compiler's conversion of bfloat16_t, which no C library brings.
extern "C" __attribute__((weak, visibility("hidden"))) __bf16 __truncsfbf2(float value) {
    return canopy_ascend::to_brain_float(value);
}

namespace AscendC {

inline float ToFloat(const bfloat16_t& value) { return canopy_ascend::to_float(value); }
inline bfloat16_t ToBfloat16(const float& value) { return canopy_ascend::to_brain_float(value); }

template <typename... Values>
inline void printf(const char* format, Values... values) {
    pthread_mutex_lock(&canopy_ascend::report_lock);
    ::printf(format, values...);
    ::fflush(stdout);
    pthread_mutex_unlock(&canopy_ascend::report_lock);
}
#define PRINTF(...) AscendC::printf(__VA_ARGS__)

template <typename T, typename U>
struct IsSameType { static constexpr bool value = std::is_same_v<T, U>; };

}  // namespace AscendC
