// Brings the table of rank weights to the device: as a kernel's argument, for a copy from the host's memory would have
// to wait.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "../rank_weights.h"
#include "launch.cuh"
#include "number.cuh"

namespace cmlfast {
namespace {

constexpr int kWeightsAtOnce = 512;
struct SomeWeights {
  float weight[kWeightsAtOnce];
};

// Of steps: what tells whether one is to change nothing.
struct Faults {
  int* of_step = nullptr;  // [n]
  int64_t n = 0;
  Number<float> lr;
};

__global__ void store_weights(SomeWeights some, int64_t n, float* out, Faults faults) {
  for (int64_t i = threadIdx.x; i < n; i += kBlock) out[i] = some.weight[i];
  for (int64_t i = threadIdx.x; i < faults.n; i += kBlock) {
    const float lr = faults.lr.of(i).get();
    faults.of_step[i] = !(lr >= 0 && lr < INFINITY);
  }
}

// Clears `faults` too, if there are any, but for steps of a rate that none may have: that saves a launch.
inline void store_rank_weights(cudaStream_t stream, const std::vector<float>& weights, float* out,
                               const Faults& faults = {}) {
  const int64_t n = static_cast<int64_t>(weights.size());
  for (int64_t first = 0; first < n; first += kWeightsAtOnce) {
    SomeWeights some;
    const int64_t count = std::min<int64_t>(kWeightsAtOnce, n - first);
    std::copy(weights.begin() + first, weights.begin() + first + count, some.weight);
    launch(stream, 1, 1, store_weights, some, count, out + first, faults);
  }
}

}  // namespace
}  // namespace cmlfast
