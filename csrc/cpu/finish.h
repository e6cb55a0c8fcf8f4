// What is done with a row's summed gradient (see sum.h): stored, or an AdaGrad step with clip. The row's own kernel
// does it; fetch(row) brings what that needs into the cache.
#pragma once

#include "../storage.h"
#include "../tensors.h"
#include "../warp_math.h"
#include "prefetch.h"
#include "row_kernels.h"

namespace cmlfast {
namespace {

template <typename Storage>
struct StoreGradient {
  const Matrix& out;  // [n_rows, r]
  const TableKernels<Storage>& kernels = row_kernels().of<Storage>();

  void fetch(int64_t) const {}  // what is only written need not be fetched
  void finish(int64_t, int64_t row, const float* total) const {
    kernels.store(total, out.n_columns(), out.row<Storage>(row));
  }
};

template <typename Storage>
struct Update {
  const Matrix& table;  // [n_rows, r]
  const Matrix& state;  // [n_rows, r] or [n_rows, 1]
  Storage* fresh;       // [G, r]: where the new row goes, by its group; null: into the table
  StepSizes sizes;
  Rounding rounding;
  const TableKernels<Storage>& kernels = row_kernels().of<Storage>();
  typename TableKernels<Storage>::AdagradClip step =
      state.n_columns() == table.n_columns() ? kernels.adagrad_clip : kernels.rowwise_adagrad_clip;

  void fetch(int64_t row) const {
    prefetch_row(table.row<Storage>(row), table.n_columns());
    prefetch_row(state.row<float>(row), state.n_columns());
  }
  void finish(int64_t group, int64_t row, float* total) const {
    const int64_t r = table.n_columns();
    Storage* weight = table.row<Storage>(row);
    step(weight, state.row<float>(row), total, r, sizes, rounding, row, fresh ? fresh + group * r : weight);
  }
};

}  // namespace
}  // namespace cmlfast
