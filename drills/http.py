"""A minimal HTTP/1.1 client: one keep-alive connection, one request at a time.

A load generator shares the machine with the shop that it measures, so it must cost little. It understands
only the shop's answers, which all have a Content-Length. The caller sets time-outs: cancelling `send`
closes the connection.
"""

import asyncio
import ssl
from collections.abc import Mapping
from typing import NamedTuple, cast
from urllib.parse import urlsplit

CONNECTIONS = 6  # of a browser, at once
FORM = "application/x-www-form-urlencoded"


class Site:
    """The address of a shop. Raises ValueError if `url` is not a scheme and a host, like
    http://127.0.0.1:8000."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        extra = parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc
        if parts.scheme not in ("http", "https") or not parts.hostname or extra:
            raise ValueError(f"{url!r} is not like http://127.0.0.1:8000")
        secure = parts.scheme == "https"
        self.host = parts.hostname
        self.port = parts.port or (443 if secure else 80)
        self.netloc = parts.netloc
        self.origin = f"{parts.scheme}://{parts.netloc}"
        self.sockets = f"{'wss' if secure else 'ws'}://{parts.netloc}"
        self.tls = ssl.create_default_context() if secure else None


class Answer(NamedTuple):
    status: int
    headers: bytes
    body: bytes

    def header(self, name: str) -> str:
        """Return the first header of this name, or an empty string."""
        start = self.headers.lower().find(b"\r\n" + name.lower().encode() + b":")
        if start < 0:
            return ""
        line = self.headers[start + 2 :].split(b"\r\n", 1)[0]
        return line.partition(b":")[2].strip().decode("latin-1")

    def all_headers(self, name: str) -> list[str]:
        """Return all headers of this name."""
        lines = (line.partition(b":") for line in self.headers.split(b"\r\n"))
        wanted = name.lower().encode()
        return [value.strip().decode("latin-1") for key, _, value in lines if key.lower() == wanted]


class Connection(asyncio.Protocol):
    """A keep-alive connection."""

    def __init__(self) -> None:
        self._received = b""
        self._waiting: asyncio.Future[Answer] | None = None
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def open(
        cls, host: str, port: int, tls: ssl.SSLContext | None = None, source: str = ""
    ) -> "Connection":
        """`source` is the address to come from; "" for any."""
        loop = asyncio.get_running_loop()
        local = (source, 0) if source else None
        _, protocol = await loop.create_connection(cls, host, port, ssl=tls, local_addr=local)
        return protocol

    @property
    def usable(self) -> bool:
        """Whether it is still open: servers close a connection that was idle for seconds."""
        return self._transport is not None and not self._transport.is_closing()

    async def send(self, request: bytes) -> Answer:
        """Send a request and wait for its answer. Raises ConnectionError if the server closes first."""
        if self._transport is None or self._transport.is_closing():
            raise ConnectionError("closed")
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        try:
            return await self._waiting
        except asyncio.CancelledError:
            self.close()  # a late answer would be taken for the next request's
            raise

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._received[:end].lower()
        start = head.find(b"content-length:")
        length = int(head[start + 15 :].split(b"\r\n", 1)[0]) if start >= 0 else 0
        if len(self._received) < end + 4 + length:
            return
        body = self._received[end + 4 : end + 4 + length]
        answer = Answer(int(head[9:12]), self._received[:end], body)
        self._received = self._received[end + 4 + length :]
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(answer)

    def connection_lost(self, error: Exception | None) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ConnectionError("the server closed the connection"))


class Browser:
    """Cookies and up to six connections, as browsers open them to one site; from the address `source`, if
    one is given."""

    def __init__(self, site: Site, source: str = "") -> None:
        self.cookies: dict[str, str] = {}
        self._site, self._source = site, source
        self._idle: list[Connection] = []
        self._slots = asyncio.Semaphore(CONNECTIONS)

    @property
    def cookie(self) -> str:
        """The header."""
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items())

    async def get(self, path: str, patience: float, accept: str = "application/json") -> Answer:
        """Raises OSError if the server goes away, TimeoutError after `patience` seconds."""
        return await self._exchange(patience, "GET", path, {"Accept": accept})

    async def post(
        self,
        path: str,
        patience: float,
        body: bytes,
        content_type: str,
        accept: str = "application/json",
    ) -> Answer:
        """Raises OSError if the server goes away, TimeoutError after `patience` seconds."""
        headers = {"Accept": accept, "Origin": self._site.origin}
        headers["Content-Type"] = content_type
        return await self._exchange(patience, "POST", path, headers, body)

    def keep_cookie(self, answer: Answer) -> None:
        """Keep the first one: the shopper's, on a page of the express lane."""
        self._keep(answer.all_headers("set-cookie")[:1])

    def keep_cookies(self, answer: Answer) -> None:
        self._keep(answer.all_headers("set-cookie"))

    def _keep(self, headers: list[str]) -> None:
        for header in headers:
            name, _, value = header.partition(";")[0].partition("=")
            self.cookies[name] = value

    def close(self) -> None:
        for connection in self._idle:
            connection.close()

    async def _exchange(
        self,
        patience: float,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes | None = None,
    ) -> Answer:
        headers = {"Host": self._site.netloc, **headers}
        if self.cookie:
            headers["Cookie"] = self.cookie
        async with self._slots, asyncio.timeout(patience):
            connection = await self._take_connection()
            answer = await connection.send(request(method, path, headers, body))
            if answer.header("connection") == "close":
                connection.close()
            else:
                self._idle.append(connection)
        return answer

    async def _take_connection(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
        site = self._site
        return await Connection.open(site.host, site.port, site.tls, self._source)


def get(path: str, host: str, cookie: str = "") -> bytes:
    return request("GET", path, _headers(host, cookie))


def post(path: str, host: str, cookie: str, form: str) -> bytes:
    headers = _headers(host, cookie) | {"Content-Type": FORM}
    return request("POST", path, headers, form.encode())


def request(method: str, path: str, headers: Mapping[str, str], body: bytes | None = None) -> bytes:
    """Serialize a request; with a body, Content-Length is added."""
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + (body or b"")


def _headers(host: str, cookie: str) -> dict[str, str]:
    headers = {"Host": host, "Accept": "application/json"}
    return headers | {"Cookie": cookie} if cookie else headers
