// Mandelbrot and Julia sets: divergent loops, float and double by template, coloured as uchar4.
#include <cstdio>
#include <cstdlib>

template <class T>
struct View {
  T x, y, scale;
};

template <class T>
__host__ __device__ int escape(T cx, T cy, T zx, T zy, int limit) {
  int n = 0;
  while (n < limit) {
    T xx = zx * zx, yy = zy * zy;
    if (xx + yy > T(4)) break;
    zy = 2 * zx * zy + cy;
    zx = xx - yy + cx;
    ++n;
  }
  return n;
}

__host__ __device__ inline uchar4 colour(int n, int limit) {
  if (n == limit) return make_uchar4(0, 0, 0, 255);
  switch (n % 4) {
    case 0: return make_uchar4(n * 7, n * 3, 255 - n, 255);
    case 1: return make_uchar4(n, 128, n * 5, 255);
    case 2: return make_uchar4(255 - n, n, 64, 255);
    default: return make_uchar4(16, 255 - n * 2, n * 9, 255);
  }
}

template <class T, bool IsJulia>
__global__ void draw(uchar4 *image, int *steps, int width, int height, View<T> view, int limit) {
  const int px = blockIdx.x * blockDim.x + threadIdx.x;
  const int py = blockIdx.y * blockDim.y + threadIdx.y;
  if (px >= width || py >= height) return;
  T x = view.x + (px - width / 2) * view.scale, y = view.y + (py - height / 2) * view.scale;
  int n = IsJulia ? escape<T>(T(-0.75), T(0.125), x, y, limit) : escape<T>(x, y, 0, 0, limit);
  steps[py * width + px] = n;
  image[py * width + px] = colour(n, limit);
}

template <class T, bool IsJulia>
bool run(int width, int height, View<T> view) {
  const int limit = 200;
  uchar4 *image;
  int *steps;
  cudaMallocManaged(&image, width * height * sizeof(uchar4));
  cudaMallocManaged(&steps, width * height * sizeof(int));
  dim3 block(16, 16), grid((width + 15) / 16, (height + 15) / 16);
  draw<T, IsJulia><<<grid, block>>>(image, steps, width, height, view, limit);
  if (cudaDeviceSynchronize() != cudaSuccess) return false;
  // Points whose orbit is decided by the last bit may differ by contraction: few of them.
  long wrong = 0, inside = 0, outside = 0, miscoloured = 0;
  for (int i = 0; i < width * height; ++i) {
    T x = view.x + (i % width - width / 2) * view.scale, y = view.y + (i / width - height / 2) * view.scale;
    int n = IsJulia ? escape<T>(T(-0.75), T(0.125), x, y, limit) : escape<T>(x, y, 0, 0, limit);
    wrong += n != steps[i];
    (n == limit ? inside : outside)++;
    uchar4 c = colour(steps[i], limit), d = image[i];
    miscoloured += c.x != d.x || c.y != d.y || c.z != d.z || c.w != d.w;
  }
  printf("%ld inside, %ld outside, %ld differ\n", inside, outside, wrong);
  cudaFree(image);
  cudaFree(steps);
  return miscoloured == 0 && wrong * 50 <= width * height && outside > 100 && (IsJulia || inside > 100);
}

int main() {
  bool good = run<float, false>(101, 67, {-0.5f, 0.0f, 0.035f});
  good &= run<double, false>(64, 64, {-0.743, 0.131, 0.0005});
  good &= run<float, true>(70, 70, {0.0f, 0.0f, 0.04f});
  puts(good ? "PASS" : "FAIL");
  return !good;
}
