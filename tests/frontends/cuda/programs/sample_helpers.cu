// The helpers of the CUDA samples: checks, devices, command lines, timers, images, float4 arithmetic.
#include <helper_cuda.h>
#include <helper_functions.h>
#include <helper_math.h>
#include <omp.h>
#include <unistd.h>

#define REQUIRE(what)                                  \
  if (!(what)) {                                       \
    printf("line %d: %s\n", __LINE__, #what);          \
    return 1;                                          \
  }

__global__ void geometry(const float3* a, const float3* b, float4* out, int4* whole, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  float3 c = cross(a[i], b[i]);
  float3 r = reflect(normalize(a[i]), normalize(b[i]));
  float3 mixed = lerp(a[i], b[i], 0.25f) * 2.0f - make_float3(1.0f);
  out[i] = make_float4(c, dot(a[i], b[i])) / 2.0f;
  out[i] += make_float4(clamp(mixed, -0.5f, 0.5f), length(r));
  whole[i] = max(make_int4(make_float4(a[i]) * 10.0f), make_int4(-3)) - abs(make_int4(1, -2, 3, -4));
}

static bool near(float x, float y) { return fabsf(x - y) <= 1e-5f * (1 + fabsf(y)); }

static int arithmetic() {
  const int n = 77;
  float3 *a, *b;
  float4* out;
  int4* whole;
  checkCudaErrors(cudaMallocManaged(&a, n * sizeof *a));
  checkCudaErrors(cudaMallocManaged(&b, n * sizeof *b));
  checkCudaErrors(cudaMallocManaged(&out, n * sizeof *out));
  checkCudaErrors(cudaMallocManaged(&whole, n * sizeof *whole));
  srand(5);
  for (int i = 0; i < n; i++) {
    a[i] = make_float3(rand() % 100, rand() % 100, rand() % 100) / 50.0f - 1.0f;
    b[i] = make_float3(make_uint3(rand() % 9 + 1, 2, i)) + make_float3(0.5f);
  }
  geometry<<<3, 32>>>(a, b, out, whole, n);
  getLastCudaError("geometry failed");
  checkCudaErrors(cudaDeviceSynchronize());
  for (int i = 0; i < n; i++) {
    float3 p = a[i], q = b[i];
    float mixed[3] = {p.x + 0.25f * (q.x - p.x), p.y + 0.25f * (q.y - p.y), p.z + 0.25f * (q.z - p.z)};
    for (float& m : mixed) m = fminf(fmaxf(2 * m - 1, -0.5f), 0.5f);
    REQUIRE(near(out[i].x, (p.y * q.z - p.z * q.y) / 2 + mixed[0]));
    REQUIRE(near(out[i].y, (p.z * q.x - p.x * q.z) / 2 + mixed[1]));
    REQUIRE(near(out[i].z, (p.x * q.y - p.y * q.x) / 2 + mixed[2]));
    REQUIRE(near(out[i].w, (p.x * q.x + p.y * q.y + p.z * q.z) / 2 + 1));  // a reflection keeps the length
    REQUIRE(whole[i].x == max((int)(p.x * 10), -3) - 1 && whole[i].y == max((int)(p.y * 10), -3) - 2);
    REQUIRE(whole[i].z == max((int)(p.z * 10), -3) - 3 && whole[i].w == -4);
  }
  return 0;
}

static int command_lines() {
  const char* words[] = {"program", "-size=12", "--name=a b", "-ratio=1.5", "-quick", "other=3"};
  REQUIRE(getCmdLineArgumentInt(6, words, "size") == 12 && getCmdLineArgumentInt(6, words, "size=") == 12);
  REQUIRE(getCmdLineArgumentInt(6, words, "absent") == 0 && getCmdLineArgumentFloat(6, words, "ratio") == 1.5f);
  REQUIRE(checkCmdLineFlag(6, words, "quick") && checkCmdLineFlag(6, words, "size"));
  REQUIRE(!checkCmdLineFlag(6, words, "qui") && !checkCmdLineFlag(6, words, "other"));
  char* name = NULL;
  REQUIRE(getCmdLineArgumentString(6, words, "name", &name) && !strcmp(name, "a b"));
  REQUIRE(!getCmdLineArgumentString(6, words, "nothing", &name) && name == NULL);
  return 0;
}

static int timers() {
  StopWatchInterface* timer = NULL;
  REQUIRE(sdkCreateTimer(&timer) && sdkGetTimerValue(&timer) == 0);
  double start = omp_get_wtime();
  for (int round = 0; round < 2; round++) {
    sdkStartTimer(&timer);
    usleep(3000);
    sdkStopTimer(&timer);
  }
  double seconds = omp_get_wtime() - start;
  float whole = sdkGetTimerValue(&timer);
  REQUIRE(whole >= 5.9f && whole <= seconds * 1e3 + 1 && near(sdkGetAverageTimerValue(&timer), whole / 2));
  sdkResetTimer(&timer);
  REQUIRE(sdkGetTimerValue(&timer) == 0 && sdkDeleteTimer(&timer) && timer == NULL);
  return 0;
}

static int images() {
  char path[] = "/tmp/canopy-image-XXXXXX";
  close(mkstemp(path));
  unsigned char pixels[7 * 5 * 4], *read = NULL, *gray = NULL;
  for (int i = 0; i < 7 * 5 * 4; i++) pixels[i] = i % 4 == 3 ? 0 : rand();
  pixels[0] = '#';
  unsigned int w, h;
  REQUIRE(sdkSavePPM4ub(path, pixels, 7, 5) && sdkLoadPPM4ub(path, &read, &w, &h) && w == 7 && h == 5);
  REQUIRE(!memcmp(pixels, read, sizeof pixels) && sdkComparePPM(path, path, 0, 0, false));
  REQUIRE(sdkSavePGM(path, pixels, 7, 5) && sdkLoadPGM(path, &gray, &w, &h) && !memcmp(pixels, gray, 35));
  float *fractions = NULL, values[3] = {1, 2.5f, -3}, *numbers = NULL;
  REQUIRE(sdkLoadPGM(path, &fractions, &w, &h) && near(fractions[4], pixels[4] / 255.0f));
  unsigned int count = 0;
  REQUIRE(sdkWriteFile(path, values, 3, 0.1f, false) && sdkReadFile(path, &numbers, &count, false) && count == 3);
  REQUIRE(sdkCompareL2fe(values, numbers, 3, 1e-6f) && !sdkCompareL2fe(values, fractions, 3, 1e-6f));
  char* found = sdkFindFilePath(path + 5, "/tmp/program");
  REQUIRE(found && !sdkLoadPPMub(path, &read, &w, &h));
  free(found);
  unlink(path);
  return 0;
}

int main(int argc, char** argv) {
  int device = findCudaDevice(argc, (const char**)argv);
  REQUIRE(device == gpuGetMaxGflopsDeviceId() && _ConvertSMVer2Cores(8, 6) == 128 && checkCudaCapabilities(2, 0));
  REQUIRE(!strcmp(_cudaGetErrorEnum(cudaErrorInvalidValue), "cudaErrorInvalidValue"));
  int sum = 0;
#pragma omp parallel for reduction(+ : sum)
  for (int i = 0; i < 10; i++) sum += omp_get_num_threads();
  REQUIRE(sum == 10);
  if (arithmetic() || command_lines() || timers() || images()) return 1;
  try {
    RUNTIME_EXCEPTION("as asked");
  } catch (const std::runtime_error& problem) {
    REQUIRE(strstr(problem.what(), "as asked"));
    printf("PASS\n");
  }
}
