"""`docs/promises.md` and the list of mutations say the same, and both speak of what exists."""

import ast
import re
from pathlib import Path

import pytest

from tests.mutations import MUTATIONS, ROOT, Mutation

PROMISES = (ROOT / "docs" / "promises.md").read_text()
ROWS = re.findall(r"^\| (?!broken)([^|]+?) \| `([^`]+)` `([^`]+)` \|$", PROMISES, re.M)


def name_of(mutation: Mutation) -> str:
    return mutation.name


@pytest.mark.parametrize("mutation", MUTATIONS, ids=name_of)
def test_what_a_mutation_changes_stands_in_the_product_once(mutation: Mutation) -> None:
    changed: dict[str, str] = {}
    for change in mutation.changes:
        text = changed.get(change.path) or (ROOT / change.path).read_text()
        changed[change.path] = change.of(text)
        assert changed[change.path] != text


@pytest.mark.parametrize("mutation", MUTATIONS, ids=name_of)
def test_what_a_mutation_makes_of_python_is_python(mutation: Mutation) -> None:
    """Otherwise any test fails, and proves nothing."""
    changed: dict[str, str] = {}
    for change in mutation.changes:
        changed[change.path] = change.of(
            changed.get(change.path) or (ROOT / change.path).read_text()
        )
    for path, text in changed.items():
        if path.endswith(".py"):
            ast.parse(text, path)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=name_of)
def test_the_test_of_a_mutation_exists(mutation: Mutation) -> None:
    path, _, test = mutation.test.partition("::")
    assert f"def {test.partition('[')[0]}(" in (ROOT / path).read_text()


def test_the_document_lists_every_mutation_beside_its_test() -> None:
    listed = {name: f"{path}::{test}" for name, path, test in ROWS}
    assert listed == {mutation.name: mutation.test for mutation in MUTATIONS}


def test_every_promise_is_broken_at_least_once_in_its_own_section() -> None:
    sections = re.split(r"^## ", PROMISES, flags=re.M)[1:]
    assert [int(section.split(".")[0]) for section in sections] == list(range(1, 14))
    for number, section in enumerate(sections, start=1):
        broken = {mutation.name for mutation in MUTATIONS if mutation.promise == number}
        assert broken == {name for name, _, _ in ROWS if f"| {name} |" in section} != set()


def test_every_function_named_beside_its_file_is_there() -> None:
    named = re.findall(r"`([\w/]+\.py)` ((?:`\w+`(?:, )?)+)", PROMISES)
    assert len(named) > 10
    for path, functions in named:
        source = Path(ROOT / path).read_text()
        for function in re.findall(r"\w+", functions):
            assert re.search(rf"(def|class) {function}\b", source), (path, function)
