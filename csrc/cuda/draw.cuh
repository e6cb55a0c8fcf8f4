// Draws the U negatives of a pair. Word q of the Philox stream (seed; user, positive, offset) becomes t in
// [0, J - n_liked), and t the t-th item the user has not liked (nth_not_liked in warp_math.h). Nothing is rejected, so
// every draw of a user costs the same. A thread draws its words in blocks of four.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "../warp_math.h"
#include "ids.cuh"
#include "number.cuh"

namespace cmlfast {

// The items that users like, as sorted CSR rows, and the generator that draws from the others.
struct Sampler {
  DeviceIds indptr;   // [I + 1]
  DeviceIds indices;  // [nnz]
  int64_t n_items = 0;
  uint64_t seed = 0;
  Number<int64_t> offset;   // whose low 32 bits count
  uint32_t first_user = 0;  // the number, among all users, of the first one here

  Sampler() = default;
  Sampler(const Ids& indptr, const Ids& indices, int64_t n_items, int64_t seed, Number<int64_t> offset,
          int64_t first_user = 0)
      : indptr(indptr),
        indices(indices),
        n_items(n_items),
        seed(static_cast<uint64_t>(seed)),
        offset(offset),
        first_user(static_cast<uint32_t>(first_user)) {}
};

// What one pair draws from.
struct PairDraws {
  const Sampler& sampler;
  uint32_t user;
  uint32_t positive;
  uint32_t offset;
  DeviceIds liked;  // the user's positives
  int64_t n_liked;

  __device__ __forceinline__ PairDraws(const Sampler& sampler, int64_t user, int64_t positive)
      : sampler(sampler),
        user(sampler.first_user + static_cast<uint32_t>(user)),
        positive(static_cast<uint32_t>(positive)),
        offset(static_cast<uint32_t>(sampler.offset.get())) {
    const int64_t begin = sampler.indptr[user];
    liked = sampler.indices.from(begin);
    n_liked = sampler.indptr[user + 1] - begin;
  }
  __device__ __forceinline__ int64_t n_others() const { return sampler.n_items - n_liked; }
  // The words of negatives 4 block .. 4 block + 3.
  __device__ __forceinline__ Words4 words(int64_t block) const {
    return negative_words({sampler.seed, user, positive, offset}, static_cast<uint32_t>(block));
  }
  __device__ __forceinline__ int64_t item(uint32_t word) const {
    return nth_not_liked(liked, n_liked, bounded(word, n_others()));
  }
};

}  // namespace cmlfast
