"""The fields of a sale's form about its checkout."""

from typing import Any, ClassVar

from django import forms
from django.conf import settings
from django.contrib.admin.widgets import AdminTextareaWidget

from inventory.models import MOST_CONTACT_DAYS, MOST_MINUTES

RULES = ["hold_minutes", "ask", "payment", "terms", "price_note", "contact_days"]


class CheckoutFields(forms.ModelForm):  # type: ignore[type-arg]  # Django has no generics here
    """Numbers are optional: a page that the last release made does not have them. Without one it stays."""

    widgets: ClassVar[dict[str, Any]] = {"terms": AdminTextareaWidget({"rows": 6})}

    hold_minutes = forms.IntegerField(
        label="Hold",
        min_value=0,
        max_value=MOST_MINUTES,
        initial=0,
        required=False,
        help_text="minutes for which units are held while the shopper checks out; 0: no checkout,"
        " sold at once",
    )
    payment = forms.ChoiceField(
        required=False,
        help_text="the payment provider; those that PAYMENT_PROVIDERS names can be chosen",
    )
    contact_days = forms.IntegerField(
        label="Contacts kept",
        min_value=0,
        max_value=MOST_CONTACT_DAYS,
        initial=180,
        required=False,
        help_text="days after the end until names and addresses are erased; 0: never",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        payment = self.fields.get("payment")
        if isinstance(payment, forms.ChoiceField):
            # One that is not configured any more is shown, and refused by the model.
            names = [*settings.PAYMENT_PROVIDERS, self.instance.payment]
            found = [(name, name) for name in dict.fromkeys(filter(None, names))]
            payment.choices = [("", "nothing is paid here"), *found]

    def clean_hold_minutes(self) -> int:
        return self._typed_or_stored("hold_minutes")

    def clean_contact_days(self) -> int:
        return self._typed_or_stored("contact_days")

    def _typed_or_stored(self, name: str) -> int:
        typed: int | None = self.cleaned_data[name]
        stored: int = getattr(self.instance, name)
        return stored if typed is None else typed

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean() or self.cleaned_data
        asked = [name for name in ("ask", "payment", "terms") if cleaned.get(name)]
        if asked and cleaned.get("hold_minutes") == 0:
            self.add_error("hold_minutes", "What is asked or paid at a checkout needs a hold.")
        return cleaned
