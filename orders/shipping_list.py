"""A list of parcels as CSV, as carriers and spreadsheets write it: which order, and what finds its parcel.

Columns are known by their headings, in any order, so the file for shipping can be filled in and sent back.
Without headings they are order, carrier, tracking number, link.
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple
from uuid import UUID

from orders.reference import purchase_range

MOST_BYTES = 1_000_000
MOST_LINES = 2_000

_ORDER, _REFERENCE, _CARRIER, _NUMBER, _LINK = range(5)
_HEADINGS = {
    **dict.fromkeys(("order", "id", "order id"), _ORDER),
    **dict.fromkeys(("reference", "ref", "order reference"), _REFERENCE),
    "carrier": _CARRIER,
    **dict.fromkeys(("tracking number", "tracking", "number"), _NUMBER),
    **dict.fromkeys(("tracking url", "tracking link", "link", "url"), _LINK),
}
_WITHOUT_HEADINGS = (_ORDER, _CARRIER, _NUMBER, _LINK)
_SEPARATORS = ";,\t"
_QUOTED = re.compile(r'\A="(.*)"\Z', re.S)  # how a spreadsheet is made to keep leading zeros
_SHORTENED = re.compile(r"\A\d[.,]?\d*E\+\d+\Z", re.I)  # 3.40434E+11


class Unreadable(Exception):
    """It is no list of parcels; the message says why, to staff."""


class Line(NamedTuple):
    """A line of the list, as it is written. `order` is an id or a reference."""

    at: int  # the line's number in the file, from 1
    order: str
    carrier: str
    number: str
    url: str

    @property
    def fault(self) -> str:
        """What a spreadsheet has done to it; "" if nothing."""
        if _SHORTENED.match(self.number):
            return "The spreadsheet has shortened the tracking number: format its column as text."
        return ""


class ShippingList(NamedTuple):
    """The lines, and whether the file has columns for what finds a parcel: then a line without any of it
    was not filled in. `text` is the file again, for `read_list`."""

    lines: list[Line]
    has_parcels: bool
    text: str


def read_list(content: bytes) -> ShippingList:
    """Read a file in UTF-8, UTF-16 with a byte order mark, or Windows' encoding. Raises Unreadable."""
    if len(content) > MOST_BYTES:
        raise Unreadable(f"The file has more than {MOST_BYTES:,} bytes.")
    text = _decode(content)
    if len(text.encode(errors="replace")) > MOST_BYTES:
        raise Unreadable(f"The file has more than {MOST_BYTES:,} bytes in UTF-8.")
    if "\0" in text:
        raise Unreadable("This is no CSV file. Save the spreadsheet as CSV first.")
    try:
        rows = list(_rows(text))
    except csv.Error as error:
        raise Unreadable(f"This is no CSV file: {error}.") from error
    if not rows:
        raise Unreadable("The file is empty.")
    columns = _columns(rows[0][1])
    body = rows[1:] if columns else rows
    columns = columns or _WITHOUT_HEADINGS
    if len(body) > MOST_LINES:
        raise Unreadable(f"The file has more than {MOST_LINES:,} orders. Split it.")
    lines = [_line(at, cells, columns) for at, cells in body]
    return ShippingList(lines, any(c in columns for c in (_CARRIER, _NUMBER, _LINK)), text)


def _decode(content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = content.decode("utf-16", errors="replace")
    else:
        try:
            text = content.decode()
        except UnicodeDecodeError:
            text = content.decode("cp1252", errors="replace")
    return text.lstrip("\ufeff")


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """The rows that have text in them, each with the number of its last line."""
    file = io.StringIO(text, newline="")
    first = next((line for line in file if any(map(str.isalnum, line))), "")
    file.seek(0)
    hint = re.fullmatch(r'"?sep=([;,\t])"?\s*', first, re.I)  # what Excel writes and reads
    separator = hint[1] if hint else max(_SEPARATORS, key=first.count)
    reader = csv.reader(file, delimiter=separator)
    for cells in reader:
        cleaned = [_clean(cell) for cell in cells]
        if any(cleaned) and not cleaned[0].lower().startswith("sep="):
            yield reader.line_num, cleaned


def _clean(cell: str) -> str:
    """Without what marks a cell as text, here or in a spreadsheet."""
    text = cell.strip().removeprefix("'")
    quoted = _QUOTED.match(text)
    return (quoted[1] if quoted else text).strip()


def _columns(cells: Sequence[str]) -> tuple[int | None, ...]:
    """What each column has, by the headings; none if the first row is an order already. Raises
    Unreadable."""
    columns = tuple(
        _HEADINGS.get(" ".join(cell.lower().replace("_", " ").split())) for cell in cells
    )
    if _ORDER in columns or _REFERENCE in columns:
        return columns
    if _is_order(cells[0]):
        return ()
    raise Unreadable('No column is called "order" or "reference".')


def _line(at: int, cells: Sequence[str], columns: Sequence[int | None]) -> Line:
    found: dict[int, str] = {}
    for column, cell in zip(columns, cells, strict=False):
        if column is not None and cell:
            found.setdefault(column, cell)
    order = found.get(_ORDER) or found.get(_REFERENCE, "")
    return Line(at, order, *(found.get(column, "") for column in (_CARRIER, _NUMBER, _LINK)))


def _is_order(text: str) -> bool:
    return order_range(text) is not None


def order_range(text: str) -> tuple[UUID, UUID] | None:
    """The first and the last purchase id that an id or a reference can mean; None if it is neither."""
    try:
        return (one := UUID(text)), one
    except ValueError:
        return purchase_range(text)
