"""Parses the forms of a page as a browser does, so that drills fill in what the shop serves."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urlencode


@dataclass
class PageForm:
    """A form of a page. `fields` has the value that each field would be sent with, unchanged."""

    action: str  # "" for the page's own address
    fields: dict[str, str] = field(default_factory=dict)
    boxes: dict[str, str] = field(default_factory=dict)  # unticked ones, with the value of a tick
    buttons: dict[str, list[str]] = field(default_factory=dict)  # named ones, with their values

    def fill_in(self, answers: Mapping[str, str], **pressed: str) -> bytes:
        """The body to send: fields without a value get the answer to their name, boxes are ticked.
        `pressed` is the named button that sends the form, if one does."""
        filled = {name: value or answers.get(name, "") for name, value in self.fields.items()}
        return urlencode(filled | self.boxes | pressed).encode()


@dataclass
class PageContent:
    """What a shopper can use on a page."""

    forms: list[PageForm] = field(default_factory=list)
    refresh: str = ""  # the address to which the page leads by itself

    def form_with(self, name: str) -> PageForm | None:
        """The first form that has a field or button of this name."""
        return next(
            (form for form in self.forms if name in form.fields or name in form.buttons), None
        )


def parse_content(html: str) -> PageContent:
    parser = _Parser()
    parser.feed(html)
    parser.close()
    return parser.content


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.content = PageContent()
        self._form: PageForm | None = None
        self._select = ""  # the name of the one that is open
        self._area = ""  # the same of a text area

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._form = PageForm(given.get("action", ""))
            self.content.forms.append(self._form)
        elif tag == "meta" and given.get("http-equiv") == "refresh":
            self.content.refresh = given.get("content", "").partition("url=")[2]
        elif self._form is not None:
            self._read_field(self._form, tag, given)

    def _read_field(self, form: PageForm, tag: str, given: dict[str, str]) -> None:
        name = given.get("name", "")
        if tag == "option" and self._select:
            value = given.get("value", "")
            form.fields.setdefault(self._select, value)  # the first one, if none is selected
            if "selected" in given:
                form.fields[self._select] = value
        elif not name:
            return
        elif tag == "select":
            self._select = name
        elif tag == "textarea":
            self._area = name
            form.fields[name] = ""
        elif tag == "button" or given.get("type") == "submit":
            form.buttons.setdefault(name, []).append(given.get("value", ""))
        elif given.get("type") in ("checkbox", "radio"):
            ticked = form.fields if "checked" in given else form.boxes
            ticked[name] = given.get("value", "on")
        elif tag == "input":
            form.fields[name] = given.get("value", "")

    def handle_data(self, data: str) -> None:
        if self._form is not None and self._area:
            self._form.fields[self._area] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        elif tag == "select":
            self._select = ""
        elif tag == "textarea" and self._form is not None and self._area:
            # HTML drops a line break right behind the opening tag.
            text = self._form.fields[self._area]
            self._form.fields[self._area] = text.removeprefix("\n")
            self._area = ""
