"""The stand-in for cuda_runtime.h gets along with torch's headers, whichever comes first."""

import shlex
import subprocess
from pathlib import Path

import pytest

from simt import build, flags

pytestmark = pytest.mark.skipif(bool(build.why_not()), reason=build.why_not())

TORCH = """\
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
"""
CUDA = "#include <cuda_runtime.h>\n"
KERNEL = """
namespace {
template <typename T>
__global__ void __launch_bounds__(64) twice(T* values, float4 ignored) {
  __shared__ __align__(16) T copies[64];
  copies[threadIdx.x] = values[threadIdx.x] + max(threadIdx.x, 3u);
  __syncthreads();
  values[threadIdx.x] = __shfl_xor_sync(~0u, copies[threadIdx.x ^ 32], 1);
}
}  // namespace
torch::stable::Tensor apply(const torch::stable::Tensor& tensor) {
  cudaLaunchConfig_t config{};
  config.gridDim = 1;
  config.blockDim = dim3(64);
  config.dynamicSmemBytes = 0;
  config.stream = nullptr;
  STD_TORCH_CHECK(cudaLaunchKernelEx(&config, twice<float>, static_cast<float*>(tensor.data_ptr()),
                                     make_float4(0, 0, 0, 0)) == cudaSuccess);
  return torch::stable::contiguous(tensor);
}
"""


@pytest.mark.parametrize("headers", [TORCH + CUDA, CUDA + TORCH], ids=["torch-first", "cuda-first"])
def test_compiles_with_torch(tmp_path: Path, headers: str) -> None:
    source = tmp_path / "kernel.cu"
    source.write_text(headers + KERNEL)
    options = [*flags.COMMON, *flags.project_flags(), "-Werror", "-Wno-unused-function", "-fsyntax-only"]
    done = subprocess.run(["g++", *options, "-x", "c++", source], capture_output=True, text=True)
    assert done.returncode == 0, shlex.join(options) + "\n" + done.stderr
