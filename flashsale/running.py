"""Which shops run from this checkout: `manage.py up` writes its own down, `./manage.py` in another terminal
finds it without being told PORT and VAR_DIR again.

`manage.py` imports this before Django, and puts what it finds into the environment. What the environment
says itself always holds, and where it names servers nothing is guessed.
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
    """Where a shop that runs can be reached, and its folder. No secret: those are in the folder."""

    var_dir: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"VAR_DIR={self.var_dir} (port {self.port})"


class Ambiguous(Exception):
    """Several shops run, and the environment does not say which is meant; the message names them."""


@contextmanager
def recorded(shop: Shop, records: Path = RECORDS) -> Iterator[None]:
    """Has the shop found for as long as the context lasts. Raises OSError where nothing can be written.

    The lock says that it runs, and ends with the process however it ends.
    """
    forget_ended(records)
    records.mkdir(parents=True, exist_ok=True)
    record, draft = records / f"{os.getpid()}.json", records / f".{os.getpid()}"
    with draft.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        json.dump(asdict(shop), file)
        file.flush()
        draft.replace(record)  # complete and locked when it is seen
        try:
            yield
        finally:
            record.unlink(missing_ok=True)


def shops(records: Path = RECORDS) -> list[Shop]:
    """Those that run, by their folders."""
    found = [shop for record in records.glob("*.json") if (shop := _read(record))]
    return sorted(found, key=lambda shop: shop.var_dir)


def forget_ended(records: Path = RECORDS) -> None:
    """Removes what killed shops have left behind."""
    for record in records.glob("*.json"):
        if _read(record) is None:
            record.unlink(missing_ok=True)


def tell(environment: MutableMapping[str, str], records: Path = RECORDS) -> None:
    """Sets VAR_DIR, HOST and PORT, where unset, to those of the shop that runs. Raises Ambiguous."""
    if any(environment.get(name, "").strip() for name in _SERVERS):
        return
    meant = [shop for shop in shops(records) if _agrees(shop, environment)]
    if len(meant) > 1:
        # The folder that commands look at by themselves.
        meant = [shop for shop in meant if Path(shop.var_dir) == DEFAULT_VAR_DIR] or meant
    if len(meant) > 1:
        names = "".join(f"\n  {shop}" for shop in meant)
        raise Ambiguous(f"Several shops run from here. Say with VAR_DIR which is meant:{names}")
    for shop in meant:
        told = {"VAR_DIR": shop.var_dir, "HOST": shop.host, "PORT": str(shop.port)}
        for name, value in told.items():
            if not environment.get(name, "").strip():
                environment[name] = value


def _agrees(shop: Shop, environment: MutableMapping[str, str]) -> bool:
    """Whether it is what the environment says of folder and port."""
    folder, port = environment.get("VAR_DIR", "").strip(), environment.get("PORT", "").strip()
    if folder and Path(folder).expanduser().resolve() != Path(shop.var_dir):
        return False
    return port in ("", str(shop.port))


def _read(record: Path) -> Shop | None:
    """None of one that has ended: nobody holds its lock."""
    try:
        with record.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                said = json.load(file)
                return Shop(said["var_dir"], said["host"], said["port"])
    except FileNotFoundError:  # it ended just now
        pass
    return None
