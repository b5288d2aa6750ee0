"""Every address that the product answers, with an example of each.

Read from the express lane, Django's urlconf and the routes of the sockets themselves: what is added
there is fuzzed without anybody's help. Only a parameter that nobody has heard of needs an example here.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.urls import URLResolver, get_resolver
from django.urls.resolvers import RegexPattern, RoutePattern

from flashsale import asgi

# What stands for each parameter, by its name; a test fills in its own sale's.
EXAMPLES = {
    "slug": "drop",
    "sale": "1",
    "variant": "1",
    "purchase": "00000001-0000-8000-8000-000000000001",
    "name": "products/" + "0" * 32 + ".webp",
    "action": "pause",
    "content_type_id": "1",
    "object_id": "1",
    "id": "1",
    "app_label": "inventory",
    "url": "nothing/of/ours",
    "file": "css/shop.css",
    "order": "00000001-0000-8000-8000-000000000001",
    "payment": "00000000-0000-4000-8000-000000000001",
    "provider": "demo",
    "mail": "news.1-shop.example.eml",
    "part": "text",
    "anything": "1/2",
    "kind": "network",
    "key": "0" * 16,
}

_GROUP = re.compile(r"\(\?P<(\w+)>")
_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")


@dataclass(frozen=True)
class Door:
    """A pattern as it is written, and as parts of a path: text, and names of parameters."""

    kind: str  # express, django or socket
    pattern: str
    parts: tuple[str, ...]  # text and name by turns

    @property
    def names(self) -> tuple[str, ...]:
        return self.parts[1::2]

    def path(self, **values: str) -> str:
        """Raises KeyError for a parameter of which there is no example."""
        given = EXAMPLES | values
        return "".join(
            given[part] if number % 2 else part for number, part in enumerate(self.parts)
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.pattern}"


def doors() -> list[Door]:
    found = [
        *(
            Door("express", pattern.pattern, _of_regex(pattern.pattern))
            for pattern, _ in asgi.EXPRESS
        ),
        *(Door("django", "/" + pattern, parts) for pattern, parts in _django(get_resolver())),
        *(_socket(route) for route in asgi._sockets),
        Door("static", settings.STATIC_URL, (settings.STATIC_URL, "file", "")),
    ]
    return list(dict.fromkeys(found))


def _socket(route: Any) -> Door:
    pattern = str(route.pattern)
    return Door("socket", pattern, ("/" + _of_regex(pattern)[0], *_of_regex(pattern)[1:]))


def _django(
    resolver: URLResolver, before: tuple[str, ...] = ("/",)
) -> Iterator[tuple[str, tuple[str, ...]]]:
    for each in resolver.url_patterns:
        pattern = each.pattern
        if isinstance(pattern, RegexPattern):
            parts = _of_regex(str(pattern))
        else:
            assert isinstance(pattern, RoutePattern), f"a new kind of pattern: {pattern!r}"
            parts = tuple(_PARAMETER.split(str(pattern)))
        joined = (*before[:-1], before[-1] + parts[0], *parts[1:])
        if isinstance(each, URLResolver):
            yield from _django(each, joined)
        else:
            yield "".join(f"<{p}>" if n % 2 else p for n, p in enumerate(joined)), joined


def _of_regex(pattern: str) -> tuple[str, ...]:
    """Text and names of a regular expression that consists of text and named groups."""
    rest, parts = re.sub(r"\\A|\\Z|\^|\$$", "", pattern), []
    while match := _GROUP.search(rest):
        parts += [_plain(rest[: match.start()]), match[1]]
        rest = rest[_end_of_group(rest, match.start()) :]
    return (*parts, _plain(rest))


def _plain(text: str) -> str:
    plain = re.sub(r"/\?\Z", "/", text.replace("\\", ""))
    assert not re.search(r"[()\[\]{}*+?|]", plain), f"no example can be made of {text!r}"
    return plain


def _end_of_group(pattern: str, start: int) -> int:
    depth = 0
    for position in range(start, len(pattern)):
        if pattern[position - 1] == "\\":
            continue
        depth += {"(": 1, ")": -1}.get(pattern[position], 0)
        if depth == 0:
            return position + 1
    raise ValueError(pattern)


def without_example(found: Iterable[Door]) -> set[str]:
    """Parameters that nobody has given an example of."""
    return {name for door in found for name in door.names} - EXAMPLES.keys()
