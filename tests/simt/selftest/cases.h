// Kernels that the tests run by name: planted faults, each with a twin that does the same right, and examples.
#pragma once

#include <cuda_runtime.h>

#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace selftest {

// Runs something; throws what the emulator throws, or std::runtime_error("wrong result...").
using Run = void (*)();

struct Fault {
  Run faulty;
  Run correct;
};

inline std::map<std::string, Fault>& faults() {
  static std::map<std::string, Fault> all;
  return all;
}
inline std::map<std::string, Run>& examples() {
  static std::map<std::string, Run> all;
  return all;
}

struct Register {
  Register(const char* name, Fault fault) { faults()[name] = fault; }
  Register(const char* name, Run example) { examples()[name] = example; }
};

// An array in the device's memory.
template <typename T>
class Array {
 public:
  explicit Array(size_t n) : n_(n) { cudaMalloc(&data_, n * sizeof(T)); }
  explicit Array(const std::vector<T>& values) : Array(values.size()) {
    cudaMemcpy(data_, values.data(), n_ * sizeof(T), cudaMemcpyHostToDevice);
  }
  ~Array() { cudaFree(data_); }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;

  T* data() const { return data_; }
  std::vector<T> values() const {
    std::vector<T> result(n_);
    cudaMemcpy(result.data(), data_, n_ * sizeof(T), cudaMemcpyDeviceToHost);
    return result;
  }

 private:
  T* data_ = nullptr;
  size_t n_;
};

template <typename... Parameters, typename... Arguments>
void run(void (*kernel)(Parameters...), unsigned blocks, unsigned threads, size_t dynamic_bytes,
         Arguments... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = blocks;
  config.blockDim = threads;
  config.dynamicSmemBytes = dynamic_bytes;
  if (cudaLaunchKernelEx(&config, kernel, arguments...) != cudaSuccess) throw std::runtime_error("launch failed");
}

inline void expect(bool right, const std::string& what) {
  if (!right) throw std::runtime_error("wrong result: " + what);
}

}  // namespace selftest

#define SIMT_FAULT(name) \
  static const selftest::Register register_##name(#name, selftest::Fault{run_##name<false>, run_##name<true>});
#define SIMT_EXAMPLE(name) static const selftest::Register register_##name(#name, run_##name);
