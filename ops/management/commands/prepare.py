"""`manage.py prepare`: do everything between "the servers answer" and "the shop can open".

In one process: further ones would each load Django again, which takes half a second.
"""

import hashlib
import io
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import redis
from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import DatabaseError, InterfaceError, connection
from django.db.migrations.recorder import MigrationRecorder

from ops.base_command import Failed, describe_failure, use_no_pool


class Command(BaseCommand):
    help = (
        "Checks the configuration, migrates the database, collects static files; "
        "fills an empty demo shop, unless this is production."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        only = parser.add_mutually_exclusive_group()
        only.add_argument(
            "--static", action="store_true", help="only the static files, without any server"
        )
        only.add_argument(
            "--database",
            action="store_true",
            help="all but the static files, which are in the container image",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["static"]:
            collect_static()
            return
        use_no_pool()
        try:
            self.prepare(with_static=not options["database"])
        except (DatabaseError, InterfaceError, redis.RedisError) as error:
            raise Failed(describe_failure(error)) from error

    def prepare(self, *, with_static: bool) -> None:
        call_command("check", databases=["default"], stdout=io.StringIO())
        call_command("check", deploy=True, tags=["redis"], stdout=io.StringIO())
        before = count_migrations()
        call_command("migrate", interactive=False, verbosity=0)
        if settings.PRODUCTION:
            self.stdout.write(
                "Settings and servers are well. "
                f"Migrations: {count_migrations() - before} applied now, {before} before."
            )
        if with_static:
            collect_static()
        if not settings.PRODUCTION:
            call_command("seed_demo", if_empty=True)


def count_migrations() -> int:
    """Count the migrations that the database has applied."""
    return len(MigrationRecorder(connection).applied_migrations())


def collect_static() -> None:
    """Collect the static files, unless nothing changed: hashing them takes longer than all other steps."""
    stamp: Path = settings.VAR_DIR / "static.stamp"
    sources = _fingerprint()
    if settings.STATIC_ROOT.exists() and stamp.exists() and stamp.read_text() == sources:
        return
    call_command("collectstatic", interactive=False, verbosity=0)
    stamp.write_text(sources)


def _fingerprint() -> str:
    """Hash every static file's path, size and time, the target folder and the storages."""
    digest = hashlib.sha256(repr((settings.STATIC_ROOT, settings.STORAGES)).encode())
    for finder in get_finders():
        for path, storage in finder.list([]):
            found = Path(storage.path(path)).stat()
            digest.update(f"{path} {found.st_size} {found.st_mtime_ns}\n".encode())
    return digest.hexdigest()
