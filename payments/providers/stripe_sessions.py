"""What Stripe is asked for when a shopper wants to pay: one Checkout Session for an order."""

import math
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from payments.providers.base import Order
from payments.providers.stripe_amounts import to_stripe

if TYPE_CHECKING:
    from stripe.params.checkout import SessionCreateParams

# Methods that can authorise now and be captured later (Stripe's changelog of 2025-09-30). Others are
# captured at once.
AUTHORISE_APART = frozenset(
    [
        *("affirm", "afterpay_clearpay", "alma", "amazon_pay", "billie", "card", "cashapp"),
        *("klarna", "link", "mobilepay", "paypal", "revolut_pay", "satispay"),
    ]
)
_LANGUAGES = ("en", "de")
_LEAST_LIFE = 30 * 60 + 60  # seconds: Stripe's minimum of a session, and a minute for the way there
_MOST_LIFE = 23 * 3600
_STEP = 600  # seconds


def session_params(order: Order, methods: list[str]) -> "SessionCreateParams":
    """Raises Refused if Stripe cannot take the amount."""
    named = {"attempt": order.key, "order": order.reference}
    params: SessionCreateParams = {
        "mode": "payment",
        "client_reference_id": order.key,
        "metadata": named,
        "line_items": [
            {
                "quantity": 1,
                "price_data": {
                    "currency": order.currency.lower(),
                    "unit_amount": to_stripe(order.amount, order.currency),
                    "product_data": {"name": order.title[:250]},
                },
            }
        ],
        "payment_intent_data": {"metadata": named, "description": order.reference},
        "allowed_payment_method_types": methods,
        # Otherwise Stripe may offer another currency than the order's.
        "adaptive_pricing": {"enabled": False},
        "locale": "auto",
        "success_url": order.back,
        "cancel_url": order.back,
    }
    if order.language in _LANGUAGES:
        params["locale"] = order.language
    if order.email:
        params["customer_email"] = order.email
    apart = [method for method in methods if method in AUTHORISE_APART]
    if apart == methods:
        params["payment_intent_data"]["capture_method"] = "manual"
    else:
        # Stripe refuses a session that is manual as a whole with a method that cannot be.
        params["payment_method_options"] = {  # type: ignore[typeddict-item]  # by method
            method: {"capture_method": "manual"} for method in apart
        }
    return params


def expiries(seconds: int) -> Iterator[int | None]:
    """When the session may expire, so that a shop that is down is not paid for hours: Unix time.

    A call that is repeated must ask for the same time, and knows it by the seconds left, to a second or
    two. So times are rounded, and their neighbours follow in case that the first call rounded otherwise.
    """
    life = seconds + _LEAST_LIFE
    if life > _MOST_LIFE:
        yield None  # Stripe's own, a day
        return
    first = math.ceil((time.time() + life) / _STEP) * _STEP
    yield from (first, first - _STEP, first + _STEP)
