"""Create blocking clients of Redis: the one place that sets their retries.

By default redis-py 8 resends a command that timed out up to ten times. These clients never do. With
`resend` they resend a command once if the connection was broken (a restarted server), which the idempotent
scripts allow, or if the server refused to be written to: a new connection may reach its successor.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from flashsale.redis.refusals import refusal

T = TypeVar("T")


class RetryElsewhere(Retry):
    """Drops the connection after the errors that a new one may mend, then tries `retries` times more.

    Calls `on_refusal` if the server refuses to be written to.
    """

    def __init__(self, retries: int, on_refusal: Callable[[], object] = lambda: None) -> None:
        mendable = (redis.ConnectionError, redis.ResponseError)
        super().__init__(NoBackoff(), retries, supported_errors=mendable)
        self._on_refusal = on_refusal

    def call_with_retry(
        self,
        do: Callable[[], T],
        fail: Callable[..., Any],
        is_retryable: Callable[[Exception], bool] | None = None,
        with_failure_count: bool = False,
    ) -> T:
        def may_be_mended(error: Exception) -> bool:
            if refusal(error):
                self._on_refusal()
            elif not isinstance(error, redis.ConnectionError):
                return False
            return is_retryable is None or is_retryable(error)

        return super().call_with_retry(do, fail, may_be_mended, with_failure_count)


def client(
    url: str,
    *,
    timeout: float,
    connect_timeout: float,
    resend: bool = False,
    encoding_errors: str = "strict",
) -> redis.Redis:
    """A client that connects on first use. Time-outs in seconds. Replies are text; `encoding_errors` says
    how to decode invalid UTF-8."""

    def forget_idle_connections() -> None:
        """They lead to the same server."""
        made.connection_pool.disconnect(inuse_connections=False)

    made: redis.Redis = redis.Redis.from_url(
        url,
        decode_responses=True,
        encoding_errors=encoding_errors,
        socket_timeout=timeout,
        socket_connect_timeout=connect_timeout,
        retry=RetryElsewhere(1 if resend else 0, forget_idle_connections),
    )
    return made
