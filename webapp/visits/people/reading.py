"""Raw rows of one person, span by span, as tables for DuckDB."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from webapp.lib.clock import utc_now
from webapp.visits.models import RawKind
from webapp.visits.people.identities import Linked
from webapp.visits.people.spans import Span, plan_spans
from webapp.visits.questions import Question
from webapp.visits.raw.frames import TIME_COLUMNS, VISIT_SCHEMA
from webapp.visits.raw.reading import Reading, read
from webapp.visits.raw.row_conditions import Parameters
from webapp.visits.raw.selection import milliseconds
from webapp.visits.raw.sources import list_pieces

BEGINNING = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
AHEAD = timedelta(days=1)
"""Clocks of browsers may be ahead of ours, if only a little."""
UNSIGNED = ", ".join(name for name in VISIT_SCHEMA if name not in {"sign", "joined"})
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Person:
    """Somebody's visitors."""

    organisation_id: UUID
    links: tuple[Linked, ...]

    @property
    def site_ids(self) -> tuple[UUID, ...]:
        return tuple(sorted({link.site_id for link in self.links}))

    def ask(self, start: datetime, end: datetime, ask: Callable[[Reading], Answer]) -> Answer:
        """What is found in the rows of their sites in [start, end)."""
        return read(Question(self.organisation_id, self.site_ids, start, end), ask)

    def spans(self, end: datetime | None = None, most_rows: int | None = None) -> list[Span]:
        """Where to look for their visits, the newest first."""
        end = end or utc_now() + AHEAD
        pieces = list_pieces(self.organisation_id, self.site_ids, {RawKind.VISIT: (BEGINNING, end)})
        found = [(piece.from_at, piece.row_count) for piece in pieces]
        return plan_spans(found, end, most_rows) if most_rows else plan_spans(found, end)


def own_rows(person: Person, kind: RawKind, parameters: Parameters) -> str:
    """Whether a row is theirs, as a condition."""
    whole = [link.visitor for link in person.links if link.until is None]
    conditions = [f"visitor IN ({', '.join(map(parameters.add, whole))})"] if whole else []
    for link in person.links:
        if link.until is not None:
            before = parameters.add(milliseconds(link.until))
            conditions.append(f"(visitor = {parameters.add(link.visitor)} AND {TIME_COLUMNS[kind]} < {before})")
    return f"({' OR '.join(conditions) or 'false'})"


def own_visits(person: Person, reading: Reading, parameters: Parameters) -> str:
    """Their visits as they are by now, one row each."""
    rows = reading.selection.visits(parameters)
    own = own_rows(person, RawKind.VISIT, parameters)
    return f"(SELECT {UNSIGNED} FROM {rows} WHERE {own} GROUP BY {UNSIGNED} HAVING sum(sign) > 0)"


def own_activity(person: Person, reading: Reading, parameters: Parameters) -> str:
    """What they did, row by row."""
    return reading.selection.activity(parameters, own_rows(person, RawKind.ACTIVITY, parameters))


def rows_by_name(names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> Iterator[dict[str, Any]]:
    """Rows with the names of their columns."""
    return (dict(zip(names, row, strict=True)) for row in rows)
