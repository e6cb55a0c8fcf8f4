// Faults of control flow: collectives and barriers that the wrong threads reach, or not all.
#include "cases.h"

namespace {

using selftest::Array;

// Every kernel here takes 64 ints; a fault must be reported, a twin must not.
template <typename Kernel>
void run_on_64(Kernel* kernel) {
  const Array<int> out(std::vector<int>(64, 0));
  selftest::run(kernel, 1, 64, 0, out.data());
}

template <bool correct>
__global__ void lane_outside_mask(int* out) {
  const unsigned mask = correct ? ~0u : 0xFFFFu;
  out[threadIdx.x] = __shfl_sync(mask, static_cast<int>(threadIdx.x), 0);
}
template <bool correct>
void run_lane_outside_mask() {
  run_on_64(lane_outside_mask<correct>);
}

// Half of each warp ends before a collective that names all of it.
template <bool correct>
__global__ void exit_before_collective(int* out) {
  const bool mine = threadIdx.x % 32 < 16;
  if (!correct && !mine) return;
  const unsigned votes = __ballot_sync(~0u, mine);
  if (mine) out[threadIdx.x] = __popc(votes);
}
template <bool correct>
void run_exit_before_collective() {
  run_on_64(exit_before_collective<correct>);
}

template <bool correct>
__global__ void absent_source_lane(int* out) {
  if (threadIdx.x >= 16) return;
  out[threadIdx.x] = __shfl_sync(0xFFFFu, static_cast<int>(threadIdx.x), correct ? 12 : 20);
}
template <bool correct>
void run_absent_source_lane() {
  run_on_64(absent_source_lane<correct>);
}

// The lanes of a warp meet in two different places.
template <bool correct>
__global__ void divergent_collective(int* out) {
  const int i = threadIdx.x;
  if (correct || i % 2 == 0) {
    out[i] = __shfl_xor_sync(~0u, i, 1);
  } else {
    out[i] = __shfl_xor_sync(~0u, -i, 1);
  }
}
template <bool correct>
void run_divergent_collective() {
  run_on_64(divergent_collective<correct>);
}

template <bool correct>
__global__ void divergent_barrier(int* out) {
  if (correct || threadIdx.x < 40) {
    out[threadIdx.x] = 1;
    __syncthreads();
  } else {
    out[threadIdx.x] = 2;
    __syncthreads();
  }
}
template <bool correct>
void run_divergent_barrier() {
  run_on_64(divergent_barrier<correct>);
}

template <bool correct>
__global__ void barrier_in_half(int* out) {
  if (correct || threadIdx.x < 32) __syncthreads();
  out[threadIdx.x] = 0;
}
template <bool correct>
void run_barrier_in_half() {
  run_on_64(barrier_in_half<correct>);
}

template <bool correct>
__global__ void exit_before_barrier(int* out) {
  if (!correct && threadIdx.x == 63) return;
  out[threadIdx.x] = 1;
  __syncthreads();
}
template <bool correct>
void run_exit_before_barrier() {
  run_on_64(exit_before_barrier<correct>);
}

// Even lanes wait for their warp, odd lanes for the block.
template <bool correct>
__global__ void deadlock(int* out) {
  if (correct) {
    __syncwarp();
    __syncthreads();
  } else if (threadIdx.x % 2 == 0) {
    __syncwarp();
  } else {
    __syncthreads();
  }
  out[threadIdx.x] = 1;
}
template <bool correct>
void run_deadlock() {
  run_on_64(deadlock<correct>);
}

template <bool correct>
__global__ void active_mask(int* out) {
  out[threadIdx.x] = static_cast<int>(correct ? ~0u : __activemask());
}
template <bool correct>
void run_active_mask() {
  run_on_64(active_mask<correct>);
}

template <bool correct>
__global__ void nothing(int*) {}
template <bool correct>
void run_too_many_threads() {
  selftest::run(nothing<correct>, 1, correct ? 1024 : 1025, 0, nullptr);
}

SIMT_FAULT(lane_outside_mask)
SIMT_FAULT(exit_before_collective)
SIMT_FAULT(absent_source_lane)
SIMT_FAULT(divergent_collective)
SIMT_FAULT(divergent_barrier)
SIMT_FAULT(barrier_in_half)
SIMT_FAULT(exit_before_barrier)
SIMT_FAULT(deadlock)
SIMT_FAULT(active_mask)
SIMT_FAULT(too_many_threads)

}  // namespace
