"""The changes of a sale that need no argument but the sale."""

from collections.abc import Callable
from typing import NamedTuple

from inventory.models import Sale
from orders import sale_lifecycle
from orders.sale_warnings import list_warnings


class Step(NamedTuple):
    """What `manage.py sale` asks before the change, and says of it."""

    act: Callable[..., None]
    question: str
    help: str
    warnings: Callable[[Sale], list[str]] = lambda sale: []  # odd things about the sale
    binds: bool = False  # a draw, to a seed and to a beacon


STEPS = {
    "schedule": Step(
        sale_lifecycle.schedule,
        "Let {} open and close by the clock",
        "Lets a draft open by the clock.",
        list_warnings,
        binds=True,
    ),
    "open": Step(
        sale_lifecycle.go_live, "Open {} now", "Opens it now, before its time.", list_warnings, True
    ),
    "pause": Step(
        sale_lifecycle.pause, "Refuse every click in {}", "Refuses every click from now on."
    ),
    "resume": Step(
        sale_lifecycle.resume, "Take clicks in {} again", "Takes clicks again after a pause."
    ),
    "end": Step(sale_lifecycle.end, "End {} for good", "Closes it now, for good."),
}
