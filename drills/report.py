"""What a crowd experienced, in figures: as JSON and in words."""

from bisect import bisect
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from drills.consistency import Fault
from drills.shopper import ASKED, CLICKED, LEFT, LOST, SOCKET, Log
from orders import reconciliation

NAMED = 20  # faults of one kind; the rest is counted
_EDGES = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000)  # ms
WIDTH = 8  # letters of a time in milliseconds
_BAR = 40  # letters of the longest bar
# What is waited for, and how that is told. Bots click so often that their times would hide everybody
# else's, and they do not wait for outcomes.
_PAGE, _ANSWER, _BOTS_ANSWER = "page", "click_to_answer", "click_to_answer_of_bots"
_OUTCOME = {how: f"click_to_outcome_{how}" for how in (SOCKET, ASKED, CLICKED)}
_WORDS = {
    _PAGE: "page",
    _ANSWER: "click to answer",
    _BOTS_ANSWER: "click to answer, bots",
    _OUTCOME[SOCKET]: "click to outcome: socket",
    _OUTCOME[ASKED]: "click to outcome: asking",
    _OUTCOME[CLICKED]: "click to outcome: clicking",
}


@dataclass(frozen=True)
class Report:
    """The logs of a crowd, what is wrong in them, and the books of the sale."""

    logs: Sequence[Log]
    faults: Sequence[Fault]
    verified: reconciliation.Report

    @property
    def consistent(self) -> bool:
        return not self.faults and self.verified.balanced

    @property
    def reached(self) -> bool:
        """Whether anybody saw the shop at all."""
        return any(log.pages for log in self.logs)

    def as_json(self) -> dict[str, Any]:
        return {
            "shoppers": dict(Counter(log.habit for log in self.logs)),
            "pages": {"loaded": len(_pages(self.logs)), "lost": _sum(self.logs, "pages_lost")},
            "clicks": dict(_answers(self.logs).most_common()),
            "milliseconds": {name: spread(times) for name, times in _times(self.logs).items()},
            "sockets": {
                what: _sum(self.logs, f"sockets_{what}") for what in ("opened", "refused", "lost")
            },
            "purchases": {
                "accepted": sum(len(log.accepted) for log in self.logs),
                "final": dict(_final(self.logs).most_common()),
                "unanswered": self._unanswered,
            },
            "faults": self._faults_as_json(),
            "verify": self.verified.as_json(),
            "consistent": self.consistent,
        }

    @property
    def _unanswered(self) -> int:
        return sum(len(log.accepted - log.final.keys()) for log in self.logs)

    def _faults_as_json(self) -> dict[str, Any]:
        return {
            kind: {
                "count": count,
                "first": [fault.what for fault in self.faults if fault.kind == kind][:NAMED],
            }
            for kind, count in Counter(fault.kind for fault in self.faults).items()
        }

    # --- In words ---------------------------------------------------------------------------------

    def times(self) -> list[tuple[object, ...]]:
        """A row per thing that was waited for: its name, how often, p50, p95, p99 and the longest."""
        rows: list[tuple[object, ...]] = []
        for name, times in _times(self.logs).items():
            if times:
                of = spread(times)
                cuts = [f"{of[cut]:>{WIDTH},.1f}" for cut in ("p50", "p95", "p99", "max")]
                rows.append((_WORDS[name], len(times), *cuts))
        return rows

    def answers(self) -> list[tuple[str, int]]:
        return _answers(self.logs).most_common()

    def histogram(self) -> str:
        """From the click to the outcome, however it was told: shoppers by time."""
        times = [ms for name in _OUTCOME.values() for ms in _times(self.logs)[name]]
        counts = Counter(bisect(_EDGES, ms) for ms in times)
        if not counts:
            return ""
        rows = []
        for at in range(min(counts), max(counts) + 1):
            name = f"under {_EDGES[at]:,} ms" if at < len(_EDGES) else f"from {_EDGES[-1]:,} ms"
            bar = "█" * -(-counts[at] * _BAR // max(counts.values()))
            rows.append(f"{name:>15}  {counts[at]:>6,}  {bar}".rstrip())
        return "\n".join(rows)

    def story(self) -> list[str]:
        """Whoever came and what became of it, in lines."""
        logs = self.logs
        habits = Counter(log.habit for log in logs)
        opened, refused, lost = (
            _sum(logs, f"sockets_{what}") for what in ("opened", "refused", "lost")
        )
        accepted = sum(len(log.accepted) for log in logs)
        return [
            f"shoppers   {len(logs):,}: {_counted(habits)}",
            f"pages      {len(_pages(logs)):,} loaded, {_sum(logs, 'pages_lost'):,} lost",
            f"sockets    {opened:,} opened, {refused:,} refused, {lost:,} lost",
            f"purchases  {accepted:,} accepted, {self._unanswered:,} unanswered;"
            f" as shoppers last heard: {_counted(_final(logs)) or 'none'}",
        ]

    def verdict(self) -> list[str]:
        counted = ", ".join(f"{what} {n:,}" for what, n in sorted(self.verified.counted.items()))
        balance = "balance" if self.verified.balanced else "do NOT balance"
        lines = [f"The books of the sale {balance} ({counted or 'nothing sold'})."]
        lines += _named(self.verified.as_json()["faults"])
        if not self.faults:
            lines.append(
                "Every accepted purchase has one final answer, and its order in PostgreSQL says the same."
                if any(log.accepted for log in self.logs)
                else "Nothing was accepted, and PostgreSQL has no order of these shoppers."
            )
        else:
            lines.append("What shoppers were told is NOT consistent:")
            lines += _named(self._faults_as_json())
        lines.append("CONSISTENT" if self.consistent else "INCONSISTENT")
        return lines


def spread(milliseconds: Iterable[float]) -> dict[str, float]:
    """How many, the median, the 95th and 99th percentile (nearest rank) and the longest."""
    ordered = sorted(milliseconds)
    cuts: dict[str, float] = {"count": len(ordered)}
    for percent in (50, 95, 99):
        rank = -(-len(ordered) * percent // 100)
        if ordered:
            cuts[f"p{percent}"] = round(ordered[rank - 1], 1)
    return cuts | {"max": round(ordered[-1], 1)} if ordered else cuts


def _times(logs: Iterable[Log]) -> dict[str, list[float]]:
    """Milliseconds, by what was waited for."""
    times: dict[str, list[float]] = {name: [] for name in _WORDS}
    for log in logs:
        answered = [heard.took for heard in log.heard if heard.code not in (LOST, LEFT)]
        if log.habit == "bot":
            times[_BOTS_ANSWER] += answered
            continue
        times[_ANSWER] += answered
        times[_PAGE] += log.pages
        for purchase, told in log.final.items():
            if purchase in log.clicked:
                times[_OUTCOME[told.how]].append(told.at - log.clicked[purchase])
    return {name: [seconds * 1000 for seconds in of] for name, of in times.items()}


def _pages(logs: Iterable[Log]) -> list[float]:
    return [seconds for log in logs for seconds in log.pages]


def _answers(logs: Iterable[Log]) -> Counter[str]:
    """Clicks by status and code; lost ones, and those that nobody waited for."""
    return Counter(
        heard.code if heard.code in (LOST, LEFT) else f"{heard.status} {heard.code}"
        for log in logs
        for heard in log.heard
    )


def _final(logs: Iterable[Log]) -> Counter[str]:
    """First final answers; with the reason where one was told."""
    return Counter(
        f"{told.status} {_reason(log, told.purchase)}".strip()
        for log in logs
        for told in log.final.values()
    )


def _reason(log: Log, purchase: str) -> str:
    """A socket brings the answer only; asking tells the reason."""
    reasons = (told.reason for told in log.told if told.purchase == purchase and told.reason)
    return next(reasons, "")


def _sum(logs: Iterable[Log], name: str) -> int:
    return sum(getattr(log, name) for log in logs)


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{what} {count:,}" for what, count in counts.most_common())


def _named(faults: dict[str, Any]) -> list[str]:
    lines = []
    for kind, found in faults.items():
        lines.append(f"{kind}: {found['count']}")
        lines += [f"    {fault}" for fault in found["first"]]
    return lines
