// cuda::barrier, latch, semaphores and pipelines. A copy is done when memcpy_async returns; so only
// threads are waited for. A scope is a promise of the program. Written for Canopy.
#pragma once
#include <cstddef>
#include <utility>

#include "cuda/atomic"

namespace cuda {

#define CANOPY_SYNC __attribute__((host, device)) inline

namespace canopy_sync {
using count_t = unsigned int;
CANOPY_SYNC count_t read(const count_t& place) { return __atomic_load_n(&place, __ATOMIC_SEQ_CST); }
CANOPY_SYNC void write(count_t& place, count_t value) { __atomic_store_n(&place, value, __ATOMIC_SEQ_CST); }
CANOPY_SYNC count_t less(count_t& place, count_t by) { return __atomic_fetch_sub(&place, by, __ATOMIC_SEQ_CST); }
CANOPY_SYNC count_t more(count_t& place, count_t by) { return __atomic_fetch_add(&place, by, __ATOMIC_SEQ_CST); }
struct nothing {
  CANOPY_SYNC void operator()() noexcept {}
};
}  // namespace canopy_sync

// The phase counts up; its lowest bit is the parity.
template <thread_scope scope = thread_scope_system, class Completion = canopy_sync::nothing>
class barrier {
  using count_t = canopy_sync::count_t;

 public:
  using arrival_token = count_t;
  barrier() = default;
  barrier(const barrier&) = delete;
  barrier& operator=(const barrier&) = delete;
  CANOPY_SYNC explicit barrier(::std::ptrdiff_t expected, Completion completion = Completion())
      : expected_((count_t)expected), pending_((count_t)expected), phase_(0), completion_(completion) {}
  CANOPY_SYNC friend void init(barrier* at, ::std::ptrdiff_t expected) { at->start(expected, Completion()); }
  CANOPY_SYNC friend void init(barrier* at, ::std::ptrdiff_t expected, Completion completion) {
    at->start(expected, completion);
  }
  [[nodiscard]] CANOPY_SYNC arrival_token arrive(::std::ptrdiff_t update = 1) {
    count_t token = canopy_sync::read(phase_), n = (count_t)update;
    if (canopy_sync::less(pending_, n) == n) {
      completion_();
      canopy_sync::write(pending_, canopy_sync::read(expected_));
      canopy_sync::write(phase_, token + 1);
    }
    return token;
  }
  CANOPY_SYNC void wait(arrival_token&& token) const { until_past(token); }
  CANOPY_SYNC void wait(const arrival_token& token) const { until_past(token); }
  CANOPY_SYNC void wait_parity(bool parity) const {
    while ((canopy_sync::read(phase_) & 1u) == (count_t)parity) {}
  }
  CANOPY_SYNC bool try_wait(arrival_token& token) const { return canopy_sync::read(phase_) != token; }
  CANOPY_SYNC bool try_wait_parity(bool parity) const {
    return (canopy_sync::read(phase_) & 1u) != (count_t)parity;
  }
  CANOPY_SYNC void arrive_and_wait() { until_past(arrive()); }
  CANOPY_SYNC void arrive_and_drop() {
    canopy_sync::less(expected_, 1);
    (void)arrive();
  }
  static constexpr CANOPY_SYNC ::std::ptrdiff_t max() noexcept { return (1 << 20) - 1; }

 private:
  CANOPY_SYNC void start(::std::ptrdiff_t expected, Completion completion) {
    expected_ = pending_ = (count_t)expected;
    phase_ = 0;
    completion_ = completion;
  }
  CANOPY_SYNC void until_past(count_t token) const {
    while (canopy_sync::read(phase_) == token) {}
  }
  count_t expected_, pending_, phase_;
  Completion completion_;
};

template <thread_scope scope = thread_scope_system>
class latch {
 public:
  latch() = default;
  CANOPY_SYNC explicit latch(::std::ptrdiff_t expected) : pending_((canopy_sync::count_t)expected) {}
  CANOPY_SYNC friend void init(latch* at, ::std::ptrdiff_t expected) {
    at->pending_ = (canopy_sync::count_t)expected;
  }
  CANOPY_SYNC void count_down(::std::ptrdiff_t update = 1) {
    canopy_sync::less(pending_, (canopy_sync::count_t)update);
  }
  CANOPY_SYNC bool try_wait() const noexcept { return canopy_sync::read(pending_) == 0; }
  CANOPY_SYNC void wait() const {
    while (canopy_sync::read(pending_) != 0) {}
  }
  CANOPY_SYNC void arrive_and_wait(::std::ptrdiff_t update = 1) {
    count_down(update);
    wait();
  }

