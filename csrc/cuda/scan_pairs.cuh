// The forward pass over a batch of pairs, shared by warp_hinge, warp_hinge_sampled and cml_step_: distances, impostors,
// hardest negative, loss. Eight threads a pair; they draw eight negatives at a time and look at four rows at a time.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "../warp_math.h"
#include "group.cuh"
#include "ids.cuh"
#include "row_sums.cuh"

namespace cmlfast {
namespace {

// A pair's negatives: drawn on the way, or given.
struct Negatives {
  bool drawn = false;
  DeviceSampler sampler;
  DeviceIds given;  // [N, U]
  int64_t n = 0;    // U
};

// The entries of the batch's rows that gradients go to, for sorting (see sorted_rows.cuh). Null without.
struct RowEntries {
  uint32_t* keys = nullptr;      // [3 N]: N users, then each pair's positive and negative
  int32_t* positions = nullptr;  // [3 N]: n for users; 2 n for positives, 2 n + 1 for negatives
  uint32_t n_users = 0;
  uint32_t n_items = 0;
};

// A user's key is their row; an item's is its row + n_users + 1. The key after the last row names none.
__device__ __forceinline__ void write_entries(const RowEntries& entries, int64_t n_pairs, int64_t n, bool active,
                                              int64_t user, int64_t positive, int64_t negative) {
  const uint32_t first_item = entries.n_users + 1;
  const uint32_t no_item = first_item + entries.n_items;
  entries.keys[n] = active ? static_cast<uint32_t>(user) : entries.n_users;
  entries.positions[n] = static_cast<int32_t>(n);
  const int64_t at = n_pairs + 2 * n;
  entries.keys[at] = active ? first_item + static_cast<uint32_t>(positive) : no_item;
  entries.positions[at] = static_cast<int32_t>(2 * n);
  entries.keys[at + 1] = active ? first_item + static_cast<uint32_t>(negative) : no_item;
  entries.positions[at + 1] = static_cast<int32_t>(2 * n + 1);
}

template <typename Storage>
struct PairScanArguments {
  const Storage* user_vectors;  // [I, r]
  const Storage* item_vectors;  // [J, r]
  int64_t r;
  DeviceIds users;      // [N]
  DeviceIds positives;  // [N]
  int64_t n_pairs;
  Negatives negatives;
  float margin;
  const float* weights;    // [U + 1], the rank weight of each number of impostors
  float* loss;             // [N]
  DeviceIdsOut hardest;    // [N], -1 for a pair without negatives
  DeviceIdsOut impostors;  // [N]
  float* factor;           // [N], what the pair's gradients are multiplied by; null without
  RowEntries entries;
  const int* fault;  // not 0 if the ids are bad, and nothing may be looked at; null without
};

template <typename L, Metric kMetric>
__global__ void __launch_bounds__(kBlock, kScanBlocks) scan_pairs(PairScanArguments<typename L::Storage> a) {
  using Storage = typename L::Storage;
  const Group group;
  const int64_t n = Group::number();
  if (n >= a.n_pairs) return;
  const bool sound = a.fault == nullptr || *a.fault == 0;
  const int64_t user = sound ? a.users[n] : 0;
  const int64_t positive = sound ? a.positives[n] : 0;
  const int n_negatives = static_cast<int>(a.negatives.n);

  PairScan scan;
  float positive_distance = 0.0f;
  int32_t hardest = -1;                                 // items are below 2^31
  const auto look_at_all = [&](const auto& negative) {  // negative(q) is the q-th negative
    const Storage* user_row = a.user_vectors + user * a.r;
    const Tile<L> user_tile = L::kOneTile ? load_tile<L>(group, user_row, 0, a.r) : zero_tile<L>();
    // Slot 0 is the positive, slot 1 + q the q-th negative.
    for (int eight = 0; eight <= n_negatives; eight += kGroup) {
      const int slot = eight + group.thread;
      int32_t id = 0;
      if (slot <= n_negatives) id = static_cast<int32_t>(slot == 0 ? positive : negative(slot - 1));
#pragma unroll
      for (int four = 0; four < kGroup; four += 4) {
        const int left = n_negatives + 1 - eight - four;
        if (left <= 0) break;
        const Storage* rows[4];
        int32_t ids[4];
#pragma unroll
        for (int g = 0; g < 4; ++g) {
          ids[g] = group.from(id, four + g);
          rows[g] = a.item_vectors + ids[g] * a.r;
        }
        const int n_rows = left < 4 ? left : 4;
        float distance[4];
        distances4<L, kMetric>(group, user_tile, user_row, rows, n_rows, a.r, distance);
#pragma unroll
        for (int g = 0; g < 4; ++g) {
          const int at = eight + four + g;
          if (at == 0) positive_distance = distance[0];
          if (at == 0 || g >= n_rows) continue;
          see_negative(scan, at, a.margin, positive_distance, distance[g]);
          if (scan.nearest_at == at) hardest = ids[g];
        }
      }
    }
  };
  if (sound && a.negatives.drawn) {
    const PairDraws draws(a.negatives.sampler, user, positive);
    if (draws.n_others() > 0) {
      look_at_all([&](int q) { return draws.item(pick(draws.words(q / 4), q % 4)); });
    }
  } else if (sound) {
    const DeviceIds given = a.negatives.given.from(n * n_negatives);
    if (given[0] >= 0) look_at_all([&](int q) { return given[q]; });
  }

  if (group.thread != 0) return;
  const float value = hardest < 0 ? 0.0f : hinge(a.margin, positive_distance, scan.nearest);
  const float weight = a.weights[scan.impostors];
  a.loss[n] = weighted_relu(weight, value);
  a.hardest.set(n, hardest);
  a.impostors.set(n, scan.impostors);
  if (a.factor) a.factor[n] = gradient_factor(kMetric, weight);
  if (a.entries.keys) write_entries(a.entries, a.n_pairs, n, value > 0.0f, user, positive, hardest);
}

// --- the table of rank weights comes as a kernel's argument, for a copy from the host's memory would have to wait

constexpr int kWeightsAtOnce = 512;
struct SomeWeights {
  float weight[kWeightsAtOnce];
};

__global__ void store_weights(SomeWeights some, int64_t n, float* out) {
  for (int64_t i = threadIdx.x; i < n; i += kBlock) out[i] = some.weight[i];
}

inline void store_rank_weights(cudaStream_t stream, const std::vector<float>& weights, float* out) {
  const int64_t n = static_cast<int64_t>(weights.size());
  for (int64_t first = 0; first < n; first += kWeightsAtOnce) {
    SomeWeights some;
    const int64_t count = std::min<int64_t>(kWeightsAtOnce, n - first);
    std::copy(weights.begin() + first, weights.begin() + first + count, some.weight);
    launch(stream, 1, 1, store_weights, some, count, out + first);
  }
}

}  // namespace
}  // namespace cmlfast
