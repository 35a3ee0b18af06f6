/* The API of programs that are compiled with -default-stream per-thread: stream 0 is the calling
 * thread's own. The header gives these names to the functions there. */
#include "state.h"

static cudaStream_t own(cudaStream_t stream) { return stream ? stream : cudaStreamPerThread; }

#define STREAM(name, parameters, arguments)           \
    CANOPY_EXPORT cudaError_t name##_ptsz parameters; \
    cudaError_t name##_ptsz parameters { return name arguments; }

/* A call that returns when its work is done. */
#define WAITING(name, parameters, call)                                                       \
    CANOPY_EXPORT cudaError_t name##_ptds parameters;                                         \
    cudaError_t name##_ptds parameters {                                                      \
        cudaError_t problem = call;                                                           \
        return problem != cudaSuccess ? problem : cudaStreamSynchronize(cudaStreamPerThread); \
    }

STREAM(cudaLaunchKernel, (const void *function, dim3 grid, dim3 block, void **args, size_t shared_bytes,
    cudaStream_t stream), (function, grid, block, args, shared_bytes, own(stream)))
STREAM(cudaLaunchCooperativeKernel, (const void *function, dim3 grid, dim3 block, void **args, size_t
    shared_bytes, cudaStream_t stream), (function, grid, block, args, shared_bytes, own(stream)))
STREAM(cudaLaunchHostFunc, (cudaStream_t stream, cudaHostFn_t function, void *data), (own(stream), function,
    data))
STREAM(cudaMemcpyAsync, (void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind, cudaStream_t
    stream), (to, from, bytes, kind, own(stream)))
STREAM(cudaMemcpy2DAsync, (void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width,
    size_t height, enum cudaMemcpyKind kind, cudaStream_t stream), (to, to_pitch, from, from_pitch, width,
    height, kind, own(stream)))
STREAM(cudaMemcpy3DAsync, (const struct cudaMemcpy3DParms *wanted, cudaStream_t stream), (wanted,
    own(stream)))
STREAM(cudaMemcpyToSymbolAsync, (const void *symbol, const void *from, size_t bytes, size_t offset, enum
    cudaMemcpyKind kind, cudaStream_t stream), (symbol, from, bytes, offset, kind, own(stream)))
STREAM(cudaMemcpyFromSymbolAsync, (void *to, const void *symbol, size_t bytes, size_t offset, enum
    cudaMemcpyKind kind, cudaStream_t stream), (to, symbol, bytes, offset, kind, own(stream)))
STREAM(cudaMemsetAsync, (void *pointer, int value, size_t bytes, cudaStream_t stream), (pointer, value, bytes,
    own(stream)))
STREAM(cudaMemset2DAsync, (void *pointer, size_t pitch, int value, size_t width, size_t height, cudaStream_t
    stream), (pointer, pitch, value, width, height, own(stream)))
STREAM(cudaMemset3DAsync, (struct cudaPitchedPtr to, int value, struct cudaExtent extent, cudaStream_t
    stream), (to, value, extent, own(stream)))
STREAM(cudaMallocAsync, (void **pointer, size_t bytes, cudaStream_t stream), (pointer, bytes, own(stream)))
STREAM(cudaMallocFromPoolAsync, (void **pointer, size_t bytes, cudaMemPool_t pool, cudaStream_t stream),
    (pointer, bytes, pool, own(stream)))
STREAM(cudaFreeAsync, (void *pointer, cudaStream_t stream), (pointer, own(stream)))
STREAM(cudaMemPrefetchAsync, (const void *pointer, size_t bytes, int device, cudaStream_t stream), (pointer,
    bytes, device, own(stream)))
STREAM(cudaStreamSynchronize, (cudaStream_t stream), (own(stream)))
STREAM(cudaStreamQuery, (cudaStream_t stream), (own(stream)))
STREAM(cudaStreamWaitEvent, (cudaStream_t stream, cudaEvent_t event, unsigned int flags), (own(stream), event,
    flags))
