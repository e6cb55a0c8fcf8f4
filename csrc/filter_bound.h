// Which items can be among a query's k nearest, by scores that are cheap and a bound on how wrong they are: the bound.
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

#include "portable.h"

namespace cmlfast {

// What a bound needs to know of a row's length and the metric. Scores are of float32, bounds are made in double.
struct FilterBound {
  float scale;          // what a query's elements are multiplied by in a score
  double score_error;   // g
  double result_error;  // p
  double tiny;
  bool dot;
};

CMLFAST_FN double gamma_of(int64_t n) { return n * 0x1p-24 / (1 - n * 0x1p-24); }

// Whether the bound is worth anything for rows of this length.
CMLFAST_FN bool bound_serves(int64_t r) { return r > 0 && r < (int64_t{1} << 18); }

CMLFAST_FN FilterBound filter_bound(int64_t r, bool dot) {
  return {dot ? -1.0f : -2.0f, gamma_of(2 * r + 16), gamma_of(r / 32 + 9), (r + 8) * 0x1p-124, dot};
}

// Squares beyond are not bounded: everything is kept.
CMLFAST_FN bool is_bounded(double square) { return square <= 1e30; }

// A float that is not below a double, and more than its own rounding above it.
CMLFAST_FN float above(double value) { return nextafterf(static_cast<float>(value + fabs(value) * 1e-6), INFINITY); }

// A score's beginning, of an item, without and with the query's factor. A NaN's results are all NaN: none is kept.
CMLFAST_FN float base_of(const FilterBound& bound, double square) {
  if (square != square) return INFINITY;
  if (!is_bounded(square)) return NAN;
  return bound.dot ? 0.0f : -above(-square * (1 - 2.02 * bound.score_error));
}
CMLFAST_FN float slope_of(const FilterBound& bound, double square) {
  if (!bound.dot || square != square) return 0.0f;
  return -above(1.01 * (2 * bound.score_error + bound.result_error) * sqrt(square));
}
CMLFAST_FN float factor_of(const FilterBound& bound, double square) { return bound.dot ? above(sqrt(square)) : 0.0f; }

// What no score of an item exceeds whose result is at most `reach`; `square` is the query's.
CMLFAST_FN float limit_of(const FilterBound& bound, float reach, double square) {
  if (!is_bounded(square) || !is_bounded(reach)) return INFINITY;
  const double kept = reach + bound.tiny;
  if (bound.dot) return above(kept);
  return above(kept / (1 - 1.01 * bound.result_error) - square * (1 - 1.01 * bound.score_error) + bound.tiny);
}

}  // namespace cmlfast
