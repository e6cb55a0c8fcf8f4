"""The compiled operators as torch sees them: schemas, opcheck, compilation, shapes without data, signatures."""

import inspect
import shutil
from typing import Any

import pytest
import torch
from backends import why_not
from batches import NARROW, assert_same, make_batch
from faults import arguments_of
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from cmlfast import ops, reference
from cmlfast.ops import extension

pytestmark = pytest.mark.skipif(not extension.has_extension(), reason=extension.why_no_extension())

OPERATORS = (
    "sample_negatives",
    "warp_hinge",
    "warp_hinge_sampled",
    "adagrad_clip_",
    "cml_step_",
    "cml_steps_",
    "topk",
    "topk_among",
    "softmax_weights_",
    "sampled_softmax",
    "sampled_softmax_gradients",
)
GRADIENTS = ("warp_hinge_backward", "sampled_softmax_gradients")  # which have no gradient of their own
TABLES = {"user_vectors", "item_vectors", "weight", "user_w", "item_w", "queries", "items"}
MUTATED = {
    "adagrad_clip_": ["weight", "state"],
    "cml_step_": ["user_w", "item_w", "user_state", "item_state"],
    "cml_steps_": ["user_w", "item_w", "user_state", "item_state"],
    "softmax_weights_": ["products"],
}


def compiled(operator: str) -> Any:
    return getattr(torch.ops.cmlfast, operator)


def ordered(operator: str) -> dict[str, Any]:
    """Return valid arguments in the schema's order."""
    arguments = arguments_of(operator)
    names = [argument.name for argument in compiled(operator).default._schema.arguments]
    return {name: arguments[name] for name in names if name in arguments}


def is_ids(name: str, value: Any) -> bool:
    return isinstance(value, Tensor) and not value.is_floating_point() and name != "offsets"


def results(returned: Any) -> tuple[Tensor, ...]:
    return () if returned is None else returned if isinstance(returned, tuple) else (returned,)