 private:
  canopy_sync::count_t pending_;
};

template <thread_scope scope = thread_scope_system, ::std::ptrdiff_t Most = 0x7fffffff>
class counting_semaphore {
 public:
  counting_semaphore() = default;
  CANOPY_SYNC explicit counting_semaphore(::std::ptrdiff_t count) : count_((int)count) {}
  CANOPY_SYNC friend void init(counting_semaphore* at, ::std::ptrdiff_t count) { at->count_ = (int)count; }
  CANOPY_SYNC void release(::std::ptrdiff_t update = 1) { __atomic_fetch_add(&count_, (int)update, __ATOMIC_SEQ_CST); }
  CANOPY_SYNC bool try_acquire() {
    int seen = __atomic_load_n(&count_, __ATOMIC_SEQ_CST);
    return seen > 0 && __atomic_compare_exchange_n(&count_, &seen, seen - 1, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
  }
  CANOPY_SYNC void acquire() {
    while (!try_acquire()) {}
  }
  static constexpr CANOPY_SYNC ::std::ptrdiff_t max() noexcept { return Most; }

 private:
  int count_;
};
template <thread_scope scope = thread_scope_system>
using binary_semaphore = counting_semaphore<scope, 1>;

template <::std::size_t Alignment>
struct aligned_size_t {
  static constexpr ::std::size_t align = Alignment;
  ::std::size_t value;
  CANOPY_SYNC constexpr explicit aligned_size_t(::std::size_t bytes) : value(bytes) {}
  CANOPY_SYNC constexpr operator ::std::size_t() const { return value; }
};

enum class pipeline_role { producer, consumer };

template <thread_scope scope, unsigned char Stages>
class pipeline_shared_state {
 public:
  pipeline_shared_state() = default;
  barrier<scope> produced[Stages], consumed[Stages];
  canopy_sync::count_t producers, consumers;
};

// A ring of stages: producers wait for the consumers of the last round, consumers for the producers
// of this one. One thread's own pipeline has nothing to wait for.
template <thread_scope scope>
class pipeline {
 public:
  CANOPY_SYNC void producer_acquire() {
    if (stages_) consumed_[head_].wait_parity(round_of_head_);
  }
  CANOPY_SYNC void producer_commit() {
    if (!stages_) return;
    (void)produced_[head_].arrive();
    if (++head_ == stages_) head_ = 0, round_of_head_ = !round_of_head_;
  }
  CANOPY_SYNC void consumer_wait() {
    if (stages_) produced_[tail_].wait_parity(round_of_tail_);
  }
  CANOPY_SYNC void consumer_release() {
    if (!stages_) return;
    (void)consumed_[tail_].arrive();
    if (++tail_ == stages_) tail_ = 0, round_of_tail_ = !round_of_tail_;
  }
  CANOPY_SYNC bool quit() { return true; }

  CANOPY_SYNC pipeline() {}
  CANOPY_SYNC pipeline(barrier<scope>* produced, barrier<scope>* consumed, unsigned int stages)
      : produced_(produced), consumed_(consumed), stages_(stages) {}

