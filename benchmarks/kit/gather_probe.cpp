// How fast can this machine read rows from everywhere in a table? Sums them bag by bag, which needs little arithmetic
// and writes little, with rows fetched into the cache `ahead` rows before they are summed (0: not at all).
// Stands alone: limits.py compiles and calls it.
#include <algorithm>
#include <cstdint>
#include <thread>
#include <vector>

namespace {

constexpr int64_t kLine = 64;

template <int kWidth>
struct VectorOf {
  typedef float Type __attribute__((vector_size(4 * kWidth), aligned(4), may_alias));
};
template <int kWidth>
using Floats = typename VectorOf<kWidth>::Type;

// Compiled for each of these instruction sets; the machine's is chosen when the library is loaded.
#if defined(__x86_64__)
#define FOR_EVERY_CPU __attribute__((target_clones("avx512f", "avx2", "default")))
#define ALWAYS_INLINE inline __attribute__((always_inline))
#else
#define FOR_EVERY_CPU
#define ALWAYS_INLINE inline
#endif

struct Bags {
  const float* table;  // [J, r]
  int64_t r;
  const int64_t* ids;  // [n_bags, bag]
  int64_t bag;
  int64_t ahead;
  float* sums;  // [n_bags, r]
};

ALWAYS_INLINE void fetch_row(const float* row, int64_t r) {
  const char* end = reinterpret_cast<const char*>(row + r);
  for (const char* p = reinterpret_cast<const char*>(row); p < end; p += kLine) __builtin_prefetch(p);
  __builtin_prefetch(end - 1);  // the last line, where the row does not begin on a line
}

// Sums kVectors vectors of kWidth columns in registers, from `column` on; one that would reach beyond the row, which
// has kWidth columns at least, ends where the row does.
template <int kWidth, int kVectors>
ALWAYS_INLINE void sum_columns(const Bags& bags, const int64_t* ids, int64_t column, float* sum) {
  using Vector = Floats<kWidth>;
  int64_t at[kVectors];
  Vector total[kVectors];
  for (int v = 0; v < kVectors; ++v) {
    at[v] = std::min<int64_t>(column + v * kWidth, bags.r - kWidth);
    total[v] = Vector{};
  }
  for (int64_t i = 0; i < bags.bag; ++i) {
    const float* row = bags.table + ids[i] * bags.r;
    for (int v = 0; v < kVectors; ++v) total[v] += *reinterpret_cast<const Vector*>(row + at[v]);
  }
  for (int v = 0; v < kVectors; ++v) *reinterpret_cast<Vector*>(sum + at[v]) = total[v];
}

// Sums the vectors that are left, at most kMost of them.
template <int kWidth, int kMost>
ALWAYS_INLINE void sum_rest(const Bags& bags, const int64_t* ids, int64_t column, int64_t vectors, float* sum) {
  if (vectors == kMost) {
    sum_columns<kWidth, kMost>(bags, ids, column, sum);
  } else if constexpr (kMost > 1) {
    sum_rest<kWidth, kMost - 1>(bags, ids, column, vectors, sum);
  }
}

template <int kWidth>
ALWAYS_INLINE void sum_bag(const Bags& bags, const int64_t* ids, float* sum) {
  int64_t column = 0;
  for (; column + 7 * kWidth < bags.r; column += 8 * kWidth) sum_columns<kWidth, 8>(bags, ids, column, sum);
  sum_rest<kWidth, 7>(bags, ids, column, (bags.r - column + kWidth - 1) / kWidth, sum);
}

FOR_EVERY_CPU void sum_bags(const Bags& bags, int64_t begin, int64_t end) {
  const int64_t* last = bags.ids + end * bags.bag;
  const int64_t* soon = bags.ids + begin * bags.bag;
  const int64_t* reached = soon;
  for (int64_t b = begin; b < end; ++b) {
    const int64_t* ids = bags.ids + b * bags.bag;
    if (bags.ahead > 0) {
      soon = ids + bags.bag + bags.ahead < last ? ids + bags.bag + bags.ahead : last;
      for (; reached < soon; ++reached) fetch_row(bags.table + *reached * bags.r, bags.r);
    }
    float* sum = bags.sums + b * bags.r;
    if (bags.r >= 16) {
      sum_bag<16>(bags, ids, sum);
    } else if (bags.r >= 4) {
      sum_bag<4>(bags, ids, sum);
    } else {
      sum_bag<1>(bags, ids, sum);
    }
  }
}

}  // namespace

// `ids` must be rows of the table, whose memory the caller keeps.
extern "C" void gather_sum(const float* table, int64_t r, const int64_t* ids, int64_t n_bags, int64_t bag,
                           int64_t ahead, int64_t n_threads, float* sums) {
  const Bags bags{table, r, ids, bag, ahead, sums};
  std::vector<std::thread> threads;
  for (int64_t t = 1; t < n_threads; ++t) {
    threads.emplace_back([=] { sum_bags(bags, n_bags * t / n_threads, n_bags * (t + 1) / n_threads); });
  }
  sum_bags(bags, 0, n_bags / n_threads);
  for (std::thread& thread : threads) thread.join();
}
