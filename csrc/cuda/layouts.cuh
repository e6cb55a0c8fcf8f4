// Picks the kernel that fits a call's tables, and refuses what none can count.
#pragma once

#include <cstdint>
#include <initializer_list>

#include "../checks.h"
#include "eight_threads.cuh"

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
  using Small = Layout<Storage, true, true, 2>;
  if (r <= Small::kTile) return visit(Small());
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

// --- what 32-bit sort keys and positions can count

inline void check_batch_size(const Tensor& ids, const char* name) {
  constexpr int64_t kMost = INT32_MAX / 3;
  check_value(ids.size(0) <= kMost, name, " has ", ids.size(0), " entries; on a GPU a batch has at most ", kMost,
              ", so split it");
}

inline void check_few_negatives(int64_t n_negatives) {
  constexpr int64_t kMost = INT32_MAX - 16;
  check_value(n_negatives <= kMost, "n_negatives is ", n_negatives, "; on a GPU it must be at most ", kMost);
}

// A key more than rows: it names none.
inline void check_n_keys(const Tensor& table, const char* name) {
  check_value(table.size(0) <= INT32_MAX - 1, name, " has ", table.size(0), " rows; on a GPU at most ", INT32_MAX - 1,
              " can be told apart");
}

}  // namespace cmlfast
