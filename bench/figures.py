"""The figures of a bench, each with unit, limit and aim; and the results."""

import statistics
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from bench.processor import GENERATOR, ROLES
from drills.checkout import CHECKOUT, CHOICE, DETAILS, ORDER, PROVIDER, RETURN

RATE, MS, KB, US = "/s", "ms", "kB", "µs"

# This limit on the reference machine, when the aims were set (`docs/performance.md`). On a slower or busier
# machine the aims are scaled by the ratio of this figure; ratios to a limit are not scaled.
POOL, SQL = "bare: a writing script, by redis-py's pool", "bare: SQL batches"
REFERENCE = 10_500.0  # of POOL


@dataclass(frozen=True)
class Figure:
    """A measured quantity."""

    name: str
    unit: str
    aim: float | None = None
    limit: str = ""  # the figure with the machine's limit
    least: float | None = None  # the least acceptable ratio to the limit

    @property
    def more_is_better(self) -> bool:
        return self.unit == RATE


WRITES = {n: f"bare: a writing script, {n} connections" for n in (64, 256, 1000)}
READS = "bare: a reading script, 256 connections"
READS_LITTLE = "bare: a script that reads little, 256 connections"
ACCEPTED = {n: f"accepted, {n} connections" for n in WRITES}
COMMITTED = {n: f"committed under the load, {n} connections" for n in WRITES}
EMPTY = {n: f"line empty after the load, {n} connections" for n in WRITES}
ACCEPT_P50 = {n: f"click to accepted p50, {n} connections" for n in WRITES}
ACCEPT_P99 = {n: f"click to accepted p99, {n} connections" for n in WRITES}
SPENT_AT = 256  # connections
SPENT = {role: f"processor time per order: {role}" for role in (*ROLES, GENERATOR)}
REFUSED = {kind: f"refused: {kind}" for kind in ("limit", "sold out", "paused", "too fast")}
PAGES = {
    kind: f"page: {kind}"
    for kind in ("sale, newcomer", "sale, known shopper", "index", "outcome", "static file")
}
BYTES = {kind: f"bare: as many bytes as {name}" for kind, name in PAGES.items()}
USERS = (5, 64, 256)
LOOP = {n: f"closed loop, {n} users" for n in USERS}
LOOP_P50 = {n: f"closed loop p50, {n} users" for n in USERS}
LOOP_P99 = {n: f"closed loop p99, {n} users" for n in USERS}
IDLE = {share: f"click to confirmed {share}, idle" for share in ("p50", "p99")}
SILENCE = {share: f"click to confirmed {share}, after a silence" for share in ("p50", "p99")}
HALF = {share: f"click to confirmed {share}, at half load" for share in ("p50", "p99")}
SOCKETS = (100, 500, 1000, 5000)
LAST = {
    (n, share): f"stock to the last of {n:,} sockets {share}"
    for n in SOCKETS
    for share in ("p50", "p99")
}
PAUSE = "a pause by staff to the shopper's page p50"
MEMORY, OPENED = "memory of a socket", "sockets opened"
WATCHED = "accepted, 256 connections, a dashboard watching"

# Winners who all check out: people who type, and programs that do not, so many at a time.
WINNERS = 1000
HASTY = (64, WINNERS)
PEOPLE, AUTOFILL = "1,000 winners", "1,000 winners with autofill"
CHECKOUT_PAGES = {
    pace: {share: f"checkout, {pace}, pages p{share}" for share in (50, 95, 99)}
    for pace in (PEOPLE, AUTOFILL)
}
CHECKOUT_PAGE = {
    page: f"checkout, {PEOPLE}, {page} p99"
    for page in (CHECKOUT, DETAILS, PROVIDER, CHOICE, RETURN, ORDER)
}
CHECKOUT_CONFIRMED = {n: f"checkout without typing, {n:,} at a time: confirmed" for n in HASTY}
CHECKOUT_P99 = {n: f"checkout without typing, {n:,} at a time: pages p99" for n in HASTY}

