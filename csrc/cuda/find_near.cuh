// Which items can be among a query's nearest: cheap scores of many items with many queries, as a matrix product in
// tiles, each compared with its query's limit (filter_bound.h). What may be near goes to the query's list.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "../filter_bound.h"
#include "eight_threads.cuh"

namespace cmlfast {
namespace {

constexpr int kFindThreads = 256;  // 16 by 16
constexpr int kSide = 16;
constexpr int kItemsInTile = 128;
constexpr int kItemsOfThread = kItemsInTile / kSide;
constexpr int kDepth = 16;   // elements of a row that are in shared memory at once
constexpr int kPadding = 4;  // so that a column's writes fall on different banks, and its reads stay aligned

// The items that were looked at first: every stride-th, n of them.
struct Sample {
  int64_t stride;
  int64_t n;

  __device__ __forceinline__ bool has(int64_t item) const { return item % stride == 0 && item / stride < n; }
};

struct ItemBounds {
  float* base;   // [J], INFINITY of those that are never listed
  float* slope;  // [J]
};

struct QueryBounds {
  double* squares;  // [Q]
  float* factors;   // [Q]
};

// What may be near, of each query: as many ids as counted, or as there is room for.
struct Found {
  int32_t* ids;  // [Q, capacity]
  int* counts;   // [Q]
  int64_t capacity;
};

// The square of a row's length, in every thread of the team; in double, in any order.
template <typename Storage>
__device__ __forceinline__ double square_of_row(const Team& team, const Storage* row, int64_t r) {
  double sum = 0;
  for (int64_t e = team.thread; e < r; e += kTeam) {
    const double element = to_float(row[e]);
    sum = sum + element * element;
  }
#pragma unroll
  for (int distance = kTeam / 2; distance > 0; distance /= 2) sum = sum + team.across(sum, distance);
  return sum;
}

template <typename Storage>
__global__ void __launch_bounds__(kBlock)
    bound_items(const Storage* items, int64_t n, int64_t r, FilterBound bound, ItemBounds out) {
  const Team team;
  const int64_t item = Team::number();
  if (item >= n) return;
  const double square = square_of_row(team, items + item * r, r);
  if (team.thread > 0) return;
  out.base[item] = base_of(bound, square);
  out.slope[item] = slope_of(bound, square);
}

template <typename Storage>
__global__ void __launch_bounds__(kBlock)
    bound_queries(const Storage* queries, int64_t n, int64_t r, FilterBound bound, QueryBounds out) {
  const Team team;
  const int64_t query = Team::number();
  if (query >= n) return;
  const double square = square_of_row(team, queries + query * r, r);
  if (team.thread > 0) return;
  out.squares[query] = square;
  out.factors[query] = factor_of(bound, square);
}

// A thread's part of a tile: kOwn elements side by side of one row, which stay in registers until the tile before is
// done with. What lies beyond a row's end is 0; rows beyond the last are copies of it.
template <bool kVector, int kOwn, int kStride>
struct TilePart {
  float values[kOwn];

