// Threads that wait for each other: through flags and locks, inside a warp, a block and the grid.
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <vector>

static int failures = 0;
#define CHECK(condition, ...)                             \
  do {                                                    \
    if (!(condition) && failures++ < 10) {                \
      printf("line %d: ", __LINE__), printf(__VA_ARGS__); \
      puts("");                                           \
    }                                                     \
  } while (0)

// Warp 0 makes, warp 1 takes, through one slot of shared memory.
__global__ void one_slot(const int* in, int* out, int n) {
  __shared__ volatile int full;
  __shared__ int slot[32];
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  if (threadIdx.x == 0) full = 0;
  __syncthreads();
  if (warp == 1) {
    for (int k = 0; k < n; k++) {
      while (full == 0) {}
      __threadfence_block();
      out[k * 32 + lane] = slot[lane] * 2;
      __syncwarp();
      if (lane == 0) full = 0;
    }
  } else if (warp == 0) {
    for (int k = 0; k < n; k++) {
      while (full == 1) {}
      slot[lane] = in[k * 32 + lane];
      __threadfence_block();
      __syncwarp();
      if (lane == 0) full = 1;
    }
  }
}

// One lane of each warp takes the lock.
__global__ void warp_lock(int* lock, int* count, int rounds) {
  for (int k = 0; k < rounds; k++) {
    if (threadIdx.x % 32 == 0) {
      while (atomicCAS(lock, 0, 1) != 0) {}
      __threadfence();
      int old = *(volatile int*)count;
      *(volatile int*)count = old + 1;
      __threadfence();
      atomicExch(lock, 0);
    }
    __syncwarp();
  }
}

// Every thread takes it.
__global__ void thread_lock(int* lock, int* count) {
  while (atomicExch(lock, 1)) {}
  *(volatile int*)count = *(volatile int*)count + 1;
  __threadfence();
  atomicExch(lock, 0);
}

__global__ void done_lock(int* lock, int* count) {
  bool done = false;
  while (!done) {
    if (atomicCAS(lock, 0, 1) == 0) {
      *(volatile int*)count = *(volatile int*)count + 1;
      __threadfence();
      atomicExch(lock, 0);
      done = true;
    }
  }
}

// A barrier of the grid made by hand.
__device__ void wait_for_all(unsigned* arrived, unsigned goal) {
  __syncthreads();
  if (threadIdx.x == 0) {
    __threadfence();
    atomicAdd(arrived, 1);
    while (atomicAdd(arrived, 0) < goal) __nanosleep(20);
    __threadfence();
  }
  __syncthreads();
}
__global__ void rounds(int* a, int* b, unsigned* arrived, int n, int rounds) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  for (int k = 0; k < rounds; k++) {
    int *from = k % 2 ? b : a, *to = k % 2 ? a : b;
    if (i < n) to[i] = from[(i + 1) % n] + from[(i + n - blockDim.x) % n];
    wait_for_all(arrived, gridDim.x * (k + 1));
  }
}

// Blocks are served in the order of their tickets.
__global__ void ticket(unsigned* next, volatile unsigned* serving, int* order, int* at) {
  __shared__ unsigned mine;
  if (threadIdx.x == 0) {
    mine = atomicAdd(next, 1);
    while (*serving != mine) {}
    order[*at] = mine;
    *at = *at + 1;
    __threadfence();
    *serving = mine + 1;
  }
  __syncthreads();
}

// Each thread waits for the one before it, lanes of its own warp included.
__global__ void chain(volatile int* ready, int* out, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  if (i > 0) while (ready[i - 1] == 0) {}
  out[i] = (i ? *(volatile int*)&out[i - 1] : 0) + i;
  __threadfence();
  ready[i] = 1;
}

// The halves of a block have barriers of their own.
__global__ void halves(const int* in, int* out) {
  __shared__ int s[128];
  int t = threadIdx.x;
  if (t < 64) {
    s[t] = in[t];
    asm volatile("bar.sync 1, 64;" ::: "memory");
    out[t] = s[63 - t];
  } else {
    s[t] = in[t] * 3;
    asm volatile("bar.sync 2, 64;" ::: "memory");
    out[t] = s[191 - t];
  }
  __syncthreads();
  out[128 + t] = s[127 - t];
}

