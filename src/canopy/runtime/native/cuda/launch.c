/* Kernels: what the host half registers, finding the compiled variant, packing, launching. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../pool.h"
#include "../report.h"
#include "check.h"
#include "elsewhere.h"
#include "fault.h"
#include "state.h"

/* ---- modules, stubs and shadow variables ---- */

typedef struct link {
    struct link *next;
    const canopy_cuda_module *module;
} link;

typedef struct {
    const void *key; /* a stub, or a shadow variable */
    const char *module, *name;
    const void *found; /* canopy_cuda_kernel or canopy_cuda_variable, once looked up */
    unsigned int dynamic_shared, carveout; /* as cudaFuncSetAttribute set them, plus 1 */
} entry;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static link *modules;
static entry *entries; /* open addressing by key */
static size_t entry_count, entry_room;

void canopy_cuda_register_module(const canopy_cuda_module *module) {
    link *fresh = malloc(sizeof *fresh);
    if (!fresh) return;
    for (uint64_t at = 0; canopy_check_is_on && at < module->variable_count; at++) {
        const canopy_cuda_variable *variable = &module->variables[at];
        canopy_check_add(variable->address, variable->size, CHECK_VARIABLE, variable->name);
    }
    pthread_mutex_lock(&lock);
    *fresh = (link){modules, module};
    modules = fresh;
    pthread_mutex_unlock(&lock);
}

static entry *slot_of(entry *table, size_t room, const void *key) {
    size_t at = ((uintptr_t)key >> 4) * 0x9E3779B97F4A7C15u % room;
    while (table[at].key && table[at].key != key) at = (at + 1) % room;
    return &table[at];
}

static void register_entry(const void *key, const char *module, const char *name) {
    pthread_mutex_lock(&lock);
    if (entry_count * 2 >= entry_room) {
        size_t room = entry_room ? entry_room * 2 : 64;
        entry *grown = calloc(room, sizeof *grown);
        for (size_t at = 0; grown && at < entry_room; at++)
            if (entries[at].key) *slot_of(grown, room, entries[at].key) = entries[at];
        if (!grown) abort(); /* at the start of a program, a few kilobytes */
        free(entries);
        entries = grown;
        entry_room = room;
    }
    entry *slot = slot_of(entries, entry_room, key);
    entry_count += !slot->key;
    *slot = (entry){key, module, name, NULL, 0, 0};
    pthread_mutex_unlock(&lock);
}

static const canopy_cuda_module *module_of(const char *id) {
    for (const link *at = modules; at; at = at->next)
        if (!strcmp(at->module->id, id)) return at->module;
    return NULL;
}

static const canopy_cuda_kernel *kernel_of(const void *stub) {
    pthread_mutex_lock(&lock);
    entry *slot = entry_room ? slot_of(entries, entry_room, stub) : NULL;
    const canopy_cuda_kernel *found = slot && slot->key ? slot->found : NULL;
    if (!found && slot && slot->key) {
        const canopy_cuda_module *module = module_of(slot->module);
        for (uint64_t at = 0; module && at < module->kernel_count; at++)
            if (!strcmp(module->kernels[at].name, slot->name)) slot->found = found = &module->kernels[at];
    }
    pthread_mutex_unlock(&lock);
    return found;
}

static const canopy_cuda_variable *variable_of(const void *shadow) {
    pthread_mutex_lock(&lock);
    const entry *slot = entry_room ? slot_of(entries, entry_room, shadow) : NULL;
    const canopy_cuda_variable *found = NULL;
    if (slot && slot->key) {
        const canopy_cuda_module *module = module_of(slot->module);
        for (uint64_t at = 0; module && at < module->variable_count; at++)
            if (!strcmp(module->variables[at].name, slot->name)) found = &module->variables[at];
    }
    pthread_mutex_unlock(&lock);
    return found;
}

