"""The order of the rooms (docs/architecture.md): nothing imports from a room above its own, and no two files import
each other. Read from the code, so imports inside functions count too."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.places import ROOT

#: from the ground up; a room may import itself and whatever stands to its left
ORDER = (
    *("runtime", "caffe_random", "data", "models", "flow", "scores", "weights", "evaluation", "training", "parity"),
    *("features", "predict", "report", "finetune", "demo", "ablation", "commands", "cli", "__main__"),
)
PACKAGES = ("converter", "pytsn")


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))}


def imports(path: Path) -> set[str]:
    """The project's own modules that a file imports, those for type checkers alone left out."""
    tree = ast.parse(path.read_text())
    checked = [
        node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
    ]
    ignored = {id(inner) for node in checked for inner in ast.walk(node)}
    found = set()
    for node in ast.walk(tree):
        if id(node) in ignored:
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            submodules = {f"{node.module}.{alias.name}" for alias in node.names}
            found.update((submodules & MODULES.keys()) or {node.module})
    return {name for name in found if name in MODULES}


def room(module: str) -> str:
    """The part below pytsn: ``pytsn.data.splits`` -> data; the package's own face counts as the ground."""
    return module.split(".")[1] if "." in module else ORDER[0]


def test_every_room_has_its_place():
    assert {room(name) for name in MODULES if name.startswith("pytsn.")} == set(ORDER)


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("pytsn.")])
def test_no_room_imports_a_higher_one(module):
    own = [name for name in imports(MODULES[module]) if name.startswith("pytsn")]
    higher = [name for name in own if ORDER.index(room(name)) > ORDER.index(room(module))]
    assert not higher, f"{module} ({room(module)}) imports {higher}"


def test_the_converter_knows_nothing_of_pytsn():
    assert not [(name, other) for name in MODULES for other in imports(MODULES[name]) if _points_up(name, other)]


def _points_up(name: str, other: str) -> bool:
    return name.startswith("converter") and other.startswith("pytsn")


def test_no_two_files_import_each_other():
    TopologicalSorter({name: imports(path) - {name} for name, path in MODULES.items()}).prepare()  # CycleError
