"""Everything that can happen to a sale, drawn by Hypothesis and played step by step."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NamedTuple
from unittest.mock import patch

from django.db.models import F
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from conftest import MakeSale
from flashsale.http.shoppers import new_shopper
from inventory.gate import replica
from inventory.models import Sale
from orders import replication, settlement
from orders.tickets import new_purchase
from tests.model.play import Play
from tests.model.reference import Step, Ticket

# Who does what, and how often for each time that something else happens.
SHOPPERS = {"click": 36, "click again": 6, "reuse a ticket": 4}
WORKERS = {"settle": 10, "settle_by_two": 4, "heal": 6, "heal_by_two": 2, "finish": 1, "rest": 2}
HOLDS = {"confirm": 4, "give_back": 2, "expire": 2}  # only where there are some
STAFF = {"restock": 3, "correct": 3, "cancel": 3, "pause or resume": 1, "change_limit": 3, "end": 1}
COPIES = {"keep_copy": 2, "bring_back_copy": 2}
FATE = {"restart": 2, "wipe": 1, **COPIES, "back_up": 4, "restore_backup": 5}
INTERRUPTED = {"settle": 14, "heal": 4, "replaced": 8, "finish": 1, **STAFF, **HOLDS}
IN_THE_WAY = {**SHOPPERS, **INTERRUPTED, "forget_scripts": 3, "wipe": 14, **COPIES}
KINDS = {"whole": 7, "killed": 1, "overtaken": 2}

# The points that each passes on its way; everything that staff do passes the same.
WAY_OF_HEALING = (
    "marked",
    "scripts loaded",
    "pulse felt",
    "emptied",
    "mark adopted",
    "tale read",
    "part told",
    "part told",  # of several
)
WAYS = {
    "settle": (
        "line read",
        "line read",
        "before the commit",
        "committed",
        "tale read",
        "part told",
        "bell to be lowered",
    ),
    "heal": WAY_OF_HEALING,
    "replaced": WAY_OF_HEALING,
    "finish": ("purged",),
}
WAY_OF_STAFF = ("before the commit", "committed", "tale read", "part told")

STEPS = 60  # at most, in the life of one sale
SHOPPERS_THERE = 6
FIRST_TICKETS = 12  # before these a sale does not end: too little would have happened


class Choice(NamedTuple):
    """What is drawn for a step, before it is known what there is to choose from."""

    name: str
    number: int  # of a shopper, a ticket, an order, a copy: counted from the start again and again
    sku: int
    quantity: int


class Happening(NamedTuple):
    """A step: whole, or killed `at` a point of its way, or overtaken there `by` another step."""

    choice: Choice
    at: str = ""
    by: Choice | None = None


def _often(weights: Mapping[str, int]) -> st.SearchStrategy[str]:
    return st.sampled_from([name for name, weight in weights.items() for _ in range(weight)])


def _choices(weights: Mapping[str, int]) -> st.SearchStrategy[Choice]:
    numbers = st.integers(0, 30), st.integers(0, 1), st.integers(1, 3)
    return st.tuples(_often(weights), *numbers).map(lambda drawn: Choice(*drawn))


def _points(choice: Choice) -> st.SearchStrategy[str]:
    return st.sampled_from(WAYS.get(choice.name, WAY_OF_STAFF))


def happenings() -> st.SearchStrategy[Happening]:
    whole = st.tuples(_choices(SHOPPERS | WORKERS | HOLDS | STAFF | FATE))
    killed = _choices(INTERRUPTED).flatmap(lambda one: st.tuples(st.just(one), _points(one)))
    overtaken = _choices(INTERRUPTED).flatmap(
        lambda one: st.tuples(st.just(one), _points(one), _choices(IN_THE_WAY))
    )
    kinds: dict[str, st.SearchStrategy[tuple[Any, ...]]]
    kinds = {"whole": whole, "killed": killed, "overtaken": overtaken}
    return _often(KINDS).flatmap(kinds.__getitem__).map(lambda drawn: Happening(*drawn))


class Machine(RuleBasedStateMachine):
    """Two variants, some shoppers, staff, workers, a caretaker, and bad luck."""

    make_sale: MakeSale
    taken: Counter[str]
    broken: list[Exception]

    @initialize(
        limit=st.integers(2, 9),
        in_parts=st.booleans(),
        hold=st.sampled_from((0, 10)),
        per_address=st.sampled_from((0, 0, 5)),
    )
    def opens(self, limit: int, in_parts: bool, hold: int, per_address: int) -> None:
        """Either a long line is settled in batches, or a long tale is told in parts."""
        settlement.BATCH, replication._PART = (500, 2) if in_parts else (2, 5000)
        sale = self.make_sale(
            stock={"shoe": 9, "bag": 6}, limit=limit, hold=hold, per_address=per_address
        )
        self.play = Play(sale, settlement.BATCH, replication._PART)
        self.skus = sorted(self.play.shop.variants)
        self.shoppers = [new_shopper() for _ in range(SHOPPERS_THERE)]
        self.tickets: list[Ticket] = []

    @rule(happening=happenings())
    def next(self, happening: Happening) -> None:
        with self._noting_what_breaks():
            self._happens(*happening)

    def teardown(self) -> None:
        """Whatever has happened: looked after once, everything is answered. Then it makes room."""
        try:
            with self._noting_what_breaks():
                self.play.rest()
        finally:
            sale = Sale.objects.filter(pk=self.play.sale)
            over = F("opens_at") + timedelta(seconds=1)
            sale.update(status="ended", finished=True, closes_at=over)
            replica.remove([self.play.sale])

    @contextmanager
    def _noting_what_breaks(self) -> Iterator[None]:
        try:
            yield
        except Exception as failure:
            self.broken.append(failure)
            raise

    def _happens(self, choice: Choice, at: str, by: Choice | None) -> None:
        step, other = self._step(choice), by and self._step(by)
        if other and at == "before the commit":  # under locks: who else would come, would wait
            other = Step("settle")
        kind = " overtaken" if other else " killed" if at else ""
        if choice.name == "rest":
            self.play.rest()
        elif step is None:
            return
        elif other:
            self.play.overtaken(at, other, step)
        elif at:
            self.play.killed(at, step)
        else:
            self.play.whole(step)
        self.taken[choice.name + kind] += 1

    # --- What was drawn, made into a step ---

    def _step(self, choice: Choice) -> Step | None:
        """None where there is nothing to do it to."""
        name, number, sku, quantity = choice
        shop, books = self.play.shop, self.play.reference.books
        if name in SHOPPERS:
            return Step("click", (self._ticket(choice),))
        if name in ("cancel", "confirm", "give_back"):
            return _one_of(name, list(books.orders), number)
        if name == "restore_backup":
            return _one_of(name, range(len(shop.backups)), number)
        if name == "bring_back_copy":
            noticed = bool(sku) or books.finished
            return _one_of(name, range(len(shop.copies)), number, noticed)
        if name == "pause or resume" or (name == "end" and len(self.tickets) < FIRST_TICKETS):
            stays_open = books.status == "paused" or number % 3
            return Step("resume" if stays_open else "pause")
        if name == "forget_scripts":
            return Step("restart", (False,))
        args: Mapping[str, tuple[Any, ...]] = {
            "restock": (self.skus[sku], quantity),
            "correct": (self.skus[sku], -quantity),
            "change_limit": (number % 9 + 1,),
            "restart": (number > 24,),
            "wipe": (bool(sku),),
            "replaced": (bool(sku),),
        }
        return Step(name, args.get(name, ()))

    def _ticket(self, choice: Choice) -> Ticket:
        """A new one, or one that was used before, perhaps for something else."""
        shopper = self.shoppers[choice.number % len(self.shoppers)]
        new = Ticket(new_purchase(self.play.sale), shopper, self.skus[choice.sku], choice.quantity)
        if choice.name == "click" or not self.tickets:
            self.tickets.append(new)
            return new
        old = self.tickets[choice.number % len(self.tickets)]
        if choice.name == "click again":
            return old
        return old._replace(sku=new.sku, quantity=new.quantity)


def _one_of(name: str, found: Sequence[Any], number: int, *more: Any) -> Step | None:
    return Step(name, (found[number % len(found)], *more)) if found else None


def play(
    make_sale: MakeSale, *, examples: int, by_chance: bool = False, shortest: bool = True
) -> Counter[str]:
    """Plays the lives of so many sales; the same ones each time, unless `by_chance`. Gives how often
    each step was taken. Fails at the first broken promise, and says the `shortest` way to it."""
    taken: Counter[str] = Counter()
    broken: list[Exception] = []
    shop = {"make_sale": staticmethod(make_sale), "taken": taken, "broken": broken}
    machine = type("FlashSale", (Machine,), shop)
    life = settings(
        max_examples=examples,
        stateful_step_count=STEPS,
        derandomize=not by_chance,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink] if shortest else [Phase.generate],
        report_multiple_bugs=False,
        suppress_health_check=[HealthCheck.too_slow],  # by Hypothesis' measure, real servers are
    )
    with (
        patch.object(settlement, "LINGER", 1),  # nobody clicks while a line is settled
        patch.object(settlement, "BATCH"),
        patch.object(replication, "_PART"),
    ):
        try:
            run_state_machine_as_test(machine, settings=life)
        except Flaky as flaky:
            if not broken:
                raise
            # Two at once seldom meet twice in the same way. What broke the first time is broken.
            raise broken[0] from flaky
        except BaseException as failure:
            failure.add_note(f"after {taken.total()} steps")
            raise
    return taken
