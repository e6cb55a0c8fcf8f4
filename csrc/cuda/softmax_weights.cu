// softmax_weights_: products of pairs with the negatives that they share become the weights of the gradient. A warp has
// a pair, and a thread one lane of its sums: every 32nd negative. As in cml_step_ the host never waits, for it is a
// part of a step; no id is an address here. A call that finds a bad one changes nothing, and says so by sums of NaN.
#include <tuple>

#include "../softmax_math.h"
#include "arena.h"
#include "check_ids.cuh"
#include "device.h"

namespace cmlfast {
namespace {

constexpr unsigned kWarp = 0xFFFFFFFFu;
constexpr int kWarpsInBlock = kBlock / kLanes;

// How a warp reads a row: kChunks times 32 logits at a time, their loads in flight at once. With kOneTile that is the
// whole row, and stays in registers: products are read once, and exp is taken once of each. kBlocks is what is to fit
// on a multiprocessor.
template <int kChunks_, bool kOneTile_, int kBlocks_>
struct RowTiles {
  static constexpr int kChunks = kChunks_;
  static constexpr bool kOneTile = kOneTile_;
  static constexpr int kBlocks = kBlocks_;
  static constexpr int kTile = kChunks_ * kLanes;
};
using ShortRows = RowTiles<8, true, 16>;    // up to 256 negatives
using MiddleRows = RowTiles<32, true, 10>;  // up to 1024
using LongRows = RowTiles<8, false, 16>;
constexpr int kPadding = MiddleRows::kTile;

// Negatives [S] that all pairs share. Arrays are padded to whole tiles: offsets with -inf.
struct SharedNegatives {
  const float* offsets;  // logit = scale * product + offset
  const int32_t* ids;
  int n;
  float scale;
};

struct SoftmaxPairs {
  DeviceIds positives;           // [N]
  const float* positive_logits;  // [N]
  const float* weights;          // [N]
  int64_t n;
  bool decoupled;  // the positive is not part of the sum
};

struct SoftmaxColumns {
  float* largest;  // [N]
  float* total;    // [N]
  float* share;    // [N]
};

__global__ void __launch_bounds__(kBlock)
    pad_negatives(DeviceIds ids, const float* offsets, int n, int padded, int32_t* padded_ids, float* padded_offsets) {
  const int64_t k = thread_number();
  if (k >= padded) return;
  padded_ids[k] = k < n ? static_cast<int32_t>(ids[k]) : -1;
  padded_offsets[k] = k < n ? offsets[k] : -INFINITY;
}

// A thread's part of a tile.
template <typename T>
struct Logits {
  float of[T::kChunks];
};

template <typename T>
__device__ __forceinline__ Logits<T> load_logits(const SharedNegatives& negatives, int32_t positive,
                                                 const float* products, int first) {
  const int begin = first + threadIdx.x % kLanes;
  float product[T::kChunks];
  float offset[T::kChunks];
  int32_t id[T::kChunks];
#pragma unroll
  for (int c = 0; c < T::kChunks; ++c) {
    const int k = begin + c * kLanes;
    product[c] = k < negatives.n ? products[k] : 0.0f;
    offset[c] = negatives.offsets[k];
    id[c] = negatives.ids[k];
  }
  Logits<T> logit;
#pragma unroll
  for (int c = 0; c < T::kChunks; ++c) {
    logit.of[c] = id[c] == positive ? -INFINITY : negatives.scale * product[c] + offset[c];
  }
  return logit;
}

__device__ __forceinline__ float largest_of_warp(float largest) {
#pragma unroll
  for (int half = kLanes / 2; half > 0; half /= 2) {
    largest = larger_logit(__shfl_xor_sync(kWarp, largest, half), largest);
  }
  return largest;
}

// The lanes folded by halves, in every thread: a sum of two is the same from either side.
__device__ __forceinline__ float fold_warp(float sum) {
#pragma unroll
  for (int half = kLanes / 2; half > 0; half /= 2) sum = sum + __shfl_xor_sync(kWarp, sum, half);
  return sum;
}

template <typename T>
__global__ void __launch_bounds__(kBlock, T::kBlocks)
    weigh_rows(SharedNegatives negatives, SoftmaxPairs pairs, float* table, SoftmaxColumns out, const int* fault) {
  const int64_t n = thread_number() / kLanes;
  const int thread = threadIdx.x % kLanes;
  if (n >= pairs.n) return;
  float* const products = table + n * negatives.n;
  const int32_t positive = static_cast<int32_t>(pairs.positives[n]);
  const float positive_logit = pairs.positive_logits[n];
  const float weight = pairs.weights[n];
  Logits<T> logits = load_logits<T>(negatives, positive, products, 0);
  if (*fault != 0) {  // asked for only now, so that no load waits for the answer
    if (thread == 0) out.largest[n] = out.total[n] = out.share[n] = NAN;
    return;
  }
  const auto for_each_tile = [&](const auto& visit) {
    if constexpr (T::kOneTile) {
      visit(0);
    } else {
      for (int first = 0; first < negatives.n; first += T::kTile) {
        logits = load_logits<T>(negatives, positive, products, first);
        visit(first);
      }
    }
  };

  float largest = pairs.decoupled ? -INFINITY : larger_logit(positive_logit, -INFINITY);
  for_each_tile([&](int) {
#pragma unroll
    for (int c = 0; c < T::kChunks; ++c) largest = larger_logit(logits.of[c], largest);
  });
  largest = largest_of_warp(largest);
  const float base = softmax_base(largest);
  float sum = 0.0f;
  for_each_tile([&](int) {
#pragma unroll
    for (int c = 0; c < T::kChunks; ++c) {
      logits.of[c] = exp_not_positive(logits.of[c] - base);
      sum = sum + logits.of[c];
    }
  });
  const SoftmaxSums sums = softmax_sums(largest, fold_warp(sum), positive_logit, weight, pairs.decoupled);
  for_each_tile([&](int first) {
#pragma unroll
    for (int c = 0; c < T::kChunks; ++c) {
      const int k = first + c * kLanes + thread;
      // What does not stay is computed again: some 20 operations, for 8 bytes that need not be written and read.
      const float e = T::kOneTile ? logits.of[c] : exp_not_positive(logits.of[c] - base);
      if (k < negatives.n) products[k] = e * sums.factor;
    }
  });
  if (thread == 0) {
    out.largest[n] = sums.largest;
    out.total[n] = sums.total;
    out.share[n] = sums.share;
  }
}

std::tuple<Tensor, Tensor, Tensor> softmax_weights_(const Tensor& products, const Tensor& offsets,
                                                    const Tensor& negatives, const Tensor& positives,
                                                    const Tensor& positive_logits, const Tensor& weights, double scale,
                                                    bool decoupled) {
  check_softmax_weights(products, offsets, negatives, positives, positive_logits, weights, scale);
  constexpr int64_t kMost = INT32_MAX - 2 * kPadding;
  check_value(products.size(1) <= kMost, "products has ", products.size(1), " columns; on a GPU at most ", kMost,
              " can be counted");
  const Device device = enter_device(products);
  const cudaStream_t stream = device.stream;
  Matrix table(products);
  const int64_t n_pairs = table.n_rows();
  const int n_negatives = static_cast<int>(table.n_columns());
  const int padded = (n_negatives / kPadding + 1) * kPadding;  // one tile is read in any case
  const Ids negative(negatives);
  const Ids positive(positives);
  const Tensor offset_array = torch::stable::contiguous(offsets);
  const Tensor logit_array = torch::stable::contiguous(positive_logits);
  const Tensor weight_array = torch::stable::contiguous(weights);
  const auto floats = [](const Tensor& array) { return static_cast<float*>(array.data_ptr()); };
  Arena arena;
  const auto fault = arena.reserve<int>(1);
  const auto padded_ids = arena.reserve<int32_t>(padded);
  const auto padded_offsets = arena.reserve<float>(padded);
  arena.allocate(products);
  const IdChecks checks(stream, arena.at(fault));
  checks.range(negative, 0, INT32_MAX);
  checks.range(positive, 0, INT32_MAX);
  launch(stream, padded, kBlock, pad_negatives, DeviceIds(negative), const_cast<const float*>(floats(offset_array)),
         n_negatives, padded, arena.at(padded_ids), arena.at(padded_offsets));

  Tensor largest = torch::stable::new_empty(logit_array, {n_pairs});
  Tensor total = torch::stable::new_empty(logit_array, {n_pairs});
  Tensor share = torch::stable::new_empty(logit_array, {n_pairs});
  const SharedNegatives shared{arena.at(padded_offsets), arena.at(padded_ids), n_negatives, static_cast<float>(scale)};
  const SoftmaxPairs pairs{DeviceIds(positive), floats(logit_array), floats(weight_array), n_pairs, decoupled};
  const auto kernel = n_negatives <= ShortRows::kTile    ? weigh_rows<ShortRows>
                      : n_negatives <= MiddleRows::kTile ? weigh_rows<MiddleRows>
                                                         : weigh_rows<LongRows>;
  launch(stream, n_pairs, kWarpsInBlock, kernel, shared, pairs, table.data(),
         SoftmaxColumns{floats(largest), floats(total), floats(share)}, const_cast<const int*>(arena.at(fault)));
  table.store();
  return {largest, total, share};
}

}  // namespace
}  // namespace cmlfast

STABLE_TORCH_LIBRARY_IMPL(cmlfast, CMLFAST_CUDA_KEY, m) {
  m.impl("softmax_weights_", TORCH_BOX(&cmlfast::softmax_weights_));
}
