// A batch of pairs, and the tables that it is about.
#pragma once

#include "../tensors.h"
#include "../warp_math.h"

namespace cmlfast {
namespace {

struct PairBatch {
  const Matrix& user_vectors;  // [I, r]
  const Matrix& item_vectors;  // [J, r]
  const Ids& users;            // [N]
  const Ids& positives;        // [N]
  int64_t n_negatives;
  float margin;
  Metric metric;
};

}  // namespace
}  // namespace cmlfast
