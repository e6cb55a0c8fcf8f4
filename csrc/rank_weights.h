// The rank weight of section 3.2 of the paper for every number of impostors, computed once on the host for all
// backends.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

namespace cmlfast {

// weight[M] for M = 0 .. U: log(floor(J M / U) + 1), or 1 without rank weight.
inline std::vector<float> rank_weights(int64_t n_items, int64_t n_negatives, bool rank_weight) {
  std::vector<float> weights(n_negatives + 1, 1.0f);
  for (int64_t impostors = 0; rank_weight && impostors <= n_negatives; ++impostors) {
    weights[impostors] = static_cast<float>(std::log(static_cast<double>(n_items * impostors / n_negatives + 1)));
  }
  return weights;
}

}  // namespace cmlfast
