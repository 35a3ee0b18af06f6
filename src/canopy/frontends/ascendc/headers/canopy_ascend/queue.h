// TPipe, TQue and TBuf: who has which piece of on-chip memory, and in which order pipes see it.
#pragma once

#include "tensor.h"

namespace canopy_ascend {

// The pipe that fills the tensors of a queue between two positions, and the one that uses them.
constexpr Pipe producer_of(TPosition source) {
    switch (source) {
        case TPosition::VECIN: case TPosition::A1: case TPosition::B1: case TPosition::C1:
        case TPosition::TSCM: case TPosition::GM: return Pipe::MTE2;
        case TPosition::A2: case TPosition::B2: case TPosition::C2: return Pipe::MTE1;
        case TPosition::C2PIPE2GM: return Pipe::MTE1;
        case TPosition::CO1: return Pipe::M;
        default: return Pipe::V;
    }
}

constexpr Pipe consumer_of(TPosition target) {
    switch (target) {
        case TPosition::VECOUT: return Pipe::MTE3;
        case TPosition::A1: case TPosition::B1: case TPosition::C1: case TPosition::TSCM:
            return Pipe::MTE1;
        case TPosition::A2: case TPosition::B2: case TPosition::C2: return Pipe::M;
        case TPosition::CO1: case TPosition::C2PIPE2GM: return Pipe::FIX;
        default: return Pipe::V;
    }
}

inline uint32_t give_out(Core& self, Space space, uint64_t bytes, Place place) {
    check_core(self, space, place);
    Memory& memory = self.memory[static_cast<int>(space)];
    const uint64_t end = memory.used + rounded_up(bytes, kBlock);
    if (end > memory.size) {
        fail(place, "use smaller tiles or fewer buffers",
             "%s has %u bytes, and this buffer would end at byte %llu", name_of(space), memory.size,
             (unsigned long long)end);
    }
    const uint32_t first = memory.used;
    memory.used = static_cast<uint32_t>(end);
    return first;
}

inline Queue& make_queue(Core& self, Space space, int number, uint64_t bytes, int depth, Place place) {
    if (self.queue_count == kQueues || number < 1 || number > kSlots) {
        fail(place, "a kernel has at most 64 queues of 1 to 16 buffers", "%d buffers", number);
    }
    Queue& queue = self.queues[self.queue_count++];
    queue = Queue();
    queue.space = space;
    queue.depth = depth < 1 ? 1 : depth;
    queue.count = number;
    queue.bytes = static_cast<uint32_t>(rounded_up(bytes, kBlock));
    queue.first = give_out(self, space, static_cast<uint64_t>(queue.bytes) * number, place);
    queue.line = place.line;
    return queue;
}

// What lies in a slot belongs to an earlier use: nobody may rely on it.
inline void forget(Core& self, Space space, uint32_t first, uint32_t bytes) {
    memset(self.memory[static_cast<int>(space)].written + first, 0, bytes);
}

inline int allocate(Core& self, Queue& queue, Place place) {
    if (stopped) leave();
    for (int i = 0; i < queue.count; ++i) {
        const int number = (queue.next + i) % queue.count;
        Slot& slot = queue.slots[number];
        if (slot.state != SlotState::FREE) continue;
        queue.next = (number + 1) % queue.count;
        slot.state = SlotState::ALLOCATED;
        slot.line = place.line;
        self.known[static_cast<int>(queue.producer)].learn(slot.freed);
        forget(self, queue.space, queue.first + number * queue.bytes, queue.bytes);
        return number;
    }
    fail(place, "call FreeTensor when a tensor is no longer used, or give InitBuffer more buffers",
         "deadlock: all %d buffers of the queue are in use, the first since line %d", queue.count,
         queue.slots[queue.next].line);
}

inline Slot& slot_of(Core& self, int queue_number, const Region& region, const char* call, Place place) {
    if (stopped) leave();
    if (queue_number < 0) fail(place, "call InitBuffer first", "the queue has no buffers");
    if (region.queue != queue_number || region.slot < 0) {
        fail(place, "a queue takes and frees the tensors that its AllocTensor gave",
             "%s gets a tensor that is not of this queue", call);
    }
    return self.queues[queue_number].slots[region.slot];
}

inline void enqueue(Core& self, int number, const Region& region, Place place) {
    Slot& slot = slot_of(self, number, region, "EnQue", place);
    Queue& queue = self.queues[number];
    if (slot.state == SlotState::QUEUED || slot.state == SlotState::FREE) {
        fail(place, "AllocTensor, EnQue, DeQue, FreeTensor is the order",
             "EnQue gets a tensor that is %s",
             slot.state == SlotState::FREE ? "freed" : "in the queue already");
    }
    if (queue.queued >= (queue.depth > queue.count ? queue.depth : queue.count)) {
        fail(place, "DeQue first, or make the queue deeper", "the queue is full: its depth is %d",
             queue.depth);
    }
    slot.state = SlotState::QUEUED;
    slot.line = place.line;
    slot.filled = self.known[static_cast<int>(queue.producer)];
    queue.waiting[queue.queued++] = region.slot;
}

inline int dequeue(Core& self, int number, Place place) {
    if (stopped) leave();
    if (number < 0) fail(place, "call InitBuffer first", "the queue has no buffers");
    Queue& queue = self.queues[number];
    if (!queue.queued) {
        fail(place, "AllocTensor, EnQue, DeQue, FreeTensor is the order",
             "deadlock: DeQue of an empty queue");
    }
    const int found = queue.waiting[0];
    --queue.queued;
    memmove(queue.waiting, queue.waiting + 1, queue.queued * sizeof(int));
    Slot& slot = queue.slots[found];
    slot.state = SlotState::TAKEN;
    slot.line = place.line;
    self.known[static_cast<int>(queue.consumer)].learn(slot.filled);
    return found;
}

inline void release(Core& self, int number, const Region& region, Place place) {
    Slot& slot = slot_of(self, number, region, "FreeTensor", place);
    Queue& queue = self.queues[number];
    if (slot.state == SlotState::FREE || slot.state == SlotState::QUEUED) {
        fail(place, "AllocTensor, EnQue, DeQue, FreeTensor is the order",
             "FreeTensor gets a tensor that is %s",
             slot.state == SlotState::FREE ? "freed already" : "still in the queue");
    }
    slot.state = SlotState::FREE;
    slot.freed = self.known[static_cast<int>(queue.consumer)];
    forget(self, queue.space, queue.first + region.slot * queue.bytes, queue.bytes);
}

inline const char* state_name(SlotState state) {
    switch (state) {
        case SlotState::ALLOCATED: return "allocated";
        case SlotState::QUEUED: return "enqueued";
        case SlotState::TAKEN: return "dequeued";
        default: return "freed";
    }
}

// The end of a kernel: everything was given back, and every event was waited for.
inline void check_end(Core& self, const char* file) {
    for (int i = 0; i < self.queue_count; ++i) {
        const Queue& queue = self.queues[i];
        for (int s = 0; s < queue.count; ++s) {
            const Slot& slot = queue.slots[s];
            if (slot.state == SlotState::FREE) continue;
            const bool queued = slot.state == SlotState::QUEUED;
            fail({file, slot.line}, queued ? "DeQue it" : "call FreeTensor",
                 "the kernel ends, and a tensor that was %s here was never %s",
                 state_name(slot.state), queued ? "taken" : "freed");
        }
    }
    for (int s = 0; s < kPipes; ++s) {
        for (int t = 0; t < kPipes; ++t) {
            for (const Event& event : self.events[s][t]) {
                if (!event.set) continue;
                fail({file, event.line}, "every SetFlag has one WaitFlag",
                     "%s sets an event here that %s never waits for", name_of(static_cast<Pipe>(s)),
                     name_of(static_cast<Pipe>(t)));
            }
        }
    }
    if (self.atomic != Atomic::NONE) {
        fail({file, 0}, "call SetAtomicNone()", "the kernel ends with atomic copies switched on");
    }
}

}  // namespace canopy_ascend

