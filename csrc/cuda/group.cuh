// Which positions of a batch name which table row: the duplicate rows of a batch brought together, so that each
// distinct row has one owner and its gradient one order of summation. Rows are keys that are sorted with their
// positions.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "../warp_math.h"
#include "arena.h"
#include "sort.h"

namespace cmlfast {

// The positions by row: a row's occurrences stand together, in ascending position.
struct RowGroups {
  const uint32_t* keys;      // [n], ascending
  const int32_t* positions;  // [n], ascending where keys are equal
  int64_t n;
  uint32_t first_key;          // the key of row 0
  uint32_t n_rows;             // other keys name no row
  const int* fault = nullptr;  // not 0: nothing is to be done, as if no place named a row; null without

  // The row that place p names, or -1.
  __device__ __forceinline__ int64_t row(int64_t p) const {
    if (fault && *fault) return -1;
    const uint32_t row = keys[p] - first_key;
    return row < n_rows ? static_cast<int64_t>(row) : -1;
  }
  __device__ __forceinline__ bool is_first(int64_t p) const { return p == 0 || keys[p - 1] != keys[p]; }

  // The first place of p's row.
  __device__ __forceinline__ int64_t start(int64_t p) const {
    int64_t low = 0;
    for (int64_t high = p; low < high;) {
      const int64_t middle = (low + high) / 2;
      if (keys[middle] < keys[p]) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }

  // The row of p has another occurrence `steps` places on.
  __device__ __forceinline__ bool reaches(int64_t p, int64_t steps) const {
    return p + steps < n && keys[p + steps] == keys[p];
  }

  // Whether a run of kRunLength occurrences begins at p. Only rows with more occurrences than that need a search.
  __device__ __forceinline__ bool is_run(int64_t p) const {
    if (is_first(p)) return true;
    if (p < kRunLength || keys[p - kRunLength] != keys[p]) return false;
    return (p - start(p)) % kRunLength == 0;
  }
};

// Where the partial sum of the run that begins at p is kept, if its row has several. Of kRunLength places in a row, at
// most one begins such a row and at most one other begins a later run.
__device__ __forceinline__ int64_t partial_slot(int64_t p, bool first) { return p / kRunLength * 2 + (first ? 1 : 0); }
inline int64_t n_partial_slots(int64_t n) { return (n + kRunLength - 1) / kRunLength * 2; }

// --- the rows of a batch of pairs

// The rows that a batch of pairs names, before they are sorted. Null without.
struct RowEntries {
  uint32_t* keys = nullptr;      // [3 N]: N users, then each pair's positive and negative
  int32_t* positions = nullptr;  // [3 N]: n for users; 2 n for positives, 2 n + 1 for negatives
  uint32_t n_users = 0;
  uint32_t n_items = 0;
};

// What pair n names, if it is active. A user's key is their row; an item's is its row + n_users + 1. The key after the
// last row names none.
__device__ __forceinline__ void write_entries(const RowEntries& entries, int64_t n_pairs, int64_t n, bool active,
                                              int64_t user, int64_t positive, int64_t negative) {
  const uint32_t first_item = entries.n_users + 1;
  const uint32_t no_item = first_item + entries.n_items;
  entries.keys[n] = active ? static_cast<uint32_t>(user) : entries.n_users;
  entries.positions[n] = static_cast<int32_t>(n);
  const int64_t at = n_pairs + 2 * n;
  entries.keys[at] = active ? first_item + static_cast<uint32_t>(positive) : no_item;
  entries.positions[at] = static_cast<int32_t>(2 * n);
  entries.keys[at + 1] = active ? first_item + static_cast<uint32_t>(negative) : no_item;
  entries.positions[at + 1] = static_cast<int32_t>(2 * n + 1);
}

// The rows that a batch of N pairs sends gradients to, sorted in one go: N positions of users, then 2 N of items.
class PairGroups {
 public:
  PairGroups(Arena& arena, int64_t n_pairs, int64_t n_users, int64_t n_items, int64_t r)
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
        user_partials_(arena.reserve<float>(n_partial_slots(n_pairs) * r)),
        item_partials_(arena.reserve<float>(n_partial_slots(2 * n_pairs) * r)) {}

  // The same memory for a batch of fewer pairs.
  PairGroups of(int64_t n_pairs) const {
    PairGroups fewer = *this;
    fewer.n_pairs_ = n_pairs;
    return fewer;
  }

  // Where a kernel writes the entries.
  RowEntries entries(const Arena& arena) const { return {arena.at(keys_), arena.at(positions_), n_users_, n_items_}; }
  void sort(const Arena& arena, cudaStream_t stream) const {
    sort_pairs({arena.at(keys_), arena.at(positions_), arena.at(sorted_keys_), arena.at(sorted_positions_),
                3 * n_pairs_, n_bits_},
               arena.at(scratch_), scratch_bytes_, stream);
  }
  RowGroups users(const Arena& arena, const int* fault = nullptr) const {
    return {arena.at(sorted_keys_), arena.at(sorted_positions_), n_pairs_, 0, n_users_, fault};
  }
  RowGroups items(const Arena& arena, const int* fault = nullptr) const {
    return {arena.at(sorted_keys_) + n_pairs_,
            arena.at(sorted_positions_) + n_pairs_,
            2 * n_pairs_,
            n_users_ + 1,
            n_items_,
            fault};
  }
  float* user_partials(const Arena& arena) const { return arena.at(user_partials_); }
  float* item_partials(const Arena& arena) const { return arena.at(item_partials_); }

 private:
  int64_t n_pairs_;
  uint32_t n_users_;
  uint32_t n_items_;
  int n_bits_;
  size_t scratch_bytes_;
  Slot<uint32_t> keys_, sorted_keys_;
  Slot<int32_t> positions_, sorted_positions_;
  Slot<char> scratch_;
  Slot<float> user_partials_, item_partials_;
};

}  // namespace cmlfast
