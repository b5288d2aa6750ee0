"""`/sales/<slug>/code/`: a shopper types an access code, or comes by a link that has it, and may buy."""

import logging
import time
from datetime import datetime
from uuid import UUID

from django import forms
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import cache_control
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_http_methods
from django.views.decorators.vary import vary_on_headers

from accounts import access_codes
from accounts.access_codes import Opened, Refusal
from flashsale.database import in_thread
from flashsale.form_limits import NOT_COUNTED, Limit, address_of, count_form, look_at_limit
from flashsale.http import proofs, shoppers
from flashsale.http.response import SeeOther
from flashsale.middleware import try_again
from inventory.models import Sale
from storefront import catalogue
from storefront.catalogue import SaleCard
from storefront.cookies import cookies_of, set_cookie

log = logging.getLogger(__name__)

# A generated code has 50 random bits; codes that staff have made elsewhere may be short.
WRONG_PER_CLIENT = "60/h"
_KEPT_AFTER_END = 24 * 3600  # seconds


class CodeForm(forms.Form):
    code = forms.CharField(
        label=gettext_lazy("Your access code"),
        max_length=60,
        widget=forms.TextInput(
            attrs={"autocapitalize": "characters", "aria-describedby": "form-error"}
        ),
        error_messages={"required": gettext_lazy("Please type your access code.")},
    )


@require_http_methods(["GET", "HEAD", "POST"])
@csrf_protect
@cache_control(private=True, no_store=True)
@vary_on_headers("Accept-Language", "Cookie")
async def type_code(request: HttpRequest, slug: str) -> HttpResponse:
    """Show the form, or take it and let the shopper in. 422 with the form for a code that does not open
    the sale, 429 for too many, 503 without the cache that counts."""
    card = await in_thread(catalogue.card, slug=slug)
    if card is None:
        raise Http404
    if card.entrants != Sale.Entrants.CODE:
        return SeeOther(f"/sales/{card.slug}/")
    if request.method != "POST":  # a link only fills the form in: programs look at links, too
        return _show(request, card, CodeForm(initial={"code": request.GET.get("code", "")[:60]}))
    form = CodeForm(request.POST)
    if not form.is_valid():
        return _show(request, card, form, 422)
    secure = request.is_secure()
    known = shoppers.shopper_of(cookies_of(request), secure)
    shopper = known or shoppers.new_shopper()
    try:
        outcome = await in_thread(_redeem, request, form.cleaned_data["code"], card.id, shopper)
    except NOT_COUNTED as error:
        log.warning("no access code is taken: the cache is not reachable: %s", error)
        return try_again(request)
    if not isinstance(outcome, Opened):
        return _refuse(request, card, form, outcome)
    response = SeeOther(f"/sales/{card.slug}/")
    if known is None:
        set_cookie(response, shoppers.set_cookies(shopper, secure)[0])
    set_cookie(response, _proof(card, shopper, outcome.opens_at, secure))
    return response


def _redeem(request: HttpRequest, code: str, sale: int, shopper: UUID) -> Opened | Refusal | int:
    """The seconds until the next try is allowed after too many wrong ones. Blocks."""
    wrong = Limit("access-code", address_of(request), WRONG_PER_CLIENT)
    if wait := look_at_limit(request, wrong):
        return wait
    outcome = access_codes.redeem(code, sale, shopper)
    if outcome is Refusal.WRONG:
        count_form(request, wrong)
    return outcome


def _proof(card: SaleCard, shopper: UUID, opens_at: datetime | None, secure: bool) -> str:
    opening = round(opens_at.timestamp() * 1000) if opens_at else 0
    left = max(0, card.closes_at // 1000 - int(time.time()))
    return proofs.set_code(shopper, card.id, opening, left + _KEPT_AFTER_END, secure)


def _refuse(
    request: HttpRequest, card: SaleCard, form: CodeForm, why: Refusal | int
) -> HttpResponse:
    if isinstance(why, int):
        form.add_error("code", _("That was tried too often. Please try again in an hour."))
        response = _show(request, card, form, 429)
        response["Retry-After"] = str(why)
        return response
    if why is Refusal.USED:
        form.add_error("code", _("This code has been used as often as it can be."))
    else:
        form.add_error("code", _("This code does not open this sale."))
    return _show(request, card, form, 422)


def _show(request: HttpRequest, card: SaleCard, form: CodeForm, status: int = 200) -> HttpResponse:
    context = {"form": form, "card": card}
    response = render(request, "storefront/access_code.html", context, status=status)
    response["X-Robots-Tag"] = "noindex"
    return response
