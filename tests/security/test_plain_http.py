"""Where others may read along, no password is asked for and no order shown: people are told why."""

import httpx
import pytest

from tests import stack
from tests.cast import JSON, PAGE, all_that_opening_needs

ELSEWHERE = {"Host": "shop.example"}


@pytest.mark.parametrize(
    "path", ["/admin/", "/admin/login/", "/dashboard/", "/orders/", "/nothing"]
)
def test_over_plain_http_the_other_pages_explain_as_well(path: str, production: stack.Web) -> None:
    reply = httpx.get(production.url + path, headers={**ELSEWHERE, **PAGE})
    assert reply.status_code == 403
    assert "https://" in reply.text
    assert "<form" not in reply.text
    assert "set-cookie" not in reply.headers
    reply = httpx.get(production.url + path, headers={**ELSEWHERE, **JSON})
    assert (reply.status_code, reply.json()) == (403, {"error": "insecure"})


def test_a_password_sent_over_plain_http_logs_nobody_in(production: stack.Web) -> None:
    form = {"username": "anna", "password": "correct horse battery staple"}
    reply = httpx.post(f"{production.url}/admin/login/", data=form, headers=ELSEWHERE)
    assert (reply.status_code, "https://" in reply.text) == (403, True)


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_a_balancer_asks_for_health_over_plain_http(path: str, production: stack.Web) -> None:
    with all_that_opening_needs():
        assert httpx.get(production.url + path, headers=ELSEWHERE).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [{**ELSEWHERE, "X-Forwarded-Proto": "https"}, {"Host": "localhost"}],
    ids=["over HTTPS", "on the machine itself"],
)
def test_where_nobody_reads_along_staff_can_log_in(
    headers: dict[str, str], production: stack.Web
) -> None:
    reply = httpx.get(f"{production.url}/admin/login/", headers=headers)
    assert (reply.status_code, 'type="password"' in reply.text) == (200, True)
    assert "Secure" in reply.headers["set-cookie"]


def test_a_trial_without_production_has_its_pages(web: stack.Web) -> None:
    reply = httpx.get(f"{web.url}/admin/login/")
    assert (reply.status_code, "Secure" in reply.headers["set-cookie"]) == (200, False)
