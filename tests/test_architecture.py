"""docs/architecture.md is what the checked layers and the imports say."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools import architecture

ROOT = architecture.ROOT
_ROW = re.compile(r"^\| `([\w/]+)` \| [^|]+ \| [^|]+ \|([^|]*)\|$", re.M)


def rooms() -> dict[str, list[str]]:
    """The rooms of the document, and from where each imports."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    return {room: re.findall(r"`([\w/.]+)`", below) for room, below in _ROW.findall(text)}


def packages() -> set[str]:
    """The packages that the table has to name."""
    found = {path.parent for path in (ROOT / "flashsale").glob("*/__init__.py")}
    named = {path.relative_to(ROOT).as_posix() for path in found if path.name != "tests"}
    return named | {room for layer in architecture.layers() for room in layer} | {"inventory/gate"}


@pytest.mark.parametrize("name", architecture.pictures())
def test_a_picture_is_what_its_source_draws(name: str) -> None:
    drawn = (ROOT / "docs" / "img" / name).read_text()
    assert drawn == architecture.pictures()[name], "run tools/architecture.py"


def test_another_layer_makes_another_picture() -> None:
    layers = architecture.layers()
    assert architecture.draw_rooms(layers[1:2] + layers[:1] + layers[2:]) != (
        architecture.draw_rooms(layers)
    )


def test_the_table_names_each_room_and_no_other() -> None:
    assert set(rooms()) == packages()


def test_a_room_may_import_from_all_layers_below_it() -> None:
    layers = architecture.layers()
    for number, layer in enumerate(layers):
        below = {room for lower in layers[number + 1 :] for room in lower}
        for room in layer:
            assert set(rooms()[room]) == below, room


@pytest.mark.parametrize("room", sorted(rooms()))
def test_a_room_imports_from_nowhere_else(room: str) -> None:
    allowed = {room, *rooms()[room]}
    imported = {path for file in files_of(room) for path in imports_of(file)}
    outside = {path for path in imported if not any(_within(path, one) for one in allowed)}
    assert outside == set()


# --- Helpers --------------------------------------------------------------------------------------


def files_of(room: str) -> Iterator[Path]:
    for path in (ROOT / room).rglob("*.py"):
        if "tests" not in path.parts and path.relative_to(ROOT).as_posix() not in assemblers():
            yield path


def assemblers() -> set[str]:
    """The files that the contract lets import from everywhere."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
    ignored = [line.split(" -> ")[0] for one in contracts for line in one.get("ignore_imports", [])]
    return {f"{module.replace('.', '/')}.py" for module in ignored}


def imports_of(file: Path) -> Iterator[str]:
    """The project's files and packages that a file imports."""
    for node in ast.walk(ast.parse(file.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            if path := _path_of(name):
                yield path


def _path_of(name: str) -> str:
    """`a.b.name` as the file or package that defines it; empty outside of the project."""
    for module in (name, name.rpartition(".")[0]):
        path = module.replace(".", "/")
        if module and (ROOT / f"{path}.py").exists():
            return f"{path}.py"
        if module and (ROOT / path / "__init__.py").exists():
            return path
    return ""


def _within(path: str, room: str) -> bool:
    return path == room or path.startswith(f"{room}/")