// Warps that part meet at one barrier.
__global__ void both_sides(const int* in, int* out) {
  __shared__ int s[64];
  int t = threadIdx.x;
  if (t < 32) {
    s[t] = in[t];
    __syncthreads();
    out[t] = s[t + 32];
  } else {
    s[t] = in[t] + 1;
    __syncthreads();
    out[t] = s[t - 32];
  }
}

// A scan in one pass: each block looks back at the sums of the blocks before it.
__global__ void look_back(const int* x, int* out, volatile long long* state, unsigned* ticket, int n) {
  __shared__ int s[64], block, before;
  int t = threadIdx.x;
  if (t == 0) block = atomicAdd(ticket, 1);
  __syncthreads();
  int i = block * 64 + t, v = i < n ? x[i] : 0;
  s[t] = v;
  for (int d = 1; d < 64; d *= 2) {
    __syncthreads();
    int left = t >= d ? s[t - d] : 0;
    __syncthreads();
    s[t] += left;
  }
  __syncthreads();
  if (t == 0) {
    int sum = 0;
    if (block > 0) {
      state[block] = 1ll << 32 | (unsigned)s[63];  // the sum of this block
      for (int b = block - 1; b >= 0; b--) {
        long long found;
        while ((found = state[b]) == 0) {}
        sum += (int)found;
        if (found >> 32 == 2) break;
      }
    }
    __threadfence();
    state[block] = 2ll << 32 | (unsigned)(sum + s[63]);  // of all up to this block
    before = sum;
  }
  __syncthreads();
  if (i < n) out[i] = before + s[t];
}

// Counts with barriers that vote, while the warps of the block are apart.
__global__ void votes_apart(int* out, volatile int* flag) {
  int t = threadIdx.x;
  if (t == 33) *flag = 1;
  if (t < 32) while (*flag == 0) {}
  out[t] = __syncthreads_count(t % 3 == 0) * 4 + (__syncthreads_and(t < 50) != 0) * 2 + (__syncthreads_or(t == 49) != 0);
}

// Threads leave this loop when their own work is done, the others keep meeting at its barrier; a
// lock is let go behind the barrier; a trap in the loop meets nobody.
__global__ void throttled(int* cells, int* sums, const int* work, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x, step = blockDim.x * gridDim.x;
  while (i < n) {
    int cell = work[i] % 16, taken = 0;
    if (cells[cell] != -2) {
      if (atomicCAS(&cells[cell], 0, -2) == 0) {
        if (work[i] < 0) asm("trap;");
        *(volatile int*)&sums[cell] += work[i];
        __threadfence();
        taken = 1, i += step;
      }
    }
    __syncthreads();
    if (taken) atomicExch(&cells[cell], 0);
  }
}
// Each block waits for a later one, whose threads all meet in each trip of the loop.
__global__ void for_later_blocks(volatile int* values, int n) {
  int k = blockIdx.x * blockDim.x + threadIdx.x;
  bool done = false;
  while (k < n) {
    int next = k + blockDim.x < n ? values[k + blockDim.x] : 1;
    if (next > 0) done = true;
    __syncthreads();
    if (done) values[k] = next + k % 3, k = n;
  }
}

