"""Same bits on every run, alone, captured and on another stream.

``python -m benchmarks.gpu_check.determinism RESULTS``, where RESULTS is a JSON file: how many checks are planned, and
those that have run; it is written anew after each of them.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.case import LR, MARGIN, N_NEGATIVES, SEED, Case, restore_
from benchmarks.gpu_check.case import capture, random_case, step_
from cmlfast import ops, reference

Check = dict[str, Any]  # name, passed, detail, seconds
N_STEPS = 20
SLEEP = 1_000_000_000  # cycles of the GPU's clock, half a second or more
SMALL, LARGE = (300, 2_000, 1_024), (100_000, 200_000, 100_000)  # users, items, pairs


def different(got: Sequence[Tensor], want: Sequence[Tensor]) -> str:
    """Say which tensors differ in a bit, "" if none does."""

    def bits(tensor: Tensor) -> Tensor:
        return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)

    pairs = list(zip(got, want, strict=True))
    at = [n for n, (one, other) in enumerate(pairs) if not torch.equal(bits(one), bits(other))]
    return f"{len(at)} of {len(pairs)} tensors differ, the first is number {at[0]}" if at else ""


def train(kernels: Any, case: Case, n_steps: int, stochastic: bool = False) -> list[Tensor]:
    """Take steps from the case's tables, which stay; return what each returned, and the tables."""
    tables = case.tables.clone()
    counts = [step_(kernels, case, tables, LR, offset, stochastic) for offset in range(n_steps)]
    return [*(each for step in counts for each in step), *tables.all()]


def steps_repeat(device: str, r: int, dtype: torch.dtype) -> str:
    """Twenty steps twice, and the reference's twenty on the CPU."""
    case = random_case(*SMALL, r, "cpu", dtype)
    here = case.to(device)
    stochastic = dtype != torch.float32
    first, second = (train(ops, here, N_STEPS, stochastic) for _ in range(2))
    apart = different(second, first)
    from_reference = different(first, train(reference, case, N_STEPS, stochastic))
    if not int(first[-5]):
        return "no pair is active in the last step: the case proves nothing"
    return "; ".join(f"{what}: {told}" for what, told in (("second run", apart), ("reference", from_reference)) if told)


def operators_repeat(device: str, sizes: tuple[int, int, int] = LARGE) -> str:
    """Every operator three times on large tables and a large batch."""
    case = random_case(*sizes, 100, device)
    pairs = (case.users, case.positives)
    grads = torch.randn((len(case.users), 100), generator=torch.Generator().manual_seed(SEED)).to(device)

    def outputs() -> list[Tensor]:
        negatives = ops.sample_negatives(*case.sampling, case.n_items, N_NEGATIVES, SEED, 0)
        results = [negatives, *train(ops, case, 3)]
        for sparse in (False, True):
            leaves = [table.clone().requires_grad_() for table in case.tables.all()[:2]]
            loss, *counts = ops.warp_hinge(*leaves, *pairs, negatives, MARGIN, case.n_items, sparse_grad=sparse)
            found = torch.autograd.grad(loss.sum(), leaves)
            results += [loss, *counts]
            results += [part for grad in found for part in ((grad._indices(), grad._values()) if sparse else (grad,))]
        weight, state = case.tables.item.clone(), case.tables.item_state.clone()
        ops.adagrad_clip_(weight, state, case.positives, grads, LR)
        return [*results, weight, state, *ops.topk(case.tables.user[:100], case.tables.item, 50)]

    first = outputs()
    return next(filter(None, (different(outputs(), first) for _ in range(2))), "")


def another_stream_gives_the_same(case: Case) -> str:
    """Take steps on a stream that is busy and not the default one: work that went elsewhere would be done too soon."""
    want = train(ops, case, 5)
    torch.cuda.synchronize()
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        torch.cuda._sleep(SLEEP)
        got = train(ops, case, 5)  # on copies of the tables that are made after the sleep
    torch.cuda.synchronize()
    return different(got, want)


def a_graph_gives_the_same(case: Case) -> str:
    """Replay a captured step; its offset is baked in, so the plain steps all have that one too."""
    tables = case.tables.clone()
    graph, counts = capture(lambda: step_(ops, case, tables, LR, 7))
    restore_(tables, case.tables)
    plain = case.tables.clone()
    for replay in range(5):
        graph.replay()
        want = step_(ops, case, plain, LR, 7)
        torch.cuda.synchronize()
        apart = different([*counts, *tables.all()], [*want, *plain.all()])
        if apart:
            return f"replay {replay}: {apart}"
    return ""


def a_step_does_not_synchronize(case: Case) -> str:
    """As torch sees it: its own operations raise where they would wait for the device."""
    tables = case.tables.clone()
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        step_(ops, case, tables, LR, 0)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.cuda.synchronize()
    return ""


def a_step_returns_while_the_device_is_busy(case: Case) -> str:
    """Whatever would wait: the step returns before a kernel ends that was launched before it."""
    tables = case.tables.clone()
    step_(ops, case, tables, LR, 0)  # so that memory is at hand and kernels are loaded
    torch.cuda.synchronize()
    slept = torch.cuda.Event()
    torch.cuda._sleep(SLEEP)
    slept.record()
    began = time.perf_counter()
    step_(ops, case, tables, LR, 1)
    took = time.perf_counter() - began
    busy = not slept.query()
    torch.cuda.synchronize()
    return "" if busy else f"the step returned after {took:.3f} s, when the device had finished"


def on_small_case(function: Callable[[Case], str], device: str) -> str:
    return function(random_case(*SMALL, 100, device))


def checks(device: str) -> dict[str, Callable[[], str]]:
    """Return the checks by name; each returns what is wrong, or ""."""
    result: dict[str, Callable[[], str]] = {}
    for r, dtype in ((100, torch.float32), (33, torch.float32), (100, torch.bfloat16)):
        name = f"{N_STEPS} steps twice, and the reference's bits: r = {r}, {str(dtype).removeprefix('torch.')}"
        result[name] = partial(steps_repeat, device, r, dtype)
    result["every operator three times, large"] = partial(operators_repeat, device)
    if device == "cuda":
        for function in (
            another_stream_gives_the_same,
            a_graph_gives_the_same,
            a_step_does_not_synchronize,
            a_step_returns_while_the_device_is_busy,
        ):
            result[function.__name__.replace("_", " ")] = partial(on_small_case, function, device)
    return result


def run_checks(chosen: dict[str, Callable[[], str]], results: Path) -> list[Check]:
    """Run checks, and store what is known after each."""
    done: list[Check] = []
    for name, check in chosen.items():
        began = time.perf_counter()
        try:
            detail = check()
        except Exception as error:  # the next check runs all the same
            detail = f"{type(error).__name__}: {error}"
        done.append({"name": name, "passed": not detail, "detail": detail, "seconds": time.perf_counter() - began})
        results.write_text(json.dumps({"planned": len(chosen), "checks": done}))
        print(done[-1], flush=True)
    return done


if __name__ == "__main__":
    sys.exit(0 if all(check["passed"] for check in run_checks(checks("cuda"), Path(sys.argv[1]))) else 1)
