// cuBLASLt's handle; see cublas_api.h. Written for Canopy.
#pragma once
#include <cublas_api.h>
typedef struct cublasLtContext* cublasLtHandle_t;
#ifdef __cplusplus
extern "C" {
#endif
CANOPY_CUBLAS cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  static char made;
  if (!handle) return CUBLAS_STATUS_INVALID_VALUE;
  *handle = (cublasLtHandle_t)&made;
  return CUBLAS_STATUS_SUCCESS;
}
CANOPY_CUBLAS cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) { return canopy_cublas_known(handle); }
#ifdef __cplusplus
}
#endif
