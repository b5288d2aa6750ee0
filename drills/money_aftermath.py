"""The results of the drill of money, as JSON and as text."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from drills.checkout_report import CheckoutReport
from drills.faults import Injection
from drills.log_check import Fault
from drills.money_crowd import MoneyLog
from drills.report import faults_as_json, list_faults, summarize_times
from drills.staff import StaffLog
from ops.base_command import INCONSISTENT
from orders import reconciliation

# What an order may be in the end, by what its shopper was told last.
_LEADS_TO = {
    "held": ("confirmed", "expired", "cancelled"),
    "confirmed": ("confirmed", "cancelled"),
    "expired": ("expired", "confirmed", "cancelled"),
    "cancelled": ("cancelled",),
}


@dataclass(frozen=True)
class MoneyAftermath:
    """Its faults, what shoppers and staff experienced, the money, and the verdict."""

    seed: int
    seconds: float
    began: float
    injections: Sequence[Injection]
    staff: StaffLog
    shoppers: MoneyLog
    checkout: CheckoutReport
    verified: reconciliation.Report
    rested: float  # seconds until every payment had its end

    @property
    def hits(self) -> int:
        return sum(injection.hit for injection in self.injections)

    @property
    def faults(self) -> list[Fault]:
        return [*self.checkout.faults, *self._lies()]

    @property
    def clean(self) -> bool:
        """Whether no promise was broken, and the drill could have broken each."""
        balanced = self.verified.balanced and not self.staff.faults
        return balanced and not self.faults and not self.untried

    @property
    def untried(self) -> list[str]:
        """Events without which a drill proves nothing, and that did not happen."""
        counts = self.checkout.money.as_json()
        happened = {
            "reconciled": self.staff.reads,
            "refunded": counts["refunded"],
            **{each: counts["orders"].get(each) for each in ("confirmed", "expired", "cancelled")},
            "hit by a fault": self.hits or not self.injections,
        }
        return [what for what, often in happened.items() if not often]

    @property
    def exit_code(self) -> int:
        return 0 if self.clean else INCONSISTENT

    def _lies(self) -> list[Fault]:
        """What shoppers were told last, and what no order became."""
        orders = self.checkout.money.orders
        return [
            Fault("told_otherwise", {"order": f"{pk}", "told": told, "order_is": orders[pk].status})
            for pk, told in self.shoppers.told.items()
            if orders[pk].status not in _LEADS_TO.get(told, ())
        ]

    def as_json(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "seconds": self.seconds,
            "faults_carried_out": self.hits,
            "faults": [
                {
                    "at": round(injection.at - self.began, 2),
                    "what": injection.fault.what,
                    "target": injection.fault.target,
                    "carried_out": injection.hit,
                }
                for injection in self.injections
            ],
            "staff": {
                "cancelled": self.staff.cancelled,
                "reads_of_the_books": self.staff.reads,
                "servers_away": self.staff.away,
                "faults": self.staff.faults,
            },
            "shoppers_without_an_answer": self.shoppers.late,
            **self.checkout.as_json(),
            "milliseconds": {
                kind: summarize_times(took * 1000 for took in times)
                for kind, times in self.shoppers.times.items()
            },
            "rested_after": round(self.rested, 1),
            "money_faults": faults_as_json(self.faults),
            "verify": self.verified.as_json(),
            "untried": self.untried,
            "clean": self.clean,
        }

    def as_text(self) -> str:
        targets = Counter(str(each.fault.target) for each in self.injections if each.hit)
        hit = ", ".join(f"{target} {count}" for target, count in targets.most_common())
        staff, late = self.staff, self.shoppers.late
        agree = "agree" if self.verified.balanced else "do NOT agree"
        lines = [
            f"{self.seconds:g} s, seed {self.seed}: {self.hits} faults ({hit})",
            *self.checkout.lines(),
            f"staff      cancelled {staff.cancelled:,} orders, reconciled {staff.reads:,} times;"
            f" a server was away {staff.away:,} times",
            f"end        {late:,} shoppers left without an answer; every payment had its end"
            f" after {self.rested:.0f} s",
            f"Stock, ledger, orders, gate and payments {agree}.",
            *list_faults(self.verified.as_json()["faults"]),
            *(f"while it ran: {kind}: {len(found)}" for kind, found in staff.faults.items()),
            *list_faults(faults_as_json(self.faults)),
            *(f"Nothing was {what}." for what in self.untried),
            "CLEAN" if self.clean else "NOT CLEAN",
        ]
        return "\n".join(lines)
