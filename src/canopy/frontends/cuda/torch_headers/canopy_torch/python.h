// Python objects in C++: CPython's stable ABI (declared here, so that no Python headers are needed), references
// that count themselves, errors as exceptions, and values to and from C++. Written for Canopy.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

extern "C" {
typedef struct _object PyObject;
typedef long canopy_py_size;
extern PyObject _Py_NoneStruct;
extern PyObject *PyExc_NotImplementedError, *PyExc_RuntimeError, *PyExc_TypeError, *PyExc_ValueError, *PyExc_IndexError;
void Py_IncRef(PyObject*);
void Py_DecRef(PyObject*);
int Py_IsInitialized(void);
PyObject* PyImport_ImportModule(const char*);
PyObject* PyObject_GetAttrString(PyObject*, const char*);
int PyObject_SetAttrString(PyObject*, const char*, PyObject*);
PyObject* PyObject_CallObject(PyObject*, PyObject* arguments);
PyObject* PyObject_Str(PyObject*);
int PyObject_IsTrue(PyObject*);
int PyObject_IsInstance(PyObject*, PyObject*);
PyObject* PyTuple_New(canopy_py_size);
int PyTuple_SetItem(PyObject*, canopy_py_size, PyObject*); /* takes the reference */
canopy_py_size PyTuple_Size(PyObject*);
PyObject* PyTuple_GetItem(PyObject*, canopy_py_size); /* borrowed */
PyObject* PyList_New(canopy_py_size);
int PyList_SetItem(PyObject*, canopy_py_size, PyObject*); /* takes the reference */
int PyList_Append(PyObject*, PyObject*);
PyObject* PyDict_New(void);
int PyDict_SetItemString(PyObject*, const char*, PyObject*);
PyObject* PyDict_GetItemString(PyObject*, const char*); /* borrowed */
canopy_py_size PyDict_Size(PyObject*);
int PySequence_Check(PyObject*);
canopy_py_size PySequence_Size(PyObject*);
PyObject* PySequence_GetItem(PyObject*, canopy_py_size);
PyObject* PyLong_FromLongLong(long long);
PyObject* PyLong_FromUnsignedLongLong(unsigned long long);
long long PyLong_AsLongLong(PyObject*);
unsigned long long PyLong_AsUnsignedLongLong(PyObject*);
PyObject* PyNumber_Index(PyObject*);
PyObject* PyFloat_FromDouble(double);
double PyFloat_AsDouble(PyObject*);
PyObject* PyBool_FromLong(long);
PyObject* PyUnicode_FromStringAndSize(const char*, canopy_py_size);
const char* PyUnicode_AsUTF8AndSize(PyObject*, canopy_py_size*);
void PyErr_SetString(PyObject* type, const char*);
PyObject* PyErr_Occurred(void);
void PyErr_Fetch(PyObject**, PyObject**, PyObject**);
void PyErr_Restore(PyObject*, PyObject*, PyObject*);
void PyErr_Clear(void);
void* PyCapsule_GetPointer(PyObject*, const char*);
PyObject* PyCapsule_New(void*, const char*, void (*)(PyObject*));
int PyGILState_Ensure(void);
void PyGILState_Release(int);
void* PyEval_SaveThread(void);
void PyEval_RestoreThread(void*);
}

namespace canopy {

// A Python exception on its way through C++; the binding hands it back to Python.
class python_error : public std::exception {
 public:
  python_error() { PyErr_Fetch(&type_, &value_, &trace_); }
  python_error(const python_error& other) : type_(other.type_), value_(other.value_), trace_(other.trace_) {
    for (PyObject* each : {type_, value_, trace_})
      if (each) Py_IncRef(each);
  }
  ~python_error() override {
    for (PyObject* each : {type_, value_, trace_})
      if (each) Py_DecRef(each);
  }
  void restore() {
    PyErr_Restore(type_, value_, trace_);
    type_ = value_ = trace_ = nullptr;
  }
  const char* what() const noexcept override {
    if (text_.empty() && value_) {
      if (PyObject* text = PyObject_Str(value_)) {
        canopy_py_size size = 0;
        if (const char* data = PyUnicode_AsUTF8AndSize(text, &size)) text_.assign(data, size);
        Py_DecRef(text);
      } else {
        PyErr_Clear();
      }
    }
    return text_.empty() ? "a Python exception" : text_.c_str();
  }

