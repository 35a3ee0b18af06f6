/* Memory that kernels take with malloc and new. */
#ifndef CANOPY_DEVICE_HEAP_H
#define CANOPY_DEVICE_HEAP_H

#include <stddef.h>

/* In bytes; cudaLimitMallocHeapSize sets it. */
extern _Atomic size_t canopy_cuda_heap_limit;

#endif
