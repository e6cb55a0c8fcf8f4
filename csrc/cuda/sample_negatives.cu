// sample_negatives: [N] pairs -> [N, U] items that the pairs' users have not liked. A thread draws four.
#include "arena.h"
#include "check_ids.cuh"
#include "device.h"
#include "draw.cuh"
#include "ids.cuh"
#include "launch.cuh"

namespace cmlfast {
namespace {

__global__ void __launch_bounds__(kBlock) draw_negatives(Sampler sampler, DeviceIds users, DeviceIds positives,
                                                         int64_t n_pairs, int64_t n_negatives, DeviceIdsOut out) {
  const int64_t n_blocks = (n_negatives + 3) / 4;
  const int64_t n = thread_number() / n_blocks;
  const int64_t block = thread_number() % n_blocks;
  if (n >= n_pairs) return;
  const PairDraws draws(sampler, users[n], positives[n]);
  const bool any = draws.n_others() > 0;
  const Words4 words = draws.words(block);
#pragma unroll
  for (int q = 0; q < 4; ++q) {
    const int64_t at = 4 * block + q;
    if (at < n_negatives) out.set(n * n_negatives + at, any ? draws.item(words.word[q]) : -1);
  }
}

Tensor sample_negatives(const Tensor& indptr, const Tensor& indices, const Tensor& users, const Tensor& positives,
                        int64_t n_items, int64_t n_negatives, int64_t seed, int64_t offset, int64_t first_user) {
  check_sampling(indptr, indices, users, positives, n_items, n_negatives);
  const Device device = enter_device(users);
  const Ids row_ends(indptr);
  const Ids liked(indices);
  const Ids user(users);
  const Ids positive(positives);
  Arena arena;
  const auto fault = arena.reserve<int>(1);
  arena.allocate(users);
  const IdChecks checks(device.stream, arena.at(fault));
  checks.pairs(user, positive, pair_limits(row_ends, liked, row_ends.size() - 1, n_items));
  checks.finish([&] {
    check_sample_negatives_ids(on_host(indptr), on_host(indices), on_host(users), on_host(positives), n_items);
  });

  Tensor negatives = torch::stable::new_empty(users, {user.size(), n_negatives});  // [N, U]
  launch(device.stream, user.size() * ((n_negatives + 3) / 4), kBlock, draw_negatives,
         Sampler(row_ends, liked, n_items, seed, offset, first_user), DeviceIds(user), DeviceIds(positive), user.size(),
         n_negatives, DeviceIdsOut(Ids(negatives)));
  return negatives;
}

}  // namespace
}  // namespace cmlfast

STABLE_TORCH_LIBRARY_IMPL(cmlfast, CMLFAST_CUDA_KEY, m) {
  m.impl("sample_negatives", TORCH_BOX(&cmlfast::sample_negatives));
}
