"""Numbers that are kept beside records, by their keys: lists sort by them, compare and show them.

Such a number changes all the time, so it is in a table of its own, with a row only where it is not zero, and no
record is ever rewritten because of it. That table also holds keys of which there is no record.

A list in the order of one walks that table's index from the highest number down, and then the records without a
number; turned round, it is the same from the other end. Records of one number stand in the order of their keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, Select, and_, func, literal, select, tuple_

from webapp.extensions import db
from webapp.lib.pagination import BadCursorError, decode_cursor, encode_cursor
from webapp.records.entities import Beside, Entity
from webapp.records.filters import Condition, Operator, RecordFilter
from webapp.records.order import BAD_CURSOR, Order

HIGHEST = 2**63 - 1
NOBODY = UUID(int=0)


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both in it."""

    low: int = 0
    high: int = HIGHEST


@dataclass(frozen=True)
class Place:
    """A place in such an order: behind the key among those of the number."""

    number: int
    key: str

    def as_cursor(self) -> str:
        return encode_cursor(f"{self.number}:{self.key}", NOBODY)


def read_place(cursor: str) -> Place:
    """The place in a cursor; raises BadCursorError."""
    number, colon, key = decode_cursor(cursor)[0].partition(":")
    if not colon or not number.isdecimal() or int(number) > HIGHEST:
        raise BadCursorError(BAD_CURSOR)
    return Place(int(number), key)


@dataclass(frozen=True)
class BesideOrder(Order):
    """By a number beside the records, and then by their keys."""

    entity: Entity

    @property
    def beside(self) -> Beside:
        return self.entity.beside[str(self.column)]

    def by(self, record: Any) -> list[Any]:
        places = [number_of(self.entity, self.beside, record), getattr(record, self.entity.key_column)]
        return [place.desc() if self.descends else place.asc() for place in places]

    def after(self, record: Any, cursor: str) -> ColumnElement[bool]:
        number, key = number_of(self.entity, self.beside, record), getattr(record, self.entity.key_column)
        return self.is_behind(number, key, read_place(cursor))

    def is_behind(self, number: Any, key: Any, place: Place) -> ColumnElement[bool]:
        """Whether a number and key come behind a place."""
        here, there = tuple_(number, key), tuple_(literal(place.number, BigInteger()), literal(place.key, key.type))
        return here < there if self.descends else here > there

    def cursor_of(self, record: Any) -> str:
        number = numbers_of(self.entity, record.organisation_id, [record])[str(self.column)].get(record.id, 0)
        return Place(number, getattr(record, self.entity.key_column)).as_cursor()


def number_of(entity: Entity, beside: Beside, record: Any) -> ColumnElement[int]:
    """The number of a record, or of an alias of its table: looked up record by record, in whatever order they come."""
    key = getattr(beside.model, entity.key_column)
    own = and_(beside.model.organisation_id == record.organisation_id, key == getattr(record, entity.key_column))
    return func.coalesce(select(beside.number).where(own).scalar_subquery(), 0)


def numbers_of(entity: Entity, organisation_id: UUID, records: Sequence[Any]) -> dict[str, dict[UUID, int]]:
    """All numbers of some records, by their names and the records' ids; without those that are zero."""
    ids = {getattr(record, entity.key_column): record.id for record in records}
    found: dict[str, dict[UUID, int]] = {}
    for name, beside in entity.beside.items():
        key = getattr(beside.model, entity.key_column)
        own = select(key, beside.number).where(beside.model.organisation_id == organisation_id, key.in_(ids))
        found[name] = {ids[one]: number for one, number in db.session.execute(own)} if ids else {}
    return found


def compare_number(number: ColumnElement[int], condition: Condition) -> ColumnElement[bool]:
    """Whether a number is in the condition's range."""
    wanted = range_of(condition)
    return and_(number >= wanted.low, number <= wanted.high)


def range_of(condition: Condition) -> Range:
    """The numbers that a condition lets pass."""
    value = int(condition.value)
    if condition.operator is Operator.AT_LEAST:
        return Range(low=value)
    if condition.operator is Operator.BELOW:
        return Range(high=value - 1)
    return Range(value, value)


def range_in(wanted: RecordFilter, name: str) -> Range:
    """What all conditions on a number together let pass."""
    ranges = [range_of(condition) for condition in wanted.conditions if condition.column == name]
    return Range(max((one.low for one in ranges), default=0), min((one.high for one in ranges), default=HIGHEST))


def ids_by_numbers(
    entity: Entity, organisation_id: UUID, wanted: RecordFilter, limit: int
) -> Iterable[Select[tuple[UUID]]]:
    """The records whose number is not zero and in a wanted range, where few keys have such a number."""
    for name, beside in entity.beside.items():
        bounds = range_in(wanted, name)
        if bounds.low < 1:
            continue
        key, model = getattr(beside.model, entity.key_column), entity.model
        keys = select(key.label("key")).where(
            beside.model.organisation_id == organisation_id,
            beside.number >= bounds.low,
            beside.number <= bounds.high,
        )
        few = keys.limit(limit + 1).subquery()
        if (db.session.scalar(select(func.count()).select_from(few)) or 0) > limit:
            continue
        ids = select(model.id).join(few, few.c.key == getattr(model, entity.key_column))
        yield ids.where(model.organisation_id == organisation_id)
