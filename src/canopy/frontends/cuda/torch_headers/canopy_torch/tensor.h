// Tensors: Python's own, with torch's C++ names. What a tensor knows of itself (address, sizes, strides) is asked for
// once and kept; every operator is a call of the installed torch. Written for Canopy.
#pragma once
#include <memory>

#include "accessor.h"
#include "core.h"

namespace at {
class Tensor;
class Result;

namespace indexing {
struct EllipsisIndexType {};
struct Slice {
  Slice(std::optional<int64_t> start = {}, std::optional<int64_t> stop = {}, std::optional<int64_t> step = {})
      : start(start), stop(stop), step(step) {}
  std::optional<int64_t> start, stop, step;
};
constexpr EllipsisIndexType Ellipsis;
constexpr std::nullopt_t None = std::nullopt;
class TensorIndex {
 public:
  TensorIndex(std::nullopt_t) : value_(canopy::none()) {}
  TensorIndex(EllipsisIndexType) : value_(canopy::module_of("builtins").attr("Ellipsis")) {}
  TensorIndex(Slice s) : value_(canopy::module_of("builtins").attr("slice")(s.start, s.stop, s.step)) {}
  template <typename T, typename = std::enable_if_t<std::is_integral_v<T>>>
  TensorIndex(T at) : value_(canopy::to_python(at)) {}
  TensorIndex(const Tensor& mask);
  TensorIndex(const char*) : TensorIndex(EllipsisIndexType()) {}
  const canopy::object& python() const { return value_; }

 private:
  canopy::object value_;
};
}  // namespace indexing

struct DeprecatedTypeProperties {
  ScalarType type;
  Device device;
  ScalarType scalarType() const { return type; }
  bool is_cuda() const { return device.is_cuda(); }
  operator ScalarType() const { return type; }
};
// torch::kFloat32 and x.dtype() compare and print as dtypes.
struct TypeMeta {
  ScalarType type;
  operator ScalarType() const { return type; }
  std::size_t itemsize() const { return elementSize(type); }
  ScalarType toScalarType() const { return type; }
};
inline bool operator==(TypeMeta a, TypeMeta b) { return a.type == b.type; }
inline bool operator==(TypeMeta a, ScalarType b) { return a.type == b; }
inline bool operator==(ScalarType a, TypeMeta b) { return a == b.type; }
inline bool operator!=(TypeMeta a, TypeMeta b) { return a.type != b.type; }
inline bool operator!=(TypeMeta a, ScalarType b) { return a.type != b; }
inline bool operator!=(ScalarType a, TypeMeta b) { return a != b.type; }
inline std::ostream& operator<<(std::ostream& out, TypeMeta meta) {
  static const std::pair<ScalarType, const char*> names[] = {
      {ScalarType::Float, "float"},   {ScalarType::Double, "double"}, {ScalarType::Half, "c10::Half"},
      {ScalarType::Long, "long int"}, {ScalarType::Int, "int"},       {ScalarType::BFloat16, "c10::BFloat16"}};
  for (auto& [type, name] : names)
    if (type == meta.type) return out << name;
  return out << meta.type;
}

using TensorList = ArrayRef<Tensor>;

class Tensor {
 public:
  Tensor() = default;
  explicit Tensor(canopy::object value) : state_(std::make_shared<State>(State{std::move(value)})) {}

  // ---- what it is
  bool defined() const { return state_ != nullptr; }
  void reset() { state_.reset(); }
  IntArrayRef sizes() const { return facts().sizes; }
  IntArrayRef strides() const { return facts().strides; }
  int64_t size(int64_t axis) const { return facts().sizes[wrapped(axis)]; }
  int64_t stride(int64_t axis) const { return facts().strides[wrapped(axis)]; }
  int64_t dim() const { return (int64_t)facts().sizes.size(); }
  int64_t ndimension() const { return dim(); }
  int64_t numel() const { return facts().numel; }
  int64_t storage_offset() const { return facts().offset; }
  std::size_t element_size() const { return (std::size_t)facts().itemsize; }
  std::size_t itemsize() const { return element_size(); }
  std::size_t nbytes() const { return (std::size_t)(numel() * facts().itemsize); }
  ScalarType scalar_type() const { return facts().type; }
  TypeMeta dtype() const { return {facts().type}; }
  DeprecatedTypeProperties type() const { return {scalar_type(), device()}; }
  Device device() const { return facts().device; }
  int64_t get_device() const { return is_cuda() ? device().index() : -1; }
  bool is_cuda() const { return device().is_cuda(); }
  bool is_cpu() const { return device().is_cpu(); }
  bool is_sparse() const { return false; }
  bool is_contiguous() const { return facts().is_contiguous; }
  bool is_contiguous(MemoryFormat format) const {
    return format == MemoryFormat::Contiguous ? is_contiguous() : call("is_contiguous", format).cast<bool>();
  }
  bool is_floating_point() const { return isFloatingType(scalar_type()); }
  bool requires_grad() const { return facts().requires_grad; }
  TensorOptions options() const { return TensorOptions(scalar_type()).device(device()); }
  bool is_same(const Tensor& other) const { return python().ptr() == other.python().ptr(); }

