#include <torch/extension.h>

#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <ATen/cuda/CUDAContext.h>

template <typename scalar_t>
__device__ __forceinline__ scalar_t sigmoid(scalar_t z) { return 1.0 / (1.0 + exp(-z)); }
template <typename scalar_t>
__device__ __forceinline__ scalar_t d_sigmoid(scalar_t z) {
  const auto s = sigmoid(z);
  return (1.0 - s) * s;
}
template <typename scalar_t>
__device__ __forceinline__ scalar_t d_tanh(scalar_t z) {
  const auto t = tanh(z);
  return 1 - (t * t);
}
template <typename scalar_t>
__device__ __forceinline__ scalar_t elu(scalar_t z, scalar_t alpha = 1.0) {
  return fmax(scalar_t(0.0), z) + fmin(scalar_t(0.0), alpha * (exp(z) - scalar_t(1.0)));
}
template <typename scalar_t>
__device__ __forceinline__ scalar_t d_elu(scalar_t z, scalar_t alpha = 1.0) {
  const auto e = exp(z);
  const auto d_relu = z < 0.0 ? 0.0 : 1.0;
  return d_relu + (((alpha * (e - 1.0)) < 0.0) ? (alpha * e) : 0.0);
}

template <typename scalar_t>
__global__ void forward_kernel(
    const torch::PackedTensorAccessor32<scalar_t, 3, torch::RestrictPtrTraits> gates,
    const torch::PackedTensorAccessor32<scalar_t, 2, torch::RestrictPtrTraits> old_cell,
    torch::PackedTensorAccessor32<scalar_t, 2, torch::RestrictPtrTraits> new_h,
    torch::PackedTensorAccessor32<scalar_t, 2, torch::RestrictPtrTraits> new_cell) {
  const int n = blockIdx.y;
  const int c = blockIdx.x * blockDim.x + threadIdx.x;
  if (c < gates.size(2)) {
    const auto candidate = elu(gates[n][2][c]);
    new_cell[n][c] = old_cell[n][c] + candidate * sigmoid(gates[n][0][c]);
    new_h[n][c] = tanh(new_cell[n][c]) * sigmoid(gates[n][1][c]);
  }
}

template <typename scalar_t>
__global__ void backward_kernel(
    torch::PackedTensorAccessor32<scalar_t, 2, torch::RestrictPtrTraits> d_old_cell,
    torch::PackedTensorAccessor32<scalar_t, 3, torch::RestrictPtrTraits> d_gates,
    const torch::PackedTensorAccessor32<scalar_t, 2, torch::RestrictPtrTraits> grad_h,
    const torch::PackedTensorAccessor32<scalar_t, 2, torch::RestrictPtrTraits> grad_cell,
    const torch::PackedTensorAccessor32<scalar_t, 2, torch::RestrictPtrTraits> new_cell,
    const torch::PackedTensorAccessor32<scalar_t, 3, torch::RestrictPtrTraits> gates) {
  const int n = blockIdx.y;
  const int c = blockIdx.x * blockDim.x + threadIdx.x;
  if (c < d_gates.size(2)) {
    const auto input_gate = sigmoid(gates[n][0][c]);
    const auto output_gate = sigmoid(gates[n][1][c]);
    const auto candidate = elu(gates[n][2][c]);
    const auto d_tanh_cell = output_gate * grad_h[n][c];
    const auto d_new_cell = d_tanh(new_cell[n][c]) * d_tanh_cell + grad_cell[n][c];
    d_old_cell[n][c] = d_new_cell;
    d_gates[n][0][c] = candidate * d_new_cell * d_sigmoid(gates[n][0][c]);
    d_gates[n][1][c] = tanh(new_cell[n][c]) * grad_h[n][c] * d_sigmoid(gates[n][1][c]);
    d_gates[n][2][c] = input_gate * d_new_cell * d_elu(gates[n][2][c]);
  }
}

