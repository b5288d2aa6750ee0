"""Assembles the server: the express lane, static files, sockets, and Django for everything else."""

import os
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "flashsale.settings")

from django.core.asgi import get_asgi_application

django = cast(Any, get_asgi_application())

from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.template import engines
from django.urls import is_valid_path, re_path
from django.utils.encoding import escape_uri_path
from servestatic import ServeStaticASGI

from dashboard.consumers import DashboardConsumer
from flashsale import garbage
from flashsale.http import endpoint
from flashsale.http.request import (
    BodyTooLarge,
    Receive,
    Request,
    Scope,
    bound_body,
    spell_for_django,
)
from flashsale.http.response import PLAIN, Response, Send, shield_send
from flashsale.middleware import STAFF_PAGES
from flashsale.observe import sentry, tracing
from flashsale.redis import web_connections
from inventory.click_answers import ClickAnswer
from inventory.pictures import NAME
from storefront import feed, fragments, media
from storefront.buy import buy
from storefront.calendar import calendar
from storefront.consumers import NoConsumer, SaleConsumer
from storefront.draw_page import draw
from storefront.give_back import give_back
from storefront.outcome import outcome
from storefront.responses import failure
from storefront.sale_list import sale_list
from storefront.sale_page import sale

EXPRESS = (
    (re.compile(r"\A/sales/(?P<slug>[-a-zA-Z0-9_]{1,60})/buy\Z"), buy),
    (re.compile(r"\A/sales/(?P<slug>[-a-zA-Z0-9_]{1,60})/\Z"), sale),
    (re.compile(rf"\A{settings.MEDIA_URL}(?P<name>{NAME})\Z"), media.picture),
    (re.compile(r"\A/orders/(?P<purchase>(?!find/)[^/]+)/\Z"), outcome),
    (re.compile(r"\A/orders/(?P<purchase>[^/]+)/give-back\Z"), give_back),
    (re.compile(r"\A/\Z"), sale_list),
    (re.compile(r"\A/sales/(?P<slug>[-a-zA-Z0-9_]{1,60})/calendar\.ics\Z"), calendar),
    (re.compile(r"\A/sales/(?P<slug>[-a-zA-Z0-9_]{1,60})/draw/\Z"), draw),
)


def _immutable(path: str, url: str) -> bool:
    """Whether the name contains its content's hash, so that the content never changes."""
    return re.search(r"\.[0-9a-f]{12}\.\w+$", url) is not None


MOST_UPLOAD = 32 * 1024 * 1024  # bytes of a form of admin, with its pictures
MOST_LIST = (
    2 * 1024 * 1024
)  # bytes of a form of the dashboard: `orders/shipping_list.py` MOST_BYTES
MOST_EVENT = 512 * 1024  # bytes of a provider's event: more than `payments/pages.py` LARGEST_EVENT
MOST_FORM = 64 * 1024  # bytes of any other form
_MOST = {"/admin/": MOST_UPLOAD, "/dashboard/": MOST_LIST, "/payments/": MOST_EVENT}


async def ask_django(scope: Scope, receive: Receive, send: Send) -> None:
    """Let Django answer, with a bound on the body, which it reads before anything else."""
    most = next((most for path, most in _MOST.items() if scope["path"].startswith(path)), MOST_FORM)
    try:
        await django(spell_for_django(scope), bound_body(scope, receive, most), send)
    except BodyTooLarge:
        await endpoint.answer(scope, receive, send, refuse_body)


static = ServeStaticASGI(
    ask_django,
    root=settings.STATIC_ROOT if settings.STATIC_ROOT.is_dir() else None,
    prefix=settings.STATIC_URL,
    immutable_file_test=_immutable,
    allow_all_origins=False,
)
_INTERNAL = ("/livez", "/readyz", "/metrics")  # for balancers and Prometheus, over plain HTTP
_PATH_SEND = "http.response.pathsend"  # an extension of ASGI


async def http(scope: Scope, receive: Receive, send: Send) -> None:
    """Route a request: to the express lane, to static files, or to Django."""
    for pattern, decide in EXPRESS:
        match = pattern.match(scope["path"])
        if match:
            await endpoint.answer(scope, receive, send, decide, **match.groupdict())
            return
    if scope["path"].startswith(settings.STATIC_URL):
        await send_static_file(scope, receive, shield_send(scope, send, files=True))
    elif scope["path"] in _INTERNAL:
        await ask_django(_with_own_host(scope), receive, shield_send(scope, send))
    elif await _answer_other_spelling(scope, receive, send):
        return
    elif not _readable_by_others(scope):
        await ask_django(scope, receive, shield_send(scope, send))
    else:
        await endpoint.answer(scope, receive, send, refuse_insecure)


