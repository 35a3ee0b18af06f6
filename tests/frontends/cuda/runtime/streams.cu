// Streams: order, concurrency, the default stream; events; functions of the host.
#include "check.h"
#include <atomic>
#include <thread>

static const int LONG = 30000000;
static int* word;  // managed

static void making() {
  cudaStream_t plain = nullptr, free_running = nullptr, urgent = nullptr;
  unsigned int flags = 99;
  int priority = 99;
  unsigned long long first = 0, second = 0;
  OK(cudaStreamCreate(&plain));
  OK(cudaStreamCreateWithFlags(&free_running, cudaStreamNonBlocking));
  OK(cudaStreamCreateWithPriority(&urgent, cudaStreamDefault, -3));
  CHECK(plain && free_running && urgent);
  OK(cudaStreamGetFlags(free_running, &flags));
  CHECK(flags == cudaStreamNonBlocking);
  OK(cudaStreamGetPriority(urgent, &priority));
  CHECK(priority == -3);
  OK(cudaStreamGetId(plain, &first));
  OK(cudaStreamGetId(urgent, &second));
  CHECK(first && second && first != second);
  FAILS(cudaErrorInvalidValue, cudaStreamCreateWithFlags(&plain, 77));
  OK(cudaStreamDestroy(free_running));
  OK(cudaStreamDestroy(urgent));
  FAILS(cudaErrorInvalidResourceHandle, cudaStreamSynchronize(urgent));
  FAILS(cudaErrorInvalidResourceHandle, cudaStreamDestroy(urgent));
  FAILS(cudaErrorInvalidResourceHandle, cudaStreamDestroy(0));
  // Work that was submitted goes on when its stream is destroyed, and is waited for.
  *word = 0;
  add_late<<<1, 1, 0, plain>>>(word, 1, LONG);
  OK(cudaStreamDestroy(plain));
  OK(cudaDeviceSynchronize());
  CHECK(*word == 1);
}

// A host function holds a stream up until it is let go.
static std::atomic<int> gate;
static void wait_at_gate(void* value) {
  while (!gate) std::this_thread::yield();
  *word = *(int*)value;
}
static void set_word(void* value) { *word = *(int*)value; }
static std::atomic<int> calls;
static void on_callback(cudaStream_t, cudaError_t status, void* value) {
  calls += status == cudaSuccess ? *(int*)value : 1000;
  if (cudaStreamSynchronize(0) == cudaErrorNotPermitted) calls += 100;
}

static void order() {
  cudaStream_t a, b;
  int seven = 7, nine = 9;
  OK(cudaStreamCreateWithFlags(&a, cudaStreamNonBlocking));
  OK(cudaStreamCreateWithFlags(&b, cudaStreamNonBlocking));
  *word = 0;
  gate = 0;
  OK(cudaLaunchHostFunc(a, wait_at_gate, &seven));
  add<<<1, 1, 0, a>>>(word, 1, 1);
  CHECK(cudaStreamQuery(a) == cudaErrorNotReady && cudaGetLastError() == cudaSuccess);
  OK(cudaStreamSynchronize(b));
  OK(cudaLaunchHostFunc(b, set_word, &nine));  // b runs while a is held
  OK(cudaStreamSynchronize(b));
  CHECK(*word == 9);
  add<<<1, 1>>>(word, 1, 1);  // so does the default stream: they do not block
  OK(cudaStreamSynchronize(0));
  CHECK(*word == 10);
  gate = 1;
  OK(cudaStreamSynchronize(a));
  CHECK(*word == 8 && cudaStreamQuery(a) == cudaSuccess);
  calls = 0;
  OK(cudaStreamAddCallback(a, on_callback, &nine, 0));
  OK(cudaStreamSynchronize(a));
  CHECK(calls == 109);
  cudaGetLastError();
  FAILS(cudaErrorInvalidValue, cudaStreamAddCallback(a, nullptr, nullptr, 0));
  FAILS(cudaErrorInvalidValue, cudaLaunchHostFunc(a, nullptr, nullptr));
  OK(cudaStreamDestroy(a));
  OK(cudaStreamDestroy(b));
}

// The legacy default stream waits for blocking streams, and they wait for it.
static void default_stream() {
  cudaStream_t a, b;
  OK(cudaStreamCreate(&a));
  OK(cudaStreamCreate(&b));
  *word = 0;
  add_late<<<1, 1, 0, a>>>(word, 1, LONG);
  add<<<1, 1>>>(word, 10, 1);
  add_late<<<1, 1, 0, b>>>(word, 100, LONG);
  OK(cudaThreadSynchronize());
  CHECK(*word == 111);
  add_late<<<1, 1, 0, a>>>(word, 1000, LONG);
  OK(cudaStreamSynchronize(0));
  CHECK(*word == 1111);
  add_late<<<1, 1, 0, a>>>(word, 10000, LONG);
  OK(cudaDeviceSynchronize());
  CHECK(*word == 11111);
  add_late<<<1, 1, 0, cudaStreamPerThread>>>(word, 1, LONG);
  OK(cudaStreamSynchronize(cudaStreamPerThread));
  CHECK(*word == 11112);
  OK(cudaStreamDestroy(a));
  OK(cudaStreamDestroy(b));
}

