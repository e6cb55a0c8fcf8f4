// topk: the k nearest items of each query, exact, seen items masked before the selection, ties by id. A sample of the
// items gives each query a limit; larger and larger parts of the others are then compared with it by cheap scores
// (find_near.cuh), and what may be nearer is ranked in the pinned arithmetic (keep_nearest.cuh), which lowers the
// limit.
#include <algorithm>
#include <optional>
#include <string>
#include <tuple>

#include "arena.h"
#include "check_ids.cuh"
#include "device.h"
#include "find_near.cuh"
#include "keep_nearest.cuh"
#include "layouts.cuh"
#include "rank_all.cuh"

namespace cmlfast {
namespace {

constexpr int64_t kLeastFound = 1024;               // room for a query's candidates, or four times k
constexpr int64_t kLeastSample = 1024;              // or twice k
constexpr int64_t kFoundAtOnce = int64_t{1} << 24;  // ids in scratch memory, 64 MB
constexpr int64_t kFewQueries = kSide;              // for which tiles of 128 queries would be empty mostly

// Candidates of a part of the items: those that were found or, where there were more than there was room for, all.
struct FoundItems {
  static constexpr bool kRepeats = false;
  Found found;     // null without: all
  int64_t first;   // of the part
  int64_t stride;  // from one of its items to the next
  int64_t n;
  Sample sample;  // these were looked at before

  __device__ __forceinline__ bool is_listed(int64_t query) const {
    return found.counts && found.counts[query] <= found.capacity;
  }
  __device__ __forceinline__ int64_t count(int64_t query) const { return is_listed(query) ? found.counts[query] : n; }
  __device__ __forceinline__ int64_t item(int64_t query, int64_t i) const {
    if (is_listed(query)) return found.ids[query * found.capacity + i];
    const int64_t item = first + i * stride;
    return sample.has(item) ? -1 : item;
  }
};

// A search of some queries among all items.
struct Search {
  const Matrix& queries;
  const Matrix& items;
  int64_t k;
  SeenItems seen;
  bool dot;
  cudaStream_t stream;
  Sample sample;
  ItemBounds item_bounds;
  QueryBounds query_bounds;
  Found found;
  float* limits;
  Rank* ranks;

  template <typename L>
  void run(int64_t first_query, int64_t n_queries) const {
    using Storage = typename L::Storage;
    const int64_t n_items = items.n_rows();
    const FilterBound bound = filter_bound(items.n_columns(), dot);
    launch(stream, n_queries, kTeamsInBlock, bound_queries<Storage>,
           const_cast<const Storage*>(queries.row<Storage>(first_query)), n_queries, items.n_columns(), bound,
           query_bounds);
    const Sample nothing{1, 0};
    keep<L>(first_query, n_queries, {{nullptr, nullptr, 0}, 0, sample.stride, sample.n, nothing}, true, bound);
    const int64_t growth = std::max<int64_t>(1, found.capacity / (4 * k));
    for (int64_t first = 0; first < n_items && sample.n < n_items;) {
      const int64_t n = std::min((sample.n + first) * growth, n_items - first);
      find<L>(first_query, n_queries, first, first + n, bound.scale);
      keep<L>(first_query, n_queries, {found, first, 1, n, sample}, false, bound);
      first += n;
    }
  }

