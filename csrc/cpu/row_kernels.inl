// The bodies of RowKernels for one instruction set; row_kernels_<isa>.cpp includes this once, behind its target pragma.
// Everything here has internal linkage, so that no other file can be linked to code its machine may not run.

#include "simd.h"

namespace {

struct SquaredDifference {
  static Vector term(Vector a, Vector b) {
    const Vector difference = a - b;
    return difference * difference;
  }
  static float finish(float sum) { return sum; }
};

struct Product {
  static Vector term(Vector a, Vector b) { return a * b; }
  static float finish(float sum) { return -sum; }
};

// lanes[g] = the lane sums of Term(query, row[g]) for kRows rows, so that each part of the query is loaded once.
template <typename Term, int kRows, typename Storage>
inline void sum_lanes(const Storage* query, const Storage* const* row, int64_t r, Lanes* lanes) {
  Lanes sum[kRows];
  for (int g = 0; g < kRows; ++g) {
    for (int p = 0; p < Lanes::kParts; ++p) sum[g].part[p] = Vector::zero();
  }
  int64_t e = 0;
  for (; e + kLanes <= r; e += kLanes) {
    for (int p = 0; p < Lanes::kParts; ++p) {
      const int64_t at = e + p * Vector::kWidth;
      const Vector q = Vector::load(query + at);
      for (int g = 0; g < kRows; ++g) sum[g].part[p] = sum[g].part[p] + Term::term(q, Vector::load(row[g] + at));
    }
  }
  for (int p = 0; p < Lanes::kParts; ++p) {
    const int64_t at = e + p * Vector::kWidth;
    if (at >= r) break;
    const int64_t left = r - at < Vector::kWidth ? r - at : Vector::kWidth;
    const Vector q = Vector::load_first(query + at, left);
    for (int g = 0; g < kRows; ++g) {
      sum[g].part[p] = sum[g].part[p] + Term::term(q, Vector::load_first(row[g] + at, left));
    }
  }
  for (int g = 0; g < kRows; ++g) lanes[g] = sum[g];
}

template <typename Storage>
inline void prefetch_row(const Storage* row, int64_t r) {
  constexpr int64_t kCacheLine = 64 / sizeof(Storage);
  for (int64_t e = 0; e < r; e += kCacheLine) __builtin_prefetch(row + e);
  __builtin_prefetch(row + r - 1);
}

template <typename Term, typename Storage>
void scan(const Storage* query, const Storage* rows, const int64_t* ids, const int64_t* soon, int64_t n, int64_t r,
          float* out) {
  constexpr int kRows = Vector::kRowsAtOnce;
  int64_t q = 0;
  for (; q + 4 <= n; q += 4) {
    const Storage* row[4];
    for (int g = 0; g < 4; ++g) row[g] = rows + (ids ? ids[q + g] : q + g) * r;
    if (soon) {
      for (int g = 0; g < 4; ++g) prefetch_row(rows + soon[q + g] * r, r);
    }
    Lanes lanes[4];
    for (int g = 0; g < 4; g += kRows) sum_lanes<Term, kRows>(query, row + g, r, lanes + g);
    float sums[4];
    fold4(lanes, sums);
    for (int g = 0; g < 4; ++g) out[q + g] = Term::finish(sums[g]);
  }
  for (; q < n; ++q) {
    const Storage* row = rows + (ids ? ids[q] : q) * r;
    if (soon) prefetch_row(rows + soon[q] * r, r);
    Lanes lanes;
    sum_lanes<Term, 1>(query, &row, r, &lanes);
    out[q] = Term::finish(fold(lanes));
  }
}

template <typename Storage>
void add_scaled_difference(float* __restrict sum, float factor, const Storage* __restrict a,
                           const Storage* __restrict b, int64_t r) {
  for (int64_t e = 0; e < r; ++e) sum[e] += factor * (to_float(a[e]) - to_float(b[e]));
}

void add(float* __restrict sum, const float* __restrict part, int64_t r) {
  for (int64_t e = 0; e < r; ++e) sum[e] += part[e];
}

template <typename Storage>
void store(const float* __restrict values, int64_t r, Storage* __restrict out) {
  for (int64_t e = 0; e < r; ++e) round_nearest(values[e], out[e]);
}

template <typename Storage>
void store_stochastic(const float* __restrict values, int64_t r, const Rounding& rounding, int64_t row,
                      Storage* __restrict out) {
  constexpr int kBlocks = 8;  // at once, so that compilers compute them side by side
  for (int64_t first = 0; first < r; first += 4 * kBlocks) {
    uint32_t words[4 * kBlocks];
    for (int block = 0; block < kBlocks; ++block) {
      const Words4 four = rounding_words(rounding, row, first / 4 + block);
      for (int i = 0; i < 4; ++i) words[4 * block + i] = four.word[i];
    }
    const int64_t n = r - first < 4 * kBlocks ? r - first : 4 * kBlocks;
    for (int64_t e = 0; e < n; ++e) round_stochastic(values[first + e], words[e], out[first + e]);
  }
}

float squared_norm(const float* row, int64_t r) {
  Lanes lanes;
  sum_lanes<Product, 1>(row, &row, r, &lanes);
  return fold(lanes);
}

template <typename Storage>
void adagrad_clip(const Storage* weight, float* __restrict state, float* __restrict gradient, int64_t r, float lr,
                  float eps, float max_norm, const Rounding& rounding, int64_t row, Storage* out) {
  float* updated = gradient;
  for (int64_t e = 0; e < r; ++e) {
    float y = to_float(weight[e]);
    adagrad_element(y, state[e], gradient[e], lr, eps);
    updated[e] = y;
  }
  const float factor = clip_factor(squared_norm(updated, r), max_norm);
  if (factor != 1.0f) {
    for (int64_t e = 0; e < r; ++e) updated[e] *= factor;
  }
  if (sizeof(Storage) < sizeof(float) && rounding.stochastic) {
    store_stochastic(updated, r, rounding, row, out);
  } else {
    store(updated, r, out);
  }
}

template <typename Storage>
constexpr TableKernels<Storage> table_kernels() {
  return {scan<SquaredDifference, Storage>, scan<Product, Storage>, add_scaled_difference<Storage>, store<Storage>,
          adagrad_clip<Storage>};
}

constexpr RowKernels kernels(const char* isa) {
  return {isa, add, table_kernels<float>(), table_kernels<Bfloat16>(), table_kernels<Float16>()};
}

}  // namespace
