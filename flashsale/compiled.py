"""Queries that Django compiles once. To compile a short query takes longer than to ask PostgreSQL.

Django has no public way to give a compiled query other values. So this file does what its
`ModelIterable` does, and is the only one that knows how.
"""

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any, Generic, NamedTuple, TypeVar

from django.db import DEFAULT_DB_ALIAS, connection
from django.db.models import Expression, Model, QuerySet
from django.db.models.query import get_related_populators

from flashsale.database import Rows, Statement, require_transaction

M = TypeVar("M", bound=Model)


class Given(Expression):
    """A value of a filter that is given with each question, by its name. No list and no None: Django makes
    other queries of them."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        return "%s", [self]


class _Ready(NamedTuple):
    """A compiled query, and how its rows become instances."""

    sql: str
    parameters: tuple[object, ...]
    locks: bool
    fields: slice  # of the model itself; those of related ones follow
    names: list[str]
    populators: Any
    convert: Callable[[Rows], Iterable[Any]]


class Compiled(Generic[M]):
    """A query with `Given` values, compiled when it is first asked. Any thread may ask it."""

    def __init__(self, model: type[M], make: Callable[[], QuerySet[M]]) -> None:
        self._model = model
        self._make = make

    def ask(self, **values: object) -> list[M]:
        """The rows as instances. Raises django.db.DatabaseError, and TransactionManagementError for a
        query that locks, outside a transaction."""
        with connection.cursor() as cursor:
            cursor.execute(*self.statement(**values))
            return self.read(cursor.fetchall())

    def first(self, **values: object) -> M | None:
        return next(iter(self.ask(**values)), None)

    def get(self, **values: object) -> M:
        """Like `first`. Raises the model's DoesNotExist if there is no row."""
        found = self.first(**values)
        if found is None:
            missing: Any = self._model  # the stubs do not know that each model has its own error
            raise missing.DoesNotExist(f"There is no {self._model.__name__} with {values}.")
        return found

    def statement(self, **values: object) -> Statement:
        """The question for `ask_together`; `read` takes its answer."""
        ready = self._ready
        if ready.locks:
            require_transaction()
        given = (
            values[each.name] if isinstance(each, Given) else each for each in ready.parameters
        )
        return ready.sql, tuple(given)

    def read(self, rows: Rows) -> list[M]:
        ready, found = self._ready, []
        for row in ready.convert(rows):
            instance = self._model.from_db(DEFAULT_DB_ALIAS, ready.names, row[ready.fields])
            for populator in ready.populators:
                populator.populate(row, instance)
            found.append(instance)
        return found

    @cached_property
    def _ready(self) -> _Ready:
        return self._compile()

    def _compile(self) -> _Ready:
        query = self._make().query
        compiler = query.get_compiler(DEFAULT_DB_ALIAS)
        sql, parameters = compiler.as_sql()
        about: Any = compiler.klass_info
        columns = [column for column, *_ in compiler.select]
        own = slice(about["select_fields"][0], about["select_fields"][-1] + 1)
        converters: Any = compiler.get_converters(columns)

        def convert(rows: Rows) -> Iterable[Any]:
            return compiler.apply_converters(rows, converters) if converters else rows

        return _Ready(
            sql,
            tuple(parameters),
            bool(query.select_for_update),
            own,
            [column.target.attname for column in columns[own]],
            get_related_populators(about, compiler.select, DEFAULT_DB_ALIAS),  # type: ignore[call-arg]  # the stubs are of a newer Django
            convert,
        )
