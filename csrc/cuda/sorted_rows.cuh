// Which positions of a batch name which table row, as keys that were sorted with their positions: a row's occurrences
// stand together, in ascending position.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "../warp_math.h"
#include "group.cuh"

namespace cmlfast {

struct SortedRows {
  const uint32_t* keys;      // [n], ascending
  const int32_t* positions;  // [n], ascending where keys are equal
  int64_t n;
  uint32_t first_key;  // the key of row 0
  uint32_t n_rows;     // other keys name no row

  // The row that place p names, or -1.
  __device__ __forceinline__ int64_t row(int64_t p) const {
    const uint32_t row = keys[p] - first_key;
    return row < n_rows ? static_cast<int64_t>(row) : -1;
  }
  __device__ __forceinline__ bool is_first(int64_t p) const { return p == 0 || keys[p - 1] != keys[p]; }

  // The first place of p's row.
  __device__ __forceinline__ int64_t start(int64_t p) const {
    int64_t low = 0;
    for (int64_t high = p; low < high;) {
      const int64_t middle = (low + high) / 2;
      if (keys[middle] < keys[p]) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }

  // The row of p has another occurrence `steps` places on.
  __device__ __forceinline__ bool reaches(int64_t p, int64_t steps) const {
    return p + steps < n && keys[p + steps] == keys[p];
  }

  // Whether a run of kRunLength occurrences begins at p. Only rows with more occurrences than that need a search.
  __device__ __forceinline__ bool is_run(int64_t p) const {
    if (is_first(p)) return true;
    if (p < kRunLength || keys[p - kRunLength] != keys[p]) return false;
    return (p - start(p)) % kRunLength == 0;
  }
};

// Where the partial sum of the run that begins at p is kept, if its row has several. Of kRunLength places in a row, at
// most one begins such a row and at most one other begins a later run.
__device__ __forceinline__ int64_t partial_slot(int64_t p, bool first) { return p / kRunLength * 2 + (first ? 1 : 0); }
inline int64_t n_partial_slots(int64_t n) { return (n + kRunLength - 1) / kRunLength * 2; }

}  // namespace cmlfast
