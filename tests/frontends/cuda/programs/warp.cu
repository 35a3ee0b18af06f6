// Operations of a warp, against a plain loop over its lanes, in blocks of many shapes.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <vector>

static int failures = 0;
#define CHECK(condition, ...)                              \
  do {                                                     \
    if (!(condition) && failures++ < 10) {                 \
      printf("line %d: ", __LINE__), printf(__VA_ARGS__);  \
      puts("");                                            \
    }                                                      \
  } while (0)

__device__ int linear() { return (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x; }

enum { SHUFFLES = 12, VOTES = 13, SUMS = 9 };

template <typename T>
__global__ void __launch_bounds__(128) shuffles(const T* x, const int* where, int width, T* out, int n) {
  int i = linear();
  T v = x[i];
  T* o = out + i;
  o[0 * n] = __shfl_sync(~0u, v, where[i], width);
  o[1 * n] = __shfl_up_sync(~0u, v, 3, width);
  o[2 * n] = __shfl_down_sync(~0u, v, where[i] & 31, width);
  o[3 * n] = __shfl_xor_sync(~0u, v, 5, width);
  o[4 * n] = __shfl_sync(~0u, v, 7, 16);
  o[5 * n] = __shfl_up_sync(~0u, v, 1);
  o[6 * n] = __shfl_down_sync(~0u, v, 16);
  o[7 * n] = __shfl_xor_sync(~0u, v, 4, 8);
  o[8 * n] = __shfl(v, 0);
  o[9 * n] = __shfl_up(v, 2, 4);
  o[10 * n] = __shfl_down(v, 1u, 2);
  o[11 * n] = __shfl_xor(v, 31);
}

template <typename T>
void test_shuffles(dim3 block, int n) {
  std::vector<T> x(n), out(SHUFFLES * n);
  std::vector<int> where(n);
  for (int i = 0; i < n; i++) x[i] = (T)(rand() * 4294967.0 - 1e12 * i), where[i] = rand() % 64;
  T *dx, *dout;
  int* dw;
  cudaMalloc(&dx, n * sizeof(T)), cudaMalloc(&dout, out.size() * sizeof(T)), cudaMalloc(&dw, n * sizeof(int));
  cudaMemcpy(dx, x.data(), n * sizeof(T), cudaMemcpyDefault);
  cudaMemcpy(dw, where.data(), n * sizeof(int), cudaMemcpyDefault);
  int width = 1 << rand() % 6;
  shuffles<T><<<1, block>>>(dx, dw, width, dout, n);
  cudaMemcpy(out.data(), dout, out.size() * sizeof(T), cudaMemcpyDefault);
  for (int i = 0; i < n; i++) {
    int warp = i / 32 * 32, l = i % 32;
    auto idx = [&](int s, int w) { return warp + (l / w * w | s % w); };
    auto up = [&](int d, int w) { return warp + (l - d < l / w * w ? l : l - d); };
    auto down = [&](int d, int w) { return warp + (l + d > (l / w * w | (w - 1)) ? l : l + d); };
    auto xor_ = [&](int d, int w) { return warp + ((l ^ d) > (l / w * w | (w - 1)) ? l : l ^ d); };
    int from[SHUFFLES] = {idx(where[i], width), up(3, width), down(where[i] & 31, width), xor_(5, width),
                          idx(7, 16),           up(1, 32),    down(16, 32),               xor_(4, 8),
                          idx(0, 32),           up(2, 4),     down(1, 2),                 xor_(31, 32)};
    for (int k = 0; k < SHUFFLES; k++)
      if (from[k] < n)  // a lane beyond the block gives anything
        CHECK(!memcmp(&out[k * n + i], &x[from[k]], sizeof(T)), "shuffle %d of thread %d of %d", k, i, n);
  }
  cudaFree(dx), cudaFree(dout), cudaFree(dw);
}

__global__ void __launch_bounds__(128) votes(const int* x, const long long* wide, const unsigned* members, unsigned* out, int n) {
  int i = linear(), v = x[i];
  unsigned m = members[i], *o = out + i;
  o[0 * n] = __ballot_sync(~0u, v & 1);
  o[1 * n] = __any_sync(~0u, v == 3) + 2 * __all_sync(~0u, v < 7) + 4 * (__uni_sync(~0u, v & 2) != 0);
  o[2 * n] = __ballot_sync(m, v & 1);
  o[3 * n] = __any_sync(m, v == 3) + 2 * __all_sync(m, v < 7) + 4 * (__uni_sync(m, v & 4) != 0);
  o[4 * n] = __match_any_sync(~0u, v);
  o[5 * n] = __match_any_sync(m, wide[i]);
  int all;
  o[6 * n] = __match_all_sync(m, v & 8, &all) + all;
  o[7 * n] = 77;
  if (v & 2) {
    o[7 * n] = __activemask();
    if (v & 4) o[7 * n] ^= __ballot(v & 1) * 3 + __any(v == 7) + 2 * __all(v == 7);
  }
  o[8 * n] = 0;
  for (int k = 0; k < (v & 7); k++) o[8 * n] += __popc(__activemask()) << k;
  unsigned lane = __nvvm_read_ptx_sreg_laneid(), lt = __nvvm_read_ptx_sreg_lanemask_lt();
  unsigned le = __nvvm_read_ptx_sreg_lanemask_le(), gt = __nvvm_read_ptx_sreg_lanemask_gt();
  unsigned ge = __nvvm_read_ptx_sreg_lanemask_ge();
  o[9 * n] = lane + lt;
  o[10 * n] = le, o[11 * n] = gt, o[12 * n] = ge;
}

__global__ void __launch_bounds__(128) sums(const int* x, const unsigned* members, unsigned* out, int n) {
  int i = linear(), v = x[i] * 0x1234567;
  unsigned m = members[i], u = v, *o = out + i;
  o[0 * n] = __reduce_add_sync(~0u, v) ^ __reduce_add_sync(m, u);
  o[1 * n] = __reduce_min_sync(m, v);
  o[2 * n] = __reduce_max_sync(m, v);
  o[3 * n] = __reduce_min_sync(m, u);
  o[4 * n] = __reduce_max_sync(m, u);
  o[5 * n] = __reduce_and_sync(m, u);
  o[6 * n] = __reduce_or_sync(m, u) ^ __reduce_max_sync(~0u, v);
  o[7 * n] = __reduce_xor_sync(m, u);
  o[8 * n] = 0;
  if (i % 3 == 0) o[8 * n] = __reduce_add_sync(__activemask(), u);
}

void test_votes(dim3 block, int n) {
  std::vector<int> x(n);
  std::vector<long long> wide(n);
  std::vector<unsigned> members(n), out(VOTES * n), total(SUMS * n);
  for (int i = 0; i < n; i++) {
    x[i] = rand() % 8, wide[i] = (long long)(rand() % 3) << 40;
    members[i] = rand() % 2;  // two groups of lanes; each names its own members
  }
  for (int i = 0; i < n; i++) {
    unsigned m = 0;
    for (int j = i / 32 * 32; j < n && j < i / 32 * 32 + 32; j++)
      if (members[j] == members[i]) m |= 1u << j % 32;
    total[i] = m;
  }
  for (int i = 0; i < n; i++) members[i] = total[i];
  int* dx;
  long long* dwide;
  unsigned *dm, *dout, *dtotal;
  cudaMalloc(&dx, n * 4), cudaMalloc(&dwide, n * 8), cudaMalloc(&dm, n * 4);
  cudaMalloc(&dout, out.size() * 4), cudaMalloc(&dtotal, total.size() * 4);
  cudaMemcpy(dx, x.data(), n * 4, cudaMemcpyDefault);
  cudaMemcpy(dwide, wide.data(), n * 8, cudaMemcpyDefault);
  cudaMemcpy(dm, members.data(), n * 4, cudaMemcpyDefault);
  votes<<<1, block>>>(dx, dwide, dm, dout, n);
  sums<<<1, block>>>(dx, dm, dtotal, n);
  cudaMemcpy(out.data(), dout, out.size() * 4, cudaMemcpyDefault);
  cudaMemcpy(total.data(), dtotal, total.size() * 4, cudaMemcpyDefault);
  for (int i = 0; i < n; i++) {
    int first = i / 32 * 32, end = first + 32 < n ? first + 32 : n, l = i % 32, v = x[i];
    unsigned m = members[i];
    auto ballot = [&](unsigned among, auto holds) {
      unsigned bits = 0;
      for (int j = first; j < end; j++) bits |= (unsigned)(holds(j) ? 1 : 0) << j % 32;
      return bits & among;
    };
    auto votes = [&](unsigned among, int bit) {
      auto holds = [&](int j) { return x[j] & bit; };
      unsigned living = ballot(among, [](int) { return true; }), same = ballot(among, holds);
      return (ballot(among, [&](int j) { return x[j] == 3; }) != 0) +
             2 * (ballot(among, [&](int j) { return x[j] < 7; }) == living) + 4 * (same == 0 || same == living);
    };
    unsigned odd = ballot(~0u, [&](int j) { return x[j] & 1; });
    unsigned two = ballot(~0u, [&](int j) { return x[j] & 2; }), six = ballot(~0u, [&](int j) { return (x[j] & 6) == 6; });
    unsigned active = 77, trips = 0, same = ballot(m, [&](int j) { return (x[j] & 8) == (v & 8); });
    if (v & 2) active = two;
    if ((v & 6) == 6) active ^= (odd & six) * 3 + ((odd & six) != 0) + 2 * ((odd & six) == six);
    for (int k = 0; k < v; k++) trips += __builtin_popcount(ballot(~0u, [&](int j) { return x[j] > k; })) << k;
    unsigned lt = (1u << l) - 1, le = lt | 1u << l;
    unsigned expected[VOTES] = {odd, (unsigned)votes(~0u, 2), odd & m, (unsigned)votes(m, 4),
                                ballot(~0u, [&](int j) { return x[j] == v; }),
                                ballot(m, [&](int j) { return wide[j] == wide[i]; }),
                                same == m ? m + 1 : 0, active, trips, l + lt, le, ~le, ~lt};
    for (int k = 0; k < VOTES; k++)
      CHECK(out[k * n + i] == expected[k], "vote %d of thread %d of %d: %x, not %x", k, i, n, out[k * n + i], expected[k]);
    unsigned add = 0, add_all = 0, umin = ~0u, umax = 0, all = ~0u, any = 0, parity = 0, third = 0;
    int least = INT32_MAX, most = INT32_MIN, most_all = INT32_MIN;
    for (int j = first; j < end; j++) {
      int w = x[j] * 0x1234567;
      unsigned u = w;
      add_all += u, most_all = w > most_all ? w : most_all;
      if (j % 3 == 0) third += u;
      if (!(m >> j % 32 & 1)) continue;
      add += u, umin = u < umin ? u : umin, umax = u > umax ? u : umax, all &= u, any |= u, parity ^= u;
      least = w < least ? w : least, most = w > most ? w : most;
    }
    unsigned sum[SUMS] = {add_all ^ add, (unsigned)least, (unsigned)most, umin, umax, all, any ^ (unsigned)most_all, parity, i % 3 ? 0 : third};
    for (int k = 0; k < SUMS; k++)
      CHECK(total[k * n + i] == sum[k], "sum %d of thread %d of %d: %x, not %x", k, i, n, total[k * n + i], sum[k]);
  }
  cudaFree(dx), cudaFree(dwide), cudaFree(dm), cudaFree(dout), cudaFree(dtotal);
}

// The last warp of the classic reduction: volatile shared memory, and no barrier between its steps.
__global__ void old_reduction(const int* x, int* out) {
  __shared__ int s[128];
  int t = threadIdx.x;
  s[t] = x[blockIdx.x * 128 + t];
  __syncthreads();
  if (t < 64) s[t] += s[t + 64];
  __syncthreads();
  if (t < 32) {
    volatile int* v = s;
    v[t] += v[t + 32];
    v[t] += v[t + 16];
    v[t] += v[t + 8];
    v[t] += v[t + 4];
    v[t] += v[t + 2];
    v[t] += v[t + 1];
  }
  if (t == 0) out[blockIdx.x] = s[0];
}

// An inclusive scan in one array: each step reads all lanes before any lane writes.
__global__ void old_scan(int* x) {
  __shared__ volatile int s[64];
  int t = threadIdx.x, base = t & 32, l = t & 31;
  s[t] = x[t];
  for (int d = 1; d < 32; d *= 2)
    if (l >= d) s[base + l] += s[base + l - d];
  x[t] = s[t];
}

__global__ void counts(const int* x, int* out) {
  int i = linear(), v = x[i];
  out[i] = __syncthreads_count(v > 3) * 4 + (__syncthreads_and(v < 7) != 0) * 2 + (__syncthreads_or(v == 7) != 0);
}

void test_blocks() {
  const int blocks = 5;
  std::vector<int> x(blocks * 128), out(blocks);
  for (int& v : x) v = rand() % 1000;
  int *dx, *dout;
  cudaMalloc(&dx, x.size() * 4), cudaMalloc(&dout, x.size() * 4);
  cudaMemcpy(dx, x.data(), x.size() * 4, cudaMemcpyDefault);
  old_reduction<<<blocks, 128>>>(dx, dout);
  cudaMemcpy(out.data(), dout, blocks * 4, cudaMemcpyDefault);
  for (int b = 0; b < blocks; b++) {
    int sum = 0;
    for (int t = 0; t < 128; t++) sum += x[b * 128 + t];
    CHECK(out[b] == sum, "reduction %d: %d, not %d", b, out[b], sum);
  }
  old_scan<<<1, 64>>>(dx);
  std::vector<int> scanned(64);
  cudaMemcpy(scanned.data(), dx, 256, cudaMemcpyDefault);
  for (int t = 0, sum = 0; t < 64; t++) {
    sum = (t % 32 ? sum : 0) + x[t];
    CHECK(scanned[t] == sum, "scan %d: %d, not %d", t, scanned[t], sum);
  }
  int n = 7 * 5 * 3, count = 0, seven = 0;
  for (int i = 0; i < n; i++) x[i] = rand() % 8, count += x[i] > 3, seven |= x[i] == 7;
  cudaMemcpy(dx, x.data(), n * 4, cudaMemcpyDefault);
  counts<<<1, dim3(7, 5, 3)>>>(dx, dout);
  std::vector<int> counted(n);
  cudaMemcpy(counted.data(), dout, n * 4, cudaMemcpyDefault);
  for (int i = 0; i < n; i++) CHECK(counted[i] == count * 4 + !seven * 2 + seven, "count %d", counted[i]);
  cudaFree(dx), cudaFree(dout);
}

int main() {
  srand(time(nullptr));
  dim3 shapes[] = {dim3(1), dim3(31), dim3(33), dim3(100), dim3(7, 5, 3), dim3(16, 6)};
  for (dim3 block : shapes) {
    int n = block.x * block.y * block.z;
    test_shuffles<int>(block, n);
    test_votes(block, n);
  }
  test_shuffles<double>(77, 77), test_shuffles<unsigned long>(128, 128);
  test_blocks();
  cudaError_t error = cudaDeviceSynchronize();
  CHECK(error == cudaSuccess, "%s", cudaGetErrorString(error));
  puts(failures ? "FAIL" : "PASS");
  return failures != 0;
}
