"""The dashboard in the terminal: the same figures, a line or a document per second."""

import json
import os
import signal
import subprocess
import sys

from conftest import MakeSale
from tests import deadlines
from tests.cast import queue_up
from tests.operators import typed
from tests.stack import ROOT

WATCH = [sys.executable, "manage.py", "sale_watch"]


def test_each_second_is_a_document(make_sale: MakeSale) -> None:
    sale = make_sale(stock=5)
    queue_up(sale, 2)
    done = typed("sale_watch", sale.slug, "--json", "--seconds", "2")
    assert done.code == 0, done.err
    first, second = map(json.loads, done.out.splitlines())
    [seen] = first["sales"]
    assert (seen["left"], seen["in_flight"], seen["waiting"]) == (3, 2, 2)
    assert second["at"] > first["at"]


def test_without_a_terminal_it_writes_lines(make_sale: MakeSale) -> None:
    sale = make_sale(stock=5)
    done = typed("sale_watch", sale.slug, "--seconds", "1")
    assert f"{sale.slug}: phase open, left 5" in done.out
    assert "\x1b" not in done.out


def test_an_unknown_sale_is_a_failure() -> None:
    done = typed("sale_watch", "unheard-of", "--seconds", "1")
    assert (done.code, done.out) == (1, "")
    assert "There is no sale" in done.err


def test_ctrl_c_ends_it_with_130(make_sale: MakeSale) -> None:
    make_sale()
    process = subprocess.Popen(
        [*WATCH, "--json"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline()
    os.kill(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=deadlines.seconds(30))
    assert process.returncode == 130
    assert "Traceback" not in told