namespace AscendC {

using TEventID = int8_t;

template <TPosition source, TPosition target, int32_t depth, auto mask = 0>
class TQueBind {
public:
    template <typename T>
    LocalTensor<T> AllocTensor(Place place = Place::Here()) {
        using namespace canopy_ascend;
        if (number_ < 0) fail(place, "call InitBuffer first", "the queue has no buffers");
        return tensor<T>(allocate(core(), queue(), place));
    }
    template <typename T>
    void AllocTensor(LocalTensor<T>& tensor, Place place = Place::Here()) {
        tensor = AllocTensor<T>(place);
    }
    template <typename T>
    bool EnQue(const LocalTensor<T>& tensor, Place place = Place::Here()) {
        canopy_ascend::enqueue(canopy_ascend::core(), number_, tensor.region(), place);
        return true;
    }
    template <TPosition from, TPosition to, typename T>
    bool EnQue(const LocalTensor<T>& tensor, Place place = Place::Here()) { return EnQue(tensor, place); }
    template <typename T>
    LocalTensor<T> DeQue(Place place = Place::Here()) {
        return tensor<T>(canopy_ascend::dequeue(canopy_ascend::core(), number_, place));
    }
    template <TPosition from, TPosition to, typename T>
    LocalTensor<T> DeQue(Place place = Place::Here()) { return DeQue<T>(place); }
    template <typename T>
    void DeQue(LocalTensor<T>& tensor, Place place = Place::Here()) { tensor = DeQue<T>(place); }
    template <typename T>
    void FreeTensor(const LocalTensor<T>& tensor, Place place = Place::Here()) {
        canopy_ascend::release(canopy_ascend::core(), number_, tensor.region(), place);
    }
    bool VacantInQue() const { return queue().queued < queue().count; }
    bool HasTensorInQue() const { return queue().queued > 0; }
    int32_t GetTensorCountInQue() const { return queue().queued; }
    bool HasIdleBuffer() const {
        for (int i = 0; i < queue().count; ++i) {
            if (queue().slots[i].state == canopy_ascend::SlotState::FREE) return true;
        }
        return false;
    }
    void FreeAllEvent() {}

