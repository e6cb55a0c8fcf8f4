// CUDA's keywords as macros.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))

// Blocks run one after another, so that one static variable serves them all. The alignment is a mark: GCC forgets a
// section attribute inside templates but keeps an alignment, by which mark_shared.py finds these variables in the
// object file and moves them to the section simt_shared. Nothing else may be aligned like this.
#define __shared__ static __attribute__((aligned(512)))

// Dynamic shared memory, `float* name` of as many bytes as the launch asks for.
#define CMLFAST_DYNAMIC_SHARED(type, name) type* name = static_cast<type*>(::simt::dynamic_shared())
