// Which positions of a batch name which table row: the duplicate rows of a batch brought together, so that each
// distinct row has one owner and its gradient one order of summation.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "../warp_math.h"
#include "parallel.h"
#include "row_kernels.h"

namespace cmlfast {

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

  int64_t n_groups() const { return static_cast<int64_t>(starts_.size()) - 1; }
  int64_t row(int64_t group) const { return named_[starts_[group]].row; }

  // For every distinct row: its total [r], summed in ascending position and in runs of kRunLength, is handed to
  // finish(group, row, total), which may use it up. sum_run(run, n, out) writes the sum of n <= kRunLength positions to
  // out [r]; fetch(row, position) brings what both need, soon, into the cache.
  template <typename SumRun, typename Fetch, typename Finish>
  void reduce(int64_t r, const SumRun& sum_run, const Fetch& fetch, const Finish& finish) const {
    constexpr int64_t kAhead = 4;  // positions
    const RowKernels& kernels = row_kernels();
    const int64_t n_positions = static_cast<int64_t>(named_.size());
    // Threads share the positions, not the rows: a popular row has many. A group belongs to where it starts.
    parallel_for(0, n_positions, grain_for(4 * r), [&](int64_t begin, int64_t end) {
      std::vector<float> total(r);
      std::vector<float> part(r);
      int64_t group = std::lower_bound(starts_.begin(), starts_.end(), begin) - starts_.begin();
      for (; group < n_groups() && starts_[group] < end; ++group) {
        const int64_t first = starts_[group];
        const int64_t last = starts_[group + 1];
        for (int64_t i = first + kAhead; i < std::min(last + kAhead, n_positions); ++i) {
          fetch(named_[i].row, named_[i].position);
        }
        sum_run(&named_[first], std::min(last - first, int64_t{kRunLength}), total.data());
        for (int64_t run = first + kRunLength; run < last; run += kRunLength) {
          sum_run(&named_[run], std::min(last - run, int64_t{kRunLength}), part.data());
          kernels.add(total.data(), part.data(), r);
        }
        finish(group, row(group), total.data());
      }
    });
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

}  // namespace cmlfast
