// Eight threads share a table row: thread t holds elements 4t .. 4t + 3 of every 32, which are lanes 4t .. 4t + 3 of
// the 32 virtual lanes of a row sum. A load of one float4 each covers 128 bytes in a row, and a warp works on four
// rows.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "../storage.h"
#include "../warp_math.h"
#include "launch.cuh"

namespace cmlfast {

constexpr int kGroup = 8;  // threads that share a row
constexpr int kGroupsInBlock = kBlock / kGroup;

// How a kernel reads rows: Storage is a number's type in memory; kVector reads four at a time, which needs aligned rows
// of 4 n elements; kOneTile keeps a whole row in registers, which needs at most kTile elements. A thread holds kChunks
// times four elements of a row at a time: few where each takes a load of its own.
template <typename Storage_, bool kVector_, bool kOneTile_>
struct Layout {
  using Storage = Storage_;
  static constexpr bool kVector = kVector_;
  static constexpr bool kOneTile = kOneTile_;
  static constexpr int kChunks = kVector_ ? 4 : 1;
  static constexpr int kTile = kChunks * kLanes;
  static constexpr int kStride = kVector_ ? 1 : kGroup;  // from one of a thread's four elements to the next
};
constexpr int kLargestTile = Layout<float, true, true>::kTile;

struct Group {
  int thread;     // 0 .. 7
  unsigned mask;  // the group's lanes of the warp: groups of a warp need not be in step

  __device__ __forceinline__ Group()
      : thread(threadIdx.x % kGroup), mask(0xFFu << (threadIdx.x % 32 / kGroup * kGroup)) {}

  static __device__ __forceinline__ int64_t number() { return thread_number() / kGroup; }

  template <typename T>
  __device__ __forceinline__ T from(T value, int source) const {
    return __shfl_sync(mask, value, source, kGroup);
  }
  template <typename T>
  __device__ __forceinline__ T across(T value, int distance) const {
    return __shfl_xor_sync(mask, value, distance, kGroup);
  }
  // How many of the group's threads say yes, if those that do are the first.
  __device__ __forceinline__ int count(bool yes) const { return __popc(__ballot_sync(mask, yes) & mask); }
};

// --- four elements at a time

__device__ __forceinline__ float4 operator+(float4 a, float4 b) {
  return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w);
}
__device__ __forceinline__ float4 operator-(float4 a, float4 b) {
  return make_float4(a.x - b.x, a.y - b.y, a.z - b.z, a.w - b.w);
}
__device__ __forceinline__ float4 operator*(float4 a, float4 b) {
  return make_float4(a.x * b.x, a.y * b.y, a.z * b.z, a.w * b.w);
}
__device__ __forceinline__ float4 operator*(float a, float4 b) {
  return make_float4(a * b.x, a * b.y, a * b.z, a * b.w);
}
__device__ __forceinline__ float4 zero4() { return make_float4(0.0f, 0.0f, 0.0f, 0.0f); }

__device__ __forceinline__ float4 load_vector(const float* at) { return *reinterpret_cast<const float4*>(at); }
template <typename Half>
__device__ __forceinline__ float4 load_vector(const Half* at) {
  const ushort4 bits = *reinterpret_cast<const ushort4*>(at);
  return make_float4(to_float(Half{bits.x}), to_float(Half{bits.y}), to_float(Half{bits.z}), to_float(Half{bits.w}));
}

// A thread's four elements, of which e is the first, of a row of r elements; what lies beyond its end is +0.
template <typename L>
__device__ __forceinline__ float4 load4(const typename L::Storage* row, int64_t e, int64_t r) {
  if constexpr (L::kVector) return e < r ? load_vector(row + e) : zero4();
  const auto number = [&](int i) { return e + i * L::kStride < r ? to_float(row[e + i * L::kStride]) : 0.0f; };
  return make_float4(number(0), number(1), number(2), number(3));
}

__device__ __forceinline__ void store_vector(float* at, const float (&value)[4]) {
  *reinterpret_cast<float4*>(at) = make_float4(value[0], value[1], value[2], value[3]);
}
template <typename Half>
__device__ __forceinline__ void store_vector(Half* at, const Half (&value)[4]) {
  *reinterpret_cast<ushort4*>(at) = make_ushort4(value[0].bits, value[1].bits, value[2].bits, value[3].bits);
}

// Four numbers as they stand.
__device__ __forceinline__ void load_raw(const float* at, float (&value)[4]) {
  const float4 vector = *reinterpret_cast<const float4*>(at);
  value[0] = vector.x, value[1] = vector.y, value[2] = vector.z, value[3] = vector.w;
}
template <typename Half>
__device__ __forceinline__ void load_raw(const Half* at, Half (&value)[4]) {
  const ushort4 bits = *reinterpret_cast<const ushort4*>(at);
  value[0] = Half{bits.x}, value[1] = Half{bits.y}, value[2] = Half{bits.z}, value[3] = Half{bits.w};
}

template <typename L, typename Storage>
__device__ __forceinline__ void store4(Storage* row, int64_t e, int64_t r, const Storage (&value)[4]) {
  if constexpr (L::kVector) {
    if (e < r) store_vector(row + e, value);
  } else {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (e + i * L::kStride < r) row[e + i * L::kStride] = value[i];
    }
  }
}

