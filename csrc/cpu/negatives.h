// Draws a pair's negatives (design of the sampler: one draw each, no rejection).
#pragma once

#include "../arguments.h"
#include "../philox.h"
#include "../warp_math.h"
#include "parallel.h"

namespace cmlfast {

class NegativeSampler {
 public:
  NegativeSampler(const Tensor& indptr, const Tensor& indices, int64_t n_items, int64_t seed, int64_t offset)
      : indptr_(indptr),
        indices_(indices),
        n_items_(n_items),
        seed_(static_cast<uint64_t>(seed)),
        offset_(static_cast<uint32_t>(offset)) {}

  // ids[0 .. n) = the pair's negatives; false (and nothing written) if the user likes every item.
  bool draw(int64_t user, int64_t positive, int64_t n, int64_t* ids) const {
    return indices_.wide() ? draw_from<int64_t>(user, positive, n, ids) : draw_from<int32_t>(user, positive, n, ids);
  }

 private:
  template <typename Id>
  bool draw_from(int64_t user, int64_t positive, int64_t n, int64_t* ids) const {
    const int64_t begin = indptr_[user];
    const int64_t n_positives = indptr_[user + 1] - begin;
    const int64_t n_others = n_items_ - n_positives;
    if (n_others <= 0) return false;
    const Id* positives = indices_.as<Id>() + begin;
    for (int64_t first = 0; first < n; first += 4) {
      const Words4 words = philox(seed_, static_cast<uint32_t>(user), static_cast<uint32_t>(positive), offset_,
                                  static_cast<uint32_t>(first / 4));
      for (int64_t q = first; q < std::min(first + 4, n); ++q) {
        ids[q] = nth_not_liked(positives, n_positives, bounded(words.word[q - first], n_others));
      }
    }
    return true;
  }

  Ids indptr_;
  Ids indices_;
  int64_t n_items_;
  uint64_t seed_;
  uint32_t offset_;
};

}  // namespace cmlfast
