"""The control that marks orders as shipped."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4, uuid5

from django import forms

from dashboard.access import SHIP
from dashboard.base_control import Control
from inventory.names import LineFormField
from orders import shipping
from orders.models import Order


class Ship(Control):
    """Carries a key that is made with the form: the same form sent twice ships once."""

    name = "ship"
    label = "Mark as shipped"
    effect = (
        "The shopper's page says so, with what finds the parcel. An order that is shipped"
        " already gets these instead."
    )
    done = "{subject} is marked as shipped."
    permissions = (SHIP,)
    function = shipping.mark_shipped

    carrier = LineFormField(max_length=shipping.MOST_NAME, required=False)
    number = LineFormField(max_length=shipping.MOST_NAME, required=False, label="Tracking number")
    url = LineFormField(
        max_length=shipping.MOST_LINK, required=False, label="Tracking link", empty_value=""
    )
    key = forms.UUIDField(widget=forms.HiddenInput, initial=uuid4)

    def __init__(self, subjects: Sequence[Order], *args: Any, **kwargs: Any) -> None:
        super().__init__(subjects, *args, **kwargs)
        self.order_fields(["carrier", "number", "url", "reason"])

    @classmethod
    def fits(cls, subject: Order) -> bool:
        return subject.status == Order.Status.CONFIRMED

    def called(self, subject: Order) -> str:
        return subject.reference

    def arguments(self, subject: Order) -> dict[str, Any]:
        form: UUID = self.cleaned_data["key"]
        return {**self.cleaned_data, "key": uuid5(form, str(subject.pk))}
