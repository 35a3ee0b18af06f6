// Numbers, dtypes, devices, lists and errors of torch's C++ interface. Written for Canopy.
#pragma once
#include <cmath>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <ostream>
#include <sstream>

#include "python.h"

#if defined(__CUDACC__)
#define C10_HOST_DEVICE __host__ __device__
#define C10_DEVICE __device__
#define C10_HOST __host__
#else
#define C10_HOST_DEVICE
#define C10_DEVICE
#define C10_HOST
#endif
#define C10_ALWAYS_INLINE inline __attribute__((always_inline))
#define C10_API
#define TORCH_API
#define C10_LIKELY(x) __builtin_expect(!!(x), 1)
#define C10_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define C10_RESTRICT __restrict
#define C10_WARP_SIZE 32
#define C10_LAUNCH_BOUNDS_0 __launch_bounds__(256, 4)
#define C10_LAUNCH_BOUNDS_1(threads) __launch_bounds__(threads)
#define C10_LAUNCH_BOUNDS_2(threads, blocks) __launch_bounds__(threads, blocks)

namespace c10 {

// ---- 16-bit floats, for the host and for kernels
struct alignas(2) Half {
  unsigned short x;
  struct from_bits_t {};
  static constexpr from_bits_t from_bits() { return from_bits_t(); }
  Half() = default;
  constexpr C10_HOST_DEVICE Half(unsigned short bits, from_bits_t) : x(bits) {}
  C10_HOST_DEVICE Half(float value) : x(__builtin_bit_cast(unsigned short, (_Float16)value)) {}
  C10_HOST_DEVICE operator float() const { return (float)__builtin_bit_cast(_Float16, x); }
};
struct alignas(2) BFloat16 {
  unsigned short x;
  struct from_bits_t {};
  static constexpr from_bits_t from_bits() { return from_bits_t(); }
  BFloat16() = default;
  constexpr C10_HOST_DEVICE BFloat16(unsigned short bits, from_bits_t) : x(bits) {}
  C10_HOST_DEVICE BFloat16(float value) {
    unsigned int bits = __builtin_bit_cast(unsigned int, value);
    bool is_nan = value != value;
    x = is_nan ? 0x7fc0 : (unsigned short)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);  // to nearest even
  }
  C10_HOST_DEVICE operator float() const { return __builtin_bit_cast(float, (unsigned int)x << 16); }
};
#define CANOPY_HALF_OPERATORS(T)                                                                                 \
  C10_HOST_DEVICE inline T operator+(T a, T b) { return T((float)a + (float)b); }                                \
  C10_HOST_DEVICE inline T operator-(T a, T b) { return T((float)a - (float)b); }                                \
  C10_HOST_DEVICE inline T operator*(T a, T b) { return T((float)a * (float)b); }                                \
  C10_HOST_DEVICE inline T operator/(T a, T b) { return T((float)a / (float)b); }                                \
  C10_HOST_DEVICE inline T operator-(T a) { return T(-(float)a); }                                               \
  C10_HOST_DEVICE inline T& operator+=(T& a, T b) { return a = a + b; }                                          \
  C10_HOST_DEVICE inline T& operator-=(T& a, T b) { return a = a - b; }                                          \
  C10_HOST_DEVICE inline T& operator*=(T& a, T b) { return a = a * b; }                                          \
  C10_HOST_DEVICE inline T& operator/=(T& a, T b) { return a = a / b; }                                          \
  C10_HOST_DEVICE inline float operator+(T a, float b) { return (float)a + b; }                                  \
  C10_HOST_DEVICE inline float operator-(T a, float b) { return (float)a - b; }                                  \
  C10_HOST_DEVICE inline float operator*(T a, float b) { return (float)a * b; }                                  \
  C10_HOST_DEVICE inline float operator/(T a, float b) { return (float)a / b; }                                  \
  C10_HOST_DEVICE inline float operator+(float a, T b) { return a + (float)b; }                                  \
  C10_HOST_DEVICE inline float operator-(float a, T b) { return a - (float)b; }                                  \
  C10_HOST_DEVICE inline float operator*(float a, T b) { return a * (float)b; }                                  \
  C10_HOST_DEVICE inline float operator/(float a, T b) { return a / (float)b; }                                  \
  C10_HOST_DEVICE inline float& operator+=(float& a, T b) { return a += (float)b; }                              \
  C10_HOST_DEVICE inline double operator+(T a, double b) { return (float)a + b; }                                \
  C10_HOST_DEVICE inline double operator-(T a, double b) { return (float)a - b; }                                \
  C10_HOST_DEVICE inline double operator*(T a, double b) { return (float)a * b; }                                \
  C10_HOST_DEVICE inline double operator/(T a, double b) { return (float)a / b; }                                \
  C10_HOST_DEVICE inline double operator+(double a, T b) { return a + (float)b; }                                \
  C10_HOST_DEVICE inline double operator-(double a, T b) { return a - (float)b; }                                \
  C10_HOST_DEVICE inline double operator*(double a, T b) { return a * (float)b; }                                \
  C10_HOST_DEVICE inline double operator/(double a, T b) { return a / (float)b; }                                \
  C10_HOST_DEVICE inline T operator+(T a, int b) { return a + T((float)b); }                                     \
  C10_HOST_DEVICE inline T operator-(T a, int b) { return a - T((float)b); }                                     \
  C10_HOST_DEVICE inline T operator*(T a, int b) { return a * T((float)b); }                                     \
  C10_HOST_DEVICE inline T operator/(T a, int b) { return a / T((float)b); }                                     \
  C10_HOST_DEVICE inline T operator+(int a, T b) { return T((float)a) + b; }                                     \
  C10_HOST_DEVICE inline T operator-(int a, T b) { return T((float)a) - b; }                                     \
  C10_HOST_DEVICE inline T operator*(int a, T b) { return T((float)a) * b; }                                     \
  C10_HOST_DEVICE inline T operator/(int a, T b) { return T((float)a) / b; }
