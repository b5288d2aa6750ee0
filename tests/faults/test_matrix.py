"""`docs/resilience.md` names a test for each row of its table, and each test of the matrix stands there."""

import re
from importlib import import_module
from pathlib import Path

from flashsale import database
from flashsale.redis import web_connections
from orders import caretaker
from payments.providers import guard
from storefront import checkout, live_sale, own_purchases
from tests.faults import test_read_only, test_redis

ROOT = Path(__file__).resolve().parent.parent.parent
DOCUMENT = (ROOT / "docs" / "resilience.md").read_text()
STATED = {
    "TIMEOUT": web_connections.TIMEOUT,
    "PATIENCE": database.PATIENCE,
    "LOCK_TIMEOUT": float(database.LOCK_TIMEOUT.removesuffix("s")),
    "IDLE_TIMEOUT": float(database.IDLE_TIMEOUT.removesuffix("s")),
    "TICK": live_sale.TICK,
    "LOOK_EVERY": caretaker.LOOK_EVERY,
    "_WAITED_TOO_LONG": caretaker._WAITED_TOO_LONG / 1000,
    "_PATIENCE": own_purchases._PATIENCE,
    "OPEN_FOR": guard.OPEN_FOR,
    "PAYMENT_PATIENCE": checkout.PAYMENT_PATIENCE,
    "SELLING_AGAIN": test_redis.SELLING_AGAIN,
    "SETTLING_AGAIN": test_read_only.SETTLING_AGAIN,
}

Row = tuple[str, str, str]  # what fails and how; the file and the name of a test

_ROW = re.compile(r"^\| ([^|`]+: [^|]+) \|.*\| (`tests/[^|]+) \|$", re.M)
_TESTS = re.compile(r"`(tests/[\w/]+\.py)`((?:,? `\w+`)+)")
_FIGURE = re.compile(r"([\d.]+) s \(`(\w+)`\)")


def test_each_row_names_its_tests_and_each_test_stands_in_its_row() -> None:
    assert rows_of_the_document() == rows_of_the_tests()


def test_each_deadline_is_the_variants_own() -> None:
    figures = _FIGURE.findall(DOCUMENT)
    assert figures
    assert {name: float(seconds) for seconds, name in figures} == {
        name: STATED[name] for _, name in figures
    }


def rows_of_the_document() -> set[Row]:
    return {
        (what, path, name)
        for what, tests in _ROW.findall(DOCUMENT)
        for path, names in _TESTS.findall(tests)
        for name in re.findall(r"`(\w+)`", names)
    }


def rows_of_the_tests() -> set[Row]:
    return {
        (": ".join(mark.args), f"tests/faults/{path.name}", name)
        for path in Path(__file__).parent.glob("test_*.py")
        for name, test in vars(import_module(f"tests.faults.{path.stem}")).items()
        for mark in getattr(test, "pytestmark", [])
        if mark.name == "matrix"
    }
