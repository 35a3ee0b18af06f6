/* The extension module canopy.runtime.native._native: the runtime as Python sees it. */
#include "allocator.h"
#include "apart.h"
#include "arguments.h"
#include "event.h"
#include "half.h"
#include "interpose.h"
#include "launcher.h"
#include "pool.h"
#include "call.h"
#include "output.h"
#include "report.h"
#include "stable_abi.h"
#include "together.h"

static PyObject *none(void) {
    Py_IncRef(Py_None);
    return Py_None;
}

/* launch(entry, grid, block, args, scratch_bytes, max_chunk): args is bytes, or an address. */
static PyObject *launch(PyObject *module, PyObject *args) {
    (void)module;
    unsigned long long entry, scratch_bytes, max_chunk;
    PyObject *grid[3], *block[3], *packed;
    if (!PyArg_ParseTuple(args, "K(OOO)(OOO)OKK:launch", &entry, &grid[0], &grid[1], &grid[2],
                          &block[0], &block[1], &block[2], &packed, &scratch_bytes, &max_chunk))
        return NULL;
    canopy_launch_request request = {
        .entry = (canopy_entry)(uintptr_t)entry,
        .scratch_bytes = scratch_bytes,
        .max_chunk = max_chunk,
    };
    if (!request.entry) return PyErr_Format(PyExc_ValueError, "a null entry address");
    for (int axis = 0; axis < 3; axis++)
        if (!canopy_read_extent(grid[axis], "grid", "xyz"[axis], &request.grid[axis]) ||
            !canopy_read_extent(block[axis], "block", "xyz"[axis], &request.block[axis]))
            return NULL;
    if (!canopy_check_total(request.grid)) return NULL;
    if (PyType_GetFlags(packed->ob_type) & Py_TPFLAGS_LONG_SUBCLASS) {
        request.args = (const void *)(uintptr_t)PyLong_AsUnsignedLongLong(packed);
        if (PyErr_Occurred()) return NULL;
    } else {
        char *text;
        Py_ssize_t size;
        if (PyBytes_AsStringAndSize(packed, &text, &size) != 0) return NULL;
        request.args = text;
    }
    int32_t code = canopy_launch_from_python(&request);
    return code ? canopy_raise_failure("kernel", code) : none();
}

static PyObject *get_num_threads(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    return PyLong_FromLong(canopy_get_threads());
}

static PyObject *set_num_threads(PyObject *module, PyObject *value) {
    (void)module;
    long long count = PyLong_AsLongLong(value);
    if (count == -1 && PyErr_Occurred()) {
        if (!PyErr_ExceptionMatches(PyExc_OverflowError)) return NULL;
        PyErr_Clear();
    }
    if (count >= 1 && count <= 1024 && canopy_set_threads((int)count) == 0) return none();
    return PyErr_Format(PyExc_ValueError, "%S threads: expected 1 to 1024", value);
}

static PyObject *share_openmp(PyObject *module, PyObject *wanted) {
    (void)module;
    int truth = PyObject_IsTrue(wanted);
    return truth < 0 ? NULL : PyBool_FromLong(canopy_share_openmp(truth));
}

static PyObject *symbols(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
#define SYMBOL(name) {#name, (void *)name}
    static const struct {
        const char *name;
        void *address;
    } table[] = {
        SYMBOL(canopy_assert_fail),       SYMBOL(canopy_report),
        SYMBOL(canopy_message),           SYMBOL(canopy_print_values),
        SYMBOL(canopy_print_text),        SYMBOL(canopy_half_from_double),
        SYMBOL(canopy_half_to_float),     SYMBOL(canopy_bfloat16_from_double),
        SYMBOL(canopy_bfloat16_to_float), SYMBOL(canopy_event_record),
        SYMBOL(canopy_event_elapsed),     SYMBOL(canopy_alloc),
        SYMBOL(canopy_free),              SYMBOL(canopy_launch),
        SYMBOL(canopy_run_together),      SYMBOL(canopy_output_flush),
        SYMBOL(canopy_cuda_printf),       SYMBOL(canopy_cuda_assert),
        SYMBOL(canopy_cuda_trap),         SYMBOL(canopy_cuda_malloc),
        SYMBOL(canopy_cuda_free),         SYMBOL(canopy_cuda_sleep),
        SYMBOL(canopy_run_apart),         SYMBOL(canopy_pause),
        SYMBOL(canopy_grid_barrier),      SYMBOL(canopy_member),
        SYMBOL(canopy_block_memory),      SYMBOL(canopy_block_barrier),
        SYMBOL(canopy_block_arrive),
        SYMBOL(canopy_cuda_memmove),
        SYMBOL(canopy_check_enter),       SYMBOL(canopy_check_array),
        SYMBOL(canopy_check_access),      SYMBOL(canopy_check_barrier),
        SYMBOL(canopy_check_warp),        SYMBOL(canopy_check_fence),
        SYMBOL(canopy_check_arrive),      SYMBOL(canopy_check_leave),
        SYMBOL(canopy_check_grid),        SYMBOL(canopy_check_together),
    };
    PyObject *result = PyDict_New();
    for (size_t at = 0; result && at < sizeof table / sizeof *table; at++) {
        PyObject *address = PyLong_FromUnsignedLongLong((uintptr_t)table[at].address);
        int failed = !address || PyDict_SetItemString(result, table[at].name, address) != 0;
        if (address) Py_DecRef(address);
        if (!failed) continue;
        Py_DecRef(result);
        result = NULL;
    }
    return result;
}

