"""The audit of dependencies never passes a package that it could not look up."""

import json
import re
import sys
import threading
from collections.abc import Iterator
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.stack import ROOT
from tools import audit, check

PIN = "{name}=={version} --hash=sha256:" + "0" * 64 + "\n"
KNOWN = {"id": "GHSA-test-0001", "summary": "runs anything", "aliases": [], "affected": []}


class Source(BaseHTTPRequestHandler):
    """A fake of OSV: `leaky` has a known vulnerability, and `broken` makes the fake fail."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        name = asked["package"]["name"]
        self.send_response(500 if name == "broken" else 200)
        self.end_headers()
        self.wfile.write(json.dumps({"vulns": [KNOWN]} if name == "leaky" else {}).encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing, so that only the test writes output."""


@pytest.fixture(scope="module")
def source() -> Iterator[list[str]]:
    """The options that make pip-audit ask the fake."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Source)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield ["-s", "osv", "--osv-url", f"http://127.0.0.1:{server.server_port}/v1/query"]
    server.shutdown()


def audited(folder: Path, options: list[str], *names: str, allowed: str = "") -> int:
    lock, let_pass = folder / "requirements.txt", folder / "audit.toml"
    lock.write_text("".join(PIN.format(name=name, version="1.0") for name in names))
    let_pass.write_text(allowed)
    return audit.main([lock], let_pass, options)


def allow(known: str, until: date, reason: str = "not ours") -> str:
    return f'[[allow]]\nid = "{known}"\nreason = "{reason}"\nuntil = {until}\n'


def test_a_vulnerable_package_fails_and_is_named(
    source: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audited(tmp_path, source, "sound", "leaky") == 1
    assert capsys.readouterr().err == "audit: leaky 1.0 is vulnerable: GHSA-test-0001\n"


# Packages in pip-audit's format.
SOUND = {"name": "sound", "version": "1.0", "vulns": []}
LEAKY = {"name": "leaky", "version": "1.0", "vulns": [{"id": "GHSA-test-0001"}]}
UNKNOWN = {
    "name": "unknown",
    "skip_reason": "Dependency not found on PyPI and could not be audited",
}


def test_a_listed_vulnerability_is_ignored_until_its_day(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(audit, "_run_pip_audit", lambda *_: [SOUND, LEAKY])
    today = date.today()
    assert audited(tmp_path, [], allowed=allow("GHSA-test-0001", today)) == 0
    assert audited(tmp_path, [], allowed=allow("GHSA-test-0002", today)) == 1


@pytest.mark.parametrize(
    "allowed",
    [
        allow("GHSA-test-0001", date.today() - timedelta(days=1)),
        allow("GHSA-test-0001", date.today(), reason=""),
        '[[allow]]\nid = "GHSA-test-0001"\nreason = "for ever"\n',
        "allow = 3",
        '[[allow]]\nid = "a"\nreason = "b"\nuntil = 2030-01-01T00:00:00\n',
    ],
)
def test_an_expired_or_incomplete_entry_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, allowed: str
) -> None:
    monkeypatch.setattr(audit, "_run_pip_audit", lambda *_: [SOUND])
    assert audited(tmp_path, [], allowed=allowed) == 1


def test_a_missing_lock_file_is_not_a_missing_network() -> None:
    assert audit.main([Path("Connection.txt")], Path("none.toml"), []) == 1


def test_a_source_that_fails_is_a_failure(source: list[str], tmp_path: Path) -> None:
    assert audited(tmp_path, source, "sound", "broken") == 1


def test_an_unreachable_source_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("AUDIT", raising=False)
    nobody = ["-s", "osv", "--osv-url", "http://127.0.0.1:1/v1/query"]
    assert audited(tmp_path, nobody, "sound") == check.SKIPPED
    assert capsys.readouterr().err.endswith("\nskipped: no source reached\n")


def test_an_unreachable_source_fails_if_the_audit_is_required(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUDIT", "require")
    monkeypatch.setattr(audit, "_run_pip_audit", lambda *_: [UNKNOWN])
    assert audited(tmp_path, []) == 1


@pytest.mark.parametrize(
    ("found", "code", "said"),
    [
        ([SOUND, UNKNOWN], 1, "unknown could not be looked up"),
        ([UNKNOWN], check.SKIPPED, "skipped: no source reached"),
        ([SOUND], 0, ""),
        ([], 1, "found no package"),
    ],
)
def test_an_unknown_package_fails_unless_all_are_unknown(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    found: list[dict[str, Any]],
    code: int,
    said: str,
) -> None:
    monkeypatch.delenv("AUDIT", raising=False)
    monkeypatch.setattr(audit, "_run_pip_audit", lambda *_: found)
    assert audited(tmp_path, [], "any") == code
    assert said in capsys.readouterr().err


def test_a_missing_pip_audit_is_a_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert audited(tmp_path, [], "sound") == 1


def test_the_audited_locks_hold_every_installed_package() -> None:
    def pins(name: str) -> set[str]:
        return set(re.findall(r"^([\w.-]+==[\w.]+)", (ROOT / name).read_text(), re.M))

    looked_up = set().union(*(pins(lock.name) for lock in audit.LOCKS))
    assert pins("requirements.txt") <= looked_up
    assert pins("requirements-dev.txt") <= looked_up
