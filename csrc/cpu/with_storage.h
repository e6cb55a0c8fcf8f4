// Calls code that is compiled for each type in which tables are stored.
#pragma once

#include "../storage.h"
#include "../tensors.h"

namespace cmlfast {

// visit(Storage()) for the storage type of a table.
template <typename Visit>
auto with_storage(const Tensor& table, const Visit& visit) {
  const ScalarType type = table.scalar_type();
  if (type == ScalarType::BFloat16) return visit(Bfloat16());
  if (type == ScalarType::Half) return visit(Float16());
  return visit(float());
}

}  // namespace cmlfast
