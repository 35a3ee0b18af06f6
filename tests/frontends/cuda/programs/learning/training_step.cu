// Logistic regression on several classes, trained on the device: logits, softmax with cross-entropy, gradients, AdamW.
#include <cuda_runtime.h>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <vector>

#define gpuErrchk(ans) gpuAssert((ans), __FILE__, __LINE__)
inline void gpuAssert(cudaError_t code, const char *file, int line, bool abort = true) {
  if (code != cudaSuccess) {
    fprintf(stderr, "GPUassert: %s %s %d\n", cudaGetErrorString(code), file, line);
    if (abort) exit(code);
  }
}

__global__ void matmul_bias(float *logits, const float *x, const float *w, const float *b, int n, int in, int classes) {
  int row = blockIdx.y * blockDim.y + threadIdx.y, col = threadIdx.x;
  if (row >= n || col >= classes) return;
  float sum = b[col];
  for (int k = 0; k < in; ++k) sum += x[row * in + k] * w[k * classes + col];
  logits[row * classes + col] = sum;
}

// A thread per row: the loss, and the gradient in place of the logits.
__global__ void softmax_cross_entropy(float *logits, const int *target, float *loss, int n, int classes) {
  int row = blockIdx.x * blockDim.x + threadIdx.x;
  if (row >= n) return;
  float *z = logits + row * classes, top = z[0], sum = 0;
  for (int c = 1; c < classes; ++c) top = max(top, z[c]);
  for (int c = 0; c < classes; ++c) sum += exp(z[c] - top);
  atomicAdd(loss, (log(sum) + top - z[target[row]]) / n);
  for (int c = 0; c < classes; ++c) z[c] = (exp(z[c] - top) / sum - (c == target[row])) / n;
}

__global__ void gradients(const float *x, const float *dlogits, float *dw, float *db, int n, int in, int classes) {
  int k = blockIdx.x, c = threadIdx.x;
  float sum = 0;
  for (int row = 0; row < n; ++row) sum += (k < in ? x[row * in + k] : 1.0f) * dlogits[row * classes + c];
  (k < in ? dw + k * classes : db)[c] = sum;
}

__device__ inline float lerp(float start, float end, float weight) { return fmaf(weight, end, fmaf(-weight, start, start)); }

__global__ void adamw(float *params, const float *grads, float *m_memory, float *v_memory, long num_parameters, float learning_rate,
                      float beta1, float beta2, float beta1_correction, float beta2_correction, float eps, float weight_decay) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= num_parameters) return;
  float grad = grads[i];
  float m = lerp(grad, m_memory[i], beta1), v = lerp(grad * grad, v_memory[i], beta2);
  m_memory[i] = m, v_memory[i] = v;
  m /= beta1_correction, v /= beta2_correction;
  params[i] -= learning_rate * (m / (sqrtf(v) + eps) + weight_decay * params[i]);
}

int main() {
  const int n = 150, in = 6, classes = 5, count = (in + 1) * classes, steps = 20;
  std::vector<float> x(n * in);
  std::vector<int> target(n);
  for (int i = 0; i < n; ++i) {
    target[i] = rand() % classes;
    for (int k = 0; k < in; ++k) x[i * in + k] = rand() / (float)RAND_MAX - 0.5f + (k == target[i]);
  }
  float *d_x, *d_logits, *params, *grads, *m, *v, *loss;
  int *d_target;
  gpuErrchk(cudaMalloc(&d_x, x.size() * sizeof(float)));
  gpuErrchk(cudaMalloc(&d_logits, n * classes * sizeof(float)));
  gpuErrchk(cudaMalloc(&d_target, n * sizeof(int)));
  for (float **p : {&params, &grads, &m, &v}) {
    gpuErrchk(cudaMalloc(p, count * sizeof(float)));
    gpuErrchk(cudaMemset(*p, 0, count * sizeof(float)));
  }
  gpuErrchk(cudaMallocManaged(&loss, sizeof(float)));
  gpuErrchk(cudaMemcpy(d_x, x.data(), x.size() * sizeof(float), cudaMemcpyHostToDevice));
  gpuErrchk(cudaMemcpy(d_target, target.data(), n * sizeof(int), cudaMemcpyHostToDevice));
  std::vector<double> w(count), gw(count), mw(count), vw(count);
  double worst = 0, first = 0, last = 0;
  for (int step = 1; step <= steps; ++step) {
    const float b1 = 0.9f, b2 = 0.99f, lr = 0.05f, decay = 0.01f;
    *loss = 0;
    matmul_bias<<<dim3(1, (n + 15) / 16), dim3(8, 16)>>>(d_logits, d_x, params, params + in * classes, n, in, classes);
    softmax_cross_entropy<<<(n + 31) / 32, 32>>>(d_logits, d_target, loss, n, classes);
    gradients<<<in + 1, classes>>>(d_x, d_logits, grads, grads + in * classes, n, in, classes);
    adamw<<<(count + 31) / 32, 32>>>(params, grads, m, v, count, lr, b1, b2, 1 - powf(b1, step), 1 - powf(b2, step), 1e-8f, decay);
    gpuErrchk(cudaPeekAtLastError());
    gpuErrchk(cudaDeviceSynchronize());
    double sum = 0;
    std::fill(gw.begin(), gw.end(), 0);
    for (int i = 0; i < n; ++i) {
      double z[classes], total = 0;
      for (int c = 0; c < classes; ++c) {
        z[c] = w[in * classes + c];
        for (int k = 0; k < in; ++k) z[c] += x[i * in + k] * w[k * classes + c];
        total += std::exp(z[c]);
      }
      sum += (std::log(total) - z[target[i]]) / n;
      for (int c = 0; c < classes; ++c)
        for (int k = 0; k <= in; ++k) gw[k * classes + c] += (k < in ? x[i * in + k] : 1.0) * (std::exp(z[c]) / total - (c == target[i])) / n;
    }
    for (int i = 0; i < count; ++i) {
      mw[i] = b1 * mw[i] + (1 - (double)b1) * gw[i], vw[i] = b2 * vw[i] + (1 - (double)b2) * gw[i] * gw[i];
      w[i] -= lr * (mw[i] / (1 - std::pow(b1, step)) / (std::sqrt(vw[i] / (1 - std::pow(b2, step))) + 1e-8) + decay * w[i]);
    }
    worst = std::fmax(worst, std::isnan(*loss) ? 1e9 : std::fabs(*loss - sum));
    (step == 1 ? first : last) = *loss;
  }
  std::vector<float> got(count);
  gpuErrchk(cudaMemcpy(got.data(), params, count * sizeof(float), cudaMemcpyDeviceToHost));
  for (int i = 0; i < count; ++i) worst = std::fmax(worst, std::isnan(got[i]) ? 1e9 : std::fabs(got[i] - w[i]));
  printf("loss %.4f -> %.4f, off by %g\n", first, last, worst);
  bool good = worst < 1e-3 && std::fabs(first - std::log(classes)) < 1e-5 && last < 0.8 * first;
  puts(good ? "PASS" : "FAIL");
  return !good;
}