  // ---- its memory
  void* data_ptr() const { return (void*)(intptr_t)facts().address; }
  void* mutable_data_ptr() const { return data_ptr(); }
  const void* const_data_ptr() const { return data_ptr(); }
  template <typename T> T* data_ptr() const {
    constexpr ScalarType wanted = CppTypeToScalarType<std::remove_const_t<T>>::value;
    if (scalar_type() != wanted) throw Error(str("expected scalar type ", wanted, " but found ", scalar_type()));
    return (T*)data_ptr();
  }
  template <typename T> T* data() const { return data_ptr<T>(); }
  template <typename T> T* mutable_data_ptr() const { return data_ptr<T>(); }
  template <typename T> const T* const_data_ptr() const { return data_ptr<T>(); }
  template <typename T, size_t N, template <typename> class P = DefaultPtrTraits>
  PackedTensorAccessor32<T, N, P> packed_accessor32() const {
    if (numel() > std::numeric_limits<int32_t>::max()) throw Error("numel needs to be smaller than int32_t max");
    return packed_accessor<T, N, P, int32_t>();
  }
  template <typename T, size_t N, template <typename> class P = DefaultPtrTraits>
  PackedTensorAccessor64<T, N, P> packed_accessor64() const {
    return packed_accessor<T, N, P, int64_t>();
  }
  template <typename T, size_t N, template <typename> class P = DefaultPtrTraits, typename I = int64_t>
  GenericPackedTensorAccessor<T, N, P, I> packed_accessor() const {
    check_rank(N);
    return {data_ptr<T>(), facts().sizes.data(), facts().strides.data()};
  }
  template <typename T, size_t N> TensorAccessor<T, N> accessor() const {
    check_rank(N);
    return {data_ptr<T>(), facts().sizes.data(), facts().strides.data()};
  }

  // ---- operators of torch, by name
  template <typename... A> Result method(const char* name, const A&... arguments) const;
#define CANOPY_METHOD(name)                                                                                      \
  template <typename... A> Result name(const A&... arguments) const;                                             \
  template <typename... A> Result name(IntArrayRef list, const A&... arguments) const;
#include <canopy_torch_names/methods.inc>
#undef CANOPY_METHOD
  Tensor set_requires_grad(bool wanted) const { return Tensor(call("requires_grad_", wanted)); }
  Tensor toType(ScalarType type) const { return Tensor(call("to", type)); }
  Tensor grad() const { return from_optional(python().attr("grad")); }
  template <typename T> T item() const { return call("item").cast<T>(); }
  Scalar item() const { return Scalar(call("item")); }
  Tensor index(std::initializer_list<indexing::TensorIndex> at) const;
  Tensor& index_put_(std::initializer_list<indexing::TensorIndex> at, const Tensor& value);
  Tensor operator[](int64_t at) const { return Tensor(call("__getitem__", at)); }
  Tensor operator[](const Tensor& at) const { return Tensor(call("__getitem__", at)); }
  Tensor operator-() const { return Tensor(call("__neg__")); }
  Tensor operator~() const { return Tensor(call("__invert__")); }
#define CANOPY_ASSIGN(symbol, name)                                                                              \
  template <typename T> Tensor& operator symbol(const T& other) {                                                \
    call(name, other);                                                                                           \
    return *this;                                                                                                \
  }
  CANOPY_ASSIGN(+=, "__iadd__") CANOPY_ASSIGN(-=, "__isub__") CANOPY_ASSIGN(*=, "__imul__")
  CANOPY_ASSIGN(/=, "__itruediv__")
#undef CANOPY_ASSIGN

