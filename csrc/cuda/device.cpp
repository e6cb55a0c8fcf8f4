// The device of a tensor, and torch's current stream there.
#include "device.h"

#include <dlfcn.h>
#include <torch/csrc/stable/accelerator.h>

#include <stdexcept>

// torch tells a stream's handle since 2.13. Weak, so that one binary loads in every torch.
extern "C" __attribute__((weak)) AOTITorchError torch_stream_native_handle(StreamHandle stream, void** native_handle);

namespace cmlfast {
namespace {

// What older releases have instead, in a library that this one is not linked with, for CPU builds of torch lack it.
using CurrentStream = AOTITorchError (*)(int32_t device, void** stream);

CurrentStream current_stream_before_2_13() {
  void* library = dlopen("libtorch_cuda.so", RTLD_LAZY | RTLD_NOLOAD);
  void* function = library ? dlsym(library, "aoti_torch_get_current_cuda_stream") : nullptr;
  return reinterpret_cast<CurrentStream>(function);
}

cudaStream_t current_stream(int32_t device) {
  void* stream = nullptr;
  if (torch_stream_native_handle) {
    StreamHandle handle = nullptr;
    STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_stream(device, &handle));
    const torch::stable::accelerator::Stream owner(handle);
    STABLE_TORCH_ERROR_CODE_CHECK(torch_stream_native_handle(handle, &stream));
  } else {
    static const CurrentStream get = current_stream_before_2_13();
    if (!get) throw std::runtime_error("this build of torch cannot tell its current CUDA stream");
    STABLE_TORCH_ERROR_CODE_CHECK(get(device, &stream));
  }
  return static_cast<cudaStream_t>(stream);
}

}  // namespace

Device enter_device(const Tensor& tensor) {
  const int32_t device = tensor.get_device_index();
  auto guard = std::make_shared<torch::stable::accelerator::DeviceGuard>(device);
  return {guard, current_stream(device)};
}

}  // namespace cmlfast
