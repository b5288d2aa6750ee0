"""`manage.py product`: a product is made with variants, stock and pictures, and shown."""

from pathlib import Path
from uuid import uuid4

import pytest
from PIL import Image

from inventory.models import Sale
from inventory.products import Product
from tests.cast import skus, stocked
from tests.operators import here, typed


@pytest.fixture
def slug() -> str:
    return f"shoe-{uuid4().hex[:10]}"


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    path = tmp_path / "shoe.png"
    Image.new("RGB", (900, 600), f"#{uuid4().hex[:6]}").save(path)
    return path


def creates(slug: str, *words: str) -> tuple[str, ...]:
    return ("product", "create", slug, "--name", "Shoe", "--price", "129.00", "--no-input", *words)


def test_a_product_is_made_with_sizes_stock_and_pictures(slug: str, photograph: Path) -> None:
    sizes = ("--variant", f"{slug}.42:EU 42:10", "--variant", f"{slug}.43:1:2:3")
    picture = ("--picture", f"{photograph}:A shoe: blue")
    ran = here(*creates(slug, *sizes, *picture, "--description", "**New**", "--by", "anna"))
    assert (ran.code, ran.out) == (0, f"{slug}: 2 variants, 13 in stock\n")
    product = Product.objects.get(slug=slug)
    rows = product.variants.order_by("position").values_list("option", "price", "currency", "stock")
    assert list(rows) == [("EU 42", 12900, "EUR", 10), ("1:2", 12900, "EUR", 3)]
    assert [(p.text, p.file_width) for p in product.pictures.all()] == [("A shoe: blue", 900)]
    assert [entry.actor for entry in product.audit.all()] == ["anna"]
    shown = here("product", "show", f"{slug}.42")
    assert all(words in shown.out for words in ("**New**", "€129.00", "A shoe: blue"))
    told = here("product", "show", slug.upper(), "--json").told
    assert [variant["stock"] for variant in told["variants"]] == [10, 3]
    assert slug in here("product", "list").out


def test_a_product_without_options_has_its_slug_as_sku(slug: str) -> None:
    ran = here(*creates(slug, "--stock", "5", "--json"))
    assert ran.told["variants"] == [
        {"sku": slug, "option": "", "price": 12900, "currency": "EUR", "stock": 5}
    ]


def test_nothing_is_made_without_a_yes(slug: str) -> None:
    assert typed(*(word for word in creates(slug) if word != "--no-input")).code == 2
    assert here(*creates(slug, "--dry-run")).code == 0
    assert not Product.objects.filter(slug=slug).exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--variant", "a sku:42:1"), "Enter a valid value."),
        (("--variant", "x.1:1:1", "--variant", "x.1:2:1"), "already exists"),
        (("--variant", "x:1:1", "--stock", "5"), "With --variant"),
        (("--picture", "nowhere.jpg:A shoe"), "nowhere.jpg: No such file or directory"),
        (("--picture", f"{__file__}:A shoe"), "not a picture"),
    ],
)
def test_what_is_refused_is_said_and_makes_nothing(
    slug: str, words: tuple[str, ...], said: str
) -> None:
    ran = here(*creates(slug, *words))
    assert (ran.code, said in ran.err) == (1, True), ran.err
    assert not Product.objects.filter(slug=slug).exists()


def test_a_slug_that_there_is_is_refused(slug: str) -> None:
    Product.objects.create(name="Shoe", slug=slug)
    ran = here(*creates(slug.upper()))
    assert (ran.code, "Another product has this slug." in ran.err) == (1, True), ran.err


@pytest.mark.parametrize(
    "words",
    [
        *(("--variant", "x"), ("--variant", "x:1:many"), ("--picture", "x")),
        *(("--price", "1.299"), ("--currency", "euro")),
    ],
)
def test_malformed_words_are_exit_code_2(slug: str, words: tuple[str, ...]) -> None:
    assert typed(*creates(slug, *words)).code == 2


def test_a_sale_lists_products_by_slug_and_variants_by_sku(slug: str) -> None:
    product = Product.objects.create(name="Shoe", slug=slug)
    for size in ("b", "a"):
        stocked(f"{slug}.{size}", 1, product)
    bag = stocked(f"bag-{slug}", 1)
    times = ("--opens", "2100-01-01T18:00", "--closes", "2100-01-01T20:00", "--no-input")
    ran = here("sale", "create", slug, "--name", "Drop", *times, "--product", slug.upper(), bag.sku)
    assert ran.code == 0, ran.err
    assert skus(Sale.objects.get(slug=slug)) == [f"{slug}.b", f"{slug}.a", bag.sku]
    unknown = here("sale", "create", f"{slug}2", "--name", "x", *times, "--product", f"{slug}x")
    assert f"Did you mean {slug}" in unknown.err
