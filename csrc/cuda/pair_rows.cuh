// The rows that a batch of N pairs sends gradients to, sorted in one go: N entries of users, then 2 N of items.
#pragma once

#include "arena.h"
#include "scan_pairs.cuh"
#include "sort.h"
#include "sorted_rows.cuh"

namespace cmlfast {

class PairRows {
 public:
  PairRows(Arena& arena, int64_t n_pairs, int64_t n_users, int64_t n_items, int64_t r)
      : n_pairs_(n_pairs),
        n_users_(static_cast<uint32_t>(n_users)),
        n_items_(static_cast<uint32_t>(n_items)),
        n_bits_(bits_for(static_cast<uint64_t>(n_users) + 1 + static_cast<uint64_t>(n_items))),
        scratch_bytes_(sort_scratch_bytes(3 * n_pairs, n_bits_)),
        keys_(arena.reserve<uint32_t>(3 * n_pairs)),
        sorted_keys_(arena.reserve<uint32_t>(3 * n_pairs)),
        positions_(arena.reserve<int32_t>(3 * n_pairs)),
        sorted_positions_(arena.reserve<int32_t>(3 * n_pairs)),
        scratch_(arena.reserve<char>(static_cast<int64_t>(scratch_bytes_))),
        partials_(arena.reserve<float>(n_partial_slots(2 * n_pairs) * r)) {}

  // Where a kernel writes the entries.
  RowEntries entries(const Arena& arena) const { return {arena.at(keys_), arena.at(positions_), n_users_, n_items_}; }
  void sort(const Arena& arena, cudaStream_t stream) const {
    sort_pairs({arena.at(keys_), arena.at(positions_), arena.at(sorted_keys_), arena.at(sorted_positions_),
                3 * n_pairs_, n_bits_},
               arena.at(scratch_), scratch_bytes_, stream);
  }
  SortedRows users(const Arena& arena) const {
    return {arena.at(sorted_keys_), arena.at(sorted_positions_), n_pairs_, 0, n_users_};
  }
  SortedRows items(const Arena& arena) const {
    return {arena.at(sorted_keys_) + n_pairs_, arena.at(sorted_positions_) + n_pairs_, 2 * n_pairs_, n_users_ + 1,
            n_items_};
  }
  float* partials(const Arena& arena) const { return arena.at(partials_); }

 private:
  int64_t n_pairs_;
  uint32_t n_users_;
  uint32_t n_items_;
  int n_bits_;
  size_t scratch_bytes_;
  Slot<uint32_t> keys_, sorted_keys_;
  Slot<int32_t> positions_, sorted_positions_;
  Slot<char> scratch_;
  Slot<float> partials_;
};

}  // namespace cmlfast
