/* What a compiled CUDA C++ source hands to the runtime: its kernels and device variables.
 *
 * The compiler emits one canopy_cuda_module per source, and a constructor that registers it. The
 * host half registers its stubs and shadow variables by the names that stand here. */
#ifndef CANOPY_CUDA_MODULE_H
#define CANOPY_CUDA_MODULE_H

#include "../entry.h"

/* How a parameter fills its slot. */
enum {
    CANOPY_CUDA_SCALAR = 0,
    CANOPY_CUDA_BY_VALUE = 1,
    CANOPY_CUDA_READ = 2,   /* a pointer to what the kernel only reads */
    CANOPY_CUDA_WRITTEN = 3 /* a pointer to what it may write */
};

typedef struct {
    uint32_t size; /* bytes, as cudaLaunchKernel's args point at */
    uint32_t kind; /* a structure passed by value fills its slot with the address of a copy */
} canopy_cuda_parameter;

/* A kernel compiled for one block shape; (n, 0, 0): for any block of at most n threads, (n, 1, 0): for
 * one whose y and z are 1, both with three more slots behind the variables: its extents x, y, z. */
typedef struct {
    uint32_t block[3];
    uint32_t reserved;
    canopy_entry entry;
    uint64_t scratch_bytes;
} canopy_cuda_variant;

typedef struct {
    const char *name;
    void *address;
    uint64_t size;
} canopy_cuda_variable;

typedef struct {
    const char *name;
    const canopy_cuda_parameter *parameters;
    void *const *variables; /* addresses, each one more slot behind the parameters */
    const canopy_cuda_variant *variants;
    uint32_t parameter_count, variable_count, variant_count;
    uint32_t max_threads;  /* of __launch_bounds__, or 1024 */
    uint64_t shared_bytes; /* static __shared__ */
    uint32_t has_dynamic_shared, is_cooperative;
} canopy_cuda_kernel;

typedef struct {
    const char *id; /* the text that stands for a fat binary in the host half */
    const canopy_cuda_kernel *kernels;
    const canopy_cuda_variable *variables;
    uint64_t kernel_count, variable_count;
} canopy_cuda_module;

CANOPY_EXPORT void canopy_cuda_register_module(const canopy_cuda_module *module);

#endif
