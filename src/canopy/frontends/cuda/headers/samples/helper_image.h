// PGM and PPM images, data files and comparisons with the names of the CUDA samples. Written for Canopy.
#pragma once
#ifndef COMMON_HELPER_IMAGE_H_
#define COMMON_HELPER_IMAGE_H_
#include <assert.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fstream>
#include <iostream>
#include <string>
#include <type_traits>
#include <vector>

#include "exception.h"
#include "helper_string.h"

#ifndef MIN
#define MIN(a, b) ((a < b) ? a : b)
#endif
#ifndef MAX
#define MAX(a, b) ((a > b) ? a : b)
#endif
#ifndef __MIN_EPSILON_ERROR
#define __MIN_EPSILON_ERROR 1e-3f
#endif

// ---- images: P5 with 1 channel, P6 with 3, 8 bits each; memory comes from malloc unless it is given
inline bool canopy_image_problem(const char* what, const char* file) {
  std::cerr << what << ": " << file << std::endl;
  return false;
}

// The next number of an image's header; comments run from # to the end of the line.
inline bool canopy_header_number(std::istream& in, unsigned int& value) {
  while ((in >> std::ws).peek() == '#') in.ignore(1 << 30, '\n');
  return static_cast<bool>(in >> value);
}

inline bool __loadPPM(const char* file, unsigned char** data, unsigned int* w, unsigned int* h,
                      unsigned int* channels) {
  std::ifstream in(file, std::ios::binary);
  if (!in) return canopy_image_problem("__loadPPM() : failed to open file", file);
  std::string kind;
  in >> kind;
  *channels = kind == "P5" ? 1 : kind == "P6" ? 3 : 0;
  if (*channels == 0) return canopy_image_problem("__loadPPM() : file is not a PPM or PGM image", file);
  unsigned int width, height, most;
  if (!canopy_header_number(in, width) || !canopy_header_number(in, height) || !canopy_header_number(in, most))
    return canopy_image_problem("__loadPPM() : the header is not complete", file);
  in.get();
  if (*data != NULL && (*w != width || *h != height))
    return canopy_image_problem("__loadPPM() : invalid image dimensions", file);
  size_t bytes = (size_t)width * height * *channels;
  if (*data == NULL) *data = (unsigned char*)malloc(bytes);
  *w = width;
  *h = height;
  if (!in.read((char*)*data, bytes)) return canopy_image_problem("__loadPPM() : the file is too short", file);
  return true;
}

inline bool __savePPM(const char* file, unsigned char* data, unsigned int w, unsigned int h, unsigned int channels) {
  assert(data != NULL && w > 0 && h > 0);
  if (channels != 1 && channels != 3) return canopy_image_problem("__savePPM() : invalid number of channels", file);
  std::ofstream out(file, std::ios::binary);
  if (!out) return canopy_image_problem("__savePPM() : opening file failed", file);
  out << (channels == 1 ? "P5\n" : "P6\n") << w << "\n" << h << "\n255\n";
  out.write((const char*)data, (size_t)w * h * channels);
  out.flush();
  return out ? true : canopy_image_problem("__savePPM() : writing data failed", file);
}

// Bytes stay bytes; as floats they run from 0 to 1.
template <class T> inline T canopy_from_byte(unsigned char value) {
  return std::is_floating_point<T>::value ? (T)(value / 255.0f) : (T)value;
}
template <class T> inline unsigned char canopy_to_byte(T value) {
  return std::is_floating_point<T>::value ? (unsigned char)(value * 255.0f) : (unsigned char)value;
}

template <class T> inline bool sdkLoadPGM(const char* file, T** data, unsigned int* w, unsigned int* h) {
  unsigned char* bytes = NULL;
  unsigned int channels;
  bool loaded = __loadPPM(file, &bytes, w, h, &channels);
  if (loaded) {
    size_t count = (size_t)*w * *h * channels;
    if (*data == NULL) *data = (T*)malloc(sizeof(T) * count);
    for (size_t i = 0; i < count; i++) (*data)[i] = canopy_from_byte<T>(bytes[i]);
  }
  free(bytes);
  return loaded;
}

template <class T> inline bool sdkSavePGM(const char* file, T* data, unsigned int w, unsigned int h) {
  std::vector<unsigned char> bytes((size_t)w * h);
  for (size_t i = 0; i < bytes.size(); i++) bytes[i] = canopy_to_byte(data[i]);
  return __savePPM(file, bytes.data(), w, h, 1);
}

