// Adds what a batch's positions share to their rows, in the pinned order, and finishes each distinct row in the same
// visit: eight threads own a row. A row with more than kRunLength occurrences (a popular item) is summed by one group
// for each run, and finished by a second kernel that adds the runs in order.
//
// `Shares` says what a position adds: entry(position) is what is worth fetching eight at a time, one for each thread;
// fetch(group, entry, first) brings the rows' tiles, add(sum, own, entry, fetched) adds them. `Finish` makes
// `Finish::Row`s, which take the row's tiles one by one and then end().
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "sorted_rows.cuh"

namespace cmlfast {
namespace {

template <typename L, typename Shares, typename Finish>
__global__ void __launch_bounds__(kBlock, kBlocks)
    sum_runs(SortedRows sorted, Shares shares, Finish finish, float* partials) {
  const Group group;
  const int64_t p = Group::number();
  if (p >= sorted.n) return;
  const int64_t row = sorted.row(p);
  if (row < 0 || !sorted.is_run(p)) return;
  const bool first_run = sorted.is_first(p);
  const bool only_run = first_run && !sorted.reaches(p, kRunLength);
  const int64_t r = finish.r;
  typename Finish::Row finished(finish, group, row, p);

  for (int first = 0; L::kOneTile ? first == 0 : first < r; first += L::kTile) {
    const auto own_tile = [&] { return load_tile<L>(group, finish.table + row * r, first, r); };
    const Tile<L> for_shares = Shares::kReadsOwn ? own_tile() : zero_tile<L>();
    Tile<L> sum = zero_tile<L>();
    for (int eight = 0; eight < kRunLength; eight += kGroup) {
      const bool named = sorted.reaches(p, eight + group.thread);
      typename Shares::Entry mine{};
      if (named) mine = shares.entry(sorted.positions[p + eight + group.thread]);
      const int n = group.count(named);
      // Two at a time, so that the second is on its way while the first is waited for.
      for (int i = 0; i < n; i += 2) {
        const typename Shares::Entry one = mine.from(group, i);
        const typename Shares::Entry other = mine.from(group, i + 1 < n ? i + 1 : i);
        const typename Shares::Fetched fetched = shares.fetch(group, one, first);
        if (i + 1 < n) {
          const typename Shares::Fetched second = shares.fetch(group, other, first);
          shares.add(sum, for_shares, one, fetched);
          shares.add(sum, for_shares, other, second);
        } else {
          shares.add(sum, for_shares, one, fetched);
        }
      }
      if (n < kGroup) break;
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
        store4<L>(partial, element<L>(group, first, c), r, values);
      }
    }
  }
  if (only_run) finished.end();
}

// A group for every kRunLength places; it finishes the row with several runs that begins among them, if one does.
template <typename L, typename Finish>
__global__ void __launch_bounds__(kBlock, kBlocks)
    finish_long_rows(SortedRows sorted, Finish finish, const float* partials) {
  using Wide = Layout<float, L::kVector, L::kOneTile>;
  const Group group;
  const int64_t begin = Group::number() * kRunLength;
  // Such a row still goes on at the last of the places.
  const int64_t last = begin + kRunLength - 1;
  if (last >= sorted.n) return;
  const int64_t row = sorted.row(last);
  if (row < 0) return;
  const int64_t p = sorted.start(last);
  if (p < begin || !sorted.reaches(p, kRunLength)) return;
  const int64_t r = finish.r;
  typename Finish::Row finished(finish, group, row, p);
  int64_t end = kRunLength;  // of the row's occurrences, rounded up to whole runs
  while (sorted.reaches(p, end)) end += kRunLength;
  for (int first = 0; L::kOneTile ? first == 0 : first < r; first += L::kTile) {
    const Tile<L> own = Finish::kReadsOwn ? load_tile<L>(group, finish.table + row * r, first, r) : zero_tile<L>();
    Tile<L> total = zero_tile<L>();
    for (int64_t run = 0; run < end; run += kRunLength) {
      const Tile<L> part = load_tile<Wide>(group, partials + partial_slot(p + run, run == 0) * r, first, r);
#pragma unroll
      for (int c = 0; c < L::kChunks; ++c) total.chunk[c] = total.chunk[c] + part.chunk[c];
    }
    finished.tile(own, total, first);
  }
  finished.end();
}

template <typename L, typename Shares, typename Finish>
void sum_rows(cudaStream_t stream, const SortedRows& sorted, const Shares& shares, const Finish& finish,
              float* partials) {
  launch(stream, sorted.n, kGroupsInBlock, sum_runs<L, Shares, Finish>, sorted, shares, finish, partials);
  launch(stream, sorted.n / kRunLength, kGroupsInBlock, finish_long_rows<L, Finish>, sorted, finish,
         const_cast<const float*>(partials));
}

}  // namespace
}  // namespace cmlfast
