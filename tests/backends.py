"""The implementations of the operators that tests run on: the reference, and each kind of device's kernels.

``backend`` (a fixture, see conftest) is every implementation in every configuration: the reference, the CPU kernels
for each instruction set of this machine with 1, 2 and 3 threads, the CUDA kernels' source on the emulator of ``simt``
under several schedules, and the CUDA kernels where there is a GPU. ``kernel`` leaves out the reference, for comparisons
with it. ``implementation`` is each once, for what cannot depend on the configuration.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from emulated import Functions, load
from simt.build import why_not as why_not_emulated

from cmlfast import ops, reference
from cmlfast.ops import extension

ISAS = ("baseline", "avx2", "avx512")
THREADS = (1, 2, 3)
# Orders in which the emulator lets blocks, warps and lanes run, and the seed of the random one. That no order matters
# is for the race detector to prove (`simt.check`).
SCHEDULES = (("forward", 0), ("reverse", 0), ("random", 1))


class Moved(torch.autograd.Function):
    """``Tensor.to`` whose gradient finds its way back also when it is sparse."""

    @staticmethod
    def forward(ctx: Any, tensor: torch.Tensor, device: str) -> torch.Tensor:
        return tensor.to(device)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradient.cpu(), None


@dataclass(frozen=True)
class Backend:
    """One implementation of the operators, with the configuration that it runs in."""

    name: str
    functions: Any  # cmlfast.ops, cmlfast.reference or another namespace of the same functions
    device: str = "cpu"
    isa: str = ""  # "" leaves the choice to the kernels
    threads: int = 0  # 0 leaves torch's number
    schedule: tuple[str, int] | None = None  # of the emulator
    missing: str = ""  # why it cannot run here
    float64: bool = False  # whether it takes float64 tables
    steps_raise: bool = True  # whether cml_step_ waits for its ids to be checked, and raises

    def run(self, operator: str, *arguments: Any, **options: Any) -> Any:
        """Call an operator on tensors of the CPU; what changes in place changes in the caller's tensors."""
        moved = [self._move(argument) for argument in arguments]
        moved_options = {name: self._move(option) for name, option in options.items()}
        result = self._function(operator)(*moved, **moved_options)
        if operator.endswith("_"):
            given = [*arguments, *options.values()]
            for mine, theirs in zip(given, [*moved, *moved_options.values()], strict=True):
                if isinstance(mine, torch.Tensor) and mine is not theirs:
                    mine.copy_(theirs)
        if isinstance(result, tuple):
            return tuple(part.cpu() for part in result)
        return None if result is None else result.cpu()

    def _function(self, operator: str) -> Any:
        if operator == "warp_hinge_backward" and self.functions is ops:
            return torch.ops.cmlfast.warp_hinge_backward
        return getattr(self.functions, operator)

    def _move(self, argument: Any) -> Any:
        if not isinstance(argument, torch.Tensor) or self.device == "cpu":
            return argument
        if argument.dim() and argument.stride(0) == 0:  # rows that are one, and many: they are not copied
            return argument[:1].to(self.device).expand(argument.shape)
        moved = Moved.apply(argument, self.device) if argument.requires_grad else argument.to(self.device)
        if argument.is_contiguous() or argument.requires_grad or argument.dim() == 0:
            return moved
        spread = torch.empty((*argument.shape[:-1], 2 * argument.shape[-1]), dtype=moved.dtype, device=self.device)
        view = spread[..., ::2]  # not contiguous here, so not there
        view.copy_(moved)
        return view

    @contextlib.contextmanager
    def configured(self) -> Iterator["Backend"]:
        """Run in the configuration, and restore the old one."""
        if self.missing:
            pytest.skip(self.missing)
        threads = torch.get_num_threads()
        with pytest.MonkeyPatch.context() as patch:
            if self.isa:
                patch.setenv("CMLFAST_ISA", self.isa)
            elif self.functions is ops:
                patch.delenv("CMLFAST_ISA", raising=False)
            if self.threads:
                torch.set_num_threads(self.threads)
            if self.schedule:
                load().set_schedule(*self.schedule)
            try:
                yield self
            finally:
                torch.set_num_threads(threads)


REFERENCE = Backend("reference", reference, threads=1, float64=True)


EMULATED = Functions()


def why_not(isa: str) -> str:
    """Return why the kernels of an instruction set cannot run here, or ""."""
    if not extension.has_extension():
        return extension.why_no_extension()
    before = os.environ.get("CMLFAST_ISA")
    os.environ["CMLFAST_ISA"] = isa
    try:
        found = extension.build_info()["isa"]
    except ValueError as error:
        return str(error)
    finally:
        if before is None:
            del os.environ["CMLFAST_ISA"]
        else:
            os.environ["CMLFAST_ISA"] = before
    return "" if found == isa else f"the kernels took {found} for {isa}"


def implementations() -> list[Backend]:
    """Every implementation once."""
    result = [
        REFERENCE,
        Backend("cpu", ops, missing=extension.why_no_extension()),
        Backend("emulated", EMULATED, schedule=SCHEDULES[0], missing=why_not_emulated(), steps_raise=False),
    ]
    if torch.cuda.is_available() and extension.has_cuda_kernels():
        result.append(Backend("cuda", ops, device="cuda", steps_raise=False))
    return result


def configurations() -> list[Backend]:
    """Every implementation in every configuration whose results could differ if the code were wrong."""
    result = []
    for each in implementations():
        if each.name == "cpu":
            for isa in ISAS:
                missing = why_not(isa)
                result += [replace(each, name=f"cpu-{isa}-{n}", isa=isa, threads=n, missing=missing) for n in THREADS]
        elif each.name == "emulated":
            result += [replace(each, name=f"emulated-{order}-{n}", schedule=(order, n)) for order, n in SCHEDULES]
        else:
            result.append(each)
    return result


@pytest.fixture(params=configurations(), ids=lambda backend: backend.name)
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """Every implementation in every configuration."""
    with request.param.configured() as result:
        yield result


@pytest.fixture(params=configurations()[1:], ids=lambda backend: backend.name)
def kernel(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """Every configuration of the kernels, for comparisons with the reference."""
    with request.param.configured() as result:
        yield result


@pytest.fixture(params=implementations(), ids=lambda backend: backend.name)
def implementation(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """Every implementation once."""
    with request.param.configured() as result:
        yield result
