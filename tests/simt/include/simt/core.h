// What a kernel's source file sees of the emulator. runtime/ implements it.
#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>

#include "vector_types.h"

namespace simt {

// A fault of a kernel. It leaves cudaLaunchKernelEx; what() says what, where in the source, which block and thread.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A place in the source. Functions that kernels call have it as last parameters, which say the caller's place. (Two
// parameters, because __builtin_LINE inside an initializer of a Site would be the line of this header.)
struct Site {
  const char* file;
  int line;
};
#define SIMT_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()
#define SIMT_HERE (::simt::Site{file, line})

// The built-in variables lie together, so that the watchers can tell them from the kernel's data.
struct Builtins {
  uint3 thread{};
  uint3 block{};
  dim3 block_dim;
  dim3 grid_dim;
};
inline Builtins builtins;

// Abandons the launch: the message, then the site, the block and the thread.
[[noreturn]] void fail(const std::string& message, Site site);

void* dynamic_shared();
int lane_id();

// What __syncthreads_count and its like learn at a barrier.
struct Votes {
  int ayes;
  int voters;
};
Votes sync_block(bool vote, const char* name, Site site);

}  // namespace simt

static constexpr const uint3& threadIdx = simt::builtins.thread;
static constexpr const uint3& blockIdx = simt::builtins.block;
static constexpr const dim3& blockDim = simt::builtins.block_dim;
static constexpr const dim3& gridDim = simt::builtins.grid_dim;
static constexpr int warpSize = 32;
