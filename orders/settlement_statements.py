"""The SQL of settlement: lock the sale, look up known purchases, write a batch."""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from uuid import UUID

from flashsale.database import Rows, Statement, require_transaction
from inventory import stock
from inventory.gate.entries import Entry
from inventory.models import Sale
from orders.allotment import Decision
from orders.models import Order
from orders.order_status import CLAIMED, HAS_CLAIM

_RULES = (
    *("id", "version", "limit", "epoch", "hold_minutes"),
    *("draw", "standby", "entrants", "waiting"),
)

_LACKING = {
    Sale.Entrants.EMAIL.value: Order.Reason.SIGN_IN,
    Sale.Entrants.CODE.value: Order.Reason.NO_CODE,
}

# Known purchases, the units that each shopper has claimed, who has proven what the sale asks for, and the
# units of people who have several ids, in one round trip. PostgreSQL reads proofs and people only where the
# sale asks for a proof: elsewhere who wants another id gets one by deleting a cookie.
LOOK_UP = f"""
SELECT id, NULL::uuid, 0 FROM orders_order WHERE id = ANY(%(purchases)s::uuid[])
UNION ALL
SELECT NULL::uuid, shopper, sum({CLAIMED})::integer FROM orders_order
WHERE sale_id = %(sale)s AND shopper = ANY(%(shoppers)s::uuid[]) AND {HAS_CLAIM}
GROUP BY shopper
UNION ALL
SELECT shopper, shopper, NULL::integer FROM accounts_knownshopper
WHERE current AND shopper = ANY(%(shoppers)s::uuid[])
  AND (SELECT entrants FROM inventory_sale WHERE id = %(sale)s) = 'email'
UNION ALL
SELECT shopper, shopper, NULL::integer FROM accounts_accesscodeuse
WHERE sale = %(sale)s AND shopper = ANY(%(shoppers)s::uuid[])
  AND (SELECT entrants FROM inventory_sale WHERE id = %(sale)s) = 'code'
UNION ALL
SELECT present.shopper, own.shopper, (
    SELECT coalesce(sum({CLAIMED}), 0)::integer FROM orders_order
    WHERE sale_id = %(sale)s AND {HAS_CLAIM} AND shopper IN (
        SELECT theirs.shopper FROM accounts_knownshopper theirs WHERE theirs.person_id = own.person_id
    )
) FROM accounts_knownshopper own
JOIN accounts_knownshopper present ON present.person_id = own.person_id AND present.current
WHERE own.shopper = ANY(%(shoppers)s::uuid[])
  AND EXISTS (SELECT FROM accounts_knownshopper former
              WHERE former.person_id = own.person_id AND NOT former.current)
  AND (SELECT entrants FROM inventory_sale WHERE id = %(sale)s) <> ''
"""  # noqa: S608  # a constant


# Places on standby: the order of arrival, by version and within a batch. They come after all ranks of a
# draw, because its entries have raised the version at least once a batch.
_APART = 2**20

# One statement: one round trip, and no process can freeze in the middle of it. Names and prices are
# read from the locked rows: arrays of names would be quoted and parsed, a value for each order. A join
# may give its rows in any order, but orders are written in that of their decision.
_MOVE = """
WITH raised AS (
    UPDATE inventory_sale
    SET version = %(version)s, waiting = %(waiting)s, {counter} = {counter} + %(owning)s
    WHERE id = %(sale)s
), {selling}, bought AS MATERIALIZED (
    SELECT id, name, option, sku, price, currency FROM inventory_product
    WHERE id = ANY(%(variants)s::bigint[])
)
"""
_INSERT = """
INSERT INTO orders_order (id, sale_id, product_id, product_name, option, sku, unit_price, currency,
                          shopper, quantity, status, reason, version, place, accepted_at,
                          settled_at{column})
SELECT t.id, %(sale)s, t.product, coalesce(name, ''), coalesce(option, ''), coalesce(sku, ''),
       coalesce(price, 0), coalesce(currency, ''), shopper, quantity, status, reason, %(version)s,
       CASE WHEN status = 'waiting' AND %(placed)s
            THEN %(version)s::bigint * {apart} + %(before)s + nth END,
       to_timestamp(accepted / 1000.0::float8), clock_timestamp(){value}
FROM unnest(%(ids)s::uuid[], %(products)s::bigint[], %(shoppers)s::uuid[], %(quantities)s::integer[],
            %(statuses)s::text[], %(reasons)s::text[], %(accepted)s::bigint[]{array})
     WITH ORDINALITY AS t (id, product, shopper, quantity, status, reason, accepted{name}, nth)
LEFT JOIN bought ON bought.id = t.product
ORDER BY nth
"""
WRITE = _MOVE.format(counter="confirmed", selling=stock.SELLING) + _INSERT.format(
    column="", value="", array="", name="", apart=_APART
)
# The same for a sale with a hold. All holds of a batch end together, in whole milliseconds, as the
# gate keeps them. Gives that end. Only a held or waiting order has a network: others need none.
_HELD = _INSERT.format(
    column=", hold_until, network",
    value=""", CASE WHEN status = 'held' THEN (SELECT until FROM clock) END,
       CASE WHEN status IN ('held', 'waiting') THEN network ELSE '' END""",
    array=", %(networks)s::text[]",
    name=", network",
    apart=_APART,
)
WRITE_HELD = f"""{_MOVE.format(counter="held", selling=stock.SELLING)}, clock AS MATERIALIZED (
    SELECT date_trunc('milliseconds', clock_timestamp()) + %(minutes)s * interval '1 minute' AS until
), written AS ({_HELD})
SELECT until FROM clock
"""  # noqa: S608  # constants