// --- a tile of a row: the elements first .. first + kTile - 1, of which a thread holds four in every 32

template <int kChunks>
struct Chunks {
  float4 chunk[kChunks];
};
template <typename L>
using Tile = Chunks<L::kChunks>;

// The first of the thread's four elements of a chunk.
template <typename L>
__device__ __forceinline__ int64_t element(const Group& group, int64_t first, int chunk) {
  return first + chunk * kLanes + (L::kVector ? 4 : 1) * group.thread;
}

template <typename L>
__device__ __forceinline__ Tile<L> zero_tile() {
  Tile<L> tile;
#pragma unroll
  for (int c = 0; c < L::kChunks; ++c) tile.chunk[c] = zero4();
  return tile;
}

template <typename L>
__device__ __forceinline__ Tile<L> load_tile(const Group& group, const typename L::Storage* row, int64_t first,
                                             int64_t r) {
  Tile<L> tile;
#pragma unroll
  for (int c = 0; c < L::kChunks; ++c) tile.chunk[c] = load4<L>(row, element<L>(group, first, c), r);
  return tile;
}

// --- sums over a row, in the pinned order: lanes add their elements ascending, then fold by halves

__device__ __forceinline__ float across(const Group& group, float value, int distance) {
  return group.across(value, distance);
}
__device__ __forceinline__ float4 across(const Group& group, float4 value, int distance) {
  return make_float4(group.across(value.x, distance), group.across(value.y, distance), group.across(value.z, distance),
                     group.across(value.w, distance));
}

// The folds of the lanes that one thread holds: the last two of all, or with kStride the first two.
__device__ __forceinline__ float fold_thread(float4 lanes) { return (lanes.x + lanes.z) + (lanes.y + lanes.w); }
__device__ __forceinline__ float fold_thread(float lane) { return lane; }

// The other three.
template <typename Lanes>
__device__ __forceinline__ float fold_group(const Group& group, Lanes lanes) {
#pragma unroll
  for (int distance = kGroup / 2; distance > 0; distance /= 2) lanes = lanes + across(group, lanes, distance);
  return fold_thread(lanes);
}

// The same of four rows. At each fold a thread keeps half of the rows and gives away its part of the others, so that
// four rows cost little more shuffles than one.
template <typename Lanes>
__device__ __forceinline__ void fold_group4(const Group& group, const Lanes (&lanes)[4], float (&sum)[4]) {
  const bool high = group.thread & 4;  // goes on with rows 2 and 3
  const Lanes a = (high ? lanes[2] : lanes[0]) + across(group, high ? lanes[0] : lanes[2], 4);
  const Lanes b = (high ? lanes[3] : lanes[1]) + across(group, high ? lanes[1] : lanes[3], 4);
  const bool odd = group.thread & 2;  // goes on with the second of the two
  const Lanes one = (odd ? b : a) + across(group, odd ? a : b, 2);
  const float own = fold_thread(one + across(group, one, 1));
#pragma unroll
  for (int g = 0; g < 4; ++g) sum[g] = group.from(own, 2 * g);
}

// The sum of all 32 lanes, in every thread.
template <typename L>
__device__ __forceinline__ float fold(const Group& group, float4 lanes) {
  if constexpr (L::kVector) {
    return fold_group(group, lanes);
  } else {
    return fold_group(group, fold_thread(lanes));
  }
}

// The sums of four rows.
template <typename L>
__device__ __forceinline__ void fold4(const Group& group, const float4 (&lanes)[4], float (&sum)[4]) {
  if constexpr (L::kVector) {
    fold_group4(group, lanes, sum);
  } else {
    const float folded[4] = {fold_thread(lanes[0]), fold_thread(lanes[1]), fold_thread(lanes[2]),
                             fold_thread(lanes[3])};
    fold_group4(group, folded, sum);
  }
}

template <Metric kMetric>
__device__ __forceinline__ float4 distance_term(float4 a, float4 b) {
  if constexpr (kMetric == Metric::kDot) return a * b;
  const float4 difference = a - b;
  return difference * difference;
}

// The distances of a row `own` and of rows[0 .. n_rows - 1], n_rows <= 4. With kOneTile `held` is that row, and `own`
// is not read again.
template <typename L, Metric kMetric>
__device__ __forceinline__ void distances4(const Group& group, const Tile<L>& held, const typename L::Storage* own,
                                           const typename L::Storage* const (&rows)[4], int n_rows, int64_t r,
                                           float (&distance)[4]) {
  float4 lanes[4] = {zero4(), zero4(), zero4(), zero4()};
  for (int64_t first = 0; L::kOneTile ? first == 0 : first < r; first += L::kTile) {
    const Tile<L> tile = L::kOneTile ? held : load_tile<L>(group, own, first, r);
#pragma unroll
    for (int c = 0; c < L::kChunks; ++c) {
#pragma unroll
      for (int g = 0; g < 4; ++g) {
        if (g >= n_rows) continue;
        const float4 other = load4<L>(rows[g], element<L>(group, first, c), r);
        lanes[g] = lanes[g] + distance_term<kMetric>(tile.chunk[c], other);
      }
    }
  }
  fold4<L>(group, lanes, distance);
#pragma unroll
  for (int g = 0; g < 4; ++g) {
    if (kMetric == Metric::kDot) distance[g] = -distance[g];
  }
}

}  // namespace cmlfast
