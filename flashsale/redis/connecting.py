"""Synchronous clients of Redis: the one place where their time-outs and retries are chosen.

redis-py 8 by itself sends a command that timed out up to ten more times. These never do. Where `resend` is
set, a command is sent once more where the connection was found broken (a restarted server), which the
idempotent scripts allow.
"""

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry


def client(
    url: str,
    *,
    timeout: float,
    connect_timeout: float,
    resend: bool = False,
    encoding_errors: str = "strict",
) -> redis.Redis:
    """A client that connects when it is first used. Time-outs in seconds; replies are text, and what is no
    UTF-8 in them is treated as `encoding_errors` says."""
    return redis.Redis.from_url(
        url,
        decode_responses=True,
        encoding_errors=encoding_errors,
        socket_timeout=timeout,
        socket_connect_timeout=connect_timeout,
        retry=Retry(NoBackoff(), 1 if resend else 0, supported_errors=(redis.ConnectionError,)),
    )
