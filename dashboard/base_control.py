"""The base class of staff's controls: a form, its texts, and the function it calls."""

import logging
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

import psycopg
import redis
from django import forms
from django.core.exceptions import ObjectDoesNotExist
from django.db import Error, IntegrityError

from dashboard.access import RUN
from flashsale.database import only_reads
from inventory.constraint_messages import explain
from inventory.names import LineFormField
from orders.changes import NotPossible, NotReplicated

log = logging.getLogger(__name__)


class Outcome(NamedTuple):
    """The result of a change, for the staff who made it.

    `kind` is `done`; `repeated`: it was done before; `refused`; `late`: committed, but not yet in the gate;
    `unsure`: it may be committed, staff have to look; `read_only`: PostgreSQL takes no changes; `asked`:
    nothing was done, and will be if the form comes again with `accepted`.
    """

    kind: str
    words: str
    accepted: str = ""


class Control(forms.Form):
    """One kind of change. Its fields are the arguments of `function` besides the primary key and `by`."""

    required_css_class = "required"
    field_order = ("units", "limit", "minutes", "opens_at", "closes_at", "reason")

    name: ClassVar[str]  # in the URL and in the list of actions
    label: ClassVar[str]
    effect: ClassVar[str]  # shown before staff confirm
    done: ClassVar[str]  # shown afterwards; a format string of `subject` and the fields
    permissions: ClassVar[tuple[str, ...]] = (RUN,)  # any of them
    function: ClassVar[Callable[..., object]]

    reason = LineFormField(
        max_length=200, required=False, help_text="Optional. Kept in the audit, for other staff."
    )

    def __init__(self, subjects: Sequence[Any], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)

    @classmethod
    def why_not(cls, subjects: Sequence[Any]) -> str:
        """Why it cannot change all of these in one form; empty if it can."""
        return ""

    @classmethod
    def permitted_to(cls, user: Any) -> bool:
        return any(user.has_perm(permission) for permission in cls.permissions)

    @classmethod
    def fits(cls, subject: Any) -> bool:
        """Whether the subject's page offers it. Only a convenience: `function` enforces the rules."""
        return True

    @classmethod
    def current(cls, subject: Any) -> dict[str, Any]:
        """Initial values of the form for this one subject."""
        return {}

    @classmethod
    def initial_for(cls, subjects: Sequence[Any]) -> dict[str, Any]:
        """Initial values of a form that asks about these."""
        return cls.current(subjects[0]) if len(subjects) == 1 else {}

    @classmethod
    def warnings(cls, subject: Any) -> list[str]:
        """Sentences about odd things, which staff have to accept first."""
        return []

    def called(self, subject: Any) -> str:
        return str(subject)

    def arguments(self, subject: Any) -> dict[str, Any]:
        """The arguments of `function` besides the primary key and `by`."""
        return self.cleaned_data

    def carry_out(self, subject: Any, by: str) -> Outcome:
        """Make the change. Errors of PostgreSQL and Redis become outcomes, too."""
        called = self.called(subject)
        try:
            made = type(self).function(subject.pk, by=by, **self.arguments(subject))
        except NotPossible as refusal:
            return Outcome("refused", f"{called}: {refusal}")
        except NotReplicated as late:
            return Outcome("late", f"{called}: {late}")
        except ObjectDoesNotExist:
            return Outcome("refused", f"{called} does not exist any more.")
        except IntegrityError as refusal:
            return Outcome("refused", f"{called}: {explain(refusal)}")
        except (Error, redis.RedisError) as error:
            log.warning("%s of %s: %s", self.name, called, error)
            return _unfinished(called, error)
        if made is False:
            return Outcome("repeated", f"{called}: this was done before, and is done only once.")
        return Outcome("done", self.done.format(subject=called, **self.cleaned_data))


def _unfinished(called: str, error: Exception) -> Outcome:
    if isinstance(error.__cause__, psycopg.errors.LockNotAvailable):
        words = f"{called}: others are changing it. Nothing was changed here; please try again."
        return Outcome("refused", words)
    if only_reads(error):
        return Outcome("read_only", f"{called}: PostgreSQL can only be read. Nothing was changed.")
    words = f"{called}: a server did not answer. It may be done or not: see the audit."
    return Outcome("unsure", words)
