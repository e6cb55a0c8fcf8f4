// The gradient of a batch's loss in both tables, pair by pair; shared by warp_hinge_backward and cml_step_.
#pragma once

#include <vector>

#include "pair_scan.h"
#include "row_groups.h"

namespace cmlfast {

// With f a pair's factor (2 w for squared distances, w for dot products, times what comes from above), the user's row
// gets f (v_k - v_j), the positive's f (v_j - u_i), the hardest negative's f (u_i - v_k); for dot products, where the
// distance is -u.v, f (v_k - v_j), -f u_i and f u_i.
template <typename Storage>
class PairGradient {
 public:
  // Only pairs n with active[n] name rows.
  PairGradient(const PairBatch& batch, const std::vector<float>& factor, const std::vector<int64_t>& hardest,
               const std::vector<uint8_t>& active)
      : batch_(batch),
        factor_(factor),
        hardest_(hardest),
        origin_(batch.metric == Metric::kDot ? batch.user_vectors.n_columns() : 0) {
    const int64_t n = batch.users.size();
    std::vector<int64_t> user_rows(n, -1);      // position n
    std::vector<int64_t> item_rows(2 * n, -1);  // position 2n: the positive; 2n + 1: the negative
    for (int64_t i = 0; i < n; ++i) {
      if (!active[i]) continue;
      user_rows[i] = batch.users[i];
      item_rows[2 * i] = batch.positives[i];
      item_rows[2 * i + 1] = hardest[i];
    }
    groups_.reserve(2);
    groups_.emplace_back(user_rows, batch.user_vectors.n_rows());
    groups_.emplace_back(item_rows, batch.item_vectors.n_rows());
  }

  const RowGroups& user_groups() const { return groups_[0]; }

  template <typename Finish>
  void for_each_user(const Finish& finish) const {
    const TableKernels<Storage>& kernels = row_kernels().of<Storage>();
    const int64_t r = batch_.user_vectors.n_columns();
    groups_[0].reduce(
        r,
        [&](int64_t n, float* sum) {
          kernels.add_scaled_difference(sum, factor_[n], item(hardest_[n]), item(batch_.positives[n]), r);
        },
        finish);
  }

  // Reads no item row but the one it hands to `finish`, so that `finish` may change that one in place.
  template <typename Finish>
  void for_each_item(const Finish& finish) const {
    const TableKernels<Storage>& kernels = row_kernels().of<Storage>();
    const int64_t r = batch_.user_vectors.n_columns();
    const bool dot = batch_.metric == Metric::kDot;
    groups_[1].reduce(
        r,
        [&](int64_t position, float* sum) {
          const int64_t n = position / 2;
          const bool positive = position % 2 == 0;
          const Storage* user = batch_.user_vectors.template row<Storage>(batch_.users[n]);
          const Storage* other = dot ? origin_.data() : item(positive ? batch_.positives[n] : hardest_[n]);
          kernels.add_scaled_difference(sum, factor_[n], positive ? other : user, positive ? user : other, r);
        },
        finish);
  }

 private:
  const Storage* item(int64_t id) const { return batch_.item_vectors.template row<Storage>(id); }

  const PairBatch& batch_;
  const std::vector<float>& factor_;
  const std::vector<int64_t>& hardest_;
  std::vector<Storage> origin_;    // [r] zeros
  std::vector<RowGroups> groups_;  // of users, of items
};

}  // namespace cmlfast