async def _answer_other_spelling(scope: Scope, receive: Receive, send: Send) -> bool:
    """Answer at an address that is spelt otherwise: without its last slash or with one too many, with a
    slash twice, or in capitals. Redirect a GET; take a form as it is, since a redirect would lose it."""
    path = scope["path"]
    for other in _other_spellings(path):
        if other in _INTERNAL:
            await endpoint.answer(_with_own_host(scope), receive, send, redirect_to, path=other)
            return True
        for pattern, decide in EXPRESS:
            if match := pattern.match(other):
                if scope["method"] in ("GET", "HEAD"):
                    await endpoint.answer(scope, receive, send, redirect_to, path=other)
                else:
                    await endpoint.answer(scope, receive, send, decide, **match.groupdict())
                return True
    # Forms for Django are taken at their own address only: a proxy may protect /admin/ by its name.
    other = _with_single_slashes(path)
    if other != path and scope["method"] in ("GET", "HEAD") and is_valid_path(other):
        await endpoint.answer(scope, receive, send, redirect_to, path=other)
        return True
    return False


def _other_spellings(path: str) -> Iterator[str]:
    single = _with_single_slashes(path)
    for each in (single, single.lower()):
        if each != path:
            yield each
        yield each.removesuffix("/") if each.endswith("/") else f"{each}/"


def _with_single_slashes(path: str) -> str:
    return re.sub("/{2,}", "/", path)


async def redirect_to(request: Request, path: str) -> Response:
    """Redirect (301) to another path with the same query."""
    query = request.scope["query_string"]
    location = escape_uri_path(path).encode() + (b"?" + query if query else b"")
    return Response(301, b"", PLAIN, ((b"location", location),))


async def refuse_body(request: Request) -> Response:
    """Refuse a form that is too large (413). The page is in the language of the form."""
    close = (b"connection", b"close")
    if not request.path.startswith(STAFF_PAGES):
        return failure(request, ClickAnswer.TOO_LARGE, close)
    page = fragments.render_message_page("upload", settings.LANGUAGE_CODE, 413)
    return Response(413, page, headers=(close,))


def _with_own_host(scope: Scope) -> Scope:
    """Replace the Host header: balancers and Prometheus send a machine's address, and no answer to them
    contains the host."""
    named = [host.lstrip(".") for host in settings.ALLOWED_HOSTS if host != "*"]
    others = [header for header in scope["headers"] if header[0] != b"host"]
    return {**scope, "headers": [*others, (b"host", [*named, "localhost"][0].encode())]}


def _readable_by_others(scope: Scope) -> bool:
    """Whether a password or an order would travel unencrypted. In a trial they may."""
    return settings.PRODUCTION and not Request(scope).trustworthy


async def refuse_insecure(request: Request) -> Response:
    """Refuse to ask for a password or to show an order over plain HTTP, where others can read it."""
    return failure(request, ClickAnswer.INSECURE)


async def send_static_file(scope: Scope, receive: Receive, send: Send) -> None:
    """Send a static file from memory.

    ServeStatic would open it in a new thread for each request. So it is given the extension with which
    servers send files by path, and the path is replaced here by the content.
    """

    async def send_content(message: dict[str, Any]) -> None:
        if message["type"] == _PATH_SEND:
            message = {"type": "http.response.body", "body": _read_static(message["path"])}
        await send(message)

    await static({**scope, "extensions": {_PATH_SEND: {}}}, receive, send_content)


@lru_cache(maxsize=512)
def _read_static(path: str) -> bytes:
    return Path(path).read_bytes()


async def lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    """Prepare the process before it accepts a request; close its connections when it ends."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            if not (settings.STATIC_ROOT / "staticfiles.json").exists():
                reason = "The static files are not collected: run `manage.py prepare --static`."
                await send({"type": "lifespan.startup.failed", "message": reason})
                return
            _start_process()
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await web_connections.close_pipes()
            await send({"type": "lifespan.shutdown.complete"})
            return


def _start_process() -> None:
    sentry.start("web")
    tracing.start("web")
    feed.current()  # subscribes before the first shopper comes
    engines.all()  # loads the template libraries now, not while a crowd waits
    garbage.freeze_loaded_objects()


# Django's stubs accept only views here.
_sockets: Any = [
    re_path(r"\Aws/sales/(?P<slug>[-a-zA-Z0-9_]{1,60})/?\Z", cast(Any, SaleConsumer.as_asgi())),
    re_path(r"\Aws/dashboard/?\Z", cast(Any, DashboardConsumer.as_asgi())),
    re_path(r"", cast(Any, NoConsumer.as_asgi())),
]
_routed: Any = URLRouter(_sockets)
_refused = cast(Any, NoConsumer.as_asgi())


async def sockets(scope: Scope, receive: Receive, send: Send) -> None:
    """Open WebSockets for the shop's own pages only."""
    own = Request(scope).from_own_page
    await (_routed if own else _refused)(scope, receive, send)


application = ProtocolTypeRouter({"http": http, "websocket": sockets, "lifespan": lifespan})
