"""Links that open one order on any device: its id and a signature, and nothing else of the shopper."""

import base64
from uuid import UUID

from django.conf import settings

from flashsale.http import signing

_PURPOSE = "order-link"


def key_of(order: UUID) -> str:
    """The key of an order's link: 22 characters for an address."""
    signature = signing.sign(_PURPOSE, order.bytes)
    return base64.urlsafe_b64encode(signature).rstrip(b"=").decode()


def opens(order: UUID, key: str) -> bool:
    """Whether `key` is the order's, of the present secret key or of a former one."""
    try:
        signature = base64.urlsafe_b64decode(key + "==")
    except ValueError:
        return False
    return len(key) == 22 and signing.is_signed(_PURPOSE, order.bytes, signature)


def link_to(order: UUID, page: str = "") -> str:
    """The address that is mailed; `page` is "" for the order, or "checkout/"."""
    return f"{settings.SITE_URL.rstrip('/')}/orders/{order}/{page}?key={key_of(order)}"
