"""Staff of different permissions, and what they do with the pages of Django admin."""

import re
from dataclasses import dataclass
from typing import Any

from django.db.models import Model
from django.test import Client
from django.urls import reverse

from dashboard.tests.staff import browser_of, employ

LOOK = (
    *("inventory.view_sale", "inventory.view_product", "inventory.view_variant"),
    "orders.view_order",
    *("inventory.view_stockmovement", "orders.view_auditentry"),
)
RUN = (*LOOK, "inventory.run_sales")
CORRECT = "inventory.correct_stock"
WRITE = (
    *("inventory.add_sale", "inventory.change_sale", "inventory.delete_sale"),
    *("inventory.add_product", "inventory.change_product"),
)


@dataclass
class Staff:
    """Somebody of the staff, logged in."""

    name: str
    browser: Client

    @classmethod
    def with_permissions(cls, *permissions: str) -> "Staff":
        user = employ(permissions)
        return cls(user.username, browser_of(user))

    @classmethod
    def superuser(cls) -> "Staff":
        user = employ()
        user.is_superuser = True
        user.save()
        return cls(user.username, browser_of(user))

    def opens(self, address: str) -> str:
        page = self.browser.get(address)
        assert page.status_code == 200, (page.status_code, address)
        return page.content.decode()

    def sends(self, address: str, **fields: Any) -> list[str]:
        """Sends a form. Gives the messages that the next page shows."""
        page = self.browser.post(address, fields, follow=True)
        assert page.status_code == 200, (page.status_code, address)
        return [str(message) for message in page.context["messages"]]

    def confirms(self, control: str, *subjects: Model, **fields: Any) -> list[str]:
        """Opens the page that asks, and says yes."""
        address = asking(control, *subjects)
        return self.sends(address, **{**form_of(self.opens(address)), **fields})


def listed(model: type[Model] | Model) -> str:
    """The address of a list."""
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


def page_of(subject: Model) -> str:
    return f"{listed(subject)}{subject.pk}/change/"


def asking(control: str, *subjects: Model) -> str:
    """The address of the page that asks whether to do this to these."""
    asked = "&".join(f"id={subject.pk}" for subject in subjects)
    return f"{listed(subjects[0])}{control}/?{asked}"


def form_of(html: str) -> dict[str, str]:
    """The fields that the page's own form, the last one, sends unchanged."""
    form = re.findall(r"<form.*?</form>", html, re.S)[-1]
    fields = re.findall(r"<input[^>]*>|<textarea.*?</textarea>|<select.*?</select>", form, re.S)
    fields = [field for field in fields if not _is_empty_choice(field)]
    named = [(re.search(r' name="([^"]+)"', field), field) for field in fields]
    return {name[1]: _value_of(field) for name, field in named if name}


def _is_empty_choice(field: str) -> bool:
    """Whether it sends nothing: a choice of several of which none is chosen, a box that is not ticked."""
    several = field.startswith("<select") and " multiple" in field.partition(">")[0]
    return (several and " selected" not in field) or (
        'type="checkbox"' in field and " checked" not in field
    )


def _value_of(field: str) -> str:
    if field.startswith("<textarea"):
        return field.partition(">")[2].removesuffix("</textarea>").strip()
    option = (
        re.search(r"<option[^>]* selected[^>]*>", field) if field.startswith("<select") else None
    )
    value = re.search(r'value="([^"]*)"', option[0] if option else field)
    return value[1] if value and (option or field.startswith("<input")) else ""
