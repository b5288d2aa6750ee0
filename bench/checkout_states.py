"""The states from a held order to its parcel that `bench/pictures.py` shows. Each begins with the click of
a new shopper, so that none depends on another."""

from typing import TYPE_CHECKING
from uuid import UUID

from bench.page_states import (
    DESKTOP,
    PHONE,
    STAFF,
    State,
    buy,
    create_staff,
    find_answer,
    get_sale,
    open_as_staff,
    visit,
)
from drills.private_shop import wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Page

_SALE, _LANTERN = "harbour-lanterns", "Harbour storm lantern"
_FIELDS = {
    "E-mail address": "anna@example.com",
    "First and last name": "Anna Müller",
    "Street and house number": "Hafenstraße 12",
    "Postcode": "20457",
    "City": "Hamburg",
}
_PARCEL = "00340434161094042557"


def show_sale(page: "Page") -> None:
    visit(page, _SALE, "open")


def show_held(page: "Page") -> None:
    show_sale(page)
    buy(page, _LANTERN)
    find_answer(page, "held").get_by_role("link", name="Your order").click()
    page.wait_for_url("**/orders/*/")
    find_answer(page, "held").locator(".left").wait_for()


def show_filled_in(page: "Page") -> None:
    go_to_checkout(page)
    fill_in(page, _FIELDS)
    page.get_by_label("I accept the terms").check()
    leave_fields(page)


def show_errors(page: "Page") -> None:
    go_to_checkout(page)
    fill_in(page, _FIELDS | {"E-mail address": "anna@example", "Postcode": "2045"})
    press_pay(page)
    page.get_by_role("alert").wait_for()


def show_card_page(page: "Page") -> None:
    show_filled_in(page)
    press_pay(page)
    page.get_by_role("heading", name="What else can happen").wait_for()


def show_paid(page: "Page") -> None:
    show_card_page(page)
    page.get_by_role("button", name="Pay", exact=True).click()
    page.wait_for_url("**/orders/*/")
    find_answer(page, "confirmed").wait_for()


def show_mail(page: "Page") -> None:
    show_paid(page)
    subject = f"Order {page.locator('h1 .reference').inner_text()} is confirmed"
    wait_for_mail(subject)
    open_as_staff(page, "/dashboard/mails/")
    page.get_by_role("link", name=subject, exact=True).click()
    page.wait_for_url("**/html/")


def show_fulfilment(page: "Page") -> None:
    show_paid(page)
    open_as_staff(page, f"/dashboard/sales/{get_sale(_SALE).pk}/fulfilment/")


def show_in_admin(page: "Page") -> None:
    show_paid(page)
    open_as_staff(page, f"/admin/orders/order/{order_on(page)}/change/")


def show_shipped(page: "Page") -> None:
    show_paid(page)
    ship(order_on(page))
    wait_for(lambda: shows_parcel(page), seconds=120)


# --- Steps ----------------------------------------------------------------------------------------


def go_to_checkout(page: "Page") -> None:
    """Buy a lantern, and choose Germany."""
    show_sale(page)
    buy(page, _LANTERN)
    find_answer(page, "held").get_by_role("link", name="Go to checkout").click()
    page.wait_for_url("**/checkout/")  # waits for the scripts, too
    page.get_by_label("Country").select_option("DE")
    page.locator("[name=shown][value=DE]").wait_for(state="attached")


def fill_in(page: "Page", fields: dict[str, str]) -> None:
    for label, text in fields.items():
        page.get_by_label(label, exact=True).fill(text)


def order_on(page: "Page") -> UUID:
    """The order whose page is shown."""
    return UUID(page.url.rstrip("/").rpartition("/")[2])


def wait_for_mail(subject: str) -> None:
    from mail import folder

    wait_for(lambda: any(kept.subject == subject for kept in folder.list_mails(10)))


def ship(order: UUID) -> None:
    from orders import shipping

    url = f"https://parcels.example/{_PARCEL}"
    shipping.mark_shipped(order, carrier="DHL", number=_PARCEL, url=url, by=STAFF)


def shows_parcel(page: "Page") -> bool:
    """Pages ask for no parcel in an order's first minute."""
    page.wait_for_timeout(1000)
    page.reload()
    return page.get_by_text(_PARCEL).is_visible()


def leave_fields(page: "Page") -> None:
    """Show no cursor, and the page from its top."""
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")


def press_pay(page: "Page") -> None:
    page.get_by_role("button", name="Pay €89.00").click()


_LIGHT_PHONE, _DARK_DESKTOP = (PHONE, "light"), (DESKTOP, "dark")
_BOTH = (_LIGHT_PHONE, _DARK_DESKTOP)

CHECKOUT_STATES = [
    State(
        "checkout-sale",
        "A sale with a checkout: the page says before the click what it will ask.",
        show_sale,
        looks=_BOTH,
    ),
    State("held", "The order of a held unit, with the time left.", show_held, looks=_BOTH),
    State(
        "checkout",
        "The checkout, filled in: contact, an address in Germany, terms, total.",
        show_filled_in,
        looks=_BOTH,
        whole=True,
    ),
    State(
        "checkout-errors",
        "The same with errors, in a list and beside their fields.",
        show_errors,
        looks=_BOTH,
        whole=True,
    ),
    State(
        "card", "The card page of the demo provider; no money moves.", show_card_page, looks=_BOTH
    ),
    State("paid", "The order, paid.", show_paid, looks=_BOTH),
    State("mail", "The mail that confirms it (HTML).", show_mail, create_staff, _BOTH),
    State(
        "fulfilment",
        "What staff ship: pick list, files, parcels.",
        show_fulfilment,
        create_staff,
        _BOTH,
        whole=True,
    ),
    State(
        "admin-order",
        "An order in admin, with contact and payment.",
        show_in_admin,
        create_staff,
        (_DARK_DESKTOP,),
        whole=True,
    ),
    State(
        "shipped",
        "The order, shipped: its shopper can follow the parcel.",
        show_shipped,
        looks=(_LIGHT_PHONE,),
    ),
]
