// Graphs: captured, built of nodes, changed, and run again.
#include "check.h"
#include <unistd.h>

static int* data;  // managed
__global__ void scale(int* p, int factor) { p[threadIdx.x] *= factor; }
static void count_up(void* p) { ++*(int*)p; }

static cudaGraphNodeType type_of(cudaGraphNode_t node) {
  cudaGraphNodeType type = (cudaGraphNodeType)99;
  OK(cudaGraphNodeGetType(node, &type));
  return type;
}

static void run(cudaGraphExec_t exec, cudaStream_t stream) {
  OK(cudaGraphUpload(exec, stream));
  OK(cudaGraphLaunch(exec, stream));
  OK(cudaStreamSynchronize(stream));
}

static void captured() {
  cudaStream_t a, b;
  cudaEvent_t fork, join;
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusActive;
  unsigned long long id = 0;
  OK(cudaStreamCreate(&a));
  OK(cudaStreamCreate(&b));
  OK(cudaEventCreate(&fork));
  OK(cudaEventCreate(&join));
  OK(cudaStreamIsCapturing(a, &status));
  CHECK(status == cudaStreamCaptureStatusNone);
  data[0] = 5;
  data[1] = 0;
  OK(cudaStreamBeginCapture(a, cudaStreamCaptureModeGlobal));
  OK(cudaStreamIsCapturing(a, &status));
  CHECK(status == cudaStreamCaptureStatusActive);
  OK(cudaStreamGetCaptureInfo(a, &status, &id));
  CHECK(id != 0);
  scale<<<1, 1, 0, a>>>(data, 3);
  OK(cudaEventRecord(fork, a));
  OK(cudaStreamWaitEvent(b, fork, 0));
  add<<<1, 1, 0, b>>>(data, 4, 1);
  OK(cudaLaunchHostFunc(a, count_up, data + 1));
  FAILS(cudaErrorStreamCaptureUnsupported, cudaStreamSynchronize(a));
  FAILS(cudaErrorStreamCaptureUnsupported, cudaDeviceSynchronize());
  add<<<1, 1>>>(data, 1, 1);
  CHECK(cudaGetLastError() == cudaErrorStreamCaptureImplicit);
  OK(cudaEventRecord(join, b));
  FAILS(cudaErrorCapturedEvent, cudaEventSynchronize(join));
  OK(cudaStreamWaitEvent(a, join, 0));
  OK(cudaMemsetAsync(data + 2, 1, 4, a));
  FAILS(cudaErrorStreamCaptureUnmatched, cudaStreamEndCapture(b, &graph));
  OK(cudaStreamEndCapture(a, &graph));
  CHECK(graph && data[0] == 5 && data[1] == 0);  // nothing has run
  cudaGraphNode_t nodes[8], from[8], to[8];
  size_t count = 8, edges = 8, roots = 8;
  OK(cudaGraphGetNodes(graph, nodes, &count));
  CHECK(count == 4 && type_of(nodes[0]) == cudaGraphNodeTypeKernel && type_of(nodes[2]) == cudaGraphNodeTypeHost);
  OK(cudaGraphGetEdges(graph, from, to, &edges));
  CHECK(edges == 4);
  OK(cudaGraphGetRootNodes(graph, from, &roots));
  CHECK(roots == 1 && from[0] == nodes[0]);
  size_t needs = 8, needed = 8;
  OK(cudaGraphNodeGetDependencies(nodes[3], from, &needs));
  OK(cudaGraphNodeGetDependentNodes(nodes[0], from, &needed));
  CHECK(needs == 2 && needed == 2);
  OK(cudaGraphInstantiate(&exec, graph, 0));
  OK(cudaGraphDestroy(graph));
  run(exec, b);
  run(exec, b);
  CHECK(data[0] == (5 * 3 + 4) * 3 + 4 && data[1] == 2 && data[2] == 0x01010101);
  OK(cudaGraphExecDestroy(exec));
  FAILS(cudaErrorIllegalState, cudaStreamEndCapture(a, &graph));
  // Work that does not come back to the first stream.
  OK(cudaStreamBeginCapture(a, cudaStreamCaptureModeRelaxed));
  OK(cudaEventRecord(fork, a));
  OK(cudaStreamWaitEvent(b, fork, 0));
  add<<<1, 1, 0, b>>>(data, 1, 1);
  FAILS(cudaErrorStreamCaptureUnjoined, cudaStreamEndCapture(a, &graph));
  FAILS(cudaErrorStreamCaptureUnsupported, cudaStreamBeginCapture(0, cudaStreamCaptureModeGlobal));
  cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed;
  OK(cudaThreadExchangeStreamCaptureMode(&mode));
  CHECK(mode == cudaStreamCaptureModeGlobal);
  OK(cudaThreadExchangeStreamCaptureMode(&mode));
  CHECK(mode == cudaStreamCaptureModeRelaxed);
  // Memory of a graph is there at every launch.
  int* scratch;
  OK(cudaStreamBeginCapture(a, cudaStreamCaptureModeGlobal));
  OK(cudaMallocAsync(&scratch, 40, a));
  fill<<<1, 10, 0, a>>>(scratch, 6, 10);
  OK(cudaMemcpyAsync(data, scratch + 9, 4, cudaMemcpyDefault, a));
  OK(cudaFreeAsync(scratch, a));
  OK(cudaStreamEndCapture(a, &graph));
  OK(cudaGraphInstantiateWithFlags(&exec, graph, 0));
  for (int i = 0; i < 2; i++) {
    data[0] = 0;
    run(exec, a);
    CHECK(data[0] == 6);
  }
  OK(cudaGraphExecDestroy(exec));
  OK(cudaGraphDestroy(graph));
  OK(cudaEventDestroy(fork));
  OK(cudaEventDestroy(join));
  OK(cudaStreamDestroy(a));
  OK(cudaStreamDestroy(b));
}

