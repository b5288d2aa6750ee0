"""The opening and the close of a sale, as fields of a form."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django import forms

from dashboard.moment_field import MomentField
from inventory.models import Sale

_NAMES = ("opens_at", "closes_at")


class WindowFields(forms.Form):
    """Typed and shown in the sale's time zone, which the labels name. Empty: it stays."""

    opens_at = MomentField(label="Opens at ({})", required=False)
    closes_at = MomentField(label="Closes at ({})", required=False)

    @classmethod
    def current(cls, subject: Sale) -> dict[str, Any]:
        return {"opens_at": subject.opens_at, "closes_at": subject.closes_at}

    @classmethod
    def why_not(cls, subjects: Sequence[Sale]) -> str:
        zones = sorted({sale.time_zone for sale in subjects})
        several = f"Times in {' and '.join(zones)} differ: change the windows zone by zone."
        return several if len(zones) > 1 else ""

    def read_in_zone_of(self, sale: Sale) -> None:
        for name in _NAMES:
            field: Any = self.fields[name]
            field.label = field.label.format(sale.time_zone)
            field.read_in(sale.time_zone)

    @property
    def bound_moments(self) -> list[forms.BoundField]:
        return [self[name] for name in _NAMES]

    def moved(self) -> dict[str, datetime]:
        """The changed fields of the form that are valid."""
        given = {name: self.cleaned_data[name] for name in _NAMES if name in self.changed_data}
        return {name: moment for name, moment in given.items() if moment is not None}
