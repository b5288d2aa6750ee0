"""`/sign-in/`: a shopper types an e-mail address, gets a code by mail, types the code, and is that person.

No password and no session: the shopper's cookies carry the proof. Staff log in elsewhere, and no code leads
there. Any address gets the same answer, after the same work.
"""

import logging
import re
from uuid import UUID

from django.conf import settings
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.cache import cache_control
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_http_methods, require_POST
from django.views.decorators.vary import vary_on_headers

from accounts import people, sign_in
from accounts.people import SignedIn
from flashsale.database import in_thread
from flashsale.form_limits import NOT_COUNTED, Limit, address_of, count_form, look_at_limit
from flashsale.http import proofs, shoppers, signing
from flashsale.http.response import SeeOther
from flashsale.middleware import try_again
from storefront.cookies import cookies_of, set_cookie
from storefront.order_access import former_for_cookie
from storefront.sign_in_forms import AskForm, CodeForm

log = logging.getLogger(__name__)

# Codes for an address, asked for by one client, and by all: one client alone cannot keep its owner out.
# With `sign_in.MOST_TRIES` each, a year of guesses finds half of them.
PER_EMAIL_AND_CLIENT = "5/h"
PER_EMAIL = "20/h"
# A university may have one address for all who sign in before a sale. Bounds mails to many addresses.
PER_CLIENT = "600/h"
WRONG_PER_CLIENT = "60/h"  # wrong codes, of any address

_NEXT = re.compile(r"\A/(?:sales/[-a-zA-Z0-9_]{1,60}/|orders/)?\Z")
_ID = re.compile(r"\A[0-9a-f]{32}\Z")

_private = cache_control(private=True, no_store=True)
_varied = vary_on_headers("Accept-Language", "Cookie")


@require_http_methods(["GET", "HEAD", "POST"])
@csrf_protect
@_private
@_varied
async def ask(request: HttpRequest) -> HttpResponse:
    """Show the form for an address, or take it and have a code mailed. 422 with the form without an
    address, 429 for too many, 503 without a mail server or the cache that counts."""
    if request.method != "POST":
        return _show(request, AskForm())
    if not settings.MAIL_IS_SENT:
        return try_again(request)
    form = AskForm(request.POST)
    if not form.is_valid():
        return _show(request, form, 422)
    try:
        asked = await in_thread(_ask, request, form.cleaned_data["email"], get_language() or "")
    except NOT_COUNTED as error:
        return _cannot_count(request, error)
    if isinstance(asked, int):
        form.add_error("email", _("This was asked for too often. Please try again in an hour."))
        return _show(request, form, 429, wait=asked)
    response = SeeOther(f"/sign-in/code/?next={_next(request)}")
    set_cookie(response, _cookie_of(asked, request.is_secure()))
    return response


@require_http_methods(["GET", "HEAD", "POST"])
@csrf_protect
@_private
@_varied
async def type_code(request: HttpRequest) -> HttpResponse:
    """Show the form for the code, or take it and sign the shopper in. 422 with the form for a wrong code,
    429 for too many, 503 without the cache that counts."""
    asked = _asked_by(request)
    if request.method != "POST":
        if asked is None or not await in_thread(sign_in.is_open, asked):
            return SeeOther(f"/sign-in/?next={_next(request)}")
        return _show(request, CodeForm())
    form = CodeForm(request.POST)
    if not form.is_valid():
        return _show(request, form, 422)
    browser = shoppers.shopper_of(cookies_of(request), request.is_secure())
    try:
        signed_in = await in_thread(_redeem, request, asked, form.cleaned_data["code"], browser)
    except NOT_COUNTED as error:
        return _cannot_count(request, error)
    except people.OtherSpelling:
        words = _("You have signed in with another spelling of this address. Please use that one.")
        return _refuse_code(request, form, words)
    if isinstance(signed_in, int):
        words = _("That was tried too often. Please try again in an hour.")
        return _refuse_code(request, form, words, 429, signed_in)
    if signed_in is None:
        words = _(
            "This is not the code, or it is not valid any more. You can have a new one mailed."
        )
        return _refuse_code(request, form, words)
    return _give_proof(request, signed_in)


