"""`manage.py doctor`: everything that a sale depends on, what is wrong with it, and what to do."""

from dataclasses import asdict
from typing import Any

from ops import doctor as of_the_shop
from ops import doctor_sales as of_the_sales
from ops.base_command import FAILED, OperatorCommand
from ops.findings import Finding, State, examine


class Command(OperatorCommand):
    help = "Looks at settings, servers, processes and sales. Exit code 1 if anything has failed."

    def run(self, **_: Any) -> int:
        findings = examine({**of_the_shop.GROUPS, **of_the_sales.GROUPS})
        failures = sum(finding.state == State.FAILED for finding in findings)
        warnings = sum(finding.state == State.WARNING for finding in findings)
        summary = f"{failures} failed, {warnings} warnings, {len(findings)} findings."
        told = {"healthy": not failures, "findings": [asdict(finding) for finding in findings]}
        self.tell(told, "\n".join([*map(self._words, findings), summary]))
        return FAILED if failures else 0

    def _words(self, finding: Finding) -> str:
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
