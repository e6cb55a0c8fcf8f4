// How tables store numbers: float32, or 16 bits, computed with as float32 and rounded once when a row is stored.
#pragma once

#if defined(__CUDACC__)
#include <cuda_fp16.h>
#endif

#include <cstdint>
#include <cstring>

#include "philox.h"
#include "portable.h"

namespace cmlfast {

struct Bfloat16 {
  uint16_t bits;
};
struct Float16 {
  uint16_t bits;
};

CMLFAST_FN uint32_t bits_of(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}
CMLFAST_FN float float_of(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

CMLFAST_FN float to_float(float value) { return value; }
CMLFAST_FN float to_float(Bfloat16 value) { return float_of(static_cast<uint32_t>(value.bits) << 16); }
CMLFAST_FN float to_float(Float16 value) {
#if defined(__CUDA_ARCH__)
  return __half2float(__ushort_as_half(value.bits));  // one instruction for the same
#else
  const uint32_t sign = static_cast<uint32_t>(value.bits & 0x8000) << 16;
  const uint32_t magnitude = static_cast<uint32_t>(value.bits & 0x7FFF) << 13;
  const float scaled = float_of(magnitude) * 0x1p112f;  // moves the exponent's bias; exact, also below 2^-14
  return float_of(sign | (magnitude >= 0x7C00u << 13 ? magnitude | 0x7F800000u : bits_of(scaled)));
#endif
}

// To the nearest, ties to even.
CMLFAST_FN void round_nearest(float value, float& out) { out = value; }
CMLFAST_FN void round_nearest(float value, Bfloat16& out) {
  const uint32_t bits = bits_of(value);
  const bool nan = value != value;
  out.bits = static_cast<uint16_t>(nan ? 0x7FC0 : (bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}
CMLFAST_FN void round_nearest(float value, Float16& out) {
  const uint32_t sign = bits_of(value) >> 16 & 0x8000;
  const uint32_t magnitude = bits_of(value) & 0x7FFFFFFF;
  uint32_t half;
  if (magnitude > 0x7F800000) {
    half = 0x7E00;                       // NaN
  } else if (magnitude >= 0x477FF000) {  // 65520, half way between the largest number and the next power of two
    half = 0x7C00;
  } else if (magnitude < 0x38800000) {  // below 2^-14: multiples of 2^-24, which is the last bit of numbers from 0.5 on
    half = bits_of(float_of(magnitude) + 0.5f) - bits_of(0.5f);
  } else {
    half = (magnitude - (112u << 23) + 0xFFF + (magnitude >> 13 & 1)) >> 13;
  }
  out.bits = static_cast<uint16_t>(sign | half);
}

// Up or down by chance, so that the expected value is the number itself; `word` is a random word.
CMLFAST_FN void round_stochastic(float value, uint32_t, float& out) { out = value; }
CMLFAST_FN void round_stochastic(float value, uint32_t word, Bfloat16& out) {
  const uint32_t bits = bits_of(value);
  if ((bits & 0x7F800000) == 0x7F800000) return round_nearest(value, out);  // infinite or NaN
  out.bits = static_cast<uint16_t>((bits + (word >> 16)) >> 16);
}
CMLFAST_FN void round_stochastic(float value, uint32_t word, Float16& out) {
  const uint32_t sign = bits_of(value) >> 16 & 0x8000;
  const uint32_t magnitude = bits_of(value) & 0x7FFFFFFF;
  if (magnitude >= 0x47800000) return round_nearest(value, out);  // from 65536 on, infinite or NaN
  uint32_t half;
  if (magnitude < 0x38800000) {  // below 2^-14: multiples of 2^-24
    const float scaled = float_of(magnitude) * 0x1p24f;
    half = static_cast<uint32_t>(scaled);
    half += (word >> 8) < static_cast<uint32_t>((scaled - static_cast<float>(half)) * 0x1p24f);
  } else {
    half = (magnitude - (112u << 23) + (word >> 19)) >> 13;
  }
  out.bits = static_cast<uint16_t>(sign | half);
}

// How a stored row is rounded. Element e of row i takes word e % 4 of Philox block e / 4, with the counter (i, table,
// offset, 2^31 + e / 4): the top bit keeps these draws apart from those of the negatives.
struct Rounding {
  bool stochastic;
  uint64_t seed;
  uint32_t offset;
  uint32_t table;  // 0 for users, 1 for items
};

// The random words of elements 4 block .. 4 block + 3 of a row.
CMLFAST_FN Words4 rounding_words(const Rounding& rounding, int64_t row, int64_t block) {
  return philox(rounding.seed, static_cast<uint32_t>(row), rounding.table, rounding.offset,
                0x80000000u | static_cast<uint32_t>(block));
}

}  // namespace cmlfast
