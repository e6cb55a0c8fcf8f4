// adagrad_clip_: one AdaGrad step, then the clip into the ball, on the rows that a batch names (rows may repeat).
#include <torch/csrc/stable/library.h>

#include <vector>

#include "../arguments.h"
#include "finish.h"
#include "group.h"
#include "sum.h"
#include "with_storage.h"

namespace cmlfast {
namespace {

void adagrad_clip_(const Tensor& weight, const Tensor& state, const Tensor& rows, const Tensor& grads, double lr,
                   double eps, double max_norm, bool stochastic_rounding, int64_t seed, int64_t offset) {
  check_adagrad_clip(weight, state, rows, grads, lr, eps, max_norm);
  check_adagrad_clip_ids(weight, rows);
  Matrix table(weight);
  Matrix sums(state);
  const Matrix gradient(grads);
  const Ids row_ids(rows);
  const StepSizes sizes{static_cast<float>(lr), static_cast<float>(eps), static_cast<float>(max_norm)};
  const Rounding rounding{stochastic_rounding, static_cast<uint64_t>(seed), static_cast<uint32_t>(offset), 0};
  std::vector<int64_t> named(row_ids.size());
  for (int64_t i = 0; i < row_ids.size(); ++i) named[i] = row_ids[i];
  const RowGroups groups(named, table.n_rows());
  with_storage(weight, [&](auto storage) {
    sum_rows(groups, GivenShares{gradient}, Update<decltype(storage)>{table, sums, nullptr, sizes, rounding});
  });
  table.store();
  sums.store();
}

void adagrad_clip_tensors_(const Tensor& weight, const Tensor& state, const Tensor& rows, const Tensor& grads,
                           const Tensor& lr, double eps, double max_norm, bool stochastic_rounding, int64_t seed,
                           const Tensor& offset) {
  check_adagrad_clip_tensors(weight, state, rows, grads, lr, eps, max_norm, offset);
  adagrad_clip_(weight, state, rows, grads, *static_cast<const float*>(lr.data_ptr()), eps, max_norm,
                stochastic_rounding, seed, *static_cast<const int64_t*>(offset.data_ptr()));
}

}  // namespace
}  // namespace cmlfast

STABLE_TORCH_LIBRARY_IMPL(cmlfast, CPU, m) {
  m.impl("adagrad_clip_", TORCH_BOX(&cmlfast::adagrad_clip_));
  m.impl("adagrad_clip_.Tensor", TORCH_BOX(&cmlfast::adagrad_clip_tensors_));
}