  template <typename Storage>
  __device__ __forceinline__ void load(const Storage* table, int64_t first, int64_t n_rows, int64_t r, int64_t column) {
    const int at = static_cast<int>(threadIdx.x) * kOwn;
    const int64_t wanted = first + at / kDepth;
    const Storage* row = table + (wanted < n_rows ? wanted : n_rows - 1) * r;
    const int64_t e = column + at % kDepth;
    if constexpr (kVector && kOwn % 4 == 0) {
#pragma unroll
      for (int i = 0; i < kOwn; i += 4) {
        const float4 four = e + i < r ? load_vector(row + e + i) : zero4();
        values[i] = four.x, values[i + 1] = four.y, values[i + 2] = four.z, values[i + 3] = four.w;
      }
    } else {
#pragma unroll
      for (int i = 0; i < kOwn; ++i) values[i] = e + i < r ? to_float(row[e + i]) : 0.0f;
    }
  }
  __device__ __forceinline__ void store(float (*tile)[kStride]) const {
    const int at = static_cast<int>(threadIdx.x) * kOwn;
#pragma unroll
    for (int i = 0; i < kOwn; ++i) tile[at % kDepth + i][at / kDepth] = values[i];
  }
};

// Where a thread's i-th of kOwn rows is in a tile of 16 kOwn: four side by side, so that they are read at once.
template <int kOwn>
__device__ __forceinline__ int place(int thread, int i) {
  if constexpr (kOwn % 4 == 0) return i / 4 * (4 * kSide) + thread * 4 + i % 4;
  return i * kSide + thread;
}

template <int kOwn>
__device__ __forceinline__ void read_tile(const float* line, int thread, float (&values)[kOwn]) {
  if constexpr (kOwn % 4 == 0) {
#pragma unroll
    for (int i = 0; i < kOwn; i += 4) {
      const float4 four = *reinterpret_cast<const float4*>(line + place<kOwn>(thread, i));
      values[i] = four.x, values[i + 1] = four.y, values[i + 2] = four.z, values[i + 3] = four.w;
    }
  } else {
#pragma unroll
    for (int i = 0; i < kOwn; ++i) values[i] = line[place<kOwn>(thread, i)];
  }
}

// Items first .. last - 1 that may be near to the queries, but for the sample. kOwn queries to a thread.
template <typename Storage, bool kVector, int kOwn>
__global__ void __launch_bounds__(kFindThreads, 2)
    find_near(const Storage* queries, const Storage* items, int64_t r, int64_t n_queries, int64_t first, int64_t last,
              float scale, ItemBounds item_bounds, const float* factors, const float* limits, Sample sample,
              Found found) {
  constexpr int kQueriesInTile = kOwn * kSide;
  constexpr int kItemStride = kItemsInTile + kPadding;
  constexpr int kQueryStride = kQueriesInTile + kPadding;
  __shared__ __align__(16) float item_tile[kDepth][kItemStride];
  __shared__ __align__(16) float query_tile[kDepth][kQueryStride];
  const int64_t n_query_tiles = (n_queries + kQueriesInTile - 1) / kQueriesInTile;
  const int64_t first_item = first + blockIdx.x / n_query_tiles * kItemsInTile;
  const int64_t first_query = blockIdx.x % n_query_tiles * kQueriesInTile;
  const int column = static_cast<int>(threadIdx.x) % kSide;
  const int line = static_cast<int>(threadIdx.x) / kSide;
  TilePart<kVector, kItemsOfThread, kItemStride> item_part;
  TilePart<kVector, kOwn, kQueryStride> query_part;
  float sums[kOwn][kItemsOfThread] = {};
  item_part.load(items, first_item, last, r, 0);
  query_part.load(queries, first_query, n_queries, r, 0);
  for (int64_t e = 0; e < r; e += kDepth) {
    __syncthreads();
    item_part.store(item_tile);
    query_part.store(query_tile);
    __syncthreads();
    if (e + kDepth < r) {
      item_part.load(items, first_item, last, r, e + kDepth);
      query_part.load(queries, first_query, n_queries, r, e + kDepth);
    }
#pragma unroll
    for (int d = 0; d < kDepth; ++d) {
      float item[kItemsOfThread];
      float query[kOwn];
      read_tile(item_tile[d], column, item);
      read_tile(query_tile[d], line, query);
#pragma unroll
      for (int q = 0; q < kOwn; ++q) {
#pragma unroll
        for (int i = 0; i < kItemsOfThread; ++i) sums[q][i] = __fmaf_rn(query[q], item[i], sums[q][i]);
      }
    }
  }
#pragma unroll
  for (int q = 0; q < kOwn; ++q) {
    const int64_t query = first_query + place<kOwn>(line, q);
    if (query >= n_queries) continue;
    const float limit = limits[query];
    const float factor = factors[query];
#pragma unroll
    for (int i = 0; i < kItemsOfThread; ++i) {
      const int64_t item = first_item + place<kItemsOfThread>(column, i);
      if (item >= last) continue;
      const float base = item_bounds.base[item];
      const float score = __fmaf_rn(scale, sums[q][i], __fmaf_rn(factor, item_bounds.slope[item], base));
      if (score > limit || base == INFINITY || sample.has(item)) continue;
      const int at = atomicAdd(found.counts + query, 1);
      if (at < found.capacity) found.ids[query * found.capacity + at] = static_cast<int32_t>(item);
    }
  }
}

}  // namespace
}  // namespace cmlfast
