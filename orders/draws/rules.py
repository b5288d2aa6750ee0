"""What must hold in PostgreSQL of draws and of those who wait. `orders/reconciliation.py` asks it.

Each rule is a query whose rows are faults, for the sale `%(sale)s` or for all.
"""

_UNDRAWN = """
SELECT s.slug, s.draw, count(*) AS orders
FROM inventory_sale AS s JOIN orders_order AS o ON o.sale_id = s.id AND o.owned > 0
WHERE s.draw IN ('open', 'closed', 'off') AND (%(sale)s::bigint IS NULL OR s.id = %(sale)s)
GROUP BY s.id
"""
_COUNTED = """
SELECT s.slug, s.waiting, coalesce(w.orders, '{}') AS orders
FROM inventory_sale AS s LEFT JOIN (
    SELECT sale_id, jsonb_object_agg(sku, waiting) AS orders
    FROM (SELECT sale_id, sku, count(*) AS waiting FROM orders_order
          WHERE status = 'waiting' GROUP BY sale_id, sku) AS counted
    GROUP BY sale_id
) AS w ON w.sale_id = s.id
WHERE s.waiting <> coalesce(w.orders, '{}') AND (%(sale)s::bigint IS NULL OR s.id = %(sale)s)
"""
# Before the draw no order has a place; after it, and without one, each that waits has.
_PLACES = """
SELECT s.slug, o.id, o.place
FROM orders_order AS o JOIN inventory_sale AS s ON s.id = o.sale_id
WHERE o.status = 'waiting' AND (%(sale)s::bigint IS NULL OR s.id = %(sale)s)
  AND CASE WHEN o.place IS NULL THEN s.draw IN ('', 'done') ELSE s.draw IN ('open', 'closed', 'off') END
"""
_COMMITMENT = """
SELECT s.slug, d.commitment
FROM orders_draw AS d JOIN inventory_sale AS s ON s.id = d.sale_id
WHERE d.seed <> '' AND encode(sha256(decode(d.seed, 'hex')), 'hex') <> d.commitment
  AND (%(sale)s::bigint IS NULL OR s.id = %(sale)s)
"""
# Their root, `manage.py draw verify` recomputes.
_LOTS = """
SELECT s.slug, d.entries, l.lots
FROM orders_draw AS d JOIN inventory_sale AS s ON s.id = d.sale_id
CROSS JOIN LATERAL (SELECT count(*) AS lots FROM orders_lot WHERE sale_id = d.sale_id) AS l
WHERE d.root <> '' AND d.entries <> l.lots AND (%(sale)s::bigint IS NULL OR s.id = %(sale)s)
"""
_RANKS = """
SELECT s.slug, count(*) AS lots
FROM (
    SELECT l.sale_id, l.rank, row_number() OVER (
        PARTITION BY l.sale_id, l.set_aside
        ORDER BY sha256(decode(d.seed, 'hex') || CASE WHEN d.signature = '' THEN ''
                        ELSE sha256(decode(d.signature, 'hex')) END || uuid_send(l.order_id))
    ) AS nth, l.set_aside
    FROM orders_lot AS l JOIN orders_draw AS d ON d.sale_id = l.sale_id
    WHERE d.seed <> '' AND (%(sale)s::bigint IS NULL OR l.sale_id = %(sale)s)
) AS ranked JOIN inventory_sale AS s ON s.id = ranked.sale_id
WHERE ranked.rank IS DISTINCT FROM CASE WHEN NOT ranked.set_aside THEN ranked.nth END
GROUP BY s.id
"""
# An order with an outcome has its rank for a place, and no other has one.
_ALLOTTED = """
SELECT s.slug, count(*) AS orders
FROM orders_lot AS l
JOIN orders_draw AS d ON d.sale_id = l.sale_id
JOIN orders_order AS o ON o.id = l.order_id
JOIN inventory_sale AS s ON s.id = l.sale_id
WHERE o.place IS DISTINCT FROM l.rank AND (o.place IS NOT NULL OR s.draw = 'done')
  AND d.root <> '' AND (%(sale)s::bigint IS NULL OR s.id = %(sale)s)
GROUP BY s.id
"""
# An order that is passed over wants more units than were left then. So a later one that got units wanted
# fewer. Rejected by a draw, it no longer waits when standby begins after it.
_PASSED_OVER = """
SELECT s.slug, passed.sku, count(*) AS orders, min(passed.place) AS place
FROM (
    SELECT o.sale_id, o.product_id, o.quantity, l.order_id IS NOT NULL AS drawn, max(o.place) AS last
    FROM orders_order AS o LEFT JOIN orders_lot AS l ON l.order_id = o.id
    WHERE o.place IS NOT NULL AND o.status IN ('held', 'confirmed', 'expired')
      AND (%(sale)s::bigint IS NULL OR o.sale_id = %(sale)s)
    GROUP BY o.sale_id, o.product_id, o.quantity, drawn
) AS given
JOIN orders_order AS passed ON passed.sale_id = given.sale_id AND passed.product_id = given.product_id
    AND passed.status IN ('waiting', 'rejected') AND passed.place < given.last
    AND passed.quantity <= given.quantity AND (passed.reason <> 'not_drawn' OR given.drawn)
JOIN inventory_sale AS s ON s.id = given.sale_id
GROUP BY s.id, passed.sku
"""
# Units that the draw has left are too few for each order that it has rejected.
_LEFT_OVER = """
SELECT s.slug, o.sku, count(*) AS orders, d.left -> o.sku AS units
FROM orders_draw AS d
JOIN inventory_sale AS s ON s.id = d.sale_id AND s.draw = 'done'
JOIN orders_lot AS l ON l.sale_id = d.sale_id
JOIN orders_order AS o ON o.id = l.order_id AND o.reason = 'not_drawn'
WHERE o.quantity <= (d.left ->> o.sku)::integer AND (%(sale)s::bigint IS NULL OR s.id = %(sale)s)
GROUP BY s.id, d.sale_id, o.sku
"""

RULES = {
    "units_before_the_draw": _UNDRAWN,
    "waiting_is_not_the_orders": _COUNTED,
    "place_is_wrong": _PLACES,
    "seed_is_not_the_committed_one": _COMMITMENT,
    "lots_are_not_the_entries": _LOTS,
    "rank_is_not_of_the_seed": _RANKS,
    "outcome_is_not_the_rank": _ALLOTTED,
    "passed_over": _PASSED_OVER,
    "drawn_units_left_over": _LEFT_OVER,
}
