"""What strangers could put into Celery's queue: nothing of it is run, and the next bell is heard."""

import base64
import json
import pickle
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import MakeSale
from flashsale import queues
from flashsale.celery import app
from flashsale.redis import blocking_clients
from inventory.models import Sale
from orders import bell
from tests import stack
from tests.cast import queue_up

QUEUE = f"celery:{queues.SETTLEMENT}"  # with the prefix of the settings


@pytest.fixture(scope="module")
def worker() -> Iterator[stack.Process]:
    # Without its caretaker, which would settle whatever the queue does.
    deaf = [*stack.WORKER[:1], "-m", "tests.security.bell_only", *stack.WORKER[3:]]
    process = stack.Process(deaf, {"LOG_LEVEL": "CRITICAL"}).start()
    try:
        yield process
    finally:
        process.stop()


def message(
    body: bytes, kind: str, task: str = queues.SETTLE, encoding: str = "binary", **more: Any
) -> str:
    """As kombu writes it into Redis."""
    number = str(uuid.uuid4())
    return json.dumps(
        {
            "body": base64.b64encode(body).decode(),
            "content-encoding": encoding,
            "content-type": kind,
            "headers": {
                "task": task,
                "id": number,
                "lang": "py",
                "root_id": number,
            },
            "properties": {
                "correlation_id": number,
                "delivery_mode": 2,
                "delivery_info": {"exchange": "", "routing_key": queues.SETTLEMENT},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": number,
            },
            **more,
        }
    )


def in_json(body: object, **more: Any) -> str:
    return message(json.dumps(body).encode(), "application/json", encoding="utf-8", **more)


class Touches:
    """Unpickled, it makes a file: whoever unpickles it runs a stranger's code."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def still_settles(sale: Sale, worker: stack.Process) -> None:
    queue_up(sale, 1)
    bell.ring(sale.pk)
    stack.wait_for(lambda: sale.orders.count() == 1, "the next bell is heard")
    assert worker.popen is not None
    assert worker.popen.poll() is None


@pytest.mark.parametrize("kind", ["application/x-python-serialize", "application/data"])
def test_a_pickle_is_never_opened(
    make_sale: MakeSale, worker: stack.Process, tmp_path: Path, kind: str
) -> None:
    sale, touched = make_sale(), tmp_path / "touched"
    pickled = pickle.dumps(((Touches(touched),), {}, {}))
    blocking_clients.client_of(0).lpush(QUEUE, message(pickled, kind))
    still_settles(sale, worker)
    assert not touched.exists()


def test_a_pickle_would_show_itself(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Touches(tmp_path / "touched")))  # noqa: S301  # our own
    assert (tmp_path / "touched").exists()


ODD = {
    "an unknown task": in_json([[1], {}, {}], task="os.system"),
    "no task": in_json([[1], {}, {}], headers={}),
    "no arguments": in_json([[], {}, {}]),
    "too many arguments": in_json([[1, 2, 3], {"sale": 4}, {}]),
    "a sale that is a word": in_json([["x"], {}, {}]),
    "a sale that is a list": in_json([[[1, 2]], {}, {}]),
    "a sale that is none": in_json([[2**70], {}, {}]),
    "a body that is none": in_json(None),
    "a body in another shape": in_json({"a": 1}),
    "JSON that is broken": message(b'{"a', "application/json", encoding="utf-8"),
    "YAML": message(b"!!python/object/apply:os.system [true]", "application/x-yaml"),
    "an encoding that is none": message(b"[[1],{},{}]", "application/json", encoding="rot-99"),
}


def test_odd_messages_are_passed_over(make_sale: MakeSale, worker: stack.Process) -> None:
    blocking_clients.client_of(0).lpush(QUEUE, *ODD.values())
    still_settles(make_sale(), worker)


NOISE = [b"", b"\0\xff\xfe", b"nothing", b"{}", b"[]", b"null", b'{"body": 1}', b"9" * 1_000_000]


def test_noise_in_the_queue_is_passed_over(make_sale: MakeSale, worker: stack.Process) -> None:
    blocking_clients.client_of(0).lpush(QUEUE, *NOISE)
    still_settles(make_sale(), worker)
    assert blocking_clients.client_of(0).llen(QUEUE) == 0


def test_what_was_passed_over_does_not_come_again(worker: stack.Process) -> None:
    stack.wait_for(
        lambda: not blocking_clients.client_of(0).hlen("celery:unacked"), "nothing is in hand"
    )


def test_a_worker_takes_json_and_nothing_else() -> None:
    assert app.conf.accept_content == app.conf.result_accept_content == ["json"]
    assert {app.conf.task_serializer, app.conf.result_serializer} == {"json"}
