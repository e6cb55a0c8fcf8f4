// The forward pass over a batch of pairs, shared by warp_hinge, warp_hinge_sampled and cml_step_: distances, impostors,
// hardest negative, loss. Eight threads a pair; they draw eight negatives at a time and look at four rows at a time.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "../warp_math.h"
#include "check_ids.cuh"
#include "draw.cuh"
#include "eight_threads.cuh"
#include "group.cuh"
#include "ids.cuh"
#include "lane_sums.cuh"
#include "number.cuh"

namespace cmlfast {
namespace {

// A pair's negatives: drawn on the way, or given.
struct Negatives {
  bool drawn = false;
  Sampler sampler;
  DeviceIds given;  // [N, U]
  int64_t n = 0;    // U
};

template <typename Storage>
struct PairBatch {
  const Storage* user_vectors;  // [I, r]
  const Storage* item_vectors;  // [J, r]
  int64_t r;
  DeviceIds users;      // [N]
  DeviceIds positives;  // [N]
  int64_t n_pairs;
  Negatives negatives;
  Number<float> margin;
};

struct ScanResults {
  float* loss;             // [N]
  DeviceIdsOut hardest;    // [N], -1 for a pair without negatives
  DeviceIdsOut impostors;  // [N]
  float* factor;           // [N], what the pair's gradients are multiplied by; null without
  RowEntries entries;      // of the pairs whose hinge is above 0
};

// One argument: as four, they cost registers, and so warps.
template <typename Storage>
struct ScanArguments {
  PairBatch<Storage> batch;
  const float* weights;  // [U + 1], the rank weight of each number of impostors
  ScanResults results;
  int* fault = nullptr;  // becomes 1 if a pair names what it may not; null where the ids are known to be good
  PairLimits limits{};   // of what it may name
};

template <typename L, Metric kMetric>
__global__ void __launch_bounds__(kBlock, kScanBlocks) scan_pairs(ScanArguments<typename L::Storage> a) {
  using Storage = typename L::Storage;
  const Team team;
  const int64_t n = Team::number();
  if (n >= a.batch.n_pairs) return;
  const int64_t user = a.batch.users[n];
  const int64_t positive = a.batch.positives[n];
  const bool sound = a.fault == nullptr || a.limits.allow(user, positive);
  const int n_negatives = static_cast<int>(a.batch.negatives.n);
  const float margin = a.batch.margin.get();

  PairScan scan;
  float positive_distance = 0.0f;
  int32_t hardest = -1;                                 // items are below 2^31
  const auto look_at_all = [&](const auto& negative) {  // negative(q) is the q-th negative
    const Storage* user_row = a.batch.user_vectors + user * a.batch.r;
    const Tile<L> user_tile = L::kOneTile ? load_tile<L>(team, user_row, 0, a.batch.r) : zero_tile<L>();
    // Slot 0 is the positive, slot 1 + q the q-th negative. Rows are asked for before those in front of them are
    // waited for.
    const auto name = [&](int slot) {
      if (slot > n_negatives) return 0;
      const int32_t id = static_cast<int32_t>(slot == 0 ? positive : negative(slot - 1));
      prefetch_row(a.batch.item_vectors + id * a.batch.r, a.batch.r);
      return id;
    };
    int32_t next = name(team.thread);
    for (int eight = 0; eight <= n_negatives; eight += kTeam) {
      const int32_t id = next;
      next = name(eight + kTeam + team.thread);
#pragma unroll
      for (int four = 0; four < kTeam; four += 4) {
        const int left = n_negatives + 1 - eight - four;
        if (left <= 0) break;
        const Storage* rows[4];
        int32_t ids[4];
#pragma unroll
        for (int g = 0; g < 4; ++g) {
          ids[g] = team.from(id, four + g);
          rows[g] = a.batch.item_vectors + ids[g] * a.batch.r;
        }
        const int n_rows = left < 4 ? left : 4;
        float distance[4];
        distances4<L, kMetric>(team, user_tile, user_row, rows, n_rows, a.batch.r, distance);
#pragma unroll
        for (int g = 0; g < 4; ++g) {
          const int at = eight + four + g;
          if (at == 0) positive_distance = distance[0];
          if (at == 0 || g >= n_rows) continue;
          see_negative(scan, at, margin, positive_distance, distance[g]);
          if (scan.nearest_at == at) hardest = ids[g];
        }
      }
    }
  };
  if (sound && a.batch.negatives.drawn) {
    const PairDraws draws(a.batch.negatives.sampler, user, positive);
    if (draws.n_others() > 0) {
      look_at_all([&](int q) { return draws.item(pick(draws.words(q / 4), q % 4)); });
    }
  } else if (sound) {
    const DeviceIds given = a.batch.negatives.given.from(n * n_negatives);
    if (given[0] >= 0) look_at_all([&](int q) { return given[q]; });
  }

  if (team.thread != 0) return;
  if (!sound) atomicExch(a.fault, 1);
  const float value = hardest < 0 ? 0.0f : hinge(margin, positive_distance, scan.nearest);
  const float weight = a.weights[scan.impostors];
  a.results.loss[n] = weighted_relu(weight, value);
  a.results.hardest.set(n, hardest);
  a.results.impostors.set(n, scan.impostors);
  if (a.results.factor) a.results.factor[n] = gradient_factor(kMetric, weight);
  if (a.results.entries.keys)
    write_entries(a.results.entries, a.batch.n_pairs, n, value > 0.0f, user, positive, hardest);
}

}  // namespace
}  // namespace cmlfast
