"""Define the controls of staff over sales, variants and orders.

The dashboard shows them in place, where `templates/dashboard/_sale.html` has their buttons; admin asks on a
separate page before a control changes anything.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4, uuid5

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone

from dashboard.access import CORRECT, RETRY_REFUND, RUN
from dashboard.base_control import Control, Outcome
from dashboard.shipping_control import Ship
from dashboard.window_fields import WindowFields
from inventory.models import MOST_MINUTES, MOST_UNITS, Sale, Variant
from inventory.names import LineFormField
from orders import cancellation, sale_lifecycle, stock_changes
from orders.draws import scheduling
from orders.models import Order
from orders.sale_warnings import digest_of, list_warnings
from payments import refunds
from payments.models import Refund

Status = Sale.Status


# --- Sales ---------------------------------------------------------------------------------------


class PutsOnSale(Control):
    """Asks about odd things before the sale can be bought from. `accepted` names those that were shown."""

    accepted = forms.CharField(required=False, widget=forms.HiddenInput)

    @classmethod
    def warnings(cls, subject: Sale) -> list[str]:
        return list_warnings(subject)

    @classmethod
    def initial_for(cls, subjects: Sequence[Sale]) -> dict[str, Any]:
        shown = [digest_of(subject, cls.warnings(subject)) for subject in subjects]
        return {**super().initial_for(subjects), "accepted": " ".join(shown)}

    def arguments(self, subject: Sale) -> dict[str, Any]:
        return {"reason": self.cleaned_data["reason"], "beacon": scheduling.usual_beacon(subject)}

    def carry_out(self, subject: Sale, by: str) -> Outcome:
        odd = self.warnings(subject)
        digest = digest_of(subject, odd)
        if odd and digest not in self.cleaned_data["accepted"].split():
            words = f"{self.called(subject)}: {' '.join(odd)} Is this meant? Nothing was changed."
            return Outcome("asked", words, digest)
        return super().carry_out(subject, by)


class Schedule(PutsOnSale):
    name = "schedule"
    label = "Schedule"
    effect = "It opens and closes by the clock, and everybody can see it from now on."
    done = "{subject} is scheduled."
    function = sale_lifecycle.schedule

    @classmethod
    def fits(cls, subject: Sale) -> bool:
        return subject.status == Status.DRAFT


class OpenNow(PutsOnSale):
    name = "open"
    label = "Open now"
    effect = "It sells from now on, and closes by the clock."
    done = "{subject} is open."
    function = sale_lifecycle.go_live

    @classmethod
    def fits(cls, subject: Sale) -> bool:
        ahead = subject.phase(timezone.now()) in ("draft", "upcoming")
        return ahead and subject.status != Status.PAUSED


class Pause(Control):
    name = "pause"
    label = "Pause"
    effect = "Every click is refused from now on. Accepted purchases are still decided."
    done = "{subject} is paused."
    function = sale_lifecycle.pause

    @classmethod
    def fits(cls, subject: Sale) -> bool:
        return subject.status == Status.LIVE and not subject.ended()


class Resume(Control):
    name = "resume"
    label = "Resume"
    effect = "It sells again, as long as its window lasts."
    done = "{subject} goes on."
    function = sale_lifecycle.resume

    @classmethod
    def fits(cls, subject: Sale) -> bool:
        return subject.status == Status.PAUSED and not subject.ended()


class End(Control):
    name = "end"
    label = "End"
    effect = "It closes now and for good. Accepted purchases are still decided."
    done = "{subject} has ended."
    function = sale_lifecycle.end

    @classmethod
    def fits(cls, subject: Sale) -> bool:
        return subject.status in (Status.LIVE, Status.PAUSED) and not subject.ended()


class ChangeWindow(WindowFields, Control):
    name = "window"
    label = "Change window"
    effect = "Moves the opening, if it has not opened, or the close. Empty: it stays."
    done = "{subject} has another window."
    function = sale_lifecycle.change_window

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
    function = sale_lifecycle.change_limit

    limit = forms.IntegerField(min_value=1, max_value=MOST_UNITS, label="Units per shopper")

    @classmethod
    def fits(cls, subject: Sale) -> bool:
        return not subject.ended()

    @classmethod
    def current(cls, subject: Sale) -> dict[str, Any]:
        return {"limit": subject.limit}


class ChangeHold(Control):
    name = "hold"
    label = "Change hold"
    effect = (
        "Sets for how many minutes units are held from a click on. A sale that is public can only"
        " hold longer."
    )
    done = "{subject} holds units for {minutes:,} minutes."
    function = sale_lifecycle.change_hold

    minutes = forms.IntegerField(min_value=0, max_value=MOST_MINUTES, label="Minutes of a hold")

    @classmethod
    def fits(cls, subject: Sale) -> bool:
        draft = subject.status == Status.DRAFT
        return draft or (subject.hold_minutes > 0 and not subject.ended())

    @classmethod
    def current(cls, subject: Sale) -> dict[str, Any]:
        return {"minutes": subject.hold_minutes}


class SwitchOnStandby(Control):
    name = "standby"
    label = "Switch on standby"
    effect = (
        "Who comes too late waits in order from now on, and gets what comes back. A sale that is public"
        " keeps it."
    )
    done = "{subject} has a standby."
    function = sale_lifecycle.change_standby

    @classmethod
    def fits(cls, subject: Sale) -> bool:
        return not subject.standby and not subject.ended()

    def arguments(self, subject: Sale) -> dict[str, Any]:
        return {"standby": True, "reason": self.cleaned_data["reason"]}


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
    effect = (
        "Its units return to stock and can be bought again; what was paid is refunded as a whole. Refund a"
        " part of it at the payment provider. The shopper's page says so. This is final."
    )
    done = "{subject} is cancelled."
    function = cancellation.cancel_order

    @classmethod
    def fits(cls, subject: Order) -> bool:
        return subject.may_become(Order.Status.CANCELLED)

    def called(self, subject: Order) -> str:
        return subject.reference


# --- Payments ------------------------------------------------------------------------------------


class RetryRefund(Control):
    name = "retry"
    label = "Try refund again"
    effect = "The payment provider is asked again to send the whole amount back to the shopper."
    done = "{subject} is tried again."
    permissions = (RETRY_REFUND,)
    function = refunds.retry

    @classmethod
    def fits(cls, subject: Refund) -> bool:
        return subject.state == Refund.State.FAILED

    def called(self, subject: Refund) -> str:
        return f"The refund of {subject.attempt.order.reference}"


OF_SALES = (
    *(Schedule, OpenNow, Pause, Resume, End),
    *(ChangeWindow, ChangeLimit, ChangeHold, SwitchOnStandby),
)
OF_VARIANTS = (Restock, Correct)
OF_ORDERS = (Cancel, Ship)
OF_REFUNDS = (RetryRefund,)
