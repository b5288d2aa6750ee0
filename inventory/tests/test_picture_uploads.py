"""Uploads are decoded in a process of its own: bounded in size, memory and time, one at a time."""

import resource
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile

from bench.picture_samples import REFUSED, TAKEN, png
from inventory import picture_uploads
from inventory.picture_limits import MOST_MEMORY
from inventory.picture_reencoder import READABLE, Encoded
from inventory.picture_uploads import HELP, reencode
from tests.stack import wait_for

SMALL = png(30, 20, 8, 6)


def refusal(content: bytes) -> str:
    with pytest.raises(ValidationError) as refused:
        reencode(ContentFile(content, "upload"))
    return str(refused.value.messages[0])


def program(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Another program in the place of the decoder."""
    run: Callable[..., object] = picture_uploads.subprocess.run  # type: ignore[attr-defined]  # as the code calls it

    def run_code(command: object, **options: object) -> object:
        return run([sys.executable, "-c", code], **options)

    monkeypatch.setattr(picture_uploads.subprocess, "run", run_code)  # type: ignore[attr-defined]  # as above


def test_a_picture_is_named_by_its_content() -> None:
    one, other = reencode(ContentFile(SMALL)), reencode(ContentFile(SMALL))
    assert one.name == other.name
    assert one.encoded.size == (30, 20)


def test_a_picture_that_was_read_before_is_read_from_its_start() -> None:
    upload = ContentFile(SMALL)
    upload.read()
    assert reencode(upload).encoded.size == (30, 20)


REASONS = {
    "PNG, 49 megapixels": "The picture has more than 25 megapixels.",
    "PNG, one row too many": "The picture has more than 25 megapixels.",
    "GIF, a screen of 4,294 megapixels": "The picture has more than 25 megapixels.",
    "WebP, 268 megapixels": "The picture has more than 25 megapixels.",
    "PNG, a profile that unpacks to 200 MB": "The picture is damaged or incomplete: it cannot be read.",
    "PNG, a text that unpacks to 200 MB": "The picture is damaged or incomplete: it cannot be read.",
    "ICO": f"This is a file of the format ICO. Pictures are taken as {READABLE}.",
    "ICNS": f"This is a file of the format ICNS. Pictures are taken as {READABLE}.",
    "HEIC": f"This is a file of the format HEIC. Pictures are taken as {READABLE}.",
    "more than 16 MB": (
        "The picture has 16.0 MB. At most 16 MB are taken: "
        "save it as JPEG, which seldom has more than 10 MB."
    ),
}


@pytest.mark.parametrize("name", REASONS)
def test_what_is_refused_is_said_in_a_sentence(name: str) -> None:
    assert refusal(REFUSED[name]()) == REASONS[name]


def test_the_limits_are_said_before() -> None:
    assert "at most 16 MB and 25 megapixels" in HELP
    assert READABLE in HELP


@pytest.mark.parametrize("cut", [0.02, 0.5, 0.98])
@pytest.mark.parametrize("name", ["JPEG, 4,000 x 4,000"])
def test_a_picture_that_is_cut_off_is_refused(name: str, cut: float) -> None:
    content = TAKEN[name]()
    assert "damaged" in refusal(content[: int(len(content) * cut)])


def test_the_largest_picture_is_taken() -> None:
    assert reencode(ContentFile(TAKEN["PNG, RGBA, 16 bits"]())).encoded.size == (1200, 1200)


# --- The process ----------------------------------------------------------------------------------


def test_the_decoder_cannot_take_more_memory_than_its_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code = "from inventory.picture_reencoder import *; import json, resource; bound_process();"
    code += "print(json.dumps({'refused': str(resource.getrlimit(resource.RLIMIT_AS))}))"
    program(monkeypatch, code)
    assert refusal(SMALL) == str((MOST_MEMORY, MOST_MEMORY))
    assert resource.getrlimit(resource.RLIMIT_AS) != (MOST_MEMORY, MOST_MEMORY)


def test_a_picture_that_takes_too_much_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import sys, inventory.picture_reencoder as d; d.MOST_MEMORY = 130_000_000; d.bound_process();"
    code += "sys.stdout.buffer.write(d.answer(sys.stdin.buffer))"
    program(monkeypatch, code)
    assert refusal(png(5000, 5000, 8, 6)) == "The picture takes too much memory. Save it smaller."


def test_a_decoder_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_uploads, "DECODE_SECONDS", 0.3)
    program(monkeypatch, "import threading; threading.Event().wait()")
    assert refusal(SMALL) == "The picture takes too long to read. Save it smaller."


@pytest.mark.parametrize("code", ["import os; os.abort()", "raise SystemExit(1)"])
def test_a_decoder_that_crashes_refuses_the_picture(
    monkeypatch: pytest.MonkeyPatch, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    program(
        monkeypatch, f"import resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); {code}"
    )
    assert "it ended the program that reads it" in refusal(SMALL)
    assert "the decoder ended with" in caplog.text


class Gate:
    """A decoder that waits until it may go on, and counts how many of it run at once."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.running = self.most = self.done = 0
        self.lock = threading.Lock()

    def run(self, spooled: object) -> bytes:
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
        self.open.wait(60)
        with self.lock:
            self.running -= 1
            self.done += 1
        return Encoded((1, 1), {1: b"picture"}, []).pack()


def test_one_picture_is_decoded_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _decode_four(monkeypatch).most == 1


def test_without_the_lock_several_are_decoded_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_uploads, "_one_at_a_time", lambda work: work())
    assert _decode_four(monkeypatch, at_once=4).most == 4


def _decode_four(monkeypatch: pytest.MonkeyPatch, at_once: int = 1) -> Gate:
    gate = Gate()
    monkeypatch.setattr(picture_uploads, "_run_decoder", gate.run)
    with ThreadPoolExecutor(4) as staff:
        uploads = [staff.submit(reencode, ContentFile(SMALL)) for _ in range(4)]
        wait_for(lambda: gate.running == at_once, "the decoder")
        gate.open.set()
        assert [upload.result().encoded.size for upload in uploads] == [(1, 1)] * 4
    return gate


def test_who_waits_too_long_for_other_pictures_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_uploads, "QUEUE_SECONDS", 0.1)
    gate = Gate()
    monkeypatch.setattr(picture_uploads, "_run_decoder", gate.run)
    with ThreadPoolExecutor(1) as other:
        first = other.submit(reencode, ContentFile(SMALL))
        wait_for(lambda: gate.running == 1, "the decoder")
        said = "The shop is busy with other pictures. Send the form again in a minute."
        assert refusal(SMALL) == said
        gate.open.set()
        first.result()
    assert reencode(ContentFile(SMALL)).encoded.size == (1, 1)
