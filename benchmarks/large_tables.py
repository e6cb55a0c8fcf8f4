"""``python -m benchmarks.large_tables``: what ten million items cost, as tables and their state are kept.

A million made-up likes of a million users. For each form, a process trains an epoch of the hinge, takes steps of both
losses on 10,000 pairs, and saves the model; another one loads it and answers two users. Bytes are counted, the peak is
the kernel's. Times are the processor's, of all threads, for others may be at work, but for saving; a step's is the
median of 20 on other pairs each. Of the items' table it is told what part lies on large pages;
NUMPY_MADVISE_HUGEPAGE=0 has none asked for.
"""

from __future__ import annotations

import argparse
import json
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from benchmarks.kit.text import log, machine, markdown
from benchmarks.kit.zipf import zipf
from cmlfast import CML, ops

FORMS: dict[str, dict[str, Any]] = {
    "float32": {},
    "float32, row-wise": {"rowwise_adagrad": True},
    "bfloat16": {"dtype": "bfloat16"},
    "bfloat16, row-wise": {"dtype": "bfloat16", "rowwise_adagrad": True},
}
BATCH, STEPS = 10_000, 20
LR, EPS, MAX_NORM, MARGIN, TEMPERATURE = 0.1, 1e-10, 1.0, 1.5, 0.2
N_NEGATIVES, N_SHARED = 20, 4096  # of the hinge's pairs, of the softmax's batches
GB = 1e9


def likes(options: argparse.Namespace) -> sparse.csr_matrix:
    """Draw likes as people's habits make them."""
    rng, n = np.random.default_rng(0), options.likes
    rows, columns = rng.integers(0, options.users, n), zipf(rng, n, options.items)
    return sparse.csr_matrix((np.ones(n, np.float32), (rows, columns)), shape=(options.users, options.items))


def train(options: argparse.Namespace) -> dict[str, float]:
    """Fit, take steps, save."""
    matrix, began = likes(options), time.process_time()
    model = CML(
        options.components, "warp", margin=MARGIN, n_negatives=N_NEGATIVES, learning_rate=LR, batch_size=BATCH,
        n_epochs=1, random_state=0, **FORMS[options.form],
    )  # fmt: skip
    model.fit(matrix, show_progress=False)
    seconds = time.process_time() - began
    assert model._fitted
    tables = model._fitted.tables.all()
    found = {
        "table": sum(bytes_of(table) for table in tables[:2]) / GB,
        "state": sum(bytes_of(table) for table in tables[2:]) / GB,
        "fit": seconds,
        "peak": peak(),
        "large pages": on_large_pages(tables[1]),
        "hinge": step(matrix, tables, hinge_step_),
        "softmax": step(matrix, tables, softmax_step_),
    }
    began = time.perf_counter()
    model.save(options.path)
    return found | {"save": time.perf_counter() - began, "file": Path(options.path).stat().st_size / GB}


Tables = tuple[Tensor, Tensor, Tensor, Tensor]
Csr = tuple[Tensor, Tensor]


def step(matrix: sparse.csr_matrix, tables: Tables, act: Callable[[Tables, Csr, Tensor, Tensor, int], None]) -> float:
    """Return the milliseconds of a step."""
    csr = torch.from_numpy(matrix.indptr), torch.from_numpy(matrix.indices)
    users = torch.arange(matrix.shape[0], dtype=torch.int32).repeat_interleave(csr[0].diff())
    order, times = torch.randperm(len(users), generator=torch.Generator().manual_seed(0)), []
    for number, chosen in enumerate(order.split(BATCH)[:STEPS]):
        batch = users[chosen], csr[1][chosen]
        began = time.process_time()
        act(tables, csr, *batch, number)
        times.append(time.process_time() - began)
    return 1000 * float(np.median(times))


def hinge_step_(tables: Tables, csr: Csr, users: Tensor, items: Tensor, number: int) -> None:
    sizes = (LR, EPS, MAX_NORM)
    ops.cml_step_(*tables, *csr, users, items, N_NEGATIVES, MARGIN, *sizes, True, 1, number, stochastic_rounding=True)


