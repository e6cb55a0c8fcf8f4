// The scalar arithmetic of the sampled softmax, written once for every backend. Each operation rounds on its own, so
// that what comes out of given products is the same everywhere, to the bit.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "portable.h"

namespace cmlfast {

// exp(x) = 2^n exp(f), n = x / ln 2 rounded to an integer, |f| <= ln 2 / 2. ln 2 is a number of few bits, so that n
// times it is exact, and the rest. The polynomial is Cephes' (expf): the error is below a unit in the last place.
constexpr float kLog2E = 1.44269504088896341f;
constexpr float kRounder = 12582912.0f;  // 1.5 * 2^23: what is added to it is rounded to an integer, to even on a tie
constexpr uint32_t kRounderBits = 0x4B400000u;
constexpr float kLn2High = 0.693359375f;
constexpr float kLn2Low = -2.12194440e-4f;
struct ExpTerms {  // not an array of the namespace, which device code could not see
  float of[6] = {1.9875691500e-4f, 1.3981999507e-3f, 8.3334519073e-3f,
                 4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f};
};
constexpr float kLeastExponent = -87.0f;  // exp of less counts as 0, so that no power of two is subnormal

// exp(x) for x <= 0.
CMLFAST_FN float exp_not_positive(float x) {
  const float rounded = x * kLog2E + kRounder;
  const float n = rounded - kRounder;
  const float f = (x - n * kLn2High) - n * kLn2Low;
  constexpr ExpTerms kTerms{};
  float terms = kTerms.of[0];
  for (int i = 1; i < 6; ++i) terms = terms * f + kTerms.of[i];
  uint32_t bits;
  memcpy(&bits, &rounded, sizeof bits);
  bits = (bits - kRounderBits + 127u) << 23;
  float power;
  memcpy(&power, &bits, sizeof power);
  const float value = (((terms * f) * f + f) + 1.0f) * power;
  return x < kLeastExponent ? 0.0f : value;
}

// The larger of two logits. NaN, which shows in the sum, is passed over.
CMLFAST_FN float larger_logit(float one, float largest) { return one > largest ? one : largest; }

// What logits are compared with in exp: the largest, if there is any.
CMLFAST_FN float softmax_base(float largest) { return largest == -INFINITY ? 0.0f : largest; }

// What a pair's negatives come to.
struct SoftmaxSums {
  float largest;  // logit; -inf if there is none
  float total;    // of exp(logit - largest)
  float share;    // of the total that is not the positive's, times the pair's weight: the pull on the positive
  float factor;   // by which exp(logit - largest) becomes a negative's weight
};

CMLFAST_FN SoftmaxSums softmax_sums(float largest, float negatives, float positive_logit, float weight,
                                    bool decoupled) {
  const float total = decoupled ? negatives : negatives + exp_not_positive(positive_logit - softmax_base(largest));
  largest = largest + 0.0f;  // the order of comparisons would decide between zeros of two signs
  // Without negatives there is nothing to learn, and no total to divide by if the positive does not count.
  if (total == 0.0f) return {largest, total, 0.0f, 0.0f};
  return {largest, total, weight * (negatives / total), weight / total};
}

}  // namespace cmlfast
