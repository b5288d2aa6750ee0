"""Private parts of libraries: used in one file for each library, and present as that file needs them.

When an upgrade breaks one of these tests, the message names the file to mend.
"""

import ast
import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from django.conf import settings
from django.utils.module_loading import import_string

from flashsale.http.endpoint import WHOLE
from tests.stack import ROOT

HOMES = {
    "uvicorn": "flashsale/http/server.py",
    "redis": "flashsale/redis/pipe.py",
    "kombu": "flashsale/broker.py",
}
NOT_OURS = {".venv", "var", "tests"}

# Undocumented names that the shop uses, with an underscore or without.
HTTP = "uvicorn.protocols.http.httptools_impl.HttpToolsProtocol"
SOCKET = "uvicorn.protocols.websockets.websockets_sansio_impl.WebSocketsSansIOProtocol"
USED = {
    HTTP: [
        *("connection_made", "connection_lost", "data_received", "send_400_response"),
        *("on_message_begin", "on_header", "on_headers_complete", "on_message_complete"),
        *("on_response_complete", "_start_asgi_task", "_unset_keepalive_if_required"),
        "timeout_keep_alive_handler",
    ],
    SOCKET: ["connection_made", "data_received", "handle_connect", "keepalive_timeout"],
    "redis._parsers.base.BaseParser": ["parse_error"],
    "redis.asyncio.ConnectionPool": ["make_connection"],
    "kombu.transport.redis.Channel": ["_brpop_read", "_connparams"],
    "kombu.transport.virtual.QoS": ["ack"],
}


def complaint(library: str, what: str) -> str:
    return f"{library} has changed: mend {HOMES[library]}, which relies on {what}"


def found(path: str) -> Any:
    """The object at that path, in a library or in the file that extends it."""
    try:
        return import_string(path)
    except ImportError as error:
        homes = {
            home.removesuffix(".py").replace("/", "."): library for library, home in HOMES.items()
        }
        library = homes.get(path.rpartition(".")[0], path.partition(".")[0])
        pytest.fail(f"{complaint(library, path)} ({error})")


@pytest.mark.parametrize(
    ("owner", "name"), [(owner, name) for owner in USED for name in USED[owner]]
)
def test_what_is_called_or_overridden_exists(owner: str, name: str) -> None:
    library = owner.partition(".")[0]
    assert callable(getattr(found(owner), name, None)), complaint(library, f"{owner}.{name}")


# --- One file for each library --------------------------------------------------------------------


def sources() -> Iterator[Path]:
    for folder in ROOT.iterdir():
        if folder.is_dir() and folder.name not in NOT_OURS:
            yield from (
                path for path in folder.rglob("*.py") if "tests" not in path.relative_to(ROOT).parts
            )


# A file that extends these classes knows the library from inside.
INSIDES = ("uvicorn.protocols", "kombu.transport")


def test_each_library_is_known_from_inside_in_one_file_only() -> None:
    homes = {
        (library, str(path.relative_to(ROOT))) for path in sources() for library in known(path)
    }
    assert homes == set(HOMES.items())


