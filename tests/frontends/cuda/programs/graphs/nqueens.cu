// n queens: prefixes go into a queue by atomics, threads take them out and search with a stack of their own.
#include <cstdio>
#include <cstdlib>

#define MAX_N 16

struct Board {
  unsigned columns, left, right;
  int row;
};

struct Queue {
  Board *items;
  unsigned int *head, *tail;
  __device__ void push(const Board &b) { items[atomicAdd(tail, 1u)] = b; }
  __device__ bool pop(Board *b) {
    unsigned int at = atomicAdd(head, 1u);
    if (at >= *tail) return false;
    *b = items[at];
    return true;
  }
};

__global__ void prefixes(Queue queue, int n, int depth) {
  int code = blockIdx.x * blockDim.x + threadIdx.x, all = 1;
  for (int i = 0; i < depth; i++) all *= n;
  if (code >= all) return;
  Board b = {0, 0, 0, 0};
  for (; b.row < depth; b.row++, code /= n) {
    unsigned bit = 1u << code % n;
    if ((b.columns | b.left | b.right) & bit) return;
    b.columns |= bit, b.left = (b.left | bit) << 1, b.right = (b.right | bit) >> 1;
  }
  queue.push(b);
}

__global__ void search(Queue queue, int n, unsigned long long *solutions) {
  unsigned full = (1u << n) - 1;
  unsigned long long count = 0;
  Board start;
  while (queue.pop(&start)) {
    Board stack[MAX_N];
    unsigned free_bits[MAX_N];
    int depth = 0;
    stack[0] = start;
    free_bits[0] = full & ~(start.columns | start.left | start.right);
    while (depth >= 0) {
      if (!free_bits[depth]) {
        depth--;
        continue;
      }
      unsigned bit = free_bits[depth] & -free_bits[depth];
      free_bits[depth] ^= bit;
      const Board &b = stack[depth];
      if (b.row + 1 == n) {
        count++;
        continue;
      }
      Board next = {b.columns | bit, (b.left | bit) << 1, (b.right | bit) >> 1, b.row + 1};
      stack[++depth] = next;
      free_bits[depth] = full & ~(next.columns | next.left | next.right);
    }
  }
  if (count) atomicAdd(solutions, count);
}

static unsigned long long reference(int n, unsigned columns, unsigned left, unsigned right) {
  unsigned full = (1u << n) - 1;
  if (columns == full) return 1;
  unsigned long long sum = 0;
  for (unsigned rest = full & ~(columns | left | right); rest; rest &= rest - 1) {
    unsigned bit = rest & -rest;
    sum += reference(n, columns | bit, (left | bit) << 1, (right | bit) >> 1);
  }
  return sum;
}

int main(int argc, char **argv) {
  int from = argc > 1 ? atoi(argv[1]) : 5, to = argc > 2 ? atoi(argv[2]) : 9;
  bool good = true;
  Queue queue;
  unsigned long long *solutions;
  cudaMalloc(&queue.items, MAX_N * MAX_N * MAX_N * sizeof(Board));
  cudaMallocManaged(&queue.head, sizeof(unsigned int));
  cudaMallocManaged(&queue.tail, sizeof(unsigned int));
  cudaMallocManaged(&solutions, sizeof *solutions);
  for (int n = from; n <= to; n++) {
    *queue.head = *queue.tail = 0, *solutions = 0;
    prefixes<<<(n * n * n + 127) / 128, 128>>>(queue, n, 3);
    search<<<4, 64>>>(queue, n, solutions);
    if (cudaDeviceSynchronize() != cudaSuccess) good = false;
    unsigned long long expected = reference(n, 0, 0, 0);
    printf("%2d queens: %llu of %llu from %u prefixes\n", n, *solutions, expected, *queue.tail);
    good &= *solutions == expected && *queue.tail <= *queue.head;
  }
  puts(good ? "PASS" : "FAIL");
  return !good;
}
