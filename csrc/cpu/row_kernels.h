// The inner loops over table rows, compiled once for each instruction set and chosen at run time.
#pragma once

#include <cstdint>
#include <type_traits>

namespace cmlfast {

struct Bfloat16;
struct Float16;
struct PairScan;
struct PairSeed;
struct Rounding;
struct SoftmaxSums;
struct StepSizes;

// What a pair adds to a row's gradient: factor * (a - b) for rows a, b [r].
template <typename Storage>
struct Share {
  const Storage* a;
  const Storage* b;
  float factor;
};

// The loops over tables of one storage type. All arithmetic is float32.
template <typename Storage>
struct TableKernels {
  // out[q] = squared distance (or minus the dot product) of `query` [r] and rows[ids[q]] [r], q < n. A null `ids`
  // means rows 0 to n - 1. The rows named by `soon` [n] (may be null) are fetched into the cache meanwhile.
  void (*squared_distances)(const Storage* query, const Storage* rows, const int64_t* ids, const int64_t* soon,
                            int64_t n, int64_t r, float* out);
  void (*minus_dots)(const Storage* query, const Storage* rows, const int64_t* ids, const int64_t* soon, int64_t n,
                     int64_t r, float* out);

  // out[e] = sum of the shares' elements e < r, in order
  void (*sum_shares)(const Share<Storage>* shares, int64_t n, int64_t r, float* out);

  // out[e] = values[e], e < r, to the nearest
  void (*store)(const float* values, int64_t r, Storage* out);

  // One AdaGrad step on a row [r], the clip into the ball, and the only rounding to Storage. Uses up `gradient`. `out`
  // receives the new row and may be `weight` itself; `row` is its number. `state` is [r], or with rowwise [1].
  using AdagradClip = void (*)(const Storage* weight, float* state, float* gradient, int64_t r, const StepSizes& sizes,
                               const Rounding& rounding, int64_t row, Storage* out);
  AdagradClip adagrad_clip;
  AdagradClip rowwise_adagrad_clip;
};

// Negatives [S] that all pairs share. Arrays are padded to whole blocks of kLanes: offsets with -inf.
struct SharedNegatives {
  const float* offsets;  // logit = scale * product + offset
  const int32_t* ids;
  int64_t n;
  float scale;
};

struct SoftmaxPair {
  int32_t positive;
  float positive_logit;
  float weight;
  bool decoupled;  // the positive is not part of the sum
};

// Items side by side, for scores of kStrip of them at once: score = base + factor slope + sum of query x element.
constexpr int64_t kStrip = 48;
struct ItemStrip {
  const float* elements;  // [r, kStrip]
  const float* base;      // [kStrip]
  const float* slope;     // [kStrip]
  int64_t r;
};

struct RowKernels {
  const char* isa;

  // sum[e] += part[e], e < r
  void (*add)(float* sum, const float* part, int64_t r);

  // see_negative for each of a pair's distances [n], the first of which is the positive's.
  PairScan (*see_negatives)(float margin, const float* distance, int64_t n);

  // ids[0 .. n) = the pair's negatives, of the n_others items that are not among the user's sorted positives.
  void (*draw_from_int32)(const PairSeed& pair, const int32_t* positives, int64_t n_positives, int64_t n_others,
                          int64_t n, int64_t* ids);
  void (*draw_from_int64)(const PairSeed& pair, const int64_t* positives, int64_t n_positives, int64_t n_others,
                          int64_t n, int64_t* ids);

  // near[q] = a bit for each item of a strip whose score for query q < n, of queries [n, r], is not above the limit.
  void (*filter)(const ItemStrip& strip, const float* queries, const float* factors, const float* limits, int64_t n,
                 uint64_t* near);

  // Turns a pair's products with the shared negatives [S] into their weights; `scratch` is as long as their arrays.
  SoftmaxSums (*softmax_weights)(const SharedNegatives& negatives, const SoftmaxPair& pair, float* products,
                                 float* scratch);

  TableKernels<float> float32;
  TableKernels<Bfloat16> bfloat16;
  TableKernels<Float16> float16;

  template <typename Storage>
  const TableKernels<Storage>& of() const {
    if constexpr (std::is_same_v<Storage, Bfloat16>) {
      return bfloat16;
    } else if constexpr (std::is_same_v<Storage, Float16>) {
      return float16;
    } else {
      return float32;
    }
  }
};

// Those for the best instruction set this machine has, or the one that CMLFAST_ISA names: baseline, avx2, avx512.
const RowKernels& row_kernels();

extern const RowKernels kBaselineRowKernels;
#if defined(__x86_64__)
extern const RowKernels kAvx2RowKernels;
extern const RowKernels kAvx512RowKernels;
#endif

}  // namespace cmlfast
