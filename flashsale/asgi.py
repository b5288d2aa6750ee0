"""Assembles the server: the express lane, static files, sockets, and Django for everything else."""

import os
import re
from typing import Any, cast

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "flashsale.settings")

from django.core.asgi import get_asgi_application

django = cast(Any, get_asgi_application())

from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402  # Django is set up first
from channels.security.websocket import AllowedHostsOriginValidator  # noqa: E402
from django.conf import settings  # noqa: E402
from django.template import engines  # noqa: E402
from django.urls import re_path  # noqa: E402
from servestatic import ServeStaticASGI  # noqa: E402

from dashboard.consumers import DashboardConsumer  # noqa: E402
from flashsale import express  # noqa: E402
from flashsale.express import Receive, Scope, Send  # noqa: E402
from inventory import feed  # noqa: E402
from inventory.consumers import NoConsumer, SaleConsumer  # noqa: E402
from orders.buy import buy  # noqa: E402
from orders.outcome import outcome  # noqa: E402
from orders.page import sale  # noqa: E402

EXPRESS = (
    (re.compile(r"\A/sales/(?P<slug>[-a-zA-Z0-9_]{1,60})/buy\Z"), buy),
    (re.compile(r"\A/sales/(?P<slug>[-a-zA-Z0-9_]{1,60})/\Z"), sale),
    (
        re.compile(r"\A/orders/(?P<purchase>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/\Z"),
        outcome,
    ),
)


def _immutable(path: str, url: str) -> bool:
    """Hashed names never change what they hold."""
    return re.search(r"\.[0-9a-f]{12}\.\w+$", url) is not None


static = ServeStaticASGI(
    django,
    root=settings.STATIC_ROOT if settings.STATIC_ROOT.is_dir() else None,
    prefix=settings.STATIC_URL,
    immutable_file_test=_immutable,
)


async def http(scope: Scope, receive: Receive, send: Send) -> None:
    for pattern, endpoint in EXPRESS:
        match = pattern.match(scope["path"])
        if match:
            await express.answer(scope, receive, send, endpoint, **match.groupdict())
            return
    if scope["path"].startswith(settings.STATIC_URL):
        await static(scope, receive, send)
    else:
        await django(scope, receive, send)


async def lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    """Starts listening before the first shopper comes."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            feed.current()
            engines.all()  # reads the template libraries now, not under the first crowd
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await send({"type": "lifespan.shutdown.complete"})
            return


# The stubs know paths of views only.
_sockets: Any = [
    re_path(r"\Aws/sales/(?P<slug>[-a-zA-Z0-9_]{1,60})/\Z", cast(Any, SaleConsumer.as_asgi())),
    re_path(r"\Aws/dashboard/\Z", cast(Any, DashboardConsumer.as_asgi())),
    re_path(r"", cast(Any, NoConsumer.as_asgi())),
]
sockets = AllowedHostsOriginValidator(URLRouter(_sockets))

application = ProtocolTypeRouter({"http": http, "websocket": sockets, "lifespan": lifespan})
