"""Define the controls of staff: a form, its texts, and the function that it calls.

The dashboard shows them in place; admin asks on a separate page before a control changes anything.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple
from uuid import UUID, uuid4, uuid5

import psycopg
import redis
from django import forms
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db import Error, IntegrityError
from django.utils import timezone

from dashboard.access import CORRECT, RUN
from dashboard.window_fields import WindowFields
from flashsale.database import only_reads
from inventory.constraint_messages import explain
from inventory.models import MOST_UNITS, Sale, Variant
from inventory.names import LineFormField
from orders import cancellation, lifecycle, stock_changes
from orders.changes import NotPossible, NotReplicated
from orders.models import Order

log = logging.getLogger(__name__)

Status = Sale.Status


class Outcome(NamedTuple):
    """The result of a change, for the staff who made it.

    `kind` is `done`; `repeated`: it was done before; `refused`; `late`: committed, but not yet in the gate;
    `unsure`: it may be committed, staff have to look; `read_only`: PostgreSQL takes no changes.
    """

    kind: str
    words: str


class Control(forms.Form):
    """One kind of change. Its fields are the arguments of `function` besides the primary key and `by`."""

    required_css_class = "required"
    field_order = ("units", "limit", "opens_at", "closes_at", "reason")

    name: ClassVar[str]  # in the URL and in the list of actions
    label: ClassVar[str]
    effect: ClassVar[str]  # shown before staff confirm
    done: ClassVar[str]  # shown afterwards; a format string of `subject` and the fields
    permissions: ClassVar[tuple[str, ...]] = (RUN,)  # any of them
    function: ClassVar[Callable[..., object]]

    reason = LineFormField(
        max_length=200, required=False, help_text="Optional. Kept in the audit, for other staff."
    )

    def __init__(self, subjects: Sequence[Any], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)

    @classmethod
    def why_not(cls, subjects: Sequence[Any]) -> str:
        """Why it cannot change all of these in one form; empty if it can."""
        return ""

    @classmethod
    def permitted_to(cls, user: Any) -> bool:
        return any(user.has_perm(permission) for permission in cls.permissions)

    @classmethod
    def fits(cls, subject: Any) -> bool:
        """Whether the subject's page offers it. Only a convenience: `function` enforces the rules."""
        return True

    @classmethod
    def current(cls, subject: Any) -> dict[str, Any]:
        """Initial values of the form for this one subject."""
        return {}

    def called(self, subject: Any) -> str:
        return str(subject)

    def arguments(self, subject: Any) -> dict[str, Any]:
        """The arguments of `function` besides the primary key and `by`."""
        return self.cleaned_data

    def carry_out(self, subject: Any, by: str) -> Outcome:
        """Make the change. Errors of PostgreSQL and Redis become outcomes, too."""
        called = self.called(subject)
        try:
            made = type(self).function(subject.pk, by=by, **self.arguments(subject))
        except NotPossible as refusal:
            return Outcome("refused", f"{called}: {refusal}")
        except NotReplicated as late:
            return Outcome("late", f"{called}: {late}")
        except ObjectDoesNotExist:
            return Outcome("refused", f"{called} does not exist any more.")
        except IntegrityError as refusal:
            return Outcome("refused", f"{called}: {explain(refusal)}")
        except (Error, redis.RedisError) as error:
            log.warning("%s of %s: %s", self.name, called, error)
            return _unfinished(called, error)
        if made is False:
            return Outcome("repeated", f"{called}: this was done before, and is done only once.")
        return Outcome("done", self.done.format(subject=called, **self.cleaned_data))


def _unfinished(called: str, error: Exception) -> Outcome:
    if isinstance(error.__cause__, psycopg.errors.LockNotAvailable):
        words = f"{called}: others are changing it. Nothing was changed here; please try again."
        return Outcome("refused", words)
    if only_reads(error):
        return Outcome("read_only", f"{called}: PostgreSQL can only be read. Nothing was changed.")
    words = f"{called}: a server did not answer. It may be done or not: see the audit."
    return Outcome("unsure", words)


# --- Sales ---------------------------------------------------------------------------------------


class Schedule(Control):
    name = "schedule"
    label = "Schedule"
    effect = "It opens and closes by the clock, and everybody can see it from now on."
    done = "{subject} is scheduled."
    function = lifecycle.schedule

    @classmethod
    def fits(cls, subject: Sale) -> bool:
        return subject.status == Status.DRAFT


class OpenNow(Control):
    name = "open"
    label = "Open now"
    effect = "It sells from now on, and closes by the clock."
    done = "{subject} is open."
    function = lifecycle.go_live

    @classmethod
    def fits(cls, subject: Sale) -> bool:
        ahead = subject.phase(timezone.now()) in ("draft", "upcoming")
        return ahead and subject.status != Status.PAUSED


