// Shared memory: the static variables of all kernels, and a launch's dynamic bytes.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

namespace simt {

// The dynamic shared memory of a launch. A block of memory of its own, so that AddressSanitizer knows its ends.
class DynamicShared {
 public:
  explicit DynamicShared(size_t bytes);
  ~DynamicShared();
  DynamicShared(const DynamicShared&) = delete;
  DynamicShared& operator=(const DynamicShared&) = delete;
};

// Fills all shared memory with 0xFF, NaN in every floating type, so that nothing outlives its block unnoticed.
void poison_shared_memory();

bool is_shared(size_t address);

// Lets AddressSanitizer allow accesses to the static variables alone. Each is an offset and a size.
void guard_shared_memory(const std::vector<std::pair<size_t, size_t>>& variables);

}  // namespace simt
