"""A list of parcels is read as carriers, programs and spreadsheets write it."""

import pytest

from orders.shipping_list import MOST_BYTES, MOST_LINES, Unreadable, read_list

ID = "0000000c-9c5f-4a7e-8a11-3f3f3f3f3f3f"
DHL = ("DHL", "00340434", "https://dhl.example/00340434")


def read(content: str | bytes) -> list[tuple[str, ...]]:
    raw = content if isinstance(content, bytes) else content.encode()
    return [line[1:] for line in read_list(raw).lines]


@pytest.mark.parametrize(
    "content",
    [
        f"order,carrier,tracking_number,link\n{ID},DHL,00340434,https://dhl.example/00340434\n",
        f"\ufeffOrder;Carrier;Tracking number;Link\r\n{ID};DHL;00340434;https://dhl.example/00340434\r\n",
        f"order\tcarrier\tnumber\turl\n{ID}\tDHL\t00340434\thttps://dhl.example/00340434",
        f"sep=;\norder;carrier;number;link\n{ID};DHL;00340434;https://dhl.example/00340434\n",
        f"link,number,carrier,note,order\nhttps://dhl.example/00340434,00340434,DHL,hello,{ID}\n",
        f"{ID},DHL,00340434,https://dhl.example/00340434\n",
        f'order,carrier,number,link\n{ID},DHL,"=""00340434""",https://dhl.example/00340434\n',
        f"order,carrier,number,link\n{ID},'DHL,'00340434,https://dhl.example/00340434\n",
        f"\n,,,\norder,carrier,number,link\n\n {ID} ,\u00a0DHL,00340434 ,https://dhl.example/00340434\n,,,\n",
        f"order,carrier,number,link\r{ID},DHL,00340434,https://dhl.example/00340434\r",
    ],
    ids=[
        "plain",
        "excel",
        "tabs",
        "sep",
        "any order",
        "no headings",
        "formula",
        "apostrophe",
        "blanks",
        "cr",
    ],
)
def test_one_parcel_in_many_spellings(content: str) -> None:
    assert read(content) == [(ID, *DHL)]
    assert read(content.encode("utf-16")) == [(ID, *DHL)]


def test_a_file_of_windows_keeps_its_letters() -> None:
    assert read("order;carrier\n12-K7Q29FX;Österreichische Post\n".encode("cp1252")) == [
        ("12-K7Q29FX", "Österreichische Post", "", "")
    ]


def test_the_id_counts_where_a_line_has_id_and_reference() -> None:
    assert read(f"reference,order,carrier\n12-K7Q29FX,{ID},DHL\n12-K7Q29FX,,DHL\n") == [
        (ID, "DHL", "", ""),
        ("12-K7Q29FX", "DHL", "", ""),
    ]


def test_a_list_of_orders_alone_has_no_parcels() -> None:
    assert not read_list(f"order\n{ID}\n".encode()).has_parcels
    assert read_list(f"order,carrier\n{ID},\n".encode()).has_parcels


def test_lines_are_numbered_as_an_editor_shows_them() -> None:
    content = f'order,carrier\n\n{ID},DHL\n12-K7Q29FX,"D\nHL"\n12-K7Q29FY,DHL\n'
    assert [line.at for line in read_list(content.encode()).lines] == [3, 5, 6]
    assert [line.at for line in read_list(f"sep=,\n{content}".encode()).lines] == [4, 6, 7]


def test_what_was_read_is_read_again_the_same() -> None:
    listed = read_list("order;carrier\n12-K7Q29FX;Österreichische Post\n".encode("cp1252"))
    assert read_list(listed.text.encode()) == listed


@pytest.mark.parametrize("number", ["3.40434E+11", "3,40434E+11", "3E+5", "1.2e+10"])
def test_a_shortened_number_is_a_fault(number: str) -> None:
    [line] = read_list(f"order;number\n{ID};{number}\n".encode()).lines
    assert "shortened" in line.fault


@pytest.mark.parametrize("number", ["00340434", "1Z999AA10123456784", "RE+12", "12E4", ""])
def test_other_numbers_are_none(number: str) -> None:
    [line] = read_list(f"order;number;carrier\n{ID};{number};DHL\n".encode()).lines
    assert line.fault == ""


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "empty"),
        (b"\n;;\n", "empty"),
        (b"name,town\nAnna,Rome\n", '"order" or "reference"'),
        (b"PK\x03\x04\x00\x00\x00", "no CSV"),
        (b"order\n" + b"x" * MOST_BYTES, "bytes"),
        ("order\n" + "ä" * (MOST_BYTES // 2 + 1000), "bytes"),
        (b"order\n" + b"12-K7Q29FX\n" * (MOST_LINES + 1), "orders"),
        (b"order\n" + b"x" * 200_000, "field larger"),
    ],
    ids=["empty", "blank", "other columns", "xlsx", "large", "large in utf-8", "long", "long cell"],
)
def test_what_is_no_list_is_refused_with_a_sentence(content: str | bytes, why: str) -> None:
    raw = content if isinstance(content, bytes) else content.encode("cp1252")
    with pytest.raises(Unreadable, match=why):
        read_list(raw)
