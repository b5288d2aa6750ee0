"""Who may buy in a sale: what a browser has proven, and where it can prove what it lacks.

Signatures only, and only in a sale that asks for a proof. Settlement checks again, in PostgreSQL.
"""

from datetime import UTC, datetime
from functools import lru_cache
from uuid import UUID

from flashsale.http import proofs
from flashsale.http.request import Request
from inventory.click_answers import ClickAnswer
from inventory.models import Sale
from storefront.catalogue import SaleCard
from storefront.live_sale import LiveSale
from storefront.outcome_fragment import moment_in_words
from storefront.rendered import Rendered, placeholder, render

# Plain texts: naming a member of an enum costs a click some 0.2 µs.
_EMAIL, _CODE = Sale.Entrants.EMAIL.value, Sale.Entrants.CODE.value


def find_lack(request: Request, live: LiveSale, shopper: UUID) -> ClickAnswer | None:
    """Why this shopper may not buy now, in a sale with `entrants`; None if they may, or if the sale is
    over: then a proof would change nothing."""
    if live.phase == "ended":
        return None
    card, cookies, secure = live.card, request.cookies, request.secure
    if card.entrants == _EMAIL:
        verified = proofs.former_in(cookies, shopper, secure) is not None
        return None if verified else ClickAnswer.SIGN_IN
    opens_at = proofs.code_opens_at(cookies, shopper, card.id, secure)
    if opens_at is None:
        return ClickAnswer.NO_CODE
    return ClickAnswer.NOT_OPEN if live.now < opens_at else None


def page_for(answer: ClickAnswer, card: SaleCard) -> str:
    """Where the shopper can prove what they lack, and is led back; "" for another answer."""
    sale = f"/sales/{card.slug}/"
    if answer is ClickAnswer.SIGN_IN:
        return f"/sign-in/?next={sale}"
    return f"{sale}code/" if answer is ClickAnswer.NO_CODE else ""


def render_entry(request: Request, live: LiveSale, shopper: UUID) -> str:
    """What the sale's page says of the proof, before the click; "" if none is needed."""
    card = live.card
    if not card.entrants or live.phase == "ended":
        return ""
    opens_at = proofs.code_opens_at(request.cookies, shopper, card.id, request.secure) or 0
    lack = find_lack(request, live, shopper)
    if lack is ClickAnswer.NOT_OPEN and opens_at <= live.opens_at:
        lack = None  # it opens for all
    page = _entry(card.entrants, lack.code if lack else "", card.slug, request.language)
    opening = datetime.fromtimestamp(opens_at // 1000, UTC)
    return page.fill({"opens": moment_in_words(opening, card.time_zone, request.language)}).decode()


@lru_cache(maxsize=1024)
def _entry(entrants: str, lack: str, slug: str, language: str) -> Rendered:
    context = {"entrants": entrants, "lack": lack, "slug": slug, "opens": placeholder("opens")}
    return render("storefront/_entry.html", language, context)
