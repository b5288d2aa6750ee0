"""Check the Redis servers: the gates', the broker's, the cache's and the channel layer's."""

from collections.abc import Iterator
from typing import Any

import redis
from django.conf import settings
from django.core import checks

from flashsale.redis import client_factory, servers
from flashsale.redis.refusals import refusal, send_probe
from ops.doctor.configuration import convert_messages
from ops.doctor.findings import NEARLY_FULL, Finding, failed, ok, warning

_TIMEOUT = 2.0  # seconds
_THE_OTHERS = "See to it that it runs. Sales on the other servers go on."

Info = dict[str, Any]  # the reply to INFO


def check_gate_servers() -> Iterator[Finding]:
    """Examine all servers of REDIS_URL. One of a cluster that is away is a finding of its own; a single
    one raises redis.RedisError."""
    replies: dict[str, Info] = {}
    configured = servers.read_configured()
    urls = configured.urls
    for url in urls:
        address = servers.address_of(url)
        try:
            replies[address] = _read_info(url)
        except redis.RedisError as error:
            if len(urls) == 1:
                raise
            seen = f"{address} cannot be asked: {type(error).__name__}."
            yield failed("Redis", seen, _THE_OTHERS)
            continue
        yield ok("Redis", f"{_version(replies[address])} answers at {address}.")
        tag = configured.tag_on(url)
        yield from _examine_writable("Redis", url, replies[address], tag)
    yield from _examine_durability()
    for address, info in replies.items():
        yield from _examine_memory(info, f" at {address}" if len(replies) > 1 else "")


def _examine_writable(about: str, url: str, info: Info, tag: str = "") -> Iterator[Finding]:
    """Write to the server. `tag` is of keys that it has, if it is one of a cluster."""
    address = servers.address_of(url)
    try:
        with connect(url) as client:
            send_probe(client, tag)
    except redis.RedisError as error:
        if isinstance(error, servers.NOT_HERE):
            return  # the checks of settings find a cluster that was not meant
        if not (refused := refusal(error)):
            raise
        yield failed(about, f"{address} cannot be written to: {refused.why}.", refused.advice)
    else:
        if info.get("role") in ("slave", "replica"):
            seen = f"{address} is a replica: its primary overwrites what is written to it."
            yield failed(about, seen, "Point the URL to its primary.")


def _examine_durability() -> Iterator[Finding]:
    messages = checks.run_checks(tags=["redis"], include_deployment_checks=True)
    lacking = list(convert_messages("Redis", messages))
    yield from lacking or [
        ok("Redis", "What is accepted is on its disk before the shopper reads it.")
    ]


def _examine_memory(info: Info, where: str) -> Iterator[Finding]:
    used = int(info.get("used_memory", 0))
    bound = int(info.get("maxmemory", 0)) or int(info.get("total_system_memory", 0))
    seen = f"{used / (1 << 20):,.0f} MB are used of {bound / (1 << 20):,.0f} MB{where}."
    if bound and used > bound * NEARLY_FULL:
        advice = "Give it more: when it is full, every click is answered with `busy`."
        yield warning("Redis' memory", seen, advice)
    else:
        yield ok("Redis' memory", seen)


def check_broker() -> Iterator[Finding]:
    yield from _check_other("broker", "CELERY_BROKER_URL")


def check_cache() -> Iterator[Finding]:
    yield from _check_other("cache", "CACHE_URL")


def check_channel_layer() -> Iterator[Finding]:
    yield from _check_other("channel layer", "CHANNEL_URL")


def _check_other(about: str, variable: str) -> Iterator[Finding]:
    url: str = getattr(settings, variable)
    if url == settings.REDIS_URL:
        yield ok(about, "It is the gate's Redis.")
        return
    info = _read_info(url)
    yield ok(about, f"{_version(info)} answers at {servers.address_of(url)}.")
    yield from _examine_writable(about, url, info)


def _read_info(url: str) -> Info:
    with connect(url) as client:
        info: Info = client.info()
    return info


def connect(url: str) -> redis.Redis:
    """A client that tries once and waits for at most `_TIMEOUT` seconds."""
    return client_factory.client(url, timeout=_TIMEOUT, connect_timeout=_TIMEOUT)


def _version(info: Info) -> str:
    if "valkey_version" in info:
        return f"Valkey {info['valkey_version']}"
    return f"Redis {info.get('redis_version', 'of an unknown version')}"
