"""The units for machines without containers start what `up` starts, by the names of the document."""

import configparser
import re
import shlex

import pytest

from flashsale import queues
from tests import stack
from tests.stack import ROOT

UNITS = sorted((ROOT / "deploy/systemd").glob("*.service"))
DOCUMENT = (ROOT / "docs" / "deploy.md").read_text()


def section(unit: str, name: str) -> dict[str, str]:
    parser = configparser.RawConfigParser(strict=False, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # as configparser documents it
    parser.read(ROOT / "deploy/systemd" / unit)
    return dict(parser[name])


def command(unit: str) -> list[str]:
    python, *rest = shlex.split(section(unit, "Service")["ExecStart"])
    assert python == "/srv/flashsale/.venv/bin/python"
    return rest


def test_they_start_what_up_starts() -> None:
    assert command("flashsale-web@.service") == ["-m", "flashsale.web"]
    assert command("flashsale-worker@.service") == list(queues.WORKER)
    assert command("flashsale-beat.service") == stack.DEPLOYED_BEAT


@pytest.mark.parametrize("unit", [path.name for path in UNITS])
def test_they_have_the_rights_and_places_of_the_document(unit: str) -> None:
    given = section(unit, "Service")
    assert given["User"] == "shop"
    assert f"useradd --system --home-dir /nonexistent {given['User']}" in DOCUMENT
    assert f"in `{given['WorkingDirectory']}`" in DOCUMENT
    assert f"cat > {given['EnvironmentFile']} <<" in DOCUMENT
    assert f"VAR_DIR='{given['ReadWritePaths']}'\n" in DOCUMENT
    assert given["Restart"] == "always"
    assert section(unit, "Unit")["StartLimitIntervalSec"] == "0"  # or it is not always
    assert section(unit, "Install") == {"WantedBy": "multi-user.target"}


def test_the_document_starts_each_of_them() -> None:
    started = set(re.findall(r"flashsale-\w+@?", DOCUMENT[DOCUMENT.index("systemctl enable") :]))
    assert started >= {path.name.removesuffix(".service") for path in UNITS}
