"""Stripe's published shapes, as its package declares them: parameters of calls, fields of answers.

The package is generated from Stripe's OpenAPI document, for the version that the provider pins.
"""

import builtins
import sys
import typing
from collections.abc import Iterator
from functools import cache
from types import UnionType
from typing import Any, Literal, NotRequired, Required, Union, get_args, get_origin

import stripe
from stripe.params import (
    PaymentIntentCancelParams,
    PaymentIntentCaptureParams,
    RefundCreateParams,
    RefundListParams,
)
from stripe.params.checkout import SessionCreateParams, SessionExpireParams
from typing_extensions import is_typeddict

PARAMETERS: dict[str, Any] = {
    "create_session": SessionCreateParams,
    "expire_session": SessionExpireParams,
    "capture_intent": PaymentIntentCaptureParams,
    "cancel_intent": PaymentIntentCancelParams,
    "create_refund": RefundCreateParams,
    "list_refunds": RefundListParams,
}
OBJECTS: dict[str, type] = {
    "checkout.session": stripe.checkout.Session,
    "payment_intent": stripe.PaymentIntent,
    "charge": stripe.Charge,
    "refund": stripe.Refund,
    "event": stripe.Event,
}


class _Names(dict[str, Any]):
    """Names that annotations use. Those that only type checkers import mean anything."""

    def __init__(self, owner: type) -> None:
        super().__init__({**vars(builtins), **vars(typing)})
        self.update(vars(sys.modules[owner.__module__]))
        self.update(vars(owner))

    def __missing__(self, name: str) -> Any:
        return Any


@cache
def hints(owner: type) -> dict[str, Any]:
    return typing.get_type_hints(owner, None, _Names(owner), include_extras=True)


def unknown_parameters(params: Any, shape: Any, path: str = "") -> Iterator[str]:
    """The names that Stripe would refuse as unknown, as it writes them: a[b]."""
    shape = _bare(shape)
    for choice in _choices(shape):
        if is_typeddict(choice) and isinstance(params, dict):
            known = hints(choice)
            for name, value in params.items():
                inner = f"{path}[{name}]" if path else name
                if name not in known:
                    yield inner
                else:
                    yield from unknown_parameters(value, known[name], inner)
        elif get_origin(choice) is list and isinstance(params, list):
            for number, value in enumerate(params):
                yield from unknown_parameters(value, get_args(choice)[0], f"{path}[{number}]")


def misshapen(value: Any, shape: Any, path: str) -> Iterator[str]:
    """Where an answer differs from what the package declares."""
    choices = _choices(_bare(shape))
    if isinstance(value, dict):
        owner = OBJECTS.get(str(value.get("object", "")))
        owner = owner or next((c for c in choices if _is_stripe_object(c)), None)
        if owner and owner is not stripe.StripeObject:
            yield from _misshapen_fields(value, owner, path)
        return
    if not any(_fits(value, choice) for choice in choices):
        yield f"{path}: {value!r} is not {shape}"


def _misshapen_fields(value: dict[str, Any], owner: type, path: str) -> Iterator[str]:
    known = hints(owner)
    for name, field in value.items():
        if name not in known:
            yield f"{path}.{name}: unknown"
        else:
            yield from misshapen(field, known[name], f"{path}.{name}")


def _is_stripe_object(choice: Any) -> bool:
    return isinstance(choice, type) and issubclass(choice, stripe.StripeObject)


def _fits(value: Any, choice: Any) -> bool:
    origin = get_origin(choice)
    if choice is Any:
        return True
    if choice is None or choice is type(None):
        return value is None
    if origin is Literal:
        return value in get_args(choice)
    if origin in (list, dict):
        return isinstance(value, origin)
    if choice is int:
        return type(value) is int
    return isinstance(choice, type) and isinstance(value, choice)


def _bare(shape: Any) -> Any:
    while get_origin(shape) in (NotRequired, Required):
        shape = get_args(shape)[0]
    return shape


def _choices(shape: Any) -> list[Any]:
    """What a value may be. Of a list of words and any text, the words: the package takes new ones, too."""
    if get_origin(shape) not in (Union, UnionType):
        return [shape]
    found = [inner for choice in get_args(shape) for inner in _choices(_bare(choice))]
    literal = any(get_origin(choice) is Literal for choice in found)
    return [choice for choice in found if not (literal and choice is str)]