FIGURES = (
    Figure(POOL, RATE),
    Figure(SQL, RATE),
    *(
        figure
        for n, aims in {64: (None, 38), 256: (6500, 120), 1000: (None, None)}.items()
        for figure in (
            Figure(WRITES[n], RATE),
            Figure(ACCEPTED[n], RATE, aims[0], WRITES[n], 0.6),
            Figure(COMMITTED[n], RATE, aims[0], WRITES[n], 0.6),
            Figure(EMPTY[n], MS, 1000 if aims[0] else None),
            Figure(ACCEPT_P50[n], MS),
            Figure(ACCEPT_P99[n], MS, aims[1]),
        )
    ),
    *(Figure(name, US) for name in SPENT.values()),
    Figure(WATCHED, RATE, limit=ACCEPTED[256]),
    Figure(READS, RATE),
    Figure(READS_LITTLE, RATE),
    *(
        Figure(name, RATE, 10_000, READS_LITTLE if kind == "paused" else READS, 0.8)
        for kind, name in REFUSED.items()
    ),
    *(
        figure
        for kind, name in PAGES.items()
        for figure in (
            Figure(BYTES[kind], RATE),
            Figure(name, RATE, 8000 if kind.startswith("sale") else None, BYTES[kind], 0.5),
        )
    ),
    Figure(IDLE["p50"], MS, 6),
    Figure(IDLE["p99"], MS, 12),
    *(Figure(name, MS) for name in (*SILENCE.values(), *HALF.values())),
    *(
        figure
        for n, (rate, p99) in {5: (650, None), 64: (1500, 250), 256: (1500, 250)}.items()
        for figure in (
            Figure(LOOP[n], RATE, rate),
            Figure(LOOP_P50[n], MS),
            Figure(LOOP_P99[n], MS, p99),
        )
    ),
    *(
        Figure(name, MS, {(500, "p50"): 9, (1000, "p99"): 30, (5000, "p99"): 120}.get(key))
        for key, name in LAST.items()
    ),
    Figure(PAUSE, MS),
    Figure(MEMORY, KB, 40),
    Figure(OPENED, RATE),
    *(
        Figure(name, MS, 1000 if share == 99 else None)
        for pages in CHECKOUT_PAGES.values()
        for share, name in pages.items()
    ),
    *(Figure(name, MS) for name in CHECKOUT_PAGE.values()),
    *(
        figure
        for n in HASTY
        for figure in (Figure(CHECKOUT_CONFIRMED[n], RATE), Figure(CHECKOUT_P99[n], MS))
    ),
)
_BY_NAME = {figure.name: figure for figure in FIGURES}


class Results:
    """Measured values, by figure and round."""

    def __init__(self) -> None:
        self.round = 1
        self._rounds: dict[str, dict[int, float]] = defaultdict(dict)

    def add(self, name: str, value: float) -> None:
        assert name in _BY_NAME, name
        self._rounds[name][self.round] = value

    def values(self, name: str) -> list[float]:
        return list(self._rounds.get(name, {}).values())

    def median(self, name: str) -> float | None:
        values = self.values(name)
        return statistics.median(values) if values else None

    @property
    def factor(self) -> float | None:
        """The speed of this machine relative to the reference machine, at most 1. None if not measured."""
        median = self.median(POOL)
        return None if median is None else min(1.0, median / REFERENCE)

    def ratio(self, figure: Figure) -> float | None:
        """The ratio to the figure's limit: the median over the rounds that have both."""
        values, limits = (self._rounds.get(name, {}) for name in (figure.name, figure.limit))
        ratios = [values[n] / limits[n] for n in values.keys() & limits.keys() if limits[n]]
        return statistics.median(ratios) if ratios else None

    def aim(self, figure: Figure) -> float | None:
        """The aim, scaled to the speed of this machine."""
        if figure.aim is None or figure.unit == KB or self.factor is None:
            return figure.aim
        return figure.aim * self.factor if figure.more_is_better else figure.aim / self.factor

    def met(self, figure: Figure) -> bool | None:
        """Whether aim and least ratio are met. None if the figure has neither, or was not measured."""
        median, aim, ratio = self.median(figure.name), self.aim(figure), self.ratio(figure)
        if median is None:
            return None
        checks = []
        if aim is not None:
            checks.append(median >= aim if figure.more_is_better else median <= aim)
        if figure.least is not None and ratio is not None:
            checks.append(ratio >= figure.least)
        return all(checks) if checks else None

    def as_json(self) -> dict[str, Any]:
        return {
            "factor": _rounded(self.factor),
            "figures": [
                {
                    "name": figure.name,
                    "unit": figure.unit,
                    "median": _rounded(self.median(figure.name)),
                    "values": [_rounded(value) for value in self.values(figure.name)],
                    "limit": figure.limit or None,
                    "ratio": _rounded(self.ratio(figure)),
                    "least_ratio": figure.least,
                    "aim": figure.aim,
                    "aim_here": _rounded(self.aim(figure)),
                    "met": self.met(figure),
                }
                for figure in FIGURES
                if self.values(figure.name)
            ],
        }

    def rows(self) -> list[tuple[str, str, str, str, str, str]]:
        """One row per figure: name, median, range, ratio to the limit, aim, and whether it was met."""
        rows = []
        for figure in FIGURES:
            values = self.values(figure.name)
            if not values:
                continue
            ratio, aim, met = self.ratio(figure), self.aim(figure), self.met(figure)
            aims = [f"{'≥' if figure.more_is_better else '≤'} {_format(aim)}"] if aim else []
            if figure.least:
                aims.append(f"≥ {figure.least:g} of the limit")
            rows.append(
                (
                    figure.name,
                    f"{_format(statistics.median(values))} {figure.unit}",
                    f"{_format(min(values))} to {_format(max(values))}",
                    f"{ratio:.2f}" if ratio else "",
                    ", ".join(aims),
                    {True: "met", False: "missed", None: ""}[met],
                )
            )
        return rows


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _format(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
