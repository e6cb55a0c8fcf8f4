// warp_hinge, warp_hinge_sampled and their backward pass: the loss of section 3.1 and 3.2 of the paper for a batch of
// pairs.
#include <torch/csrc/stable/library.h>

#include <string>
#include <vector>

#include "negatives.h"
#include "pair_gradient.h"
#include "pair_scan.h"

namespace cmlfast {
namespace {

using Outputs = std::tuple<Tensor, Tensor, Tensor>;  // loss [N] float32, hardest [N] ids, impostors [N] ids

Outputs to_tensors(const PairResults& results, const Tensor& users, const Tensor& user_vectors) {
  const int64_t n = users.size(0);
  Tensor loss = torch::stable::new_empty(user_vectors, {n});
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
  check_tables(user_vectors, "user_vectors", item_vectors, "item_vectors");
  check_dim(users, "users", 1);
  check_dim(positives, "positives", 1);
  check_dim(negatives, "negatives", 2);
  check_ids(users, "users", users, "users");
  check_ids(positives, "positives", users, "users");
  check_ids(negatives, "negatives", users, "users");
  check_same_length(positives, "positives", users, "users");
  check_same_length(negatives, "negatives", users, "users");
  const int64_t n_negatives = negatives.size(1);
  check_n_negatives(n_negatives);
  check_n_items(n_items);

  const Matrix user_table(user_vectors);
  const Matrix item_table(item_vectors);
  const Ids user(users);
  const Ids positive(positives);
  const Ids negative(negatives);
  check_range(user, "users", 0, user_table.n_rows(), "user_vectors");
  check_range(positive, "positives", 0, item_table.n_rows(), "item_vectors");
  check_range(negative, "negatives", -1, item_table.n_rows(), "item_vectors");
  for (int64_t i = 0; i < negative.size(); ++i) {
    check_index((negative[i] < 0) == (negative[i - i % n_negatives] < 0), "negatives mixes -1 and items in row ",
                i / n_negatives, "; a row is all -1 (no negatives) or all items");
  }

  const PairBatch batch{user_table,          item_table, user, positive, n_negatives, static_cast<float>(margin),
                        parse_metric(metric)};
  const auto results = scan_pairs(batch, rank_weights(n_items, n_negatives, rank_weight), [&](int64_t n, int64_t* ids) {
    for (int64_t q = 0; q < n_negatives; ++q) ids[q] = negative[n * n_negatives + q];
    return ids[0] >= 0;
  });
  return to_tensors(results, users, user_vectors);
}

Outputs warp_hinge_sampled(const Tensor& user_vectors, const Tensor& item_vectors, const Tensor& indptr,
                           const Tensor& indices, const Tensor& users, const Tensor& positives, int64_t n_negatives,
                           double margin, int64_t seed, int64_t offset, bool rank_weight, const std::string& metric,
                           bool /* sparse_grad */) {
  check_tables(user_vectors, "user_vectors", item_vectors, "item_vectors");
  const int64_t n_items = item_vectors.size(0);
  check_sampling(indptr, indices, users, positives, n_items, n_negatives);
  const Matrix user_table(user_vectors);
  const Matrix item_table(item_vectors);
  const Ids user(users);
  const Ids positive(positives);
  const NegativeSampler sampler(indptr, indices, n_items, seed, offset);
  sampler.check(user);
  check_range(user, "users", 0, user_table.n_rows(), "user_vectors");
  check_range(positive, "positives", 0, n_items, "item_vectors");

  const PairBatch batch{user_table,          item_table, user, positive, n_negatives, static_cast<float>(margin),
                        parse_metric(metric)};
  const auto results = scan_pairs(batch, rank_weights(n_items, n_negatives, rank_weight), [&](int64_t n, int64_t* ids) {
    return sampler.draw(user[n], positive[n], n_negatives, ids);
  });
  return to_tensors(results, users, user_vectors);
}

std::tuple<Tensor, Tensor> warp_hinge_backward(const Tensor& grad_loss, const Tensor& user_vectors,
                                               const Tensor& item_vectors, const Tensor& users, const Tensor& positives,
                                               const Tensor& hardest, const Tensor& impostors, int64_t n_negatives,
                                               int64_t n_items, bool rank_weight, const std::string& metric) {
  check_tables(user_vectors, "user_vectors", item_vectors, "item_vectors");
  check_dim(grad_loss, "grad_loss", 1);
  check_float32(grad_loss, "grad_loss");
  for (const auto& [tensor, name] : {std::pair(&users, "users"), std::pair(&positives, "positives"),
                                     std::pair(&hardest, "hardest"), std::pair(&impostors, "impostors")}) {
    check_dim(*tensor, name, 1);
    check_ids(*tensor, name, users, "users");
    check_same_length(*tensor, name, users, "users");
  }
  check_same_length(grad_loss, "grad_loss", users, "users");
  check_n_negatives(n_negatives);
  check_n_items(n_items);
  const Matrix user_table(user_vectors);
  const Matrix item_table(item_vectors);
  const Ids user(users);
  const Ids positive(positives);
  const Ids hardest_item(hardest);
  const Ids impostor_count(impostors);
  check_range(user, "users", 0, user_table.n_rows(), "user_vectors");
  check_range(positive, "positives", 0, item_table.n_rows(), "item_vectors");
  check_range(hardest_item, "hardest", -1, item_table.n_rows(), "item_vectors");
  check_range(impostor_count, "impostors", 0, n_negatives + 1, "the table of rank weights");

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
  const int64_t r = user_table.n_columns();
  const PairBatch batch{user_table, item_table, user, positive, n_negatives, 0.0f, kind};
  const PairGradient gradient(batch, factor, hardest_ids, active);
  gradient.for_each_user(
      [&](int64_t, int64_t row, const float* total) { std::copy(total, total + r, user_out.row(row)); });
  gradient.for_each_item(
      [&](int64_t, int64_t row, const float* total) { std::copy(total, total + r, item_out.row(row)); });
  return {user_grad, item_grad};
}

}  // namespace
}  // namespace cmlfast

STABLE_TORCH_LIBRARY_IMPL(cmlfast, CPU, m) {
  m.impl("warp_hinge", TORCH_BOX(&cmlfast::warp_hinge));
  m.impl("warp_hinge_sampled", TORCH_BOX(&cmlfast::warp_hinge_sampled));
  m.impl("warp_hinge_backward", TORCH_BOX(&cmlfast::warp_hinge_backward));
}
