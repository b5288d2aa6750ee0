"""Assembles the server: the express lane, static files, sockets, and Django for everything else."""

import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "flashsale.settings")

from django.core.asgi import get_asgi_application

django = cast(Any, get_asgi_application())

from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.template import engines
from django.urls import re_path
from servestatic import ServeStaticASGI

from dashboard.consumers import DashboardConsumer
from flashsale import garbage
from flashsale.http import endpoint
from flashsale.http.endpoint import (
    Receive,
    Scope,
    Send,
)
from flashsale.observe import (
    sentry,
    tracing,
)
from flashsale.redis import clients
from inventory.click_answers import ClickAnswer
from storefront import (
    feed,
    media,
)
from storefront.buy import buy
from storefront.calendar import calendar
from storefront.consumers import (
    NoConsumer,
    SaleConsumer,
)
from storefront.outcome import outcome
from storefront.responses import failure
from storefront.sale_list import sale_list
from storefront.sale_page import sale

EXPRESS = (
    (re.compile(r"\A/sales/(?P<slug>[-a-zA-Z0-9_]{1,60})/buy\Z"), buy),
    (re.compile(r"\A/sales/(?P<slug>[-a-zA-Z0-9_]{1,60})/\Z"), sale),
    (re.compile(rf"\A{settings.MEDIA_URL}(?P<name>{media.NAME})\Z"), media.picture),
    (
        re.compile(r"\A/orders/(?P<purchase>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/\Z"),
        outcome,
    ),
    (re.compile(r"\A/\Z"), sale_list),
    (re.compile(r"\A/sales/(?P<slug>[-a-zA-Z0-9_]{1,60})/calendar\.ics\Z"), calendar),
)


def _immutable(path: str, url: str) -> bool:
    """Hashed names never change what they hold."""
    return re.search(r"\.[0-9a-f]{12}\.\w+$", url) is not None


static = ServeStaticASGI(
    django,
    root=settings.STATIC_ROOT if settings.STATIC_ROOT.is_dir() else None,
    prefix=settings.STATIC_URL,
    immutable_file_test=_immutable,
    allow_all_origins=False,
)
_ASKED_INSIDE = ("/livez", "/readyz", "/metrics")  # by balancers and Prometheus, over plain HTTP
_SENT_BY_PATH = "http.response.pathsend"  # an extension of ASGI


async def http(scope: Scope, receive: Receive, send: Send) -> None:
    for pattern, decide in EXPRESS:
        match = pattern.match(scope["path"])
        if match:
            await endpoint.answer(scope, receive, send, decide, **match.groupdict())
            return
    if scope["path"].startswith(settings.STATIC_URL):
        await static_file(scope, receive, endpoint.shield_send(scope, send, files=True))
    elif scope["path"] in _ASKED_INSIDE:
        await django(_by_our_name(scope), receive, endpoint.shield_send(scope, send))
    elif not _readable_by_others(scope):
        await django(scope, receive, endpoint.shield_send(scope, send))
    else:
        await endpoint.answer(scope, receive, send, insecure)


def _by_our_name(scope: Scope) -> Scope:
    """Balancers and Prometheus ask by a machine's address; what they are told names no host."""
    named = [host.lstrip(".") for host in settings.ALLOWED_HOSTS if host != "*"]
    others = [header for header in scope["headers"] if header[0] != b"host"]
    return {**scope, "headers": [*others, (b"host", [*named, "localhost"][0].encode())]}


def _readable_by_others(scope: Scope) -> bool:
    """Whether a password or an order would travel in the clear. Those of a trial may."""
    return settings.PRODUCTION and not endpoint.Request(scope).trustworthy


async def insecure(request: endpoint.Request) -> endpoint.Response:
    """No password is asked for, and no order shown, where others may read along."""
    return failure(request, ClickAnswer.INSECURE)


async def static_file(scope: Scope, receive: Receive, send: Send) -> None:
    """A static file, kept in memory: ServeStatic would open it in a new thread for each request, which
    a crowd waits for. It is told that the server sends files by their path, which is done here."""

    async def send_content(message: dict[str, Any]) -> None:
        if message["type"] == _SENT_BY_PATH:
            message = {"type": "http.response.body", "body": _content(message["path"])}
        await send(message)

    await static({**scope, "extensions": {_SENT_BY_PATH: {}}}, receive, send_content)


@lru_cache(maxsize=512)
def _content(path: str) -> bytes:
    return Path(path).read_bytes()


async def lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    """Starts listening before the first shopper comes."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            if not (settings.STATIC_ROOT / "staticfiles.json").exists():
                words = "The static files are not collected: run `manage.py prepare --static`."
                await send({"type": "lifespan.startup.failed", "message": words})
                return
            sentry.start("web")
            tracing.start("web")
            feed.current()
            engines.all()  # reads the template libraries now, not under the first crowd
            garbage.keep_for_good()
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await clients.close_pipes()
            await send({"type": "lifespan.shutdown.complete"})
            return


# The stubs know paths of views only.
_sockets: Any = [
    re_path(r"\Aws/sales/(?P<slug>[-a-zA-Z0-9_]{1,60})/\Z", cast(Any, SaleConsumer.as_asgi())),
    re_path(r"\Aws/dashboard/\Z", cast(Any, DashboardConsumer.as_asgi())),
    re_path(r"", cast(Any, NoConsumer.as_asgi())),
]
_routed: Any = URLRouter(_sockets)
_refused = cast(Any, NoConsumer.as_asgi())


async def sockets(scope: Scope, receive: Receive, send: Send) -> None:
    """Opens sockets for pages of our own only."""
    ours = endpoint.Request(scope).from_own_page
    await (_routed if ours else _refused)(scope, receive, send)


application = ProtocolTypeRouter({"http": http, "websocket": sockets, "lifespan": lifespan})
