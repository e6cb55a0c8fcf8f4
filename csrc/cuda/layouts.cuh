// Picks the kernel that fits a call's tables.
#pragma once

#include <cstdint>
#include <initializer_list>

#include "../checks.h"
#include "group.cuh"

namespace cmlfast {

// Whether rows of r numbers can be read four at a time, if these tables are read.
inline bool vector_loads(int64_t r, std::initializer_list<const void*> tables) {
  bool aligned = r % 4 == 0;
  for (const void* table : tables) aligned = aligned && reinterpret_cast<uintptr_t>(table) % 16 == 0;
  return aligned;
}

inline int64_t bytes_of(ScalarType type) { return type == ScalarType::Float ? 4 : 2; }

template <typename Storage, typename Visit>
void with_shape(int64_t r, bool vector, const Visit& visit) {
  if (!vector) return visit(Layout<Storage, false, false>());
  if (r > kLargestTile) return visit(Layout<Storage, true, false>());
  return visit(Layout<Storage, true, true>());
}

// Calls visit(Layout<...>()).
template <typename Visit>
void with_layout(ScalarType type, int64_t r, bool vector, const Visit& visit) {
  check_value(r <= INT32_MAX - kLargestTile, "the tables have ", r, " columns; on a GPU at most ",
              INT32_MAX - kLargestTile, " can be counted");
  if (type == ScalarType::BFloat16) return with_shape<Bfloat16>(r, vector, visit);
  if (type == ScalarType::Half) return with_shape<Float16>(r, vector, visit);
  return with_shape<float>(r, vector, visit);
}

}  // namespace cmlfast