static cudaMemcpy3DParms flat(int* to, const int* from, size_t bytes) {
  cudaMemcpy3DParms copy = {};
  copy.srcPtr = make_cudaPitchedPtr((void*)from, bytes, bytes, 1);
  copy.dstPtr = make_cudaPitchedPtr(to, bytes, bytes, 1);
  copy.extent = make_cudaExtent(bytes, 1, 1);
  copy.kind = cudaMemcpyDefault;
  return copy;
}

// memset -> kernel -> copy -> host function, added in another order.
static void built() {
  cudaStream_t stream;
  cudaGraph_t graph = nullptr, clone = nullptr;
  cudaGraphExec_t exec = nullptr;
  cudaGraphNode_t fill_node = nullptr, kernel_node = nullptr, copy_node = nullptr, host_node = nullptr, empty = nullptr;
  OK(cudaStreamCreate(&stream));
  OK(cudaGraphCreate(&graph, 0));
  int count = 0, value = 3, n = 4, *p = data;
  void* args[] = {&p, &value, &n};
  cudaHostNodeParams host = {count_up, &count};
  OK(cudaGraphAddHostNode(&host_node, graph, nullptr, 0, &host));
  cudaKernelNodeParams kernel = {(void*)add<int>, dim3(1), dim3(4), 0, args, nullptr};
  OK(cudaGraphAddKernelNode(&kernel_node, graph, nullptr, 0, &kernel));
  cudaMemsetParams set = {data, 0, 7, 4, 4, 1};
  OK(cudaGraphAddMemsetNode(&fill_node, graph, nullptr, 0, &set));
  cudaMemcpy3DParms copy = flat(data + 8, data, 16);
  OK(cudaGraphAddMemcpyNode(&copy_node, graph, &kernel_node, 1, &copy));
  OK(cudaGraphAddEmptyNode(&empty, graph, &copy_node, 1));
  CHECK(type_of(empty) == cudaGraphNodeTypeEmpty && type_of(fill_node) == cudaGraphNodeTypeMemset);
  cudaGraphNode_t from[] = {fill_node, empty}, to[] = {kernel_node, host_node};
  OK(cudaGraphAddDependencies(graph, from, to, 2));
  FAILS(cudaErrorInvalidValue, cudaGraphAddDependencies(graph, from, to, 1));
  OK(cudaGraphInstantiate(&exec, graph, nullptr, nullptr, 0));
  memset(data, 0, 64);
  run(exec, stream);
  CHECK(data[0] == 10 && data[3] == 10 && data[4] == 0 && data[8] == 10 && data[11] == 10 && count == 1);

  // What nodes say about themselves.
  cudaKernelNodeParams found_kernel = {};
  cudaMemsetParams found_set = {};
  cudaMemcpy3DParms found_copy = {};
  cudaHostNodeParams found_host = {};
  OK(cudaGraphKernelNodeGetParams(kernel_node, &found_kernel));
  CHECK(found_kernel.func == (void*)add<int> && found_kernel.blockDim.x == 4 && *(int*)found_kernel.kernelParams[1] == 3);
  OK(cudaGraphMemsetNodeGetParams(fill_node, &found_set));
  CHECK(found_set.value == 7 && found_set.dst == data);
  OK(cudaGraphMemcpyNodeGetParams(copy_node, &found_copy));
  CHECK(found_copy.extent.width == 16 && found_copy.dstPtr.ptr == data + 8);
  OK(cudaGraphHostNodeGetParams(host_node, &found_host));
  CHECK(found_host.fn == count_up && found_host.userData == &count);
  FAILS(cudaErrorInvalidValue, cudaGraphHostNodeGetParams(kernel_node, &found_host));

  // Changes of what is executed leave the graph as it is.
  int other = 0;
  value = 20;
  set.value = 1;
  copy = flat(data + 12, data, 8);
  host.userData = &other;
  OK(cudaGraphExecKernelNodeSetParams(exec, kernel_node, &kernel));
  OK(cudaGraphExecMemsetNodeSetParams(exec, fill_node, &set));
  OK(cudaGraphExecMemcpyNodeSetParams(exec, copy_node, &copy));
  OK(cudaGraphExecHostNodeSetParams(exec, host_node, &host));
  run(exec, stream);
  CHECK(data[0] == 21 && data[8] == 10 && data[12] == 21 && data[14] == 0 && count == 1 && other == 1);
  OK(cudaGraphExecMemcpyNodeSetParams1D(exec, copy_node, data + 14, data, 4, cudaMemcpyDefault));
  run(exec, stream);
  CHECK(data[14] == 21 && data[15] == 0);

  // Changes of the graph reach what is executed by an update.
  OK(cudaGraphClone(&clone, graph));
  cudaGraphNode_t in_clone = nullptr;
  OK(cudaGraphNodeFindInClone(&in_clone, kernel_node, clone));
  CHECK(in_clone && in_clone != kernel_node);
  value = 100;
  set.value = 2;
  copy = flat(data + 8, data, 4);
  OK(cudaGraphKernelNodeSetParams(in_clone, &kernel));
  OK(cudaGraphNodeFindInClone(&in_clone, fill_node, clone));
  OK(cudaGraphMemsetNodeSetParams(in_clone, &set));
  OK(cudaGraphNodeFindInClone(&in_clone, copy_node, clone));
  OK(cudaGraphMemcpyNodeSetParams(in_clone, &copy));
  OK(cudaGraphNodeFindInClone(&in_clone, host_node, clone));
  host.userData = &other;
  OK(cudaGraphHostNodeSetParams(in_clone, &host));
  cudaGraphExecUpdateResultInfo info = {cudaGraphExecUpdateError, nullptr, nullptr};
  OK(cudaGraphExecUpdate(exec, clone, &info));
  CHECK(info.result == cudaGraphExecUpdateSuccess);
  run(exec, stream);
  CHECK(data[0] == 102 && data[8] == 102 && data[9] == 10 && other == 3);
  OK(cudaGraphNodeFindInClone(&in_clone, copy_node, clone));
  OK(cudaGraphMemcpyNodeSetParams1D(in_clone, data + 5, data, 4, cudaMemcpyDefault));
  OK(cudaGraphExecUpdate(exec, clone, &info));
  run(exec, stream);
  CHECK(data[5] == 102);

  // A graph of which something was removed is another one.
  OK(cudaGraphRemoveDependencies(clone, &in_clone, &in_clone, 0));
  OK(cudaGraphNodeFindInClone(&in_clone, host_node, clone));
  OK(cudaGraphDestroyNode(in_clone));
  size_t nodes = 0;
  OK(cudaGraphGetNodes(clone, nullptr, &nodes));
  CHECK(nodes == 4);
  FAILS(cudaErrorGraphExecUpdateFailure, cudaGraphExecUpdate(exec, clone, &info));
  CHECK(info.result == cudaGraphExecUpdateErrorTopologyChanged);
  OK(cudaGraphRemoveDependencies(graph, from, to, 2));
  FAILS(cudaErrorInvalidValue, cudaGraphRemoveDependencies(graph, from, to, 1));
  cudaGraphNode_t circle[] = {kernel_node, copy_node}, back[] = {copy_node, kernel_node};
  OK(cudaGraphAddDependencies(graph, circle + 1, back + 1, 1));
  cudaGraphExec_t never;
  FAILS(cudaErrorInvalidValue, cudaGraphInstantiate(&never, graph, 0));
  OK(cudaGraphDestroy(clone));
  OK(cudaGraphDestroy(graph));
  OK(cudaGraphExecDestroy(exec));
  OK(cudaStreamDestroy(stream));
}

