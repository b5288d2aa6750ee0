"""Who may open an order: its shopper, by the cookie; and who has its link, on any device."""

from uuid import UUID

from django.http import HttpRequest
from django.http.cookie import parse_cookie

from flashsale.http import shoppers
from flashsale.http.request import Request
from orders import order_links

KEY_COOKIE = "order-key"
_KEPT_FOR = 24 * 3600  # seconds


def may_open(request: Request | HttpRequest, order: UUID, shopper: UUID) -> bool:
    """Whether the browser may see the order, which is `shopper`'s."""
    return is_shopper(request, shopper) or has_key(request, order)


def is_shopper(request: Request | HttpRequest, shopper: UUID) -> bool:
    """Whether the browser is that shopper's own. Only then may it see more of them than one order."""
    header, secure = _cookies(request)
    return shoppers.shopper_of(shoppers.parse_cookies(header, secure), secure) == shopper


def has_key(request: Request | HttpRequest, order: UUID) -> bool:
    """Whether the browser has come by the order's link before."""
    header, _ = _cookies(request)
    return KEY_COOKIE in header and order_links.opens(
        order, parse_cookie(header).get(KEY_COOKIE, "")
    )


def key_cookie(order: UUID, key: str, secure: bool) -> str:
    """The value of the `Set-Cookie` header that opens one order, and ties nothing else to the device."""
    attributes = f"; Path=/orders/{order}/; Max-Age={_KEPT_FOR}; HttpOnly; SameSite=Lax"
    return f"{KEY_COOKIE}={key}{attributes}{'; Secure' if secure else ''}"


def _cookies(request: Request | HttpRequest) -> tuple[str, bool]:
    """The Cookie header, and whether the connection is HTTPS."""
    if isinstance(request, Request):
        return request.header(b"cookie"), request.secure
    return request.headers.get("Cookie", ""), request.is_secure()
