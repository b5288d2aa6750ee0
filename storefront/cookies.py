"""The shopper's cookies in answers of Django's."""

from django.http import HttpRequest, HttpResponse

from flashsale.http import shoppers


def cookies_of(request: HttpRequest) -> dict[str, str]:
    """The cookies as the express lane reads them. Empty if the shopper's is not among them."""
    return shoppers.parse_cookies(request.headers.get("Cookie", ""), request.is_secure())


def set_cookie(response: HttpResponse, cookie: str) -> None:
    """Add the value of a `Set-Cookie` header. Django's own way would put quotes around some values, and
    a dictionary of headers has only one of a name."""
    pair, *attributes = cookie.split("; ")
    name, _, value = pair.partition("=")
    response.cookies[name] = value
    morsel = response.cookies[name]
    morsel.set(name, value, value)
    for attribute in attributes:
        key, _, setting = attribute.partition("=")
        morsel[key] = setting or True
