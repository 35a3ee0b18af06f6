#include "launcher.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "arguments.h"
#include "clock.h"
#include "cuda/check.h"
#include "output.h"
#include "report.h"

/* Handing the GIL over costs 50 to 100 ns when nobody waits, and a switch when somebody does. */
#define KEEP_GIL_NS 5000
#define MAX_ARGUMENTS 1024

typedef struct {
    int argument; /* position among the arguments */
    int slot;
    bool written;
} pointer_use;

typedef struct {
    PyObject head;
    vectorcallfunc vectorcall;
    canopy_launch_request request; /* args and grid are filled in per launch */
    uint64_t program_ps;
    bool check_device;
    long long checked_shared; /* bytes of dynamic shared memory of a checked kernel; -1: is not one */
    char *kinds;
    char *name;
    int argument_count;
    int slot_count; /* without the may_alias slot */
    int pointer_count;
    bool any_written;
    pointer_use *pointers;
    PyObject *keep; /* owns the machine code */
    unsigned long long launches, total_ns; /* counted while timing is on */
} Launcher;

static PyObject *launcher_type, *failure_type;
static bool timing;

/* ---- errors ---- */

PyObject *canopy_raise_failure(const char *kernel, int32_t code) {
    const char *message = canopy_message();
    PyObject *text =
        message[0] ? PyUnicode_DecodeUTF8(message, (Py_ssize_t)strlen(message), "replace")
                   : PyUnicode_FromFormat("%s failed with code %i", kernel, (int)code);
    PyObject *failure = text ? PyObject_CallFunctionObjArgs(failure_type, text, NULL) : NULL;
    PyObject *number = PyLong_FromLong(code);
    PyObject *name = PyUnicode_FromString(kernel);
    if (failure && number && name && PyObject_SetAttrString(failure, "code", number) == 0 &&
        PyObject_SetAttrString(failure, "kernel", name) == 0)
        PyErr_SetObject(failure_type, failure);
    PyObject *owned[] = {text, failure, number, name};
    for (size_t at = 0; at < sizeof owned / sizeof *owned; at++)
        if (owned[at]) Py_DecRef(owned[at]);
    return NULL;
}

/* ---- grid ---- */

bool canopy_read_extent(PyObject *value, const char *what, char axis, uint32_t *result) {
    long long number = PyLong_AsLongLong(value);
    if (number == -1 && PyErr_Occurred()) {
        if (PyErr_ExceptionMatches(PyExc_OverflowError)) number = LLONG_MAX;
        else {
            PyErr_Clear();
            PyErr_Format(PyExc_TypeError, "%s: expected an integer along %c, got %R", what,
                         (int)axis, value);
            return false;
        }
        PyErr_Clear();
    }
    if (number < 0 || number > INT32_MAX) {
        PyErr_Format(PyExc_ValueError, "%s: %S along %c is outside 0..2147483647", what, value,
                     (int)axis);
        return false;
    }
    *result = (uint32_t)number;
    return true;
}

bool canopy_check_total(const uint32_t grid[3]) {
    uint64_t plane = (uint64_t)grid[0] * grid[1], total;
    if (!__builtin_mul_overflow(plane, (uint64_t)grid[2], &total) && total <= INT64_MAX) return true;
    PyErr_Format(PyExc_ValueError, "grid: (%u, %u, %u) holds more than 2^63 - 1 programs",
                 (unsigned)grid[0], (unsigned)grid[1], (unsigned)grid[2]);
    return false;
}

/* Behind what Python has printed before. */
static void show_output(void) {
    if (!canopy_output_waits()) return;
    PyObject *stream = PySys_GetObject("stdout");
    PyObject *flushed = stream && stream != Py_None ? PyObject_CallMethod(stream, "flush", NULL) : NULL;
    if (flushed) Py_DecRef(flushed);
    else PyErr_Clear();
    canopy_output_flush();
}

int32_t canopy_launch_from_python(const canopy_launch_request *request) {
    bool single = request->grid[0] == 1 && request->grid[1] == 1 && request->grid[2] == 1;
    uint64_t expected = canopy_expected_ns(request);
    /* A single program of unknown length keeps the GIL once; then its length is known. */
    bool keep = expected < KEEP_GIL_NS || (single && expected == UINT64_MAX);
    PyThreadState *state = keep ? NULL : PyEval_SaveThread();
    int32_t code = canopy_launch(request);
    if (state) PyEval_RestoreThread(state);
    show_output();
    return code;
}

/* ---- aliasing ---- */

static bool overlap(canopy_extent left, canopy_extent right) {
    return left.begin < right.end && right.begin < left.end;
}

