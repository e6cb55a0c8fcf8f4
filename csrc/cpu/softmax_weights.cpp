// softmax_weights_: products of pairs with the negatives that they share become the weights of the gradient.
#include <torch/csrc/stable/library.h>

#include <limits>
#include <vector>

#include "../arguments.h"
#include "../softmax_math.h"
#include "parallel.h"
#include "row_kernels.h"

namespace cmlfast {
namespace {

std::tuple<Tensor, Tensor, Tensor> softmax_weights_(const Tensor& products, const Tensor& offsets,
                                                    const Tensor& negatives, const Tensor& positives,
                                                    const Tensor& positive_logits, const Tensor& weights, double scale,
                                                    bool decoupled) {
  check_softmax_weights(products, offsets, negatives, positives, positive_logits, weights, scale);
  check_softmax_weights_ids(negatives, positives);
  Matrix table(products);
  const int64_t n_negatives = table.n_columns();
  const int64_t padded = (n_negatives + kLanes - 1) / kLanes * kLanes;
  std::vector<float> offset(padded, -std::numeric_limits<float>::infinity());
  std::vector<int32_t> id(padded, -1);
  const Tensor offset_array = torch::stable::contiguous(offsets);
  const Ids negative(negatives);
  std::copy_n(static_cast<const float*>(offset_array.data_ptr()), n_negatives, offset.begin());
  for (int64_t k = 0; k < n_negatives; ++k) id[k] = static_cast<int32_t>(negative[k]);
  const SharedNegatives shared{offset.data(), id.data(), n_negatives, static_cast<float>(scale)};

  const Ids positive(positives);
  const Tensor logit_array = torch::stable::contiguous(positive_logits);
  const Tensor weight_array = torch::stable::contiguous(weights);
  const float* logit = static_cast<const float*>(logit_array.data_ptr());
  const float* weight = static_cast<const float*>(weight_array.data_ptr());
  const auto new_column = [&] { return torch::stable::new_empty(logit_array, {table.n_rows()}); };
  Tensor largest = new_column();
  Tensor total = new_column();
  Tensor share = new_column();
  const auto out = [](Tensor& column) { return static_cast<float*>(column.data_ptr()); };
  float* largest_out = out(largest);
  float* total_out = out(total);
  float* share_out = out(share);
  parallel_for(0, table.n_rows(), grain_for(n_negatives), [&](int64_t begin, int64_t end) {
    std::vector<float> scratch(padded);
    for (int64_t n = begin; n < end; ++n) {
      const SoftmaxPair pair{static_cast<int32_t>(positive[n]), logit[n], weight[n], decoupled};
      const SoftmaxSums sums = row_kernels().softmax_weights(shared, pair, table.row(n), scratch.data());
      largest_out[n] = sums.largest;
      total_out[n] = sums.total;
      share_out[n] = sums.share;
    }
  });
  table.store();
  return {largest, total, share};
}

}  // namespace
}  // namespace cmlfast

STABLE_TORCH_LIBRARY_IMPL(cmlfast, CPU, m) { m.impl("softmax_weights_", TORCH_BOX(&cmlfast::softmax_weights_)); }
