"""The embedded default: a private PostgreSQL and a private Valkey under `VAR_DIR`.

Settings import this module, so it does not import Django and starts nothing: it only reads the files that
`postgres.py` and `valkey.py` wrote.
"""

import secrets
from pathlib import Path

from flashsale.local import private_files

# Valid URLs to which no server listens, so that commands that need no server work.
_NO_DATABASE = "postgres://flashsale:none@127.0.0.1:1/flashsale"
_NO_REDIS = "redis://:none@127.0.0.1:1/0"


def postgres_folder(var_dir: Path) -> Path:
    return var_dir / "postgres"


def valkey_folder(var_dir: Path) -> Path:
    return var_dir / "valkey"


def urls(var_dir: Path) -> tuple[str, str]:
    """The URLs (database, Redis) of the embedded servers, running or not; placeholders at first."""
    return (
        private_files.read(postgres_folder(var_dir) / "url") or _NO_DATABASE,
        private_files.read(valkey_folder(var_dir) / "url") or _NO_REDIS,
    )


def secret_key(var_dir: Path) -> str:
    """The site's signing key, created on first use. All processes get the same one."""
    return private_files.read_or_write(var_dir / "secret-key", lambda: secrets.token_urlsafe(50))
