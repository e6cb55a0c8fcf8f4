// warp_hinge, warp_hinge_sampled and their backward pass: the loss of section 3.1 and 3.2 of the paper for a batch of
// pairs.
#include <torch/csrc/stable/library.h>

#include <string>
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

using Outputs = std::tuple<Tensor, Tensor, Tensor>;  // loss [N] float32, hardest [N] ids, impostors [N] ids

Outputs to_tensors(const ScanResults& results, const Tensor& users, const Tensor& user_vectors) {
  const int64_t n = users.size(0);
  Tensor loss = torch::stable::new_empty(user_vectors, {n}, ScalarType::Float);
  Tensor hardest = torch::stable::new_empty(users, {n});
  Tensor impostors = torch::stable::new_empty(users, {n});
  std::copy(results.loss.begin(), results.loss.end(), static_cast<float*>(loss.data_ptr()));
  Ids hardest_ids(hardest);
  Ids impostor_counts(impostors);
  for (int64_t i = 0; i < n; ++i) {
    hardest_ids.set(i, results.hardest[i]);
    impostor_counts.set(i, results.impostors[i]);
  }
  return {loss, hardest, impostors};
}

Outputs warp_hinge(const Tensor& user_vectors, const Tensor& item_vectors, const Tensor& users, const Tensor& positives,
                   const Tensor& negatives, double margin, int64_t n_items, bool rank_weight, const std::string& metric,
                   bool /* sparse_grad: the backward pass reads it */) {
  check_warp_hinge(user_vectors, item_vectors, users, positives, negatives, n_items);
  check_warp_hinge_ids(user_vectors, item_vectors, users, positives, negatives);
  const int64_t n_negatives = negatives.size(1);
  const Matrix user_table(user_vectors);
  const Matrix item_table(item_vectors);
  const Ids user(users);
  const Ids positive(positives);
  const Ids negative(negatives);
  const PairBatch batch{user_table,          item_table, user, positive, n_negatives, static_cast<float>(margin),
                        parse_metric(metric)};
  const std::vector<float> weights = rank_weights(n_items, n_negatives, rank_weight);
  const ScanResults results = with_storage(user_vectors, [&](auto storage) {
    return scan_pairs<decltype(storage)>(batch, weights, [&](int64_t n, int64_t* ids) {
      for (int64_t q = 0; q < n_negatives; ++q) ids[q] = negative[n * n_negatives + q];
      return ids[0] >= 0;
    });
  });
  return to_tensors(results, users, user_vectors);
}

Outputs warp_hinge_sampled(const Tensor& user_vectors, const Tensor& item_vectors, const Tensor& indptr,
                           const Tensor& indices, const Tensor& users, const Tensor& positives, int64_t n_negatives,
                           double margin, int64_t seed, int64_t offset, bool rank_weight, const std::string& metric,
                           bool /* sparse_grad */) {
  check_warp_hinge_sampled(user_vectors, item_vectors, indptr, indices, users, positives, n_negatives);
  check_warp_hinge_sampled_ids(user_vectors, item_vectors, indptr, indices, users, positives);
  const int64_t n_items = item_vectors.size(0);
  const Matrix user_table(user_vectors);
  const Matrix item_table(item_vectors);
  const Ids user(users);
  const Ids positive(positives);
  const Sampler sampler(indptr, indices, n_items, seed, offset);

  const PairBatch batch{user_table,          item_table, user, positive, n_negatives, static_cast<float>(margin),
                        parse_metric(metric)};
  const std::vector<float> weights = rank_weights(n_items, n_negatives, rank_weight);
  const ScanResults results = with_storage(user_vectors, [&](auto storage) {
    return scan_pairs<decltype(storage)>(
        batch, weights, [&](int64_t n, int64_t* ids) { return sampler.draw(user[n], positive[n], n_negatives, ids); });
  });
  return to_tensors(results, users, user_vectors);
}

std::tuple<Tensor, Tensor> warp_hinge_backward(const Tensor& grad_loss, const Tensor& user_vectors,
                                               const Tensor& item_vectors, const Tensor& users, const Tensor& positives,
                                               const Tensor& hardest, const Tensor& impostors, int64_t n_negatives,
                                               int64_t n_items, bool rank_weight, const std::string& metric) {
  check_warp_hinge_backward(grad_loss, user_vectors, item_vectors, users, positives, hardest, impostors, n_negatives,
                            n_items);
  check_warp_hinge_backward_ids(user_vectors, item_vectors, users, positives, hardest, impostors, n_negatives);
  const Matrix user_table(user_vectors);
  const Matrix item_table(item_vectors);
  const Ids user(users);
  const Ids positive(positives);
  const Ids hardest_item(hardest);
  const Ids impostor_count(impostors);

  const int64_t n = user.size();
  const Metric kind = parse_metric(metric);
  const std::vector<float> weights = rank_weights(n_items, n_negatives, rank_weight);
  const Tensor grad = torch::stable::contiguous(grad_loss);
  const float* grad_of = static_cast<const float*>(grad.data_ptr());
  std::vector<float> factor(n);
  std::vector<int64_t> hardest_ids(n);
  std::vector<uint8_t> active(n);
  for (int64_t i = 0; i < n; ++i) {
    hardest_ids[i] = hardest_item[i];
    // The nearest negative violates the margin exactly when any does.
    active[i] = impostor_count[i] > 0 && hardest_ids[i] >= 0;
    factor[i] = gradient_factor(kind, weights[impostor_count[i]]) * grad_of[i];
  }

  Tensor user_grad = torch::stable::new_zeros(user_vectors, {user_table.n_rows(), user_table.n_columns()});
  Tensor item_grad = torch::stable::new_zeros(item_vectors, {item_table.n_rows(), item_table.n_columns()});
  const Matrix user_out(user_grad);
  const Matrix item_out(item_grad);
  const PairBatch batch{user_table, item_table, user, positive, n_negatives, 0.0f, kind};
  with_storage(user_vectors, [&](auto storage) {
    using Storage = decltype(storage);
    const PairGroups groups(batch, hardest_ids, active);
    sum_rows(groups.users(), UserShares<Storage>{batch, factor, hardest_ids}, StoreGradient<Storage>{user_out});
    sum_rows(groups.items(), ItemShares<Storage>(batch, factor, hardest_ids), StoreGradient<Storage>{item_out});
  });
  return {user_grad, item_grad};
}

}  // namespace
}  // namespace cmlfast

STABLE_TORCH_LIBRARY_IMPL(cmlfast, CPU, m) {
  m.impl("warp_hinge", TORCH_BOX(&cmlfast::warp_hinge));
  m.impl("warp_hinge_sampled", TORCH_BOX(&cmlfast::warp_hinge_sampled));
  m.impl("warp_hinge_backward", TORCH_BOX(&cmlfast::warp_hinge_backward));
}
