// Which accesses may have happened before which: steps of pipes, events, and the memories' histories.
#pragma once

#include "core.h"

namespace canopy_ascend {

// One instruction on a pipe. It is issued after what scalar code has waited for.
inline uint32_t begin(Core& self, Pipe pipe) {
    if (stopped) leave();
    const int p = static_cast<int>(pipe);
    const uint32_t step = ++self.steps[p];
    Knowledge& known = self.known[p];
    if (pipe != Pipe::S) {
        const uint32_t own = known.done[self.first_pipe];  // scalar writes need an event
        known.learn(self.known[static_cast<int>(Pipe::S)]);
        known.done[self.first_pipe] = own;
    }
    known.done[self.first_pipe + p] = step;
    return step;
}

__attribute__((noinline)) inline void unordered(Place place, Pipe pipe, bool writes, Space space,
                                                Pipe other, bool wrote, int line) {
    const char* verb = writes ? "writes" : "reads";
    const char* past = wrote ? "writes" : "reads";
    if (pipe == Pipe::S || other == Pipe::S) {
        note(place, "%s %s %s without waiting for %s, which %s it at line %d: set and wait for an "
             "event (%s_%s), unless the compiler's automatic synchronisation is to do it",
             name_of(pipe), verb, name_of(space), name_of(other), past, line, name_of(other),
             name_of(pipe));
        return;
    }
    char hint[200];
    snprintf(hint, sizeof(hint), "pass the tensor through a queue (EnQue, DeQue), or SetFlag and "
             "WaitFlag<HardEvent::%s_%s>", name_of(other), name_of(pipe));
    fail(place, hint, "%s %s %s without waiting for %s, which %s it at line %d", name_of(pipe), verb,
         name_of(space), name_of(other), past, line);
}

// Notes an access to bytes of an on-chip memory. Whether they were written is not asked here.
inline void touch(Core& self, Pipe pipe, Space space, uint32_t first, uint32_t bytes, bool writes,
                  Place place) {
    if (!bytes) return;
    Memory& memory = self.memory[static_cast<int>(space)];
    const int p = static_cast<int>(pipe);
    const uint32_t* done = self.known[p].done + self.first_pipe;
    const uint32_t step = self.steps[p];
    const bool checks = self.launch->check_order;
    if (writes && first + bytes > memory.touched) memory.touched = first + bytes;
    for (uint32_t b = first / kBlock; b <= (first + bytes - 1) / kBlock; ++b) {
        History& past = memory.history[b];
        if (checks && past.write_pipe != pipe &&
            past.write_step > done[static_cast<int>(past.write_pipe)]) {
            unordered(place, pipe, writes, space, past.write_pipe, true, past.write_line);
        }
        if (!writes) {
            if (pipe != Pipe::S) {  // a scalar read is done when the next instruction is issued
                past.read_step[p] = step;
                past.read_line[p] = place.line;
            }
            continue;
        }
        for (int q = 0; checks && q < kPipes; ++q) {
            if (q != p && past.read_step[q] > done[q]) {
                unordered(place, pipe, true, space, static_cast<Pipe>(q), false, past.read_line[q]);
            }
        }
        past.write_step = step;
        past.write_pipe = pipe;
        past.write_line = place.line;
    }
}

__attribute__((noinline)) inline void touch_global(Core& self, Pipe pipe, const void* address,
                                                   uint64_t bytes, bool writes, Place place) {
    const uint8_t* first = static_cast<const uint8_t*>(address);
    const uint8_t* end = first + bytes;
    const uint32_t* done = self.known[static_cast<int>(pipe)].done + self.first_pipe;
    const int kept = self.recent_count < 64 ? self.recent_count : 64;
    for (int i = 0; self.launch->check_order && i < kept; ++i) {
        const GlobalAccess& past = self.recent[i];
        const bool late = past.step > done[static_cast<int>(past.pipe)];
        if (late && past.pipe != pipe && (writes || past.writes) && past.first < end &&
            first < past.end) {
            unordered(place, pipe, writes, Space::GM, past.pipe, past.writes, past.line);
        }
    }
    if (pipe == Pipe::S && !writes) return;
    self.recent[self.recent_count++ % 64] = {first, end, self.steps[static_cast<int>(pipe)],
                                             place.line, pipe, writes};
}

// ---- events

inline void set_event(Pipe source, Pipe target, int id, Place place) {
    Core& self = core();
    begin(self, source);
    if (id < 0 || id >= kEvents) {
        fail(place, "event ids are 0 to 7", "event %d of %s to %s", id, name_of(source),
             name_of(target));
    }
    Event& event = self.events[static_cast<int>(source)][static_cast<int>(target)][id];
    if (event.set) {
        fail(place, "every SetFlag has one WaitFlag, with the same event and id",
             "event %d of %s to %s is set again; it was set at line %d and nobody has waited for it",
             id, name_of(source), name_of(target), event.line);
    }
    event.set = true;
    event.line = place.line;
    event.told = self.known[static_cast<int>(source)];
}

inline void wait_event(Pipe source, Pipe target, int id, Place place) {
    Core& self = core();
    begin(self, target);
    if (id < 0 || id >= kEvents) {
        fail(place, "event ids are 0 to 7", "event %d of %s to %s", id, name_of(source),
             name_of(target));
    }
    Event& event = self.events[static_cast<int>(source)][static_cast<int>(target)][id];
    if (!event.set) {
        fail(place, "every WaitFlag has one SetFlag before it, with the same event and id",
             "deadlock: %s waits for event %d of %s, which nothing has set", name_of(target), id,
             name_of(source));
    }
    event.set = false;
    self.known[static_cast<int>(target)].learn(event.told);
}

inline void meet(Core& self) {
    Knowledge all;
    for (const Knowledge& one : self.known) all.learn(one);
    for (Knowledge& one : self.known) one = all;
}

}  // namespace canopy_ascend