static void nested() {
  cudaStream_t stream;
  cudaGraph_t child, graph, found = nullptr;
  cudaGraphNode_t copy = nullptr, inner = nullptr, record = nullptr, wait = nullptr;
  cudaGraphExec_t exec;
  cudaEvent_t event;
  OK(cudaStreamCreate(&stream));
  OK(cudaEventCreate(&event));
  OK(cudaGraphCreate(&child, 0));
  OK(cudaGraphCreate(&graph, 0));
  OK(cudaGraphAddMemcpyNode1D(&copy, child, nullptr, 0, data + 1, data, 4, cudaMemcpyDefault));
  OK(cudaGraphAddChildGraphNode(&inner, graph, nullptr, 0, child));
  OK(cudaGraphChildGraphNodeGetGraph(inner, &found));
  CHECK(found && found != child && type_of(inner) == cudaGraphNodeTypeGraph);
  OK(cudaGraphAddEventRecordNode(&record, graph, &inner, 1, event));
  OK(cudaGraphAddEventWaitNode(&wait, graph, &record, 1, event));
  CHECK(type_of(record) == cudaGraphNodeTypeEventRecord && type_of(wait) == cudaGraphNodeTypeWaitEvent);
  OK(cudaGraphDestroy(child));
  OK(cudaGraphInstantiate(&exec, graph, 0));
  data[0] = 77;
  data[1] = 0;
  float ms = -1;
  FAILS(cudaErrorInvalidResourceHandle, cudaEventElapsedTime(&ms, event, event));
  run(exec, stream);
  CHECK(data[1] == 77);
  OK(cudaEventElapsedTime(&ms, event, event));
  CHECK(ms == 0);
  OK(cudaGraphExecDestroy(exec));
  FAILS(cudaErrorInvalidValue, cudaGraphLaunch(nullptr, stream));
  FAILS(cudaErrorInvalidValue, cudaGraphExecDestroy(nullptr));
  FAILS(cudaErrorInvalidValue, cudaGraphUpload(nullptr, stream));
  FAILS(cudaErrorInvalidValue, cudaGraphDestroy(nullptr));
  OK(cudaGraphDestroy(graph));
  OK(cudaEventDestroy(event));
  OK(cudaStreamDestroy(stream));
}