 private:
  barrier<scope>*produced_ = nullptr, *consumed_ = nullptr;
  unsigned int stages_ = 0, head_ = 0, tail_ = 0;
  bool round_of_head_ = true, round_of_tail_ = false;
};

CANOPY_SYNC pipeline<thread_scope_thread> make_pipeline() { return {}; }

namespace canopy_sync {
template <class Group, thread_scope scope, unsigned char Stages>
__attribute__((device)) inline pipeline<scope> started(const Group& group, pipeline_shared_state<scope, Stages>* state,
                                                       count_t producers, count_t consumers) {
  if (group.thread_rank() == 0)
    for (int stage = 0; stage < Stages; stage++) {
      init(&state->produced[stage], producers);
      init(&state->consumed[stage], consumers);
    }
  group.sync();
  return {state->produced, state->consumed, Stages};
}
}  // namespace canopy_sync

template <class Group, thread_scope scope, unsigned char Stages>
__attribute__((device)) inline pipeline<scope> make_pipeline(const Group& group,
                                                             pipeline_shared_state<scope, Stages>* state) {
  return canopy_sync::started(group, state, group.size(), group.size());
}
template <class Group, thread_scope scope, unsigned char Stages>
__attribute__((device)) inline pipeline<scope> make_pipeline(const Group& group,
                                                             pipeline_shared_state<scope, Stages>* state,
                                                             ::std::size_t producers) {
  return canopy_sync::started(group, state, producers, group.size() - producers);
}
template <class Group, thread_scope scope, unsigned char Stages>
__attribute__((device)) inline pipeline<scope> make_pipeline(const Group& group,
                                                             pipeline_shared_state<scope, Stages>* state,
                                                             pipeline_role role) {
  if (group.thread_rank() == 0) state->producers = 0;
  group.sync();
  if (role == pipeline_role::producer) canopy_sync::more(state->producers, 1);
  group.sync();
  canopy_sync::count_t producers = canopy_sync::read(state->producers);
  return canopy_sync::started(group, state, producers, group.size() - producers);
}

template <unsigned char Prior>
CANOPY_SYNC void pipeline_consumer_wait_prior(pipeline<thread_scope_thread>&) {}

// What a copy may be bound to.
namespace canopy_sync {
template <class T> struct is_synchronisation { static constexpr bool value = false; };
template <thread_scope s, class C> struct is_synchronisation<barrier<s, C>> { static constexpr bool value = true; };
template <thread_scope s> struct is_synchronisation<pipeline<s>> { static constexpr bool value = true; };
template <class Sync> using result = typename ::std::enable_if<is_synchronisation<Sync>::value>::type;

template <class Word>
CANOPY_SYNC bool copied_by(void* target, const void* source, ::std::size_t bytes) {
  if (bytes != sizeof(Word) || ((size_t)target | (size_t)source) % sizeof(Word)) return false;
  *(Word*)target = *(const Word*)source;
  return true;
}
CANOPY_SYNC void copy(void* target, const void* source, ::std::size_t bytes) {
  if (copied_by<int>(target, source, bytes) || copied_by<int2>(target, source, bytes)) return;
  if (copied_by<int4>(target, source, bytes)) return;
  for (::std::size_t at = 0; at < bytes; at++) ((char*)target)[at] = ((const char*)source)[at];
}
template <class Group>
__attribute__((device)) inline void copy(const Group& group, void* target, const void* source, ::std::size_t bytes) {
  ::std::size_t step = ((size_t)target | (size_t)source | bytes) % 4 ? 1 : 4;
  for (::std::size_t at = group.thread_rank() * step; at < bytes; at += group.size() * step) {
    if (step == 4) *(int*)((char*)target + at) = *(const int*)((const char*)source + at);
    else ((char*)target)[at] = ((const char*)source)[at];
  }
}
}  // namespace canopy_sync

template <class Sync>
CANOPY_SYNC canopy_sync::result<Sync> memcpy_async(void* target, const void* source, ::std::size_t bytes, Sync&) {
  canopy_sync::copy(target, source, bytes);
}
template <class Group, class Sync>
__attribute__((device)) inline canopy_sync::result<Sync> memcpy_async(const Group& group, void* target,
                                                                      const void* source, ::std::size_t bytes, Sync&) {
  canopy_sync::copy(group, target, source, bytes);
}
#undef CANOPY_SYNC
}  // namespace cuda
