// A pair's negatives for one instruction set: many draws side by side. row_kernels.inl includes this.

namespace {

constexpr int kBlocks = 8;            // of Philox, computed at once
constexpr int kDraws = 4 * kBlocks;   // each gives four words
constexpr int64_t kMostCounted = 64;  // positives looked at one by one

// words[4 b + i] = word i of block `first + b`.
inline void philox_blocks(const PairSeed& pair, uint32_t first, uint32_t* words) {
  for (int b = 0; b < kBlocks; ++b) {
    const Words4 block = negative_words(pair, first + b);
    for (int i = 0; i < 4; ++i) words[4 * b + i] = block.word[i];
  }
}

// t[q] becomes nth_not_liked(positives, n_positives, t[q]) for kDraws draws, of which the first n matter. Every draw
// passes over the same evenly spaced positives, so that none waits for another; what lies between is halved.
template <typename Id>
inline void nth_not_liked_each(const Id* positives, int64_t n_positives, int64_t n, Id* t) {
  Id stride = 1;
  while (n_positives / stride > kMostCounted) stride *= 2;
  Id found[kDraws] = {};  // in registers
  for (int64_t p = stride - 1; p < n_positives; p += stride) {
    const Id others = positives[p] - static_cast<Id>(p);  // items below this positive that the user has not liked
    for (int q = 0; q < kDraws; ++q) found[q] += others <= t[q];
  }
  Id below[kDraws];
  for (int q = 0; q < kDraws; ++q) below[q] = found[q] * stride;
  for (Id half = stride / 2; half > 0; half /= 2) {  // the answer is less than a stride away
    for (int64_t q = 0; q < n; ++q) {
      const Id last = below[q] + half - 1;
      if (last < n_positives) below[q] += positives[last] - last <= t[q] ? half : 0;
    }
  }
  for (int q = 0; q < kDraws; ++q) t[q] += below[q];
}

template <typename Id>
void draw_negatives(const PairSeed& pair, const Id* positives, int64_t n_positives, int64_t n_others, int64_t n,
                    int64_t* ids) {
  for (int64_t first = 0; first < n; first += kDraws) {
    const int64_t count = n - first < kDraws ? n - first : kDraws;
    uint32_t words[kDraws];
    philox_blocks(pair, static_cast<uint32_t>(first / 4), words);
    Id item[kDraws];
    for (int q = 0; q < kDraws; ++q) item[q] = static_cast<Id>(bounded(words[q], n_others));
    nth_not_liked_each(positives, n_positives, count, item);
    for (int64_t q = 0; q < count; ++q) ids[first + q] = item[q];
  }
}

}  // namespace
