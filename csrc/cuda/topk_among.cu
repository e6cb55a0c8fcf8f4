// topk_among: the k nearest of a few items that each query names, exact, seen items left out, ties by id.
#include <algorithm>
#include <optional>
#include <string>
#include <tuple>

#include "arena.h"
#include "check_ids.cuh"
#include "device.h"
#include "keep_nearest.cuh"
#include "layouts.cuh"

namespace cmlfast {
namespace {

struct NamedItems {
  static constexpr bool kRepeats = true;
  DeviceIds ids;  // [Q, n]
  int64_t n;

  __device__ __forceinline__ int64_t count(int64_t) const { return n; }
  __device__ __forceinline__ int64_t item(int64_t query, int64_t i) const { return ids[query * n + i]; }
};

std::tuple<Tensor, Tensor> topk_among(const Tensor& queries, const Tensor& items, int64_t k, const Tensor& candidates,
                                      const std::optional<Tensor>& seen_indptr,
                                      const std::optional<Tensor>& seen_indices, const std::string& metric) {
  check_topk_among(queries, items, k, candidates, seen_indptr, seen_indices);
  const bool dot = parse_metric(metric) == Metric::kDot;
  const Device device = enter_device(queries);
  const cudaStream_t stream = device.stream;
  const Matrix query_table(queries);
  const Matrix item_table(items);
  const Ids candidate_ids(candidates);
  const int64_t n_queries = query_table.n_rows();
  const int64_t r = query_table.n_columns();
  // More than a visit keeps are kept by several: each goes on behind the last rank of the one before.
  const int64_t width = std::min<int64_t>(k, kMostKept);
  Arena arena;
  const auto fault = arena.reserve<int>(1);
  const auto ranks = arena.reserve<Rank>(n_queries * width);
  const auto others = arena.reserve<Rank>(k > width ? n_queries * width : 0);
  arena.allocate(queries);
  SeenItems seen;
  std::optional<Ids> indptr;
  std::optional<Ids> indices;
  const IdChecks checks(stream, arena.at(fault));
  checks.range(candidate_ids, -1, item_table.n_rows());
  if (seen_indptr) {
    indptr.emplace(*seen_indptr);
    indices.emplace(*seen_indices);
    checks.csr(*indptr, *indices);
    checks.range(*indices, 0, item_table.n_rows());
    seen = {DeviceIds(*indptr), DeviceIds(*indices), true};
  }
  checks.finish([&] {
    std::optional<Tensor> on_host_indptr;
    std::optional<Tensor> on_host_indices;
    if (seen_indptr) {
      on_host_indptr = on_host(*seen_indptr);
      on_host_indices = on_host(*seen_indices);
    }
    check_topk_among_ids(items, on_host(candidates), on_host_indptr, on_host_indices);
  });

  Tensor ids = torch::stable::new_empty(queries, {n_queries, k}, ScalarType::Long);
  Tensor values = torch::stable::new_empty(queries, {n_queries, k}, ScalarType::Float);
  // Where there are no items all candidates are -1, and there is no row to read in their place.
  const NamedItems source{DeviceIds(candidate_ids), item_table.n_rows() ? candidates.size(1) : 0};
  const bool vector = vector_loads(r, {query_table.data(), item_table.data()});
  with_layout(queries.scalar_type(), r, vector, [&](auto layout) {
    using L = decltype(layout);
    using Storage = typename L::Storage;
    const auto kernel =
        dot ? keep_nearest<L, Metric::kDot, NamedItems> : keep_nearest<L, Metric::kSquaredEuclidean, NamedItems>;
    Rank* current = arena.at(ranks);
    Rank* last = arena.at(others);
    for (int64_t column = 0; column < k; column += width) {
      const Rank* after = column ? last + width - 1 : nullptr;
      launch<kKeepThreads>(stream, n_queries, 1, kernel, const_cast<const Storage*>(query_table.data<Storage>()),
                           const_cast<const Storage*>(item_table.data<Storage>()), r, source, seen, int64_t{0},
                           KeptRanks{current, width, true, after, width},
                           NextLimits{nullptr, nullptr, nullptr, filter_bound(r, dot)});
      const int64_t n = std::min(width, k - column);
      launch(stream, n_queries * width, kBlock, store_nearest, const_cast<const Rank*>(current), n_queries, width, n,
             column, k, dot, static_cast<int64_t*>(ids.data_ptr()), static_cast<float*>(values.data_ptr()));
      std::swap(current, last);
    }
  });
  return {ids, values};
}

}  // namespace
}  // namespace cmlfast

STABLE_TORCH_LIBRARY_IMPL(cmlfast, CMLFAST_CUDA_KEY, m) { m.impl("topk_among", TORCH_BOX(&cmlfast::topk_among)); }
