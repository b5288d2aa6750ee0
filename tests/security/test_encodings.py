"""Django's pages take UTF-8 only; whatever else a request says that it is written in, nothing stumbles."""

import httpx
import pytest

NONE_OF_TEXT = ("rot13", "base64", "hex", "zip", "undefined", "idna")
OF_TEXT = ("utf-16", "utf-7", "latin-1", "punycode", "unicode_escape", "UTF8")
NONE = ("nonsense", "x" * 300, "'", "")
MEDIA = ("application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain")
TOKEN = {"Cookie": "csrftoken=" + "t" * 32, "X-CSRFToken": "t" * 32}
PART = b'--x\r\nContent-Disposition: form-data; name="username"\r\n\r\nanna\r\n--x--\r\n'


@pytest.mark.parametrize("charset", [*NONE_OF_TEXT, *OF_TEXT, *NONE])
def test_another_encoding_than_utf_8_is_not_taken(charset: str, stranger: httpx.Client) -> None:
    for media in MEDIA:
        headers = {**TOKEN, "Content-Type": f"{media}; charset={charset}"}
        body = PART if "multipart" in media else b"username=anna&password=x"
        posted = stranger.post("/admin/login/?next=/admin/", content=body, headers=headers)
        asked = stranger.get("/orders/?page=2", headers=headers)
        assert (posted.status_code, asked.status_code) == (415, 415)


@pytest.mark.parametrize("charset", ["utf-8", "UTF-8", '"utf-8"'])
def test_utf_8_is_taken(charset: str, stranger: httpx.Client) -> None:
    headers = {**TOKEN, "Content-Type": f"{MEDIA[0]}; charset={charset}"}
    reply = stranger.post("/admin/login/", content=b"username=\xc3\xa9", headers=headers)
    assert reply.status_code == 200
