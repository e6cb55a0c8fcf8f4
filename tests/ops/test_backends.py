"""Which operators a model runs on, and that everything works where the extension is missing."""

import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from backends import EMULATED
from scipy import sparse
from simt.build import why_not as why_not_emulated

from cmlfast import CML, build_info
from cmlfast.ops import backend

ROOT = Path(__file__).parents[2]

WITHOUT_EXTENSION = """
import sys, warnings
sys.modules["cmlfast._C"] = None  # as if it had never been built
import numpy as np, scipy.sparse as sparse
import cmlfast
info = cmlfast.build_info()
assert not info["extension"] and "extension" in info["reason"], info
likes = sparse.random(30, 20, 0.2, format="csr", rng=np.random.default_rng(0))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for _ in range(2):
        model = cmlfast.CML(n_components=4, n_epochs=2, random_state=0).fit(likes)
        model.recommend(3)
told = [str(warning.message) for warning in caught if "plain torch reference" in str(warning.message)]
assert len(told) == 1, told
print(float(model.user_embedding_.double().sum()))
try:
    cmlfast.ops.topk(model.user_embedding_, model.item_embedding_, 3)
except RuntimeError as error:
    assert "cmlfast.reference.topk" in str(error), error
else:
    raise AssertionError("no error")
try:
    cmlfast.CML(backend="extension").fit(likes)
except RuntimeError as error:
    assert "backend is 'extension'" in str(error), error
else:
    raise AssertionError("no error")
"""


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
def test_without_the_extension_everything_works_and_says_so_once() -> None:
    plain = float(run(WITHOUT_EXTENSION))
    if build_info()["extension"]:
        compiled = run(
            "import numpy as np, scipy.sparse as sparse, cmlfast\n"
            "likes = sparse.random(30, 20, 0.2, format='csr', rng=np.random.default_rng(0))\n"
            "model = cmlfast.CML(n_components=4, n_epochs=2, random_state=0).fit(likes)\n"
            "print(float(model.user_embedding_.double().sum()))"
        )
        assert plain == float(compiled)


def test_build_info_names_what_is_there() -> None:
    info = build_info()
    assert {"version", "torch", "python", "machine", "extension", "reason", "isa"} <= set(info)
    assert info["extension"] == (info["reason"] == "")


def test_one_binary_holds_the_kernels_of_cpu_and_gpu() -> None:
    """Every operator or none has a CUDA kernel, and only a build with some names architectures.

    All but the two that are made of torch's products and one of the others. One has two forms.
    """
    info = build_info()
    if not info["extension"]:
        pytest.skip(str(info["reason"]))
    operators = [name for name in torch._C._dispatch_get_all_op_names() if name.startswith("cmlfast::")]
    made_of_others = [name for name in operators if name.startswith("cmlfast::sampled_softmax")]
    assert (len(operators), len(made_of_others)) == (13, 2)
    assert "cmlfast::adagrad_clip_.Tensor" in operators
    for name in made_of_others:
        operators.remove(name)
        assert torch._C._dispatch_has_kernel_for_dispatch_key(name, "CompositeExplicitAutograd")
    for key, expected in (("CPU", True), ("CUDA", info["cuda_kernels"])):
        for name in operators:
            assert torch._C._dispatch_has_kernel_for_dispatch_key(name, key) == expected, (name, key)
    architectures = str(info["cuda_architectures"]).split()
    assert bool(architectures) == info["cuda_kernels"]
    assert all(75 <= int(architecture) <= 200 for architecture in architectures)


def test_a_gpu_without_kernels_for_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(backend, "has_cuda_kernels", lambda: False)
    with pytest.raises(RuntimeError, match=r"device is 'cuda', but this build .* no CUDA kernels.*CMLFAST_CUDA=1"):
        backend.choose("auto", "cuda")


@pytest.mark.skipif(bool(why_not_emulated()), reason=why_not_emulated())
def test_a_model_trains_and_serves_on_the_cuda_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    likes = sparse.random(60, 40, 0.2, format="csr", rng=np.random.default_rng(0))
    settings = {"n_components": 12, "n_epochs": 3, "random_state": 0}
    want = CML(backend="reference", **settings).fit(likes)
    monkeypatch.setattr(backend, "choose", lambda *_: (EMULATED, torch.device("cpu")))
    got = CML(**settings).fit(likes)
    assert torch.equal(got.user_embedding_, want.user_embedding_)
    assert torch.equal(got.item_embedding_, want.item_embedding_)
    for one, other in zip(got.recommend([3, 4], N=7), want.recommend([3, 4], N=7), strict=True):
        assert (one == other).all()


def test_an_unknown_instruction_set_is_told(monkeypatch) -> None:
    if not build_info()["extension"]:
        pytest.skip(str(build_info()["reason"]))
    monkeypatch.setenv("CMLFAST_ISA", "mmx")
    with pytest.raises(ValueError, match="CMLFAST_ISA is 'mmx'; this machine and build have: baseline"):
        build_info()


@pytest.mark.slow
def test_installs_without_a_compiler(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("CMLFAST_NO_EXTENSION", "1")
    monkeypatch.setenv("CXX", "/bin/false")
    source = tmp_path / "source"
    source.mkdir()
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE", "csrc", "cmlfast", "cmlfast_cli"):
        (source / name).symlink_to(ROOT / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-build-isolation", "--no-deps", "-w"]
    subprocess.run([*command, str(tmp_path), str(source)], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.endswith("-py3-none-any.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "cmlfast/py.typed" in names
    assert not [name for name in names if name.endswith(".so")]
