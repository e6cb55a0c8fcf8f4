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
  // rows[i] is the row that position i names, -1 for none. O(batch), whatever the table's size.
  RowGroups(const std::vector<int64_t>& rows, int64_t n_rows) {
    std::vector<Entry> entries;
    entries.reserve(rows.size());
    for (size_t i = 0; i < rows.size(); ++i) {
      if (rows[i] >= 0) entries.push_back({rows[i], static_cast<int64_t>(i)});
    }
    sort_by_row(entries, n_rows);
    positions_.reserve(entries.size());
    for (const Entry& entry : entries) {
      if (rows_.empty() || rows_.back() != entry.row) {
        rows_.push_back(entry.row);
        starts_.push_back(static_cast<int64_t>(positions_.size()));
      }
      positions_.push_back(entry.position);
    }
    starts_.push_back(static_cast<int64_t>(positions_.size()));
  }

  int64_t n_groups() const { return static_cast<int64_t>(rows_.size()); }
  int64_t row(int64_t group) const { return rows_[group]; }

  // For every distinct row: its total [r], summed in ascending position and in runs of kRunLength, is handed to
  // finish(group, row, total), which may use it up. contribute(position, sum) adds a position's share to sum [r].
  template <typename Contribute, typename Finish>
  void reduce(int64_t r, const Contribute& contribute, const Finish& finish) const {
    const RowKernels& kernels = row_kernels();
    // Threads share the positions, not the rows: a popular row has many. A group belongs to where it starts.
    parallel_for(0, static_cast<int64_t>(positions_.size()), grain_for(4 * r), [&](int64_t begin, int64_t end) {
      std::vector<float> total(r);
      std::vector<float> part(r);
      int64_t group = std::lower_bound(starts_.begin(), starts_.end(), begin) - starts_.begin();
      for (; group < n_groups() && starts_[group] < end; ++group) {
        std::fill(total.begin(), total.end(), 0.0f);
        for (int64_t run = starts_[group]; run < starts_[group + 1]; run += kRunLength) {
          const int64_t run_end = std::min(run + kRunLength, starts_[group + 1]);
          const bool only = run_end - run == starts_[group + 1] - starts_[group];
          std::vector<float>& sum = only ? total : part;  // 0 + the only part is that part
          std::fill(sum.begin(), sum.end(), 0.0f);
          for (int64_t i = run; i < run_end; ++i) contribute(positions_[i], sum.data());
          if (!only) kernels.add(total.data(), part.data(), r);
        }
        finish(group, rows_[group], total.data());
      }
    });
  }

 private:
  struct Entry {
    int64_t row;
    int64_t position;
  };

  // Stable radix sort, a byte of the row id at a time.
  static void sort_by_row(std::vector<Entry>& entries, int64_t n_rows) {
    std::vector<Entry> other(entries.size());
    for (int shift = 0; (n_rows - 1) >> shift > 0; shift += 8) {
      int64_t next[257] = {};
      for (const Entry& entry : entries) ++next[((entry.row >> shift) & 255) + 1];
      for (int digit = 0; digit < 256; ++digit) next[digit + 1] += next[digit];
      for (const Entry& entry : entries) other[next[(entry.row >> shift) & 255]++] = entry;
      entries.swap(other);
    }
  }

  std::vector<int64_t> rows_;       // [G] the distinct rows, ascending
  std::vector<int64_t> starts_;     // [G + 1] where a row's positions begin
  std::vector<int64_t> positions_;  // [P] ascending within a row
};

}  // namespace cmlfast
