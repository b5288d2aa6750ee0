"""Who takes how much of the processor, by Linux' account."""

import os
import resource
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from flashsale import queues

_TICK = os.sysconf("SC_CLK_TCK")
# By a word of their command line.
ROLES = {
    "web": "flashsale.web",
    "worker": queues.ALL,
    "PostgreSQL": "postgres",
    "Valkey": "valkey",
}
GENERATOR = "load generator"


def used(folder: Path) -> Mapping[str, float]:
    """Seconds that the processes of the shop in this folder, and the load generators of this process, have
    used so far, by role. Nothing where there is no /proc."""
    seconds: defaultdict[str, float] = defaultdict(float)
    for role, process in _processes(folder):
        with suppress(OSError):  # it has ended
            fields = (process / "stat").read_text().rpartition(")")[2].split()
            seconds[role] += (int(fields[11]) + int(fields[12])) / _TICK
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds[GENERATOR] = children.ru_utime + children.ru_stime
    return seconds


def memory(folder: Path, kind: str = "Pss") -> dict[str, float]:
    """Bytes that the processes of the shop hold, by role, by Linux' account of that kind: what processes
    share is counted in parts, and "Pss_Anon" is without files and PostgreSQL's shared buffers."""
    held: defaultdict[str, float] = defaultdict(float)
    for role, process in _processes(folder):
        with suppress(OSError):
            lines = (process / "smaps_rollup").read_text().splitlines()
            held[role] += sum(
                int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{kind}:")
            )
    return dict(held)


def pids(folder: Path, role: str) -> list[int]:
    return [int(process.name) for found, process in _processes(folder) if found == role]


def _processes(folder: Path) -> Iterator[tuple[str, Path]]:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (
                (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            )
            role = next((role for role, word in ROLES.items() if word in command), "")
            if role and (_works_in(process, folder) or _was_told(process, folder)):
                yield role, process
        except OSError:  # it has ended, or is not ours
            continue


def _works_in(process: Path, folder: Path) -> bool:
    """PostgreSQL's processes write their titles over what they were told."""
    return (process / "cwd").readlink().is_relative_to(folder)


def _was_told(process: Path, folder: Path) -> bool:
    return f"VAR_DIR={folder}".encode() in (process / "environ").read_bytes()
