// What steps return: losses and counts, added up over each batch in the pinned order.
#pragma once

#include <cuda_runtime.h>

#include <cmath>
#include <cstdint>

#include "../warp_math.h"
#include "group.cuh"

namespace cmlfast {
namespace {

struct Totals {
  double* loss;
  int64_t* impostors;
  int64_t* active;

  Totals from(int64_t first) const { return {loss + first, impostors + first, active + first}; }
};

CMLFAST_FN int64_t n_batch_runs(int64_t n_pairs) { return (n_pairs + kBatchRun - 1) / kBatchRun; }

__device__ __forceinline__ double fold_warp(double lanes) {
  for (int half = kLanes / 2; half > 0; half /= 2) lanes += __shfl_down_sync(0xFFFFFFFFu, lanes, half);
  return lanes;
}
__device__ __forceinline__ int64_t fold_warp(int64_t lanes) {
  for (int half = kLanes / 2; half > 0; half /= 2) lanes += __shfl_down_sync(0xFFFFFFFFu, lanes, half);
  return lanes;
}

// What is added up over a batch, in runs of kBatchRun pairs, and where their sums go.
struct BatchSums {
  const float* loss;         // [N]
  const int32_t* impostors;  // [N]
  RowEntries entries;
  int64_t n_pairs;
  Totals runs;  // [n_runs]
};

// The sums of a run, by a warp, a thread to a lane.
__device__ __forceinline__ void add_run(const BatchSums& sums, int64_t run) {
  constexpr int kAtOnce = 8;  // pairs of a thread whose numbers are on their way
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  if (run * kBatchRun >= sums.n_pairs) return;
  double loss_sum = 0;
  int64_t n_impostors = 0;
  int64_t n_active = 0;
  for (int i = 0; i < kBatchRun / kLanes; i += kAtOnce) {
    float losses[kAtOnce];
    int32_t counts[kAtOnce];
    uint32_t keys[kAtOnce];
#pragma unroll
    for (int a = 0; a < kAtOnce; ++a) {
      // Beyond the end the last pair is read, and not counted: no load stands behind a branch.
      const int64_t n = run * kBatchRun + (i + a) * kLanes + lane;
      const int64_t at = n < sums.n_pairs ? n : sums.n_pairs - 1;
      losses[a] = sums.loss[at];
      counts[a] = sums.impostors[at];
      keys[a] = sums.entries.keys[at];
    }
#pragma unroll
    for (int a = 0; a < kAtOnce; ++a) {
      const bool there = run * kBatchRun + (i + a) * kLanes + lane < sums.n_pairs;
      loss_sum += there ? losses[a] : 0.0f;
      n_impostors += there ? counts[a] : 0;
      n_active += there && keys[a] < sums.entries.n_users;
    }
  }
  loss_sum = fold_warp(loss_sum);
  n_impostors = fold_warp(n_impostors);
  n_active = fold_warp(n_active);
  if (lane > 0) return;
  sums.runs.loss[run] = loss_sum;
  sums.runs.impostors[run] = n_impostors;
  sums.runs.active[run] = n_active;
}

// The sums of each step's batch, a warp to a step: of its runs, which stand `most_runs` apart. A fault that is not 0
// says that the batch names what it may not.
__global__ void __launch_bounds__(kLanes)
    add_up(Totals runs, int64_t most_runs, int64_t n_pairs, const int* faults, Totals totals) {
  const int lane = threadIdx.x;
  const int64_t n_steps = gridDim.x;
  const int64_t step = blockIdx.x;
  const int64_t n_runs = n_batch_runs(part_begin(n_pairs, n_steps, step + 1) - part_begin(n_pairs, n_steps, step));
  double loss_sum = 0;
  int64_t n_impostors = 0;
  int64_t n_active = 0;
  for (int64_t run = step * most_runs + lane; run < step * most_runs + n_runs; run += kLanes) {
    loss_sum += runs.loss[run];
    n_impostors += runs.impostors[run];
    n_active += runs.active[run];
  }
  loss_sum = fold_warp(loss_sum);
  n_impostors = fold_warp(n_impostors);
  n_active = fold_warp(n_active);
  if (lane > 0) return;
  const bool sound = faults[step] == 0;
  totals.loss[step] = sound ? loss_sum : NAN;
  totals.impostors[step] = sound ? n_impostors : -1;
  totals.active[step] = sound ? n_active : -1;
}

}  // namespace
}  // namespace cmlfast
