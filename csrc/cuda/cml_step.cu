// cml_step_: a whole training step (paper, section 3.5) on both tables in place: draw, scan, group, sum, finish.
// The host never waits, so that a step can be captured into a CUDA graph; hence bad ids cannot raise here. A step
// that finds one changes nothing, and says so by a loss of NaN and counts of -1.
#include <tuple>

#include "arena.h"
#include "check_ids.cuh"
#include "device.h"
#include "draw.cuh"
#include "finish.cuh"
#include "group.cuh"
#include "layouts.cuh"
#include "rank_weights.cuh"
#include "scan.cuh"
#include "sum.cuh"

namespace cmlfast {
namespace {

// Brings the new rows of `fresh` to their place in the table.
template <typename L>
__global__ void __launch_bounds__(kBlock)
    store_fresh_rows(RowGroups groups, const typename L::Storage* fresh, typename L::Storage* table, int64_t r) {
  using Storage = typename L::Storage;
  const Team team;
  const int64_t p = Team::number();
  if (p >= groups.n) return;
  const int64_t row = groups.row(p);
  if (row < 0 || !groups.is_first(p)) return;
  constexpr int kAtOnce = L::kVector ? 4 : 1;
  for (int64_t e = kAtOnce * team.thread; e < r; e += kAtOnce * kTeam) {
    Storage values[kAtOnce];
    if constexpr (L::kVector) {
      load_raw(fresh + p * r + e, values);
      store_vector(table + row * r + e, values);
    } else {
      table[row * r + e] = fresh[p * r + e];
    }
  }
}

struct Totals {
  double* loss;
  int64_t* impostors;
  int64_t* active;
};

__device__ __forceinline__ double fold_warp(double lanes) {
  for (int half = kLanes / 2; half > 0; half /= 2) lanes += __shfl_down_sync(0xFFFFFFFFu, lanes, half);
  return lanes;
}
__device__ __forceinline__ int64_t fold_warp(int64_t lanes) {
  for (int half = kLanes / 2; half > 0; half /= 2) lanes += __shfl_down_sync(0xFFFFFFFFu, lanes, half);
  return lanes;
}

// The sums of each run of kBatchRun pairs, a warp to a run and a thread to a lane: loads stand in no one's way.
__global__ void __launch_bounds__(kBlock)
    add_runs(const float* loss, const int32_t* impostors, RowEntries entries, int64_t n_pairs, Totals runs) {
  const int64_t run = thread_number() / kLanes;
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  if (run * kBatchRun >= n_pairs) return;
  double loss_sum = 0;
  int64_t n_impostors = 0;
  int64_t n_active = 0;
#pragma unroll 8
  for (int i = 0; i < kBatchRun / kLanes; ++i) {
    const int64_t n = run * kBatchRun + i * kLanes + lane;
    const bool there = n < n_pairs;
    loss_sum += there ? loss[n] : 0.0f;
    n_impostors += there ? impostors[n] : 0;
    n_active += there && entries.keys[n] < entries.n_users;
  }
  loss_sum = fold_warp(loss_sum);
  n_impostors = fold_warp(n_impostors);
  n_active = fold_warp(n_active);
  if (lane > 0) return;
  runs.loss[run] = loss_sum;
  runs.impostors[run] = n_impostors;
  runs.active[run] = n_active;
}

// The batch's sums, by one warp.
__global__ void __launch_bounds__(kLanes) add_up(Totals runs, int64_t n_runs, const int* fault, Totals totals) {
  const int lane = threadIdx.x;
  double loss_sum = 0;
  int64_t n_impostors = 0;
  int64_t n_active = 0;
  for (int64_t run = lane; run < n_runs; run += kLanes) {
    loss_sum += runs.loss[run];
    n_impostors += runs.impostors[run];
    n_active += runs.active[run];
  }
  loss_sum = fold_warp(loss_sum);
  n_impostors = fold_warp(n_impostors);
  n_active = fold_warp(n_active);
  if (lane > 0) return;
  const bool sound = *fault == 0;
  *totals.loss = sound ? loss_sum : NAN;
  *totals.impostors = sound ? n_impostors : -1;
  *totals.active = sound ? n_active : -1;
}

std::tuple<Tensor, Tensor, Tensor> cml_step_(const Tensor& user_w, const Tensor& item_w, const Tensor& user_state,
                                             const Tensor& item_state, const Tensor& indptr, const Tensor& indices,
                                             const Tensor& users, const Tensor& positives, int64_t n_negatives,
                                             double margin, double lr, double eps, double max_norm, bool rank_weight,
                                             int64_t seed, int64_t offset, bool stochastic_rounding) {
  check_cml_step(user_w, item_w, user_state, item_state, indptr, indices, users, positives, n_negatives, lr, eps,
                 max_norm);
  check_batch_size(users, "users");
  check_few_negatives(n_negatives);
  check_n_rows(user_w, "user_w");
  const Device device = enter_device(user_w);
  const cudaStream_t stream = device.stream;
  Matrix user_table(user_w);
  Matrix item_table(item_w);
  Matrix user_sums(user_state);
  Matrix item_sums(item_state);
  const Ids row_ends(indptr);
  const Ids liked(indices);
  const Ids user(users);
  const Ids positive(positives);
  const int64_t n = user.size();
  const int64_t r = user_table.n_columns();
  const int64_t n_items = item_table.n_rows();
  const bool vector = vector_loads(r, {user_table.data(), item_table.data(), user_sums.data(), item_sums.data()});
  const bool one_tile = vector && r <= kLargestTile;

  Arena arena;
  const auto fault = arena.reserve<int>(1);
  const auto weights = arena.reserve<float>(n_negatives + 1);
  const auto loss = arena.reserve<float>(n);
  const auto factor = arena.reserve<float>(n);
  const auto hardest = arena.reserve<int32_t>(n);
  const auto impostors = arena.reserve<int32_t>(n);
  const int64_t n_runs = (n + kBatchRun - 1) / kBatchRun;
  const auto run_loss = arena.reserve<double>(n_runs);
  const auto run_impostors = arena.reserve<int64_t>(n_runs);
  const auto run_active = arena.reserve<int64_t>(n_runs);
  const PairGroups groups(arena, n, user_table.n_rows(), n_items, r);
  const auto fresh = arena.reserve<char>(n * r * bytes_of(user_w.scalar_type()));
  const auto unclipped = arena.reserve<float>(needs_unclipped(user_w, one_tile) ? 2 * n * r : 0);
  arena.allocate(users);

  const IdChecks checks(stream, arena.at(fault));
  checks.pairs(row_ends, liked, user, user_table.n_rows(), positive, n_items);
  store_rank_weights(stream, rank_weights(n_items, n_negatives, rank_weight), arena.at(weights));
  Negatives negatives;
  negatives.drawn = true;
  negatives.sampler = Sampler(row_ends, liked, n_items, seed, offset);
  negatives.n = n_negatives;
  const StepSizes sizes{static_cast<float>(lr), static_cast<float>(eps), static_cast<float>(max_norm)};
  const Rounding of_users{stochastic_rounding, static_cast<uint64_t>(seed), static_cast<uint32_t>(offset), 0};
  Rounding of_items = of_users;
  of_items.table = 1;

  with_layout(user_w.scalar_type(), r, vector, [&](auto layout) {
    using L = decltype(layout);
    using Storage = typename L::Storage;
    Storage* const fresh_rows = reinterpret_cast<Storage*>(arena.at(fresh));
    const PairBatch<Storage> batch{
        user_table.data<Storage>(), item_table.data<Storage>(), r, DeviceIds(user), DeviceIds(positive), n, negatives,
        static_cast<float>(margin)};
    const ScanResults results{arena.at(loss), DeviceIdsOut(arena.at(hardest)), DeviceIdsOut(arena.at(impostors)),
                              arena.at(factor), groups.entries(arena)};
    launch(stream, n, kTeamsInBlock, scan_pairs<L, Metric::kSquaredEuclidean>,
           ScanArguments<Storage>{batch, arena.at(weights), results, arena.at(fault)});
    groups.sort(arena, stream);

    // Every gradient is taken at the old weights without a copy of a table: new user rows wait in `fresh` (they read
    // old item rows), item rows change in place (they read old user rows), then the fresh rows move in.
    const UserShares<L> user_shares{item_table.data<Storage>(), DeviceIds(arena.at(hardest)), DeviceIds(positive),
                                    arena.at(factor), r};
    const Update<L> user_update{
        user_table.data<Storage>(), user_sums.data(), fresh_rows, arena.at(unclipped), r, sizes, of_users};
    sum_rows<L>(stream, groups.users(arena), user_shares, user_update, groups.partials(arena));
    const ItemShares<L> item_shares{user_table.data<Storage>(), DeviceIds(user), arena.at(factor), false, r};
    const Update<L> item_update{
        item_table.data<Storage>(), item_sums.data(), nullptr, arena.at(unclipped), r, sizes, of_items};
    sum_rows<L>(stream, groups.items(arena), item_shares, item_update, groups.partials(arena));
    launch(stream, n, kTeamsInBlock, store_fresh_rows<L>, groups.users(arena), const_cast<const Storage*>(fresh_rows),
           user_table.data<Storage>(), r);
  });
  for (Matrix* matrix : {&user_table, &item_table, &user_sums, &item_sums}) matrix->store();

  Tensor loss_total = torch::stable::new_empty(user_w, {}, ScalarType::Double);
  Tensor impostor_total = torch::stable::new_empty(user_w, {}, ScalarType::Long);
  Tensor active_total = torch::stable::new_empty(user_w, {}, ScalarType::Long);
  const Totals totals{static_cast<double*>(loss_total.data_ptr()), static_cast<int64_t*>(impostor_total.data_ptr()),
                      static_cast<int64_t*>(active_total.data_ptr())};
  const Totals runs{arena.at(run_loss), arena.at(run_impostors), arena.at(run_active)};
  launch(stream, n_runs, kBlock / kLanes, add_runs, const_cast<const float*>(arena.at(loss)),
         const_cast<const int32_t*>(arena.at(impostors)), groups.entries(arena), n, runs);
  launch<kLanes>(stream, 1, 1, add_up, runs, n_runs, const_cast<const int*>(arena.at(fault)), totals);
  return {loss_total, impostor_total, active_total};
}

}  // namespace
}  // namespace cmlfast

STABLE_TORCH_LIBRARY_IMPL(cmlfast, CMLFAST_CUDA_KEY, m) { m.impl("cml_step_", TORCH_BOX(&cmlfast::cml_step_)); }
