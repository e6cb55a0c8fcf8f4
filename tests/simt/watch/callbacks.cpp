// The functions that code compiled with -fsanitize=thread calls at each access to memory. The module is linked without
// libtsan, whose idea of threads is not CUDA's, and has these in its place.
#include "../runtime/shared_memory.h"
#include "../runtime/state.h"
#include "access.h"

namespace simt {
namespace {

bool in(size_t address, const void* begin, size_t bytes) { return address - reinterpret_cast<size_t>(begin) < bytes; }

// Registers and local memory, the kernel's arguments, threadIdx and its like are no memory that threads share.
bool is_private(size_t address) {
  return state.current->fiber.owns(address) || in(address, &builtins, sizeof builtins) ||
         in(address, state.launch->call, state.launch->call_bytes);
}

__attribute__((always_inline)) inline void on_access(const void* pointer, size_t bytes, AccessKind kind,
                                                     const void* return_address) {
  if (!state.in_kernel) return;
  const size_t address = reinterpret_cast<size_t>(pointer);
  if (is_private(address)) return;
  const bool shared = is_shared(address);
  const char* code = static_cast<const char*>(return_address) - 1;
  // A structure of more than 16 bytes takes several instructions on a GPU.
  for (size_t done = 0; done < bytes; done += 16) {
    const unsigned part = static_cast<unsigned>(bytes - done < 16 ? bytes - done : 16);
    const Access access{address + done, part, kind, shared, state.current->id, code + done};
    if (watching.races) watch_for_races(access);
    if (watching.traffic && !shared) count_traffic(access);
  }
}

}  // namespace

void atomic_access(const void* address, unsigned bytes) {
  on_access(address, bytes, AccessKind::kAtomic, __builtin_return_address(0));
}

}  // namespace simt

extern "C" {

void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}

#define SIMT_LOAD(name, bytes) \
  void name(void* p) { simt::on_access(p, bytes, simt::AccessKind::kLoad, __builtin_return_address(0)); }
#define SIMT_STORE(name, bytes) \
  void name(void* p) { simt::on_access(p, bytes, simt::AccessKind::kStore, __builtin_return_address(0)); }
#define SIMT_SIZE(bytes)                           \
  SIMT_LOAD(__tsan_read##bytes, bytes)             \
  SIMT_STORE(__tsan_write##bytes, bytes)           \
  SIMT_LOAD(__tsan_unaligned_read##bytes, bytes)   \
  SIMT_STORE(__tsan_unaligned_write##bytes, bytes) \
  SIMT_LOAD(__tsan_volatile_read##bytes, bytes)    \
  SIMT_STORE(__tsan_volatile_write##bytes, bytes)
SIMT_SIZE(1)
SIMT_SIZE(2)
SIMT_SIZE(4)
SIMT_SIZE(8)
SIMT_SIZE(16)

void __tsan_read_range(void* p, size_t bytes) {
  simt::on_access(p, bytes, simt::AccessKind::kLoad, __builtin_return_address(0));
}
void __tsan_write_range(void* p, size_t bytes) {
  simt::on_access(p, bytes, simt::AccessKind::kStore, __builtin_return_address(0));
}

// Atomics of host code, such as shared_ptr's counts. Always sequentially consistent: stronger than asked for.
#define SIMT_ATOMIC_FETCH(bits, type, name, builtin) \
  type __tsan_atomic##bits##_##name(volatile type* p, type v, int) { return builtin(p, v, __ATOMIC_SEQ_CST); }
#define SIMT_ATOMIC_EXCHANGE(bits, type, name)                                                     \
  int __tsan_atomic##bits##_##name(volatile type* p, type* expected, type v, int, int) {           \
    return __atomic_compare_exchange_n(p, expected, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
  }
#define SIMT_HOST_ATOMICS(bits, type)                                                                           \
  type __tsan_atomic##bits##_load(const volatile type* p, int) { return __atomic_load_n(p, __ATOMIC_SEQ_CST); } \
  void __tsan_atomic##bits##_store(volatile type* p, type v, int) { __atomic_store_n(p, v, __ATOMIC_SEQ_CST); } \
  SIMT_ATOMIC_FETCH(bits, type, exchange, __atomic_exchange_n)                                                  \
  SIMT_ATOMIC_FETCH(bits, type, fetch_add, __atomic_fetch_add)                                                  \
  SIMT_ATOMIC_FETCH(bits, type, fetch_sub, __atomic_fetch_sub)                                                  \
  SIMT_ATOMIC_FETCH(bits, type, fetch_and, __atomic_fetch_and)                                                  \
  SIMT_ATOMIC_FETCH(bits, type, fetch_or, __atomic_fetch_or)                                                    \
  SIMT_ATOMIC_FETCH(bits, type, fetch_xor, __atomic_fetch_xor)                                                  \
  SIMT_ATOMIC_EXCHANGE(bits, type, compare_exchange_strong)                                                     \
  SIMT_ATOMIC_EXCHANGE(bits, type, compare_exchange_weak)                                                       \
  type __tsan_atomic##bits##_compare_exchange_val(volatile type* p, type expected, type v, int, int) {          \
    __atomic_compare_exchange_n(p, &expected, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);                    \
    return expected;                                                                                            \
  }
SIMT_HOST_ATOMICS(8, unsigned char)
SIMT_HOST_ATOMICS(16, unsigned short)
SIMT_HOST_ATOMICS(32, unsigned)
SIMT_HOST_ATOMICS(64, unsigned long)
void __tsan_atomic_thread_fence(int) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
void __tsan_atomic_signal_fence(int) {}

}  // extern "C"
