"""Answers that several endpoints share."""

from uuid import UUID

from flashsale.http import shoppers
from flashsale.http.request import Request
from flashsale.http.response import Header, Response, json_response
from inventory.click_answers import ClickAnswer
from storefront import fragments

RETRY = (b"retry-after", b"1")


def cookie_for(request: Request, shopper: UUID) -> Header:
    return b"set-cookie", shoppers.set_cookie(shopper, request.secure).encode()


def failure(request: Request, answer: ClickAnswer, *headers: Header, said: str = "") -> Response:
    """What is wrong, in the shape that was asked for; to people in the words of `said`, where these are
    others than the code's."""
    status = answer.status
    if request.wants_json:
        return json_response(status, {"error": answer.code}, *headers)
    code = said or answer.code
    if request.from_htmx:
        return Response(status, fragments.notice(code, request.language).encode(), headers=headers)
    page = fragments.message_page(code, request.language, status)
    return Response(status, page, headers=headers)