CANOPY_HALF_OPERATORS(Half)
CANOPY_HALF_OPERATORS(BFloat16)
#undef CANOPY_HALF_OPERATORS

// ---- errors
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
  const char* what_without_backtrace() const noexcept { return what(); }
};
struct IndexError : Error { using Error::Error; };
struct ValueError : Error { using Error::Error; };
struct NotImplementedError : Error { using Error::Error; };
template <typename... A> std::string str(const A&... parts) {
  std::ostringstream text;
  (void)(text << ... << parts);
  return text.str();
}
template <typename... A>
[[noreturn]] void check_failed(const char* condition, const char* file, int line, const A&... parts) {
  std::string message = str(parts...);
  if (message.empty()) message = str("Expected ", condition, " to be true, but got false.");
  throw Error(str(message, " (", file, ":", line, ")"));
}

// ---- lists
template <typename T> class ArrayRef {
 public:
  using value_type = T;
  ArrayRef() = default;
  ArrayRef(const T* data, std::size_t size) : data_(data), size_(size) {}
  ArrayRef(const T* begin, const T* end) : data_(begin), size_(end - begin) {}
  ArrayRef(const std::vector<T>& values) : data_(values.data()), size_(values.size()) {}
  template <std::size_t N> ArrayRef(const std::array<T, N>& values) : data_(values.data()), size_(N) {}
  ArrayRef(const std::initializer_list<T>& values) : data_(values.begin()), size_(values.size()) {}
  const T* begin() const { return data_; }
  const T* end() const { return data_ + size_; }
  const T* data() const { return data_; }
  std::size_t size() const { return size_; }
  bool empty() const { return !size_; }
  const T& operator[](std::size_t at) const { return data_[at]; }
  const T& at(std::size_t at) const {
    if (at >= size_) throw IndexError(str("index ", at, " of a list of ", size_));
    return data_[at];
  }
  const T& front() const { return at(0); }
  const T& back() const { return at(size_ - 1); }
  ArrayRef slice(std::size_t first, std::size_t count) const { return ArrayRef(data_ + first, count); }
  ArrayRef slice(std::size_t first) const { return slice(first, size_ - first); }
  std::vector<T> vec() const { return std::vector<T>(begin(), end()); }
  operator std::vector<T>() const { return vec(); }
  bool equals(ArrayRef other) const {
    if (size_ != other.size_) return false;
    for (std::size_t at = 0; at < size_; at++)
      if (!(data_[at] == other.data_[at])) return false;
    return true;
  }

 private:
  const T* data_ = nullptr;
  std::size_t size_ = 0;
};
template <typename T> bool operator==(ArrayRef<T> a, ArrayRef<T> b) { return a.equals(b); }
template <typename T> bool operator!=(ArrayRef<T> a, ArrayRef<T> b) { return !a.equals(b); }
template <typename T> std::ostream& operator<<(std::ostream& out, ArrayRef<T> list) {
  out << "[";
  for (std::size_t at = 0; at < list.size(); at++) out << (at ? ", " : "") << list[at];
  return out << "]";
}
using IntArrayRef = ArrayRef<int64_t>;
using OptionalIntArrayRef = std::optional<IntArrayRef>;
template <typename T> using optional = std::optional<T>;
using std::nullopt;
using std::make_optional;

