// Text: Levenshtein distances with a row in local memory, Aho-Corasick matching, upper case, and counting of words.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <queue>
#include <string>
#include <vector>

#define MAX_WORD 24

__device__ int distance_of(const char *a, const char *b) {
  int row[MAX_WORD + 1], la = 0, lb = 0;
  while (a[la]) la++;
  while (b[lb]) lb++;
  for (int j = 0; j <= lb; j++) row[j] = j;
  for (int i = 1; i <= la; i++) {
    int diagonal = row[0];
    row[0] = i;
    for (int j = 1; j <= lb; j++) {
      int above = row[j];
      row[j] = min(min(above, row[j - 1]) + 1, diagonal + (a[i - 1] != b[j - 1]));
      diagonal = above;
    }
  }
  return row[lb];
}

__global__ void levenshtein(const char (*words)[MAX_WORD], int n, int *out) {
  int i = blockIdx.y * blockDim.y + threadIdx.y, j = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n && j < n) out[i * n + j] = distance_of(words[i], words[j]);
}

// Each thread walks the automaton over its part, and a little further.
__global__ void match(const char *text, int size, const short (*next)[4], const unsigned *found, int overlap, int *counts) {
  const int part = 64, first = (blockIdx.x * blockDim.x + threadIdx.x) * part;
  int state = 0;
  for (int i = max(0, first - overlap); i < min(first + part, size); i++) {
    state = next[state][text[i] - 'a'];
    unsigned hits = i >= first ? found[state] : 0;
    while (hits) {
      int pattern = __ffs(hits) - 1;
      atomicAdd(&counts[pattern], 1);
      hits &= hits - 1;
    }
  }
}

__global__ void capitals(char *text, int size, int *words) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  bool starts = false;
  if (i < size) {
    char c = text[i], before = i ? text[i - 1] | 32 : ' ';
    starts = c >= 'a' && (before < 'a' || before > 'z');
    if (starts) text[i] = c - 'a' + 'A';
  }
  int of_block = __syncthreads_count(starts);
  if (threadIdx.x == 0) atomicAdd(words, of_block);
}

static int distance(const std::string &a, const std::string &b) {
  std::vector<std::vector<int>> d(a.size() + 1, std::vector<int>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); i++)
    for (size_t j = 0; j <= b.size(); j++)
      d[i][j] = !i ? j : !j ? i : std::min(std::min(d[i - 1][j], d[i][j - 1]) + 1, d[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
  return d[a.size()][b.size()];
}

int main() {
  bool good = true;
  const int n = 40;
  char(*words)[MAX_WORD];
  int *out;
  cudaMallocManaged(&words, n * MAX_WORD), cudaMallocManaged(&out, n * n * sizeof(int));
  for (int i = 0; i < n; i++) {
    int length = rand() % (MAX_WORD - 1);
    for (int k = 0; k < length; k++) words[i][k] = 'a' + rand() % 5;
    words[i][length] = 0;
  }
  levenshtein<<<dim3(5, 5), dim3(8, 8)>>>(words, n, out);
  cudaDeviceSynchronize();
  for (int i = 0; i < n * n; i++) good &= out[i] == distance(words[i / n], words[i % n]);

  const std::vector<std::string> patterns = {"ab", "abc", "bcda", "dd", "a", "cabd"};
  short next[64][4];
  unsigned found[64] = {};
  int fail[64] = {}, states = 1;
  memset(next, 0, sizeof next);
  for (size_t p = 0; p < patterns.size(); p++) {
    int s = 0;
    for (char c : patterns[p]) s = next[s][c - 'a'] ? next[s][c - 'a'] : next[s][c - 'a'] = states++;
    found[s] |= 1u << p;
  }
  std::queue<int> queue;
  for (int c = 0; c < 4; c++)
    if (next[0][c]) queue.push(next[0][c]);
  for (; !queue.empty(); queue.pop()) {
    int s = queue.front();
    found[s] |= found[fail[s]];
    for (int c = 0; c < 4; c++) {
      int t = next[s][c], f = next[fail[s]][c];
      if (t) fail[t] = f, queue.push(t);
      else next[s][c] = f;
    }
  }
  std::string text(5001, ' ');
  for (char &c : text) c = 'a' + rand() % 4;
  char *d_text;
  short(*d_next)[4];
  unsigned *d_found;
  int *counts;
  cudaMalloc(&d_text, text.size()), cudaMalloc(&d_next, sizeof next), cudaMalloc(&d_found, sizeof found);
  cudaMallocManaged(&counts, 8 * sizeof(int)), memset(counts, 0, 8 * sizeof(int));
  cudaMemcpy(d_text, text.data(), text.size(), cudaMemcpyHostToDevice);
  cudaMemcpy(d_next, next, sizeof next, cudaMemcpyHostToDevice);
  cudaMemcpy(d_found, found, sizeof found, cudaMemcpyHostToDevice);
  match<<<2, 64>>>(d_text, text.size(), d_next, d_found, 4, counts);
  cudaDeviceSynchronize();
  for (size_t p = 0; p < patterns.size(); p++) {
    int expected = 0;
    for (size_t at = 0; (at = text.find(patterns[p], at)) != std::string::npos; at++) expected++;
    if (counts[p] != expected) printf("%s: %d, not %d\n", patterns[p].c_str(), counts[p], expected), good = false;
  }
  std::string prose = "the quick brown fox jumps over the lazy dog, twice; then it sleeps";
  cudaMemcpy(d_text, prose.data(), prose.size(), cudaMemcpyHostToDevice);
  counts[7] = 0;
  // A word's first letter looks at the letter before it, which no thread changes to another kind.
  capitals<<<1, 128>>>(d_text, prose.size(), &counts[7]);
  cudaMemcpy(&prose[0], d_text, prose.size(), cudaMemcpyDeviceToHost);
  good &= prose == "The Quick Brown Fox Jumps Over The Lazy Dog, Twice; Then It Sleeps" && counts[7] == 13;
  puts(good ? "PASS" : "FAIL");
  return !good;
}
