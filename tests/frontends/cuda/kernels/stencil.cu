__global__ void stencil(int height, int width, const float* in, float* out) {
  int col = blockIdx.x * blockDim.x + threadIdx.x;
  int row = blockIdx.y * blockDim.y + threadIdx.y;
  if (row >= height || col >= width) return;
  float sum = 4.0f * in[row * width + col];
  if (row > 0) sum -= in[(row - 1) * width + col];
  if (row < height - 1) sum -= in[(row + 1) * width + col];
  if (col > 0) sum -= in[row * width + col - 1];
  if (col < width - 1) sum -= in[row * width + col + 1];
  out[row * width + col] = sum;
}
