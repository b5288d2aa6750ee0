"""`docs/pages.md` shows the latest pictures."""

import re

from bench.pictures import STATES, document
from drills.private_shop import ROOT

DOCS = ROOT / "docs"


def test_the_document_shows_exactly_the_existing_pictures() -> None:
    shown = set(re.findall(r'src="([^"]+)"', (DOCS / "pages.md").read_text()))
    there = {f"img/pages/{path.name}" for path in (DOCS / "img" / "pages").iterdir()}
    assert shown == there


def test_the_document_is_the_output_of_the_command() -> None:
    assert (DOCS / "pages.md").read_text() == document()


def test_no_two_states_share_a_picture() -> None:
    names = [name for state in STATES for _, _, name in state.pictures()]
    assert len(names) == len(set(names))
