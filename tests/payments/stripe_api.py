"""Stripe's API as the fake speaks it: endpoints, parameters, idempotency keys, faults."""

import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from tests.payments.stripe_books import Books
from tests.payments.stripe_errors import ApiError, Object
from tests.payments.stripe_faults import ACTS, TWISTS, Faults
from tests.payments.stripe_shapes import PARAMETERS, unknown_parameters

ROUTES = [
    ("POST", r"/v1/checkout/sessions", "create_session"),
    ("GET", r"/v1/checkout/sessions/(\w+)", "retrieve_session"),
    ("POST", r"/v1/checkout/sessions/(\w+)/expire", "expire_session"),
    ("POST", r"/v1/payment_intents/(\w+)/capture", "capture_intent"),
    ("POST", r"/v1/payment_intents/(\w+)/cancel", "cancel_intent"),
    ("POST", r"/v1/refunds", "create_refund"),
    ("GET", r"/v1/refunds", "list_refunds"),
    ("GET", r"/v1/refunds/(\w+)", "retrieve_refund"),
]
_LISTS = re.compile(r"\d+")


class Lost(Exception):
    """The connection breaks without an answer."""


@dataclass
class Answer:
    status: int
    body: bytes
    replayed: bool = False


@dataclass
class _Kept:
    request: tuple[str, str]
    answer: Answer | None = None


@dataclass
class Api:
    books: Books
    faults: Faults
    key: str
    calls: list[tuple[str, str]] = field(default_factory=list)  # endpoint and idempotency key
    _kept: dict[str, _Kept] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, method: str, path: str, text: str, headers: dict[str, str]) -> Answer:
        """Answer a call. Raises Lost where the fault is that nothing comes back."""
        if headers.get("authorization") != f"Bearer {self.key}":
            shown = headers.get("authorization", "").removeprefix("Bearer ")[-4:]
            return _error(ApiError(401, "", f"Invalid API Key provided: ****{shown}"))
        endpoint, reference = _route(method, path)
        if not endpoint:
            return _error(ApiError(404, "", f"Unrecognized request URL ({method}: {path})."))
        key = headers.get("idempotency-key", "")
        self.calls.append((endpoint, key))
        fault = self.faults.take(endpoint)
        self._before(fault)
        if fault == "busy":
            return _error(ApiError(429, "lock_timeout", "Too many requests."))
        if fault == "in_use":
            return _error(ApiError(409, "idempotency_key_in_use", "Under way.", "", "api_error"))
        act = self._act(endpoint, reference, nested(text), fault)
        answer = self._once(key, (path, text), act) if method == "POST" else act()
        self._after(fault)
        return answer

    def _before(self, fault: str) -> None:
        if fault == "hang_before":
            self.faults.hang()
        if fault in ("hang_before", "drop_before"):
            raise Lost

    def _after(self, fault: str) -> None:
        if fault == "hang_after":
            self.faults.hang()
        if fault in ("hang_after", "drop_after"):
            raise Lost
        if fault == "delay":
            self.faults.dawdle()

    def _once(self, key: str, request: tuple[str, str], act: Callable[[], Answer]) -> Answer:
        """Act once for a key: keep whatever comes of it, a 500 included, and repeat that."""
        with self._lock:
            kept = self._kept.get(key)
            if kept is None:
                kept = self._kept[key] = _Kept(request)
            elif kept.request != request:
                message = "Keys for idempotent requests can only be used with the same parameters."
                return _error(ApiError(400, "", message, "", "idempotency_error"))
            elif kept.answer is None:
                return _error(ApiError(409, "idempotency_key_in_use", "Under way."))
            else:
                return Answer(kept.answer.status, kept.answer.body, replayed=True)
        kept.answer = act()
        if b'"parameter_' in kept.answer.body:
            del self._kept[key]  # refused before it was executed
        return kept.answer

    def forget_keys(self) -> None:
        """As Stripe may after a day."""
        with self._lock:
            self._kept.clear()

    def _act(
        self, endpoint: str, reference: str, params: Object, fault: str
    ) -> Callable[[], Answer]:
        def act() -> Answer:
            if fault.startswith("error") and not ACTS[fault]:
                return _broken()
            with self.books.lock:
                try:
                    done = self._perform(endpoint, reference, params, fault)
                except ApiError as error:
                    return _error(error)
                except KeyError as error:
                    return _error(ApiError(400, "parameter_missing", f"Missing: {error}."))
                body = json.dumps(self.shown(done, params.get("expand", []))).encode()
            return _broken() if fault == "error_after" else Answer(200, body)

        return act

    def _perform(self, endpoint: str, reference: str, params: Object, fault: str) -> Object:
        params = {name: value for name, value in params.items() if name != "expand"}
        unknown = list(unknown_parameters(params, PARAMETERS.get(endpoint, dict)))
        if unknown:
            message = f"Received unknown parameter: {unknown[0]}"
            raise ApiError(400, "parameter_unknown", message, unknown[0])
        if endpoint == "retrieve_session":
            return self.books.session(reference)
        if endpoint == "retrieve_refund":
            return self.books.find(reference, "refund")
        if endpoint in ("create_session", "create_refund", "list_refunds"):
            made: Object = getattr(self.books, endpoint)(params)
            return made
        twist = (fault,) if fault in TWISTS and endpoint == "capture_intent" else ()
        changed: Object = getattr(self.books, endpoint)(reference, params, *twist)
        return changed

    def shown(self, thing: Object, expand: list[str]) -> Object:
        """The object as it is sent: without the fake's own notes, with what the caller wants expanded."""
        shown = {name: value for name, value in thing.items() if not name.startswith("_")}
        for path in expand:
            name, _, rest = path.partition(".")
            inner = self.books.objects.get(shown.get(name) or "")
            if inner:
                shown[name] = self.shown(inner, [rest] if rest else [])
        return shown


def _route(method: str, path: str) -> tuple[str, str]:
    for verb, pattern, endpoint in ROUTES:
        found = re.fullmatch(pattern, path)
        if found and verb == method:
            return endpoint, found.group(1) if found.groups() else ""
    return "", ""


def nested(text: str) -> Object:
    """Read a[b][0]=c as Stripe does."""
    root: Object = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        *path, last = re.findall(r"[^\[\]]+", name)
        at = root
        for part in path:
            at = at.setdefault(part, {})
        at[last] = value
    return {name: _listed(value) for name, value in root.items()}


def _listed(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if value and all(_LISTS.fullmatch(name) for name in value):
        return [_listed(inner) for _, inner in sorted(value.items(), key=lambda pair: int(pair[0]))]
    return {name: _listed(inner) for name, inner in value.items()}


def _error(error: ApiError) -> Answer:
    return Answer(error.status, json.dumps(error.body()).encode())


def _broken() -> Answer:
    return _error(ApiError(500, "", "An error occurred.", "", "api_error"))
