// Adds what a batch's positions share to their rows, in the pinned order, and finishes each distinct row in the same
// visit.
//
// `Shares` says what a position adds: sum(run, n, out) writes the sum of n <= kRunLength positions to out [r];
// fetch(position) brings what that needs into the cache. `Finish` takes a row's total: see finish.h.
#pragma once

#include <algorithm>
#include <vector>

#include "batch.h"
#include "group.h"
#include "parallel.h"
#include "prefetch.h"
#include "row_kernels.h"

namespace cmlfast {
namespace {

// --- shares: with f a pair's factor (2 w for squared distances, w for dot products, times what comes from above), the
// user's row gets f (v_k - v_j), the positive's f (v_j - u_i), the hardest negative's f (u_i - v_k); for dot products,
// where the distance is -u.v, f (v_k - v_j), -f u_i and f u_i

// The sum of a run's shares, each of which is a scaled difference of rows.
template <typename Shares>
void sum_run(const Shares& shares, const RowGroups::Named* run, int64_t n, float* out) {
  decltype(shares.share(0)) each[kRunLength];
  for (int64_t i = 0; i < n; ++i) each[i] = shares.share(run[i].position);
  shares.kernels.sum_shares(each, n, shares.r(), out);
}

template <typename Storage>
void fetch_share(const Share<Storage>& soon, int64_t r) {
  prefetch_row(soon.a, r);
  prefetch_row(soon.b, r);
}

// f (v_k - v_j) for the user of pair `position`.
template <typename Storage>
struct UserShares {
  const PairBatch& batch;
  const std::vector<float>& factor;     // [N]
  const std::vector<int64_t>& hardest;  // [N]
  const TableKernels<Storage>& kernels = row_kernels().of<Storage>();

  int64_t r() const { return batch.user_vectors.n_columns(); }
  Share<Storage> share(int64_t n) const {
    return {batch.item_vectors.template row<Storage>(hardest[n]),
            batch.item_vectors.template row<Storage>(batch.positives[n]), factor[n]};
  }
  void sum(const RowGroups::Named* run, int64_t n, float* out) const { sum_run(*this, run, n, out); }
  void fetch(int64_t n) const { fetch_share(share(n), r()); }
};

// f (v_j - u_i) for the positive of pair n at position 2 n, f (u_i - v_k) for the negative at 2 n + 1. Reads no item
// row but the one that the sum is for, so that this one may be changed in place.
template <typename Storage>
class ItemShares {
 public:
  ItemShares(const PairBatch& batch, const std::vector<float>& factor, const std::vector<int64_t>& hardest)
      : batch_(batch),
        factor_(factor),
        hardest_(hardest),
        origin_(batch.metric == Metric::kDot ? batch.user_vectors.n_columns() : 0) {}

  int64_t r() const { return batch_.user_vectors.n_columns(); }
  Share<Storage> share(int64_t position) const {
    const int64_t n = position / 2;
    const bool positive = position % 2 == 0;
    const Storage* user = batch_.user_vectors.template row<Storage>(batch_.users[n]);
    const Storage* item = batch_.metric == Metric::kDot
                              ? origin_.data()
                              : batch_.item_vectors.template row<Storage>(positive ? batch_.positives[n] : hardest_[n]);
    return {positive ? item : user, positive ? user : item, factor_[n]};
  }
  void sum(const RowGroups::Named* run, int64_t n, float* out) const { sum_run(*this, run, n, out); }
  void fetch(int64_t position) const { fetch_share(share(position), r()); }

  const TableKernels<Storage>& kernels = row_kernels().of<Storage>();

 private:
  const PairBatch& batch_;
  const std::vector<float>& factor_;     // [N]
  const std::vector<int64_t>& hardest_;  // [N]
  std::vector<Storage> origin_;          // [r] zeros
};

// Row `position` of a matrix of gradients.
struct GivenShares {
  const Matrix& grads;  // [P, r]
  const RowKernels& kernels = row_kernels();

  int64_t r() const { return grads.n_columns(); }
  void sum(const RowGroups::Named* run, int64_t n, float* out) const {
    std::fill(out, out + r(), 0.0f);
    for (int64_t i = 0; i < n; ++i) kernels.add(out, grads.row<float>(run[i].position), r());
  }
  void fetch(int64_t position) const { prefetch_row(grads.row<float>(position), r()); }
};

// --- sums

template <typename Shares, typename Finish>
void sum_rows(const RowGroups& groups, const Shares& shares, const Finish& finish) {
  constexpr int64_t kAhead = 4;  // places
  const RowKernels& kernels = row_kernels();
  const int64_t r = shares.r();
  const int64_t n_places = groups.n_places();
  // Threads share the places, not the rows: a popular row has many. A group belongs to where it starts.
  parallel_for(0, n_places, grain_for(4 * r), [&](int64_t begin, int64_t end) {
    std::vector<float> total(r);
    std::vector<float> part(r);
    for (int64_t group = groups.group_from(begin); group < groups.n_groups() && groups.start(group) < end; ++group) {
      const int64_t first = groups.start(group);
      const int64_t last = groups.start(group + 1);
      for (int64_t p = first + kAhead; p < std::min(last + kAhead, n_places); ++p) {
        shares.fetch(groups[p].position);
        finish.fetch(groups[p].row);
      }
      shares.sum(&groups[first], std::min(last - first, int64_t{kRunLength}), total.data());
      for (int64_t run = first + kRunLength; run < last; run += kRunLength) {
        shares.sum(&groups[run], std::min(last - run, int64_t{kRunLength}), part.data());
        kernels.add(total.data(), part.data(), r);
      }
      finish.finish(group, groups.row(group), total.data());
    }
  });
}

}  // namespace
}  // namespace cmlfast
