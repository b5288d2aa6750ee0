"""`manage.py draw`: show a draw, check it against PostgreSQL, and write the file that is published."""

import contextlib
import sys
from pathlib import Path
from typing import Any

from ops.base_command import INCONSISTENT, CommandFamily, Failed
from ops.draw_words import draw_facts, draw_lines
from ops.lifecycle_command import find_sale
from orders.draws import publication, verification
from orders.draws.publication import Unpublished
from orders.models import Draw


class Command(CommandFamily):
    help = "Shows draws and checks them: see `manage.py draw COMMAND --help`."
    refusals = (*CommandFamily.refusals, Unpublished)

    def add_commands(self) -> None:
        show = self.add_command(
            "show", self._show, "How far a draw is, and what is published of it."
        )
        show.add_argument("slug")
        verify = self.add_command(
            "verify", self._verify, "Recomputes a draw from its lots. Exit code 3 if it differs."
        )
        verify.add_argument("slug")
        export = self.add_command("export", self._export, "Writes the file that is published.")
        export.add_argument("slug")
        export.add_argument("--to", type=Path, metavar="FILE", help="default: standard output")

    def _show(self, *, slug: str, **_: Any) -> None:
        sale = find_sale(slug)
        if sale.draw_at is None:
            raise Failed(f"{sale.slug} sells by arrival: it has no draw.")
        draw = Draw.objects.filter(pk=sale.pk).first()
        self.tell(draw_facts(sale, draw), "\n".join(draw_lines(sale, draw)))

    def _verify(self, *, slug: str, **_: Any) -> int:
        sale = find_sale(slug)
        found = verification.verify(sale)
        facts = {"sale": sale.slug, "faults": [fault._asdict() for fault in found.faults]}
        if not found.faults:
            words = f"The draw of {sale.slug} is as it was committed to: {found.entries:,} entries."
            self.tell({**facts, "entries": found.entries}, words)
            return 0
        lines = [f"The draw of {sale.slug} is NOT as it was committed to."]
        lines += [f"    {fault.check}: {fault.text}" for fault in found.faults]
        self.tell({**facts, "entries": found.entries}, "\n".join(lines))
        return INCONSISTENT

    def _export(self, *, slug: str, to: Path | None, **_: Any) -> None:
        pieces = publication.write(find_sale(slug))
        try:
            with contextlib.ExitStack() as leaving:
                file = leaving.enter_context(to.open("wb")) if to else sys.stdout.buffer
                file.writelines(pieces)
        except OSError as error:
            if isinstance(error, BrokenPipeError):
                raise
            raise Failed(f"The file cannot be written: {error}.") from error
        if to:
            self.tell({"file": str(to)}, f"Written to {to}.")
