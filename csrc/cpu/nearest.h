// What a search by distance keeps: the k best candidates, and what a query must not get.
#pragma once

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "../tensors.h"

namespace cmlfast {

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
  // The distance that another must not exceed to be among the k best; infinite while these are fewer.
  float reach() const {
    return static_cast<int64_t>(heap_.size()) < k_ ? std::numeric_limits<float>::infinity() : heap_.front().first;
  }
  const std::vector<Candidate>& candidates() const { return heap_; }
  const std::vector<Candidate>& sorted() {
    std::sort_heap(heap_.begin(), heap_.end());
    return heap_;
  }

 private:
  int64_t k_;
  std::vector<Candidate> heap_;
};

// Writes the best candidates, ascending, and what stands where there are fewer than k.
inline void write_nearest(const std::vector<Candidate>& best, int64_t k, float sign, int64_t* ids, float* values) {
  for (int64_t i = 0; i < k; ++i) {
    const bool any = i < static_cast<int64_t>(best.size());
    ids[i] = any ? best[i].second : -1;
    values[i] = sign * (any ? best[i].first : std::numeric_limits<float>::infinity());
  }
}

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

}  // namespace cmlfast
