"""What every benchmark works on: tables in the middle of training, a matrix of positives, one full batch of pairs."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from types import ModuleType

import torch
from torch import Tensor

from benchmarks.kit.data import load_split
from cmlfast import CML, build_info, ops, reference
from cmlfast.ops import backend
from cmlfast.training.loop import run_epoch
from cmlfast.training.pairs import Pairs
from cmlfast.training.schedule import Schedule
from cmlfast.training.settings import resolve
from cmlfast.training.step import fused_step
from cmlfast.training.tables import Tables, new_tables

N_PAIRS = 10_000
N_NEGATIVES = 20
N_COMPONENTS = 100
MARGIN, LR, EPS, MAX_NORM, SEED = 1.5, 0.1, 1e-10, 1.0, 0
Counts = tuple[Tensor, Tensor, Tensor]  # what a step returns: loss, impostors, active pairs
EPOCHS_BEFORE = 3  # so that neither all pairs nor none have a hinge, as with tables that were just drawn


@dataclass(frozen=True)
class Case:
    """A batch, and the tables before a step."""

    data: str  # the data set's name
    tables: Tables
    indptr: Tensor  # [I + 1]
    indices: Tensor  # [nnz]
    users: Tensor  # [N]
    positives: Tensor  # [N]

    @property
    def n_items(self) -> int:
        """Return J."""
        return len(self.tables.item)

    @property
    def sampling(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return what the operators take first, in their order."""
        return self.indptr, self.indices, self.users, self.positives

    def to(self, device: torch.device | str) -> Case:
        """Return the same on another device."""
        tables = Tables(*(table.to(device) for table in self.tables.all()))
        return Case(self.data, tables, *(tensor.to(device) for tensor in self.sampling))


def make_case(n_components: int = N_COMPONENTS) -> Case:
    """Train for a few epochs and draw a batch; the same bits wherever it runs."""
    name, (train, _, _) = load_split()
    model = CML(n_components, "warp", margin=MARGIN, learning_rate=LR, max_norm=MAX_NORM, random_state=SEED)
    params = {**model.get_params(), "n_negatives": N_NEGATIVES, "batch_size": N_PAIRS}
    settings = resolve(params, train.nnz, *train.shape)
    kernels, device = backend.choose("auto", "cpu")
    pairs = Pairs.of(train.matrix, train.matrix, device, kernels)
    tables = new_tables(*train.shape, settings, device)
    for epoch in range(EPOCHS_BEFORE):
        run_epoch(fused_step(kernels), tables, pairs, settings, epoch, Schedule(0.0, 0.0))  # at the first rate
    chosen = torch.randperm(len(pairs), generator=torch.Generator().manual_seed(SEED))[:N_PAIRS]
    return Case(name, tables, pairs.indptr, pairs.indices, pairs.users[chosen], pairs.items[chosen])


def step_(
    kernels: ModuleType,
    case: Case,
    tables: Tables,
    lr: float,
    offset: int,
    n_negatives: int = N_NEGATIVES,
    stochastic: bool = False,
) -> Counts:
    """Take a training step on tables, in place."""
    numbers = (n_negatives, MARGIN, lr, EPS, MAX_NORM, True, SEED, offset, stochastic)
    result: Counts = kernels.cml_step_(*tables.all(), *case.sampling, *numbers)
    return result


def active_rows(case: Case, n_negatives: int) -> tuple[int, int, int]:
    """Return how many pairs have a positive hinge in a step with offset 0, and how many users and items these name."""
    kernels = ops if build_info()["extension"] else reference
    tables = case.tables.user, case.tables.item
    loss, hardest, _ = kernels.warp_hinge_sampled(*tables, *case.sampling, n_negatives, MARGIN, SEED, 0)
    active = loss > 0
    items = torch.cat((case.positives[active], hardest[active]))
    return int(active.sum()), len(case.users[active].unique()), len(items.unique())


def touched_rows(case: Case, n_negatives: int) -> int:
    """Return how many rows of both tables such a step changes."""
    _, users, items = active_rows(case, n_negatives)
    return users + items


def restore_(tables: Tables, start: Tables) -> None:
    """Bring tables back to where they were, in place, so that every round does the same work."""
    for field in dataclasses.fields(Tables):
        getattr(tables, field.name).copy_(getattr(start, field.name))
