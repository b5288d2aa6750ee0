"""Loopback addresses to come from: a shop on this machine sees each as another client.

Linux answers for the whole of 127.0.0.0/8. Elsewhere only 127.0.0.1 exists.
"""

import socket

PEOPLE, BOTS = 64, 32  # the second part of their addresses
MOST = 250 * 250


def address(group: int, number: int) -> str:
    """The address of a client, from 0 to MOST - 1."""
    return f"127.{group}.{number // 250}.{number % 250 + 1}"


def require_addresses() -> None:
    """Raises SystemExit if this machine has only one loopback address."""
    with socket.socket() as probe:
        try:
            probe.bind((address(BOTS, 0), 0))
        except OSError as error:
            raise SystemExit(
                f"This machine has no address {address(BOTS, 0)}, so all clients would have the same one."
                " Linux has it."
            ) from error
