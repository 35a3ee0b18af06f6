// Every atomic function on global and shared memory; what they return makes tickets, and locks by compare-and-swap.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

struct Results {
  int add, sub, min, max, and_, or_, xor_;
  unsigned umin, umax, inc, dec;
  unsigned long long wide_max, cas;
  float sum;
  double precise;
};

template <typename T>
__device__ T atomicMultiply(T *address, T value) {
  unsigned long long *bits = (unsigned long long *)address, old = *bits, assumed;
  do {
    assumed = old;
    old = atomicCAS(bits, assumed, (unsigned long long)(T)((T)assumed * value));
  } while (assumed != old);
  return (T)old;
}

__device__ void apply(Results *r, int v, int i) {
  atomicAdd(&r->add, v), atomicSub(&r->sub, v), atomicMin(&r->min, v), atomicMax(&r->max, v);
  atomicAnd(&r->and_, v | 0xff0000), atomicOr(&r->or_, v & 0xf0f), atomicXor(&r->xor_, v);
  atomicMin(&r->umin, (unsigned)v), atomicMax(&r->umax, (unsigned)v);
  atomicInc(&r->inc, 41u), atomicDec(&r->dec, 29u);
  atomicMax(&r->wide_max, (unsigned long long)(unsigned)v << 20);
  atomicMultiply(&r->cas, 2ull * i + 1);
  atomicAdd(&r->sum, 0.5f * v), atomicAdd(&r->precise, 0.25 * v);
}

__global__ void kinds(const int *x, int n, Results *global, Results *of_block, int *tickets, unsigned *next, int *owner, int *swapped) {
  __shared__ Results local;
  if (threadIdx.x == 0) local = *of_block;
  __syncthreads();
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n && x[i] != 13) {
    apply(global, x[i], i);
    apply(&local, x[i], i);
    tickets[atomicAdd(next, 1u)] = i;
    swapped[i] = atomicExch(owner, i);
  } else if (i < n) {
    swapped[i] = -2;
  }
  __syncthreads();
  if (threadIdx.x == 0) of_block[1 + blockIdx.x] = local;
}

static void reference(Results *r, int v, int i) {
  r->add += v, r->sub -= v, r->min = std::min(r->min, v), r->max = std::max(r->max, v);
  r->and_ &= v | 0xff0000, r->or_ |= v & 0xf0f, r->xor_ ^= v;
  r->umin = std::min(r->umin, (unsigned)v), r->umax = std::max(r->umax, (unsigned)v);
  r->inc = r->inc >= 41 ? 0 : r->inc + 1, r->dec = r->dec == 0 || r->dec > 29 ? 29 : r->dec - 1;
  r->wide_max = std::max(r->wide_max, (unsigned long long)(unsigned)v << 20), r->cas *= 2ull * i + 1;
  r->sum += 0.5f * v, r->precise += 0.25 * v;
}
static int compare(const char *where, const Results &a, const Results &b) {
  int bad = 0;
#define SAME(field) \
  if (a.field != b.field) printf("%s: %s\n", where, #field), bad++;
  SAME(add) SAME(sub) SAME(min) SAME(max) SAME(and_) SAME(or_) SAME(xor_) SAME(umin) SAME(umax) SAME(inc) SAME(dec)
  SAME(wide_max) SAME(cas) SAME(sum) SAME(precise)  // small halves and quarters: sums are exact
  return bad;
}

int main() {
  const int n = 200, threads = 64, blocks = 4;
  int *x, *tickets, *owner, *swapped, bad = 0, members = 0;
  unsigned *next;
  Results *results;
  cudaMallocManaged(&x, n * 4), cudaMallocManaged(&tickets, n * 4), cudaMallocManaged(&owner, 4), cudaMallocManaged(&swapped, n * 4);
  cudaMallocManaged(&next, 4), cudaMallocManaged(&results, (blocks + 2) * sizeof(Results));
  const Results start = {3, 9, 500, -500, -1, 0, 5, 0x90000000u, 77, 20, 10, 100, 3, 1, 2};
  Results expected = start, of_block[blocks];
  results[0] = results[1] = start;
  for (int i = 0; i < n; i++) {
    x[i] = i % 7 == 3 ? 13 : rand() % 2000 - 1000;
    if (i % threads == 0) of_block[i / threads] = start;
    if (x[i] == 13) continue;
    reference(&expected, x[i], i), reference(&of_block[i / threads], x[i], i), members++;
  }
  *next = 0, *owner = -1;
  kinds<<<blocks, threads>>>(x, n, &results[0], &results[1], tickets, next, owner, swapped);
  if (cudaDeviceSynchronize() != cudaSuccess) return puts("FAIL"), 1;
  bad += compare("global", results[0], expected);
  for (int b = 0; b < blocks; b++) bad += compare("shared", results[2 + b], of_block[b]);
  bad += *next != (unsigned)members;
  std::sort(tickets, tickets + members);
  for (int i = 0, k = 0; i < n; i++)
    if (x[i] != 13) bad += tickets[k++] != i;
  // Each thread saw who came before it: the chain from the last owner leads through all.
  int length = 0;
  for (int at = *owner; at >= 0 && at < n && length <= n; at = swapped[at]) length++;
  bad += length != members;
  puts(bad ? "FAIL" : "PASS");
  return bad != 0;
}
