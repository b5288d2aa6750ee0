"""The staff of the tests: who may do what, and how they are known to a server."""

from collections.abc import Iterable
from itertools import count

from django.conf import settings
from django.contrib.auth.models import Permission, User
from django.test import Client

LOOKS = ("inventory.watch_sales",)
RUNS = (*LOOKS, "inventory.run_sales")
CORRECTS = (*RUNS, "inventory.correct_stock")

_numbers = count(1)


def employ(permissions: Iterable[str] = (), *, is_staff: bool = True) -> User:
    """A user with these permissions, and without a password: that would take long to hash."""
    user = User.objects.create_user(f"anna-{next(_numbers)}", is_staff=is_staff)
    for permission in permissions:
        app, codename = permission.split(".")
        user.user_permissions.add(
            Permission.objects.get(content_type__app_label=app, codename=codename)
        )
    return user


def browser_of(user: User | None) -> Client:
    """A browser in which this user is logged in; of a stranger for None."""
    browser = Client(SERVER_NAME="localhost")
    if user is not None:
        browser.force_login(user)
    return browser


def session_of(user: User) -> str:
    """The `Cookie` header of a browser in which this user is logged in."""
    browser = browser_of(user)
    return f"{settings.SESSION_COOKIE_NAME}={browser.cookies[settings.SESSION_COOKIE_NAME].value}"
