"""Checks every pinned package for known vulnerabilities: `python tools/audit.py`.

It runs pip-audit, which asks PyPI. For a package that PyPI does not know, or without a network, pip-audit
prints "could not be audited" and exits with 0. This script exits with 1 if any package is vulnerable or was
not looked up. If none could be looked up because PyPI is unreachable, it exits with 77, which `./check`
shows as skipped, or with 1 if AUDIT=require is set: set it wherever there is a network.

`tools/audit.toml` lists vulnerabilities to ignore for a while.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LOCKS = (ROOT / "requirements-dev.txt",)  # holds all of requirements.txt as well
ALLOWED = ROOT / "tools" / "audit.toml"
SKIPPED = 77  # as tools/check.py expects it
_TIMEOUT = 300  # seconds


class Unreachable(Exception):
    """The source of known vulnerabilities did not answer."""


@dataclass
class Report:
    """The result of the audit, by package."""

    looked_up: set[str] = field(default_factory=set)
    vulnerable: dict[str, list[str]] = field(default_factory=dict)  # ids of vulnerabilities
    skipped: dict[str, str] = field(default_factory=dict)  # reasons


def main(locks: list[Path], allowed: Path, options: list[str]) -> int:
    try:
        let_pass = read_allowed(allowed, date.today())
        report = audit(locks, options)
    except Unreachable as error:
        return not_audited(str(error))
    except ValueError as error:
        print(f"audit: {error}", file=sys.stderr)
        return 1
    faults = list(list_faults(report, let_pass))
    for fault in faults:
        print(f"audit: {fault}", file=sys.stderr)
    if not faults:
        print(f"{len(report.looked_up)} packages looked up, none is known to be vulnerable")
    return 1 if faults else 0


def not_audited(why: str) -> int:
    print(f"audit: {why}", file=sys.stderr)
    if os.environ.get("AUDIT") == "require":
        print("audit: no source reached, and AUDIT=require is set", file=sys.stderr)
        return 1
    print("skipped: no source reached", file=sys.stderr)
    return SKIPPED


def read_allowed(path: Path, today: date) -> dict[str, str]:
    """Read the ids to ignore, each with its reason. Raises ValueError for an entry that lacks a field, or
    whose date has passed."""
    if not path.exists():
        return {}
    found = {}
    listed = tomllib.loads(path.read_text()).get("allow", [])
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        raise ValueError(f"{path.name}: [[allow]] is a list of tables")
    for each in listed:
        known, reason, until = each.get("id"), each.get("reason"), each.get("until")
        if not (known and reason and type(until) is date):
            raise ValueError(
                f"{path.name}: each entry needs an id, a reason and a date `until`: {each}"
            )
        if until < today:
            raise ValueError(f"{path.name}: {known} was let pass until {until}: look again")
        found[known] = reason
    return found


def audit(locks: list[Path], options: list[str]) -> Report:
    """Audit every lock file. Raises Unreachable, or ValueError if pip-audit fails."""
    report = Report()
    if missing := [str(lock) for lock in locks if not lock.is_file()]:
        raise ValueError(f"there is no {', '.join(missing)}")
    for lock in locks:
        for package in _run_pip_audit(lock, options):
            _add(report, package)
    if not report.skipped and not report.looked_up:
        raise ValueError("pip-audit found no package")
    if report.skipped and not report.looked_up:
        raise Unreachable(f"not one of {len(report.skipped)} packages could be looked up")
    return report


def list_faults(report: Report, let_pass: dict[str, str]) -> list[str]:
    faults = [f"{name} could not be looked up: {why}" for name, why in report.skipped.items()]
    for name, known in report.vulnerable.items():
        if open_ids := [each for each in known if each not in let_pass]:
            faults.append(f"{name} is vulnerable: {', '.join(open_ids)}")
    return sorted(faults)


def _run_pip_audit(lock: Path, options: list[str]) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "audit.json"
        command = [sys.executable, "-m", "pip_audit", "--requirement", str(lock)]
        command += ["--require-hashes", "--disable-pip", "--progress-spinner", "off"]
        command += ["--format", "json", "--output", str(written), *options]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT)
        except subprocess.TimeoutExpired as error:
            raise Unreachable(f"no answer within {_TIMEOUT} s") from error
        if not written.exists() or not written.stat().st_size:
            if _cannot_connect(done.stderr):
                raise Unreachable(done.stderr.strip().splitlines()[-1])
            raise ValueError(f"pip-audit failed ({done.returncode}): {done.stderr.strip()}")
        return list(json.loads(written.read_text())["dependencies"])


def _cannot_connect(output: str) -> bool:
    return any(
        words in output for words in ("Could not connect", "Connection", "Max retries", "timed out")
    )


def _add(report: Report, package: dict[str, Any]) -> None:
    name = f"{package['name']} {package.get('version', '')}".strip()
    if "skip_reason" in package:
        report.skipped[name] = package["skip_reason"]
        return
    report.looked_up.add(name)
    if known := [each["id"] for each in package["vulns"]]:
        report.vulnerable[name] = known


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("locks", nargs="*", type=Path, default=list(LOCKS))
    parser.add_argument("--allowed", type=Path, default=ALLOWED)
    given, others = parser.parse_known_args()
    sys.exit(main(given.locks, given.allowed, others))
