"""tools/verify_draw.mjs, which shares no code with the shop, finds what tools/verify_draw.py finds."""

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import playwright
import pytest

from orders.draws.record_check import CHECKS, Published
from orders.draws.tests.drand import ROUND
from orders.draws.tests.faulty import (
    ASIDE,
    CHEATS,
    DRAW,
    FORGED,
    LINES,
    MALFORMED,
    PUBLISHED_FAULTS,
    REMADE,
)
from orders.draws.tests.made_draws import DRAWS, Draw, published_of
from orders.draws.tests.vectors import FOLDER
from tools import verify_draw

# Playwright brings one, for its own use.
NODE = shutil.which("node") or shutil.which(
    "node", path=Path(playwright.__file__).parent / "driver"
)
TOOL = Path(verify_draw.__file__).with_suffix(".mjs")

pytestmark = pytest.mark.skipif(NODE is None, reason="needs the program node")

NO_BEACON = published_of(DRAW)._replace(beacon="", round=None)
TEXTS = {
    **{draw.header.sale: draw.text() for draw in DRAWS},
    **{f"in the file: {cheat}": draw.text() for cheat, (draw, _) in CHEATS.items()},
    **{f"made anew: {cheat}": draw.text() for cheat, (draw, _) in REMADE.items()},
    **{kind: text.encode(errors="surrogateescape") for kind, text in MALFORMED.items()},
    "a forged signature": FORGED.text(),
    "more than is read": "".join([*LINES, LINES[-1], "?" * 1000]).encode(),
}


Node = Callable[..., tuple[int, str]]
# A process for each of some hundred runs would take minutes.
SERVER = """
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
const { run } = await import(pathToFileURL(process.env.TOOL));
for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(run(JSON.parse(line))));
}
"""


@pytest.fixture(scope="module")
def run_node() -> Iterator[Node]:
    """Runs the tool with these arguments. Gives its exit code, and what it prints of a file that can be
    checked."""
    assert NODE
    command = [NODE, "--input-type=module", "--eval", SERVER]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env={**os.environ, "TOOL": str(TOOL)}, **pipes) as server:
        assert server.stdin
        assert server.stdout

        def run(*arguments: str) -> tuple[int, str]:
            print(json.dumps(arguments), file=server.stdin, flush=True)
            said = json.loads(server.stdout.readline())  # type: ignore[union-attr]
            return said["code"], "" if said["code"] == 2 else "\n".join([*said["lines"], ""])

        yield run
        server.stdin.close()


def run_python(*arguments: str) -> tuple[int, str]:
    with contextlib.redirect_stdout(io.StringIO()) as said:
        code = verify_draw.main(list(arguments))
    return code, said.getvalue()


def options_of(published: Published | None) -> list[str]:
    if published is None:
        return []
    known = ["--commitment", published.commitment or "", "--root", published.root or ""]
    return [*known, "--round", str(published.round or 0)]


def faults_in(code: int, said: str) -> list[str] | None:
    """The checks that fail; None if the file is malformed."""
    return None if code == 2 else re.findall(r"^FAULT  (\w+):", said, re.M)


@pytest.mark.parametrize("name", TEXTS)
def test_both_find_the_same_faults(name: str, tmp_path: Path, run_node: Node) -> None:
    file = tmp_path / "draw.csv"
    file.write_bytes(TEXTS[name])
    for published in (None, published_of(DRAW), NO_BEACON):
        arguments = [str(file), *options_of(published)]
        by_node, by_python = run_node(*arguments), run_python(*arguments)
        assert by_node[0] == by_python[0]
        assert faults_in(*by_node) == faults_in(*by_python)


@pytest.mark.parametrize("name", PUBLISHED_FAULTS)
def test_it_finds_the_faults_of_the_vectors(name: str, run_node: Node) -> None:
    expected = json.loads((FOLDER / "faults.json").read_bytes())[name]
    file = str(FOLDER / "faults" / f"{name}.csv")
    without_bls = [] if name == "forged" else expected["alone"]
    assert faults_in(*run_node(file)) == without_bls
    compared = [] if name == "forged" else expected["compared"]
    assert faults_in(*run_node(file, *options_of(published_of(DRAW)))) == compared


@pytest.mark.parametrize("draw", DRAWS, ids=lambda draw: draw.header.sale)
def test_it_finds_the_winners_of_the_vectors(draw: Draw, run_node: Node) -> None:
    expected = json.loads((FOLDER / "expected.json").read_bytes())[draw.header.sale]
    file = str(FOLDER / f"{draw.header.sale}.csv")
    said = run_node(file)[1]
    assert f"note   {len(expected['winners'])} entries get units." in said
    assert expected["randomness"] in said
    for lot in draw.lots:
        told = run_node(file, "--entry", str(lot.entry))[1]
        assert told == run_python(file, "--entry", str(lot.entry))[1]
        assert ("gets its units" in told) == (lot.entry.hex in expected["winners"])


@pytest.mark.parametrize(
    "arguments",
    [
        ["--entry", ASIDE.entry.hex],
        ["--entry", "0" * 32],
        ["--root", DRAW.header.root.upper(), "--round", f"0{ROUND}"],
    ],
)
def test_both_say_the_same(arguments: list[str], run_node: Node) -> None:
    file = str(FOLDER / "set-aside.csv")
    assert run_node(file, *arguments) == run_python(file, *arguments)


@pytest.mark.parametrize(
    "arguments", [["missing.csv"], ["x", "--root", "12"], ["x", "--seed", "1"], []]
)
def test_it_cannot_check_what_is_no_file_or_no_option(arguments: list[str], run_node: Node) -> None:
    assert run_node(*arguments) == (2, "")


@pytest.mark.parametrize(("file", "code"), [("one", 0), ("faults/added", 1), ("faults/zero", 2)])
def test_its_exit_code_says_what_it_found(file: str, code: int) -> None:
    assert NODE
    command = [NODE, str(TOOL), str(FOLDER / f"{file}.csv"), *options_of(published_of(DRAWS[4]))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, bool(done.stderr)) == (code, code == 2)


def test_it_knows_the_same_checks(run_node: Node) -> None:
    said = run_node(str(FOLDER / "one.csv"))[1]
    assert re.findall(r"^ok     (\w+)$", said, re.M) == list(CHECKS)
