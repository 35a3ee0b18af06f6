// Textures and surfaces: their types may be named, and using one is an error at its line. Written for Canopy.
#pragma once
#define CANOPY_NO_TEXTURES __attribute__((unavailable("textures and surfaces are not supported yet by Canopy")))

typedef unsigned long long cudaTextureObject_t;
typedef unsigned long long cudaSurfaceObject_t;
typedef struct cudaArray* cudaArray_t;
typedef const struct cudaArray* cudaArray_const_t;
typedef struct cudaMipmappedArray* cudaMipmappedArray_t;
enum cudaChannelFormatKind {
  cudaChannelFormatKindSigned = 0,
  cudaChannelFormatKindUnsigned = 1,
  cudaChannelFormatKindFloat = 2,
  cudaChannelFormatKindNone = 3
};
enum cudaTextureAddressMode { cudaAddressModeWrap = 0, cudaAddressModeClamp = 1, cudaAddressModeMirror = 2, cudaAddressModeBorder = 3 };
enum cudaTextureFilterMode { cudaFilterModePoint = 0, cudaFilterModeLinear = 1 };
enum cudaTextureReadMode { cudaReadModeElementType = 0, cudaReadModeNormalizedFloat = 1 };
enum cudaResourceType {
  cudaResourceTypeArray = 0,
  cudaResourceTypeMipmappedArray = 1,
  cudaResourceTypeLinear = 2,
  cudaResourceTypePitch2D = 3
};
struct cudaChannelFormatDesc {
  int x, y, z, w;
  enum cudaChannelFormatKind f;
};
struct cudaResourceDesc {
  enum cudaResourceType resType;
  union {
    struct { cudaArray_t array; } array;
    struct { cudaMipmappedArray_t mipmap; } mipmap;
    struct { void* devPtr; struct cudaChannelFormatDesc desc; size_t sizeInBytes; } linear;
    struct { void* devPtr; struct cudaChannelFormatDesc desc; size_t width, height, pitchInBytes; } pitch2D;
  } res;
};
struct cudaTextureDesc {
  enum cudaTextureAddressMode addressMode[3];
  enum cudaTextureFilterMode filterMode;
  enum cudaTextureReadMode readMode;
  int sRGB;
  float borderColor[4];
  int normalizedCoords;
  unsigned int maxAnisotropy;
  enum cudaTextureFilterMode mipmapFilterMode;
  float mipmapLevelBias, minMipmapLevelClamp, maxMipmapLevelClamp;
};
#define cudaTextureType1D 0x01
#define cudaTextureType2D 0x02
#define cudaTextureType3D 0x03
#define cudaTextureTypeCubemap 0x0C
#define cudaTextureType1DLayered 0xF1
#define cudaTextureType2DLayered 0xF2
#define cudaArrayDefault 0x00
#define cudaArrayLayered 0x01
#define cudaArraySurfaceLoadStore 0x02
#define cudaArrayCubemap 0x04
#define cudaArrayTextureGather 0x08

#ifdef __cplusplus
template <class T, int kind = cudaTextureType1D, int mode = cudaReadModeElementType> struct CANOPY_NO_TEXTURES texture {};
template <class T, int kind = cudaTextureType1D> struct CANOPY_NO_TEXTURES surface {};

#ifdef __CUDA__
#define CANOPY_TEXTURE(result, name)                                                                             \
  template <class T = void, class... A> __attribute__((host, device)) CANOPY_NO_TEXTURES result name(A...);
#else
#define CANOPY_TEXTURE(result, name) template <class T = void, class... A> CANOPY_NO_TEXTURES result name(A...);
#endif
CANOPY_TEXTURE(T, tex1Dfetch)
CANOPY_TEXTURE(T, tex1D)
CANOPY_TEXTURE(T, tex2D)
CANOPY_TEXTURE(T, tex3D)
CANOPY_TEXTURE(T, tex1DLayered)
CANOPY_TEXTURE(T, tex2DLayered)
CANOPY_TEXTURE(T, texCubemap)
CANOPY_TEXTURE(T, tex2Dgather)
CANOPY_TEXTURE(T, tex1DLod)
CANOPY_TEXTURE(T, tex2DLod)
CANOPY_TEXTURE(T, tex3DLod)
CANOPY_TEXTURE(T, tex2DGrad)
CANOPY_TEXTURE(T, surf1Dread)
CANOPY_TEXTURE(T, surf2Dread)
CANOPY_TEXTURE(T, surf3Dread)
CANOPY_TEXTURE(T, surf2DLayeredread)
CANOPY_TEXTURE(void, surf1Dwrite)
CANOPY_TEXTURE(void, surf2Dwrite)
CANOPY_TEXTURE(void, surf3Dwrite)
CANOPY_TEXTURE(void, surf2DLayeredwrite)
CANOPY_TEXTURE(cudaChannelFormatDesc, cudaCreateChannelDesc)
CANOPY_TEXTURE(cudaError_t, cudaCreateTextureObject)
CANOPY_TEXTURE(cudaError_t, cudaDestroyTextureObject)
CANOPY_TEXTURE(cudaError_t, cudaCreateSurfaceObject)
CANOPY_TEXTURE(cudaError_t, cudaDestroySurfaceObject)
CANOPY_TEXTURE(cudaError_t, cudaBindTexture)
CANOPY_TEXTURE(cudaError_t, cudaBindTexture2D)
CANOPY_TEXTURE(cudaError_t, cudaBindTextureToArray)
CANOPY_TEXTURE(cudaError_t, cudaBindSurfaceToArray)
CANOPY_TEXTURE(cudaError_t, cudaUnbindTexture)
CANOPY_TEXTURE(cudaError_t, cudaMallocArray)
CANOPY_TEXTURE(cudaError_t, cudaMalloc3DArray)
CANOPY_TEXTURE(cudaError_t, cudaFreeArray)
CANOPY_TEXTURE(cudaError_t, cudaMemcpyToArray)
CANOPY_TEXTURE(cudaError_t, cudaMemcpyFromArray)
CANOPY_TEXTURE(cudaError_t, cudaMemcpy2DToArray)
CANOPY_TEXTURE(cudaError_t, cudaMemcpy2DToArrayAsync)
CANOPY_TEXTURE(cudaError_t, cudaMemcpy2DFromArray)
CANOPY_TEXTURE(cudaError_t, cudaMallocMipmappedArray)
CANOPY_TEXTURE(cudaError_t, cudaFreeMipmappedArray)
#undef CANOPY_TEXTURE
#endif
#undef CANOPY_NO_TEXTURES