static cudaMemAllocNodeParams room(size_t bytes) {
  cudaMemAllocNodeParams wanted = {};
  wanted.poolProps.allocType = cudaMemAllocationTypePinned;
  wanted.poolProps.location.type = cudaMemLocationTypeDevice;
  wanted.bytesize = bytes;
  return wanted;
}

static uint64_t used(cudaGraphMemAttributeType what) {
  uint64_t bytes = ~0ull;
  OK(cudaDeviceGetGraphMemAttribute(0, what, &bytes));
  return bytes;
}

// A graph with memory of its own: data -> memory, times 3, and back.
static void with_memory() {
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  cudaGraphNode_t allocated, in, work, out, freed;
  OK(cudaGraphCreate(&graph, 0));
  cudaMemAllocNodeParams wanted = room(400), told = {};
  OK(cudaGraphAddMemAllocNode(&allocated, graph, nullptr, 0, &wanted));
  int* memory = (int*)wanted.dptr;
  OK(cudaGraphMemAllocNodeGetParams(allocated, &told));
  CHECK(memory && told.dptr == memory && told.bytesize == 400);
  CHECK(used(cudaGraphMemAttrUsedMemCurrent) == 400 && type_of(allocated) == cudaGraphNodeTypeMemAlloc);
  wanted.bytesize = 0;
  FAILS(cudaErrorInvalidValue, cudaGraphAddMemAllocNode(&freed, graph, nullptr, 0, &wanted));
  OK(cudaGraphAddMemcpyNode1D(&in, graph, &allocated, 1, memory, data, 400, cudaMemcpyDefault));
  int factor = 3;
  void* arguments[] = {&memory, &factor};
  cudaKernelNodeParams params = {(void*)scale, 1, 100, 0, arguments, nullptr};
  OK(cudaGraphAddKernelNode(&work, graph, &in, 1, &params));
  OK(cudaGraphAddMemcpyNode1D(&out, graph, &work, 1, data, memory, 400, cudaMemcpyDefault));
  OK(cudaGraphAddMemFreeNode(&freed, graph, &out, 1, memory));
  void* pointer = nullptr;
  OK(cudaGraphMemFreeNodeGetParams(freed, &pointer));
  CHECK(pointer == memory);
  FAILS(cudaErrorInvalidValue, cudaGraphAddMemFreeNode(&freed, graph, &out, 1, memory + 1));

  char path[] = "/tmp/canopy-graph-XXXXXX", text[2000] = {};
  close(mkstemp(path));
  OK(cudaGraphDebugDotPrint(graph, path, cudaGraphDebugDotFlagsVerbose));
  FILE* file = fopen(path, "r");
  CHECK(fread(text, 1, sizeof text - 1, file) > 100 && strstr(text, "digraph") && strstr(text, "scale"));
  CHECK(strstr(text, "(100, 1, 1)") && strstr(text, "free memory") && strstr(text, " -> "));
  fclose(file);
  unlink(path);

  OK(cudaGraphInstantiate(&exec, graph, 0));
  OK(cudaGraphDestroy(graph));
  for (int i = 0; i < 100; i++) data[i] = i;
  run(exec, nullptr);
  run(exec, nullptr);
  for (int i = 0; i < 100; i++) CHECK(data[i] == 9 * i);
  OK(cudaGraphExecDestroy(exec));
  CHECK(used(cudaGraphMemAttrUsedMemCurrent) == 0 && used(cudaGraphMemAttrUsedMemHigh) == 400);
  uint64_t none = 0;
  OK(cudaDeviceSetGraphMemAttribute(0, cudaGraphMemAttrUsedMemHigh, &none));
  CHECK(used(cudaGraphMemAttrUsedMemHigh) == 0);
  OK(cudaDeviceGraphMemTrim(0));
  FAILS(cudaErrorInvalidDevice, cudaDeviceGraphMemTrim(5));
}

int main() {
  OK(cudaMallocManaged(&data, 4096));
  captured();
  built();
  nested();
  with_memory();
  printf("PASS\n");
}
