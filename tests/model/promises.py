"""What must hold after every step, whatever has happened: the promises, read from both stores.

`Witness` knows nothing of how the shop works. It remembers what shoppers and staff were told, and what
a lost disk or a restored backup excuses.
"""

from collections import Counter
from dataclasses import dataclass, field
from uuid import UUID

from django.db import connection, transaction

from inventory.gate import replica
from inventory.gate.entries import Answer
from inventory.gate.state import Snapshot
from orders import reconciliation
from tests.model.reference import OWNING, Reference, Step, Ticket

_SALE = """
SELECT s.version, s.status, s.limit, s.finished, s.epoch,
       (SELECT json_object_agg(p.sku, p.stock) FROM inventory_listing AS l
        JOIN inventory_product AS p ON p.id = l.product_id WHERE l.sale_id = s.id)
FROM inventory_sale AS s WHERE s.id = %(sale)s
"""
_ORDERS = """
SELECT o.id, o.status, o.reason, o.shopper, p.sku, o.quantity, o.version
FROM orders_order AS o JOIN inventory_product AS p ON p.id = o.product_id
WHERE o.sale_id = %(sale)s ORDER BY o.settled_at
"""
# The books' own rules, in one round trip: which of them finds anything.
_FAULTS = " UNION ALL ".join(
    f"SELECT '{kind}' WHERE EXISTS ({rule})" for kind, rule in reconciliation.RULES.items()
)


@dataclass
class Seen:
    """Both stores, at one moment."""

    version: int
    status: str
    limit: int
    finished: bool
    epoch: str
    stock: dict[str, int]
    orders: dict[UUID, tuple[Answer, int]]  # in the order of their decision
    gate: Snapshot
    answers: dict[UUID, Answer]
    bought: dict[str, int]
    scripts: bool
    faults: list[str]

    @classmethod
    def now(cls, sale: int) -> "Seen":
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_SALE, {"sale": sale})
            version, status, limit, finished, epoch, stock = cursor.fetchone()
            cursor.execute(_ORDERS, {"sale": sale})
            orders = {
                purchase: (Answer(status, reason, shopper.hex, sku, quantity), version)
                for purchase, status, reason, shopper, sku, quantity, version in cursor.fetchall()
            }
            cursor.execute(_FAULTS, {"sale": sale})
            faults = [kind for (kind,) in cursor.fetchall()]
        return cls(
            version=version,
            status=status,
            limit=limit,
            finished=finished,
            epoch=epoch,
            stock=stock,
            orders=orders,
            gate=replica.read_snapshot(sale),
            answers={
                UUID(purchase): said._replace(hold_until=0)  # of which the reference has no clock
                for purchase, said in replica.read_answers(sale).items()
            },
            bought=replica.read_bought(sale),
            scripts=replica.knows_scripts(),
            faults=faults,
        )

    def final(self) -> dict[UUID, Answer]:
        return {purchase: answer for purchase, (answer, _) in self.orders.items()}


