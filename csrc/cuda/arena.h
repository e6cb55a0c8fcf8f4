// The scratch memory of a call: one allocation from torch's allocator, however many arrays it holds.
#pragma once

#include <torch/csrc/stable/ops.h>

#include <cstdint>

#include "../tensors.h"

namespace cmlfast {

template <typename T>
struct Slot {
  int64_t offset;  // in bytes
};

class Arena {
 public:
  // Room for n numbers, aligned for the widest loads.
  template <typename T>
  Slot<T> reserve(int64_t n) {
    const int64_t offset = n_bytes_;
    n_bytes_ += (n * static_cast<int64_t>(sizeof(T)) + kAlignment - 1) / kAlignment * kAlignment;
    return {offset};
  }
  void allocate(const Tensor& like) { memory_ = torch::stable::new_empty(like, {n_bytes_}, ScalarType::Byte); }
  template <typename T>
  T* at(Slot<T> slot) const {
    return reinterpret_cast<T*>(static_cast<char*>(memory_.data_ptr()) + slot.offset);
  }

 private:
  static constexpr int64_t kAlignment = 256;
  int64_t n_bytes_ = 0;
  Tensor memory_;
};

}  // namespace cmlfast
