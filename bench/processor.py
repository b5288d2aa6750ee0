"""Processor time and memory of a shop's processes, by role, from Linux' /proc."""

import os
import resource
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from flashsale import queues

_TICK = os.sysconf("SC_CLK_TCK")
# Each role by a word of its command line.
ROLES = {
    "web": "flashsale.web",
    "worker": queues.ALL,
    "PostgreSQL": "postgres",
    "Valkey": "valkey",
}
GENERATOR = "load generator"


def read_seconds(folder: Path) -> Mapping[str, float]:
    """Read the processor seconds that the shop in `folder` and this process' load generators have used so
    far, by role. Only the load generators without /proc."""
    seconds: defaultdict[str, float] = defaultdict(float)
    for role, process in _processes(folder):
        with suppress(OSError):  # the process has ended
            fields = (process / "stat").read_text().rpartition(")")[2].split()
            seconds[role] += (int(fields[11]) + int(fields[12])) / _TICK
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds[GENERATOR] = children.ru_utime + children.ru_stime
    return seconds


def read_memory(folder: Path, kind: str = "Pss") -> dict[str, float]:
    """Read the bytes that the shop's processes hold, by role. `kind` is a field of smaps_rollup: "Pss"
    divides shared memory among its processes, "Pss_Anon" omits files and PostgreSQL's shared buffers."""
    held: defaultdict[str, float] = defaultdict(float)
    for role, process in _processes(folder):
        with suppress(OSError):
            lines = (process / "smaps_rollup").read_text().splitlines()
            held[role] += sum(
                int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{kind}:")
            )
    return dict(held)


def find_pids(folder: Path, role: str) -> list[int]:
    return [int(process.name) for found, process in _processes(folder) if found == role]


def _processes(folder: Path) -> Iterator[tuple[str, Path]]:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (
                (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            )
            role = next((role for role, word in ROLES.items() if word in command), "")
            if role and (_works_in(process, folder) or _names_folder(process, folder)):
                yield role, process
        except OSError:  # it has ended, or belongs to another user
            continue


def _works_in(process: Path, folder: Path) -> bool:
    """Whether the process runs in the folder. PostgreSQL writes its title over its environment."""
    return (process / "cwd").readlink().is_relative_to(folder)


def _names_folder(process: Path, folder: Path) -> bool:
    return f"VAR_DIR={folder}".encode() in (process / "environ").read_bytes()
