"""Searching an organisation's records without ever waiting for a whole table.

When an index names at most SMALL_SET records that can match, those are read and put in order. Otherwise the list's
own order is walked, at most WALK_ROWS of it at a time; a page that found too few on the way says so, and its cursor
goes on from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, DateTime, Numeric, Select, func, literal, select, tuple_
from sqlalchemy.orm import aliased

from webapp.extensions import db
from webapp.lib.pagination import BadCursorError, decode_cursor, encode_cursor
from webapp.records.context import context_of
from webapp.records.entities import Entity
from webapp.records.filters import Operator, RecordFilter
from webapp.records.matching import conditions_of, search_ranges

PAGE_SIZE = 50
COUNT_LIMIT = 100_000
SMALL_SET = 2_000
FIRST_STEPS = 2_000
"""A walk tries so few at first: for most filters they fill a page."""
WALK_ROWS = 20_000
TAG_WALK_ROWS = 6_000
"""Along a tag each record is looked up by itself."""
GLANCE_ROWS = 2_000
"""So many a page reads for its first count; the whole count follows by itself."""
COUNT_WALK_ROWS = 1_000_000
CREATED_WITHIN = timedelta(minutes=10)
"""So far the moment in a record's id may be from that of its creation."""


@dataclass(frozen=True)
class RecordPage:
    """Some records, the cursor of those that follow, and whether that one goes on with a search that is not over."""

    records: Sequence[Any]
    next_cursor: str | None
    is_partial: bool = False
    searched_count: int = 0
    """How many records a search that is not over has met for this page."""


@dataclass(frozen=True)
class RecordCount:
    """How many there are; when it is not exact, there are more than that."""

    number: int
    is_exact: bool


@dataclass(frozen=True)
class Order:
    """A list's order: by the id alone, or by a column and then the id."""

    column: str | None
    descends: bool


def order_of(entity: Entity, sort: str, direction: str = "") -> Order:
    """The order of this name; texts ascend and times descend, unless `direction` says otherwise. Raises KeyError."""
    column = entity.sorts[sort]
    natural = "desc" if column in {None, "updated_at"} else "asc"
    return Order(column, (direction or natural) == "desc")


