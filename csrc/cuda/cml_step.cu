// cml_step_ and cml_steps_: whole training steps (paper, section 3.5) on both tables in place: draw, scan, group, sum,
// finish. The host never waits, so that steps can be captured into a CUDA graph; hence bad ids cannot raise here. A
// step that finds one changes nothing, and says so by a loss of NaN and counts of -1.
#include <tuple>
#include <vector>

#include "arena.h"
#include "batch_sums.cuh"
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

// The numbers that steps have of their own.
struct StepNumbers {
  Number<float> margin;
  Number<float> lr;
  Number<int64_t> offset;
};

// What is returned of steps: a number of each, or one alone.
struct Returned {
  Tensor loss, impostors, active;

  Returned(const Tensor& like, const std::vector<int64_t>& shape)
      : loss(torch::stable::new_empty(like, shape, ScalarType::Double)),
        impostors(torch::stable::new_empty(like, shape, ScalarType::Long)),
        active(torch::stable::new_empty(like, shape, ScalarType::Long)) {}
  Totals totals() const {
    return {static_cast<double*>(loss.data_ptr()), static_cast<int64_t*>(impostors.data_ptr()),
            static_cast<int64_t*>(active.data_ptr())};
  }
};

// Takes n_steps steps, one after the other, each on its part of the pairs.
void take_steps(const Tensor& user_w, const Tensor& item_w, const Tensor& user_state, const Tensor& item_state,
                const Tensor& indptr, const Tensor& indices, const Tensor& users, const Tensor& positives,
                int64_t n_steps, int64_t n_negatives, const StepNumbers& numbers, double eps, double max_norm,
                bool rank_weight, int64_t seed, bool stochastic_rounding, const Device& device, const Totals& totals) {
  const cudaStream_t stream = device.stream;
  Matrix user_table(user_w);
  Matrix item_table(item_w);
  Matrix user_sums(user_state);
  Matrix item_sums(item_state);
  const Ids row_ends(indptr);
  const Ids liked(indices);
  const Ids user(users);
  const Ids positive(positives);
  const int64_t most = part_begin(user.size(), n_steps, 1);  // pairs in a batch
  const int64_t r = user_table.n_columns();
  const int64_t n_items = item_table.n_rows();
  const bool vector = vector_loads(r, {user_table.data(), item_table.data(), user_sums.data(), item_sums.data()});
  const bool one_tile = vector && r <= kLargestTile;
  const bool users_rowwise = is_rowwise(user_table, user_sums);
  const bool items_rowwise = is_rowwise(item_table, item_sums);

  // Memory that every step uses anew, but for faults and runs.
  Arena arena;
  const auto faults = arena.reserve<int>(n_steps);
  const auto weights = arena.reserve<float>(n_negatives + 1);
  const auto loss = arena.reserve<float>(most);
  const auto factor = arena.reserve<float>(most);
  const auto hardest = arena.reserve<int32_t>(most);
  const auto impostors = arena.reserve<int32_t>(most);
  const int64_t most_runs = n_batch_runs(most);
  const auto run_loss = arena.reserve<double>(n_steps * most_runs);
  const auto run_impostors = arena.reserve<int64_t>(n_steps * most_runs);
  const auto run_active = arena.reserve<int64_t>(n_steps * most_runs);
  const PairGroups groups_of_most(arena, most, user_table.n_rows(), n_items, r);
  const auto fresh = arena.reserve<char>(most * r * bytes_of(user_w.scalar_type()));
  const auto unclipped =
      arena.reserve<float>(needs_unclipped(user_w, users_rowwise || items_rowwise, one_tile) ? 3 * most * r : 0);
  arena.allocate(users);
  const Totals runs{arena.at(run_loss), arena.at(run_impostors), arena.at(run_active)};

  store_rank_weights(stream, rank_weights(n_items, n_negatives, rank_weight), arena.at(weights),
                     {arena.at(faults), n_steps, numbers.lr});
  with_layout(user_w.scalar_type(), r, vector, [&](auto layout) {
    using L = decltype(layout);
    using Storage = typename L::Storage;
    Storage* const fresh_rows = reinterpret_cast<Storage*>(arena.at(fresh));
    for (int64_t step = 0; step < n_steps; ++step) {
      const int64_t first = part_begin(user.size(), n_steps, step);
      const int64_t n = part_begin(user.size(), n_steps, step + 1) - first;
      const DeviceIds step_users = DeviceIds(user).from(first);
      const DeviceIds step_positives = DeviceIds(positive).from(first);
      const PairGroups groups = groups_of_most.of(n);
      int* const fault = arena.at(faults) + step;
      const Number<int64_t> offset = numbers.offset.of(step);
      Negatives negatives;
      negatives.drawn = true;
      negatives.sampler = Sampler(row_ends, liked, n_items, seed, offset);
      negatives.n = n_negatives;
      const UpdateNumbers of_users{numbers.lr.of(step),
                                   static_cast<float>(eps),
                                   static_cast<float>(max_norm),
                                   stochastic_rounding,
                                   static_cast<uint64_t>(seed),
                                   offset,
                                   0};
      UpdateNumbers of_items = of_users;
      of_items.table = 1;

      const PairBatch<Storage> batch{
          user_table.data<Storage>(), item_table.data<Storage>(), r, step_users, step_positives, n, negatives,
          numbers.margin.of(step)};
      const ScanResults results{arena.at(loss), DeviceIdsOut(arena.at(hardest)), DeviceIdsOut(arena.at(impostors)),
                                arena.at(factor), groups.entries(arena)};
      launch(stream, n, kTeamsInBlock, scan_pairs<L, Metric::kSquaredEuclidean>,
             ScanArguments<Storage>{batch, arena.at(weights), results, fault,
                                    pair_limits(row_ends, liked, user_table.n_rows(), n_items)});
      groups.sort(arena, stream);

      // Every gradient is taken at the old weights without a copy of a table: new user rows wait in `fresh` (they read
      // old item rows), item rows change in place (they read old user rows), then the fresh rows move in.
      const RowGroups user_groups = groups.users(arena, fault);
      const RowGroups item_groups = groups.items(arena, fault);
      const UserShares<L> user_shares{item_table.data<Storage>(), DeviceIds(arena.at(hardest)), step_positives,
                                      arena.at(factor), r};
      Update<L> user_update{
          user_table.data<Storage>(), user_sums.data(), fresh_rows, arena.at(unclipped), r, of_users, users_rowwise};
      launch(stream, n, kTeamsInBlock, sum_runs<L, UserShares<L>, Update<L>>, user_groups, user_shares, user_update,
             groups.user_partials(arena));
      const ItemShares<L> item_shares{user_table.data<Storage>(), step_users, arena.at(factor), false, r};
      const Update<L> item_update{item_table.data<Storage>(),
                                  item_sums.data(),
                                  nullptr,
                                  arena.at(unclipped) + n * r,
                                  r,
                                  of_items,
                                  items_rowwise};
      launch(stream, 2 * n, kTeamsInBlock, sum_runs<L, ItemShares<L>, Update<L>>, item_groups, item_shares, item_update,
             groups.item_partials(arena));
      user_update.fresh = nullptr;
      const auto blocks_of = [](int64_t n, int64_t per_block) { return (n + per_block - 1) / per_block; };
      const FinishBlocks blocks{blocks_of(n_long_rows(user_groups), kTeamsInBlock),
                                blocks_of(n_long_rows(item_groups), kTeamsInBlock), blocks_of(n, kTeamsInBlock),
                                blocks_of(n_batch_runs(n), kBlock / kLanes)};
      launch(stream, blocks.users + blocks.items + blocks.fresh + blocks.runs, 1, finish_step<L>,
             Sides<L>{
                 user_groups, item_groups, user_update, item_update, groups.user_partials(arena),
                 groups.item_partials(arena), fresh_rows,
                 BatchSums{arena.at(loss), arena.at(impostors), groups.entries(arena), n, runs.from(step * most_runs)}},
             blocks);
    }
  });
  for (Matrix* matrix : {&user_table, &item_table, &user_sums, &item_sums}) matrix->store();
  launch<kLanes>(stream, n_steps, 1, add_up, runs, most_runs, user.size(), const_cast<const int*>(arena.at(faults)),
                 totals);
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
  const Returned returned(user_w, {});
  take_steps(user_w, item_w, user_state, item_state, indptr, indices, users, positives, 1, n_negatives,
             {static_cast<float>(margin), static_cast<float>(lr), offset}, eps, max_norm, rank_weight, seed,
             stochastic_rounding, device, returned.totals());
  return {returned.loss, returned.impostors, returned.active};
}

