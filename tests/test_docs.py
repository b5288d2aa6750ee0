"""The documents tell the truth about what exists: every path and every command that they name."""

import importlib.util
import re
from pathlib import Path

import pytest
from django.core.management import get_commands

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")]
DOCUMENTS += sorted((ROOT / "docs").rglob("*.md"))
FOLDERS = {path.name for path in ROOT.iterdir() if path.is_dir()} | {"var"}

_CODE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
_COMMAND = re.compile(r"manage\.py (\w+)")
_MODULE = re.compile(r"python -m ([\w.]+)")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_path_that_is_named_exists(document: Path) -> None:
    text = document.read_text()
    named = [
        word.split("`")[0]
        for word in _CODE.findall(text)
        if "/" in word and " " not in word and word.split("/")[0] in FOLDERS - {"var"}
    ]
    missing = [path for path in named if not (ROOT / path).exists()]
    missing += [
        link
        for link in _LINK.findall(text)
        if "://" not in link and not (document.parent / link).exists()
    ]
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_that_is_named_exists(document: Path) -> None:
    text = document.read_text()
    assert set(_COMMAND.findall(text)) <= set(get_commands())
    for module in _MODULE.findall(text):
        assert importlib.util.find_spec(module), module
    assert all((ROOT / script).exists() for script in re.findall(r"^\./(\w+)$", text, re.M))


def test_every_function_named_beside_its_file_is_there() -> None:
    text = (ROOT / "docs" / "purchase-path.md").read_text()
    named = re.findall(r"`([\w/]+\.py)`((?:,? `[\w.]+`)+)", text)
    assert len(named) > 50
    for path, names in named:
        source = (ROOT / path).read_text()
        for name in re.findall(r"[\w.]+", names):
            assert re.search(rf"(def|class) {re.escape(name.split('.')[-1])}\b", source), (
                path,
                name,
            )


def test_the_readme_names_every_setting() -> None:
    settings = (ROOT / "flashsale" / "settings.py").read_text()
    readme = (ROOT / "README.md").read_text()
    variables = set(re.findall(r'variables\.\w+\(\s*"([A-Z_]+)"', settings))
    internal = {"FLASHSALE_EMBEDDED"}  # what `up` says to its own children
    assert {name for name in variables - internal if f"`{name}`" not in readme} == set()
