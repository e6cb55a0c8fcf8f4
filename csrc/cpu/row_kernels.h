// The inner loops over table rows, compiled once for each instruction set and chosen at run time.
#pragma once

#include <cstdint>

namespace cmlfast {

struct RowKernels {
  const char* isa;

  // out[q] = squared distance (or minus the dot product) of `query` [r] and rows[ids[q]] [r], q < n. A null `ids`
  // means rows 0 to n - 1. The rows named by `soon` [n] (may be null) are fetched into the cache meanwhile.
  void (*squared_distances)(const float* query, const float* rows, const int64_t* ids, const int64_t* soon, int64_t n,
                            int64_t r, float* out);
  void (*minus_dots)(const float* query, const float* rows, const int64_t* ids, const int64_t* soon, int64_t n,
                     int64_t r, float* out);

  // sum[e] += factor * (a[e] - b[e]), e < r
  void (*add_scaled_difference)(float* sum, float factor, const float* a, const float* b, int64_t r);

  // sum[e] += part[e], e < r
  void (*add)(float* sum, const float* part, int64_t r);

  // One AdaGrad step on a row [r], then the clip into the ball. `out` receives the new row and may be `weight` itself.
  void (*adagrad_clip)(const float* weight, float* state, const float* gradient, int64_t r, float lr, float eps,
                       float max_norm, float* out);
};

// Those for the best instruction set this machine has, or the one that CMLFAST_ISA names: baseline, avx2, avx512.
const RowKernels& row_kernels();

extern const RowKernels kBaselineRowKernels;
#if defined(__x86_64__)
extern const RowKernels kAvx2RowKernels;
extern const RowKernels kAvx512RowKernels;
#endif

}  // namespace cmlfast
