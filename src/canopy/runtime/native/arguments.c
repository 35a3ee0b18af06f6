#include "arguments.h"

#include <string.h>

#include "half.h"

static PyObject *name_data_ptr, *name_untyped_storage, *name_nbytes, *name_numel, *name_base,
    *name_array_struct, *name_array_interface, *name_is_cpu;

bool canopy_arguments_init(void) {
    struct {
        PyObject **name;
        const char *text;
    } names[] = {
        {&name_data_ptr, "data_ptr"},
        {&name_untyped_storage, "untyped_storage"},
        {&name_nbytes, "nbytes"},
        {&name_numel, "numel"},
        {&name_base, "base"},
        {&name_array_struct, "__array_struct__"},
        {&name_array_interface, "__array_interface__"},
        {&name_is_cpu, "is_cpu"},
    };
    for (size_t at = 0; at < sizeof names / sizeof *names; at++) {
        *names[at].name = PyUnicode_InternFromString(names[at].text);
        if (!*names[at].name) return false;
    }
    return true;
}

bool canopy_is_pointer_kind(char kind) { return kind == 'P' || kind == 'W'; }
bool canopy_is_kind(char kind) { return kind != 0 && strchr("PWkKsSiIlLbheyfdc", kind) != NULL; }

/* ---- small helpers ---- */

