// Which items can be among a query's k nearest, by scores that are cheap and a bound on how wrong they are.
//
// For a query u and an item v, with U = |u|^2 and V = |v|^2, the squared distance is d = V - 2 u.v + U. A score is that
// without U, by fused or separate multiplications and additions in any order; a result is d in the pinned arithmetic of
// warp_math.h. Let g = gamma(2 r + 16) with gamma(n) = n e / (1 - n e), e = 2^-24: it bounds the relative error of
// r + 8 products and sums, each rounded once or twice (Higham, Accuracy and Stability of Numerical Algorithms, 3.1),
// relative to the sum of the terms' magnitudes. A score that begins with base = V (1 - 2 g) has terms of magnitude at
// most V + 2 sum |u_e v_e| <= V + U + V, so
//
//     score <= V (1 - 2 g) - 2 u.v + g (2 V + U) = d - U + g U.
//
// A result has relative error at most p = gamma(r / 32 + 8), all its terms being positive. So an item whose result is
// at most T has d <= T / (1 - p), and
//
//     score <= T / (1 - p) - U (1 - g),
//
// the limit. What is above it is no result of at most T; what is not is computed in the pinned arithmetic and ranked.
// For dot products d = -u.v, both errors are relative to |u| |v|: the score begins with -(2 g + p) |u| |v|, and the
// limit is T. Underflow adds less than 2^-124 to each of r + 8 operations. Where squares might overflow, or something
// is not finite, the item's base is NaN or the query's limit infinite, and everything is kept. U, V and the limits are
// computed in double, whose own errors 1.01 and a millionth more than cover, and rounded away from what is kept.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "../storage.h"
#include "row_kernels.h"

namespace cmlfast {

class FilterBound {
 public:
  FilterBound(int64_t r, bool dot)
      : dot_(dot), score_error_(gamma(2 * r + 16)), result_error_(gamma(r / 32 + 9)), tiny_((r + 8) * 0x1p-124) {}

  // Whether the bound is worth anything for rows of this length.
  static bool serves(int64_t r) { return r > 0 && r < (int64_t{1} << 18); }

  // What a query's elements are multiplied by in a score.
  float scale() const { return dot_ ? -1.0f : -2.0f; }
  float factor(double square) const { return dot_ ? up(std::sqrt(square)) : 0.0f; }

  // A score's beginning, without and with the query's factor.
  float base(double square) const {
    if (!(square <= kLargest)) return std::numeric_limits<float>::quiet_NaN();
    return dot_ ? 0.0f : -up(-square * (1 - 2.02 * score_error_));
  }
  float slope(double square) const {
    return dot_ ? -up(1.01 * (2 * score_error_ + result_error_) * std::sqrt(square)) : 0.0f;
  }

  // What no score of an item exceeds whose result is at most `reach`; `square` is the query's.
  float limit(float reach, double square) const {
    if (!(square <= kLargest) || !(reach <= kLargest)) return std::numeric_limits<float>::infinity();
    const double kept = reach + tiny_;
    if (dot_) return up(kept);
    return up(kept / (1 - 1.01 * result_error_) - square * (1 - 1.01 * score_error_) + tiny_);
  }

 private:
  static constexpr double kLargest = 1e30;
  static double gamma(int64_t n) { return n * 0x1p-24 / (1 - n * 0x1p-24); }
  // A float that is not below a double, and more than its own rounding above it.
  static float up(double value) {
    const double more = value + std::abs(value) * 1e-6;
    const float rounded = static_cast<float>(more);
    return std::nextafter(rounded, std::numeric_limits<float>::infinity());
  }

  bool dot_;
  double score_error_;
  double result_error_;
  double tiny_;
};

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
      const bool listed = square == square;  // else an element is NaN, and so is every result
      base_[i] = listed ? bound.base(square) : std::numeric_limits<float>::infinity();
      slope_[i] = listed ? bound.slope(square) : 0.0f;
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
