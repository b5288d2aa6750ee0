"""docs/purchase-path.md names what a purchase passes, in order: one real purchase is traced and compared.

A web process and a worker run under `tests/traced.py`. Each part of the document is compared with the first
calls that its process makes after the part begins. After a change of the purchase path this test says what
the document lacks.
"""

import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from websockets.sync.client import ClientConnection

from conftest import MakeSale
from inventory.models import Sale
from storefront.tests.test_feed import opened
from tests import stack
from tests.cast import HTMX, PAGE, Shopper, forms, hears_the_bell

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "purchase-path.md"
PARTS = {  # heading in the document: the process in which it happens
    "The page": "web",
    "The socket": "web",
    "The click": "web",
    "Settlement": "worker",
    "The frame": "web",
}
UNORDERED = "Used along the way"
_HEADING = re.compile(r"^### (.+)$", re.M)
_CODE = re.compile(r"`([^`]+)`")


class Call(NamedTuple):
    """A call of the product's code: when (by the machine's monotonic clock), and of what."""

    at: float
    file: str
    function: str


class Trace(NamedTuple):
    """What both processes called since the page was asked for, and when each part began."""

    calls: dict[str, list[Call]]
    began: dict[str, float]

    def first_calls(self, part: str, first: tuple[str, str]) -> list[tuple[str, str]]:
        """What the part's process called, each once, from its call of `first` on."""
        calls = [call[1:] for call in self.calls[PARTS[part]] if call.at >= self.began[part]]
        return list(dict.fromkeys(calls[calls.index(first) :])) if first in calls else []


def test_the_document_is_what_a_purchase_passes(make_sale: MakeSale, tmp_path: Path) -> None:
    trace = buy_once(make_sale(stock=10), tmp_path)
    document = DOCUMENT.read_text()
    assert "\n".join(problems(document, trace)) == ""
    for broken, how in broken_documents(document):
        assert list(problems(broken, trace)), f"not noticed: {how}"


# --- The purchase ---------------------------------------------------------------------------------


def buy_once(sale: Sale, folder: Path) -> Trace:
    """Loads a sale's page, opens its socket, buys, and waits for the outcome and the stock."""
    with (
        TracedWeb.running(TRACE=str(folder / "web")) as web,
        traced_worker(folder / "worker"),
    ):
        stack.wait_for(hears_the_bell, "the worker has started")
        ada, began = Shopper(web.url), {"The page": time.monotonic()}
        page = ada.client.get(f"/sales/{sale.slug}/", headers=PAGE).text
        [ticket] = [form["ticket"] for form in forms(page) if "ticket" in form]
        began["The socket"] = time.monotonic()
        with opened(web.url, sale.slug, ada) as socket:
            hear(socket, "10 left")
            began["The click"] = began["Settlement"] = began["The frame"] = time.monotonic()
            assert ada.buy(sale, ticket, headers=HTMX).status_code == 202
            hear(socket, 'data-status="confirmed"')
            hear(socket, "9 left")
        ada.client.close()
    calls = {side: list(_read(folder / side, since=began["The page"])) for side in PARTS.values()}
    return Trace(calls, began)


def hear(socket: ClientConnection, words: str) -> None:
    while words not in str(socket.recv(stack.DEADLINE)):
        pass


class TracedWeb(stack.Web):
    def start(self) -> stack.Process:
        self.command = [*traced(self.env["TRACE"]), "tests.tickless", *self.command[3:]]
        return super().start()


@contextmanager
def traced_worker(file: Path) -> Iterator[None]:
    """Without its caretaker, which on a busy machine would settle before the bell is heard."""
    command = [*traced(str(file)), "tests.security.bell_only", *stack.WORKER[3:]]
    worker = stack.Process(command).start()
    try:
        yield
    finally:
        worker.stop()


def traced(file: str) -> list[str]:
    return [sys.executable, "-m", "tests.traced", file]


def _read(file: Path, since: float) -> Iterator[Call]:
    for line in file.read_text().splitlines():
        at, _, path, function = line.split("\t")
        if float(at) >= since:
            yield Call(float(at), path, function.partition(".<locals>")[0])


# --- The comparison -------------------------------------------------------------------------------


def problems(document: str, trace: Trace) -> Iterator[str]:
    """What the document says otherwise than the trace."""
    parts = named_by_part(document)
    for part in PARTS:
        named = [name for name in parts[part] if name[1]]
        ran = trace.first_calls(part, named[0])
        yield from (f"{part}: {name} did not run" for name in named if name not in ran)
        if [name for name in ran if name in named] != [name for name in named if name in ran]:
            yield f"{part}: ran in the order {[name for name in ran if name in named]}"
    everything = {call[1:] for calls in trace.calls.values() for call in calls}
    for file, function in parts[UNORDERED]:
        if function and (file, function) not in everything:
            yield f"{UNORDERED}: {file} {function} did not run"
    files = {file for named in parts.values() for file, _ in named}
    yield from (f"{file} is not named" for file in sorted({file for file, _ in everything} - files))


def named_by_part(document: str) -> dict[str, list[tuple[str, str]]]:
    """Files with their functions in the tables' last column, in order; "" for a file without one."""
    _, *pieces = _HEADING.split(document.partition("\n## Answers")[0])
    return {
        heading: list(_named(body))
        for heading, body in zip(pieces[::2], pieces[1::2], strict=True)
        if heading in {*PARTS, UNORDERED}
    }


def _named(table: str) -> Iterator[tuple[str, str]]:
    for row in rows(table):
        file = ""
        for code in _CODE.findall(row.split("|")[2]):
            if "/" in code:
                file = code if code.endswith(".py") else ""
                if file:
                    yield file, ""
            else:
                assert file, f"a function without its file: {row}"
                yield file, code


def rows(table: str) -> list[str]:
    return [line for line in table.splitlines() if re.match(r"\| (\d|[A-Z])", line)]


def broken_documents(document: str) -> Iterator[tuple[str, str]]:
    """The document with one thing wrong, and what: each function by another name, each two neighbouring
    rows exchanged, each file left out."""
    _, *pieces = _HEADING.split(document.partition("\n## Answers")[0])
    for part, body in zip(pieces[::2], pieces[1::2], strict=True):
        for function in {function for _, function in _named(body) if function}:
            broken = body.replace(f"`{function}`", f"`{function}_`")
            yield document.replace(body, broken), f"{part}: {function} has another name"
        if part in PARTS:
            for one, other in zip(rows(body), rows(body)[1:], strict=False):
                broken = body.replace(f"{one}\n{other}", f"{other}\n{one}")
                yield document.replace(body, broken), f"{part}: exchanged {one} and {other}"
    for file in {file for named in named_by_part(document).values() for file, f in named if f}:
        without = re.sub(rf"`{re.escape(file)}`(,? `[\w.]+`)*[,;]? ?", "", document)
        yield without, f"{file} is not named"
