// topk_among: the k nearest of a few items that each query names, exact, seen items left out, ties by id.
#include <torch/csrc/stable/library.h>

#include <limits>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "../arguments.h"
#include "nearest.h"
#include "parallel.h"
#include "row_kernels.h"
#include "with_storage.h"

namespace cmlfast {
namespace {

constexpr int64_t kQueriesInTurn = 8;  // of a thread

// The items that a query names and may get: ascending, each once.
std::vector<int64_t> allowed(const Ids& candidates, int64_t first, int64_t n, const std::vector<int64_t>& seen) {
  std::vector<int64_t> ids;
  for (int64_t i = first; i < first + n; ++i) {
    const int64_t id = candidates[i];
    if (id >= 0 && !std::binary_search(seen.begin(), seen.end(), id)) ids.push_back(id);
  }
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

template <typename Storage>
void rank(const Matrix& queries, const Matrix& items, int64_t k, const Ids& candidates, const Seen& seen, bool dot,
          int64_t* id_out, float* value_out) {
  const int64_t r = queries.n_columns();
  const int64_t n_queries = queries.n_rows();
  const int64_t n_candidates = n_queries ? candidates.size() / n_queries : 0;
  const TableKernels<Storage>& kernels = row_kernels().of<Storage>();
  const auto distances = dot ? kernels.minus_dots : kernels.squared_distances;
  const float sign = dot ? -1.0f : 1.0f;
  parallel_for(0, n_queries, kQueriesInTurn, [&](int64_t begin, int64_t end) {
    std::vector<float> distance;
    for (int64_t query = begin; query < end; ++query) {
      const std::vector<int64_t> ids = allowed(candidates, query * n_candidates, n_candidates, seen.of(query));
      distance.resize(ids.size());
      distances(queries.row<Storage>(query), items.row<Storage>(0), ids.data(), nullptr,
                static_cast<int64_t>(ids.size()), r, distance.data());
      Nearest nearest(k);
      for (size_t i = 0; i < ids.size(); ++i) nearest.see(distance[i], ids[i]);
      write_nearest(nearest.sorted(), k, sign, id_out + query * k, value_out + query * k);
    }
  });
}

std::tuple<Tensor, Tensor> topk_among(const Tensor& queries, const Tensor& items, int64_t k, const Tensor& candidates,
                                      const std::optional<Tensor>& seen_indptr,
                                      const std::optional<Tensor>& seen_indices, const std::string& metric) {
  check_topk_among(queries, items, k, candidates, seen_indptr, seen_indices);
  check_topk_among_ids(items, candidates, seen_indptr, seen_indices);
  const bool dot = parse_metric(metric) == Metric::kDot;
  const Matrix query_table(queries);
  const Matrix item_table(items);
  const Ids candidate_ids(candidates);
  const Seen seen(seen_indptr, seen_indices);
  Tensor ids = torch::stable::new_empty(queries, {queries.size(0), k}, ScalarType::Long);
  Tensor values = torch::stable::new_empty(queries, {queries.size(0), k}, ScalarType::Float);
  with_storage(queries, [&](auto storage) {
    rank<decltype(storage)>(query_table, item_table, k, candidate_ids, seen, dot, static_cast<int64_t*>(ids.data_ptr()),
                            static_cast<float*>(values.data_ptr()));
  });
  return {ids, values};
}

}  // namespace
}  // namespace cmlfast

STABLE_TORCH_LIBRARY_IMPL(cmlfast, CPU, m) { m.impl("topk_among", TORCH_BOX(&cmlfast::topk_among)); }