bool canopy_cuda_find_variable(const void *address, canopy_cuda_allocation *found) {
    const char *wanted = address;
    bool inside = false;
    pthread_mutex_lock(&lock);
    for (const link *at = modules; at && !inside; at = at->next)
        for (uint64_t number = 0; number < at->module->variable_count && !inside; number++) {
            const canopy_cuda_variable *variable = &at->module->variables[number];
            const char *start = variable->address;
            inside = wanted >= start && wanted < start + variable->size;
            if (inside) *found = (canopy_cuda_allocation){
                .pointer = variable->address, .bytes = variable->size, .type = cudaMemoryTypeDevice};
        }
    pthread_mutex_unlock(&lock);
    return inside;
}

uint64_t canopy_cuda_variables(canopy_cuda_extent *found, uint64_t room) {
    uint64_t count = 0;
    pthread_mutex_lock(&lock);
    for (const link *at = modules; at; at = at->next)
        for (uint64_t number = 0; number < at->module->variable_count; number++, count++)
            if (count < room)
                found[count] = (canopy_cuda_extent){at->module->variables[number].address,
                                                    at->module->variables[number].size};
    pthread_mutex_unlock(&lock);
    return count;
}

/* What clang's host half calls before main. The "fat binary" is the module's id as text. */
typedef struct {
    int magic, version;
    const char *data;
    void *unused;
} fat_binary;

CANOPY_EXPORT void **__cudaRegisterFatBinary(void *wrapper);
CANOPY_EXPORT void __cudaRegisterFatBinaryEnd(void **handle);
CANOPY_EXPORT void __cudaUnregisterFatBinary(void **handle);
CANOPY_EXPORT void __cudaRegisterFunction(void **handle, const void *stub, char *name,
                                          const char *device_name, int limit, void *tid, void *bid,
                                          void *block, void *grid, int *size);
CANOPY_EXPORT void __cudaRegisterVar(void **handle, char *shadow, char *name, const char *device_name,
                                     int external, size_t size, int constant, int global);
CANOPY_EXPORT void __cudaRegisterManagedVar(void **handle, void **pointer, char *shadow,
                                            const char *name, size_t size, int alignment);

void **__cudaRegisterFatBinary(void *wrapper) { return (void **)&((fat_binary *)wrapper)->data; }
void __cudaRegisterFatBinaryEnd(void **handle) { (void)handle; }
void __cudaUnregisterFatBinary(void **handle) { (void)handle; }

void __cudaRegisterFunction(void **handle, const void *stub, char *name, const char *device_name,
                            int limit, void *tid, void *bid, void *block, void *grid, int *size) {
    (void)name, (void)limit, (void)tid, (void)bid, (void)block, (void)grid, (void)size;
    register_entry(stub, *(const char **)handle, device_name);
}

void __cudaRegisterVar(void **handle, char *shadow, char *name, const char *device_name, int external,
                       size_t size, int constant, int global) {
    (void)name, (void)external, (void)size, (void)constant, (void)global;
    register_entry(shadow, *(const char **)handle, device_name);
}

/* A __managed__ variable is used through a pointer in the host half: to the device's own. */
void __cudaRegisterManagedVar(void **handle, void **pointer, char *shadow, const char *name,
                              size_t size, int alignment) {
    (void)alignment;
    const canopy_cuda_variable *found;
    register_entry(pointer, *(const char **)handle, name);
    found = variable_of(pointer);
    if (!found) {
        *pointer = shadow;
        return;
    }
    memcpy(found->address, shadow, size < found->size ? size : found->size);
    *pointer = found->address;
}

cudaError_t cudaGetSymbolAddress(void **address, const void *symbol) {
    const canopy_cuda_variable *found = variable_of(symbol);
    if (!address) return canopy_cuda_result(cudaErrorInvalidValue);
    if (!found) return canopy_cuda_result(cudaErrorInvalidSymbol);
    *address = found->address;
    return canopy_cuda_result(cudaSuccess);
}

cudaError_t cudaGetSymbolSize(size_t *bytes, const void *symbol) {
    const canopy_cuda_variable *found = variable_of(symbol);
    if (!bytes) return canopy_cuda_result(cudaErrorInvalidValue);
    if (!found) return canopy_cuda_result(cudaErrorInvalidSymbol);
    *bytes = found->size;
    return canopy_cuda_result(cudaSuccess);
}

