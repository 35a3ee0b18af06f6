// Command lines and files with the names of the CUDA samples. Written for Canopy.
#pragma once
#ifndef COMMON_HELPER_STRING_H_
#define COMMON_HELPER_STRING_H_
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <fstream>
#include <string>

#define STRCASECMP strcasecmp
#define STRNCASECMP strncasecmp
#define STRCPY(to, bytes, from) strcpy(to, from)
#define FOPEN(file, name, mode) (file = fopen(name, mode))
#define FOPEN_FAIL(result) (result == NULL)
#define SSCANF sscanf
#define SPRINTF sprintf
#ifndef EXIT_WAIVED
#define EXIT_WAIVED 2
#endif

inline int stringRemoveDelimiter(char delimiter, const char* text) {
  int start = 0;
  while (text[start] == delimiter) start++;
  return start >= static_cast<int>(strlen(text) - 1) ? 0 : start;
}

inline int getFileExtension(char* filename, char** extension) {
  int dot = static_cast<int>(strlen(filename));
  while (dot > 0 && filename[dot] != '.') dot--;
  *extension = dot == 0 ? NULL : filename + dot + 1;
  return dot;
}

// The text behind `name` in -name, --name, -name=value or --name=value; NULL for another argument.
inline const char* canopy_behind_flag(const char* argument, const char* name) {
  const char* flag = argument + stringRemoveDelimiter('-', argument);
  size_t length = strlen(name);
  return flag != argument && STRNCASECMP(flag, name, length) == 0 ? flag + length : NULL;
}

inline bool checkCmdLineFlag(const int argc, const char** argv, const char* name) {
  for (int i = 1; i < argc; i++) {
    const char* rest = canopy_behind_flag(argv[i], name);
    if (rest && (*rest == 0 || *rest == '=')) return true;
  }
  return false;
}

// The text of the last `name=value`, empty without a value; NULL where the flag is not given.
inline const char* canopy_flag_value(const int argc, const char** argv, const char* name) {
  const char* found = NULL;
  for (int i = 1; i < argc; i++)
    if (const char* rest = canopy_behind_flag(argv[i], name)) found = *rest == '=' ? rest + 1 : rest;
  return found;
}

template <class T> inline bool getCmdLineArgumentValue(const int argc, const char** argv, const char* name, T* value) {
  const char* text = canopy_flag_value(argc, argv, name);
  if (text && *text) *value = (T)atoi(text);
  return text != NULL;
}

inline int getCmdLineArgumentInt(const int argc, const char** argv, const char* name) {
  const char* text = canopy_flag_value(argc, argv, name);
  return text ? atoi(text) : 0;
}

inline float getCmdLineArgumentFloat(const int argc, const char** argv, const char* name) {
  const char* text = canopy_flag_value(argc, argv, name);
  return text ? static_cast<float>(atof(text)) : 0.0f;
}

inline bool getCmdLineArgumentString(const int argc, const char** argv, const char* name, char** value) {
  const char* text = canopy_flag_value(argc, argv, name);
  *value = const_cast<char*>(text);
  return text != NULL;
}

// Looks for a data file here, in data folders, beside the program and above; the caller frees the path.
inline char* sdkFindFilePath(const char* filename, const char* executable) {
  std::string program = executable ? executable : "";
  size_t slash = program.rfind('/');
  std::string beside = slash == std::string::npos ? "" : program.substr(0, slash + 1);
  std::string name = slash == std::string::npos ? program : program.substr(slash + 1);
  std::string starts[] = {"./", beside};
  std::string ways[] = {"", "data/", "src/", "inc/", "common/", "common/data/", "Common/", "Common/data/", name + "/", name + "/data/"};
  std::string above;
  for (int level = 0; level < 5; level++, above += "../")
    for (const std::string& start : starts)
      for (const std::string& way : ways) {
        std::string path = start + above + way + filename;
        if (std::ifstream(path.c_str()).good()) return strdup(path.c_str());
      }
  printf("\nerror: sdkFindFilePath: file <%s> not found!\n", filename);
  return NULL;
}
#endif
