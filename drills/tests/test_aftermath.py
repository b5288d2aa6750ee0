"""A drill's report shows what happened, and is clean only without faults."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from drills.aftermath import Aftermath
from drills.entries import DrawReport
from drills.faults import KILL, VALKEY, Fault, Injection
from drills.log_check import Fault as Wrong
from drills.report import Report
from drills.shopper_log import SOCKET, Log, Reply, Update
from drills.staff import StaffLog
from ops.base_command import INCONSISTENT, INTERRUPTED
from orders import reconciliation

BEGAN = 100.0


def bought(purchase: str, sent: float, answered: float) -> Log:
    """The log of a shopper who clicked once, was accepted after 0.1 s, and later confirmed."""
    log = Log("patient")
    log.pages.append(0.1)
    log.record_reply(Reply(purchase, sent, 0.1, 202, "queued", purchase=purchase, became="queued"))
    log.record_update(Update(purchase, "confirmed", None, SOCKET, answered, answered))
    return log


def aftermath(*logs: Log, hit: bool = True, draw_faults: Sequence[Wrong] = ()) -> Aftermath:
    injections = [Injection(Fault(10, KILL, VALKEY), BEGAN + 10, hit)]
    report = Report(logs, [], reconciliation.Report())
    drawn = DrawReport(12, 4, draw_faults, reconciliation.Report())
    return Aftermath(5, 60, False, BEGAN, injections, StaffLog(reads=3), report, drawn)


def three_logs() -> list[Log]:
    """One before the fault, one after an outage of two seconds, one at the end."""
    return [
        bought("a", BEGAN + 9, BEGAN + 9.5),
        bought("b", BEGAN + 11, BEGAN + 14),
        bought("c", BEGAN + 15, BEGAN + 15.5),
    ]


def test_the_report_says_when_selling_went_on_after_each_fault() -> None:
    [fault] = aftermath(*three_logs()).as_json()["faults"]
    assert (fault["accepted_again"], fault["answered_again"]) == (1.1, 4.0)


def test_the_report_has_the_longest_outage_and_its_beginning() -> None:
    report = aftermath(*three_logs()).as_json()
    assert report["nobody_accepted"] == {"seconds": 9.1, "since": 0.0}
    assert report["nobody_answered"] == {"seconds": 9.5, "since": 0.0}


def test_a_fault_without_a_later_outcome_says_never() -> None:
    log = bought("a", BEGAN + 9, BEGAN + 9.5)
    assert "never" in aftermath(log).as_text()


def test_a_fault_without_a_target_is_not_counted() -> None:
    found = aftermath(*three_logs(), hit=False)
    assert found.as_json()["faults_carried_out"] == 0
    assert f"{VALKEY} was not there" in found.as_text()


def test_the_chart_shows_faults_below_accepted_purchases() -> None:
    chart = aftermath(*three_logs()).as_text().split("\n\n")[1].splitlines()
    assert chart[1].index("█") == len("   0 s ") + 9
    assert chart[2].index("K") == len("   0 s ") + 10


def test_a_drill_without_contradictions_is_clean() -> None:
    found = aftermath(*three_logs())
    assert (found.clean, found.exit_code) == (True, 0)
    assert found.as_text().endswith("\nCLEAN")


def test_an_interrupted_drill_says_so() -> None:
    assert replace(aftermath(*three_logs()), interrupted=True).exit_code == INTERRUPTED


@pytest.mark.parametrize(
    "broken",
    [
        replace(
            aftermath(*three_logs()),
            report=Report(three_logs(), [Wrong("unanswered", {})], reconciliation.Report()),
        ),
        replace(
            aftermath(*three_logs()),
            report=Report(three_logs(), [], reconciliation.Report(faults={"oversold": [{}]})),
        ),
        replace(
            aftermath(*three_logs()),
            staff=StaffLog(reads=3, faults={"stock_is_not_the_ledger": [{}]}),
        ),
        aftermath(),
        replace(aftermath(*three_logs()), staff=StaffLog()),
        aftermath(*three_logs(), hit=False),
    ],
    ids=["unanswered", "at the end", "meanwhile", "nothing sold", "not reconciled", "no faults"],
)
def test_anything_wrong_is_not_clean(broken: Aftermath) -> None:
    assert (broken.clean, broken.exit_code) == (False, INCONSISTENT)
    assert not broken.as_text().endswith("\nCLEAN")


def test_a_fault_in_the_draw_is_not_clean() -> None:
    found = aftermath(*three_logs(), draw_faults=[Wrong("draw", {"check": "ranks"})])
    assert (found.clean, found.exit_code) == (False, INCONSISTENT)
    assert "12 entries, 4 shoppers heard the outcome; NOT CONSISTENT" in found.as_text()