template <class T> inline bool sdkLoadPPM4(const char* file, T** data, unsigned int* w, unsigned int* h) {
  unsigned char* bytes = NULL;
  unsigned int channels;
  bool loaded = __loadPPM(file, &bytes, w, h, &channels);
  if (loaded && channels != 3) loaded = canopy_image_problem("sdkLoadPPM4() : the image has no three channels", file);
  if (loaded) {
    size_t count = (size_t)*w * *h;
    *data = (T*)malloc(sizeof(T) * count * 4);
    for (size_t i = 0; i < count * 4; i++) (*data)[i] = i % 4 == 3 ? T(0) : T(bytes[i / 4 * 3 + i % 4]);
  }
  free(bytes);
  return loaded;
}
inline bool sdkLoadPPM4ub(const char* file, unsigned char** data, unsigned int* w, unsigned int* h) {
  return sdkLoadPPM4(file, data, w, h);
}
inline bool sdkLoadPPMub(const char* file, unsigned char** data, unsigned int* w, unsigned int* h) {
  unsigned int channels;
  return __loadPPM(file, data, w, h, &channels);
}
inline bool sdkSavePPM4ub(const char* file, unsigned char* data, unsigned int w, unsigned int h) {
  std::vector<unsigned char> bytes((size_t)w * h * 3);
  for (size_t i = 0; i < bytes.size(); i++) bytes[i] = data[i / 3 * 4 + i % 3];
  return __savePPM(file, bytes.data(), w, h, 3);
}

// ---- files of numbers
template <class T> inline bool sdkReadFile(const char* filename, T** data, unsigned int* len, bool verbose) {
  std::ifstream in(filename);
  if (!in) {
    printf("Unable to open input file: %s\n", filename);
    return false;
  }
  std::vector<T> read;
  while ((in >> std::ws).good()) {
    T value;
    if (in.peek() == '#')
      in.ignore(1 << 30, '\n');
    else if (in >> value)
      read.push_back(value);
  }
  if (*data != NULL && *len != read.size()) {
    std::cerr << "sdkReadFile() : " << *len << " values expected, " << read.size() << " read" << std::endl;
    return false;
  }
  if (*data == NULL) *data = (T*)malloc(sizeof(T) * read.size());
  *len = (unsigned int)read.size();
  memcpy(*data, read.data(), sizeof(T) * read.size());
  return true;
}

template <class T>
inline bool sdkReadFileBlocks(const char* filename, T** data, unsigned int* len, unsigned int block_num,
                              unsigned int block_size, bool verbose) {
  FILE* file = fopen(filename, "rb");
  if (file == NULL) {
    if (verbose) std::cerr << "sdkReadFile() : Opening file failed." << std::endl;
    return false;
  }
  data[block_num] = (T*)malloc(block_size);
  fseek(file, (long)block_num * block_size, SEEK_SET);
  *len = (unsigned int)fread(data[block_num], sizeof(T), block_size / sizeof(T), file);
  fclose(file);
  return true;
}

template <class T, class S>
inline bool sdkWriteFile(const char* filename, const T* data, unsigned int len, const S epsilon, bool verbose,
                         bool append = false) {
  std::ofstream out(filename);
  if (verbose) std::cerr << "sdkWriteFile() : Open file " << filename << " for write/append." << std::endl;
  out << "# " << epsilon << "\n";
  for (unsigned int i = 0; i < len; i++) out << data[i] << ' ';
  out << std::endl;
  if (!out && verbose) std::cerr << "sdkWriteFile() : Writing file failed." << std::endl;
  return static_cast<bool>(out);
}

inline void sdkDumpBin(void* data, unsigned int bytes, const char* filename) {
  printf("sdkDumpBin: <%s>\n", filename);
  FILE* file = fopen(filename, "wb");
  if (file == NULL) return;
  fwrite(data, bytes, 1, file);
  fclose(file);
}

// ---- comparisons: threshold is the part of the elements that may differ
inline bool canopy_few_differ(unsigned int differ, unsigned int len, float threshold) {
  if (threshold == 0.0f) return differ == 0;
  if (differ) printf("%4.2f(%%) of bytes mismatched (count=%u)\n", (float)differ * 100 / (float)len, differ);
  return len * threshold > differ;
}

