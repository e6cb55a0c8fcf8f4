// Atomic operations. Only one thread runs at a time, so plain ones do; the watchers learn that they are atomic.
#pragma once

#include "core.h"

namespace simt {

#if defined(__SANITIZE_THREAD__)
void atomic_access(const void* address, unsigned bytes);
#else
inline void atomic_access(const void*, unsigned) {}
#endif

// Not instrumented: what it reads and writes was told as one atomic access.
template <typename T, typename Change>
__attribute__((no_sanitize("thread"), noinline)) T exchange(T* address, Change change) {
  const T old = *address;
  *address = change(old);
  return old;
}

}  // namespace simt

// Always inlined, so that the access is reported at the kernel's line. Only the types that CUDA has.
#define SIMT_ATOMIC(name, type, new_value)                                           \
  __attribute__((always_inline)) inline type name(type* address, type value) {       \
    simt::atomic_access(address, sizeof(type));                                      \
    return simt::exchange(address, [value](type old) -> type { return new_value; }); \
  }
#define SIMT_ATOMIC_CAS(type)                                                                        \
  __attribute__((always_inline)) inline type atomicCAS(type* address, type expected, type value) {   \
    simt::atomic_access(address, sizeof(type));                                                      \
    return simt::exchange(address, [=](type old) -> type { return old == expected ? value : old; }); \
  }
#define SIMT_ATOMIC_INTEGER(type)                         \
  SIMT_ATOMIC(atomicMax, type, old > value ? old : value) \
  SIMT_ATOMIC(atomicMin, type, old < value ? old : value) \
  SIMT_ATOMIC(atomicExch, type, ((void)old, value))       \
  SIMT_ATOMIC(atomicAnd, type, old& value)                \
  SIMT_ATOMIC(atomicOr, type, old | value)                \
  SIMT_ATOMIC(atomicXor, type, old ^ value)               \
  SIMT_ATOMIC_CAS(type)

SIMT_ATOMIC_INTEGER(int)
SIMT_ATOMIC_INTEGER(unsigned)
SIMT_ATOMIC_INTEGER(unsigned long long)
SIMT_ATOMIC(atomicAdd, int, static_cast<int>(static_cast<unsigned>(old) + static_cast<unsigned>(value)))
SIMT_ATOMIC(atomicAdd, unsigned, old + value)
SIMT_ATOMIC(atomicAdd, unsigned long long, old + value)
SIMT_ATOMIC(atomicAdd, float, old + value)
SIMT_ATOMIC(atomicAdd, double, old + value)
SIMT_ATOMIC(atomicSub, int, static_cast<int>(static_cast<unsigned>(old) - static_cast<unsigned>(value)))
SIMT_ATOMIC(atomicSub, unsigned, old - value)
SIMT_ATOMIC(atomicExch, float, ((void)old, value))

#undef SIMT_ATOMIC_INTEGER
#undef SIMT_ATOMIC_CAS
#undef SIMT_ATOMIC
