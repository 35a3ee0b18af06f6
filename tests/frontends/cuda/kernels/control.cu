// Shapes of control flow: divergent and uniform loops with breaks, continues and early returns.

__global__ void collatz(int n, const unsigned int* start, int* steps) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  unsigned int v = start[i];
  int count = 0;
  while (v != 1) {
    v = v % 2 ? 3 * v + 1 : v / 2;
    count++;
  }
  steps[i] = count;
}

__global__ void find_first(int n, int width, const float* rows, float limit, int* found) {
  int r = blockIdx.x * blockDim.x + threadIdx.x;
  if (r >= n) return;
  int at = -1;
  for (int c = 0; c < width; c++) {
    float v = rows[r * width + c];
    if (v < 0) continue;
    if (v > limit) { at = c; break; }
  }
  found[r] = at;
}

__global__ void uniform_break(int n, const float* x, float limit, float* out) {
  float total = 0;
  int k = 0;
  for (; k < n; k++) {
    if (x[k] > limit) break;
    if (x[k] < 0) continue;
    total += x[k] * threadIdx.x;
  }
  out[threadIdx.x] = total + k;
}

__global__ void nested(int n, const int* limits, int* out) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  int sum = 0;
  for (int a = 0; a < limits[i]; a++) {
    for (int b = a; b < 10; b++) {
      if ((a * b + i) % 7 == 3) goto done;
      if ((a + b) % 3 == threadIdx.x % 3) continue;
      sum += a * b;
    }
    sum ^= i;
  }
  sum = -sum;
done:
  out[i] = sum;
}

__global__ void classify(int n, const int* x, int* out) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  switch (x[i] & 7) {
    case 0: out[i] = 10; return;
    case 1: out[i] = 20; break;
    case 2: out[i] = 30;
    case 5: out[i] = x[i] * 2; break;
    default: out[i] = -x[i];
  }
  if (n > 100) out[i] += 1000;
}

__global__ void local_array(int n, const int* x, int* out) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  int counts[4] = {0, 0, 0, 0};
  for (int k = 0; k < 9; k++) counts[(x[i] >> (2 * k)) & 3]++;
  out[i] = counts[0] + 10 * counts[1] + 100 * counts[2] + 1000 * counts[3];
}
