// sample_negatives: [N] pairs -> [N, U] items that the pairs' users have not liked.
#include <torch/csrc/stable/library.h>

#include <vector>

#include "draw.h"

namespace cmlfast {
namespace {

Tensor sample_negatives(const Tensor& indptr, const Tensor& indices, const Tensor& users, const Tensor& positives,
                        int64_t n_items, int64_t n_negatives, int64_t seed, int64_t offset, int64_t first_user) {
  check_sampling(indptr, indices, users, positives, n_items, n_negatives);
  check_sample_negatives_ids(indptr, indices, users, positives, n_items);
  const Sampler sampler(indptr, indices, n_items, seed, offset, first_user);
  const Ids user(users);
  const Ids positive(positives);

  Tensor negatives = torch::stable::new_empty(users, {user.size(), n_negatives});  // [N, U]
  Ids out(negatives);
  parallel_for(0, user.size(), grain_for(20 * n_negatives), [&](int64_t begin, int64_t end) {
    std::vector<int64_t> ids(n_negatives);
    for (int64_t n = begin; n < end; ++n) {
      const bool any = sampler.draw(user[n], positive[n], n_negatives, ids.data());
      for (int64_t q = 0; q < n_negatives; ++q) out.set(n * n_negatives + q, any ? ids[q] : -1);
    }
  });
  return negatives;
}

}  // namespace
}  // namespace cmlfast

STABLE_TORCH_LIBRARY_IMPL(cmlfast, CPU, m) { m.impl("sample_negatives", TORCH_BOX(&cmlfast::sample_negatives)); }
