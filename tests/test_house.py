"""The rooms of the package: arrows between them run one way, and a room takes from another what that one offers."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Each room, and those that it may know.
MAY_KNOW = {
    "ops": set(),
    "data": set(),
    "indexes": set(),
    "pictures": {"data", "training"},
    "features": {"data"},
    "training": {"ops", "data", "features"},
    "serving": {"ops", "data", "indexes", "features", "training"},
    "distributed": {"ops", "data", "training", "serving"},
    "evaluation": {"ops", "data", "features", "training", "serving"},
    "model": {"ops", "data", "indexes", "pictures", "features", "training", "serving", "distributed", "evaluation"},
    "tuning": {"data", "features", "training", "evaluation", "model"},
}
FILES = {
    "cmlfast_cli": sorted((ROOT / "cmlfast_cli").glob("*.py")),
    **{room: sorted((ROOT / "cmlfast" / room).rglob("*.py")) for room in MAY_KNOW},
    "model": [ROOT / "cmlfast" / "model.py"],
}


def imports(source: str) -> Iterator[str]:
    """Yield the dotted names of what a file imports from this project, wherever in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.split(".")[0] in ("cmlfast", "cmlfast_cli"))
        elif (
            isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in ("cmlfast", "cmlfast_cli")
        ):
            yield from (f"{node.module}.{name.name}" for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide which room they lead to"


def offered(room: str) -> set[str]:
    """Return what a room's ``__init__`` names: what is in ``__all__``, and what it imports."""
    names: set[str] = set()
    for node in ast.parse((ROOT / "cmlfast" / room / "__init__.py").read_text()).body:
        if isinstance(node, ast.Assign):
            names |= set(ast.literal_eval(node.value))
        elif isinstance(node, ast.ImportFrom):
            names |= {name.asname or name.name for name in node.names}
    return names


def complaints(room: str, source: str) -> list[str]:
    found = []
    for name in imports(source):
        package, _, rest = name.partition(".")
        if package == "cmlfast_cli":
            if room != "cmlfast_cli":
                found.append(f"{room} imports {name}")
            continue
        target, _, inside = rest.partition(".")
        if target == room or (room == "cmlfast_cli" and target not in MAY_KNOW):
            continue
        if target not in MAY_KNOW:
            found.append(f"{room} imports {name}: take it from the room where it lives")
        elif room != "cmlfast_cli" and target not in MAY_KNOW[room]:
            found.append(f"{room} may not know {target}: {name}")
        elif inside and target != "model" and inside.split(".")[0] not in offered(target):
            found.append(f"{target} does not offer {inside}")
    return found


@pytest.mark.parametrize("room", FILES)
def test_arrows_run_one_way(room: str) -> None:
    assert FILES[room]
    found = {str(file.relative_to(ROOT)): complaints(room, file.read_text()) for file in FILES[room]}
    assert {file: wrong for file, wrong in found.items() if wrong} == {}


def test_no_file_imports_itself_by_way_of_others() -> None:
    modules = {}
    for file in (one for files in FILES.values() for one in files if one.name != "__init__.py"):
        modules[".".join(file.relative_to(ROOT).with_suffix("").parts)] = set(imports(file.read_text()))
    arrows = {
        module: {other for other in modules if other in names or any(name.startswith(f"{other}.") for name in names)}
        for module, names in modules.items()
    }
    assert sum(map(len, arrows.values())) > len(arrows)
    TopologicalSorter(arrows).prepare()  # raises CycleError, with the circle


def test_a_wrong_arrow_is_seen() -> None:
    assert complaints("data", "from cmlfast.training.fit import fit") == [
        "data may not know training: cmlfast.training.fit.fit"
    ]
    assert complaints("ops", "def f():\n    import cmlfast.data.ids") == ["ops may not know data: cmlfast.data.ids"]
    assert complaints("training", "from cmlfast.features.encoder import Encoder") == []
    assert complaints("model", "from cmlfast.training.step import fused_step") == [
        "training does not offer step.fused_step"
    ]
    assert complaints("serving", "import cmlfast_cli") == ["serving imports cmlfast_cli"]
    assert complaints("model", "from cmlfast import optim") == [
        "model imports cmlfast.optim: take it from the room where it lives"
    ]


def test_every_file_lies_in_a_room_and_says_what_it_is_for() -> None:
    lying_around = {file.name for file in (ROOT / "cmlfast").glob("*.py")}
    assert lying_around == {"__init__.py", "__main__.py", "_moved.py", "model.py"}
    assert {
        folder.name for folder in (ROOT / "cmlfast").iterdir() if (folder / "__init__.py").exists()
    } == MAY_KNOW.keys() - {"model"}
    for files in FILES.values():
        for file in files:
            assert ast.get_docstring(ast.parse(file.read_text())), f"{file} does not say what it is for"


# torch's functions that make a tensor of nothing: of what type and where is otherwise the process's setting.
FACTORIES = {
    "empty",
    "eye",
    "full",
    "linspace",
    "normal",
    "ones",
    "rand",
    "randint",
    "randn",
    "randperm",
    "scalar_tensor",
}
FACTORIES |= {"tensor", "zeros"}
ON_A_DEVICE = FACTORIES | {
    "arange",
    "sparse_coo_tensor",
    "sparse_csr_tensor",
}  # integers by themselves, or their parts'


def unsaid(source: str) -> list[str]:
    """Return the calls that make a tensor and leave its type or device to the settings of the process."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        name = node.func.attr
        if not (isinstance(node.func.value, ast.Name) and node.func.value.id == "torch" and name in ON_A_DEVICE):
            continue
        said = {keyword.arg for keyword in node.keywords}
        typed = name not in FACTORIES - {"randperm", "randint"} or "dtype" in said
        if None not in said and not ("device" in said and typed):
            found.append(f"line {node.lineno}: {ast.unparse(node)}")
    return found


def test_no_tensor_is_left_to_the_settings_of_the_process() -> None:
    found = {str(file.relative_to(ROOT)): unsaid(file.read_text()) for file in sorted((ROOT / "cmlfast").rglob("*.py"))}
    assert {file: calls for file, calls in found.items() if calls} == {}
    assert unsaid("torch.zeros(3)") == ["line 1: torch.zeros(3)"]
    assert unsaid("torch.zeros(3, device='cpu')")
    assert unsaid("torch.arange(3)")
    assert unsaid("torch.ones(2, dtype=x)")
    assert unsaid("torch.arange(3, device=d); torch.rand(3, **plain); numpy.zeros(3); x.new_zeros(3)") == []
