"""The shop as it should be, in plain Python: what PostgreSQL should hold, what the gate should, and what
each step should answer.

It runs the same steps as `shop.py` does for real, and passes the same points on the way, at which a step
can be killed, or something else can happen first. No locks, no scripts, no SQL: one thing at a time.
"""

from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import UUID

from inventory.gate.entries import Answer
from inventory.gate.scripts import GateNotReady
from orders.changes import NotPossible, NotReplicated

OWNING = ("held", "confirmed")

Passing = Callable[[bool], None]  # at a point: whether locks are held there


class Killed(BaseException):
    """The process died here. Not an Exception: nothing may catch it and go on."""


class Ticket(NamedTuple):
    """A click, and what identifies it for ever."""

    purchase: UUID
    shopper: UUID
    sku: str
    quantity: int

    def answer(self, status: str, reason: str = "") -> Answer:
        return Answer(status, reason, self.shopper.hex, self.sku, self.quantity)


class Step(NamedTuple):
    """What somebody does: one of the steps of a Reference, and of the Shop."""

    name: str
    args: tuple[Any, ...] = ()

    def on(self, side: object) -> str:
        """Carries it out. Gives what was answered."""
        try:
            return str(getattr(side, self.name)(*self.args))
        except (GateNotReady, NotPossible, NotReplicated, Killed) as failure:
            return type(failure).__name__


class Order(NamedTuple):
    answer: Answer
    version: int


@dataclass
class Books:
    """What PostgreSQL holds of the sale."""

    version: int
    limit: int
    stock: dict[str, int]
    came_in: dict[str, int]
    epoch: str
    given: str = "confirmed"  # what an order that gets its units is
    per_address: int = 0
    status: str = "live"
    finished: bool = False
    orders: dict[UUID, Order] = field(default_factory=dict)

    def bought(self) -> Counter[str]:
        """Units owned by shopper."""
        units: Counter[str] = Counter()
        for answer, _ in self.orders.values():
            if answer.status in OWNING:
                units[answer.shopper] += answer.quantity
        return units

    def become(self, status: str, purchases: list[UUID]) -> None:
        """Give these orders another status, in the present version."""
        for purchase in purchases:
            answer = self.orders[purchase].answer._replace(status=status)
            self.orders[purchase] = Order(answer, self.version)

    def told_after(self, version: int) -> int:
        return sum(1 for order in self.orders.values() if order.version > version)


@dataclass
class Gate:
    """What Redis holds of the sale. A gate without a mark does not exist."""

    epoch: str = ""
    version: int = 0
    ready: bool = False
    status: str = ""
    limit: int = 0
    per_address: int = 0
    taken: int = 0  # units accepted from the one network from which all click
    patchy: bool = False  # some parts of a longer tale are told: nobody can say which
    stock: dict[str, int] = field(default_factory=dict)
    bought: Counter[str] = field(default_factory=Counter)
    answers: dict[UUID, Answer] = field(default_factory=dict)
    line: list[Ticket] = field(default_factory=list)

    def in_flight(self) -> Counter[str]:
        units: Counter[str] = Counter()
        for ticket in self.line:
            units[ticket.sku] += ticket.quantity
        return units

    def in_flight_by_shopper(self) -> Counter[str]:
        units: Counter[str] = Counter()
        for ticket in self.line:
            units[ticket.shopper.hex] += ticket.quantity
        return units

    def learn(self, books: Books, ready: bool) -> None:
        """It stands where these books do."""
        self.answers |= {purchase: order.answer for purchase, order in books.orders.items()}
        self.line = [ticket for ticket in self.line if ticket.purchase not in books.orders]
        self.bought, self.stock = books.bought(), dict(books.stock)
        self.status, self.limit, self.version = books.status, books.limit, books.version
        self.per_address = books.per_address
        self.ready, self.patchy = self.ready or ready, False

    def empty(self) -> None:
        self.version, self.ready, self.stock, self.bought = 0, False, {}, Counter()
        self.patchy, self.taken = False, 0
        self.answers = {ticket.purchase: ticket.answer("queued") for ticket in self.line}


class Decided(NamedTuple):
    """A batch: the version before it, and the books after it."""

    since: int
    books: Books


class Backup(NamedTuple):
    books: Books
    backups: int  # older ones, and copies of the gate, as many as there were then
    copies: int


