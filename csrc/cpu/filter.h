// Items side by side, for the cheap scores of filter_bound.h.
#pragma once

#include <cstdint>
#include <vector>

#include "../filter_bound.h"
#include "../storage.h"
#include "row_kernels.h"

namespace cmlfast {

template <typename Storage>
double square_of(const Storage* row, int64_t r) {
  double sum = 0;
  for (int64_t e = 0; e < r; ++e) sum += static_cast<double>(to_float(row[e])) * to_float(row[e]);
  return sum;
}

// A strip of items, side by side.
class PackedStrip {
 public:
  explicit PackedStrip(int64_t r) : elements_(r * kStrip), base_(kStrip), slope_(kStrip), r_(r) {}

  template <typename Storage>
  void pack(const Storage* rows, int64_t n, const FilterBound& bound) {
    for (int64_t i = 0; i < kStrip; ++i) {
      const double square = i < n ? square_of(rows + i * r_, r_) : 0;
      const bool listed = square == square;
      base_[i] = base_of(bound, square);
      slope_[i] = slope_of(bound, square);
      for (int64_t e = 0; e < r_; ++e) elements_[e * kStrip + i] = i < n && listed ? to_float(rows[i * r_ + e]) : 0.0f;
    }
  }
  ItemStrip strip() const { return {elements_.data(), base_.data(), slope_.data(), r_}; }

 private:
  std::vector<float> elements_;
  std::vector<float> base_;
  std::vector<float> slope_;
  int64_t r_;
};

}  // namespace cmlfast
