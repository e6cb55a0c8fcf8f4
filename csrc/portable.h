// One spelling for functions that host and device compilers share.
#pragma once

// Internal linkage matters: the same header is compiled for several instruction sets in one binary, and a linker that
// merged those copies could put AVX-512 code where a plain x86-64 machine runs it.
#if defined(__CUDACC__)
#define CMLFAST_FN static __host__ __device__ __forceinline__
#else
#define CMLFAST_FN static inline
#endif
