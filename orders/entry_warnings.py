"""Odd things about who gets units in a sale: its draw, its standby, its rules of entry."""

from datetime import timedelta

from django.conf import settings

from accounts import access_codes
from inventory.models import Sale

_SOON = timedelta(seconds=15)  # people click within 5 s, if they do not have to look for their size
_LATER = timedelta(minutes=15)  # after the opening: most have left the page by then
_SHORT = 60  # minutes of a hold


def warn_of_entry(sale: Sale) -> list[str]:
    """Sentences for staff; none if nothing is odd."""
    found = [
        *_warn_of_draw(sale),
        "" if sale.draw_at else _warn_of_standby(sale),
        _warn_of_entrants(sale),
        _warn_of_networks(sale),
    ]
    return [warning for warning in found if warning]


def _warn_of_draw(sale: Sale) -> list[str]:
    """Each sentence is "" if it does not hold."""
    if sale.draw_at is None:
        return []
    after = sale.draw_at - sale.opens_at
    soon = f"Lots are drawn {after.total_seconds():g} s after the opening: who is slow is left out."
    who = "winners who have not signed in" if sale.has_checkout else "winners"
    untold = (
        f"Lots decide, and no checkout asks for an e-mail address: {who} read it only on the sale's page,"
        " in the browser with which they entered."
    )
    short = (
        f"Winners have {sale.hold_minutes} minutes for their checkout, from a draw for which few keep the"
        " page open. A longer hold lets them come back."
    )
    many = "Anyone may enter, without a bound per network: one person with many browsers enters many times."
    tells = sale.has_checkout and (sale.ask or sale.entrants == Sale.Entrants.EMAIL)
    leaves = sale.has_checkout and after > _LATER and sale.hold_minutes < _SHORT
    return [
        soon if after < _SOON else "",
        "" if tells else untold,
        short if leaves else "",
        many if not sale.entrants and not sale.per_address else "",
        _warn_of_close(sale),
    ]


def _warn_of_close(sale: Sale) -> str:
    ends = sale.draw_at and sale.draw_at + timedelta(minutes=sale.hold_minutes)
    if not ends or not sale.has_checkout or not sale.standby or ends < sale.closes_at:
        return ""
    return (
        "The sale closes before the winners' holds end: who is on standby gets none of their units."
    )


def _warn_of_standby(sale: Sale) -> str:
    if sale.standby and not sale.has_checkout:
        return "Standby is on, and nothing is held: units only come back if orders are cancelled."
    return ""


def _warn_of_entrants(sale: Sale) -> str:
    if sale.entrants == Sale.Entrants.EMAIL and not settings.MAIL_IS_SENT:
        return (
            "Only people with a verified e-mail address may buy, and no mail is sent (EMAIL_URL): nobody"
            " can verify one."
        )
    if sale.entrants == Sale.Entrants.CODE and not access_codes.exist(sale.pk):
        return (
            "Only people with an access code may buy, and the sale has no codes: nobody can. Make them"
            " with `manage.py codes generate`, or import them."
        )
    return ""


def _warn_of_networks(sale: Sale) -> str:
    if 0 < sale.per_address < sale.limit:
        return (
            f"A shopper may buy {sale.limit:,} units, and a network {sale.per_address:,}: nobody can buy as"
            " many as the limit says."
        )
    return ""
