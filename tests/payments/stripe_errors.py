"""Errors of the fake of Stripe, as it words them."""

from typing import Any

Object = dict[str, Any]


class ApiError(Exception):
    """An error as Stripe words it."""

    def __init__(
        self, status: int, code: str, message: str, param: str = "", kind: str = ""
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.param = status, code, message, param
        self.kind = kind or "invalid_request_error"

    def body(self) -> Object:
        error = {"type": self.kind, "message": self.message}
        error |= {"code": self.code} if self.code else {}
        return {"error": error | ({"param": self.param} if self.param else {})}
