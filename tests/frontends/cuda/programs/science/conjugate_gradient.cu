// Conjugate gradients on a sparse Poisson matrix: SpMV, dots with two-stage reductions, axpy.
#include <cmath>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <vector>

#define CUDA_TRY(expr)                                                                    \
  do {                                                                                    \
    const cudaError_t err = (expr);                                                       \
    if (err != cudaSuccess) {                                                             \
      std::ostringstream text;                                                            \
      text << __FILE__ << ":" << __LINE__ << " " << cudaGetErrorString(err);              \
      throw std::runtime_error(text.str());                                               \
    }                                                                                     \
  } while (0)

template <typename T>
class DeviceVector {
 public:
  explicit DeviceVector(size_t n) : size_(n) { CUDA_TRY(cudaMalloc(&data_, n * sizeof(T))); }
  explicit DeviceVector(const std::vector<T> &host) : DeviceVector(host.size()) {
    CUDA_TRY(cudaMemcpy(data_, host.data(), size_ * sizeof(T), cudaMemcpyHostToDevice));
  }
  DeviceVector(const DeviceVector &) = delete;
  DeviceVector &operator=(const DeviceVector &) = delete;
  ~DeviceVector() { cudaFree(data_); }
  operator T *() { return data_; }
  operator const T *() const { return data_; }
  size_t size() const { return size_; }
  std::vector<T> download() const {
    std::vector<T> out(size_);
    CUDA_TRY(cudaMemcpy(out.data(), data_, size_ * sizeof(T), cudaMemcpyDeviceToHost));
    return out;
  }

 private:
  T *data_ = nullptr;
  size_t size_;
};

__global__ void spmv(int n, const int *row, const int *col, const double *val, const double *x, double *y) {
  int r = blockIdx.x * blockDim.x + threadIdx.x;
  if (r >= n) return;
  double sum = 0;
  for (int e = row[r]; e < row[r + 1]; ++e) sum = fma(val[e], x[col[e]], sum);
  y[r] = sum;
}

template <unsigned THREADS>
__global__ void dot_partial(int n, const double *a, const double *b, double *out) {
  __shared__ double s[THREADS];
  double sum = 0;
  for (int i = blockIdx.x * THREADS + threadIdx.x; i < n; i += gridDim.x * THREADS) sum += a[i] * (b ? b[i] : 1.0);
  s[threadIdx.x] = sum;
  __syncthreads();
#pragma unroll
  for (unsigned w = THREADS / 2; w; w >>= 1) {
    if (threadIdx.x < w) s[threadIdx.x] += s[threadIdx.x + w];
    __syncthreads();
  }
  if (!threadIdx.x) out[blockIdx.x] = s[0];
}

// y = a * x + b * y
__global__ void axpby(int n, double a, const double *x, double b, double *y) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = a * x[i] + b * y[i];
}

double dot(const DeviceVector<double> &a, const DeviceVector<double> &b) {
  DeviceVector<double> parts(20), sum(1);
  dot_partial<64><<<20, 64>>>((int)a.size(), a, b, parts);
  dot_partial<64><<<1, 64>>>(20, parts, nullptr, sum);
  CUDA_TRY(cudaGetLastError());
  return sum.download()[0];
}

int main() try {
  const int side = 24, n = side * side;
  std::vector<int> row{0}, col;
  std::vector<double> val, truth(n), rhs(n);
  for (int i = 0; i < n; ++i) {
    const int x = i % side, y = i / side;
    auto entry = [&](int c, double v) { col.push_back(c), val.push_back(v); };
    if (y > 0) entry(i - side, -1);
    if (x > 0) entry(i - 1, -1);
    entry(i, 4);
    if (x < side - 1) entry(i + 1, -1);
    if (y < side - 1) entry(i + side, -1);
    row.push_back((int)col.size());
    truth[i] = std::cos(i * 0.37);
  }
  for (int i = 0; i < n; ++i)
    for (int e = row[i]; e < row[i + 1]; ++e) rhs[i] += val[e] * truth[col[e]];
  DeviceVector<int> d_row(row), d_col(col);
  DeviceVector<double> d_val(val), r(rhs), p(rhs), Ap(n), x(std::vector<double>(n, 0.0));
  const int blocks = (n + 63) / 64;
  double rr = dot(r, r);
  int k = 0;
  for (; k < 500 && rr > 1e-20; ++k) {
    spmv<<<blocks, 64>>>(n, d_row, d_col, d_val, p, Ap);
    const double alpha = rr / dot(p, Ap);
    axpby<<<blocks, 64>>>(n, alpha, p, 1, x);
    axpby<<<blocks, 64>>>(n, -alpha, Ap, 1, r);
    const double next = dot(r, r);
    axpby<<<blocks, 64>>>(n, 1, r, next / rr, p);
    rr = next;
  }
  const auto got = x.download();
  double worst = 0;
  for (int i = 0; i < n; ++i) worst = std::isnan(got[i]) ? 1e9 : std::max(worst, std::fabs(got[i] - truth[i]));
  std::cout << k << " iterations, off by " << worst << std::endl;
  const bool good = k > 10 && k < 200 && worst < 1e-8;
  std::cout << (good ? "PASS" : "FAIL") << std::endl;
  return good ? 0 : 1;
} catch (const std::exception &problem) {
  std::cout << problem.what() << "\nFAIL" << std::endl;
  return 1;
}
