// Conway's game of life on a torus: a byte per cell, and 64 cells per word with bit-sliced sums.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

__global__ void life_bytes(const unsigned char *now, unsigned char *then, int w, int h) {
  int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
  if (x >= w || y >= h) return;
  int alive = 0;
  for (int dy = -1; dy <= 1; dy++)
    for (int dx = -1; dx <= 1; dx++)
      if (dx || dy) alive += now[(y + dy + h) % h * w + (x + dx + w) % w];
  then[y * w + x] = alive == 3 || (alive == 2 && now[y * w + x]);
}

__device__ void add(uint64_t &ones, uint64_t &twos, uint64_t &fours, uint64_t cells) {
  uint64_t carry = ones & cells;
  ones ^= cells;
  uint64_t next = twos & carry;
  twos ^= carry;
  fours |= next;
}

__global__ void life_bits(const uint64_t *now, uint64_t *then, int words, int h) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= words * h) return;
  int x = i % words, y = i / words;
  uint64_t ones = 0, twos = 0, fours = 0;
  for (int dy = -1; dy <= 1; dy++) {
    const uint64_t *line = now + (y + dy + h) % h * words;
    uint64_t c = line[x], l = line[(x + words - 1) % words], r = line[(x + 1) % words];
    add(ones, twos, fours, c << 1 | l >> 63);
    add(ones, twos, fours, c >> 1 | r << 63);
    if (dy) add(ones, twos, fours, c);
  }
  then[i] = ~fours & twos & (ones | now[i]);
}

__global__ void population(const uint64_t *cells, int n, unsigned long long *count) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) atomicAdd(count, (unsigned long long)__popcll(cells[i]));
}

int main(int argc, char **argv) {
  const int w = 128, h = 50, words = w / 64, steps = argc > 1 ? atoi(argv[1]) : 30;
  std::vector<unsigned char> cells(w * h), next(w * h), bytes(w * h);
  std::vector<uint64_t> packed(words * h), bits(words * h);
  for (int i = 0; i < w * h; i++) {
    cells[i] = rand() % 3 == 0;
    packed[i / 64] |= (uint64_t)cells[i] << (i % 64);
  }
  unsigned char *a, *b;
  uint64_t *p, *q;
  unsigned long long *count, living = 0;
  cudaMalloc(&a, w * h), cudaMalloc(&b, w * h);
  cudaMalloc(&p, packed.size() * 8), cudaMalloc(&q, packed.size() * 8), cudaMalloc(&count, 8);
  cudaMemcpy(a, cells.data(), w * h, cudaMemcpyHostToDevice);
  cudaMemcpy(p, packed.data(), packed.size() * 8, cudaMemcpyHostToDevice);
  for (int s = 0; s < steps; s++) {
    life_bytes<<<dim3(w / 32, (h + 3) / 4), dim3(32, 4)>>>(a, b, w, h);
    life_bits<<<(words * h + 31) / 32, 32>>>(p, q, words, h);
    std::swap(a, b), std::swap(p, q);
    for (int i = 0; i < w * h; i++) {
      int alive = 0, x = i % w, y = i / w;
      for (int d = 0; d < 9; d++)
        if (d != 4) alive += cells[(y + d / 3 + h - 1) % h * w + (x + d % 3 + w - 1) % w];
      next[i] = alive == 3 || (alive == 2 && cells[i]);
    }
    cells.swap(next);
  }
  cudaMemset(count, 0, 8);
  population<<<(words * h + 31) / 32, 32>>>(p, words * h, count);
  cudaMemcpy(bytes.data(), a, w * h, cudaMemcpyDeviceToHost);
  cudaMemcpy(bits.data(), p, bits.size() * 8, cudaMemcpyDeviceToHost);
  cudaMemcpy(&living, count, 8, cudaMemcpyDeviceToHost);
  bool good = memcmp(bytes.data(), cells.data(), w * h) == 0;
  unsigned long long expected = 0;
  for (int i = 0; i < w * h; i++) {
    good &= (bits[i / 64] >> (i % 64) & 1) == cells[i];
    expected += cells[i];
  }
  printf("%llu cells live after %d steps\n", living, steps);
  good &= living == expected && living > 0;
  puts(good ? "PASS" : "FAIL");
  return !good;
}
