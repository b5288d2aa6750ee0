"""Log staff in: Django admin's own login, with a limit on attempts.

Without the cache, which has the counts, all logins are refused: a shop without its Redis does not sell, and
`manage.py` still works on the machine itself.
"""

import logging
import unicodedata
from http import HTTPStatus

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.debug import sensitive_post_parameters

from flashsale.form_limits import NOT_COUNTED, Limit, address_of, count_form

log = logging.getLogger(__name__)

# Slow for an attacker who guesses, generous for staff who mistype. The second limit holds against many
# addresses; its price: an attacker with at least six addresses can lock a name out while they go on.
PER_ADDRESS = "10/m"
PER_NAME = "60/m"


@sensitive_post_parameters("password")
@csrf_protect
def login(request: HttpRequest) -> HttpResponse:
    try:
        wait = _count_attempt(request) if request.method == "POST" else 0
    except NOT_COUNTED as error:
        log.warning("logins are refused: the cache is not reachable: %s", error)
        return _refuse(request, HTTPStatus.SERVICE_UNAVAILABLE, 2)
    if wait:
        log.warning("too many logins from %s", address_of(request))
        return _refuse(request, HTTPStatus.TOO_MANY_REQUESTS, wait)
    return admin.site.login(request)


def _count_attempt(request: HttpRequest) -> int:
    """Count the attempt. Returns the seconds until the next one is allowed; 0 if this one is.

    By address first: an attempt that is refused by address does not count against the name, or one
    machine could lock staff out.
    """
    return count_form(
        request,
        Limit("login-address", address_of(request), PER_ADDRESS),
        Limit("login-name", _name(request), PER_NAME),
    )


def _name(request: HttpRequest) -> str:
    """The name in one spelling, normalised like Django's login form does, and regardless of case."""
    name = unicodedata.normalize("NFKC", request.POST.get("username", "").strip())
    return name[:150].casefold()


def _refuse(request: HttpRequest, status: HTTPStatus, wait: int) -> HttpResponse:
    context = {"code": "login_rate" if status == HTTPStatus.TOO_MANY_REQUESTS else "busy"}
    page = render(request, "storefront/message.html", {**context, "status": status}, status=status)
    page["Retry-After"] = str(wait)
    return page
