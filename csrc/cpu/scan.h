// The forward pass over a batch of pairs, shared by warp_hinge, warp_hinge_sampled and cml_step_: distances, impostors,
// hardest negative, loss. One pass; a pair's rows are fetched into the cache while the previous pair is computed.
#pragma once

#include <vector>

#include "../rank_weights.h"
#include "../warp_math.h"
#include "batch.h"
#include "parallel.h"
#include "prefetch.h"
#include "row_kernels.h"

namespace cmlfast {
namespace {

struct ScanResults {
  std::vector<float> loss;         // [N]
  std::vector<float> weight;       // [N], the rank weight w
  std::vector<int64_t> hardest;    // [N], -1 for a pair without negatives
  std::vector<int64_t> impostors;  // [N]
  std::vector<uint8_t> active;     // [N], whether the hinge is above 0

  explicit ScanResults(int64_t n) : loss(n), weight(n), hardest(n), impostors(n), active(n) {}
};

// Tables are stored as Storage. `draw(n, ids)` writes the U negatives of pair n, or returns false if there are none.
template <typename Storage, typename Draw>
ScanResults scan_pairs(const PairBatch& batch, const std::vector<float>& weights, const Draw& draw) {
  const TableKernels<Storage>& kernels = row_kernels().of<Storage>();
  const auto see_negatives = row_kernels().see_negatives;
  const auto distances = batch.metric == Metric::kDot ? kernels.minus_dots : kernels.squared_distances;
  const int64_t n_rows = 1 + batch.n_negatives;
  const int64_t r = batch.user_vectors.n_columns();
  ScanResults results(batch.users.size());

  parallel_for(0, batch.users.size(), grain_for(n_rows * r), [&](int64_t begin, int64_t end) {
    std::vector<int64_t> slots(2 * n_rows);  // ids of this pair's positive and negatives, and of the next one's
    int64_t* ids = slots.data();
    int64_t* soon = ids + n_rows;
    std::vector<float> distance(n_rows);
    const auto fill = [&](int64_t n, int64_t* slot) {
      slot[0] = batch.positives[n];
      return draw(n, slot + 1);
    };

    bool has_negatives = fill(begin, ids);
    for (int64_t n = begin; n < end; ++n) {
      const bool soon_has_negatives = n + 1 < end && fill(n + 1, soon);
      if (soon_has_negatives) prefetch_row(batch.user_vectors.row<Storage>(batch.users[n + 1]), r);
      if (has_negatives) {
        distances(batch.user_vectors.row<Storage>(batch.users[n]), batch.item_vectors.data<Storage>(), ids,
                  soon_has_negatives ? soon : nullptr, n_rows, r, distance.data());
        const PairScan scan = see_negatives(batch.margin, distance.data(), n_rows);
        const float value = hinge(batch.margin, distance[0], scan.nearest);
        results.weight[n] = weights[scan.impostors];
        results.loss[n] = weighted_relu(results.weight[n], value);
        results.hardest[n] = ids[scan.nearest_at];
        results.impostors[n] = scan.impostors;
        results.active[n] = value > 0.0f;
      } else {
        results.hardest[n] = -1;
      }
      std::swap(ids, soon);
      has_negatives = soon_has_negatives;
    }
  });
  return results;
}

}  // namespace
}  // namespace cmlfast