@dataclass
class Witness:
    """What was promised to whom."""

    given: str  # what an order that gets its units is
    accepted: dict[UUID, Ticket] = field(default_factory=dict)  # in order, without what was lost
    final: dict[UUID, Answer] = field(default_factory=dict)
    cancelled: set[UUID] = field(default_factory=set)

    def hears(self, step: Step, answer: str) -> str:
        if answer == "queued":
            [ticket] = step.args
            if ticket.purchase not in self.final:  # or an old copy of the gate has forgotten it
                self.accepted.pop(ticket.purchase, None)
            self.accepted.setdefault(ticket.purchase, ticket)
        if step.name in ("cancel", "give_back"):
            self.cancelled.update(step.args)
        return answer

    def excuses_the_disk(self, seen: Seen) -> None:
        """What was accepted, but neither decided nor brought back, is lost, and may be sent again.
        What a copy brings back stands in the order in which it was accepted before the copy."""
        decided = [purchase for purchase in self.accepted if purchase in seen.orders]
        kept = [*decided, *(entry.purchase for entry in seen.gate.line)]
        self.accepted = {p: self.accepted[p] for p in kept if p in self.accepted}

    def excuses_the_database(self, seen: Seen) -> None:
        """What was decided after the backup is lost."""
        self.excuses_the_disk(seen)
        self.final = {p: answer for p, answer in self.final.items() if p in seen.orders}

    def checks(self, seen: Seen, came_in: dict[str, int]) -> None:
        self._never_oversold(seen, came_in)
        self._one_final_answer(seen)
        self._in_the_order_of_acceptance(seen)
        self._nothing_forgotten(seen)
        assert seen.faults == [], "the books do not balance"

    def _never_oversold(self, seen: Seen, came_in: dict[str, int]) -> None:
        sold: Counter[str] = Counter()
        for answer in seen.final().values():
            if answer.status in OWNING:
                sold[answer.sku] += answer.quantity
        for sku, units in came_in.items():
            assert seen.stock[sku] >= 0, sku
            assert sold[sku] + seen.stock[sku] == units, f"{sku}: sold, unsold and all differ"

    def _one_final_answer(self, seen: Seen) -> None:
        """Once said it stands, in both stores; only staff take it back, and a hold ends."""
        ends = ("confirmed", "expired") if self.given == "held" else ()
        for purchase, answer in seen.final().items():
            if answer.status in ends or (
                answer.status == "cancelled" and purchase in self.cancelled
            ):
                answer = answer._replace(status=self.given)
            assert self.final.setdefault(purchase, answer) == answer, purchase
        for purchase in self.final:
            assert purchase in seen.orders, f"the order {purchase} is gone"
        if not (seen.gate.view.ready and seen.scripts):
            return
        for purchase, said in seen.answers.items():
            if said.status == "queued":
                continue
            assert purchase in seen.orders, f"the gate answers {purchase}, which is no order"
            now = seen.final()[purchase]
            before = [now._replace(status=status) for status in OWNING]
            assert said in (now, *before), purchase

    def _in_the_order_of_acceptance(self, seen: Seen) -> None:
        decided = [purchase for purchase in seen.orders if purchase in self.accepted]
        assert decided == [purchase for purchase in self.accepted if purchase in seen.orders]

    def _nothing_forgotten(self, seen: Seen) -> None:
        line = {entry.purchase for entry in seen.gate.line}
        for purchase in self.accepted:
            assert purchase in seen.orders or purchase in line, f"{purchase} is forgotten"


def same(seen: Seen, reference: Reference) -> None:
    """Both stores hold what the reference says, wherever anybody could tell the difference."""
    should, shown = reference.books, reference.gate
    assert seen.final() == {p: order.answer for p, order in should.orders.items()}
    assert (seen.version, seen.status, seen.limit) == (should.version, should.status, should.limit)
    assert (seen.stock, seen.finished) == (should.stock, should.finished)
    view = seen.gate.view
    open_ = view.ready and seen.scripts
    assert open_ == (shown.ready and reference.scripts)
    undecided = [entry.purchase for entry in seen.gate.line if entry.purchase not in seen.orders]
    assert undecided == [t.purchase for t in shown.line if t.purchase not in should.orders]
    if not open_:
        return
    assert (view.epoch == seen.epoch) == (shown.epoch == should.epoch)
    assert (view.version, view.status, view.limit) == (shown.version, shown.status, shown.limit)
    assert [entry.purchase for entry in seen.gate.line] == [t.purchase for t in shown.line]
    assert (view.stock, view.in_flight) == (shown.stock, shown.in_flight())
    assert (seen.gate.in_flight_by_shopper, seen.bought) == (
        shown.in_flight_by_shopper(),
        +shown.bought,
    )
    assert seen.answers == shown.answers


def at_rest(seen: Seen, sale: int) -> None:
    """Somebody has looked after the sale, and nobody clicks: everything is answered, and whatever is
    unsold can be bought."""
    if seen.finished:
        assert not replica.read_view(sale).epoch
        return
    view = seen.gate.view
    assert view.ready
    assert not view.in_line
    assert seen.answers == seen.final()
    assert {sku: view.left(sku) for sku in seen.stock} == seen.stock
    assert reconciliation.verify(sale).faults == {}
