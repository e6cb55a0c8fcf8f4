// Which of a query's candidates are its nearest: a block has a query, computes their distances in the pinned arithmetic
// and sorts them, with the nearest ones so far, in shared memory.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "../filter_bound.h"
#include "eight_threads.cuh"
#include "ids.cuh"
#include "lane_sums.cuh"
#include "ranks.cuh"

namespace cmlfast {
namespace {

constexpr int kKeepThreads = 256;
constexpr int kKeepBlocks = 2;       // on a multiprocessor
constexpr int kSortedAtOnce = 4096;  // ranks in shared memory, 32 kB
constexpr int kMostKept = 1024;      // the most that one visit keeps

// What a query must not get, a CSR matrix; row columns need no order and may repeat.
struct SeenItems {
  DeviceIds indptr;
  DeviceIds indices;
  bool any = false;

  // Which of four items query `query` has seen: bit g for items[g], in every thread of the team.
  __device__ __forceinline__ unsigned among(const Team& team, int64_t query, const int64_t (&items)[4]) const {
    unsigned found = 0;
    if (!any) return found;
    const int64_t end = indptr[query + 1];
    for (int64_t i = indptr[query] + team.thread; i < end; i += kTeam) {
      const int64_t seen = indices[i];
#pragma unroll
      for (int g = 0; g < 4; ++g) found |= items[g] == seen ? 1u << g : 0u;
    }
#pragma unroll
    for (int distance = kTeam / 2; distance > 0; distance /= 2) found |= team.across(found, distance);
    return found;
  }
};

// The nearest items so far, ascending; kNoRank where there are no more.
struct KeptRanks {
  Rank* ranks;        // [Q, k]
  int64_t k;          // at most kMostKept
  bool none;          // ranks are yet to be written
  const Rank* after;  // [Q, step] or null: ranks up to the first of a query's are none of its candidates
  int64_t step;
};

// What the next candidates are found by.
struct NextLimits {
  const double* squares;  // [Q], of the queries
  float* limits;          // [Q] or null
  int* counts;            // [Q], set to 0
  FilterBound bound;
};

// Source says how many candidates a query has, and which; one of -1 is none. kRepeats: it may name an item twice.
template <typename L, Metric kMetric, typename Source>
__global__ void __launch_bounds__(kKeepThreads, kKeepBlocks)
    keep_nearest(const typename L::Storage* queries, const typename L::Storage* items, int64_t r, Source source,
                 SeenItems seen, int64_t first_query, KeptRanks kept, NextLimits next) {
  using Storage = typename L::Storage;
  __shared__ Rank ranks[kSortedAtOnce];
  const Team team;
  const int thread = static_cast<int>(threadIdx.x);
  const int64_t query = blockIdx.x;
  const int k = static_cast<int>(kept.k);
  const Storage* own = queries + query * r;
  const Tile<L> tile = L::kOneTile ? load_tile<L>(team, own, 0, r) : zero_tile<L>();
  for (int i = thread; i < k; i += kKeepThreads) ranks[i] = kept.none ? kNoRank : kept.ranks[query * k + i];
  const int64_t n = source.count(query);
  const int64_t batch = kSortedAtOnce - k;
  for (int64_t begin = 0; begin < n; begin += batch) {
    const int m = static_cast<int>(n - begin < batch ? n - begin : batch);
    int sorted = 2;
    while (sorted < k + m) sorted *= 2;
    for (int i = thread / kTeam * 4; i < m; i += kKeepThreads / kTeam * 4) {
      int64_t ids[4];
      const Storage* rows[4];
#pragma unroll
      for (int g = 0; g < 4; ++g) {
        ids[g] = i + g < m ? source.item(query, begin + i + g) : -1;
        rows[g] = items + (ids[g] < 0 ? 0 : ids[g]) * r;
      }
      float distance[4];
      distances4<L, kMetric>(team, tile, own, rows, 4, r, distance);
      const unsigned hidden = seen.among(team, first_query + query, ids);
#pragma unroll
      for (int g = 0; g < 4; ++g) {
        if (team.thread != g || i + g >= m) continue;
        const bool listed = ids[g] >= 0 && !(hidden >> g & 1u);
        const Rank rank = listed ? rank_of(distance[g], ids[g]) : kNoRank;
        ranks[k + i + g] = kept.after && rank <= kept.after[query * kept.step] ? kNoRank : rank;
      }
    }
    for (int i = k + m + thread; i < sorted; i += kKeepThreads) ranks[i] = kNoRank;
    sort_ranks(ranks, sorted);
    if constexpr (Source::kRepeats) {
      unsigned repeated = 0;  // of the thread's own, at most sixteen
      for (int i = thread, bit = 0; i < sorted; i += kKeepThreads, ++bit) {
        if (i > 0 && ranks[i] != kNoRank && ranks[i] == ranks[i - 1]) repeated |= 1u << bit;
      }
      if (__syncthreads_or(repeated != 0)) {
        for (int i = thread, bit = 0; i < sorted; i += kKeepThreads, ++bit) {
          if (repeated >> bit & 1u) ranks[i] = kNoRank;
        }
        sort_ranks(ranks, sorted);
      }
    }
  }
  __syncthreads();
  for (int i = thread; i < k; i += kKeepThreads) kept.ranks[query * k + i] = ranks[i];
  if (thread == 0 && next.limits) {
    const Rank last = ranks[k - 1];
    next.limits[query] = limit_of(next.bound, last == kNoRank ? INFINITY : distance_of(last), next.squares[query]);
    next.counts[query] = 0;
  }
}

// Writes the first n of the `width` ranks of each query to columns `column`, `column` + 1, ... of the results [Q, k].
__global__ void __launch_bounds__(kBlock)
    store_nearest(const Rank* ranks, int64_t n_queries, int64_t width, int64_t n, int64_t column, int64_t k, bool dot,
                  int64_t* ids, float* values) {
  const int64_t i = thread_number();
  if (i >= n_queries * width || i % width >= n) return;
  const Rank rank = ranks[i];
  const int64_t at = i / width * k + column + i % width;
  const float distance = rank == kNoRank ? INFINITY : distance_of(rank);
  ids[at] = rank == kNoRank ? -1 : item_of(rank);
  values[at] = dot ? -distance : distance;
}

}  // namespace
}  // namespace cmlfast
