// Sorting by CUB's radix sort, which is stable and makes no host synchronisation.
#include "sort.h"

#include <cub/device/device_radix_sort.cuh>

#include "launch.cuh"

namespace cmlfast {

static cudaError_t sort(void* scratch, size_t& bytes, const SortArrays& arrays, cudaStream_t stream) {
  return cub::DeviceRadixSort::SortPairs(scratch, bytes, arrays.keys, arrays.sorted_keys, arrays.values,
                                         arrays.sorted_values, arrays.n, 0, arrays.n_bits, stream);
}

size_t sort_scratch_bytes(int64_t n, int n_bits) {
  size_t bytes = 0;
  check_cuda(sort(nullptr, bytes, {nullptr, nullptr, nullptr, nullptr, n, n_bits}, nullptr), "cannot plan a sort");
  return bytes;
}

void sort_pairs(const SortArrays& arrays, void* scratch, size_t scratch_bytes, cudaStream_t stream) {
  if (arrays.n) check_cuda(sort(scratch, scratch_bytes, arrays, stream), "cannot sort");
}

}  // namespace cmlfast
