"""Measures the memory that uploaded pictures take: `python -m bench.picture_memory`.

Each picture is taken by a new process, as a web process does it. Printed are its size, the peak memory of
that process and of the decoder that it starts (VmHWM, so Linux only), the time, and what staff would read.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.picture_samples import all_samples
from drills.private_shop import ROOT

# The decoder, which then says its peak.
_DECODER = """
import re, runpy, sys
runpy.run_module("inventory.picture_reencoder", run_name="__main__")
print("VmHWM", re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1], file=sys.stderr)
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.picture_memory", description=__doc__)
    parser.add_argument("--only", default="", help="pictures with this in their name")
    parser.add_argument("--take", type=Path, help=argparse.SUPPRESS)  # the process that takes one
    options = parser.parse_args()
    if options.take:
        print(json.dumps(take(options.take)))
    else:
        measure(options.only)


def measure(only: str) -> None:
    print(f"{'':40}{'size':>10}{'web':>9}{'decoder':>9}{'time':>8}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "upload")
        for name, content in all_samples(only):
            path.write_bytes(content)
            web = json.loads(_run(["-m", "bench.picture_memory", "--take", str(path)])[0])
            peak = _peak_of_decoder(path) if web["decoded"] else 0
            print(
                f"{name:40}{len(content) / 1000:>7,.0f} kB{web['peak']:>6,} MB{peak:>6,} MB"
                f"{web['seconds']:>6.1f} s  {web['said']}",
                flush=True,
            )


def take(path: Path) -> dict[str, object]:
    """Take the picture in this process, as a form does."""
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "flashsale.settings")
    django.setup()
    from django.core.exceptions import ValidationError
    from django.core.files import File

    from inventory.picture_limits import MOST_BYTES
    from inventory.picture_uploads import reencode

    began = time.perf_counter()
    with path.open("rb") as upload:
        try:
            width, height = reencode(File(upload)).encoded.size
            said = f"{width} x {height}"
        except ValidationError as refusal:
            said = refusal.messages[0]
    return {
        "seconds": time.perf_counter() - began,
        "said": said,
        "peak": _peak(Path("/proc/self/status").read_text()),
        "decoded": path.stat().st_size <= MOST_BYTES,
    }


def _peak_of_decoder(path: Path) -> int:
    return _peak(_run(["-c", _DECODER], path)[1].replace("VmHWM ", "VmHWM: "))


def _run(arguments: list[str], stdin: Path | None = None) -> tuple[str, str]:
    with (stdin or Path("/dev/null")).open("rb") as source:
        ended = subprocess.run(
            [sys.executable, *arguments], stdin=source, capture_output=True, check=True, cwd=ROOT
        )
    return ended.stdout.decode(errors="replace"), ended.stderr.decode(errors="replace")


def _peak(status: str) -> int:
    """Megabytes."""
    return round(int(status.partition("VmHWM:")[2].split()[0]) / 1000)


if __name__ == "__main__":
    main()
