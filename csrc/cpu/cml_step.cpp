// cml_step_: a whole training step (paper, section 3.5) on both tables in place: draw, scan, group, sum, finish.
#include <torch/csrc/stable/library.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "batch.h"
#include "draw.h"
#include "finish.h"
#include "group.h"
#include "scan.h"
#include "sum.h"
#include "with_storage.h"

namespace cmlfast {
namespace {

template <typename Value>
double lane_sum(const Value* values, size_t n) {
  double lanes[kLanes] = {};
  for (size_t i = 0; i < n; ++i) lanes[i % kLanes] += values[i];
  for (int half = kLanes / 2; half > 0; half /= 2) {
    for (int l = 0; l < half; ++l) lanes[l] += lanes[l + half];
  }
  return lanes[0];
}

// The batch's loss, in runs, so that every backend gets the same bits.
double batch_sum(const std::vector<float>& losses) {
  std::vector<double> sums;
  for (size_t first = 0; first < losses.size(); first += kBatchRun) {
    sums.push_back(lane_sum(losses.data() + first, std::min<size_t>(kBatchRun, losses.size() - first)));
  }
  return lane_sum(sums.data(), sums.size());
}

Tensor scalar(const Tensor& like, ScalarType type, double value) {
  return torch::stable::fill_(torch::stable::new_empty(like, {}, type), value);
}

struct Tables {
  Matrix user_w;
  Matrix item_w;
  Matrix user_sums;
  Matrix item_sums;
};

// Every gradient is taken at the old weights without a copy of a table: new user rows wait in `fresh` (they read old
// item rows), item rows change in place (they read old user rows), then the fresh rows move in.
template <typename Storage>
void update(const Tables& tables, const PairBatch& batch, const ScanResults& scanned, const StepSizes& sizes,
            const Rounding& of_users, const Rounding& of_items) {
  const int64_t r = tables.user_w.n_columns();
  std::vector<float> factor(scanned.weight);
  for (float& weight : factor) weight = gradient_factor(batch.metric, weight);
  const PairGroups groups(batch, scanned.hardest, scanned.active);
  const RowGroups& user_groups = groups.users();
  const std::unique_ptr<Storage[]> fresh(new Storage[user_groups.n_groups() * r]);  // [G, r]

  sum_rows(user_groups, UserShares<Storage>{batch, factor, scanned.hardest},
           Update<Storage>{tables.user_w, tables.user_sums, fresh.get(), sizes, of_users});
  sum_rows(groups.items(), ItemShares<Storage>(batch, factor, scanned.hardest),
           Update<Storage>{tables.item_w, tables.item_sums, nullptr, sizes, of_items});
  parallel_for(0, user_groups.n_groups(), grain_for(r), [&](int64_t begin, int64_t end) {
    for (int64_t group = begin; group < end; ++group) {
      const Storage* row = fresh.get() + group * r;
      std::copy(row, row + r, tables.user_w.row<Storage>(user_groups.row(group)));
    }
  });
}

std::tuple<Tensor, Tensor, Tensor> cml_step_(const Tensor& user_w, const Tensor& item_w, const Tensor& user_state,
                                             const Tensor& item_state, const Tensor& indptr, const Tensor& indices,
                                             const Tensor& users, const Tensor& positives, int64_t n_negatives,
                                             double margin, double lr, double eps, double max_norm, bool rank_weight,
                                             int64_t seed, int64_t offset, bool stochastic_rounding) {
  check_cml_step(user_w, item_w, user_state, item_state, indptr, indices, users, positives, n_negatives, lr, eps,
                 max_norm);
  check_cml_step_ids(user_w, item_w, indptr, indices, users, positives);
  const int64_t n_items = item_w.size(0);
  Tables tables{Matrix(user_w), Matrix(item_w), Matrix(user_state), Matrix(item_state)};
  const Ids user(users);
  const Ids positive(positives);
  const Sampler sampler(indptr, indices, n_items, seed, offset);
  const StepSizes sizes{static_cast<float>(lr), static_cast<float>(eps), static_cast<float>(max_norm)};
  const Rounding of_users{stochastic_rounding, static_cast<uint64_t>(seed), static_cast<uint32_t>(offset), 0};
  Rounding of_items = of_users;
  of_items.table = 1;

  const PairBatch batch{
      tables.user_w, tables.item_w, user, positive, n_negatives, static_cast<float>(margin), Metric::kSquaredEuclidean};
  const std::vector<float> weights = rank_weights(n_items, n_negatives, rank_weight);
  const ScanResults results = with_storage(user_w, [&](auto storage) {
    using Storage = decltype(storage);
    ScanResults found = scan_pairs<Storage>(
        batch, weights, [&](int64_t n, int64_t* ids) { return sampler.draw(user[n], positive[n], n_negatives, ids); });
    update<Storage>(tables, batch, found, sizes, of_users, of_items);
    return found;
  });
  for (Matrix* matrix : {&tables.user_w, &tables.item_w, &tables.user_sums, &tables.item_sums}) matrix->store();

  int64_t impostors = 0;
  int64_t active = 0;
  for (int64_t n = 0; n < user.size(); ++n) {
    impostors += results.impostors[n];
    active += results.active[n];
  }
  return {scalar(user_w, ScalarType::Double, batch_sum(results.loss)),
          scalar(user_w, ScalarType::Long, static_cast<double>(impostors)),
          scalar(user_w, ScalarType::Long, static_cast<double>(active))};
}

}  // namespace
}  // namespace cmlfast

STABLE_TORCH_LIBRARY_IMPL(cmlfast, CPU, m) { m.impl("cml_step_", TORCH_BOX(&cmlfast::cml_step_)); }
