// Recursion of every kind: several calls, in loops, through each other, through virtual functions.
#include <cstdio>
#include <cstdlib>
#include <vector>
#define HD __host__ __device__

HD int fib(int n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
HD int ackermann(int m, int n) {
  if (m == 0) return n + 1;
  return n == 0 ? ackermann(m - 1, 1) : ackermann(m - 1, ackermann(m, n - 1));
}
HD bool is_odd(int n);
HD bool is_even(int n) { return n == 0 || is_odd(n - 1); }
HD bool is_odd(int n) { return n != 0 && (n % 7 == 3 ? is_even(n - 1) && true : is_even(n - 1)); }

HD void sort(short* a, int low, int high) {
  if (low >= high) return;
  short pivot = a[(low + high) / 2];
  int i = low, j = high;
  while (i <= j) {
    while (a[i] < pivot) i++;
    while (a[j] > pivot) j--;
    if (i <= j) {
      short held = a[i];
      a[i++] = a[j], a[j--] = held;
    }
  }
  sort(a, low, j), sort(a, i, high);
}

// Calls in loops; an array of each level is looked at by the levels below it.
HD int queens(int size, int row, const int* above) {
  if (row == size) return 1;
  int columns[8], found = 0;
  for (int i = 0; i < row; i++) columns[i] = above[i];
  for (int column = 0; column < size; column++) {
    bool safe = true;
    for (int i = 0; i < row && safe; i++) safe = columns[i] != column && abs(columns[i] - column) != row - i;
    if (!safe) continue;
    columns[row] = column;
    found += queens(size, row + 1, columns);
    if (found > 60) break;
  }
  return found;
}

struct Box { double low, high; int tag; };
HD double width(const Box& b) { return b.high - b.low; }
// Structures by value and returned; the result of one call is an argument of the next; another recursion inside.
HD Box narrowed(Box b, int steps) {
  if (steps == 0 || width(b) < 1e-3) return b;
  double middle = 0.5 * (b.low + b.high);
  Box left = narrowed(Box{b.low, middle, b.tag * 3 + 1}, steps - 1);
  Box right = narrowed(Box{middle, b.high, b.tag ^ left.tag}, steps - 2 < 0 ? 0 : steps - 2);
  return Box{left.low + right.low * 0.25, left.high - right.high * 0.5, left.tag - right.tag + fib(steps)};
}

struct Node { int left, right, value; };
HD void walk(const Node* tree, int at, int* out, int* count) {
  if (at < 0) return;
  walk(tree, tree[at].left, out, count);
  out[(*count)++] = tree[at].value;
  walk(tree, tree[at].right, out, count);
}

struct Shape {
  HD virtual float area(int depth) const = 0;
};
struct Disc : Shape {
  float r;
  HD Disc(float r) : r(r) {}
  HD float area(int depth) const override { return 3 * r * r + depth; }
};
struct Group : Shape {
  const Shape* parts[3];
  HD Group(const Shape* a, const Shape* b, const Shape* c) : parts{a, b, c} {}
  HD float area(int depth) const override {
    float sum = 0;
    for (const Shape* part : parts)
      if (part) sum += part->area(depth + 1);
    return sum;
  }
};
HD float drawn(int i) {
  Disc a(i % 5), b(2), c(i % 3 + 1);
  Group inner(&a, i % 2 ? &b : nullptr, &c), outer(&inner, &c, i % 4 ? &inner : nullptr);
  return outer.area(0);
}

struct Results {
  int fib, ackermann, even, queens, count, order[31];
  short sorted[24];
  Box box;
  float area;
};
HD void all(Results& r, int i, const Node* tree) {
  r.fib = fib(i % 11);
  r.ackermann = ackermann(i % 3, i % 4);
  r.even = is_even(i % 40);
  int none[1];
  r.queens = queens(4 + i % 3, 0, none);
  r.count = 0;
  walk(tree, i % 31, r.order, &r.count);
  for (int k = 0; k < 24; k++) r.sorted[k] = (k * 37 + i * 11) % 29;
  sort(r.sorted, 0, 23);
  r.box = narrowed(Box{0, 1.0 + i, i}, i % 6);
  r.area = drawn(i);
}
__global__ void kernel(Results* r, const Node* tree, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) all(r[i], i, tree);
}
__global__ void endless(int* p, int n) { p[threadIdx.x] = ackermann(2, n); }

int main() {
  const int n = 77;
  Results* r;
  Node* tree;
  cudaMallocManaged(&r, n * sizeof *r), cudaMallocManaged(&tree, 31 * sizeof *tree);
  for (int i = 0; i < 31; i++) tree[i] = {2 * i + 1 < 31 ? 2 * i + 1 : -1, 2 * i + 2 < 31 ? 2 * i + 2 : -1, i * 7 % 31};
  kernel<<<3, 32>>>(r, tree, n);
  bool good = cudaDeviceSynchronize() == cudaSuccess;
  for (int i = 0; i < n; i++) {
    Results w;
    all(w, i, tree);
    bool same = r[i].fib == w.fib && r[i].ackermann == w.ackermann && r[i].even == w.even;
    same = same && r[i].queens == w.queens && r[i].count == w.count && r[i].area == w.area;
    for (int k = 0; k < w.count; k++) same = same && r[i].order[k] == w.order[k];
    for (int k = 0; k < 24; k++) same = same && r[i].sorted[k] == w.sorted[k];
    same = same && r[i].box.low == w.box.low && r[i].box.high == w.box.high && r[i].box.tag == w.box.tag;
    if (!same) printf("thread %d\n", i);
    good = good && same;
  }
  endless<<<1, 2>>>((int*)tree, 100000);
  good = good && cudaDeviceSynchronize() == cudaErrorAssert;  // the stack is full, which is said
  puts(good ? "PASS" : "FAIL");
  return !good;
}
