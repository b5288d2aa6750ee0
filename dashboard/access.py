"""Who of the staff may do what on the dashboard."""

from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib import auth
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.http.cookie import parse_cookie
from django.shortcuts import render
from django.utils.crypto import constant_time_compare

from flashsale.http.request import Request

LOOK, RUN, CORRECT = "inventory.watch_sales", "inventory.run_sales", "inventory.correct_stock"

View = Callable[..., HttpResponse]


def may(user: Any, permission: str) -> bool:
    """Whether this is active staff with the permission."""
    return bool(user.is_active and user.is_staff and user.has_perm(permission))


def staff_with(*permissions: str) -> Callable[[View], View]:
    """Lets a view answer staff with one of these permissions. A stranger who opens a page is sent to the
    login; everybody else, and whoever asks for a part of a page or a change, gets 403 and nothing."""

    def guard(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **options: Any) -> HttpResponse:
            if any(may(request.user, permission) for permission in permissions):
                return view(request, *args, **options)
            opens_a_page = request.method == "GET" and "HX-Request" not in request.headers
            if opens_a_page and not request.user.is_authenticated:
                return redirect_to_login(request.get_full_path())
            return render(request, "403.html", status=HTTPStatus.FORBIDDEN)

        return guarded

    return guard


def session_key(request: Request) -> str:
    """The session that a socket's handshake names; "" for none."""
    cookies = parse_cookie(request.header(b"cookie"))
    return cookies.get(settings.SESSION_COOKIE_NAME, "")


def may_still_look(session: str) -> bool:
    """Whether the session stands, is that of staff, and they may look. Blocks; raises DatabaseError.

    Only reads. Django's own `get_user` would give a session that was signed with an older key another
    number, and a socket cannot tell the browser.
    """
    kept = import_module(settings.SESSION_ENGINE).SessionStore(session).load()
    backend = kept.get(auth.BACKEND_SESSION_KEY)
    if backend not in settings.AUTHENTICATION_BACKENDS:
        return False
    user = auth.load_backend(backend).get_user(kept.get(auth.SESSION_KEY))
    return user is not None and _is_of(kept, user) and may(user, LOOK)


def _is_of(kept: dict[str, Any], user: Any) -> bool:
    """Whether the session was made with the password that the user has now."""
    hashes = [user.get_session_auth_hash(), *user.get_session_auth_fallback_hash()]
    return any(constant_time_compare(kept.get(auth.HASH_SESSION_KEY, ""), each) for each in hashes)
