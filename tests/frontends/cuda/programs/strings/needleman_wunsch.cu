// Sequence alignment: Needleman-Wunsch by anti-diagonals of tiles, Smith-Waterman in one block per pair.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#define TILE 16
__constant__ signed char blosum[4][4];

__device__ __host__ inline int max3(int a, int b, int c) { return a > b ? (a > c ? a : c) : (b > c ? b : c); }

// One anti-diagonal of tiles; `score` is (n + 1) x (m + 1).
__global__ void nw_tiles(const char *a, const char *b, int *score, int n, int m, int penalty, int diagonal, int first) {
  __shared__ int temp[TILE + 1][TILE + 1];
  int ty = first + blockIdx.x, tx = diagonal - ty, t = threadIdx.x, width = m + 1;
  int row = ty * TILE, col = tx * TILE;
  if (t == 0) temp[0][0] = score[row * width + col];
  temp[t + 1][0] = score[(row + t + 1) * width + col];
  temp[0][t + 1] = score[row * width + col + t + 1];
  __syncthreads();
  for (int s = 0; s < 2 * TILE - 1; s++) {
    int x = t + 1, y = s - t + 1;
    if (y >= 1 && y <= TILE) {
      int match = blosum[a[row + y - 1]][b[col + x - 1]];
      temp[y][x] = max3(temp[y - 1][x - 1] + match, temp[y][x - 1] - penalty, temp[y - 1][x] - penalty);
    }
    __syncthreads();
  }
  for (int y = 1; y <= TILE; y++) score[(row + y) * width + col + t + 1] = temp[y][t + 1];
}

// The best local score of one pair per block; three diagonals in shared memory.
__global__ void smith_waterman(const char *a, const char *b, int n, int *best) {
  extern __shared__ int rows[];
  int *previous = rows, *current = rows + n + 1, *next = rows + 2 * (n + 1);
  a += blockIdx.x * n, b += blockIdx.x * n;
  for (int i = threadIdx.x; i < 3 * (n + 1); i += blockDim.x) rows[i] = 0;
  int most = 0;
  for (int d = 2; d <= 2 * n; d++) {
    __syncthreads();
    for (int i = threadIdx.x + 1; i <= n; i += blockDim.x) {
      int j = d - i;
      if (j < 1 || j > n) continue;
      int h = max(0, max3(previous[i - 1] + blosum[a[i - 1]][b[j - 1]], current[i] - 3, current[i - 1] - 3));
      next[i] = h;
      most = max(most, h);
    }
    __syncthreads();
    int *oldest = previous;
    previous = current, current = next, next = oldest;
    for (int i = threadIdx.x; i <= n; i += blockDim.x)
      if (d + 1 - i < 1 || d + 1 - i > n) next[i] = 0;
  }
  atomicMax(best + blockIdx.x, most);
}

static std::vector<int> table(const char *a, const char *b, int n, int m, const signed char (*w)[4], int penalty, bool is_local) {
  std::vector<int> s((n + 1) * (m + 1));
  for (int i = 0; i <= n; i++)
    for (int j = 0; j <= m; j++) {
      int &h = s[i * (m + 1) + j];
      if (!i || !j) h = is_local ? 0 : -(i + j) * penalty;
      else h = max3(s[(i - 1) * (m + 1) + j - 1] + w[(int)a[i - 1]][(int)b[j - 1]], s[i * (m + 1) + j - 1] - penalty, s[(i - 1) * (m + 1) + j] - penalty);
      if (is_local) h = std::max(h, 0);
    }
  return s;
}

int main() {
  const signed char w[4][4] = {{5, -4, -3, -4}, {-4, 5, -4, -2}, {-3, -4, 5, -4}, {-4, -2, -4, 5}};
  cudaMemcpyToSymbol(blosum, w, sizeof w);
  const int n = 6 * TILE, m = 4 * TILE, penalty = 2, pairs = 5, length = 90;
  std::string a(n, 0), b(m, 0), left(pairs * length, 0), right(pairs * length, 0);
  for (std::string *s : {&a, &b, &left, &right})
    for (char &c : *s) c = rand() % 4;
  for (int i = 20; i < 60; i++) right[2 * length + i] = left[2 * length + i - 7];
  auto expected = table(a.data(), b.data(), n, m, w, penalty, false);
  std::vector<int> score(expected.size(), -99999);
  for (int i = 0; i <= n; i++) score[i * (m + 1)] = -i * penalty;
  for (int j = 0; j <= m; j++) score[j] = -j * penalty;
  char *d_a, *d_b, *d_left, *d_right;
  int *d_score, *d_best, best[pairs];
  cudaMalloc(&d_a, n), cudaMalloc(&d_b, m), cudaMalloc(&d_left, left.size()), cudaMalloc(&d_right, right.size());
  cudaMalloc(&d_score, score.size() * sizeof(int)), cudaMalloc(&d_best, sizeof best);
  cudaMemcpy(d_a, a.data(), n, cudaMemcpyHostToDevice), cudaMemcpy(d_b, b.data(), m, cudaMemcpyHostToDevice);
  cudaMemcpy(d_left, left.data(), left.size(), cudaMemcpyHostToDevice);
  cudaMemcpy(d_right, right.data(), right.size(), cudaMemcpyHostToDevice);
  cudaMemcpy(d_score, score.data(), score.size() * sizeof(int), cudaMemcpyHostToDevice);
  const int rows = n / TILE, cols = m / TILE;
  for (int d = 0; d < rows + cols - 1; d++) {
    int first = std::max(0, d - cols + 1), last = std::min(d, rows - 1);
    nw_tiles<<<last - first + 1, TILE>>>(d_a, d_b, d_score, n, m, penalty, d, first);
  }
  cudaMemcpy(score.data(), d_score, score.size() * sizeof(int), cudaMemcpyDeviceToHost);
  bool good = score == expected;
  cudaMemset(d_best, 0, sizeof best);
  smith_waterman<<<pairs, 32, 3 * (length + 1) * sizeof(int)>>>(d_left, d_right, length, d_best);
  cudaMemcpy(best, d_best, sizeof best, cudaMemcpyDeviceToHost);
  for (int p = 0; p < pairs; p++) {
    auto t = table(&left[p * length], &right[p * length], length, length, w, 3, true);
    if (best[p] != *std::max_element(t.begin(), t.end())) good = false, printf("pair %d: %d\n", p, best[p]);
  }
  puts(good ? "PASS" : "FAIL");
  return !good;
}
