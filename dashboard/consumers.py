"""Serve the dashboard's socket: authorise, join, relay."""

from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.db import DatabaseError

from dashboard import live
from dashboard.access import may_still_look, session_key
from flashsale.database import in_thread
from flashsale.http.request import Request
from flashsale.http.sockets import Subscriber


class DashboardConsumer(AsyncWebsocketConsumer):
    """`/ws/dashboard/`: sends a frame with the present figures once a second to staff who may look."""

    channel_layer_alias = "none"

    watcher: live.Watcher | None = None

    async def connect(self) -> None:
        request = Request(dict(self.scope))
        session = session_key(request)
        if not session or not await _may_look(session):
            await self.close()
            return
        await self.accept()
        subscriber = Subscriber(self._relay, None, settings.LANGUAGE_CODE)
        self.watcher = live.Watcher(session, subscriber, self._close)
        live.current().join(self.watcher)

    async def disconnect(self, code: int) -> None:
        if self.watcher is not None:
            live.current().leave(self.watcher)

    async def _relay(self, frame: str) -> None:
        await self.base_send({"type": "websocket.send", "text": frame, "bytes": None})

    async def _close(self, code: int) -> None:
        await self.close(code)

    async def websocket_receive(self, message: Any) -> None:
        """Ignore messages: the controls of staff are HTTP requests."""


async def _may_look(session: str) -> bool:
    try:
        return await in_thread(may_still_look, session)
    except (DatabaseError, TimeoutError):
        return False
