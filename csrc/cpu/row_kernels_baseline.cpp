// RowKernels for any machine: plain C++ that compilers map to SSE2 on x86-64 and to NEON on AArch64. Also the choice
// between the instruction sets.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>

#define CMLFAST_ISA 0

#include "../softmax_math.h"
#include "../storage.h"
#include "../warp_math.h"
#include "prefetch.h"
#include "row_kernels.h"
#include "row_kernels.inl"

namespace cmlfast {

const RowKernels kBaselineRowKernels = kernels("baseline");

namespace {

struct Available {
  const RowKernels* kernels;
  bool runs;
};

}  // namespace

const RowKernels& row_kernels() {
  // Best last.
  static const Available available[] = {
      {&kBaselineRowKernels, true},
#if defined(__x86_64__)
      {&kAvx2RowKernels,
       __builtin_cpu_supports("avx2") > 0 && __builtin_cpu_supports("f16c") > 0 && __builtin_cpu_supports("fma") > 0},
      {&kAvx512RowKernels, __builtin_cpu_supports("avx512f") > 0 && __builtin_cpu_supports("avx512bw") > 0 &&
                               __builtin_cpu_supports("avx512vl") > 0},
#endif
  };
  const char* wanted = std::getenv("CMLFAST_ISA");
  const RowKernels* best = nullptr;
  std::string names;
  for (const Available& candidate : available) {
    if (!candidate.runs) continue;
    if (wanted && *wanted && std::string(wanted) != candidate.kernels->isa) {
      names += std::string(names.empty() ? "" : ", ") + candidate.kernels->isa;
      continue;
    }
    best = candidate.kernels;
  }
  if (!best) {
    throw std::invalid_argument("the environment variable CMLFAST_ISA is '" + std::string(wanted) +
                                "'; this machine and build have: " + names);
  }
  return *best;
}

}  // namespace cmlfast