// ---- dtypes, devices, options
#define CANOPY_SCALAR_TYPES(_)                                                                                   \
  _(uint8_t, Byte, 0) _(int8_t, Char, 1) _(int16_t, Short, 2) _(int, Int, 3) _(int64_t, Long, 4)                 \
  _(c10::Half, Half, 5) _(float, Float, 6) _(double, Double, 7) _(bool, Bool, 11)                                \
  _(c10::BFloat16, BFloat16, 15) _(uint16_t, UInt16, 27) _(uint32_t, UInt32, 28) _(uint64_t, UInt64, 29)
enum class ScalarType : int8_t {
#define CANOPY_CASE(T, name, number) name = number,
  CANOPY_SCALAR_TYPES(CANOPY_CASE)
#undef CANOPY_CASE
  ComplexHalf = 8, ComplexFloat = 9, ComplexDouble = 10, Float8_e5m2 = 23, Float8_e4m3fn = 24, Undefined = 45
};
template <typename T> struct CppTypeToScalarType;
#define CANOPY_CASE(T, name, number)                                                                             \
  template <> struct CppTypeToScalarType<T> { static constexpr ScalarType value = ScalarType::name; };
CANOPY_SCALAR_TYPES(CANOPY_CASE)
#undef CANOPY_CASE
template <> struct CppTypeToScalarType<long long> { static constexpr ScalarType value = ScalarType::Long; };
inline const char* toString(ScalarType type) {
  switch (type) {
#define CANOPY_CASE(T, name, number) case ScalarType::name: return #name;
    CANOPY_SCALAR_TYPES(CANOPY_CASE)
#undef CANOPY_CASE
    case ScalarType::ComplexHalf: return "ComplexHalf";
    case ScalarType::ComplexFloat: return "ComplexFloat";
    case ScalarType::ComplexDouble: return "ComplexDouble";
    case ScalarType::Float8_e5m2: return "Float8_e5m2";
    case ScalarType::Float8_e4m3fn: return "Float8_e4m3fn";
    default: return "Undefined";
  }
}
inline std::ostream& operator<<(std::ostream& out, ScalarType type) { return out << toString(type); }
inline bool isFloatingType(ScalarType t) {
  return t == ScalarType::Half || t == ScalarType::Float || t == ScalarType::Double || t == ScalarType::BFloat16;
}
inline bool isIntegralType(ScalarType t, bool with_bool = false) {
  int number = (int)t;
  return number <= 4 || (number >= 27 && number <= 29) || (with_bool && t == ScalarType::Bool);
}
inline std::size_t elementSize(ScalarType type) {
  switch (type) {
#define CANOPY_CASE(T, name, number) case ScalarType::name: return sizeof(T);
    CANOPY_SCALAR_TYPES(CANOPY_CASE)
#undef CANOPY_CASE
    case ScalarType::ComplexHalf: return 4;
    case ScalarType::ComplexFloat: return 8;
    case ScalarType::ComplexDouble: return 16;
    default: return 1;
  }
}

enum class DeviceType : int8_t { CPU = 0, CUDA = 1, Meta = 14 };
using DeviceIndex = int8_t;
class Device {
 public:
  Device(DeviceType type, int index = -1) : type_(type), index_((DeviceIndex)index) {}
  Device(const std::string& text) : type_(DeviceType::CPU), index_(-1) {
    std::string kind = text.substr(0, text.find(':'));
    if (kind == "cuda") type_ = DeviceType::CUDA;
    else if (kind != "cpu") throw Error(c10::str("a device is cpu or cuda here, not ", text));
    if (kind.size() < text.size()) index_ = (DeviceIndex)std::stoi(text.substr(kind.size() + 1));
  }
  Device(const char* text) : Device(std::string(text)) {}
  DeviceType type() const { return type_; }
  DeviceIndex index() const { return index_; }
  bool has_index() const { return index_ >= 0; }
  bool is_cuda() const { return type_ == DeviceType::CUDA; }
  bool is_cpu() const { return type_ == DeviceType::CPU; }
  std::string str() const {
    std::string kind = is_cuda() ? "cuda" : "cpu";
    return has_index() ? kind + ":" + std::to_string((int)index_) : kind;
  }
  bool operator==(const Device& other) const { return type_ == other.type_ && index_ == other.index_; }
  bool operator!=(const Device& other) const { return !(*this == other); }

