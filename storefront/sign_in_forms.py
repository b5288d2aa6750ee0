"""The forms of the sign-in: an e-mail address, and the code that was mailed to it."""

import re

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from accounts.contacts import canonical_email

_DIGITS = re.compile(r"\A\s*[0-9]{3}\s*[0-9]{3}\s*\Z")
_SIX_DIGITS = _("Please type the six digits from our mail.")


class AskForm(forms.Form):
    email = forms.EmailField(
        label=_("Your e-mail address"),
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "email", "aria-describedby": "form-error"}),
        error_messages={
            "required": _("Please type your e-mail address."),
            "invalid": _("This is not an e-mail address."),
        },
    )

    def clean_email(self) -> str:
        email: str = self.cleaned_data["email"]
        if _is_disposable(canonical_email(email).rpartition("@")[2]):
            raise ValidationError(
                _("Addresses of this provider last for a moment only. Please use a lasting one.")
            )
        return email


class CodeForm(forms.Form):
    code = forms.RegexField(
        _DIGITS,
        label=_("Code"),
        strip=False,
        widget=forms.TextInput(
            attrs={
                "autocomplete": "one-time-code",
                "inputmode": "numeric",
                "aria-describedby": "form-error",
            }
        ),
        error_messages={"required": _SIX_DIGITS, "invalid": _SIX_DIGITS},
    )


def _is_disposable(domain: str) -> bool:
    """Whether the list has the domain, or one that it belongs to."""
    parts = domain.split(".")
    return any(".".join(parts[at:]) in settings.DISPOSABLE_DOMAINS for at in range(len(parts)))
