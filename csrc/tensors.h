// What launchers need of torch's tensors: ids of either width, contiguous matrices.
#pragma once

#include <torch/csrc/stable/ops.h>

#include <cstdint>

#include "checks.h"

namespace cmlfast {

// A 1-d array of int64 or int32 ids. Keeps its contiguous tensor alive.
class Ids {
 public:
  explicit Ids(const Tensor& tensor)
      : tensor_(torch::stable::contiguous(tensor)),
        data_(tensor_.data_ptr()),
        size_(tensor_.numel()),
        wide_(tensor_.scalar_type() == ScalarType::Long) {}

  int64_t operator[](int64_t i) const {
    return wide_ ? static_cast<const int64_t*>(data_)[i] : static_cast<const int32_t*>(data_)[i];
  }
  void set(int64_t i, int64_t id) {
    if (wide_) {
      static_cast<int64_t*>(data_)[i] = id;
    } else {
      static_cast<int32_t*>(data_)[i] = static_cast<int32_t>(id);
    }
  }
  int64_t size() const { return size_; }
  bool wide() const { return wide_; }
  template <typename Id>
  const Id* as() const {
    return static_cast<const Id*>(data_);
  }

 private:
  Tensor tensor_;
  void* data_;
  int64_t size_;  // asking the tensor again and again takes longer than looking at an id
  bool wide_;
};

// Raises if an id is outside [low, n_rows).
inline void check_range(const Ids& ids, const char* name, int64_t low, int64_t n_rows, const char* table) {
  for (int64_t i = 0; i < ids.size(); ++i) {
    check_index(ids[i] >= low && ids[i] < n_rows, name, " holds ", ids[i], " at position ", i, ", but ", table, " has ",
                n_rows, " rows");
  }
}

// A contiguous matrix [n_rows, n_columns]. After a kernel changed it, store() brings the values to the
// caller's tensor where that was not contiguous.
class Matrix {
 public:
  explicit Matrix(const Tensor& tensor)
      : original_(tensor),
        tensor_(torch::stable::contiguous(tensor)),
        data_(tensor_.data_ptr()),
        n_rows_(tensor.size(0)),
        n_columns_(tensor.size(1)) {}

  template <typename Storage = float>
  Storage* data() const {
    return static_cast<Storage*>(data_);
  }
  template <typename Storage = float>
  Storage* row(int64_t i) const {
    return data<Storage>() + i * n_columns_;
  }
  int64_t n_rows() const { return n_rows_; }
  int64_t n_columns() const { return n_columns_; }
  void store() {
    if (!original_.is_contiguous()) torch::stable::copy_(original_, tensor_);
  }

 private:
  Tensor original_;
  Tensor tensor_;
  void* data_;
  int64_t n_rows_;
  int64_t n_columns_;
};

}  // namespace cmlfast