  const canopy::object& python() const {
    if (!state_) throw Error("a tensor that is not defined has no value");
    return state_->value;
  }
  // Calls torch; what is known of this tensor is asked for again after a change in place.
  template <typename... A> canopy::object call(const char* name, const A&... arguments) const {
    canopy::object result = canopy::helper("method")(name, python(), canopy::pack(arguments...));
    std::size_t length = std::strlen(name);
    if (name[length - 1] == '_' && state_) state_->facts.reset();
    return result;
  }

 private:
  struct Facts {
    int64_t address, numel, itemsize, offset;
    ScalarType type;
    Device device;
    bool is_contiguous, requires_grad;
    std::vector<int64_t> sizes, strides;
  };
  struct State {
    canopy::object value;
    std::unique_ptr<Facts> facts;
  };
  const Facts& facts() const {
    python();
    if (!state_->facts) state_->facts = std::make_unique<Facts>(describe());
    return *state_->facts;
  }
  Facts describe() const {
    using Tuple = std::tuple<int64_t, int64_t, int64_t, int64_t, int, std::string, bool, bool,
                             std::vector<int64_t>, std::vector<int64_t>>;
    auto [address, numel, itemsize, offset, code, device, dense, grad, sizes, strides] =
        canopy::helper("describe")(python()).cast<Tuple>();
    return {address, numel, itemsize, offset, (ScalarType)code, Device(device), dense, grad, sizes, strides};
  }
  std::size_t wrapped(int64_t axis) const {
    int64_t rank = dim();
    if (axis < -rank || axis >= rank)
      throw IndexError(str("Dimension out of range (expected to be in range of [", -rank, ", ", rank - 1,
                           "], but got ", axis, ")"));
    return (std::size_t)(axis < 0 ? axis + rank : axis);
  }
  static Tensor from_optional(canopy::object value) { return value.is_none() ? Tensor() : Tensor(std::move(value)); }
  void check_rank(std::size_t rank) const {
    if ((int64_t)rank != dim())
      throw Error(str("TensorAccessor expected ", rank, " dims but tensor has ", dim()));
  }
  std::shared_ptr<State> state_;
};

inline std::ostream& operator<<(std::ostream& out, const Tensor& tensor) {
  return out << canopy::object(PyObject_Str(tensor.python().ptr())).cast<std::string>();
}
}  // namespace at

namespace canopy {
template <> struct caster<at::Tensor> {
  static object to(const at::Tensor& tensor) { return tensor.defined() ? tensor.python() : none(); }
  static at::Tensor from(PyObject* value) {
    static object* kind = new object(module_of("torch").attr("Tensor"));
    if (PyObject_IsInstance(value, kind->ptr()) != 1) refuse("a torch.Tensor", value);
    return at::Tensor(object::borrowed(value));
  }
  static std::string name() { return "torch.Tensor"; }
};
template <> struct caster<at::TypeMeta> {
  static object to(at::TypeMeta meta) { return to_python(meta.type); }
};
template <> struct caster<at::DeprecatedTypeProperties> {
  static object to(const at::DeprecatedTypeProperties& type) { return to_python(type.type); }
};
template <> struct caster<at::indexing::TensorIndex> {
  static object to(const at::indexing::TensorIndex& at) { return at.python(); }
};
}  // namespace canopy

namespace at {

// What an operator gives: a tensor, or several, or a number.
class Result : public Tensor {
 public:
  explicit Result(canopy::object value) : Tensor(std::move(value)) {}
  template <typename... T> operator std::tuple<T...>() const { return python().cast<std::tuple<T...>>(); }
  template <typename T> operator std::vector<T>() const { return python().cast<std::vector<T>>(); }
  template <typename T, typename = std::enable_if_t<std::is_arithmetic_v<T>>> operator T() const {
    if constexpr (std::is_same_v<T, bool>) return PyObject_IsTrue(python().ptr()) == 1;
    else return python().cast<T>();
  }
  operator Scalar() const { return Scalar(python()); }

  // Several tensors: for (auto& part : x.split(1)) ...
  using Tensor::size;
  std::size_t size() const { return (std::size_t)PySequence_Size(python().ptr()); }
  std::vector<Tensor>::const_iterator begin() const { return parts().begin(); }
  std::vector<Tensor>::const_iterator end() const { return parts().end(); }
  const Tensor& front() const { return parts().front(); }
  const Tensor& back() const { return parts().back(); }

