"""Raw rows of a question, opened in DuckDB for some statements."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from typing import Any, TypeVar
from uuid import UUID

import duckdb
import numpy
import polars as pl
from flask import current_app

from webapp.config import Settings
from webapp.visits.models import RawKind
from webapp.visits.questions import Operator, Question
from webapp.visits.raw.duck import duck_cursor
from webapp.visits.raw.row_conditions import Parameters
from webapp.visits.raw.selection import Part, Selection, milliseconds, spans_of
from webapp.visits.raw.sources import LocalRows, RawSources, list_complete_from
from webapp.visits.raw.visit_tables import BECAME, NAMES, follow

OPEN_TRIES = 3
BATCH_ROWS = 2_000
PLACEHOLDER = re.compile(r"\$(\w+)")
PAIRS = pl.Schema({"visit": pl.Int64(), "joined": pl.Int64()})
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Reading:
    """A question, its rows, and a cursor to ask them."""

    selection: Selection
    _files: dict[str, list[str]]
    _cursor: duckdb.DuckDBPyConnection
    _kept: dict[RawKind, str] = field(default_factory=dict)
    _made: set[str] = field(default_factory=set)

    def table(self, kind: RawKind, parameters: Parameters) -> str:
        """The rows that pass all filters, for a statement."""
        selection = self.selection
        return self._kept.get(kind) or (selection.visits if kind is RawKind.VISIT else selection.activity)(parameters)

    def keep(self, kind: RawKind, columns: Sequence[str]) -> None:
        """Find the rows that pass once, for several statements; these columns are all that they may name."""
        parameters, name = Parameters(), f"kept_{kind.value}"
        rows = self.table(kind, parameters)
        self.make(name, f"SELECT {', '.join(columns)} FROM {rows}", parameters)
        self._kept[kind] = name

    def make(self, name: str, statement: str, parameters: Parameters) -> None:
        """A table of what a statement finds, which is gone with the reading."""
        self.rows(f"CREATE TEMP TABLE {name} AS {statement}", parameters)

    def rows(self, statement: str, parameters: Parameters) -> list[tuple[Any, ...]]:
        """The rows that a statement finds."""
        return self._execute(statement, parameters).fetchall()

    def batches(
        self, statement: str, parameters: Parameters, size: int = BATCH_ROWS
    ) -> Iterator[list[tuple[Any, ...]]]:
        """As `rows`, some at a time."""
        found = self._execute(statement, parameters)
        while batch := found.fetchmany(size):
            yield batch

    def _execute(self, statement: str, parameters: Parameters) -> duckdb.DuckDBPyConnection:
        for name in NAMES.findall(statement):
            self._prepare(name)
        wanted = set(PLACEHOLDER.findall(statement))
        known = {**parameters.values, **self._files}
        return self._cursor.execute(statement, {name: known[name] for name in wanted})

    def _prepare(self, name: str) -> None:
        """Make a table of visits before the first statement that names it."""
        if name in self._made:
            return None
        self._made.add(name)
        if name == BECAME:
            return self._follow_joins()
        parameters = Parameters()
        return self.make(name, self.selection.define(name, parameters), parameters)

    def _follow_joins(self) -> None:
        """Few visits go into others, most often none: they are followed here, however far."""
        parameters = Parameters()
        joined = self.rows(self.selection.joins(parameters), parameters)
        pairs = pl.DataFrame(follow(joined), schema=PAIRS, orient="row")
        self._cursor.execute(f"CREATE TEMP TABLE {BECAME} (visit BIGINT, joined BIGINT)")
        if not pairs.is_empty():
            self._cursor.register("pairs", _Stream(pairs))
            self._cursor.execute(f"INSERT INTO {BECAME} SELECT visit, joined FROM pairs")

    def frame(self, statement: str, parameters: Parameters, schema: pl.Schema, **tables: pl.DataFrame) -> pl.DataFrame:
        """The same by column, where no value is missing; the statement may name the tables besides."""
        for name, table in tables.items():
            self._cursor.register(name, _Stream(table))
        found = self._execute(statement, parameters).fetchnumpy()
        return pl.DataFrame({name: numpy.asarray(found[name]) for name in schema}, schema=schema)


@dataclass(frozen=True)
class _Stream:
    """A frame as DuckDB reads it without a library between them: by this method, and no other that it would prefer."""

    frame: pl.DataFrame

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self.frame.__arrow_c_stream__(requested_schema)


def read(question: Question, ask: Callable[[Reading], Answer]) -> Answer:
    """What `ask` finds in the rows of a question, as they are in one moment.

    Another process, or whoever empties the cache, may remove a copy before it is open: then it is copied again.
    """
    settings: Settings = current_app.extensions["settings"]
    for _ in range(OPEN_TRIES - 1):
        try:
            return _read(settings, question, ask)
        except (duckdb.IOException, FileNotFoundError):
            continue
    return _read(settings, question, ask)


def _read(settings: Settings, question: Question, ask: Callable[[Reading], Answer]) -> Answer:
    sources = _sources(settings)
    spans = spans_of(question)
    found = sources.read(question.organisation_id, question.site_ids, spans)
    complete_from = list_complete_from(question.organisation_id, question.site_ids)
    files = {
        part: paths for kind in spans for part, paths in _parts(question, kind, found[kind], complete_from).items()
    }
    with duck_cursor(settings, sources.folders) as cursor:
        selection = Selection(question, tuple(files))
        reading = Reading(selection, {part.parameter: paths for part, paths in files.items()}, cursor)
        selection = replace(selection, asks_entries=_asks_entries(reading))
        return ask(replace(reading, selection=selection))


def _asks_entries(reading: Reading) -> bool:
    """Whether the entries of most visits pass: always where a few pages are not wanted, and never where few are."""
    operators = {wanted.operator for wanted in reading.selection.row_filters}
    if not reading.selection.may_ask_entries or Operator.IS in operators:
        return False
    if operators == {Operator.IS_NOT}:
        return True
    parameters = Parameters()
    [[every, entering]] = reading.rows(reading.selection.count_entries(parameters), parameters)
    return bool(2 * entering > every)


def _parts(
    question: Question, kind: RawKind, rows: LocalRows, complete_from: Mapping[UUID, datetime]
) -> dict[Part, list[str]]:
    """The files inside the range, and those that reach over its edges; of each site from when its rows are complete.

    Of a visit that changed, retention may have taken what it was and left that it is this no more.
    """
    found: dict[Part, list[str]] = {}
    for file in rows.files:
        piece, first = file.piece, complete_from.get(file.piece.site_id)
        if first and piece.to_at < first:
            continue
        is_inside = question.start <= piece.from_at and piece.to_at < question.end
        first_ms = milliseconds(first) if first and piece.from_at < first else 0
        part = Part(kind, f"{kind.value}_{'inside' if is_inside else 'around'}_{first_ms}", is_inside, first_ms)
        found.setdefault(part, []).append(file.path)
    return found


@cache
def _sources(settings: Settings) -> RawSources:
    return RawSources(settings)