static PyObject *event_record(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    canopy_event event;
    canopy_event_record(&event);
    return PyLong_FromUnsignedLongLong(event.time_ns);
}

static PyObject *event_elapsed(PyObject *module, PyObject *args) {
    (void)module;
    unsigned long long start, end;
    if (!PyArg_ParseTuple(args, "KK:event_elapsed", &start, &end)) return NULL;
    canopy_event first = {start}, second = {end};
    return PyFloat_FromDouble(canopy_event_elapsed(&first, &second));
}

static PyObject *alloc(PyObject *module, PyObject *value) {
    (void)module;
    unsigned long long bytes = PyLong_AsUnsignedLongLong(value);
    if (bytes == (unsigned long long)-1 && PyErr_Occurred()) return NULL;
    void *block = canopy_alloc(bytes);
    return block ? PyLong_FromUnsignedLongLong((uintptr_t)block) : PyErr_NoMemory();
}

static PyObject *free_block(PyObject *module, PyObject *value) {
    (void)module;
    unsigned long long address = PyLong_AsUnsignedLongLong(value);
    if (address == (unsigned long long)-1 && PyErr_Occurred()) return NULL;
    canopy_free((void *)(uintptr_t)address);
    return none();
}

static PyObject *alloc_trim(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    canopy_alloc_trim();
    return none();
}

static PyObject *alloc_limit(PyObject *module, PyObject *value) {
    (void)module;
    unsigned long long bytes = PyLong_AsUnsignedLongLong(value);
    if (bytes == (unsigned long long)-1 && PyErr_Occurred()) return NULL;
    canopy_alloc_limit(bytes);
    return none();
}

static PyObject *alloc_reset_peak(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    canopy_alloc_reset_peak();
    return none();
}

static PyObject *alloc_stats(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    canopy_memory_stats stats;
    canopy_alloc_stats(&stats);
    return Py_BuildValue("{sKsKsKsKsKsKsK}", "used_bytes", stats.used_bytes, "cached_bytes",
                         stats.cached_bytes, "peak_bytes", stats.peak_bytes, "peak_held_bytes",
                         stats.peak_held_bytes, "limit_bytes", stats.limit_bytes, "hits",
                         stats.hits, "misses", stats.misses);
}

static PyObject *keep_memory(PyObject *module, PyObject *args) {
    (void)module;
    const char *library;
    if (!PyArg_ParseTuple(args, "s:keep_memory", &library)) return NULL;
    return PyBool_FromLong(canopy_keep_memory(library));
}

static PyObject *stop_keeping_memory(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    canopy_stop_keeping_memory();
    return none();
}

static PyObject *half_bits(PyObject *module, PyObject *value) {
    (void)module;
    double number = PyFloat_AsDouble(value);
    if (number == -1.0 && PyErr_Occurred()) return NULL;
    return PyLong_FromLong(canopy_half_from_double(number));
}

static PyObject *bfloat16_bits(PyObject *module, PyObject *value) {
    (void)module;
    double number = PyFloat_AsDouble(value);
    if (number == -1.0 && PyErr_Occurred()) return NULL;
    return PyLong_FromLong(canopy_bfloat16_from_double(number));
}

static PyMethodDef methods[] = {
    {"make_launcher", (PyCFunction)(void *)canopy_make_launcher, METH_VARARGS | METH_KEYWORDS, NULL},
    {"set_timing", canopy_set_timing, METH_O, NULL},
    {"launch", launch, METH_VARARGS, NULL},
    {"get_num_threads", get_num_threads, METH_NOARGS, NULL},
    {"set_num_threads", set_num_threads, METH_O, NULL},
    {"share_openmp", share_openmp, METH_O, NULL},
    {"symbols", symbols, METH_NOARGS, NULL},
    {"event_record", event_record, METH_NOARGS, NULL},
    {"event_elapsed", event_elapsed, METH_VARARGS, NULL},
    {"alloc", alloc, METH_O, NULL},
    {"free", free_block, METH_O, NULL},
    {"alloc_trim", alloc_trim, METH_NOARGS, NULL},
    {"alloc_limit", alloc_limit, METH_O, NULL},
    {"alloc_reset_peak", alloc_reset_peak, METH_NOARGS, NULL},
    {"alloc_stats", alloc_stats, METH_NOARGS, NULL},
    {"keep_memory", keep_memory, METH_VARARGS, NULL},
    {"stop_keeping_memory", stop_keeping_memory, METH_NOARGS, NULL},
    {"half_bits", half_bits, METH_O, NULL},
    {"bfloat16_bits", bfloat16_bits, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef definition = {
    .ob_base = {.ob_refcnt = 1},
    .m_name = "_native",
    .m_doc = "The native runtime; see canopy.runtime.",
    .m_size = -1,
    .m_methods = methods,
};

CANOPY_EXPORT PyObject *PyInit__native(void);

PyObject *PyInit__native(void) {
    PyObject *module = PyModule_Create2(&definition, PYTHON_ABI_VERSION);
    if (!module) return NULL;
    if (canopy_arguments_init() && canopy_launcher_init(module)) return module;
    Py_DecRef(module);
    return NULL;
}