int main() {
  srand(time(nullptr));
  int *a, *b;
  unsigned* u;
  long long* wide;
  cudaMallocManaged(&a, 1 << 16), cudaMallocManaged(&b, 1 << 16), cudaMallocManaged(&u, 4096), cudaMallocManaged(&wide, 4096);
  auto finish = [] { CHECK(cudaDeviceSynchronize() == cudaSuccess, "%s", cudaGetErrorString(cudaGetLastError())); };
  for (int i = 0; i < 32 * 50; i++) a[i] = rand();
  one_slot<<<3, 96>>>(a, b, 50);
  finish();
  for (int i = 0; i < 32 * 50; i++) CHECK(b[i] == a[i] * 2, "slot %d", i);
  a[0] = a[1] = 0;
  warp_lock<<<7, 200>>>(a, a + 1, 5);
  finish();
  CHECK(a[1] == 7 * 7 * 5, "warp lock %d", a[1]);
  a[0] = a[1] = 0;
  thread_lock<<<3, 77>>>(a, a + 1);
  finish();
  CHECK(a[1] == 3 * 77, "thread lock %d", a[1]);
  a[0] = a[1] = 0;
  done_lock<<<5, 77>>>(a, a + 1);
  finish();
  CHECK(a[1] == 5 * 77, "done lock %d", a[1]);
  {
    int blocks = 40, threads = 50, n = blocks * threads - 7, k = 9;
    std::vector<int> x(n), y(n);
    for (int i = 0; i < n; i++) x[i] = a[i] = rand() % 100;
    u[0] = 0;
    rounds<<<blocks, threads>>>(a, b, u, n, k);
    finish();
    for (int r = 0; r < k; r++) {
      for (int i = 0; i < n; i++) y[i] = x[(i + 1) % n] + x[(i + n - threads) % n];
      x.swap(y);
    }
    for (int i = 0; i < n; i++) CHECK((k % 2 ? b : a)[i] == x[i], "round %d", i);
  }
  u[0] = u[1] = 0, a[0] = 0;
  ticket<<<60, 40>>>(u, u + 1, b, a);
  finish();
  CHECK(a[0] == 60, "%d tickets", a[0]);
  for (int i = 0; i < 60; i++) CHECK(b[i] == i, "ticket %d", i);
  for (int i = 0; i < 1000; i++) a[i] = 0;
  chain<<<10, 100>>>(a, b, 991);
  finish();
  for (int i = 0, s = 0; i < 991; i++) {
    s += i;
    CHECK(b[i] == s, "chain %d: %d", i, b[i]);
  }
  for (int i = 0; i < 128; i++) a[i] = rand();
  halves<<<1, 128>>>(a, b);
  finish();
  for (int i = 0; i < 128; i++) {
    CHECK(b[i] == (i < 64 ? a[63 - i] : 3 * a[191 - i]), "half %d", i);
    CHECK(b[128 + i] == (127 - i < 64 ? a[127 - i] : 3 * a[127 - i]), "behind the halves %d", i);
  }
  both_sides<<<1, 64>>>(a, b);
  finish();
  for (int i = 0; i < 64; i++) CHECK(b[i] == (i < 32 ? a[i + 32] + 1 : a[i - 32]), "side %d", i);
  int n = 5000;
  for (int i = 0; i < n; i++) a[i] = rand() % 100;
  for (int k = 0; k < 100; k++) wide[k] = 0;
  u[0] = 0;
  look_back<<<(n + 63) / 64, 64>>>(a, b, wide, u, n);
  finish();
  for (int i = 0, s = 0; i < n; i++) {
    s += a[i];
    CHECK(b[i] == s, "look back %d: %d, not %d", i, b[i], s);
  }
  a[0] = 0;
  votes_apart<<<1, 50>>>(b, a);
  finish();
  for (int i = 0; i < 50; i++) CHECK(b[i] == 17 * 4 + 2 + 1, "vote %d: %d", i, b[i]);
  int sums[16] = {};
  for (int i = 0; i < 1000; i++) a[i] = rand() % 100000, sums[a[i] % 16] += a[i];
  for (int i = 0; i < 32; i++) b[i] = 0;
  throttled<<<3, 100>>>(b, b + 16, a, 1000);
  finish();
  for (int i = 0; i < 16; i++) CHECK(b[16 + i] == sums[i], "throttled %d: %d, not %d", i, b[16 + i], sums[i]);
  for (int i = 0; i < 700; i++) a[i] = -1;
  for_later_blocks<<<10, 70>>>(a, 700);
  finish();
  for (int i = 699; i >= 0; i--) {
    int want = (i + 70 < 700 ? a[i + 70] : 1) + i % 3;
    CHECK(a[i] == want, "for later blocks %d: %d, not %d", i, a[i], want);
  }
  puts(failures ? "FAIL" : "PASS");
  return failures != 0;
}
