// Structures shared by host and device: a linked list, strings and a tree in managed memory, by a base class.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>

class Managed {
 public:
  void *operator new(size_t size) {
    void *p;
    cudaMallocManaged(&p, size);
    cudaDeviceSynchronize();
    return p;
  }
  void operator delete(void *p) {
    cudaDeviceSynchronize();
    cudaFree(p);
  }
};

class String : public Managed {
  int length_ = 0;
  char *data_ = nullptr;

 public:
  String() = default;
  String(const char *s) { assign(s); }
  String(const String &o) { assign(o.data_); }
  ~String() { cudaFree(data_); }
  String &operator=(const char *s) {
    cudaFree(data_);
    assign(s);
    return *this;
  }
  void assign(const char *s) {
    length_ = strlen(s);
    cudaMallocManaged(&data_, length_ + 1);
    memcpy(data_, s, length_ + 1);
  }
  __host__ __device__ char &operator[](int i) { return data_[i]; }
  __host__ __device__ int size() const { return length_; }
  const char *c_str() const { return data_; }
};

struct Node : public Managed {
  String name;
  long value;
  Node *next;
  Node(const char *n, long v, Node *rest) : name(n), value(v), next(rest) {}
};

struct Tree : public Managed {
  int key, visits = 0;
  Tree *child[2] = {nullptr, nullptr};
  explicit Tree(int k) : key(k) {}
  void insert(int k) {
    if (k == key) return;
    Tree *&side = child[k > key];
    if (side)
      side->insert(k);
    else
      side = new Tree(k);
  }
};

__global__ void walk(Node *head, long *sum) {
  for (Node *n = head; n; n = n->next) {
    if (threadIdx.x < n->name.size()) {
      char &c = n->name[threadIdx.x];
      if (c >= 'a' && c <= 'z') c -= 32;
    }
    if (threadIdx.x == 0) *sum += n->value, n->value = -n->value;
  }
}

__global__ void search(Tree *root, const int *keys, bool *found, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  Tree *t = root;
  while (t && t->key != keys[i]) t = t->child[keys[i] > t->key];
  found[i] = t != nullptr;
  if (t) atomicAdd(&t->visits, 1);
}

static int visits(const Tree *t) { return t ? t->visits + visits(t->child[0]) + visits(t->child[1]) : 0; }

int main() {
  Node *head = nullptr;
  long *sum, expected = 0;
  cudaMallocManaged(&sum, sizeof(long), cudaMemAttachGlobal);
  *sum = 0;
  const char *names[] = {"alpha", "beta", "gamma-3", "delta", "a rather long name"};
  for (int i = 0; i < 5; i++) head = new Node(names[i], 1000L * i + 7, head), expected += 1000L * i + 7;
  walk<<<1, 64>>>(head, sum);
  bool good = cudaDeviceSynchronize() == cudaSuccess && *sum == expected;
  int i = 4;
  for (Node *n = head; n; n = n->next, i--) {
    std::string upper = names[i];
    for (char &c : upper) c = toupper(c);
    good &= upper == n->name.c_str() && n->value == -(1000L * i + 7);
  }
  while (head) {
    Node *next = head->next;
    delete head;
    head = next;
  }
  const int n = 400;
  Tree *root = new Tree(500);
  int *keys, hits = 0;
  bool *found, in_tree[1000] = {};
  in_tree[500] = true;
  for (int k = 0; k < 150; k++) {
    int key = rand() % 1000;
    root->insert(key);
    in_tree[key] = true;
  }
  cudaMallocManaged(&keys, n * sizeof(int)), cudaMallocManaged(&found, n);
  for (int k = 0; k < n; k++) keys[k] = rand() % 1000;
  int device = -1;
  cudaGetDevice(&device);
  cudaMemPrefetchAsync(keys, n * sizeof(int), device);
  cudaMemAdvise(keys, n * sizeof(int), cudaMemAdviseSetReadMostly, device);
  search<<<(n + 63) / 64, 64>>>(root, keys, found, n);
  good &= cudaDeviceSynchronize() == cudaSuccess;
  for (int k = 0; k < n; k++) good &= found[k] == in_tree[keys[k]], hits += in_tree[keys[k]];
  good &= visits(root) == hits && hits > 20;
  puts(good ? "PASS" : "FAIL");
  return !good;
}
