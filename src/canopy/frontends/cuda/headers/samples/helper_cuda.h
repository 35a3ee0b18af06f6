// Error checks and the choice of a device with the names of the CUDA samples. Written for Canopy.
#pragma once
#ifndef COMMON_HELPER_CUDA_H_
#define COMMON_HELPER_CUDA_H_
#include <cuda_runtime.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "helper_string.h"

#ifndef EXIT_WAIVED
#define EXIT_WAIVED 2
#endif
#ifndef MAX
#define MAX(a, b) (a > b ? a : b)
#endif

static inline const char* _cudaGetErrorEnum(cudaError_t error) { return cudaGetErrorName(error); }

template <typename T> void check(T result, char const* const function, const char* const file, int const line) {
  if (!result) return;
  cudaError_t error = static_cast<cudaError_t>(result);
  fprintf(stderr, "CUDA error at %s:%d code=%d(%s) \"%s\" \n", file, line, static_cast<unsigned int>(result),
          _cudaGetErrorEnum(error), function);
  exit(EXIT_FAILURE);
}
#define checkCudaErrors(val) check((val), #val, __FILE__, __LINE__)

inline bool canopy_report_last_error(const char* message, const char* file, int line) {
  cudaError_t error = cudaGetLastError();
  if (error == cudaSuccess) return false;
  fprintf(stderr, "%s(%i) : getLastCudaError() CUDA error : %s : (%d) %s.\n", file, line, message,
          static_cast<int>(error), cudaGetErrorString(error));
  return true;
}
inline void __getLastCudaError(const char* message, const char* file, const int line) {
  if (canopy_report_last_error(message, file, line)) exit(EXIT_FAILURE);
}
inline void __printLastCudaError(const char* message, const char* file, const int line) {
  canopy_report_last_error(message, file, line);
}
#define getLastCudaError(msg) __getLastCudaError(msg, __FILE__, __LINE__)
#define printLastCudaError(msg) __printLastCudaError(msg, __FILE__, __LINE__)

inline int ftoi(float value) { return value >= 0 ? static_cast<int>(value + 0.5) : static_cast<int>(value - 0.5); }

// ---- what the compute capabilities are, from NVIDIA's tables
struct canopy_generation {
  int version, cores;
  const char* name;
};
inline const canopy_generation& canopy_generation_of(int major, int minor) {
  static const canopy_generation table[] = {
      {0x30, 192, "Kepler"},  {0x32, 192, "Kepler"},  {0x35, 192, "Kepler"},  {0x37, 192, "Kepler"},
      {0x50, 128, "Maxwell"}, {0x52, 128, "Maxwell"}, {0x53, 128, "Maxwell"}, {0x60, 64, "Pascal"},
      {0x61, 128, "Pascal"},  {0x62, 128, "Pascal"},  {0x70, 64, "Volta"},    {0x72, 64, "Xavier"},
      {0x75, 64, "Turing"},   {0x80, 64, "Ampere"},   {0x86, 128, "Ampere"},  {0x87, 128, "Ampere"},
      {0x89, 128, "Ada"},     {0x90, 128, "Hopper"},
  };
  const canopy_generation* best = table;
  for (const canopy_generation& entry : table)
    if (entry.version <= (major << 4) + minor) best = &entry;
  return *best;
}
inline int _ConvertSMVer2Cores(int major, int minor) { return canopy_generation_of(major, minor).cores; }
inline const char* _ConvertSMVer2ArchName(int major, int minor) { return canopy_generation_of(major, minor).name; }

// ---- devices
inline int canopy_device_attribute(cudaDeviceAttr attribute, int device) {
  int value = 0;
  checkCudaErrors(cudaDeviceGetAttribute(&value, attribute, device));
  return value;
}

inline int canopy_device_count(const char* asking) {
  int count = 0;
  checkCudaErrors(cudaGetDeviceCount(&count));
  if (count == 0) {
    fprintf(stderr, "%s error: no devices supporting CUDA.\n", asking);
    exit(EXIT_FAILURE);
  }
  return count;
}

