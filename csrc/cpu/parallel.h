// How the CPU launchers share work among threads.
#pragma once

#include <algorithm>
#include <tuple>

#include "../tensors.h"

namespace cmlfast {

using torch::stable::parallel_for;

// A kernel launched on a matrix needs this many rows in a thread's share before a second thread pays.
inline int64_t grain_for(int64_t floats_per_step) {
  return std::max<int64_t>(1, 16384 / std::max<int64_t>(1, floats_per_step));
}

}  // namespace cmlfast
