// Faults of addresses and of memory that nobody has written.
#include <cmath>

#include "cases.h"

namespace {

using selftest::Array;

// Out of line, so that the compiler does not know the bound.
__device__ __attribute__((noinline)) float take(const float* values, int i) { return values[i]; }

template <bool correct>
__global__ void static_shared_bound(float* out, int last) {
  __shared__ float values[33];
  values[threadIdx.x] = 1;
  __syncthreads();
  out[threadIdx.x] = take(values, threadIdx.x == 31 ? last : threadIdx.x);
}
template <bool correct>
void run_static_shared_bound() {
  const Array<float> out(32);
  selftest::run(static_shared_bound<correct>, 1, 32, 0, out.data(), correct ? 31 : 33);
}

template <bool correct>
__global__ void dynamic_shared_bound(float* out) {
  CMLFAST_DYNAMIC_SHARED(float, values);
  values[threadIdx.x + (correct ? 0 : 1)] = 1;
  __syncthreads();
  out[threadIdx.x] = values[threadIdx.x + (correct ? 0 : 1)];
}
template <bool correct>
void run_dynamic_shared_bound() {
  const Array<float> out(32);
  selftest::run(dynamic_shared_bound<correct>, 1, 32, 32 * sizeof(float), out.data());
}

template <bool correct>
__global__ void global_bound(float* out) {
  out[threadIdx.x + (correct ? 0 : 1)] = 1;
}
template <bool correct>
void run_global_bound() {
  const Array<float> out(32);
  selftest::run(global_bound<correct>, 1, 32, 0, out.data());
}

template <bool correct>
__global__ void misaligned_float4(const float* in, float* out) {
  if (correct) {
    out[0] = reinterpret_cast<const float4*>(in + 4)->x;
  } else {
    out[0] = reinterpret_cast<const float4*>(in + 1)->x;
  }
}
template <bool correct>
void run_misaligned_float4() {
  const Array<float> in(std::vector<float>(8, 1.0f));
  const Array<float> out(1);
  selftest::run(misaligned_float4<correct>, 1, 1, 0, in.data(), out.data());
}

// The second half of the array is never written; a block that finds the first block's values there would hide it.
template <bool correct>
__global__ void unwritten_shared(float* out) {
  __shared__ float values[64];
  if (correct || threadIdx.x < 32 || blockIdx.x == 0) values[threadIdx.x] = 1;
  __syncthreads();
  out[blockIdx.x * 64 + threadIdx.x] = values[threadIdx.x];
}
template <bool correct>
void run_unwritten_shared() {
  const Array<float> out(128);
  selftest::run(unwritten_shared<correct>, 2, 64, 0, out.data());
  for (const float value : out.values()) {
    selftest::expect(!std::isnan(value), "NaN");
    selftest::expect(value == 1, std::to_string(value));
  }
}

template <bool correct>
__global__ void unwritten_dynamic(int* out) {
  CMLFAST_DYNAMIC_SHARED(int, values);
  if (correct) values[threadIdx.x] = 0;
  values[threadIdx.x] += 1;
  out[threadIdx.x] = values[threadIdx.x];
}
template <bool correct>
void run_unwritten_dynamic() {
  const Array<int> out(32);
  selftest::run(unwritten_dynamic<correct>, 1, 32, 32 * sizeof(int), out.data());
  for (const int value : out.values()) selftest::expect(value == 1, std::to_string(value));
}

SIMT_FAULT(static_shared_bound)
SIMT_FAULT(dynamic_shared_bound)
SIMT_FAULT(global_bound)
SIMT_FAULT(misaligned_float4)
SIMT_FAULT(unwritten_shared)
SIMT_FAULT(unwritten_dynamic)

}  // namespace
