"""Push the live dashboard to the sockets of this process.

Once a second it takes one snapshot, renders one frame per language, and writes it to all sockets. Staff
who have logged out or lost the permission are disconnected within the same second.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from django.db import DatabaseError
from django.template.loader import render_to_string
from django.utils import translation

from dashboard.access import may_still_look
from dashboard.bounded_call import BoundedCall
from dashboard.reading import Observer
from dashboard.snapshot import Snapshot
from flashsale.concurrency import PerLoop
from flashsale.http.sockets import Frame, Subscriber

log = logging.getLogger(__name__)

TICK = 1.0  # seconds
UNCHECKED = 300.0  # seconds for which sockets stay open while PostgreSQL cannot check the sessions
# Close codes: the session may not look any more; it could not be checked for too long.
SENT_AWAY, NOT_CHECKED = 4403, 4503


@dataclass(eq=False)
class Watcher:
    """One socket, and the session that opened it."""

    session: str
    subscriber: Subscriber
    close: Callable[[int], Awaitable[None]]  # takes a close code


class Live:
    """All watchers of this process. The task that serves them runs only while there are some."""

    def __init__(self) -> None:
        self._watchers: set[Watcher] = set()
        self._observer = Observer()
        self._access = BoundedCall()
        self._checked_at = time.monotonic()
        self._leaving: set[asyncio.Future[None]] = set()
        self._running: asyncio.Task[None] | None = None

    def join(self, watcher: Watcher) -> None:
        self._watchers.add(watcher)
        if self._running is None or self._running.done():
            self._checked_at = time.monotonic()
            self._running = asyncio.ensure_future(self._run())

    def leave(self, watcher: Watcher) -> None:
        self._watchers.discard(watcher)

    async def _run(self) -> None:
        while self._watchers:
            began = time.monotonic()
            try:
                await self._tick(list(self._watchers))
            except Exception:
                log.exception("the live dashboard failed; it tries again in a second")
            await asyncio.sleep(max(0.1, TICK - (time.monotonic() - began)))

    async def _tick(self, watchers: list[Watcher]) -> None:
        """Work in threads: rendering takes longer than a click may wait for the event loop. The sessions
        are checked beside the figures, so that trouble with these keeps no watcher connected."""
        await asyncio.gather(self._disconnect_unauthorised(watchers), self._push(watchers))

    async def _disconnect_unauthorised(self, watchers: list[Watcher]) -> None:
        sessions = {watcher.session for watcher in watchers}
        try:
            allowed = await asyncio.to_thread(self._access.run, lambda: _allowed(sessions))
        except (DatabaseError, TimeoutError):
            if time.monotonic() - self._checked_at > UNCHECKED:
                self._disconnect(watchers, NOT_CHECKED)
            return
        self._checked_at = time.monotonic()
        self._disconnect([each for each in watchers if each.session not in allowed], SENT_AWAY)

    async def _push(self, watchers: list[Watcher]) -> None:
        languages = {watcher.subscriber.language for watcher in watchers}
        frames = await asyncio.to_thread(self._render, languages)
        for watcher in watchers:
            if watcher in self._watchers:
                watcher.subscriber.push_live(frames[watcher.subscriber.language])

    def _disconnect(self, watchers: Iterable[Watcher], code: int) -> None:
        """Close the sockets in tasks of their own: a client that does not read would block the tick."""
        for watcher in watchers:
            self.leave(watcher)
            leaving = asyncio.ensure_future(watcher.close(code))
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)

    def _render(self, languages: set[str]) -> dict[str, Frame]:
        snapshot = self._observer.look()
        return {language: Frame.of(render_frame(snapshot, language)) for language in languages}


def render_frame(snapshot: Snapshot, language: str) -> str:
    """Render the fragments of the dashboard that change; htmx swaps them in by their ids."""
    with translation.override(language):
        return render_to_string("dashboard/_live.html", {"snapshot": snapshot, "swap": True})


def _allowed(sessions: set[str]) -> set[str]:
    return {session for session in sessions if may_still_look(session)}


_by_loop = PerLoop(Live)


def current() -> Live:
    """The live dashboard of this process; one per event loop."""
    return _by_loop.get()