def softmax_step_(tables: Tables, csr: Csr, users: Tensor, items: Tensor, number: int) -> None:
    user_w, item_w, user_state, item_state = tables
    generator = torch.Generator().manual_seed(number)
    shared = torch.randint(len(item_w), (N_SHARED,), dtype=torch.int32, generator=generator)
    _, by_user, by_item, by_shared = ops.sampled_softmax_gradients(
        user_w, item_w, users, items, shared, torch.ones(len(users)), TEMPERATURE
    )
    both, by_both = torch.cat((items, shared)), torch.cat((by_item, by_shared))
    for of in ((user_w, user_state, users, by_user), (item_w, item_state, both, by_both)):
        ops.adagrad_clip_(*of, LR, EPS, MAX_NORM, stochastic_rounding=True, seed=1, offset=number)


def serve(options: argparse.Namespace) -> dict[str, float]:
    """Load, and answer two users."""
    began = time.process_time()
    model = CML.load(options.path)
    found = {"load": time.process_time() - began}
    for name, user in (("first answer", 1), ("answer", 2)):
        began = time.process_time()
        model.recommend(user, N=10)
        found[name] = time.process_time() - began
    return found | {"peak": peak()}


def bytes_of(table: Tensor) -> int:
    return table.numel() * table.element_size()


def peak() -> float:
    """Return the most memory that this program ever had in RAM, GB."""
    return 1024 * int(field(Path("/proc/self/status").read_text(), "VmHWM")) / GB


def on_large_pages(table: Tensor) -> float:
    """Return what part of a table's memory is on large pages, by the mappings that it lies in."""
    first, size, inside, large = table.data_ptr(), bytes_of(table), False, 0
    for line in Path("/proc/self/smaps").read_text().splitlines():
        name, *values = line.split()
        begin, dash, end = name.partition("-")
        if dash and not name.endswith(":"):
            inside = int(begin, 16) < first + size and first < int(end, 16)
        elif inside and name == "AnonHugePages:":
            large += 1024 * int(values[0])
    return min(large / size, 1.0)


def field(text: str, name: str) -> str:
    return next(line.split()[1] for line in text.splitlines() if line.startswith(f"{name}:"))


def in_process(what: str, options: argparse.Namespace, **more: Any) -> dict[str, float]:
    """Return what :func:`train` or :func:`serve` does in a new process."""
    given = json.dumps(vars(options) | more)
    script = (
        f"import json, sys, argparse\nfrom {__spec__.name} import {what}\n"
        f"print(json.dumps({what}(argparse.Namespace(**json.loads(sys.argv[1])))))"
    )
    done = subprocess.run([sys.executable, "-c", script, given], stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    log(f"{what}, {more}: {found}")
    return found


def main() -> None:
    """Print the figures."""
    logging.getLogger("cmlfast").setLevel(logging.ERROR)
    parser = argparse.ArgumentParser(
        "python -m benchmarks.large_tables", description=(__doc__ or "").partition("\n\n")[2]
    )
    parser.add_argument("--items", type=int, default=10_000_000)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--likes", type=int, default=1_000_000)
    parser.add_argument("--components", type=int, default=100)
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=list(FORMS), metavar="FORM")
    options = parser.parse_args()
    trained, served = [], []
    for form in options.forms:
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "a.model")
            one, other = (in_process(what, options, form=form, path=path) for what in ("train", "serve"))
        sizes = [f"{one[name]:.2f}" for name in ("table", "state", "peak")]
        steps = [f"{one[name]:.1f}" for name in ("hinge", "softmax")]
        trained.append([form, *sizes, f"{one['fit']:.0f}", *steps, f"{one['large pages']:.0%}"])
        times = [f"{other[name]:.2f}" for name in ("load", "first answer", "answer")]
        served.append([form, f"{one['file']:.2f}", f"{one['save']:.1f}", *times, f"{other['peak']:.2f}"])
    print(machine())
    head = ["tables", "tables, GB", "state, GB", "peak, GB", "fit, s", "hinge, ms", "softmax, ms", "on large pages"]
    print(markdown(head, trained))
    head = ["tables", "file, GB", "save, s", "load, s", "first answer, s", "next answer, s", "peak, GB"]
    print(markdown(head, served))


if __name__ == "__main__":
    main()