def known(path: Path) -> Iterator[str]:
    """The libraries whose private parts the file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            modules = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        else:
            continue
        for module in modules:
            library = module.partition(".")[0]
            if library in HOMES and ("._" in module or module.startswith(INSIDES)):
                yield library


# --- uvicorn --------------------------------------------------------------------------------------


async def answered(protocol: Any) -> tuple[Any, Mock]:
    """A protocol that has been sent a request, and its transport."""

    async def application(scope: object, receive: object, send: object) -> None: ...

    config = found("uvicorn.Config")(application, http=protocol, lifespan="off", log_config=None)
    config.load()
    one = protocol(config, found("uvicorn.server.ServerState")(), {})
    transport = Mock(spec=asyncio.Transport)
    transport.is_closing.return_value = False
    transport.get_protocol.return_value = one
    transport.get_extra_info.return_value = None
    one.connection_made(transport)
    one.data_received(b"GET / HTTP/1.1\r\nhost: shop\r\n\r\n")
    return one, transport


CYCLE = ["scope", "transport", "flow", "disconnected", "response_started", "response_complete"]
CYCLE += ["waiting_for_100_continue", "default_headers", "keep_alive", "message_event"]
CYCLE += ["on_response"]
REQUEST = ["loop", "transport", "parser", "cycle", "url", "headers", "timeout_keep_alive_task"]


def test_a_request_is_what_the_bounds_and_whole_answers_rely_on() -> None:
    async def look() -> None:
        one, _ = await answered(found(HTTP))
        for name in REQUEST:
            assert hasattr(one, name), complaint("uvicorn", f"HttpToolsProtocol.{name}")
        for name in CYCLE:
            assert hasattr(one.cycle, name), complaint("uvicorn", f"RequestResponseCycle.{name}")
        assert isinstance(one.cycle.flow.write_paused, bool), complaint("uvicorn", "write_paused")

    asyncio.run(look())


def test_each_request_is_started_by_the_method_that_adds_the_whole_answer() -> None:
    async def look() -> Any:
        one, transport = await answered(found("flashsale.http.server.BoundedRequest"))
        cycle = one.cycle
        extensions = cycle.scope.get("extensions") or {}
        assert WHOLE in extensions, complaint("uvicorn", "_start_asgi_task(cycle, app)")
        send_whole = extensions[WHOLE]
        assert callable(send_whole)
        assert send_whole(200, b"content-length: 2\r\n", b"ok")
        transport.write.assert_called_once()
        [written] = transport.write.call_args.args
        assert written.startswith(b"HTTP/1.1 200 OK\r\n"), complaint("uvicorn", "STATUS_LINE")
        assert written.endswith(b"\r\nok")
        assert one.timeout_keep_alive_task is not None, complaint("uvicorn", "on_response")
        one._unset_keepalive_if_required()
        assert one.timeout_keep_alive_task is None, complaint("uvicorn", "its timer of keep-alive")
        return cycle

    cycle = asyncio.run(look())
    assert cycle.response_complete


# --- redis-py -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("NOSCRIPT No matching script", "NoScriptError"),
        ("OOM command not allowed", "OutOfMemoryError"),
        ("MOVED 1 127.0.0.1:7000", "MovedError"),
        ("WRONGTYPE Operation against a key", "ResponseError"),
    ],
)
def test_what_redis_refuses_is_an_exception_of_its_kind(said: str, kind: str) -> None:
    error = found("redis._parsers.base.BaseParser").parse_error(said)
    assert type(error).__name__ == kind, complaint("redis", "BaseParser.parse_error")


def test_a_connection_keeps_its_streams_where_the_pipe_takes_them_over() -> None:
    async def look() -> None:
        pool = found("redis.asyncio.ConnectionPool").from_url(settings.REDIS_URL)
        connection = pool.make_connection()
        await connection.connect()
        try:
            for name in ("_reader", "_writer"):
                assert getattr(connection, name, None), complaint("redis", f"Connection.{name}")
            transport = getattr(connection._writer, "transport", None)
            assert isinstance(transport, asyncio.Transport), complaint("redis", "its transport")
        finally:
            await connection.disconnect()

    asyncio.run(look())


# --- kombu ----------------------------------------------------------------------------------------


def test_our_transport_is_found_by_the_scheme_and_knows_what_is_delivered() -> None:
    found("flashsale.broker.register_transport")()
    with (
        found("kombu.Connection")(settings.CELERY_BROKER_URL) as connection,
        connection.channel() as channel,
    ):
        assert isinstance(channel, found("flashsale.broker.Channel")), complaint(
            "kombu", "TRANSPORT_ALIASES"
        )
        message = Mock(delivery_info={"exchange": "", "routing_key": "unknown"}, _raw={})
        channel.qos.append(message, "a-tag")
        delivered = getattr(channel.qos, "_delivered", None)
        assert delivered is not None, complaint("kombu", "QoS._delivered")
        assert "a-tag" in delivered, complaint("kombu", "QoS._delivered by delivery tag")
        errors = getattr(channel, "connection_errors", None)
        assert isinstance(errors, tuple), complaint("kombu", "Channel.connection_errors")
        channel.qos.ack("a-tag")
