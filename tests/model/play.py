"""One step at a time, for real and as it should be: both must say the same and leave the same behind."""

from collections.abc import Callable
from functools import partial

from inventory.models import Sale
from tests.model.promises import Seen, Witness, at_rest, same
from tests.model.reference import Books, Killed, Passing, Reference, Step
from tests.model.shop import Shop, elsewhere, points_reached

_DISK_LOST = {"wipe", "replaced", "bring_back_copy"}
_DEATH = Step("die")


class Play:
    """A sale, its reference, and a witness of what was promised."""

    def __init__(self, sale: Sale, batch: int, part: int) -> None:
        stock = dict(sale.variants.values_list("sku", "stock"))
        given = "held" if sale.hold_minutes else "confirmed"
        books = Books(
            sale.version, sale.limit, stock, dict(stock), sale.epoch, given, sale.per_address
        )
        self.sale = sale.pk
        self.shop = Shop(sale)
        self.reference = Reference(books, batch, part)
        self.witness = Witness(given)

    def whole(self, step: Step) -> None:
        self._both(step)

    def killed(self, at: str, step: Step) -> None:
        """The process that takes the step dies at that point, if it gets there."""
        self._both(step, at, _DEATH)

    def overtaken(self, at: str, by: Step, step: Step) -> None:
        """Whoever takes the step pauses at that point, and meanwhile somebody else does something."""
        self._both(step, at, by)

    def rest(self) -> None:
        """The caretaker looks after the sale, and a worker settles it: once is enough."""
        self.whole(Step("heal"))
        self.whole(Step("settle"))
        at_rest(Seen.now(self.sale), self.sale)

    def _both(self, step: Step, at: str = "", other: Step | None = None) -> None:
        answers = self._for_real(step, at, other)
        expected = self._as_it_should_be(step, at, other)
        assert answers == expected
        seen = Seen.now(self.sale)
        names = {step.name, other.name if other else ""}
        if names & _DISK_LOST:
            self.witness.excuses_the_disk(seen)
        if "restore_backup" in names:
            self.witness.excuses_the_database(seen)
        self.witness.checks(seen, self.reference.books.came_in)
        same(seen, self.reference)

    def _for_real(self, step: Step, at: str, other: Step | None) -> list[str]:
        answers: list[str] = []

        def act(doing: Step) -> None:
            answers.append(self.witness.hears(doing, doing.on(self.shop)))

        if other is None:
            act(step)
        else:
            meanwhile = _die if other is _DEATH else partial(elsewhere, partial(act, other))
            with points_reached(at, _once(meanwhile, _under_locks(step, other))):
                act(step)
        return answers

    def _as_it_should_be(self, step: Step, at: str, other: Step | None) -> list[str]:
        answers: list[str] = []

        def act(doing: Step) -> None:
            answers.append(doing.on(self.reference))

        if other is not None:
            meanwhile = _die if other is _DEATH else partial(act, other)
            self.reference.interrupt(at, _once(meanwhile, _under_locks(step, other)))
        act(step)
        self.reference.interrupt("", lambda locked: None)  # there is no such point
        return answers


def _die() -> None:
    raise Killed


def _under_locks(step: Step, other: Step) -> bool:
    """Whether the other can come while the step holds locks. Almost everybody would wait for them; a
    second settlement leaves at once."""
    return other is _DEATH or step.name == other.name == "settle"


def _once(act: Callable[[], None], under_locks: bool) -> Passing:
    """Does it the first time."""
    done = False

    def reached(locked: bool) -> None:
        nonlocal done
        if done or (locked and not under_locks):
            return
        done = True
        act()

    return reached
