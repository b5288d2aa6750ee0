"""The report of a drill tells what happened, and calls nothing clean that is not."""

from dataclasses import replace

import pytest

from drills.aftermath import Aftermath
from drills.consistency import Fault as Wrong
from drills.faults import KILL, VALKEY, Done, Fault
from drills.report import Report
from drills.shopper import SOCKET, Heard, Log, Told
from drills.staff import Seen
from ops.base_command import INCONSISTENT, INTERRUPTED
from orders import reconciliation

BEGAN = 100.0


def bought(purchase: str, sent: float, answered: float) -> Log:
    """A shopper who clicked once, was accepted after 0.1 s, and later answered."""
    log = Log("patient")
    log.pages.append(0.1)
    log.hear(Heard(purchase, sent, 0.1, 202, "queued", purchase=purchase, became="queued"))
    log.tell(Told(purchase, "confirmed", None, SOCKET, answered, answered))
    return log


def aftermath(*logs: Log, met: bool = True) -> Aftermath:
    done = [Done(Fault(10, KILL, VALKEY), BEGAN + 10, met)]
    report = Report(logs, [], reconciliation.Report())
    return Aftermath(5, 60, False, BEGAN, done, Seen(reads=3), report)


def crowd() -> list[Log]:
    """One before the fault, one after an outage of two seconds, one in the end."""
    return [
        bought("a", BEGAN + 9, BEGAN + 9.5),
        bought("b", BEGAN + 11, BEGAN + 14),
        bought("c", BEGAN + 15, BEGAN + 15.5),
    ]


def test_it_tells_when_selling_went_on_after_each_fault() -> None:
    [told] = aftermath(*crowd()).as_json()["faults"]
    assert (told["accepted_again"], told["answered_again"]) == (1.1, 4.0)


def test_it_tells_the_longest_outage_and_since_when() -> None:
    told = aftermath(*crowd()).as_json()
    assert told["nobody_accepted"] == {"seconds": 9.1, "since": 0.0}
    assert told["nobody_answered"] == {"seconds": 9.5, "since": 0.0}


def test_whoever_never_came_back_is_said_to_be_never_answered() -> None:
    log = bought("a", BEGAN + 9, BEGAN + 9.5)
    assert "never" in aftermath(log).words()


def test_a_fault_that_met_nothing_is_not_counted() -> None:
    found = aftermath(*crowd(), met=False)
    assert found.as_json()["faults_carried_out"] == 0
    assert f"{VALKEY} was not there" in found.words()


def test_the_picture_shows_what_was_done_below_what_was_accepted() -> None:
    picture = aftermath(*crowd()).words().split("\n\n")[1].splitlines()
    assert picture[1].index("█") == len("   0 s ") + 9
    assert picture[2].index("K") == len("   0 s ") + 10


def test_one_story_is_clean() -> None:
    found = aftermath(*crowd())
    assert (found.clean, found.exit_code) == (True, 0)
    assert found.words().endswith("\nCLEAN")


def test_an_interrupted_drill_says_so() -> None:
    assert replace(aftermath(*crowd()), interrupted=True).exit_code == INTERRUPTED


@pytest.mark.parametrize(
    "broken",
    [
        replace(
            aftermath(*crowd()),
            report=Report(crowd(), [Wrong("unanswered", {})], reconciliation.Report()),
        ),
        replace(
            aftermath(*crowd()),
            report=Report(crowd(), [], reconciliation.Report(faults={"oversold": [{}]})),
        ),
        replace(aftermath(*crowd()), staff=Seen(reads=3, faults={"stock_is_not_the_ledger": [{}]})),
        aftermath(),
        replace(aftermath(*crowd()), staff=Seen()),
        aftermath(*crowd(), met=False),
    ],
    ids=["unanswered", "books at the end", "meanwhile", "nothing sold", "nobody read", "no faults"],
)
def test_anything_wrong_is_not_clean(broken: Aftermath) -> None:
    assert (broken.clean, broken.exit_code) == (False, INCONSISTENT)
    assert not broken.words().endswith("\nCLEAN")
