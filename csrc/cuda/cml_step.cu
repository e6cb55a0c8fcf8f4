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

// Brings the new row of `fresh` that place p names to its place in the table. Rows with several runs are there already.
template <typename L>
__device__ __forceinline__ void store_fresh_row(const Team& team, int64_t p, const RowGroups& groups,
                                                const typename L::Storage* fresh, typename L::Storage* table,
                                                int64_t r) {
  using Storage = typename L::Storage;
  if (p >= groups.n) return;
  const int64_t row = groups.row(p);
  if (row < 0 || !groups.is_first(p) || groups.reaches(p, kRunLength)) return;
  // All loads before the first store, which might else change what the next load reads, for all the compiler knows.
  for (int first = 0; L::kOneTile ? first == 0 : first < r; first += L::kTile) {
    Storage values[L::kChunks][4];
#pragma unroll
    for (int c = 0; c < L::kChunks; ++c) copy4<L>(fresh + p * r, element<L>(team, first, c), r, values[c]);
#pragma unroll
    for (int c = 0; c < L::kChunks; ++c) store4<L>(table + row * r, element<L>(team, first, c), r, values[c]);
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

// What is added up over a batch, in runs of kBatchRun pairs, and where their sums go.
struct BatchSums {
  const float* loss;         // [N]
  const int32_t* impostors;  // [N]
  RowEntries entries;
  int64_t n_pairs;
  Totals runs;  // [n_runs]
};

// The sums of a run, by a warp, a thread to a lane.
__device__ __forceinline__ void add_run(const BatchSums& sums, int64_t run) {
  constexpr int kAtOnce = 8;  // pairs of a thread whose numbers are on their way
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  if (run * kBatchRun >= sums.n_pairs) return;
  double loss_sum = 0;
  int64_t n_impostors = 0;
  int64_t n_active = 0;
  for (int i = 0; i < kBatchRun / kLanes; i += kAtOnce) {
    float losses[kAtOnce];
    int32_t counts[kAtOnce];
    uint32_t keys[kAtOnce];
#pragma unroll
    for (int a = 0; a < kAtOnce; ++a) {
      // Beyond the end the last pair is read, and not counted: no load stands behind a branch.
      const int64_t n = run * kBatchRun + (i + a) * kLanes + lane;
      const int64_t at = n < sums.n_pairs ? n : sums.n_pairs - 1;
      losses[a] = sums.loss[at];
      counts[a] = sums.impostors[at];
      keys[a] = sums.entries.keys[at];
    }
#pragma unroll
    for (int a = 0; a < kAtOnce; ++a) {
      const bool there = run * kBatchRun + (i + a) * kLanes + lane < sums.n_pairs;
      loss_sum += there ? losses[a] : 0.0f;
      n_impostors += there ? counts[a] : 0;
      n_active += there && keys[a] < sums.entries.n_users;
    }
  }
  loss_sum = fold_warp(loss_sum);
  n_impostors = fold_warp(n_impostors);
  n_active = fold_warp(n_active);
  if (lane > 0) return;
  sums.runs.loss[run] = loss_sum;
  sums.runs.impostors[run] = n_impostors;
  sums.runs.active[run] = n_active;
}

template <typename L>
struct Sides {
  RowGroups users, items;
  Update<L> user_update, item_update;
  const float* user_partials;
  const float* item_partials;
  const typename L::Storage* fresh;  // [N, r], new rows of users by the place where their occurrences begin
  BatchSums sums;
};

// The blocks of finish_step, by what they do.
struct FinishBlocks {
  int64_t users, items, fresh, runs;
};

// What is left when all gradients are summed: blocks finish long rows of users, then of items, bring fresh rows to the
// table, and add up runs of pairs. No gradient is taken any more, so that all may change what they will, and no two
// change the same.
template <typename L>
__global__ void __launch_bounds__(kBlock, kBlocks) finish_step(Sides<L> sides, FinishBlocks blocks) {
  const Team team;
  const int64_t in_block = threadIdx.x / kTeam;
  int64_t block = blockIdx.x;
  const auto number = [&] { return block * kTeamsInBlock + in_block; };
  if (block < blocks.users) {
    return finish_long_row<L>(team, number() * kRunLength, sides.users, sides.user_update, sides.user_partials);
  }
  block -= blocks.users;
  if (block < blocks.items) {
    return finish_long_row<L>(team, number() * kRunLength, sides.items, sides.item_update, sides.item_partials);
  }
  block -= blocks.items;
  if (block < blocks.fresh) {
    return store_fresh_row<L>(team, number(), sides.users, sides.fresh, sides.user_update.table, sides.user_update.r);
  }
  block -= blocks.fresh;
  add_run(sides.sums, block * (kBlock / kLanes) + threadIdx.x / kLanes);
}

// The batch's sums, by one warp. `fault` is not 0 if the batch names what it may not.
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
  check_n_keys(user_w, "user_w");
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
  const bool users_rowwise = is_rowwise(user_table, user_sums);
  const bool items_rowwise = is_rowwise(item_table, item_sums);

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
  const auto unclipped =
      arena.reserve<float>(needs_unclipped(user_w, users_rowwise || items_rowwise, one_tile) ? 3 * n * r : 0);
  arena.allocate(users);

  store_rank_weights(stream, rank_weights(n_items, n_negatives, rank_weight), arena.at(weights), arena.at(fault));
  Negatives negatives;
  negatives.drawn = true;
  negatives.sampler = Sampler(row_ends, liked, n_items, seed, offset);
  negatives.n = n_negatives;
  const StepSizes sizes{static_cast<float>(lr), static_cast<float>(eps), static_cast<float>(max_norm)};
  const Rounding of_users{stochastic_rounding, static_cast<uint64_t>(seed), static_cast<uint32_t>(offset), 0};
  Rounding of_items = of_users;
  of_items.table = 1;

  const Totals runs{arena.at(run_loss), arena.at(run_impostors), arena.at(run_active)};
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
           ScanArguments<Storage>{batch, arena.at(weights), results, arena.at(fault),
                                  pair_limits(row_ends, liked, user_table.n_rows(), n_items)});
    groups.sort(arena, stream);

    // Every gradient is taken at the old weights without a copy of a table: new user rows wait in `fresh` (they read
    // old item rows), item rows change in place (they read old user rows), then the fresh rows move in.
    const RowGroups user_groups = groups.users(arena, arena.at(fault));
    const RowGroups item_groups = groups.items(arena, arena.at(fault));
    const UserShares<L> user_shares{item_table.data<Storage>(), DeviceIds(arena.at(hardest)), DeviceIds(positive),
                                    arena.at(factor), r};
    Update<L> user_update{user_table.data<Storage>(),
                          user_sums.data(),
                          fresh_rows,
                          arena.at(unclipped),
                          r,
                          sizes,
                          of_users,
                          users_rowwise};
    launch(stream, n, kTeamsInBlock, sum_runs<L, UserShares<L>, Update<L>>, user_groups, user_shares, user_update,
           groups.user_partials(arena));
    const ItemShares<L> item_shares{user_table.data<Storage>(), DeviceIds(user), arena.at(factor), false, r};
    const Update<L> item_update{item_table.data<Storage>(),
                                item_sums.data(),
                                nullptr,
                                arena.at(unclipped) + n * r,
                                r,
                                sizes,
                                of_items,
                                items_rowwise};
    launch(stream, 2 * n, kTeamsInBlock, sum_runs<L, ItemShares<L>, Update<L>>, item_groups, item_shares, item_update,
           groups.item_partials(arena));
    user_update.fresh = nullptr;
    const auto blocks_of = [](int64_t n, int64_t per_block) { return (n + per_block - 1) / per_block; };
    const FinishBlocks blocks{blocks_of(n_long_rows(user_groups), kTeamsInBlock),
                              blocks_of(n_long_rows(item_groups), kTeamsInBlock), blocks_of(n, kTeamsInBlock),
                              blocks_of(n_runs, kBlock / kLanes)};
    launch(stream, blocks.users + blocks.items + blocks.fresh + blocks.runs, 1, finish_step<L>,
           Sides<L>{user_groups, item_groups, user_update, item_update, groups.user_partials(arena),
                    groups.item_partials(arena), fresh_rows,
                    BatchSums{arena.at(loss), arena.at(impostors), groups.entries(arena), n, runs}},
           blocks);
  });
  for (Matrix* matrix : {&user_table, &item_table, &user_sums, &item_sums}) matrix->store();

  Tensor loss_total = torch::stable::new_empty(user_w, {}, ScalarType::Double);
  Tensor impostor_total = torch::stable::new_empty(user_w, {}, ScalarType::Long);
  Tensor active_total = torch::stable::new_empty(user_w, {}, ScalarType::Long);
  const Totals totals{static_cast<double*>(loss_total.data_ptr()), static_cast<int64_t*>(impostor_total.data_ptr()),
                      static_cast<int64_t*>(active_total.data_ptr())};
  launch<kLanes>(stream, 1, 1, add_up, runs, n_runs, const_cast<const int*>(arena.at(fault)), totals);
  return {loss_total, impostor_total, active_total};
}

}  // namespace
}  // namespace cmlfast

STABLE_TORCH_LIBRARY_IMPL(cmlfast, CMLFAST_CUDA_KEY, m) { m.impl("cml_step_", TORCH_BOX(&cmlfast::cml_step_)); }
