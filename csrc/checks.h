// Argument checks shared by all kernels. Messages name the argument, its value and the remedy; the exceptions reach
// Python as ValueError (std::invalid_argument) and IndexError (std::out_of_range).
#pragma once

#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <cstdint>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <string>

#include "warp_math.h"

namespace cmlfast {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

template <typename... Parts>
std::string text(const Parts&... parts) {
  std::ostringstream stream;
  (stream << ... << parts);
  return stream.str();
}

template <typename... Parts>
void check_value(bool good, const Parts&... parts) {
  if (!good) throw std::invalid_argument(text(parts...));
}

template <typename... Parts>
void check_index(bool good, const Parts&... parts) {
  if (!good) throw std::out_of_range(text(parts...));
}

inline std::string shape(const Tensor& tensor) {
  std::string result = "[";
  for (int64_t d = 0; d < tensor.dim(); ++d) result += (d ? ", " : "") + std::to_string(tensor.size(d));
  return result + "]";
}

inline void check_dim(const Tensor& tensor, const char* name, int64_t dim) {
  check_value(tensor.dim() == dim, name, " has shape ", shape(tensor), "; it must have ", dim, " dimension(s)");
}

inline void check_same_length(const Tensor& tensor, const char* name, const Tensor& other, const char* other_name) {
  check_value(tensor.size(0) == other.size(0), name, " has ", tensor.size(0), " rows and ", other_name, " has ",
              other.size(0), "; both need one for each pair");
}

// Ids are int64 or int32 throughout one call.
inline void check_ids(const Tensor& tensor, const char* name, const Tensor& like, const char* like_name) {
  const ScalarType type = tensor.scalar_type();
  check_value(type == ScalarType::Long || type == ScalarType::Int, name,
              " must hold int64 or int32 ids; convert it with .to(torch.int64)");
  check_value(type == like.scalar_type(), name, " and ", like_name,
              " hold ids of different types; use int64 (or int32) for all of them");
}

inline void check_float32(const Tensor& tensor, const char* name) {
  check_value(tensor.scalar_type() == ScalarType::Float, name, " must be float32; convert it with .float()");
}

// Tables may be stored in 16 bits; they are computed with in float32.
inline void check_storage(const Tensor& tensor, const char* name) {
  const ScalarType type = tensor.scalar_type();
  check_value(type == ScalarType::Float || type == ScalarType::BFloat16 || type == ScalarType::Half, name,
              " must be float32, bfloat16 or float16; convert it with .float()");
}

// Rows and positions of a batch are grouped as 32-bit numbers.
inline void check_n_rows(const Tensor& tensor, const char* name) {
  check_value(tensor.size(0) <= INT32_MAX, name, " has ", tensor.size(0), " rows; at most ", INT32_MAX,
              " can be told apart");
}

constexpr int64_t kMostPairs = INT32_MAX / 3;  // a pair has three rows

inline void check_n_pairs(const Tensor& users) {
  check_value(users.size(0) <= kMostPairs, "users has ", users.size(0), " pairs; at most ", kMostPairs,
              " can be in one batch, so split it");
}

inline void check_tables(const Tensor& users, const char* user_name, const Tensor& items, const char* item_name) {
  check_dim(users, user_name, 2);
  check_dim(items, item_name, 2);
  check_storage(users, user_name);
  check_storage(items, item_name);
  check_value(users.scalar_type() == items.scalar_type(), user_name, " and ", item_name,
              " are of different types; convert one of them");
  check_value(users.size(1) == items.size(1), user_name, " has ", users.size(1), " columns and ", item_name, " has ",
              items.size(1), "; users and items live in one space, so both need the same");
  check_value(items.size(0) <= INT32_MAX, item_name, " has ", items.size(0), " rows; at most ", INT32_MAX,
              " items can be drawn from");
  check_n_rows(users, user_name);
}

// AdaGrad's accumulator has a number for each element of its table, or one for each row.
inline void check_state(const Tensor& state, const char* state_name, const Tensor& weight, const char* weight_name) {
  check_float32(state, state_name);
  check_value(
      state.dim() == 2 && state.size(0) == weight.size(0) && (state.size(1) == weight.size(1) || state.size(1) == 1),
      state_name, " has shape ", shape(state), "; it must have the shape of ", weight_name, ", ", shape(weight),
      ", or one column");
}

inline void check_n_negatives(int64_t n_negatives) {
  check_value(n_negatives >= 1, "n_negatives is ", n_negatives, "; it must be at least 1");
}

inline void check_n_items(int64_t n_items) {
  check_value(n_items >= 1 && n_items <= INT32_MAX, "n_items is ", n_items, "; it must lie in 1 to ", INT32_MAX);
}

inline void check_optimizer(double lr, double eps, double max_norm) {
  // The kernels compute in float32, where smaller numbers would be 0 and larger ones infinite.
  constexpr double kSmallest = std::numeric_limits<float>::min();
  constexpr double kLargest = std::numeric_limits<float>::max();
  check_value(lr >= 0 && lr <= kLargest, "lr is ", lr, "; it must be finite and not negative");
  check_value(eps >= kSmallest, "eps is ", eps, "; it must be positive, for a row's first step may divide by it");
  check_value(max_norm >= kSmallest, "max_norm is ", max_norm, "; it must be positive");
}

inline Metric parse_metric(const std::string& name) {
  if (name == "sqeuclidean") return Metric::kSquaredEuclidean;
  check_value(name == "dot", "metric is '", name, "'; it must be 'sqeuclidean' or 'dot'");
  return Metric::kDot;
}

}  // namespace cmlfast