def lock_sale_statement(sale: int) -> Statement:
    """The statement that locks the sale, in a transaction; `read_locked_sale` reads its rows."""
    require_transaction()
    return locking_sale(), [sale]


@cache
def locking_sale() -> str:
    """Kept, because the ORM takes longer to build it than PostgreSQL to run it."""
    sale = Sale.objects.select_for_update(no_key=True).only(*_RULES).filter(pk=0)
    return sale.query.sql_with_params()[0]


def read_locked_sale(sale: int, rows: Rows) -> Sale:
    """The locked sale, with the fields that settlement needs. Raises Sale.DoesNotExist."""
    if not rows:
        raise Sale.DoesNotExist(f"there is no sale {sale}")
    locked = Sale.from_db("default", _RULES, rows[0])
    locked.waiting = json.loads(locked.waiting)
    return locked


def look_up_statement(sale: int, entries: list[Entry]) -> Statement:
    """The statement whose rows are (purchase, None, 0) for each entry that is an order already,
    (None, shopper, units) for each shopper of the entries who owns units, or waits for them,
    (shopper, shopper, None) for each who has proven what the sale asks for, and (present, shopper, units)
    for each whose person has several ids: the present one, and the units of all."""
    asked = {
        "sale": sale,
        "purchases": array_of({entry.purchase.hex for entry in entries}),
        "shoppers": array_of({entry.shopper.hex for entry in entries}),
    }
    return LOOK_UP, asked


def mark_unproven(sale: Sale, entries: list[Entry], rows: Rows) -> list[Entry]:
    """The entries; those of shoppers who have not proven what the sale asks for are marked. The web process
    that accepted them looked at a cookie only. `rows` are those of `look_up_statement`."""
    reason = _LACKING.get(sale.entrants)
    if reason is None:
        return entries
    proven = {shopper for _, shopper, units in rows if units is None}
    return [e if e.shopper in proven else replace(e, lacks=reason) for e in entries]


def name_people(entries: list[Entry], rows: Rows) -> tuple[list[Entry], dict[UUID, int]]:
    """The entries, those of people with several ids under their present one, and the units that these
    people have claimed. A guest may have bought and signed in since, and then is two shoppers of the gate.
    `rows` are those of `look_up_statement`."""
    people = {
        shopper: (present, units)
        for present, shopper, units in rows
        if present and shopper and units is not None
    }
    if not people:
        return entries, {}
    named = [replace(e, person=people[e.shopper][0]) if e.shopper in people else e for e in entries]
    return named, dict(people.values())


def place_of(sale: Sale, nth: int) -> int | None:
    """The place of the nth order of the sale's version, the first has 1; None before a draw, whose lots
    give the places."""
    return None if sale.takes_lots else sale.version * _APART + nth


def write_statement(
    sale: Sale, decisions: list[Decision], waiting: dict[str, int], before: int = 0
) -> Statement:
    """The statement that writes orders, the sale's version, its counts, ledger and stock. `waiting` is
    the new `Sale.waiting`; `before` orders of this version are written already. With a hold it has one
    row: the end of the holds."""
    owning = [decision for decision in decisions if decision.owned]
    sold: dict[int, int] = defaultdict(int)
    for decision in owning:
        if decision.variant:
            sold[decision.variant.pk] += decision.owned
    asked = {
        "sale": sale.pk,
        "version": sale.version,
        "waiting": json.dumps(waiting),
        "placed": not sale.takes_lots,
        "before": before,
        "owning": len(owning),
        "minutes": sale.hold_minutes,
        "sold": list(sold),
        "units": list(sold.values()),
        "variants": list({decision.variant.pk for decision in decisions if decision.variant}),
        "ids": array_of(d.entry.purchase.hex for d in decisions),
        "products": array_of(d.variant.pk if d.variant else "NULL" for d in decisions),
        "shoppers": array_of(d.entry.shopper.hex for d in decisions),
        "quantities": array_of(d.entry.quantity for d in decisions),
        "statuses": array_of(d.status.value for d in decisions),
        "reasons": array_of(d.reason for d in decisions),
        "accepted": array_of(round(d.entry.accepted_at.timestamp() * 1000) for d in decisions),
    }
    if not sale.hold_minutes:
        return WRITE, asked
    asked["networks"] = array_of(decision.entry.network for decision in decisions)
    return WRITE_HELD, asked


def array_of(values: Iterable[str | int]) -> str:
    """An array literal of PostgreSQL, for values that need no quotes. psycopg would inspect each
    element, which took a fifth of a worker's time."""
    return "{" + ",".join([str(value) or '""' for value in values]) + "}"
