// How kernels are launched: on the caller's device and stream, every launch checked.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>

namespace cmlfast {

// Threads of a block. Few, so that a place on a multiprocessor is free again soon after its own work is done: what
// teams of threads have to do differs widely.
constexpr int kBlock = 64;
// Blocks on a multiprocessor that kernels which hold rows are compiled for: 512 threads of at most 128 registers, or
// 384 of at most 168 where sixteen loads are in flight.
constexpr int kBlocks = 8;
constexpr int kScanBlocks = 6;

inline void check_cuda(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  cudaGetLastError();  // or a later call that asks for it would fail too
  throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(error));
}

// Enough blocks for n pieces of work, `per_block` to a block; none for n = 0.
template <int kThreads = kBlock, typename... Parameters, typename... Arguments>
void launch(cudaStream_t stream, int64_t n, int64_t per_block, void (*kernel)(Parameters...),
            Arguments&&... arguments) {
  if (n <= 0) return;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>((n + per_block - 1) / per_block));
  config.blockDim = dim3(kThreads);
  config.stream = stream;
  check_cuda(cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...), "cannot launch a kernel");
}

// The thread's number in the grid.
__device__ __forceinline__ int64_t thread_number() { return static_cast<int64_t>(blockIdx.x) * kBlock + threadIdx.x; }

}  // namespace cmlfast
