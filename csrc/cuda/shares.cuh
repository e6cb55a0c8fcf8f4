// What a position of a batch adds to its row (see sum_rows.cuh): a pair's gradients, or given ones.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "group.cuh"
#include "ids.cuh"

namespace cmlfast {

// f (v_k - v_j) for the user of pair `position`.
template <typename L>
struct UserShares {
  static constexpr bool kReadsOwn = false;
  const typename L::Storage* items;  // [J, r]
  DeviceIds hardest;                 // [N]
  DeviceIds positives;               // [N]
  const float* factor;               // [N]
  int64_t r;

  struct Entry {
    int32_t hardest, positive;
    float factor;
    __device__ __forceinline__ Entry from(const Group& group, int thread) const {
      return {group.from(hardest, thread), group.from(positive, thread), group.from(factor, thread)};
    }
  };
  __device__ __forceinline__ Entry entry(int32_t n) const {
    return {static_cast<int32_t>(hardest[n]), static_cast<int32_t>(positives[n]), factor[n]};
  }
  struct Fetched {
    Tile<L> hardest, positive;
  };
  __device__ __forceinline__ Fetched fetch(const Group& group, const Entry& entry, int first) const {
    return {load_tile<L>(group, items + entry.hardest * r, first, r),
            load_tile<L>(group, items + entry.positive * r, first, r)};
  }
  __device__ __forceinline__ void add(Tile<L>& sum, const Tile<L>&, const Entry& entry, const Fetched& fetched) const {
#pragma unroll
    for (int c = 0; c < L::kChunks; ++c) {
      sum.chunk[c] = sum.chunk[c] + entry.factor * (fetched.hardest.chunk[c] - fetched.positive.chunk[c]);
    }
  }
};

// f (v_j - u_i) for the positive of pair n at position 2 n, f (u_i - v_k) for the negative at 2 n + 1. The item's own
// row is v, which does not count for dot products; the negative's share is minus that of a positive, to the bit.
template <typename L>
struct ItemShares {
  static constexpr bool kReadsOwn = true;
  const typename L::Storage* users;  // [I, r]
  DeviceIds user_ids;                // [N]
  const float* factor;               // [N]
  bool dot;
  int64_t r;

  struct Entry {
    int64_t user;
    float factor;
    __device__ __forceinline__ Entry from(const Group& group, int thread) const {
      return {group.from(user, thread), group.from(factor, thread)};
    }
  };
  __device__ __forceinline__ Entry entry(int32_t position) const {
    const int32_t n = position / 2;
    return {user_ids[n], position % 2 == 0 ? factor[n] : -factor[n]};
  }
  using Fetched = Tile<L>;
  __device__ __forceinline__ Fetched fetch(const Group& group, const Entry& entry, int first) const {
    return load_tile<L>(group, users + entry.user * r, first, r);
  }
  __device__ __forceinline__ void add(Tile<L>& sum, const Tile<L>& own, const Entry& entry, const Fetched& user) const {
#pragma unroll
    for (int c = 0; c < L::kChunks; ++c) {
      const float4 item = dot ? zero4() : own.chunk[c];
      sum.chunk[c] = sum.chunk[c] + entry.factor * (item - user.chunk[c]);
    }
  }
};

// Row `position` of a matrix of gradients.
template <typename L>
struct GivenShares {
  static constexpr bool kReadsOwn = false;
  using Wide = Layout<float, L::kVector, L::kOneTile>;
  const float* grads;  // [P, r]
  int64_t r;

  struct Entry {
    int32_t position;
    __device__ __forceinline__ Entry from(const Group& group, int thread) const {
      return {group.from(position, thread)};
    }
  };
  __device__ __forceinline__ Entry entry(int32_t position) const { return {position}; }
  using Fetched = Tile<L>;
  __device__ __forceinline__ Fetched fetch(const Group& group, const Entry& entry, int first) const {
    return load_tile<Wide>(group, grads + entry.position * r, first, r);
  }
  __device__ __forceinline__ void add(Tile<L>& sum, const Tile<L>&, const Entry&, const Fetched& share) const {
#pragma unroll
    for (int c = 0; c < L::kChunks; ++c) sum.chunk[c] = sum.chunk[c] + share.chunk[c];
  }
};

}  // namespace cmlfast
