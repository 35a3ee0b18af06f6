// PYBIND11_MODULE and TORCH_LIBRARY: C++ functions that Python calls. Written for Canopy.
#pragma once
#include <functional>

#include "cuda.h"
#include "tensor.h"

namespace canopy {

// ---- from a C++ function to its parameters
template <typename F> struct signature : signature<decltype(&F::operator())> {};
template <typename R, typename... A> struct signature<R (*)(A...)> {
  using result = R;
  using arguments = std::tuple<A...>;
};
template <typename R, typename... A> struct signature<R (*)(A...) noexcept> : signature<R (*)(A...)> {};
template <typename C, typename R, typename... A> struct signature<R (C::*)(A...) const> : signature<R (*)(A...)> {};
template <typename C, typename R, typename... A> struct signature<R (C::*)(A...)> : signature<R (*)(A...)> {};

// What holds an argument while its function runs: a list for an ArrayRef.
template <typename T> struct holder { using type = T; };
template <typename T> struct holder<c10::ArrayRef<T>> { using type = std::vector<T>; };
template <typename T> struct holder<std::optional<c10::ArrayRef<T>>> { using type = std::optional<std::vector<T>>; };
template <> struct holder<const char*> { using type = std::string; };
template <typename T> using held = typename holder<bare<T>>::type;

template <typename T, typename H> decltype(auto) handed(H& value) {
  if constexpr (std::is_same_v<bare<T>, const char*>) return value.c_str();
  else if constexpr (std::is_same_v<bare<T>, H>) return (H&)value;
  else if constexpr (std::is_constructible_v<bare<T>, H&>) return bare<T>(value);
  else return value ? bare<T>(*value) : bare<T>();
}

struct argument {
  explicit argument(const char* name) : name(name) {}
  template <typename T> argument operator=(const T& value) const {
    argument copy = *this;
    copy.fallback = to_python(value);
    return copy;
  }
  argument noconvert(bool = true) const { return *this; }
  argument none(bool = true) const { return *this; }
  std::string name;
  object fallback;  // empty: none
};

class function_base {
 public:
  virtual ~function_base() = default;
  virtual object call(PyObject* arguments, PyObject* keywords) = 0;
};

template <typename F> class function : public function_base {
 public:
  function(F callable, std::string name, std::vector<argument> names)
      : callable_(std::move(callable)), name_(std::move(name)), names_(std::move(names)) {}

  object call(PyObject* arguments, PyObject* keywords) override {
    return run(arguments, keywords, std::make_index_sequence<count>());
  }

 private:
  using types = typename signature<F>::arguments;
  using result = typename signature<F>::result;
  static constexpr std::size_t count = std::tuple_size_v<types>;

  template <std::size_t... I>
  object run(PyObject* arguments, PyObject* keywords, std::index_sequence<I...>) {
    check(arguments, keywords);
    std::tuple<held<std::tuple_element_t<I, types>>...> values{
        convert<held<std::tuple_element_t<I, types>>>(I, arguments, keywords)...};
    if constexpr (std::is_void_v<result>) {
      callable_(handed<std::tuple_element_t<I, types>>(std::get<I>(values))...);
      finish();
      return none();
    } else {
      object made = to_python(callable_(handed<std::tuple_element_t<I, types>>(std::get<I>(values))...));
      finish();
      return made;
    }
  }
  // What the function has launched is done, and has gone well, when Python sees its results.
  static void finish() { C10_CUDA_CHECK(cudaDeviceSynchronize()); }

  void check(PyObject* arguments, PyObject* keywords) const {
    std::size_t given = (std::size_t)PyTuple_Size(arguments);
    if (given > count) wrong(c10::str("takes ", count, " arguments, ", given, " are given"));
    std::size_t known = 0;
    for (std::size_t at = given; at < names_.size(); at++)
      known += keywords && PyDict_GetItemString(keywords, names_[at].name.c_str()) != nullptr;
    if (keywords && known != (std::size_t)PyDict_Size(keywords)) wrong("is given a keyword that it does not have");
  }
  template <typename T> T convert(std::size_t at, PyObject* arguments, PyObject* keywords) const {
    PyObject* value = nullptr;
    if (at < (std::size_t)PyTuple_Size(arguments)) value = PyTuple_GetItem(arguments, (canopy_py_size)at);
    else if (at < names_.size()) {
      if (keywords) value = PyDict_GetItemString(keywords, names_[at].name.c_str());
      if (!value) value = names_[at].fallback.ptr();
    }
    if (!value) wrong(c10::str("needs argument ", label(at)));
    try {
      return from_python<T>(value);
    } catch (const cast_error& problem) {
      wrong(c10::str("argument ", label(at), ": ", problem.what()));
    }
  }
  std::string label(std::size_t at) const { return at < names_.size() ? names_[at].name : c10::str(at + 1); }
  [[noreturn]] void wrong(const std::string& text) const {
    PyErr_SetString(PyExc_TypeError, c10::str(name_, "(): ", text).c_str());
    throw python_error();
  }

  F callable_;
  std::string name_;
  std::vector<argument> names_;
};

// ---- calls from Python: C++ exceptions become Python's
inline PyObject* guarded(const std::function<object()>& body) {
  PyObject* kind = PyExc_RuntimeError;
  std::string text;
  try {
    return body().release();
  } catch (python_error& error) {
    error.restore();
    return nullptr;
  } catch (const c10::IndexError& error) {
    kind = PyExc_IndexError, text = error.what();
  } catch (const c10::ValueError& error) {
    kind = PyExc_ValueError, text = error.what();
  } catch (const c10::NotImplementedError& error) {
    kind = PyExc_NotImplementedError, text = error.what();
  } catch (const std::invalid_argument& error) {
    kind = PyExc_ValueError, text = error.what();
  } catch (const std::out_of_range& error) {
    kind = PyExc_IndexError, text = error.what();
  } catch (const std::exception& error) {
    text = error.what();
  } catch (...) {
    text = "an exception of an unknown type";
  }
  PyErr_SetString(kind, text.c_str());
  return nullptr;
}
inline PyObject* trampoline(PyObject* self, PyObject* arguments, PyObject* keywords) {
  auto* target = (function_base*)PyCapsule_GetPointer(self, "canopy.function");
  if (!target) return nullptr;
  return guarded([&] { return target->call(arguments, keywords); });
}
struct method_definition {
  const char* name;
  PyObject* (*call)(PyObject*, PyObject*, PyObject*);
  int flags;
  const char* documentation;
};
}  // namespace canopy
extern "C" {
PyObject* PyCFunction_NewEx(canopy::method_definition*, PyObject* self, PyObject* module);
PyObject* PyModule_Create2(void* definition, int version);
}
namespace canopy {

template <typename F>
object python_function(const std::string& name, F callable, const std::string& text, std::vector<argument> names) {
  auto* target = new function<F>(std::move(callable), name, std::move(names));  // as long as the process
  auto* kept = new std::pair<std::string, std::string>(name, text);
  object capsule(PyCapsule_New((function_base*)target, "canopy.function", nullptr));
  auto* definition = new method_definition{kept->first.c_str(), trampoline, 3, kept->second.c_str()};
  return object(PyCFunction_NewEx(definition, capsule.ptr(), nullptr));
}

class module_ {
 public:
  explicit module_(object value) : value_(std::move(value)) {}
  template <typename F, typename... E> module_& def(const char* name, F callable, const E&... extras) {
    std::string text;
    std::vector<argument> names;
    (take(extras, text, names), ...);
    set(name, python_function(name, std::decay_t<F>(callable), text, std::move(names)));
    return *this;
  }
  class attribute {
   public:
    attribute(module_& owner, std::string name) : owner_(owner), name_(std::move(name)) {}
    template <typename T> void operator=(const T& value) { owner_.set(name_.c_str(), to_python(value)); }