std::vector<torch::Tensor> cell_cuda_forward(torch::Tensor input, torch::Tensor weights,
                                             torch::Tensor bias, torch::Tensor old_h,
                                             torch::Tensor old_cell) {
  auto X = torch::cat({old_h, input}, /*dim=*/1);
  auto gate_weights = torch::addmm(bias, X, weights.transpose(0, 1));
  const auto batch_size = old_cell.size(0);
  const auto state_size = old_cell.size(1);
  auto gates = gate_weights.reshape({batch_size, 3, state_size});
  auto new_h = torch::zeros_like(old_cell);
  auto new_cell = torch::zeros_like(old_cell);
  const int threads = 1024;
  const dim3 blocks((state_size + threads - 1) / threads, batch_size);
  AT_DISPATCH_FLOATING_TYPES(gates.type(), "cell_forward", ([&] {
    forward_kernel<scalar_t><<<blocks, threads>>>(
        gates.packed_accessor32<scalar_t, 3, torch::RestrictPtrTraits>(),
        old_cell.packed_accessor32<scalar_t, 2, torch::RestrictPtrTraits>(),
        new_h.packed_accessor32<scalar_t, 2, torch::RestrictPtrTraits>(),
        new_cell.packed_accessor32<scalar_t, 2, torch::RestrictPtrTraits>());
  }));
  return {new_h, new_cell, X, gates};
}

std::vector<torch::Tensor> cell_cuda_backward(torch::Tensor grad_h, torch::Tensor grad_cell,
                                              torch::Tensor new_cell, torch::Tensor gates_in,
                                              torch::Tensor X, torch::Tensor gates,
                                              torch::Tensor weights) {
  auto d_old_cell = torch::zeros_like(new_cell);
  auto d_gates = torch::zeros_like(gates);
  const auto batch_size = new_cell.size(0);
  const auto state_size = new_cell.size(1);
  const int threads = 1024;
  const dim3 blocks((state_size + threads - 1) / threads, batch_size);
  AT_DISPATCH_FLOATING_TYPES(X.scalar_type(), "cell_backward", ([&] {
    backward_kernel<scalar_t><<<blocks, threads>>>(
        d_old_cell.packed_accessor32<scalar_t, 2, torch::RestrictPtrTraits>(),
        d_gates.packed_accessor32<scalar_t, 3, torch::RestrictPtrTraits>(),
        grad_h.packed_accessor32<scalar_t, 2, torch::RestrictPtrTraits>(),
        grad_cell.packed_accessor32<scalar_t, 2, torch::RestrictPtrTraits>(),
        new_cell.packed_accessor32<scalar_t, 2, torch::RestrictPtrTraits>(),
        gates.packed_accessor32<scalar_t, 3, torch::RestrictPtrTraits>());
  }));
  auto d_gate_weights = d_gates.flatten(1, 2);
  auto d_weights = d_gate_weights.t().mm(X);
  auto d_bias = d_gate_weights.sum(/*dim=*/0, /*keepdim=*/true);
  auto d_X = d_gate_weights.mm(weights);
  auto d_old_h = d_X.slice(/*dim=*/1, 0, state_size);
  auto d_input = d_X.slice(/*dim=*/1, state_size);
  return {d_old_h, d_input, d_weights, d_bias, d_old_cell, d_gates};
}

template <typename T>
__global__ void softmax_kernel(const T* __restrict__ x, T* __restrict__ y, int columns) {
  using acc_t = at::acc_type<T, true>;
  __shared__ acc_t partial[32];
  const T* row = x + (int64_t)blockIdx.x * columns;
  acc_t top = -INFINITY, sum = 0;
  for (int i = threadIdx.x; i < columns; i += blockDim.x) top = fmaxf(top, (acc_t)row[i]);
  for (int step = 16; step > 0; step /= 2) top = fmaxf(top, __shfl_xor_sync(0xffffffff, top, step));
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = top;
  __syncthreads();
  for (int i = 0; i < blockDim.x / 32; i++) top = fmaxf(top, partial[i]);
  __syncthreads();
  for (int i = threadIdx.x; i < columns; i += blockDim.x) sum += expf((acc_t)row[i] - top);
  for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffff, sum, step);
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = sum;
  __syncthreads();
  sum = 0;
  for (int i = 0; i < blockDim.x / 32; i++) sum += partial[i];
  T* out = y + (int64_t)blockIdx.x * columns;
  for (int i = threadIdx.x; i < columns; i += blockDim.x) out[i] = (T)(expf((acc_t)row[i] - top) / sum);
}

