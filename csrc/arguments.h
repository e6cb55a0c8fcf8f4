// What every operator demands of its arguments, for all backends. check_<operator> looks at shapes, types and numbers;
// check_<operator>_ids reads the ids, so its tensors must be in the host's memory.
#pragma once

#include <cmath>
#include <initializer_list>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "overlap.h"
#include "tensors.h"

namespace cmlfast {

inline std::string device_name(const Tensor& tensor) {
  if (tensor.is_cpu()) return "the CPU";
  return text(tensor.is_cuda() ? "CUDA device " : "another device ", tensor.get_device_index());
}

// The dispatcher calls the GPU's kernel when any tensor is there.
inline void check_one_device(std::initializer_list<Named> tensors) {
  const Named& first = *tensors.begin();
  for (const Named& each : tensors) {
    check_value(each.first->device() == first.first->device(), each.second, " is on ", device_name(*each.first),
                " and ", first.second, " on ", device_name(*first.first), "; move all tensors to one device");
  }
}

inline void check_id_arrays(std::initializer_list<Named> arrays) {
  const Named& first = *arrays.begin();
  for (const Named& each : arrays) {
    check_dim(*each.first, each.second, 1);
    check_ids(*each.first, each.second, *first.first, first.second);
  }
}

// --- negatives drawn on the way

inline void check_sampling(const Tensor& indptr, const Tensor& indices, const Tensor& users, const Tensor& positives,
                           int64_t n_items, int64_t n_negatives) {
  check_one_device({{&users, "users"}, {&positives, "positives"}, {&indptr, "indptr"}, {&indices, "indices"}});
  check_id_arrays({{&users, "users"}, {&positives, "positives"}, {&indptr, "indptr"}, {&indices, "indices"}});
  check_value(indptr.size(0) >= 1, "indptr is empty; a CSR matrix of n users has n + 1 entries");
  check_same_length(positives, "positives", users, "users");
  check_n_pairs(users);
  check_n_items(n_items);
  check_n_negatives(n_negatives);
}

// Raises unless `users` can index the CSR matrix.
inline void check_csr_rows(const Ids& indptr, const Ids& indices, const Ids& users) {
  const int64_t n_users = indptr.size() - 1;
  for (int64_t n = 0; n < users.size(); ++n) {
    const int64_t user = users[n];
    check_index(user >= 0 && user < n_users, "users holds ", user, " at position ", n, ", but indptr describes ",
                n_users, " users");
    const int64_t begin = indptr[user];
    const int64_t end = indptr[user + 1];
    check_index(begin >= 0 && begin <= end && end <= indices.size(), "indptr gives user ", user, " the range ", begin,
                " to ", end, " of ", indices.size(), " indices; it must ascend from 0 to len(indices)");
  }
}

inline void check_sample_negatives_ids(const Tensor& indptr, const Tensor& indices, const Tensor& users,
                                       const Tensor& positives, int64_t n_items) {
  check_csr_rows(Ids(indptr), Ids(indices), Ids(users));
  check_range(Ids(positives), "positives", 0, n_items, "the item table");
}

// --- the loss

inline void check_pair_ids(const Tensor& users, const Tensor& positives, const Tensor& user_table,
                           const char* user_name, const Tensor& item_table, const char* item_name) {
  check_range(Ids(users), "users", 0, user_table.size(0), user_name);
  check_range(Ids(positives), "positives", 0, item_table.size(0), item_name);
}

inline void check_warp_hinge(const Tensor& user_vectors, const Tensor& item_vectors, const Tensor& users,
                             const Tensor& positives, const Tensor& negatives, int64_t n_items) {
  check_tables(user_vectors, "user_vectors", item_vectors, "item_vectors");
  check_one_device({{&user_vectors, "user_vectors"},
                    {&item_vectors, "item_vectors"},
                    {&users, "users"},
                    {&positives, "positives"},
                    {&negatives, "negatives"}});
  check_id_arrays({{&users, "users"}, {&positives, "positives"}});
  check_dim(negatives, "negatives", 2);
  check_ids(negatives, "negatives", users, "users");
  check_same_length(positives, "positives", users, "users");
  check_same_length(negatives, "negatives", users, "users");
  check_n_pairs(users);
  check_n_negatives(negatives.size(1));
  check_n_items(n_items);
}

inline void check_warp_hinge_ids(const Tensor& user_vectors, const Tensor& item_vectors, const Tensor& users,
                                 const Tensor& positives, const Tensor& negatives) {
  check_pair_ids(users, positives, user_vectors, "user_vectors", item_vectors, "item_vectors");
  const Ids negative(negatives);
  const int64_t n_negatives = negatives.size(1);
  check_range(negative, "negatives", -1, item_vectors.size(0), "item_vectors");
  // Not one loop over all ids: a division for each takes longer than the distances do.
  for (int64_t n = 0; n < negatives.size(0); ++n) {
    const int64_t first = n * n_negatives;
    for (int64_t i = first; i < first + n_negatives; ++i) {
      check_index((negative[i] < 0) == (negative[first] < 0), "negatives mixes -1 and items in row ", n,
                  "; a row is all -1 (no negatives) or all items");
    }
  }
}

inline void check_warp_hinge_sampled(const Tensor& user_vectors, const Tensor& item_vectors, const Tensor& indptr,
                                     const Tensor& indices, const Tensor& users, const Tensor& positives,
                                     int64_t n_negatives) {
  check_tables(user_vectors, "user_vectors", item_vectors, "item_vectors");
  check_one_device({{&user_vectors, "user_vectors"}, {&item_vectors, "item_vectors"}, {&users, "users"}});
  check_sampling(indptr, indices, users, positives, item_vectors.size(0), n_negatives);
}

inline void check_warp_hinge_sampled_ids(const Tensor& user_vectors, const Tensor& item_vectors, const Tensor& indptr,
                                         const Tensor& indices, const Tensor& users, const Tensor& positives) {
  check_csr_rows(Ids(indptr), Ids(indices), Ids(users));
  check_pair_ids(users, positives, user_vectors, "user_vectors", item_vectors, "item_vectors");
}

inline void check_warp_hinge_backward(const Tensor& grad_loss, const Tensor& user_vectors, const Tensor& item_vectors,
                                      const Tensor& users, const Tensor& positives, const Tensor& hardest,
                                      const Tensor& impostors, int64_t n_negatives, int64_t n_items) {
  check_tables(user_vectors, "user_vectors", item_vectors, "item_vectors");
  check_dim(grad_loss, "grad_loss", 1);
  check_float32(grad_loss, "grad_loss");
  check_one_device({{&user_vectors, "user_vectors"},
                    {&item_vectors, "item_vectors"},
                    {&grad_loss, "grad_loss"},
                    {&users, "users"},
                    {&positives, "positives"},
                    {&hardest, "hardest"},
                    {&impostors, "impostors"}});
  check_id_arrays({{&users, "users"}, {&positives, "positives"}, {&hardest, "hardest"}, {&impostors, "impostors"}});
  for (const Named& each : {Named{&positives, "positives"}, Named{&hardest, "hardest"}, Named{&impostors, "impostors"},
                            Named{&grad_loss, "grad_loss"}}) {
    check_same_length(*each.first, each.second, users, "users");
  }
  check_n_pairs(users);
  check_n_negatives(n_negatives);
  check_n_items(n_items);
}

inline void check_warp_hinge_backward_ids(const Tensor& user_vectors, const Tensor& item_vectors, const Tensor& users,
                                          const Tensor& positives, const Tensor& hardest, const Tensor& impostors,
                                          int64_t n_negatives) {
  check_pair_ids(users, positives, user_vectors, "user_vectors", item_vectors, "item_vectors");
  check_range(Ids(hardest), "hardest", -1, item_vectors.size(0), "item_vectors");
  check_range(Ids(impostors), "impostors", 0, n_negatives + 1, "the table of rank weights");
}

inline void check_softmax_weights(const Tensor& products, const Tensor& offsets, const Tensor& negatives,
                                  const Tensor& positives, const Tensor& positive_logits, const Tensor& weights,
                                  double scale) {
  check_dim(products, "products", 2);
  check_float32(products, "products");
  check_one_device({{&products, "products"},
                    {&offsets, "offsets"},
                    {&negatives, "negatives"},
                    {&positives, "positives"},
                    {&positive_logits, "positive_logits"},
                    {&weights, "weights"}});
  check_id_arrays({{&negatives, "negatives"}, {&positives, "positives"}});
  for (const Named& each :
       {Named{&offsets, "offsets"}, Named{&positive_logits, "positive_logits"}, Named{&weights, "weights"}}) {
    check_dim(*each.first, each.second, 1);
    check_float32(*each.first, each.second);
  }
  for (const Named& each :
       {Named{&positives, "positives"}, Named{&positive_logits, "positive_logits"}, Named{&weights, "weights"}}) {
    check_value(each.first->size(0) == products.size(0), each.second, " has ", each.first->size(0),
                " entries and products has ", products.size(0), " rows; both need one for each pair");
  }
  for (const Named& each : {Named{&offsets, "offsets"}, Named{&negatives, "negatives"}}) {
    check_value(each.first->size(0) == products.size(1), each.second, " has ", each.first->size(0),
                " entries and products has ", products.size(1), " columns; both need one for each negative");
  }
  check_value(std::abs(scale) <= std::numeric_limits<float>::max(), "scale is ", scale, "; it must be finite");
  check_in_place({{&products, "products"},
                  {&offsets, "offsets"},
                  {&negatives, "negatives"},
                  {&positives, "positives"},
                  {&positive_logits, "positive_logits"},
                  {&weights, "weights"}},
                 1);
}

inline void check_softmax_weights_ids(const Tensor& negatives, const Tensor& positives) {
  check_range(Ids(negatives), "negatives", 0, INT32_MAX, "an item table");
  check_range(Ids(positives), "positives", 0, INT32_MAX, "an item table");
}

// --- updates

inline void check_adagrad_clip(const Tensor& weight, const Tensor& state, const Tensor& rows, const Tensor& grads,
                               double lr, double eps, double max_norm) {
  check_dim(weight, "weight", 2);
  check_storage(weight, "weight");
  check_state(state, "state", weight, "weight");
  check_n_rows(weight, "weight");
  check_id_arrays({{&rows, "rows"}});
  check_n_rows(rows, "rows");
  check_dim(grads, "grads", 2);
  check_float32(grads, "grads");
  check_one_device({{&weight, "weight"}, {&state, "state"}, {&rows, "rows"}, {&grads, "grads"}});
  check_same_length(grads, "grads", rows, "rows");
  check_value(grads.size(1) == weight.size(1), "grads has ", grads.size(1), " columns and weight has ", weight.size(1),
              "; both need the same");
  check_optimizer(lr, eps, max_norm);
  check_in_place({{&weight, "weight"}, {&state, "state"}, {&rows, "rows"}, {&grads, "grads"}}, 2);
}

// As check_adagrad_clip, but for numbers that are tensors.
inline void check_adagrad_clip_tensors(const Tensor& weight, const Tensor& state, const Tensor& rows,
                                       const Tensor& grads, const Tensor& lr, double eps, double max_norm,
                                       const Tensor& offset) {
  check_adagrad_clip(weight, state, rows, grads, 0.0, eps, max_norm);
  check_one_device({{&weight, "weight"}, {&lr, "lr"}, {&offset, "offset"}});
  check_dim(lr, "lr", 0);
  check_dim(offset, "offset", 0);
  check_float32(lr, "lr");
  check_value(offset.scalar_type() == ScalarType::Long, "offset must be int64; convert it with .to(torch.int64)");
  check_in_place({{&weight, "weight"}, {&state, "state"}, {&lr, "lr"}, {&offset, "offset"}}, 2);
}

inline void check_adagrad_clip_ids(const Tensor& weight, const Tensor& rows) {
  check_range(Ids(rows), "rows", 0, weight.size(0), "weight");
}

inline void check_cml_step(const Tensor& user_w, const Tensor& item_w, const Tensor& user_state,
                           const Tensor& item_state, const Tensor& indptr, const Tensor& indices, const Tensor& users,
                           const Tensor& positives, int64_t n_negatives, double lr, double eps, double max_norm) {
  check_tables(user_w, "user_w", item_w, "item_w");
  check_state(user_state, "user_state", user_w, "user_w");
  check_state(item_state, "item_state", item_w, "item_w");
  check_one_device({{&user_w, "user_w"},
                    {&item_w, "item_w"},
                    {&user_state, "user_state"},
                    {&item_state, "item_state"},
                    {&users, "users"}});
  check_sampling(indptr, indices, users, positives, item_w.size(0), n_negatives);
  check_optimizer(lr, eps, max_norm);
  check_in_place({{&user_w, "user_w"},
                  {&item_w, "item_w"},
                  {&user_state, "user_state"},
                  {&item_state, "item_state"},
                  {&indptr, "indptr"},
                  {&indices, "indices"},
                  {&users, "users"},
                  {&positives, "positives"}},
                 4);
}

// As check_cml_step, but for the numbers that each step has of its own.
inline void check_cml_steps(const Tensor& user_w, const Tensor& item_w, const Tensor& user_state,
                            const Tensor& item_state, const Tensor& indptr, const Tensor& indices, const Tensor& users,
                            const Tensor& positives, int64_t n_negatives, const Tensor& margins, const Tensor& lrs,
                            double eps, double max_norm, const Tensor& offsets) {
  check_cml_step(user_w, item_w, user_state, item_state, indptr, indices, users, positives, n_negatives, 0.0, eps,
                 max_norm);
  check_one_device({{&user_w, "user_w"}, {&margins, "margins"}, {&lrs, "lrs"}, {&offsets, "offsets"}});
  check_dim(lrs, "lrs", 1);
  for (const Named& each : {Named{&margins, "margins"}, Named{&offsets, "offsets"}}) {
    check_dim(*each.first, each.second, 1);
    check_value(each.first->size(0) == lrs.size(0), each.second, " has ", each.first->size(0), " entries and lrs has ",
                lrs.size(0), "; both need one for each step");
  }
  check_float32(margins, "margins");
  check_float32(lrs, "lrs");
  check_value(offsets.scalar_type() == ScalarType::Long, "offsets must be int64; convert it with .to(torch.int64)");
  check_value(lrs.size(0) >= 1, "lrs is empty; there must be at least one step");
  check_in_place({{&user_w, "user_w"},
                  {&item_w, "item_w"},
                  {&user_state, "user_state"},
                  {&item_state, "item_state"},
                  {&margins, "margins"},
                  {&lrs, "lrs"},
                  {&offsets, "offsets"}},
                 4);
}

inline void check_rates(const Tensor& lrs) {
  const Tensor rates = torch::stable::contiguous(lrs);
  const float* lr = static_cast<const float*>(rates.data_ptr());
  for (int64_t step = 0; step < rates.size(0); ++step) {
    check_value(lr[step] >= 0 && lr[step] <= std::numeric_limits<float>::max(), "lrs holds ", lr[step], " at position ",
                step, "; each must be finite and not negative");
  }
}

inline void check_cml_step_ids(const Tensor& user_w, const Tensor& item_w, const Tensor& indptr, const Tensor& indices,
                               const Tensor& users, const Tensor& positives) {
  check_csr_rows(Ids(indptr), Ids(indices), Ids(users));
  check_pair_ids(users, positives, user_w, "user_w", item_w, "item_w");
}

// --- search

inline void check_topk(const Tensor& queries, const Tensor& items, int64_t k, const std::optional<Tensor>& seen_indptr,
                       const std::optional<Tensor>& seen_indices) {
  check_tables(queries, "queries", items, "items");
  check_one_device({{&queries, "queries"}, {&items, "items"}});
  check_value(k >= 1, "k is ", k, "; it must be at least 1");
  check_value(seen_indptr.has_value() == seen_indices.has_value(),
              "seen_indptr and seen_indices must be given together or not at all");
  if (!seen_indptr) return;
  check_one_device({{&queries, "queries"}, {&*seen_indptr, "seen_indptr"}, {&*seen_indices, "seen_indices"}});
  check_id_arrays({{&*seen_indptr, "seen_indptr"}, {&*seen_indices, "seen_indices"}});
  const int64_t n_queries = queries.size(0);
  check_value(seen_indptr->size(0) == n_queries + 1, "seen_indptr has ", seen_indptr->size(0), " entries; ", n_queries,
              " queries need ", n_queries + 1);
}

inline void check_topk_among(const Tensor& queries, const Tensor& items, int64_t k, const Tensor& candidates,
                             const std::optional<Tensor>& seen_indptr, const std::optional<Tensor>& seen_indices) {
  check_topk(queries, items, k, seen_indptr, seen_indices);
  check_one_device({{&queries, "queries"}, {&candidates, "candidates"}});
  check_dim(candidates, "candidates", 2);
  check_ids(candidates, "candidates", seen_indices ? *seen_indices : candidates, "seen_indices");
  check_value(candidates.size(0) == queries.size(0), "candidates has ", candidates.size(0), " rows and queries has ",
              queries.size(0), "; both need one for each query");
}
inline void check_topk_ids(const Tensor& items, const Tensor& seen_indptr, const Tensor& seen_indices) {
  const Ids indptr(seen_indptr);
  const Ids indices(seen_indices);
  for (int64_t q = 0; q + 1 < indptr.size(); ++q) {
    const int64_t begin = indptr[q];
    const int64_t end = indptr[q + 1];
    check_index(begin >= 0 && begin <= end && end <= indices.size(), "seen_indptr gives query ", q, " the range ",
                begin, " to ", end, " of ", indices.size(), " indices; it must ascend from 0 to len(seen_indices)");
  }
  check_range(indices, "seen_indices", 0, items.size(0), "items");
}
inline void check_topk_among_ids(const Tensor& items, const Tensor& candidates,
                                 const std::optional<Tensor>& seen_indptr, const std::optional<Tensor>& seen_indices) {
  check_range(Ids(candidates), "candidates", -1, items.size(0), "items");
  if (seen_indptr) check_topk_ids(items, *seen_indptr, *seen_indices);
}

}  // namespace cmlfast
