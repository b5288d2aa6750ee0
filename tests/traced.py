"""Run a module and write down each call of the product's code: `python -m tests.traced FILE MODULE …`.

A line per call, or per step of a coroutine: the machine's monotonic clock (seconds, the same for all
processes), thread, file and function. Each line is written at once, so that a killed process leaves a whole
trace.
"""

import os
import runpy
import sys
import threading
import time
from functools import cache
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parent.parent
PRODUCT = ("flashsale", "inventory", "orders", "storefront")


@cache  # by names: the codes of two empty modules are equal
def place(filename: str, function: str) -> str:
    """File and function, separated by a tab; empty for code that is not the product's."""
    path = Path(filename)
    if not path.is_relative_to(ROOT) or path.relative_to(ROOT).parts[0] not in PRODUCT:
        return ""
    return f"{path.relative_to(ROOT)}\t{function}"


def trace(file: int) -> None:
    """Write down the calls of this thread and of all that start later."""

    def write(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and (called := place(code.co_filename, code.co_qualname)):
            thread = threading.current_thread().name
            os.write(file, f"{time.monotonic()}\t{thread}\t{called}\n".encode())

    threading.setprofile(write)
    sys.setprofile(write)


def main() -> None:
    name, module, *arguments = sys.argv[1:]
    trace(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND))
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
