"""Confirm held orders: their units stay the shoppers'. Those that wait for the lock of the same sale go
together."""

from contextlib import suppress
from typing import NamedTuple
from uuid import UUID

from django.db import InterfaceError, OperationalError

from flashsale.group_commit import GroupCommit
from orders.changes import (
    DoneBefore,
    NotPossible,
    NotReplicated,
    change_unreplicated,
    check_arrow,
    replicate_change,
    take_arrow,
)
from orders.holds import Within
from orders.models import Order

MOST_TOGETHER = 50  # confirmations in a transaction


def confirm_hold(order: UUID, within: Within | None = None) -> bool:
    """Confirm a held order: its units stay the shopper's. False if it is confirmed already.

    `within` is called in the same transaction with the locked order, before it changes: what it
    writes is committed with the confirmation. It may refuse by NotPossible, before it writes anything.

    A hold whose time is over is confirmed too, as long as it has not expired: its units were given
    to no other shopper. One transaction for all that are confirmed at this moment, with the sale and
    the orders locked. Raises Order.DoesNotExist, NotPossible if the hold has expired or was cancelled,
    and the errors of `orders/changes.py`.
    """
    sale = Order.objects.values_list("sale_id", flat=True).get(pk=order)
    return _confirmations.do(sale, _Confirmation(order, within))


class _Confirmation(NamedTuple):
    order: UUID
    within: Within | None


def _confirm_together(sale: int, asked: list[_Confirmation]) -> list[bool | Exception]:
    """Confirm orders of a sale in one transaction. One that is refused stops no other; an unforeseen
    error is that of one."""
    try:
        return _confirm(sale, asked)
    except Exception as error:
        if len(asked) == 1 or _concerns_all(error):
            raise
    results: list[bool | Exception] = []
    for each in asked:
        try:
            results += _confirm(sale, [each])
        except Exception as error:
            results += [error] * (len(asked) - len(results) if _concerns_all(error) else 1)
        if len(results) == len(asked):
            break
    return results


def _concerns_all(error: Exception) -> bool:
    """Whether the next one would wait as long, for the same error."""
    return isinstance(error, OperationalError | InterfaceError)


def _confirm(sale_id: int, asked: list[_Confirmation]) -> list[bool | Exception]:
    results: list[bool | Exception] = []
    confirmed: list[Order] = []
    with suppress(DoneBefore), change_unreplicated([sale_id]) as (sale,):
        orders = Order.objects.select_for_update(no_key=True).order_by("pk")
        locked = orders.in_bulk([each.order for each in asked])
        for each in asked:
            results.append(_prepare(locked.get(each.order), each, confirmed))
        if not confirmed:
            raise DoneBefore
        take_arrow(confirmed, Order.Status.CONFIRMED, sale)
    return results


def _replicate(sale: int, results: list[bool | Exception]) -> list[bool | Exception]:
    """After the turn of the group: a gate that is slow keeps no confirmation waiting."""
    try:
        if True in results:
            replicate_change(sale)
    except NotReplicated as warning:
        return [warning if result is True else result for result in results]
    return results


def _prepare(order: Order | None, asked: _Confirmation, confirmed: list[Order]) -> bool | Exception:
    """Write what belongs to a confirmation. The order joins the `confirmed` ones, unless it is refused or
    is one of them already."""
    if order is None:
        return Order.DoesNotExist(f"There is no order {asked.order}.")
    if order.status == Order.Status.CONFIRMED or order in confirmed:
        return False
    try:
        check_arrow(order, Order.Status.CONFIRMED)
        if asked.within:
            asked.within(order)
    except NotPossible as refusal:
        return refusal
    confirmed.append(order)
    return True


_confirmations = GroupCommit(_confirm_together, _replicate, MOST_TOGETHER)
