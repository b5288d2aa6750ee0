"""The codes of answers, statuses and reasons are the same wherever they are repeated.

`ClickAnswer` and `Order` are the originals. Each source below is a file that has to repeat a part of
them, because it is no Python, or may not import them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from inventory.click_answers import BY_GATE_CODE, ClickAnswer
from orders.models import Order

ROOT = Path(__file__).resolve().parent.parent

FINAL = set(Order.Status.values)
STATUSES = FINAL | {"queued"}
REASONS = set(Order.Reason.values) - {""}
CODES = {answer.code for answer in ClickAnswer} - {"known"}  # whose code is the purchase's status
REFUSED = {answer.code for answer in ClickAnswer if answer.status == 409}
REFUSED_BY_GATE = {code for code in BY_GATE_CODE if BY_GATE_CODE[code].status == 409}
OF_A_GOOD_FORM = {a.code for a in ClickAnswer if a.gate_codes and 400 <= a.status < 500}
OF_A_GOOD_FORM |= {"cookies", "sign_in", "no_code"}
COUNTED = {answer.counted for answer in ClickAnswer}
# Not imported: the module fails where it lacks words for a count, and this test is to say so.
COUNTED_IN_WORDS = re.findall(r'": "([\w ]+)"', (ROOT / "dashboard" / "charts.py").read_text())
HTTP_STATUSES = {str(answer.status) for answer in ClickAnswer}
# Which no click is answered with.
TEXTS_OF_PAGES = {"no_sale", "not_on_this_device", "login_rate", "read_only", "upload", "request"}
TEXTS_OF_PAGES |= {"export_running"}
BUTTON = {
    "upcoming",
    "paused",
    "ended",
    "sending",
    "queued",
    "held",
    "done",
    "over",
    "limit",
    "sold_out",
    "idle",
    *("enter", "entered", "drawing", "join", "waiting"),
}


@dataclass(frozen=True)
class Source:
    """A file, the part of it that knows codes, and which. A partial one need not know all."""

    path: str
    code: str  # a pattern, whose group is a code
    expected: set[str]
    part: str = r".*"
    ignored: frozenset[str] = frozenset()
    partial: bool = False

    def read(self) -> str:
        return (ROOT / self.path).read_text()

    def found(self, text: str) -> Iterator[re.Match[str]]:
        for part in re.finditer(self.part, text, re.DOTALL | re.MULTILINE):
            for match in re.compile(self.code).finditer(text, *part.span()):
                if match[1] not in self.ignored:
                    yield match

    def check(self, text: str) -> None:
        known = {match[1] for match in self.found(text)}
        assert known, f"{self.path} has no {self.code} in {self.part}"
        extra, missing = known - self.expected, self.expected - known
        assert not extra, f"{self.path} knows {extra}, which others do not"
        assert self.partial or not missing, f"{self.path} does not know {missing}"

    def without(self, text: str, code: str) -> str:
        for match in reversed(list(self.found(text))):
            if match[1] == code:
                text = text[: match.start(1)] + text[match.end(1) :]
        return text

    def with_another(self, text: str) -> str:
        match = next(self.found(text))
        another = "599" if match[1].isdigit() else "brand_new"
        before, after = text[match.start() : match.start(1)], text[match.end(1) : match.end()]
        return text[: match.end()] + before + another + after + text[match.end() :]


SOURCES = {
    "what the gate refuses": Source(
        "inventory/lua/admit.lua",
        r"'(\w+)'",
        REFUSED_BY_GATE,
        part=r"return \{'refused', .*?\}",
        ignored=frozenset({"refused"}),
    ),
    "what else the gate says": Source(
        "inventory/lua/admit.lua",
        r"'(\w+)'",
        {*BY_GATE_CODE} - REFUSED_BY_GATE,
        part=r"return \{(?!'refused').*?\}",
    ),
    "the head of the gate's script": Source(
        "inventory/lua/admit.lua",
        r"\{'(\w+)'",
        {*BY_GATE_CODE, "refused"} - REFUSED_BY_GATE,
        part=r"^-- gives.*?^--$",
    ),
    "the poison that the gate knows": Source(
        "inventory/lua/admit.lua", r"'rejected\|(\w+)\|'", REASONS, partial=True
    ),
    "verdicts of the gate": Source(
        "inventory/gate/admission.py", r'Verdict\("(\w+)"', {*BY_GATE_CODE}, partial=True
    ),
    "codes that the gate's reader tells apart": Source(
        "inventory/gate/admission.py",
        r'"(\w+)"',
        {*BY_GATE_CODE, "refused"},
        part=r"^    if code (==|in) [^:]*?:",
        partial=True,
    ),
    "verdicts without a gate": Source(
        "storefront/buy.py",
        r'Verdict\("(\w+)"',
        {*BY_GATE_CODE, "refused"},
        partial=True,
    ),
    "refusals without a gate": Source(
        "storefront/buy.py", r'Verdict\("refused", reason="(\w+)"', REFUSED_BY_GATE, partial=True
    ),
    "answers with a shape of their own": Source(
        "storefront/click_responses.py",
        r"ClickAnswer\.(\w+)\.code:",
        {answer.name for answer in ClickAnswer if answer.gate_codes and not answer.retry}
        | {"BUSY"},
        part=r"^_RESPONDERS: .*?^\}",
    ),
    "statuses that the gate stores": Source(
        "inventory/gate/entries.py", r'"(\w+)"', STATUSES, part=r"^_STATUSES = \(.*?\)"
    ),
    "reasons that PostgreSQL takes": Source(
        "orders/models.py", r'"(\w+)"', REASONS, part=r"reason__in=\[.*?\]|reason=\"\w+\"\)$"
    ),
    "what is counted": Source(
        "flashsale/observe/telemetry.py", r'"(\w+)"', COUNTED, part=r"^ANSWERS = \(.*?\)"
    ),
    "what the dashboard calls it": Source(
        "dashboard/charts.py", r'"(\w+)":', COUNTED, part=r"^SAID = \{.*?\}"
    ),
    "what staff read of it": Source(
        "docs/running-a-sale.md",
        r"\*([\w ]+)\*",
        set(COUNTED_IN_WORDS),
        part=r"^\| clicks by answer \|[^\n]*$",
    ),
    "what alarms count": Source(
        "deploy/prometheus/alerts.yml", r'answer="(\w+)"', COUNTED, partial=True
    ),
    "texts": Source(
        "templates/storefront/_message_text.html",
        r'code == "(\w+)"',
        (CODES - {"queued"}) | REASONS | TEXTS_OF_PAGES,
    ),
    "texts of a sale that is not there": Source(
        "storefront/responses.py", r'text_code="(\w+)"', TEXTS_OF_PAGES, partial=True
    ),
    "texts of an order that is not there": Source(
        "storefront/outcome.py", r'code = "(\w+)"', TEXTS_OF_PAGES, partial=True
    ),
    "texts with a way to the shopper's orders": Source(
        "templates/storefront/message.html", r'code == "(\w+)"', TEXTS_OF_PAGES, partial=True
    ),
    "texts of the calendar": Source(
        "storefront/calendar.py", r'text_code="(\w+)"', CODES, partial=True
    ),
    "texts of the login": Source(
        "dashboard/login.py", r'"code": "(\w+)"', TEXTS_OF_PAGES, partial=True
    ),
    "titles": Source(
        "templates/storefront/_message_title.html", r"status == (\d+)", HTTP_STATUSES, partial=True
    ),
    "the box of a purchase": Source(
        "templates/storefront/_outcome.html", r'answer.status == "(\w+)"', STATUSES
    ),
    "codes in that box": Source(
        "templates/storefront/_outcome.html", r'code="(\w+)"', CODES | REASONS, partial=True
    ),
    "statuses in the list of orders": Source(
        "templates/storefront/_status.html", r'order.status == "(\w+)"', FINAL - {"rejected"}
    ),
    "reasons in the list of orders": Source(
        "templates/storefront/_status.html", r'order.reason == "(\w+)"', REASONS
    ),
    "colours": Source(
        "static/css/shop.css",
        r'data-status="(\w+)"',
        STATUSES | {"refused"},
        ignored=frozenset({"none"}),
        partial=True,
    ),
    "statuses that change on the page": Source(
        "static/js/shop.js", r"(\w+): \[", STATUSES, part=r"^const NEXT = \{.*?\};"
    ),
    "what they become": Source(
        "static/js/shop.js", r'"(\w+)"', FINAL | {"refused"}, part=r"^const NEXT = \{.*?\};"
    ),
    "statuses that have used up a form": Source(
        "static/js/shop.js", r"(\w+):", STATUSES - {"rejected"}, part=r"^const BOUGHT = \{.*?\};"
    ),
    "statuses at which the page tries again": Source(
        "static/js/shop.js",
        r"status [!=]== (5\d\d)",
        {str(answer.status) for answer in ClickAnswer if answer.status >= 500},
    ),
    "what a button is told to say": Source(
        "static/js/shop.js",
        r'(?:return|:|\?) "(\w+)"',
        BUTTON - {"upcoming", "paused", "drawing", "ended"},  # the sale's stages
        part=r"^const BOUGHT = \{.*?\};|^function saidBy.*?^\}",
    ),
    "what a button can say": Source(
        "templates/storefront/_script_texts.html",
        r'data-when="(\w+)"',
        BUTTON,
        part=r'id="button-words".*?</template>',
    ),
    "statuses that drills know": Source(
        "drills/shopper_log.py", r'"(\w+)"', FINAL, part=r"^FINAL = \(.*?\)"
    ),
    "the order of statuses in drills": Source(
        "drills/log_check.py", r'"(\w+)":', STATUSES, part=r"^_STEPS = \{.*?\}"
    ),
    "the documented answers": Source(
        "docs/purchase-path.md",
        r'"(\w+)"(?!:)',
        CODES | FINAL | {"refused"},
        part=r"^\| case \|.*?^$",
    ),
    "refusals that the contract tests": Source(
        "tests/contract/test_refused.py",
        r'"(\w+)"\),',
        REFUSED,
        part=r"^REFUSALS: .*?^\}",
    ),
    "texts that the contract tests": Source(
        "tests/contract/shapes.py", r'"(\w+)":', OF_A_GOOD_FORM, part=r"^WORDS = \{.*?\}"
    ),
}
each_source = pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)


@each_source
def test_the_same_codes_are_known_everywhere(source: Source) -> None:
    source.check(source.read())


@each_source
def test_a_code_that_only_one_file_knows_is_noticed(source: Source) -> None:
    with pytest.raises(AssertionError, match=re.escape(f"{source.path} ")):
        source.check(source.with_another(source.read()))


@pytest.mark.parametrize(
    "source", [source for source in SOURCES.values() if not source.partial], ids=lambda s: s.path
)
def test_a_code_that_one_file_does_not_know_is_noticed(source: Source) -> None:
    text = source.read()
    for code in source.expected:
        with pytest.raises(AssertionError, match=re.escape(f"{source.path} ")):
            source.check(source.without(text, code))


# --- The document's statuses ----------------------------------------------------------------------

PURCHASE_PATH = ROOT / "docs" / "purchase-path.md"


def documented(text: str) -> set[tuple[str, int, bool]]:
    """Code, HTTP status, and whether the same ticket may buy again, of each answer in the table."""
    found = set()
    for line in text.partition("| case |")[2].partition("\n\n")[0].splitlines()[2:]:
        _, _, status, shape, _, again, _ = line.split("|")
        codes = [code for code in re.findall(r'"(\w+)"(?!:)', shape) if code != "refused"]
        statuses = [int(number) for number in re.findall(r"\d{3}", status)]
        if len(statuses) == 1:
            statuses *= len(codes)
        each = zip(codes, statuses, strict=True)
        found |= {(code, number, again.strip() == "yes") for code, number in each}
    return found


def decided() -> set[tuple[str, int, bool]]:
    codes = {answer: {answer.code} for answer in ClickAnswer} | {ClickAnswer.KNOWN: FINAL}
    return {(code, answer.status, answer.retry) for answer in ClickAnswer for code in codes[answer]}


def test_the_document_has_the_status_of_each_answer() -> None:
    assert documented(PURCHASE_PATH.read_text()) == decided()


@pytest.mark.parametrize("answer", ClickAnswer)
def test_another_status_in_the_document_is_noticed(answer: ClickAnswer) -> None:
    text = PURCHASE_PATH.read_text()
    before, head, table = text.partition("| case |")
    for old, new in ((str(answer.status), "418"), ("| yes |", "| no |"), ("| no |", "| yes |")):
        assert old in table
        assert documented(before + head + table.replace(old, new)) != decided()