 private:
  DeviceType type_;
  DeviceIndex index_;
};
inline std::ostream& operator<<(std::ostream& out, const Device& device) { return out << device.str(); }
inline std::ostream& operator<<(std::ostream& out, DeviceType type) { return out << Device(type).str(); }

enum class Layout : int8_t { Strided, Sparse };
enum class MemoryFormat : int8_t { Contiguous, Preserve, ChannelsLast, ChannelsLast3d };
constexpr Layout kStrided = Layout::Strided;
constexpr DeviceType kCPU = DeviceType::CPU;
constexpr DeviceType kCUDA = DeviceType::CUDA;

class TensorOptions {
 public:
  TensorOptions() = default;
  TensorOptions(ScalarType dtype) : dtype_(dtype) {}
  TensorOptions(Device device) : device_(device) {}
  TensorOptions(DeviceType type) : device_(Device(type)) {}
  TensorOptions dtype(ScalarType value) const { return changed([&](auto& o) { o.dtype_ = value; }); }
  TensorOptions device(Device value) const { return changed([&](auto& o) { o.device_ = value; }); }
  TensorOptions device(DeviceType type, int index) const { return device(Device(type, index)); }
  TensorOptions requires_grad(bool value = true) const { return changed([&](auto& o) { o.grad_ = value; }); }
  TensorOptions pinned_memory(bool value = true) const { return changed([&](auto& o) { o.pinned_ = value; }); }
  TensorOptions layout(Layout) const { return *this; }
  TensorOptions memory_format(MemoryFormat value) const { return changed([&](auto& o) { o.format_ = value; }); }
  ScalarType dtype() const { return dtype_.value_or(ScalarType::Float); }
  Device device() const { return device_.value_or(Device(DeviceType::CPU)); }
  std::optional<ScalarType> dtype_opt() const { return dtype_; }
  std::optional<Device> device_opt() const { return device_; }
  std::optional<bool> requires_grad_opt() const { return grad_; }
  std::optional<bool> pinned_opt() const { return pinned_; }
  std::optional<MemoryFormat> memory_format_opt() const { return format_; }

 private:
  template <typename F> TensorOptions changed(F change) const {
    TensorOptions copy = *this;
    change(copy);
    return copy;
  }
  std::optional<ScalarType> dtype_;
  std::optional<Device> device_;
  std::optional<bool> grad_, pinned_;
  std::optional<MemoryFormat> format_;
};

class Scalar {
 public:
  Scalar() : value_(canopy::to_python(0)) {}
  template <typename T, typename = std::enable_if_t<std::is_arithmetic_v<T>>>
  Scalar(T value) : value_(canopy::to_python(value)) {}
  Scalar(Half value) : Scalar((float)value) {}
  Scalar(BFloat16 value) : Scalar((float)value) {}
  explicit Scalar(canopy::object value) : value_(std::move(value)) {}
  template <typename T> T to() const {
    if constexpr (std::is_integral_v<T>) return integer<T>();
    else return T(value_.cast<double>());
  }
  float toFloat() const { return to<float>(); }
  double toDouble() const { return to<double>(); }
  int toInt() const { return to<int>(); }
  int64_t toLong() const { return to<int64_t>(); }
  bool toBool() const { return PyObject_IsTrue(value_.ptr()) == 1; }
  bool isFloatingPoint() const { return canopy::type_name(value_.ptr()) == "float"; }
  bool isIntegral(bool) const { return canopy::type_name(value_.ptr()) == "int"; }
  const canopy::object& python() const { return value_; }

 private:
  template <typename T> T integer() const {
    return isFloatingPoint() ? (T)value_.cast<double>() : (T)value_.cast<int64_t>();
  }
  canopy::object value_;
};

}  // namespace c10

