"""Sockets: authorise, join, relay. The feed decides what is told."""

from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer
from django.db import DatabaseError

from flashsale.http.request import Request
from flashsale.http.sockets import TEXT_FRAME, Subscriber
from storefront import feed, live_sale


class SaleConsumer(AsyncWebsocketConsumer):
    """`/ws/sales/<slug>/`: the stock for everybody, the outcomes for their shopper."""

    # The feed listens for the whole process: a channel for each socket would repeat every message.
    channel_layer_alias = "none"

    live: live_sale.LiveSale | None = None
    subscriber: Subscriber

    async def connect(self) -> None:
        request = Request(dict(self.scope))
        try:
            live = await feed.current().live_sale(self.scope["url_route"]["kwargs"]["slug"])
        except (DatabaseError, TimeoutError):
            live = None
        if live is None:
            await self.close()
            return
        await self.accept()
        self.live = live
        extensions: Any = self.scope.get("extensions") or {}
        write = extensions.get(TEXT_FRAME)
        self.subscriber = Subscriber(self._relay, request.shopper, request.language, write)
        live.subscribe(self.subscriber)

    async def disconnect(self, code: int) -> None:
        if self.live is not None:
            self.live.unsubscribe(self.subscriber)

    async def _relay(self, frame: str) -> None:
        await self.base_send({"type": "websocket.send", "text": frame, "bytes": None})

    async def websocket_receive(self, message: Any) -> None:
        """A page has nothing to say here: buying is a request."""


class NoConsumer(AsyncWebsocketConsumer):
    """Any other path: refused like a page that does not exist."""

    channel_layer_alias = "none"

    async def connect(self) -> None:
        await self.close()