/* ---- the configuration between <<< and >>> ---- */

typedef struct {
    dim3 grid, block;
    size_t shared_bytes;
    cudaStream_t stream;
} configuration;

#define CONFIGURATIONS 32 /* an argument of a launch may itself launch */
static _Thread_local configuration pushed[CONFIGURATIONS];
static _Thread_local unsigned pushed_count;

CANOPY_EXPORT unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared_bytes,
                                                   cudaStream_t stream);
CANOPY_EXPORT cudaError_t __cudaPopCallConfiguration(dim3 *grid, dim3 *block, size_t *shared_bytes,
                                                     void *stream);

unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream) {
    if (pushed_count == CONFIGURATIONS) return 1;
    pushed[pushed_count++] = (configuration){grid, block, shared_bytes, stream};
    return 0;
}

cudaError_t __cudaPopCallConfiguration(dim3 *grid, dim3 *block, size_t *shared_bytes, void *stream) {
    if (!pushed_count) return canopy_cuda_result(cudaErrorMissingConfiguration);
    const configuration *top = &pushed[--pushed_count];
    *grid = top->grid;
    *block = top->block;
    *shared_bytes = top->shared_bytes;
    *(cudaStream_t *)stream = top->stream;
    return cudaSuccess;
}

/* ---- launching ---- */

typedef struct {
    canopy_cuda_task task;
    canopy_launch_request request;
    const canopy_cuda_kernel *kernel;
    const void *function;
    unsigned int shared_bytes;
    uint64_t slots[];
} launch_task;

static cudaError_t error_of(int32_t code) {
    switch (code) {
    case CANOPY_THREADS_ASSERTED: return cudaErrorAssert;
    case CANOPY_ILLEGAL_ADDRESS: return cudaErrorIllegalAddress;
    case CANOPY_MISALIGNED_ADDRESS: return cudaErrorMisalignedAddress;
    case CANOPY_OUT_OF_MEMORY: return cudaErrorMemoryAllocation;
    default: return cudaErrorLaunchFailure;
    }
}

static void fail(const char *kernel, int32_t code) {
    const char *message = canopy_message();
    bool is_told = code >= CANOPY_THREADS_ASSERTED && code <= CANOPY_DIVERGENT_BARRIER;
    if (!is_told)
        fprintf(stderr, "%s%s%s\n", message[0] ? message : "a kernel failed: ", message[0] ? " in " : "", kernel);
    canopy_cuda_stick(error_of(code));
}

static const char *module_with(const canopy_cuda_kernel *kernel) {
    const char *found = "";
    pthread_mutex_lock(&lock);
    for (const link *at = modules; at; at = at->next) {
        const canopy_cuda_kernel *first = at->module->kernels;
        if (kernel >= first && kernel < first + at->module->kernel_count) found = at->module->id;
    }
    pthread_mutex_unlock(&lock);
    return found;
}

static int32_t run_elsewhere(const launch_task *launch) {
    const canopy_launch_request *request = &launch->request;
    canopy_cuda_launch described = {
        .module = module_with(launch->kernel),
        .kernel = launch->kernel->name,
        .slots = launch->slots,
        .shared_bytes = launch->shared_bytes,
        .request = request,
    };
    memcpy(described.grid, request->grid, sizeof described.grid);
    memcpy(described.block, request->block, sizeof described.block);
    return canopy_cuda_taken_over()(&described);
}

static void run(canopy_cuda_task *task) {
    launch_task *launch = (launch_task *)task;
    fflush(stdout); /* what kernels print comes behind what the program printed before */
    if (canopy_cuda_taken_over()) {
        int32_t failure = run_elsewhere(launch);
        if (failure) fail(launch->kernel->name, failure);
        return;
    }
    canopy_cuda_kernel_begins(launch->kernel->name);
    canopy_check_begin(launch->kernel->name, launch->request.grid, launch->shared_bytes);
    int32_t code = canopy_launch(&launch->request);
    canopy_check_end();
    canopy_cuda_kernel_ends();
    if (code) fail(launch->kernel->name, code);
}