class Search:
    """One question about an organisation's records."""

    def __init__(self, entity: Entity, organisation_id: UUID, wanted: RecordFilter) -> None:
        self.entity = entity
        self.organisation_id = organisation_id
        self.wanted = wanted
        self.context = context_of(organisation_id)

    def of(self, record: Any) -> list[ColumnElement[bool]]:
        return conditions_of(self.entity, record, self.organisation_id, self.wanted, self.context)

    def small_set(self) -> list[UUID] | None:
        """The ids that an index names, when they are few; all that match are among them."""
        for driver in self._drivers():
            ids: set[UUID] = set()
            for part in driver:
                ids.update(db.session.scalars(part.limit(SMALL_SET + 1)))
                if len(ids) > SMALL_SET:
                    break
            if len(ids) <= SMALL_SET:
                return list(ids)
        return None

    def _drivers(self) -> list[list[Select[tuple[UUID]]]]:
        """What an index answers, each as queries whose ids are put together."""
        model, tags = self.entity.model, self.entity.tags.c
        own = select(model.id).where(model.organisation_id == self.organisation_id)
        drivers = [
            [select(tags.record_id).where(tags.organisation_id == self.organisation_id, tags.tag == tag)]
            for tag in self.wanted.tags
        ]
        if self.wanted.q:
            drivers.append([own.where(part) for part in search_ranges(self.entity, model, self.wanted.q)])
        if self.wanted.import_id:
            drivers.append([own.where(model.bulk_action_id == self.wanted.import_id)])
        drivers += [[own.where(condition)] for condition in self._indexed_conditions()]
        return drivers

    def _indexed_conditions(self) -> list[ColumnElement[bool]]:
        indexed = {self.entity.key.name, "phone", "owner_id"}
        chosen = [c for c in self.wanted.conditions if c.column in indexed and c.operator is Operator.IS]
        alone = [RecordFilter(conditions=(condition,)) for condition in chosen]
        model, organisation_id = self.entity.model, self.organisation_id
        return [conditions_of(self.entity, model, organisation_id, one, self.context)[0] for one in alone]

    def page_of(self, ids: list[UUID], order: Order, cursor: str | None, limit: int) -> RecordPage:
        """A page of those of a small set that match."""
        model = self.entity.model
        query = select(model).where(model.organisation_id == self.organisation_id, model.id.in_(ids), *self.of(model))
        if cursor:
            query = query.where(_after(model, order, cursor))
        found = db.session.scalars(query.order_by(*_ordering(model, order)).limit(limit + 1)).all()
        return self._page(found, order, limit)

    def walk(self, order: Order, cursor: str | None, limit: int) -> RecordPage:
        """A page of those that match among the next WALK_ROWS of the order."""
        first, steps = min(FIRST_STEPS, self._steps(order)), self._steps(order)
        page = self._walk(order, cursor, limit, first)
        return self._walk(order, cursor, limit, steps) if page.is_partial and first < steps else page

    def _steps(self, order: Order) -> int:
        return min(WALK_ROWS, TAG_WALK_ROWS) if order.column is None and self.wanted.tags else WALK_ROWS

    def _walk(self, order: Order, cursor: str | None, limit: int, steps: int) -> RecordPage:
        walked = self._walked(order, cursor, steps)
        record = aliased(self.entity.model, walked)
        query = select(record).where(*self.of(record)).order_by(*_ordering(record, order)).limit(limit + 1)
        found = db.session.scalars(query).all()
        if len(found) > limit or self.wanted.is_empty:
            return self._page(found, order, limit)
        last = db.session.scalar(select(record).order_by(*_ordering(record, order)).offset(steps - 1).limit(1))
        next_cursor = _cursor_of(last, order) if last else None
        return RecordPage(found, next_cursor, is_partial=last is not None, searched_count=steps)

    def _walked(self, order: Order, cursor: str | None, limit: int) -> Any:
        model = self.entity.model
        query = select(model).where(model.organisation_id == self.organisation_id, *self._guides(order))
        if order.column is None and self.wanted.tags:
            query = self._by_tag(order, cursor, limit)
        elif cursor:
            query = query.where(_after(model, order, cursor))
        return query.order_by(*_ordering(model, order)).limit(limit).subquery()

    def _guides(self, order: Order) -> list[ColumnElement[bool]]:
        """Conditions whose index is in the order of ids, so that the walk only meets records that fulfil them."""
        if order.column is not None or self.wanted.tags:
            return []
        model = self.entity.model
        bounds = _id_bounds(model, self.wanted)
        came = [model.bulk_action_id == self.wanted.import_id] if self.wanted.import_id else []
        return [*bounds, *(came or self._indexed_conditions()[:1])]

    def _by_tag(self, order: Order, cursor: str | None, limit: int) -> Select[Any]:
        """The walk along one tag's records."""
        model, tags = self.entity.model, self.entity.tags.c
        some = select(tags.record_id).where(
            tags.organisation_id == self.organisation_id, tags.tag == self.wanted.tags[0]
        )
        if cursor:
            last = decode_cursor(cursor)[1]
            some = some.where(tags.record_id < last if order.descends else tags.record_id > last)
        along = tags.record_id.desc() if order.descends else tags.record_id
        some_ids = some.order_by(along).limit(limit).subquery()
        return (
            select(model)
            .join(some_ids, some_ids.c.record_id == model.id)
            .where(model.organisation_id == self.organisation_id)
        )

    def count(self, ids: list[UUID] | None, walk_rows: int) -> RecordCount:
        """Those of the small set; else as many as the walk meets."""
        model = self.entity.model
        if ids is not None:
            query = select(model.id).where(model.organisation_id == self.organisation_id, model.id.in_(ids))
            return RecordCount(_number_of(query.where(*self.of(model))), is_exact=True)
        if self.wanted.is_empty:
            number = _number_of(select(model.id).where(model.organisation_id == self.organisation_id))
            return RecordCount(min(number, COUNT_LIMIT), number <= COUNT_LIMIT)
        walked = self._walked(Order(None, descends=True), None, walk_rows + 1)
        record = aliased(model, walked)
        number = _number_of(select(record.id).where(*self.of(record)))
        if number > COUNT_LIMIT:
            return RecordCount(COUNT_LIMIT, is_exact=False)
        has_more = db.session.scalar(select(literal(1)).select_from(walked).offset(walk_rows).limit(1)) is not None
        return RecordCount(number, is_exact=not has_more)

    def _page(self, found: Sequence[Any], order: Order, limit: int) -> RecordPage:
        has_more = len(found) > limit
        return RecordPage(found[:limit], _cursor_of(found[limit - 1], order) if has_more else None)


def _id_bounds(record: Any, wanted: RecordFilter) -> list[ColumnElement[bool]]:
    """Ids are UUIDv7, made within minutes of their records' creation: so its days bound them."""
    bounds = []
    if wanted.created_since:
        bounds.append(record.id >= _first_id(wanted.created_since - CREATED_WITHIN))
    if wanted.created_until:
        bounds.append(record.id < _first_id(wanted.created_until + CREATED_WITHIN))
    return bounds


def _first_id(moment: datetime) -> UUID:
    """The smallest UUIDv7 of a moment."""
    return UUID(int=max(0, int(moment.timestamp() * 1000)) << 80)


def _number_of(query: Select[Any]) -> int:
    return db.session.scalar(select(func.count()).select_from(query.limit(COUNT_LIMIT + 1).subquery())) or 0


def _ordering(record: Any, order: Order) -> list[Any]:
    columns = [record.id] if order.column is None else [getattr(record, order.column), record.id]
    return [column.desc() if order.descends else column.asc() for column in columns]


def _after(record: Any, order: Order, cursor: str) -> ColumnElement[bool]:
    text, last_id = decode_cursor(cursor)
    if order.column is None:
        after_id: ColumnElement[bool] = record.id < last_id if order.descends else record.id > last_id
        return after_id
    column = getattr(record, order.column)
    place, last = tuple_(column, record.id), tuple_(literal(_sort_value(text, column), column.type), last_id)
    return place < last if order.descends else place > last


def _cursor_of(record: Any, order: Order) -> str:
    value = "" if order.column is None else getattr(record, order.column)
    return encode_cursor(value.isoformat() if isinstance(value, datetime) else str(value), record.id)


def _sort_value(text: str, column: Any) -> str | datetime | Decimal:
    try:
        if isinstance(column.type, DateTime):
            return datetime.fromisoformat(text)
        return Decimal(text) if isinstance(column.type, Numeric) else text
    except (ValueError, InvalidOperation) as error:
        raise BadCursorError("This page link is damaged. Start again from the first page.") from error
