"""The published file of a draw says what happened, and both checks find each kind of cheating in it."""

import io
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from orders.draws import beacon, merkle, record, record_check, seed
from orders.draws.record import Malformed
from orders.draws.record_check import Published, check
from orders.draws.tests.drand import ROUND, SIGNATURE
from orders.draws.tests.vectors import DRAWS, FOLDER, SHOES, Draw, files, make_draw
from tools import verify_draw

DRAW = DRAWS[2]  # with a beacon, several skus, and entries set aside
LINES = DRAW.text().decode().splitlines(keepends=True)


def published_of(draw: Draw) -> Published:
    header = draw.header
    return Published(header.commitment, header.beacon, header.round, header.root)


def faults_by_record(text: bytes, published: Published | None = None) -> set[str] | None:
    """The names of the checks that fail; None if the file is malformed."""
    try:
        return {fault.check for fault in check(record.read(io.BytesIO(text)), published)}
    except Malformed:
        return None


Tool = Callable[..., set[str] | None]


@pytest.fixture
def faults_by_tool(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Tool:
    """Runs tools/verify_draw.py, as `faults_by_record`."""

    def run(text: bytes, published: Published | None = None) -> set[str] | None:
        (tmp_path / "draw.csv").write_bytes(text)
        options = [str(tmp_path / "draw.csv")]
        if published:
            options += ["--commitment", published.commitment or "", "--root", published.root or ""]
            options += ["--round", str(published.round or 0)]
        code = verify_draw.main(options)
        found = set(re.findall(r"^FAULT  (\w+):", capsys.readouterr().out, re.M))
        assert code == (1 if found else code)
        return found if code < 2 else None

    return run


# --- The format -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", files())
def test_the_vectors_are_up_to_date(name: str) -> None:
    assert (FOLDER / name).read_bytes() == files()[name], "python -m orders.draws.tests.vectors"


@pytest.mark.parametrize("draw", DRAWS, ids=lambda draw: draw.header.sale)
def test_a_record_is_read_as_it_was_written(draw: Draw) -> None:
    read = record.read(io.BytesIO(draw.text()))
    assert (read.header, list(read.lots)) == (draw.header, draw.lots)


def test_a_record_without_entries_is_one(faults_by_tool: Tool) -> None:
    empty = make_draw("empty", [], {"shoe-42": 1})
    assert faults_by_record(empty.text(), published_of(empty)) == set()
    assert faults_by_tool(empty.text(), published_of(empty)) == set()


@pytest.mark.parametrize("draw", DRAWS, ids=lambda draw: draw.header.sale)
def test_an_honest_draw_has_no_fault(draw: Draw, faults_by_tool: Tool) -> None:
    for published in (None, published_of(draw)):
        assert faults_by_record(draw.text(), published) == set()
        assert faults_by_tool(draw.text(), published) == set()


def test_the_document_has_the_constants() -> None:
    document = (FOLDER.parent / "draw.md").read_text().replace("\n", "").replace(" ", "")
    written = [beacon.CHAIN, beacon.PUBLIC_KEY.hex(), beacon.DOMAIN.decode(), str(beacon.GENESIS)]
    written += [record.FORMAT, record.COLUMNS, f"{record.MOST_ENTRIES:,}"]
    assert [text for text in written if text not in document] == []


# --- Cheating -------------------------------------------------------------------------------------


def with_header(**changes: object) -> Draw:
    return Draw(replace(DRAW.header, **changes), DRAW.lots)  # type: ignore[arg-type]


def with_lots(*lots: record.Lot, **changes: object) -> Draw:
    header = replace(DRAW.header, entries=len(lots), **changes)  # type: ignore[arg-type]
    return Draw(header, list(lots))


def with_root(draw: Draw) -> Draw:
    """The draw with the root of its lots: the file agrees with itself."""
    root = merkle.root_of(map(record.leaf_of, draw.lots)).hex()
    return Draw(replace(draw.header, root=root), draw.lots)


def swap_ranks() -> list[record.Lot]:
    first, second, *others = (lot for lot in DRAW.lots if lot.rank)
    swapped = [first._replace(rank=second.rank), second._replace(rank=first.rank)]
    return sorted([*swapped, *others, *(lot for lot in DRAW.lots if not lot.rank)])


OTHER = seed.make()
BEFORE, ASIDE, *AFTER = DRAW.lots
CHEATS: dict[str, tuple[Draw, set[str]]] = {
    "an entry is removed": (with_lots(*DRAW.lots[1:]), {"root", "ranks"}),
    "an entry is there twice": (with_lots(BEFORE, *DRAW.lots), {"entries", "root", "ranks"}),
    "the order is another": (with_lots(*DRAW.lots[::-1]), {"entries", "root"}),
    "an entry is not counted": (with_header(entries=12), {"entries"}),
    "an entry is counted without being there": (with_header(entries=14), {"entries"}),
    "the rank is another's": (with_lots(*swap_ranks()), {"ranks"}),
    "a rank is given twice": (
        with_lots(BEFORE._replace(rank=2), ASIDE, *AFTER),
        {"ranks"},
    ),
    "a rank is left out": (with_lots(BEFORE._replace(rank=13), ASIDE, *AFTER), {"ranks"}),
    "a rank is out of bounds": (with_lots(BEFORE._replace(rank=14), ASIDE, *AFTER), {"ranks"}),
    "an entry has no rank": (
        with_lots(BEFORE._replace(rank=None), ASIDE, *AFTER),
        {"set_aside", "ranks"},
    ),
    "the seed is another": (with_header(seed=OTHER.hex()), {"commitment", "ranks"}),
    "the commitment is another": (with_header(commitment=OTHER.hex()), {"commitment"}),
    "the root is another": (with_header(root=OTHER.hex()), {"root"}),
    "the sku is another": (with_lots(BEFORE._replace(sku="cap"), ASIDE, *AFTER), {"root"}),
    "the quantity is another": (with_lots(BEFORE._replace(quantity=2), ASIDE, *AFTER), {"root"}),
    "an entry is set aside and drawn": (
        with_lots(BEFORE._replace(set_aside=True), ASIDE, *AFTER),
        {"root", "set_aside"},
    ),
    "a set-aside entry is hidden": (
        with_lots(BEFORE, ASIDE._replace(set_aside=False, rank=11), *AFTER),
        {"root", "ranks"},
    ),
    "there is no beacon, and its signature is used": (with_header(beacon=""), {"beacon"}),
    "the beacon is unknown": (with_header(beacon="dice"), {"beacon"}),
    "the signature is left out": (with_header(signature=""), {"beacon", "ranks"}),
    "the round is left out": (with_header(round=None), {"beacon"}),
}


@pytest.mark.parametrize("cheat", CHEATS)
def test_cheating_is_found_in_the_file_alone(cheat: str, faults_by_tool: Tool) -> None:
    draw, expected = CHEATS[cheat]
    assert faults_by_record(draw.text()) == expected
    assert faults_by_tool(draw.text()) == expected


REMADE: dict[str, tuple[Draw, set[str]]] = {
    "an entry is added": (
        make_draw("set-aside", [*SHOES, *SHOES, *SHOES], {"shoe-42": 4}, signature=SIGNATURE),
        {"root"},
    ),
    "a set-aside entry is removed": (with_root(with_lots(BEFORE, *AFTER)), {"root"}),
    "the seed is another": (
        make_draw("another", SHOES, {}, signature=SIGNATURE),
        {"commitment", "root"},
    ),
    "the beacon is left out": (
        make_draw("set-aside", SHOES, {}),
        {"root", "beacon"},
    ),
}


@pytest.mark.parametrize("cheat", REMADE)
def test_a_file_that_was_made_anew_is_not_the_published_one(
    cheat: str, faults_by_tool: Tool
) -> None:
    draw, expected = REMADE[cheat]
    assert faults_by_record(draw.text()) == faults_by_tool(draw.text()) == set()
    assert faults_by_record(draw.text(), published_of(DRAW)) == expected
    assert faults_by_tool(draw.text(), published_of(DRAW)) == expected


def test_another_round_with_the_same_signature_is_found_by_the_signature() -> None:
    assert faults_by_record(with_header(round=ROUND + 1).text()) == {"beacon"}


def test_another_beacon_than_the_published_one_is_found() -> None:
    none = Published(beacon="")
    assert faults_by_record(DRAW.text(), none) == {"beacon"}


# --- Malformed files ------------------------------------------------------------------------------

HEADER = LINES[0]
MALFORMED = {
    "nothing": "",
    "a header alone": HEADER,
    "no end of the header": HEADER.rstrip("\n"),
    "a header that is too long": " " * (1 << 20) + HEADER,
    "no JSON": "draw\n" + "".join(LINES[1:]),
    "JSON that is nested without end": "[" * 100_000 + "\n",
    "no object": "[]\n" + "".join(LINES[1:]),
    "another format": HEADER.replace("draw-1", "draw-2") + "".join(LINES[1:]),
    "a field less": HEADER.replace('"sale":"set-aside",', "") + "".join(LINES[1:]),
    "a field more": HEADER.replace('"sale"', '"more":1,"sale"') + "".join(LINES[1:]),
    "a seed in capitals": HEADER.replace(DRAW.header.seed, DRAW.header.seed.upper())
    + "".join(LINES[1:]),
    "entries without end": HEADER.replace('"entries":13', '"entries":99999999999')
    + "".join(LINES[1:]),
    "a round that never comes": HEADER.replace('"round":6', '"round":99999999999')
    + "".join(LINES[1:]),
    "a fraction of an entry": HEADER.replace('"entries":13', '"entries":13.0') + "".join(LINES[1:]),
    "entries that are true": HEADER.replace('"entries":13', '"entries":true') + "".join(LINES[1:]),
    "a name with a line break": HEADER.replace('"set-aside"', '"set\\naside"') + "".join(LINES[1:]),
    "less than no stock": HEADER.replace('"shoe-42":4', '"shoe-42":-4') + "".join(LINES[1:]),
    "other columns": HEADER + "entry,sku\n" + "".join(LINES[2:]),
    "windows line ends": DRAW.text().decode().replace("\n", "\r\n"),
    "a short entry": "".join(LINES).replace(BEFORE.entry.hex, BEFORE.entry.hex[1:]),
    "an entry in capitals": "".join(LINES).replace(BEFORE.entry.hex, BEFORE.entry.hex.upper()),
    "no quantity": "".join(LINES).replace("shoe-42,1,0,4\n", "shoe-42,0,0,4\n"),
    "a quantity with a zero before": "".join(LINES).replace("shoe-42,1,0,4\n", "shoe-42,01,0,4\n"),
    "rank 0": "".join(LINES).replace("shoe-42,1,0,4\n", "shoe-42,1,0,0\n"),
    "a column more": "".join(LINES).replace("shoe-42,1,0,4\n", "shoe-42,1,0,4,\n"),
    "no end of the last line": "".join(LINES).rstrip("\n"),
    "an empty line": "".join(LINES[:5]) + "\n" + "".join(LINES[5:]),
    "a line without end": "".join(LINES[:4]) + "0" * 1000,
    "bytes that are no text": "".join(LINES[:4]) + "\udcff\n",
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_a_file_of_another_form_is_refused(kind: str, faults_by_tool: Tool) -> None:
    text = MALFORMED[kind].encode(errors="surrogateescape")
    assert text != DRAW.text()
    assert faults_by_record(text) is None
    assert faults_by_tool(text) is None


def test_the_error_names_the_line() -> None:
    with pytest.raises(Malformed, match="Line 6"):
        check(record.read(io.BytesIO("".join([*LINES[:5], "?\n"]).encode())))


# --- The tool -------------------------------------------------------------------------------------


def run_tool(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it as a download is run: without the project and its libraries."""
    tool = Path(verify_draw.__file__)
    command = [sys.executable, "-I", "-S", str(tool), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_tool_needs_only_python_and_tells_an_entry_its_rank() -> None:
    header = DRAW.header
    entry = str(DRAW.lots[2].entry)
    done = run_tool(
        *(str(FOLDER / "set-aside.csv"), "--entry", entry, "--round", str(ROUND)),
        *("--commitment", header.commitment, "--root", header.root),
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "13 entries, 10 of them with a rank" in done.stdout
    assert "line 5 of the file, and has rank 2 and gets its units" in done.stdout
    assert "note   4 entries get units." in done.stdout
    assert DRAW.randomness.hex() in done.stdout
    assert "Compare" not in done.stdout


def test_the_tool_says_of_an_entry_that_it_is_missing_or_set_aside() -> None:
    file = str(FOLDER / "set-aside.csv")
    assert "is set aside" in run_tool(file, "--entry", ASIDE.entry.hex).stdout
    missing = run_tool(file, "--entry", "0" * 32)
    assert (missing.returncode, "not in the file" in missing.stdout) == (1, True)


def test_the_tool_asks_for_the_published_values_and_says_what_no_beacon_means() -> None:
    said = run_tool(str(FOLDER / "three.csv")).stdout
    for name in ("commitment", "round", "root"):
        assert f"--{name}" in said
    assert "tried several seeds" in said


@pytest.mark.parametrize("arguments", [["missing.csv"], ["x", "--root", "12"], []])
def test_the_tool_exits_with_2_if_it_cannot_check(arguments: list[str]) -> None:
    assert run_tool(*arguments).returncode == 2


def test_both_checks_know_the_same_names() -> None:
    source = Path(verify_draw.__file__).read_text()
    assert all(f'"{name}": ' in source for name in record_check.CHECKS)
