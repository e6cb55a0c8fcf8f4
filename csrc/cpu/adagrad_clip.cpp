// adagrad_clip_: one AdaGrad step, then the clip into the ball, on the rows that a batch names (rows may repeat).
#include <torch/csrc/stable/library.h>

#include <vector>

#include "../arguments.h"
#include "prefetch.h"
#include "row_groups.h"
#include "with_storage.h"

namespace cmlfast {
namespace {

template <typename Storage>
void update_rows(const Matrix& table, const Matrix& sums, const Ids& rows, const Matrix& gradient, float lr, float eps,
                 float max_norm, const Rounding& rounding) {
  const int64_t r = table.n_columns();
  const RowKernels& kernels = row_kernels();
  std::vector<int64_t> named(rows.size());
  for (int64_t i = 0; i < rows.size(); ++i) named[i] = rows[i];
  RowGroups(named, table.n_rows())
      .reduce(
          r,
          [&](const RowGroups::Named* run, int64_t n, float* out) {
            std::fill(out, out + r, 0.0f);
            for (int64_t i = 0; i < n; ++i) kernels.add(out, gradient.row<float>(run[i].position), r);
          },
          [&](int64_t row, int64_t position) {
            prefetch_row(gradient.row<float>(position), r);
            prefetch_row(table.row<Storage>(row), r);
            prefetch_row(sums.row<float>(row), r);
          },
          [&](int64_t, int64_t row, float* total) {
            Storage* weight = table.row<Storage>(row);
            kernels.of<Storage>().adagrad_clip(weight, sums.row<float>(row), total, r, lr, eps, max_norm, rounding, row,
                                               weight);
          });
}

void adagrad_clip_(const Tensor& weight, const Tensor& state, const Tensor& rows, const Tensor& grads, double lr,
                   double eps, double max_norm, bool stochastic_rounding, int64_t seed, int64_t offset) {
  check_adagrad_clip(weight, state, rows, grads, lr, eps, max_norm);
  check_adagrad_clip_ids(weight, rows);
  Matrix table(weight);
  Matrix sums(state);
  const Matrix gradient(grads);
  const Ids row_ids(rows);
  const Rounding rounding{stochastic_rounding, static_cast<uint64_t>(seed), static_cast<uint32_t>(offset), 0};
  with_storage(weight, [&](auto storage) {
    update_rows<decltype(storage)>(table, sums, row_ids, gradient, static_cast<float>(lr), static_cast<float>(eps),
                                   static_cast<float>(max_norm), rounding);
  });
  table.store();
  sums.store();
}

}  // namespace
}  // namespace cmlfast

STABLE_TORCH_LIBRARY_IMPL(cmlfast, CPU, m) { m.impl("adagrad_clip_", TORCH_BOX(&cmlfast::adagrad_clip_)); }
