"""Find what staff have to look at in a snapshot, and say why."""

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import NamedTuple

from django.conf import settings

from dashboard.snapshot import Alarm, SaleFigures, Snapshot
from flashsale.observe import telemetry_reader
from payments.figures import Figures

# The caretaker settles after 1 s. `deploy/prometheus/alerts.yml` waits longer: it wakes people.
WAITS_LONG = 2_000  # ms in the line
UNKNOWN_TOO_LONG = 60.0  # seconds for which the end of a payment may be unknown
BEHIND_TOO_LONG = 3.0  # seconds for which a gate may lack a change
MAIL_WAITS_LONG = timedelta(minutes=5)
_LINE_FULL = 0.5  # of LINE_BOUND


def find_alarms(snapshot: Snapshot) -> Iterator[Alarm]:
    """Find all alarms that one snapshot shows by itself; `GatesBehind` needs several."""
    yield from _find_broken_stores(snapshot)
    if snapshot.is_ok("Telemetry"):  # else the processes cannot be known
        yield from _find_missing_processes(snapshot)
    yield from _find_troubled_payments(snapshot.payments)
    yield from _find_unsent_mails(snapshot)
    for figures in snapshot.sales:
        if snapshot.is_ok("Redis") and figures.gate == "unknown":
            yield Alarm("gate-corrupt", f"{figures.sale}: its gate is corrupt.")
        yield from _find_troubled_sale(figures)
    for sale, overdue in snapshot.overdue_holds.items():
        words = f"{overdue:,} holds ended more than a minute ago, and still keep their units."
        yield Alarm("holds-overdue", f"{sale}: {words}")
    for late in snapshot.late_draws:
        minutes = max(1, (snapshot.at - late.since) // timedelta(minutes=1))
        ago = f"{minutes} minute{'s' * (minutes > 1)}"
        yield Alarm("draw-late", f"{late.sale}: its draw has not moved for {ago}: {late.words}.")


def _find_broken_stores(snapshot: Snapshot) -> Iterator[Alarm]:
    for part in snapshot.parts:
        if not part.ok:
            fault = "read-only" if part.read_only else "down"
            yield Alarm(f"{part.name.lower()}-{fault}", f"{part.name}: {part.words}.")


def _find_missing_processes(snapshot: Snapshot) -> Iterator[Alarm]:
    for role in ("worker", "beat"):
        if not snapshot.alive(role):
            yield Alarm(f"no-{role}", f"No {role} has reported for {telemetry_reader.ALIVE:.0f} s.")


def _find_troubled_payments(figures: Figures) -> Iterator[Alarm]:
    if figures.oldest_unknown > UNKNOWN_TOO_LONG:
        words = f"A payment's end has been unknown for {figures.oldest_unknown:.0f} s."
        yield Alarm("payment-unknown", words)
    if lost := figures.lost:
        words = f"{lost} payment{'s' * (lost > 1)} cannot be found at the provider."
        check = (
            "Is it in PAYMENT_PROVIDERS, and the key of the right account? If so, look there, and"
        )
        check += " cancel an order that was not paid."
        yield Alarm("payment-lost", f"{words} {check}")
    if failed := figures.refunds["failed"]:
        yield Alarm("refund-failed", f"{failed} refund{'s' * (failed > 1)} failed.")


def _find_unsent_mails(snapshot: Snapshot) -> Iterator[Alarm]:
    mails = snapshot.mails
    if mails.waiting and not settings.MAIL_IS_SENT:
        yield Alarm("mail-waits", f"{mails.waiting} mails wait: no EMAIL_URL is set.")
    elif mails.oldest and snapshot.at - mails.oldest > MAIL_WAITS_LONG:
        minutes = (snapshot.at - mails.oldest) // timedelta(minutes=1)
        words = f"{mails.waiting} mails wait, the oldest for {minutes} minutes."
        yield Alarm("mail-waits", words)
    if mails.failed:
        yield Alarm("mail-failed", f"{mails.failed} mails of the last day were given up.")


def _find_troubled_sale(figures: SaleFigures) -> Iterator[Alarm]:
    name = str(figures.sale)  # isolated: it may be written from right to left
    if figures.state == "upcoming, paused":
        yield Alarm("paused-before", f"{name}: it is paused, and will not open unless resumed.")
    if figures.gate == "not_ready":
        yield Alarm(
            "gate-not-ready", f"{name}: the gate is not ready, shoppers are asked to try again."
        )
    if figures.oldest is not None and figures.oldest > WAITS_LONG:
        yield Alarm("line-waits", f"{name}: the line has waited for {figures.oldest / 1000:.1f} s.")
    if figures.waiting is not None and figures.waiting > _LINE_FULL * settings.LINE_BOUND:
        yield Alarm(
            "line-full", f"{name}: {figures.waiting} of {settings.LINE_BOUND} places are taken."
        )
    if figures.poison:
        yield Alarm("poison", f"{name}: {figures.poison} purchases could not be processed.")


class _Awaited(NamedTuple):
    """The version of its sale that a gate has to reach."""

    version: int
    since: float  # monotonic seconds


class GatesBehind:
    """Remembers, from one snapshot to the next, since when each gate is behind its sale.

    Every change leaves a gate behind for a moment, and in a rush its version never equals the sale's:
    only a version that the gate does not reach in time is an alarm.
    """

    def __init__(self) -> None:
        self._awaited: dict[int, _Awaited] = {}  # by sale

    def find_alarms(self, snapshot: Snapshot) -> list[Alarm]:
        """Compare with the snapshots before; call it once for each snapshot."""
        now = time.monotonic()
        behind = [figures for figures in snapshot.sales if _is_behind(figures)]
        # A sale that is not behind any more, or not shown any more, is forgotten.
        self._awaited = {figures.sale.pk: self._await(figures, now) for figures in behind}
        return [
            self._alarm_about(figures)
            for figures in behind
            if now - self._awaited[figures.sale.pk].since > BEHIND_TOO_LONG
        ]

    def _await(self, figures: SaleFigures, now: float) -> _Awaited:
        """The version awaited so far, until the gate reaches it; then the sale's present one."""
        awaited = self._awaited.get(figures.sale.pk)
        if awaited is None or (figures.gate_version or 0) >= awaited.version:
            return _Awaited(figures.sale.version, now)
        return awaited

    def _alarm_about(self, figures: SaleFigures) -> Alarm:
        wanted = self._awaited[figures.sale.pk].version
        words = f"the gate is at version {figures.gate_version}, not yet at {wanted}."
        return Alarm("gate-behind", f"{figures.sale}: {words}")


def _is_behind(figures: SaleFigures) -> bool:
    return figures.gate_version is not None and figures.gate_version < figures.sale.version
