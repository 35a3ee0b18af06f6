// options: -default-stream per-thread
// Stream 0 is the thread's own: it does not wait for other threads' work, nor for non-blocking streams.
#include "check.h"
#include <atomic>
#include <thread>

__constant__ int table[4];
__global__ void read(int* p) { *p = table[3]; }
static std::atomic<int> gate;
static int* word;  // managed
static void wait_at_gate(void*) {
  while (!gate) std::this_thread::yield();
  word[0] += 1;
}
static void on_callback(cudaStream_t, cudaError_t, void* p) { ++*(int*)p; }

static cudaStreamCaptureStatus status() {
  cudaStreamCaptureStatus found = cudaStreamCaptureStatusInvalidated;
  OK(cudaStreamIsCapturing(0, &found));
  return found;
}

// Work of stream 0 is held up; whatever is submitted to it must come behind that.
template <class Work> static void in_order(Work work) {
  gate = 0;
  OK(cudaLaunchHostFunc(0, wait_at_gate, nullptr));
  std::thread opener([] {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    gate = 1;
  });
  work();
  opener.join();
}
template <class Work> static void later(Work work) {
  in_order([&] {
    work();
    CHECK(cudaStreamQuery(0) == cudaErrorNotReady || gate);
    OK(cudaStreamSynchronize(0));
    CHECK(gate == 1);
  });
}
template <class Work> static void at_once(Work work) {
  in_order([&] {
    work();
    CHECK(gate == 1);
  });
}

static void threads() {
  gate = 0;
  word[0] = 0;
  OK(cudaLaunchHostFunc(0, wait_at_gate, nullptr));
  add<<<1, 1>>>(word, 10, 1);
  CHECK(cudaStreamQuery(0) == cudaErrorNotReady);
  std::thread other([] {  // would hang if its stream 0 were the same
    add<<<1, 1>>>(word + 1, 5, 1);
    OK(cudaStreamSynchronize(0));
    CHECK(word[1] == 5);
    gate = 1;
  });
  other.join();
  OK(cudaStreamSynchronize(0));
  CHECK(word[0] == 11);
}

