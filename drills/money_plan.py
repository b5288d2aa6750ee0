"""Who does what, and when, in the drill of money: drawn by a seed."""

import random
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from drills.checkout import LEAVE

PAID, EXPIRED = 1 / 2, 1 / 3  # of the orders; the others are cancelled
EXPIRES = 0.4  # of the drill: when the holds of the second group end, all at once
_CHOICES = (
    (["pay"], 70),
    (["decline", "pay"], 12),
    (["twice"], 8),
    ([LEAVE], 6),
    (["slow"], 4),
)


class Group(StrEnum):
    PAID = "paid"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class Errand(NamedTuple):
    """What one shopper does with one order. Times are shares of the drill; None: never."""

    group: Group
    choices: list[str]
    begins: float | None  # at the checkout
    pays: float = 0.0  # not before this: the shopper waits on the provider's page
    cancelled: float | None = None
    by_shopper: bool = False  # the cancellation
    once_paid: bool = False  # staff cancel it then, but not before `cancelled`


def draw_errands(orders: int, chance: random.Random) -> list[Errand]:
    """Half pay; a third expire, and half of these pay too late; the rest are cancelled at some moment."""
    paid, expired = round(orders * PAID), round(orders * EXPIRED)
    groups = [Group.PAID] * paid + [Group.EXPIRED] * expired
    groups += [Group.CANCELLED] * (orders - len(groups))
    chance.shuffle(groups)
    return [_draw(group, chance) for group in groups]


def _draw(group: Group, chance: random.Random) -> Errand:
    choices = list(chance.choices([c for c, _ in _CHOICES], [share for _, share in _CHOICES])[0])
    if group is Group.PAID:
        return Errand(group, choices, chance.uniform(0, 0.75))
    if group is Group.EXPIRED:
        late = chance.uniform(EXPIRES - 0.01, EXPIRES + 0.15)
        begins = chance.uniform(0, EXPIRES * 0.9) if chance.random() < 1 / 2 else None
        return Errand(group, ["pay"], begins, late)
    begins = chance.uniform(0, 0.6) if chance.random() < 2 / 3 else None
    cancelled, by_shopper = chance.uniform(0.1, 1), chance.random() < 1 / 5
    paid = begins is not None and not by_shopper and chance.random() < 1 / 2
    return Errand(group, choices, begins, 0.0, cancelled, by_shopper, paid)


def list_cancellations(errands: Sequence[Errand]) -> list[tuple[float, int, bool]]:
    """When staff cancel which order, in order of time, and whether they wait until it is paid."""
    return sorted(
        (errand.cancelled, number, errand.once_paid)
        for number, errand in enumerate(errands)
        if errand.cancelled is not None and not errand.by_shopper
    )