class Reference:
    """The steps, each as in `shop.Shop`."""

    def __init__(self, books: Books, batch: int, part: int) -> None:
        self.books = books
        self.batch, self.part = batch, part
        self.scripts = True  # whether Redis knows them
        self.gate = Gate(books.epoch)
        self.gate.learn(books, ready=True)
        self._deciding = False
        self.copies: list[Gate] = []
        self.backups: list[Backup] = []
        self._point = ""
        self._reached: Passing = lambda locked: None
        self._epochs = 0

    # --- Shoppers ---------------------------------------------------------------------------------

    def click(self, ticket: Ticket) -> str:
        gate = self.gate
        if not self.scripts or not gate.ready:
            return "not_ready"
        known = gate.answers.get(ticket.purchase)
        if known:
            same = (known.sku, known.quantity) == (ticket.sku, ticket.quantity)
            return f"{'known' if same else 'reused'} {known.status} {known.reason}"
        if gate.status != "live":
            return "refused " + ("closed" if gate.status == "ended" else "paused")
        buyer = ticket.shopper.hex
        if gate.bought[buyer] + gate.in_flight_by_shopper()[buyer] + ticket.quantity > gate.limit:
            return "refused limit"
        left = gate.stock[ticket.sku] - gate.in_flight()[ticket.sku]
        if left < ticket.quantity:
            return "refused " + ("not_enough" if left > 0 else "sold_out")
        if gate.per_address and gate.taken + ticket.quantity > gate.per_address:
            return "refused network"
        gate.taken += ticket.quantity if gate.per_address else 0
        gate.line.append(ticket)
        gate.answers[ticket.purchase] = ticket.answer("queued")
        return "queued"

    # --- Workers ----------------------------------------------------------------------------------

    def settle(self) -> None:
        while True:
            epoch, stands, batch = self.gate.epoch, self.gate.version, self.gate.line[: self.batch]
            self._reach("line read")
            if not batch:
                self._reach("bell to be lowered")
                self._ask_script()
                if self.gate.line:
                    continue
                return
            decided = self._decide(epoch, batch)
            if decided is None:
                return
            self._reach("committed")
            if not self._tell(stands, decided=decided):
                return

    settle_by_two = settle

    def _decide(self, epoch: str, batch: list[Ticket]) -> Decided | None:
        if self._deciding or self.books.epoch != epoch:
            return None
        since = self.books.version
        fresh = [ticket for ticket in batch if ticket.purchase not in self.books.orders]
        if fresh:
            books = deepcopy(self.books)
            books.version += 1
            for ticket in fresh:
                answer = _allot(books, ticket)
                books.orders[ticket.purchase] = Order(answer, books.version)
            self._deciding = True
            try:
                self._reach("before the commit", locked=True)
            finally:
                self._deciding = False
            self.books = books
        return Decided(since, deepcopy(self.books))

    # --- The caretaker ----------------------------------------------------------------------------

    def heal(self) -> None:
        if not self.scripts:
            if self.gate.epoch:
                self._cool()
            self._reach("marked")
            if self.books.finished:
                self.gate = Gate()
            self.scripts = True
            self._reach("scripts loaded")
        pulse = deepcopy(self.gate)
        self._reach("pulse felt")
        books = self.books
        if books.finished:
            return
        emptied = pulse.version > books.version and self._empty(books.version)
        if emptied or not pulse.ready or pulse.epoch != books.epoch:
            self._warm()
        elif pulse.version < books.version:
            self._reach("committed")
            self._tell()

    heal_by_two = heal

    def _empty(self, version: int) -> bool:
        self._ask_script()
        ahead = self.gate.version > version
        if ahead:
            self.gate.empty()
            self._cool()
        self._reach("emptied")
        return ahead

    def _warm(self) -> None:
        if self.books.finished:
            return
        if not self.gate.epoch:
            self._cool()
            self._reach("marked", locked=True)
        epoch = self.books.epoch = self.gate.epoch
        self._reach("mark adopted")
        if not self._tell(epoch=epoch):
            return
        stands, delta = self.gate.version, deepcopy(self.books)
        self._reach("tale read", locked=True)
        self._apply(delta, stands, epoch, makes_ready=True)

    def _cool(self) -> None:
        self._epochs += 1
        self.gate.epoch, self.gate.ready = f"mark {self._epochs}", False

    # --- Telling ----------------------------------------------------------------------------------

    def _tell(
        self, stands: int | None = None, epoch: str = "", decided: Decided | None = None
    ) -> bool:
        if stands is None:
            stands = self.gate.version
        for _ in range(5):
            if stands == 0 and not epoch:
                return False
            if decided and decided.since == stands:
                delta = decided.books
            else:
                delta = deepcopy(self.books)
                self._reach("tale read")
            if delta.finished or stands > delta.version:
                return False
            if stands == delta.version:
                return True
            before, stands = stands, self._apply(delta, stands, epoch)
            if stands >= delta.version:
                return True
            if epoch and stands == before:
                return False
        return False

    def _apply(self, delta: Books, since: int, epoch: str, makes_ready: bool = False) -> int:
        parts = max(1, -(-delta.told_after(since) // self.part)) if epoch else 1
        for number in range(parts):
            self._ask_script()
            gate = self.gate
            told_already = gate.version == delta.version and gate.ready
            if not since <= gate.version <= delta.version or told_already:
                return gate.version
            if epoch and epoch != gate.epoch:
                return gate.version
            if number == parts - 1:
                gate.learn(delta, ready=makes_ready)
            else:
                gate.patchy = True
            stands = gate.version
            self._reach("part told", locked=makes_ready)
        return stands

    # --- Holds ------------------------------------------------------------------------------------

    def confirm(self, purchase: UUID) -> None:
        order = self.books.orders[purchase].answer
        if order.status == "confirmed":
            return
        if order.status != "held":
            raise NotPossible
        books = self._changed()
        books.become("confirmed", [purchase])
        self._commit(books)

    def give_back(self, purchase: UUID) -> None:
        self._cancel(purchase, ("held",))

    def expire(self) -> None:
        books = self._changed()
        held = [p for p, order in books.orders.items() if order.answer.status == "held"]
        for purchase in held:
            order = books.orders[purchase].answer
            books.stock[order.sku] += order.quantity
        books.become("expired", held)
        if not held:
            return
        with suppress(NotReplicated):
            self._commit(books)

    # --- Staff ------------------------------------------------------------------------------------

    def restock(self, sku: str, units: int) -> None:
        self._move(sku, units)

    def correct(self, sku: str, units: int) -> None:
        self._move(sku, units)

    def cancel(self, purchase: UUID) -> None:
        self._cancel(purchase, OWNING)

    def _cancel(self, purchase: UUID, allowed: tuple[str, ...]) -> None:
        order = self.books.orders[purchase].answer
        if order.status == "cancelled":
            return
        if order.status not in allowed:
            raise NotPossible
        books = self._changed()
        books.stock[order.sku] += order.quantity
        books.become("cancelled", [purchase])
        self._commit(books)

    def pause(self) -> None:
        self._set_status("paused", {"live"})

    def resume(self) -> None:
        self._set_status("live", {"paused"})

    def end(self) -> None:
        self._set_status("ended", {"live", "paused"})

    def change_limit(self, limit: int) -> None:
        if self.books.status == "ended":
            raise NotPossible
        self._commit(self._changed(limit=limit))

    def finish(self) -> None:
        """By housekeeping, as soon as the sale has ended and drained."""
        gate = self.gate
        if self.books.finished:
            self.gate = Gate()
        elif self.books.status == "ended":
            if not self.scripts:
                return
            gone = gate.ready and gate.status == "ended" and not gate.line
            if gone:
                self.gate = Gate()
            self._reach("purged", locked=True)
            if gone:
                self.books = self._changed(finished=True)

    def _move(self, sku: str, units: int) -> None:
        if self.books.stock[sku] + units < 0:
            raise NotPossible
        books = self._changed()
        books.stock[sku] += units
        books.came_in[sku] += units
        if books.finished:  # no gate need hear of it
            books.version -= 1
            self._reach("before the commit", locked=True)
            self.books = books
        else:
            self._commit(books)

    def _set_status(self, to: str, allowed: set[str]) -> None:
        if self.books.status not in allowed:
            raise NotPossible
        self._commit(self._changed(status=to))

    def _changed(self, **what: object) -> Books:
        books = deepcopy(self.books)
        books.version += 1
        for name, value in what.items():
            setattr(books, name, value)
        return books

    def _commit(self, books: Books) -> None:
        self._reach("before the commit", locked=True)
        self.books = books
        self._reach("committed")
        try:
            if not self._tell() and self.gate.ready:
                raise NotReplicated
        except GateNotReady:
            return

    # --- Misfortune -------------------------------------------------------------------------------

    def restart(self, really: bool) -> None:
        self.scripts = False

    def wipe(self, scripts_too: bool) -> None:
        self.gate = Gate()
        self.scripts = self.scripts and not scripts_too

    def replaced(self, empty: bool) -> None:
        if empty:
            self.wipe(scripts_too=True)
        else:
            self.restart(really=False)
        self.heal()

    def keep_copy(self) -> None:
        self.copies.append(deepcopy(self.gate))

    def bring_back_copy(self, number: int, noticed: bool) -> None:
        self.gate = deepcopy(self.copies[number])
        self.scripts = self.scripts and not noticed

    def back_up(self) -> None:
        self.backups.append(Backup(deepcopy(self.books), len(self.backups), len(self.copies)))

    def restore_backup(self, number: int) -> None:
        books, backups, copies = self.backups[number]
        self.books = deepcopy(books)
        del self.backups[backups + 1 :], self.copies[copies:]
        self.heal()

    # --- Interruptions ----------------------------------------------------------------------------

    def interrupt(self, point: str, reached: Passing) -> None:
        """Has `reached` called at that point."""
        self._point, self._reached = point, reached

    def _reach(self, point: str, locked: bool = False) -> None:
        if point == self._point:
            self._reached(locked)

    def _ask_script(self) -> None:
        if not self.scripts:
            raise GateNotReady


def _allot(books: Books, ticket: Ticket) -> Answer:
    """Takes the units out of stock if there are so many, within the limit."""
    units = defaultdict(int, books.bought())
    if units[ticket.shopper.hex] + ticket.quantity > books.limit:
        return ticket.answer("rejected", "limit")
    if books.stock[ticket.sku] < ticket.quantity:
        return ticket.answer("rejected", "sold_out")
    books.stock[ticket.sku] -= ticket.quantity
    return ticket.answer(books.given)