   private:
    module_& owner_;
    std::string name_;
  };
  attribute attr(const char* name) { return attribute(*this, name); }
  attribute doc() { return attr("__doc__"); }
  const object& value() const { return value_; }
  void set(const char* name, const object& value) { PyObject_SetAttrString(value_.ptr(), name, value.ptr()); }

 private:
  static void take(const char* words, std::string& text, std::vector<argument>&) { text = words; }
  static void take(const std::string& words, std::string& text, std::vector<argument>&) { text = words; }
  static void take(const argument& named, std::string&, std::vector<argument>& names) { names.push_back(named); }
  template <typename T> static void take(const T&, std::string&, std::vector<argument>&) {}
  object value_;
};

struct module_definition {  // as PyModuleDef
  struct { canopy_py_size count; void* type; } head;
  void* init;
  canopy_py_size index;
  void* copy;
  const char* name;
  const char* text;
  canopy_py_size size;
  void *methods, *slots, *traverse, *clear, *free;
};
inline PyObject* make_module(const char* name, void (*fill)(module_&)) {
  return guarded([&] {
    auto* definition = new module_definition{{1, nullptr}, nullptr, 0, nullptr, name, nullptr, -1};
    module_ made(object(PyModule_Create2(definition, 3)));
    fill(made);
    return made.value();
  });
}
}  // namespace canopy