    void init(int buffers, uint64_t bytes, Place place) {
        using namespace canopy_ascend;
        Core& self = core();
        constexpr Space space = space_of(source == TPosition::GM ? target : source);
        Queue& made = make_queue(self, space, buffers, bytes, depth, place);
        made.producer = producer_of(source);
        made.consumer = consumer_of(target);
        number_ = self.queue_count - 1;
    }

private:
    canopy_ascend::Queue& queue() const { return canopy_ascend::core().queues[number_]; }

    template <typename T>
    LocalTensor<T> tensor(int slot) const {
        const canopy_ascend::Queue& from = queue();
        canopy_ascend::Region region;
        region.space = from.space;
        region.position = source == TPosition::GM ? target : source;
        region.first = from.first + slot * from.bytes;
        region.byte = region.first;
        region.end = region.first + from.bytes;
        region.queue = static_cast<int16_t>(number_);
        region.slot = static_cast<int16_t>(slot);
        return LocalTensor<T>(region, from.bytes / sizeof(T));
    }

    int number_ = -1;
};

template <TPosition position, int32_t depth, auto mask = 0>
class TQue : public TQueBind<position, position, depth, mask> {};

template <TPosition position = TPosition::VECCALC>
class TBuf {
public:
    template <typename T>
    LocalTensor<T> Get(Place place = Place::Here()) const {
        return GetWithOffset<T>((end_ - first_) / sizeof(T), 0, place);
    }
    template <typename T>
    LocalTensor<T> Get(uint32_t elements, Place place = Place::Here()) const {
        return GetWithOffset<T>(elements, 0, place);
    }
    template <typename T>
    LocalTensor<T> GetWithOffset(uint32_t elements, uint32_t byte_offset, Place place = Place::Here()) const {
        using namespace canopy_ascend;
        if (first_ == end_) fail(place, "call InitBuffer first", "the TBuf has no memory");
        Region region;
        region.space = space_of(position);
        region.position = position;
        region.byte = region.first = first_ + byte_offset;
        region.end = region.first + elements * sizeof(T);
        if (region.end > end_) {
            fail(place, "the length is wrong, or InitBuffer gives too little",
                 "bytes %u to %u of a TBuf that has %u", byte_offset,
                 byte_offset + (unsigned)(elements * sizeof(T)), end_ - first_);
        }
        return LocalTensor<T>(region, elements);
    }
    template <typename T>
    void EnQue(const LocalTensor<T>&) {}
    template <typename T>
    LocalTensor<T> DeQue(Place place = Place::Here()) { return Get<T>(place); }
    template <typename T>
    void FreeTensor(const LocalTensor<T>&) {}

