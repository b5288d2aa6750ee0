"""The shop's side of the drills' bank (`drills/bank.py`): a provider as any other.

Only the settings of a drill's own shop (`drills/bank_settings.py`) put it in the demo provider's place.
"""

import hmac
import http.client
import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from drills.bank import SECRET, SIGNATURE, URL, sign
from payments.providers.base import (
    Busy,
    Event,
    Forged,
    NoAnswer,
    Order,
    Provider,
    RefundSeen,
    Refused,
    Seen,
    Stage,
    Started,
)

_PATIENCE = 3.0  # seconds


def make() -> Provider:
    return BankClient(os.environ[URL], os.environ[SECRET])


class BankClient:
    name = "demo"
    label = "The drill's bank"

    def __init__(self, url: str, secret: str) -> None:
        self._url, self._secret = url, secret

    def start(self, order: Order) -> Started:
        asked = {"amount": order.amount, "currency": order.currency, "back": order.back}
        reference = self._call("start", key=order.key, **asked)["reference"]
        return Started(reference, f"{self._url}/pay/{reference}")

    def fetch(self, reference: str) -> Seen:
        return _seen(self._call("fetch", reference=reference))

    def capture(self, reference: str, amount: int, currency: str, key: str) -> Seen:
        asked = {"amount": amount, "currency": currency, "key": key}
        return _seen(self._call("capture", reference=reference, **asked))

    def void(self, reference: str, key: str) -> Seen:
        return _seen(self._call("void", reference=reference, key=key))

    def refund(self, reference: str, amount: int, currency: str, key: str) -> RefundSeen:
        answer = self._call("refund", reference=reference, amount=amount, key=key)
        return RefundSeen(answer["reference"], done=True)

    def fetch_refund(self, reference: str, refund: str) -> RefundSeen:
        self._call("fetch_refund", reference=reference, refund=refund)
        return RefundSeen(refund, done=True)

    def read_event(self, body: bytes, headers: Mapping[str, str]) -> Event:
        if not hmac.compare_digest(headers.get(SIGNATURE, ""), sign(self._secret, body)):
            raise Forged("not signed by the bank")
        told = json.loads(body)
        return Event(told["id"], "payment", told["payment"], told["key"])

    def _call(self, name: str, **asked: object) -> dict[str, Any]:
        request = urllib.request.Request(f"{self._url}/{name}", json.dumps(asked).encode())  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=_PATIENCE) as answer:  # noqa: S310
                return dict(json.load(answer))
        except urllib.error.HTTPError as error:
            if error.code == 429:
                raise Busy("too many calls") from error
            if error.code >= 500:
                raise NoAnswer(f"HTTP {error.code}") from error
            raise Refused(str(json.load(error).get("error"))) from error
        except (OSError, http.client.HTTPException) as error:
            raise NoAnswer(type(error).__name__) from error


def _seen(answer: dict[str, Any]) -> Seen:
    return Seen(Stage(answer["state"]), answer["amount"], answer["currency"])
