// The bodies of RowKernels for one instruction set; row_kernels_<isa>.cpp includes this once, behind its target pragma.
// Everything here has internal linkage, so that no other file can be linked to code its machine may not run.

#include "simd.h"
// Needs what simd.h opens.
#include "draws.inl"

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

// lanes[g] = the lane sums of Term(query, row[g]) for kRows rows, so that each part of the query is loaded once. The
// rows soon[g] are fetched into the cache, line by line as the sums go on: in one go, they would fill all the buffers
// that wait for memory, and the sums would wait with them.
template <typename Term, int kRows, typename Storage>
inline void sum_lanes(const Storage* query, const Storage* const* row, const Storage* const* soon, int64_t r,
                      Lanes* lanes) {
  constexpr int kCacheLine = 64 / sizeof(Storage);
  Lanes sum[kRows];
  for (int g = 0; g < kRows; ++g) sum[g] = Lanes::zero();
  for_each_vector(r, [&](auto n, int64_t at, int p) {
    const Vector q = load(query + at, n);
    for (int g = 0; g < kRows; ++g) {
      if (p * Vector::kWidth % kCacheLine == 0) __builtin_prefetch(soon[g] + at);
      sum[g].part[p] = sum[g].part[p] + Term::term(q, load(row[g] + at, n));
    }
  });
  for (int g = 0; g < kRows; ++g) __builtin_prefetch(soon[g] + r - 1);
  for (int g = 0; g < kRows; ++g) lanes[g] = sum[g];
}

template <typename Term, typename Storage>
void scan(const Storage* query, const Storage* rows, const int64_t* ids, const int64_t* soon, int64_t n, int64_t r,
          float* out) {
  constexpr int kRows = Vector::kRowsAtOnce;
  const auto row_of = [&](const int64_t* some, int64_t q) { return rows + (some ? some[q] : q) * r; };
  if (!soon) soon = ids;  // no harm in what is in the cache
  int64_t q = 0;
  for (; q + 4 <= n; q += 4) {
    const Storage* row[4];
    const Storage* next[4];
    for (int g = 0; g < 4; ++g) row[g] = row_of(ids, q + g);
    for (int g = 0; g < 4; ++g) next[g] = row_of(soon, q + g);
    Lanes lanes[4];
    for (int g = 0; g < 4; g += kRows) sum_lanes<Term, kRows>(query, row + g, next + g, r, lanes + g);
    float sums[4];
    fold4(lanes, sums);
    for (int g = 0; g < 4; ++g) out[q + g] = Term::finish(sums[g]);
  }
  for (; q < n; ++q) {
    const Storage* row = row_of(ids, q);
    const Storage* next = row_of(soon, q);
    Lanes lanes;
    sum_lanes<Term, 1>(query, &row, &next, r, &lanes);
    out[q] = Term::finish(fold(lanes));
  }
}

// An integer that orders as see_negative does: NaNs are nearest of all, and -0 is +0.
inline int32_t nearness(float distance) {
  const float value = distance + 0.0f;
  int32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return value != value ? INT32_MIN : bits ^ ((bits >> 31) & INT32_MAX);
}

// see_negative without a branch: the smallest of (nearness, position) pairs.
PairScan see_negatives(float margin, const float* distance, int64_t n) {
  int64_t nearest = INT64_MAX;
  int32_t impostors = 0;
  for (int64_t q = 1; q < n; ++q) {
    const int64_t each = static_cast<int64_t>(nearness(distance[q])) * (int64_t{1} << 32) + q;
    nearest = each < nearest ? each : nearest;
    impostors += hinge(margin, distance[0], distance[q]) > 0.0f;
  }
  const int32_t at = static_cast<int32_t>(nearest & INT32_MAX);
  return {distance[at], at, impostors};
}

// The sum of kVectors vectors' elements, from element `at` on, over all shares; in registers from the first to the
// last.
template <int kVectors, typename Storage, typename Count>
inline void sum_vectors(const Share<Storage>* shares, int64_t n_shares, int64_t at, Count n, float* out) {
  Vector sum[kVectors];
  for (int v = 0; v < kVectors; ++v) sum[v] = Vector::zero();
  for (int64_t i = 0; i < n_shares; ++i) {
    const Vector factor = Vector::all(shares[i].factor);
    for (int v = 0; v < kVectors; ++v) {
      const int64_t e = at + v * Vector::kWidth;
      sum[v] = sum[v] + factor * (load(shares[i].a + e, n) - load(shares[i].b + e, n));
    }
  }
  for (int v = 0; v < kVectors; ++v) store(sum[v], out + at + v * Vector::kWidth, n);
}

template <typename Storage>
void sum_shares(const Share<Storage>* shares, int64_t n, int64_t r, float* out) {
  constexpr int kVectors = 4;
  int64_t at = 0;
  for (; at + kVectors * Vector::kWidth <= r; at += kVectors * Vector::kWidth) {
    sum_vectors<kVectors>(shares, n, at, Whole(), out);
  }
  for (; at + Vector::kWidth <= r; at += Vector::kWidth) sum_vectors<1>(shares, n, at, Whole(), out);
  if (at < r) sum_vectors<1>(shares, n, at, r - at, out);
}

void add(float* __restrict sum, const float* __restrict part, int64_t r) {
  for (int64_t e = 0; e < r; ++e) sum[e] += part[e];
}

