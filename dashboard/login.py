"""Log staff in: Django admin's own login, with a limit on attempts.

The counts are in the cache, which all processes share. Without the cache all logins are refused: a shop
without its Redis does not sell, and `manage.py` still works on the machine itself.
"""

import logging
import unicodedata
from http import HTTPStatus

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.debug import sensitive_post_parameters
from django_ratelimit.core import get_usage
from django_redis.exceptions import ConnectionInterrupted
from redis.exceptions import RedisError

from flashsale.http.request import Request

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
    except (ConnectionInterrupted, RedisError, OSError) as error:
        log.warning("logins are refused: the cache is not reachable: %s", error)
        return _refuse(request, HTTPStatus.SERVICE_UNAVAILABLE, 2)
    if wait:
        log.warning("too many logins from %s", _address("", request))
        return _refuse(request, HTTPStatus.TOO_MANY_REQUESTS, wait)
    return admin.site.login(request)


def _count_attempt(request: HttpRequest) -> int:
    """Count the attempt. Returns the seconds until the next one is allowed; 0 if this one is.

    By address first: an attempt that is refused by address does not count against the name, or one
    machine could lock staff out.
    """
    for group, key, rate in (
        ("login-address", _address, PER_ADDRESS),
        ("login-name", _name, PER_NAME),
    ):
        usage = get_usage(request, group=group, key=key, rate=rate, method="POST", increment=True)
        if usage and usage["should_limit"]:
            return max(1, int(usage["time_left"]))
    return 0


def _address(group: str, request: HttpRequest) -> str:
    """The address as the express lane reads it: forged headers change nothing, IPv6 counts by network."""
    return Request(request.scope).address  # type: ignore[attr-defined]  # it is always an ASGI request


def _name(group: str, request: HttpRequest) -> str:
    """The name in one spelling, normalised like Django's login form does, and regardless of case."""
    name = unicodedata.normalize("NFKC", request.POST.get("username", "").strip())
    return name[:150].casefold()


def _refuse(request: HttpRequest, status: HTTPStatus, wait: int) -> HttpResponse:
    context = {"code": "login_rate" if status == HTTPStatus.TOO_MANY_REQUESTS else "busy"}
    page = render(request, "storefront/message.html", {**context, "status": status}, status=status)
    page["Retry-After"] = str(wait)
    return page
