"""The report about a crowd: figures from the logs and the verdict, as JSON and as text."""

from bisect import bisect
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from drills.checkout_report import CheckoutReport
from drills.log_check import Fault
from drills.shopper_log import ASKED, CLICKED, LEFT, LOST, SOCKET, Log
from orders import reconciliation

NAMED = 20  # faults listed of each kind; the rest is only counted
_EDGES = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000)  # ms
WIDTH = 8  # columns of a time in milliseconds
_BAR = 40  # columns of the longest bar
# The measured times, and their labels. Bots are counted apart: they click so often that their times would
# hide all others, and they do not wait for outcomes.
_PAGE, _ANSWER, _BOTS_ANSWER = "page", "click_to_answer", "click_to_answer_of_bots"
_OUTCOME = {how: f"click_to_outcome_{how}" for how in (SOCKET, ASKED, CLICKED)}
_LABELS = {
    _PAGE: "page",
    _ANSWER: "click to answer",
    _BOTS_ANSWER: "click to answer, bots",
    _OUTCOME[SOCKET]: "click to outcome: socket",
    _OUTCOME[ASKED]: "click to outcome: asking",
    _OUTCOME[CLICKED]: "click to outcome: clicking",
}


@dataclass(frozen=True)
class Report:
    """The logs of a crowd, the faults in them, and the reconciliation of the sale."""

    logs: Sequence[Log]
    faults: Sequence[Fault]
    verified: reconciliation.Report
    checkout: CheckoutReport | None = None  # of a sale that has one

    @property
    def consistent(self) -> bool:
        paid = self.checkout is None or self.checkout.consistent
        return not self.faults and self.verified.balanced and paid

    @property
    def reached(self) -> bool:
        """Whether any shopper loaded a page."""
        return any(log.pages for log in self.logs)

    def as_json(self) -> dict[str, Any]:
        return {
            "shoppers": dict(Counter(log.habit for log in self.logs)),
            "pages": {
                "loaded": len(_collect_pages(self.logs)),
                "lost": _sum(self.logs, "pages_lost"),
            },
            "clicks": dict(_count_answers(self.logs).most_common()),
            "milliseconds": {
                name: summarize_times(times) for name, times in _collect_times(self.logs).items()
            },
            "sockets": {
                what: _sum(self.logs, f"sockets_{what}") for what in ("opened", "refused", "lost")
            },
            "purchases": {
                "accepted": sum(len(log.accepted) for log in self.logs),
                "final": dict(_count_final(self.logs).most_common()),
                "unanswered": self._unanswered,
            },
            "faults": faults_as_json(self.faults),
            "verify": self.verified.as_json(),
            **self._checkout_as_json(),
            "consistent": self.consistent,
        }

    def _checkout_as_json(self) -> dict[str, Any]:
        if self.checkout is None:
            return {}
        times = _collect_checkout_times(self.checkout)
        milliseconds = {name: summarize_times(of) for name, of in times.items()}
        faults = faults_as_json(self.checkout.faults)
        what = self.checkout.as_json() | {"milliseconds": milliseconds, "faults": faults}
        return {"checkout": what}

    @property
    def _unanswered(self) -> int:
        return sum(len(log.accepted - log.final.keys()) for log in self.logs)

    # --- As text ----------------------------------------------------------------------------------

    def times(self) -> list[tuple[object, ...]]:
        """One row per measured time: its label, count, p50, p95, p99 and maximum."""
        measured = {_LABELS[name]: of for name, of in _collect_times(self.logs).items()}
        if self.checkout is not None:
            measured |= _collect_checkout_times(self.checkout)
        rows: list[tuple[object, ...]] = []
        for label, times in measured.items():
            if times:
                of = summarize_times(times)
                cuts = [f"{of[cut]:>{WIDTH},.1f}" for cut in ("p50", "p95", "p99", "max")]
                rows.append((label, len(times), *cuts))
        return rows

    def answers(self) -> list[tuple[str, int]]:
        return _count_answers(self.logs).most_common()

    def histogram(self) -> str:
        """Draw how many outcomes took how long from the click, however the shopper learned them."""
        times = [ms for name in _OUTCOME.values() for ms in _collect_times(self.logs)[name]]
        counts = Counter(bisect(_EDGES, ms) for ms in times)
        if not counts:
            return ""
        rows = []
        for at in range(min(counts), max(counts) + 1):
            name = f"under {_EDGES[at]:,} ms" if at < len(_EDGES) else f"from {_EDGES[-1]:,} ms"
            bar = "█" * -(-counts[at] * _BAR // max(counts.values()))
            rows.append(f"{name:>15}  {counts[at]:>6,}  {bar}".rstrip())
        return "\n".join(rows)

    def summary_lines(self) -> list[str]:
        """Sum up shoppers, pages, sockets and purchases, one line each."""
        logs = self.logs
        habits = Counter(log.habit for log in logs)
        opened, refused, lost = (
            _sum(logs, f"sockets_{what}") for what in ("opened", "refused", "lost")
        )
        accepted = sum(len(log.accepted) for log in logs)
        return [
            f"shoppers   {len(logs):,}: {_join_counts(habits)}",
            f"pages      {len(_collect_pages(logs)):,} loaded, {_sum(logs, 'pages_lost'):,} lost",
            f"sockets    {opened:,} opened, {refused:,} refused, {lost:,} lost",
            f"purchases  {accepted:,} accepted, {self._unanswered:,} unanswered;"
            f" as shoppers last heard: {_join_counts(_count_final(logs)) or 'none'}",
            *(self.checkout.lines() if self.checkout else []),
        ]

    def verdict_lines(self) -> list[str]:
        counted = ", ".join(f"{what} {n:,}" for what, n in sorted(self.verified.counted.items()))
        agree = "agree" if self.verified.balanced else "do NOT agree"
        lines = [f"Stock, ledger, orders and gate {agree} ({counted or 'nothing sold'})."]
        lines += list_faults(self.verified.as_json()["faults"])
        if not self.faults:
            lines.append(
                "Every accepted purchase has one final answer, and its order in PostgreSQL agrees."
                if any(log.accepted for log in self.logs)
                else "No purchase was accepted, and PostgreSQL has no order of these shoppers."
            )
        else:
            lines.append("The answers to shoppers are NOT consistent:")
            lines += list_faults(faults_as_json(self.faults))
        if self.checkout is not None:
            lines += _judge_checkout(self.checkout)
        lines.append("CONSISTENT" if self.consistent else "INCONSISTENT")
        return lines


def faults_as_json(faults: Sequence[Fault]) -> dict[str, Any]:
    """Count the faults of each kind, and name the first ones."""
    return {
        kind: {
            "count": count,
            "first": [fault.what for fault in faults if fault.kind == kind][:NAMED],
        }
        for kind, count in Counter(fault.kind for fault in faults).items()
    }


def _judge_checkout(checkout: CheckoutReport) -> list[str]:
    if checkout.consistent:
        return [
            "Payments and orders agree: no shopper is charged without units, or has them unpaid."
        ]
    return ["Payments and orders do NOT agree:", *list_faults(faults_as_json(checkout.faults))]


def _collect_checkout_times(checkout: CheckoutReport) -> dict[str, list[float]]:
    """Milliseconds of each kind of a checkout's pages."""
    times = checkout.log.times
    return {f"checkout: {kind}": [took * 1000 for took in of] for kind, of in times.items()}


def summarize_times(milliseconds: Iterable[float]) -> dict[str, float]:
    """Return count, p50, p95, p99 (nearest rank) and max. Only the count if there are none."""
    ordered = sorted(milliseconds)
    cuts: dict[str, float] = {"count": len(ordered)}
    for percent in (50, 95, 99):
        rank = -(-len(ordered) * percent // 100)
        if ordered:
            cuts[f"p{percent}"] = round(ordered[rank - 1], 1)
    return cuts | {"max": round(ordered[-1], 1)} if ordered else cuts


def _collect_times(logs: Iterable[Log]) -> dict[str, list[float]]:
    """Milliseconds of each measured time."""
    times: dict[str, list[float]] = {name: [] for name in _LABELS}
    for log in logs:
        answered = [reply.took for reply in log.replies if reply.code not in (LOST, LEFT)]
        if log.habit == "bot":
            times[_BOTS_ANSWER] += answered
            continue
        times[_ANSWER] += answered
        times[_PAGE] += log.pages
        for purchase, update in log.final.items():
            if purchase in log.clicked:
                times[_OUTCOME[update.how]].append(update.at - log.clicked[purchase])
    return {name: [seconds * 1000 for seconds in of] for name, of in times.items()}


def _collect_pages(logs: Iterable[Log]) -> list[float]:
    return [seconds for log in logs for seconds in log.pages]


def _count_answers(logs: Iterable[Log]) -> Counter[str]:
    """Count clicks by status and code, or as LOST or LEFT."""
    return Counter(
        reply.code if reply.code in (LOST, LEFT) else f"{reply.status} {reply.code}"
        for log in logs
        for reply in log.replies
    )


def _count_final(logs: Iterable[Log]) -> Counter[str]:
    """Count first final statuses, each with its reason if one was given."""
    return Counter(
        f"{update.status} {_find_reason(log, update.purchase)}".strip()
        for log in logs
        for update in log.final.values()
    )


def _find_reason(log: Log, purchase: str) -> str:
    """Find the reason in a later update: a socket gives only the status."""
    reasons = (
        update.reason for update in log.updates if update.purchase == purchase and update.reason
    )
    return next(reasons, "")


def _sum(logs: Iterable[Log], name: str) -> int:
    return sum(getattr(log, name) for log in logs)


def _join_counts(counts: Counter[str]) -> str:
    return ", ".join(f"{what} {count:,}" for what, count in counts.most_common())


def list_faults(faults: dict[str, Any]) -> list[str]:
    lines = []
    for kind, found in faults.items():
        lines.append(f"{kind}: {found['count']}")
        lines += [f"    {fault}" for fault in found["first"]]
    return lines