template <typename Storage>
void store_row(const float* __restrict values, int64_t r, Storage* __restrict out) {
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

// The mean of g^2 joins the row's one number; returns what its elements divide by.
inline Vector add_row_mean(float* state, const float* gradient, int64_t r, float eps) {
  Lanes squares = Lanes::zero();
  for_each_vector(r, [&](auto n, int64_t at, int p) {
    const Vector g = load(gradient + at, n);
    squares.part[p] = squares.part[p] + g * g;
  });
  *state = rowwise_state(*state, fold(squares), r);
  return Vector::all(rowwise_divisor(*state, eps));
}

template <bool kRowwise, typename Storage>
void adagrad_clip(const Storage* weight, float* state, float* gradient, int64_t r, const StepSizes& sizes,
                  const Rounding& rounding, int64_t row, Storage* out) {
  float* updated = gradient;
  const Vector rate = Vector::all(sizes.lr);
  const Vector epsilon = Vector::all(sizes.eps);
  const Vector of_row = kRowwise ? add_row_mean(state, gradient, r, sizes.eps) : epsilon;
  Lanes squares = Lanes::zero();
  for_each_vector(r, [&](auto n, int64_t at, int p) {  // adagrad_element, and the sum for the norm
    const Vector g = load(gradient + at, n);
    Vector divisor = of_row;
    if constexpr (!kRowwise) {
      const Vector total = load(state + at, n) + g * g;
      store(total, state + at, n);
      divisor = square_root(total) + epsilon;
    }
    Vector y = load(weight + at, n) - (rate * g) / divisor;
    store(y, updated + at, n);
    y = load(updated + at, n);  // elements behind the row's end are 0 again, also where eps is
    squares.part[p] = squares.part[p] + y * y;
  });
  const Vector factor = Vector::all(clip_factor(fold(squares), sizes.max_norm));
  if constexpr (sizeof(Storage) == sizeof(float)) {
    for_each_vector(r, [&](auto n, int64_t at, int) { store(load(updated + at, n) * factor, out + at, n); });
  } else {
    for_each_vector(r, [&](auto n, int64_t at, int) { store(load(updated + at, n) * factor, updated + at, n); });
    if (rounding.stochastic) {
      store_stochastic(updated, r, rounding, row, out);
    } else {
      store_row(updated, r, out);
    }
  }
}

// exp_not_positive of each element.
inline Vector exp_not_positive(Vector x) {
  const Vector rounded = x * Vector::all(kLog2E) + Vector::all(kRounder);
  const Vector n = rounded - Vector::all(kRounder);
  const Vector f = (x - n * Vector::all(kLn2High)) - n * Vector::all(kLn2Low);
  constexpr ExpTerms kTerms{};
  Vector terms = Vector::all(kTerms.of[0]);
  for (int i = 1; i < 6; ++i) terms = terms * f + Vector::all(kTerms.of[i]);
  const Vector value = (((terms * f) * f + f) + Vector::all(1.0f)) * power_of_two(rounded);
  return where_below(x, kLeastExponent, Vector::zero(), value);
}

// Three passes over a row that stays in the nearest cache.
SoftmaxSums softmax_weights(const SharedNegatives& negatives, const SoftmaxPair& pair, float* products,
                            float* scratch) {
  const Vector none = Vector::all(-INFINITY);
  const Vector scale = Vector::all(negatives.scale);
  Vector largest_of[Lanes::kParts];
  for (Vector& each : largest_of) each = none;
  for_each_vector(negatives.n, [&](auto n, int64_t at, int p) {  // behind the end, offsets are -inf
    const Vector logit = scale * load(products + at, n) + Vector::load(negatives.offsets + at);
    const Vector other = where_id(negatives.ids + at, pair.positive, none, logit);
    largest_of[p] = larger(other, largest_of[p]);
    other.store(scratch + at);
  });
  float largest = pair.decoupled ? -INFINITY : larger_logit(pair.positive_logit, -INFINITY);
  for (const Vector& each : largest_of) {
    float element[Vector::kWidth];
    each.store(element);
    for (float one : element) largest = larger_logit(one, largest);
  }
  const Vector base = Vector::all(softmax_base(largest));
  Lanes sum = Lanes::zero();
  for_each_vector(negatives.n, [&](auto, int64_t at, int p) {
    const Vector e = exp_not_positive(Vector::load(scratch + at) - base);
    sum.part[p] = sum.part[p] + e;
    e.store(scratch + at);
  });
  const SoftmaxSums sums = softmax_sums(largest, fold(sum), pair.positive_logit, pair.weight, pair.decoupled);
  const Vector factor = Vector::all(sums.factor);
  for_each_vector(negatives.n,
                  [&](auto n, int64_t at, int) { store(Vector::load(scratch + at) * factor, products + at, n); });
  return sums;
}

template <typename Storage>
constexpr TableKernels<Storage> table_kernels() {
  return {scan<SquaredDifference, Storage>, scan<Product, Storage>,     sum_shares<Storage>, store_row<Storage>,
          adagrad_clip<false, Storage>,     adagrad_clip<true, Storage>};
}

#include "filter.inl"

constexpr RowKernels kernels(const char* isa) {
  return {isa,
          add,
          see_negatives,
          draw_negatives<int32_t>,
          draw_negatives<int64_t>,
          filter,
          softmax_weights,
          table_kernels<float>(),
          table_kernels<Bfloat16>(),
          table_kernels<Float16>()};
}

}  // namespace