#define CANOPY_CHECK_FAILED(condition, ...) ::c10::check_failed(condition, __FILE__, __LINE__, ##__VA_ARGS__)
#define TORCH_CHECK(condition, ...) \
  do {                              \
    if (C10_UNLIKELY(!(condition))) CANOPY_CHECK_FAILED(#condition, ##__VA_ARGS__); \
  } while (0)
#define TORCH_CHECK_WITH(type, condition, ...)                              \
  do {                                                                      \
    if (C10_UNLIKELY(!(condition))) throw ::c10::type(::c10::str(__VA_ARGS__)); \
  } while (0)
#define TORCH_CHECK_INDEX(condition, ...) TORCH_CHECK_WITH(IndexError, condition, ##__VA_ARGS__)
#define TORCH_CHECK_VALUE(condition, ...) TORCH_CHECK_WITH(ValueError, condition, ##__VA_ARGS__)
#define TORCH_CHECK_NOT_IMPLEMENTED(condition, ...) TORCH_CHECK_WITH(NotImplementedError, condition, ##__VA_ARGS__)
#define TORCH_INTERNAL_ASSERT TORCH_CHECK
#define TORCH_INTERNAL_ASSERT_DEBUG_ONLY TORCH_CHECK
#define AT_ASSERT TORCH_CHECK
#define AT_ASSERTM TORCH_CHECK
#define AT_CHECK TORCH_CHECK
#define STD_TORCH_CHECK TORCH_CHECK
#define AT_ERROR(...) CANOPY_CHECK_FAILED("", ##__VA_ARGS__)
#define TORCH_WARN(...) ::canopy::helper("warn")(::c10::str(__VA_ARGS__))
#define TORCH_WARN_ONCE TORCH_WARN

namespace std {
#define CANOPY_LIMITS(T, low, high, tiny, step, inf, nan)                                                        \
  template <> class numeric_limits<T> {                                                                          \
   public:                                                                                                       \
    static constexpr bool is_specialized = true, is_signed = true, is_integer = false, is_exact = false;         \
    static constexpr bool has_infinity = true, has_quiet_NaN = true;                                             \
    static constexpr C10_HOST_DEVICE T lowest() { return T(low, T::from_bits()); }                               \
    static constexpr C10_HOST_DEVICE T max() { return T(high, T::from_bits()); }                                 \
    static constexpr C10_HOST_DEVICE T min() { return T(tiny, T::from_bits()); }                                 \
    static constexpr C10_HOST_DEVICE T epsilon() { return T(step, T::from_bits()); }                             \
    static constexpr C10_HOST_DEVICE T infinity() { return T(inf, T::from_bits()); }                             \
    static constexpr C10_HOST_DEVICE T quiet_NaN() { return T(nan, T::from_bits()); }                            \
  };
CANOPY_LIMITS(c10::Half, 0xfbff, 0x7bff, 0x0400, 0x1400, 0x7c00, 0x7e00)
CANOPY_LIMITS(c10::BFloat16, 0xff7f, 0x7f7f, 0x0080, 0x3c00, 0x7f80, 0x7fc0)
#undef CANOPY_LIMITS
}  // namespace std

// ---- to and from Python
namespace canopy {
template <> struct caster<c10::ScalarType> {
  static object to(c10::ScalarType type) { return helper("dtype_of")((int)type); }
  static c10::ScalarType from(PyObject* value) {
    return (c10::ScalarType)helper("code_of")(object::borrowed(value)).cast<int>();
  }
  static std::string name() { return "torch.dtype"; }
};
template <> struct caster<c10::Device> {
  static object to(const c10::Device& device) { return helper("device_of")(device.str()); }
  static c10::Device from(PyObject* value) { return c10::Device(object(PyObject_Str(value)).cast<std::string>()); }
  static std::string name() { return "torch.device"; }
};
template <> struct caster<c10::DeviceType> {
  static object to(c10::DeviceType type) { return to_python(c10::Device(type)); }
};
template <> struct caster<c10::MemoryFormat> {
  static object to(c10::MemoryFormat format) { return helper("format_of")((int)format); }
};
template <> struct caster<c10::TensorOptions> {
  static object to(const c10::TensorOptions& o) {
    return helper("Options")(o.dtype_opt(), o.device_opt(), o.requires_grad_opt(), o.pinned_opt(),
                             o.memory_format_opt());
  }
};
template <> struct caster<c10::Scalar> {
  static object to(const c10::Scalar& scalar) { return scalar.python(); }
  static c10::Scalar from(PyObject* value) { return c10::Scalar(object::borrowed(value)); }
  static std::string name() { return "number"; }
};
template <typename T> struct caster<c10::ArrayRef<T>> {
  static object to(c10::ArrayRef<T> list) { return to_python(list.vec()); }
};
template <> struct caster<c10::Half> {
  static object to(c10::Half value) { return to_python((float)value); }
};
template <> struct caster<c10::BFloat16> {
  static object to(c10::BFloat16 value) { return to_python((float)value); }
};
}  // namespace canopy