static void events() {
  cudaStream_t a, b;
  cudaEvent_t start, middle, silent;
  float ms = -1;
  OK(cudaStreamCreateWithFlags(&a, cudaStreamNonBlocking));
  OK(cudaStreamCreateWithFlags(&b, cudaStreamNonBlocking));
  OK(cudaEventCreate(&start));
  OK(cudaEventCreateWithFlags(&middle, cudaEventBlockingSync));
  OK(cudaEventCreateWithFlags(&silent, cudaEventDisableTiming));
  FAILS(cudaErrorInvalidResourceHandle, cudaEventElapsedTime(&ms, start, middle));
  int seven = 7;
  *word = 0;
  gate = 0;
  OK(cudaEventRecord(start, a));
  OK(cudaLaunchHostFunc(a, wait_at_gate, &seven));
  OK(cudaEventRecordWithFlags(middle, a, 0));
  OK(cudaStreamWaitEvent(b, middle, 0));
  add<<<1, 1, 0, b>>>(word, 1, 1);
  CHECK(cudaEventQuery(middle) == cudaErrorNotReady && cudaStreamQuery(b) == cudaErrorNotReady);
  FAILS(cudaErrorInvalidValue, cudaEventRecordWithFlags(middle, a, 5));
  CHECK(cudaEventElapsedTime(&ms, start, middle) == cudaErrorNotReady);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  gate = 1;
  OK(cudaEventSynchronize(middle));
  CHECK(*word == 7 || *word == 8);
  OK(cudaEventQuery(middle));
  OK(cudaEventElapsedTime(&ms, start, middle));
  CHECK(ms >= 19 && ms < 60000);
  OK(cudaStreamSynchronize(b));
  CHECK(*word == 8);
  OK(cudaEventRecord(silent, a));
  OK(cudaEventSynchronize(silent));
  FAILS(cudaErrorInvalidResourceHandle, cudaEventElapsedTime(&ms, start, silent));
  add_late<<<1, 1, 0, a>>>(word, 1, LONG);
  OK(cudaEventRecord(middle, a));
  OK(cudaEventSynchronize(middle));
  CHECK(*word == 9);
  int late = 0;  // who waited for the last event of a stream finds the stream idle
  for (int i = 0; i < 500; i++) {
    OK(cudaEventRecord(silent, a));
    OK(cudaEventSynchronize(silent));
    late += cudaStreamQuery(a) != cudaSuccess;
  }
  CHECK(late == 0);
  OK(cudaEventDestroy(start));
  OK(cudaEventDestroy(middle));
  OK(cudaEventDestroy(silent));
  FAILS(cudaErrorInvalidResourceHandle, cudaEventDestroy(nullptr));
  FAILS(cudaErrorInvalidResourceHandle, cudaEventRecord(nullptr, a));
  OK(cudaStreamDestroy(a));
  OK(cudaStreamDestroy(b));
}

static void many_threads() {
  int* sums;
  OK(cudaMallocManaged(&sums, 4 * sizeof(int)));
  OK(cudaMemset(sums, 0, 4 * sizeof(int)));
  std::thread threads[4];
  for (int t = 0; t < 4; t++)
    threads[t] = std::thread([=] {
      cudaStream_t stream;
      OK(cudaStreamCreate(&stream));
      for (int i = 0; i < 200; i++) {
        add<<<1, 1, 0, stream>>>(sums + t, 1, 1);
        if (i % 50 == 0) add<<<1, 1>>>(sums + t, 1, 1);
      }
      OK(cudaStreamSynchronize(stream));
      OK(cudaStreamDestroy(stream));
    });
  for (auto& thread : threads) thread.join();
  for (int t = 0; t < 4; t++) CHECK(sums[t] == 204);
  OK(cudaFree(sums));
}

static void attributes() {
  cudaStream_t a, b;
  OK(cudaStreamCreateWithPriority(&a, cudaStreamDefault, -2));
  OK(cudaStreamCreate(&b));
  cudaStreamAttrValue wanted = {}, told = {};
  wanted.accessPolicyWindow = {word, 64, 0.5f, cudaAccessPropertyPersisting, cudaAccessPropertyStreaming};
  OK(cudaStreamSetAttribute(a, cudaStreamAttributeAccessPolicyWindow, &wanted));
  OK(cudaStreamCopyAttributes(b, a));
  OK(cudaStreamGetAttribute(b, cudaStreamAttributeAccessPolicyWindow, &told));
  CHECK(told.accessPolicyWindow.base_ptr == word && told.accessPolicyWindow.hitRatio == 0.5f);
  OK(cudaStreamGetAttribute(b, cudaStreamAttributeSynchronizationPolicy, &told));
  CHECK(told.syncPolicy == cudaSyncPolicyAuto);
  OK(cudaStreamGetAttribute(a, cudaStreamAttributePriority, &told));
  CHECK(told.priority == -2);
  FAILS(cudaErrorInvalidValue, cudaStreamSetAttribute(a, cudaLaunchAttributeCooperative, &wanted));
  OK(cudaStreamDestroy(a));
  OK(cudaStreamDestroy(b));
}

int main() {
  OK(cudaMallocManaged(&word, 64));
  making();
  order();
  default_stream();
  events();
  many_threads();
  attributes();
  printf("PASS\n");
}
