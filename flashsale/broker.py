"""Celery's transport over Redis, which survives malformed messages.

In kombu's own transport an error while decoding a message ends the whole worker: one message that is no
JSON, or that has text where bytes are expected, would stop all settlement.
"""

import logging
from typing import Any

from kombu.exceptions import KombuError
from kombu.transport import TRANSPORT_ALIASES, redis

from flashsale.redis.client_factory import RetryElsewhere

log = logging.getLogger(__name__)

_UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, AssertionError, KombuError)


class Channel(redis.Channel):
    """Drops a malformed message and logs it. Drops the connection to a server that cannot be written to."""

    def _connparams(self, *args: Any, **options: Any) -> dict[str, Any]:
        parameters: dict[str, Any] = super()._connparams(*args, **options)  # type: ignore[misc]  # not in the stubs
        return {**parameters, "retry": RetryElsewhere(0)}

    def _brpop_read(self, **options: Any) -> Any:
        before = set(self.qos._delivered or ())
        try:
            return super()._brpop_read(**options)  # type: ignore[misc]  # not in the stubs
        except self.connection_errors:  # type: ignore[attr-defined]  # not in the stubs
            raise
        except _UNREADABLE as error:
            log.critical("a message in Celery's queue cannot be read and is dropped: %r", error)
            # Unacknowledged, it would occupy one of the worker's few prefetch slots, and be redelivered.
            for tag in set(self.qos._delivered or ()) - before:
                self.qos.ack(tag)
            return None


class Transport(redis.Transport):
    Channel = Channel


def register_transport() -> None:
    """Make kombu use this transport for redis:// and rediss:// URLs."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = "flashsale.broker:Transport"
