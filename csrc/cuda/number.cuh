// A number that a kernel takes: the host's, or one in the device's memory, so that a captured launch finds it anew in
// every replay.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace cmlfast {

template <typename T>
struct Number {
  T value{};
  const T* at = nullptr;  // null: the value counts

  Number() = default;
  Number(T value) : value(value) {}
  explicit Number(const T* at) : at(at) {}

  __device__ __forceinline__ T get() const { return at ? *at : value; }
  // The number of a later step, where there is one for each.
  __host__ __device__ __forceinline__ Number of(int64_t step) const {
    Number result = *this;
    if (at) result.at += step;
    return result;
  }
};

}  // namespace cmlfast
