// adagrad_clip_: one AdaGrad step, then the clip into the ball, on the rows that a batch names (rows may repeat). With
// numbers in the device's memory the host never waits, so that a step can be captured into a CUDA graph.
#include "arena.h"
#include "check_ids.cuh"
#include "device.h"
#include "finish.cuh"
#include "group.cuh"
#include "layouts.cuh"
#include "sort.h"
#include "sum.cuh"

namespace cmlfast {
namespace {

// Notes a fault where a row is not the table's, or the rate is one that none may have.
__global__ void __launch_bounds__(kBlock) name_rows(DeviceIds rows, int64_t n, int64_t n_rows, Number<float> lr,
                                                    uint32_t* keys, int32_t* positions, int* fault) {
  const int64_t i = thread_number();
  if (i >= n) return;
  const int64_t row = rows[i];
  bool sound = row >= 0 && row < n_rows;
  if (i == 0) sound = sound && lr.get() >= 0 && lr.get() < INFINITY;
  if (!sound) atomicExch(fault, 1);
  keys[i] = static_cast<uint32_t>(row);
  positions[i] = static_cast<int32_t>(i);
}

// Takes the step; where the host may wait, it raises what is wrong with rows. Else nothing is changed then.
void take_step(const Tensor& weight, const Tensor& state, const Tensor& rows, const Tensor& grads, Number<float> lr,
               double eps, double max_norm, bool stochastic_rounding, int64_t seed, Number<int64_t> offset,
               bool may_wait) {
  check_batch_size(rows, "rows");
  check_n_keys(weight, "weight");
  const Device device = enter_device(weight);
  const cudaStream_t stream = device.stream;
  Matrix table(weight);
  Matrix sums(state);
  const Matrix gradient(grads);
  const Ids row_ids(rows);
  const int64_t n = row_ids.size();
  const int64_t r = table.n_columns();
  const int n_bits = bits_for(static_cast<uint64_t>(table.n_rows()));
  const size_t scratch_bytes = sort_scratch_bytes(n, n_bits);
  const bool vector = vector_loads(r, {table.data(), sums.data(), gradient.data()});
  const bool one_tile = vector && r <= kLargestTile;
  const bool rowwise = is_rowwise(table, sums);
  Arena arena;
  const auto fault = arena.reserve<int>(1);
  const auto keys = arena.reserve<uint32_t>(n);
  const auto sorted_keys = arena.reserve<uint32_t>(n);
  const auto positions = arena.reserve<int32_t>(n);
  const auto sorted_positions = arena.reserve<int32_t>(n);
  const auto scratch = arena.reserve<char>(static_cast<int64_t>(scratch_bytes));
  const auto partials = arena.reserve<float>(n_partial_slots(n) * r);
  const auto unclipped = arena.reserve<float>(needs_unclipped(weight, rowwise, one_tile) ? n * r : 0);
  arena.allocate(weight);
  const IdChecks checks(stream, arena.at(fault));
  launch(stream, n, kBlock, name_rows, DeviceIds(row_ids), n, table.n_rows(), lr, arena.at(keys), arena.at(positions),
         arena.at(fault));
  if (may_wait) checks.finish([&] { check_adagrad_clip_ids(weight, on_host(rows)); });
  sort_pairs({arena.at(keys), arena.at(positions), arena.at(sorted_keys), arena.at(sorted_positions), n, n_bits},
             arena.at(scratch), scratch_bytes, stream);
  const RowGroups groups{arena.at(sorted_keys),
                         arena.at(sorted_positions),
                         n,
                         0,
                         static_cast<uint32_t>(table.n_rows()),
                         may_wait ? nullptr : arena.at(fault)};
  const UpdateNumbers numbers{lr,
                              static_cast<float>(eps),
                              static_cast<float>(max_norm),
                              stochastic_rounding,
                              static_cast<uint64_t>(seed),
                              offset,
                              0};
  with_layout(weight.scalar_type(), r, vector, [&](auto layout) {
    using L = decltype(layout);
    using Storage = typename L::Storage;
    const GivenShares<L> shares{gradient.data(), r};
    const Update<L> update{table.data<Storage>(), sums.data(), nullptr, arena.at(unclipped), r, numbers, rowwise};
    sum_rows<L>(stream, groups, shares, update, arena.at(partials));
  });
  table.store();
  sums.store();
}

void adagrad_clip_(const Tensor& weight, const Tensor& state, const Tensor& rows, const Tensor& grads, double lr,
                   double eps, double max_norm, bool stochastic_rounding, int64_t seed, int64_t offset) {
  check_adagrad_clip(weight, state, rows, grads, lr, eps, max_norm);
  take_step(weight, state, rows, grads, static_cast<float>(lr), eps, max_norm, stochastic_rounding, seed, offset, true);
}

void adagrad_clip_tensors_(const Tensor& weight, const Tensor& state, const Tensor& rows, const Tensor& grads,
                           const Tensor& lr, double eps, double max_norm, bool stochastic_rounding, int64_t seed,
                           const Tensor& offset) {
  check_adagrad_clip_tensors(weight, state, rows, grads, lr, eps, max_norm, offset);
  take_step(weight, state, rows, grads, Number(static_cast<const float*>(lr.data_ptr())), eps, max_norm,
            stochastic_rounding, seed, Number(static_cast<const int64_t*>(offset.data_ptr())), false);
}

}  // namespace
}  // namespace cmlfast

STABLE_TORCH_LIBRARY_IMPL(cmlfast, CMLFAST_CUDA_KEY, m) {
  m.impl("adagrad_clip_", TORCH_BOX(&cmlfast::adagrad_clip_));
  m.impl("adagrad_clip_.Tensor", TORCH_BOX(&cmlfast::adagrad_clip_tensors_));
}