static void release(canopy_cuda_task *task) { free(task); }

static const canopy_cuda_variant *variant_for(const canopy_cuda_kernel *kernel, dim3 block) {
    const canopy_cuda_variant *best = NULL;
    uint64_t threads = (uint64_t)block.x * block.y * block.z;
    for (uint32_t at = 0; at < kernel->variant_count; at++) {
        const canopy_cuda_variant *variant = &kernel->variants[at];
        const uint32_t *shape = variant->block;
        if (shape[0] == block.x && shape[1] == block.y && shape[2] == block.z) return variant;
        bool holds = shape[2] == 0 && shape[0] >= threads && (shape[1] == 0 || block.x == threads);
        bool better = !best || shape[0] < best->block[0] || (shape[0] == best->block[0] && shape[1]);
        if (holds && better) best = variant;
    }
    return best;
}

static bool is_grid(dim3 grid) {
    return grid.x && grid.y && grid.z && grid.x <= 2147483647u && grid.y <= 65535 && grid.z <= 65535;
}

static cudaError_t check_shape(const canopy_cuda_kernel *kernel, dim3 grid, dim3 block, size_t shared_bytes) {
    uint64_t threads = (uint64_t)block.x * block.y * block.z;
    if (!is_grid(grid) || !threads || threads > 1024 || block.z > 64) return cudaErrorInvalidConfiguration;
    if (threads > kernel->max_threads) return cudaErrorLaunchOutOfResources;
    if (shared_bytes + kernel->shared_bytes > CANOPY_CUDA_DYNAMIC_SHARED) return cudaErrorInvalidValue;
    return cudaSuccess;
}

/* Dynamic shared memory beyond 48 KB is asked for by cudaFuncSetAttribute first. */
static size_t dynamic_shared_limit(const void *stub, const canopy_cuda_kernel *kernel) {
    pthread_mutex_lock(&lock);
    const entry *slot = slot_of(entries, entry_room, stub);
    unsigned int asked = slot->dynamic_shared;
    pthread_mutex_unlock(&lock);
    uint64_t used = kernel->shared_bytes < CANOPY_CUDA_STATIC_SHARED ? kernel->shared_bytes : CANOPY_CUDA_STATIC_SHARED;
    return asked ? asked - 1 : CANOPY_CUDA_STATIC_SHARED - used;
}

/* Whether memory that the kernel writes through one parameter may be reached through another one.
 * Only what was allocated as a whole has a known end. Variables are no part of allocations. */
static bool may_alias(const canopy_cuda_kernel *kernel, void **args) {
    canopy_cuda_allocation left, right;
    for (uint32_t at = 0; at < kernel->parameter_count; at++) {
        uint32_t kind = kernel->parameters[at].kind;
        const char *first = kind >= CANOPY_CUDA_READ ? *(const char **)args[at] : NULL;
        if (!first) continue;
        if (!canopy_cuda_find(first, &left)) return true;
        for (uint32_t other = 0; other < at; other++) {
            uint32_t other_kind = kernel->parameters[other].kind;
            if (other_kind < CANOPY_CUDA_READ || (kind | other_kind) != CANOPY_CUDA_WRITTEN) continue;
            const char *second = *(const char **)args[other];
            if (second && canopy_cuda_find(second, &right) && left.pointer == right.pointer) return true;
        }
    }
    return false;
}

