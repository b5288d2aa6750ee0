"""What somebody has to look at, and why."""

from collections.abc import Iterable

from django.conf import settings

from dashboard.snapshot import Alarm, SaleFigures, Snapshot
from flashsale.observe import telemetry_reader
from inventory.gate.state import WAITS_LONG

BEHIND_TOO_LONG = 3.0  # seconds for which a gate may not have heard of a change


_LINE_FULL = 0.5  # of LINE_BOUND


def alarms_of(snapshot: Snapshot) -> Iterable[Alarm]:
    for part in snapshot.parts:
        if not part.ok:
            yield Alarm(f"{part.name.lower()}-down", f"{part.name}: {part.words}.")
    told = next(part for part in snapshot.parts if part.name == "Telemetry").ok
    if told:
        for role in ("worker", "beat"):
            if not snapshot.alive(role):
                yield Alarm(
                    f"no-{role}", f"No {role} has been heard of for {telemetry_reader.ALIVE:.0f} s."
                )
    redis_answers = next(part for part in snapshot.parts if part.name == "Redis").ok
    for figures in snapshot.sales:
        if redis_answers and figures.gate == "unknown":
            yield Alarm(
                "gate-corrupt", f"{figures.sale.name}: what stands in its gate cannot be read."
            )
        yield from _sale_alarms(figures)


def _sale_alarms(figures: SaleFigures) -> Iterable[Alarm]:
    name = figures.sale.name
    if figures.state == "upcoming, paused":
        yield Alarm("paused-before", f"{name}: it is paused, and will not open unless resumed.")
    if figures.gate == "not_ready":
        yield Alarm("gate-not-ready", f"{name}: the gate is cold, clicks are told to try again.")
    if figures.oldest is not None and figures.oldest > WAITS_LONG:
        yield Alarm("line-waits", f"{name}: the line has waited for {figures.oldest / 1000:.1f} s.")
    if figures.waiting is not None and figures.waiting > _LINE_FULL * settings.LINE_BOUND:
        yield Alarm(
            "line-full", f"{name}: {figures.waiting} of {settings.LINE_BOUND} places are taken."
        )
    if figures.poison:
        yield Alarm("poison", f"{name}: {figures.poison} purchases could not be processed.")
