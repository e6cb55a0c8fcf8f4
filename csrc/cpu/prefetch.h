// Brings a table row into the cache before it is needed.
#pragma once

#include <cstdint>

namespace cmlfast {

template <typename Number>
static inline void prefetch_row(const Number* row, int64_t r) {
  constexpr int64_t kCacheLine = 64 / sizeof(Number);
  for (int64_t e = 0; e < r; e += kCacheLine) __builtin_prefetch(row + e);
  __builtin_prefetch(row + r - 1);
}

}  // namespace cmlfast
