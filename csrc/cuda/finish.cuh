// What is done with a row's summed gradient (see sum.cuh): stored, or an AdaGrad step with clip.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

#include "../storage.h"
#include "../tensors.h"
#include "eight_threads.cuh"
#include "ids.cuh"
#include "lane_sums.cuh"
#include "number.cuh"

namespace cmlfast {

template <typename L>
struct StoreGradient {
  static constexpr bool kReadsOwn = false;
  using Storage = typename L::Storage;
  const Storage* table;  // [n_rows, r], which shares may read
  Storage* out;          // [n_rows, r]
  int64_t r;

  __device__ __forceinline__ void prefetch(const Team&, int64_t) const {}

  class Row {
   public:
    __device__ __forceinline__ Row(const StoreGradient& to, const Team& team, int64_t row, int64_t)
        : to_(to), team_(team), row_(row) {}
    __device__ __forceinline__ void tile(const Tile<L>&, const Tile<L>& total, int first) {
#pragma unroll
      for (int c = 0; c < L::kChunks; ++c) {
        const float4 sum = total.chunk[c];
        Storage values[4];
        round_nearest(sum.x, values[0]);
        round_nearest(sum.y, values[1]);
        round_nearest(sum.z, values[2]);
        round_nearest(sum.w, values[3]);
        store4<L>(to_.out + row_ * to_.r, element<L>(team_, first, c), to_.r, values);
      }
    }
    __device__ __forceinline__ void end() {}

   private:
    const StoreGradient& to_;
    const Team& team_;
    int64_t row_;
  };
};

// Whether a row has one accumulator, not one for each element.
inline bool is_rowwise(const Matrix& table, const Matrix& state) { return state.n_columns() != table.n_columns(); }

// Between update and clip a row waits where it will stand, if a team cannot hold it; unless it is to be rounded there,
// which is done once. Before a row-wise update its gradient waits, until all of its squares are summed.
inline bool needs_unclipped(const Tensor& table, bool rowwise, bool one_tile) {
  return !one_tile && (table.scalar_type() != ScalarType::Float || rowwise);
}

// What all rows of a table share in an update.
struct UpdateNumbers {
  Number<float> lr;
  float eps;
  float max_norm;
  bool stochastic_rounding;
  uint64_t seed;
  Number<int64_t> offset;  // whose low 32 bits count
  uint32_t table;          // as in Rounding

  __device__ __forceinline__ Rounding rounding() const {
    return {stochastic_rounding, seed, static_cast<uint32_t>(offset.get()), table};
  }
};

template <typename L>
struct Update {
  static constexpr bool kReadsOwn = true;
  using Storage = typename L::Storage;
  using Wide = typename L::template Of<float>;
  Storage* table;    // [n_rows, r]
  float* state;      // [n_rows, r], or with rowwise [n_rows]
  Storage* fresh;    // [n, r]: where the new row goes, by the place p where its occurrences begin; null: into the table
  float* unclipped;  // [n, r], by p: see needs_unclipped()
  int64_t r;
  UpdateNumbers numbers;
  bool rowwise;

  // Both are read after the sums, the row by some sums before.
  __device__ __forceinline__ void prefetch(const Team& team, int64_t row) const {
    if (team.thread == 0) prefetch_row(table + row * r, r);
    if (team.thread == 1) prefetch_row(state + (rowwise ? row : row * r), rowwise ? 1 : r);
  }

  class Row {
   public:
    __device__ __forceinline__ Row(const Update& to, const Team& team, int64_t row, int64_t p)
        : to_(to), team_(team), row_(row), p_(p), squares_(zero4()) {}

    // AdaGrad. Elements beyond the row's end stay 0.
    __device__ __forceinline__ void tile(const Tile<L>& own, const Tile<L>& total, int first) {
      if (to_.rowwise) return rowwise_tile(own, total, first);
      float* state_row = to_.state + row_ * to_.r;
      updated_ = own;
      const float lr = to_.numbers.lr.get();
      const float eps = to_.numbers.eps;
      Tile<L> state = load_tile<Wide>(team_, state_row, first, to_.r);
#pragma unroll
      for (int c = 0; c < L::kChunks; ++c) {
        float4& y = updated_.chunk[c];
        float4& sum = state.chunk[c];
        const float4 gradient = total.chunk[c];
        adagrad_element(y.x, sum.x, gradient.x, lr, eps);
        adagrad_element(y.y, sum.y, gradient.y, lr, eps);
        adagrad_element(y.z, sum.z, gradient.z, lr, eps);
        adagrad_element(y.w, sum.w, gradient.w, lr, eps);
        store_wide(state_row, first, c, sum);
        squares_ = squares_ + y * y;
        if (!L::kOneTile) store_wide(waiting(), first, c, y);
      }
    }