@pytest.mark.parametrize("operator", [*OPERATORS, "warp_hinge_backward"])
@pytest.mark.parametrize(
    "variant", ["", "int32", "dot", "gradients", "empty", "bfloat16", "float16 gradients", "rowwise"]
)
def test_opcheck(operator: str, variant: str) -> None:
    arguments = ordered(operator)
    if "metric" in arguments:
        arguments["metric"] = "dot" if variant == "dot" else "sqeuclidean"
    for name, value in arguments.items():
        if not isinstance(value, Tensor):
            continue
        if "float16" in variant and name in TABLES:
            arguments[name] = value = value.to(getattr(torch, variant.split()[0]))
        if variant == "int32" and is_ids(name, value):
            arguments[name] = value.int()
        if "gradients" in variant and operator not in GRADIENTS and name in ("user_vectors", "item_vectors"):
            arguments[name] = value.requires_grad_()
        if variant == "rowwise" and name.endswith("state"):
            arguments[name] = value[:, :1].clone()
        if variant == "empty" and len(value) == 12:  # one for each pair
            arguments[name] = value[:0]
    torch.library.opcheck(compiled(operator).default, tuple(arguments.values()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_opcheck_of_numbers_that_are_tensors(dtype: torch.dtype) -> None:
    arguments = ordered("adagrad_clip_")
    weight, state, rows, grads, _, eps, max_norm = arguments.values()
    given = (weight.to(dtype), state, rows, grads, torch.tensor(0.1), eps, max_norm, True, 3, torch.tensor(7))
    torch.library.opcheck(compiled("adagrad_clip_").Tensor, given)


def test_an_update_compiles_with_numbers_that_are_tensors() -> None:
    """And finds those of each call: they are no constants of what was compiled."""

    def step(weight: Tensor, state: Tensor, rows: Tensor, grads: Tensor, lr: Tensor, offset: Tensor) -> None:
        ops.adagrad_clip_(weight, state, rows, grads, lr, 1e-10, 1.0, True, 3, offset)

    arguments = ordered("adagrad_clip_")
    again = torch.compile(step, backend="aot_eager", fullgraph=True)
    for lr, offset in ((0.1, 7), (0.5, 8)):
        results = []
        for run in (step, again):
            weight, state = arguments["weight"].bfloat16(), arguments["state"].clone()
            run(weight, state, arguments["rows"], arguments["grads"], torch.tensor(lr), torch.tensor(offset))
            results.append(weight)
        assert_same(*results)
        assert not torch.equal(results[0], arguments["weight"].bfloat16())


@pytest.mark.parametrize("operator", OPERATORS)
def test_signatures_of_twins_are_equal(operator: str) -> None:
    mine, twin = (inspect.signature(getattr(module, operator)) for module in (ops, reference))
    assert mine == twin
    schema = compiled(operator).default._schema
    assert [argument.name for argument in schema.arguments] == list(mine.parameters)
    for argument in schema.arguments:
        default = mine.parameters[argument.name].default
        if default is inspect.Parameter.empty:
            assert not argument.has_default_value()
        else:
            assert argument.default_value == default
    assert operator in ops.__all__


def test_the_gradient_has_a_twin_too() -> None:
    schema = compiled("warp_hinge_backward").default._schema
    twin = inspect.signature(reference.warp_hinge_backward)
    assert [argument.name for argument in schema.arguments] == list(twin.parameters)


@pytest.mark.parametrize("operator", [*OPERATORS, "warp_hinge_backward"])
def test_schemas_tell_what_changes(operator: str) -> None:
    schema = compiled(operator).default._schema
    changing = [each.name for each in schema.arguments if each.alias_info and each.alias_info.is_write]
    assert changing == MUTATED.get(operator, [])
    assert all(each.alias_info is None for each in schema.returns)  # what changes is not returned as well


@pytest.mark.parametrize("operator", OPERATORS)
def test_function_and_torch_operator_are_one(operator: str) -> None:
    mine, theirs = ordered(operator), ordered(operator)
    got, want = getattr(ops, operator)(**mine), compiled(operator)(**theirs)
    for one, other in zip(results(got), results(want), strict=True):
        assert_same(one, other)
    for name, value in mine.items():
        if isinstance(value, Tensor):
            assert_same(value, theirs[name], name)
            assert torch.equal(value, arguments_of(operator)[name]) == (name not in MUTATED.get(operator, []))


@pytest.mark.parametrize("operator", [*OPERATORS, "warp_hinge_backward"])
@pytest.mark.parametrize("dtype", [torch.int64, torch.int32], ids=str)
@pytest.mark.parametrize("stored_as", [torch.float32, *NARROW], ids=str)
def test_shapes_without_data(operator: str, dtype: torch.dtype, stored_as: torch.dtype) -> None:
    arguments = ordered(operator)
    for name, value in arguments.items():
        if is_ids(name, value):
            arguments[name] = value.to(dtype)
        if name in TABLES:
            arguments[name] = value.to(stored_as)
    with FakeTensorMode() as mode:
        fake = {name: mode.from_tensor(v) if isinstance(v, Tensor) else v for name, v in arguments.items()}
        promised = results(compiled(operator)(**fake))
    for one, other in zip(promised, results(compiled(operator)(**arguments)), strict=True):
        assert (one.shape, one.dtype, one.device) == (other.shape, other.dtype, other.device)
        assert one.stride() == other.stride()


def hinge(user_w: Tensor, item_w: Tensor, indptr: Tensor, indices: Tensor, users: Tensor, positives: Tensor) -> Tensor:
    u, v = user_w * 1.5, item_w - item_w.mean(0)
    loss, _, impostors = ops.warp_hinge_sampled(u, v, indptr, indices, users, positives, 5, 0.5, 1, 2)
    return (loss * (impostors > 1)).sum()


def softmax(
    user_w: Tensor, item_w: Tensor, indptr: Tensor, indices: Tensor, users: Tensor, positives: Tensor
) -> Tensor:
    u, v = user_w * 1.5, item_w - item_w.mean(0)
    loss = ops.sampled_softmax(u, v, users, positives, positives, 0.5, positives / 90)
    return (loss * (loss > 1)).sum()


@pytest.mark.slow
@pytest.mark.parametrize("loss_of", [hinge, softmax])
@pytest.mark.parametrize("compiler", ["aot_eager", "inductor"])
def test_compiles_as_one_graph_with_its_gradient(compiler: str, loss_of: Any) -> None:
    if compiler == "inductor" and not (shutil.which("g++") or shutil.which("clang++")):
        pytest.skip("no C++ compiler")
    torch._dynamo.reset()
    function = torch.compile(loss_of, fullgraph=True, backend=compiler)
    batch = make_batch(8, 30)
    outcomes = []
    for each in (loss_of, function):
        tables = [table.clone().requires_grad_() for table in batch.tables[:2]]
        loss = each(*tables, *batch.sampling)
        loss.backward()
        outcomes.append((loss.detach(), *(table.grad for table in tables)))
    for eager, graph in zip(*outcomes, strict=True):
        # inductor may sum in another order; what lies between is bit-equal
        torch.testing.assert_close(graph, eager, rtol=1e-6, atol=1e-6)
        assert eager.abs().max() > 0


def test_compiled_steps_change_tables_in_place() -> None:
    torch._dynamo.reset()

    def train(batch: Any, offset: int) -> Tensor:
        tail = (5, 0.5, 0.1, 1e-10, 1.0, True, 1, offset)
        return ops.cml_step_(*batch[:4], *batch[4:], *tail)[0] * 2

    function = torch.compile(train, fullgraph=True, backend="aot_eager")
    mine, theirs = (list(vars(make_batch(8, 30)).values()) for _ in range(2))
    for offset in range(3):
        assert_same(function(mine, offset), train(theirs, offset))
    for one, other in zip(mine, theirs, strict=True):
        assert_same(one, other)


def test_exports_with_any_batch_size() -> None:
    class Loss(torch.nn.Module):
        def forward(self, *arguments: Tensor) -> Tensor:
            return torch.ops.cmlfast.warp_hinge_sampled(*arguments, 5, 0.5, 1, 2)[0]

    batch = make_batch(8, 30)
    n = torch.export.Dim("n")
    free = ({}, {}, {}, {}, {0: n}, {0: n})
    inputs = (*batch.tables[:2], *batch.sampling)
    exported = torch.export.export(Loss(), inputs, dynamic_shapes={"arguments": free}).module()
    other = (*inputs[:4], batch.users[:11], batch.positives[:11])
    for each in (inputs, other):
        assert_same(exported(*each), Loss()(*each))


def test_an_unknown_instruction_set_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "CMLFAST_ISA is 'sse9'" in why_not("sse9")
    monkeypatch.setenv("CMLFAST_ISA", "sse9")
    with pytest.raises(ValueError, match=r"'sse9'; this machine and build have: .*baseline"):
        ops.topk(torch.ones((1, 3)), torch.ones((2, 3)), 1)
