// cml_step_ and cml_steps_: whole training steps (paper, section 3.5) on both tables in place: draw, scan, group, sum,
// finish.
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

  void store() {
    for (Matrix* matrix : {&user_w, &item_w, &user_sums, &item_sums}) matrix->store();
  }
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

struct Totals {
  double loss = 0;
  int64_t impostors = 0;
  int64_t active = 0;
};

// What steps share.
struct Steps {
  const Tables& tables;
  const Tensor& indptr;
  const Tensor& indices;
  int64_t n_negatives;
  const std::vector<float>& weights;
  double eps;
  double max_norm;
  int64_t seed;
  bool stochastic_rounding;
};

template <typename Storage>
Totals take_step(const Steps& steps, const Ids& user, const Ids& positive, float margin, float lr, int64_t offset) {
  const Tables& tables = steps.tables;
  const Sampler sampler(steps.indptr, steps.indices, tables.item_w.n_rows(), steps.seed, offset);
  const StepSizes sizes{lr, static_cast<float>(steps.eps), static_cast<float>(steps.max_norm)};
  const Rounding of_users{steps.stochastic_rounding, static_cast<uint64_t>(steps.seed), static_cast<uint32_t>(offset),
                          0};
  Rounding of_items = of_users;
  of_items.table = 1;
  const PairBatch batch{
      tables.user_w, tables.item_w, user, positive, steps.n_negatives, margin, Metric::kSquaredEuclidean};
  const ScanResults found = scan_pairs<Storage>(batch, steps.weights, [&](int64_t n, int64_t* ids) {
    return sampler.draw(user[n], positive[n], steps.n_negatives, ids);
  });
  update<Storage>(tables, batch, found, sizes, of_users, of_items);
  Totals totals{batch_sum(found.loss)};
  for (int64_t n = 0; n < user.size(); ++n) {
    totals.impostors += found.impostors[n];
    totals.active += found.active[n];
  }
  return totals;
}

std::tuple<Tensor, Tensor, Tensor> cml_step_(const Tensor& user_w, const Tensor& item_w, const Tensor& user_state,
                                             const Tensor& item_state, const Tensor& indptr, const Tensor& indices,
                                             const Tensor& users, const Tensor& positives, int64_t n_negatives,
                                             double margin, double lr, double eps, double max_norm, bool rank_weight,
                                             int64_t seed, int64_t offset, bool stochastic_rounding) {
  check_cml_step(user_w, item_w, user_state, item_state, indptr, indices, users, positives, n_negatives, lr, eps,
                 max_norm);
  check_cml_step_ids(user_w, item_w, indptr, indices, users, positives);
  Tables tables{Matrix(user_w), Matrix(item_w), Matrix(user_state), Matrix(item_state)};
  const std::vector<float> weights = rank_weights(item_w.size(0), n_negatives, rank_weight);
  const Steps steps{tables, indptr, indices, n_negatives, weights, eps, max_norm, seed, stochastic_rounding};
  const Totals totals = with_storage(user_w, [&](auto storage) {
    return take_step<decltype(storage)>(steps, Ids(users), Ids(positives), static_cast<float>(margin),
                                        static_cast<float>(lr), offset);
  });
  tables.store();
  return {scalar(user_w, ScalarType::Double, totals.loss),
          scalar(user_w, ScalarType::Long, static_cast<double>(totals.impostors)),
          scalar(user_w, ScalarType::Long, static_cast<double>(totals.active))};
}

std::tuple<Tensor, Tensor, Tensor> cml_steps_(const Tensor& user_w, const Tensor& item_w, const Tensor& user_state,
                                              const Tensor& item_state, const Tensor& indptr, const Tensor& indices,
                                              const Tensor& users, const Tensor& positives, int64_t n_negatives,
                                              const Tensor& margins, const Tensor& lrs, double eps, double max_norm,
                                              bool rank_weight, int64_t seed, const Tensor& offsets,
                                              bool stochastic_rounding) {
  check_cml_steps(user_w, item_w, user_state, item_state, indptr, indices, users, positives, n_negatives, margins, lrs,
                  eps, max_norm, offsets);
  check_rates(lrs);
  check_cml_step_ids(user_w, item_w, indptr, indices, users, positives);
  Tables tables{Matrix(user_w), Matrix(item_w), Matrix(user_state), Matrix(item_state)};
  const std::vector<float> weights = rank_weights(item_w.size(0), n_negatives, rank_weight);
  const Steps steps{tables, indptr, indices, n_negatives, weights, eps, max_norm, seed, stochastic_rounding};
  const Tensor margin = torch::stable::contiguous(margins);
  const Tensor lr = torch::stable::contiguous(lrs);
  const Ids offset(offsets);
  Tensor all_users = users;
  Tensor all_positives = positives;
  const int64_t n_steps = offset.size();
  Tensor loss = torch::stable::new_empty(user_w, {n_steps}, ScalarType::Double);
  Tensor impostors = torch::stable::new_empty(user_w, {n_steps}, ScalarType::Long);
  Tensor active = torch::stable::new_empty(user_w, {n_steps}, ScalarType::Long);
  for (int64_t step = 0; step < n_steps; ++step) {
    const int64_t first = part_begin(users.size(0), n_steps, step);
    const int64_t n = part_begin(users.size(0), n_steps, step + 1) - first;
    const Totals totals = with_storage(user_w, [&](auto storage) {
      return take_step<decltype(storage)>(steps, Ids(torch::stable::narrow(all_users, 0, first, n)),
                                          Ids(torch::stable::narrow(all_positives, 0, first, n)),
                                          static_cast<const float*>(margin.data_ptr())[step],
                                          static_cast<const float*>(lr.data_ptr())[step], offset[step]);
    });
    static_cast<double*>(loss.data_ptr())[step] = totals.loss;
    static_cast<int64_t*>(impostors.data_ptr())[step] = totals.impostors;
    static_cast<int64_t*>(active.data_ptr())[step] = totals.active;
  }
  tables.store();
  return {loss, impostors, active};
}

}  // namespace
}  // namespace cmlfast

STABLE_TORCH_LIBRARY_IMPL(cmlfast, CPU, m) {
  m.impl("cml_step_", TORCH_BOX(&cmlfast::cml_step_));
  m.impl("cml_steps_", TORCH_BOX(&cmlfast::cml_steps_));
}