/* Whether a pointer that the kernel writes may share memory with another one. */
static bool may_alias(const Launcher *launcher, PyObject *const *args, const uint64_t *slots) {
    int count = launcher->pointer_count;
    if (!launcher->any_written || count < 2) return false;
    canopy_extent extents[count];
    for (int at = 0; at < count; at++) {
        const pointer_use *use = &launcher->pointers[at];
        extents[at] = canopy_find_extent(args[use->argument], slots[use->slot]);
    }
    for (int left = 0; left < count; left++) {
        for (int right = left + 1; right < count; right++) {
            bool written = launcher->pointers[left].written || launcher->pointers[right].written;
            if (written && overlap(extents[left], extents[right])) return true;
        }
    }
    return false;
}

/* ---- calling ---- */

static bool pack(const Launcher *launcher, PyObject *const *args, uint64_t *slots) {
    int slot = 0;
    for (int at = 0; at < launcher->argument_count; at++) {
        char kind = launcher->kinds[at];
        if (kind == 'c') continue;
        if (!canopy_pack_argument(kind, args[at], at, launcher->check_device, &slots[slot++]))
            return false;
    }
    slots[slot] = may_alias(launcher, args, slots);
    return true;
}

/* ---- checked kernels (cuda/check.h) ---- */

/* The memory behind the pointers, without overlaps; whether all of it is known. */
static bool find_memory(const Launcher *launcher, PyObject *const *args, const uint64_t *slots,
                        canopy_extent *extents) {
    bool is_known = true;
    for (int at = 0; at < launcher->pointer_count; at++) {
        const pointer_use *use = &launcher->pointers[at];
        canopy_extent found = canopy_find_extent(args[use->argument], slots[use->slot]);
        is_known &= found.end != UINT64_MAX;
        if (found.end == UINT64_MAX) found = (canopy_extent){0, 0};
        for (int before = 0; before < at; before++) {
            if (!overlap(extents[before], found)) continue;
            if (extents[before].begin < found.begin) found.begin = extents[before].begin;
            if (extents[before].end > found.end) found.end = extents[before].end;
            extents[before] = (canopy_extent){0, 0};
        }
        extents[at] = found;
    }
    return is_known;
}

static int32_t launch_checked(const Launcher *launcher, PyObject *const *args, const uint64_t *slots,
                              const canopy_launch_request *request) {
    canopy_extent extents[launcher->pointer_count + 1];
    bool is_known = find_memory(launcher, args, slots, extents);
    PyThreadState *state = PyEval_SaveThread();
    canopy_check_open(launcher->name, request->grid, (uint64_t)launcher->checked_shared, is_known);
    for (int at = 0; at < launcher->pointer_count; at++)
        canopy_check_add((const void *)(uintptr_t)extents[at].begin, extents[at].end - extents[at].begin,
                         CHECK_DEVICE, NULL);
    int32_t code = canopy_launch(request);
    for (int at = 0; at < launcher->pointer_count; at++)
        canopy_check_remove((const void *)(uintptr_t)extents[at].begin);
    canopy_check_close();
    PyEval_RestoreThread(state);
    show_output();
    return code;
}

static PyObject *launcher_call(PyObject *self, PyObject *const *args, size_t nargsf,
                               PyObject *keyword_names) {
    Launcher *launcher = (Launcher *)self;
    uint64_t start = timing ? canopy_now_ns() : 0;
    Py_ssize_t count = (Py_ssize_t)(nargsf & ~PY_VECTORCALL_ARGUMENTS_OFFSET) - 3;
    if (keyword_names)
        return PyErr_Format(PyExc_TypeError, "%s: a launcher takes no keyword arguments",
                            launcher->name);
    if (count != launcher->argument_count)
        return PyErr_Format(PyExc_TypeError,
                            "%s: expected grid_x, grid_y, grid_z and %i arguments, got %zd values",
                            launcher->name, launcher->argument_count, count + 3);
    canopy_launch_request request = launcher->request;
    request.alone = canopy_check_is_on;
    for (int axis = 0; axis < 3; axis++)
        if (!canopy_read_extent(args[axis], "grid", "xyz"[axis], &request.grid[axis])) return NULL;
    if (!canopy_check_total(request.grid)) return NULL;
    uint64_t slots[launcher->slot_count + 1];
    if (!pack(launcher, args + 3, slots)) return NULL;
    request.args = slots;
    int32_t code = launcher->checked_shared < 0 ? canopy_launch_from_python(&request)
                                                : launch_checked(launcher, args + 3, slots, &request);
    if (start) {
        launcher->launches++;
        launcher->total_ns += canopy_now_ns() - start;
    }
    if (code) return canopy_raise_failure(launcher->name, code);
    Py_IncRef(Py_None);
    return Py_None;
}

PyObject *canopy_set_timing(PyObject *module, PyObject *enabled) {
    (void)module;
    int on = PyObject_IsTrue(enabled);
    if (on < 0) return NULL;
    timing = on;
    Py_IncRef(Py_None);
    return Py_None;
}

/* ---- making ---- */

