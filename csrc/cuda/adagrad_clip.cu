// adagrad_clip_: one AdaGrad step, then the clip into the ball, on the rows that a batch names (rows may repeat).
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

__global__ void __launch_bounds__(kBlock) name_rows(DeviceIds rows, int64_t n, uint32_t* keys, int32_t* positions) {
  const int64_t i = thread_number();
  if (i >= n) return;
  keys[i] = static_cast<uint32_t>(rows[i]);
  positions[i] = static_cast<int32_t>(i);
}

void adagrad_clip_(const Tensor& weight, const Tensor& state, const Tensor& rows, const Tensor& grads, double lr,
                   double eps, double max_norm, bool stochastic_rounding, int64_t seed, int64_t offset) {
  check_adagrad_clip(weight, state, rows, grads, lr, eps, max_norm);
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
  checks.range(row_ids, 0, table.n_rows());
  checks.finish([&] { check_adagrad_clip_ids(weight, on_host(rows)); });

  launch(stream, n, kBlock, name_rows, DeviceIds(row_ids), n, arena.at(keys), arena.at(positions));
  sort_pairs({arena.at(keys), arena.at(positions), arena.at(sorted_keys), arena.at(sorted_positions), n, n_bits},
             arena.at(scratch), scratch_bytes, stream);
  const RowGroups groups{arena.at(sorted_keys), arena.at(sorted_positions), n, 0,
                         static_cast<uint32_t>(table.n_rows())};
  const UpdateNumbers numbers{static_cast<float>(lr),
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

}  // namespace
}  // namespace cmlfast

STABLE_TORCH_LIBRARY_IMPL(cmlfast, CMLFAST_CUDA_KEY, m) { m.impl("adagrad_clip_", TORCH_BOX(&cmlfast::adagrad_clip_)); }
