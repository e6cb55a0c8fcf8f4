// Examples whose traffic test_traffic.py has counted by hand.
#include "cases.h"

namespace {

using selftest::Array;

// Thread t reads the float4 number first + t * stride.
__global__ void load_float4(const float4* in, float* out, int first, int stride) {
  const float4 v = in[first + threadIdx.x * stride];
  if (v.x < 0) *out = v.y + v.z + v.w;
}
void load(unsigned threads, int first, int stride) {
  const Array<float> in(std::vector<float>(1 << 14));
  const Array<float> out(1);
  selftest::run(load_float4, 1, threads, 0, reinterpret_cast<const float4*>(in.data()), out.data(), first, stride);
}
void run_consecutive() { load(32, 0, 1); }
void run_shifted() { load(32, 1, 1); }
void run_strided() { load(32, 0, 8); }
void run_one_for_all() { load(32, 0, 0); }
void run_two_warps() { load(64, 0, 1); }

// Scalars that begin 4 bytes after a sector does.
__global__ void load_scalars(const float* in, float* out) {
  if (in[threadIdx.x + 1] < 0) *out = 1;
}
void run_unaligned_scalars() {
  const Array<float> in(std::vector<float>(64));
  const Array<float> out(1);
  selftest::run(load_scalars, 1, 32, 0, in.data(), out.data());
}

// Each warp reads a row of 100 floats, 25 lanes of it a float4 each, `rounds` times.
__global__ void load_rows(const float4* in, float* out, int rounds) {
  const int lane = threadIdx.x % 32;
  const int warp = (blockIdx.x * blockDim.x + threadIdx.x) / 32;
  float sum = 0;
  for (int round = 0; round < rounds; ++round) {
    if (lane < 25) {
      const float4 v = in[warp * 25 + lane];
      sum += v.x + v.y + v.z + v.w;
    }
  }
  if (sum < 0) *out = sum;
}
void rows(unsigned blocks, int rounds) {
  const Array<float> in(std::vector<float>(size_t{blocks} * 400));
  const Array<float> out(1);
  selftest::run(load_rows, blocks, 128, 0, reinterpret_cast<const float4*>(in.data()), out.data(), rounds);
}
void run_rows() { rows(2, 3); }
// As many accesses as reading 21 rows for each of 10,000 pairs.
void run_many_rows() { rows(2500, 21); }

// Writes float4s, adds to one counter, and reads shared memory, which is not traffic.
__global__ void store_float4(float4* out, int* count) {
  __shared__ float values[64];
  values[threadIdx.x] = threadIdx.x;
  __syncthreads();
  const float value = values[63 - threadIdx.x];
  out[threadIdx.x] = make_float4(value, value, value, value);
  atomicAdd(count, 1);
}
void run_stores() {
  const Array<float> out(256);
  const Array<int> count(std::vector<int>{0});
  selftest::run(store_float4, 1, 64, 0, reinterpret_cast<float4*>(out.data()), count.data());
}

SIMT_EXAMPLE(consecutive)
SIMT_EXAMPLE(shifted)
SIMT_EXAMPLE(strided)
SIMT_EXAMPLE(one_for_all)
SIMT_EXAMPLE(two_warps)
SIMT_EXAMPLE(unaligned_scalars)
SIMT_EXAMPLE(rows)
SIMT_EXAMPLE(many_rows)
SIMT_EXAMPLE(stores)

}  // namespace
