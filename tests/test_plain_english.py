"""Prose is plain technical English, and files and functions stay small enough to read at once."""

import ast
import io
import re
import statistics
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.stack import ROOT

PRODUCT = (
    "flashsale",
    "accounts",
    "inventory",
    "orders",
    "payments",
    "mail",
    "storefront",
    "dashboard",
    "ops",
    "drills",
    "bench",
)

# How often each may stand in all prose together: it makes a reader guess who or what is meant.
QUAINT = {
    r"\bnobody\b": 3,  # the user of that name
    r"\bwho(m)?ever\b": 0,
    r"\bwhat (is|was|has|had|have)\b": 10,
    r"\bstands?\b": 2,
    r"\b(of our making|no .{1,20} of ours)\b": 0,
    r"\b(tale|telling|mark(ed)?) (of|under|that|on) (a|the) (gate|sale)\b": 0,
}
LONGEST_FILE, LONGEST_FUNCTION, MEDIAN_FUNCTION = 300, 60, 6  # lines


def python_files() -> list[Path]:
    found = (path for folder in PRODUCT for path in (ROOT / folder).rglob("*.py"))
    return [
        path for path in found if not {"tests", "migrations"} & set(path.relative_to(ROOT).parts)
    ]


def prose() -> list[tuple[str, str]]:
    """Files, and the words in them that people read: docstrings, comments, documents."""
    code = [*python_files(), ROOT / "manage.py"]
    scripts = (ROOT / "inventory" / "lua").glob("*.lua")
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    documents.remove(ROOT / "CHANGELOG.md")  # it tells what was
    return [
        *((str(path.relative_to(ROOT)), "\n".join(words_in(path.read_text()))) for path in code),
        *((path.name, "\n".join(re.findall(r"--(.*)", path.read_text()))) for path in scripts),
        *((str(path.relative_to(ROOT)), path.read_text()) for path in documents),
    ]


def words_in(source: str) -> Iterator[str]:
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.string
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""


def test_words_that_make_a_reader_guess_are_rare() -> None:
    read = prose()
    for quaint, most in QUAINT.items():
        found = Counter({name: len(re.findall(quaint, text, re.I)) for name, text in read})
        assert found.total() <= most, (quaint, found.most_common(12))


def test_a_long_file_says_in_its_first_lines_why_it_is_one() -> None:
    for path in python_files():
        text = path.read_text()
        if text.count("\n") > LONGEST_FILE:
            about = ast.get_docstring(ast.parse(text)) or ""
            assert "one file" in about.lower(), f"{path.relative_to(ROOT)}: {text.count(chr(10))}"


def function_lengths() -> dict[str, int]:
    """Lines of each function's body, without its signature and docstring."""
    lengths = {}
    for path in python_files():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                first = body[0].lineno if body else node.end_lineno or 0
                name = f"{path.relative_to(ROOT)}:{node.name}:{node.lineno}"
                lengths[name] = (node.end_lineno or 0) - first + 1
    return lengths


def test_functions_are_short() -> None:
    lengths = function_lengths()
    assert statistics.median(lengths.values()) <= MEDIAN_FUNCTION
    assert not {name: lines for name, lines in lengths.items() if lines > LONGEST_FUNCTION}