    // The clip, and the only rounding to the table's type.
    __device__ __forceinline__ void end() {
      if (!L::kOneTile && to_.rowwise) {
        const float divisor = add_row_mean();
        for (int first = 0; first < to_.r; first += L::kTile) {
          const Tile<L> own = load_tile<L>(team_, to_.table + row_ * to_.r, first, to_.r);
          step(own, load_tile<Wide>(team_, gradient(), first, to_.r), divisor, first);
        }
      }
      const float factor = clip_factor(fold<L>(team_, squares_), to_.numbers.max_norm);
      if (!L::kOneTile && kWide && factor == 1.0f) return;
      for (int first = 0; L::kOneTile ? first == 0 : first < to_.r; first += L::kTile) {
        if (!L::kOneTile) updated_ = load_tile<Wide>(team_, waiting(), first, to_.r);
#pragma unroll
        for (int c = 0; c < L::kChunks; ++c) {
          const float4 y = factor != 1.0f ? factor * updated_.chunk[c] : updated_.chunk[c];
          store_rounded(out(), element<L>(team_, first, c), y);
        }
      }
    }

   private:
    static constexpr bool kWide = std::is_same_v<Storage, float>;

    // A row's elements can step when the squares of all its gradient are summed.
    __device__ __forceinline__ void rowwise_tile(const Tile<L>& own, const Tile<L>& total, int first) {
#pragma unroll
      for (int c = 0; c < L::kChunks; ++c) {
        squares_ = squares_ + total.chunk[c] * total.chunk[c];
        if (!L::kOneTile) store_wide(gradient(), first, c, total.chunk[c]);
      }
      if (L::kOneTile) step(own, total, add_row_mean(), first);
    }

    // The mean of the gradient's squares joins the row's one number, which one thread reads and writes. Returns what
    // the elements divide by.
    __device__ __forceinline__ float add_row_mean() {
      const float squares = fold<L>(team_, squares_);
      squares_ = zero4();  // from here on of the row
      float state = 0.0f;
      if (team_.thread == 0) {
        state = rowwise_state(to_.state[row_], squares, to_.r);
        to_.state[row_] = state;
      }
      return rowwise_divisor(team_.from(state, 0), to_.numbers.eps);
    }

    __device__ __forceinline__ void step(const Tile<L>& own, const Tile<L>& total, float divisor, int first) {
      const float lr = to_.numbers.lr.get();
#pragma unroll
      for (int c = 0; c < L::kChunks; ++c) {
        const float4 change = lr * total.chunk[c];
        const float4 y =
            own.chunk[c] - make_float4(change.x / divisor, change.y / divisor, change.z / divisor, change.w / divisor);
        updated_.chunk[c] = y;
        squares_ = squares_ + y * y;
        if (!L::kOneTile) store_wide(waiting(), first, c, y);
      }
    }

    __device__ __forceinline__ Storage* out() const {
      return to_.fresh ? to_.fresh + p_ * to_.r : to_.table + row_ * to_.r;
    }
    __device__ __forceinline__ float* gradient() const { return to_.unclipped + p_ * to_.r; }
    __device__ __forceinline__ float* waiting() const {
      if constexpr (kWide) {
        return out();
      } else {
        return to_.unclipped + p_ * to_.r;
      }
    }
    __device__ __forceinline__ void store_wide(float* row, int first, int chunk, float4 value) {
      const float values[4] = {value.x, value.y, value.z, value.w};
      store4<Wide>(row, element<L>(team_, first, chunk), to_.r, values);
    }
    __device__ __forceinline__ void store_rounded(Storage* row, int e, float4 value) {
      Storage values[4];
      if (!kWide && to_.numbers.stochastic_rounding) {
        const Rounding rounding = to_.numbers.rounding();
        if constexpr (L::kVector) {
          const Words4 words = rounding_words(rounding, row_, e / 4);
          round_stochastic(value.x, words.word[0], values[0]);
          round_stochastic(value.y, words.word[1], values[1]);
          round_stochastic(value.z, words.word[2], values[2]);
          round_stochastic(value.w, words.word[3], values[3]);
        } else {
          const auto word = [&](int at) { return pick(rounding_words(rounding, row_, at / 4), at % 4); };
          round_stochastic(value.x, word(e), values[0]);
          round_stochastic(value.y, word(e + L::kStride), values[1]);
          round_stochastic(value.z, word(e + 2 * L::kStride), values[2]);
          round_stochastic(value.w, word(e + 3 * L::kStride), values[3]);
        }
      } else {
        round_nearest(value.x, values[0]);
        round_nearest(value.y, values[1]);
        round_nearest(value.z, values[2]);
        round_nearest(value.w, values[3]);
      }
      store4<L>(row, e, to_.r, values);
    }

    const Update& to_;
    const Team& team_;
    int64_t row_;
    int64_t p_;
    float4 squares_;  // the lanes of the row's squared norm; before a row-wise step, of its gradient's
    Tile<L> updated_;
  };
};

}  // namespace cmlfast