 private:
  template <typename L>
  void find(int64_t first_query, int64_t n_queries, int64_t first, int64_t last, float scale) const {
    using Storage = typename L::Storage;
    constexpr int kMany = 8;
    const bool few = n_queries <= kFewQueries;
    const auto kernel = few ? find_near<Storage, L::kVector, 1> : find_near<Storage, L::kVector, kMany>;
    const int64_t in_tile = (few ? 1 : kMany) * kSide;
    const int64_t n_tiles = (last - first + kItemsInTile - 1) / kItemsInTile * ((n_queries + in_tile - 1) / in_tile);
    launch<kFindThreads>(stream, n_tiles, 1, kernel, const_cast<const Storage*>(queries.row<Storage>(first_query)),
                         const_cast<const Storage*>(items.data<Storage>()), items.n_columns(), n_queries, first, last,
                         scale, item_bounds, const_cast<const float*>(query_bounds.factors),
                         const_cast<const float*>(limits), sample, found);
  }
  template <typename L>
  void keep(int64_t first_query, int64_t n_queries, const FoundItems& source, bool none,
            const FilterBound& bound) const {
    using Storage = typename L::Storage;
    const auto kernel =
        dot ? keep_nearest<L, Metric::kDot, FoundItems> : keep_nearest<L, Metric::kSquaredEuclidean, FoundItems>;
    launch<kKeepThreads>(stream, n_queries, 1, kernel, const_cast<const Storage*>(queries.row<Storage>(first_query)),
                         const_cast<const Storage*>(items.data<Storage>()), items.n_columns(), source, seen,
                         first_query, KeptRanks{ranks, k, none, nullptr, 0},
                         NextLimits{query_bounds.squares, limits, found.counts, bound});
  }
};

std::tuple<Tensor, Tensor> topk(const Tensor& queries, const Tensor& items, int64_t k,
                                const std::optional<Tensor>& seen_indptr, const std::optional<Tensor>& seen_indices,
                                const std::string& metric) {
  check_topk(queries, items, k, seen_indptr, seen_indices);
  const bool dot = parse_metric(metric) == Metric::kDot;
  const Device device = enter_device(queries);
  const cudaStream_t stream = device.stream;
  const Matrix query_table(queries);
  const Matrix item_table(items);
  const int64_t n_queries = query_table.n_rows();
  const int64_t n_items = item_table.n_rows();
  const int64_t r = query_table.n_columns();
  const int64_t capacity = std::max(kLeastFound, 4 * k);
  const int64_t n_sampled = std::min(n_items, std::max(kLeastSample, 2 * k));
  const int64_t some = std::clamp<int64_t>(kFoundAtOnce / capacity, 1, std::max<int64_t>(1, n_queries));
  const bool selects = k <= kMostKept && bound_serves(r) && n_items > 0;
  Arena arena;
  const auto fault = arena.reserve<int>(1);
  const auto base = arena.reserve<float>(selects ? n_items : 0);
  const auto slope = arena.reserve<float>(selects ? n_items : 0);
  const auto squares = arena.reserve<double>(selects ? some : 0);
  const auto factors = arena.reserve<float>(selects ? some : 0);
  const auto limits = arena.reserve<float>(selects ? some : 0);
  const auto found_ids = arena.reserve<int32_t>(selects ? some * capacity : 0);
  const auto counts = arena.reserve<int>(selects ? some : 0);
  const auto ranks = arena.reserve<Rank>(selects ? some * k : 0);
  arena.allocate(queries);
  std::optional<Ids> indptr;
  std::optional<Ids> indices;
  if (seen_indptr) {
    indptr.emplace(*seen_indptr);
    indices.emplace(*seen_indices);
    const IdChecks checks(stream, arena.at(fault));
    checks.csr(*indptr, *indices);
    checks.range(*indices, 0, n_items);
    checks.finish([&] { check_topk_ids(items, on_host(*seen_indptr), on_host(*seen_indices)); });
  }

  Tensor ids = torch::stable::new_empty(queries, {n_queries, k}, ScalarType::Long);
  Tensor values = torch::stable::new_empty(queries, {n_queries, k}, ScalarType::Float);
  auto* const id_out = static_cast<int64_t*>(ids.data_ptr());
  auto* const value_out = static_cast<float*>(values.data_ptr());
  if (!selects) {
    rank_all(stream, queries, query_table, item_table, k, indptr, indices, dot, id_out, value_out);
    return {ids, values};
  }
  const bool vector = vector_loads(r, {query_table.data(), item_table.data()});
  SeenItems seen;
  if (indptr) seen = {DeviceIds(*indptr), DeviceIds(*indices), true};
  const Search search{query_table,
                      item_table,
                      k,
                      seen,
                      dot,
                      stream,
                      {n_items / n_sampled, n_sampled},
                      {arena.at(base), arena.at(slope)},
                      {arena.at(squares), arena.at(factors)},
                      {arena.at(found_ids), arena.at(counts), capacity},
                      arena.at(limits),
                      arena.at(ranks)};
  with_layout(queries.scalar_type(), r, vector, [&](auto layout) {
    using L = decltype(layout);
    using Storage = typename L::Storage;
    launch(stream, n_items, kTeamsInBlock, bound_items<Storage>, const_cast<const Storage*>(item_table.data<Storage>()),
           n_items, r, filter_bound(r, dot), search.item_bounds);
    for (int64_t first = 0; first < n_queries; first += some) {
      const int64_t n = std::min(some, n_queries - first);
      search.run<L>(first, n);
      launch(stream, n * k, kBlock, store_nearest, const_cast<const Rank*>(search.ranks), n, k, k, int64_t{0}, k, dot,
             id_out + first * k, value_out + first * k);
    }
  });
  return {ids, values};
}

}  // namespace
}  // namespace cmlfast

STABLE_TORCH_LIBRARY_IMPL(cmlfast, CMLFAST_CUDA_KEY, m) { m.impl("topk", TORCH_BOX(&cmlfast::topk)); }