inline int gpuDeviceInit(int device) {
  int count = canopy_device_count("gpuDeviceInit() CUDA");
  if (device < 0) device = 0;
  if (device > count - 1) {
    fprintf(stderr, "\n>> %d CUDA capable GPU device(s) detected. <<\n", count);
    fprintf(stderr, ">> gpuDeviceInit (-device=%d) is not a valid GPU device. <<\n\n", device);
    return -device;
  }
  if (canopy_device_attribute(cudaDevAttrComputeMode, device) == cudaComputeModeProhibited) {
    fprintf(stderr, "Error: device is running in <Compute Mode Prohibited>, no threads can use cudaSetDevice().\n");
    return -1;
  }
  if (canopy_device_attribute(cudaDevAttrComputeCapabilityMajor, device) < 1) {
    fprintf(stderr, "gpuDeviceInit(): GPU device does not support CUDA.\n");
    exit(EXIT_FAILURE);
  }
  checkCudaErrors(cudaSetDevice(device));
  return device;
}

inline int gpuGetMaxGflopsDeviceId() {
  int count = canopy_device_count("gpuGetMaxGflopsDeviceId() CUDA"), best = -1;
  uint64_t most = 0;
  for (int device = 0; device < count; device++) {
    if (canopy_device_attribute(cudaDevAttrComputeMode, device) == cudaComputeModeProhibited) continue;
    int cores = _ConvertSMVer2Cores(canopy_device_attribute(cudaDevAttrComputeCapabilityMajor, device),
                                    canopy_device_attribute(cudaDevAttrComputeCapabilityMinor, device));
    uint64_t speed = (uint64_t)canopy_device_attribute(cudaDevAttrMultiProcessorCount, device) * cores *
                     canopy_device_attribute(cudaDevAttrClockRate, device);
    if (best >= 0 && speed <= most) continue;
    most = speed;
    best = device;
  }
  if (best < 0) {
    fprintf(stderr, "gpuGetMaxGflopsDeviceId() CUDA error: all devices have compute mode prohibited.\n");
    exit(EXIT_FAILURE);
  }
  return best;
}

inline void canopy_print_device(int device) {
  int major = canopy_device_attribute(cudaDevAttrComputeCapabilityMajor, device);
  int minor = canopy_device_attribute(cudaDevAttrComputeCapabilityMinor, device);
  printf("GPU Device %d: \"%s\" with compute capability %d.%d\n\n", device, _ConvertSMVer2ArchName(major, minor), major,
         minor);
}

inline int findCudaDevice(int argc, const char** argv) {
  int device;
  if (checkCmdLineFlag(argc, argv, "device")) {
    device = gpuDeviceInit(getCmdLineArgumentInt(argc, argv, "device"));
    if (device < 0) {
      printf("exiting...\n");
      exit(EXIT_FAILURE);
    }
    return device;
  }
  device = gpuGetMaxGflopsDeviceId();
  checkCudaErrors(cudaSetDevice(device));
  canopy_print_device(device);
  return device;
}

inline int findIntegratedGPU() {
  int count = canopy_device_count("CUDA");
  for (int device = 0; device < count; device++) {
    if (!canopy_device_attribute(cudaDevAttrIntegrated, device)) continue;
    checkCudaErrors(cudaSetDevice(device));
    canopy_print_device(device);
    return device;
  }
  fprintf(stderr, "CUDA error: No integrated GPU found.\n");
  exit(EXIT_FAILURE);
}

inline bool checkCudaCapabilities(int major, int minor) {
  int device;
  checkCudaErrors(cudaGetDevice(&device));
  int has_major = canopy_device_attribute(cudaDevAttrComputeCapabilityMajor, device);
  int has_minor = canopy_device_attribute(cudaDevAttrComputeCapabilityMinor, device);
  if (has_major > major || (has_major == major && has_minor >= minor)) {
    printf("  Device %d: SM %d.%d\n", device, has_major, has_minor);
    return true;
  }
  printf("  No GPU device was found that can support CUDA compute capability %d.%d.\n", major, minor);
  return false;
}
#endif
