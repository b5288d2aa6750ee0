"""The published file of a draw says what happened, and both checks find each kind of cheating in it."""

import io
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from orders.draws import beacon, record, record_check
from orders.draws.record import Malformed
from orders.draws.record_check import Published, check
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
    with_header,
)
from orders.draws.tests.made_draws import DRAWS, Draw, published_of
from orders.draws.tests.vectors import FOLDER, files
from tools import verify_draw


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


@pytest.mark.parametrize("cheat", CHEATS)
def test_cheating_is_found_in_the_file_alone(cheat: str, faults_by_tool: Tool) -> None:
    draw, expected = CHEATS[cheat]
    assert faults_by_record(draw.text()) == expected
    assert faults_by_tool(draw.text()) == expected


@pytest.mark.parametrize("cheat", REMADE)
def test_a_file_that_was_made_anew_is_not_the_published_one(
    cheat: str, faults_by_tool: Tool
) -> None:
    draw, expected = REMADE[cheat]
    assert faults_by_record(draw.text()) == faults_by_tool(draw.text()) == set()
    assert faults_by_record(draw.text(), published_of(DRAW)) == expected
    assert faults_by_tool(draw.text(), published_of(DRAW)) == expected


def test_an_invented_signature_is_found_where_signatures_are_verified(faults_by_tool: Tool) -> None:
    assert faults_by_record(FORGED.text(), published_of(DRAW)) == {"beacon"}
    assert faults_by_tool(FORGED.text(), published_of(DRAW)) == set()


def test_another_round_with_the_same_signature_is_found_by_the_signature() -> None:
    assert faults_by_record(with_header(round=ROUND + 1).text()) == {"beacon"}


def test_a_beacon_that_was_not_published_is_found(faults_by_tool: Tool) -> None:
    none = published_of(DRAW)._replace(beacon="", round=None)
    assert faults_by_record(DRAW.text(), none) == {"beacon"}
    assert faults_by_tool(DRAW.text(), none) == {"beacon"}


@pytest.mark.parametrize("published", [Published(beacon="quicknet"), Published(round=ROUND)])
def test_a_published_beacon_that_the_file_lacks_is_found(published: Published) -> None:
    assert faults_by_record(DRAWS[0].text(), published) == {"beacon"}


def test_lines_after_an_entry_too_many_are_not_read(faults_by_tool: Tool) -> None:
    text = "".join([*LINES, LINES[-1], "?" * 3_000_000]).encode()
    assert faults_by_record(text) == faults_by_tool(text) == {"entries", "root"}


def test_the_document_lists_the_faulty_vectors() -> None:
    document = (FOLDER.parent / "draw.md").read_text()
    for name, (_, *faults) in PUBLISHED_FAULTS.items():
        found = re.search(rf"^\| `{name}` \| .+ \| (.+) \| (.+) \|$", document, re.M)
        assert found, name
        for said, checks in zip(found.groups(), faults, strict=True):
            assert set(re.findall(r"`(\w+)`", said)) == (checks or set()), name
            assert ("malformed" in said) == (checks is None), name


@pytest.mark.parametrize("name", PUBLISHED_FAULTS)
def test_the_faulty_vectors_have_the_faults_that_are_said(name: str) -> None:
    text, alone, compared = PUBLISHED_FAULTS[name]
    assert faults_by_record(text) == alone
    assert faults_by_record(text, published_of(DRAW)) == compared


# --- Files of another form ------------------------------------------------------------------------


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