/* Slots: parameters, addresses of variables, the block's extents, the pool's may_alias. */
static launch_task *pack(const canopy_cuda_kernel *kernel, const canopy_cuda_variant *variant, dim3 block,
                         void **args) {
    size_t slots = kernel->parameter_count + kernel->variable_count + 4, extra = 0;
    for (uint32_t at = 0; at < kernel->parameter_count; at++)
        if (kernel->parameters[at].kind == CANOPY_CUDA_BY_VALUE)
            extra += (kernel->parameters[at].size + 15) / 16 * 2 + 2;
    launch_task *launch = calloc(1, sizeof *launch + (slots + extra) * sizeof(uint64_t));
    if (!launch) return NULL;
    uint64_t *slot = launch->slots, *copy = launch->slots + slots;
    for (uint32_t at = 0; at < kernel->parameter_count; at++) {
        const canopy_cuda_parameter *parameter = &kernel->parameters[at];
        if (parameter->kind != CANOPY_CUDA_BY_VALUE) {
            memcpy(slot++, args[at], parameter->size);
            continue;
        }
        if ((uintptr_t)copy % 16) copy++;
        memcpy(copy, args[at], parameter->size);
        *slot++ = (uint64_t)(uintptr_t)copy;
        copy += (parameter->size + 15) / 16 * 2;
    }
    for (uint32_t at = 0; at < kernel->variable_count; at++)
        *slot++ = (uint64_t)(uintptr_t)kernel->variables[at];
    if (!variant->block[2]) {
        *slot++ = block.x;
        *slot++ = block.y;
        *slot++ = block.z;
    }
    *slot = may_alias(kernel, args);
    return launch;
}

cudaError_t canopy_cuda_prepare_launch(const void *stub, dim3 grid, dim3 block, void **args,
                                       size_t shared_bytes, canopy_cuda_task **made) {
    const canopy_cuda_kernel *kernel = kernel_of(stub);
    if (!kernel) return cudaErrorInvalidDeviceFunction;
    if (!args && kernel->parameter_count) return cudaErrorInvalidValue;
    cudaError_t problem = check_shape(kernel, grid, block, shared_bytes);
    if (problem != cudaSuccess) return problem;
    if (shared_bytes > dynamic_shared_limit(stub, kernel)) return cudaErrorInvalidValue;
    const canopy_cuda_variant *variant = variant_for(kernel, block);
    if (!variant) return cudaErrorNoKernelImageForDevice;
    launch_task *task = pack(kernel, variant, block, args);
    if (!task) return cudaErrorMemoryAllocation;
    task->task = (canopy_cuda_task){.run = run, .release = release, .skip_after_failure = true,
                                    .type = cudaGraphNodeTypeKernel};
    task->kernel = kernel;
    task->function = stub;
    task->shared_bytes = (unsigned int)shared_bytes;
    task->request = (canopy_launch_request){
        .entry = variant->entry,
        .args = task->slots,
        .grid = {grid.x, grid.y, grid.z},
        .block = {block.x, block.y, block.z},
        .scratch_bytes = variant->scratch_bytes,
        .alone = canopy_check_is_on,
    };
    *made = &task->task;
    return cudaSuccess;
}

uint32_t canopy_cuda_parameter_count(const canopy_cuda_task *task) {
    return ((const launch_task *)task)->kernel->parameter_count;
}

void canopy_cuda_describe_launch(const canopy_cuda_task *task, struct cudaKernelNodeParams *found,
                                 void **params) {
    launch_task *launch = (launch_task *)task;
    const uint32_t *grid = launch->request.grid, *block = launch->request.block;
    for (uint32_t at = 0; at < launch->kernel->parameter_count; at++) {
        bool by_value = launch->kernel->parameters[at].kind == CANOPY_CUDA_BY_VALUE;
        params[at] = by_value ? (void *)(uintptr_t)launch->slots[at] : (void *)&launch->slots[at];
    }
    *found = (struct cudaKernelNodeParams){
        .func = (void *)launch->function,
        .gridDim = {grid[0], grid[1], grid[2]},
        .blockDim = {block[0], block[1], block[2]},
        .sharedMemBytes = launch->shared_bytes,
        .kernelParams = params,
    };
}

static cudaError_t launch(const void *stub, dim3 grid, dim3 block, void **args, size_t shared_bytes,
                          cudaStream_t stream) {
    canopy_cuda_task *task;
    cudaError_t problem = canopy_cuda_prepare_launch(stub, grid, block, args, shared_bytes, &task);
    return problem != cudaSuccess ? problem : canopy_cuda_submit(stream, task);
}

cudaError_t cudaLaunchKernel(const void *function, dim3 grid, dim3 block, void **args,
                             size_t shared_bytes, cudaStream_t stream) {
    return canopy_cuda_result(launch(function, grid, block, args, shared_bytes, stream));
}

