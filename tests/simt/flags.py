"""How g++ compiles each variant."""

import importlib.util
from pathlib import Path

SIMT = Path(__file__).parent

COMMON = [
    "-std=c++17",
    "-fPIC",
    "-fvisibility=hidden",
    "-fno-strict-aliasing",
    "-ffp-contract=off",
    "-fdata-sections",  # see mark_shared.py
    "-Wall",
    "-Wno-unknown-pragmas",
    f"-I{SIMT / 'include'}",
]
FLAGS = {
    "plain": ["-O2"],
    "asan": [
        "-O1",
        "-g1",  # lines, for the reports; variables too would take half as long again to compile
        "-fsanitize=address,undefined",
        "-fno-sanitize-recover=all",
        "-fno-omit-frame-pointer",
    ],
    "race": ["-O1", "-g", "-DCMLFAST_SIMT_WATCH"],
}
LINK_FLAGS = {"plain": [], "asan": ["-fsanitize=address,undefined"], "race": []}
# The compiler tells the watchers of accesses, and does not split a float4 into four floats before.
WATCHED = ["-fsanitize=thread", "-fno-tree-sra", "-fno-ipa-sra"]


def torch_folder() -> Path:
    """Return torch's folder, without importing it, which takes long under AddressSanitizer."""
    spec = importlib.util.find_spec("torch")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0])


def torch_headers() -> list[str]:
    """Return the flags to find torch's headers."""
    include = torch_folder() / "include"
    return [f"-isystem{include}", f"-isystem{include / 'torch/csrc/api/include'}"]


def project_flags() -> list[str]:
    """Return the flags that make the project's CUDA sources those of torch.ops.cmlfast_emulated."""
    return [
        "-DCMLFAST_SIMT",
        "-Dcmlfast=cmlfast_emulated",
        "-DCMLFAST_CUDA_KEY=CPU",
        "-DTORCH_TARGET_VERSION=0x020A000000000000",
        *torch_headers(),
    ]
