"""Reading outcomes: a page of one outcome's records out of its arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from sqlalchemy import text

from webapp.extensions import db

T = TypeVar("T")
PAGE_SIZE = 50


@dataclass(frozen=True)
class OutcomeRow:
    """One record, or a dry run's row, with its outcome's reason."""

    record_id: UUID | None
    row_number: int | None
    reason: str | None


@dataclass(frozen=True)
class OutcomePage:
    """Some of an outcome's records, and the place of those that follow as "part.position"."""

    rows: Sequence[OutcomeRow]
    next_place: str | None


def list_outcome(
    organisation_id: UUID, bulk_action_id: UUID, outcome: str, place: str = "", limit: int = PAGE_SIZE
) -> OutcomePage:
    """A page of an outcome's records, in the order in which they were done; a damaged place begins at the front."""
    part, position = _place(place)
    found: list[tuple[int, int, OutcomeRow]] = []
    while len(found) <= limit:
        values = {
            "organisation_id": organisation_id,
            "bulk_action_id": bulk_action_id,
            "outcome": outcome,
            "part": part,
            "first": position + 1,
            "last": position + 1 + limit - len(found),
        }
        row = db.session.execute(SLICE, values).one_or_none()
        if row is None:
            break
        found += [(row.part, position + offset, one) for offset, one in enumerate(_rows(row))]
        part, position = row.part + 1, 0
    rows = [one for _, _, one in found[:limit]]
    follows = found[limit] if len(found) > limit else None
    return OutcomePage(rows, f"{follows[0]}.{follows[1]}" if follows else None)


# The first part from the given one on; only a slice of its arrays leaves the database.
FIRST = "CASE WHEN part = :part THEN :first ELSE 1 END"
LAST = "CASE WHEN part = :part THEN :last ELSE :last - :first + 1 END"
SLICES = ", ".join(f"{name}[{FIRST}:{LAST}] AS {name}" for name in ("record_ids", "row_numbers", "reasons"))
SLICE = text(
    f"SELECT part, {SLICES} FROM bulk_action_outcomes WHERE organisation_id = :organisation_id"
    " AND bulk_action_id = :bulk_action_id AND outcome = :outcome AND part >= :part ORDER BY part LIMIT 1"
)


def _rows(row: object) -> list[OutcomeRow]:
    ids, numbers, reasons = (getattr(row, name) or [] for name in ("record_ids", "row_numbers", "reasons"))
    count = max(len(ids), len(numbers))
    return [OutcomeRow(_at(ids, place), _at(numbers, place), _at(reasons, place)) for place in range(count)]


def _at(values: Sequence[T], place: int) -> T | None:
    return values[place] if place < len(values) else None


def _place(place: str) -> tuple[int, int]:
    part, _, position = place.partition(".")
    return (int(part), int(position)) if part.isdecimal() and position.isdecimal() else (0, 0)
