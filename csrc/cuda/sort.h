// Stable sorting of keys with their values. The other seam between kernels and their surroundings: CUB's radix sort on
// a GPU, the standard library's where tests run kernels without one.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

namespace cmlfast {

struct SortArrays {
  const uint32_t* keys;    // [n], kept
  const int32_t* values;   // [n], kept
  uint32_t* sorted_keys;   // [n]
  int32_t* sorted_values;  // [n]
  int64_t n;
  int n_bits;  // only the keys' low bits count
};

// Bytes of scratch memory that sorting n pairs needs.
size_t sort_scratch_bytes(int64_t n, int n_bits);

void sort_pairs(const SortArrays& arrays, void* scratch, size_t scratch_bytes, cudaStream_t stream);

// Bits that hold 0 .. largest.
inline int bits_for(uint64_t largest) {
  int n_bits = 1;
  while (largest >> n_bits) ++n_bits;
  return n_bits;
}

}  // namespace cmlfast
