// RowKernels for AVX2. Every header is included before the target changes: an inline function of the standard
// library compiled for it could otherwise serve the whole binary.
#if defined(__x86_64__)

#include <immintrin.h>

#include <cmath>
#include <cstdint>
#include <cstring>

#include "../portable.h"
#include "row_kernels.h"

#define CMLFAST_ISA 2
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx,avx2,f16c,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx,avx2,f16c,fma")
#endif

#include "../softmax_math.h"
#include "../storage.h"
#include "../warp_math.h"
#include "prefetch.h"
#include "row_kernels.inl"

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

const cmlfast::RowKernels cmlfast::kAvx2RowKernels = kernels("avx2");

#endif
