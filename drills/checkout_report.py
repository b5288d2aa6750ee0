"""What became of the holds of a crowd: orders, payments and money, as JSON and as text."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from drills.log_check import Fault
from drills.money_check import (
    Money,
    Payment,
    count_open,
    count_untold,
    find_money_faults,
    read_money,
)
from drills.payers import PayersLog
from flashsale.templatetags.money import money as show_money
from inventory.models import Sale, StockMovement
from orders.cancellation import THE_SHOPPER

_TICK = 0.25  # seconds between two looks


@dataclass(frozen=True)
class CheckoutReport:
    """The payers' log, and the money of the sale after it came to rest."""

    log: PayersLog
    money: Money
    given_back: int
    faults: Sequence[Fault]

    @property
    def consistent(self) -> bool:
        return not self.faults

    def as_json(self) -> dict[str, Any]:
        return {
            "habits": dict(self.log.habits),
            "given_back": self.given_back,
            **self.money.as_json(),
        }

    def lines(self) -> list[str]:
        counts = self.money.as_json()
        orders = {
            **{status: counts["orders"].get(status, 0) for status in ("held", "confirmed")},
            "expired": counts["orders"].get("expired", 0),
            "given back": self.given_back,
        }
        currency = next((order.currency for order in self.money.orders.values()), "")
        sums = [
            f"{what} {show_money(counts[name], currency)}"
            for what, name in (
                ("captured", "captured"),
                ("refunded", "refunded"),
                ("confirmed orders", "total_of_confirmed"),
            )
        ]
        lines = [
            f"payers     {self.log.habits.total():,}: {_join(self.log.habits.items())}",
            f"orders     {_join(orders.items())}",
        ]
        if self.money.charged:
            lines += [
                f"payments   {_join(counts['payments'].items()) or 'none'}",
                f"money      {', '.join(sums)}",
            ]
        return lines


def settle_checkouts(
    sale: Sale, log: PayersLog, seconds: float, books: Iterable[Payment] | None = None
) -> CheckoutReport:
    """Wait until every payment has its end, and compare money with orders. What does not agree after
    `seconds` is a fault. `books` are the provider's, if it is not the demo."""
    end = time.monotonic() + seconds
    while (count_untold(sale) or count_open(sale)) and time.monotonic() < end:
        time.sleep(_TICK)
    money = read_money(sale, books)
    faults = [Fault("unexpected_page", {"page": problem}) for problem in log.problems]
    faults += find_money_faults(money)
    given_back = StockMovement.objects.filter(
        order__in=money.orders, reason=StockMovement.Reason.CANCELLED, actor=THE_SHOPPER
    )
    return CheckoutReport(log, money, given_back.count(), faults)


def _join(counts: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{what} {count:,}" for what, count in counts)
