// What 32-bit sort keys and positions can count.
#pragma once

#include "../checks.h"

namespace cmlfast {

inline void check_batch_size(const Tensor& ids, const char* name) {
  constexpr int64_t kMost = INT32_MAX / 3;
  check_value(ids.size(0) <= kMost, name, " has ", ids.size(0), " entries; on a GPU a batch has at most ", kMost,
              ", so split it");
}

inline void check_few_negatives(int64_t n_negatives) {
  constexpr int64_t kMost = INT32_MAX - 8;
  check_value(n_negatives <= kMost, "n_negatives is ", n_negatives, "; on a GPU it must be at most ", kMost);
}

inline void check_n_rows(const Tensor& table, const char* name) {
  check_value(table.size(0) <= INT32_MAX - 1, name, " has ", table.size(0), " rows; on a GPU at most ", INT32_MAX - 1,
              " can be told apart");
}

}  // namespace cmlfast
