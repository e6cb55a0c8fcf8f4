// Philox-4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): a counter goes in, four
// independent 32-bit words come out. No state, so any thread of any backend draws the same number for the same pair.
#pragma once

#include <cstdint>

#include "portable.h"

namespace cmlfast {

struct Words4 {
  uint32_t word[4];
};

CMLFAST_FN Words4 philox(uint64_t seed, uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3) {
  uint32_t key0 = static_cast<uint32_t>(seed);
  uint32_t key1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{0xD2511F53} * c0;
    const uint64_t product1 = uint64_t{0xCD9E8D57} * c2;
    c0 = static_cast<uint32_t>(product1 >> 32) ^ c1 ^ key0;
    c2 = static_cast<uint32_t>(product0 >> 32) ^ c3 ^ key1;
    c1 = static_cast<uint32_t>(product1);
    c3 = static_cast<uint32_t>(product0);
    key0 += 0x9E3779B9;
    key1 += 0xBB67AE85;
  }
  return {{c0, c1, c2, c3}};
}

// One of the four, without an array that would have to live in memory.
CMLFAST_FN uint32_t pick(const Words4& words, int64_t i) {
  const uint32_t low = i & 1 ? words.word[1] : words.word[0];
  const uint32_t high = i & 1 ? words.word[3] : words.word[2];
  return i & 2 ? high : low;
}

}  // namespace cmlfast
