// The scalar arithmetic of the model, written once for every backend: what a pair draws, when it is active, what a
// gradient element does to its weight. Each operation rounds on its own (no fused multiply-add), in the order written.
#pragma once

#include <cmath>
#include <cstdint>

#include "philox.h"
#include "portable.h"

namespace cmlfast {

// Element e of a row belongs to virtual lane e % kLanes of every sum over a row.
constexpr int kLanes = 32;
// A row's gradient sums its occurrences in runs of this many; the runs' partial sums then add in order.
constexpr int kRunLength = 64;
// A batch's losses are summed in float64 in runs of this many, each with the lanes and folds of a row sum; then the
// runs' sums in the same way.
constexpr int kBatchRun = 1024;

// Where part `part` of n pairs begins that are cut into `parts`: the first n mod parts have one more than the others.
CMLFAST_FN int64_t part_begin(int64_t n, int64_t parts, int64_t part) {
  const int64_t longer = n % parts;
  return part * (n / parts) + (part < longer ? part : longer);
}

enum class Metric { kSquaredEuclidean, kDot };

// The t-th item (t from 0) that is not among a user's sorted positives. positives[q] - q counts the items below
// positives[q] that the user has not liked, so the answer is t plus the number of q with positives[q] - q <= t. That
// sequence never falls, so the number is found by halving; how often depends on n_positives alone, so that neither a
// branch predictor nor a warp has anything to disagree on.
template <typename Ids>
CMLFAST_FN int64_t nth_not_liked(const Ids& positives, int64_t n_positives, int64_t t) {
  int64_t below = 0;
  for (int64_t length = n_positives; length > 0;) {
    const int64_t half = (length + 1) / 2;
    const int64_t last = below + half - 1;
    below += static_cast<int64_t>(positives[last]) - last <= t ? half : 0;
    length -= half;
  }
  return t + below;
}

// A uniform draw from [0, n) by multiplication; its bias is below n / 2^32.
CMLFAST_FN int64_t bounded(uint32_t word, int64_t n) {
  return static_cast<int64_t>((static_cast<uint64_t>(word) * static_cast<uint64_t>(n)) >> 32);
}

// What the negatives of a pair are a function of.
struct PairSeed {
  uint64_t seed;
  uint32_t user;
  uint32_t positive;
  uint32_t offset;
};

// The random words of negatives 4 block .. 4 block + 3.
CMLFAST_FN Words4 negative_words(const PairSeed& pair, uint32_t block) {
  return philox(pair.seed, pair.user, pair.positive, pair.offset, block);
}

// m + d(i, j) - d(i, k): above 0, item k is an impostor.
CMLFAST_FN float hinge(float margin, float positive, float negative) { return (margin + positive) - negative; }

// What a pair learns from its negatives, taken in the order in which they were drawn.
struct PairScan {
  float nearest = INFINITY;  // distance of the nearest negative
  int32_t nearest_at = -1;   // which draw it was; the first on a tie
  int32_t impostors = 0;
};

CMLFAST_FN void see_negative(PairScan& scan, int32_t at, float margin, float positive, float distance) {
  // A NaN counts as nearest, as in torch.min, so that a diverged table shows in the loss.
  const bool nearer = distance < scan.nearest || (distance != distance && scan.nearest == scan.nearest);
  if (nearer || scan.nearest_at < 0) {
    scan.nearest = distance;
    scan.nearest_at = at;
  }
  scan.impostors += hinge(margin, positive, distance) > 0.0f;
}

// weight * max(0, value), NaN kept.
CMLFAST_FN float weighted_relu(float weight, float value) { return value <= 0.0f ? 0.0f : weight * value; }

// c = 2 w for squared distances, w for dot products: what a pair's gradients are multiplied by.
CMLFAST_FN float gradient_factor(Metric metric, float weight) {
  return metric == Metric::kDot ? weight : 2.0f * weight;
}

struct StepSizes {
  float lr;
  float eps;
  float max_norm;
};

// One element of AdaGrad: G += g^2, y -= lr g / (sqrt(G) + eps).
CMLFAST_FN void adagrad_element(float& weight, float& state, float gradient, float lr, float eps) {
  state += gradient * gradient;
  weight -= (lr * gradient) / (sqrtf(state) + eps);
}

// Row-wise AdaGrad has one G for a row: it grows by the mean of g^2, of which `squares` is the sum over r elements.
CMLFAST_FN float rowwise_state(float state, float squares, int64_t r) {
  return state + squares / static_cast<float>(r);
}

// What all elements of such a row divide by.
CMLFAST_FN float rowwise_divisor(float state, float eps) { return sqrtf(state) + eps; }

// The factor min(1, max_norm / ||y||) that keeps a row in the ball.
CMLFAST_FN float clip_factor(float squared_norm, float max_norm) {
  const float norm = sqrtf(squared_norm);
  return norm > max_norm ? max_norm / norm : 1.0f;
}

}  // namespace cmlfast
