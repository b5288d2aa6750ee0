"""Staff's Markdown as HTML that is safe on a shopper's page."""

import re
from functools import lru_cache

import nh3
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt

_TAGS = {
    *("p", "br", "strong", "em", "code", "a", "ul", "ol", "li", "h3", "h4"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}
# Fields refuse them as characters, Markdown makes them of `&#8238;`.
_DIRECTION = re.compile("[\u202a-\u202e\u2066-\u2069]")
_parser = MarkdownIt("commonmark", {"html": False}).enable("table")


@lru_cache(maxsize=512)  # a card is read again every few seconds
def render_markdown(text: str) -> SafeString:
    """Render Markdown. HTML in it is shown as text, and links lead to https:// addresses only."""
    tokens = _parser.parse(text)
    for token in tokens:
        if token.type.startswith("heading_"):  # below the product's name, an <h2>
            token.tag = "h3" if token.tag in ("h1", "h2", "h3") else "h4"
    html = nh3.clean(
        _parser.renderer.render(tokens, _parser.options, {}),
        tags=_TAGS,
        attributes={"a": {"href"}},
        url_schemes={"https"},
        url_relative="deny",
        link_rel="noopener nofollow",
    )
    return mark_safe(_DIRECTION.sub("", html))  # noqa: S308  # sanitised by nh3
