// What changes in place must not lie where another argument lies, nor twice at one place: a result would depend on
// which is written first. Slices of one tensor that have no element in common are allowed.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <utility>

#include "checks.h"

namespace cmlfast {

using Named = std::pair<const Tensor*, const char*>;

inline int64_t bytes_of_element(const Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case ScalarType::Double:
    case ScalarType::Long:
      return 8;
    case ScalarType::Float:
    case ScalarType::Int:
      return 4;
    default:
      return 2;
  }
}

// The first byte, and the one behind the last.
inline std::pair<int64_t, int64_t> extent(const Tensor& tensor) {
  const int64_t begin = reinterpret_cast<int64_t>(tensor.data_ptr());
  int64_t last = 0;
  for (int64_t d = 0; d < tensor.dim(); ++d) last += (tensor.size(d) - 1) * tensor.stride(d);
  return {begin, begin + (last + 1) * bytes_of_element(tensor)};
}

inline bool may_share(const Tensor& one, const Tensor& other) {
  if (one.numel() == 0 || other.numel() == 0 || one.device() != other.device()) return false;
  const auto [begin, end] = extent(one);
  const auto [other_begin, other_end] = extent(other);
  if (end <= other_begin || other_end <= begin) return false;
  const int64_t bytes = bytes_of_element(one);
  const bool alike = one.dim() == 2 && other.dim() == 2 && bytes == bytes_of_element(other) && one.stride(1) == 1 &&
                     other.stride(1) == 1 && one.stride(0) == other.stride(0) && one.stride(0) > 0;
  if (!alike || (other_begin - begin) % bytes != 0) return true;
  // Some columns, or every second row, of one matrix: they part where no column of one is one of the other's.
  const int64_t width = one.stride(0);
  const int64_t apart = (((other_begin - begin) / bytes) % width + width) % width;
  return apart < one.size(1) || apart + other.size(1) > width;
}

inline void check_each_element_once(const Tensor& tensor, const char* name) {
  int64_t steps[2] = {tensor.stride(0), tensor.stride(1)};
  int64_t sizes[2] = {tensor.size(0), tensor.size(1)};
  if (steps[0] < steps[1]) {
    std::swap(steps[0], steps[1]);
    std::swap(sizes[0], sizes[1]);
  }
  const bool inner = sizes[1] <= 1 || steps[1] >= 1;
  const bool outer = sizes[0] <= 1 || steps[0] > (sizes[1] - 1) * steps[1];
  check_value(tensor.numel() <= 1 || (inner && outer), name,
              " changes in place, but some of its elements lie at one place in memory", " (its strides are [",
              tensor.stride(0), ", ", tensor.stride(1), "]); clone it first");
}

// The first n_changed change in place.
inline void check_in_place(std::initializer_list<Named> tensors, int64_t n_changed) {
  const Named* all = tensors.begin();
  const int64_t n = static_cast<int64_t>(tensors.size());
  for (int64_t i = 0; i < n_changed; ++i) {
    check_each_element_once(*all[i].first, all[i].second);
    for (int64_t j = i + 1; j < n; ++j) {
      check_value(!may_share(*all[i].first, *all[j].first), all[i].second, " and ", all[j].second,
                  " share memory, and ", all[i].second, " changes in place; clone one of them");
    }
  }
}

}  // namespace cmlfast
