// What stands in for the GPU around the emulated kernels: one device without streams, and the standard library's sort.
#include <algorithm>
#include <numeric>
#include <vector>

#include "../../csrc/cuda/device.h"
#include "../../csrc/cuda/sort.h"

namespace cmlfast {

Device enter_device(const Tensor&) { return {nullptr, nullptr}; }

// Asked for so that launchers make room, which nothing may write to.
size_t sort_scratch_bytes(int64_t, int) { return 16; }

void sort_pairs(const SortArrays& arrays, void*, size_t, cudaStream_t) {
  const uint32_t mask = arrays.n_bits == 32 ? 0xFFFFFFFFu : (1u << arrays.n_bits) - 1;
  std::vector<int64_t> order(arrays.n);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return (arrays.keys[a] & mask) < (arrays.keys[b] & mask); });
  for (int64_t i = 0; i < arrays.n; ++i) {
    arrays.sorted_keys[i] = arrays.keys[order[i]];
    arrays.sorted_values[i] = arrays.values[order[i]];
  }
}

}  // namespace cmlfast