torch::Tensor softmax_rows(const torch::Tensor& x) {
  const at::cuda::OptionalCUDAGuard guard(device_of(x));
  auto y = torch::empty(x.sizes(), x.options());
  int columns = x.size(-1);
  cudaStream_t stream = at::cuda::getCurrentCUDAStream();
  AT_DISPATCH_SWITCH(x.scalar_type(), "softmax_rows",
                     AT_DISPATCH_CASE(at::kFloat, [&] {
                       softmax_kernel<scalar_t><<<x.numel() / columns, 128, 0, stream>>>(
                           x.const_data_ptr<scalar_t>(), y.mutable_data_ptr<scalar_t>(), columns);
                     })
                     AT_DISPATCH_CASE(at::kHalf, [&] {
                       softmax_kernel<scalar_t><<<x.numel() / columns, 128, 0, stream>>>(
                           x.data_ptr<scalar_t>(), y.data_ptr<scalar_t>(), columns);
                     })
                     AT_DISPATCH_CASE(at::kBFloat16, [&] {
                       softmax_kernel<scalar_t><<<x.numel() / columns, 128, 0, stream>>>(
                           x.data_ptr<scalar_t>(), y.data_ptr<scalar_t>(), columns);
                     }));
  C10_CUDA_KERNEL_LAUNCH_CHECK();
  return y;
}

#define TILE 16
__global__ void matmul_kernel(const float* a, const float* b, float* c, int m, int n, int k) {
  __shared__ float left[TILE][TILE], right[TILE][TILE];
  int row = blockIdx.y * TILE + threadIdx.y, column = blockIdx.x * TILE + threadIdx.x;
  float sum = 0;
  for (int at = 0; at < k; at += TILE) {
    left[threadIdx.y][threadIdx.x] = row < m && at + threadIdx.x < k ? a[row * k + at + threadIdx.x] : 0;
    right[threadIdx.y][threadIdx.x] = column < n && at + threadIdx.y < k ? b[(at + threadIdx.y) * n + column] : 0;
    __syncthreads();
    for (int i = 0; i < TILE; i++) sum += left[threadIdx.y][i] * right[i][threadIdx.x];
    __syncthreads();
  }
  if (row < m && column < n) c[row * n + column] = sum;
}

torch::Tensor matmul_tiled(torch::Tensor a, torch::Tensor b) {
  TORCH_CHECK(a.size(1) == b.size(0), "inner sizes differ");
  auto c = torch::empty({a.size(0), b.size(1)}, torch::dtype(torch::kFloat32).device(torch::kCUDA));
  dim3 threads(TILE, TILE), blocks(at::ceil_div(b.size(1), (int64_t)TILE), at::ceil_div(a.size(0), (int64_t)TILE));
  matmul_kernel<<<blocks, threads>>>(a.data_ptr<float>(), b.data_ptr<float>(), c.data_ptr<float>(),
                                     a.size(0), b.size(1), a.size(1));
  AT_CUDA_CHECK(cudaGetLastError());
  return c;
}

__global__ void scale_kernel(float* x, const float* offset, float factor, int n) {
  CUDA_KERNEL_LOOP(i, n) x[i] = x[i] * factor + (offset ? offset[i] : 0.0f);
}

void scale_(at::Tensor x, double factor, c10::optional<at::Tensor> offset) {
  int n = x.numel();
  scale_kernel<<<2, 64>>>(x.data_ptr<float>(), offset.has_value() ? offset.value().data_ptr<float>() : nullptr,
                          factor, n);
}