    void init(uint64_t bytes, Place place) {
        using namespace canopy_ascend;
        first_ = give_out(core(), space_of(position), bytes, place);
        end_ = first_ + static_cast<uint32_t>(rounded_up(bytes, kBlock));
    }

private:
    uint32_t first_ = 0, end_ = 0;
};

enum class HardEvent : uint8_t {
#define CANOPY_EVENT(a, b) a##_##b = (uint8_t(canopy_ascend::Pipe::a) << 4) | uint8_t(canopy_ascend::Pipe::b)
#define CANOPY_EVENTS(a)                                                                       \
    CANOPY_EVENT(a, S), CANOPY_EVENT(a, V), CANOPY_EVENT(a, M), CANOPY_EVENT(a, MTE1),          \
    CANOPY_EVENT(a, MTE2), CANOPY_EVENT(a, MTE3), CANOPY_EVENT(a, FIX)
    CANOPY_EVENTS(S), CANOPY_EVENTS(V), CANOPY_EVENTS(M), CANOPY_EVENTS(MTE1), CANOPY_EVENTS(MTE2),
    CANOPY_EVENTS(MTE3), CANOPY_EVENTS(FIX)
#undef CANOPY_EVENTS
#undef CANOPY_EVENT
};

class TPipe {
public:
    TPipe() { canopy_ascend::core().pipe = this; }
    void Init() {}
    void Destroy() { Reset(); }
    void Reset() {
        for (canopy_ascend::Memory& memory : canopy_ascend::core().memory) memory.used = 0;
    }

    template <TPosition source, TPosition target, int32_t depth, auto mask>
    bool InitBuffer(TQueBind<source, target, depth, mask>& queue, uint8_t buffers, uint32_t bytes,
                    Place place = Place::Here()) {
        queue.init(buffers, bytes, place);
        return true;
    }
    template <TPosition position>
    bool InitBuffer(TBuf<position>& buffer, uint32_t bytes, Place place = Place::Here()) {
        buffer.init(bytes, place);
        return true;
    }

    template <HardEvent event>
    TEventID AllocEventID(Place place = Place::Here()) { return take(event, true, place); }
    template <HardEvent event>
    void ReleaseEventID(TEventID id) { reserved(event) &= ~(1u << id); }
    TEventID FetchEventID(HardEvent event, Place place = Place::Here()) { return take(event, false, place); }
    template <HardEvent event>
    TEventID FetchEventID(Place place = Place::Here()) { return take(event, false, place); }

private:
    static uint8_t& reserved(HardEvent event) {
        const int pair = static_cast<int>(event);
        return canopy_ascend::core().reserved_events[pair >> 4][pair & 15];
    }
    static TEventID take(HardEvent event, bool keeps, Place place) {
        for (int id = 0; id < canopy_ascend::kEvents; ++id) {
            if (reserved(event) >> id & 1) continue;
            if (keeps) reserved(event) |= 1u << id;
            return static_cast<TEventID>(id);
        }
        canopy_ascend::fail(place, "call ReleaseEventID", "all 8 events of this pair of pipes are taken");
    }
};

inline TPipe* GetTPipePtr() { return static_cast<TPipe*>(canopy_ascend::core().pipe); }

}  // namespace AscendC