static bool note_kinds(Launcher *launcher, const char *kinds, Py_ssize_t count) {
    if (count > MAX_ARGUMENTS) {
        PyErr_Format(PyExc_ValueError, "%zd arguments, at most %i are supported", count,
                     MAX_ARGUMENTS);
        return false;
    }
    launcher->kinds = strdup(kinds);
    launcher->pointers = calloc((size_t)count + 1, sizeof *launcher->pointers);
    if (!launcher->kinds || !launcher->pointers) {
        PyErr_NoMemory();
        return false;
    }
    launcher->argument_count = (int)count;
    for (int at = 0; at < count; at++) {
        char kind = kinds[at];
        if (!canopy_is_kind(kind)) {
            PyErr_Format(PyExc_ValueError, "argument %i: '%c' is no argument kind", at, (int)kind);
            return false;
        }
        if (kind == 'c') continue;
        if (canopy_is_pointer_kind(kind)) {
            bool written = kind == 'W';
            launcher->pointers[launcher->pointer_count++] =
                (pointer_use){at, launcher->slot_count, written};
            launcher->any_written |= written;
        }
        launcher->slot_count++;
    }
    return true;
}

PyObject *canopy_make_launcher(PyObject *module, PyObject *args, PyObject *keywords) {
    (void)module;
    static char *names[] = {"entry_address", "scratch_bytes", "kinds", "name", "block",
                            "max_chunk", "check_device", "keep", "checked_shared", NULL};
    unsigned long long entry, scratch_bytes, max_chunk = 0;
    const char *name = "kernel";
    unsigned block[3] = {1, 1, 1};
    int check_device = 0;
    long long checked_shared = -1;
    PyObject *kinds_object, *keep = Py_None;
    char *kinds;
    Py_ssize_t count;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "KKO|s(III)KpOL:make_launcher", names, &entry,
                                     &scratch_bytes, &kinds_object, &name, &block[0], &block[1],
                                     &block[2], &max_chunk, &check_device, &keep,
                                     &checked_shared))
        return NULL;
    if (PyBytes_AsStringAndSize(kinds_object, &kinds, &count) != 0) return NULL;
    if (entry == 0) return PyErr_Format(PyExc_ValueError, "%s: a null entry address", name);

    Launcher *launcher = (Launcher *)PyType_GenericAlloc((PyTypeObject *)launcher_type, 0);
    if (!launcher) return NULL;
    launcher->vectorcall = launcher_call;
    launcher->check_device = check_device;
    launcher->checked_shared = checked_shared;
    launcher->request = (canopy_launch_request){
        .entry = (canopy_entry)(uintptr_t)entry,
        .block = {block[0], block[1], block[2]},
        .scratch_bytes = scratch_bytes,
        .max_chunk = max_chunk,
        .program_ps = &launcher->program_ps,
    };
    Py_IncRef(keep);
    launcher->keep = keep;
    launcher->name = strdup(name);
    if (launcher->name && note_kinds(launcher, kinds, count)) return (PyObject *)launcher;
    if (!launcher->name) PyErr_NoMemory();
    Py_DecRef((PyObject *)launcher);
    return NULL;
}

static void launcher_dealloc(PyObject *self) {
    Launcher *launcher = (Launcher *)self;
    PyTypeObject *type = self->ob_type;
    free(launcher->kinds);
    free(launcher->name);
    free(launcher->pointers);
    if (launcher->keep) Py_DecRef(launcher->keep);
    PyObject_Free(self);
    Py_DecRef((PyObject *)type);
}

static PyObject *launcher_repr(PyObject *self) {
    Launcher *launcher = (Launcher *)self;
    return PyUnicode_FromFormat("<Launcher %s(%s)>", launcher->name, launcher->kinds);
}

bool canopy_launcher_init(PyObject *module) {
    static PyMemberDef members[] = {
        {"__vectorcalloffset__", T_PYSSIZET, offsetof(Launcher, vectorcall), READONLY, NULL},
        {"launches", T_ULONGLONG, offsetof(Launcher, launches), 0, NULL},
        {"total_ns", T_ULONGLONG, offsetof(Launcher, total_ns), 0, NULL},
        {"program_ps", T_ULONGLONG, offsetof(Launcher, program_ps), 0, NULL},
        {NULL, 0, 0, 0, NULL},
    };
    static PyType_Slot slots[] = {
        {Py_tp_call, PyVectorcall_Call},
        {Py_tp_dealloc, launcher_dealloc},
        {Py_tp_repr, launcher_repr},
        {Py_tp_members, members},
        {0, NULL},
    };
    static PyType_Spec spec = {
        .name = "canopy.runtime.native._native.Launcher",
        .basicsize = sizeof(Launcher),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION,
        .slots = slots,
    };
    launcher_type = PyType_FromSpec(&spec);
    failure_type = PyErr_NewException("canopy.runtime.native._native.KernelFailure",
                                      PyExc_RuntimeError, NULL);
    return launcher_type && failure_type &&
           PyModule_AddObjectRef(module, "Launcher", launcher_type) == 0 &&
           PyModule_AddObjectRef(module, "KernelFailure", failure_type) == 0;
}
