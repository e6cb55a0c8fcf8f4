// Sums over a row, in the pinned order: lanes add their elements ascending, then fold by halves.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "../warp_math.h"
#include "eight_threads.cuh"

namespace cmlfast {

__device__ __forceinline__ float across(const Team& team, float value, int distance) {
  return team.across(value, distance);
}
__device__ __forceinline__ float4 across(const Team& team, float4 value, int distance) {
  return make_float4(team.across(value.x, distance), team.across(value.y, distance), team.across(value.z, distance),
                     team.across(value.w, distance));
}

// The folds of the lanes that one thread holds: the last two of all, or with kStride the first two.
__device__ __forceinline__ float fold_thread(float4 lanes) { return (lanes.x + lanes.z) + (lanes.y + lanes.w); }
__device__ __forceinline__ float fold_thread(float lane) { return lane; }

// The other three.
template <typename Lanes>
__device__ __forceinline__ float fold_team(const Team& team, Lanes lanes) {
#pragma unroll
  for (int distance = kTeam / 2; distance > 0; distance /= 2) lanes = lanes + across(team, lanes, distance);
  return fold_thread(lanes);
}

// The same of four rows. At each fold a thread keeps half of the rows and gives away its part of the others, so that
// four rows cost little more shuffles than one.
template <typename Lanes>
__device__ __forceinline__ void fold_team4(const Team& team, const Lanes (&lanes)[4], float (&sum)[4]) {
  const bool high = team.thread & 4;  // goes on with rows 2 and 3
  const Lanes a = (high ? lanes[2] : lanes[0]) + across(team, high ? lanes[0] : lanes[2], 4);
  const Lanes b = (high ? lanes[3] : lanes[1]) + across(team, high ? lanes[1] : lanes[3], 4);
  const bool odd = team.thread & 2;  // goes on with the second of the two
  const Lanes one = (odd ? b : a) + across(team, odd ? a : b, 2);
  const float own = fold_thread(one + across(team, one, 1));
#pragma unroll
  for (int g = 0; g < 4; ++g) sum[g] = team.from(own, 2 * g);
}

// The sum of all 32 lanes, in every thread.
template <typename L>
__device__ __forceinline__ float fold(const Team& team, float4 lanes) {
  if constexpr (L::kVector) {
    return fold_team(team, lanes);
  } else {
    return fold_team(team, fold_thread(lanes));
  }
}

// The sums of four rows.
template <typename L>
__device__ __forceinline__ void fold4(const Team& team, const float4 (&lanes)[4], float (&sum)[4]) {
  if constexpr (L::kVector) {
    fold_team4(team, lanes, sum);
  } else {
    const float folded[4] = {fold_thread(lanes[0]), fold_thread(lanes[1]), fold_thread(lanes[2]),
                             fold_thread(lanes[3])};
    fold_team4(team, folded, sum);
  }
}

template <Metric kMetric>
__device__ __forceinline__ float4 distance_term(float4 a, float4 b) {
  if constexpr (kMetric == Metric::kDot) return a * b;
  const float4 difference = a - b;
  return difference * difference;
}

// The distances of a row `own` and of rows[0 .. n_rows - 1], n_rows <= 4; the others mean nothing. With kOneTile `held`
// is that row, and `own` is not read again.
template <typename L, Metric kMetric>
__device__ __forceinline__ void distances4(const Team& team, const Tile<L>& held, const typename L::Storage* own,
                                           const typename L::Storage* const (&rows)[4], int n_rows, int r,
                                           float (&distance)[4]) {
  constexpr int kAtOnce = L::kChunks < 2 ? 1 : 2;          // chunks: more loads in flight would leave too few registers
  constexpr int kUnrolled = L::kOneTile ? L::kChunks : 1;  // what is held has no address
  float4 lanes[4] = {zero4(), zero4(), zero4(), zero4()};
  for (int first = 0; L::kOneTile ? first == 0 : first < r; first += L::kTile) {
#pragma unroll kUnrolled
    for (int some = 0; some < L::kChunks; some += kAtOnce) {
      // All loads before the first sum, and none behind a branch: the compiler moves no load across either.
      float4 mine[kAtOnce];
      float4 other[kAtOnce][4];
#pragma unroll
      for (int c = 0; c < kAtOnce; ++c) {
        mine[c] = L::kOneTile ? held.chunk[some + c] : load4<L>(own, element<L>(team, first, some + c), r);
#pragma unroll
        for (int g = 0; g < 4; ++g) {
          other[c][g] = load4<L>(rows[g], element<L>(team, first, some + c), g < n_rows ? r : 0);
        }
      }
#pragma unroll
      for (int c = 0; c < kAtOnce; ++c) {
#pragma unroll
        for (int g = 0; g < 4; ++g) {
          lanes[g] = lanes[g] + distance_term<kMetric>(mine[c], other[c][g]);
        }
      }
    }
  }
  fold4<L>(team, lanes, distance);
#pragma unroll
  for (int g = 0; g < 4; ++g) {
    if (kMetric == Metric::kDot) distance[g] = -distance[g];
  }
}

}  // namespace cmlfast
