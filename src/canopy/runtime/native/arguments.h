/* Python objects as kernel arguments. */
#ifndef CANOPY_ARGUMENTS_H
#define CANOPY_ARGUMENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "stable_abi.h"

/* Kinds, one character per argument:
 *   P pointer that the kernel reads   W pointer that it writes
 *   k K  i8 u8   s S  i16 u16   i I  i32 u32   l L  i64 u64   b bool
 *   h e  f16   y bf16   f f32   d f64   c constexpr, has no slot
 * A pointer is an object with data_ptr() (torch.Tensor), a NumPy array, another object with
 * __array_interface__, None (null), or an integer address. */
bool canopy_is_kind(char kind);
bool canopy_is_pointer_kind(char kind);

/* Memory [begin, end) that a pointer's allocation spans. */
typedef struct {
    uint64_t begin, end;
} canopy_extent;

#define CANOPY_UNKNOWN_EXTENT ((canopy_extent){0, UINT64_MAX})

/* Interns the names that are looked up per call; false with a Python error set. */
bool canopy_arguments_init(void);

/* Fills a slot; false with a Python error set, which names the position. check_device: a tensor
 * whose is_cpu is false is refused (else only one that has no memory). */
bool canopy_pack_argument(char kind, PyObject *value, Py_ssize_t position, bool check_device,
                          uint64_t *slot);

/* The allocation behind a pointer argument: a torch storage, a NumPy owner; where neither is found
 * the unknown extent. Never fails. */
canopy_extent canopy_find_extent(PyObject *value, uint64_t address);

#endif
