// Examples that are right: a softmax by block reductions, and a prefix sum.
#include <cmath>

#include "cases.h"

namespace {

using selftest::Array;

template <typename Combine>
__device__ float warp_reduce(float value, Combine combine) {
  for (int lanes = 16; lanes > 0; lanes /= 2) value = combine(value, __shfl_xor_sync(~0u, value, lanes));
  return value;
}

template <typename Combine>
__device__ float block_reduce(float value, float neutral, Combine combine) {
  __shared__ float partial[32];
  const unsigned lane = threadIdx.x % 32;
  value = warp_reduce(value, combine);
  __syncthreads();  // the last call's values have been read
  if (lane == 0) partial[threadIdx.x / 32] = value;
  __syncthreads();
  return warp_reduce(lane < blockDim.x / 32 ? partial[lane] : neutral, combine);
}

// One block for each row of 4 * n_columns4 elements; also adds up the rows' log-sum-exps.
__global__ void softmax(const float4* in, float4* out, float* total, int n_columns4) {
  const auto larger = [](float a, float b) { return fmaxf(a, b); };
  const auto plus = [](float a, float b) { return a + b; };
  const float4* row = in + blockIdx.x * n_columns4;
  float most = -INFINITY;
  for (int i = threadIdx.x; i < n_columns4; i += blockDim.x) {
    const float4 v = row[i];
    most = fmaxf(most, fmaxf(fmaxf(v.x, v.y), fmaxf(v.z, v.w)));
  }
  most = block_reduce(most, -INFINITY, larger);
  float sum = 0;
  for (int i = threadIdx.x; i < n_columns4; i += blockDim.x) {
    const float4 v = row[i];
    sum += expf(v.x - most) + expf(v.y - most) + expf(v.z - most) + expf(v.w - most);
  }
  sum = block_reduce(sum, 0, plus);
  for (int i = threadIdx.x; i < n_columns4; i += blockDim.x) {
    const float4 v = row[i];
    out[blockIdx.x * n_columns4 + i] =
        make_float4(expf(v.x - most) / sum, expf(v.y - most) / sum, expf(v.z - most) / sum, expf(v.w - most) / sum);
  }
  if (threadIdx.x == 0) atomicAdd(total, most + logf(sum));
}

void run_softmax() {
  constexpr int kRows = 5;
  constexpr int kColumns = 600;
  std::vector<float> values(kRows * kColumns);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i * 7919 % 1000) / 200;
  const Array<float> in(values);
  const Array<float> out(values.size());
  const Array<float> total(std::vector<float>{0});
  selftest::run(softmax, kRows, 128, 0, reinterpret_cast<const float4*>(in.data()),
                reinterpret_cast<float4*>(out.data()), total.data(), kColumns / 4);
  const std::vector<float> result = out.values();
  double all = 0;
  for (int r = 0; r < kRows; ++r) {
    double sum = 0;
    for (int i = 0; i < kColumns; ++i) sum += std::exp(double{values[r * kColumns + i]});
    all += std::log(sum);
    for (int i = 0; i < kColumns; ++i) {
      const double right = std::exp(double{values[r * kColumns + i]}) / sum;
      selftest::expect(std::abs(result[r * kColumns + i] - right) < 1e-5 * right, "row " + std::to_string(r));
    }
  }
  selftest::expect(std::abs(total.values()[0] - all) < 1e-4 * all, "total");
}

// Inclusive sums of each block's elements: by shuffles within the warp, then over the warps.
__global__ void block_scan(const float* in, float* out, int n) {
  CMLFAST_DYNAMIC_SHARED(float, sums);
  const int t = blockIdx.x * blockDim.x + threadIdx.x;
  const int lane = threadIdx.x % 32;
  const int warp = threadIdx.x / 32;
  const int n_warps = blockDim.x / 32;
  const auto scan = [lane](float value) {
    for (int step = 1; step < 32; step *= 2) {
      const float below = __shfl_up_sync(~0u, value, step);
      if (lane >= step) value += below;
    }
    return value;
  };
  float value = scan(t < n ? in[t] : 0.0f);
  if (lane == 31) sums[warp] = value;
  __syncthreads();
  if (warp == 0) {
    const float sum = scan(lane < n_warps ? sums[lane] : 0.0f);
    __syncwarp();
    if (lane < n_warps) sums[lane] = sum;
  }
  __syncthreads();
  if (warp > 0) value += sums[warp - 1];
  if (t < n) out[t] = value;
}

void run_block_scan() {
  constexpr int kThreads = 256;
  std::vector<float> values(1000);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i * 31 % 10);
  const Array<float> in(values);
  const Array<float> out(values.size());
  selftest::run(block_scan, 4, kThreads, kThreads / 32 * sizeof(float), in.data(), out.data(),
                static_cast<int>(values.size()));
  const std::vector<float> result = out.values();
  float sum = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    sum = i % kThreads == 0 ? values[i] : sum + values[i];
    selftest::expect(result[i] == sum, "element " + std::to_string(i));
  }
}

SIMT_EXAMPLE(softmax)
SIMT_EXAMPLE(block_scan)

}  // namespace
