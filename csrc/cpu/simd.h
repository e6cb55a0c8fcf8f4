// The widest float vector of the instruction set a file is compiled for, with the few operations row sums need.
// Include it only from row_kernels.inl, behind the file's target pragma. CMLFAST_ISA is 512, 2 (AVX2) or 0 (baseline).
#pragma once

namespace {

using namespace cmlfast;

#if CMLFAST_ISA == 512

struct Vector {
  static constexpr int kWidth = 16;
  static constexpr int kRowsAtOnce = 4;
  __m512 v;
  static Vector zero() { return {_mm512_setzero_ps()}; }
  static Vector all(float value) { return {_mm512_set1_ps(value)}; }
  static Vector load(const float* p) { return {_mm512_loadu_ps(p)}; }
  static Vector load_first(const float* p, int64_t n) {  // elements from n on are +0
    return {_mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1), p)};
  }
  static Vector load(const Bfloat16* p) { return widen_bfloat16(load_16_bits(p)); }
  static Vector load(const Float16* p) { return {_mm512_cvtph_ps(load_16_bits(p))}; }
  static Vector load_first(const Bfloat16* p, int64_t n) { return widen_bfloat16(load_first_16_bits(p, n)); }
  static Vector load_first(const Float16* p, int64_t n) { return {_mm512_cvtph_ps(load_first_16_bits(p, n))}; }
  static __m256i load_16_bits(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
  static Vector widen_bfloat16(__m256i v) {
    return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(v), 16))};
  }
  static __m256i load_first_16_bits(const void* p, int64_t n) {
    return _mm256_maskz_loadu_epi16(static_cast<__mmask16>((1u << n) - 1), p);
  }
  void store(float* p) const { _mm512_storeu_ps(p, v); }
  void store_first(float* p, int64_t n) const { _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1), v); }
  // Lanes l and l + 8, then l and l + 4.
  __m128 fold_to_4() const {
    const __m256 low = _mm512_castps512_ps256(v);
    const __m256 high = _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(v), 1));
    const __m256 eight = _mm256_add_ps(low, high);
    return _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  }
};
// No friends: GCC compiles a friend's body without the file's target.
inline Vector operator+(Vector a, Vector b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Vector operator-(Vector a, Vector b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline Vector operator*(Vector a, Vector b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline Vector operator/(Vector a, Vector b) { return {_mm512_div_ps(a.v, b.v)}; }
inline Vector square_root(Vector a) { return {_mm512_sqrt_ps(a.v)}; }
// a b + c, rounded once or twice: for what is no result.
inline Vector multiply_add(Vector a, Vector b, Vector c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
// A bit for each element that is not above the limit; NaN is not.
inline uint64_t not_above(Vector a, float limit) { return _mm512_cmp_ps_mask(a.v, _mm512_set1_ps(limit), _CMP_NGT_UQ); }
// a where it is larger than b; so b where a is NaN.
inline Vector larger(Vector a, Vector b) { return {_mm512_max_ps(a.v, b.v)}; }
// 2^(n + 127) for integers that kRounder was added to.
inline Vector power_of_two(Vector rounded) {
  const __m512i n = _mm512_add_epi32(_mm512_castps_si512(rounded.v), _mm512_set1_epi32(127 - kRounderBits));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(n, 23))};
}
// b where a is below the limit.
inline Vector where_below(Vector a, float limit, Vector b, Vector other) {
  return {_mm512_mask_mov_ps(other.v, _mm512_cmp_ps_mask(a.v, _mm512_set1_ps(limit), _CMP_LT_OQ), b.v)};
}
// b where an id is the one.
inline Vector where_id(const int32_t* ids, int32_t one, Vector b, Vector other) {
  return {_mm512_mask_mov_ps(other.v, _mm512_cmpeq_epi32_mask(_mm512_loadu_si512(ids), _mm512_set1_epi32(one)), b.v)};
}

#elif CMLFAST_ISA == 2

struct Vector {
  static constexpr int kWidth = 8;
  static constexpr int kRowsAtOnce = 2;
  __m256 v;
  static Vector zero() { return {_mm256_setzero_ps()}; }
  static Vector all(float value) { return {_mm256_set1_ps(value)}; }
  static Vector load(const float* p) { return {_mm256_loadu_ps(p)}; }
  static __m256i first(int64_t n) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), lane);
  }
  static Vector load_first(const float* p, int64_t n) { return {_mm256_maskload_ps(p, first(n))}; }
  static Vector load(const Bfloat16* p) { return widen_bfloat16(load_16_bits(p)); }
  static Vector load(const Float16* p) { return {_mm256_cvtph_ps(load_16_bits(p))}; }
  static Vector load_first(const Bfloat16* p, int64_t n) { return widen_bfloat16(load_first_16_bits(p, n)); }
  static Vector load_first(const Float16* p, int64_t n) { return {_mm256_cvtph_ps(load_first_16_bits(p, n))}; }
  static __m128i load_16_bits(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
  static Vector widen_bfloat16(__m128i v) {
    return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(v), 16))};
  }
  // There is no masked load of 16 bits: pairs of elements, then the last one.
  static __m128i load_first_16_bits(const void* p, int64_t n) {
    const __m128i pair = _mm_setr_epi32(0, 1, 2, 3);
    const __m128i lane = _mm_setr_epi16(0, 1, 2, 3, 4, 5, 6, 7);
    const __m128i pairs =
        _mm_maskload_epi32(static_cast<const int*>(p), _mm_cmpgt_epi32(_mm_set1_epi32(static_cast<int>(n / 2)), pair));
    const __m128i last = _mm_set1_epi16(static_cast<const int16_t*>(p)[n - 1]);
    return _mm_blendv_epi8(pairs, last, _mm_cmpeq_epi16(_mm_set1_epi16(static_cast<int16_t>(n - 1)), lane));
  }
  void store(float* p) const { _mm256_storeu_ps(p, v); }
  void store_first(float* p, int64_t n) const { _mm256_maskstore_ps(p, first(n), v); }
  __m128 fold_to_4() const { return _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1)); }
};
inline Vector operator+(Vector a, Vector b) { return {_mm256_add_ps(a.v, b.v)}; }
inline Vector operator-(Vector a, Vector b) { return {_mm256_sub_ps(a.v, b.v)}; }
inline Vector operator*(Vector a, Vector b) { return {_mm256_mul_ps(a.v, b.v)}; }
inline Vector operator/(Vector a, Vector b) { return {_mm256_div_ps(a.v, b.v)}; }
inline Vector square_root(Vector a) { return {_mm256_sqrt_ps(a.v)}; }
inline Vector multiply_add(Vector a, Vector b, Vector c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
inline uint64_t not_above(Vector a, float limit) {
  return static_cast<uint64_t>(_mm256_movemask_ps(_mm256_cmp_ps(a.v, _mm256_set1_ps(limit), _CMP_NGT_UQ)));
}
inline Vector larger(Vector a, Vector b) { return {_mm256_max_ps(a.v, b.v)}; }
inline Vector power_of_two(Vector rounded) {
  const __m256i n = _mm256_add_epi32(_mm256_castps_si256(rounded.v), _mm256_set1_epi32(127 - kRounderBits));
  return {_mm256_castsi256_ps(_mm256_slli_epi32(n, 23))};
}
inline Vector where_below(Vector a, float limit, Vector b, Vector other) {
  return {_mm256_blendv_ps(other.v, b.v, _mm256_cmp_ps(a.v, _mm256_set1_ps(limit), _CMP_LT_OQ))};
}
inline Vector where_id(const int32_t* ids, int32_t one, Vector b, Vector other) {
  const __m256i some = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(ids));
  return {_mm256_blendv_ps(other.v, b.v, _mm256_castsi256_ps(_mm256_cmpeq_epi32(some, _mm256_set1_epi32(one))))};
}

