// Merge sort by merge paths: every thread finds its part of the merge by a binary search; any order, keys with values.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <vector>

struct Item {
  double key;
  int value;
};

struct Descending {
  __host__ __device__ bool operator()(const Item &a, const Item &b) const { return a.key > b.key; }
};

constexpr int PER_THREAD = 5;

// How many of the first `diagonal` merged items come from `a`.
template <typename T, typename Less>
__device__ int merge_path(const T *a, int na, const T *b, int nb, int diagonal, Less less) {
  int low = max(0, diagonal - nb), high = min(diagonal, na);
  while (low < high) {
    int mid = (low + high) >> 1;
    if (!less(b[diagonal - 1 - mid], a[mid]))
      low = mid + 1;
    else
      high = mid;
  }
  return low;
}

template <typename T, typename Less>
__global__ void merge_pass(const T *in, T *out, int n, int width, Less less) {
  const int start = (blockIdx.x * blockDim.x + threadIdx.x) * PER_THREAD;
  if (start >= n) return;
  const int pair = start / (2 * width) * (2 * width);
  // A thread's part may reach into the next pair: it goes on there.
  for (int at = start, first = pair; at < min(start + PER_THREAD, n); first += 2 * width) {
    const T *a = in + first, *b = in + min(first + width, n);
    const int na = min(width, n - first), nb = max(0, min(width, n - first - width));
    int i = merge_path(a, na, b, nb, at - first, less), j = at - first - i;
    for (; at < min(start + PER_THREAD, min(n, first + 2 * width)); ++at) {
      bool from_b = i >= na || (j < nb && less(b[j], a[i]));
      out[at] = from_b ? b[j++] : a[i++];
    }
  }
}

template <typename T, typename Less>
std::vector<T> sorted(const std::vector<T> &host, Less less) {
  const int n = host.size();
  T *from, *to;
  cudaMalloc(&from, n * sizeof(T));
  cudaMalloc(&to, n * sizeof(T));
  cudaMemcpy(from, host.data(), n * sizeof(T), cudaMemcpyHostToDevice);
  for (int width = 1; width < n; width *= 2) {
    merge_pass<<<(n + 64 * PER_THREAD - 1) / (64 * PER_THREAD), 64>>>(from, to, n, width, less);
    std::swap(from, to);
  }
  std::vector<T> result(n);
  cudaMemcpy(result.data(), from, n * sizeof(T), cudaMemcpyDeviceToHost);
  cudaFree(from);
  cudaFree(to);
  return result;
}

int main() {
  std::vector<Item> items(3001);
  int number = 0;
  for (Item &item : items) item = {rand() % 500 * 0.25 - 60, number++};
  auto got = sorted(items, Descending());
  std::stable_sort(items.begin(), items.end(), Descending());
  bool good = true;
  for (size_t i = 0; i < items.size(); ++i) good &= items[i].key == got[i].key && items[i].value == got[i].value;
  for (int n : {1, 2, 77}) {
    auto few = std::vector<Item>(items.rbegin(), items.rbegin() + n), expected = few;
    auto result = sorted(few, Descending());
    std::stable_sort(expected.begin(), expected.end(), Descending());
    for (int i = 0; i < n; ++i) good &= expected[i].value == result[i].value;
  }
  puts(good ? "PASS" : "FAIL");
  return good ? 0 : 1;
}
