"""The results of a drill with faults, as JSON and as text."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

from drills.entries import DrawReport
from drills.faults import EVERYTHING, Injection
from drills.report import Report
from drills.shopper_log import Log
from drills.staff import StaffLog
from ops.base_command import INCONSISTENT, INTERRUPTED, aligned

_HEIGHTS = " ▁▂▃▄▅▆▇█"
_ROW = 60  # seconds in a row of the chart
_HEADINGS = ("AT", "WHAT", "ACCEPTED AGAIN AFTER", "OUTCOME AGAIN AFTER")
_NEVER = float("inf")
_LEGEND = "k killed, f frozen, r restarted; capitals: Valkey, PostgreSQL"


class Click(NamedTuple):
    """An accepted click. Times are of the monotonic clock, in seconds."""

    sent: float
    accepted: float
    answered: float  # when the final status arrived; infinite if never


class Outage(NamedTuple):
    """The longest time without an event."""

    seconds: float
    since: float  # seconds after the beginning


@dataclass(frozen=True)
class Aftermath:
    """The results of a drill: its faults, what shoppers and staff experienced, and the verdict."""

    seed: int
    seconds: float
    interrupted: bool
    began: float
    injections: Sequence[Injection]
    staff: StaffLog
    report: Report
    draw: DrawReport

    @property
    def clean(self) -> bool:
        """Whether no promise was broken, and the drill could have broken one."""
        tested = self.clicks and self.staff.reads and (self._hits or not self.injections)
        consistent = self.report.consistent and self.draw.consistent
        return consistent and not self.staff.faults and bool(tested)

    @property
    def exit_code(self) -> int:
        if not self.clean:
            return INCONSISTENT
        return INTERRUPTED if self.interrupted else 0

    @cached_property
    def clicks(self) -> list[Click]:
        """All accepted clicks, by the time at which they were sent."""
        return sorted(click for log in self.report.logs for click in _accepted_clicks(log))

    @cached_property
    def _hits(self) -> list[Injection]:
        return [injection for injection in self.injections if injection.hit]

    # --- As JSON ----------------------------------------------------------------------------------

    def as_json(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "seconds": self.seconds,
            "interrupted": self.interrupted,
            "faults_carried_out": len(self._hits),
            "faults": [self._fault_as_json(injection) for injection in self.injections],
            "nobody_accepted": self._longest_outage("accepted")._asdict(),
            "nobody_answered": self._longest_outage("answered")._asdict(),
            "staff": {
                "reads_of_the_books": self.staff.reads,
                "restocked": self.staff.restocked,
                "cancelled": self.staff.cancelled,
                "servers_away": self.staff.away,
                "faults": self.staff.faults,
            },
            "shoppers": self.report.as_json(),
            "draw": self.draw.as_json(),
            "clean": self.clean,
        }

    def _fault_as_json(self, injection: Injection) -> dict[str, Any]:
        accepted, answered = self._recovery_times(injection)
        return {
            "at": round(injection.at - self.began, 2),
            "what": injection.fault.what,
            "target": injection.fault.target,
            "lasts": injection.fault.lasts,
            "carried_out": injection.hit,
            "accepted_again": accepted,
            "answered_again": answered,
        }

    def _recovery_times(self, injection: Injection) -> tuple[float | None, float | None]:
        """Seconds from a fault until a click sent after it was accepted, and until one had its final
        status. None: never."""
        later = self.clicks[bisect_left(self.clicks, Click(injection.at, 0, 0)) :]
        return (
            _rounded(min((click.accepted for click in later), default=_NEVER) - injection.at),
            _rounded(min((click.answered for click in later), default=_NEVER) - injection.at),
        )

    def _longest_outage(self, event: str) -> Outage:
        """The longest gap between two clicks' `accepted` or `answered`, while shoppers were clicking."""
        end = max((click.sent for click in self.clicks), default=self.began)
        moments = sorted(getattr(click, event) for click in self.clicks)
        within = [self.began, *(moment for moment in moments if moment < end), end]
        gaps = (Outage(round(b - a, 2), round(a - self.began, 1)) for a, b in pairwise(within))
        return max(gaps, default=Outage(0, 0))

    # --- As text ----------------------------------------------------------------------------------

    def as_text(self) -> str:
        interrupted = ", interrupted" if self.interrupted else ""
        accepted, answered = self._longest_outage("accepted"), self._longest_outage("answered")
        staff = self.staff
        parts = [
            f"{self.seconds:g} s, seed {self.seed}{interrupted}:"
            f" {len(self._hits)} faults, {len(self.clicks):,} purchases accepted",
            self._chart(),
            aligned(_HEADINGS, [self._row(injection) for injection in self.injections]),
            self._untried(),
            "\n".join(self.report.summary_lines()),
            f"staff      restocked {staff.restocked:,} times, cancelled {staff.cancelled:,} orders,"
            f" reconciled {staff.reads:,} times; a server was away {staff.away:,} times",
            *self.draw.lines(),
            f"outages    no purchase accepted for {accepted.seconds:.1f} s (from"
            f" {accepted.since:.0f} s on), no outcome for {answered.seconds:.1f} s (from"
            f" {answered.since:.0f} s on)",
            "\n".join(
                [*self._reconciliation(), *self.report.verdict_lines()[:-1], self._verdict()]
            ),
        ]
        return "\n\n".join(part for part in parts if part)

    def _untried(self) -> str:
        """Name the faults that a longer drill would have had."""
        tried = {(hit.fault.what, hit.fault.target) for hit in self._hits}
        missed = [f"{target} {what}" for what, target in EVERYTHING if (what, target) not in tried]
        return f"Not tried in this time: {', '.join(missed)}." if missed else ""

    def _chart(self) -> str:
        """Draw the purchases accepted in each second, above the faults in it."""
        counts = Counter(int(click.accepted - self.began) for click in self.clicks)
        letters = {int(hit.at - self.began): _letter(hit) for hit in self._hits}
        most = max(counts.values(), default=0) or 1
        end = max([*counts, *letters], default=0) + 1
        rows = [f"Accepted per second, up to {most:,}; {_LEGEND}:"]
        for start in range(0, end, _ROW):
            row = range(start, min(start + _ROW, end))
            bars = "".join(_HEIGHTS[-(-counts[second] * 8 // most)] for second in row)
            faults = "".join(letters.get(second, " ") for second in row)
            rows += [f"{start:>4} s {bars}", f"{' ' * 7}{faults}"]
        return "\n".join(row.rstrip() for row in rows if row.strip())

    def _row(self, injection: Injection) -> tuple[str, ...]:
        at = f"{injection.at - self.began:.1f} s"
        if not injection.hit:
            return (at, f"{injection.fault.target} was not there", "", "")
        times = self._recovery_times(injection)
        return (at, str(injection.fault), *(_format_seconds(after) for after in times))

    def _reconciliation(self) -> list[str]:
        faults = self.staff.faults
        if not faults:
            return [f"Stock, ledger and orders agreed in PostgreSQL {self.staff.reads:,} times."]
        return [f"{kind}: {len(found)}, first: {found[0]}" for kind, found in faults.items()]

    def _verdict(self) -> str:
        if not self.clicks:
            return "NOT CLEAN: nothing was sold"
        if not self.staff.reads:
            return "NOT CLEAN: the staff never reconciled"
        return "CLEAN" if self.clean else "NOT CLEAN"


def _accepted_clicks(log: Log) -> Iterable[Click]:
    """The first acceptance of each purchase."""
    seen = set()
    for reply in log.replies:
        if reply.accepted and reply.purchase not in seen:
            seen.add(reply.purchase)
            final = log.final.get(reply.purchase)
            yield Click(reply.sent, reply.sent + reply.took, final.at if final else _NEVER)


def _letter(injection: Injection) -> str:
    letter = injection.fault.what[0]
    return letter.upper() if injection.fault.target[0].isupper() else letter


def _rounded(seconds: float) -> float | None:
    return None if seconds == _NEVER else round(seconds, 3)


def _format_seconds(after: float | None) -> str:
    return "never" if after is None else f"{after:.2f} s"
