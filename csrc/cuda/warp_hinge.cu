// warp_hinge and warp_hinge_sampled: the loss of section 3.1 and 3.2 of the paper for a batch of pairs.
#include <string>
#include <tuple>

#include "arena.h"
#include "check_ids.cuh"
#include "device.h"
#include "draw.cuh"
#include "layouts.cuh"
#include "rank_weights.cuh"
#include "scan.cuh"

namespace cmlfast {
namespace {

using Outputs = std::tuple<Tensor, Tensor, Tensor>;  // loss [N] float32, hardest [N] ids, impostors [N] ids

Outputs scan(const Device& device, const Tensor& user_vectors, const Tensor& item_vectors, const Tensor& users,
             const Tensor& positives, const Negatives& negatives, double margin, int64_t n_items, bool rank_weight,
             Metric metric) {
  const Matrix user_table(user_vectors);
  const Matrix item_table(item_vectors);
  const Ids user(users);
  const Ids positive(positives);
  const int64_t n = user.size();
  const int64_t r = user_table.n_columns();
  Tensor loss = torch::stable::new_empty(user_vectors, {n}, ScalarType::Float);
  Tensor hardest = torch::stable::new_empty(users, {n});
  Tensor impostors = torch::stable::new_empty(users, {n});
  Arena arena;
  const auto weights = arena.reserve<float>(negatives.n + 1);
  arena.allocate(users);
  store_rank_weights(device.stream, rank_weights(n_items, negatives.n, rank_weight), arena.at(weights));

  const bool vector = vector_loads(r, {user_table.data(), item_table.data()});
  with_layout(user_vectors.scalar_type(), r, vector, [&](auto layout) {
    using L = decltype(layout);
    using Storage = typename L::Storage;
    const PairBatch<Storage> batch{
        user_table.data<Storage>(), item_table.data<Storage>(), r, DeviceIds(user), DeviceIds(positive), n, negatives,
        static_cast<float>(margin)};
    const ScanResults results{static_cast<float*>(loss.data_ptr()), DeviceIdsOut(Ids(hardest)),
                              DeviceIdsOut(Ids(impostors)), nullptr, RowEntries()};
    const auto kernel = metric == Metric::kDot ? scan_pairs<L, Metric::kDot> : scan_pairs<L, Metric::kSquaredEuclidean>;
    launch(device.stream, n, kTeamsInBlock, kernel, ScanArguments<Storage>{batch, arena.at(weights), results});
  });
  return {loss, hardest, impostors};
}

Outputs warp_hinge(const Tensor& user_vectors, const Tensor& item_vectors, const Tensor& users, const Tensor& positives,
                   const Tensor& negatives, double margin, int64_t n_items, bool rank_weight, const std::string& metric,
                   bool /* sparse_grad: the backward pass reads it */) {
  check_warp_hinge(user_vectors, item_vectors, users, positives, negatives, n_items);
  check_few_negatives(negatives.size(1));
  const Metric kind = parse_metric(metric);
  const Device device = enter_device(user_vectors);
  const Ids negative(negatives);
  Arena arena;
  const auto fault = arena.reserve<int>(1);
  arena.allocate(users);
  const IdChecks checks(device.stream, arena.at(fault));
  checks.range(Ids(users), 0, user_vectors.size(0));
  checks.range(Ids(positives), 0, item_vectors.size(0));
  checks.range(negative, -1, item_vectors.size(0));
  checks.mixed(negative, negatives.size(1));
  checks.finish([&] {
    check_warp_hinge_ids(user_vectors, item_vectors, on_host(users), on_host(positives), on_host(negatives));
  });
  Negatives given;
  given.given = DeviceIds(negative);
  given.n = negatives.size(1);
  return scan(device, user_vectors, item_vectors, users, positives, given, margin, n_items, rank_weight, kind);
}

Outputs warp_hinge_sampled(const Tensor& user_vectors, const Tensor& item_vectors, const Tensor& indptr,
                           const Tensor& indices, const Tensor& users, const Tensor& positives, int64_t n_negatives,
                           double margin, int64_t seed, int64_t offset, bool rank_weight, const std::string& metric,
                           bool /* sparse_grad */) {
  check_warp_hinge_sampled(user_vectors, item_vectors, indptr, indices, users, positives, n_negatives);
  check_few_negatives(n_negatives);
  const Metric kind = parse_metric(metric);
  const Device device = enter_device(user_vectors);
  const int64_t n_items = item_vectors.size(0);
  const Ids row_ends(indptr);
  const Ids liked(indices);
  Arena arena;
  const auto fault = arena.reserve<int>(1);
  arena.allocate(users);
  const IdChecks checks(device.stream, arena.at(fault));
  checks.pairs(Ids(users), Ids(positives), pair_limits(row_ends, liked, user_vectors.size(0), n_items));
  checks.finish([&] {
    check_warp_hinge_sampled_ids(user_vectors, item_vectors, on_host(indptr), on_host(indices), on_host(users),
                                 on_host(positives));
  });
  Negatives drawn;
  drawn.drawn = true;
  drawn.sampler = Sampler(row_ends, liked, n_items, seed, offset);
  drawn.n = n_negatives;
  return scan(device, user_vectors, item_vectors, users, positives, drawn, margin, n_items, rank_weight, kind);
}

}  // namespace
}  // namespace cmlfast

STABLE_TORCH_LIBRARY_IMPL(cmlfast, CMLFAST_CUDA_KEY, m) {
  m.impl("warp_hinge", TORCH_BOX(&cmlfast::warp_hinge));
  m.impl("warp_hinge_sampled", TORCH_BOX(&cmlfast::warp_hinge_sampled));
}
