"""A proxy as in some hotels and companies: pages pass, sockets do not. Or no longer, or again."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator

from tests import deadlines

_REFUSED = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Proxy:
    """Stands in front of `url`."""

    def __init__(self, url: str) -> None:
        self._host, port = url.removeprefix("http://").split(":")
        self._port = int(port)
        self._loop = asyncio.new_event_loop()
        self._through: set[asyncio.StreamWriter] = set()
        self._passes_sockets = True
        self.url = ""

    @contextlib.contextmanager
    def running(self) -> Iterator["Proxy"]:
        thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        thread.start()
        starting = asyncio.start_server(self._serve, "127.0.0.1", 0)
        server = asyncio.run_coroutine_threadsafe(starting, self._loop).result(
            deadlines.seconds(10)
        )
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield self
        asyncio.run_coroutine_threadsafe(_end_everything(), self._loop).result(
            deadlines.seconds(10)
        )
        self._loop.call_soon_threadsafe(self._loop.stop)
        thread.join(deadlines.seconds(10))

    def refuse_sockets(self) -> None:
        """From now on, and also those that are open."""
        self._passes_sockets = False
        for writer in self._through.copy():
            self._loop.call_soon_threadsafe(writer.close)

    def pass_sockets(self) -> None:
        self._passes_sockets = True

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            is_socket = head.startswith(b"GET /ws/")
            if is_socket and not self._passes_sockets:
                writer.write(_REFUSED)
            else:
                await self._pass_on(head, reader, writer, is_socket)
        writer.close()

    async def _pass_on(
        self,
        head: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        is_socket: bool,
    ) -> None:
        answers, requests = await asyncio.open_connection(self._host, self._port)
        if is_socket:
            self._through.update((writer, requests))
        requests.write(head)
        await asyncio.gather(_copy(reader, requests), _copy(answers, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def _end_everything() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