STREAM(cudaStreamGetFlags, (cudaStream_t stream, unsigned int *flags), (own(stream), flags))
STREAM(cudaStreamGetPriority, (cudaStream_t stream, int *priority), (own(stream), priority))
STREAM(cudaStreamGetId, (cudaStream_t stream, unsigned long long *id), (own(stream), id))
STREAM(cudaStreamAddCallback, (cudaStream_t stream, cudaStreamCallback_t callback, void *data, unsigned int
    flags), (own(stream), callback, data, flags))
STREAM(cudaStreamBeginCapture, (cudaStream_t stream, enum cudaStreamCaptureMode mode), (own(stream), mode))
STREAM(cudaStreamEndCapture, (cudaStream_t stream, cudaGraph_t *graph), (own(stream), graph))
STREAM(cudaStreamIsCapturing, (cudaStream_t stream, enum cudaStreamCaptureStatus *status), (own(stream),
    status))
STREAM(cudaStreamGetCaptureInfo, (cudaStream_t stream, enum cudaStreamCaptureStatus *status, unsigned long
    long *id, cudaGraph_t *graph, const cudaGraphNode_t **nodes, size_t *count), (own(stream), status, id,
    graph, nodes, count))
STREAM(cudaEventRecord, (cudaEvent_t event, cudaStream_t stream), (event, own(stream)))
STREAM(cudaEventRecordWithFlags, (cudaEvent_t event, cudaStream_t stream, unsigned int flags), (event,
    own(stream), flags))
STREAM(cudaGraphLaunch, (cudaGraphExec_t exec, cudaStream_t stream), (exec, own(stream)))
STREAM(cudaGraphUpload, (cudaGraphExec_t exec, cudaStream_t stream), (exec, own(stream)))
STREAM(cudaStreamAttachMemAsync, (cudaStream_t stream, void *pointer, size_t bytes, unsigned int flags),
    (own(stream), pointer, bytes, flags))
WAITING(cudaMemcpy, (void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind), cudaMemcpyAsync(to,
    from, bytes, kind, cudaStreamPerThread))
WAITING(cudaMemcpy2D, (void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width, size_t
    height, enum cudaMemcpyKind kind), cudaMemcpy2DAsync(to, to_pitch, from, from_pitch, width, height, kind,
    cudaStreamPerThread))
WAITING(cudaMemcpy3D, (const struct cudaMemcpy3DParms *wanted), cudaMemcpy3DAsync(wanted,
    cudaStreamPerThread))
WAITING(cudaMemcpyToSymbol, (const void *symbol, const void *from, size_t bytes, size_t offset, enum
    cudaMemcpyKind kind), cudaMemcpyToSymbolAsync(symbol, from, bytes, offset, kind, cudaStreamPerThread))
WAITING(cudaMemcpyFromSymbol, (void *to, const void *symbol, size_t bytes, size_t offset, enum cudaMemcpyKind
    kind), cudaMemcpyFromSymbolAsync(to, symbol, bytes, offset, kind, cudaStreamPerThread))
WAITING(cudaMemset, (void *pointer, int value, size_t bytes), cudaMemsetAsync(pointer, value, bytes,
    cudaStreamPerThread))
WAITING(cudaMemset2D, (void *pointer, size_t pitch, int value, size_t width, size_t height),
    cudaMemset2DAsync(pointer, pitch, value, width, height, cudaStreamPerThread))
WAITING(cudaMemset3D, (struct cudaPitchedPtr to, int value, struct cudaExtent extent), cudaMemset3DAsync(to,
    value, extent, cudaStreamPerThread))

CANOPY_EXPORT cudaError_t cudaLaunchKernelExC_ptsz(const cudaLaunchConfig_t *config, const void *function,
                                                   void **args);
cudaError_t cudaLaunchKernelExC_ptsz(const cudaLaunchConfig_t *config, const void *function, void **args) {
    if (!config) return cudaLaunchKernelExC(config, function, args);
    cudaLaunchConfig_t own_config = *config;
    own_config.stream = own(config->stream);
    return cudaLaunchKernelExC(&own_config, function, args);
}
