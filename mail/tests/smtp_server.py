"""A mail server over SMTP that refuses, hangs, hangs up or dies on demand."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, cast

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session


@dataclass
class MailServer:
    """`taken` are the mails that it has accepted. The others say what it answers, "" for yes."""

    host: str = "127.0.0.1"
    port: int = 0
    taken: list[EmailMessage] = field(default_factory=list)
    refuse: dict[str, str] = field(default_factory=dict)  # RCPT, by address
    refuse_data: str = ""
    hang_up_after_data: bool = False  # it has taken the mail, and its answer is lost
    hangs: bool = False
    sessions: int = 0

    async def handle_EHLO(  # aiosmtpd's name
        self,
        server: SMTP,
        session: Session,
        envelope: Envelope,
        hostname: str,
        responses: list[str],
    ) -> list[str]:
        self.sessions += 1
        session.host_name = hostname
        return responses

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: Any
    ) -> str:
        if self.hangs:
            await asyncio.get_running_loop().create_future()  # never answers
        if refusal := self.refuse.get(address):
            return refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.refuse_data:
            return self.refuse_data
        assert isinstance(envelope.content, bytes)
        self.taken.append(message_from_bytes(envelope.content, policy=policy.default))
        if self.hang_up_after_data:
            cast(Any, server.transport).abort()
        return "250 OK"


@contextmanager
def running(port: int = 0) -> Iterator[MailServer]:
    server = MailServer()
    controller = Controller(server, hostname=server.host, port=port or free_port())
    server.port = controller.port
    controller.start()
    try:
        yield server
    finally:
        controller.stop()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as door:
        return int(door.getsockname()[1])