std::tuple<Tensor, Tensor, Tensor> cml_steps_(const Tensor& user_w, const Tensor& item_w, const Tensor& user_state,
                                              const Tensor& item_state, const Tensor& indptr, const Tensor& indices,
                                              const Tensor& users, const Tensor& positives, int64_t n_negatives,
                                              const Tensor& margins, const Tensor& lrs, double eps, double max_norm,
                                              bool rank_weight, int64_t seed, const Tensor& offsets,
                                              bool stochastic_rounding) {
  check_cml_steps(user_w, item_w, user_state, item_state, indptr, indices, users, positives, n_negatives, margins, lrs,
                  eps, max_norm, offsets);
  check_batch_size(users, "users");
  check_few_negatives(n_negatives);
  check_n_keys(user_w, "user_w");
  const Device device = enter_device(user_w);
  const Tensor margin = torch::stable::contiguous(margins);
  const Tensor lr = torch::stable::contiguous(lrs);
  const Tensor offset = torch::stable::contiguous(offsets);
  const StepNumbers numbers{Number(static_cast<const float*>(margin.data_ptr())),
                            Number(static_cast<const float*>(lr.data_ptr())),
                            Number(static_cast<const int64_t*>(offset.data_ptr()))};
  const int64_t n_steps = lrs.size(0);
  const Returned returned(user_w, {n_steps});
  take_steps(user_w, item_w, user_state, item_state, indptr, indices, users, positives, n_steps, n_negatives, numbers,
             eps, max_norm, rank_weight, seed, stochastic_rounding, device, returned.totals());
  return {returned.loss, returned.impostors, returned.active};
}

}  // namespace
}  // namespace cmlfast

STABLE_TORCH_LIBRARY_IMPL(cmlfast, CMLFAST_CUDA_KEY, m) {
  m.impl("cml_step_", TORCH_BOX(&cmlfast::cml_step_));
  m.impl("cml_steps_", TORCH_BOX(&cmlfast::cml_steps_));
}
