"""Drills fill in forms as browsers do."""

from urllib.parse import parse_qs

from drills.forms import parse_content

PAGE = """
<meta http-equiv="refresh" content="3; url=/later/">
<form action="/find/"><input name="q"></form>
<form action="/pay/" method="post">
  <input type="hidden" name="token" value="a&amp;b"><input name="email"><input name="city" value="Ulm">
  <textarea name="street">\n\nRing 1\n2</textarea>
  <select name="country"><option value="DE">Germany</option>
    <option value="AT" selected>Austria</option></select>
  <select name="region"><option value="TY">Tyrol</option><option value="W">Vienna</option></select>
  <input type="checkbox" name="terms"><input type="checkbox" name="news" value="yes" checked>
  <button name="choice" value="pay">Pay</button><button name="choice" value="decline">No</button>
  <button>Go</button>
</form>
<input name="outside">
"""


def test_a_form_is_read_with_the_values_that_a_browser_would_send() -> None:
    _, form = parse_content(PAGE).forms
    assert form.action == "/pay/"
    assert form.fields == {
        "token": "a&b",
        "email": "",
        "city": "Ulm",
        "street": "\nRing 1\n2",
        "country": "AT",
        "region": "TY",
        "news": "yes",
    }
    assert (form.boxes, form.buttons) == ({"terms": "on"}, {"choice": ["pay", "decline"]})


def test_answers_fill_what_is_empty_and_boxes_are_ticked() -> None:
    form = parse_content(PAGE).form_with("choice")
    assert form is not None
    sent = form.fill_in({"email": "sam@example.com", "city": "Berlin"}, choice="pay").decode()
    filled = parse_qs(sent)
    assert (filled["email"], filled["city"]) == (["sam@example.com"], ["Ulm"])
    assert (filled["terms"], filled["choice"]) == (["on"], ["pay"])


def test_a_page_that_leads_on_by_itself_says_where() -> None:
    assert parse_content(PAGE).refresh == "/later/"
    assert parse_content("<p>").refresh == ""
