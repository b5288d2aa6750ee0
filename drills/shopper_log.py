"""The log of one simulated shopper: page loads, replies to clicks, updates about purchases.

`drills/log_check.py` compares logs with PostgreSQL, `drills/report.py` counts them. All times are of the
monotonic clock, in seconds.
"""

from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from inventory.click_answers import ClickAnswer

LOST, LEFT = "lost", "left"  # no reply arrived; the shopper closed the connection before it
WAITING = "waiting"  # for a draw, or on standby: shoppers who do not stay for it hear no more
FINAL = ("waiting", "held", "confirmed", "rejected", "expired", "cancelled")
STATUSES = ("queued", *FINAL)
SOCKET, ASKED, CLICKED = "socket", "asked", "clicked"  # how a shopper learned a status


class Reply(NamedTuple):
    """The reply to one click."""

    form: str  # the purchase of its ticket; "" for a forged ticket or none
    sent: float
    took: float
    status: int  # HTTP; 0: no reply
    code: str  # as in the contract of `buy`; or LOST, LEFT
    wait: float = 0.0  # Retry-After, in seconds
    purchase: str = ""  # the purchase that the reply names
    became: str = ""  # and its status
    reason: str | None = None
    malformed: bool = False  # the shop's pages never send such a request

    @property
    def accepted(self) -> bool:
        positive = self.status in (200, 202) or self.code == ClickAnswer.TICKET_REUSED.code
        return positive and self.purchase != ""

    @property
    def unsure(self) -> bool:
        """Whether the purchase may be in the line although no reply confirmed it."""
        return self.code in (LOST, LEFT, ClickAnswer.UNKNOWN.code)


class Update(NamedTuple):
    """A purchase's status, as the shopper learned it."""

    purchase: str
    status: str
    reason: str | None  # None: not given
    how: str  # SOCKET, ASKED or CLICKED
    asked: float  # when the question was sent; for a socket, when its frame arrived
    at: float


@dataclass
class Log:
    """Everything that one shopper experienced."""

    habit: str = ""
    shopper: UUID | None = None
    pages: list[float] = field(default_factory=list)  # seconds that each page took
    pages_lost: int = 0
    page_error: str = ""  # why the latest lost page did not load
    sent: dict[str, set[tuple[str, str]]] = field(default_factory=dict)  # sku and units by form
    clicked: dict[str, float] = field(default_factory=dict)  # time of the accepted click, by form
    replies: list[Reply] = field(default_factory=list)
    accepted: set[str] = field(default_factory=set)
    forgotten: set[str] = field(default_factory=set)  # accepted, and unknown to the shop later
    updates: list[Update] = field(default_factory=list)
    # The first final update of each purchase; one that waits may get another.
    final: dict[str, Update] = field(default_factory=dict)
    sockets_opened: int = 0
    sockets_refused: int = 0
    sockets_lost: int = 0

    def record_reply(self, reply: Reply) -> None:
        self.replies.append(reply)
        if reply.accepted:
            self.accepted.add(reply.purchase)

    def record_update(self, update: Update) -> None:
        self.updates.append(update)
        if update.status in FINAL:
            known = self.final.get(update.purchase)
            if known is None or known.status == WAITING != update.status:
                self.final[update.purchase] = update

    def record_lost_page(self, error: str) -> None:
        self.pages_lost += 1
        self.page_error = error
