// Draws the U negatives of a pair. Word q of the Philox stream (seed; user, positive, offset) becomes t in
// [0, J - n_liked), and t the t-th item the user has not liked (nth_not_liked in warp_math.h). Nothing is rejected, so
// every draw of a user costs the same.
#pragma once

#include "../arguments.h"
#include "../warp_math.h"
#include "parallel.h"
#include "row_kernels.h"

namespace cmlfast {
namespace {

// The items that users like, as sorted CSR rows, and the generator that draws from the others.
class Sampler {
 public:
  Sampler(const Tensor& indptr, const Tensor& indices, int64_t n_items, int64_t seed, int64_t offset,
          int64_t first_user = 0)
      : indptr_(indptr),
        indices_(indices),
        n_items_(n_items),
        seed_(static_cast<uint64_t>(seed)),
        offset_(static_cast<uint32_t>(offset)),
        first_user_(first_user) {}

  // ids[0 .. n) = the pair's negatives; false (and nothing written) if the user likes every item.
  bool draw(int64_t user, int64_t positive, int64_t n, int64_t* ids) const {
    const int64_t begin = indptr_[user];
    const int64_t n_positives = indptr_[user + 1] - begin;
    const int64_t n_others = n_items_ - n_positives;
    if (n_others <= 0) return false;
    const PairSeed pair{seed_, static_cast<uint32_t>(first_user_ + user), static_cast<uint32_t>(positive), offset_};
    if (indices_.wide()) {
      kernels_.draw_from_int64(pair, indices_.as<int64_t>() + begin, n_positives, n_others, n, ids);
    } else {
      kernels_.draw_from_int32(pair, indices_.as<int32_t>() + begin, n_positives, n_others, n, ids);
    }
    return true;
  }

 private:
  const RowKernels& kernels_ = row_kernels();
  Ids indptr_;
  Ids indices_;
  int64_t n_items_;
  uint64_t seed_;
  uint32_t offset_;
  int64_t first_user_;  // the number, among all users, of the first one here
};

}  // namespace
}  // namespace cmlfast
