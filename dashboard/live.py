"""The live dashboard: one per server process. Once a second it looks, renders, and writes the same frame
to all of its sockets; whoever may not look any more is sent away in the same second."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from django.db import DatabaseError, connection
from django.template.loader import render_to_string
from django.utils import translation

from dashboard.access import may_still_look
from dashboard.bounded_call import BoundedCall
from dashboard.reading import Observer
from dashboard.snapshot import Snapshot
from flashsale.http.sockets import Frame, Subscriber

log = logging.getLogger(__name__)

TICK = 1.0  # seconds
UNASKED = 300.0  # seconds for which staff stay although nobody can be asked whether they may
# Why a socket is closed: they are logged out or may not look any more; or nobody could be asked.
SENT_AWAY, NOT_ASKED = 4403, 4503


@dataclass(eq=False)
class Watcher:
    """A socket of staff."""

    session: str
    subscriber: Subscriber
    send_away: Callable[[int], Awaitable[None]]


class Live:
    """All staff who watch by this process."""

    def __init__(self) -> None:
        self._watchers: set[Watcher] = set()
        self._observer = Observer()
        self._access = BoundedCall()
        self._asked_at = time.monotonic()
        self._leaving: set[asyncio.Future[None]] = set()
        self._running: asyncio.Task[None] | None = None

    def join(self, watcher: Watcher) -> None:
        self._watchers.add(watcher)
        if self._running is None or self._running.done():
            self._asked_at = time.monotonic()
            self._running = asyncio.ensure_future(self._run())

    def leave(self, watcher: Watcher) -> None:
        self._watchers.discard(watcher)

    async def _run(self) -> None:
        while self._watchers:
            began = time.monotonic()
            try:
                await self._tick(list(self._watchers))
            except Exception:
                log.exception("the dashboard stumbled; it goes on")
            await asyncio.sleep(max(0.1, TICK - (time.monotonic() - began)))

    async def _tick(self, watchers: list[Watcher]) -> None:
        """In threads: rendering takes longer than a click may wait for the event loop. Who may look is
        asked apart: they are sent away whatever becomes of the figures."""
        await asyncio.gather(self._send_away_others(watchers), self._tell(watchers))

    async def _send_away_others(self, watchers: list[Watcher]) -> None:
        sessions = {watcher.session for watcher in watchers}
        try:
            allowed = await asyncio.to_thread(self._access.run, lambda: _allowed(sessions))
        except (DatabaseError, TimeoutError):
            if time.monotonic() - self._asked_at > UNASKED:
                self._send_away(watchers, NOT_ASKED)
            return
        self._asked_at = time.monotonic()
        self._send_away([each for each in watchers if each.session not in allowed], SENT_AWAY)

    async def _tell(self, watchers: list[Watcher]) -> None:
        languages = {watcher.subscriber.language for watcher in watchers}
        frames = await asyncio.to_thread(self._frames, languages)
        for watcher in watchers:
            if watcher in self._watchers:
                watcher.subscriber.push_live(frames[watcher.subscriber.language])

    def _send_away(self, watchers: Iterable[Watcher], code: int) -> None:
        """Beside the tick: one that does not read would hold it up."""
        for watcher in watchers:
            self.leave(watcher)
            leaving = asyncio.ensure_future(watcher.send_away(code))
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)

    def _frames(self, languages: set[str]) -> dict[str, Frame]:
        snapshot = self._observer.look()
        return {language: Frame.of(frame(snapshot, language)) for language in languages}


def frame(snapshot: Snapshot, language: str) -> str:
    """The parts of the dashboard that change, to be swapped in where they stand."""
    with translation.override(language):
        return render_to_string("dashboard/_live.html", {"snapshot": snapshot, "swap": True})


def _allowed(sessions: set[str]) -> set[str]:
    try:
        return {session for session in sessions if may_still_look(session)}
    finally:
        connection.close()


_by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, Live] = WeakKeyDictionary()


def current() -> Live:
    """This process' live dashboard: one per event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _by_loop:
        _by_loop[loop] = Live()
    return _by_loop[loop]