 private:
  const std::vector<Tensor>& parts() const {
    if (!parts_) parts_ = std::make_shared<std::vector<Tensor>>(python().cast<std::vector<Tensor>>());
    return *parts_;
  }
  mutable std::shared_ptr<std::vector<Tensor>> parts_;
};
}  // namespace at
namespace canopy {
template <> struct caster<at::Result> {
  static object to(const at::Result& result) { return result.python(); }
};
}  // namespace canopy
namespace at {

inline std::optional<Device> device_of(const Tensor& tensor) {
  return tensor.defined() ? std::optional<Device>(tensor.device()) : std::nullopt;
}
inline TensorOptions dtype(ScalarType type) { return TensorOptions(type); }
inline TensorOptions device(Device place) { return TensorOptions(place); }
inline TensorOptions requires_grad(bool wanted = true) { return TensorOptions().requires_grad(wanted); }

inline indexing::TensorIndex::TensorIndex(const Tensor& mask) : value_(mask.python()) {}
inline canopy::object index_tuple(std::initializer_list<indexing::TensorIndex> at) {
  canopy::object tuple(PyTuple_New((canopy_py_size)at.size()));
  canopy_py_size position = 0;
  for (const indexing::TensorIndex& each : at)
    PyTuple_SetItem(tuple.ptr(), position++, canopy::object(each.python()).release());
  return tuple;
}
inline Tensor Tensor::index(std::initializer_list<indexing::TensorIndex> at) const {
  return Tensor(call("__getitem__", index_tuple(at)));
}
inline Tensor& Tensor::index_put_(std::initializer_list<indexing::TensorIndex> at, const Tensor& value) {
  call("__setitem__", index_tuple(at), value);
  return *this;
}
template <typename... A> Result Tensor::method(const char* name, const A&... arguments) const {
  return Result(call(name, arguments...));
}
#define CANOPY_METHOD(name)                                                                                      \
  template <typename... A> Result Tensor::name(const A&... arguments) const {                                    \
    return method(#name, arguments...);                                                                          \
  }                                                                                                              \
  template <typename... A> Result Tensor::name(IntArrayRef list, const A&... arguments) const {                  \
    return method(#name, list, arguments...);                                                                    \
  }
#include <canopy_torch_names/methods.inc>
#undef CANOPY_METHOD

template <typename... A> Result function(const char* name, const A&... arguments) {
  return Result(canopy::helper("function")(name, canopy::pack(arguments...)));
}
#define CANOPY_FUNCTION(name)                                                                                    \
  template <typename... A> Result name(const Tensor& self, const A&... arguments) {                              \
    return function(#name, self, arguments...);                                                                  \
  }                                                                                                              \
  template <typename... A> Result name(const Tensor& self, IntArrayRef list, const A&... arguments) {            \
    return function(#name, self, list, arguments...);                                                            \
  }                                                                                                              \
  template <typename... A> Result name(TensorList list, const A&... arguments) {                                 \
    return function(#name, list, arguments...);                                                                  \
  }
#include <canopy_torch_names/functions.inc>
#undef CANOPY_FUNCTION
#define CANOPY_FACTORY(name)                                                                                     \
  template <typename... A> Tensor name(IntArrayRef sizes, const A&... arguments) {                               \
    return function(#name, sizes, arguments...);                                                                 \
  }                                                                                                              \
  template <typename T, typename... A, typename = std::enable_if_t<std::is_integral_v<T>>>                       \
  Tensor name(T size, const A&... arguments) {                                                                   \
    return function(#name, (int64_t)size, arguments...);                                                         \
  }
CANOPY_FACTORY(empty) CANOPY_FACTORY(zeros) CANOPY_FACTORY(ones) CANOPY_FACTORY(rand) CANOPY_FACTORY(randn)
#undef CANOPY_FACTORY
template <typename... A> Tensor full(IntArrayRef sizes, Scalar value, const A&... arguments) {
  return function("full", sizes, value, arguments...);
}
template <typename... A> Tensor empty_strided(IntArrayRef sizes, IntArrayRef strides, const A&... arguments) {
  return function("empty_strided", sizes, strides, arguments...);
}
template <typename... A> Tensor randint(int64_t low, int64_t high, IntArrayRef sizes, const A&... arguments) {
  return function("randint", low, high, sizes, arguments...);
}
#define CANOPY_NUMBERS(name)                                                                                     \
  template <typename... A> Tensor name(Scalar first, const A&... arguments) {                                    \
    return function(#name, first, arguments...);                                                                 \
  }
CANOPY_NUMBERS(arange) CANOPY_NUMBERS(eye) CANOPY_NUMBERS(linspace) CANOPY_NUMBERS(randperm)
CANOPY_NUMBERS(scalar_tensor)
#undef CANOPY_NUMBERS
template <typename T> Tensor tensor(std::initializer_list<T> values, const TensorOptions& options = {}) {
  return function("tensor", std::vector<T>(values), options);
}
template <typename T> Tensor tensor(const std::vector<T>& values, const TensorOptions& options = {}) {
  return function("tensor", values, options);
}
template <typename T, typename = std::enable_if_t<std::is_arithmetic_v<T>>>
Tensor tensor(T value, const TensorOptions& options = {}) {
  return function("tensor", value, options);
}
inline Tensor einsum(const std::string& equation, TensorList operands) {
  return function("einsum", equation, operands);
}
inline Tensor from_blob(void* data, IntArrayRef sizes, const TensorOptions& options = {}) {
  return function("from_blob", (int64_t)(intptr_t)data, sizes, options);
}

#define CANOPY_OPERATOR(symbol, name, reflected)                                                                 \
  inline Tensor operator symbol(const Tensor& a, const Tensor& b) { return Tensor(a.call(name, b)); }            \
  template <typename T, typename = std::enable_if_t<std::is_arithmetic_v<T> || std::is_same_v<T, Scalar>>>       \
  Tensor operator symbol(const Tensor& a, const T& b) {                                                          \
    return Tensor(a.call(name, b));                                                                              \
  }                                                                                                              \
  template <typename T, typename = std::enable_if_t<std::is_arithmetic_v<T> || std::is_same_v<T, Scalar>>>       \
  Tensor operator symbol(const T& a, const Tensor& b) {                                                          \
    return Tensor(b.call(reflected, a));                                                                         \
  }
CANOPY_OPERATOR(+, "__add__", "__radd__") CANOPY_OPERATOR(-, "__sub__", "__rsub__")
CANOPY_OPERATOR(*, "__mul__", "__rmul__") CANOPY_OPERATOR(/, "__truediv__", "__rtruediv__")
CANOPY_OPERATOR(==, "__eq__", "__eq__") CANOPY_OPERATOR(!=, "__ne__", "__ne__")
CANOPY_OPERATOR(<, "__lt__", "__gt__") CANOPY_OPERATOR(>, "__gt__", "__lt__")
CANOPY_OPERATOR(<=, "__le__", "__ge__") CANOPY_OPERATOR(>=, "__ge__", "__le__")
CANOPY_OPERATOR(&, "__and__", "__rand__") CANOPY_OPERATOR(|, "__or__", "__ror__")
#undef CANOPY_OPERATOR

#define CANOPY_CASE(T, name, number) constexpr ScalarType k##name = ScalarType::name;
CANOPY_SCALAR_TYPES(CANOPY_CASE)
#undef CANOPY_CASE
constexpr ScalarType kFloat16 = kHalf, kFloat32 = kFloat, kFloat64 = kDouble, kInt8 = kChar, kUInt8 = kByte;
constexpr ScalarType kInt16 = kShort, kInt32 = kInt, kInt64 = kLong;
constexpr ScalarType kFloat8_e4m3fn = ScalarType::Float8_e4m3fn, kFloat8_e5m2 = ScalarType::Float8_e5m2;

class NoGradGuard {
 public:
  NoGradGuard() : before_(canopy::module_of("torch").attr("is_grad_enabled")().cast<bool>()) { set(false); }
  ~NoGradGuard() { set(before_); }
  NoGradGuard(const NoGradGuard&) = delete;

 private:
  static void set(bool enabled) { canopy::module_of("torch").attr("_C").attr("_set_grad_enabled")(enabled); }
  bool before_;
};
}  // namespace at

// auto [values, indices] = x.max(1);
namespace at {
template <size_t I> Tensor get(const Result& several) { return several[(int64_t)I]; }
}  // namespace at
namespace std {
template <> struct tuple_size<at::Result> : integral_constant<size_t, 2> {};
template <size_t I> struct tuple_element<I, at::Result> { using type = at::Tensor; };
using at::get;
}  // namespace std
namespace torch {
using namespace at;
using at::Tensor;
using c10::ArrayRef;
using c10::Device;
using c10::IntArrayRef;
using c10::optional;
using c10::nullopt;
namespace cuda {
inline bool is_available() { return true; }
inline int device_count() { return 1; }
inline void synchronize(int64_t = -1) {}
}  // namespace cuda
namespace indexing = at::indexing;
template <typename F> F wrap_pybind_function(F function) { return function; }
}  // namespace torch