@require_POST
@csrf_protect
@_private
async def sign_out(request: HttpRequest) -> HttpResponse:
    """Make the browser somebody new, who owns nothing."""
    secure = request.is_secure()
    response = SeeOther(_next(request))
    for cookie in proofs.forget(cookies_of(request), secure):
        set_cookie(response, cookie)
    set_cookie(response, shoppers.set_cookies(shoppers.new_shopper(), secure)[0])
    return response


# --- Steps ----------------------------------------------------------------------------------------


def _ask(request: HttpRequest, email: str, language: str) -> UUID | int:
    """Have a code mailed. Returns the request's id, or the seconds until that is allowed. Blocks."""
    address = address_of(request)
    mailbox = signing.sign("sign-in-limit", people.mailbox_of(email).encode()).hex()
    wait = count_form(
        request,
        Limit("sign-in-client", address, PER_CLIENT),
        Limit("sign-in-both", f"{mailbox} {address}", PER_EMAIL_AND_CLIENT),
        Limit("sign-in-email", mailbox, PER_EMAIL),
    )
    return wait or sign_in.ask(email, language)


def _redeem(
    request: HttpRequest, asked: UUID | None, code: str, browser: UUID | None
) -> SignedIn | int | None:
    """Sign in whose address the code verifies. None for a wrong code; the seconds until the next try is
    allowed after too many. Blocks."""
    wrong = Limit("sign-in-wrong", address_of(request), WRONG_PER_CLIENT)
    if wait := look_at_limit(request, wrong):
        return wait
    email = sign_in.redeem(asked, code) if asked else None
    if email is None:
        count_form(request, wrong)
        return None
    person = people.sign_in(email, browser, get_language() or "")
    return person._replace(former=former_for_cookie(person.former))


def _give_proof(request: HttpRequest, person: SignedIn) -> HttpResponse:
    secure = request.is_secure()
    response = SeeOther(_next(request))
    set_cookie(response, shoppers.set_cookies(person.shopper, secure)[0])
    set_cookie(response, proofs.set_verified(person.shopper, person.former, secure))
    set_cookie(response, f"{_cookie_name(secure)}=; Max-Age=0{shoppers.cookie_attributes(secure)}")
    return response


# --- The browser that has asked -------------------------------------------------------------------


def _cookie_name(secure: bool) -> str:
    return "__Host-sign-in" if secure else "sign-in"


def _cookie_of(asked: UUID, secure: bool) -> str:
    """The value of the `Set-Cookie` header that binds a code to the browser that has asked for it."""
    kept_for = int(sign_in.VALID_FOR.total_seconds())
    attributes = shoppers.cookie_attributes(secure)
    return f"{_cookie_name(secure)}={asked.hex}; Max-Age={kept_for}{attributes}"


def _asked_by(request: HttpRequest) -> UUID | None:
    value = request.COOKIES.get(_cookie_name(request.is_secure()), "")
    return UUID(value) if _ID.match(value) else None


# --- Pages ----------------------------------------------------------------------------------------


def _show(request: HttpRequest, form: Form, status: int = 200, *, wait: int = 0) -> HttpResponse:
    """The page of a form. `wait` are the seconds until it is taken again."""
    context = {
        "form": form,
        "asks_for_code": isinstance(form, CodeForm),
        "next": _next(request),
        "signed_in": _is_signed_in(request),
        "possible": settings.MAIL_IS_SENT,
    }
    response = render(request, "storefront/sign_in.html", context, status=status)
    response["X-Robots-Tag"] = "noindex"
    if wait:
        response["Retry-After"] = str(wait)
    return response


def _refuse_code(
    request: HttpRequest, form: Form, words: str, status: int = 422, wait: int = 0
) -> HttpResponse:
    form.add_error("code", words)
    return _show(request, form, status, wait=wait)


def _is_signed_in(request: HttpRequest) -> bool:
    cookies, secure = cookies_of(request), request.is_secure()
    shopper = shoppers.shopper_of(cookies, secure)
    return shopper is not None and proofs.former_in(cookies, shopper, secure) is not None


def _cannot_count(request: HttpRequest, error: Exception) -> HttpResponse:
    log.warning("no shopper can sign in: the cache is not reachable: %s", error)
    return try_again(request)


def _next(request: HttpRequest) -> str:
    """Where the shopper came from: a sale or their orders, and no other page."""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    return wanted if _NEXT.match(wanted) else "/"
