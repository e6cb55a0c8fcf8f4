// Draws a pair's negatives (design of the sampler: one draw each, no rejection).
#pragma once

#include "../philox.h"
#include "../warp_math.h"
#include "tensors.h"

namespace cmlfast {

class NegativeSampler {
 public:
  NegativeSampler(const Tensor& indptr, const Tensor& indices, int64_t n_items, int64_t seed, int64_t offset)
      : indptr_(indptr),
        indices_(indices),
        n_items_(n_items),
        seed_(static_cast<uint64_t>(seed)),
        offset_(static_cast<uint32_t>(offset)) {}

  // Raises unless `users` can index the CSR matrix.
  void check(const Ids& users) const {
    const int64_t n_users = indptr_.size() - 1;
    for (int64_t n = 0; n < users.size(); ++n) {
      const int64_t user = users[n];
      check_index(user >= 0 && user < n_users, "users holds ", user, " at position ", n, ", but indptr describes ",
                  n_users, " users");
      const int64_t begin = indptr_[user];
      const int64_t end = indptr_[user + 1];
      check_index(begin >= 0 && begin <= end && end <= indices_.size(), "indptr gives user ", user, " the range ",
                  begin, " to ", end, " of ", indices_.size(), " indices; it must ascend from 0 to len(indices)");
    }
  }

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

// Checks of the arguments that every sampling operator takes.
inline void check_sampling(const Tensor& indptr, const Tensor& indices, const Tensor& users, const Tensor& positives,
                           int64_t n_items, int64_t n_negatives) {
  check_dim(indptr, "indptr", 1);
  check_dim(indices, "indices", 1);
  check_dim(users, "users", 1);
  check_dim(positives, "positives", 1);
  check_value(indptr.size(0) >= 1, "indptr is empty; a CSR matrix of n users has n + 1 entries");
  check_ids(users, "users", users, "users");
  check_ids(positives, "positives", users, "users");
  check_ids(indptr, "indptr", users, "users");
  check_ids(indices, "indices", users, "users");
  check_same_length(positives, "positives", users, "users");
  check_n_items(n_items);
  check_n_negatives(n_negatives);
}

}  // namespace cmlfast
