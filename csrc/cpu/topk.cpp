// topk: the k nearest items of each query, exact, seen items masked before the selection, ties by id.
#include <torch/csrc/stable/library.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "../arguments.h"
#include "filter.h"
#include "nearest.h"
#include "parallel.h"
#include "row_kernels.h"
#include "with_storage.h"

namespace cmlfast {
namespace {

constexpr int64_t kItemTile = 256;     // rows that stay in the L2 cache while a thread's queries pass over them
constexpr int64_t kFewQueries = 8;     // for fewer, laying items side by side takes longer than it saves
constexpr int64_t kMostQueries = 512;  // that pass over a strip before the next one: their rows stay in the L2 cache
constexpr int64_t kMostCandidates = 4'000'000;  // of a thread's queries
constexpr int64_t kEnough = 8;                  // items of a query that are computed together
constexpr int64_t kWaiting = kEnough + kStrip;
constexpr int64_t kFewItems = 8192;  // not worth a second thread for one query

// A search of some queries among some items.
template <typename Storage>
class Search {
 public:
  Search(const Matrix& queries, const Matrix& items, int64_t k, const Seen& seen, bool dot)
      : queries_(queries),
        items_(items),
        k_(k),
        seen_(seen),
        bound_(filter_bound(queries.n_columns(), dot)),
        filter_(row_kernels().filter),  // chosen before threads part, where an error could not come back
        distances_(dot ? row_kernels().of<Storage>().minus_dots : row_kernels().of<Storage>().squared_distances),
        filters_(bound_serves(queries.n_columns())) {}

  std::vector<Nearest> run(int64_t first_query, int64_t last_query, int64_t first_item, int64_t last_item) const {
    const int64_t n = last_query - first_query;
    std::vector<Nearest> nearest(n, Nearest(k_));
    std::vector<std::vector<int64_t>> masked;
    for (int64_t q = 0; q < n; ++q) masked.push_back(seen_.of(first_query + q));
    if (n < kFewQueries || !filters_) {
      compute_all(first_query, first_item, last_item, masked, nearest);
    } else {
      compute_near(first_query, first_item, last_item, masked, nearest);
    }
    return nearest;
  }

 private:
  void compute_all(int64_t first_query, int64_t first_item, int64_t last_item,
                   const std::vector<std::vector<int64_t>>& masked, std::vector<Nearest>& nearest) const {
    const int64_t r = queries_.n_columns();
    std::vector<float> distance(kItemTile);
    std::vector<int64_t> soon(kItemTile);
    for (int64_t i = 0; i < kItemTile; ++i) soon[i] = kItemTile + i;
    std::vector<size_t> next(nearest.size());
    for (size_t q = 0; q < nearest.size(); ++q) {
      next[q] = std::lower_bound(masked[q].begin(), masked[q].end(), first_item) - masked[q].begin();
    }
    for (int64_t item = first_item; item < last_item; item += kItemTile) {
      const int64_t n = std::min(kItemTile, last_item - item);
      for (size_t q = 0; q < nearest.size(); ++q) {
        distances_(queries_.row<Storage>(first_query + q), items_.row<Storage>(item), nullptr,
                   item + 2 * kItemTile <= last_item && q == 0 ? soon.data() : nullptr, n, r, distance.data());
        const std::vector<int64_t>& skip = masked[q];
        float reach = nearest[q].reach();
        for (int64_t i = 0; i < n; ++i) {
          while (next[q] < skip.size() && skip[next[q]] < item + i) ++next[q];
          if (next[q] < skip.size() && skip[next[q]] == item + i) continue;
          if (distance[i] > reach) continue;
          nearest[q].see(distance[i], item + i);
          reach = nearest[q].reach();
        }
      }
    }
  }