/* A processor holds 2,048 threads and 228 KB of shared memory, as devices of this capability do. */
static int resident_blocks(const canopy_cuda_kernel *kernel, uint64_t threads, size_t shared_bytes) {
    if (threads == 0 || threads > kernel->max_threads) return 0;
    int fit = (int)(64 / ((threads + 31) / 32));
    uint64_t shared = kernel->shared_bytes + shared_bytes;
    if (fit > 32) fit = 32;
    if (shared && (uint64_t)fit > (228u << 10) / shared) fit = (int)((228u << 10) / shared);
    return fit;
}

cudaError_t cudaLaunchCooperativeKernel(const void *function, dim3 grid, dim3 block, void **args,
                                        size_t shared_bytes, cudaStream_t stream) {
    const canopy_cuda_kernel *kernel = kernel_of(function);
    uint64_t blocks = (uint64_t)grid.x * grid.y * grid.z;
    if (!kernel) return canopy_cuda_result(cudaErrorInvalidDeviceFunction);
    uint64_t threads = (uint64_t)block.x * block.y * block.z;
    uint64_t resident = (uint64_t)resident_blocks(kernel, threads, shared_bytes) * canopy_cuda_processors();
    if (blocks > resident) return canopy_cuda_result(cudaErrorCooperativeLaunchTooLarge);
    return canopy_cuda_result(launch(function, grid, block, args, shared_bytes, stream));
}

/* ---- what kernels need ---- */

cudaError_t cudaFuncGetAttributes(struct cudaFuncAttributes *attributes, const void *function) {
    const canopy_cuda_kernel *kernel = kernel_of(function);
    if (!attributes) return canopy_cuda_result(cudaErrorInvalidValue);
    if (!kernel) return canopy_cuda_result(cudaErrorInvalidDeviceFunction);
    pthread_mutex_lock(&lock);
    const entry *slot = slot_of(entries, entry_room, function);
    int carveout = slot->carveout ? (int)slot->carveout - 2 : -1;
    pthread_mutex_unlock(&lock);
    *attributes = (struct cudaFuncAttributes){
        .sharedSizeBytes = kernel->shared_bytes,
        .maxThreadsPerBlock = (int)kernel->max_threads,
        .numRegs = 32,
        .ptxVersion = 80,
        .binaryVersion = 80,
        .maxDynamicSharedSizeBytes = (int)dynamic_shared_limit(function, kernel),
        .preferredShmemCarveout = carveout,
    };
    return canopy_cuda_result(cudaSuccess);
}

cudaError_t cudaFuncSetAttribute(const void *function, enum cudaFuncAttribute attribute, int value) {
    const canopy_cuda_kernel *kernel = kernel_of(function);
    if (!kernel) return canopy_cuda_result(cudaErrorInvalidDeviceFunction);
    int64_t most = (int64_t)CANOPY_CUDA_DYNAMIC_SHARED - (int64_t)kernel->shared_bytes;
    bool is_size = attribute == cudaFuncAttributeMaxDynamicSharedMemorySize && value >= 0 && value <= most;
    bool is_share = attribute == cudaFuncAttributePreferredSharedMemoryCarveout && value >= -1 && value <= 100;
    if (!is_size && !is_share) return canopy_cuda_result(cudaErrorInvalidValue);
    pthread_mutex_lock(&lock);
    entry *slot = slot_of(entries, entry_room, function);
    if (is_size) slot->dynamic_shared = (unsigned int)value + 1;
    else slot->carveout = (unsigned int)(value + 2);
    pthread_mutex_unlock(&lock);
    return canopy_cuda_result(cudaSuccess);
}

cudaError_t cudaFuncGetName(const char **name, const void *function) {
    const canopy_cuda_kernel *kernel = kernel_of(function);
    if (!name) return canopy_cuda_result(cudaErrorInvalidValue);
    if (!kernel) return canopy_cuda_result(cudaErrorInvalidDeviceFunction);
    *name = kernel->name;
    return canopy_cuda_result(cudaSuccess);
}

