"""The draw of a drill with faults: its books, its record, and what its shoppers were told."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from drills import log_check
from drills.log_check import Fault, Units
from drills.private_shop import wait_for
from drills.report import faults_as_json, list_faults
from drills.shopper_log import Log
from inventory.gate import replica
from inventory.models import Sale
from orders import reconciliation
from orders.draws import verification


@dataclass(frozen=True)
class DrawReport:
    """What came of the draw. `faults` are of its record and of the answers to its shoppers."""

    entries: int
    stayed: int  # entries whose shopper heard the outcome
    faults: Sequence[Fault]
    verified: reconciliation.Report

    @classmethod
    def read(cls, sale: Sale, before: dict[str, Units], logs: Sequence[Log]) -> "DrawReport":
        """Wait until the draw is done, and check it. `before` is `read_stock` from before the drill."""

        def is_done() -> bool:
            sale.refresh_from_db()
            return sale.draw == Sale.Draw.DONE and replica.read_view(sale.pk).ready

        wait_for(is_done)
        verified = verification.verify(sale)
        wrong = [Fault("draw", fault._asdict()) for fault in verified.faults]
        told = log_check.find_faults(logs, log_check.DatabaseState.read(sale, before, logs))
        heard = [update.status != "waiting" for log in logs for update in log.final.values()]
        report = reconciliation.verify(sale.pk)
        return cls(verified.entries, sum(heard), [*wrong, *told], report)

    @property
    def consistent(self) -> bool:
        """Whether there were entries, and all is well with them."""
        return bool(self.entries) and not self.faults and self.verified.balanced

    def as_json(self) -> dict[str, Any]:
        return {
            "entries": self.entries,
            "heard_the_outcome": self.stayed,
            "faults": faults_as_json(self.faults),
            "verify": self.verified.as_json(),
            "consistent": self.consistent,
        }

    def lines(self) -> list[str]:
        words = "as its record says" if self.consistent else "NOT CONSISTENT"
        line = f"draw       {self.entries:,} entries, {self.stayed:,} shoppers heard the outcome; {words}"
        faults = faults_as_json(self.faults) | self.verified.as_json()["faults"]
        return [line, *list_faults(faults)] if faults else [line]
