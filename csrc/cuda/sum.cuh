// Adds what a batch's positions share to their rows, in the pinned order, and finishes each distinct row in the same
// visit: eight threads own a row. A row with more than kRunLength occurrences (a popular item) is summed by one team
// for each run, and finished by a second kernel that adds the runs in order.
//
// `Shares` says what a position adds: entry(position) is what is worth fetching eight at a time, one for each thread;
// prefetch(entry) and fetch(team, entry, first) bring the rows' tiles near and here, add(sum, own, entry, fetched) adds
// them. `Finish` makes `Finish::Row`s, which take the row's tiles one by one and then end(); its prefetch(team, row)
// brings near what they read.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "eight_threads.cuh"
#include "group.cuh"
#include "ids.cuh"

namespace cmlfast {

// --- shares

// f (v_k - v_j) for the user of pair `position`.
template <typename L>
struct UserShares {
  static constexpr bool kReadsOwn = false;
  const typename L::Storage* items;  // [J, r]
  DeviceIds hardest;                 // [N]
  DeviceIds positives;               // [N]
  const float* factor;               // [N]
  int64_t r;

  struct Entry {
    int32_t hardest, positive;
    float factor;
    __device__ __forceinline__ Entry from(const Team& team, int thread) const {
      return {team.from(hardest, thread), team.from(positive, thread), team.from(factor, thread)};
    }
  };
  __device__ __forceinline__ Entry entry(int32_t n) const {
    return {static_cast<int32_t>(hardest[n]), static_cast<int32_t>(positives[n]), factor[n]};
  }
  __device__ __forceinline__ void prefetch(const Entry& entry) const {
    prefetch_row(items + entry.hardest * r, r);
    prefetch_row(items + entry.positive * r, r);
  }
  struct Fetched {
    Tile<L> hardest, positive;
  };
  __device__ __forceinline__ Fetched fetch(const Team& team, const Entry& entry, int first) const {
    return {load_tile<L>(team, items + entry.hardest * r, first, r),
            load_tile<L>(team, items + entry.positive * r, first, r)};
  }
  __device__ __forceinline__ void add(Tile<L>& sum, const Tile<L>&, const Entry& entry, const Fetched& fetched) const {
#pragma unroll
    for (int c = 0; c < L::kChunks; ++c) {
      sum.chunk[c] = sum.chunk[c] + entry.factor * (fetched.hardest.chunk[c] - fetched.positive.chunk[c]);
    }
  }
};

// f (v_j - u_i) for the positive of pair n at position 2 n, f (u_i - v_k) for the negative at 2 n + 1. The item's own
// row is v, which does not count for dot products; the negative's share is minus that of a positive, to the bit.
template <typename L>
struct ItemShares {
  static constexpr bool kReadsOwn = true;
  const typename L::Storage* users;  // [I, r]
  DeviceIds user_ids;                // [N]
  const float* factor;               // [N]
  bool dot;
  int64_t r;

  struct Entry {
    int64_t user;
    float factor;
    __device__ __forceinline__ Entry from(const Team& team, int thread) const {
      return {team.from(user, thread), team.from(factor, thread)};
    }
  };
  __device__ __forceinline__ Entry entry(int32_t position) const {
    const int32_t n = position / 2;
    return {user_ids[n], position % 2 == 0 ? factor[n] : -factor[n]};
  }
  __device__ __forceinline__ void prefetch(const Entry& entry) const { prefetch_row(users + entry.user * r, r); }
  using Fetched = Tile<L>;
  __device__ __forceinline__ Fetched fetch(const Team& team, const Entry& entry, int first) const {
    return load_tile<L>(team, users + entry.user * r, first, r);
  }
  __device__ __forceinline__ void add(Tile<L>& sum, const Tile<L>& own, const Entry& entry, const Fetched& user) const {
#pragma unroll
    for (int c = 0; c < L::kChunks; ++c) {
      const float4 item = dot ? zero4() : own.chunk[c];
      sum.chunk[c] = sum.chunk[c] + entry.factor * (item - user.chunk[c]);
    }
  }
};

// Row `position` of a matrix of gradients.
template <typename L>
struct GivenShares {
  static constexpr bool kReadsOwn = false;
  using Wide = typename L::template Of<float>;
  const float* grads;  // [P, r]
  int64_t r;

