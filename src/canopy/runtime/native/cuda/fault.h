/* Says which kernel ran when the program was stopped by a bad address. */
#ifndef CANOPY_CUDA_FAULT_H
#define CANOPY_CUDA_FAULT_H

void canopy_cuda_kernel_begins(const char *name);
void canopy_cuda_kernel_ends(void);

#endif
