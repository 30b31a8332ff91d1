"""Raw rows of a question, opened in DuckDB for some statements."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import duckdb
from flask import current_app

from webapp.config import Settings
from webapp.visits.models import RawKind
from webapp.visits.questions import Question
from webapp.visits.raw.duck import duck_cursor
from webapp.visits.raw.selection import MARGIN, Parameters, Part, Selection
from webapp.visits.raw.sources import LocalRows, RawSources

OPEN_TRIES = 3
PLACEHOLDER = re.compile(r"\$(\w+)")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Reading:
    """A question, its rows, and a cursor to ask them."""

    selection: Selection
    _files: dict[str, list[str]]
    _cursor: duckdb.DuckDBPyConnection

    def rows(self, statement: str, parameters: Parameters) -> list[tuple[Any, ...]]:
        """The rows that a statement finds."""
        wanted = set(PLACEHOLDER.findall(statement))
        known = {**parameters.values, **self._files}
        return self._cursor.execute(statement, {name: known[name] for name in wanted}).fetchall()


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
    spans = {
        RawKind.ACTIVITY: (question.start, question.end + MARGIN),
        RawKind.VISIT: (question.start - MARGIN, question.end),
    }
    found = sources.read(question.organisation_id, question.site_ids, spans)
    files = {part: paths for kind in spans for part, paths in _parts(question, kind, found[kind]).items()}
    with duck_cursor(settings, sources.folders) as cursor:
        selection = Selection(question, tuple(files))
        return ask(Reading(selection, {part.parameter: paths for part, paths in files.items()}, cursor))


def _parts(question: Question, kind: RawKind, rows: LocalRows) -> dict[Part, list[str]]:
    """The files inside the range, and those that reach over its edges."""
    found: dict[Part, list[str]] = {}
    for file in rows.files:
        is_inside = question.start <= file.piece.from_at and file.piece.to_at < question.end
        part = Part(kind, f"{kind.value}_{'inside' if is_inside else 'around'}", is_inside)
        found.setdefault(part, []).append(file.path)
    return found


@cache
def _sources(settings: Settings) -> RawSources:
    return RawSources(settings)
