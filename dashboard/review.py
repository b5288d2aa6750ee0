"""A sale's review: what looks like one person, and entries that are set aside before the draw."""

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db import DatabaseError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from accounts import contacts
from dashboard.access import RUN, SEE_CONTACTS, SEE_ORDERS, may, staff_with
from dashboard.base_control import Control
from flashsale.database import bounded_transaction
from flashsale.middleware import try_again
from inventory.models import Sale
from inventory.names import LineFormField
from orders import aside, networks, review
from orders.audit_trail import Action, facts, write_down
from orders.models import Order
from orders.review import Kind

_LOOKED = "compared contacts"  # the audit's reason


@require_safe
@never_cache
@staff_with(SEE_ORDERS)
def review_sale(request: HttpRequest, sale: int) -> HttpResponse:
    """The groups of a sale. Contacts are compared only when staff ask for it: the audit has each look."""
    shown = get_object_or_404(Sale, pk=sale)
    may_compare = may(request.user, SEE_CONTACTS)
    context = {
        "section": "dashboard",
        "sale": shown,
        "networks": review.list_networks(shown),
        "aside": review.list_set_aside(shown),
        "may_compare": may_compare,
        "most": review.MOST_CONTACTS,
        "shown": review.SHOWN,
    }
    if may_compare and "contacts" in request.GET:
        context["contacts"] = _compare_contacts(request, shown)
    return render(request, "dashboard/review.html", context)


def _compare_contacts(request: HttpRequest, sale: Sale) -> dict[str, Any] | None:
    """The groups by contact; None, with a message, if they cannot be read or the look cannot be audited."""
    try:
        _write_look(sale, by=request.user.get_username())
        found = review.list_contacts(sale)
    except (DatabaseError, contacts.Unreadable) as why:
        messages.error(request, _describe(why))
        return None
    return {kind.value: groups for kind, groups in found.items()}


def _write_look(sale: Sale, *, by: str) -> None:
    with bounded_transaction():
        write_down(Action.LOOKED, sale, facts(sale), by=by, reason=_LOOKED)


def _describe(why: Exception) -> str:
    if isinstance(why, contacts.Unreadable):
        return str(why)
    return "Contacts are compared only where the look can be written into the audit."


# --- A group, and setting its entries aside -------------------------------------------------------


class SetAside(Control):
    """Sets chosen entries of the sale aside, or all that were shown but the earliest."""

    name = "aside"
    label = "Set aside"
    effect = "They take no part in the draw. Their shoppers read why, and do not enter again."
    done = "{subject}: the chosen entries are set aside."
    function = aside.set_aside

    reason = LineFormField(max_length=200)

    def __init__(self, subjects: Any, data: Any = None, **options: Any) -> None:
        super().__init__(subjects, data, **options)
        self._sent = data

    def clean(self) -> dict[str, Any]:
        if self._sent.get("which") == "later":
            chosen = _read(self._sent.get("shown", "").split())[1:]
        else:
            chosen = _read(self._sent.getlist("order"))
        if not chosen:
            raise ValidationError("No entry was chosen.")
        self.cleaned_data["orders"] = chosen
        return self.cleaned_data


def _read(sent: list[str]) -> list[UUID]:
    try:
        return [UUID(text) for text in sent]
    except ValueError:
        raise ValidationError("This is no form of the shop.") from None


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@staff_with(SEE_ORDERS)
def review_group(request: HttpRequest, sale: int, kind: str, key: str) -> HttpResponse:
    """The orders of a group, and the form that sets them aside while the draw has not begun."""
    if kind not in list(Kind):
        raise Http404
    shown = get_object_or_404(Sale, pk=sale)
    if request.method == "POST":
        return _set_aside(request, shown)
    return _show_group(request, shown, Kind(kind), key)


@staff_with(SEE_ORDERS)
def _show_group(request: HttpRequest, sale: Sale, kind: Kind, key: str) -> HttpResponse:
    if kind.is_of_contacts and not may(request.user, SEE_CONTACTS):
        return render(request, "403.html", status=403)
    try:
        if kind.is_of_contacts:
            _write_look(sale, by=request.user.get_username())
        members = review.list_members(sale, kind, key)
    except (DatabaseError, contacts.Unreadable) as why:
        messages.error(request, _describe(why))
        return redirect(reverse("review", args=[sale.pk]))
    may_set_aside = may(request.user, RUN) and sale.draw == Sale.Draw.OPEN
    context = {
        "section": "dashboard",
        "sale": sale,
        "kind": kind.value,
        "label": networks.label(key),
        "orders": members,
        "waiting": [order for order in members if order.status == Order.Status.WAITING],
        "most": review.SHOWN,
        "may_set_aside": may_set_aside,
        "effect": SetAside.effect,
    }
    return render(request, "dashboard/review_group.html", context)


@staff_with(RUN)
def _set_aside(request: HttpRequest, sale: Sale) -> HttpResponse:
    form = SetAside([sale], request.POST, auto_id=False)
    if form.is_valid():
        outcome = form.carry_out(sale, by=request.user.get_username())
        if outcome.kind == "read_only":
            return try_again(request, "read_only")
        level = messages.SUCCESS if outcome.kind == "done" else messages.WARNING
        messages.add_message(request, level, outcome.words)
    else:
        messages.warning(request, _first_error(form))
    return redirect(request.path)


def _first_error(form: forms.Form) -> str:
    if "reason" in form.errors:
        return "Say why: the shoppers read it. Nothing was changed."
    return f"{next(iter(form.errors.values()))[0]} Nothing was changed."
