/* The functions of CPython's stable ABI (3.10 and later) that the extension uses.
 *
 * Declared here instead of including Python.h, so that building needs no Python headers. The object
 * layout, the vectorcall slot and these signatures are fixed by PEP 384, PEP 590 and PEP 652 for
 * builds with a GIL; a free-threaded build refuses an abi3 module by its file name.
 */
#ifndef CANOPY_STABLE_ABI_H
#define CANOPY_STABLE_ABI_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef ssize_t Py_ssize_t;
typedef struct PyTypeObject PyTypeObject;

typedef struct PyObject {
    Py_ssize_t ob_refcnt;
    PyTypeObject *ob_type;
} PyObject;

typedef PyObject *(*PyCFunction)(PyObject *, PyObject *);
typedef PyObject *(*vectorcallfunc)(PyObject *callable, PyObject *const *args, size_t nargsf,
                                    PyObject *keyword_names);

typedef struct {
    const char *ml_name;
    PyCFunction ml_meth;
    int ml_flags;
    const char *ml_doc;
} PyMethodDef;

#define METH_VARARGS 0x0001
#define METH_KEYWORDS 0x0002
#define METH_NOARGS 0x0004
#define METH_O 0x0008

typedef struct {
    PyObject ob_base;
    PyObject *(*m_init)(void);
    Py_ssize_t m_index;
    PyObject *m_copy;
    const char *m_name;
    const char *m_doc;
    Py_ssize_t m_size;
    PyMethodDef *m_methods;
    void *m_slots;
    void *m_traverse;
    void *m_clear;
    void *m_free;
} PyModuleDef;

typedef struct {
    const char *name;
    int type;
    Py_ssize_t offset;
    int flags;
    const char *doc;
} PyMemberDef;

#define T_OBJECT 6
#define T_ULONGLONG 18
#define T_PYSSIZET 19
#define READONLY 1

typedef struct {
    int slot;
    void *pfunc;
} PyType_Slot;

typedef struct {
    const char *name;
    int basicsize;
    int itemsize;
    unsigned int flags;
    PyType_Slot *slots;
} PyType_Spec;

#define Py_tp_call 50
#define Py_tp_dealloc 52
#define Py_tp_doc 56
#define Py_tp_repr 66
#define Py_tp_members 72

#define Py_TPFLAGS_DISALLOW_INSTANTIATION (1u << 7)
#define Py_TPFLAGS_HAVE_VECTORCALL (1u << 11)
#define Py_TPFLAGS_DEFAULT (1u << 18)
#define Py_TPFLAGS_LONG_SUBCLASS (1u << 24)
#define PY_VECTORCALL_ARGUMENTS_OFFSET ((size_t)1 << (8 * sizeof(size_t) - 1))
#define PYTHON_ABI_VERSION 3

/* modules and types */
PyObject *PyModule_Create2(PyModuleDef *, int abi_version);
int PyModule_AddObjectRef(PyObject *module, const char *name, PyObject *value);
int PyModule_AddIntConstant(PyObject *module, const char *name, long value);
PyObject *PyType_FromSpec(PyType_Spec *);
PyObject *PyType_GenericAlloc(PyTypeObject *, Py_ssize_t);
unsigned long PyType_GetFlags(PyTypeObject *);
void PyObject_Free(void *);

/* references */
void Py_IncRef(PyObject *);
void Py_DecRef(PyObject *);

/* objects */
PyObject *PyVectorcall_Call(PyObject *callable, PyObject *arguments, PyObject *keywords);
PyObject *PyObject_VectorcallMethod(PyObject *name, PyObject *const *args, size_t nargsf,
                                    PyObject *keyword_names);
PyObject *PyObject_CallFunctionObjArgs(PyObject *callable, ...);
PyObject *PyObject_GetAttr(PyObject *, PyObject *name);
PyObject *PyObject_GetAttrString(PyObject *, const char *name);
int PyObject_SetAttrString(PyObject *, const char *name, PyObject *value);
int PyObject_HasAttrString(PyObject *, const char *name);
PyObject *PyObject_GetItem(PyObject *, PyObject *key);
int PyObject_IsTrue(PyObject *);

/* values */
PyObject *PyLong_FromLong(long);
PyObject *PyLong_FromUnsignedLongLong(unsigned long long);
long long PyLong_AsLongLong(PyObject *);
unsigned long long PyLong_AsUnsignedLongLong(PyObject *);
PyObject *PyNumber_Index(PyObject *);
PyObject *PyFloat_FromDouble(double);
double PyFloat_AsDouble(PyObject *);
PyObject *PyBool_FromLong(long);
PyObject *PyUnicode_FromString(const char *);
PyObject *PyUnicode_DecodeUTF8(const char *, Py_ssize_t, const char *errors);
PyObject *PyUnicode_InternFromString(const char *);
PyObject *PyUnicode_FromFormat(const char *format, ...);
PyObject *PyDict_New(void);
PyObject *PyDict_GetItemString(PyObject *, const char *key); /* borrowed */
int PyDict_SetItemString(PyObject *, const char *key, PyObject *value);
int PyBytes_AsStringAndSize(PyObject *, char **text, Py_ssize_t *size);
void *PyCapsule_GetPointer(PyObject *, const char *name);
PyObject *Py_BuildValue(const char *format, ...);
int PyArg_ParseTuple(PyObject *, const char *format, ...);
int PyArg_ParseTupleAndKeywords(PyObject *, PyObject *, const char *format, char **names, ...);

/* errors */
extern PyObject *PyExc_TypeError, *PyExc_ValueError, *PyExc_OverflowError, *PyExc_RuntimeError,
    *PyExc_MemoryError;
PyObject *PyErr_NewException(const char *name, PyObject *base, PyObject *dict);
PyObject *PyErr_Format(PyObject *type, const char *format, ...);
PyObject *PyErr_NoMemory(void);
PyObject *PyErr_Occurred(void); /* borrowed */
int PyErr_ExceptionMatches(PyObject *);
void PyErr_SetObject(PyObject *type, PyObject *value);
void PyErr_Fetch(PyObject **type, PyObject **value, PyObject **traceback);
void PyErr_Clear(void);
PyObject *PySys_GetObject(const char *name); /* borrowed */
PyObject *PyObject_CallMethod(PyObject *object, const char *name, const char *format, ...);

/* the GIL */
typedef struct PyThreadState PyThreadState;
PyThreadState *PyEval_SaveThread(void);
void PyEval_RestoreThread(PyThreadState *);

extern PyObject _Py_NoneStruct, _Py_TrueStruct, _Py_FalseStruct;
#define Py_None (&_Py_NoneStruct)
#define Py_True (&_Py_TrueStruct)
#define Py_False (&_Py_FalseStruct)

#endif
