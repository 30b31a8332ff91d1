"""Raw rows of a question, opened in DuckDB for some statements."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import duckdb
from flask import current_app

from webapp.config import Settings
from webapp.visits.models import RawKind
from webapp.visits.questions import Question
from webapp.visits.raw.duck import NO_ROWS, duck_cursor
from webapp.visits.raw.selection import MARGIN, Parameters, Selection, Tables
from webapp.visits.raw.sources import LocalRows, RawSources

OPEN_TRIES = 3
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Reading:
    """A question, its rows, and a cursor to ask them."""

    selection: Selection
    _files: dict[str, list[str]]
    _cursor: duckdb.DuckDBPyConnection

    def rows(self, statement: str, parameters: Parameters) -> list[tuple[Any, ...]]:
        """The rows that a statement finds."""
        named = {name: files for name, files in self._files.items() if f"${name}" in statement}
        return self._cursor.execute(statement, {**parameters.values, **named}).fetchall()


def read(question: Question, ask: Callable[[Reading], Answer]) -> Answer:
    """What `ask` finds in the rows of a question, as they are in one moment.

    Another process may remove a copy from the cache before it is open: then it is copied again.
    """
    settings: Settings = current_app.extensions["settings"]
    for _ in range(OPEN_TRIES - 1):
        try:
            return _read(settings, question, ask)
        except duckdb.IOException:
            continue
    return _read(settings, question, ask)


def _read(settings: Settings, question: Question, ask: Callable[[Reading], Answer]) -> Answer:
    sources = _sources(settings)
    spans = {
        RawKind.ACTIVITY: (question.start, question.end + MARGIN),
        RawKind.VISIT: (question.start - MARGIN, question.end),
    }
    found = sources.read(question.organisation_id, question.site_ids, spans)
    tables = Tables(*(_table(kind, found[kind]) for kind in spans))
    files = {kind.value: list(rows.paths) for kind, rows in found.items()}
    with duck_cursor(settings, sources.folders) as cursor:
        return ask(Reading(Selection(question, tables), files, cursor))


def _table(kind: RawKind, rows: LocalRows) -> str:
    return f"read_parquet(${kind.value})" if rows.paths else NO_ROWS[kind]


@cache
def _sources(settings: Settings) -> RawSources:
    return RawSources(settings)
