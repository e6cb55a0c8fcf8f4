// Arrays of ids on the device, of either width.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "../tensors.h"

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
  __host__ __device__ __forceinline__ DeviceIds from(int64_t first) const {
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

}  // namespace cmlfast
