"""The fields of a sale's form about who gets units: the draw, standby, and who may buy."""

from typing import Any

from django import forms

from dashboard.moment_field import MomentField, TwoInputs
from inventory.models import Sale

RULES = ["draw_at", "standby", "entrants", "per_address"]
_MOST = Sale._meta.get_field("per_address").validators  # of PostgreSQL's integers


class EntryFields(forms.ModelForm):  # type: ignore[type-arg]  # Django has no generics here
    """A page that the last release made has none of them. From such a page they stay."""

    draw_at = MomentField(
        widget=TwoInputs,
        required=False,
        label="Draw",
        help_text="Until then every click is an entry, and lots decide. Empty: first come, first served.",
    )
    standby = forms.BooleanField(
        required=False,
        help_text="Who comes too late waits in order, and gets what comes back.",
    )
    per_address = forms.IntegerField(
        label="Per network",
        min_value=0,
        initial=0,
        required=False,
        validators=_MOST,
        help_text="units, or entries of a draw, from one network; 0: no bound",
    )

    def clean_draw_at(self) -> Any:
        return self._sent_or_stored("draw_at")

    def clean_standby(self) -> Any:
        return self._sent_or_stored("standby")

    def clean_entrants(self) -> Any:
        return self._sent_or_stored("entrants")

    def clean_per_address(self) -> Any:
        sent = self._sent_or_stored("per_address")
        return self.instance.per_address if sent is None else sent

    def _sent_or_stored(self, name: str) -> Any:
        there = self.add_initial_prefix("draw_at") in self.data
        return self.cleaned_data[name] if there else getattr(self.instance, name)

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean() or self.cleaned_data
        opens_at, closes_at, draw_at = (
            cleaned.get(name) for name in ("opens_at", "closes_at", "draw_at")
        )
        if draw_at and opens_at and draw_at <= opens_at:
            self.add_error("draw_at", "The draw must be after the opening.")
        elif draw_at and closes_at and draw_at > closes_at:
            self.add_error("draw_at", "The draw must not be after the close.")
        return cleaned
