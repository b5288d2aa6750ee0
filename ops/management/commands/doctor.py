"""`manage.py doctor`: check all that a sale depends on, and report faults with advice."""

from dataclasses import asdict
from typing import Any

from ops import doctor
from ops.base_command import FAILED, OperatorCommand
from ops.doctor import Finding, State


class Command(OperatorCommand):
    help = "Checks settings, servers, processes and sales. Exit code 1 if any check has failed."

    def run(self, **_: Any) -> int:
        findings = doctor.examine(doctor.GROUPS)
        failures = sum(finding.state == State.FAILED for finding in findings)
        warnings = sum(finding.state == State.WARNING for finding in findings)
        summary = f"{failures} failed, {warnings} warnings, {len(findings)} findings."
        report = {"healthy": not failures, "findings": [asdict(finding) for finding in findings]}
        self.tell(report, "\n".join([*map(self._describe, findings), summary]))
        return FAILED if failures else 0

    def _describe(self, finding: Finding) -> str:
        styles = {
            State.OK: self.style.SUCCESS,
            State.WARNING: self.style.WARNING,
            State.FAILED: self.style.ERROR,
        }
        state = f"{finding.state:8}"
        if self.stdout.isatty():
            state = styles[finding.state](state)
        advice = f"\n{'':8}  → {finding.advice}" if finding.advice else ""
        return f"{state}  {finding.about}: {finding.seen}{advice}"