#else

// Four floats as a plain array: compilers map it to SSE2 or NEON registers.
struct Vector {
  static constexpr int kWidth = 4;
  static constexpr int kRowsAtOnce = 1;
  float v[4];
  static Vector zero() { return {{0, 0, 0, 0}}; }
  static Vector all(float value) { return {{value, value, value, value}}; }
  template <typename Storage>
  static Vector load(const Storage* p) {
    return {{to_float(p[0]), to_float(p[1]), to_float(p[2]), to_float(p[3])}};
  }
  template <typename Storage>
  static Vector load_first(const Storage* p, int64_t n) {
    return {{to_float(p[0]), n > 1 ? to_float(p[1]) : 0, n > 2 ? to_float(p[2]) : 0, n > 3 ? to_float(p[3]) : 0}};
  }
  void store(float* p) const { memcpy(p, v, sizeof v); }
  void store_first(float* p, int64_t n) const { memcpy(p, v, n * sizeof(float)); }
};
template <typename Operation>
inline Vector each(Vector a, Vector b, Operation operation) {
  Vector result;
  for (int l = 0; l < 4; ++l) result.v[l] = operation(a.v[l], b.v[l]);
  return result;
}
inline Vector operator+(Vector a, Vector b) {
  return each(a, b, [](float x, float y) { return x + y; });
}
inline Vector operator-(Vector a, Vector b) {
  return each(a, b, [](float x, float y) { return x - y; });
}
inline Vector operator*(Vector a, Vector b) {
  return each(a, b, [](float x, float y) { return x * y; });
}
inline Vector operator/(Vector a, Vector b) {
  return each(a, b, [](float x, float y) { return x / y; });
}
inline Vector square_root(Vector a) {
  return each(a, a, [](float x, float) { return sqrtf(x); });
}
inline Vector multiply_add(Vector a, Vector b, Vector c) {
  for (int l = 0; l < 4; ++l) c.v[l] += a.v[l] * b.v[l];
  return c;
}
inline uint64_t not_above(Vector a, float limit) {
  uint64_t bits = 0;
  for (int l = 0; l < 4; ++l) bits |= static_cast<uint64_t>(!(a.v[l] > limit)) << l;
  return bits;
}
inline Vector larger(Vector a, Vector b) {
  return each(a, b, [](float x, float y) { return x > y ? x : y; });
}
inline Vector power_of_two(Vector rounded) {
  return each(rounded, rounded, [](float x, float) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits = (bits - kRounderBits + 127u) << 23;
    memcpy(&x, &bits, sizeof x);
    return x;
  });
}
inline Vector where_below(Vector a, float limit, Vector b, Vector other) {
  for (int l = 0; l < 4; ++l) other.v[l] = a.v[l] < limit ? b.v[l] : other.v[l];
  return other;
}
inline Vector where_id(const int32_t* ids, int32_t one, Vector b, Vector other) {
  for (int l = 0; l < 4; ++l) other.v[l] = ids[l] == one ? b.v[l] : other.v[l];
  return other;
}

