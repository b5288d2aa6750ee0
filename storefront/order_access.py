"""Who may open an order: its shopper, by the cookie; and who has its link, on any device."""

from collections.abc import Sequence
from uuid import UUID

from django.http import HttpRequest
from django.http.cookie import parse_cookie

from flashsale.http import proofs
from flashsale.http.request import Request
from orders import order_links
from orders.models import Order
from storefront.cookies import cookies_of

KEY_COOKIE = "order-key"
_KEPT_FOR = 24 * 3600  # seconds


def may_open(request: HttpRequest, order: UUID, shopper: UUID) -> bool:
    """Whether the browser may see the order, which is `shopper`'s."""
    return is_shopper(request, shopper) or has_key(request, order)


def is_shopper(request: HttpRequest, shopper: UUID) -> bool:
    """Whether the browser is that shopper's own, now or before its person signed in. Only then may it see
    more of them than one order."""
    return shopper in proofs.own_shoppers(cookies_of(request), request.is_secure())


def former_for_cookie(former: Sequence[UUID]) -> tuple[UUID, ...]:
    """Of a person's former ids, newest first, those that a cookie has room for: with orders before those
    without, which a browser gets each time that its shopper signs out. Blocks."""
    buyers = Order.objects.filter(shopper__in=former).values_list("shopper", flat=True).distinct()
    bought = set(buyers) if former else set()
    return tuple(sorted(former, key=lambda shopper: shopper not in bought)[: proofs.MOST_FORMER])


def has_key(request: Request | HttpRequest, order: UUID) -> bool:
    """Whether the browser has come by the order's link before."""
    if isinstance(request, Request):
        header = request.header(b"cookie")
    else:
        header = request.headers.get("Cookie", "")
    return KEY_COOKIE in header and order_links.opens(
        order, parse_cookie(header).get(KEY_COOKIE, "")
    )


def cookie_for(order: UUID, key: str, secure: bool) -> str:
    """The value of the `Set-Cookie` header that keeps the key of an order's link: it opens one order, and
    ties nothing else to the device. "" for a key that does not open it."""
    if not order_links.opens(order, key):
        return ""
    attributes = f"; Path=/orders/{order}/; Max-Age={_KEPT_FOR}; HttpOnly; SameSite=Lax"
    return f"{KEY_COOKIE}={key}{attributes}{'; Secure' if secure else ''}"
