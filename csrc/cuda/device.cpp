// The device of a tensor, and torch's current stream there.
#include "device.h"

#include <torch/csrc/stable/accelerator.h>

#include <stdexcept>

// torch names the stream's handle since 2.13; older releases have the second function, in their CUDA builds alone.
// Weak, so that one binary loads in every torch; a kernel is called only where torch has CUDA, and there one of them
// is.
extern "C" {
__attribute__((weak)) AOTITorchError torch_stream_native_handle(StreamHandle stream, void** native_handle);
__attribute__((weak)) AOTITorchError aoti_torch_get_current_cuda_stream(int32_t device_index, void** stream);
}

namespace cmlfast {

static cudaStream_t current_stream(int32_t device) {
  void* stream = nullptr;
  if (aoti_torch_get_current_cuda_stream) {
    STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(device, &stream));
  } else if (torch_stream_native_handle) {
    StreamHandle handle = nullptr;
    STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_stream(device, &handle));
    const torch::stable::accelerator::Stream owner(handle);
    STABLE_TORCH_ERROR_CODE_CHECK(torch_stream_native_handle(handle, &stream));
  } else {
    throw std::runtime_error(
        "this build of torch cannot name its current CUDA stream; cmlfast needs torch 2.10 or newer");
  }
  return static_cast<cudaStream_t>(stream);
}

Device enter_device(const Tensor& tensor) {
  const int32_t device = tensor.get_device_index();
  auto guard = std::make_shared<torch::stable::accelerator::DeviceGuard>(device);
  return {guard, current_stream(device)};
}

}  // namespace cmlfast
