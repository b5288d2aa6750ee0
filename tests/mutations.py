"""Breaks the promises on purpose, each in a copy of this checkout, and sees a test fail there:

    python -m tests.mutations [NAME ...]

A test that passes while the product is broken proves nothing about its promise. Without names all of
them are run, two at a time. `docs/promises.md` lists them; `tests/test_promises.py` compares.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.deadlines import seconds
from tests.reaper import scratch
from tests.stack import PREPARED

ROOT = Path(__file__).resolve().parent.parent
AT_ONCE = 2
LONGEST = 300  # seconds for one test, its servers included
FAILED = 1  # how pytest exits when tests were run and some failed


@dataclass(frozen=True)
class Change:
    """A text of the product, which stands there once, and what it becomes."""

    path: str
    old: str
    new: str

    def apply(self, checkout: Path) -> None:
        path = checkout / self.path
        path.write_text(self.of(path.read_text()))

    def of(self, text: str) -> str:
        if text.count(self.old) != 1:
            raise ValueError(f"{self.path} has {text.count(self.old)} times: {self.old}")
        return text.replace(self.old, self.new)


@dataclass(frozen=True)
class Mutation:
    """What is broken, which promise that breaks, and the test that must notice."""

    promise: int
    name: str
    test: str
    changes: tuple[Change, ...]


def _mutation(promise: int, name: str, test: str, *changes: tuple[str, str, str]) -> Mutation:
    return Mutation(promise, name, test, tuple(Change(*change) for change in changes))


_SETTLEMENT, _ADMIT, _TELL = (
    "orders/settlement.py",
    "inventory/lua/admit.lua",
    "inventory/lua/apply.lua",
)
_GATE = "inventory/gate/replica.py"

MUTATIONS = (
    _mutation(
        1,
        "no sale is locked",
        "tests/races/test_staff.py::test_50_restocks_cancellations_and_purchases_at_once",
        (
            "orders/changes.py",
            "Sale.objects.select_for_update(no_key=True).filter(",
            "Sale.objects.filter(",
        ),
    ),
    _mutation(
        1,
        "no variant is locked",
        "tests/races/test_staff.py::test_restocks_at_once_of_what_is_in_no_sale_all_count",
        (
            "inventory/stock.py",
            "Variant.objects.select_for_update(no_key=True).filter",
            "Variant.objects.filter",
        ),
    ),
    _mutation(
        1,
        "settlement believes the gate about the stock",
        "orders/tests/test_settlement.py::test_first_come_first_served_over_several_batches",
        ("orders/allotment.py", " or left[entry.sku] < entry.quantity:", ":"),
    ),
    _mutation(
        1,
        "admit does not look at what is in flight",
        "tests/races/test_admit.py::test_no_more_are_accepted_than_there_are_units",
        (
            _ADMIT,
            "local left = stock - (tonumber(redis.call('HGET', KEYS[3], sku)) or 0)",
            "local left = stock",
        ),
    ),
    _mutation(
        1,
        "the gate counts the stock down instead of being told it",
        "orders/tests/test_stock_changes.py::test_a_restock_makes_a_sold_out_sale_buyable_again",
        (
            _TELL,
            "    redis.call('HSET', KEYS[2], sku, units)",
            "    if not ready then redis.call('HSET', KEYS[2], sku, units) end",
        ),
        (
            _TELL,
            "write('HSET', KEYS[3], in_flight_left)",
            "for sku, units in pairs(of_sku_in_flight) do"
            " redis.call('HINCRBY', KEYS[2], sku, -units) end write('HSET', KEYS[3], in_flight_left)",
        ),
    ),
    _mutation(
        2,
        "an order has an id of its own",
        "tests/races/test_settle.py::test_two_settlements_decide_each_purchase_once",
        (
            "orders/settlement_statements.py",
            "SELECT t.id, %(sale)s, t.product,",
            "SELECT gen_random_uuid(), %(sale)s, t.product,",
        ),
    ),
    _mutation(
        2,
        "a tale is applied whatever its versions",
        "inventory/tests/test_gate.py::test_a_late_tale_changes_nothing",
        (
            _TELL,
            "if version < delta.from or version > delta.to or (version == delta.to and ready) then",
            "if false then",
        ),
    ),
    _mutation(
        2,
        "an expired hold may be confirmed",
        "orders/tests/test_order_status.py::test_the_arrows_are_those_that_postgresql_allows",
        (
            "orders/order_status.py",
            "Status.EXPIRED: (Status.HELD,)",
            "Status.EXPIRED: (Status.CONFIRMED,)",
        ),
    ),
    _mutation(
        3,
        "the gate does not know a purchase again",
        "tests/test_crowd.py::test_100_posts_of_one_ticket_make_one_order",
        (_ADMIT, "if known then", "if false then"),
    ),
    _mutation(
        3,
        "settlement does not look whether a purchase is an order already",
        "orders/tests/test_settlement.py::test_a_purchase_that_stands_in_the_line_twice_is_one_order",
        (
            _SETTLEMENT,
            "if e.purchase not in known and first[e.purchase] is e]",
            "if e.purchase not in known]",
        ),
    ),
    _mutation(
        4,
        "what was decided stays in flight",
        "orders/tests/test_cancellation.py::test_a_cancelled_order_returns_its_units_once_and_can_be_bought_again",
        (_TELL, "lowered(KEYS[3], of_sku_in_flight)", "lowered(KEYS[3], {})"),
    ),
    _mutation(
        4,
        "the caretaker does not look at lines that wait",
        "orders/tests/test_settlement.py::test_the_caretaker_settles_a_line_whose_bell_was_lost",
        ("orders/caretaker.py", "if pulse.waited > _WAITED_TOO_LONG:", "if False:"),
    ),
    _mutation(
        4,
        "an expired hold keeps its units",
        "orders/tests/test_holds.py::test_holds_expire_in_batches_each_with_its_ledger_row",
        ("orders/holds.py", "units[variant] += quantity", "units[variant] += 0"),
    ),
    _mutation(
        5,
        "the newest of the line are decided first",
        "orders/tests/test_settlement.py::test_first_come_first_served_over_several_batches",
        (_GATE, "pipe.xrange(k.line, count=most)", "pipe.xrevrange(k.line, count=most)"),
    ),
    _mutation(
        5,
        "a consumer group reads the line",
        "tests/faults/test_kills.py::test_a_worker_killed_in_settlement_loses_and_doubles_nothing",
        (
            _GATE,
            "        pipe.xrange(k.line, count=most)\n"
            "        (epoch, version), entries = pipe.execute()\n",
            "        ((epoch, version),) = pipe.execute()\n"
            "        server = blocking_clients.client_of(0)\n"
            "        try:\n"
            "            server.xgroup_create(k.line, 'g', '0', mkstream=True)\n"
            "        except redis.ResponseError:\n"
            "            pass\n"
            "        read = server.xreadgroup('g', 'c', {k.line: '>'}, count=most)\n"
            "        entries = read[0][1] if read else []\n",
        ),
    ),
    _mutation(
        5,
        "settlement does not look whether another one is at it",
        "tests/races/test_settle.py"
        "::test_a_worker_does_not_wait_for_a_sale_that_another_one_settles",
        (_SETTLEMENT, "return locked == [(True,)]", "return True"),
    ),
    _mutation(
        5,
        "lots are ranked without the seed",
        "orders/tests/test_draws.py::test_a_draw_gives_the_stock_by_lot",
        (
            "orders/draws/reveal.py",
            "ORDER BY sha256(%(salt)s || uuid_send(order_id))",
            "ORDER BY leaf",
        ),
    ),
    _mutation(
        5,
        "an entry that comes during the freeze is left out",
        "tests/races/test_draws.py::test_an_entry_that_comes_during_the_freeze_stops_it",
        ("orders/draws/freezing.py", " or not whole:", ":"),
    ),
    _mutation(
        5,
        "what comes back goes to the last on standby",
        "orders/tests/test_standby.py::test_a_unit_that_comes_back_goes_to_the_first_who_waits",
        ("orders/standby.py", "ORDER BY place LIMIT", "ORDER BY place DESC LIMIT"),
    ),
    _mutation(
        5,
        "an entry is taken back while its draw runs",
        "orders/tests/test_draws.py"
        "::test_while_a_draw_runs_it_is_fixed_who_takes_part_and_what_can_be_won",
        ("orders/cancellation.py", "            refuse_during_draw(sale)", "            pass"),
    ),
    _mutation(
        6,
        "Valkey does not write to disk before it answers",
        "flashsale/tests/test_checks.py::test_a_durable_redis_passes",
        ("flashsale/local/valkey.py", "appendfsync always", "appendfsync no"),
    ),
    _mutation(
        6,
        "Valkey keeps no file",
        "tests/faults/test_kills.py::test_accepted_purchases_survive_a_killed_valkey",
        ("flashsale/local/valkey.py", "appendonly yes", "appendonly no"),
    ),
    _mutation(
        6,
        "Valkey writes to disk each second",
        "tests/faults/test_on_disk.py::test_a_power_cut_leaves_what_was_accepted",
        ("flashsale/local/valkey.py", "appendfsync always", "appendfsync everysec"),
    ),
    _mutation(
        7,
        "an entry is deleted before the commit",
        "tests/faults/test_kills.py::test_a_worker_killed_in_settlement_loses_and_doubles_nothing",
        (
            _SETTLEMENT,
            "        head, last = raw[0][0], raw[-1][0]\n",
            "        head, last = raw[0][0], raw[-1][0]\n"
            "        replica.blocking_clients.client_of(sale).xdel("
            "replica.keys(sale).line, *(e for e, _ in raw))\n",
        ),
    ),
    _mutation(
        7,
        "the bell is taken down while somebody waits",
        "inventory/tests/test_gate.py::test_the_bell_stays_up_while_somebody_waits",
        (
            "inventory/lua/lower_bell.lua",
            "if redis.call('XLEN', KEYS[1]) > 0 then",
            "if false then",
        ),
    ),
    _mutation(
        7,
        "settlement does not look at the epoch",
        "orders/tests/test_settlement.py::test_a_line_read_under_another_mark_is_left_alone",
        (_SETTLEMENT, "if sale.epoch != epoch:", "if False:"),
    ),
    _mutation(
        7,
        "a sale is finished before its gate is gone",
        "orders/tests/test_finishing.py::test_a_sale_is_finished_only_once_its_gate_is_gone",
        (
            "orders/finishing.py",
            "not locked.ended() or not replica.purge_gate(sale):",
            "not locked.ended() or replica.read_view(sale).in_line:",
        ),
        (
            "orders/finishing.py",
            'update_fields=["finished", "status", "version"])\n    return True',
            'update_fields=["finished", "status", "version"])\n    return replica.purge_gate(sale)',
        ),
    ),
    _mutation(
        7,
        "the outbox is written outside the transaction",
        "orders/tests/test_outbox.py::test_it_is_told_in_the_transaction_in_which_it_happened",
        (
            "orders/changes.py",
            "        outbox.tell([order.pk for order in orders], outbox.OF_ARROWS[to])\n",
            "        from django.db import transaction\n\n"
            "        transaction.on_commit(\n"
            "            lambda: outbox.OutboxRow.objects.create(\n"
            "                consumer='mail', event=outbox.OF_ARROWS[to], order_id=orders[0].pk\n"
            "            )\n"
            "        )\n",
        ),
    ),
    _mutation(
        1,
        "gates of an old copy of Redis are believed",
        "tests/faults/test_redis.py::test_an_old_copy_of_redis_sells_nothing_that_was_sold_since",
        ("orders/caretaker.py", "    replica.begin_epoch(gates, replica.new_epoch())\n", ""),
    ),
    _mutation(
        8,
        "a page without a socket does not ask",
        "tests/browser/test_without_sockets.py"
        "::test_a_page_without_a_socket_ends_secured_and_keeps_its_stock_up_to_date",
        ("static/js/shop.js", "asking ??= setInterval(ask, jitter(POLL));", ""),
    ),
    _mutation(
        8,
        "a form does not work without JavaScript",
        "tests/browser/test_waiting.py::test_buying_needs_no_javascript",
        ("templates/storefront/_buy.html", ' action="/sales/', ' data-action="/sales/'),
    ),
    _mutation(
        9,
        "a silent Redis is waited for",
        "tests/faults/test_redis.py"
        "::test_a_crowd_in_front_of_a_silent_redis_is_told_to_ask_again_and_each_buys_once",
        ("flashsale/redis/web_connections.py", "TIMEOUT = 2.0", "TIMEOUT = 60.0"),
    ),
    _mutation(
        9,
        "a picture that is not read in time is an error",
        "storefront/tests/test_media.py::test_a_storage_that_hangs_is_not_waited_for",
        ("storefront/media.py", "except TimeoutError:", "except ZeroDivisionError:"),
    ),
    _mutation(
        9,
        "an outcome that is not known now has no Retry-After",
        "tests/contract/test_busy.py"
        "::test_an_outcome_that_nobody_can_say_now_is_asked_for_again_in_a_second",
        ("storefront/outcome.py", "ClickAnswer.BUSY, RETRY)", "ClickAnswer.BUSY)"),
    ),
    _mutation(
        10,
        "what is sold is written down as something else",
        "orders/tests/test_settlement.py::test_a_batch_is_one_version_and_one_movement",
        (
            "inventory/stock.py",
            "SELECT id, -units, stock, 'sold'",
            "SELECT id, -units, stock, 'received'",
        ),
    ),
    _mutation(
        10,
        "verify does not compare stock and ledger",
        "orders/tests/test_reconciliation.py::test_a_unit_that_vanished_is_found",
        ("orders/reconciliation.py", "HAVING p.stock <> coalesce(sum(m.delta), 0)", "HAVING false"),
    ),
    _mutation(
        10,
        "verify does not see a gate that is ahead",
        "orders/tests/test_reconciliation.py::test_a_wrong_number_in_the_gate_is_found",
        ("orders/reconciliation.py", "if seen.view.version > sale_version:", "if False:"),
    ),
    _mutation(
        10,
        "verify does not see a gate without a sale",
        "orders/tests/test_reconciliation.py::test_a_gate_that_no_sale_has_is_found",
        (
            "orders/reconciliation.py",
            "for each in gates - _undrained():",
            "for each in set[int]():",
        ),
    ),
    _mutation(
        10,
        "verify does not see an entry that cannot be read",
        "orders/tests/test_reconciliation.py::test_an_entry_of_the_line_that_nobody_can_read_is_found",
        ("orders/reconciliation.py", "if seen.unreadable:", "if False:"),
    ),
    _mutation(
        11,
        "a click is not compared with what its form showed",
        "tests/contract/test_changed.py"
        "::test_the_fragment_shows_what_is_sold_now_with_a_form_that_buys_it",
        (
            "storefront/catalogue.py",
            "return variant if ticket in (form, self.sale) else CHANGED",
            "return variant",
        ),
    ),
    _mutation(
        11,
        "the gate accepts an outdated form",
        "tests/contract/test_changed.py"
        "::test_a_click_on_a_process_that_is_behind_is_refused_and_buys_nothing",
        (_ADMIT, "if ARGV[8] == 'changed' then", "if false then"),
    ),
    _mutation(
        11,
        "settlement does not compare digests",
        "tests/races/test_settle.py::test_nothing_is_sold_as_what_no_form_has_shown",
        (
            "orders/allotment.py",
            "elif entry.shown and entry.shown != now[entry.sku]:",
            "elif False:",
        ),
    ),
    _mutation(
        11,
        "the price is not in the digest",
        "storefront/tests/test_catalogue.py::test_each_field_that_a_form_shows_is_in_the_digest",
        ("inventory/shown.py", "(sku, name, option, str(price), currency)", "(sku, name, option)"),
    ),
    _mutation(
        11,
        "a ticket's signature leaves out the digest",
        "orders/tests/test_tickets.py::test_what_a_form_shows_is_of_another_ticket_forged",
        (
            "orders/tickets.py",
            'signing.sign("ticket", purchase.bytes + shopper.bytes + shown)',
            'signing.sign("ticket", purchase.bytes + shopper.bytes)',
        ),
        (
            "orders/tickets.py",
            'signing.is_signed("ticket", purchase + shopper.bytes + shown, signature)',
            'signing.is_signed("ticket", purchase + shopper.bytes, signature)',
        ),
    ),
    _mutation(
        11,
        "staff change what an open sale offers",
        "dashboard/tests/test_admin_public_products.py::test_what_a_sale_that_has_opened_offers_stands",
        (
            "orders/offer_changes.py",
            'if phase not in ("draft", "upcoming"):',
            "if False:",
        ),
    ),
    _mutation(
        11,
        "a page that waits does not learn a new price",
        "tests/browser/test_changed_products.py"
        "::test_a_page_that_waits_learns_the_new_price_and_buys_at_it",
        ("static/js/shop.js", "\n  askIfItLooksDifferent();\n", "\n"),
    ),
    _mutation(
        12,
        "a capture begins without the order's flag",
        "payments/tests/test_paying.py::test_a_lost_answer_to_a_capture_is_unknown_and_then_known",
        (
            "payments/transitions.py",
            "if verdict.change is Change.BEGIN and not holds.begin_capture(order.pk):",
            "if False:",
        ),
    ),
    _mutation(
        12,
        "a capture is made before its verdict",
        "payments/tests/test_paying.py::test_of_two_payments_of_one_order_the_second_is_voided",
        (
            "payments/advance.py",
            "    seen = provider.fetch(row.reference)\n    if row.state",
            "    provider.capture(row.reference, row.amount, row.currency, str(row.pk))\n"
            "    seen = provider.fetch(row.reference)\n    if row.state",
        ),
    ),
    _mutation(
        12,
        "a hold expires while it is captured",
        "payments/tests/test_races.py::test_a_hold_does_not_expire_while_it_is_captured",
        (
            "orders/holds.py",
            "(variants)s)\n      AND status = 'held' AND NOT capturing",
            "(variants)s)\n      AND status = 'held'",
        ),
        (
            "orders/holds.py",
            "FROM due)\n  AND status = 'held' AND NOT capturing",
            "FROM due)\n  AND status = 'held'",
        ),
        ("orders/holds.py", "WHERE status = 'held' AND NOT capturing", "WHERE status = 'held'"),
        (
            "orders/holds.py",
            "SET status = 'expired', ",
            "SET status = 'expired', capturing = false, ",
        ),
    ),
    _mutation(
        12,
        "an event is believed",
        "payments/tests/test_races.py::test_an_event_is_not_believed",
        (
            "payments/events.py",
            "from payments.transitions import pause",
            "from payments import transitions\n"
            "from payments.providers.base import Seen, Stage\n"
            "from payments.transitions import pause",
        ),
        (
            "payments/events.py",
            "    _, told = ask_together(BOUNDS, (_RECEIVE, values))\n",
            "    _, told = ask_together(BOUNDS, (_RECEIVE, values))\n"
            "    for paid in Attempt.objects.filter(reference=event.reference):\n"
            "        seen = Seen(Stage.CAPTURED, paid.amount, paid.currency)\n"
            "        transitions.apply(paid.pk, seen)\n",
        ),
    ),
    _mutation(
        12,
        "amounts are not compared",
        "payments/tests/test_paying.py::test_another_amount_that_was_captured_goes_back",
        (
            "payments/transitions.py",
            "agrees = (seen.amount, seen.currency) == (attempt.amount, attempt.currency)",
            "agrees = True",
        ),
    ),
    _mutation(
        12,
        "each call of a refund has a new key",
        "payments/tests/test_races.py::test_two_workers_refund_a_payment_once",
        (
            "payments/refunds.py",
            'key = f"{row.pk}-{row.tries // TRIES_PER_KEY}"',
            'key = __import__("uuid").uuid4().hex',
        ),
    ),
    _mutation(
        12,
        "a late payment is kept",
        "payments/tests/test_paying.py::test_what_is_paid_after_its_units_are_sold_is_voided",
        (
            "payments/verdicts.py",
            "    if facts.status == Status.EXPIRED and facts.room:\n"
            "        return Verdict(State.CAPTURING, Step.CAPTURE, Change.REVIVE)",
            "    if facts.status == Status.EXPIRED:\n"
            "        return Verdict(State.CAPTURING, Step.CAPTURE)",
        ),
    ),
    _mutation(
        12,
        "a revived order takes no units",
        "payments/tests/test_paying.py"
        "::test_what_is_paid_while_it_expires_is_revived_if_the_units_are_free",
        (
            "orders/holds.py",
            "            stock.move(variant, -locked.quantity, sold, sales=sellers, order=locked.pk)\n",
            "",
        ),
    ),
    _mutation(
        12,
        "verify does not see a confirmed order without a payment",
        "payments/tests/test_figures.py::test_a_confirmed_order_without_a_payment_is_found",
        ("payments/reconciliation.py", '    "confirmed_without_one_payment": _UNPAID,\n', ""),
    ),
    _mutation(
        13,
        "any key opens an order",
        "tests/contract/test_order_links.py::test_a_wrong_key_is_an_order_that_is_not_there",
        (
            "orders/order_links.py",
            "return len(key) == 22 and signing.is_signed(_PURPOSE, order.bytes, signature)",
            "return len(key) == 22 and len(signature) == 16",
        ),
    ),
    _mutation(
        13,
        "the key of a link is sent for all orders",
        "tests/contract/test_order_links.py::test_the_cookie_of_a_link_is_for_one_order",
        ("storefront/order_access.py", "; Path=/orders/{order}/; Max-Age", "; Path=/; Max-Age"),
    ),
    _mutation(
        13,
        "who has a link is offered what its shopper gave elsewhere",
        "tests/contract/test_checkout.py::test_what_another_order_has_is_offered_to_the_shopper_only",
        (
            "storefront/checkout_order.py",
            "order_access.is_shopper(request, order.shopper)",
            "order_access.may_open(request, number, order.shopper)",
        ),
    ),
    _mutation(
        13,
        "the key of one order opens all",
        "tests/contract/test_order_links.py::test_a_wrong_key_is_an_order_that_is_not_there",
        (
            "orders/order_links.py",
            "signature = signing.sign(_PURPOSE, order.bytes)",
            'signature = signing.sign(_PURPOSE, b"")',
        ),
        (
            "orders/order_links.py",
            "signing.is_signed(_PURPOSE, order.bytes, signature)",
            'signing.is_signed(_PURPOSE, b"", signature)',
        ),
    ),
    _mutation(
        13,
        "links of one address are asked for without end",
        "mail/tests/test_find_orders.py::test_too_many_questions_about_one_address_are_refused",
        ("storefront/find_orders.py", 'PER_EMAIL = "3/h"', 'PER_EMAIL = "3000/h"'),
    ),
    _mutation(
        13,
        "only an address with orders costs a row",
        "mail/tests/test_find_orders.py"
        "::test_it_does_the_same_work_whether_there_are_orders_or_not",
        (
            "mail/finding.py",
            "    FindRequest.objects.create(",
            "    if found:\n        FindRequest.objects.create(",
        ),
    ),
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutations", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="words of a mutation's name")
    names = parser.parse_args().names
    chosen = [m for m in MUTATIONS if not names or any(name in m.name for name in names)]
    if not chosen:
        parser.error(f"none is named like {', '.join(names)}")
    scratch(
        "fs-m-"
    )  # for the copies, which go also where we are killed; short, for sockets of Chromium
    if not _pass_without(chosen):
        return 1
    with ThreadPoolExecutor(AT_ONCE) as pool:
        missed = [
            mutation
            for mutation, noticed in zip(chosen, pool.map(_tried, chosen), strict=True)
            if not noticed
        ]
    print(f"{len(chosen)} mutations, {len(chosen) - len(missed)} noticed.")
    return 1 if missed else 0


def _pass_without(chosen: list[Mutation]) -> bool:
    """Whether the tests pass where nothing is broken: else their failing would say nothing."""
    tests = sorted({mutation.test for mutation in chosen})
    with tempfile.TemporaryDirectory(prefix="flashsale-mutation-") as folder:
        checkout = Path(folder) / "checkout"
        copy(checkout)
        for group in ([t for t in tests if not _of_browser(t)], [*filter(_of_browser, tests)]):
            if group and (done := _run(checkout, *group)).returncode != 0:
                print(f"A test fails without any mutation:\n{done.stdout[-3000:]}{done.stderr}")
                return False
    print(f"Without any mutation these {len(tests)} tests pass.")
    return True


def _of_browser(test: str) -> bool:
    return "/browser/" in test


def _tried(mutation: Mutation) -> bool:
    """Whether the test fails with the mutation. Says so, or what happened instead."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="flashsale-mutation-") as folder:
        checkout = Path(folder) / "checkout"
        copy(checkout)
        for change in mutation.changes:
            change.apply(checkout)
        done = _run(checkout, mutation.test)
    noticed = done.returncode == FAILED
    verdict = "noticed" if noticed else f"NOT NOTICED (pytest's exit code {done.returncode})"
    print(f"{time.monotonic() - began:5.0f} s  {mutation.promise:>2}  {mutation.name}: {verdict}")
    if done.returncode not in (0, FAILED):  # it was not the test that failed
        print(done.stdout[-3000:])
    return noticed


def copy(into: Path) -> None:
    """This checkout, with what is not committed yet, and without what git ignores."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout
    for name in filter(None, listed.decode().split("\0")):
        if (ROOT / name).is_file():
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, into / name)
    PREPARED.mkdir(parents=True, exist_ok=True)
    (into / "var").mkdir()
    (into / "var" / "tests").symlink_to(PREPARED)  # the migrated database of `tests/servers.py`


def _run(checkout: Path, *tests: str) -> subprocess.CompletedProcess[str]:
    """pytest's verdict on these tests. One that hangs is ended, and has not noticed anything."""
    browser = _of_browser(tests[0])
    command = [sys.executable, "-m", "pytest", "-q", "-m", "browser" if browser else "not browser"]
    try:
        return subprocess.run(
            [*command, *tests],
            cwd=checkout,
            env={**os.environ, "DJANGO_ALLOW_ASYNC_UNSAFE": "1"} if browser else None,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds(LONGEST) * len(tests),
        )
    except subprocess.TimeoutExpired as error:
        return subprocess.CompletedProcess(error.cmd, -1, stdout="It hangs.", stderr="")


if __name__ == "__main__":
    sys.exit(main())
