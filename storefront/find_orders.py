"""`/orders/find/`: somebody types an e-mail address, and gets the links of its orders by mail.

The page says the same whether the address has orders or not, after the same work: a worker finds out.
"""

import logging

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import cache_control
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_http_methods
from django.views.decorators.vary import vary_on_headers

from accounts import contacts
from flashsale.database import in_thread
from flashsale.form_limits import NOT_COUNTED, Limit, address_of, count_form
from flashsale.http import signing
from flashsale.http.response import SeeOther
from flashsale.middleware import try_again
from mail import finding

log = logging.getLogger(__name__)

# A person needs one mail. The second limit is for families and offices behind one address.
PER_EMAIL = "3/h"
PER_CLIENT = "20/h"


class FindOrders(forms.Form):
    email = forms.EmailField(
        label=_("Your e-mail address"),
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "email", "aria-describedby": "find-error"}),
        error_messages={
            "required": _("Please type your e-mail address."),
            "invalid": _("This is not an e-mail address."),
        },
    )


@require_http_methods(["GET", "HEAD", "POST"])
@csrf_protect
@cache_control(private=True, no_store=True)
@vary_on_headers("Accept-Language", "Cookie")
async def find_orders(request: HttpRequest) -> HttpResponse:
    """Show the form, or take it. 422 with the form without an address, 429 for too many of one
    client or address, 503 without the cache that counts them."""
    if request.method != "POST":
        return _show(request, FindOrders(), sent="sent" in request.GET)
    form = FindOrders(request.POST)
    if not form.is_valid():
        return _show(request, form, status=422)
    try:
        wait = await in_thread(_ask, request, form.cleaned_data["email"], get_language() or "")
    except NOT_COUNTED as error:
        log.warning("links of orders are not mailed: the cache is not reachable: %s", error)
        return try_again(request)
    if wait:
        return _refuse(request, form, wait)
    return SeeOther("/orders/find/?sent")


def _show(
    request: HttpRequest, form: FindOrders, *, sent: bool = False, status: int = 200
) -> HttpResponse:
    context = {"section": "orders", "form": form, "sent": sent}
    response = render(request, "storefront/find_orders.html", context, status=status)
    response["X-Robots-Tag"] = "noindex"
    return response


def _refuse(request: HttpRequest, form: FindOrders, wait: int) -> HttpResponse:
    form.add_error("email", _("This was asked for too often. Please try again in an hour."))
    page = _show(request, form, status=429)
    page["Retry-After"] = str(wait)
    return page


def _ask(request: HttpRequest, email: str, language: str) -> int:
    """Have the links mailed. Returns the seconds until that is allowed again; 0 if it is. Blocks."""
    canonical = signing.sign("find-orders", contacts.canonical_email(email).encode()).hex()
    wait = count_form(
        request,
        Limit("find-client", address_of(request), PER_CLIENT),
        Limit("find-email", canonical, PER_EMAIL),
    )
    if not wait:
        finding.ask_for_links(email, language)
    return wait
