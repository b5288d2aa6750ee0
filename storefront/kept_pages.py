"""Pages of a live sale, rendered once per state and language. A shopper's own parts are filled in."""

from collections.abc import Callable
from typing import NamedTuple
from weakref import WeakKeyDictionary

from storefront.catalogue import VariantCard
from storefront.live_sale import LiveSale
from storefront.rendered import Rendered, render

_PAGE_KEPT = 250  # ms for which a page may show an older stock: its socket brings the newest


class SalePage(NamedTuple):
    """A rendered page or part of one, and the state of the sale that it shows."""

    body: Rendered
    revision: int
    stage: str
    variants: tuple[VariantCard, ...]
    rendered_at: int

    def shows(self, live: LiveSale) -> bool:
        if self.stage != live.stage or self.variants != live.card.variants:
            return False
        return self.revision == live.revision or live.now - self.rendered_at < _PAGE_KEPT


_pages: WeakKeyDictionary[LiveSale, dict[tuple[str, ...], SalePage]] = WeakKeyDictionary()


def render_kept(
    live: LiveSale,
    language: str,
    template: str,
    context: Callable[..., dict[str, object]],
    *which: str,
) -> Rendered:
    """Render a template with `context(live, *which)`, or take it from the cache."""
    pages = _pages.setdefault(live, {})
    page = pages.get((template, language, *which))
    if page is None or not page.shows(live):
        body = render(template, language, context(live, *which))
        page = SalePage(body, live.revision, live.stage, live.card.variants, live.now)
        pages[template, language, *which] = page
    return page.body
