// Eight threads share a table row, and with it the 32 virtual lanes of a row sum: of every 32 elements, thread t holds
// 4t .. 4t + 3, which it loads at once, or t, t + 8, t + 16, t + 24 where each takes a load of its own. So a load of
// all eight covers what stands together in memory. A warp works on four rows.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "../storage.h"
#include "../warp_math.h"
#include "launch.cuh"

namespace cmlfast {

constexpr int kTeam = 8;  // threads that share a row
constexpr int kTeamsInBlock = kBlock / kTeam;

// How a kernel reads rows: Storage is a number's type in memory; kVector reads four at a time, which needs aligned rows
// of 4 n elements; kOneTile keeps a whole row in registers, which needs at most kTile elements. A thread holds kChunks
// times four elements of a row at a time: few where each takes a load of its own, or where rows have no more.
template <typename Storage_, bool kVector_, bool kOneTile_, int kChunks_ = kVector_ ? 4 : 1>
struct Layout {
  using Storage = Storage_;
  static constexpr bool kVector = kVector_;
  static constexpr bool kOneTile = kOneTile_;
  static constexpr int kChunks = kChunks_;
  static constexpr int kTile = kChunks * kLanes;
  static constexpr int kStride = kVector_ ? 1 : kTeam;  // from one of a thread's four elements to the next
  template <typename Other>
  using Of = Layout<Other, kVector_, kOneTile_, kChunks_>;  // for rows of the same elements, stored otherwise
};
constexpr int kLargestTile = Layout<float, true, true>::kTile;

struct Team {
  int thread;     // 0 .. 7
  unsigned mask;  // the team's lanes of the warp: teams of a warp need not be in step

  __device__ __forceinline__ Team() : thread(threadIdx.x % kTeam), mask(0xFFu << (threadIdx.x % 32 / kTeam * kTeam)) {}

  static __device__ __forceinline__ int64_t number() { return thread_number() / kTeam; }

  template <typename T>
  __device__ __forceinline__ T from(T value, int source) const {
    return __shfl_sync(mask, value, source, kTeam);
  }
  template <typename T>
  __device__ __forceinline__ T across(T value, int distance) const {
    return __shfl_xor_sync(mask, value, distance, kTeam);
  }
  // How many of the team's threads say yes, if those that do are the first.
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
__device__ __forceinline__ float4 load4(const typename L::Storage* row, int e, int r) {
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

// Four numbers as they stand; load_raw needs them aligned.
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
__device__ __forceinline__ void copy4(const Storage* row, int e, int r, Storage (&value)[4]) {
  if constexpr (L::kVector) {
    if (e < r) load_raw(row + e, value);
  } else {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (e + i * L::kStride < r) value[i] = row[e + i * L::kStride];
    }
  }
}

template <typename L, typename Storage>
__device__ __forceinline__ void store4(Storage* row, int e, int r, const Storage (&value)[4]) {
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
__device__ __forceinline__ int element(const Team& team, int first, int chunk) {
  return first + chunk * kLanes + (L::kVector ? 4 : 1) * team.thread;
}

template <typename L>
__device__ __forceinline__ Tile<L> zero_tile() {
  Tile<L> tile;
#pragma unroll
  for (int c = 0; c < L::kChunks; ++c) tile.chunk[c] = zero4();
  return tile;
}

// Asks for a row's first kPrefetched bytes at most, so that the second-level cache has them when they are loaded. It
// takes no registers and nobody waits.
constexpr int kPrefetched = 512;
constexpr int kLine = 128;  // bytes of that cache's lines
template <typename Number>
__device__ __forceinline__ void prefetch_row(const Number* row, int64_t r) {
#ifdef __CUDA_ARCH__
  const size_t begin = __cvta_generic_to_global(row);
  const size_t end = begin + static_cast<size_t>(r) * sizeof(Number);
  const size_t line = begin / kLine * kLine;  // a row begins anywhere in a line, and may reach one more
#pragma unroll
  for (int first = 0; first <= kPrefetched; first += kLine) {
    if (line + first >= end) break;
    asm volatile("prefetch.global.L2 [%0];" ::"l"(line + first));
  }
#endif
}

template <typename L>
__device__ __forceinline__ Tile<L> load_tile(const Team& team, const typename L::Storage* row, int first, int r) {
  Tile<L> tile;
#pragma unroll
  for (int c = 0; c < L::kChunks; ++c) tile.chunk[c] = load4<L>(row, element<L>(team, first, c), r);
  return tile;
}

}  // namespace cmlfast