#endif

// The 32 virtual lanes of one row's sum.
struct Lanes {
  static constexpr int kParts = 32 / Vector::kWidth;
  Vector part[kParts];
  static Lanes zero() {
    Lanes lanes;
    for (int p = 0; p < kParts; ++p) lanes.part[p] = Vector::zero();
    return lanes;
  }
};

// visit(n, at, p) for each vector of a row [r]: it stands at element `at`, adds to part p of the lanes, and n is
// Whole() or, for what ends the row, the number of its elements.
struct Whole {};
template <typename Visit>
inline void for_each_vector(int64_t r, const Visit& visit) {
  int64_t e = 0;
  for (; e + 32 <= r; e += 32) {
    for (int p = 0; p < Lanes::kParts; ++p) visit(Whole(), e + p * Vector::kWidth, p);
  }
  for (int p = 0; p < Lanes::kParts; ++p) {
    const int64_t at = e + p * Vector::kWidth;
    if (at >= r) break;
    visit(r - at < Vector::kWidth ? r - at : Vector::kWidth, at, p);
  }
}
template <typename Storage>
inline Vector load(const Storage* p, Whole) {
  return Vector::load(p);
}
template <typename Storage>
inline Vector load(const Storage* p, int64_t n) {
  return Vector::load_first(p, n);
}
inline void store(Vector v, float* p, Whole) { v.store(p); }
inline void store(Vector v, float* p, int64_t n) { v.store_first(p, n); }

// The sum over all lanes, folded by halves: l with l + 16, then 8, 4, 2, 1.
inline float fold(Lanes lanes) {
  for (int half = Lanes::kParts / 2; half > 0; half /= 2) {
    for (int p = 0; p < half; ++p) lanes.part[p] = lanes.part[p] + lanes.part[p + half];
  }
#if CMLFAST_ISA
  const __m128 four = lanes.part[0].fold_to_4();
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
#else
  const float* v = lanes.part[0].v;
  return (v[0] + v[2]) + (v[1] + v[3]);
#endif
}

// Four rows' sums in one go: the last two folds of all four share their additions.
inline void fold4(const Lanes* lanes, float* sums) {
#if CMLFAST_ISA
  __m128 four[4];
  for (int row = 0; row < 4; ++row) {
    Lanes one = lanes[row];
    for (int half = Lanes::kParts / 2; half > 0; half /= 2) {
      for (int p = 0; p < half; ++p) one.part[p] = one.part[p] + one.part[p + half];
    }
    four[row] = one.part[0].fold_to_4();
  }
  const __m128 two_01 = _mm_add_ps(_mm_movelh_ps(four[0], four[1]), _mm_movehl_ps(four[1], four[0]));
  const __m128 two_23 = _mm_add_ps(_mm_movelh_ps(four[2], four[3]), _mm_movehl_ps(four[3], four[2]));
  _mm_storeu_ps(sums, _mm_add_ps(_mm_shuffle_ps(two_01, two_23, _MM_SHUFFLE(2, 0, 2, 0)),
                                 _mm_shuffle_ps(two_01, two_23, _MM_SHUFFLE(3, 1, 3, 1))));
#else
  for (int row = 0; row < 4; ++row) sums[row] = fold(lanes[row]);
#endif
}

}  // namespace
