// Examples that are right: Philox's known answers, and draws from the rows of a sparse matrix.
#include <algorithm>

#include "cases.h"

namespace {

using selftest::Array;

__host__ __device__ uint4 philox(uint2 key, uint4 counter) {
  for (int round = 0; round < 10; ++round) {
    const unsigned high0 = __umulhi(0xD2511F53u, counter.x);
    const unsigned high1 = __umulhi(0xCD9E8D57u, counter.z);
    counter = make_uint4(high1 ^ counter.y ^ key.x, 0xCD9E8D57u * counter.z, high0 ^ counter.w ^ key.y,
                         0xD2511F53u * counter.x);
    key.x += 0x9E3779B9u;
    key.y += 0xBB67AE85u;
  }
  return counter;
}

struct Question {
  uint2 key;
  uint4 counter;
};

__global__ void answer(const Question* questions, uint4* out, int n) {
  const int i = threadIdx.x;
  if (i < n) out[i] = philox(questions[i].key, questions[i].counter);
}

void run_philox() {
  const Array<Question> questions(std::vector<Question>{
      {{0, 0}, {0, 0, 0, 0}},
      {{~0u, ~0u}, {~0u, ~0u, ~0u, ~0u}},
      {{0xa4093822u, 0x299f31d0u}, {0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u}},
  });
  const uint4 right[] = {{0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u},
                         {0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu},
                         {0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u}};
  const Array<uint4> out(3);
  selftest::run(answer, 1, 32, 0, questions.data(), out.data(), 3);
  for (int i = 0; i < 3; ++i) {
    const uint4 word = out.values()[i];
    selftest::expect(word.x == right[i].x && word.y == right[i].y && word.z == right[i].z && word.w == right[i].w,
                     "answer " + std::to_string(i));
  }
}

// A sparse matrix, by value: launches copy arguments of any size.
struct Matrix {
  const long long* row_begin;
  const int* columns;
  int n_rows;
};

// Each thread draws a row and looks for a drawn column in it; the warp adds up what it found.
__global__ void find_draws(Matrix matrix, int n_draws, unsigned seed, int* found, unsigned* n_found) {
  const int t = blockIdx.x * blockDim.x + threadIdx.x;
  int hit = 0;
  if (t < n_draws) {
    const uint4 words = philox(make_uint2(seed, 0), make_uint4(t, 0, 0, 0));
    const int row = __umulhi(words.x, matrix.n_rows);
    const int column = __umulhi(words.y, matrix.n_rows);
    long long low = matrix.row_begin[row];
    const long long end = matrix.row_begin[row + 1];
    for (long long high = end; low < high;) {
      const long long middle = (low + high) / 2;
      if (matrix.columns[middle] < column) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    hit = low < end && matrix.columns[low] == column;
    found[t] = hit;
  }
  const unsigned votes = __ballot_sync(~0u, hit);
  const unsigned sum = __reduce_add_sync(~0u, static_cast<unsigned>(hit));
  if (threadIdx.x % 32 == 0 && votes != 0) atomicAdd(n_found, sum);
}

void run_sparse_draws() {
  constexpr int kRows = 200;
  constexpr int kDraws = 1000;
  std::vector<long long> row_begin{0};
  std::vector<int> columns;
  for (int row = 0; row < kRows; ++row) {
    for (int column = row % 7; column < kRows; column += 1 + row % 11) columns.push_back(column);
    row_begin.push_back(static_cast<long long>(columns.size()));
  }
  const Array<long long> device_begin(row_begin);
  const Array<int> device_columns(columns);
  const Array<int> found(kDraws);
  const Array<unsigned> n_found(std::vector<unsigned>{0});
  const Matrix matrix{device_begin.data(), device_columns.data(), kRows};
  selftest::run(find_draws, (kDraws + 127) / 128, 128, 0, matrix, kDraws, 99u, found.data(), n_found.data());
  const std::vector<int> result = found.values();
  unsigned all = 0;
  for (int t = 0; t < kDraws; ++t) {
    const uint4 words = philox(make_uint2(99u, 0), make_uint4(t, 0, 0, 0));
    const int row = __umulhi(words.x, kRows);
    const bool hit = std::binary_search(columns.begin() + row_begin[row], columns.begin() + row_begin[row + 1],
                                        static_cast<int>(__umulhi(words.y, kRows)));
    all += hit;
    selftest::expect(result[t] == hit, "draw " + std::to_string(t));
  }
  selftest::expect(all > 0 && n_found.values()[0] == all, "the count");
}

SIMT_EXAMPLE(philox)
SIMT_EXAMPLE(sparse_draws)

}  // namespace
