// warp_hinge_backward: the gradients of a batch's losses in both tables, dense.
#include <string>
#include <tuple>

#include "arena.h"
#include "check_ids.cuh"
#include "device.h"
#include "finish.cuh"
#include "group.cuh"
#include "layouts.cuh"
#include "rank_weights.cuh"
#include "sum.cuh"

namespace cmlfast {
namespace {

struct BackwardArguments {
  Metric metric;
  const float* weights;    // [U + 1]
  const float* grad_loss;  // [N]
  DeviceIds users, positives, hardest, impostors;
  int64_t n_pairs;
  float* factor;  // [N]
  RowEntries entries;
};

__global__ void __launch_bounds__(kBlock) prepare_gradients(BackwardArguments a) {
  const int64_t n = thread_number();
  if (n >= a.n_pairs) return;
  const int64_t impostors = a.impostors[n];
  const int64_t hardest = a.hardest[n];
  a.factor[n] = gradient_factor(a.metric, a.weights[impostors]) * a.grad_loss[n];
  // The nearest negative violates the margin exactly when any does.
  write_entries(a.entries, a.n_pairs, n, impostors > 0 && hardest >= 0, a.users[n], a.positives[n], hardest);
}

std::tuple<Tensor, Tensor> warp_hinge_backward(const Tensor& grad_loss, const Tensor& user_vectors,
                                               const Tensor& item_vectors, const Tensor& users, const Tensor& positives,
                                               const Tensor& hardest, const Tensor& impostors, int64_t n_negatives,
                                               int64_t n_items, bool rank_weight, const std::string& metric) {
  check_warp_hinge_backward(grad_loss, user_vectors, item_vectors, users, positives, hardest, impostors, n_negatives,
                            n_items);
  check_batch_size(users, "users");
  check_n_keys(user_vectors, "user_vectors");
  const Metric kind = parse_metric(metric);
  const Device device = enter_device(user_vectors);
  const cudaStream_t stream = device.stream;
  const Matrix user_table(user_vectors);
  const Matrix item_table(item_vectors);
  const Ids user(users);
  const Ids positive(positives);
  const Ids hardest_item(hardest);
  const Ids impostor_count(impostors);
  const Tensor grad = torch::stable::contiguous(grad_loss);
  const int64_t n = user.size();
  const int64_t r = user_table.n_columns();
  Arena arena;
  const auto fault = arena.reserve<int>(1);
  const auto weights = arena.reserve<float>(n_negatives + 1);
  const auto factor = arena.reserve<float>(n);
  const PairGroups groups(arena, n, user_table.n_rows(), item_table.n_rows(), r);
  arena.allocate(users);
  const IdChecks checks(stream, arena.at(fault));
  checks.range(user, 0, user_table.n_rows());
  checks.range(positive, 0, item_table.n_rows());
  checks.range(hardest_item, -1, item_table.n_rows());
  checks.range(impostor_count, 0, n_negatives + 1);
  checks.finish([&] {
    check_warp_hinge_backward_ids(user_vectors, item_vectors, on_host(users), on_host(positives), on_host(hardest),
                                  on_host(impostors), n_negatives);
  });

  store_rank_weights(stream, rank_weights(n_items, n_negatives, rank_weight), arena.at(weights));
  launch(stream, n, kBlock, prepare_gradients,
         BackwardArguments{kind, arena.at(weights), static_cast<const float*>(grad.data_ptr()), DeviceIds(user),
                           DeviceIds(positive), DeviceIds(hardest_item), DeviceIds(impostor_count), n, arena.at(factor),
                           groups.entries(arena)});
  groups.sort(arena, stream);

  Tensor user_grad = torch::stable::new_zeros(user_vectors, {user_table.n_rows(), r});
  Tensor item_grad = torch::stable::new_zeros(item_vectors, {item_table.n_rows(), r});
  const bool vector =
      vector_loads(r, {user_table.data(), item_table.data(), user_grad.data_ptr(), item_grad.data_ptr()});
  with_layout(user_vectors.scalar_type(), r, vector, [&](auto layout) {
    using L = decltype(layout);
    using Storage = typename L::Storage;
    const UserShares<L> user_shares{item_table.data<Storage>(), DeviceIds(hardest_item), DeviceIds(positive),
                                    arena.at(factor), r};
    const ItemShares<L> item_shares{user_table.data<Storage>(), DeviceIds(user), arena.at(factor), kind == Metric::kDot,
                                    r};
    const StoreGradient<L> of_users{user_table.data<Storage>(), static_cast<Storage*>(user_grad.data_ptr()), r};
    const StoreGradient<L> of_items{item_table.data<Storage>(), static_cast<Storage*>(item_grad.data_ptr()), r};
    sum_rows<L>(stream, groups.users(arena), user_shares, of_users, groups.user_partials(arena));
    sum_rows<L>(stream, groups.items(arena), item_shares, of_items, groups.item_partials(arena));
  });
  return {user_grad, item_grad};
}

}  // namespace
}  // namespace cmlfast

STABLE_TORCH_LIBRARY_IMPL(cmlfast, CMLFAST_CUDA_KEY, m) {
  m.impl("warp_hinge_backward", TORCH_BOX(&cmlfast::warp_hinge_backward));
}
