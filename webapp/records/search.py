"""Searching an organisation's records without ever waiting for a whole table.

When an index names at most SMALL_SET records that can match, those are read and put in order. Otherwise the list's
own order is walked, at most WALK_ROWS of it at a time; a page that found too few on the way says so, and its cursor
goes on from there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, FromClause, Select, Uuid, and_, func, literal, select, text, true
from sqlalchemy.orm import aliased

from webapp.extensions import db
from webapp.lib.pagination import decode_cursor
from webapp.records.beside import ids_by_numbers
from webapp.records.context import context_of
from webapp.records.entities import Entity
from webapp.records.filters import Operator, RecordFilter
from webapp.records.known_sets import KnownSet, ids_of_set
from webapp.records.leads import Lead, id_bounds, ids_by_search, ids_by_visits, leads_of
from webapp.records.matching import conditions_of, settled_sets
from webapp.records.order import BY_ID, Order

PAGE_SIZE = 50
COUNT_LIMIT = 100_000
SMALL_SET = 2_000
FIRST_STEPS = 2_000
"""A walk tries so few at first: for most filters they fill a page."""
WALK_ROWS = 20_000
LOOK_UP_ROWS = 6_000
"""Along a tag, or a set, each record is looked up by itself, and so is each number beside the records."""
GLANCE_ROWS = 2_000
"""So many are read for a count that nobody may wait for."""
COUNT_WALK_ROWS = 1_000_000
WAYS = ("enable_sort", "enable_hashjoin", "enable_mergejoin", "enable_bitmapscan", "enable_seqscan")
SET_WAYS = text("SELECT " + ", ".join(f"set_config('{way}', :on, true)" for way in WAYS))


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


@contextmanager
def along_indexes() -> Iterator[None]:
    """Let PostgreSQL go only along indexes: it takes every organisation for a small one, and would sort all of it."""
    db.session.execute(SET_WAYS, {"on": "off"})
    yield
    db.session.execute(SET_WAYS, {"on": "on"})


class Search:
    """One question about an organisation's records."""

    def __init__(self, entity: Entity, organisation_id: UUID, wanted: RecordFilter) -> None:
        self.entity = entity
        self.organisation_id = organisation_id
        self.wanted = wanted
        self.context = context_of(organisation_id)

    @cached_property
    def leads(self) -> list[Lead]:
        return leads_of(self.entity, self.wanted, self.context)

    @cached_property
    def tags(self) -> list[str]:
        """Every tag that the records bear for certain."""
        compared = [one.value for one in self.wanted.conditions if one.column == "tags" and one.operator is Operator.IS]
        return [*self.wanted.tags, *compared]

    @cached_property
    def guide(self) -> KnownSet | None:
        """The smallest set of which every record that matches is a member."""
        done = [known for known in settled_sets(self.wanted) if known.is_done]
        return min(done, key=lambda known: known.member_count, default=None)

    def of(self, record: Any) -> list[ColumnElement[bool]]:
        return conditions_of(self.entity, record, self.organisation_id, self.wanted, self.context)

    def small_set(self) -> list[UUID] | None:
        """The ids that an index names, when they are few; all that match are among them."""
        for driver in self.drivers():
            ids: set[UUID] = set()
            for part in driver:
                ids.update(db.session.scalars(part.limit(SMALL_SET + 1)))
                if len(ids) > SMALL_SET:
                    break
            if len(ids) <= SMALL_SET:
                return list(ids)
        return None

    def drivers(self) -> Iterator[list[Select[tuple[UUID]]]]:
        """What an index answers, each as queries whose ids are put together; the cheapest first."""
        model, wanted = self.entity.model, self.wanted
        own = select(model.id).where(model.organisation_id == self.organisation_id)
        days = id_bounds(model.id, wanted)
        if self.guide and self.guide.member_count <= SMALL_SET:
            yield [select(ids_of_set(self.organisation_id, self.guide.id).subquery().c.id)]
        for lead in self.leads:
            yield [own.where(lead.condition, *(days if lead.is_one_value else []))]
        for tag in self.tags:
            yield [self.ids_of_tag(tag)]
        if days:
            yield [own.where(*days)]
        for few in ids_by_numbers(self.entity, self.organisation_id, wanted, SMALL_SET):
            yield [few]
        if wanted.q:
            yield ids_by_search(self.entity, self.organisation_id, wanted.q)
        if wanted.is_seen and (seen := ids_by_visits(self.entity, self.organisation_id, SMALL_SET)):
            yield seen

    def page_of(self, ids: list[UUID], order: Order, cursor: str | None, limit: int) -> RecordPage:
        """A page of those of a small set that match."""
        record = self._these(ids)
        query = select(record).where(*self.of(record))
        if cursor:
            query = query.where(order.after(record, cursor))
        found = db.session.scalars(query.order_by(*order.by(record)).limit(limit + 1)).all()
        return _page(found, order, limit)

    def walk(self, order: Order, cursor: str | None, limit: int) -> RecordPage:
        """A page of those that match among the next WALK_ROWS of the order, or among fewer if these fill it."""
        if self.wanted.is_empty:
            return self._walk(order, cursor, limit, limit + 1)
        looks_up = self._is_along_ids(order) or self._compares_numbers_beside
        most = min(WALK_ROWS, LOOK_UP_ROWS) if looks_up else WALK_ROWS
        page = self._walk(order, cursor, limit, min(FIRST_STEPS, most))
        return self._walk(order, cursor, limit, most) if page.is_partial and most > FIRST_STEPS else page

    def count(self, ids: list[UUID] | None, walk_rows: int) -> RecordCount:
        """Those of the small set; else as many as the walk meets."""
        model = self.entity.model
        if ids is not None:
            record = self._these(ids)
            return RecordCount(_number_of(select(record.id).where(*self.of(record))), is_exact=True)
        if self.wanted.is_empty:
            number = _number_of(select(model.id).where(model.organisation_id == self.organisation_id))
            return RecordCount(min(number, COUNT_LIMIT), number <= COUNT_LIMIT)
        record = self._walked(BY_ID, None, walk_rows)
        number = _number_of(select(record.id).where(*self.of(record)))
        if number > COUNT_LIMIT:
            return RecordCount(COUNT_LIMIT, is_exact=False)
        return RecordCount(number, is_exact=self._cursor_after(BY_ID, None, walk_rows + 1) is None)

    def _walk(self, order: Order, cursor: str | None, limit: int, steps: int) -> RecordPage:
        record = self._walked(order, cursor, steps)
        query = select(record).where(*self.of(record)).order_by(*order.by(record)).limit(limit + 1)
        found = db.session.scalars(query).all()
        if len(found) > limit or self.wanted.is_empty:
            return _page(found, order, limit)
        next_cursor = self._cursor_after(order, cursor, steps)
        return RecordPage(found, next_cursor, is_partial=next_cursor is not None, searched_count=steps)

    def _cursor_after(self, order: Order, cursor: str | None, steps: int) -> str | None:
        """The place of the last of so many steps, by the index alone; None when the order ends before."""
        place = self._places_along(order, cursor).offset(steps - 1).limit(1)
        last = db.session.execute(place).one_or_none()
        return order.cursor_at(last) if last else None

    def _walked(self, order: Order, cursor: str | None, steps: int) -> Any:
        """The next so many records of the order, whole, as an alias of their table."""
        if self.guide and self._is_along_ids(order):
            return self._looked_up(self._places_along(order, cursor).limit(steps).subquery())
        model = self.entity.model
        own = select(model).where(model.organisation_id == self.organisation_id)
        if self._is_along_ids(order):
            some = self._places_along(order, cursor).limit(steps).subquery()
            own = own.join(some, some.c.id == model.id).order_by(*order.by(model))
        else:
            own = self._along(own, order, cursor)
        return aliased(model, own.limit(steps).subquery())

    def _places_along(self, order: Order, cursor: str | None) -> Select[Any]:
        """The places of the same records: what indexes hold."""
        if self.guide and self._is_along_ids(order):
            return self._along_set(self.guide, order, cursor)
        if self._is_along_ids(order):
            borne = self.ids_of_tag(self.tags[0]).subquery().c
            along = select(borne.id).order_by(*order.by(borne))
            return along.where(order.after(borne, cursor)) if cursor else along
        model = self.entity.model
        places = select(*(getattr(model, name) for name in order.columns))
        return self._along(places.where(model.organisation_id == self.organisation_id), order, cursor)

    def _along(self, own: Select[Any], order: Order, cursor: str | None) -> Select[Any]:
        model = self.entity.model
        query = own.where(*self._guides(order)).order_by(*order.by(model))
        return query.where(order.after(model, cursor)) if cursor else query

    def _along_set(self, guide: KnownSet, order: Order, cursor: str | None) -> Select[Any]:
        """In the order of ids: a set's rows are, and each row's members."""
        before = decode_cursor(cursor)[1] if cursor and order.descends else None
        members = ids_of_set(self.organisation_id, guide.id, before).subquery().c
        by = [column.desc() if order.descends else column.asc() for column in (members.place, members.id)]
        along = select(members.id).where(*id_bounds(members.id, self.wanted)).order_by(*by)
        return along.where(order.after(members, cursor)) if cursor else along

    def _is_along_ids(self, order: Order) -> bool:
        """Whether the walk goes along the records of a set or a tag, which are in the order of ids."""
        return order.column is None and bool(self.guide or self.tags)

    @property
    def _compares_numbers_beside(self) -> bool:
        return any(condition.column in self.entity.beside for condition in self.wanted.conditions)

    def _guides(self, order: Order) -> list[ColumnElement[bool]]:
        """Leads whose index is in the walk's order, so that it only meets records that fulfil them."""
        if order.column is not None:
            return [lead.condition for lead in self.leads if lead.column == order.column]
        of_one_value = [lead.condition for lead in self.leads if lead.is_one_value][:1]
        return [*of_one_value, *id_bounds(self.entity.model.id, self.wanted)]

    def ids_of_tag(self, tag: str) -> Select[tuple[UUID]]:
        """The records that bear a tag, by the index of tags."""
        tags = self.entity.tags.c
        own = select(tags.record_id.label("id")).where(tags.organisation_id == self.organisation_id, tags.tag == tag)
        return own.where(*id_bounds(tags.record_id, self.wanted))

    def _these(self, ids: list[UUID]) -> Any:
        """The records of these ids."""
        return self._looked_up(
            func.unnest(literal(ids, ARRAY(Uuid()))).table_valued("id").render_derived(with_types=False)
        )

    def _looked_up(self, given: FromClause) -> Any:
        """The records whose ids are given. Each is looked up by itself: OFFSET leaves PostgreSQL no other way."""
        model = self.entity.model
        own = select(model).where(and_(model.organisation_id == self.organisation_id, model.id == given.c.id))
        one = own.offset(0).correlate(given).lateral()
        return aliased(model, select(one).select_from(given.join(one, true())).offset(0).subquery())


def _page(found: Sequence[Any], order: Order, limit: int) -> RecordPage:
    has_more = len(found) > limit
    return RecordPage(found[:limit], order.cursor_of(found[limit - 1]) if has_more else None)


def _number_of(query: Select[Any]) -> int:
    return db.session.scalar(select(func.count()).select_from(query.limit(COUNT_LIMIT + 1).subquery())) or 0
