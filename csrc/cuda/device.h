// The device and stream that a call works on, and the key that kernels register under. One of the two seams between
// kernels and their surroundings: tests that run kernels without a GPU bring their own.
#pragma once

#include <cuda_runtime.h>
#include <torch/csrc/stable/library.h>

#include <memory>

#include "../tensors.h"

// CUDA, unless a test that runs kernels without a GPU says otherwise.
#ifndef CMLFAST_CUDA_KEY
#define CMLFAST_CUDA_KEY CUDA
#endif

namespace cmlfast {

struct Device {
  std::shared_ptr<void> guard;  // the tensor's device is the current one while this lives
  cudaStream_t stream;          // the caller's
};

Device enter_device(const Tensor& tensor);

}  // namespace cmlfast
