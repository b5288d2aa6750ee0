"""Create blocking clients of Redis: the one place that sets their retries.

By default redis-py 8 resends a command that timed out up to ten times. These clients never do. With
`resend` they resend a command once if the connection was broken (a restarted server), which the idempotent
scripts allow.
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
    """A client that connects on first use. Time-outs in seconds. Replies are text; `encoding_errors` says
    how to decode invalid UTF-8."""
    return redis.Redis.from_url(
        url,
        decode_responses=True,
        encoding_errors=encoding_errors,
        socket_timeout=timeout,
        socket_connect_timeout=connect_timeout,
        retry=Retry(NoBackoff(), 1 if resend else 0, supported_errors=(redis.ConnectionError,)),
    )