template <class T, class S>
inline bool compareData(const T* reference, const T* data, const unsigned int len, const S epsilon,
                        const float threshold) {
  assert(epsilon >= 0);
  unsigned int differ = 0;
  for (unsigned int i = 0; i < len; i++) {
    float difference = (float)reference[i] - (float)data[i];
    differ += !(difference <= epsilon && difference >= -epsilon);
  }
  return canopy_few_differ(differ, len, threshold);
}

template <class T, class S>
inline bool compareDataAsFloatThreshold(const T* reference, const T* data, const unsigned int len, const S epsilon,
                                        const float threshold) {
  assert(epsilon >= 0);
  float most = MAX((float)epsilon, __MIN_EPSILON_ERROR);
  unsigned int differ = 0;
  for (unsigned int i = 0; i < len; i++) differ += !(fabsf((float)reference[i] - (float)data[i]) < most);
  if (threshold == 0.0f && differ) printf("total # of errors = %u\n", differ);
  return canopy_few_differ(differ, len, threshold);
}

inline bool sdkCompareL2fe(const float* reference, const float* data, const unsigned int len, const float epsilon) {
  assert(epsilon >= 0);
  float error = 0, whole = 0;
  for (unsigned int i = 0; i < len; i++) {
    float difference = reference[i] - data[i];
    error += difference * difference;
    whole += reference[i] * reference[i];
  }
  if (fabs(whole) < 1e-7) return false;
  return sqrtf(error) / sqrtf(whole) < epsilon;
}

template <class T> inline bool canopy_read_elements(const char* file, std::vector<T>& values) {
  FILE* in = file ? fopen(file, "rb") : NULL;
  if (in == NULL) {
    printf("compareBin2Bin unable to open <%s>\n", file ? file : "");
    return false;
  }
  size_t found = fread(values.data(), sizeof(T), values.size(), in);
  fclose(in);
  return found == values.size();
}

template <class T, class Compare>
inline bool canopy_compare_files(const char* src_file, const char* ref_file, unsigned int count, char* exec_path,
                                 Compare compare) {
  std::vector<T> data(count), reference(count);
  char* path = sdkFindFilePath(ref_file, exec_path);
  bool same = canopy_read_elements(src_file, data) && canopy_read_elements(path, reference) &&
              compare(reference.data(), data.data());
  free(path);
  printf(same ? "  OK\n" : "  FAILURE\n");
  return same;
}
inline bool sdkCompareBin2BinUint(const char* src_file, const char* ref_file, unsigned int nelements,
                                  const float epsilon, const float threshold, char* exec_path) {
  return canopy_compare_files<unsigned int>(src_file, ref_file, nelements, exec_path,
                                            [=](const unsigned int* reference, const unsigned int* data) {
                                              return compareData(reference, data, nelements, epsilon, threshold);
                                            });
}
inline bool sdkCompareBin2BinFloat(const char* src_file, const char* ref_file, unsigned int nelements,
                                   const float epsilon, const float threshold, char* exec_path) {
  return canopy_compare_files<float>(
      src_file, ref_file, nelements, exec_path, [=](const float* reference, const float* data) {
        return compareDataAsFloatThreshold(reference, data, nelements, epsilon, threshold);
      });
}

inline bool canopy_compare_images(const char* src_file, const char* ref_file, float epsilon, float threshold,
                                  bool verbose) {
  if (src_file == NULL || ref_file == NULL) return false;
  unsigned char *data = NULL, *reference = NULL;
  unsigned int w = 0, h = 0, ref_w = 0, ref_h = 0, channels = 0, ref_channels = 0;
  bool same = __loadPPM(ref_file, &reference, &ref_w, &ref_h, &ref_channels) &&
              __loadPPM(src_file, &data, &w, &h, &channels);
  if (same && (w != ref_w || h != ref_h || channels != ref_channels))
    same = canopy_image_problem("source and reference differ in size", src_file);
  same = same && compareData(reference, data, w * h * channels, epsilon, threshold);
  if (verbose) std::cerr << (same ? "    OK\n\n" : "    FAILURE!\n\n");
  free(data);
  free(reference);
  return same;
}
inline bool sdkComparePPM(const char* src_file, const char* ref_file, const float epsilon, const float threshold,
                          bool verboseErrors) {
  return canopy_compare_images(src_file, ref_file, epsilon, threshold, verboseErrors);
}
inline bool sdkComparePGM(const char* src_file, const char* ref_file, const float epsilon, const float threshold,
                          bool verboseErrors) {
  return canopy_compare_images(src_file, ref_file, epsilon, threshold, verboseErrors);
}
#endif
