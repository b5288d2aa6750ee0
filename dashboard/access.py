"""Check what staff may do on the dashboard."""

from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from importlib import import_module
from typing import Any, TypeVar

from django.conf import settings
from django.contrib import auth
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.http.cookie import parse_cookie
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.crypto import constant_time_compare

from flashsale.http.request import Request

LOOK, RUN, CORRECT = "inventory.watch_sales", "inventory.run_sales", "inventory.correct_stock"
SEE_ORDERS = "orders.view_order"
RETRY_REFUND = "payments.retry_refund"
SHIP = "orders.add_shipment"
SEE_CONTACTS, SEE_PAYMENTS = "accounts.view_contact", "payments.view_attempt"

Answer = TypeVar("Answer", bound=HttpResponseBase)
View = Callable[..., Answer]


def may(user: Any, permission: str) -> bool:
    """Whether the user is active staff with the permission."""
    return bool(user.is_active and user.is_staff and user.has_perm(permission))


def staff_with(
    *permissions: str,
) -> Callable[[View[Answer]], View[Answer | HttpResponse]]:
    """Restrict a view to staff with one of these permissions.

    A visitor who is not logged in and opens a page is redirected to the login. All others get 403, and so
    does a request for a fragment or a change: htmx would put the login's page into the dashboard.
    """

    def guard(view: View[Answer]) -> View[Answer | HttpResponse]:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **options: Any) -> Answer | HttpResponse:
            if any(may(request.user, permission) for permission in permissions):
                return view(request, *args, **options)
            opens_a_page = request.method == "GET" and "HX-Request" not in request.headers
            if opens_a_page and not request.user.is_authenticated:
                return redirect_to_login(request.get_full_path())
            return render(request, "403.html", status=HTTPStatus.FORBIDDEN)

        return guarded

    return guard


def session_key(request: Request) -> str:
    """The session key in the cookie of a socket's handshake; "" for none."""
    cookies = parse_cookie(request.header(b"cookie"))
    return cookies.get(settings.SESSION_COOKIE_NAME, "")


def may_still_look(session: str) -> bool:
    """Whether the session is valid, and its user is staff who may look. Blocks; raises DatabaseError.

    Only reads. Django's own `get_user` gives a session that was signed with an older key a new session
    key, and a socket cannot send that to the browser.
    """
    data = import_module(settings.SESSION_ENGINE).SessionStore(session).load()
    backend = data.get(auth.BACKEND_SESSION_KEY)
    if backend not in settings.AUTHENTICATION_BACKENDS:
        return False
    user = auth.load_backend(backend).get_user(data.get(auth.SESSION_KEY))
    return user is not None and _is_signed_for(data, user) and may(user, LOOK)


def _is_signed_for(data: dict[str, Any], user: Any) -> bool:
    """Whether the session was made with the user's present password."""
    hashes = [user.get_session_auth_hash(), *user.get_session_auth_fallback_hash()]
    return any(constant_time_compare(data.get(auth.HASH_SESSION_KEY, ""), each) for each in hashes)
