"""The register of shops that run from this checkout: `manage.py up` records its shop, and `./manage.py` in
another terminal finds it without PORT and VAR_DIR.

`manage.py` imports this before Django, and adds the shop that it finds to the environment. Variables that
are set always win; where they name servers, nothing is guessed.
"""

import fcntl
import json
import os
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
DEFAULT_VAR_DIR = CHECKOUT / "var"
RECORDS = DEFAULT_VAR_DIR / "shops"
_SERVERS = ("DATABASE_URL", "REDIS_URL")


@dataclass(frozen=True)
class Shop:
    """A running shop's address and folder. No secrets: those are in the folder."""

    var_dir: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"VAR_DIR={self.var_dir} (port {self.port})"


class Ambiguous(Exception):
    """Several shops run, and the environment does not select one. The message names them."""


@contextmanager
def record_shop(shop: Shop, records: Path = RECORDS) -> Iterator[None]:
    """Record the shop for as long as the context lasts. Raises OSError if nothing can be written.

    The record's lock means that the shop runs: the kernel releases it when the process ends.
    """
    remove_ended(records)
    records.mkdir(parents=True, exist_ok=True)
    record, draft = records / f"{os.getpid()}.json", records / f".{os.getpid()}"
    with draft.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        json.dump(asdict(shop), file)
        file.flush()
        draft.replace(record)  # so that the record appears complete and locked
        try:
            yield
        finally:
            record.unlink(missing_ok=True)


def find_shops(records: Path = RECORDS) -> list[Shop]:
    """The running shops, sorted by folder."""
    found = [shop for record in records.glob("*.json") if (shop := _read(record))]
    return sorted(found, key=lambda shop: shop.var_dir)


def remove_ended(records: Path = RECORDS) -> None:
    """Remove the records of killed shops."""
    for record in records.glob("*.json"):
        if _read(record) is None:
            record.unlink(missing_ok=True)


def fill_environment(environment: MutableMapping[str, str], records: Path = RECORDS) -> None:
    """Set VAR_DIR, HOST and PORT, where unset, to those of the running shop. Raises Ambiguous."""
    if any(environment.get(name, "").strip() for name in _SERVERS):
        return
    candidates = [shop for shop in find_shops(records) if _matches(shop, environment)]
    if len(candidates) > 1:
        # Prefer the shop in the folder that commands use by default.
        default = [shop for shop in candidates if Path(shop.var_dir) == DEFAULT_VAR_DIR]
        candidates = default or candidates
    if len(candidates) > 1:
        names = "".join(f"\n  {shop}" for shop in candidates)
        raise Ambiguous(f"Several shops run from here. Choose one with VAR_DIR:{names}")
    for shop in candidates:
        found = {"VAR_DIR": shop.var_dir, "HOST": shop.host, "PORT": str(shop.port)}
        for name, value in found.items():
            if not environment.get(name, "").strip():
                environment[name] = value


def _matches(shop: Shop, environment: MutableMapping[str, str]) -> bool:
    """Whether the shop has the environment's VAR_DIR and PORT, as far as they are set."""
    folder, port = environment.get("VAR_DIR", "").strip(), environment.get("PORT", "").strip()
    if folder and Path(folder).expanduser().resolve() != Path(shop.var_dir):
        return False
    return port in ("", str(shop.port))


def _read(record: Path) -> Shop | None:
    """The recorded shop. None if it has ended: then no process holds the record's lock."""
    try:
        with record.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                fields = json.load(file)
                return Shop(fields["var_dir"], fields["host"], fields["port"])
    except FileNotFoundError:  # the shop removed it just now
        pass
    return None
