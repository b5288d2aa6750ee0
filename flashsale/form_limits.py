"""Limits on how often a form of Django's may be sent. The counts are in the cache, which all processes
share. Clicks have limits of their own, in the gate."""

from typing import Any, NamedTuple

from django.http import HttpRequest
from django_ratelimit.core import get_usage
from django_redis.exceptions import ConnectionInterrupted
from redis.exceptions import RedisError

from flashsale.http.request import Request

NOT_COUNTED = (ConnectionInterrupted, RedisError, OSError)  # raised without the cache


class Limit(NamedTuple):
    """`rate`, such as `3/h`, for each `value` of a group."""

    group: str
    value: str
    rate: str


def look_at_limit(request: HttpRequest, limit: Limit) -> int:
    """Like `count_form`, and counts nothing: for forms that count only if they are wrong."""
    return _count(request, limit, increment=False)


def count_form(request: HttpRequest, *limits: Limit) -> int:
    """Count a form that was sent. Returns the seconds until the next one is allowed; 0 if this one is.

    In the order of the limits: a form that one refuses does not count against the next. Raises
    NOT_COUNTED. Blocks.
    """
    return next((wait for limit in limits if (wait := _count(request, limit))), 0)


def _count(request: HttpRequest, limit: Limit, *, increment: bool = True) -> int:
    def key(*_: Any) -> str:
        return limit.value

    group, _, rate = limit
    usage = get_usage(request, group=group, key=key, rate=rate, method="POST", increment=increment)
    return max(1, int(usage["time_left"])) if usage and usage["should_limit"] else 0


def address_of(request: HttpRequest) -> str:
    """The address as the express lane reads it: forged headers change nothing, IPv6 counts by network."""
    return Request(request.scope).address  # type: ignore[attr-defined]  # it is always an ASGI request
