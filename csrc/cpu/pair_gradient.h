// The gradient of a batch's loss in both tables, pair by pair; shared by warp_hinge_backward and cml_step_.
#pragma once

#include <optional>
#include <vector>

#include "pair_scan.h"
#include "prefetch.h"
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
    parallel_for(0, 2, 1, [&](int64_t begin, int64_t end) {
      if (begin == 0) users_.emplace(user_rows, batch.user_vectors.n_rows());
      if (end == 2) items_.emplace(item_rows, batch.item_vectors.n_rows());
    });
  }

  const RowGroups& user_groups() const { return *users_; }

  // finish(group, row, gradient) for every row with one; fetch(row) brings what that needs into the cache.
  template <typename Fetch, typename Finish>
  void for_each_user(const Fetch& fetch, const Finish& finish) const {
    const auto term = [&](int64_t n) {
      return ScaledDifference<Storage>{item(hardest_[n]), item(batch_.positives[n]), factor_[n]};
    };
    reduce(*users_, term, fetch, finish);
  }

  // Reads no item row but the one it hands to `finish`, so that `finish` may change that one in place.
  template <typename Fetch, typename Finish>
  void for_each_item(const Fetch& fetch, const Finish& finish) const {
    const bool dot = batch_.metric == Metric::kDot;
    const auto term = [&](int64_t position) {
      const int64_t n = position / 2;
      const bool positive = position % 2 == 0;
      const Storage* user = batch_.user_vectors.template row<Storage>(batch_.users[n]);
      const Storage* other = dot ? origin_.data() : item(positive ? batch_.positives[n] : hardest_[n]);
      return ScaledDifference<Storage>{positive ? other : user, positive ? user : other, factor_[n]};
    };
    reduce(*items_, term, fetch, finish);
  }

 private:
  // term(position) is what a position adds to its row.
  template <typename Term, typename Fetch, typename Finish>
  void reduce(const RowGroups& groups, const Term& term, const Fetch& fetch, const Finish& finish) const {
    const TableKernels<Storage>& kernels = row_kernels().of<Storage>();
    const int64_t r = batch_.user_vectors.n_columns();
    groups.reduce(
        r,
        [&](const RowGroups::Named* run, int64_t n, float* out) {
          ScaledDifference<Storage> terms[kRunLength];
          for (int64_t i = 0; i < n; ++i) terms[i] = term(run[i].position);
          kernels.sum_scaled_differences(terms, n, r, out);
        },
        [&](int64_t row, int64_t position) {
          const ScaledDifference<Storage> soon = term(position);
          prefetch_row(soon.a, r);
          prefetch_row(soon.b, r);
          fetch(row);
        },
        finish);
  }

  const Storage* item(int64_t id) const { return batch_.item_vectors.template row<Storage>(id); }

  const PairBatch& batch_;
  const std::vector<float>& factor_;
  const std::vector<int64_t>& hardest_;
  std::vector<Storage> origin_;  // [r] zeros
  std::optional<RowGroups> users_;
  std::optional<RowGroups> items_;
};

}  // namespace cmlfast
