// Faults of synchronization: what the threads do to memory is not ordered.
#include "cases.h"

namespace {

using selftest::Array;

// Warp 1 reads what warp 0 has not yet written.
template <bool correct>
__global__ void missing_syncthreads(float* out) {
  __shared__ float values[64];
  const int i = threadIdx.x;
  values[i] = i;
  if (correct) __syncthreads();
  out[i] = values[63 - i];
}
template <bool correct>
void run_missing_syncthreads() {
  const Array<float> out(64);
  selftest::run(missing_syncthreads<correct>, 1, 64, 0, out.data());
  for (int i = 0; i < 64; ++i) selftest::expect(out.values()[i] == 63 - i, "element " + std::to_string(i));
}

// A second round writes over what another warp still has to read: only warps that run ahead show it.
template <bool correct>
__global__ void write_after_read(float* out) {
  __shared__ float total;
  float sum = 0;
  for (int round = 0; round < 3; ++round) {
    if (threadIdx.x == 0) total = round + 1;
    __syncthreads();
    sum += total;
    if (correct) __syncthreads();
  }
  out[threadIdx.x] = sum;
}
template <bool correct>
void run_write_after_read() {
  const Array<float> out(96);
  selftest::run(write_after_read<correct>, 1, 96, 0, out.data());
  for (const float sum : out.values()) selftest::expect(sum == 6, std::to_string(sum) + " for 6");
}

template <bool correct>
__global__ void missing_syncwarp(float* out) {
  __shared__ float values[32];
  const int i = threadIdx.x;
  values[i] = i;
  if (correct) __syncwarp();
  out[i] = values[i ^ 1];
}
template <bool correct>
void run_missing_syncwarp() {
  const Array<float> out(32);
  selftest::run(missing_syncwarp<correct>, 1, 32, 0, out.data());
  for (int i = 0; i < 32; ++i) selftest::expect(out.values()[i] == (i ^ 1), "element " + std::to_string(i));
}

// A shuffle makes the lanes wait for each other but does not order their accesses. Every schedule hides it.
template <bool correct>
__global__ void shuffle_for_sync(float* out) {
  __shared__ float values[32];
  const int i = threadIdx.x;
  values[i] = i;
  const float zero = __shfl_sync(~0u, 0.0f, 0);
  if (correct) __syncwarp();
  out[i] = values[i ^ 1] + zero;
}
template <bool correct>
void run_shuffle_for_sync() {
  const Array<float> out(32);
  selftest::run(shuffle_for_sync<correct>, 1, 32, 0, out.data());
  for (int i = 0; i < 32; ++i) selftest::expect(out.values()[i] == (i ^ 1), "element " + std::to_string(i));
}

// Half of a warp meets; the other half's values are not ordered by it.
template <bool correct>
__global__ void partial_syncwarp(float* out) {
  __shared__ float values[32];
  const int i = threadIdx.x;
  values[i] = i;
  __syncwarp(i < 16 ? 0x0000FFFFu : 0xFFFF0000u);
  out[i] = values[correct ? i ^ 1 : i ^ 16];
}
template <bool correct>
void run_partial_syncwarp() {
  const Array<float> out(32);
  selftest::run(partial_syncwarp<correct>, 1, 32, 0, out.data());
}

// The first reader of a word is also the one that writes to it.
template <bool correct>
__global__ void write_by_first_reader(float* out) {
  __shared__ float value;
  if (threadIdx.x == 0) value = 1;
  __syncthreads();
  const float mine = value;
  if (correct) __syncthreads();
  if (threadIdx.x == 0) value = 2;
  out[threadIdx.x] = mine;
}
template <bool correct>
void run_write_by_first_reader() {
  const Array<float> out(64);
  selftest::run(write_by_first_reader<correct>, 1, 64, 0, out.data());
}

template <bool correct>
__global__ void plain_update(int* count) {
  if (correct) {
    atomicAdd(count, 1);
  } else {
    *count += 1;
  }
}
template <bool correct>
void update(unsigned blocks, unsigned threads) {
  const Array<int> count(std::vector<int>{0});
  selftest::run(plain_update<correct>, blocks, threads, 0, count.data());
  selftest::expect(count.values()[0] == static_cast<int>(blocks * threads), "the count");
}
template <bool correct>
void run_plain_update_in_block() {
  update<correct>(1, 64);
}
template <bool correct>
void run_plain_update_across_blocks() {
  update<correct>(4, 1);
}

template <bool correct>
__global__ void atomic_and_plain(int* count, int* out) {
  atomicAdd(count, 1);
  if (correct) __syncthreads();
  out[threadIdx.x] = *count;
}
template <bool correct>
void run_atomic_and_plain() {
  const Array<int> count(std::vector<int>{0});
  const Array<int> out(64);
  selftest::run(atomic_and_plain<correct>, 1, 64, 0, count.data(), out.data());
}

SIMT_FAULT(missing_syncthreads)
SIMT_FAULT(write_after_read)
SIMT_FAULT(missing_syncwarp)
SIMT_FAULT(shuffle_for_sync)
SIMT_FAULT(partial_syncwarp)
SIMT_FAULT(write_by_first_reader)
SIMT_FAULT(plain_update_in_block)
SIMT_FAULT(plain_update_across_blocks)
SIMT_FAULT(atomic_and_plain)

}  // namespace
