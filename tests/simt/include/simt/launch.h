// cudaLaunchKernelEx, the one form of launch that nvcc and g++ both compile.
#pragma once

#include <tuple>
#include <type_traits>
#include <utility>

#include "core.h"
#include "runtime_api.h"

struct cudaLaunchConfig_t {
  dim3 gridDim;
  dim3 blockDim;
  size_t dynamicSmemBytes;
  cudaStream_t stream;
  void* attrs;
  unsigned numAttrs;
};

namespace simt {

// A kernel with its arguments, without their types. Accesses to the memory of `call` are not the kernel's.
struct Launch {
  dim3 grid;
  dim3 block;
  size_t dynamic_bytes;
  const void* kernel;
  void (*run)(void* call);
  void* call;
  size_t call_bytes;
};

// Runs all threads of all blocks. Throws Error.
void launch(const Launch& launch);

template <typename... Parameters>
struct Call {
  void (*kernel)(Parameters...);
  std::tuple<std::decay_t<Parameters>...> arguments;

  static void run(void* self) {
    Call& call = *static_cast<Call*>(self);
    std::apply(call.kernel, call.arguments);
  }
};

}  // namespace simt

template <typename... Parameters, typename... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  simt::Call<Parameters...> call{kernel, {static_cast<Parameters>(std::forward<Arguments>(arguments))...}};
  simt::launch({config->gridDim, config->blockDim, config->dynamicSmemBytes, reinterpret_cast<const void*>(kernel),
                &simt::Call<Parameters...>::run, &call, sizeof call});
  return cudaSuccess;
}
