"""A sale's fulfilment: the pick list, the orders to ship, and their parcels."""

from http import HTTPStatus
from uuid import UUID, uuid4

from asgiref.sync import async_to_sync
from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import content_disposition_header
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from accounts import contacts
from dashboard import parcel_list, to_ship
from dashboard.access import SEE_CONTACTS, SEE_ORDERS, SHIP, may, staff_with
from dashboard.shipping_control import Ship
from dashboard.shipping_export import start_export
from flashsale.database import bounded_transaction
from flashsale.middleware import try_again
from flashsale.moments import find_zone
from inventory.models import Sale
from orders.audit_trail import Action, facts, write_down
from orders.models import Order
from orders.shipping_list import MOST_BYTES, ShippingList, Unreadable, read_list


@require_safe
@never_cache
@staff_with(SEE_ORDERS, SHIP)
def fulfilment(request: HttpRequest, sale: int) -> HttpResponse:
    """The whole page."""
    shown = get_object_or_404(Sale, pk=sale)
    context = {
        "section": "dashboard",
        "sale": shown,
        "figures": to_ship.count_orders(shown),
        "picks": to_ship.list_picks(shown),
        "page": to_ship.page_of_orders(shown, request.GET.get("page")),
        "may_ship": may(request.user, SHIP),
        "may_see": may(request.user, SEE_ORDERS),
        "may_export": may(request.user, SEE_CONTACTS),
        "new_key": uuid4,
        "most_bytes": MOST_BYTES,
    }
    return render(request, "dashboard/fulfilment.html", context)


# --- Marking as shipped --------------------------------------------------------------------------


@require_POST
@staff_with(SHIP)
def ship(request: HttpRequest, sale: int, order: UUID) -> HttpResponse:
    """Mark one order as shipped, and go back to the list."""
    subject = get_object_or_404(Order, pk=order, sale=sale)
    form = Ship([subject], request.POST, auto_id=False)
    if form.is_valid():
        outcome = form.carry_out(subject, by=request.user.get_username())
        if outcome.kind == "read_only":
            return try_again(request, "read_only")
        level, words = messages.WARNING, outcome.words
        if outcome.kind == "done":
            level = messages.SUCCESS
    else:
        errors = " ".join(str(error) for found in form.errors.values() for error in found)
        level, words = messages.WARNING, f"{subject.reference}: {errors}"
    messages.add_message(request, level, words)
    page = request.POST.get("page", "")
    return redirect(_address(sale) + (f"?page={page}" if page.isdecimal() else ""))


class ParcelList(forms.Form):
    """A file first; then, as it was read, its text again with the key of the preview."""

    file = forms.FileField(required=False)
    text = forms.CharField(required=False, strip=False)
    key = forms.UUIDField(required=False)


@require_POST
@never_cache
@staff_with(SHIP)
def parcels(request: HttpRequest, sale: int) -> HttpResponse:
    """Show what a list of parcels would do; once it is confirmed, do it and show each line's result."""
    shown = get_object_or_404(Sale, pk=sale)
    form = ParcelList(request.POST, request.FILES)
    try:
        content = _content_of(form)
        listed = read_list(content)
    except Unreadable as why:
        messages.warning(request, str(why))
        return redirect(_address(sale))
    planned = parcel_list.plan(shown, listed)
    if (key := form.cleaned_data.get("key")) is None:
        return _preview(request, shown, listed, planned)
    by = request.user.get_username()
    results = list(parcel_list.carry_out(planned, key, by))
    if results and all(each.kind == "read_only" for each in results):
        return try_again(request, "read_only")
    return render(request, "dashboard/parcels.html", {"sale": shown, "results": results})


def _content_of(form: ParcelList) -> bytes:
    """Raises Unreadable."""
    if not form.is_valid():
        raise Unreadable("The file is empty, or cannot be read.")
    if text := form.cleaned_data["text"]:
        return str(text).encode()
    file = form.cleaned_data["file"]
    if file is None:
        raise Unreadable("No file was chosen.")
    if file.size > MOST_BYTES:
        raise Unreadable(f"The file has more than {MOST_BYTES:,} bytes.")
    content: bytes = file.read()
    return content


def _preview(
    request: HttpRequest, sale: Sale, listed: ShippingList, planned: list[parcel_list.Planned]
) -> HttpResponse:
    context = {
        "sale": sale,
        "planned": planned,
        "many": sum(each.kind in ("ship", "correct") for each in planned),
        "text": listed.text,
        "key": uuid4(),
    }
    return render(request, "dashboard/parcels.html", context, status=HTTPStatus.OK)


def _address(sale: int) -> str:
    return reverse("fulfilment", args=[sale])


# --- The file for shipping -----------------------------------------------------------------------


@require_POST
@staff_with(SEE_CONTACTS)
def export(request: HttpRequest, sale: int) -> HttpResponseBase:
    """Download names and addresses. The audit has that, so it is a form and no link."""
    shown = get_object_or_404(Sale, pk=sale)
    shipped_too = request.POST.get("which") == "all"
    which = "confirmed orders" if shipped_too else "orders to ship"
    with bounded_transaction():
        by = request.user.get_username()
        write_down(Action.EXPORTED, shown, facts(shown), by=by, reason=which)
    try:
        chunks = async_to_sync(start_export)(shown, shipped_too=shipped_too)
    except contacts.Unreadable as missing:
        messages.error(request, str(missing))
        return redirect(_address(sale))
    day = timezone.localdate(timezone=find_zone(shown.time_zone)).isoformat()
    name = f"shipping-{shown.slug}-{day}.csv"
    headers = {
        "Content-Disposition": content_disposition_header(True, name) or "",
        "Cache-Control": "private, no-store",
    }
    return StreamingHttpResponse(chunks, content_type="text/csv; charset=utf-8", headers=headers)
