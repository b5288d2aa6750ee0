"""What came of a drill in which things went wrong: as JSON and in words."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

from drills.faults import EVERYTHING, Done
from drills.report import Report
from drills.shopper import Log
from drills.staff import Seen
from ops.base_command import INCONSISTENT, INTERRUPTED, aligned

_HEIGHTS = " ▁▂▃▄▅▆▇█"
_ROW = 60  # seconds in a row of the picture
_HEADINGS = ("AT", "WHAT", "ACCEPTED AGAIN AFTER", "OUTCOME AGAIN AFTER")


class Click(NamedTuple):
    """A click that was accepted. Times are of the monotonic clock, in seconds."""

    sent: float
    accepted: float
    answered: float  # infinite where nobody ever was


class Outage(NamedTuple):
    """The longest time in which something did not happen."""

    seconds: float
    since: float  # seconds after the beginning


@dataclass(frozen=True)
class Aftermath:
    """A drill: what was done, what shoppers and staff experienced, and whether it is one story."""

    seed: int
    seconds: float
    interrupted: bool
    began: float
    done: Sequence[Done]
    staff: Seen
    report: Report

    @property
    def clean(self) -> bool:
        """Nothing is wrong, and there was something that could have gone wrong."""
        tried = self.clicks and self.staff.reads and (self._carried_out or not self.done)
        return self.report.consistent and not self.staff.faults and bool(tried)

    @property
    def exit_code(self) -> int:
        if not self.clean:
            return INCONSISTENT
        return INTERRUPTED if self.interrupted else 0

    @cached_property
    def clicks(self) -> list[Click]:
        """By the time at which they were sent."""
        return sorted(click for log in self.report.logs for click in _accepted(log))

    @cached_property
    def _carried_out(self) -> list[Done]:
        return [done for done in self.done if done.met]

    # --- As JSON ----------------------------------------------------------------------------------

    def as_json(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "seconds": self.seconds,
            "interrupted": self.interrupted,
            "faults_carried_out": len(self._carried_out),
            "faults": [self._fault_as_json(done) for done in self.done],
            "nobody_accepted": self._nobody("accepted")._asdict(),
            "nobody_answered": self._nobody("answered")._asdict(),
            "staff": {
                "reads_of_the_books": self.staff.reads,
                "restocked": self.staff.restocked,
                "cancelled": self.staff.cancelled,
                "servers_away": self.staff.away,
                "faults": self.staff.faults,
            },
            "shoppers": self.report.as_json(),
            "clean": self.clean,
        }

    def _fault_as_json(self, done: Done) -> dict[str, Any]:
        accepted, answered = self._again(done)
        return {
            "at": round(done.at - self.began, 2),
            "what": done.fault.what,
            "target": done.fault.target,
            "lasts": done.fault.lasts,
            "carried_out": done.met,
            "accepted_again": accepted,
            "answered_again": answered,
        }

    def _again(self, done: Done) -> tuple[float | None, float | None]:
        """Seconds until somebody who clicked after it was accepted, and was answered; None: never."""
        later = self.clicks[bisect_left(self.clicks, Click(done.at, 0, 0)) :]
        return (
            _rounded(min((click.accepted for click in later), default=_NEVER) - done.at),
            _rounded(min((click.answered for click in later), default=_NEVER) - done.at),
        )

    def _nobody(self, what: str) -> Outage:
        """How long nobody was accepted, or answered, at a stretch, while shoppers were clicking."""
        end = max((click.sent for click in self.clicks), default=self.began)
        moments = sorted(getattr(click, what) for click in self.clicks)
        within = [self.began, *(moment for moment in moments if moment < end), end]
        gaps = (Outage(round(b - a, 2), round(a - self.began, 1)) for a, b in pairwise(within))
        return max(gaps, default=Outage(0, 0))

    # --- In words ---------------------------------------------------------------------------------

    def words(self) -> str:
        interrupted = ", interrupted" if self.interrupted else ""
        accepted, answered = self._nobody("accepted"), self._nobody("answered")
        seen = self.staff
        parts = [
            f"{self.seconds:g} s, seed {self.seed}{interrupted}:"
            f" {len(self._carried_out)} faults, {len(self.clicks):,} purchases accepted",
            self._picture(),
            aligned(_HEADINGS, [self._row(done) for done in self.done]),
            self._untried(),
            "\n".join(self.report.story()),
            f"staff      restocked {seen.restocked:,} times, cancelled {seen.cancelled:,} orders, read"
            f" the books {seen.reads:,} times; a server was away {seen.away:,} times",
            f"outages    nobody accepted for {accepted.seconds:.1f} s (from {accepted.since:.0f} s on),"
            f" nobody answered for {answered.seconds:.1f} s (from {answered.since:.0f} s on)",
            "\n".join([*self._bank(), *self.report.verdict()[:-1], self._verdict()]),
        ]
        return "\n\n".join(part for part in parts if part)

    def _untried(self) -> str:
        """What a longer drill would have done."""
        done = {(done.fault.what, done.fault.target) for done in self._carried_out}
        missed = [f"{target} {what}" for what, target in EVERYTHING if (what, target) not in done]
        return f"Not tried in this time: {', '.join(missed)}." if missed else ""

    def _picture(self) -> str:
        """Purchases accepted by the second, and below what was done in it."""
        counts = Counter(int(click.accepted - self.began) for click in self.clicks)
        marks = {int(done.at - self.began): _mark(done) for done in self._carried_out}
        most = max(counts.values(), default=0) or 1
        end = max([*counts, *marks], default=0) + 1
        rows = [f"Accepted by the second, up to {most:,}; {_LEGEND}:"]
        for start in range(0, end, _ROW):
            row = range(start, min(start + _ROW, end))
            bars = "".join(_HEIGHTS[-(-counts[second] * 8 // most)] for second in row)
            rows += [f"{start:>4} s {bars}", f"{' ' * 7}{''.join(marks.get(s, ' ') for s in row)}"]
        return "\n".join(row.rstrip() for row in rows if row.strip())

    def _row(self, done: Done) -> tuple[str, ...]:
        at = f"{done.at - self.began:.1f} s"
        if not done.met:
            return (at, f"{done.fault.target} was not there", "", "")
        return (at, str(done.fault), *(_seconds(after) for after in self._again(done)))

    def _bank(self) -> list[str]:
        faults = self.staff.faults
        if not faults:
            return [f"The books balanced in PostgreSQL each of the {self.staff.reads:,} times."]
        return [f"{kind}: {len(found)}, first: {found[0]}" for kind, found in faults.items()]

    def _verdict(self) -> str:
        if not self.clicks:
            return "NOT CLEAN: nothing was sold"
        if not self.staff.reads:
            return "NOT CLEAN: nobody read the books"
        return "CLEAN" if self.clean else "NOT CLEAN"


_NEVER = float("inf")
_LEGEND = "k killed, f frozen, r restarted; in capitals what keeps data"


def _accepted(log: Log) -> Iterable[Click]:
    """The first acceptance of each purchase."""
    seen = set()
    for heard in log.heard:
        if heard.accepted and heard.purchase not in seen:
            seen.add(heard.purchase)
            told = log.final.get(heard.purchase)
            yield Click(heard.sent, heard.sent + heard.took, told.at if told else _NEVER)


def _mark(done: Done) -> str:
    letter = done.fault.what[0]
    return letter.upper() if done.fault.target[0].isupper() else letter


def _rounded(seconds: float) -> float | None:
    return None if seconds == _NEVER else round(seconds, 3)


def _seconds(after: float | None) -> str:
    return "never" if after is None else f"{after:.2f} s"
