"""Shoppers' sockets: authorise, subscribe, relay. The live sale decides which frames they get."""

from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer
from django.db import DatabaseError

from flashsale.http.request import Request
from flashsale.http.sockets import TEXT_FRAME, Subscriber
from storefront import feed, live_sale


class SaleConsumer(AsyncWebsocketConsumer):
    """`/ws/sales/<slug>/`: the live parts of the page, and the outcomes of the socket's shopper."""

    # The feed receives for the whole process: with a channel per socket, each would get every message.
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
        """Ignore what the page sends: a click is an HTTP request."""


class NoConsumer(AsyncWebsocketConsumer):
    """Any other path: reject the handshake."""

    channel_layer_alias = "none"

    async def connect(self) -> None:
        await self.close()
