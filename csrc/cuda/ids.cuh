// Arrays of ids on the device, of either width, and the negatives of a pair.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "../philox.h"
#include "../tensors.h"
#include "../warp_math.h"

namespace cmlfast {

// A 1-d array of int64 or int32 ids. The width is the same for a whole kernel, so that asking for it costs no
// divergence.
struct DeviceIds {
  const void* data = nullptr;
  bool wide = false;

  DeviceIds() = default;
  explicit DeviceIds(const Ids& ids) : data(ids.as<void>()), wide(ids.wide()) {}
  explicit DeviceIds(const int32_t* ids) : data(ids) {}

  __device__ __forceinline__ int64_t operator[](int64_t i) const {
    return wide ? static_cast<const int64_t*>(data)[i] : static_cast<const int32_t*>(data)[i];
  }
  __device__ __forceinline__ DeviceIds from(int64_t first) const {
    DeviceIds result = *this;
    result.data = static_cast<const char*>(data) + first * (wide ? 8 : 4);
    return result;
  }
};

struct DeviceIdsOut {
  void* data = nullptr;
  bool wide = false;

  DeviceIdsOut() = default;
  explicit DeviceIdsOut(const Ids& ids) : data(const_cast<void*>(ids.as<void>())), wide(ids.wide()) {}
  explicit DeviceIdsOut(int32_t* ids) : data(ids) {}

  __device__ __forceinline__ void set(int64_t i, int64_t id) const {
    if (wide) {
      static_cast<int64_t*>(data)[i] = id;
    } else {
      static_cast<int32_t*>(data)[i] = static_cast<int32_t>(id);
    }
  }
};

// The users' positives as sorted CSR rows, and the generator that draws from what is left (one draw a negative, no
// rejection).
struct DeviceSampler {
  DeviceIds indptr;   // [I + 1]
  DeviceIds indices;  // [nnz]
  int64_t n_items = 0;
  uint64_t seed = 0;
  uint32_t offset = 0;

  DeviceSampler() = default;
  DeviceSampler(const Ids& indptr, const Ids& indices, int64_t n_items, int64_t seed, int64_t offset)
      : indptr(indptr),
        indices(indices),
        n_items(n_items),
        seed(static_cast<uint64_t>(seed)),
        offset(static_cast<uint32_t>(offset)) {}
};

// One of four words, without an array that would have to live in memory.
__device__ __forceinline__ uint32_t pick(const Words4& words, int64_t i) {
  const uint32_t low = i & 1 ? words.word[1] : words.word[0];
  const uint32_t high = i & 1 ? words.word[3] : words.word[2];
  return i & 2 ? high : low;
}

// What one pair draws from.
struct PairDraws {
  const DeviceSampler& sampler;
  uint32_t user;
  uint32_t positive;
  DeviceIds liked;  // the user's positives
  int64_t n_liked;

  __device__ __forceinline__ PairDraws(const DeviceSampler& sampler, int64_t user, int64_t positive)
      : sampler(sampler), user(static_cast<uint32_t>(user)), positive(static_cast<uint32_t>(positive)) {
    const int64_t begin = sampler.indptr[user];
    liked = sampler.indices.from(begin);
    n_liked = sampler.indptr[user + 1] - begin;
  }
  __device__ __forceinline__ int64_t n_others() const { return sampler.n_items - n_liked; }
  // The words of negatives 4 block .. 4 block + 3.
  __device__ __forceinline__ Words4 words(int64_t block) const {
    return philox(sampler.seed, user, positive, sampler.offset, static_cast<uint32_t>(block));
  }
  __device__ __forceinline__ int64_t item(uint32_t word) const {
    return nth_not_liked(liked, n_liked, bounded(word, n_others()));
  }
};

}  // namespace cmlfast
