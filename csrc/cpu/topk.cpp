// topk: the k nearest items of each query, exact, seen items masked before the selection, ties by id.
#include <torch/csrc/stable/library.h>

#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "../arguments.h"
#include "parallel.h"
#include "row_kernels.h"
#include "with_storage.h"

namespace cmlfast {
namespace {

constexpr int64_t kItemTile = 256;  // rows that stay in the L2 cache while all of a thread's queries pass over them
constexpr int64_t kQueryTile = 32;

using Candidate = std::pair<float, int64_t>;  // distance, id: pairs compare as the ranking does

// The k best candidates seen so far, as a max-heap with the worst on top.
class Nearest {
 public:
  explicit Nearest(int64_t k) : k_(k) {}

  void see(float distance, int64_t id) {
    if (distance != distance) return;  // a NaN has no rank
    const Candidate candidate(distance, id);
    if (static_cast<int64_t>(heap_.size()) < k_) {
      heap_.push_back(candidate);
      std::push_heap(heap_.begin(), heap_.end());
    } else if (k_ > 0 && candidate < heap_.front()) {
      std::pop_heap(heap_.begin(), heap_.end());
      heap_.back() = candidate;
      std::push_heap(heap_.begin(), heap_.end());
    }
  }
  const std::vector<Candidate>& sorted() {
    std::sort_heap(heap_.begin(), heap_.end());
    return heap_;
  }

 private:
  int64_t k_;
  std::vector<Candidate> heap_;
};

// The items to leave out, a CSR matrix with a row for each query; row columns need not be sorted.
class Seen {
 public:
  Seen(const std::optional<Tensor>& indptr, const std::optional<Tensor>& indices) {
    if (!indptr) return;
    indptr_.emplace(*indptr);
    indices_.emplace(*indices);
  }

  std::vector<int64_t> of(int64_t query) const {
    std::vector<int64_t> ids;
    if (!indptr_) return ids;
    for (int64_t i = (*indptr_)[query]; i < (*indptr_)[query + 1]; ++i) ids.push_back((*indices_)[i]);
    std::sort(ids.begin(), ids.end());
    return ids;
  }

 private:
  std::optional<Ids> indptr_;
  std::optional<Ids> indices_;
};

template <typename Storage>
void search(const Matrix& queries, const Matrix& items, int64_t k, const Seen& seen, bool dot, int64_t* id_out,
            float* value_out) {
  const int64_t n_queries = queries.n_rows();
  const int64_t n_items = items.n_rows();
  const int64_t r = queries.n_columns();
  const TableKernels<Storage>& kernels = row_kernels().of<Storage>();
  const auto distances = dot ? kernels.minus_dots : kernels.squared_distances;
  const float sign = dot ? -1.0f : 1.0f;

  const int64_t n_tiles = (n_queries + kQueryTile - 1) / kQueryTile;
  parallel_for(0, n_tiles, 1, [&](int64_t tile_begin, int64_t tile_end) {
    std::vector<float> distance(kItemTile);
    for (int64_t first = tile_begin * kQueryTile; first < std::min(tile_end * kQueryTile, n_queries);
         first += kQueryTile) {
      const int64_t last = std::min(first + kQueryTile, n_queries);
      std::vector<Nearest> nearest(last - first, Nearest(k));
      std::vector<std::vector<int64_t>> masked;
      for (int64_t q = first; q < last; ++q) masked.push_back(seen.of(q));
      std::vector<size_t> next_masked(last - first, 0);
      for (int64_t item = 0; item < n_items; item += kItemTile) {
        const int64_t n = std::min(kItemTile, n_items - item);
        for (int64_t q = first; q < last; ++q) {
          distances(queries.row<Storage>(q), items.row<Storage>(item), nullptr, nullptr, n, r, distance.data());
          const std::vector<int64_t>& skip = masked[q - first];
          size_t& at = next_masked[q - first];
          for (int64_t i = 0; i < n; ++i) {
            while (at < skip.size() && skip[at] < item + i) ++at;
            if (at < skip.size() && skip[at] == item + i) continue;
            nearest[q - first].see(distance[i], item + i);
          }
        }
      }
      for (int64_t q = first; q < last; ++q) {
        const std::vector<Candidate>& best = nearest[q - first].sorted();
        for (int64_t i = 0; i < k; ++i) {
          const bool any = i < static_cast<int64_t>(best.size());
          id_out[q * k + i] = any ? best[i].second : -1;
          value_out[q * k + i] = sign * (any ? best[i].first : std::numeric_limits<float>::infinity());
        }
      }
    }
  });
}

std::tuple<Tensor, Tensor> topk(const Tensor& queries, const Tensor& items, int64_t k,
                                const std::optional<Tensor>& seen_indptr, const std::optional<Tensor>& seen_indices,
                                const std::string& metric) {
  check_topk(queries, items, k, seen_indptr, seen_indices);
  if (seen_indptr) check_topk_ids(items, *seen_indptr, *seen_indices);
  const Matrix query_table(queries);
  const Matrix item_table(items);
  const Seen seen(seen_indptr, seen_indices);
  const bool dot = parse_metric(metric) == Metric::kDot;
  Tensor ids = torch::stable::new_empty(queries, {queries.size(0), k}, ScalarType::Long);
  Tensor values = torch::stable::new_empty(queries, {queries.size(0), k}, ScalarType::Float);
  with_storage(queries, [&](auto storage) {
    search<decltype(storage)>(query_table, item_table, k, seen, dot, static_cast<int64_t*>(ids.data_ptr()),
                              static_cast<float*>(values.data_ptr()));
  });
  return {ids, values};
}

}  // namespace
}  // namespace cmlfast

STABLE_TORCH_LIBRARY_IMPL(cmlfast, CPU, m) { m.impl("topk", TORCH_BOX(&cmlfast::topk)); }
