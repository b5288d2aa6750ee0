"""The currencies of ISO 4217: their codes, names and decimals, from `iso4217/list-one.xml`.

Babel's decimals are not used: they are CLDR's, which say how prices are usually written, not what a
minor unit is. They differ for RSD, IQD and others.
"""

from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

LIST = Path(__file__).parent / "iso4217" / "list-one.xml"

# Decimals of currencies that are in no list any more, if not two.
WITHDRAWN: dict[str, int] = {"BYR": 0}
_USUAL = 2


class Currency(NamedTuple):
    code: str
    name: str  # in English
    decimals: int  # ISO 4217's exponent: 2 if there are 100 minor units in one unit
    fund: bool  # a unit of account, in which nothing is priced


def _read(path: Path) -> dict[str, Currency]:
    """The currencies that have minor units, by code. Gold, the test code and their like have none."""
    found = {}
    for entry in ElementTree.parse(path).iter("CcyNtry"):  # noqa: S314  # the project's own file
        code, decimals = entry.findtext("Ccy"), entry.findtext("CcyMnrUnts", "")
        if code and decimals.isdigit():
            name = entry.findtext("CcyNm", "").strip()
            fund = entry.find("CcyNm[@IsFund]") is not None
            found[code] = Currency(code, name, int(decimals), fund)
    return dict(sorted(found.items()))


KNOWN = _read(LIST)
OFFERED = {code: currency for code, currency in KNOWN.items() if not currency.fund}


def decimals_of(code: str) -> int:
    """The number of decimals of a currency; two if the code is unknown."""
    known = KNOWN.get(code)
    return known.decimals if known else WITHDRAWN.get(code, _USUAL)