 private:
  PyObject *type_ = nullptr, *value_ = nullptr, *trace_ = nullptr;
  mutable std::string text_;
};

// A counted reference. `object(p)` takes over the one that a call has given; it throws on NULL.
class object {
 public:
  object() = default;
  explicit object(PyObject* given) : pointer_(given) {
    if (!given) throw python_error();
  }
  static object borrowed(PyObject* pointer) {
    if (pointer) Py_IncRef(pointer);
    return object(pointer);
  }
  object(const object& other) : pointer_(other.pointer_) {
    if (pointer_) Py_IncRef(pointer_);
  }
  object(object&& other) noexcept : pointer_(std::exchange(other.pointer_, nullptr)) {}
  object& operator=(object other) noexcept {
    std::swap(pointer_, other.pointer_);
    return *this;
  }
  ~object() {
    if (pointer_ && Py_IsInitialized()) Py_DecRef(pointer_);  // a static object may outlive Python
  }
  PyObject* ptr() const { return pointer_; }
  PyObject* release() { return std::exchange(pointer_, nullptr); }
  explicit operator bool() const { return pointer_ != nullptr; }
  bool is_none() const { return pointer_ == &_Py_NoneStruct; }
  object attr(const char* name) const { return object(PyObject_GetAttrString(pointer_, name)); }
  template <typename... A> object operator()(const A&... arguments) const;
  template <typename T> T cast() const;