  // The same, of those items alone that can be among the nearest, see filter_bound.h.
  void compute_near(int64_t first_query, int64_t first_item, int64_t last_item,
                    const std::vector<std::vector<int64_t>>& masked, std::vector<Nearest>& nearest) const {
    const int64_t r = queries_.n_columns();
    const int64_t n = static_cast<int64_t>(nearest.size());
    std::vector<float> scaled(n * r), factors(n), limits(n);
    std::vector<double> squares(n);
    for (int64_t q = 0; q < n; ++q) {
      const Storage* row = queries_.row<Storage>(first_query + q);
      for (int64_t e = 0; e < r; ++e) scaled[q * r + e] = bound_.scale * to_float(row[e]);
      squares[q] = square_of(row, r);
      factors[q] = factor_of(bound_, squares[q]);
      limits[q] = limit_of(bound_, nearest[q].reach(), squares[q]);
    }
    PackedStrip packed(r);
    std::vector<uint64_t> near(n);
    std::vector<int64_t> waiting(n * kWaiting);  // of each query, until there are enough to be worth a call
    std::vector<int64_t> n_waiting(n);
    float distance[kWaiting];
    const auto compute = [&](int64_t q) {
      const int64_t* ids = waiting.data() + q * kWaiting;
      distances_(queries_.row<Storage>(first_query + q), items_.row<Storage>(0), ids, nullptr, n_waiting[q], r,
                 distance);
      for (int64_t i = 0; i < n_waiting[q]; ++i) nearest[q].see(distance[i], ids[i]);
      n_waiting[q] = 0;
      limits[q] = limit_of(bound_, nearest[q].reach(), squares[q]);
    };
    for (int64_t item = first_item; item < last_item; item += kStrip) {
      const int64_t n_items = std::min(kStrip, last_item - item);
      packed.pack(items_.row<Storage>(item), n_items, bound_);
      filter_(packed.strip(), scaled.data(), factors.data(), limits.data(), n, near.data());
      const uint64_t there = ~uint64_t{0} >> (64 - n_items);
      for (int64_t q = 0; q < n; ++q) {
        for (uint64_t bits = near[q] & there; bits; bits &= bits - 1) {
          const int64_t id = item + __builtin_ctzll(bits);
          if (!std::binary_search(masked[q].begin(), masked[q].end(), id)) waiting[q * kWaiting + n_waiting[q]++] = id;
        }
        if (n_waiting[q] >= kEnough) compute(q);
      }
    }
    for (int64_t q = 0; q < n; ++q) compute(q);
  }

  const Matrix& queries_;
  const Matrix& items_;
  int64_t k_;
  const Seen& seen_;
  FilterBound bound_;
  decltype(RowKernels::filter) filter_;
  decltype(TableKernels<Storage>::squared_distances) distances_;
  bool filters_;
};

// Shares queries among threads, and items too where there are fewer queries than threads.
template <typename Storage>
void search(const Matrix& queries, const Matrix& items, int64_t k, const Seen& seen, bool dot, int64_t* id_out,
            float* value_out) {
  const int64_t n_queries = queries.n_rows();
  const int64_t n_items = items.n_rows();
  const int64_t n_threads = torch::stable::get_num_threads();
  const int64_t most = std::max<int64_t>(1, std::min(kMostQueries, kMostCandidates / std::min(k, n_items + 1)));
  const int64_t tile = std::min(most, (n_queries + n_threads - 1) / n_threads);
  if (n_queries == 0) return;
  const int64_t n_tiles = (n_queries + tile - 1) / tile;
  const int64_t n_parts = std::max<int64_t>(1, std::min(n_threads / n_tiles, n_items / kFewItems));
  const Search<Storage> whole(queries, items, k, seen, dot);
  const float sign = dot ? -1.0f : 1.0f;
  std::vector<std::vector<Nearest>> found(n_tiles * n_parts);

  const auto write = [&](int64_t query, const std::vector<Candidate>& best) {
    write_nearest(best, k, sign, id_out + query * k, value_out + query * k);
  };
  parallel_for(0, n_tiles * n_parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t first = unit / n_parts * tile;
      const int64_t part = unit % n_parts;
      std::vector<Nearest> nearest =
          whole.run(first, std::min(first + tile, n_queries), n_items * part / n_parts, n_items * (part + 1) / n_parts);
      if (n_parts > 1) {
        found[unit] = std::move(nearest);
        continue;
      }
      for (size_t q = 0; q < nearest.size(); ++q) write(first + q, nearest[q].sorted());
    }
  });
  if (n_parts == 1) return;
  for (int64_t query = 0; query < n_queries; ++query) {
    Nearest best(k);
    for (int64_t part = 0; part < n_parts; ++part) {
      for (const Candidate& one : found[query / tile * n_parts + part][query % tile].candidates()) {
        best.see(one.first, one.second);
      }
    }
    write(query, best.sorted());
  }
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
