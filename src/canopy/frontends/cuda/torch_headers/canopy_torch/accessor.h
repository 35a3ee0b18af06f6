// Tensors as kernels index them: address, sizes and strides by value. Written for Canopy.
#pragma once
#include "core.h"

namespace at {
using namespace c10;

template <typename T> struct DefaultPtrTraits { using PtrType = T*; };
template <typename T> struct RestrictPtrTraits { using PtrType = T* __restrict; };

template <typename T, size_t N, template <typename> class P = DefaultPtrTraits, typename I = int64_t>
class TensorAccessor {
 public:
  using PtrType = typename P<T>::PtrType;
  C10_HOST_DEVICE TensorAccessor(PtrType data, const I* sizes, const I* strides)
      : data_(data), sizes_(sizes), strides_(strides) {}
  C10_HOST_DEVICE I size(I axis) const { return sizes_[axis]; }
  C10_HOST_DEVICE I stride(I axis) const { return strides_[axis]; }
  C10_HOST_DEVICE PtrType data() const { return data_; }
  C10_HOST_DEVICE decltype(auto) operator[](I at) const {
    if constexpr (N == 1) return (data_[strides_[0] * at]);
    else return TensorAccessor<T, N - 1, P, I>(data_ + strides_[0] * at, sizes_ + 1, strides_ + 1);
  }

 private:
  PtrType data_;
  const I *sizes_, *strides_;
};

template <typename T, size_t N, template <typename> class P = DefaultPtrTraits, typename I = int64_t>
class GenericPackedTensorAccessor {
 public:
  using PtrType = typename P<T>::PtrType;
  GenericPackedTensorAccessor(PtrType data, const int64_t* sizes, const int64_t* strides) : data_(data) {
    for (size_t axis = 0; axis < N; axis++) {
      sizes_[axis] = (I)sizes[axis];
      strides_[axis] = (I)strides[axis];
    }
  }
  C10_HOST_DEVICE I size(I axis) const { return sizes_[axis]; }
  C10_HOST_DEVICE I stride(I axis) const { return strides_[axis]; }
  C10_HOST_DEVICE PtrType data() const { return data_; }
  C10_HOST_DEVICE decltype(auto) operator[](I at) const {
    if constexpr (N == 1) return (data_[strides_[0] * at]);
    else return TensorAccessor<T, N - 1, P, I>(data_ + strides_[0] * at, sizes_ + 1, strides_ + 1);
  }

 private:
  PtrType data_;
  I sizes_[N], strides_[N];
};
template <typename T, size_t N, template <typename> class P = DefaultPtrTraits>
using PackedTensorAccessor32 = GenericPackedTensorAccessor<T, N, P, int32_t>;
template <typename T, size_t N, template <typename> class P = DefaultPtrTraits>
using PackedTensorAccessor64 = GenericPackedTensorAccessor<T, N, P, int64_t>;
template <typename T, size_t N, template <typename> class P = DefaultPtrTraits, typename I = int64_t>
using PackedTensorAccessor = GenericPackedTensorAccessor<T, N, P, I>;

}  // namespace at
