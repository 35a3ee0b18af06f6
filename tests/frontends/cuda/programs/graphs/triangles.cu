// Triangles of a graph, a warp per edge and a binary search per neighbour; clustering by match of labels.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <vector>

__device__ bool contains(const int *list, int size, int wanted) {
  int low = 0, high = size;
  while (low < high) {
    int mid = low + (high - low) / 2;
    if (list[mid] < wanted)
      low = mid + 1;
    else
      high = mid;
  }
  return low < size && list[low] == wanted;
}

__global__ void count(const int *row, const int *col, const int *source, int edges, unsigned long long *total, int *per_vertex) {
  const int warp = (blockIdx.x * blockDim.x + threadIdx.x) / warpSize, lane = threadIdx.x % warpSize;
  if (warp >= edges) return;
  const int u = source[warp], v = col[warp];
  int found = 0;
  for (int e = row[u] + lane; e < row[u + 1]; e += warpSize) {
    int w = col[e];
    if (w > v && contains(col + row[v], row[v + 1] - row[v], w)) {
      ++found;
      atomicAdd(per_vertex + w, 1);
    }
  }
  found = __reduce_add_sync(0xffffffffu, found);
  if (lane == 0 && found) {
    atomicAdd(total, (unsigned long long)found);
    atomicAdd(per_vertex + u, found);
    atomicAdd(per_vertex + v, found);
  }
}

// How many lanes of the warp hold the same colour, and whether all do.
__global__ void same_colour(const int *colour, int *same, int *unanimous, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x, all;
  int c = colour[i < n ? i : n - 1];
  unsigned peers = __match_any_sync(0xffffffffu, c);
  __match_all_sync(0xffffffffu, c, &all);
  if (i < n) same[i] = __popc(peers), unanimous[i] = all;
}

int main() {
  const int n = 150;
  std::set<std::pair<int, int>> pairs;
  while (pairs.size() < 1200) {
    int a = rand() % n, b = rand() % n;
    if (a != b) pairs.insert({std::min(a, b), std::max(a, b)});
  }
  std::vector<int> row(n + 1), col, source;
  for (auto &p : pairs) row[p.first + 1]++, col.push_back(p.second), source.push_back(p.first);
  for (int v = 0; v < n; ++v) row[v + 1] += row[v];
  unsigned long long expected = 0;
  std::vector<int> each(n);
  for (auto &p : pairs)
    for (int w = p.second + 1; w < n; ++w)
      if (pairs.count({p.first, w}) && pairs.count({p.second, w})) ++expected, ++each[p.first], ++each[p.second], ++each[w];
  int *d_row, *d_col, *d_source, *per_vertex;
  unsigned long long *total;
  const int edges = col.size();
  cudaMalloc(&d_row, row.size() * 4), cudaMalloc(&d_col, edges * 4), cudaMalloc(&d_source, edges * 4);
  cudaMemcpy(d_row, row.data(), row.size() * 4, cudaMemcpyHostToDevice);
  cudaMemcpy(d_col, col.data(), edges * 4, cudaMemcpyHostToDevice);
  cudaMemcpy(d_source, source.data(), edges * 4, cudaMemcpyHostToDevice);
  cudaMallocManaged(&total, 8), cudaMallocManaged(&per_vertex, n * 4);
  *total = 0;
  cudaMemset(per_vertex, 0, n * 4);
  count<<<(edges + 3) / 4, 128>>>(d_row, d_col, d_source, edges, total, per_vertex);
  bool good = cudaDeviceSynchronize() == cudaSuccess && *total == expected && expected > 50;
  good &= std::equal(each.begin(), each.end(), per_vertex);
  printf("%llu triangles, %llu expected\n", *total, expected);
  const int m = 160;
  int *colour, *same, *unanimous;
  for (int **p : {&colour, &same, &unanimous}) cudaMallocManaged(p, m * 4);
  for (int i = 0; i < m; ++i) colour[i] = i / 32 == 2 ? 9 : rand() % 7 - 3;
  same_colour<<<m / 32, 32>>>(colour, same, unanimous, m);
  good &= cudaDeviceSynchronize() == cudaSuccess;
  for (int i = 0; i < m; ++i) {
    int equal = std::count(colour + i / 32 * 32, colour + i / 32 * 32 + 32, colour[i]);
    good &= same[i] == equal && unanimous[i] == (equal == 32);
  }
  puts(good ? "PASS" : "FAIL");
  return !good;
}
