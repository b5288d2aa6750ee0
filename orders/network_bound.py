"""Propose how many units of a sale one network may take: the rule `Sale.per_address`.

Enough for a university or an office whose people all click from one address, and little for one machine
with many cookies. `docs/decisions/0030-a-bound-per-network.md` says how the numbers were chosen.
"""

import math

from django.db.models import Sum

from inventory.models import Sale

PEOPLE = 500  # behind one address
CROWDS = (1_000, 5_000, 20_000, 100_000)  # people
_SIGMAS = 4  # in fewer than 1 of 1,000 sales that many people would buy more by chance
_TOO_MUCH = 0.5  # of the stock


def propose_bound(stock: int, limit: int, crowd: int, people: int = PEOPLE) -> int:
    """Units that `people` of a crowd take if all have the same chance, with room for luck: at least what
    one of them may buy, at most what all of them may."""
    people = min(people, crowd)
    if crowd * limit <= stock:
        return people * limit
    share = people * stock / crowd
    lucky = math.ceil(share + _SIGMAS * math.sqrt(share * limit))
    return min(people * limit, max(limit, lucky))


def describe_proposals(sale: Sale) -> str:
    """The proposals for crowds of several sizes; in a draw, where all of them may enter, there is one."""
    if sale.draw_at:
        return f"{PEOPLE * sale.limit:,}: {PEOPLE:,} people behind one address can all enter"
    stock = stock_of(sale)
    proposed = (f"{propose_bound(stock, sale.limit, crowd):,} for {crowd:,}" for crowd in CROWDS)
    return f"{', '.join(proposed)} people"


def warn_of_bound(sale: Sale) -> str:
    """A sentence for staff if the bound allows one network most of the stock; else ""."""
    stock = stock_of(sale)
    if sale.draw_at or sale.per_address <= _TOO_MUCH * stock:
        return ""
    return (
        f"One network may take {min(sale.per_address, stock):,} of the {stock:,} units. Proposed are"
        f" {describe_proposals(sale)}."
    )


def stock_of(sale: Sale) -> int:
    """Units of all its variants."""
    return sale.variants.aggregate(units=Sum("stock"))["units"] or 0
