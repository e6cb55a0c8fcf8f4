// The filter of topk: scores of a strip of items for many queries, most of which are told apart by one comparison.
// Included by row_kernels.inl.

// A few vectors of items, and as many queries as there are registers for their sums, beside the items' and a query's.
constexpr int kVectorsAtOnce = CMLFAST_ISA == 512 ? 3 : 2;
constexpr int kItemsAtOnce = kVectorsAtOnce * Vector::kWidth;
constexpr int kQueriesAtOnce = CMLFAST_ISA == 512 ? 8 : 6;
static_assert(kStrip % kItemsAtOnce == 0, "a strip is whole groups of items");

template <int kQueries>
void score_strip(const ItemStrip& strip, const float* queries, const float* factors, const float* limits,
                 uint64_t* near) {
  for (int q = 0; q < kQueries; ++q) near[q] = 0;
  for (int first = 0; first < kStrip; first += kItemsAtOnce) {
    Vector score[kQueries][kVectorsAtOnce];
    for (int q = 0; q < kQueries; ++q) {
      const Vector factor = Vector::all(factors[q]);
      for (int v = 0; v < kVectorsAtOnce; ++v) {
        const int64_t at = first + v * Vector::kWidth;
        score[q][v] = Vector::load(strip.base + at) + factor * Vector::load(strip.slope + at);
      }
    }
    for (int64_t e = 0; e < strip.r; ++e) {
      Vector item[kVectorsAtOnce];
      for (int v = 0; v < kVectorsAtOnce; ++v) {
        item[v] = Vector::load(strip.elements + e * kStrip + first + v * Vector::kWidth);
      }
      for (int q = 0; q < kQueries; ++q) {
        const Vector element = Vector::all(queries[q * strip.r + e]);
        for (int v = 0; v < kVectorsAtOnce; ++v) score[q][v] = multiply_add(element, item[v], score[q][v]);
      }
    }
    for (int q = 0; q < kQueries; ++q) {
      for (int v = 0; v < kVectorsAtOnce; ++v) {
        near[q] |= not_above(score[q][v], limits[q]) << (first + v * Vector::kWidth);
      }
    }
  }
}

void filter(const ItemStrip& strip, const float* queries, const float* factors, const float* limits, int64_t n,
            uint64_t* near) {
  int64_t q = 0;
  for (; q + kQueriesAtOnce <= n; q += kQueriesAtOnce) {
    score_strip<kQueriesAtOnce>(strip, queries + q * strip.r, factors + q, limits + q, near + q);
  }
  for (; q < n; ++q) score_strip<1>(strip, queries + q * strip.r, factors + q, limits + q, near + q);
}