  struct Entry {
    int32_t position;
    __device__ __forceinline__ Entry from(const Team& team, int thread) const { return {team.from(position, thread)}; }
  };
  __device__ __forceinline__ Entry entry(int32_t position) const { return {position}; }
  __device__ __forceinline__ void prefetch(const Entry& entry) const { prefetch_row(grads + entry.position * r, r); }
  using Fetched = Tile<L>;
  __device__ __forceinline__ Fetched fetch(const Team& team, const Entry& entry, int first) const {
    return load_tile<Wide>(team, grads + entry.position * r, first, r);
  }
  __device__ __forceinline__ void add(Tile<L>& sum, const Tile<L>&, const Entry&, const Fetched& share) const {
#pragma unroll
    for (int c = 0; c < L::kChunks; ++c) sum.chunk[c] = sum.chunk[c] + share.chunk[c];
  }
};

// --- sums

namespace {

template <typename L, typename Shares, typename Finish>
__global__ void __launch_bounds__(kBlock, kBlocks)
    sum_runs(RowGroups groups, Shares shares, Finish finish, float* partials) {
  const Team team;
  const int64_t p = Team::number();
  if (p >= groups.n) return;
  const int64_t row = groups.row(p);
  if (row < 0 || !groups.is_run(p)) return;
  const bool first_run = groups.is_first(p);
  const bool only_run = first_run && !groups.reaches(p, kRunLength);
  const int64_t r = finish.r;
  typename Finish::Row finished(finish, team, row, p);
  if (only_run) finish.prefetch(team, row);

  for (int first = 0; L::kOneTile ? first == 0 : first < r; first += L::kTile) {
    const auto own_tile = [&] { return load_tile<L>(team, finish.table + row * r, first, r); };
    const Tile<L> for_shares = Shares::kReadsOwn ? own_tile() : zero_tile<L>();
    Tile<L> sum = zero_tile<L>();
    for (int eight = 0; eight < kRunLength; eight += kTeam) {
      const bool named = groups.reaches(p, eight + team.thread);
      typename Shares::Entry mine{};
      if (named) mine = shares.entry(groups.positions[p + eight + team.thread]);
      const int n = team.count(named);
      if (first == 0 && n > 2 && team.thread >= 2 && named) shares.prefetch(mine);
      // Two at a time, so that the second is on its way while the first is waited for.
      for (int i = 0; i < n; i += 2) {
        const typename Shares::Entry one = mine.from(team, i);
        const typename Shares::Entry other = mine.from(team, i + 1 < n ? i + 1 : i);
        const typename Shares::Fetched fetched = shares.fetch(team, one, first);
        if (i + 1 < n) {
          const typename Shares::Fetched second = shares.fetch(team, other, first);
          shares.add(sum, for_shares, one, fetched);
          shares.add(sum, for_shares, other, second);
        } else {
          shares.add(sum, for_shares, one, fetched);
        }
      }
      if (n < kTeam) break;
    }
    if (only_run) {
      const Tile<L> own = Finish::kReadsOwn && !Shares::kReadsOwn ? own_tile() : for_shares;
      finished.tile(own, sum, first);
    } else {
      float* partial = partials + partial_slot(p, first_run) * r;
#pragma unroll
      for (int c = 0; c < L::kChunks; ++c) {
        const float4 part = sum.chunk[c];
        const float values[4] = {part.x, part.y, part.z, part.w};
        store4<L>(partial, element<L>(team, first, c), r, values);
      }
    }
  }
  if (only_run) finished.end();
}

// Finishes the row with several runs that begins among kRunLength places from `begin` on, if one does.
template <typename L, typename Finish>
__device__ __forceinline__ void finish_long_row(const Team& team, int64_t begin, const RowGroups& groups,
                                                const Finish& finish, const float* partials) {
  using Wide = typename L::template Of<float>;
  // Such a row still goes on at the last of the places.
  const int64_t last = begin + kRunLength - 1;
  if (last >= groups.n) return;
  const int64_t row = groups.row(last);
  if (row < 0) return;
  const int64_t p = groups.start(last);
  if (p < begin || !groups.reaches(p, kRunLength)) return;
  const int64_t r = finish.r;
  typename Finish::Row finished(finish, team, row, p);
  int64_t end = kRunLength;  // of the row's occurrences, rounded up to whole runs
  while (groups.reaches(p, end)) end += kRunLength;
  for (int first = 0; L::kOneTile ? first == 0 : first < r; first += L::kTile) {
    const Tile<L> own = Finish::kReadsOwn ? load_tile<L>(team, finish.table + row * r, first, r) : zero_tile<L>();
    Tile<L> total = zero_tile<L>();
    for (int64_t run = 0; run < end; run += kRunLength) {
      const Tile<L> part = load_tile<Wide>(team, partials + partial_slot(p + run, run == 0) * r, first, r);
#pragma unroll
      for (int c = 0; c < L::kChunks; ++c) total.chunk[c] = total.chunk[c] + part.chunk[c];
    }
    finished.tile(own, total, first);
  }
  finished.end();
}

inline int64_t n_long_rows(const RowGroups& groups) { return groups.n / kRunLength; }  // at most

template <typename L, typename Finish>
__global__ void __launch_bounds__(kBlock, kBlocks)
    finish_long_rows(RowGroups groups, Finish finish, const float* partials) {
  const Team team;
  finish_long_row<L>(team, Team::number() * kRunLength, groups, finish, partials);
}

template <typename L, typename Shares, typename Finish>
void sum_rows(cudaStream_t stream, const RowGroups& groups, const Shares& shares, const Finish& finish,
              float* partials) {
  launch(stream, groups.n, kTeamsInBlock, sum_runs<L, Shares, Finish>, groups, shares, finish, partials);
  launch(stream, n_long_rows(groups), kTeamsInBlock, finish_long_rows<L, Finish>, groups, finish,
         const_cast<const float*>(partials));
}

}  // namespace
}  // namespace cmlfast
