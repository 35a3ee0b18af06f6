// Streams, devices and checks of torch's CUDA interface: one device, whose default stream is the current one. Written
// for Canopy.
#pragma once
#include <cuda_runtime.h>

#include "core.h"

namespace c10 {
namespace cuda {
class CUDAStream {
 public:
  CUDAStream(cudaStream_t stream = nullptr) : stream_(stream) {}
  cudaStream_t stream() const { return stream_; }
  operator cudaStream_t() const { return stream_; }
  DeviceIndex device_index() const { return 0; }
  Device device() const { return Device(DeviceType::CUDA, 0); }
  void synchronize() const { cudaStreamSynchronize(stream_); }
  bool query() const { return cudaStreamQuery(stream_) == cudaSuccess; }

 private:
  cudaStream_t stream_;
};
inline CUDAStream getCurrentCUDAStream(DeviceIndex = -1) { return CUDAStream(); }
inline CUDAStream getDefaultCUDAStream(DeviceIndex = -1) { return CUDAStream(); }
inline DeviceIndex device_count() { return 1; }
inline DeviceIndex current_device() { return 0; }
inline void set_device(DeviceIndex) {}
inline void device_synchronize() { cudaDeviceSynchronize(); }
struct CUDAGuard {
  template <typename T> explicit CUDAGuard(const T&) {}
  void set_index(DeviceIndex) {}
};
struct OptionalCUDAGuard {
  OptionalCUDAGuard() = default;
  template <typename T> explicit OptionalCUDAGuard(const T&) {}
  void set_index(DeviceIndex) {}
  template <typename T> void reset_device(const T&) {}
};
struct CUDAStreamGuard {
  template <typename T> explicit CUDAStreamGuard(const T&) {}
};
inline void check(cudaError_t code, const char* file, int line) {
  if (code != cudaSuccess) throw Error(str("CUDA error: ", cudaGetErrorString(code), " (", file, ":", line, ")"));
}
}  // namespace cuda
struct DeviceGuard {
  template <typename T> explicit DeviceGuard(const T&) {}
};
struct OptionalDeviceGuard {
  OptionalDeviceGuard() = default;
  template <typename T> explicit OptionalDeviceGuard(const T&) {}
};
}  // namespace c10
namespace at {
using DeviceGuard = c10::DeviceGuard;
using OptionalDeviceGuard = c10::OptionalDeviceGuard;
namespace cuda {
using namespace c10::cuda;
inline cudaDeviceProp* getCurrentDeviceProperties() {
  static cudaDeviceProp* found = [] {
    auto* made = new cudaDeviceProp;
    cudaGetDeviceProperties(made, 0);
    return made;
  }();
  return found;
}
inline cudaDeviceProp* getDeviceProperties(int64_t) { return getCurrentDeviceProperties(); }
inline int ATenCeilDiv(int a, int b) { return (a + b - 1) / b; }
template <typename T> T ATenCeilDiv(T a, T b) { return (a + b - 1) / b; }
}  // namespace cuda
template <typename A, typename B> C10_HOST_DEVICE auto ceil_div(A a, B b) { return (a + b - 1) / b; }
}  // namespace at

#define C10_CUDA_CHECK(expression) ::c10::cuda::check((expression), __FILE__, __LINE__)
#define C10_CUDA_KERNEL_LAUNCH_CHECK() C10_CUDA_CHECK(cudaGetLastError())
#define C10_CUDA_IGNORE_ERROR(expression) (void)(expression)
#define AT_CUDA_CHECK C10_CUDA_CHECK
#define CUDA_KERNEL_LOOP_TYPE(i, n, index_type)                                                                  \
  for (index_type i = (index_type)blockIdx.x * blockDim.x + threadIdx.x; i < (n);                                \
       i += (index_type)blockDim.x * gridDim.x)
#define CUDA_KERNEL_LOOP(i, n) CUDA_KERNEL_LOOP_TYPE(i, n, int)
