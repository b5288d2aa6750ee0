"""The login of staff: Django admin's own, with a limit on how often it may be tried.

The counts are in the cache, which all processes share. Where it cannot be asked nobody is let in: a
shop without its Redis does not sell, and `manage.py` works from the machine itself.
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

# Slow enough for a guesser, generous for somebody who mistypes. The second holds against many addresses;
# whoever has at least six of them can keep a name out for as long as they go on.
PER_ADDRESS = "10/m"
PER_NAME = "60/m"


@sensitive_post_parameters("password")
@csrf_protect
def login(request: HttpRequest) -> HttpResponse:
    try:
        wait = _wait(request) if request.method == "POST" else 0
    except (ConnectionInterrupted, RedisError, OSError) as error:
        log.warning("nobody can log in: the cache is not reachable: %s", error)
        return _refused(request, HTTPStatus.SERVICE_UNAVAILABLE, 2)
    if wait:
        log.warning("too many logins from %s", _address("", request))
        return _refused(request, HTTPStatus.TOO_MANY_REQUESTS, wait)
    return admin.site.login(request)


def _wait(request: HttpRequest) -> int:
    """Seconds until this may be tried again; 0 if it may be tried now.

    By address first: what an address is refused anyway does not count against the name, or a stranger
    could keep somebody out from one machine.
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
    """As the express lane reads it: forged headers change nothing, IPv6 counts by network."""
    return Request(request.scope).address  # type: ignore[attr-defined]  # it is always an ASGI request


def _name(group: str, request: HttpRequest) -> str:
    """However it is written, as the login form of Django reads it."""
    name = unicodedata.normalize("NFKC", request.POST.get("username", "").strip())
    return name[:150].casefold()


def _refused(request: HttpRequest, status: HTTPStatus, wait: int) -> HttpResponse:
    context = {"code": "login_rate" if status == HTTPStatus.TOO_MANY_REQUESTS else "busy"}
    page = render(request, "storefront/message.html", {**context, "status": status}, status=status)
    page["Retry-After"] = str(wait)
    return page
