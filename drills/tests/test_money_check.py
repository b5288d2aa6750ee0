"""Money is compared with orders: each way in which they may disagree is found."""

from uuid import UUID, uuid4

import pytest

from drills.money_check import Money, OrderSeen, Payment, find_money_faults
from payments.models import Attempt, Refund

ORDER, ATTEMPT = uuid4(), uuid4()


def money(
    status: str,
    *books: Payment,
    state: str = "captured",
    refunds: tuple[Refund, ...] = (),
    reference: str = "one",
) -> Money:
    """One order of 12.00 euros with one attempt, and what the provider has booked."""
    attempt = Attempt(id=ATTEMPT, order_id=ORDER, reference=reference, state=state)
    orders = {ORDER: OrderSeen(status, 1200, "EUR")}
    return Money(orders, [attempt], list(refunds), list(books), charged=True)


def booked(
    state: str,
    captured: int = 0,
    refunded: int = 0,
    *,
    key: UUID | str = ATTEMPT,
    reference: str = "one",
    currency: str = "EUR",
) -> Payment:
    return Payment(reference, f"{key}", state, captured, refunded, currency)


def kinds(seen: Money) -> list[str]:
    return [fault.kind for fault in find_money_faults(seen)]


@pytest.mark.parametrize(
    "seen",
    [
        money("confirmed", booked("captured", 1200)),
        money("cancelled", booked("refunded", 1200, 1200), state="refunded"),
        money("expired", booked("voided"), state="voided"),
        money("held", booked("open"), state="created"),
        money("held", state="created"),
        money("expired", booked("open"), state="failed", reference=""),
        money(
            "confirmed",
            booked("captured", 1200),
            booked("refunded", 1200, 1200, key=f"{ATTEMPT} twice", reference="two"),
        ),
    ],
)
def test_what_agrees_is_no_fault(seen: Money) -> None:
    assert kinds(seen) == []


@pytest.mark.parametrize(
    ("seen", "kind"),
    [
        (money("expired", booked("captured", 1200)), "charged_without_units"),
        (money("cancelled", booked("refunded", 1200, 1000)), "charged_without_units"),
        (money("confirmed", booked("open"), state="created"), "units_without_payment"),
        (money("confirmed", booked("captured", 1)), "units_without_payment"),
        (
            money(
                "confirmed",
                booked("captured", 1200),
                booked("captured", 1200, key=f"{ATTEMPT} twice", reference="two"),
            ),
            "charged_too_much",
        ),
        (money("confirmed", booked("captured", 1200, currency="JPY")), "another_currency"),
        (money("expired", booked("authorised"), state="authorised"), "payment_without_an_end"),
        (money("expired", booked("open"), state="failed"), "payment_without_an_end"),
        (money("expired", booked("captured", 5, key="x", reference="x")), "payment_of_no_order"),
        (
            money("confirmed", booked("captured", 1200), state="capturing"),
            "shop_and_provider_disagree",
        ),
        (
            money(
                "cancelled",
                booked("captured", 1200),
                state="refund_pending",
                refunds=(Refund(id=uuid4(), state="failed"),),
            ),
            "refund_without_an_end",
        ),
    ],
)
def test_what_does_not_agree_is_a_fault(seen: Money, kind: str) -> None:
    assert kind in kinds(seen)


def test_sums_are_compared_too() -> None:
    assert "money_is_not_the_orders" in kinds(money("confirmed", booked("captured", 1100)))