namespace pybind11 {
using module_ = canopy::module_;
using module = canopy::module_;
using object = canopy::object;
inline object none() { return canopy::none(); }
using error_already_set = canopy::python_error;
using value_error = c10::ValueError;
using index_error = c10::IndexError;
using arg = canopy::argument;
struct gil_scoped_release {
  void* state = PyEval_SaveThread();
  ~gil_scoped_release() { PyEval_RestoreThread(state); }
};
struct gil_scoped_acquire {
  int state = PyGILState_Ensure();
  ~gil_scoped_acquire() { PyGILState_Release(state); }
};
template <typename T> struct call_guard {};
namespace literals {
inline canopy::argument operator""_a(const char* name, std::size_t) { return canopy::argument(name); }
}  // namespace literals
}  // namespace pybind11
namespace py = pybind11;

#define CANOPY_TEXT_(x) #x
#define CANOPY_TEXT(x) CANOPY_TEXT_(x)
#define CANOPY_JOIN_(a, b) a##b
#define CANOPY_JOIN(a, b) CANOPY_JOIN_(a, b)
#define PYBIND11_MODULE(name, variable)                                                                          \
  static void CANOPY_JOIN(canopy_fill_, name)(::canopy::module_&);                                               \
  extern "C" __attribute__((visibility("default"))) PyObject* CANOPY_JOIN(PyInit_, name)() {                     \
    return ::canopy::make_module(CANOPY_TEXT(name), CANOPY_JOIN(canopy_fill_, name));                            \
  }                                                                                                              \
  static void CANOPY_JOIN(canopy_fill_, name)(::canopy::module_ & variable)

// ---- TORCH_LIBRARY: operators under torch.ops, registered through torch.library
namespace canopy {
class library {
 public:
  library(const char* space, const char* key) : space_(space), key_(key) {}
  library& def(const char* schema) {
    helper("define")(space_, schema);
    return *this;
  }
  template <typename F> library& def(const char* schema, F callable) {
    std::string name = helper("define")(space_, schema).cast<std::string>();
    return impl(name.c_str(), callable);
  }
  template <typename F> library& impl(const char* name, F callable) {
    helper("implement")(space_, name, key_, python_function(name, std::decay_t<F>(callable), "", {}));
    return *this;
  }

 private:
  std::string space_, key_;
};
struct library_filler {
  library_filler(const char* space, const char* key, void (*fill)(library&)) {
    int state = PyGILState_Ensure();
    PyObject* done = guarded([&] {
      library made(space, key);
      fill(made);
      return none();
    });
    if (done) {
      Py_DecRef(done);
    } else {
      std::string text = python_error().what();
      helper("note_failure")(text);  // a library that is being loaded cannot raise; its loader does
    }
    PyGILState_Release(state);
  }
};
}  // namespace canopy
#define CANOPY_LIBRARY(space, key, variable, number)                                                             \
  static void CANOPY_JOIN(canopy_library_, number)(::canopy::library&);                                          \
  static ::canopy::library_filler CANOPY_JOIN(canopy_filler_, number)(#space, #key,                              \
                                                                       CANOPY_JOIN(canopy_library_, number));    \
  static void CANOPY_JOIN(canopy_library_, number)(::canopy::library & variable)
#define TORCH_LIBRARY(space, variable) CANOPY_LIBRARY(space, , variable, __COUNTER__)
#define TORCH_LIBRARY_FRAGMENT(space, variable) CANOPY_LIBRARY(space, , variable, __COUNTER__)
#define TORCH_LIBRARY_IMPL(space, key, variable) CANOPY_LIBRARY(space, key, variable, __COUNTER__)
#define TORCH_FN(function) function
