"""Celery's transport over Redis, that survives what it cannot read.

kombu's own lets whatever a message stumbles over end the whole worker: one message that is no JSON, or
whose body is text where bytes are meant, would stop all settling.
"""

import logging
from typing import Any

from kombu.exceptions import KombuError
from kombu.transport import TRANSPORT_ALIASES, redis

log = logging.getLogger(__name__)

_UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, AssertionError, KombuError)


class Channel(redis.Channel):
    """Drops a message that cannot be read, and says so."""

    def _brpop_read(self, **options: Any) -> Any:
        before = set(self.qos._delivered or ())
        try:
            return super()._brpop_read(**options)  # type: ignore[misc]  # not in the stubs
        except self.connection_errors:  # type: ignore[attr-defined]  # not in the stubs
            raise
        except _UNREADABLE as error:
            log.critical("a message in Celery's queue cannot be read and is dropped: %r", error)
            # Else it would take a place among the few that a worker has in hand, and come again.
            for tag in set(self.qos._delivered or ()) - before:
                self.qos.ack(tag)
            return None


class Transport(redis.Transport):
    Channel = Channel


def use() -> None:
    """From now on, URLs of Redis mean this transport."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = "flashsale.broker:Transport"
