// Ranges and marks for NVIDIA's profiler: accepted, and nothing happens. Written for Canopy.
#pragma once
#include <stddef.h>
#include <stdint.h>

#define NVTX_VERSION 3
#define NVTX_SUCCESS 0
typedef uint64_t nvtxRangeId_t;
typedef struct nvtxDomainRegistration* nvtxDomainHandle_t;
typedef struct nvtxStringRegistration* nvtxStringHandle_t;
typedef enum nvtxColorType_t { NVTX_COLOR_UNKNOWN = 0, NVTX_COLOR_ARGB = 1 } nvtxColorType_t;
typedef enum nvtxMessageType_t {
  NVTX_MESSAGE_UNKNOWN = 0, NVTX_MESSAGE_TYPE_ASCII = 1, NVTX_MESSAGE_TYPE_UNICODE = 2, NVTX_MESSAGE_TYPE_REGISTERED = 3
} nvtxMessageType_t;
typedef enum nvtxPayloadType_t {
  NVTX_PAYLOAD_UNKNOWN = 0, NVTX_PAYLOAD_TYPE_UNSIGNED_INT64 = 1, NVTX_PAYLOAD_TYPE_INT64 = 2, NVTX_PAYLOAD_TYPE_DOUBLE = 3
} nvtxPayloadType_t;
typedef union nvtxMessageValue_t { const char* ascii; const wchar_t* unicode; nvtxStringHandle_t registered; } nvtxMessageValue_t;
typedef struct nvtxEventAttributes_v2 {
  uint16_t version, size;
  uint32_t category;
  int32_t colorType;
  uint32_t color;
  int32_t payloadType, reserved0;
  union { uint64_t ullValue; int64_t llValue; double dValue; } payload;
  int32_t messageType;
  nvtxMessageValue_t message;
} nvtxEventAttributes_v2;
typedef nvtxEventAttributes_v2 nvtxEventAttributes_t;
#define NVTX_EVENT_ATTRIB_STRUCT_SIZE ((uint16_t)sizeof(nvtxEventAttributes_t))

#ifdef __cplusplus
extern "C" {
#endif
#define CANOPY_NVTX static __inline__
CANOPY_NVTX void nvtxMarkA(const char* text) { (void)text; }
CANOPY_NVTX void nvtxMarkEx(const nvtxEventAttributes_t* event) { (void)event; }
CANOPY_NVTX int nvtxRangePushA(const char* text) { (void)text; return 0; }
CANOPY_NVTX int nvtxRangePushEx(const nvtxEventAttributes_t* event) { (void)event; return 0; }
CANOPY_NVTX int nvtxRangePop(void) { return 0; }
CANOPY_NVTX nvtxRangeId_t nvtxRangeStartA(const char* text) { (void)text; return 0; }
CANOPY_NVTX nvtxRangeId_t nvtxRangeStartEx(const nvtxEventAttributes_t* event) { (void)event; return 0; }
CANOPY_NVTX void nvtxRangeEnd(nvtxRangeId_t id) { (void)id; }
CANOPY_NVTX nvtxDomainHandle_t nvtxDomainCreateA(const char* name) { (void)name; return 0; }
CANOPY_NVTX void nvtxDomainDestroy(nvtxDomainHandle_t domain) { (void)domain; }
CANOPY_NVTX void nvtxDomainMarkEx(nvtxDomainHandle_t domain, const nvtxEventAttributes_t* event) { (void)domain; (void)event; }
CANOPY_NVTX int nvtxDomainRangePushEx(nvtxDomainHandle_t domain, const nvtxEventAttributes_t* event) { (void)domain; (void)event; return 0; }
CANOPY_NVTX int nvtxDomainRangePop(nvtxDomainHandle_t domain) { (void)domain; return 0; }
CANOPY_NVTX nvtxStringHandle_t nvtxDomainRegisterStringA(nvtxDomainHandle_t domain, const char* text) { (void)domain; (void)text; return 0; }
CANOPY_NVTX void nvtxNameOsThreadA(uint32_t id, const char* name) { (void)id; (void)name; }
CANOPY_NVTX void nvtxNameCategoryA(uint32_t category, const char* name) { (void)category; (void)name; }
#undef CANOPY_NVTX
#ifdef __cplusplus
}
#endif
#define nvtxMark nvtxMarkA
#define nvtxRangePush nvtxRangePushA
#define nvtxRangeStart nvtxRangeStartA
#define nvtxDomainCreate nvtxDomainCreateA
#define nvtxDomainRegisterString nvtxDomainRegisterStringA
#define nvtxNameOsThread nvtxNameOsThreadA
#define nvtxNameCategory nvtxNameCategoryA
