"""The orders of lists, and places in them: a cursor is the last record's place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from sqlalchemy import ColumnElement, DateTime, Numeric, literal, tuple_

from webapp.lib.pagination import BadCursorError, decode_cursor, encode_cursor

BAD_CURSOR = "This page link is damaged. Start again from the first page."


@dataclass(frozen=True)
class Order:
    """A list's order: by the id alone, or by a column and then the id."""

    column: str | None
    descends: bool

    @property
    def columns(self) -> tuple[str, ...]:
        return ("id",) if self.column is None else (self.column, "id")

    def by(self, record: Any) -> list[Any]:
        """What a record, or an alias of its table, is ordered by."""
        columns = [getattr(record, name) for name in self.columns]
        return [column.desc() if self.descends else column.asc() for column in columns]

    def after(self, record: Any, cursor: str) -> ColumnElement[bool]:
        """Whether a record comes behind the cursor's place. Raises BadCursorError."""
        text, last_id = decode_cursor(cursor)
        if self.column is None:
            after_id: ColumnElement[bool] = record.id < last_id if self.descends else record.id > last_id
            return after_id
        column = getattr(record, self.column)
        place, last = tuple_(column, record.id), tuple_(literal(_sort_value(text, column), column.type), last_id)
        return place < last if self.descends else place > last

    def cursor_at(self, place: Sequence[Any]) -> str:
        """The cursor of a place: the values of the order's columns."""
        value = "" if self.column is None else place[0]
        return encode_cursor(value.isoformat() if isinstance(value, datetime) else str(value), place[-1])

    def cursor_of(self, record: Any) -> str:
        """The cursor of a record's place."""
        return self.cursor_at([getattr(record, name) for name in self.columns])


BY_ID = Order(None, descends=True)


def _sort_value(text: str, column: Any) -> str | datetime | Decimal:
    try:
        if isinstance(column.type, DateTime):
            return datetime.fromisoformat(text)
        if not isinstance(column.type, Numeric):
            return text
        number = Decimal(text)
    except (ValueError, InvalidOperation) as error:
        raise BadCursorError(BAD_CURSOR) from error
    if not number.is_finite():
        raise BadCursorError(BAD_CURSOR)
    return number
