#include "shared_memory.h"

#include <new>

#include "simt/core.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, bytes) static_cast<void>(address)
#define ASAN_UNPOISON_MEMORY_REGION(address, bytes) static_cast<void>(address)
#endif

// The linker defines these where an object file has the section that mark_shared.py makes.
extern "C" {
extern char __start_simt_shared[] __attribute__((weak, visibility("hidden")));
extern char __stop_simt_shared[] __attribute__((weak, visibility("hidden")));
}

namespace simt {
namespace {

constexpr std::align_val_t kAlignment{16};
char* dynamic_begin = nullptr;
size_t dynamic_bytes = 0;

// In assembly, for AddressSanitizer's memset would not go over the guards between the variables.
void fill(char* begin, size_t bytes) {
#if defined(__x86_64__)
  asm volatile("rep stosb" : "+D"(begin), "+c"(bytes) : "a"(0xFF) : "memory");
#else
  for (size_t i = 0; i < bytes; ++i) asm volatile("strb %w1, [%0]" : : "r"(begin + i), "r"(0xFF) : "memory");
#endif
}

}  // namespace

DynamicShared::DynamicShared(size_t bytes) {
  if (bytes > 0) dynamic_begin = static_cast<char*>(::operator new(bytes, kAlignment));
  dynamic_bytes = bytes;
}

DynamicShared::~DynamicShared() {
  ::operator delete(dynamic_begin, kAlignment);
  dynamic_begin = nullptr;
  dynamic_bytes = 0;
}

void* dynamic_shared() { return dynamic_begin; }

void poison_shared_memory() {
  fill(__start_simt_shared, __stop_simt_shared - __start_simt_shared);
  fill(dynamic_begin, dynamic_bytes);
}

bool is_shared(size_t address) {
  const auto in = [address](const char* begin, size_t bytes) {
    return address - reinterpret_cast<size_t>(begin) < bytes;
  };
  return in(__start_simt_shared, __stop_simt_shared - __start_simt_shared) || in(dynamic_begin, dynamic_bytes);
}

void guard_shared_memory(const std::vector<std::pair<size_t, size_t>>& variables) {
  ASAN_POISON_MEMORY_REGION(__start_simt_shared, __stop_simt_shared - __start_simt_shared);
  for (const auto& [offset, bytes] : variables) ASAN_UNPOISON_MEMORY_REGION(__start_simt_shared + offset, bytes);
}

}  // namespace simt
