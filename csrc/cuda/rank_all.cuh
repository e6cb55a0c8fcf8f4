// topk for very many neighbours: all distances of some queries are computed, then sorted by (query, distance), in two
// stable sorts of 32-bit keys.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>

#include "arena.h"
#include "eight_threads.cuh"
#include "ids.cuh"
#include "lane_sums.cuh"
#include "layouts.cuh"
#include "ranks.cuh"
#include "sort.h"

namespace cmlfast {
namespace {

constexpr int64_t kDistancesAtOnce = int64_t{1} << 22;  // of some 32 bytes of scratch memory each
constexpr uint32_t kNoKey = 0xFFFFFFFF;                 // of what is never listed

struct Distances {
  float* value;    // [Q, J]
  uint32_t* key;   // [Q, J]
  int32_t* place;  // [Q, J], its own place in this table
  int64_t n_queries;
  int64_t n_items;
};

constexpr int kQueriesAtOnce = 64;

// A team holds an item and passes over some queries; the block's other teams read the same query rows meanwhile.
template <typename L, Metric kMetric>
__global__ void __launch_bounds__(kBlock, kScanBlocks)
    all_distances(const typename L::Storage* queries, const typename L::Storage* items, int64_t r, Distances out) {
  using Storage = typename L::Storage;
  const Team team;
  const int64_t item = Team::number() % out.n_items;
  const int64_t begin = Team::number() / out.n_items * kQueriesAtOnce;
  if (begin >= out.n_queries) return;
  const int64_t end = begin + kQueriesAtOnce < out.n_queries ? begin + kQueriesAtOnce : out.n_queries;
  const Storage* item_row = items + item * r;
  const Tile<L> item_tile = L::kOneTile ? load_tile<L>(team, item_row, 0, r) : zero_tile<L>();
  for (int64_t first = begin; first < end; first += 4) {
    const int n_rows = end - first < 4 ? static_cast<int>(end - first) : 4;
    const Storage* rows[4];
#pragma unroll
    for (int g = 0; g < 4; ++g) rows[g] = queries + (first + g) * r;
    float distance[4];
    distances4<L, kMetric>(team, item_tile, item_row, rows, n_rows, r, distance);
    float mine = distance[0];
#pragma unroll
    for (int g = 1; g < 4; ++g) mine = team.thread == g ? distance[g] : mine;
    if (team.thread < n_rows) {
      const int64_t place = (first + team.thread) * out.n_items + item;
      out.value[place] = mine;
      out.key[place] = mine != mine ? kNoKey : rank_key(mine);
      out.place[place] = static_cast<int32_t>(place);
    }
  }
}

// A block for each query. A query may name an item twice, so that two threads write here: atomically, to be no race.
__global__ void __launch_bounds__(kBlock)
    mask_seen(DeviceIds indptr, DeviceIds indices, int64_t first_query, Distances out) {
  const int64_t query = blockIdx.x;
  const int64_t end = indptr[first_query + query + 1];
  for (int64_t i = indptr[first_query + query] + threadIdx.x; i < end; i += kBlock) {
    atomicExch(out.key + query * out.n_items + indices[i], kNoKey);
  }
}

__global__ void __launch_bounds__(kBlock)
    query_keys(const int32_t* places, int64_t n, int64_t n_items, uint32_t* keys) {
  const int64_t i = thread_number();
  if (i < n) keys[i] = static_cast<uint32_t>(places[i]) / static_cast<uint32_t>(n_items);
}

__global__ void __launch_bounds__(kBlock)
    store_first(const int32_t* ranked, Distances from, int64_t k, bool dot, int64_t* ids, float* values) {
  const int64_t i = thread_number();
  if (i >= from.n_queries * k) return;
  const int64_t query = i / k;
  const int64_t rank = i % k;
  const int64_t first = query * from.n_items;
  const int64_t place = rank < from.n_items ? ranked[first + rank] : -1;
  const bool any = place >= 0 && from.key[place] != kNoKey;
  ids[i] = any ? place - first : -1;
  const float distance = any ? from.value[place] : INFINITY;
  values[i] = dot ? -distance : distance;
}

// Writes ids [Q, k] and values [Q, k]; `indptr` and `indices` say what was seen, where there are any.
void rank_all(cudaStream_t stream, const Tensor& queries, const Matrix& query_table, const Matrix& item_table,
              int64_t k, const std::optional<Ids>& indptr, const std::optional<Ids>& indices, bool dot, int64_t* ids,
              float* values) {
  const int64_t n_queries = query_table.n_rows();
  const int64_t n_items = item_table.n_rows();
  const int64_t r = query_table.n_columns();
  // As many queries at a time as the scratch memory is meant for, at least one.
  const int64_t some =
      std::clamp<int64_t>(kDistancesAtOnce / std::max<int64_t>(1, n_items), 1, std::max<int64_t>(1, n_queries));
  const int64_t n_places = some * n_items;
  const int n_query_bits = bits_for(static_cast<uint64_t>(some));
  const size_t scratch_bytes = std::max(sort_scratch_bytes(n_places, 32), sort_scratch_bytes(n_places, n_query_bits));
  Arena arena;
  const auto value = arena.reserve<float>(n_places);
  const auto key = arena.reserve<uint32_t>(n_places);
  const auto place = arena.reserve<int32_t>(n_places);
  const auto sorted_key = arena.reserve<uint32_t>(n_places);
  const auto sorted_place = arena.reserve<int32_t>(n_places);
  const auto query_key = arena.reserve<uint32_t>(n_places);
  const auto scratch = arena.reserve<char>(static_cast<int64_t>(scratch_bytes));
  arena.allocate(queries);
  const bool vector = vector_loads(r, {query_table.data(), item_table.data()});
  for (int64_t first = 0; first < n_queries; first += some) {
    const Distances distances{arena.at(value), arena.at(key), arena.at(place), std::min(some, n_queries - first),
                              n_items};
    const int64_t n = distances.n_queries * n_items;
    with_layout(queries.scalar_type(), r, vector, [&](auto layout) {
      using L = decltype(layout);
      using Storage = typename L::Storage;
      const auto kernel = dot ? all_distances<L, Metric::kDot> : all_distances<L, Metric::kSquaredEuclidean>;
      const int64_t n_slices = (distances.n_queries + kQueriesAtOnce - 1) / kQueriesAtOnce;
      launch(stream, n_items * n_slices, kTeamsInBlock, kernel,
             const_cast<const Storage*>(query_table.row<Storage>(first)),
             const_cast<const Storage*>(item_table.data<Storage>()), r, distances);
    });
    if (indptr) {
      launch(stream, distances.n_queries, 1, mask_seen, DeviceIds(*indptr), DeviceIds(*indices), first, distances);
    }
    sort_pairs({arena.at(key), arena.at(place), arena.at(sorted_key), arena.at(sorted_place), n, 32}, arena.at(scratch),
               scratch_bytes, stream);
    launch(stream, n, kBlock, query_keys, const_cast<const int32_t*>(arena.at(sorted_place)), n, n_items,
           arena.at(query_key));
    sort_pairs({arena.at(query_key), arena.at(sorted_place), arena.at(sorted_key), arena.at(place), n, n_query_bits},
               arena.at(scratch), scratch_bytes, stream);
    launch(stream, distances.n_queries * k, kBlock, store_first, const_cast<const int32_t*>(arena.at(place)), distances,
           k, dot, ids + first * k, values + first * k);
  }
}

}  // namespace
}  // namespace cmlfast
