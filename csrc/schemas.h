// The operators' schemas, defined once for every library that implements them.
#pragma once

#include <torch/csrc/stable/library.h>

namespace cmlfast {

inline void define_operators(torch::stable::detail::StableLibrary& m) {
  m.def(
      "sample_negatives(Tensor indptr, Tensor indices, Tensor users, Tensor positives, int n_items, int n_negatives, "
      "SymInt seed, SymInt offset, int first_user=0) -> Tensor");
  m.def(
      "warp_hinge(Tensor user_vectors, Tensor item_vectors, Tensor users, Tensor positives, Tensor negatives, "
      "float margin, int n_items, bool rank_weight=True, str metric='sqeuclidean', bool sparse_grad=False) "
      "-> (Tensor, Tensor, Tensor)");
  m.def(
      "warp_hinge_sampled(Tensor user_vectors, Tensor item_vectors, Tensor indptr, Tensor indices, Tensor users, "
      "Tensor positives, int n_negatives, float margin, SymInt seed, SymInt offset, bool rank_weight=True, "
      "str metric='sqeuclidean', bool sparse_grad=False) -> (Tensor, Tensor, Tensor)");
  m.def(
      "warp_hinge_backward(Tensor grad_loss, Tensor user_vectors, Tensor item_vectors, Tensor users, Tensor positives, "
      "Tensor hardest, Tensor impostors, int n_negatives, int n_items, bool rank_weight=True, "
      "str metric='sqeuclidean') -> (Tensor, Tensor)");
  m.def(
      "adagrad_clip_(Tensor(a!) weight, Tensor(b!) state, Tensor rows, Tensor grads, float lr, float eps=1e-10, "
      "float max_norm=1.0, bool stochastic_rounding=False, int seed=0, int offset=0) -> ()");
  m.def(
      "adagrad_clip_.Tensor(Tensor(a!) weight, Tensor(b!) state, Tensor rows, Tensor grads, Tensor lr, float eps, "
      "float max_norm, bool stochastic_rounding, int seed, Tensor offset) -> ()");
  m.def(
      "cml_step_(Tensor(a!) user_w, Tensor(b!) item_w, Tensor(c!) user_state, Tensor(d!) item_state, Tensor indptr, "
      "Tensor indices, Tensor users, Tensor positives, int n_negatives, float margin, float lr, float eps, "
      "float max_norm, bool rank_weight, int seed, int offset, bool stochastic_rounding=False) "
      "-> (Tensor, Tensor, Tensor)");
  m.def(
      "cml_steps_(Tensor(a!) user_w, Tensor(b!) item_w, Tensor(c!) user_state, Tensor(d!) item_state, Tensor indptr, "
      "Tensor indices, Tensor users, Tensor positives, int n_negatives, Tensor margins, Tensor lrs, float eps, "
      "float max_norm, bool rank_weight, int seed, Tensor offsets, bool stochastic_rounding=False) "
      "-> (Tensor, Tensor, Tensor)");
  m.def(
      "softmax_weights_(Tensor(a!) products, Tensor offsets, Tensor negatives, Tensor positives, "
      "Tensor positive_logits, Tensor weights, float scale, bool decoupled=False) -> (Tensor, Tensor, Tensor)");
  // Products and all, from Python: cmlfast/ops/shared_softmax.py.
  m.def(
      "sampled_softmax(Tensor user_vectors, Tensor item_vectors, Tensor users, Tensor positives, Tensor negatives, "
      "float temperature, Tensor? log_q=None, str metric='sqeuclidean', bool decoupled=False, "
      "bool sparse_grad=False) -> Tensor");
  m.def(
      "sampled_softmax_gradients(Tensor user_vectors, Tensor item_vectors, Tensor users, Tensor positives, "
      "Tensor negatives, Tensor weights, float temperature, Tensor? log_q=None, str metric='sqeuclidean', "
      "bool decoupled=False) -> (Tensor, Tensor, Tensor, Tensor)");
  m.def(
      "topk(Tensor queries, Tensor items, int k, Tensor? seen_indptr=None, Tensor? seen_indices=None, "
      "str metric='sqeuclidean') -> (Tensor, Tensor)");
  m.def(
      "topk_among(Tensor queries, Tensor items, int k, Tensor candidates, Tensor? seen_indptr=None, "
      "Tensor? seen_indices=None, str metric='sqeuclidean') -> (Tensor, Tensor)");
}

}  // namespace cmlfast
