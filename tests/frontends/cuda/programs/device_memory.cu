// Memory that kernels allocate: lists built and walked on the device; the clock.
#include <cstdio>
#include <ctime>
#include <new>
struct Node {
  int v;
  Node* next;
  __device__ Node(int v, Node* next) : v(v), next(next) {}
  __device__ ~Node() { v = -1; }
};
__global__ void lists(int* out) {
  Node* head = nullptr;
  for (int i = 0; i < threadIdx.x % 5; i++) head = new Node(i * 3, head);
  int sum = 0;
  while (head) {
    sum += head->v;
    Node* next = head->next;
    delete head;
    head = next;
  }
  int* p = (int*)malloc(8 * sizeof(int));
  for (int i = 0; i < 8; i++) p[i] = i + threadIdx.x;
  int* q = new int[3]();
  alignas(8) char place[sizeof(Node)];
  Node* placed = new (place) Node(threadIdx.x, nullptr);
  out[threadIdx.x] = sum * 1000 + p[threadIdx.x & 7] + q[1] + placed->v;
  free(p);
  delete[] q;
}
__global__ void time_passes(long long* out) {
  long long a = clock64();
  clock_t c = clock();
  __nanosleep(1000);
  out[threadIdx.x] = clock64() - a > 0 && clock() > c;
}
int main() {
  int* o;
  cudaMallocManaged(&o, 4096);
  lists<<<1, 40>>>(o);
  int bad = cudaDeviceSynchronize();
  for (int t = 0; t < 40; t++) {
    int want = 0;
    for (int i = 0; i < t % 5; i++) want += i * 3;
    bad += o[t] != want * 1000 + (t & 7) + 2 * t;
  }
  time_passes<<<1, 33>>>((long long*)o);
  bad += cudaDeviceSynchronize();
  for (int t = 0; t < 33; t++) bad += ((long long*)o)[t] != 1;
  if (!bad) printf("PASS\n");
  return bad;
}
