"""Staff's Markdown becomes HTML that cannot run, load or disguise anything."""

import pytest

from storefront.markdown import render_markdown


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("A **new** *shoe*", "<p>A <strong>new</strong> <em>shoe</em></p>"),
        ("- one\n- two", "<ul>\n<li>one</li>\n<li>two</li>\n</ul>"),
        ("# Fit\n#### Care", "<h3>Fit</h3>\n<h4>Care</h4>"),
        (
            "[fit](https://example.com)",
            '<p><a href="https://example.com" rel="noopener nofollow">fit</a></p>',
        ),
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("a <img src=x onerror=x>", "<p>a &lt;img src=x onerror=x&gt;</p>"),
        ("", ""),
    ],
)
def test_a_text_is_rendered_and_its_html_is_text(text: str, html: str) -> None:
    assert render_markdown(text).strip() in (html, f"<p>{html}</p>")


@pytest.mark.parametrize(
    "link",
    ["javascript:alert(1)", "http://example.com", "/orders/", "//example.com", "data:text/html,x"],
)
def test_a_link_leads_to_an_https_address_or_nowhere(link: str) -> None:
    assert "href" not in render_markdown(f"[fit]({link})")


def test_an_entity_turns_no_direction() -> None:
    assert render_markdown("a&#8238;b&#x2066;c") == "<p>abc</p>\n"


def test_pictures_are_not_loaded_from_elsewhere() -> None:
    assert "example" not in render_markdown("![shoe](https://example.com/a.png)")


def test_a_size_guide_has_tables_without_styles() -> None:
    html = render_markdown("|EU|UK|\n|:-:|-:|\n|42|8|")
    assert "<th>EU</th>" in html
    assert "style" not in html
