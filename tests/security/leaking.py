"""A web process in which a checkout fails once its contact is saved, and a look at a contact as well:
`python -m tests.security.leaking --fd N`."""

from typing import Any, NoReturn

from flashsale import web


def stumble(*_: Any, **__: Any) -> NoReturn:
    raise RuntimeError("a fault of ours")


if __name__ == "__main__":
    from flashsale import asgi  # sets Django up

    # isort: split
    from dashboard import order_contact
    from storefront import checkout

    assert asgi
    vars(checkout)["confirm_hold"] = stumble
    order_contact.as_lines = stumble
    web.main()
