"""All answers to a click: the gate's code, the HTTP status, the code for programs, the counter.

`docs/purchase-path.md` has the same table in words and says how to add a row.
`tests/test_click_answers.py` compares it with every file that repeats a part of it.
"""

from enum import Enum


class ClickAnswer(Enum):
    """One answer to a click. Pages that cannot be shown give some of these answers, too.

    `code` is the code in JSON and of the text in `templates/storefront/_message_text.html`. `status` is the
    HTTP status. `counted` is one of `telemetry.ANSWERS`. `retry` is true if the answer leaves the
    ticket unused: it may still buy. `gate_codes` are the codes and reasons in `lua/admit.lua` that
    lead to this answer.
    """

    # The purchase is in the line. If the ticket comes again, the answer is KNOWN.
    QUEUED = "queued", 202, "accepted", False, "queued"
    # JSON has the purchase's status as its code. While that is "queued", the HTTP status is 202.
    KNOWN = "known", 200, "repeated", False, "known"

    SOLD_OUT = "sold_out", 409, "sold_out", True, "sold_out"
    NOT_ENOUGH = "not_enough", 409, "sold_out", True, "not_enough"
    PAUSED = "paused", 409, "closed", True, "paused"
    NOT_OPEN = "not_open", 409, "closed", True, "not_open"
    CLOSED = "closed", 409, "closed", True, "closed"
    # A draw: one entry each, and none any more once it has begun.
    ENTERED = "entered", 409, "limit", True, "entered"
    DRAWING = "drawing", 409, "closed", True, "drawing"
    LIMIT = "limit", 409, "limit", True, "limit"
    NETWORK = "network", 409, "limit", True, "network"
    # The form showed something else than is sold now. Its ticket stays bound to that.
    CHANGED = "changed", 409, "changed", False, "changed"
    RATE_LIMITED = "rate_limited", 429, "rate", True, "rate_limited"

    PRODUCT = "product", 422, "invalid", True, "product"
    QUANTITY = "quantity", 422, "invalid", True, "quantity"
    TICKET_REUSED = "ticket_reused", 422, "invalid", False, "reused"
    TICKET = "ticket", 403, "invalid", False, "foreign"
    # The browser sent no cookie with the form: the shop cannot know whose ticket it is.
    COOKIES = "cookies", 403, "invalid", True

    # The sale is for people who have proven something. The answer leads to the page where they can.
    SIGN_IN = "sign_in", 403, "entry", True
    NO_CODE = "no_code", 403, "entry", True

    # A gate that is not ready is busy, except if the sale is finished: then PostgreSQL has the answer.
    BUSY = "busy", 503, "error", True, "busy", "corrupt", "not_ready"
    # The gate's reply was lost: the purchase may be in the line.
    UNKNOWN = "unknown", 503, "error", True

    # The request is not a click: the gate was not asked.
    NOT_FOUND = "not_found", 404, "invalid", False
    METHOD = "method", 405, "invalid", True
    CONTENT_TYPE = "content_type", 415, "invalid", True
    TOO_LARGE = "too_large", 413, "invalid", True
    BODY = "body", 422, "invalid", True
    ORIGIN = "origin", 403, "invalid", True
    INSECURE = "insecure", 403, "invalid", True

    def __init__(self, code: str, status: int, counted: str, retry: bool, *gate_codes: str) -> None:
        self.code = code
        self.status = status
        self.counted = counted
        self.retry = retry
        self.gate_codes = gate_codes


BY_GATE_CODE = {code: answer for answer in ClickAnswer for code in answer.gate_codes}
