"""What a shopper has proven, in signed cookies beside the shopper's own: no session and no look-up.

A proof is bound to the shopper's id: in another shopper's browser it is worth nothing. That of an e-mail
address also names the ids that the person's browsers had before they signed in: their orders are the
person's, too.
"""

import base64
import re
from collections.abc import Mapping, Sequence
from uuid import UUID

from flashsale.http import shoppers, signing
from flashsale.http.shoppers import KEPT_FOR

MOST_FORMER = 4  # ids in a cookie, the newest first; the list of orders has the others, too
_ID = 16
_SALE = 4  # bytes of a sale's number, as in a ticket
_MOMENT = 6  # bytes of a time in ms since 1970
_VERIFIED = re.compile(r"\A([A-Za-z0-9_-]{22,108})~[0-9]{1,6}\.[0-9a-f]{6}\Z")
_CODE = re.compile(r"\A[A-Za-z0-9_-]{30}\Z")


# --- A verified e-mail address --------------------------------------------------------------------


def verified_name(secure: bool) -> str:
    return "__Host-verified" if secure else "verified"


def verified_value(shopper: UUID, former: Sequence[UUID] = ()) -> str:
    """Of a shopper whose e-mail address was verified; `former` are ids that are theirs as well."""
    ids = b"".join(each.bytes for each in former[:MOST_FORMER])
    signature = signing.sign("verified", shopper.bytes + ids)
    return f"{_encode(signature + ids)}~{shoppers.stamp_now()}"


def former_in(cookies: Mapping[str, str], shopper: UUID, secure: bool) -> tuple[UUID, ...] | None:
    """The former ids of a shopper whose e-mail address was verified; None if none was."""
    found = _VERIFIED.match(cookies.get(verified_name(secure), ""))
    raw = _decode(found[1]) if found else b""
    signature, ids = raw[: signing.LENGTH], raw[signing.LENGTH :]
    if not found or len(ids) % _ID:
        return None
    if not signing.is_signed("verified", shopper.bytes + ids, signature):
        return None
    return tuple(UUID(bytes=ids[at : at + _ID]) for at in range(0, len(ids), _ID))


def own_shoppers(cookies: Mapping[str, str], secure: bool) -> tuple[UUID, ...]:
    """The ids whose orders a browser's cookies open: the shopper's, and the former ones of a person who
    has signed in. None without a shopper's cookie."""
    shopper = shoppers.shopper_of(cookies, secure)
    if shopper is None:
        return ()
    return (shopper, *(former_in(cookies, shopper, secure) or ()))


def renew_verified(cookies: Mapping[str, str], secure: bool) -> str | None:
    """Like `shoppers.renew_cookie`, for the proof."""
    value = cookies.get(verified_name(secure))
    if value is None or value.endswith(shoppers.stamp_now()):
        return None
    shopper = shoppers.shopper_of(cookies, secure)
    former = former_in(cookies, shopper, secure) if shopper else None
    if shopper is None or former is None:
        return None
    return set_verified(shopper, former, secure)


def set_verified(shopper: UUID, former: Sequence[UUID], secure: bool) -> str:
    """The value of the `Set-Cookie` header of the proof."""
    return _set(verified_name(secure), verified_value(shopper, former), KEPT_FOR, secure)


def forget(cookies: Mapping[str, str], secure: bool) -> list[str]:
    """The values of `Set-Cookie` headers that take from a browser what names its shopper, beside the
    shopper's own cookie, which another one replaces."""
    prefix = f"{shoppers.cookie_name(secure)}-"
    names = [name for name in cookies if name.startswith(prefix) or name == verified_name(secure)]
    return [_set(name, "", 0, secure) for name in names]


def _set(name: str, value: str, kept_for: int, secure: bool) -> str:
    return f"{name}={value}; Max-Age={kept_for}{shoppers.cookie_attributes(secure)}"


# --- An access code -------------------------------------------------------------------------------


def code_name(sale: int, secure: bool) -> str:
    return f"__Host-code-{sale}" if secure else f"code-{sale}"


def code_value(shopper: UUID, sale: int, opens_at: int) -> str:
    """Of a shopper whose access code opens the sale at `opens_at`, in ms since 1970."""
    moment = opens_at.to_bytes(_MOMENT, "big")
    return _encode(moment + signing.sign("access-code", _bound(shopper, sale) + moment))


def code_opens_at(cookies: Mapping[str, str], shopper: UUID, sale: int, secure: bool) -> int | None:
    """When the shopper's access code opens the sale, in ms since 1970; None without a code of it."""
    value = cookies.get(code_name(sale, secure), "")
    if not _CODE.match(value):
        return None
    raw = _decode(value)
    moment, signature = raw[:_MOMENT], raw[_MOMENT:]
    if not signing.is_signed("access-code", _bound(shopper, sale) + moment, signature):
        return None
    return int.from_bytes(moment, "big")


def set_code(shopper: UUID, sale: int, opens_at: int, kept_for: int, secure: bool) -> str:
    """The value of the `Set-Cookie` header of the proof; `kept_for` are seconds."""
    name, value = code_name(sale, secure), code_value(shopper, sale, opens_at)
    return _set(name, value, kept_for, secure)


def _bound(shopper: UUID, sale: int) -> bytes:
    return shopper.bytes + sale.to_bytes(_SALE, "big")


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    """b"" for a length that no bytes have."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)) if len(text) % 4 != 1 else b""