class Pause(Control):
    name = "pause"
    label = "Pause"
    effect = "Every click is refused from now on. Accepted purchases are still decided."
    done = "{subject} is paused."
    function = lifecycle.pause

    @classmethod
    def fits(cls, subject: Sale) -> bool:
        return subject.status == Status.LIVE and not subject.ended()


class Resume(Control):
    name = "resume"
    label = "Resume"
    effect = "It sells again, as long as its window lasts."
    done = "{subject} goes on."
    function = lifecycle.resume

    @classmethod
    def fits(cls, subject: Sale) -> bool:
        return subject.status == Status.PAUSED and not subject.ended()


class End(Control):
    name = "end"
    label = "End"
    effect = "It closes now and for good. Accepted purchases are still decided."
    done = "{subject} has ended."
    function = lifecycle.end

    @classmethod
    def fits(cls, subject: Sale) -> bool:
        return subject.status in (Status.LIVE, Status.PAUSED) and not subject.ended()


class ChangeWindow(WindowFields, Control):
    name = "window"
    label = "Change window"
    effect = "Moves the opening, if it has not opened, or the close. Empty: it stays."
    done = "{subject} has another window."
    function = lifecycle.change_window

    def __init__(self, subjects: Sequence[Sale], *args: Any, **kwargs: Any) -> None:
        super().__init__(subjects, *args, **kwargs)
        self.sale = subjects[0]
        self.read_in_zone_of(self.sale)

    @classmethod
    def of(cls, sale: Sale) -> "ChangeWindow":
        """The form for one sale, without ids: the dashboard has many."""
        return cls([sale], initial=cls.current(sale), auto_id=False)

    @classmethod
    def fits(cls, subject: Sale) -> bool:
        return not subject.ended()

    def clean(self) -> dict[str, Any]:
        if not self.errors and not self.moved():
            raise ValidationError("Neither the opening nor the close was moved.")
        return self.cleaned_data

    def arguments(self, subject: Sale) -> dict[str, Any]:
        return {**self.moved(), "reason": self.cleaned_data["reason"]}


class ChangeLimit(Control):
    name = "limit"
    label = "Change limit"
    effect = "Sets how many units each shopper may buy. Units that are bought stay bought."
    done = "{subject}: at most {limit:,} units per shopper."
    function = lifecycle.change_limit

    limit = forms.IntegerField(min_value=1, max_value=MOST_UNITS, label="Units per shopper")

    @classmethod
    def fits(cls, subject: Sale) -> bool:
        return not subject.ended()

    @classmethod
    def current(cls, subject: Sale) -> dict[str, Any]:
        return {"limit": subject.limit}


# --- Variants ------------------------------------------------------------------------------------


class MovesStock(Control):
    """Carries a key that is made with the form: the same form sent twice moves its units once."""

    key = forms.UUIDField(widget=forms.HiddenInput, initial=uuid4)

    def arguments(self, subject: Variant) -> dict[str, Any]:
        form: UUID = self.cleaned_data["key"]
        return {**self.cleaned_data, "key": uuid5(form, subject.sku)}


class Restock(MovesStock):
    name = "restock"
    label = "Restock"
    effect = "Adds units that have come in. A sale that has sold out sells them at once."
    done = "The stock of {subject} has grown by {units:,}."
    permissions = (RUN, CORRECT)
    function = stock_changes.restock

    units = forms.IntegerField(
        min_value=1, max_value=stock_changes.MOST_MOVED, help_text="Added to the present stock."
    )


class Correct(MovesStock):
    name = "correct"
    label = "Correct stock"
    effect = (
        "Adds or takes away units that were counted wrongly, broken or lost."
        " Purchases that wait in the line may be rejected by it."
    )
    done = "The stock of {subject} is corrected by {units:+,}."
    permissions = (CORRECT,)
    function = stock_changes.correct

    units = forms.IntegerField(
        min_value=-stock_changes.MOST_MOVED,
        max_value=stock_changes.MOST_MOVED,
        help_text="The difference: -2 takes two away.",
    )
    reason = LineFormField(max_length=200, help_text="Kept in the ledger.")


# --- Orders --------------------------------------------------------------------------------------


class Cancel(Control):
    name = "cancel"
    label = "Cancel order"
    effect = "Its units return to stock and can be bought again. The shopper's page says so. This is final."
    done = "{subject} is cancelled."
    function = cancellation.cancel_order

    @classmethod
    def fits(cls, subject: Order) -> bool:
        return subject.may_become(Order.Status.CANCELLED)

    def called(self, subject: Order) -> str:
        return subject.reference


OF_SALES = (Schedule, OpenNow, Pause, Resume, End, ChangeWindow, ChangeLimit)
OF_VARIANTS = (Restock, Correct)
OF_ORDERS = (Cancel,)
