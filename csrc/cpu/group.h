// Which positions of a batch name which table row: the duplicate rows of a batch brought together, so that each
// distinct row has one owner and its gradient one order of summation.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "batch.h"
#include "parallel.h"

namespace cmlfast {
namespace {

// The positions by row: a row's occurrences stand together, in ascending position.
class RowGroups {
 public:
  struct Named {
    int32_t row;  // tables have at most INT32_MAX rows
    int32_t position;
  };

  // rows[i] is the row that position i names, -1 for none. O(batch), whatever the table's size.
  RowGroups(const std::vector<int64_t>& rows, int64_t n_rows) {
    named_.reserve(rows.size());
    for (size_t i = 0; i < rows.size(); ++i) {
      if (rows[i] >= 0) named_.push_back({static_cast<int32_t>(rows[i]), static_cast<int32_t>(i)});
    }
    sort_by_row(n_rows);
    for (size_t i = 0; i < named_.size(); ++i) {
      if (i == 0 || named_[i].row != named_[i - 1].row) starts_.push_back(static_cast<int64_t>(i));
    }
    starts_.push_back(static_cast<int64_t>(named_.size()));
  }

  int64_t n_places() const { return static_cast<int64_t>(named_.size()); }
  const Named& operator[](int64_t place) const { return named_[place]; }

  int64_t n_groups() const { return static_cast<int64_t>(starts_.size()) - 1; }
  // The first place of a group; that of group n_groups() is where the last one ends.
  int64_t start(int64_t group) const { return starts_[group]; }
  int64_t row(int64_t group) const { return named_[starts_[group]].row; }
  // The first group that begins at a place or behind it.
  int64_t group_from(int64_t place) const {
    return std::lower_bound(starts_.begin(), starts_.end(), place) - starts_.begin();
  }

 private:
  // Stable radix sort, eleven bits of the row at a time.
  void sort_by_row(int64_t n_rows) {
    constexpr int kBits = 11;
    constexpr int kMask = (1 << kBits) - 1;
    std::vector<Named> other(named_.size());
    for (int shift = 0; (n_rows - 1) >> shift > 0; shift += kBits) {
      std::vector<int64_t> next((1 << kBits) + 1);
      for (const Named& each : named_) ++next[((each.row >> shift) & kMask) + 1];
      for (int digit = 0; digit <= kMask; ++digit) next[digit + 1] += next[digit];
      for (const Named& each : named_) other[next[(each.row >> shift) & kMask]++] = each;
      named_.swap(other);
    }
  }

  std::vector<Named> named_;     // [P] by row, then by position
  std::vector<int64_t> starts_;  // [G + 1] where a row's positions begin
};

// The rows that a batch of N pairs sends gradients to: N positions of users, 2 N of items.
class PairGroups {
 public:
  // Only pairs n with active[n] name rows.
  PairGroups(const PairBatch& batch, const std::vector<int64_t>& hardest, const std::vector<uint8_t>& active) {
    const int64_t n = batch.users.size();
    std::vector<int64_t> user_rows(n, -1);      // position n
    std::vector<int64_t> item_rows(2 * n, -1);  // position 2n: the positive; 2n + 1: the negative
    for (int64_t i = 0; i < n; ++i) {
      if (!active[i]) continue;
      user_rows[i] = batch.users[i];
      item_rows[2 * i] = batch.positives[i];
      item_rows[2 * i + 1] = hardest[i];
    }
    parallel_for(0, 2, 1, [&](int64_t begin, int64_t end) {
      if (begin == 0) users_.emplace(user_rows, batch.user_vectors.n_rows());
      if (end == 2) items_.emplace(item_rows, batch.item_vectors.n_rows());
    });
  }

  const RowGroups& users() const { return *users_; }
  const RowGroups& items() const { return *items_; }

 private:
  std::optional<RowGroups> users_;
  std::optional<RowGroups> items_;
};

}  // namespace
}  // namespace cmlfast
