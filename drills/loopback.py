"""Loopback addresses to come from: a shop on this machine sees each as another client.

Linux answers for the whole of 127.0.0.0/8. Elsewhere only 127.0.0.1 exists.
"""

import socket

PEOPLE, BOTS = 64, 32  # the second part of their first addresses
_PART = 250


def address(group: int, number: int) -> str:
    """The address of a client, from 0 on."""
    third, fourth = divmod(number, _PART)
    second, third = divmod(third, _PART)
    return f"127.{group + second}.{third}.{fourth + 1}"


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
