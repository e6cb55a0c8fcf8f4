// Brings the table of rank weights to the device: as a kernel's argument, for a copy from the host's memory would have
// to wait.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "../rank_weights.h"
#include "launch.cuh"

namespace cmlfast {
namespace {

constexpr int kWeightsAtOnce = 512;
struct SomeWeights {
  float weight[kWeightsAtOnce];
};

__global__ void store_weights(SomeWeights some, int64_t n, float* out, int* fault) {
  for (int64_t i = threadIdx.x; i < n; i += kBlock) out[i] = some.weight[i];
  if (fault && threadIdx.x == 0) *fault = 0;
}

// Clears `fault` too, if there is one: that saves a launch.
inline void store_rank_weights(cudaStream_t stream, const std::vector<float>& weights, float* out,
                               int* fault = nullptr) {
  const int64_t n = static_cast<int64_t>(weights.size());
  for (int64_t first = 0; first < n; first += kWeightsAtOnce) {
    SomeWeights some;
    const int64_t count = std::min<int64_t>(kWeightsAtOnce, n - first);
    std::copy(weights.begin() + first, weights.begin() + first + count, some.weight);
    launch(stream, 1, 1, store_weights, some, count, out + first, fault);
  }
}

}  // namespace
}  // namespace cmlfast