cudaError_t cudaFuncSetCacheConfig(const void *function, enum cudaFuncCache config) {
    if (!kernel_of(function)) return canopy_cuda_result(cudaErrorInvalidDeviceFunction);
    return canopy_cuda_result((int)config >= 0 && (int)config <= 3 ? cudaSuccess : cudaErrorInvalidValue);
}

cudaError_t cudaFuncSetSharedMemConfig(const void *function, enum cudaSharedMemConfig config) {
    if (!kernel_of(function)) return canopy_cuda_result(cudaErrorInvalidDeviceFunction);
    return canopy_cuda_result((int)config >= 0 && (int)config <= 2 ? cudaSuccess : cudaErrorInvalidValue);
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *blocks, const void *function,
                                                                   int threads, size_t shared_bytes,
                                                                   unsigned int flags) {
    const canopy_cuda_kernel *kernel = kernel_of(function);
    if (!blocks || threads <= 0 || flags > 1) return canopy_cuda_result(cudaErrorInvalidValue);
    if (!kernel) return canopy_cuda_result(cudaErrorInvalidDeviceFunction);
    *blocks = resident_blocks(kernel, (uint64_t)threads, shared_bytes);
    return canopy_cuda_result(cudaSuccess);
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, const void *function, int threads,
                                                          size_t shared_bytes) {
    return cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, function, threads, shared_bytes, 0);
}

/* The shared memory that is left to each block when so many share a processor. */
cudaError_t cudaOccupancyAvailableDynamicSMemPerBlock(size_t *bytes, const void *function, int blocks, int threads) {
    const canopy_cuda_kernel *kernel = kernel_of(function);
    if (!bytes || blocks <= 0 || threads <= 0 || threads > 1024) return canopy_cuda_result(cudaErrorInvalidValue);
    if (!kernel) return canopy_cuda_result(cudaErrorInvalidDeviceFunction);
    size_t share = (228u << 10) / (unsigned)blocks;
    if (share > CANOPY_CUDA_DYNAMIC_SHARED) share = CANOPY_CUDA_DYNAMIC_SHARED;
    *bytes = share > kernel->shared_bytes ? share - kernel->shared_bytes : 0;
    return canopy_cuda_result(cudaSuccess);
}

/* ---- launches with attributes ---- */

static cudaError_t check_attributes(const cudaLaunchConfig_t *config, bool *is_cooperative) {
    if (config->numAttrs && !config->attrs) return cudaErrorInvalidValue;
    for (unsigned int at = 0; at < config->numAttrs; at++) {
        const cudaLaunchAttribute *attribute = &config->attrs[at];
        const unsigned int *cluster = &attribute->val.clusterDim.x;
        switch (attribute->id) {
        case cudaLaunchAttributeCooperative: *is_cooperative = attribute->val.cooperative != 0; break;
        case cudaLaunchAttributeClusterDimension:
            if (cluster[0] * cluster[1] * cluster[2] != 1) return cudaErrorNotSupported;
            break;
        case cudaLaunchAttributeIgnore:
        case cudaLaunchAttributeAccessPolicyWindow:
        case cudaLaunchAttributeSynchronizationPolicy:
        case cudaLaunchAttributeProgrammaticStreamSerialization: /* all allow less than full order */
        case cudaLaunchAttributePriority:
        case cudaLaunchAttributeMemSyncDomain:
        case cudaLaunchAttributeMemSyncDomainMap: break;
        default: return cudaErrorInvalidValue;
        }
    }
    return cudaSuccess;
}

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t *config, const void *function, void **args) {
    bool is_cooperative = false;
    if (!config) return canopy_cuda_result(cudaErrorInvalidValue);
    cudaError_t problem = check_attributes(config, &is_cooperative);
    if (problem != cudaSuccess) return canopy_cuda_result(problem);
    return (is_cooperative ? cudaLaunchCooperativeKernel : cudaLaunchKernel)(
        function, config->gridDim, config->blockDim, args, config->dynamicSmemBytes, config->stream);
}
