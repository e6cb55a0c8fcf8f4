// adagrad_clip_: one AdaGrad step, then the clip into the ball, on the rows that a batch names (rows may repeat).
#include <torch/csrc/stable/library.h>

#include <vector>

#include "../arguments.h"
#include "row_groups.h"

namespace cmlfast {
namespace {

void adagrad_clip_(const Tensor& weight, const Tensor& state, const Tensor& rows, const Tensor& grads, double lr,
                   double eps, double max_norm) {
  check_adagrad_clip(weight, state, rows, grads, lr, eps, max_norm);
  check_adagrad_clip_ids(weight, rows);
  Matrix table(weight);
  Matrix sums(state);
  const Matrix gradient(grads);
  const Ids row_ids(rows);

  const int64_t r = table.n_columns();
  const RowKernels& kernels = row_kernels();
  std::vector<int64_t> named(row_ids.size());
  for (int64_t i = 0; i < row_ids.size(); ++i) named[i] = row_ids[i];
  RowGroups(named, table.n_rows())
      .reduce(
          r, [&](int64_t position, float* sum) { kernels.add(sum, gradient.row(position), r); },
          [&](int64_t, int64_t row, const float* total) {
            kernels.adagrad_clip(table.row(row), sums.row(row), total, r, static_cast<float>(lr),
                                 static_cast<float>(eps), static_cast<float>(max_norm), table.row(row));
          });
  table.store();
  sums.store();
}

}  // namespace
}  // namespace cmlfast

STABLE_TORCH_LIBRARY_IMPL(cmlfast, CPU, m) { m.impl("adagrad_clip_", TORCH_BOX(&cmlfast::adagrad_clip_)); }