int main() {
  OK(cudaMallocManaged(&word, 4096));
  memset(word, 0, 4096);
  threads();
  int *pinned, *device, values[4] = {1, 2, 3, 4}, calls = 0, priority = 99;
  OK(cudaMallocHost(&pinned, 4096));
  OK(cudaMalloc(&device, 4096));
  later([&] { OK(cudaMemcpyAsync(word + 8, pinned, 16, cudaMemcpyDefault)); });
  pinned[0] = 42;
  later([&] { OK(cudaMemcpyAsync(word + 8, pinned, 16, cudaMemcpyDefault, 0)); });
  CHECK(word[8] == 42);
  pinned[0] = 43;
  later([&] { OK(cudaMemcpy2DAsync(word + 8, 4, pinned, 4, 4, 1, cudaMemcpyDefault)); });
  CHECK(word[8] == 43);
  later([&] { OK(cudaMemsetAsync(word + 8, 1, 4)); });
  CHECK(word[8] == 0x01010101);
  later([&] { OK(cudaMemset2DAsync(word + 8, 4, 2, 4, 1)); });
  CHECK(word[8] == 0x02020202);
  cudaPitchedPtr place = make_cudaPitchedPtr(word + 8, 4, 4, 1);
  later([&] { OK(cudaMemset3DAsync(place, 3, make_cudaExtent(4, 1, 1))); });
  CHECK(word[8] == 0x03030303);
  cudaMemcpy3DParms copy = {};
  copy.srcPtr = place;
  copy.dstPtr = make_cudaPitchedPtr(word + 9, 4, 4, 1);
  copy.extent = make_cudaExtent(4, 1, 1);
  copy.kind = cudaMemcpyDefault;
  later([&] { OK(cudaMemcpy3DAsync(&copy)); });
  CHECK(word[9] == 0x03030303);
  later([&] { OK(cudaMemcpyToSymbolAsync(table, values, 16, 0, cudaMemcpyHostToDevice)); });
  read<<<1, 1>>>(word + 10);
  OK(cudaStreamSynchronize(0));
  CHECK(word[10] == 4);
  later([&] { OK(cudaMemcpyFromSymbolAsync(pinned, table, 16, 0, cudaMemcpyDeviceToHost)); });
  CHECK(pinned[2] == 3);
  later([&] { OK(cudaStreamAddCallback(0, on_callback, &calls)); });
  CHECK(calls == 1);
  int* p = word + 11;
  int one = 1, n = 1;
  void* args[] = {&p, &one, &n};
  later([&] { OK(cudaLaunchKernel(add<int>, dim3(1), dim3(1), args)); });
  later([&] { OK(cudaLaunchCooperativeKernel(add<int>, dim3(1), dim3(1), args)); });
  cudaLaunchConfig_t config = {dim3(1), dim3(1), 0, 0, nullptr, 0};
  later([&] { OK(cudaLaunchKernelExC(&config, add<int>, args)); });
  CHECK(word[11] == 3);

  // These wait.
  at_once([&] { OK(cudaMemcpy(word + 8, values, 16, cudaMemcpyDefault)); });
  CHECK(word[8] == 1);
  at_once([&] { OK(cudaMemcpy2D(word + 8, 8, values + 1, 4, 4, 2, cudaMemcpyDefault)); });
  CHECK(word[10] == 3);
  copy.srcPtr.ptr = values;
  at_once([&] { OK(cudaMemcpy3D(&copy)); });
  CHECK(word[9] == 1);
  at_once([&] { OK(cudaMemset(word + 8, 1, 4)); });
  at_once([&] { OK(cudaMemset2D(word + 9, 4, 2, 4, 1)); });
  place.ptr = word + 10;
  at_once([&] { OK(cudaMemset3D(place, 3, make_cudaExtent(4, 1, 1))); });
  CHECK(word[8] == 0x01010101 && word[9] == 0x02020202 && word[10] == 0x03030303);
  values[3] = 70;
  at_once([&] { OK(cudaMemcpyToSymbol(table, values, 16)); });
  values[3] = 0;
  at_once([&] { OK(cudaMemcpyFromSymbol(values, table, 16)); });
  CHECK(values[3] == 70);

  // Events, capture and memory of stream 0.
  cudaEvent_t event, second;
  cudaStream_t stream;
  OK(cudaEventCreate(&event));
  OK(cudaEventCreate(&second));
  OK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  in_order([&] {
    OK(cudaEventRecord(event));
    OK(cudaEventRecordWithFlags(second));
    CHECK(gate || (cudaEventQuery(event) == cudaErrorNotReady && cudaEventQuery(second) == cudaErrorNotReady));
    OK(cudaEventSynchronize(event));
    CHECK(gate == 1);
  });
  add_late<<<1, 1, 0, stream>>>(word + 12, 1, 30000000);
  OK(cudaEventRecord(event, stream));
  OK(cudaStreamWaitEvent(0, event));
  OK(cudaStreamSynchronize(0));
  CHECK(word[12] == 1);
  unsigned int flags = 99;
  unsigned long long id = 0, other = 0;
  OK(cudaStreamGetFlags(0, &flags));
  OK(cudaStreamGetPriority(0, &priority));
  OK(cudaStreamGetId(0, &id));
  OK(cudaStreamGetId(stream, &other));
  CHECK(flags == cudaStreamDefault && priority == 0 && id > 2 && id != other);
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec;
  cudaStreamCaptureStatus found = cudaStreamCaptureStatusNone;
  CHECK(status() == cudaStreamCaptureStatusNone);
  OK(cudaStreamBeginCapture(0, cudaStreamCaptureModeGlobal));
  CHECK(status() == cudaStreamCaptureStatusActive);
  OK(cudaStreamGetCaptureInfo(0, &found));
  CHECK(found == cudaStreamCaptureStatusActive);
  add<<<1, 1>>>(word + 12, 10, 1);
  OK(cudaStreamEndCapture(0, &graph));
  CHECK(graph && status() == cudaStreamCaptureStatusNone && word[12] == 1);
  OK(cudaGraphInstantiate(&exec, graph, 0));
  OK(cudaGraphUpload(exec, 0));
  FAILS(cudaErrorInvalidValue, cudaGraphUpload(nullptr, 0));
  later([&] { OK(cudaGraphLaunch(exec, 0)); });
  CHECK(word[12] == 11);
  int *a = nullptr, *b = nullptr;
  cudaMemPool_t pool;
  OK(cudaDeviceGetDefaultMemPool(&pool, 0));
  OK(cudaMallocAsync(&a, 4096, (cudaStream_t)0));
  OK(cudaMallocFromPoolAsync(&b, 4096, pool, 0));
  OK(cudaMemset(a, 0, 4096));
  OK(cudaMemset(b, 0, 4096));
  later([&] {
    OK(cudaFreeAsync(a, 0));
    OK(cudaFreeAsync(b, 0));
  });
  FAILS(cudaErrorInvalidValue, cudaFreeAsync(a, 0));
  OK(cudaMemPrefetchAsync(word, 4096, 0));
  FAILS(cudaErrorInvalidValue, cudaMemPrefetchAsync(word, 8192, 0));
  OK(cudaStreamAttachMemAsync(0, word));
  FAILS(cudaErrorInvalidValue, cudaStreamAttachMemAsync(0, values, 4, cudaMemAttachSingle));
  printf("PASS\n");
}