 private:
  PyObject* pointer_ = nullptr;
};

inline object none() { return object::borrowed(&_Py_NoneStruct); }
inline object module_of(const char* name) { return object(PyImport_ImportModule(name)); }

// A value that has another type than a parameter: the binding says which parameter.
struct cast_error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// ---- values to and from Python: one specialisation per family of types
template <typename T, typename = void> struct caster;  // to(value) -> object, from(PyObject*) -> T, name()

template <typename T> using bare = std::remove_cv_t<std::remove_reference_t<T>>;
template <typename T> object to_python(const T& value) { return caster<bare<T>>::to(value); }
template <typename T> T from_python(PyObject* value) { return caster<T>::from(value); }

inline std::string type_name(PyObject* value) {
  object name(PyObject_GetAttrString(object(PyObject_GetAttrString(value, "__class__")).ptr(), "__name__"));
  canopy_py_size size = 0;
  const char* text = PyUnicode_AsUTF8AndSize(name.ptr(), &size);
  return text ? std::string(text, size) : "object";
}
[[noreturn]] inline void refuse(const char* wanted, PyObject* value) {
  PyErr_Clear();
  throw cast_error(std::string("expected ") + wanted + ", got " + type_name(value));
}

template <> struct caster<object> {
  static object to(const object& value) { return value ? value : none(); }
  static object from(PyObject* value) { return object::borrowed(value); }
  static std::string name() { return "object"; }
};
template <> struct caster<bool> {
  static object to(bool value) { return object(PyBool_FromLong(value)); }
  static bool from(PyObject* value) {
    object kind = module_of("builtins").attr("bool");
    if (PyObject_IsInstance(value, kind.ptr()) != 1 && type_name(value) != "bool_") refuse("a bool", value);
    return PyObject_IsTrue(value) == 1;
  }
  static std::string name() { return "bool"; }
};
template <typename T> struct caster<T, std::enable_if_t<std::is_integral_v<T> && !std::is_same_v<T, bool>>> {
  static object to(T value) {
    if constexpr (std::is_signed_v<T>) return object(PyLong_FromLongLong(value));
    else return object(PyLong_FromUnsignedLongLong(value));
  }
  static T from(PyObject* value) {
    PyObject* number = PyNumber_Index(value);
    if (!number) refuse("an integer", value);
    object owned(number);
    if constexpr (std::is_signed_v<T>) return fit(PyLong_AsLongLong(number), value);
    else return fit(PyLong_AsUnsignedLongLong(number), value);
  }
  template <typename W> static T fit(W wide, PyObject* value) {
    if ((wide == (W)-1 && PyErr_Occurred()) || (W)(T)wide != wide) refuse("an integer that fits", value);
    return (T)wide;
  }
  static std::string name() { return "int"; }
};
template <typename T> struct caster<T, std::enable_if_t<std::is_floating_point_v<T>>> {
  static object to(T value) { return object(PyFloat_FromDouble(value)); }
  static T from(PyObject* value) {
    double number = PyFloat_AsDouble(value);
    if (number == -1.0 && PyErr_Occurred()) refuse("a number", value);
    return (T)number;
  }
  static std::string name() { return "float"; }
};
template <> struct caster<std::string> {
  static object to(const std::string& value) {
    return object(PyUnicode_FromStringAndSize(value.data(), (canopy_py_size)value.size()));
  }
  static std::string from(PyObject* value) {
    canopy_py_size size = 0;
    const char* text = PyUnicode_AsUTF8AndSize(value, &size);
    if (!text) refuse("a str", value);
    return std::string(text, size);
  }
  static std::string name() { return "str"; }
};
template <> struct caster<const char*> {
  static object to(const char* value) { return caster<std::string>::to(value); }
};
template <std::size_t N> struct caster<char[N]> {
  static object to(const char* value) { return caster<std::string>::to(value); }
};
template <> struct caster<std::nullopt_t> {
  static object to(std::nullopt_t) { return none(); }
};
template <> struct caster<std::nullptr_t> {
  static object to(std::nullptr_t) { return none(); }
};
template <typename T> struct caster<std::optional<T>> {
  static object to(const std::optional<T>& value) { return value ? to_python(*value) : none(); }
  static std::optional<T> from(PyObject* value) {
    if (value == &_Py_NoneStruct) return std::nullopt;
    return from_python<T>(value);
  }
  static std::string name() { return "Optional[" + caster<T>::name() + "]"; }
};
template <typename T> struct caster<std::vector<T>> {
  static object to(const std::vector<T>& values) {
    object list(PyList_New((canopy_py_size)values.size()));
    for (std::size_t at = 0; at < values.size(); at++)
      PyList_SetItem(list.ptr(), (canopy_py_size)at, to_python<T>(values[at]).release());
    return list;
  }
  static std::vector<T> from(PyObject* value) {
    if (!PySequence_Check(value)) refuse("a list", value);
    canopy_py_size count = PySequence_Size(value);
    std::vector<T> values;
    for (canopy_py_size at = 0; at < count; at++)
      values.push_back(from_python<T>(object(PySequence_GetItem(value, at)).ptr()));
    return values;
  }
  static std::string name() { return "List[" + caster<T>::name() + "]"; }
};
template <typename T, std::size_t N> struct caster<std::array<T, N>> {
  static object to(const std::array<T, N>& values) {
    return to_python(std::vector<T>(values.begin(), values.end()));
  }
  static std::array<T, N> from(PyObject* value) {
    std::vector<T> given = from_python<std::vector<T>>(value);
    if (given.size() != N) refuse("a list of another length", value);
    std::array<T, N> values;
    for (std::size_t at = 0; at < N; at++) values[at] = given[at];
    return values;
  }
  static std::string name() { return "List[" + caster<T>::name() + "]"; }
};

template <typename... A> object pack(const A&... arguments) {
  object tuple(PyTuple_New(sizeof...(A)));
  canopy_py_size at = 0;
  (PyTuple_SetItem(tuple.ptr(), at++, to_python(arguments).release()), ...);
  return tuple;
}
template <typename Tuple, std::size_t... I> Tuple unpack(PyObject* value, std::index_sequence<I...>) {
  return Tuple{from_python<std::tuple_element_t<I, Tuple>>(object(PySequence_GetItem(value, I)).ptr())...};
}
template <typename Tuple> struct tuple_caster {
  static constexpr std::size_t count = std::tuple_size_v<Tuple>;
  static object to(const Tuple& values) {
    return std::apply([](const auto&... each) { return pack(each...); }, values);
  }
  static Tuple from(PyObject* value) {
    if (!PySequence_Check(value) || PySequence_Size(value) != (canopy_py_size)count) refuse("a tuple", value);
    return unpack<Tuple>(value, std::make_index_sequence<count>());
  }
  static std::string name() { return "tuple"; }
};
template <typename... T> struct caster<std::tuple<T...>> : tuple_caster<std::tuple<T...>> {};
template <typename A, typename B> struct caster<std::pair<A, B>> : tuple_caster<std::pair<A, B>> {};

template <typename... A> object object::operator()(const A&... arguments) const {
  return object(PyObject_CallObject(pointer_, pack(arguments...).ptr()));
}
template <typename T> T object::cast() const { return from_python<T>(pointer_); }

// What Canopy does in Python for extensions: tensors, operators, dtypes.
inline const object& helper(const char* name) {
  static std::unordered_map<std::string, object> known;
  auto found = known.find(name);
  if (found == known.end())
    found = known.emplace(name, module_of("canopy.frontends.redirect.tensor_calls").attr(name)).first;
  return found->second;
}

}  // namespace canopy
