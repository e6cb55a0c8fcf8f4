// What a search by distance sorts: a distance and its item in one number, and a block's sort of such numbers.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "../storage.h"

namespace cmlfast {

// The distance's key above the item's number, so that ranks compare as the ranking does.
using Rank = unsigned long long;
constexpr Rank kNoRank = ~Rank{0};  // of what is never listed

// A key that sorts as the distance does. Row sums begin with +0 and are never -0, so that all zeros here have one sign.
__device__ __forceinline__ uint32_t rank_key(float distance) {
  const uint32_t bits = bits_of(distance);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

__device__ __forceinline__ Rank rank_of(float distance, int64_t item) {
  if (distance != distance) return kNoRank;
  return Rank{rank_key(distance)} << 32 | static_cast<uint32_t>(item);
}

__device__ __forceinline__ int64_t item_of(Rank rank) { return static_cast<int64_t>(rank & 0xFFFFFFFFu); }

__device__ __forceinline__ float distance_of(Rank rank) {
  const uint32_t key = static_cast<uint32_t>(rank >> 32);
  return float_of(key & 0x80000000u ? key & 0x7FFFFFFFu : ~key);
}

// Sorts n ranks in shared memory, n a power of two, by all of a block's threads (Batcher's bitonic sort).
__device__ __forceinline__ void sort_ranks(Rank* ranks, int n) {
  for (int size = 2; size <= n; size *= 2) {
    for (int stride = size / 2; stride > 0; stride /= 2) {
      __syncthreads();
      for (int i = static_cast<int>(threadIdx.x); i < n / 2; i += static_cast<int>(blockDim.x)) {
        const int low = 2 * i - (i & (stride - 1));  // of a pair that is `stride` apart
        const int high = low + stride;
        const bool ascending = (low & size) == 0;
        const Rank a = ranks[low];
        const Rank b = ranks[high];
        if ((a > b) == ascending) {
          ranks[low] = b;
          ranks[high] = a;
        }
      }
    }
  }
  __syncthreads();
}

}  // namespace cmlfast