static PyObject *call_method(PyObject *self, PyObject *name) {
    PyObject *args[] = {self};
    return PyObject_VectorcallMethod(name, args, 1 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
}

/* Consumes the reference; false with an error set where it is no unsigned integer, or NULL. */
static bool as_u64(PyObject *number, uint64_t *result) {
    if (!number) return false;
    *result = PyLong_AsUnsignedLongLong(number);
    Py_DecRef(number);
    return *result != UINT64_MAX || !PyErr_Occurred();
}

static PyObject *get_type_name(PyObject *value) {
    PyObject *name = PyObject_GetAttrString((PyObject *)value->ob_type, "__name__");
    if (name) return name;
    PyErr_Clear();
    return PyUnicode_FromString("an unnamed type");
}

static bool refuse_type(Py_ssize_t position, const char *expected, PyObject *value) {
    PyObject *name = get_type_name(value);
    PyErr_Format(PyExc_TypeError, "argument %zd: expected %s, got %S", position, expected, name);
    Py_DecRef(name);
    return false;
}

/* Turns the error that is set into one that names the argument. */
static bool wrap_error(Py_ssize_t position, const char *what) {
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_Format(PyExc_ValueError, "argument %zd: %s: %S", position, what, value ? value : type);
    Py_DecRef(type);
    if (value) Py_DecRef(value);
    if (traceback) Py_DecRef(traceback);
    return false;
}

static bool is_integer(PyObject *value) {
    return PyType_GetFlags(value->ob_type) & Py_TPFLAGS_LONG_SUBCLASS;
}

/* ---- pointers ---- */

/* How a type gives its address. Looked up once per type, in a small table that keeps the type
 * alive; the GIL guards it. */
typedef enum { BY_NOTHING, BY_DATA_PTR, BY_ARRAY_STRUCT, BY_ARRAY_INTERFACE } access_way;

typedef struct {
    PyTypeObject *type;
    access_way way;
    bool has_storage, has_is_cpu;
} type_entry;

#define TYPE_TABLE_SIZE 32
static type_entry type_table[TYPE_TABLE_SIZE];

static const type_entry *look_up_type(PyTypeObject *type) {
    type_entry *entry = &type_table[(uintptr_t)type / 64 % TYPE_TABLE_SIZE];
    if (entry->type == type) return entry;
    PyObject *object = (PyObject *)type;
    type_entry found = {.type = type, .way = BY_NOTHING};
    if (PyObject_HasAttrString(object, "data_ptr")) found.way = BY_DATA_PTR;
    else if (PyObject_HasAttrString(object, "__array_struct__")) found.way = BY_ARRAY_STRUCT;
    else if (PyObject_HasAttrString(object, "__array_interface__")) found.way = BY_ARRAY_INTERFACE;
    found.has_storage = PyObject_HasAttrString(object, "untyped_storage");
    found.has_is_cpu = PyObject_HasAttrString(object, "is_cpu");
    Py_IncRef(object);
    PyTypeObject *previous = entry->type;
    *entry = found;
    if (previous) Py_DecRef((PyObject *)previous);
    return entry;
}

/* What an `__array_struct__` capsule holds (NumPy's array interface, C side). */
typedef struct {
    int two;
    int nd;
    char typekind;
    int itemsize;
    int flags;
    Py_ssize_t *shape;
    Py_ssize_t *strides;
    void *data;
    PyObject *descr;
} array_struct;

#define ARRAY_WRITEABLE 0x0400

/* The returned capsule owns the struct; NULL with an error set. */
static PyObject *get_array_struct(PyObject *array, array_struct **result) {
    PyObject *capsule = PyObject_GetAttr(array, name_array_struct);
    if (!capsule) return NULL;
    *result = PyCapsule_GetPointer(capsule, NULL);
    if (*result && (*result)->two == 2) return capsule;
    if (*result) PyErr_Format(PyExc_ValueError, "a malformed __array_struct__");
    Py_DecRef(capsule);
    return NULL;
}

static bool refuse_device(PyObject *tensor, Py_ssize_t position) {
    PyObject *device = PyObject_GetAttrString(tensor, "device");
    if (!device) PyErr_Clear();
    PyErr_Format(PyExc_ValueError,
                 "argument %zd: expected a tensor in CPU memory, got one on device '%S' "
                 "without an address here",
                 position, device ? device : Py_None);
    if (device) Py_DecRef(device);
    return false;
}

/* A null address is right for an empty tensor only. */
static bool check_null_tensor(PyObject *tensor, Py_ssize_t position) {
    uint64_t elements;
    if (!as_u64(call_method(tensor, name_numel), &elements)) {
        PyErr_Clear();
        return true; /* an object with data_ptr() alone */
    }
    return elements == 0 || refuse_device(tensor, position);
}

static bool is_elsewhere(PyObject *tensor) {
    PyObject *on_cpu = PyObject_GetAttr(tensor, name_is_cpu);
    bool elsewhere = on_cpu == Py_False;
    if (on_cpu) Py_DecRef(on_cpu);
    else PyErr_Clear();
    return elsewhere;
}

static bool pack_tensor(PyObject *tensor, Py_ssize_t position, bool check_device, uint64_t *slot) {
    if (check_device && is_elsewhere(tensor)) return refuse_device(tensor, position);
    if (!as_u64(call_method(tensor, name_data_ptr), slot))
        return wrap_error(position, "data_ptr() failed");
    return *slot != 0 || check_null_tensor(tensor, position);
}

static bool pack_array(PyObject *array, bool written, Py_ssize_t position, uint64_t *slot) {
    array_struct *fields;
    PyObject *capsule = get_array_struct(array, &fields);
    if (!capsule) return wrap_error(position, "__array_struct__ failed");
    bool writeable = fields->flags & ARRAY_WRITEABLE;
    *slot = (uint64_t)(uintptr_t)fields->data;
    Py_DecRef(capsule);
    if (!written || writeable) return true;
    PyErr_Format(PyExc_ValueError,
                 "argument %zd: the kernel writes to this array, which is read-only", position);
    return false;
}

static bool pack_interface(PyObject *object, Py_ssize_t position, uint64_t *slot) {
    PyObject *interface = PyObject_GetAttr(object, name_array_interface);
    if (!interface) return wrap_error(position, "__array_interface__ failed");
    PyObject *data = PyDict_GetItemString(interface, "data");
    PyObject *zero = PyLong_FromLong(0);
    PyObject *address = data && zero ? PyObject_GetItem(data, zero) : NULL;
    if (!address && !PyErr_Occurred()) PyErr_Format(PyExc_ValueError, "no 'data' in it");
    bool ok = as_u64(address, slot);
    if (zero) Py_DecRef(zero);
    Py_DecRef(interface);
    return ok || wrap_error(position, "__array_interface__ failed");
}

static bool pack_pointer(PyObject *value, bool written, Py_ssize_t position, bool check_device,
                         uint64_t *slot) {
    if (value == Py_None) {
        *slot = 0;
        return true;
    }
    const type_entry *entry = look_up_type(value->ob_type);
    switch (entry->way) {
        case BY_DATA_PTR:
            return pack_tensor(value, position, check_device && entry->has_is_cpu, slot);
        case BY_ARRAY_STRUCT: return pack_array(value, written, position, slot);
        case BY_ARRAY_INTERFACE: return pack_interface(value, position, slot);
        case BY_NOTHING: break;
    }
    if (!is_integer(value) || value == Py_True || value == Py_False)
        return refuse_type(position, "a tensor, an array, None or an integer address", value);
    *slot = PyLong_AsUnsignedLongLong(value);
    if (*slot != UINT64_MAX || !PyErr_Occurred()) return true;
    PyErr_Clear();
    PyErr_Format(PyExc_ValueError, "argument %zd: %S is not an address", position, value);
    return false;
}

/* ---- extents ---- */

static bool storage_extent(PyObject *tensor, canopy_extent *extent) {
    PyObject *storage = call_method(tensor, name_untyped_storage);
    if (!storage) return false;
    uint64_t begin, bytes;
    bool ok = as_u64(call_method(storage, name_data_ptr), &begin) &&
              as_u64(call_method(storage, name_nbytes), &bytes);
    Py_DecRef(storage);
    if (ok) *extent = (canopy_extent){begin, begin + bytes};
    return ok;
}

static canopy_extent spanned(const array_struct *fields) {
    uint64_t begin = (uint64_t)(uintptr_t)fields->data, end = begin + (uint64_t)fields->itemsize;
    for (int axis = 0; axis < fields->nd; axis++) {
        if (fields->shape[axis] == 0) return (canopy_extent){begin, begin};
        Py_ssize_t reach = (fields->shape[axis] - 1) * fields->strides[axis];
        if (reach < 0) begin += (uint64_t)reach;
        else end += (uint64_t)reach;
    }
    return (canopy_extent){begin, end};
}

static bool array_extent(PyObject *owner, canopy_extent *extent) {
    array_struct *fields;
    PyObject *capsule = get_array_struct(owner, &fields);
    if (!capsule) return false;
    *extent = spanned(fields);
    Py_DecRef(capsule);
    return true;
}

/* Views are followed through `.base` to the array that has none: the owner. 8 links are more than
 * NumPy and Triton's wrappers make. */
static bool extent_of(PyObject *value, int links, canopy_extent *extent) {
    if (links == 0) return false;
    const type_entry *entry = look_up_type(value->ob_type);
    if (entry->has_storage) return storage_extent(value, extent);
    if (entry->way == BY_NOTHING) return false;
    bool is_array = entry->way == BY_ARRAY_STRUCT;
    PyObject *base = PyObject_GetAttr(value, name_base);
    if (!base) return false;
    bool found = base == Py_None ? is_array && array_extent(value, extent)
                                 : extent_of(base, links - 1, extent);
    Py_DecRef(base);
    return found;
}

canopy_extent canopy_find_extent(PyObject *value, uint64_t address) {
    if (address == 0) return (canopy_extent){0, 0};
    canopy_extent extent;
    bool found = extent_of(value, 8, &extent);
    if (PyErr_Occurred()) PyErr_Clear();
    /* An address outside its own allocation (a stand-in whose storage is elsewhere) proves nothing. */
    if (!found || address < extent.begin || address > extent.end) return CANOPY_UNKNOWN_EXTENT;
    return extent;
}

/* ---- scalars ---- */

typedef struct {
    const char *name;
    long long least, most;
} integer_range;

static integer_range range_of(char kind) {
    switch (kind) {
        case 'k': return (integer_range){"i8", INT8_MIN, INT8_MAX};
        case 'K': return (integer_range){"u8", 0, UINT8_MAX};
        case 's': return (integer_range){"i16", INT16_MIN, INT16_MAX};
        case 'S': return (integer_range){"u16", 0, UINT16_MAX};
        case 'i': return (integer_range){"i32", INT32_MIN, INT32_MAX};
        case 'I': return (integer_range){"u32", 0, UINT32_MAX};
        case 'l': return (integer_range){"i64", INT64_MIN, INT64_MAX};
        default: return (integer_range){"u64", 0, INT64_MAX};
    }
}

static bool refuse_range(PyObject *value, const char *name, Py_ssize_t position) {
    PyErr_Clear();
    PyErr_Format(PyExc_ValueError, "argument %zd: %S does not fit into %s", position, value, name);
    return false;
}

/* The error of a failed conversion: out of range, or no integer at all. */
static bool refuse_integer(PyObject *value, const char *name, Py_ssize_t position) {
    if (PyErr_ExceptionMatches(PyExc_OverflowError)) return refuse_range(value, name, position);
    PyErr_Clear();
    return refuse_type(position, "an integer", value);
}

static bool pack_u64(PyObject *value, Py_ssize_t position, uint64_t *slot) {
    PyObject *integer = PyNumber_Index(value);
    if (as_u64(integer, slot)) return true;
    return refuse_integer(value, "u64", position);
}

static bool pack_integer(char kind, PyObject *value, Py_ssize_t position, uint64_t *slot) {
    if (kind == 'L') return pack_u64(value, position, slot);
    integer_range range = range_of(kind);
    long long number = PyLong_AsLongLong(value);
    if (number == -1 && PyErr_Occurred()) return refuse_integer(value, range.name, position);
    if (number < range.least || number > range.most)
        return refuse_range(value, range.name, position);
    *slot = (uint64_t)number;
    return true;
}

static bool pack_bool(PyObject *value, Py_ssize_t position, uint64_t *slot) {
    bool has_truth = is_integer(value) || PyObject_HasAttrString(value, "__bool__");
    int truth = has_truth && value != Py_None ? PyObject_IsTrue(value) : -1;
    if (truth < 0) {
        PyErr_Clear();
        return refuse_type(position, "a bool", value);
    }
    *slot = (uint64_t)truth;
    return true;
}

static bool pack_float(char kind, PyObject *value, Py_ssize_t position, uint64_t *slot) {
    double number = PyFloat_AsDouble(value);
    if (number == -1.0 && PyErr_Occurred()) {
        PyErr_Clear();
        return refuse_type(position, "a float", value);
    }
    float single = (float)number;
    *slot = 0;
    switch (kind) {
        case 'f': memcpy(slot, &single, sizeof single); break;
        case 'd': memcpy(slot, &number, sizeof number); break;
        case 'y': *slot = canopy_bfloat16_from_double(number); break;
        default: *slot = canopy_half_from_double(number); break;
    }
    return true;
}

bool canopy_pack_argument(char kind, PyObject *value, Py_ssize_t position, bool check_device,
                          uint64_t *slot) {
    switch (kind) {
        case 'P':
        case 'W': return pack_pointer(value, kind == 'W', position, check_device, slot);
        case 'f':
        case 'd':
        case 'h':
        case 'e':
        case 'y': return pack_float(kind, value, position, slot);
        case 'b': return pack_bool(value, position, slot);
        default: return pack_integer(kind, value, position, slot);
    }
}
