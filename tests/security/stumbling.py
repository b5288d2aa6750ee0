"""A web process in which a click and the list of orders stumble over a fault of ours:
`python -m tests.security.stumbling --fd N`."""

from typing import Any, NoReturn

from flashsale import web


def stumble(*_: Any, **__: Any) -> NoReturn:
    raise RuntimeError("a fault of ours")


if __name__ == "__main__":
    from flashsale import asgi  # sets Django up
    from inventory.gate import admission
    from storefront import views

    assert asgi
    admission.admit = stumble
    views._page_of_orders = stumble
    web.main()
